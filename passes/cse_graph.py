"""cse-graph: equal computations are one."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from ait.dialects.graph import GetParameterOp, GraphOp
from ait.passes.rewriting import share_equal

_SHARED = (GraphOp, GetParameterOp)


@dataclass(frozen=True)
class CseGraphPass(ModulePass):
    """Shares graph ops with equal operands and properties, whatever layer they come from.

    Before: `%1 = graph.relu %x`, `%2 = graph.relu %x`, `%3 = graph.add %1, %2`
    After:  `%1 = graph.relu %x`, `%3 = graph.add %1, %1`

    Unlike xDSL's `cse` it ignores discardable attributes, and never meets region code, which that
    pass compares without its inner types.
    """

    name = "cse-graph"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                ops = function.body.block.ops
                share_equal((o for o in ops if isinstance(o, _SHARED)), commute=True)
