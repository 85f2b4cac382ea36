"""`ait compile`: compile a model into one shared library."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ait.codegen.units import byte_count
from ait.tools.programs import load_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xdsl.dialects.builtin import ModuleOp

    from ait.ir.program import Program
    from ait.passes.remarks import Remark

_EPILOG = """\
  ait compile model.mlir --target cuda:sm_90a -o model.so
  ait compile model.mlir --weights-mode file --report --remarks
  ait compile model.mlir --report report.html
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
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
    add("--verify-each", action="store_true", help="check the IR after every pass")

    add("--tune", type=int, default=1, metavar="LEVEL",
        help="0: trust the model of kernels; 1 (default): use stored timings, and measure a few "
        "candidates if this machine has the GPU; 2, 3: measure more")  # fmt: skip
    add("--tune-at", type=_size, action="append", default=[], metavar="DIM=SIZE",
        help="a size of a dynamic dim to tune at (default: the largest)")  # fmt: skip

    telling = parser.add_argument_group("explanations")
    add = telling.add_argument
    add("--remarks", action="store_true", help="print what passes fused and refused, and why")
    add("--report", nargs="?", const=True, type=_page, metavar="PAGE.html",
        help="print kernels, cache use and times; or write a page that shows all of it: graphs "
        "before and after fusion, costs, reasons")  # fmt: skip
    add("--json", action="store_true", help="print the report as JSON")
    add("--dump-ir", type=Path, metavar="DIR", help="write the IR after every pass")
    add("--emit-cpp", type=Path, metavar="DIR", help="keep the generated sources")


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code. Raises AitError."""
    from ait.codegen.compile import CompileOptions, compile_program

    output = arguments.output or arguments.model.with_suffix(".so")
    program = load_program(arguments.model, arguments.weights)
    options = CompileOptions(
        weights="embedded" if arguments.weights_mode == "embed" else "file",
        freeze=arguments.frozen,
        verify=arguments.verify_each,
        jobs=arguments.jobs,
        cache=not arguments.no_cache,
        keep=arguments.emit_cpp,
        tune=arguments.tune,
        tune_at=dict(arguments.tune_at),
        report=arguments.report if isinstance(arguments.report, Path) else None,
    )
    if arguments.dump_ir:
        # Before anything else that can fail: the dump is there to find out why.
        _dump(program, arguments.target, options.pipeline, arguments.dump_ir)
    artifact = compile_program(program, arguments.target, output, options)
    if arguments.remarks:
        _print_remarks(artifact.report.remarks)
    if arguments.json:
        print(json.dumps(artifact.report.as_json(), indent=2))
        return 0
    if arguments.report is True:
        print(artifact.report)
    for file in (artifact.path, artifact.weights, artifact.page):
        if file is not None:
            print(f"{file}: {byte_count(file.stat().st_size)}")
    return 0


def _size(text: str) -> tuple[str, int]:
    """A dim and its size: `batch=8`."""
    name, _, size = text.partition("=")
    if not name or not size.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form DIM=SIZE")
    return name, int(size)


def _page(text: str) -> Path:
    """The file of a report: a model after a bare `--report` is not one."""
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no .html file; a bare --report goes behind the model"
        )
    return path


def _dump(program: Program, target: str, pipeline: Sequence[str], folder: Path) -> None:
    """Write `00-input.mlir`, then one numbered file for each pass of the pipeline."""
    from ait.ir.context import make_context
    from ait.passes.pipelines import run_pipeline

    folder.mkdir(parents=True, exist_ok=True)
    count = 0

    def write(name: str, module: ModuleOp) -> None:
        nonlocal count
        (folder / f"{count:02}-{name}.mlir").write_text(f"{module}\n")
        count += 1

    module = program.clone().module
    write("input", module)
    run_pipeline(module, pipeline, target=target, context=make_context(), after_pass=write)


def _print_remarks(remarks: Sequence[Remark]) -> None:
    for remark in remarks:
        kind = "" if remark.kind == "applied" else f", {remark.kind}"
        text = f"remark: {remark.location}: {remark.message} [{remark.pass_name}{kind}]"
        print(text, file=sys.stderr)
