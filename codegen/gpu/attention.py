"""Attention as generated kernels see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import SSAValue

from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import AttentionOp, YieldOp
from ait.dialects.symbolic import dim_product, upper_bound

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
        """The positive number that the region multiplies products with, if it does nothing else."""
        block = cast(AttentionOp, self.view.op).score.block
        result = cast(YieldOp, block.last_op).operands[0]
        scale = 1.0
        while result is not block.args[0]:
            product = result.owner
            if not isinstance(product, arith.MulfOp):
                return None
            factors = ((product.lhs, product.rhs), (product.rhs, product.lhs))
            step = next(((v, c) for v, f in factors if (c := _constant(f)) is not None), None)
            if step is None:
                return None
            result, factor = step
            scale *= factor
        return scale if _SCALES[0] < scale < _SCALES[1] else None

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


def _constant(value: SSAValue) -> float | None:
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, FloatAttr):
        return owner.value.value.data
    return None
