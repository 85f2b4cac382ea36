"""Symbolic dims -> C++ expressions.

Generated code computes with *extents*: the run-time values of the distinct products of symbols that
occur in its dims (`batch`, `batch * seq`, `(seq + 1) floordiv 2`). Coefficients and offsets stay
literals, so that a compiler sees, say, that a stride `dim_seq * 384` is a multiple of 384.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ait.dialects.symbolic import (
    Atom,
    Dim,
    Expr,
    Monomial,
    Symbol,
    lower_bound,
    to_text,
    upper_bound,
)

_WORDS = {"+": " plus ", "-": " minus ", "floordiv": " div "}
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_]+")


@dataclass(frozen=True)
class Extent:
    """A run-time number that generated code takes: its C++ name, its value and its bounds."""

    name: str
    dim: Dim

    @property
    def lower(self) -> int:
        return lower_bound(self.dim)

    @property
    def upper(self) -> int:
        return upper_bound(self.dim)


class DimPrinter:
    """Prints dims over extents, and collects those extents in order of first use."""

    def __init__(self) -> None:
        self._extents: dict[Monomial, Extent] = {}
        self._names: set[str] = set()

    @property
    def extents(self) -> tuple[Extent, ...]:
        return tuple(self._extents.values())

    def expression(self, dim: Dim) -> str:
        """The C++ of `dim`: `dim_batch_seq * 384 + 128`."""
        if isinstance(dim, int):
            return str(dim)
        return sum_of(
            (coefficient, self._name(monomial) if monomial else "")
            for monomial, coefficient in _terms(dim)
        )

    def factor(self, dim: Dim) -> str:
        """The same, to be multiplied: in parentheses where it is no single literal or name."""
        return in_parentheses(self.expression(dim))

    def names(self, dim: Dim) -> tuple[str, ...]:
        """The extents that `dim` needs, which are among the collected ones from then on."""
        if isinstance(dim, int):
            return ()
        return tuple(self._name(monomial) for monomial, _ in _terms(dim) if monomial)

    def _name(self, monomial: Monomial) -> str:
        found = self._extents.get(monomial)
        if found is None:
            found = Extent(self._fresh_name(monomial), Expr(((monomial, 1),)))
            self._extents[monomial] = found
        return found.name

    def _fresh_name(self, monomial: Monomial) -> str:
        """A prefix keeps a user's dim from being a keyword or a template's variable."""
        text = to_text(Expr(((monomial, 1),)))
        for word, spelled in _WORDS.items():
            text = text.replace(word, spelled)
        base = name = "dim_" + _NOT_IN_NAMES.sub("_", text).strip("_")
        count = 1
        while name in self._names:
            count += 1
            name = f"{base}_{count}"
        self._names.add(name)
        return name


def _terms(dim: Dim) -> list[tuple[Monomial, int]]:
    """Terms, highest degree first, as dims are written."""
    if isinstance(dim, int):
        return [((), dim)]
    return list(reversed(dim.terms))


def sum_of(terms: Iterable[tuple[int, str]]) -> str:
    """`a * 2 - b + 3` from [(2, "a"), (-1, "b"), (3, "")]; an empty name is the factor 1."""
    text = ""
    for coefficient, name in terms:
        if coefficient == 0:
            continue
        sign = ("-" if coefficient < 0 else "") if not text else (" - ", " + ")[coefficient > 0]
        magnitude = abs(coefficient)
        if not name:
            text += f"{sign}{magnitude}"
        else:
            text += f"{sign}{name}" + (f" * {magnitude}" if magnitude != 1 else "")
    return text or "0"


def in_parentheses(text: str) -> str:
    """`text` as an operand of a product."""
    return text if re.fullmatch(r"\w+", text) else f"({text})"


_FUNCTIONS: Mapping[str, str] = {
    "floordiv": "floor_divide({0}, {1})",
    "mod": "remainder({0}, {1})",
    "max": "maximum({0}, {1})",
    "min": "minimum({0}, {1})",
}


def dim_over_symbols(dim: Dim, name_of: Callable[[str], str]) -> str:
    """The C++ of `dim` over its symbols, all of them int64_t variables: `batch * seq * 384`.

    `floor_divide`, `remainder`, `maximum` and `minimum` are functions of int64_t where it is used.
    """
    return sum_of(
        (coefficient, " * ".join(_atom(atom, name_of) for atom in monomial))
        for monomial, coefficient in _terms(dim)
    )


def _atom(atom: Atom, name_of: Callable[[str], str]) -> str:
    if isinstance(atom, Symbol):
        return name_of(atom.name)
    left, right = (dim_over_symbols(side, name_of) for side in (atom.left, atom.right))
    return _FUNCTIONS[atom.kind].format(left, right)
