"""How long compiling for a GPU takes, cold and warm, and where the time goes.

    python benchmarks/compile_time.py

Each row is a process of its own, as a user's would be: it imports ait, traces a model with random
weights and compiles it. Rows of a case that are warm share the caches of the row before them; cold
ones begin with none. At level 1 a kernel that no timings are known of is measured, which needs the
GPU: without one such rows are left out. Seconds are from the start of tracing to the library;
importing is told apart. Results are written to benchmarks/results/compile_time.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STARTED = time.perf_counter()

import ait  # noqa: E402
from ait.codegen.compile import CompileOptions, library_toolchain  # noqa: E402
from ait.codegen.target import Target, code_target  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.compare import CASES, specs_of  # noqa: E402
from benchmarks.environment import RESULTS, host  # noqa: E402

_IMPORTED = time.perf_counter()

DEFAULT = ("BERT-base 1x128", "ResNet-50 b1")


@dataclass(frozen=True)
class Way:
    """One way to compile. `cold`: with new caches, else with those of the way before. `shipped`:
    with the timings that the target ships. `bar`: the seconds to reach."""

    name: str
    level: int
    cold: bool
    shipped: bool
    bar: float


WAYS = (
    Way("level 0, cold", 0, True, False, 60),
    Way("level 0, warm", 0, False, False, 5),
    Way("level 1, cold, no kernel known", 1, True, False, 180),
    Way("level 1, warm", 1, False, False, 5),
    Way("level 1, cold, shipped timings", 1, True, True, 60),
)


def compile_once(case_name: str, way: Way, target: str) -> dict[str, Any]:
    """Compiles in this process; returns the seconds of the steps and what was done."""
    (case,) = (case for case in CASES if case.name == case_name)
    if not way.shipped:
        code_target(target).timings = None  # pyright: ignore
    model = case.model().init_random().to("f16")
    begin = time.perf_counter()
    program = ait.trace(model, specs_of(case.inputs()))
    traced = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as folder:
        options = CompileOptions(tune=way.level)
        report = ait.compile(program, target, Path(folder) / "model.so", options).report
    return {
        "seconds": time.perf_counter() - begin,
        "import_seconds": _IMPORTED - _STARTED,
        "phases": {"trace": traced, **report.phases},
        "sources": {"compiled": len(report.compiled), "cached": len(report.cached)},
        "kernels": {"known": report.tuning.known, "measured": report.tuning.measured},
        "problems": report.tuning.problems,
    }


def rows(names: Sequence[str], target: Target) -> Iterator[dict[str, Any]]:
    """A row for each case and way that can be taken here."""
    has_device = target.present_device() is not None
    ships = target.timings is not None and target.timings.is_file()
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            for i, way in enumerate(WAYS):
                if (way.level > 0 and not has_device) or (way.shipped and not ships):
                    continue
                cache = Path(scratch) / str(i if way.cold else i - 1)
                command = [
                    sys.executable, __file__, "--target", target.name, "--one", name, str(i),
                ]  # fmt: skip
                environment = {**os.environ, "AIT_CACHE_DIR": str(cache)}
                done = subprocess.run(command, capture_output=True, text=True, env=environment)
                row = {"case": name, "way": way.name, "bar": way.bar}
                if done.returncode:
                    yield {**row, "failure": done.stderr.strip()[-500:]}
                else:
                    yield {**row, **json.loads(done.stdout.splitlines()[-1])}


def summarize(row: dict[str, Any]) -> str:
    """A line for a row."""
    head = f"{row['case']:16} {row['way']:31}"
    if "failure" in row:
        return f"{head} failed: {row['failure']}"
    phases = ", ".join(f"{n} {s:.1f}" for n, s in row["phases"].items() if s >= 0.05)
    bar = "met" if row["seconds"] <= row["bar"] else "MISSED"
    return f"{head} {row['seconds']:6.1f} s, bar {row['bar']:g} s {bar} ({phases})"


def main() -> None:
    """Measures all rows and writes them."""
    parser = argparse.ArgumentParser(description="time the compiling of models for a GPU")
    names = [case.name for case in CASES]
    parser.add_argument("--case", action="append", choices=names, help=f"(default: {DEFAULT})")
    parser.add_argument("--target", default="cuda:sm_90a")
    parser.add_argument("--output", type=Path, default=RESULTS / "compile_time.json")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, way = options.one
        print(json.dumps(compile_once(name, WAYS[int(way)], options.target)))
        return
    target = code_target(options.target)
    results = host()
    results["versions"]["compiler"] = library_toolchain(target).compiler_of("kernel.cu").release
    results |= {
        "device": target.present_device(),
        "command": "python benchmarks/compile_time.py",
        "rows": [],
    }
    for row in rows(options.case or DEFAULT, target):
        print(summarize(row), flush=True)
        results["rows"].append(row)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
