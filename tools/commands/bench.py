"""`ait bench`: measure a compiled model's latency."""

from __future__ import annotations

import argparse
import json

from ait.codegen.units import duration
from ait.tools.commands.run import add_model_arguments, load_model, signature_of
from ait.tools.display import print_table
from ait.tools.errors import UsageError
from ait.tools.tensors import add_input_arguments, make_inputs

_PERCENTILES = (50, 90, 99)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--repetitions", type=int, default=100, help="timed runs (default: 100)")
    parser.add_argument("--warmup", type=int, default=10, help="runs before them (default: 10)")
    parser.add_argument("--threads", type=int, default=0, help="on the CPU (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print JSON, times in seconds")
    add_input_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code."""
    if arguments.repetitions < 1 or arguments.warmup < 0 or arguments.threads < 0:
        raise UsageError("--repetitions must be at least 1; --warmup and --threads at least 0")
    model = load_model(arguments)
    inputs = make_inputs(arguments, signature_of(model))
    with model.context(num_threads=arguments.threads) as context:
        result = context.benchmark(
            inputs, repetitions=arguments.repetitions, warmup=arguments.warmup
        )
    seconds = {"min": result.minimum, "mean": result.mean}
    seconds |= {f"p{percent}": result.percentile(percent) for percent in _PERCENTILES}
    shapes = {name: list(value.shape) for name, value in inputs.items()}
    if arguments.json:
        print(json.dumps({"model": str(arguments.model), "inputs": shapes, "seconds": seconds}))
        return 0
    for name, shape in shapes.items():
        print(f"{name}: {'x'.join(map(str, shape)) or 'scalar'}")
    print_table(list(seconds), [[duration(value) for value in seconds.values()]])
    return 0
