"""Several builds of the same models on a GPU, in turn, in one process: what a change brings.

    python benchmarks/compare.py --build NEW --case "BERT-base 64x384"     # in both checkouts
    python benchmarks/turns.py OLD NEW --case "BERT-base 64x384"           # on the GPU

A GPU that works at its limit of power gets slower as it gets warmer, by more than most changes
bring. So each round measures all builds, one after the other, and a build's time is the median over
the rounds; the first build is what the others are compared with. Times are those of compare.py.
Errors are the largest difference from the first build's result, relative to its largest value: 0
where a change keeps all bits. Results are written to benchmarks/results/turns.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.compare import (  # noqa: E402
    CASES,
    Case,
    Runner,
    ait_runner,
    median_ms,
    prepare,
)
from benchmarks.environment import RESULTS, write_results  # noqa: E402
from benchmarks.manifest import facts_of  # noqa: E402


def measure(case: Case, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of a case, one for each build."""
    import torch  # pyright: ignore[reportMissingImports]

    work, stream = prepare(case), torch.cuda.Stream()
    with torch.cuda.stream(stream), tempfile.TemporaryDirectory() as scratch:
        runners: dict[Path, Runner] = {}
        for number, libraries in enumerate(options.libraries):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            how = argparse.Namespace(libraries=libraries)
            runners[libraries] = ait_runner(work, how, folder, stream)
        times: dict[Path, list[float]] = {libraries: [] for libraries in runners}
        for _ in range(options.rounds):
            for libraries, runner in runners.items():
                times[libraries].append(median_ms(runner.launch, stream, options.seconds))
        torch.cuda.synchronize()
        results = [runner.result() for runner in runners.values()]
    scale = float(np.abs(results[0]).max())
    for libraries, result in zip(runners, results, strict=True):
        yield {
            "case": case.name,
            "engine": str(libraries),
            **facts_of(libraries),
            "median_ms": statistics.median(times[libraries]),
            "rounds_ms": times[libraries],
            "max_error": float(np.abs(result - results[0]).max()) / scale,
        }


def summarize(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each build of a case."""
    first = rows[0]["median_ms"]
    return "\n".join(
        f"{row['case']:18} {row['engine']:24} {row['median_ms']:.3f} ms, "
        f"{first / row['median_ms']:.3f}x the first, error {row['max_error']:.1e}"
        for row in rows
    )


def main() -> None:
    """Measures and writes the results."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description="time builds of models in turn on a GPU")
    parser.add_argument("libraries", type=Path, nargs="+", help="folders of compare.py --build")
    parser.add_argument("--case", action="append", choices=names, help="(default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="of each timing (default: 0.6)")
    parser.add_argument("--output", type=Path, default=RESULTS / "turns.json")
    options = parser.parse_intermixed_args()
    rows: list[dict[str, Any]] = []
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        found = list(measure(case, options))
        rows += found
        print(summarize(found), flush=True)
        write_results(options.output, rows)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
