"""Attention as generated kernels see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, prod
from typing import TypeAlias, cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import Block, Operation, SSAValue

from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import AttentionOp, YieldOp
from ait.dialects.symbolic import dim_product, element_of, upper_bound

_ELEMENTS = frozenset({"f32", "f16", "bf16"})
_SCALES = (1e-30, 1e30)
"""Scales that f32 holds with what kernels make of them."""


@dataclass(frozen=True)
class AttentionProblem:
    """An attention whose heads have known sizes: `depth` of queries and keys, `value` of values."""

    view: KernelView
    causal: bool
    depth: int
    value: int

    @staticmethod
    def of(view: KernelView) -> AttentionProblem:
        """Raises Refusal for heads of unknown size, or operands that no kernel multiplies."""
        op = cast(AttentionOp, view.op)
        for operand in (*view.ins[:3], *view.outs):
            if operand.element.name not in _ELEMENTS:
                raise Refusal(f"an attention of {operand.element.name}")
        if len(view.outs) != 1:
            raise Refusal(f"{len(view.outs)} results")
        depth, value = op.in_access[0].sizes[3], op.in_access[2].sizes[3]
        if not isinstance(depth, int) or not isinstance(value, int):
            raise Refusal("heads of unknown size")
        if depth == 0 or value == 0:
            raise Refusal("heads of no elements")
        return AttentionProblem(view, op.causal is not None, depth, value)

    @cached_property
    def scale(self) -> float | None:
        """The positive number that the region multiplies products with, if it does nothing else
        with them than to add what does not depend on them: a score is scale * product + addend.
        The addend is the region of a product of -0."""
        block = cast(AttentionOp, self.view.op).score.block
        scale = _factor_of(cast(YieldOp, block.last_op).operands[0], block.args[0])
        return scale if scale is not None and _SCALES[0] < scale < _SCALES[1] else None

    @property
    def adds(self) -> bool:
        """Whether the region does more than to scale."""
        operations = cast(AttentionOp, self.view.op).score.block.ops
        return any(
            not isinstance(op, arith.MulfOp | arith.ConstantOp | YieldOp) for op in operations
        )

    @cached_property
    def adds_by_key(self) -> bool:
        """Whether the region does more than to scale, in that it adds the same for all queries."""
        region = self.view.region("score")
        reached = [operand for scalar, operand in region.loaded if scalar.is_used]
        varies = any(operand.stride("row") != 0 for operand in (*reached, *region.indices))
        return self.scale is not None and self.adds and not varies

    @cached_property
    def largest_addend(self) -> float:
        """No finite addend is larger, by what types and constants of the region say."""
        op = cast(AttentionOp, self.view.op)
        block, types = op.score.block, [element_of(value).name for value in op.ins[3:]]
        limits: dict[SSAValue, float] = {block.args[0]: 0.0}
        limits |= {a: _LIMITS.get(t, inf) for a, t in zip(block.args[1:], types, strict=True)}
        for inner in block.ops:
            found = [limits[operand] for operand in inner.operands]
            for result in inner.results:
                limits[result] = _limit(inner, found)
        return limits[cast(YieldOp, block.last_op).operands[0]]

    @property
    def heads(self) -> int:
        """The most heads of all batches."""
        return max(1, upper_bound(dim_product(self.view.op.domain[:2])))

    @property
    def queries(self) -> int:
        """The most queries of a head."""
        return max(1, upper_bound(self.view.op.domain[2]))

    @property
    def keys(self) -> int:
        """The most keys of a head."""
        return max(1, upper_bound(cast(AttentionOp, self.view.op).score_domain[3]))

    @property
    def operations(self) -> float:
        """Of both products."""
        visible = 0.5 if self.causal else 1.0
        pairs = visible * self.heads * self.queries * self.keys
        return 2.0 * pairs * (self.depth + self.value)

    @property
    def bytes(self) -> float:
        """Of all factors and results, each moved once."""
        op = cast(AttentionOp, self.view.op)
        shared = max(1, upper_bound(dim_product(op.in_access[1].sizes[:2])))
        queries = self.heads * self.queries * (self.depth + self.value)
        keys = shared * self.keys * (self.depth + self.value)
        return float(queries + keys) * self.view.ins[0].element.bytes


_LIMITS = {"f16": 65504.0, "i1": 1.0}
"""The largest finite values of types, and of integers that are worth to know."""


def _limit(op: Operation, operands: Sequence[float]) -> float:
    """The largest finite absolute value of an op's result."""
    match op:
        case arith.ConstantOp():
            constant = _constant(op.result)
            return inf if constant is None else abs(constant) if isfinite(constant) else 0.0
        case arith.MulfOp():
            return prod(operands)
        case arith.AddfOp() | arith.SubfOp():
            return sum(operands)
        case arith.SelectOp():
            return max(operands[1:])
        case arith.ExtFOp() | arith.TruncFOp() | arith.UIToFPOp():
            return operands[0]
        case _:
            return inf


_HIDES = -1e30
"""From here on down, a score is the same whatever finite product is added to it. A key that is not
finite is not hidden then, as its value, which a weight of zero multiplies, never was."""


def _factor_of(yielded: SSAValue, argument: SSAValue) -> float | None:
    """By what the values of a region that lead from its argument to what it yields multiply it, if
    they only add to it otherwise."""
    block = argument.owner
    assert isinstance(block, Block), "an argument is of a block"
    factors: _Factors = {argument: 1.0}
    for op in block.ops:
        if not factors.keys().isdisjoint(op.operands):
            factors.update(dict.fromkeys(op.results, _next_factor(op, factors)))
    return factors.get(yielded)


_Factors: TypeAlias = dict[SSAValue, float | None]
"""Of the values that an argument has a part in; None of those that it is not just a term of."""


def _next_factor(op: Operation, factors: _Factors) -> float | None:
    """The factor of an op's result, of which an operand has one."""
    match op:
        case arith.MulfOp(lhs=a, rhs=b):
            for value, by in ((a, b), (b, a)):
                factor, constant = factors.get(value), _constant(by)
                if factor is not None and constant is not None:
                    return factor * constant
        case arith.AddfOp(lhs=a, rhs=b):
            return None if a in factors and b in factors else factors[a if a in factors else b]
        case arith.SubfOp(lhs=a, rhs=b):
            return None if b in factors else factors[a]
        case arith.SelectOp(cond=condition, lhs=a, rhs=b) if condition not in factors:
            for value, other in ((a, b), (b, a)):
                if _hides(other):
                    return factors.get(value)
        case _:
            pass
    return None


def _hides(value: SSAValue) -> bool:
    constant = _constant(value)
    return constant is not None and constant <= _HIDES


def _constant(value: SSAValue) -> float | None:
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, FloatAttr):
        return owner.value.value.data
    return None
