"""The traced value: a tensor with PyTorch's operators and methods, which records graph ops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import NoReturn, TypeAlias, cast

import numpy as np
from typing_extensions import TypeVar
from xdsl.ir import Operation, SSAValue

from ait.dialects import graph
from ait.dialects.graph.base import AnyTensor, ElementKind, shape_text
from ait.dialects.symbolic import (
    Dim,
    Expr,
    dim_product,
    dims_of,
    element_of,
    exact_div,
    lower_bound,
    to_text,
)
from ait.errors import ShapeError, TraceError
from ait.ir.dtypes import DTYPES, Array, DType, dense_of, dtype_of
from ait.ir.nn.indexing import Part, select
from ait.ir.nn.recorder import Recorder, current_recorder

Scalar: TypeAlias = "bool | int | float"
Operand: TypeAlias = "Tensor | Scalar | Expr | Array | np.generic"
"""What operators take: all but tensors become constants of the tensor's dtype."""
Axes: TypeAlias = "int | Sequence[int] | None"
Key: TypeAlias = "Part | Tensor | Array | Sequence[int]"
"""One part of an index."""
Sizes: TypeAlias = "Dim | Sequence[Dim]"

INLINE_ELEMENTS = 1024
"""Larger constants become parameters, which lie beside the IR."""


class Castable(ABC):
    """The methods that PyTorch names after builtin types, apart from those that use the types."""

    @abstractmethod
    def to(self, dtype: object) -> Tensor:
        """The tensor cast to a dtype; itself if it has that already."""

    def float(self) -> Tensor:
        return self.to("f32")

    def half(self) -> Tensor:
        return self.to("f16")

    def bfloat16(self) -> Tensor:
        return self.to("bf16")

    def long(self) -> Tensor:
        return self.to("i64")

    def int(self) -> Tensor:
        return self.to("i32")

    def bool(self) -> Tensor:
        return self.to("i1")


