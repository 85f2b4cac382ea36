"""Symbolic extents: named, bounded dims and the exact arithmetic on them.

A dim is an `int` where it is known, else an `Expr`: a polynomial with integer coefficients over
symbols and over the atoms `floordiv`, `mod`, `max`, `min`. Expressions are kept in one canonical
form, so two dims are equal exactly if they compare equal, and nothing ever has to be "simplified"
later. Constants are always plain ints.

The dialect `sym` has one attribute, `#sym.dims`, which is the encoding of a tensor (or the layout
of a dense memref) that has a dynamic dim:

    tensor<?x?x384xf32, #sym.dims<[batch, seq, 384], batch in [1, 64], seq in [1, 256]>>
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, reduce
from itertools import product
from math import gcd
from operator import mul
from typing import ClassVar, TypeAlias, cast

from xdsl.context import Context
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    MemRefLayoutAttr,
    MemRefType,
    NoneAttr,
    TensorType,
)
from xdsl.ir import Attribute, Data, Dialect, SSAValue
from xdsl.ir.affine import AffineMap
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ait.errors import ShapeError


class Symbol:
    """A named extent with inclusive bounds; symbols are equal if name and bounds are."""

    __slots__ = ("lower", "name", "order", "upper")

    def __init__(self, name: str, lower: int, upper: int):
        if not (name.isidentifier() and name.isascii()):
            raise ShapeError(f"dim name {name!r} must be an identifier")
        if not 0 <= lower <= upper:
            raise ShapeError(f"dim {name}: bounds [{lower}, {upper}] must satisfy 0 <= low <= high")
        self.name, self.lower, self.upper = name, lower, upper
        self.order = (0, name, lower, upper)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)

    def __repr__(self) -> str:
        return f"Symbol({self.name!r}, {self.lower}, {self.upper})"


class Operation:
    """A non-polynomial atom: `floordiv`, `mod`, `max` or `min` of two dims."""

    __slots__ = ("kind", "left", "order", "right")

    def __init__(self, kind: str, left: Dim, right: Dim):
        self.kind, self.left, self.right = kind, left, right
        self.order = (1, kind, _order_key(left), _order_key(right))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)


Atom: TypeAlias = Symbol | Operation
Monomial: TypeAlias = tuple[Atom, ...]
Interval: TypeAlias = tuple[int, int]


def _monomial_key(monomial: Monomial) -> tuple[int, tuple[object, ...]]:
    """Graded order: a product compares after its divisors, as polynomial division needs."""
    return (len(monomial), tuple(atom.order for atom in monomial))


class Expr:
    """An immutable, canonical, non-constant polynomial: sorted (monomial, coefficient) terms."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]):
        self.terms = terms
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self._hash == other._hash and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Dim) -> Dim:
        if not isinstance(other, int | Expr):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return _from_terms((*self.terms, *_terms(other)))

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        if not isinstance(other, int | Expr):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return self + other * -1

    def __rsub__(self, other: int) -> Dim:
        return self * -1 + other

    def __mul__(self, other: Dim) -> Dim:
        if not isinstance(other, int | Expr):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return _from_terms(
            (tuple(sorted(m1 + m2, key=lambda atom: atom.order)), c1 * c2)
            for (m1, c1), (m2, c2) in product(self.terms, _terms(other))
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        if not isinstance(other, int | Expr):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return floordiv(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        if not isinstance(other, int | Expr):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return mod(self, other)

    def __rmod__(self, other: int) -> Dim:
        return mod(other, self)

    def __str__(self) -> str:
        return to_text(self)

    __repr__ = __str__


Dim: TypeAlias = int | Expr


def _order_key(dim: Dim) -> tuple[object, ...]:
    return tuple((_monomial_key(monomial), c) for monomial, c in _terms(dim))


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(dim, Expr):
        return dim.terms
    return (((), dim),) if dim else ()


def _from_terms(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    kept = [(m, c) for m, c in total.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Expr(tuple(sorted(kept, key=lambda term: _monomial_key(term[0]))))


def _of_atom(atom: Atom) -> Expr:
    return Expr((((atom,), 1),))


def symbol(name: str, lower: int, upper: int) -> Expr:
    """The dim `name`, whose value lies in [lower, upper]."""
    return _of_atom(Symbol(name, lower, upper))


def exact_div(a: Dim, b: Dim) -> Dim | None:
    """The `q` with `a == q * b` for every value of the symbols, or None if there is none.

    Multivariate polynomial long division: the leading term strictly falls in each step.
    """
    if b == 0:
        return None
    if a == 0:
        return 0
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a % b == 0 else None
    lead, lead_coefficient = _terms(b)[-1]
    quotient: Dim = 0
    rest = a
    while rest != 0:
        monomial, coefficient = _terms(rest)[-1]
        left = _divide_monomial(monomial, lead)
        if left is None or coefficient % lead_coefficient:
            return None
        term = _from_terms([(left, coefficient // lead_coefficient)])
        quotient, rest = quotient + term, rest - term * b
    return quotient


def _divide_monomial(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    left = list(monomial)
    for atom in divisor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def floordiv(a: Dim, b: Dim) -> Dim:
    """`a // b`, rounded toward minus infinity."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    quotient = exact_div(a, b)
    if quotient is not None:
        return quotient
    whole, rest = _split_multiples(a, b)
    low, high = bounds(rest)
    if isinstance(b, int) and b > 0 and low >= 0 and high < b:
        return whole
    return whole + _of_atom(Operation("floordiv", rest, b))


def mod(a: Dim, b: Dim) -> Dim:
    """`a % b`, with the sign of `b`."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    if exact_div(a, b) is not None:
        return 0
    _, rest = _split_multiples(a, b)
    low, high = bounds(rest)
    if isinstance(b, int) and b > 0 and low >= 0 and high < b:
        return rest
    return _of_atom(Operation("mod", rest, b))


def _split_multiples(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """(q, r) with a == q * b + r, where q takes every term of `a` that `b` divides."""
    if not isinstance(b, int):
        return 0, a
    whole = _from_terms((m, c // b) for m, c in _terms(a))
    return whole, a - whole * b


def dim_max(a: Dim, b: Dim) -> Dim:
    return _extreme("max", a, b)


def dim_min(a: Dim, b: Dim) -> Dim:
    return _extreme("min", a, b)


def _extreme(kind: str, a: Dim, b: Dim) -> Dim:
    # In a fixed order: of two that are provably equal, such as 7 and a symbol in [7, 7], the result
    # must not depend on which comes first.
    left, right = sorted((a, b), key=_order_key)
    if provably_le(left, right):
        return right if kind == "max" else left
    if provably_le(right, left):
        return left if kind == "max" else right
    return _of_atom(Operation(kind, left, right))


_EVALUATE: dict[str, Callable[[int, int], int]] = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "max": max,
    "min": min,
}


def evaluate(dim: Dim, bindings: Mapping[str, int]) -> int:
    """The value of `dim` where symbol `s` is `bindings[s.name]`. Raises KeyError on a free one."""
    if isinstance(dim, int):
        return dim
    return sum(
        c * reduce(mul, (_evaluate_atom(atom, bindings) for atom in m), 1) for m, c in dim.terms
    )


def _evaluate_atom(atom: Atom, bindings: Mapping[str, int]) -> int:
    if isinstance(atom, Symbol):
        return bindings[atom.name]
    return _EVALUATE[atom.kind](evaluate(atom.left, bindings), evaluate(atom.right, bindings))


def substitute(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """`dim` with each symbol named in `values` replaced by its dim."""
    total: Dim = 0
    for monomial, coefficient in _terms(dim):
        term: Dim = coefficient
        for atom in monomial:
            term = term * _substitute_atom(atom, values)
        total = total + term
    return total


_REBUILD: dict[str, Callable[[Dim, Dim], Dim]] = {
    "floordiv": floordiv,
    "mod": mod,
    "max": dim_max,
    "min": dim_min,
}


def _substitute_atom(atom: Atom, values: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        return values.get(atom.name, _of_atom(atom))
    left, right = substitute(atom.left, values), substitute(atom.right, values)
    return _REBUILD[atom.kind](left, right)


def bounds(dim: Dim) -> Interval:
    """Inclusive bounds of `dim` by interval arithmetic: sound, not always tight."""
    if isinstance(dim, int):
        return dim, dim
    low = high = 0
    for monomial, coefficient in dim.terms:
        interval = (1, 1)
        for atom in monomial:
            interval = _product(interval, _atom_bounds(atom))
        a, b = _product(interval, (coefficient, coefficient))
        low, high = low + a, high + b
    return low, high


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x, y in product(a, b)]
    return min(corners), max(corners)


def _atom_bounds(atom: Atom) -> Interval:
    if isinstance(atom, Symbol):
        return atom.lower, atom.upper
    (a, b), (c, d) = bounds(atom.left), bounds(atom.right)
    if atom.kind == "mod":
        return (0, max(0, d - 1)) if c > 0 else (min(0, c + 1), max(0, d - 1))
    if atom.kind == "floordiv":
        if c <= 0 <= d:
            return -max(abs(a), abs(b)), max(abs(a), abs(b))
        corners = [x // y for x, y in product((a, b), (c, d))]
        return min(corners), max(corners)
    pick = max if atom.kind == "max" else min
    return pick(a, c), pick(b, d)


def known_divisor(dim: Dim) -> int:
    """The largest number that divides `dim` for all values of its symbols; 0 for the dim 0."""
    return reduce(gcd, (coefficient for _, coefficient in _terms(dim)), 0)


def rounded_up(dim: Dim, unit: int) -> Dim:
    """The least multiple of `unit` that is at least `dim`; `dim` itself if it surely is one."""
    if known_divisor(dim) % unit == 0:
        return dim
    return floordiv(dim + (unit - 1), unit) * unit


def lower_bound(dim: Dim) -> int:
    return bounds(dim)[0]


def upper_bound(dim: Dim) -> int:
    return bounds(dim)[1]


def provably_le(a: Dim, b: Dim) -> bool:
    """Whether `a <= b` is certain from the symbols' bounds."""
    if isinstance(a, int) and isinstance(b, int):
        return a <= b
    return _provably_not_negative(b - a)


def _provably_not_negative(dim: Dim) -> bool:
    """Whether `dim >= 0` is certain: by its bounds, or those of something that it is at least."""
    if lower_bound(_without_common_factors(dim)) >= 0:
        return True
    for monomial, coefficient in _terms(dim):
        atom = monomial[0] if len(monomial) == 1 else None
        if not isinstance(atom, Operation):
            continue
        # c * max(x, y) >= c * x, and -c * min(x, y) >= -c * x, for c > 0.
        if atom.kind == ("max" if coefficient > 0 else "min"):
            rest = dim - _of_atom(atom) * coefficient
            if any(_provably_not_negative(rest + x * coefficient) for x in (atom.left, atom.right)):
                return True
    return False


def _without_common_factors(dim: Dim) -> Dim:
    """`dim` over the non-negative symbols that divide all of it: same sign, tighter bounds."""
    for s in symbols_of(dim):
        quotient = exact_div(dim, _of_atom(s))
        while quotient is not None and dim != 0:
            dim, quotient = quotient, exact_div(quotient, _of_atom(s))
    return dim


def dim_product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a shape."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def dense_strides(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """Row-major strides, in elements, of a dense tensor of these dims."""
    strides: list[Dim] = []
    step: Dim = 1
    for dim in reversed(dims):
        strides.append(step)
        step = step * dim
    return tuple(reversed(strides))


def symbols_of(dims: Dim | Iterable[Dim]) -> tuple[Symbol, ...]:
    """The distinct symbols that occur, in order of first occurrence."""
    found: dict[Symbol, None] = {}
    pending: list[Dim] = [dims] if isinstance(dims, int | Expr) else list(dims)
    for dim in pending:
        if isinstance(dim, int):
            continue
        for monomial, _ in dim.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found[atom] = None
                else:
                    found.update((s, None) for s in symbols_of((atom.left, atom.right)))
    return tuple(found)


# Text -----------------------------------------------------------------------------------------


def to_text(dim: Dim) -> str:
    """The dim as it is written in IR: `seq * 12 + 3`, `(seq + 1) floordiv 2`, `max(a, b)`."""
    if isinstance(dim, int):
        return str(dim)
    text = ""
    for monomial, coefficient in reversed(dim.terms):
        sign = ("-" if coefficient < 0 else "") if not text else (" - ", " + ")[coefficient > 0]
        text += sign + _term_text(monomial, abs(coefficient))
    return text


def _term_text(monomial: Monomial, coefficient: int) -> str:
    factors = [_atom_text(atom) for atom in monomial]
    if coefficient != 1 or not factors:
        factors.append(str(coefficient))
    return " * ".join(factors)


def _atom_text(atom: Atom) -> str:
    if isinstance(atom, Symbol):
        return atom.name
    if atom.kind in ("max", "min"):
        return f"{atom.kind}({to_text(atom.left)}, {to_text(atom.right)})"
    return f"(({to_text(atom.left)}) {atom.kind} ({to_text(atom.right)}))"


def parse_dim(text: str, symbols: Iterable[Expr]) -> Dim:
    """The dim that `to_text` wrote, over these symbols (each as `symbol` makes it).

    Raises ParseError for other text.
    """
    parser = Parser(Context(), text)
    dims = DimParser(parser)
    dims.symbols = {to_text(found): found for found in symbols}
    return dims.dim()()


def print_dims(printer: Printer, dims: Iterable[Dim]) -> None:
    """Prints `[a, b, c]`."""
    printer.print_string("[" + ", ".join(map(to_text, dims)) + "]")


def print_symbol_bounds(printer: Printer, dims: Iterable[Dim]) -> None:
    """Prints `, batch in [1, 64]` for every symbol that occurs in `dims`."""
    for s in symbols_of(dims):
        printer.print_string(f", {s.name} in [{s.lower}, {s.upper}]")


class DimParser:
    """Parses dims whose symbols' bounds follow at the end: `[a * 2, 3], a in [1, 4]`.

    `dim` and `dims` return thunks; call them after `bounds` has read the declarations.
    """

    def __init__(self, parser: AttrParser):
        self.parser = parser
        self.symbols: dict[str, Expr] = {}

    def dims(self) -> Callable[[], tuple[Dim, ...]]:
        thunks = self.parser.parse_comma_separated_list(self.parser.Delimiter.SQUARE, self.dim)
        return lambda: tuple(thunk() for thunk in thunks)

    def dim(self) -> Callable[[], Dim]:
        negative = self.parser.parse_optional_punctuation("-") is not None
        total = self._term()
        if negative:
            total = _lift(lambda a, b: b - a, total, lambda: 0)
        while True:
            if self.parser.parse_optional_punctuation("+"):
                total = _lift(lambda a, b: a + b, total, self._term())
            elif self.parser.parse_optional_punctuation("-"):
                total = _lift(lambda a, b: a - b, total, self._term())
            else:
                return total

    def _term(self) -> Callable[[], Dim]:
        total = self._factor()
        while True:
            if self.parser.parse_optional_punctuation("*"):
                total = _lift(lambda a, b: a * b, total, self._factor())
            elif self.parser.parse_optional_keyword("floordiv"):
                total = _lift(floordiv, total, self._divisor())
            elif self.parser.parse_optional_keyword("mod"):
                total = _lift(mod, total, self._divisor())
            else:
                return total

    def _divisor(self) -> Callable[[], Dim]:
        position = self.parser.pos
        divisor = self._factor()

        def checked() -> Dim:
            value = divisor()
            if value == 0:
                self.parser.raise_error("the divisor is 0", position)
            return value

        return checked

    def _factor(self) -> Callable[[], Dim]:
        parser = self.parser
        if parser.parse_optional_punctuation("("):
            inner = self.dim()
            parser.parse_punctuation(")")
            return inner
        value = parser.parse_optional_integer(allow_boolean=False)
        if value is not None:
            return lambda: value
        position = parser.pos
        name = parser.parse_identifier(": a dim")
        if name in ("max", "min") and parser.parse_optional_punctuation("("):
            left = self.dim()
            parser.parse_punctuation(",")
            right = self.dim()
            parser.parse_punctuation(")")
            return _lift(_REBUILD[name], left, right)
        return lambda: self._lookup(name, position)

    def _lookup(self, name: str, position: int) -> Dim:
        if name not in self.symbols:
            message = f"dim '{name}' has no bounds: add ', {name} in [low, high]'"
            self.parser.raise_error(message, position, position + len(name))
        return self.symbols[name]

    def bounds(self) -> None:
        """Parses the trailing `, name in [low, high]` declarations."""
        while self.parser.parse_optional_punctuation(","):
            name = self.parser.parse_identifier(": a dim's name")
            self.parser.parse_keyword("in")
            position = self.parser.pos
            given = self.parser.parse_comma_separated_list(
                self.parser.Delimiter.SQUARE, self.parser.parse_integer
            )
            if len(given) != 2 or not 0 <= given[0] <= given[1]:
                wanted = "[low, high] with 0 <= low <= high"
                self.parser.raise_error(f"dim '{name}': bounds are {wanted}", position)
            found = symbol(name, *given)
            if self.symbols.setdefault(name, found) != found:
                self.parser.raise_error(f"dim '{name}' is given two different bounds", position)


def _lift(
    f: Callable[[Dim, Dim], Dim], a: Callable[[], Dim], b: Callable[[], Dim]
) -> Callable[[], Dim]:
    return lambda: f(a(), b())


# Attribute and types --------------------------------------------------------------------------


@irdl_attr_definition
class DimsAttr(MemRefLayoutAttr, Data[tuple[Dim, ...]]):
    """The dims of a shaped type that has a dynamic one; its storage is dense and row-major."""

    name = "sym.dims"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Dim, ...]:
        with parser.in_angle_brackets():
            dims_parser = DimParser(parser)
            dims = dims_parser.dims()
            dims_parser.bounds()
            return dims()

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            print_dims(printer, self.data)
            print_symbol_bounds(printer, self.data)

    def verify(self) -> None:
        by_name: dict[str, Symbol] = {}
        for s in symbols_of(self.data):
            if by_name.setdefault(s.name, s) != s:
                raise VerifyException(f"dim '{s.name}' is given two different bounds")
        for dim in self.data:
            if lower_bound(dim) < 0 and upper_bound(dim) < 0:
                raise VerifyException(f"dim {to_text(dim)} is negative")

    def get_affine_map(self) -> AffineMap:
        raise NotImplementedError("a symbolic layout has no affine map")

    def get_strides(self) -> Sequence[int | None]:
        return [s if isinstance(s, int) else None for s in dense_strides(self.data)]


ShapedType: TypeAlias = TensorType[Attribute] | MemRefType[Attribute]

_NONE = NoneAttr()
_MOST_TYPES = 4096
"""That are remembered: xDSL verifies each that is made, and a model has few."""


def _extent(dim: Dim) -> int:
    return dim if isinstance(dim, int) else DYNAMIC_INDEX


def tensor_type(element: Attribute, dims: Sequence[Dim]) -> TensorType[Attribute]:
    """The tensor type of these dims; only a dynamic one gets an encoding."""
    return _tensor_type(element, tuple(dims))


@lru_cache(maxsize=_MOST_TYPES)
def _tensor_type(element: Attribute, dims: tuple[Dim, ...]) -> TensorType[Attribute]:
    shape = [_extent(dim) for dim in dims]
    return TensorType(element, shape, DimsAttr(dims) if DYNAMIC_INDEX in shape else _NONE)


def memref_type(element: Attribute, dims: Sequence[Dim]) -> MemRefType[Attribute]:
    """The type of a dense row-major buffer of these dims."""
    return _memref_type(element, tuple(dims))


@lru_cache(maxsize=_MOST_TYPES)
def _memref_type(element: Attribute, dims: tuple[Dim, ...]) -> MemRefType[Attribute]:
    shape = [_extent(dim) for dim in dims]
    return MemRefType(element, shape, DimsAttr(dims) if DYNAMIC_INDEX in shape else _NONE)


def dims_of(value: Attribute | SSAValue) -> tuple[Dim, ...]:
    """The dims of a shaped type, or of a value of one. Raises ShapeError on unnamed dims."""
    shaped = value.type if isinstance(value, SSAValue) else value
    if isinstance(shaped, TensorType):
        shaped = cast(TensorType[Attribute], shaped)
        names = shaped.encoding
    elif isinstance(shaped, MemRefType):
        shaped = cast(MemRefType[Attribute], shaped)
        names = shaped.layout
    else:
        raise ShapeError(f"{shaped} has no dims")
    shape = shaped.get_shape()
    if isinstance(names, DimsAttr):
        if tuple(map(_extent, names.data)) != shape:
            raise ShapeError(f"{shaped}: the dims do not fit the shape")
        return names.data
    if DYNAMIC_INDEX in shape:
        raise ShapeError(f"{shaped} has a dynamic dim without a name: give it #sym.dims")
    return shape


def element_of(value: Attribute | SSAValue) -> Attribute:
    """The element type of a shaped type, or of a value of one."""
    shaped = value.type if isinstance(value, SSAValue) else value
    if isinstance(shaped, TensorType | MemRefType):
        return cast(ShapedType, shaped).element_type
    raise ShapeError(f"{shaped} has no element type")


class _Sym(Dialect):
    """Shared attributes of every level."""

    summary: ClassVar[str] = "Named, bounded extents"


Sym = _Sym("sym", [], [DimsAttr])
