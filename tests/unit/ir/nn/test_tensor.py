"""Methods and operators of traced tensors against NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ait
from ait import nn
from ait.dialects.symbolic import Expr
from ait.errors import AitError, ShapeError, TraceError
from ait.ir.dtypes import Array
from tests.unit.ir.nn.harness import close, normal, result, results, same

X = normal(2, 3, 4)
POSITIVE = np.abs(X) + 0.5
INTEGERS = np.array([[3, -4, 7], [0, 5, -1]], np.int64)

UNARY: list[tuple[Callable[[Any], Any], Callable[[Array], Any]]] = [
    (lambda x: -x, lambda x: -x),
    (lambda x: +x, lambda x: x),
    (lambda x: x.exp(), np.exp),
    (lambda x: x.log(), np.log),
    (lambda x: x.sqrt(), np.sqrt),
    (lambda x: x.rsqrt(), lambda x: 1 / np.sqrt(x)),
    (lambda x: x.reciprocal(), lambda x: 1 / x),
    (lambda x: x.floor(), np.floor),
    (lambda x: x.ceil(), np.ceil),
    (lambda x: x.sin(), np.sin),
    (lambda x: x.cos(), np.cos),
    (lambda x: x.square(), np.square),
    (lambda x: x**2, lambda x: x**2),
    (lambda x: x**0.5, np.sqrt),
    (lambda x: x**-1, lambda x: 1 / x),
    (lambda x: x**1.7, lambda x: x**1.7),
    (lambda x: 2**x, lambda x: 2**x),
    (lambda x: 1 + x - 2, lambda x: x - 1),
    (lambda x: 1 - x, lambda x: 1 - x),
    (lambda x: 3 / x / 2, lambda x: 1.5 / x),
    (lambda x: x // 0.3, lambda x: np.floor(x / 0.3)),
    (lambda x: x % 0.3, lambda x: np.remainder(x, np.float32(0.3))),
    (lambda x: abs(x - 1), lambda x: np.abs(x - 1)),
    (lambda x: x.clamp(0.7, 1), lambda x: np.clip(x, 0.7, 1)),
    (lambda x: x.clamp(min=1), lambda x: np.maximum(x, 1)),
    (lambda x: x.maximum(1).minimum(1.2), lambda x: np.clip(x, 1, 1.2)),
    (lambda x: x.softmax(-1), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    (lambda x: x.sum(), np.sum),
    (lambda x: x.sum(1), lambda x: x.sum(1)),
    (lambda x: x.mean((0, -1), keepdim=True), lambda x: x.mean((0, 2), keepdims=True)),
    (lambda x: x.max(-1), lambda x: x.max(-1)),
    (lambda x: x.min(dim=0), lambda x: x.min(0)),
    (lambda x: x.prod(1), lambda x: x.prod(1)),
    (lambda x: x.var(1), lambda x: x.var(1, ddof=1)),
    (lambda x: x.var((0, 2), correction=0), lambda x: x.var((0, 2))),
    (lambda x: x.std(-1, keepdim=True), lambda x: x.std(-1, ddof=1, keepdims=True)),
    (lambda x: x.norm(1), lambda x: np.linalg.norm(x, axis=1)),
    (lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1)),
    (lambda x: x.view((6, 4)), lambda x: x.reshape(6, 4)),
    (lambda x: x.flatten(1), lambda x: x.reshape(2, 12)),
    (lambda x: x.flatten(), lambda x: x.reshape(-1)),
    (lambda x: x.unflatten(2, [2, -1]), lambda x: x.reshape(2, 3, 2, 2)),
    (lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
    (lambda x: x.permute((0, -1, 1)), lambda x: x.transpose(0, 2, 1)),
    (lambda x: x.transpose(0, -1), lambda x: x.swapaxes(0, 2)),
    (lambda x: x.movedim(0, 2), lambda x: np.moveaxis(x, 0, 2)),
    (lambda x: x.T, lambda x: x.T),
    (lambda x: x.mT, lambda x: x.swapaxes(1, 2)),
    (lambda x: x.unsqueeze(-1), lambda x: x[..., None]),
    (lambda x: x.unsqueeze(0).squeeze(), lambda x: x),
    (lambda x: x[:, :1].squeeze(1), lambda x: x[:, 0]),
    (lambda x: x[:, :1].expand(5, -1, 6, -1), lambda x: np.broadcast_to(x[:, :1], (5, 2, 6, 4))),
    (lambda x: x.repeat(2, 1, 1, 3), lambda x: np.tile(x, (2, 1, 1, 3))),
    (lambda x: x.repeat_interleave(3, 1), lambda x: np.repeat(x, 3, 1)),
    (lambda x: x.flip(0, 2), lambda x: np.flip(x, (0, 2))),
    (lambda x: x.roll((1, -1), (2, 1)), lambda x: np.roll(x, (1, -1), (2, 1))),
    (lambda x: x.narrow(1, 1, 2), lambda x: x[:, 1:3]),
    (lambda x: x.index_select(2, np.array([3, 0])), lambda x: x[:, :, [3, 0]]),
    (lambda x: nn.stack(x.unbind(2), -1), lambda x: x),
    (lambda x: nn.cat(x.chunk(3, 1)[::-1], 1), lambda x: x[:, ::-1]),
    (lambda x: nn.cat(x.split(3, -1)[::-1], -1), lambda x: x[..., [3, 0, 1, 2]]),
    (lambda x: x.split([1, 3], 2)[1], lambda x: x[..., 1:]),
    (lambda x: sum(list(x)), lambda x: x[0] + x[1]),
    (lambda x: x.masked_fill(x > 1, -1), lambda x: np.where(x > 1, -1, x)),
    (lambda x: nn.where(x > 1, 1, x), lambda x: np.where(x > 1, 1, x)),
    (lambda x: x @ x.mT, lambda x: x @ x.swapaxes(1, 2)),
    (lambda x: x[0] @ x[1, 0], lambda x: x[0] @ x[1, 0]),
    (lambda x: x[0, 0] @ x.mT, lambda x: x[0, 0] @ x.swapaxes(1, 2)),
    (lambda x: x[0, 0] @ x[1, 0], lambda x: x[0, 0] @ x[1, 0]),
    (lambda x: np.ones((5, 3), np.float32) @ x, lambda x: np.ones((5, 3)) @ x),
    (lambda x: nn.outer(x[0, 0], x[1, 1]), lambda x: np.outer(x[0, 0], x[1, 1])),
    (lambda x: nn.tril(x, 1), lambda x: np.tril(x, 1)),
    (lambda x: nn.triu(x, -1), lambda x: np.triu(x, -1)),
    (lambda x: x + np.arange(4), lambda x: x + np.arange(4)),
    (lambda x: np.arange(4.0) * x, lambda x: x * np.arange(4)),
    (lambda x: x + nn.linspace(0, 1, 4), lambda x: x + np.linspace(0, 1, 4)),
    (lambda x: nn.full_like(x, 2) + nn.zeros(4) + nn.ones((3, 1)), lambda x: np.full_like(x, 3)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(UNARY)))
def test_method(case: int) -> None:
    method, expected = UNARY[case]
    close(result(method, POSITIVE), expected(POSITIVE))


INTEGER: list[tuple[Callable[[Any], Any], Callable[[Array], Any]]] = [
    (lambda x: x // 3, lambda x: x // 3),
    (lambda x: x % 3, lambda x: x % 3),
    (lambda x: x**2 + abs(x), lambda x: x**2 + abs(x)),
    (lambda x: x.sum(0), lambda x: x.sum(0)),
    (lambda x: x.argmax(1), lambda x: x.argmax(1)),
    (lambda x: x.argmax(), lambda x: x.argmax()),
    (lambda x: x.float() / 2, lambda x: (x / 2).astype(np.float32)),
    (lambda x: x.bool(), lambda x: x != 0),
    (lambda x: (x > 2) | (x == 0), lambda x: (x > 2) | (x == 0)),
    (lambda x: (x >= 2) & ~(x != 3) ^ (x < 0), lambda x: (x >= 2) & ~(x != 3) ^ (x < 0)),
    (lambda x: (x <= 5).all(1), lambda x: (x <= 5).all(1)),
    (lambda x: (x > 5).any(0, keepdim=True), lambda x: (x > 5).any(0, keepdims=True)),
    (lambda x: (x > 0).sum(), lambda x: (x > 0).sum()),
    (lambda x: x.to("i32").sum(), lambda x: x.sum()),
    (lambda x: x + True, lambda x: x + 1),
    (lambda x: nn.arange(10, 2, -3), lambda x: np.arange(10, 2, -3)),
    (lambda x: nn.arange(0.0, 1.0, 0.25), lambda x: np.arange(0, 1, 0.25).astype(np.float32)),
    (lambda x: nn.iota((2, 3), axis=1, dtype="f32"), lambda x: np.float32([[0, 1, 2]] * 2)),
    (lambda x: nn.where(x > 0, 1.5, 0), lambda x: np.where(x > 0, 1.5, 0).astype(np.float32)),
    (lambda x: nn.zeros(2, dtype="i1"), lambda x: np.zeros(2, np.bool_)),
    (lambda x: nn.size_tensor(x.shape[1]), lambda x: np.int64(3)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(INTEGER)))
def test_method_of_integers(case: int) -> None:
    method, expected = INTEGER[case]
    actual, wanted = result(method, INTEGERS), np.asarray(expected(INTEGERS))
    same(actual, wanted)
    assert actual.dtype == wanted.dtype


# Promotion ------------------------------------------------------------------------------------


def test_constants_take_the_tensors_dtype() -> None:
    half = X.astype(np.float16)
    for function in (lambda x: x + 0.1, lambda x: 0.1 + x, lambda x: x + np.float64(0.1)):
        actual = result(function, half)
        assert actual.dtype == np.float16
        same(actual, half + np.float16(0.1))


@pytest.mark.parametrize(
    ("function", "array", "message"),
    [
        (
            lambda x: x + 0.5,
            INTEGERS,
            r'the constant 0.5 does not fit dtype i64: cast .*to\("f32"\)',
        ),
        (lambda x: x.clamp(0.5), INTEGERS, "0.5 does not fit dtype i64"),
        (lambda x: x + np.array([0.5]), INTEGERS, "an array does not fit dtype i64"),
        (lambda x: x / 2, INTEGERS, r"graph.div: lhs has elements i64, not a float type"),
        (lambda x: x + 300, INTEGERS.astype(np.int8), "300 does not fit dtype i8"),
        (lambda x: x * 1e9, X.astype(np.float16), "1000000000.0 does not fit dtype f16"),
        (lambda x: (x > 0) + 1, X, "1 does not fit dtype i1"),
        (lambda x: x + (x > 0), X, "rhs has elements i1, not a number type"),
        (lambda x: x + x[0].half(), X, "f32 but rhs f16: cast one of them"),
        (lambda x: x + 1j, X, "complex128"),
        (lambda x: x.reshape(5, -1), X, r"24 elements are no multiple of 5"),
        (lambda x: x.reshape(-1, -1), X, r"only one dim can be -1"),
        (lambda x: x.sum(3), X, r"there is no dim 3 in \[2, 3, 4\]"),
        (lambda x: x @ x, X, r"a \[2, 3, 4\] and b \[2, 3, 4\] contract 4 against 3"),
        (lambda x: x.expand(2, 3, 5), X, "do not broadcast: 4 against 5"),
        (lambda x: nn.cat([x, x[0]]), X, r"differ"),
    ],
)
def test_what_does_not_fit_is_said(function: Any, array: Array, message: str) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        result(function, array)
    assert "(test_tensor.py:" in str(caught.value)


def test_infinite_constants_survive() -> None:
    actual = result(lambda x: x.masked_fill(x > 0, float("-inf")), X)
    same(actual, np.where(X > 0, -np.inf, X))


# What no trace can do -------------------------------------------------------------------------


def branch(x: Any) -> Any:
    return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (branch, "nn.where"),
        (lambda x: int(x[0, 0, 0]), r"int\(\)"),
        (lambda x: float(x[0, 0, 0]), r"float\(\)"),
        (lambda x: x.sum().item(), r"item\(\)"),
        (lambda x: np.asarray(x), "NumPy"),
        (lambda x: list(range(x[0, 0, 0])), "Python integer"),
        (lambda x: x[x > 0], "masked_fill"),
        (lambda x: x in [1], "nn.where"),
    ],
)
def test_values_are_not_there_yet(function: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        result(function, X)


def test_tensors_belong_to_one_trace() -> None:
    kept: list[nn.Tensor] = []
    result(lambda x: kept.append(x) or x, X)
    with pytest.raises(TraceError, match="another trace"):
        result(lambda x: x + kept[0], X)
    with pytest.raises(TraceError, match=r"ait\.trace"):
        _ = kept[0] + 1


# Symbolic dims --------------------------------------------------------------------------------

BATCH, SEQ = ait.Dim("batch", 1, 8), ait.Dim("seq", 2, 16)
SPECS = {"x": ait.TensorSpec((BATCH, SEQ, 4))}


def check_symbolic(function: Callable[[Any], Any], expected: Callable[[Array], Any]) -> None:
    """One trace serves all shapes."""
    program = ait.trace(function, SPECS)
    program.verify()
    for shape in ((1, 2, 4), (3, 5, 4), (8, 16, 4)):
        x = normal(*shape)
        (actual,) = ait.evaluate(program, {"x": x}).values()
        close(actual, expected(x))


SYMBOLIC: list[tuple[Callable[[Any], Any], Callable[[Array], Any]]] = [
    (lambda x: x.reshape(-1, 4), lambda x: x.reshape(-1, 4)),
    (lambda x: x.flatten(1), lambda x: x.reshape(len(x), -1)),
    (lambda x: x.reshape(x.shape[0], -1, 2, 2), lambda x: x.reshape(len(x), -1, 2, 2)),
    (lambda x: x.reshape(x.shape[1] * 2, -1), lambda x: x.reshape(x.shape[1] * 2, -1)),
    (lambda x: x[:, -1], lambda x: x[:, -1]),
    (lambda x: x[:, 1:], lambda x: x[:, 1:]),
    (lambda x: x[:, :-1], lambda x: x[:, :-1]),
    (lambda x: x[:, ::-1], lambda x: x[:, ::-1]),
    (lambda x: x[:, ::2], lambda x: x[:, ::2]),
    (lambda x: x[:, -2::-1], lambda x: x[:, -2::-1]),
    (lambda x: x[:, x.shape[1] - 2 :], lambda x: x[:, -2:]),
    (lambda x: x[:, x.shape[1] - 1], lambda x: x[:, -1]),
    (lambda x: x[:, [0, 1]], lambda x: x[:, [0, 1]]),
    (lambda x: nn.cat([x, x], 1), lambda x: np.concatenate([x, x], 1)),
    (lambda x: x * nn.cat([x, x[:, :1]], 1).shape[1], lambda x: (x.shape[1] + 1) * x),
    (lambda x: nn.arange(x.shape[1]), lambda x: np.arange(x.shape[1])),
    (lambda x: nn.arange(1, x.shape[1] * 2, 2), lambda x: np.arange(1, x.shape[1] * 2, 2)),
    (lambda x: x.sum(1) / x.shape[1], lambda x: x.mean(1)),
    (lambda x: x.var(1), lambda x: x.var(1, ddof=1)),
    (lambda x: nn.zeros(x.shape[0], 2), lambda x: np.zeros((len(x), 2))),
    (lambda x: nn.cat([x, x], 1).chunk(2, 1)[1], lambda x: x),
    (lambda x: x.repeat_interleave(2, 1), lambda x: np.repeat(x, 2, 1)),
    (lambda x: x.roll(1, 1), lambda x: np.roll(x, 1, 1)),
    (lambda x: x * x.size(1), lambda x: x.shape[1] * x),
    (lambda x: nn.size_tensor(x.numel()), lambda x: np.int64(x.size)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(SYMBOLIC)))
def test_symbolic(case: int) -> None:
    check_symbolic(*SYMBOLIC[case])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, 2], r"index 2 is not certain to lie inside dim 1 of \[batch, seq, 4\]"),
        (lambda x: x[:, x.shape[1] - 5 :], "may be negative or not"),
        (lambda x: x.reshape(-1, 3), "no multiple of 3"),
        (lambda x: x.chunk(2, 1), "not a multiple of 2"),
        (lambda x: x + nn.zeros(SEQ + 1, 1), "do not broadcast"),
        (lambda x: list(x), "fixed dim"),
        (lambda x: x[:, [0, 2]], r"\[0, 2\)"),
    ],
)
def test_uncertain_shapes_are_refused(function: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ait.trace(function, SPECS)


def test_shapes_are_dims() -> None:
    shapes: list[Any] = []
    ait.trace(
        lambda x: (shapes.append((x.shape, x.numel(), x.ndim, len(x.permute(2, 0, 1)))), x)[1],
        SPECS,
    )
    shape, count, rank, length = shapes[0]
    assert shape == (BATCH, SEQ, 4)
    assert isinstance(shape[0], Expr)
    assert count == BATCH * SEQ * 4
    assert (rank, length) == (3, 4)


def test_split_shapes() -> None:
    parts = results(lambda x: x.split(2, -1), normal(3, 5))
    assert [part.shape for part in parts] == [(3, 2), (3, 2), (3, 1)]
    assert [p.shape for p in results(lambda x: x.chunk(4, 1), normal(3, 6))] == [(3, 2)] * 3


def test_no_error_shows_xdsl() -> None:
    with pytest.raises(AitError) as caught:
        result(lambda x: x @ x, X)
    assert caught.value.__suppress_context__
    assert "xdsl" not in str(caught.value).lower()
