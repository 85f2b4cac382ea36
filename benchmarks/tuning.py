"""Fills the timings that a target ships, from the models of compare.py and of the examples.

    python benchmarks/tuning.py --build FOLDER       # anywhere: compiles all candidates
    python benchmarks/tuning.py --run FOLDER         # on the GPU: times them, in seconds
    python benchmarks/tuning.py --collect FOLDER     # anywhere: adds the times to the target's file
    python benchmarks/tuning.py --check              # anywhere: what it knows of each model

The three steps may be of three machines that share the folder. What the file knows already is not
built again, so that an interrupted or an extended run goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from ait.codegen.build import BuildOptions  # noqa: E402
from ait.codegen.cache import ObjectCache  # noqa: E402
from ait.codegen.compile import library_toolchain  # noqa: E402
from ait.codegen.target import Target, code_target  # noqa: E402
from ait.codegen.tuning.measure import (  # noqa: E402
    Outcome,
    build_candidates,
    run_candidates,
)
from ait.codegen.tuning.store import Timing, TimingStore  # noqa: E402
from ait.codegen.tuning.tune import Tuner  # noqa: E402
from ait.codegen.units import duration  # noqa: E402
from ait.errors import CompileError  # noqa: E402
from ait.ir.context import make_context  # noqa: E402
from ait.ir.program import Program  # noqa: E402
from ait.passes.pipelines import run_pipeline  # noqa: E402
from benchmarks.compare import CASES, specs_of  # noqa: E402
from benchmarks.example_models import EXAMPLES, TunedModel  # noqa: E402

MODELS: Sequence[TunedModel] = (
    *(TunedModel(c.name, c.model, lambda c=c: specs_of(c.inputs())) for c in CASES),
    *EXAMPLES,
)

# From which ratio of times on a choice of the analytic model is shown as a wrong one.
_SURPRISE = 1.03
LIBRARY, TRIALS, OUTCOMES = "candidates.so", "trials.json", "outcomes.json"


def build(
    models: Sequence[TunedModel], target: Target, options: argparse.Namespace, store: TimingStore
) -> None:
    """Compiles what tuning would try for the models into one library."""
    folder: Path = options.build
    folder.mkdir(parents=True, exist_ok=True)
    toolchain = library_toolchain(target)
    tuner = Tuner(target, toolchain, options.tune, stores=[store])
    modules = [lowered(model, target).module for model in models]
    trials = tuner.trials(modules, options.device or None)
    problems = len({trial.problem for trial in trials})
    print(f"{len(trials)} configs of {problems} kernels", flush=True)
    begin = time.perf_counter()
    how = BuildOptions(cache=ObjectCache(), jobs=options.jobs)
    candidates = [trial.candidate for trial in trials]
    failures = build_candidates(candidates, target, toolchain, how, folder / LIBRARY)
    print(f"compiled in {time.perf_counter() - begin:.0f} s, {len(failures)} failed")
    # Timings without a time: `collect` adds the outcomes.
    unknown = [Outcome(None, failures.get(i, "")) for i in range(len(trials))]
    timings = tuner.timings(trials, unknown, options.device)
    (folder / TRIALS).write_text(json.dumps([vars(timing) for timing in timings], indent=0))


def run(target: Target, folder: Path) -> None:
    """Times the candidates of a folder on this machine's GPU."""
    device = target.present_device()
    if device is None:
        raise CompileError(f"this machine has no device for {target.name}")
    trials = json.loads((folder / TRIALS).read_text())
    failures = {i: trial["failure"] for i, trial in enumerate(trials) if trial["failure"]}
    begin = time.perf_counter()
    outcomes = run_candidates(folder / LIBRARY, len(trials), failures)
    print(f"{len(outcomes)} configs in {time.perf_counter() - begin:.0f} s on {device}")
    found = {"device": device, "outcomes": [vars(outcome) for outcome in outcomes]}
    (folder / OUTCOMES).write_text(json.dumps(found))


def collect(folder: Path, store: TimingStore) -> None:
    """Adds the outcomes of a folder to a file of timings."""
    trials = [Timing(**trial) for trial in json.loads((folder / TRIALS).read_text())]
    found = json.loads((folder / OUTCOMES).read_text())
    timings = [
        Timing(**{**vars(trial), **outcome, "device": found["device"]})
        for trial, outcome in zip(trials, found["outcomes"], strict=True)
    ]
    store.put(timings)
    store.compact()
    failed = [timing for timing in timings if timing.seconds is None]
    for timing in failed:
        print(f"failed: {timing.about}, {timing.config}: {timing.failure}")
    size = store.path.stat().st_size
    print(f"{len(timings)} timings, {len(failed)} of them failures; {store.path}: {size} bytes")


def check(models: Sequence[TunedModel], target: Target, store: TimingStore) -> None:
    """Prints how many of the kernels that have a choice of configs the target's file knows, and
    where the analytic model's choices lose time: the fastest configs should not surprise it."""
    toolchain = library_toolchain(target)
    for model in models:
        modules = [lowered(model, target).module]
        of_all, unknown = (
            len({trial.problem for trial in Tuner(target, toolchain, 1, stores=s).trials(modules)})
            for s in ([], [store])
        )
        choices = Tuner(target, toolchain, 1, stores=[store]).choices(modules)
        modelled, fastest = (
            sum(c.launches * pair(c)[1] for c in choices)
            for pair in (attrgetter("modelled"), attrgetter("fastest"))
        )
        print(
            f"{model.name:23} {of_all - unknown} of {of_all} kernels known; they take "
            f"{duration(modelled)} as the model chooses, {duration(fastest)} at best",
            flush=True,
        )
        for choice in choices:
            (first, seconds), (best, least) = choice.modelled, choice.fastest
            if seconds > _SURPRISE * least:
                print(
                    f"    {choice.launches} x {choice.about}: {duration(seconds)} by {first}, "
                    f"{duration(least)} by {best}"
                )


def shipped_by(target: Target) -> TimingStore:
    """The file that the target ships."""
    if target.timings is None:
        raise CompileError(f"{target.name} ships no timings")
    return TimingStore(target.timings)


def lowered(model: TunedModel, target: Target) -> Program:
    """A model's program after the default pipeline."""
    program = model.traced()
    run_pipeline(program.module, ("default",), target=target.name, context=make_context())
    return program


def main() -> None:
    """One of the steps."""
    names = [model.name for model in MODELS]
    parser = argparse.ArgumentParser(description="fill the timings that a target ships")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="compile candidates")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="time such candidates")
    parser.add_argument("--collect", type=Path, metavar="FOLDER", help="keep such times")
    parser.add_argument("--check", action="store_true", help="say what is known")
    parser.add_argument("--case", action="append", choices=names, help="(default: all)")
    parser.add_argument("--target", default="cuda:sm_90a")
    parser.add_argument("--tune", type=int, default=1, metavar="LEVEL", help="as of ait compile")
    parser.add_argument("--device", default="", help="build what is not known of this device")
    parser.add_argument("--file", type=Path, help="of timings (default: the target's own)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at once")
    options = parser.parse_args()
    target = code_target(options.target)
    store = TimingStore(options.file) if options.file else shipped_by(target)
    models = [m for m in MODELS if not options.case or m.name in options.case]
    if options.check:
        check(models, target, store)
    elif options.build is not None:
        build(models, target, options, store)
    elif options.run is not None:
        run(target, options.run)
    elif options.collect is not None:
        collect(options.collect, store)
    else:
        parser.error("one of --build, --run, --collect and --check is needed")


if __name__ == "__main__":
    main()
