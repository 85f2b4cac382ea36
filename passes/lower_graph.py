"""lower-graph: every graph op becomes one kernel op with identity or trivial regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import MaterializeOp
from ait.dialects.kernel import CopyOp
from ait.dialects.symbolic import dims_of, element_of
from ait.passes.lowering import contraction, elementwise, images, rows
from ait.passes.lowering.launch import Lowered, Rule, Write, launch, read
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_each


def lower_materialize(op: MaterializeOp) -> Lowered:
    """A copy from the view's base."""
    out = Write.dense(element_of(op.result), dims_of(op.result))
    return launch(CopyOp, op, [read(op.input)], [out], [])


RULES: Mapping[type, Rule] = {
    MaterializeOp: lower_materialize,
    **contraction.RULES,
    **elementwise.RULES,
    **images.RULES,
    **rows.RULES,
}
"""The rule of every op that computes or copies."""


class LowerGraphOp(OpPattern):
    """graph.op -> kernel.empty + kernel.op, by the table of rules; accessor.materialize too."""

    roots = tuple(RULES)

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
        rewrite_each(op, LowerGraphOp())
        erase_unused(op)  # views that nothing reads through any more
