"""`ait-opt`: parse IR of any level, run passes, print the result.

Exit codes: 0 success, 1 the IR is bad or a pass failed, 2 wrong usage, 70 a bug in a pass.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ait.tools.errors import UsageError

if TYPE_CHECKING:
    from ait.tools.opt_driver import Options

DESCRIPTION = """\
Run passes over IR and print the result.

  ait-opt model.mlir -p fuse-vertical,fuse-memory
  ait-opt model.mlir -p default --target cuda:sm_90a --remarks
  ait-opt model.mlir -p 'lower-graph,bufferize' --print-ir-after-all
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` (default: the process's arguments); returns the exit code."""
    arguments = _parser().parse_args(argv)
    # Imported late: xDSL costs 0.2 s, and --help should not.
    from ait.tools import opt_driver

    try:
        if arguments.list_passes:
            opt_driver.list_passes(sys.stdout)
            return 0
        options = _options(arguments)
        file, text = _read(arguments.input)
        code, output = opt_driver.run(options, file, text)
        _write(arguments.output, output)
        return code
    except UsageError as error:
        print(f"ait-opt: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, `head` say, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ait-opt",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("input", nargs="?", default="-", metavar="FILE", help="IR to read; - is standard input")
    add("-o", "--output", default="-", metavar="FILE", help="where to write the result")
    add(
        "-p",
        "--passes",
        default="",
        metavar="PASSES",
        help="passes and pipelines, as in 'a,b{x=1}'",
    )
    add("--target", metavar="TARGET", help="target of the passes that take one, as in cuda:sm_90a")
    add("--list-passes", action="store_true", help="list passes and pipelines, and exit")

    checks = parser.add_argument_group("checking")
    add = checks.add_argument
    add("--verify-each", action=argparse.BooleanOptionalAction, default=True,
        help="verify, dominance included, after every pass")  # fmt: skip
    add("--verify-diagnostics", action="store_true",
        help="compare errors with `// expected-error {{text}}` comments")  # fmt: skip
    add("--split-input-file", action="store_true", help="treat pieces between `// -----` apart")
    add("--allow-unregistered-dialect", action="store_true", help="accept unknown operations")

    printing = parser.add_argument_group("printing")
    add = printing.add_argument
    add("--remarks", action="store_true", help="print what passes did and refused, and why")
    add("--print-ir-before-all", action="store_true", help="print the IR before every pass")
    add("--print-ir-after-all", action="store_true", help="print the IR after every pass")
    add("--print-ir-before", action="append", default=[], metavar="PASS", help="... before PASS")
    add("--print-ir-after", action="append", default=[], metavar="PASS", help="... after PASS")
    add("--print-op-generic", action="store_true", help="print in the generic form")
    add("--print-debuginfo", action="store_true", help="print locations")
    add("--time-passes", action="store_true", help="print how long each pass took")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    from ait.tools.opt_driver import Options

    return Options(
        passes=arguments.passes,
        target=arguments.target,
        verify_each=arguments.verify_each,
        verify_diagnostics=arguments.verify_diagnostics,
        split_input_file=arguments.split_input_file,
        allow_unregistered_dialect=arguments.allow_unregistered_dialect,
        remarks=arguments.remarks,
        print_before=_names(arguments.print_ir_before, arguments.print_ir_before_all),
        print_after=_names(arguments.print_ir_after, arguments.print_ir_after_all),
        generic=arguments.print_op_generic,
        debuginfo=arguments.print_debuginfo,
        time_passes=arguments.time_passes,
    )


def _names(lists: Sequence[str], everything: bool) -> frozenset[str] | None:
    """The names in comma-separated `lists`; None means all."""
    if everything:
        return None
    return frozenset(name.strip() for names in lists for name in names.split(","))


def _read(file: str) -> tuple[str, str]:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    try:
        return ("<stdin>" if file == "-" else file), data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not a text file (byte {error.start} is no UTF-8)") from error


def _write(file: str, text: str) -> None:
    if file == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        Path(file).write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
