"""Reading IR files: chunks, locations on operations, and errors that say where they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FileLineColLoc, IntAttr, ModuleOp, StringAttr, UnknownLoc
from xdsl.ir import Operation
from xdsl.utils.exceptions import ParseError

from ait.ir.parsing import BAD_IR, IrParser
from ait.passes.origins import location_parts
from ait.tools.diagnostics import Diagnostic, Position

_SEPARATOR = re.compile(r"^// -----.*$", re.MULTILINE)


@dataclass(frozen=True)
class Chunk:
    """One independent piece of a source file; `first_line` is its place in the whole file."""

    file: str
    text: str
    first_line: int

    @property
    def lines(self) -> list[str]:
        """The chunk's lines, numbered from `first_line`."""
        return self.text.split("\n")


def split(file: str, text: str) -> Iterator[Chunk]:
    """The pieces of `text` between lines that begin with `// -----`."""
    start = 0
    for separator in _SEPARATOR.finditer(text):
        yield Chunk(file, text[start : separator.start()], text.count("\n", 0, start) + 1)
        start = separator.end()
    yield Chunk(file, text[start:], text.count("\n", 0, start) + 1)


class LocatingParser(IrParser):
    """The parser of our IR; operations that give no location get that of their text."""

    def parse_operation(self) -> Operation:
        """Parse one operation; raises `ParseError`."""
        token = self._current_token
        op = super().parse_operation()
        if isinstance(op.location, UnknownLoc):
            file, line, column = token.span.get_location()
            op.location = FileLineColLoc(StringAttr(file), IntAttr(line), IntAttr(column))
        return op


def parse(ctx: Context, chunk: Chunk) -> ModuleOp:
    """The module that a chunk holds. Raises `ParseError` with positions in the whole file."""
    # Blank lines in front make every position one of the whole file.
    text = "\n" * (chunk.first_line - 1) + chunk.text
    parser = LocatingParser(ctx, text, chunk.file)
    try:
        return parser.parse_module()
    except BAD_IR as error:
        # Raised outside of any operation: in an alias, say.
        parser.raise_error(str(error))


def parse_error(error: ParseError) -> Diagnostic:
    """The diagnostic of a failed parse."""
    file, line, column = error.span.get_location()
    return Diagnostic("error", error.msg, Position(file, line, column))


def position_of(op: Operation) -> Position | None:
    """Where an operation, or the nearest one around it that knows, was written."""
    current: Operation | None = op
    while current is not None:
        for location in location_parts(current.location):
            if isinstance(location, FileLineColLoc):
                file, line = location.filename.data, location.line.data
                return Position(file, line, location.column.data)
        current = current.parent_op()
    return None
