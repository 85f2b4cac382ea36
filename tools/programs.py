"""Reading programs for the commands that take one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ait.errors import AitError

if TYPE_CHECKING:
    from ait.ir.program import Program


def load_program(path: Path, weights: Path | None = None) -> Program:
    """The program of a .mlir file; `weights` replaces the file beside it.

    Raises AitError for what is no valid program, WeightError for weights that do not fit.
    """
    from ait.ir.context import make_context
    from ait.ir.program import Program, load_weights, parse_module
    from ait.tools.universe import dialect_factories

    if path.suffix != ".mlir":
        raise AitError(f"{path}: expected a program, a .mlir file")
    shared = make_context()
    known = set(shared.registered_dialect_names)
    extra = {name: make for name, make in dialect_factories().items() if name not in known}
    context = make_context(extra)
    if weights is None:
        return Program.load(path, context)
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise AitError(f"{path} is not a text file") from error
    program = Program(parse_module(text, str(path), context), load_weights(weights))
    program.verify()
    return program
