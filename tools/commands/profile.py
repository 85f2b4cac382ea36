"""`ait profile`: what each kernel of a compiled model takes, and the least that it could."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ait.codegen.units import byte_count, count, duration
from ait.tools.commands.run import add_model_arguments, load_model, signature_of
from ait.tools.display import print_table
from ait.tools.errors import UsageError
from ait.tools.tensors import add_input_arguments, make_inputs

if TYPE_CHECKING:
    from ait.codegen.profile import StepProfile

_EPILOG = """\
Steps are timed one after the other, on a GPU within one graph. The floor is what moving the bytes
or computing the operations takes at the rates of the device here, if it is a known one, else of the
target's description, or one launch. The rows come with the most time lost first.

  ait profile model.so --shape batch=8 --trace trace.json    for Perfetto or chrome://tracing
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    add_model_arguments(parser)
    parser.add_argument("--repetitions", type=int, default=20, help="timed runs (default: 20)")
    parser.add_argument("--threads", type=int, default=0, help="on the CPU (default: one a core)")
    parser.add_argument("--top", type=int, metavar="N", help="show no more than N rows")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write the steps as a trace")
    parser.add_argument("--json", action="store_true", help="print JSON, times in seconds")
    add_input_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code."""
    from ait.codegen.profile import chrome_trace, profile_steps
    from ait.codegen.target import code_target

    if arguments.repetitions < 1 or arguments.threads < 0:
        raise UsageError("--repetitions must be at least 1; --threads at least 0")
    if arguments.top is not None and arguments.top < 1:
        raise UsageError("--top must be at least 1")
    model = load_model(arguments)
    target = code_target(model.metadata["target"])
    device = target.present_description(arguments.device or 0)
    inputs = make_inputs(arguments, signature_of(model))
    with model.context(num_threads=arguments.threads) as context:
        whole = context.benchmark(inputs, repetitions=arguments.repetitions).median
        seconds = context.profile(inputs, repetitions=arguments.repetitions)
    shapes = [inputs[port.name].shape for port in model.inputs]
    steps = profile_steps(model.metadata, shapes, seconds, device)
    if arguments.trace is not None:
        trace = chrome_trace(model.metadata["name"], steps)
        arguments.trace.write_text(json.dumps(trace))
    if arguments.json:
        print(json.dumps({"run": whole, "device": device.name, "steps": list(map(_record, steps))}))
        return 0
    worst = sorted(steps, key=lambda step: -step.lost)
    print_table(_HEADINGS, map(_row, worst[: arguments.top]))
    total, floor = sum(seconds), sum(step.floor for step in steps)
    print(
        f"{len(steps)} steps: {duration(total)} one after the other, "
        f"floor {duration(floor)} at the rates of {device.name}; "
        f"a whole run takes {duration(whole)}"
    )
    return 0


_HEADINGS = ("step", "layer", "kernel", "time", "floor", "ratio", "bound by", "bytes", "operations")


def _row(step: StepProfile) -> tuple[str, ...]:
    return (
        str(step.index),
        step.source,
        step.kernel,
        duration(step.seconds),
        duration(step.floor),
        f"{step.ratio:.2f}",
        step.bound.value,
        byte_count(step.bytes),
        count(step.operations),
    )


def _record(step: StepProfile) -> dict[str, Any]:
    return {**asdict(step), "bound": step.bound.value}
