"""Attention, recognised by its shape: gemm, softmax over the columns, gemm.

At this level every spelling of scale, mask and causality is just code between the three kernels, so
there is one pattern and no list of spellings.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    AttentionOp,
    EmptyOp,
    GemmOp,
    KernelOp,
    RowwiseKind,
    RowwiseOp,
    YieldOp,
)
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location
from ait.passes.regions import Remap, inline, is_identity
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo


@dataclass(frozen=True)
class _Chain:
    """`weighted = softmax(scores) @ values`, and which operand of the softmax the scores are."""

    scores: GemmOp
    softmax: RowwiseOp
    weighted: GemmOp
    position: int


def _only_result_used_by(op: KernelOp, user: Operation) -> bool:
    """Whether `op` writes one fresh tensor that `user` alone reads, once."""
    return (
        len(op.outs) == 1
        and isinstance(op.outs[0].owner, EmptyOp)
        and op.res[0].has_one_use()
        and any(value is op.res[0] for value in user.operands)
    )


def _is_plain_softmax(op: Operation) -> bool:
    """A softmax over one dim, with nothing behind it."""
    return (
        isinstance(op, RowwiseOp)
        and op.kind.data is RowwiseKind.SOFTMAX
        and op.reduced.value.data == 1
        and is_identity(op.epilogue)
    )


def _matrix_groups(op: GemmOp) -> bool:
    batch, *others = op.group_ranks
    return batch <= 2 and others == [1, 1, 1]


def find_chain(weighted: GemmOp) -> _Chain | None:
    """The chain that ends in `weighted`; None if its left factor is no softmax of a gemm."""
    softmax = weighted.ins[0].owner
    if not isinstance(softmax, RowwiseOp) or not _is_plain_softmax(softmax):
        return None
    if not _only_result_used_by(softmax, weighted):
        return None
    if softmax.out_access[0] != weighted.in_access[0] or not is_identity(weighted.epilogue):
        return None
    for position, (value, access) in enumerate(zip(softmax.ins, softmax.in_access, strict=True)):
        scores = value.owner
        if (
            isinstance(scores, GemmOp)
            and _only_result_used_by(scores, softmax)
            and scores.out_access[0] == access
            and _matrix_groups(scores)
            and _matrix_groups(weighted)
            and scores.group_ranks == weighted.group_ranks
        ):
            return _Chain(scores, softmax, weighted, position)
    return None


def _four_dims(access: AccessMap) -> AccessMap:
    """The map with dims of size 1 in front, for batches of fewer than two dims."""
    missing = 4 - access.rank
    return AccessMap(
        access.offset, (*([1] * missing), *access.sizes), (*([0] * missing), *access.strides)
    )


def build_attention(chain: _Chain) -> AttentionOp:
    """The one kernel that does what the chain does."""
    scores, softmax, weighted = chain.scores, chain.softmax, chain.weighted
    own = [Read(v, m) for v, m in zip(scores.ins[2:], scores.in_access[2:], strict=True)]
    others = [
        Read(v, m)
        for i, (v, m) in enumerate(zip(softmax.ins, softmax.in_access, strict=True))
        if i != chain.position
    ]
    extras = list(dict.fromkeys([*own, *others]))
    remap: Remap = _four_dims
    block = Block(arg_types=[scores.epilogue.block.args[0].type, *(r.compute_type for r in extras)])
    argument = {r: block.args[1 + i] for i, r in enumerate(extras)}
    score = inline(scores.epilogue, block, [block.args[0], *(argument[r] for r in own)], remap)
    assert score is not None, "every map has an image in four dims"
    inner: list[SSAValue] = [argument[r] for r in others]
    inner.insert(chain.position, score[0])
    value = inline(softmax.prologue, block, inner, remap)
    assert value is not None, "every map has an image in four dims"
    block.add_op(YieldOp(value[0]))
    q, k = (_four_dims(m) for m in scores.in_access[:2])
    v = _four_dims(weighted.in_access[1])
    return AttentionOp(
        [scores.ins[0], scores.ins[1], weighted.ins[1], *(r.base for r in extras)],
        weighted.outs,
        [q, k.permute((0, 1, 3, 2)), v, *(_four_dims(r.access) for r in extras)],
        [_four_dims(weighted.out_access[0])],
        [Region(block)],
        attributes=dict(softmax.attributes),
    )


class FuseAttention(RewritePattern):
    """softmax(code(a @ b)) @ c -> kernel.attention with the code as its score region."""

    def __init__(self, target: TargetInfo, pass_name: str):
        self.target = target
        self.pass_name = pass_name

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        chain = find_chain(op) if isinstance(op, GemmOp) else None
        if chain is None:
            return
        if self.target.capabilities.of(AttentionOp) is None:
            message = f"softmax between gemms stays apart: {self.target.name} has no attention"
            remark(self.pass_name, "missed", chain.softmax, message)
            return
        fused = build_attention(chain)
        message = f"{describe(chain.scores)} and {describe(op)} are attention"
        remark(self.pass_name, "applied", chain.softmax, message)
        fused.location = joined_location(chain.scores, chain.softmax, op)
        fused.res[0].name_hint = op.results[0].name_hint
        rewriter.replace(op, fused, list(fused.res))
        rewriter.erase(chain.softmax)
        rewriter.erase(chain.scores)
