"""Tensor functions, as in `torch`: creation, joining, elementwise, reductions."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, cast

import ml_dtypes
import numpy as np

from ait.dialects import graph
from ait.dialects.symbolic import Dim, Expr, floordiv, lower_bound, to_text
from ait.errors import ShapeError
from ait.ir.dtypes import DTYPES, Array, DType, dtype_of
from ait.ir.nn.recorder import current_recorder
from ait.ir.nn.tensor import (
    Axes,
    Operand,
    Scalar,
    Sizes,
    Tensor,
    apply,
    binary,
    concatenate,
    dim_value,
    promote,
)
from ait.ir.nn.tensor import flat_arguments as _flat
from ait.ir.nn.tensor import matmul as matmul

__all__ = [
    "abs",
    "add",
    "amax",
    "amin",
    "arange",
    "argmax",
    "bmm",
    "broadcast_to",
    "cat",
    "ceil",
    "chunk",
    "clamp",
    "concat",
    "cos",
    "div",
    "eq",
    "erf",
    "exp",
    "finfo",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "ge",
    "gt",
    "index_select",
    "iota",
    "le",
    "linspace",
    "log",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "masked_fill",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "mul",
    "ne",
    "neg",
    "numpy_dtype",
    "ones",
    "ones_like",
    "outer",
    "permute",
    "pow",
    "prod",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "roll",
    "rsqrt",
    "sigmoid",
    "sin",
    "size_tensor",
    "softmax",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unsqueeze",
    "where",
    "zeros",
    "zeros_like",
]

# Creation -------------------------------------------------------------------------------------


def tensor(data: object, dtype: object = None) -> Tensor:
    """A constant, of the data's dtype unless one is given; Python floats and f64 are f32."""
    array = np.asarray(data)
    if dtype is None:
        dtype = "f32" if array.dtype == np.float64 else array.dtype
    return promote(array, dtype_of(dtype))


def size_tensor(dim: Dim) -> Tensor:
    """A dim as an i64 scalar."""
    return dim_value(dim)


def full(size: Sizes, fill_value: Scalar, dtype: object = None) -> Tensor:
    """A tensor of one value; its dtype follows from the value: i1, i64 or f32."""
    target = _dtype_for(fill_value, dtype)
    value = bool(fill_value) if target.name == "i1" and fill_value in (0, 1) else fill_value
    return promote(value, target).expand(_flat([size]))


def zeros(*size: Sizes, dtype: object = "f32") -> Tensor:
    return full(_flat(size), 0, dtype)


def ones(*size: Sizes, dtype: object = "f32") -> Tensor:
    return full(_flat(size), 1, dtype)


def full_like(x: Tensor, fill_value: Scalar, dtype: object = None) -> Tensor:
    return full(x.shape, fill_value, x.dtype if dtype is None else dtype)


def zeros_like(x: Tensor, dtype: object = None) -> Tensor:
    return full_like(x, 0, dtype)


def ones_like(x: Tensor, dtype: object = None) -> Tensor:
    return full_like(x, 1, dtype)


def _dtype_for(value: Scalar, dtype: object) -> DType:
    if dtype is not None:
        return dtype_of(dtype)
    if isinstance(value, bool):
        return DTYPES["i1"]
    return DTYPES["i64" if isinstance(value, int) else "f32"]


def iota(dims: Sequence[Dim], axis: int = 0, dtype: object = "i64") -> Tensor:
    """The tensor whose elements are their index along `axis`."""
    return apply(lambda: graph.IotaOp(dims, axis=axis, element=dtype_of("i64").element)).to(dtype)


def arange(
    start: Dim | float, end: Dim | float | None = None, step: int | float = 1, dtype: object = None
) -> Tensor:
    """`start`, `start + step`, ... below `end`, or 0, 1, ... below a single argument.

    Bounds may be symbolic with an integer step.
    """
    if end is None:
        start, end = 0, start
    if isinstance(start, float) or isinstance(end, float) or isinstance(step, float):
        if isinstance(start, Expr) or isinstance(end, Expr):
            raise ShapeError(current_recorder().located("arange: symbolic bounds with floats"))
        return tensor(np.arange(start, end, step), "f32" if dtype is None else dtype)
    if step == 0:
        raise ShapeError(current_recorder().located("arange: the step must not be 0"))
    length = end - start if step > 0 else start - end
    stride = builtins.abs(step)
    count = floordiv(length + (stride - 1), stride)
    if isinstance(count, int):
        count = max(count, 0)
    elif lower_bound(count) < 0:
        message = f"arange: {to_text(count)} elements may be a negative number"
        raise ShapeError(current_recorder().located(message))
    values = iota([count])
    if step != 1:
        values = values * step
    if start != 0:
        values = values + start
    return values.to("i64" if dtype is None else dtype)


def linspace(start: float, end: float, steps: int, dtype: object = "f32") -> Tensor:
    """`steps` evenly spaced numbers from `start` to `end`, inclusive."""
    return tensor(np.linspace(start, end, steps), dtype)


def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangles of matrices: 0 (false) above the diagonal."""
    return _triangle(x, diagonal, lower=True)


def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangles of matrices: 0 (false) below the diagonal."""
    return _triangle(x, diagonal, lower=False)


def _triangle(x: Tensor, diagonal: int, *, lower: bool) -> Tensor:
    rows = iota((x.shape[-2], 1)) + diagonal if diagonal else iota((x.shape[-2], 1))
    columns = iota((1, x.shape[-1]), axis=1)
    keep = columns <= rows if lower else columns >= rows
    return apply(graph.SelectOp, keep, x, full((), 0, x.dtype))


# Types ----------------------------------------------------------------------------------------