class Tensor(Castable):
    """A value of the model being traced.

    It has PyTorch's methods under their names. Shapes are tuples of ints and symbolic dims, dtypes
    are names: "f32", "f16", "bf16", "f8E4M3FN", "i64", "i32", "i8", "i1". Scalars and NumPy arrays
    take the dtype of the tensor that they meet; tensors of different dtypes must be cast to meet.
    """

    __array_ufunc__ = None  # so that `array + tensor` asks the tensor

    def __init__(self, value: SSAValue, recorder: Recorder):
        self._value = value
        self._recorder = recorder

    # What it is ---------------------------------------------------------------------------------

    def value_in(self, recorder: Recorder) -> SSAValue:
        """The SSA value, for an op of the same trace."""
        if recorder is not self._recorder:
            raise TraceError("a tensor of another trace was used: keep none between traces")
        return self._value

    @property
    def type(self) -> AnyTensor:
        """The type in the IR."""
        return cast(AnyTensor, self._value.type)

    @property
    def shape(self) -> tuple[Dim, ...]:
        return dims_of(self.type)

    @property
    def dtype(self) -> str:
        return self._dtype.name

    @property
    def _dtype(self) -> DType:
        return dtype_of(element_of(self.type))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dim(self) -> int:
        return self.ndim

    def numel(self) -> Dim:
        return dim_product(self.shape)

    def size(self, dim: int | None = None) -> tuple[Dim, ...] | Dim:
        return self.shape if dim is None else self.shape[dim]

    def is_floating_point(self) -> bool:
        return self._dtype.is_float

    def __repr__(self) -> str:
        return f"Tensor({shape_text(self.shape)}, {self.dtype})"

    def __len__(self) -> int:
        return _static_extent(self, 0, "len()")

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.unbind(0))

    def _no_value(self, what: str) -> NoReturn:
        message = f"{what} needs the tensor's values, which exist only when the model runs"
        raise TraceError(current_recorder().located(message))

    def __bool__(self) -> NoReturn:
        self._no_value(
            "`if`, `while`, `and`, `or`, `not` and `assert` on a tensor: use nn.where; it"
        )

    def __int__(self) -> NoReturn:
        self._no_value("int()")

    def __float__(self) -> NoReturn:
        self._no_value("float()")

    def __index__(self) -> NoReturn:
        self._no_value("use as a Python integer")

    def __array__(self, *_: object) -> NoReturn:
        self._no_value("conversion to NumPy")

    def item(self) -> NoReturn:
        self._no_value("item()")

    def tolist(self) -> NoReturn:
        self._no_value("tolist()")

    # Arithmetic ---------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Tensor:
        return binary(graph.AddOp, self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return binary(graph.AddOp, other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return binary(graph.SubOp, self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return binary(graph.SubOp, other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return binary(graph.MulOp, self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return binary(graph.MulOp, other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return binary(graph.DivOp, self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return binary(graph.DivOp, other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return binary(graph.FloorDivideOp, self, other)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return binary(graph.FloorDivideOp, other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return binary(graph.RemainderOp, self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return binary(graph.RemainderOp, other, self)

    def __pow__(self, other: Operand) -> Tensor:
        special = _POWERS.get(other) if isinstance(other, int | float) else None
        return special(self) if special else binary(graph.PowOp, self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return binary(graph.PowOp, other, self)

    def __matmul__(self, other: Tensor | Array) -> Tensor:
        return matmul(self, promote(other, self._dtype))

    def __rmatmul__(self, other: Array) -> Tensor:
        return matmul(promote(other, self._dtype), self)

    def __neg__(self) -> Tensor:
        return apply(graph.NegOp, self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return apply(graph.AbsOp, self)

    def __and__(self, other: Operand) -> Tensor:
        return binary(graph.LogicalAndOp, self, other)

    __rand__ = __and__

    def __or__(self, other: Operand) -> Tensor:
        return binary(graph.LogicalOrOp, self, other)

    __ror__ = __or__

    def __xor__(self, other: Operand) -> Tensor:
        return binary(graph.LogicalXorOp, self, other)

    __rxor__ = __xor__

    def __invert__(self) -> Tensor:
        return apply(graph.LogicalNotOp, self)

    def __eq__(self, other: Operand) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return binary(graph.EqualOp, self, other)

    def __ne__(self, other: Operand) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return binary(graph.NotEqualOp, self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return binary(graph.LessOp, self, other)

    def __le__(self, other: Operand) -> Tensor:
        return binary(graph.LessEqualOp, self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return binary(graph.GreaterOp, self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return binary(graph.GreaterEqualOp, self, other)

    __hash__ = object.__hash__

    add, sub, mul, div = __add__, __sub__, __mul__, __truediv__
    pow, neg, abs = __pow__, __neg__, __abs__
    eq, ne, lt, le, gt, ge = __eq__, __ne__, __lt__, __le__, __gt__, __ge__
    logical_and, logical_or, logical_xor, logical_not = __and__, __or__, __xor__, __invert__

    def matmul(self, other: Tensor | Array) -> Tensor:
        return self @ other

    def maximum(self, other: Operand) -> Tensor:
        return binary(graph.MaximumOp, self, other)

    def minimum(self, other: Operand) -> Tensor:
        return binary(graph.MinimumOp, self, other)

    # Elementwise --------------------------------------------------------------------------------

    def exp(self) -> Tensor:
        return apply(graph.ExpOp, self)

    def log(self) -> Tensor:
        return apply(graph.LogOp, self)

    def sqrt(self) -> Tensor:
        return apply(graph.SqrtOp, self)

    def rsqrt(self) -> Tensor:
        return apply(graph.RsqrtOp, self)

    def reciprocal(self) -> Tensor:
        return apply(graph.ReciprocalOp, self)

    def erf(self) -> Tensor:
        return apply(graph.ErfOp, self)

    def tanh(self) -> Tensor:
        return apply(graph.TanhOp, self)

    def sigmoid(self) -> Tensor:
        return apply(graph.SigmoidOp, self)

    def relu(self) -> Tensor:
        return apply(graph.ReluOp, self)

    def floor(self) -> Tensor:
        return apply(graph.FloorOp, self)

    def ceil(self) -> Tensor:
        return apply(graph.CeilOp, self)

    def sin(self) -> Tensor:
        return apply(graph.SinOp, self)

    def cos(self) -> Tensor:
        return apply(graph.CosOp, self)

    def square(self) -> Tensor:
        return self * self

    def clamp(self, min: Scalar | None = None, max: Scalar | None = None) -> Tensor:
        """`x` limited to [min, max]; each bound is optional."""
        for bound in (min, max):
            if isinstance(bound, float) and not self._dtype.is_float:
                raise ShapeError(current_recorder().located(_float_in_integers(bound, self._dtype)))
        return apply(graph.ClampOp, self, min=min, max=max)

    def masked_fill(self, mask: Tensor, value: Operand) -> Tensor:
        """`value` where the i1 mask is true, else `x`."""
        return apply(graph.SelectOp, mask, promote(value, self._dtype), self)

    def softmax(self, dim: int) -> Tensor:
        return apply(graph.SoftmaxOp, self, axis=dim)

    def to(self, dtype: object) -> Tensor:
        target = dtype_of(dtype)
        return self if target == self._dtype else apply(graph.CastOp, self, element=target.element)

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other.dtype)

    def contiguous(self) -> Tensor:
        return self

    detach, clone = contiguous, contiguous

    # Movement -----------------------------------------------------------------------------------

    def reshape(self, *sizes: Sizes) -> Tensor:
        """The same elements with other dims, one of which may be -1: the rest."""
        dims = list(flat_arguments(sizes))
        free = [axis for axis, dim in enumerate(dims) if dim == -1]
        if len(free) > 1:
            raise self._error(f"reshape to {shape_text(dims)}: only one dim can be -1")
        if free:
            known = dim_product(dim for dim in dims if dim != -1)
            rest = exact_div(self.numel(), known)
            if rest is None:
                raise self._error(
                    f"reshape of {shape_text(self.shape)} to {shape_text(dims)}: "
                    f"{to_text(self.numel())} elements are no multiple of {to_text(known)}"
                )
            dims[free[0]] = rest
        return self if tuple(dims) == self.shape else apply(graph.ReshapeOp, self, dims=dims)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Dims `start_dim` to `end_dim`, inclusive, as one."""
        if not self.ndim:
            return self.reshape(1)
        first, last = self._axis(start_dim), self._axis(end_dim)
        merged = dim_product(self.shape[first : last + 1])
        return self.reshape(*self.shape[:first], merged, *self.shape[last + 1 :])

    def unflatten(self, dim: int, sizes: Sequence[Dim]) -> Tensor:
        """Dim `dim` as several, of which one may be -1."""
        axis = self._axis(dim)
        dims = list(sizes)
        if -1 in dims:
            rest = exact_div(self.shape[axis], dim_product(size for size in dims if size != -1))
            if rest is None:
                raise self._error(
                    f"unflatten: {shape_text(sizes)} does not divide {to_text(self.shape[axis])}"
                )
            dims[dims.index(-1)] = rest
        return self.reshape(*self.shape[:axis], *dims, *self.shape[axis + 1 :])

    def unsqueeze(self, dim: int) -> Tensor:
        """A new dim of extent 1, before dim `dim`."""
        axis = self._axis(dim, self.ndim + 1)
        return self.reshape(*self.shape[:axis], 1, *self.shape[axis:])

    def squeeze(self, dim: Axes = None) -> Tensor:
        """Without the given dims, or all, whose extent is 1."""
        axes = self._axes(dim)
        return self.reshape(
            [size for axis, size in enumerate(self.shape) if axis not in axes or size != 1]
        )

    def permute(self, *dims: int | Sequence[int]) -> Tensor:
        """Dim i of the result is dim `dims[i]`."""
        axes = flat_arguments(dims)
        return apply(graph.PermuteOp, self, permutation=axes)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Swaps two dims."""
        axes = list(range(self.ndim))
        a, b = self._axis(dim0), self._axis(dim1)
        axes[a], axes[b] = axes[b], axes[a]
        return self.permute(axes)

    swapaxes = transpose

    def movedim(self, source: int, destination: int) -> Tensor:
        """Dim `source` at position `destination`, the others in order."""
        axes = list(range(self.ndim))
        axes.insert(self._axis(destination), axes.pop(self._axis(source)))
        return self.permute(axes)

    @property
    def T(self) -> Tensor:
        """The transpose: all dims in reverse order."""
        return self.permute(list(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The transpose of the last two dims."""
        return self.transpose(-2, -1)

    def expand(self, *sizes: Sizes) -> Tensor:
        """Broadcast to these dims; -1 keeps a dim."""
        dims = list(flat_arguments(sizes))
        offset = len(dims) - self.ndim
        for axis, dim in enumerate(dims):
            if dim == -1:
                if axis < offset:
                    raise self._error(f"expand to {shape_text(dims)}: a new dim cannot be -1")
                dims[axis] = self.shape[axis - offset]
        return self if tuple(dims) == self.shape else apply(graph.ExpandOp, self, dims=dims)

    broadcast_to = expand

    def expand_as(self, other: Tensor) -> Tensor:
        return self.expand(other.shape)

    def repeat(self, *counts: int | Sequence[int]) -> Tensor:
        """The tensor tiled `counts[i]` times along dim i."""
        times = flat_arguments(counts)
        if len(times) < self.ndim:
            raise self._error(f"repeat: {len(times)} counts are too few for {self.ndim} dims")
        dims = (1,) * (len(times) - self.ndim) + self.shape
        spaced = [extent for dim in dims for extent in (1, dim)]
        tiled = [extent for pair in zip(times, dims, strict=True) for extent in pair]
        merged = [count * dim for count, dim in zip(times, dims, strict=True)]
        return self.reshape(spaced).expand(tiled).reshape(merged)

    def repeat_interleave(self, repeats: int, dim: int) -> Tensor:
        """Each element along `dim`, `repeats` times in a row."""
        axis = self._axis(dim)
        dims = self.shape
        wide = (*dims[: axis + 1], repeats, *dims[axis + 1 :])
        merged = (*dims[:axis], dims[axis] * repeats, *dims[axis + 1 :])
        return self.unsqueeze(axis + 1).expand(wide).reshape(merged)

    def split(self, split_size: Dim | Sequence[Dim], dim: int = 0) -> tuple[Tensor, ...]:
        """Parts of the given sizes along `dim`; one size means equal parts and a smaller rest."""
        axis = self._axis(dim)
        if isinstance(split_size, int | Expr):
            split_size = _equal_sizes(self, axis, split_size)
        return apply_many(graph.SplitOp, self, axis=axis, sizes=split_size)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """`chunks` equal parts along `dim`; of a fixed dim, the last may be smaller."""
        axis = self._axis(dim)
        extent = self.shape[axis]
        size = -(-extent // chunks) if isinstance(extent, int) else exact_div(extent, chunks)
        if size is None:
            raise self._error(f"chunk: {to_text(extent)} is not a multiple of {chunks}")
        return self.split(size, axis)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The slices along a fixed dim, without that dim."""
        axis = self._axis(dim)
        count = _static_extent(self, axis, "unbind")
        return tuple(part.squeeze(axis) for part in self.split([1] * count, axis))

    def narrow(self, dim: int, start: Dim, length: Dim) -> Tensor:
        """`length` elements from `start` along `dim`."""
        axis = self._axis(dim)
        return self[(slice(None),) * axis + (slice(start, start + length),)]

    def flip(self, *dims: int | Sequence[int]) -> Tensor:
        """Reversed along the given dims."""
        axes = {self._axis(axis) for axis in flat_arguments(dims)}
        reverse = slice(None, None, -1)
        return self[tuple(reverse if axis in axes else slice(None) for axis in range(self.ndim))]

    def roll(self, shifts: int | Sequence[int], dims: int | Sequence[int]) -> Tensor:
        """Moved forward by `shifts` along `dims`; what leaves at the end enters at the begin."""
        result = self
        for shift, axis in zip(flat_arguments([shifts]), flat_arguments([dims]), strict=True):
            extent = result.shape[axis]
            shift = shift % extent if isinstance(extent, int) else shift
            if shift == 0:
                continue
            parts = result.split(
                [extent - shift, shift] if shift > 0 else [-shift, extent + shift], axis
            )
            result = concatenate([parts[1], parts[0]], axis)
        return result

    def index_select(self, dim: int, index: Tensor | Array) -> Tensor:
        """`y[..a, i, ..b] = x[..a, index[i], ..b]`; negative indices are errors at run time."""
        return apply(graph.GatherOp, self, promote(index, DTYPES["i64"]), axis=self._axis(dim))

    def __getitem__(self, key: Key | tuple[Key, ...]) -> Tensor:
        """NumPy's basic indexing; one dim may instead have indices: a tensor, an array or a list.

        A tensor's indices must not be negative.
        """
        parts = [_index_part(self, part) for part in (key if isinstance(key, tuple) else (key,))]
        try:
            selection = select(self.shape, parts)
        except ShapeError as error:
            raise self._error(f"indexing: {error}") from None
        result = self
        if selection.sizes != list(self.shape) or any(step != 1 for step in selection.steps):
            result = apply(
                graph.SliceOp,
                self,
                offsets=selection.offsets,
                sizes=selection.sizes,
                steps=selection.steps,
            )
        result = result.reshape(selection.dims)
        if selection.indices is None:
            return result
        indices = selection.indices
        picked = result.index_select(selection.axis, _from_front(indices, result, selection.axis))
        if not selection.to_front:
            return picked
        moved = range(selection.axis, selection.axis + indices.ndim)
        return picked.permute(*moved, *(a for a in range(picked.ndim) if a not in moved))

    # Reductions ---------------------------------------------------------------------------------

    def sum(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The sum; integers and i1 are summed as i64."""
        return self._widened()._reduce(graph.ReduceSumOp, dim, keepdim)

    def mean(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        return self._reduce(graph.ReduceMeanOp, dim, keepdim)

    def max(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The largest values alone; PyTorch's indices are `argmax`."""
        return self._reduce(graph.ReduceMaxOp, dim, keepdim)

    def min(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The smallest values alone."""
        return self._reduce(graph.ReduceMinOp, dim, keepdim)

    amax, amin = max, min

    def prod(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The product; integers and i1 are multiplied as i64."""
        return self._widened()._reduce(graph.ReduceProdOp, dim, keepdim)

    def any(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """i1: whether one element is not 0."""
        return self.to("i1").to("i8").max(dim, keepdim).to("i1")

    def all(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """i1: whether no element is 0."""
        return self.to("i1").to("i8").min(dim, keepdim).to("i1")

    def var(self, dim: Axes = None, keepdim: bool = False, correction: int = 1) -> Tensor:
        """The variance: squared distances from the mean, over their count less `correction`."""
        distance = self - self.mean(dim, keepdim=True)
        if correction == 0:
            return distance.square().mean(dim, keepdim)
        count = dim_product(self.shape[axis] for axis in self._axes(dim))
        return distance.square().sum(dim, keepdim) / (count - correction)

    def std(self, dim: Axes = None, keepdim: bool = False, correction: int = 1) -> Tensor:
        return self.var(dim, keepdim, correction).sqrt()

    def norm(self, dim: Axes = None, keepdim: bool = False) -> Tensor:
        """The Euclidean norm."""
        return self.square().sum(dim, keepdim).sqrt()

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The i64 index of the first maximum along `dim`, or in the flat tensor."""
        x = self.flatten() if dim is None else self
        return apply(graph.ArgmaxOp, x, axis=0 if dim is None else dim, keepdims=keepdim)

    def _reduce(self, op: type[graph.ReduceOp], dim: Axes, keepdim: bool) -> Tensor:
        return apply(op, self, axes=sorted(self._axes(dim)), keepdims=keepdim)

    def _widened(self) -> Tensor:
        return self if self._dtype.is_float else self.to("i64")

    def _axes(self, dim: Axes) -> frozenset[int]:
        """The dims meant, from the front: all for None."""
        if dim is None:
            return frozenset(range(self.ndim))
        return frozenset(self._axis(axis) for axis in flat_arguments([dim]))

    def _axis(self, dim: int, rank: int | None = None) -> int:
        rank = self.ndim if rank is None else rank
        if not -rank <= dim < rank:
            raise self._error(f"there is no dim {dim} in {shape_text(self.shape)}")
        return dim % rank

    def _error(self, message: str) -> ShapeError:
        return ShapeError(current_recorder().located(message))


_POWERS: dict[int | float, Callable[[Tensor], Tensor]] = {
    1: lambda x: x,
    2: Tensor.square,
    0.5: Tensor.sqrt,
    -0.5: Tensor.rsqrt,
    -1: Tensor.reciprocal,
}
"""Exponents that have an op of their own."""


# Recording ------------------------------------------------------------------------------------


def apply(op: Callable[..., Operation], *operands: Tensor | None, **properties: object) -> Tensor:
    """Records an op of one result. Raises ShapeError naming the module and the user's line."""
    return apply_many(op, *operands, **properties)[0]


def apply_many(
    op: Callable[..., Operation], *operands: Tensor | None, **properties: object
) -> tuple[Tensor, ...]:
    """Records an op and gives all its results."""
    recorder = current_recorder()
    values = [None if tensor is None else tensor.value_in(recorder) for tensor in operands]
    recorded = recorder.record(lambda: op(*values, **properties))
    return tuple(Tensor(result, recorder) for result in recorded.results)


def binary(op: type[graph.BinaryOp], left: Operand, right: Operand) -> Tensor:
    """Records an op on a tensor and a tensor, scalar or array."""
    if isinstance(left, Tensor):
        return apply(op, left, promote(right, dtype_of(left.dtype)))
    if isinstance(right, Tensor):
        return apply(op, promote(left, dtype_of(right.dtype)), right)
    raise TypeError(f"{op.name} needs a tensor")


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` of any ranks from 1 on, as NumPy defines it."""
    if a.ndim == 1 and b.ndim >= 1:
        result = matmul(a.unsqueeze(0), b)
        return result.squeeze(-2 if b.ndim > 1 else 0)
    if b.ndim == 1:
        return apply(graph.MatmulOp, a, b.unsqueeze(1)).squeeze(-1)
    return apply(graph.MatmulOp, a, b)


def concatenate(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """The tensors one after another along `dim`."""
    return apply(graph.ConcatOp, *tensors, axis=dim)


# Constants ------------------------------------------------------------------------------------


def promote(value: Operand | Sequence[object], dtype: DType) -> Tensor:
    """A tensor as it is, and anything else as a constant of the dtype.

    Raises ShapeError if a float would have to become an integer, or a number would not fit.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Expr):
        return dim_value(value).to(dtype)
    array = np.asarray(value)
    recorder = current_recorder()
    if _ORDER.index(_kind_of(array)) > _ORDER.index(dtype.kind):
        raise ShapeError(recorder.located(_float_in_integers(value, dtype)))
    with np.errstate(over="ignore"):
        converted = array.astype(dtype.numpy)
    overflow = np.isinf(converted) & ~np.isinf(array) if dtype.is_float else converted != array
    if overflow.any():
        worst = array[overflow].flat[0]
        raise ShapeError(recorder.located(f"the constant {worst} does not fit dtype {dtype.name}"))
    return constant(converted)


_NARROW_FLOATS = tuple(DTYPES[name].numpy for name in ("bf16", "f8E4M3FN"))
"""Floats that NumPy itself does not know."""

_ORDER = (ElementKind.BOOLEAN, ElementKind.INTEGER, ElementKind.FLOAT)
"""Constants become what stands at or after them."""


def _kind_of(array: Array) -> ElementKind:
    """The kind of an array of any width."""
    if array.dtype == np.bool_:
        return ElementKind.BOOLEAN
    if array.dtype.kind in "iu":
        return ElementKind.INTEGER
    if array.dtype.kind == "f" or array.dtype in _NARROW_FLOATS:
        return ElementKind.FLOAT
    raise ShapeError(current_recorder().located(f"a constant cannot have dtype {array.dtype}"))


def _float_in_integers(value: object, dtype: DType) -> str:
    text = str(value) if np.ndim(cast(Array, value)) == 0 else "an array"
    return f'the constant {text} does not fit dtype {dtype.name}: cast the tensor, as x.to("f32")'


def constant(array: Array) -> Tensor:
    """An array of one of the dtypes as a tensor; a large one becomes a parameter."""
    if array.size <= INLINE_ELEMENTS:
        return apply(graph.ConstantOp, value=dense_of(array))
    from ait.ir.nn.module import Parameter

    parameter = Parameter(array)
    current_recorder().adopt(parameter)
    return parameter


def dim_value(dim: Dim) -> Tensor:
    """The i64 scalar whose value is a dim.

    The graph level has no op for it: it is the sum of `dim` ones, which later levels fold.
    """
    if isinstance(dim, int):
        return constant(np.array(dim, np.int64))
    if lower_bound(dim) < 0:
        message = f"the dim {to_text(dim)} may be negative, and has no tensor value"
        raise ShapeError(current_recorder().located(message))
    return constant(np.array(1, np.int64)).expand(dim).sum()


# Arguments ------------------------------------------------------------------------------------

ItemT = TypeVar("ItemT")


def flat_arguments(values: Sequence[ItemT | Sequence[ItemT]]) -> list[ItemT]:
    """`f(2, 3)` and `f((2, 3))` alike."""
    if len(values) == 1 and isinstance(values[0], Sequence):
        return list(cast("Sequence[ItemT]", values[0]))
    return cast("list[ItemT]", list(values))


def _static_extent(x: Tensor, axis: int, what: str) -> int:
    if not x.ndim:
        raise TypeError(f"{what} of a tensor without dims")
    extent = x.shape[axis]
    if not isinstance(extent, int):
        raise ShapeError(
            current_recorder().located(f"{what} needs a fixed dim, not {to_text(extent)}")
        )
    return extent


def _equal_sizes(x: Tensor, axis: int, size: Dim) -> list[Dim]:
    extent = x.shape[axis]
    if isinstance(extent, int) and isinstance(size, int):
        if size < 1:
            raise ShapeError(current_recorder().located(f"split: size {size} must be 1 or more"))
        return [min(size, extent - start) for start in range(0, extent, size)] or [0]
    count = exact_div(extent, size)
    if not isinstance(count, int):
        raise ShapeError(
            current_recorder().located(
                f"split: {to_text(extent)} is no fixed multiple of {to_text(size)}"
            )
        )
    return [size] * count


def _index_part(x: Tensor, part: Key) -> Part | Tensor | Array:
    if part is None or isinstance(part, int | Expr | slice | EllipsisType):
        if isinstance(part, bool):
            raise ShapeError(current_recorder().located("indexing with True or False"))
        return part
    indices = part if isinstance(part, Tensor) else np.asarray(part)
    if isinstance(indices, Tensor):
        if indices.dtype == "i1":
            x._no_value("indexing with a mask: use nn.where or masked_fill; it")  # pyright: ignore[reportPrivateUsage]
        return indices
    if indices.dtype == np.bool_ and indices.ndim == 1:
        return np.flatnonzero(indices)
    if indices.dtype.kind not in "iu" and indices.size:
        raise ShapeError(current_recorder().located(f"indexing with {indices.dtype}"))
    return int(indices) if indices.ndim == 0 else indices.astype(np.int64)


def _from_front(indices: Tensor | Array, x: Tensor, axis: int) -> Tensor | Array:
    """Array indices that count from the end, as those from the front; checks their range."""
    if isinstance(indices, Tensor) or not indices.size:
        return indices
    extent = x.shape[axis]
    if not isinstance(extent, int):
        low = lower_bound(extent)
        if indices.min() < 0 or indices.max() >= low:
            raise ShapeError(
                current_recorder().located(
                    f"indices must lie in [0, {low}), which dim {to_text(extent)} always has"
                )
            )
        return indices
    if indices.min() < -extent or indices.max() >= extent:
        raise ShapeError(
            current_recorder().located(f"indices must lie in [{-extent}, {extent}) of dim {axis}")
        )
    return np.where(indices < 0, indices + extent, indices)
