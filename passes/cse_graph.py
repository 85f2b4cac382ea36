"""cse-graph: equal computations are one."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.traits import Commutative

from ait.dialects.graph import GetParameterOp, GraphOp


def _key(op: Operation) -> tuple[object, ...]:
    """Equal for ops that compute the same; where an op comes from does not matter."""
    operands = [id(operand) for operand in op.operands]
    if op.has_trait(Commutative):
        operands.sort()
    return (
        type(op),
        tuple(operands),
        tuple(sorted(op.properties.items(), key=lambda entry: entry[0])),
        tuple(op.result_types),
    )


def _share(function: FuncOp) -> None:
    known: dict[tuple[object, ...], Operation] = {}
    for op in list(function.body.block.ops):
        if not isinstance(op, GraphOp | GetParameterOp):
            continue
        first = known.setdefault(_key(op), op)
        if first is op:
            continue
        for old, new in zip(op.results, first.results, strict=True):
            old.replace_all_uses_with(new)
        op.detach()
        op.erase()


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
                _share(function)
