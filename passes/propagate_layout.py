"""propagate-layout: images run channels-last, with no transposes left between layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    PatternRewriter,
)

from ait.dialects import graph
from ait.dialects.graph import ElementwiseOp, GraphOp
from ait.dialects.graph.windows import channel_axis
from ait.dialects.symbolic import Dim, dim_product, dims_of, floordiv, provably_le
from ait.passes.rewriting import EraseUnused, OpPattern, rewrite_all, rewrite_each
from ait.passes.target import find_target

TO_LAST = (0, 2, 3, 1)
"""NCHW -> NHWC (and OIHW -> OHWI)."""
TO_FIRST = (0, 3, 1, 2)

_IMAGES: tuple[type[GraphOp], ...] = (
    graph.AdaptiveAvgPool2dOp,
    graph.AdaptiveMaxPool2dOp,
    graph.AvgPool2dOp,
    graph.Conv2dOp,
    graph.ConvTranspose2dOp,
    graph.MaxPool2dOp,
    graph.ResizeOp,
)


def _moved_weights(op: Any) -> list[Operation]:
    return [graph.PermuteOp(op.weight, TO_LAST)]


def _moved_transposed_weights(op: Any) -> list[Operation]:
    """[c, o / groups, r, s] -> [o, r, s, c / groups]."""
    c, o, r, s = dims_of(op.weight)
    if op.groups == 1:
        return [graph.PermuteOp(op.weight, (1, 2, 3, 0))]
    depth = floordiv(c, op.groups)
    split = graph.ReshapeOp(op.weight, (op.groups, depth, o, r, s))
    permute = graph.PermuteOp(split, (0, 2, 3, 4, 1))
    return [split, permute, graph.ReshapeOp(permute, (o * op.groups, r, s, depth))]


_WEIGHTS: Mapping[type, Callable[[Any], list[Operation]]] = {
    graph.Conv2dOp: _moved_weights,
    graph.ConvTranspose2dOp: _moved_transposed_weights,
}
"""Image ops with weights, which must be channels-last as well, and the ops that make them so."""


class RunChannelsLast(OpPattern):
    """conv2d {nchw} -> permute, conv2d {nhwc}, permute back; pooling and resize likewise."""

    roots = _IMAGES

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, _IMAGES):
            return
        image: Any = op
        if image.layout != "nchw" or len(dims_of(op.results[0])) != 4:
            return
        moved: list[Operation] = [graph.PermuteOp(op.operands[0], TO_LAST)]
        operands = [moved[0].results[0], *op.operands[1:]]
        if type(op) in _WEIGHTS:
            moved += _WEIGHTS[type(op)](op)
            operands[1] = moved[-1].results[0]
        last = op.clone_onto(operands, layout="nhwc")
        back = graph.PermuteOp(last.results[0], TO_FIRST)
        back.result.name_hint = op.results[0].name_hint
        rewriter.replace(op, [*moved, last, back])


def _sunk_elementwise(
    op: GraphOp, permutation: Sequence[int], inner: Sequence[SSAValue]
) -> list[GraphOp]:
    return [op.clone_onto(inner)]


def _sunk_axis(op: Any, permutation: Sequence[int], inner: Sequence[SSAValue]) -> list[GraphOp]:
    return [op.clone_onto(inner, axis=permutation[op.axis])]


def _carried(values: Sequence[Any], permutation: Sequence[int]) -> list[Any]:
    """Per-dim values of the permuted tensor, for the dims of the tensor before the permute."""
    carried = list(values)
    for position, source in enumerate(permutation):
        carried[source] = values[position]
    return carried


def _sunk_slice(op: Any, permutation: Sequence[int], inner: Sequence[SSAValue]) -> list[GraphOp]:
    changed = {name: _carried(getattr(op, name), permutation) for name in _SLICE_PROPERTIES}
    return [op.clone_onto(inner, **changed)]


_SLICE_PROPERTIES = ("offsets", "sizes", "steps")


def _sunk_pad(op: Any, permutation: Sequence[int], inner: Sequence[SSAValue]) -> list[GraphOp]:
    changed = {name: _carried(getattr(op, name), permutation) for name in ("low", "high")}
    return [op.clone_onto(inner, **changed)]


def _sunk_group_norm(
    op: Any, permutation: Sequence[int], inner: Sequence[SSAValue]
) -> list[GraphOp] | None:
    """What lies between the batch and the channels is one group, in any order."""
    rank = len(permutation)
    layouts = {1: "nchw", rank - 1: "nhwc"}
    channel = permutation[channel_axis(op.layout, rank)]
    if permutation[0] != 0 or channel not in layouts:
        return None
    return [op.clone_onto(inner, layout=layouts[channel])]


SINKS: Mapping[type, Callable[..., list[GraphOp] | None]] = {
    graph.BatchNormOp: _sunk_axis,
    graph.ConcatOp: _sunk_axis,
    graph.GroupNormOp: _sunk_group_norm,
    graph.PadOp: _sunk_pad,
    graph.SliceOp: _sunk_slice,
    graph.SplitOp: _sunk_axis,
}
"""Ops that a permute of their first operands can pass, and how their properties change; None if
not this permute."""

_REDUCTIONS = (
    graph.ReduceMaxOp,
    graph.ReduceMeanOp,
    graph.ReduceMinOp,
    graph.ReduceProdOp,
    graph.ReduceSumOp,
)


def _permuted_operands(op: GraphOp) -> int:
    """How many leading operands have the rank of the image that is permuted."""
    return 1 if isinstance(op, graph.BatchNormOp | graph.GroupNormOp) else len(op.operands)


class SinkPermute(OpPattern):
    """f(permute(x), permute(y)) -> permute(f(x, y)), for what works on each element or dim alone.

    The dims of other operands that are not 1 must keep their order, so that a reshape moves them.
    """

    roots = (GraphOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        rule = SINKS.get(type(op))
        if rule is None and isinstance(op, ElementwiseOp):
            rule = _sunk_elementwise
        if rule is None or not isinstance(op, GraphOp):
            return
        moved = _permuted_operands(op)
        permutes = [
            operand.owner
            for operand in op.operands[:moved]
            if isinstance(operand.owner, graph.PermuteOp)
        ]
        if not permutes:
            return
        permutation = tuple(permutes[0].permutation)
        if any(len(dims_of(r)) != len(permutation) for r in op.results):
            return
        new_ops: list[Operation] = []
        carried = [self._carried(x, permutation, new_ops) for x in op.operands[:moved]]
        inner = [value for value in carried if value is not None]
        sunk = None
        if len(inner) == moved:
            sunk = rule(op, permutation, [*inner, *op.operands[moved:]])
        if sunk is None:
            for new in reversed(new_ops):
                new.erase()  # in no block, it would use its operand for ever
            return
        backs = [graph.PermuteOp(result, permutation) for result in sunk[0].results]
        for back, old in zip(backs, op.results, strict=True):
            back.result.name_hint = old.name_hint
        rewriter.replace(op, [*new_ops, *sunk, *backs], [back.result for back in backs])

    def _carried(
        self, operand: SSAValue, permutation: Sequence[int], new_ops: list[Operation]
    ) -> SSAValue | None:
        """The operand in the dims before the permute; None if that would move data."""
        owner = operand.owner
        if isinstance(owner, graph.PermuteOp) and tuple(owner.permutation) == tuple(permutation):
            return owner.x
        dims = dims_of(operand)
        if all(dim == 1 for dim in dims):
            return operand
        wide = (*([1] * (len(permutation) - len(dims))), *dims)
        if len(wide) != len(permutation):
            return None
        moved = [permutation[i] for i, dim in enumerate(wide) if dim != 1]
        if moved != sorted(moved):
            return None
        reshaped = graph.ReshapeOp(operand, _carried(wide, permutation))
        new_ops.append(reshaped)
        return reshaped.result


class ReducePermuted(OpPattern):
    """A reduction of a permuted tensor -> of the tensor itself, if the kept dims stay in order."""

    roots = _REDUCTIONS

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, _REDUCTIONS) or not isinstance(op.x.owner, graph.PermuteOp):
            return
        permutation = op.x.owner.permutation
        kept = [permutation[i] for i in range(len(permutation)) if i not in op.axes]
        if op.keepdims or kept != sorted(kept):
            return
        axes = sorted(permutation[axis] for axis in op.axes)
        rewriter.replace(op, op.clone_onto([op.x.owner.x], axes=axes))


class CancelPermutes(OpPattern):
    """permute of permute -> one, or none."""

    roots = (graph.PermuteOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.PermuteOp) or not isinstance(op.x.owner, graph.PermuteOp):
            return
        inner = op.x.owner
        combined = [inner.permutation[i] for i in op.permutation]
        if combined == sorted(combined):
            rewriter.replace(op, [], [inner.x])
        else:
            rewriter.replace(op, graph.PermuteOp(inner.x, combined))


class CancelAroundReshape(OpPattern):
    """permute, reshape, permute -> reshape, permute, if the reshape takes dims together, or apart,
    that lie side by side before the first permute as well.

    An image that becomes a sequence of pixels, `x.flatten(2).transpose(1, 2)`, is one.
    """

    roots = (graph.PermuteOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.PermuteOp):
            return
        reshape = op.x.owner
        if not isinstance(reshape, graph.ReshapeOp) or not reshape.result.has_one_use():
            return
        inner = reshape.x.owner
        if not isinstance(inner, graph.PermuteOp):
            return
        pieces = pieces_of_reshape(dims_of(reshape.x), dims_of(reshape.result))
        sources = [[inner.permutation[i] for i in before] for before, _ in pieces]
        if any(own != list(range(own[0], own[0] + len(own))) for own in sources if own):
            return
        order = sorted(range(len(pieces)), key=lambda i: sources[i])
        moved = [axis for i in order for axis in pieces[i][1]]
        after = dims_of(reshape.result)
        new = graph.ReshapeOp(inner.x, [after[axis] for axis in moved])
        new.attributes.update(reshape.attributes)
        permutation = [moved.index(axis) for axis in op.permutation]
        if permutation == sorted(permutation):
            rewriter.replace(op, new)
            return
        last = graph.PermuteOp(new.result, permutation)
        last.attributes.update(op.attributes)
        rewriter.replace(op, [new, last])


def pieces_of_reshape(
    before: Sequence[Dim], after: Sequence[Dim]
) -> list[tuple[list[int], list[int]]]:
    """The dims before and after a reshape in pieces of as many elements each, in order; as small
    as can be told."""
    pieces: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        first, second = i, j
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while True:
            left, right = dim_product(before[first:i]), dim_product(after[second:j])
            if left == right:
                break
            if i == len(before) or (j < len(after) and provably_le(right, left)):
                j += 1
            else:
                i += 1
        pieces.append((list(range(first, i)), list(range(second, j))))
    return pieces


@dataclass(frozen=True)
class PropagateLayoutPass(ModulePass):
    """Runs images channels-last where the target's kernels want it.

    Before: `graph.conv2d {nchw}`, `graph.relu`, `graph.conv2d {nchw}`
    After:  `graph.permute`, `graph.conv2d {nhwc}`, `graph.relu`, `graph.conv2d {nhwc}`,
            `graph.permute`

    Each image op is put between two permutes; these sink through whatever works on each element or
    dim alone until they meet and cancel. Permutes of weights are left to fold-constants.
    """

    name = "propagate-layout"
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if not find_target(self.target).capabilities.channels_last:
            return
        rewrite_each(op, RunChannelsLast())
        rewrite_all(
            op,
            EraseUnused(),
            CancelPermutes(),
            CancelAroundReshape(),
            SinkPermute(),
            ReducePermuted(),
        )
