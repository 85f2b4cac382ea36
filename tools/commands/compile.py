"""`ait compile`: compile a model into one shared library."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ait.tools.display import byte_count
from ait.tools.programs import load_program

if TYPE_CHECKING:
    from ait.passes.remarks import Remark


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("model", type=Path, help="a program (.mlir)")
    add("-o", "--output", type=Path, metavar="FILE", help="the library (default: MODEL.so)")
    add("--target", default="cpu", help="cpu, cuda:sm_90a, hip:gfx942, ... (default: cpu)")
    add("--weights", type=Path, metavar="FILE", help="weights (default: MODEL.safetensors)")
    add("--weights-mode", choices=("embed", "file"), default="embed",
        help="in the library, or in a .safetensors file beside it (default: embed)")  # fmt: skip
    add("--frozen", action="store_true", help="give up replacing weights for a smaller library")
    add("--jobs", type=int, metavar="N", help="compilers at once (default: by cores and memory)")
    add("--no-cache", action="store_true", help="compile every kernel anew")

    telling = parser.add_argument_group("explanations")
    add = telling.add_argument
    add("--remarks", action="store_true", help="print what passes fused and refused, and why")
    add("--report", action="store_true", help="print kernels, cache use and times")
    add("--dump-ir", type=Path, metavar="DIR", help="write the IR before and after every pass")
    add("--emit-cpp", type=Path, metavar="DIR", help="keep the generated sources")


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code. Raises AitError."""
    from ait.codegen.compile import CompileOptions, compile_program
    from ait.passes.remarks import collect_remarks

    output = arguments.output or arguments.model.with_suffix(".so")
    program = load_program(arguments.model, arguments.weights)
    options = CompileOptions(
        weights_mode=arguments.weights_mode,
        frozen=arguments.frozen,
        jobs=arguments.jobs,
        use_cache=not arguments.no_cache,
        dump_ir=arguments.dump_ir,
        emit_cpp=arguments.emit_cpp,
    )
    with collect_remarks() if arguments.remarks else nullcontext([]) as remarks:
        artifact = compile_program(program, arguments.target, output, options)
    _print_remarks(remarks)
    if arguments.report:
        print(artifact.report)
    print(f"{artifact.path}: {byte_count(artifact.path.stat().st_size)}")
    return 0


def _print_remarks(remarks: list[Remark]) -> None:
    for remark in remarks:
        kind = "" if remark.kind == "applied" else f", {remark.kind}"
        text = f"remark: {remark.location}: {remark.message} [{remark.pass_name}{kind}]"
        print(text, file=sys.stderr)
