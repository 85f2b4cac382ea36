"""`ait verify`: compare a compiled model with the reference interpreter."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ait.tools.commands.run import signature_of, weights_of
from ait.tools.compare import Array, Comparison, compare_all
from ait.tools.display import print_table
from ait.tools.errors import UsageError
from ait.tools.programs import load_program
from ait.tools.tensors import add_input_arguments, make_inputs

if TYPE_CHECKING:
    from ait.ir.program import Program
    from ait.runtime.loader import CompiledModel

_EPILOG = """\
  ait verify model.so --program model.mlir    check a library against the program it came from
  ait verify model.mlir --target cpu          compile a program for this machine and check that
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("model", type=Path, help="a compiled model (.so) or a program (.mlir)")
    add("--program", type=Path, metavar="FILE", help="the program that a .so was compiled from")
    add("--weights", type=Path, metavar="FILE", help="weights (.safetensors) of both")
    add("--target", default="cpu", help="what to compile a program for (default: cpu)")
    add("--tolerance", type=float, help="largest error, relative to the largest value")
    add("--trials", type=int, default=1, help="random inputs to try (default: 1)")
    add("--json", action="store_true", help="print JSON")
    add_input_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns 1 if any output is wrong."""
    if arguments.trials < 1:
        raise UsageError("--trials must be at least 1")
    with tempfile.TemporaryDirectory() as scratch:
        model, program = _load(arguments, Path(scratch))
        trials: list[dict[str, Comparison]] = []
        for _ in range(arguments.trials):
            inputs = make_inputs(arguments, signature_of(model))
            trials.append(_compare(model, program, inputs, arguments.tolerance))
            arguments.seed += 1
    _report(trials, as_json=arguments.json)
    return int(any(found.problem for trial in trials for found in trial.values()))


def _load(arguments: argparse.Namespace, scratch: Path) -> tuple[CompiledModel, Program]:
    from ait.runtime.loader import load

    if arguments.model.suffix == ".so":
        if arguments.program is None:
            raise UsageError(f"--program FILE is needed: what was {arguments.model} compiled from?")
        program = load_program(arguments.program, arguments.weights)
        return load(arguments.model, weights_of(arguments)), program
    from ait.codegen.compile import compile_program

    program = load_program(arguments.model, arguments.weights)
    artifact = compile_program(program, arguments.target, scratch / "model.so")
    return load(artifact.path), program


def _compare(
    model: CompiledModel, program: Program, inputs: dict[str, Array], tolerance: float | None
) -> dict[str, Comparison]:
    from ait.ir.interpreter import evaluate

    return compare_all(model.run(inputs), evaluate(program, inputs), tolerance)


def _report(trials: list[dict[str, Comparison]], *, as_json: bool) -> None:
    if as_json:
        records = [{name: asdict(found) for name, found in trial.items()} for trial in trials]
        print(json.dumps(records, indent=2))
        return
    rows = [_row(name, found) for trial in trials for name, found in trial.items()]
    print_table(("output", "largest error", "relative", "cosine", ""), rows)


def _row(name: str, found: Comparison) -> tuple[str, ...]:
    errors = (f"{found.max_error:.3g}", f"{found.relative_error:.3g}", f"{found.cosine:.7f}")
    return name, *errors, found.problem or "OK"
