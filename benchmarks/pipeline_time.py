"""How long the default pipeline takes, pass by pass, and how that grows with the model.

    python benchmarks/pipeline_time.py

BERT-base, ResNet-50 and Stable Diffusion's UNet go through the passes for the CPU target several
times; medians are written to benchmarks/results/pipeline_time.json with the device, the versions
and the commit. Tracing, code generation and compilers are not part of it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ait
from ait.passes.pipelines import PassRun, run_pipeline

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import bert  # noqa: E402
import resnet50  # noqa: E402
import unet  # noqa: E402

from benchmarks.environment import RESULTS, host  # noqa: E402

RUNS = 5
RESULT = RESULTS / "pipeline_time.json"


def bert_program(layers: int) -> ait.Program:
    """A BERT of base width; few words, since the passes never see the data."""
    config = bert.BertConfig(vocab_size=64, num_hidden_layers=layers)
    return ait.trace(bert.BertModel(config), bert.specs(), require_weights=False)


def resnet_program() -> ait.Program:
    return ait.trace(resnet50.resnet50(), resnet50.specs(), require_weights=False)


def unet_program() -> ait.Program:
    config = unet.UNetConfig()
    return ait.trace(unet.UNet(config), unet.specs(config), require_weights=False)


def timed(program: ait.Program) -> dict[str, object]:
    """Medians over the runs, in seconds: the whole, and each pass in order."""
    runs: list[list[PassRun]] = []
    for _ in range(RUNS):
        runs.append(run_pipeline(program.module.clone(), target="cpu"))
    passes = [
        {"name": same[0].name, "seconds": statistics.median(run.seconds for run in same)}
        for same in zip(*runs, strict=True)
    ]
    total = statistics.median(sum(run.seconds for run in runs_of_one) for runs_of_one in runs)
    ops = sum(1 for _ in program.main.body.block.ops)
    return {"graph_ops": ops, "seconds": total, "passes": passes}


CASES: dict[str, Callable[[], ait.Program]] = {
    "bert-base": lambda: bert_program(12),
    "bert-base, 48 layers": lambda: bert_program(48),
    "resnet-50": resnet_program,
    "unet of stable diffusion 1.5": unet_program,
}


def main() -> None:
    """Times all cases, prints a table and writes the results."""
    machine = host()
    cases: dict[str, dict[str, object]] = {}
    for name, make in CASES.items():
        start = time.perf_counter()
        program = make()
        traced = time.perf_counter() - start
        cases[name] = {"trace_seconds": traced, **timed(program)}
        print(f"{name:28} {cases[name]['graph_ops']:5} ops {cases[name]['seconds']:6.2f} s")
        for item in cases[name]["passes"]:  # pyright: ignore
            print(f"    {item['name']:20} {item['seconds']:7.3f} s")
    small, large = (float(str(cases[n]["seconds"])) for n in list(CASES)[:2])
    print(f"4 times the layers take {large / small:.2f} times as long")
    result = {
        "benchmark": "pipeline_time",
        **machine,
        "runs": RUNS,
        "growth_of_4_times_the_layers": large / small,
        "cases": cases,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
