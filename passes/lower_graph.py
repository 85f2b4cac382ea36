"""lower-graph: every graph op becomes one kernel op with identity or trivial regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern

from ait.passes.lowering import contraction, elementwise, images, rows
from ait.passes.lowering.launch import Rule

RULES: Mapping[type, Rule] = {
    **contraction.RULES,
    **elementwise.RULES,
    **images.RULES,
    **rows.RULES,
}
"""The rule of every graph op that computes."""


class LowerGraphOp(RewritePattern):
    """graph.op -> kernel.empty + kernel.op, by the table of rules."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        rule = RULES.get(type(op))
        if rule is None:
            return
        lowered = rule(op)
        hints = [result.name_hint for result in op.results]
        rewriter.replace(op, lowered.ops, lowered.results)
        for value, hint in zip(lowered.results, hints, strict=True):
            if hint is not None:
                value.name_hint = hint


@dataclass(frozen=True)
class LowerGraphPass(ModulePass):
    """Lowers computing graph ops to kernel ops.

    Before: `%y = graph.relu %x : tensor<4xf32>`
    After:  `%e = kernel.empty : tensor<4xf32>`
            `%y = kernel.pointwise ins(%x : ...) outs(%e : ...) body { ... arith.maximumf ... }`

    Operands that are accessor.view results are read through the view's map. Movement ops must have
    been lowered by lower-movement before.
    """

    name = "lower-graph"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(LowerGraphOp(), apply_recursively=False).rewrite_module(op)
