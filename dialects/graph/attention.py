"""Attention: one op from queries, keys and values to the weighted values."""

from __future__ import annotations

from typing_extensions import override
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import operand_def, opt_operand_def, result_def

from ait.dialects.graph.base import (
    FLOATS,
    TENSOR,
    AnyTensor,
    ElementKind,
    GraphOp,
    Tensor,
    broadcast_dims,
    different,
    expect_elements,
    expect_rank,
    expect_same_element,
    graph_op,
    shape_text,
    static_dim,
)
from ait.dialects.graph.properties import flag_property, float_property
from ait.dialects.symbolic import Dim, dims_of
from ait.errors import ShapeError


@graph_op
class AttentionOp(GraphOp):
    """Scaled dot product attention, all in f32 and rounded once:

        s = scale q k^T + mask,  y = softmax(s) v

    Dims: q [b, h, sq, d], k [b, hkv, sk, d], v [b, hkv, sk, dv], y [b, h, sq, dv]. Query head i
    reads key head i // (h / hkv). `mask` broadcasts to [b, h, sq, sk]: floats are added, i1 keeps
    where true. If `causal`, query i sees keys j <= i + sk - sq: the last query sees all. A query
    that sees nothing gives zeros. `scale` is 1 / sqrt(d) unless given.
    """

    name = "graph.attention"
    q = operand_def(TENSOR)
    k = operand_def(TENSOR)
    v = operand_def(TENSOR)
    mask = opt_operand_def(TENSOR)
    result = result_def(TENSOR)
    scale = float_property()
    causal = flag_property()

    def __init__(
        self,
        q: SSAValue | Operation,
        k: SSAValue | Operation,
        v: SSAValue | Operation,
        mask: SSAValue | Operation | None = None,
        *,
        scale: float | None = None,
        causal: bool = False,
    ):
        scale = _default_scale(SSAValue.get(q)) if scale is None else scale
        super().__init__((q, k, v, mask), scale=scale, causal=causal)

    @override
    @classmethod
    def infer(
        cls,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        scale: float,
        causal: bool,
    ) -> AnyTensor:
        expect_elements(FLOATS, q, k, v)
        expect_same_element(q, k, v)
        for tensor in (q, k, v):
            expect_rank(tensor, 4)
        b, h, sq, d = q.dims
        kb, hkv, sk, kd = k.dims
        for what, left, right in (("batches", b, kb), ("head dims", d, kd)):
            if left != right:
                raise ShapeError(f"{q} and {k} differ in their {what}: {different(left, right)}")
        if v.dims[:3] != (kb, hkv, sk):
            raise ShapeError(f"{k} and {v} must agree in batch, heads and length")
        if h != hkv and static_dim(q, 1) % max(static_dim(k, 1), 1):
            raise ShapeError(f"the heads of {q} are not a multiple of the heads of {k}")
        if mask is not None:
            _expect_mask(mask, q, (b, h, sq, sk))
        return q.like((b, h, sq, v.dims[3]))


def _default_scale(q: SSAValue) -> float:
    dims = dims_of(q)
    width = dims[-1] if dims else 0
    if not isinstance(width, int):
        raise ShapeError(f"graph.attention: q {shape_text(dims)} has no static width: give a scale")
    return max(width, 1) ** -0.5


def _expect_mask(mask: Tensor, q: Tensor, scores: tuple[Dim, ...]) -> None:
    expect_elements((ElementKind.FLOAT, ElementKind.BOOLEAN), mask)
    if mask.kind is ElementKind.FLOAT:
        expect_same_element(q, mask)
    names = (f"mask {shape_text(mask.dims)} against scores", "of q and k")
    if broadcast_dims(mask.dims, scores, names) != scores:
        raise ShapeError(f"{mask} does not broadcast to the scores {shape_text(scores)}")
