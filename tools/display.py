"""How the command line shows tables and numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

_UNLIMITED = 1 << 16


def byte_count(size: int) -> str:
    """A number of bytes as people read it: "512 B", "1.5 MiB"."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def duration(seconds: float) -> str:
    """A duration with three digits and its best unit: "12.3 ms"."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print rows of text under headings: coloured on a terminal, plain and unwrapped elsewhere."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        show_header=any(headings),
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console = Console(highlight=False, soft_wrap=False)
    if not sys.stdout.isatty():
        # A pipe has no width; rich would assume 80 columns and fold.
        console = Console(highlight=False, width=_UNLIMITED)
    console.print(table)


def _plain(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)
