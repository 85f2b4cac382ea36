"""How the command line shows tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

_UNLIMITED = 1 << 16


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
