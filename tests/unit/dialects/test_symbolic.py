"""Dims compute what integers compute, whatever the values of their symbols."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import f32

from ait.dialects.symbolic import (
    Dim,
    bounds,
    dim_max,
    dim_min,
    dims_of,
    evaluate,
    exact_div,
    floordiv,
    mod,
    provably_le,
    substitute,
    symbol,
    tensor_type,
)
from ait.errors import ShapeError
from ait.ir.context import make_context
from ait.ir.parsing import IrParser

SYMBOLS = {"a": (0, 5), "b": (1, 7), "n": (3, 3)}

BINARY: list[tuple[Callable[[Dim, Dim], Dim], Callable[[int, int], int]]] = [
    (operator.add, operator.add),
    (operator.sub, operator.sub),
    (operator.mul, operator.mul),
    (dim_max, max),
    (dim_min, min),
    (lambda x, y: floordiv(x, y), operator.floordiv),
    (lambda x, y: mod(x, y), operator.mod),
]


def leaves() -> st.SearchStrategy[Dim]:
    symbols = [symbol(name, *limits) for name, limits in SYMBOLS.items()]
    return st.one_of(st.integers(-4, 9), st.sampled_from(symbols))


@st.composite
def pairs(draw: st.DrawFn, depth: int = 3) -> tuple[Dim, Callable[[dict[str, int]], int]]:
    """A dim, and a function that computes its value with integers only."""
    if depth == 0 or draw(st.booleans()):
        leaf = draw(leaves())
        return leaf, lambda values: evaluate(leaf, values)
    x, x_value = draw(pairs(depth - 1))
    build, compute = draw(st.sampled_from(BINARY))
    if compute in (operator.floordiv, operator.mod):
        divisor = draw(st.sampled_from([1, 2, 3, 4, symbol("b", *SYMBOLS["b"])]))
        return build(x, divisor), lambda v: compute(x_value(v), evaluate(divisor, v))
    y, y_value = draw(pairs(depth - 1))
    return build(x, y), lambda v: compute(x_value(v), y_value(v))


bindings = st.fixed_dictionaries({k: st.integers(*limits) for k, limits in SYMBOLS.items()})


@given(pairs(), bindings)
def test_arithmetic_is_that_of_integers(pair: tuple[Dim, Callable], values: dict[str, int]) -> None:
    dim, compute = pair
    value = compute(values)
    assert evaluate(dim, values) == value
    low, high = bounds(dim)
    assert low <= value <= high


@given(pairs(), pairs(), bindings)
def test_what_is_proved_holds(x: tuple, y: tuple, values: dict[str, int]) -> None:
    a, b = x[0], y[0]
    if provably_le(a, b):
        assert evaluate(a, values) <= evaluate(b, values)
    if a == b:
        assert evaluate(a, values) == evaluate(b, values)
    quotient = exact_div(a, b)
    if quotient is not None:
        assert quotient * b == a
        assert evaluate(a, values) == evaluate(quotient, values) * evaluate(b, values)


@given(pairs(), pairs(), bindings)
def test_substitution(x: tuple, y: tuple, values: dict[str, int]) -> None:
    inner = evaluate(y[0], values)
    replaced = substitute(x[0], {"a": y[0]})
    assert evaluate(replaced, values) == evaluate(x[0], {**values, "a": inner})


@given(pairs())
def test_text_reads_back(pair: tuple) -> None:
    dim = pair[0]
    if isinstance(dim, int) or bounds(dim)[1] < 0:
        return
    written = tensor_type(f32, (dim, 4))
    assert IrParser(make_context(), str(written)).parse_type() == written
    assert dims_of(written) == (dim, 4)


def test_short_slices_fit() -> None:
    seq = symbol("seq", 1, 256)
    assert provably_le(dim_min(seq, 10), seq)
    assert provably_le(seq, dim_max(seq, 10) + 1)
    assert not provably_le(dim_max(seq, 10), seq)


def test_no_arithmetic_with_what_is_no_dim() -> None:
    with pytest.raises(TypeError):
        symbol("n", 0, 4) * "x"  # pyright: ignore


@pytest.mark.parametrize(("name", "low", "high"), [("1n", 0, 1), ("n", 2, 1), ("n", -1, 1)])
def test_bad_symbols_are_refused(name: str, low: int, high: int) -> None:
    with pytest.raises(ShapeError, match=name):
        symbol(name, low, high)
