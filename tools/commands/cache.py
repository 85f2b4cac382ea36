"""`ait cache`: the object cache."""

from __future__ import annotations

import argparse
import time

from ait.codegen.units import byte_count
from ait.tools.display import print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("path", help="print the cache's folder")
    actions.add_parser("size", help="print how much it holds, and its limit")
    actions.add_parser("list", help="list its entries, most recently used first")
    actions.add_parser("clear", help="remove everything")
    prune = actions.add_parser("prune", help="remove what was not used for longest")
    prune.add_argument("--to", metavar="SIZE", help="how much to keep, as in 2G (default: limit)")


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code."""
    _ACTIONS[arguments.action](arguments)
    return 0


def _path(arguments: argparse.Namespace) -> None:
    from ait.codegen.cache import cache_directory

    print(cache_directory())


def _size(arguments: argparse.Namespace) -> None:
    from ait.codegen.cache import ObjectCache

    found = ObjectCache().statistics()
    print(f"{found.entries} objects, {byte_count(found.size)} of {byte_count(found.limit)}")


def _list(arguments: argparse.Namespace) -> None:
    from ait.codegen.cache import ObjectCache

    entries = reversed(ObjectCache().entries())
    rows = [(entry.path.name[:16], byte_count(entry.size), _when(entry.used)) for entry in entries]
    print_table(("object", "size", "last used"), rows)


def _when(seconds: float) -> str:
    return time.strftime("%F %T", time.localtime(seconds))


def _clear(arguments: argparse.Namespace) -> None:
    from ait.codegen.cache import ObjectCache

    removed = ObjectCache().clear()
    print(f"removed {removed.entries} objects, {byte_count(removed.size)}")


def _prune(arguments: argparse.Namespace) -> None:
    from ait.codegen.cache import ObjectCache, parse_size

    limit = parse_size(arguments.to) if arguments.to else None
    removed = ObjectCache().prune(limit)
    print(f"removed {removed.entries} objects, {byte_count(removed.size)}")


_ACTIONS = {"path": _path, "size": _size, "list": _list, "clear": _clear, "prune": _prune}