def finfo(dtype: object) -> ml_dtypes.finfo:
    """The limits of a float dtype: `min`, `max`, `eps`, `tiny`."""
    return cast(Any, ml_dtypes.finfo)(dtype_of(dtype).numpy)


def numpy_dtype(dtype: object) -> np.dtype[Any]:
    """The NumPy type of a dtype: `np.float16` of "f16"."""
    return dtype_of(dtype).numpy


# Joining and moving ---------------------------------------------------------------------------


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along `dim`."""
    return concatenate(tensors, dim)


concat = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, which have one shape, along a new dim."""
    return concatenate([x.unsqueeze(dim) for x in tensors], dim)


def split(x: Tensor, split_size: Dim | Sequence[Dim], dim: int = 0) -> tuple[Tensor, ...]:
    return x.split(split_size, dim)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    return x.chunk(chunks, dim)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    return x.unbind(dim)


def reshape(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    return x.reshape(shape)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    return x.flatten(start_dim, end_dim)


def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    return x.permute(dims)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    return x.transpose(dim0, dim1)


def squeeze(x: Tensor, dim: Axes = None) -> Tensor:
    return x.squeeze(dim)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    return x.unsqueeze(dim)


def flip(x: Tensor, dims: Sequence[int]) -> Tensor:
    return x.flip(dims)


def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int]) -> Tensor:
    return x.roll(shifts, dims)


def index_select(x: Tensor, dim: int, index: Tensor | Array) -> Tensor:
    return x.index_select(dim, index)


def broadcast_to(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    return x.expand(shape)


# Elementwise ----------------------------------------------------------------------------------


def exp(x: Tensor) -> Tensor:
    return x.exp()


def log(x: Tensor) -> Tensor:
    return x.log()


def sqrt(x: Tensor) -> Tensor:
    return x.sqrt()


def rsqrt(x: Tensor) -> Tensor:
    return x.rsqrt()


def reciprocal(x: Tensor) -> Tensor:
    return x.reciprocal()


def erf(x: Tensor) -> Tensor:
    return x.erf()


def tanh(x: Tensor) -> Tensor:
    return x.tanh()


def sigmoid(x: Tensor) -> Tensor:
    return x.sigmoid()


def relu(x: Tensor) -> Tensor:
    return x.relu()


def floor(x: Tensor) -> Tensor:
    return x.floor()


def ceil(x: Tensor) -> Tensor:
    return x.ceil()


def sin(x: Tensor) -> Tensor:
    return x.sin()


def cos(x: Tensor) -> Tensor:
    return x.cos()


def abs(x: Tensor) -> Tensor:
    return x.abs()


def neg(x: Tensor) -> Tensor:
    return -x


def square(x: Tensor) -> Tensor:
    return x.square()


def clamp(x: Tensor, min: Scalar | None = None, max: Scalar | None = None) -> Tensor:
    return x.clamp(min, max)


def pow(x: Tensor, exponent: Operand) -> Tensor:
    return x**exponent


def add(x: Tensor, other: Operand) -> Tensor:
    return x + other


def sub(x: Tensor, other: Operand) -> Tensor:
    return x - other


def mul(x: Tensor, other: Operand) -> Tensor:
    return x * other


def div(x: Tensor, other: Operand) -> Tensor:
    return x / other


def floor_divide(x: Tensor, other: Operand) -> Tensor:
    return x // other


def remainder(x: Tensor, other: Operand) -> Tensor:
    return x % other


def maximum(x: Tensor, other: Operand) -> Tensor:
    return x.maximum(other)


def minimum(x: Tensor, other: Operand) -> Tensor:
    return x.minimum(other)


def logical_and(x: Tensor, other: Operand) -> Tensor:
    return x & other


def logical_or(x: Tensor, other: Operand) -> Tensor:
    return x | other


def logical_xor(x: Tensor, other: Operand) -> Tensor:
    return x ^ other


def logical_not(x: Tensor) -> Tensor:
    return ~x


def eq(x: Tensor, other: Operand) -> Tensor:
    return x == other


def ne(x: Tensor, other: Operand) -> Tensor:
    return x != other


def lt(x: Tensor, other: Operand) -> Tensor:
    return x < other


def le(x: Tensor, other: Operand) -> Tensor:
    return x <= other


def gt(x: Tensor, other: Operand) -> Tensor:
    return x > other


def ge(x: Tensor, other: Operand) -> Tensor:
    return x >= other


def where(condition: Tensor, a: Operand, b: Operand) -> Tensor:
    """`a` where the i1 condition is true, else `b`; two scalars make f32, i64 or i1."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        known = a if isinstance(a, Tensor) else b
        assert isinstance(known, Tensor)
        dtype = dtype_of(known.dtype)
    else:
        both = np.result_type(np.asarray(a), np.asarray(b))
        dtype = dtype_of("f32" if both == np.float64 else both)
    return apply(graph.SelectOp, condition, promote(a, dtype), promote(b, dtype))


def masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    return x.masked_fill(mask, value)


# Products -------------------------------------------------------------------------------------


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """Batched product of matrices: [b, m, k] and [b, k, n]."""
    return matmul(a, b)


def outer(a: Tensor, b: Tensor) -> Tensor:
    """`y[i, j] = a[i] b[j]`."""
    return binary(graph.MulOp, a.unsqueeze(1), b)


# Reductions -----------------------------------------------------------------------------------


def sum(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return x.sum(dim, keepdim)


def mean(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return x.mean(dim, keepdim)


def amax(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return x.max(dim, keepdim)


def amin(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return x.min(dim, keepdim)


def prod(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    return x.prod(dim, keepdim)


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return x.argmax(dim, keepdim)


def softmax(x: Tensor, dim: int) -> Tensor:
    return x.softmax(dim)
