"""Diagnostics of `ait-opt`: located messages, and their check against `expected-error` comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """A place in a source file; lines and columns count from one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Diagnostic:
    """One message to the user. `severity` is "error", "warning", "remark" or "note"."""

    severity: str
    message: str
    position: Position | None = None

    def render(self, lines: Sequence[str] = ()) -> str:
        """The message as compilers print it, with the source line if `lines` holds it."""
        place = f"{self.position}: " if self.position else ""
        text = f"{place}{self.severity}: {self.message}"
        if self.position is None or not 0 < self.position.line <= len(lines):
            return text
        source = lines[self.position.line - 1]
        margin = re.sub(r"[^\t]", " ", source[: self.position.column - 1])
        return f"{text}\n{source}\n{margin}^"


@dataclass(frozen=True)
class Expectation:
    """An `expected-<severity> {{text}}` comment. `line` is None for `@unknown`."""

    severity: str
    text: str
    is_pattern: bool
    line: int | None
    written_at: int

    def matches(self, diagnostic: Diagnostic) -> bool:
        line = diagnostic.position.line if diagnostic.position else None
        if (self.severity, self.line) != (diagnostic.severity, line):
            return False
        if not self.is_pattern:
            return self.text in diagnostic.message
        return re.search(_pattern(self.text), diagnostic.message) is not None


_COMMENT = re.compile(
    r"expected-(?P<severity>error|warning|note|remark)(?P<re>-re)?\s*"
    r"(?:@(?P<where>[+-]\d+|above|below|unknown))?\s*\{\{(?P<text>.*)\}\}\s*$"
)


def expectations(lines: Sequence[str], first_line: int = 1) -> list[Expectation]:
    """The expectations written in `lines`, the first of which has the number `first_line`.

    `@above` and `@below` mean the nearest line in that direction that holds no expectation itself,
    so that several can be stacked on one operation.
    """
    found = [(number, _COMMENT.search(text)) for number, text in enumerate(lines, first_line)]
    plain = [number for number, match in found if match is None]
    result: list[Expectation] = []
    for number, match in found:
        if match is None:
            continue
        line = _target_line(match["where"], number, plain)
        is_pattern = match["re"] is not None
        result.append(Expectation(match["severity"], match["text"], is_pattern, line, number))
    return result


def _target_line(where: str | None, number: int, plain: Sequence[int]) -> int | None:
    match where:
        case None:
            return number
        case "unknown":
            return None
        case "above":
            return max((line for line in plain if line < number), default=0)
        case "below":
            return min((line for line in plain if line > number), default=0)
        case _:
            return number + int(where)


def _pattern(text: str) -> str:
    """`text` is literal but for its parts in double braces, which are regular expressions."""
    literals_and_patterns = re.split(r"\{\{(.*?)\}\}", text)
    return "".join(
        part if index % 2 else re.escape(part) for index, part in enumerate(literals_and_patterns)
    )


def mismatches(
    diagnostics: Iterable[Diagnostic], expected: Sequence[Expectation], file: str
) -> Iterator[Diagnostic]:
    """An error for each diagnostic that nothing expects and each expectation that nothing meets.

    Remarks and notes that nothing expects are fine unless the file expects some of their kind.
    """
    checked = {"error", "warning"} | {expectation.severity for expectation in expected}
    remaining = list(expected)
    for diagnostic in diagnostics:
        met = next((e for e in remaining if e.matches(diagnostic)), None)
        if met is not None:
            remaining.remove(met)
        elif diagnostic.severity in checked:
            message = f"unexpected {diagnostic.severity}: {diagnostic.message}"
            yield Diagnostic("error", message, diagnostic.position)
    for expectation in remaining:
        message = f'expected {expectation.severity} "{expectation.text}" was not produced'
        yield Diagnostic("error", message, Position(file, expectation.written_at, 1))
