"""Arithmetic of dims against integers: whatever the symbols are, the value is what Python gives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from xdsl.dialects.builtin import f32
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from ait.dialects.symbolic import (
    Dim,
    DimsAttr,
    Expr,
    bounds,
    dense_strides,
    dim_max,
    dim_min,
    dim_product,
    dims_of,
    element_of,
    evaluate,
    exact_div,
    lower_bound,
    memref_type,
    provably_le,
    substitute,
    symbol,
    symbols_of,
    tensor_type,
    to_text,
    upper_bound,
)
from ait.errors import ShapeError
from ait.ir.context import make_context

SYMBOLS = {"a": (0, 3), "b": (1, 6), "c": (2, 40), "n": (7, 7)}
NAMED = {name: symbol(name, *limits) for name, limits in SYMBOLS.items()}
A, B, C = NAMED["a"], NAMED["b"], NAMED["c"]

Binary = Callable[[Dim, Dim], Dim]
ARITHMETIC: dict[Binary, Callable[[int, int], int]] = {
    operator.add: operator.add,
    operator.sub: operator.sub,
    operator.mul: operator.mul,
    dim_max: max,
    dim_min: min,
}
DIVISIONS: dict[Binary, Callable[[int, int], int]] = {
    operator.floordiv: operator.floordiv,
    operator.mod: operator.mod,
}


@dataclass(frozen=True)
class Built:
    """A dim, and the same arithmetic on plain integers."""

    dim: Dim
    plain: Callable[[dict[str, int]], int | None]
    """None where something is divided by zero."""

    def __repr__(self) -> str:
        return f"<{self.dim}>"


def _leaf_symbol(name: str) -> Built:
    return Built(NAMED[name], lambda values: values[name])


def _leaf_number(value: int) -> Built:
    return Built(value, lambda _: value)


LEAVES = st.one_of(
    st.sampled_from(sorted(SYMBOLS)).map(_leaf_symbol), st.integers(-6, 12).map(_leaf_number)
)


def _apply(symbolic: Binary, plain: Callable[[int, int], int], x: Built, y: Built) -> Built:
    def value(values: dict[str, int]) -> int | None:
        left, right = x.plain(values), y.plain(values)
        if left is None or right is None or (plain in DIVISIONS.values() and right == 0):
            return None
        return plain(left, right)

    return Built(symbolic(x.dim, y.dim), value)


@st.composite
def combined(draw: st.DrawFn, children: st.SearchStrategy[Built]) -> Built:
    x, y = draw(children), draw(children)
    symbolic, plain = draw(st.sampled_from([*ARITHMETIC.items(), *DIVISIONS.items()]))
    if plain in DIVISIONS.values() and y.dim == 0:
        y = _leaf_number(draw(st.sampled_from([-3, -1, 1, 2, 5])))
    return _apply(symbolic, plain, x, y)


DIMS = st.recursive(LEAVES, combined, max_leaves=8)
BINDINGS = st.fixed_dictionaries({n: st.integers(*limits) for n, limits in SYMBOLS.items()})


@given(DIMS, BINDINGS)
def test_arithmetic_is_that_of_integers(built: Built, values: dict[str, int]) -> None:
    expected = built.plain(values)
    assume(expected is not None)
    assert evaluate(built.dim, values) == expected


@given(DIMS, BINDINGS)
def test_bounds_hold(built: Built, values: dict[str, int]) -> None:
    expected = built.plain(values)
    assume(expected is not None)
    low, high = bounds(built.dim)
    assert low <= expected <= high
    assert (low, high) == (lower_bound(built.dim), upper_bound(built.dim))


@given(DIMS, DIMS, BINDINGS)
def test_what_is_provably_ordered_is_ordered(x: Built, y: Built, values: dict[str, int]) -> None:
    left, right = x.plain(values), y.plain(values)
    assume(left is not None and right is not None)
    assert left is not None and right is not None
    if provably_le(x.dim, y.dim):
        assert left <= right
    if x.dim == y.dim:
        assert left == right


@given(DIMS)
def test_every_dim_is_at_most_itself(x: Built) -> None:
    assert provably_le(x.dim, x.dim)
    assert provably_le(x.dim, x.dim + 1)
    assert not provably_le(x.dim + 1, x.dim)


@given(DIMS, DIMS)
def test_exact_division_undoes_multiplication(x: Built, y: Built) -> None:
    if y.dim != 0:
        assert exact_div(x.dim * y.dim, y.dim) == x.dim


@given(DIMS, DIMS)
def test_an_exact_quotient_is_exact(x: Built, y: Built) -> None:
    quotient = exact_div(x.dim, y.dim)
    assert quotient is None or quotient * y.dim == x.dim


@given(DIMS, DIMS, DIMS)
def test_laws(x: Built, y: Built, z: Built) -> None:
    a, b, c = x.dim, y.dim, z.dim
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a * b) * c == a * (b * c)
    assert a * (b + c) == a * b + a * c
    assert a - a == 0
    assert a - b == -(b - a)
    assert dim_max(a, b) == dim_max(b, a)
    assert dim_min(a, b) == dim_min(b, a)
    assert dim_max(a, a) == a == dim_min(a, a)
    assert hash(a + b) == hash(b + a)


def test_extremes_of_equal_dims_do_not_depend_on_their_order() -> None:
    """A symbol may have one value only."""
    seven = symbol("n", 7, 7)
    assert dim_max(seven, 7) == dim_max(7, seven)
    assert dim_min(seven, 7) == dim_min(7, seven)


@given(DIMS, st.integers(1, 9), DIMS)
def test_whole_multiples_leave_a_division(x: Built, divisor: int, y: Built) -> None:
    total = x.dim * divisor + y.dim
    assert total // divisor == x.dim + y.dim // divisor
    assert total % divisor == y.dim % divisor


@given(DIMS, st.dictionaries(st.sampled_from(sorted(SYMBOLS)), DIMS), BINDINGS)
def test_substitution_is_evaluation(
    built: Built, given_values: dict[str, Built], values: dict[str, int]
) -> None:
    inner: dict[str, int] = dict(values)
    for name, replacement in given_values.items():
        value = replacement.plain(values)
        low, high = SYMBOLS[name]
        # A symbol stands for values in its bounds only.
        assume(value is not None and low <= value <= high)
        assert value is not None
        inner[name] = value
    expected = built.plain(inner)
    assume(expected is not None)
    replaced = substitute(built.dim, {n: d.dim for n, d in given_values.items()})
    assert evaluate(replaced, values) == expected


@given(st.lists(DIMS.filter(lambda x: upper_bound(x.dim) >= 0), max_size=4))
def test_text_round_trip(built: list[Built]) -> None:
    attribute = DimsAttr(tuple(b.dim for b in built))
    again = Parser(make_context(), str(attribute)).parse_attribute()
    assert again == attribute
    assert str(again) == str(attribute)


@given(st.lists(DIMS, max_size=4), BINDINGS)
def test_products_and_strides(built: list[Built], values: dict[str, int]) -> None:
    sizes = [b.plain(values) for b in built]
    assume(all(size is not None for size in sizes))
    total = 1
    strides: list[int] = []
    for size in reversed(sizes):
        assert size is not None
        strides.insert(0, total)
        total *= size
    dims = [b.dim for b in built]
    assert evaluate(dim_product(dims), values) == total
    assert [evaluate(s, values) for s in dense_strides(dims)] == strides


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (A * 12 + 3, "a * 12 + 3"),
        (3 - A, "-a + 3"),
        (A * A * B - 2 * A * B + 1, "a * a * b - a * b * 2 + 1"),
        ((A + 1) // 2, "((a + 1) floordiv (2))"),
        ((C + 1) % B, "((c + 1) mod (b))"),
        (dim_max(A, B * 2) * 3, "max(a, b * 2) * 3"),
        (dim_min(C, 10), "min(10, c)"),
    ],
)
def test_text(dim: Dim, text: str) -> None:
    assert to_text(dim) == text


def test_what_the_bounds_decide_is_decided() -> None:
    assert dim_max(A, C + 2) == C + 2
    assert dim_min(A, 3) == A
    assert B // 7 == 0
    assert B % 7 == B
    assert (A * 4 + B // 7) // 4 == A
    assert NAMED["n"] - NAMED["n"] == 0


def test_order_is_proved_through_common_factors() -> None:
    assert provably_le(A * B, A * C * B)
    assert provably_le(A, A * B)
    assert provably_le(A * B * 3, A * B * 3 + A)
    assert not provably_le(C, B)


def test_symbols_are_listed_once_in_order() -> None:
    assert [s.name for s in symbols_of([B * A, (C + B) // 3])] == ["a", "b", "c"]
    assert symbols_of(4) == ()


@pytest.mark.parametrize("name", ["", "a b", "1x", "x-y", "größe"])
def test_names_must_be_readable_in_the_ir(name: str) -> None:
    with pytest.raises(ShapeError, match="must be an identifier"):
        symbol(name, 1, 2)


@pytest.mark.parametrize(
    "name", ["max", "min", "mod", "floordiv", "in", "true", "f32", "x4", "_", "e1", "dense", "nan"]
)
def test_any_identifier_is_a_name(name: str) -> None:
    s = symbol(name, 1, 64)
    attribute = DimsAttr((s, s * 2 + 1, (s + 1) // 2, dim_max(s * s, 17), 2 - s))
    assert Parser(make_context(), str(attribute)).parse_attribute() == attribute
    of_type = tensor_type(f32, (4, s))
    assert Parser(make_context(), str(of_type)).parse_attribute() == of_type


@pytest.mark.parametrize(("low", "high"), [(-1, 4), (5, 4)])
def test_bounds_must_be_a_range(low: int, high: int) -> None:
    with pytest.raises(ShapeError, match="0 <= low <= high"):
        symbol("s", low, high)


def test_a_free_symbol_is_not_evaluated() -> None:
    with pytest.raises(KeyError, match="c"):
        evaluate(A + C, {"a": 1})


def test_types() -> None:
    static = tensor_type(f32, (2, 3))
    assert str(static) == "tensor<2x3xf32>"
    assert dims_of(static) == (2, 3)
    dynamic = tensor_type(f32, (A, 4, A * B))
    assert str(dynamic) == ("tensor<?x4x?xf32, #sym.dims<[a, 4, a * b], a in [0, 3], b in [1, 6]>>")
    assert dims_of(dynamic) == (A, 4, A * B)
    assert dims_of(memref_type(f32, (A, 4))) == (A, 4)
    assert element_of(memref_type(f32, (A, 4))) == f32


def test_types_without_dims_are_refused() -> None:
    with pytest.raises(ShapeError, match="dynamic dim without a name"):
        dims_of(Parser(make_context(), "tensor<?xf32>").parse_type())
    with pytest.raises(ShapeError, match="has no dims"):
        dims_of(f32)
    with pytest.raises(ShapeError, match="has no element type"):
        element_of(f32)


@pytest.mark.parametrize(
    "text",
    [
        "tensor<?x?xf32, #sym.dims<[a], a in [1, 4]>>",
        "tensor<4x?xf32, #sym.dims<[5, a], a in [1, 4]>>",
        "tensor<?x4xf32, #sym.dims<[4, a], a in [1, 4]>>",
        "memref<?xf32, #sym.dims<[a, a], a in [1, 4]>>",
    ],
)
def test_dims_must_fit_the_shape(text: str) -> None:
    with pytest.raises(ShapeError, match="do not fit"):
        dims_of(Parser(make_context(), text).parse_type())


def test_one_name_has_one_range() -> None:
    other = symbol("a", 0, 4)
    assert other != A
    with pytest.raises(VerifyException, match="dim 'a' is given two different bounds"):
        DimsAttr((A, other))
    with pytest.raises(VerifyException, match="dim -b is negative"):
        DimsAttr((-B,))


def test_what_is_no_dim_is_left_to_the_other_operand() -> None:
    class Other:
        def __radd__(self, other: object) -> str:
            return "added"

        __rsub__ = __rmul__ = __rfloordiv__ = __rmod__ = __radd__

    other = Other()
    for symbolic in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod):
        assert symbolic(A, other) == "added"
        with pytest.raises(TypeError):
            symbolic(A, 1.5)


def test_expressions_are_printed() -> None:
    assert isinstance(A + 1, Expr)
    assert repr(A + 1) == str(A + 1) == "a + 1"
