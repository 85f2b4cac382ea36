"""`ait inspect`: everything that a compiled model says of itself, without executing it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ait.codegen.units import byte_count
from ait.tools.display import print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", type=Path, help="a compiled model (.so)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code. Raises AitError for what is no model."""
    from ait.runtime.inspect import read_metadata

    metadata = read_metadata(arguments.model)
    if arguments.json:
        print(json.dumps(metadata, indent=2))
        return 0
    _print_scalars(metadata, arguments.model)
    for name, value in metadata.items():
        if isinstance(value, list):
            _print_list(name, cast("list[Any]", value))
    return 0


def _print_scalars(metadata: Mapping[str, Any], file: Path) -> None:
    rows = [("file", f"{file}, {byte_count(file.stat().st_size)}")]
    rows += [(k, _text(v)) for k, v in metadata.items() if not isinstance(v, list)]
    print_table(("", ""), rows)


def _print_list(name: str, items: list[Any]) -> None:
    """A list of objects as a table that has a column for each of their keys."""
    print(f"\n{name}: {len(items)}")
    if not items:
        return
    if not all(isinstance(item, dict) for item in items):
        print("  " + ", ".join(_text(item) for item in items))
        return
    records = cast("list[dict[str, Any]]", items)
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [[_cell(column, record.get(column, "")) for column in columns] for record in records]
    print_table(columns, rows)


def _cell(column: str, value: Any) -> str:
    if column == "bytes" and isinstance(value, int):
        return byte_count(value)
    return _text(value)[:12] if column == "sha256" else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in cast("list[Any]", value)) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text(v)}" for k, v in cast("dict[str, Any]", value).items())
    return str(value)
