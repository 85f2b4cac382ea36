"""canonicalize-graph: one spelling for graphs that mean the same; few rules, each one-way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    PatternRewriter,
)

from ait.dialects import graph
from ait.dialects.graph import GraphOp
from ait.dialects.symbolic import dims_of
from ait.passes.repeats import ConcatOfPickedParts, ConcatOfRepeatedPart, GatherOfKnownIndices
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_all


def _same_type(op: GraphOp) -> bool:
    return op.operands[0].type == op.results[0].type


def _whole_slice(op: graph.SliceOp) -> bool:
    return _same_type(op) and all(step == 1 for step in op.steps)


IDENTITIES: Mapping[type, Callable[[Any], bool]] = {
    graph.CastOp: _same_type,
    graph.ConcatOp: lambda op: len(op.operands) == 1,
    graph.ExpandOp: _same_type,
    graph.PadOp: lambda op: not any((*op.low, *op.high)),
    graph.PermuteOp: lambda op: list(op.permutation) == sorted(op.permutation),
    graph.ReshapeOp: _same_type,
    graph.SliceOp: _whole_slice,
    graph.SplitOp: lambda op: len(op.results) == 1,
}
"""When an op gives its operand back."""


class RemoveIdentities(OpPattern):
    """`graph.permute %x {permutation = [0, 1]}` -> `%x`, and the like."""

    roots = tuple(IDENTITIES)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        is_identity = IDENTITIES.get(type(op))
        if is_identity is not None and is_identity(op):
            rewriter.replace(op, [], [op.operands[0]])


class ComposeMovement(OpPattern):
    """permute of permute -> permute; reshape of reshape -> reshape."""

    roots = (graph.ReshapeOp, graph.PermuteOp)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        inner = op.operands[0].owner if op.operands else None
        if isinstance(op, graph.ReshapeOp) and isinstance(inner, graph.ReshapeOp):
            new: GraphOp = graph.ReshapeOp(inner.x, dims_of(op.result))
        elif isinstance(op, graph.PermuteOp) and isinstance(inner, graph.PermuteOp):
            new = graph.PermuteOp(inner.x, [inner.permutation[i] for i in op.permutation])
        else:
            return
        new.attributes.update(op.attributes)
        rewriter.replace(op, new)


class ReshapeUnitPermute(OpPattern):
    """A permute that only moves dims of size 1 -> a reshape."""

    roots = (graph.PermuteOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.PermuteOp):
            return
        dims = dims_of(op.x)
        moved = [i for i in op.permutation if dims[i] != 1]
        if moved == sorted(moved) and list(op.permutation) != sorted(op.permutation):
            new = graph.ReshapeOp(op.x, dims_of(op.result))
            new.attributes.update(op.attributes)
            rewriter.replace(op, new)


@dataclass(frozen=True)
class CanonicalizeGraphPass(ModulePass):
    """Removes ops that change nothing and merges chains of movement.

    Before: `%1 = graph.permute %x {permutation = [1, 0]}`, `%2 = graph.permute %1 {...}`
    After:  `%x`

    A tensor that is repeated, by concatenating it with itself or by picking indices that are known,
    is one that is expanded and reshaped.

    Before: `%1 = graph.concat %x, %x {axis = 0}`, `%2 = graph.gather %x, %c` of [0, 0, 1, 1]
    After:  reshape, expand, reshape of `%x`
    """

    name = "canonicalize-graph"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite_all(
            op,
            RemoveIdentities(),
            ComposeMovement(),
            ReshapeUnitPermute(),
            GatherOfKnownIndices(),
            ConcatOfRepeatedPart(),
            ConcatOfPickedParts(),
        )
        erase_unused(op)
