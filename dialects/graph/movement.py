"""Ops that move data without computing on it, for any element type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override
from xdsl.dialects.builtin import i32, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import operand_def, result_def, var_operand_def, var_result_def

from ait.dialects.graph.base import (
    ANYTHING,
    ELEMENT_KINDS,
    TENSOR,
    AnyTensor,
    ElementKind,
    GraphOp,
    Tensor,
    broadcast_dims,
    expect_axis,
    expect_elements,
    expect_same_element,
    from_front,
    graph_op,
    shape_text,
)
from ait.dialects.graph.properties import (
    dims_property,
    int_property,
    ints_property,
    number_property,
)
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    dims_of,
    element_of,
    floordiv,
    lower_bound,
    provably_le,
    to_text,
)
from ait.errors import ShapeError


@graph_op
class ConcatOp(GraphOp):
    """The inputs one after another along `axis`; their other dims are equal."""

    name = "graph.concat"
    inputs = var_operand_def(TENSOR)
    result = result_def(TENSOR)
    axis = int_property()

    def __init__(self, *inputs: SSAValue | Operation, axis: int):
        if inputs:
            axis = from_front(axis, inputs[0])
        super().__init__(inputs, axis=axis)

    @override
    @classmethod
    def infer(cls, *inputs: Tensor, axis: int) -> AnyTensor:
        if not inputs:
            raise ShapeError("needs at least one input")
        first = inputs[0]
        expect_elements(ANYTHING, first)
        expect_same_element(*inputs)
        expect_axis(axis, first.rank)
        total: Dim = 0
        for other in inputs:
            if other.rank != first.rank or _without(other.dims, axis) != _without(first.dims, axis):
                raise ShapeError(f"{first} and {other} differ in more than dim {axis}")
            total = total + other.dims[axis]
        return first.like((*first.dims[:axis], total, *first.dims[axis + 1 :]))


def _without(dims: tuple[Dim, ...], axis: int) -> tuple[Dim, ...]:
    return dims[:axis] + dims[axis + 1 :]


@graph_op
class SplitOp(GraphOp):
    """Cuts along `axis` into parts of the given sizes, which add up to the dim."""

    name = "graph.split"
    IMPLIED: ClassVar = frozenset({"sizes"})
    x = operand_def(TENSOR)
    parts = var_result_def(TENSOR)
    axis = int_property()
    sizes = dims_property()

    def __init__(self, x: SSAValue | Operation, *, axis: int, sizes: Sequence[Dim]):
        super().__init__((x,), axis=from_front(axis, x), sizes=sizes)

    @override
    @classmethod
    def infer(cls, x: Tensor, *, axis: int, sizes: tuple[Dim, ...]) -> Sequence[AnyTensor]:
        expect_elements(ANYTHING, x)
        expect_axis(axis, x.rank)
        for size in sizes:
            _expect_extent(size, "sizes")
        total: Dim = 0
        for size in sizes:
            total = total + size
        if total != x.dims[axis]:
            raise ShapeError(
                f"sizes {shape_text(sizes)} add up to {to_text(total)}, but dim {axis} of {x} is "
                f"{to_text(x.dims[axis])}"
            )
        return [x.like((*x.dims[:axis], size, *x.dims[axis + 1 :])) for size in sizes]

    @override
    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        axis: int = given.get("axis", 0)
        sizes = [dims_of(t)[axis] for t in result_types if 0 <= axis < t.get_num_dims()]
        return {"sizes": sizes}


@graph_op
class SliceOp(GraphOp):
    """`y[i, j, ...] = x[offsets[0] + i steps[0], offsets[1] + j steps[1], ...]`.

    One offset, size and step a dim; steps may be negative, not 0. What is read must lie inside `x`
    for every value of the symbols.
    """

    name = "graph.slice"
    IMPLIED: ClassVar = frozenset({"sizes"})
    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    offsets = dims_property()
    sizes = dims_property()
    steps = ints_property()

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        offsets: Sequence[Dim],
        sizes: Sequence[Dim],
        steps: Sequence[int] | None = None,
    ):
        steps = [1] * len(offsets) if steps is None else steps
        super().__init__((x,), offsets=offsets, sizes=sizes, steps=steps)

    @override
    @classmethod
    def infer(
        cls,
        x: Tensor,
        *,
        offsets: tuple[Dim, ...],
        sizes: tuple[Dim, ...],
        steps: tuple[int, ...],
    ) -> AnyTensor:
        expect_elements(ANYTHING, x)
        if not len(offsets) == len(sizes) == len(steps) == x.rank:
            raise ShapeError(f"offsets, sizes and steps must have one entry for each dim of {x}")
        for axis, window in enumerate(zip(offsets, sizes, steps, strict=True)):
            _expect_inside(x, axis, *window)
        return x.like(sizes)

    @override
    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {"sizes": dims_of(result_types[0])}


def _expect_inside(x: Tensor, axis: int, offset: Dim, size: Dim, step: int) -> None:
    """Raises unless all that a slice reads in one dim is certain to exist.

    The count of elements from the offset to the dim's end (its begin, for a negative step) is
    compared, not the last index, since that is how sizes of strided slices are written.
    """
    _expect_extent(size, "sizes")
    if step == 0:
        raise ShapeError(f"the step in dim {axis} must not be 0")
    if size == 0:
        return
    extent = x.dims[axis]
    if step > 0:
        available = floordiv(extent - offset + (step - 1), step)
        inside = provably_le(0, offset)
    else:
        available = floordiv(offset, -step) + 1
        inside = provably_le(offset, extent - 1)
    if not (inside and provably_le(size, available)):
        raise ShapeError(
            f"{x}: {to_text(size)} elements from {to_text(offset)} in steps of {step} are not "
            f"certain to lie inside dim {axis}, of extent {to_text(extent)}"
        )


def _expect_extent(size: Dim, name: str) -> None:
    if lower_bound(size) < 0:
        raise ShapeError(f"{name} must not be negative: {to_text(size)}")


class ToDimsOp(GraphOp):
    """A movement that is told the dims of its result."""

    IMPLIED: ClassVar = frozenset({"dims"})
    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    dims = dims_property()

    def __init__(self, x: SSAValue | Operation, dims: Sequence[Dim]):
        super().__init__((x,), dims=dims)

    @override
    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {"dims": dims_of(result_types[0])}


@graph_op
class ReshapeOp(ToDimsOp):
    """The same elements, in row-major order, with other dims."""

    name = "graph.reshape"

    @override
    @classmethod
    def infer(cls, x: Tensor, *, dims: tuple[Dim, ...]) -> AnyTensor:
        expect_elements(ANYTHING, x)
        for dim in dims:
            _expect_extent(dim, "dims")
        before, after = dim_product(x.dims), dim_product(dims)
        if before != after:
            raise ShapeError(
                f"{x} has {to_text(before)} elements, but {shape_text(dims)} has {to_text(after)}"
            )
        return x.like(dims)


@graph_op
class ExpandOp(ToDimsOp):
    """`x` broadcast to `dims`, as by NumPy."""

    name = "graph.expand"

    @override
    @classmethod
    def infer(cls, x: Tensor, *, dims: tuple[Dim, ...]) -> AnyTensor:
        expect_elements(ANYTHING, x)
        if x.rank > len(dims) or broadcast_dims(x.dims, dims, ("x", "dims")) != dims:
            raise ShapeError(f"{x} does not broadcast to {shape_text(dims)}")
        return x.like(dims)


@graph_op
class PermuteOp(GraphOp):
    """Dim i of the result is dim `permutation[i]` of `x`."""

    name = "graph.permute"
    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    permutation = ints_property()

    def __init__(self, x: SSAValue | Operation, permutation: Sequence[int]):
        super().__init__((x,), permutation=[from_front(axis, x) for axis in permutation])

    @override
    @classmethod
    def infer(cls, x: Tensor, *, permutation: tuple[int, ...]) -> AnyTensor:
        expect_elements(ANYTHING, x)
        if sorted(permutation) != list(range(x.rank)):
            raise ShapeError(f"permutation = {list(permutation)} does not order the dims of {x}")
        return x.like([x.dims[axis] for axis in permutation])


@graph_op
class PadOp(GraphOp):
    """Adds `low[i]` elements before and `high[i]` after dim i, all of them `value`.

    The value is a float for float tensors and an int for integers and i1 (0 or 1).
    """

    name = "graph.pad"
    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    low = ints_property()
    high = ints_property()
    value = number_property()

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        low: Sequence[int],
        high: Sequence[int],
        value: int | float = 0,
    ):
        is_float = ELEMENT_KINDS.get(element_of(SSAValue.get(x))) is ElementKind.FLOAT
        value = float(value) if is_float else int(value)
        super().__init__((x,), low=low, high=high, value=value)

    @override
    @classmethod
    def infer(
        cls, x: Tensor, *, low: tuple[int, ...], high: tuple[int, ...], value: int | float
    ) -> AnyTensor:
        expect_elements(ANYTHING, x)
        if not len(low) == len(high) == x.rank:
            raise ShapeError(f"low and high must have one entry for each dim of {x}")
        if any(amount < 0 for amount in low + high):
            raise ShapeError("low and high must not be negative: use graph.slice to cut")
        if isinstance(value, float) != (x.kind is ElementKind.FLOAT):
            raise ShapeError(f"value = {value} does not fit elements {x.element}")
        return x.like([dim + (a + b) for dim, a, b in zip(x.dims, low, high, strict=True)])


@graph_op
class GatherOp(GraphOp):
    """`y[..a, ..i, ..b] = x[..a, indices[..i], ..b]`: picks along `axis` (an embedding: axis 0).

    Indices are i32 or i64. One outside [0, n) is an error at run time.
    """

    name = "graph.gather"
    x = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    result = result_def(TENSOR)
    axis = int_property()

    def __init__(self, x: SSAValue | Operation, indices: SSAValue | Operation, *, axis: int = 0):
        super().__init__((x, indices), axis=from_front(axis, x))

    @override
    @classmethod
    def infer(cls, x: Tensor, indices: Tensor, *, axis: int) -> AnyTensor:
        expect_elements(ANYTHING, x)
        if indices.element not in (i32, i64):
            raise ShapeError(f"indices has elements {indices.element}, not i32 or i64")
        expect_axis(axis, x.rank)
        return x.like((*x.dims[:axis], *indices.dims, *x.dims[axis + 1 :]))
