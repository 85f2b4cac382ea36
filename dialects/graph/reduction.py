"""Reductions over axes. Sums and products of floats are f32, rounded once to the element type."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from typing_extensions import override
from xdsl.dialects.builtin import i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import operand_def, result_def

from ait.dialects.graph.base import (
    FLOATS,
    NUMBERS,
    TENSOR,
    AnyTensor,
    ElementKind,
    GraphOp,
    Tensor,
    expect_axis,
    expect_elements,
    from_front,
    graph_op,
)
from ait.dialects.graph.properties import flag_property, int_property, ints_property
from ait.dialects.symbolic import Dim, dims_of, lower_bound, tensor_type
from ait.errors import ShapeError


class ReduceOp(GraphOp, ABC):
    """A reduction over `axes`, which are sorted; `keepdims` leaves them with extent 1."""

    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    axes = ints_property()
    keepdims = flag_property()

    ACCEPTS: ClassVar[tuple[ElementKind, ...]] = NUMBERS

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        axes: Sequence[int] | None = None,
        keepdims: bool = False,
    ):
        """Reduces over all axes if none are given; axes may count from the end."""
        if axes is None:
            axes = range(len(dims_of(SSAValue.get(x))))
        super().__init__((x,), axes=sorted(from_front(a, x) for a in axes), keepdims=keepdims)

    @override
    @classmethod
    def infer(cls, x: Tensor, *, axes: tuple[int, ...], keepdims: bool) -> AnyTensor:
        expect_elements(cls.ACCEPTS, x)
        for axis in axes:
            expect_axis(axis, x.rank, "an axis")
        if list(axes) != sorted(set(axes)):
            raise ShapeError(f"axes = {list(axes)} must be distinct and ascending")
        return x.like(reduced_dims(x.dims, axes, keepdims))


def reduced_dims(dims: Sequence[Dim], axes: Sequence[int], keepdims: bool) -> tuple[Dim, ...]:
    """The dims that are left of a reduction."""
    if keepdims:
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(dims))
    return tuple(dim for axis, dim in enumerate(dims) if axis not in axes)


@graph_op
class ReduceSumOp(ReduceOp):
    """The sum; of nothing 0. Integers wrap around."""

    name = "graph.reduce_sum"


@graph_op
class ReduceMeanOp(ReduceOp):
    """The mean; of nothing NaN."""

    name = "graph.reduce_mean"
    ACCEPTS: ClassVar = FLOATS


@graph_op
class ReduceMaxOp(ReduceOp):
    """The maximum; NaN wins. Of nothing -inf, or the type's least integer."""

    name = "graph.reduce_max"


@graph_op
class ReduceMinOp(ReduceOp):
    """The minimum; NaN wins. Of nothing +inf, or the type's greatest integer."""

    name = "graph.reduce_min"


@graph_op
class ReduceProdOp(ReduceOp):
    """The product; of nothing 1. Integers wrap around."""

    name = "graph.reduce_prod"


@graph_op
class ArgmaxOp(GraphOp):
    """The i64 index of the maximum along `axis`: the first of equal ones, and of NaNs if any."""

    name = "graph.argmax"
    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    axis = int_property()
    keepdims = flag_property()

    def __init__(self, x: SSAValue | Operation, *, axis: int, keepdims: bool = False):
        super().__init__((x,), axis=from_front(axis, x), keepdims=keepdims)

    @override
    @classmethod
    def infer(cls, x: Tensor, *, axis: int, keepdims: bool) -> AnyTensor:
        expect_elements(NUMBERS, x)
        expect_axis(axis, x.rank)
        if lower_bound(x.dims[axis]) < 1:
            raise ShapeError(f"dim {axis} of {x} must have at least one element")
        return tensor_type(i64, reduced_dims(x.dims, (axis,), keepdims))
