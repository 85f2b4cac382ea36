"""`ait timings`: the measured times of kernels that compiling chooses configs by."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ait.codegen.units import duration
from ait.tools.display import print_table

if TYPE_CHECKING:
    from ait.codegen.tuning.store import Timing


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("path", help="print the file of this user's timings")
    listing = actions.add_parser("list", help="list kernels and the times of their configs")
    listing.add_argument("--file", type=Path, help="another file of timings (default: the user's)")
    listing.add_argument("--kernel", default="", help="only kernels whose line contains this text")
    export = actions.add_parser("export", help="write the user's timings to a file")
    export.add_argument("file", type=Path)
    merge = actions.add_parser("merge", help="add the timings of a file to the user's")
    merge.add_argument("file", type=Path)


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code. Raises CompileError for files that are none."""
    _ACTIONS[arguments.action](arguments)
    return 0


def _path(arguments: argparse.Namespace) -> None:
    from ait.codegen.tuning.store import user_store

    print(user_store().path)


def _list(arguments: argparse.Namespace) -> None:
    from ait.codegen.tuning.store import TimingStore, user_store

    store = TimingStore(arguments.file) if arguments.file else user_store()
    timings = [timing for timing in store.all() if arguments.kernel in timing.about]
    print_table(("kernel", "config", "time", "device", "toolchain"), map(_row, timings))
    print(f"{len(timings)} timings")


def _row(timing: Timing) -> tuple[str, ...]:
    time = timing.failure if timing.seconds is None else duration(timing.seconds)
    return timing.about, timing.config, time, timing.device, timing.toolchain


def _export(arguments: argparse.Namespace) -> None:
    from ait.codegen.tuning.store import TimingStore, user_store

    count = TimingStore(arguments.file).merge(user_store())
    print(f"{count} timings written to {arguments.file}")


def _merge(arguments: argparse.Namespace) -> None:
    from ait.codegen.tuning.store import TimingStore, user_store

    count = user_store().merge(TimingStore(arguments.file))
    print(f"{count} timings taken from {arguments.file}")


_ACTIONS = {"path": _path, "list": _list, "export": _export, "merge": _merge}
