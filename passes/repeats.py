"""Repeated parts of a tensor, however they are spelled, as movement that kernels read through.

A tensor is repeated by concatenating it with itself, or by picking indices that are known: heads of
keys for grouped queries come that way from importers (Concat, Tile, Gather) and from
`k[:, [0, 0, 1, 1]]`. All become slice, expand and reshape, which are views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import i32, i64
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects import graph
from ait.dialects.graph import GraphOp
from ait.dialects.symbolic import Dim, dims_of, element_of
from ait.passes.rewriting import OpPattern

Integers: TypeAlias = npt.NDArray[np.int64]

_MOST_INDICES = 1 << 16
"""More are a table of data, not an arrangement of parts."""


# Indices that are known -----------------------------------------------------------------------

_ARITHMETIC: Mapping[type, Callable[[Integers, Integers], Integers]] = {
    graph.AddOp: np.add,
    graph.SubOp: np.subtract,
    graph.MulOp: np.multiply,
    graph.FloorDivideOp: np.floor_divide,
    graph.RemainderOp: np.remainder,
}
_MOVEMENT: Mapping[type, Callable[[Any, Integers], Integers]] = {
    graph.ReshapeOp: lambda op, x: x.reshape(_sizes(op.result)),
    graph.ExpandOp: lambda op, x: np.broadcast_to(x, _sizes(op.result)),
    graph.PermuteOp: lambda op, x: x.transpose(op.permutation),
    graph.CastOp: lambda op, x: x,
}


def _sizes(value: SSAValue) -> tuple[int, ...]:
    """The dims of a value that are all known."""
    return cast(tuple[int, ...], dims_of(value))


def known_integers(value: SSAValue) -> Integers | None:
    """What a tensor of integers holds, if it follows from literals and positions alone."""
    return _KnownIntegers().of(value)


class _KnownIntegers:
    """What tensors hold; each is computed once, however many are computed from it."""

    def __init__(self) -> None:
        self._found: dict[SSAValue, Integers | None] = {}

    def of(self, value: SSAValue) -> Integers | None:
        if value not in self._found:
            self._found[value] = self._of(value)
        return self._found[value]

    def _of(self, value: SSAValue) -> Integers | None:
        owner, dims = value.owner, dims_of(value)
        if element_of(value) not in (i32, i64) or not all(isinstance(dim, int) for dim in dims):
            return None
        sizes = _sizes(value)
        if prod(sizes) > _MOST_INDICES:
            return None
        if isinstance(owner, graph.ConstantOp):
            return np.asarray(owner.dense.get_values(), np.int64).reshape(sizes)
        if isinstance(owner, graph.IotaOp):
            return np.indices(sizes)[owner.axis]
        if not isinstance(owner, GraphOp):
            return None
        move, combine = _MOVEMENT.get(type(owner)), _ARITHMETIC.get(type(owner))
        if move is None and combine is None:
            return None
        operands = [self.of(operand) for operand in owner.operands]
        known = [operand for operand in operands if operand is not None]
        if len(known) < len(operands):
            return None
        if move is not None:
            return move(owner, known[0])
        assert combine is not None
        divides = combine in (np.floor_divide, np.remainder)
        return None if divides and not known[1].all() else combine(known[0], known[1])


# Indices as steps -----------------------------------------------------------------------------

Steps: TypeAlias = list[tuple[int, int]]
"""Pairs of an extent and a step, the outermost first: what a nest of loops counts."""


def steps_of(indices: Sequence[int]) -> Steps | None:
    """The loops that count `indices` from their first on: [0, 0, 1, 1] -> [(2, 1), (2, 0)]."""
    if len(indices) == 1:
        return []
    step, run = indices[1] - indices[0], 2
    while run < len(indices) and indices[run] - indices[run - 1] == step:
        run += 1
    if len(indices) % run:
        return None
    starts = list(indices[::run])
    inner = [indices[0] + step * i for i in range(run)]
    for number, start in enumerate(starts):
        block = indices[number * run : (number + 1) * run]
        if any(i - start != j - inner[0] for i, j in zip(block, inner, strict=True)):
            return None
    outer = steps_of(starts)
    return None if outer is None else [*outer, (run, step)]


def _counted(steps: Steps) -> tuple[int, int] | None:
    """Extent and step of the one loop that the loops with steps are; None if they are not one."""
    count, step = 1, 1
    for size, stride in reversed([pair for pair in steps if pair[1] != 0]):
        if count == 1:
            count, step = size, stride
        elif stride == count * step:
            count *= size
        else:
            return None
    return count, step


def picked(
    x: SSAValue, axis: int, indices: Sequence[int], shape: Sequence[int]
) -> list[GraphOp] | None:
    """Movement that gives `x` at `indices` along an axis, as dims `shape`; None if no slice and no
    repetition does."""
    extent = dims_of(x)[axis]
    if not indices or not isinstance(extent, int) or not 0 <= min(indices) <= max(indices) < extent:
        return None
    steps = steps_of(indices)
    counted = None if steps is None else _counted(steps)
    if steps is None or counted is None:
        return None
    before, behind = dims_of(x)[:axis], dims_of(x)[axis + 1 :]
    count, step = counted
    ops: list[GraphOp] = []

    def move(op: GraphOp) -> None:
        nonlocal x
        x = op.results[0]
        ops.append(op)

    if (indices[0], count, step) != (0, extent, 1):
        offsets: list[Dim] = [0] * len(dims_of(x))
        sizes, strides = list(dims_of(x)), [1] * len(dims_of(x))
        offsets[axis], sizes[axis], strides[axis] = indices[0], count, step
        move(graph.SliceOp(x, offsets=offsets, sizes=sizes, steps=strides))
    if any(stride == 0 for _, stride in steps):
        once = [1 if stride == 0 else size for size, stride in steps]
        move(graph.ReshapeOp(x, (*before, *once, *behind)))
        move(graph.ExpandOp(x, (*before, *(size for size, _ in steps), *behind)))
    if dims_of(x) != (*before, *shape, *behind):
        move(graph.ReshapeOp(x, (*before, *shape, *behind)))
    return ops


# Patterns -------------------------------------------------------------------------------------


def _replace(op: GraphOp, ops: list[GraphOp], rewriter: PatternRewriter) -> None:
    for new in ops:
        new.location = op.location
        new.attributes.update(op.attributes)
    value = ops[-1].results[0] if ops else op.operands[0]
    if ops:
        value.name_hint = op.results[0].name_hint
    rewriter.replace(op, ops, [value])


class GatherOfKnownIndices(OpPattern):
    """`graph.gather %x, dense<[0, 0, 1, 1]>` -> slice, expand and reshape."""

    roots = (graph.GatherOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.GatherOp):
            return
        indices = known_integers(op.indices)
        if indices is None:
            return
        ops = picked(op.x, op.axis, indices.reshape(-1).tolist(), indices.shape)
        if ops is not None:
            _replace(op, ops, rewriter)


class ConcatOfRepeatedPart(OpPattern):
    """`graph.concat %x, %x` -> expand and reshape."""

    roots = (graph.ConcatOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.ConcatOp) or len(op.inputs) < 2:
            return
        x = op.inputs[0]
        if any(other is not x for other in op.inputs):
            return
        dims = dims_of(x)
        before, behind = dims[: op.axis], dims[op.axis + 1 :]
        count, extent = len(op.inputs), dims[op.axis]
        if extent == 1:
            _replace(op, [graph.ExpandOp(x, (*before, count, *behind))], rewriter)
            return
        one = graph.ReshapeOp(x, (*before, 1, extent, *behind))
        many = graph.ExpandOp(one, (*before, count, extent, *behind))
        _replace(op, [one, many, graph.ReshapeOp(many, dims_of(op.result))], rewriter)


class ConcatOfPickedParts(OpPattern):
    """`graph.concat` of parts of one tensor, some of them several times -> expand and reshape.

    Parts without repetition stay: a concat of those says more than their indices.
    """

    roots = (graph.ConcatOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.ConcatOp) or len(set(op.inputs)) == len(op.inputs):
            return
        parts = [_part_of(value, op.axis) for value in op.inputs]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or any(base is not known[0][0] for base, _ in known):
            return
        indices = [i for _, own in known for i in own]
        if len(indices) > _MOST_INDICES:
            return
        ops = picked(known[0][0], op.axis, indices, [len(indices)])
        if ops is not None:
            _replace(op, ops, rewriter)


def _part_of(value: SSAValue, axis: int) -> tuple[SSAValue, range] | None:
    """The tensor of which a value is a part along one axis, and which indices it has."""
    owner = value.owner
    if isinstance(owner, graph.SplitOp) and owner.axis == axis:
        first: Dim = 0
        for part, size in zip(owner.parts, owner.sizes, strict=True):
            if part is value:
                break
            first = first + size
        return _range_of(owner.x, first, dims_of(value)[axis], 1)
    if isinstance(owner, graph.SliceOp):
        whole = list(dims_of(owner.x))
        whole[axis] = owner.sizes[axis]
        steps = [step for i, step in enumerate(owner.steps) if i != axis]
        if list(owner.sizes) != whole or any(step != 1 for step in steps):
            return None
        return _range_of(owner.x, owner.offsets[axis], owner.sizes[axis], owner.steps[axis])
    return None


def _range_of(x: SSAValue, first: Dim, size: Dim, step: int) -> tuple[SSAValue, range] | None:
    if not isinstance(first, int) or not isinstance(size, int):
        return None
    return x, range(first, first + size * step, step)
