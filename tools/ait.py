"""`ait`: the command line of compiler and runtime.

Exit codes: 0 success, 1 the request failed and a message says why, 2 wrong usage, 70 a bug in ait,
130 interrupted. There are no tracebacks, unless AIT_DEBUG=1 asks for them.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

from ait.errors import AitError
from ait.tools import commands
from ait.tools.errors import UsageError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` (default: the process's arguments); returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser(argv).parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _guarded(arguments)


def _guarded(arguments: argparse.Namespace) -> int:
    try:
        code = commands.command(arguments.command).run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        _say(f"error: {error}")
        return EXIT_USAGE
    except AitError as error:
        _debug()
        _say(f"error: {error}")
        return EXIT_FAILURE
    except BrokenPipeError:
        # The reader, `head` say, has seen enough. Nothing is left to flush to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _debug()
        _say(f"error: {_os_error(error)}")
        return EXIT_FAILURE
    except MemoryError:
        _debug()
        _say("error: this machine has not enough memory for that")
        return EXIT_FAILURE
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        _debug()
        _say(f"error: unexpected {type(error).__name__}: {error}")
        _say("this is a bug in ait; AIT_DEBUG=1 shows where")
        return EXIT_BUG


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    from ait import __version__

    parser = argparse.ArgumentParser(
        prog="ait",
        description="Turn deep-learning models into self-contained shared libraries.",
        epilog="`ait COMMAND --help` explains a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ait {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Only the command that is asked for is imported.
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in commands.SUMMARIES.items():
        subparser = subparsers.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        )  # fmt: skip
        if name == wanted:
            commands.command(name).configure(subparser)
    return parser


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say(f"warning: {message}")


def _debug() -> None:
    if os.environ.get("AIT_DEBUG"):
        traceback.print_exc()


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
