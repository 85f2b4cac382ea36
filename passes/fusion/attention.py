"""Attention, recognised by its shape: gemm, softmax over the columns, gemm.

At this level every spelling of scale, mask and causality is just code between the three kernels, so
there is one pattern and no list of spellings. Batch dims may be any number and split differently in
the three kernels; they become the two of `kernel.attention`, and those of them along which keys and
values repeat make it grouped-query attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    AttentionOp,
    EmptyOp,
    GemmOp,
    KernelOp,
    PointwiseOp,
    RowwiseKind,
    RowwiseOp,
    YieldOp,
)
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of, exact_div, tensor_type
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import split_map
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location, keep_names
from ait.passes.regions import Remap, inline, only_rounds
from ait.passes.remarks import describe, remark

# Batch dims -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batched:
    """The accesses of an attention over any number of batch dims, which are the same for all.

    Behind them, q has [Sq, D], k [Sk, D], v [Sk, Dv], the result [Sq, Dv], and extras [Sq, Sk].
    """

    q: AccessMap
    k: AccessMap
    v: AccessMap
    out: AccessMap
    extras: tuple[AccessMap, ...]

    @property
    def factors(self) -> tuple[AccessMap, AccessMap, AccessMap]:
        return self.q, self.k, self.v

    @property
    def rank(self) -> int:
        """The number of batch dims."""
        return self.q.rank - 2

    def mapped(self, change: Callable[[AccessMap], AccessMap]) -> Batched:
        q, k, v, out, *extras = map(change, (*self.factors, self.out, *self.extras))
        return Batched(q, k, v, out, tuple(extras))


@dataclass(frozen=True)
class Heads:
    """Which batch dims are the batch of `kernel.attention`, which its heads, and which of these
    read the same keys and values."""

    rank: int
    first: int
    """How many dims are the batch; the others are heads."""
    repeated: int
    """How many of the last dims are heads of queries that share a head of keys."""

    def merge(self, access: AccessMap, rank: int | None = None) -> AccessMap | None:
        """A map over batch dims and two more as one over [batch, head] and the two."""
        rank = self.rank if rank is None else rank
        sizes: list[Dim] = []
        strides: list[Dim] = []
        for part in (range(self.first), range(self.first, rank)):
            dims = access.select(part)
            whole = dims.reshape((dim_product(dims.sizes),))
            if whole is None:
                return None
            sizes.extend(whole.sizes)
            strides.extend(whole.strides)
        matrix = access.select((self.rank, self.rank + 1))
        return AccessMap(access.offset, (*sizes, *matrix.sizes), (*strides, *matrix.strides))

    def merge_keys(self, access: AccessMap) -> AccessMap | None:
        """The same for keys or values, over [batch, group]."""
        return self.merge(access, self.rank - self.repeated)

    def of_four_dims(self, batched: Batched) -> Batched | None:
        """All accesses as `kernel.attention` has them; None if one of them has no such form."""
        extras = [self.merge(access) for access in batched.extras]
        q, out = self.merge(batched.q), self.merge(batched.out)
        k, v = self.merge_keys(batched.k), self.merge_keys(batched.v)
        if q is None or k is None or v is None or out is None or None in extras:
            return None
        return Batched(q, k, v, out, tuple(e for e in extras if e is not None))


def _candidates(batched: Batched) -> list[Heads]:
    """Ways to tell batch from heads: the first dim is the batch if there are several."""
    rank = batched.rank
    firsts = [0] if rank < 2 else [*range(1, rank + 1), 0]
    shared = 0
    while shared < rank and _repeats(batched, rank - 1 - shared):
        shared += 1
    return [Heads(rank, first, min(shared, rank - first)) for first in firsts]


def _repeats(batched: Batched, dim: int) -> bool:
    return batched.k.strides[dim] == 0 and batched.v.strides[dim] == 0


def with_four_dims(batched: Batched) -> tuple[Heads, Batched] | None:
    """The accesses as `kernel.attention` has them, and how they came to be."""
    for heads in _candidates(batched):
        merged = heads.of_four_dims(batched)
        if merged is not None:
            return heads, merged
    return None


def common_split(a: Sequence[Dim], b: Sequence[Dim]) -> list[Dim] | None:
    """The coarsest dims of which both are merged neighbours: [6], [2, 3] -> [2, 3]."""
    found: list[Dim] = []
    left, right = [d for d in a if d != 1], [d for d in b if d != 1]
    while left and right:
        x, y = left.pop(), right.pop()
        outer_x, outer_y = exact_div(x, y), exact_div(y, x)
        if outer_x is not None:
            found.append(y)
            left.extend([outer_x] if outer_x != 1 else [])
        elif outer_y is not None:
            found.append(x)
            right.append(outer_y)
        else:
            return None
    return None if left or right else found[::-1]


def factors_of(dims: Sequence[Dim], parts: Sequence[Dim]) -> dict[int, list[Dim]]:
    """Which of `parts` each of the dims consists of: those of `common_split`, and ones in front,
    which belong to the first dim."""
    pending = list(parts)
    factors: dict[int, list[Dim]] = {}
    for index in reversed(range(len(dims))):
        rest, own = dims[index], list[Dim]()
        while rest != 1:
            inner = pending.pop()
            outer = exact_div(rest, inner)
            assert outer is not None, "the parts are those of the dims"
            own.append(inner)
            rest = outer
        factors[index] = own[::-1]
    if pending:
        factors[0] = [*pending, *factors[0]]
    return factors


# The three kernels ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Product:
    """A gemm of matrices, whose rows' leading dims count as batch dims that the right factor does
    not have."""

    op: GemmOp

    @property
    def rank(self) -> int:
        """The number of batch dims."""
        b, m, _, _ = self.op.group_ranks
        return b + m - 1

    @property
    def batch(self) -> tuple[Dim, ...]:
        return self.op.domain[: self.rank]

    @property
    def right(self) -> AccessMap:
        """[batch, k, n]"""
        access, own = self.op.in_access[1], self.op.group_ranks[0]
        spread = self.op.domain[own : self.rank]
        return AccessMap(
            access.offset,
            (*access.sizes[:own], *spread, *access.sizes[own:]),
            (*access.strides[:own], *(0 for _ in spread), *access.strides[own:]),
        )


@dataclass(frozen=True)
class _Chain:
    """`weighted = softmax(scores) @ values`, and which operand of the softmax the scores are."""

    scores: _Product
    softmax: RowwiseOp
    weighted: _Product
    position: int
    batch: tuple[Dim, ...]
    """The dims into which the batch dims of all three split."""

    def split(self, batch: Sequence[Dim]) -> Callable[[AccessMap], AccessMap]:
        """What splits batch dims of one kernel, in front of any of its maps, into the common."""
        factors = factors_of(batch, self.batch)
        return lambda access: split_map(access, factors)

    @property
    def softmax_batch(self) -> tuple[Dim, ...]:
        return self.softmax.domain[:-2]


def _only_result_used_by(op: KernelOp, user: Operation) -> bool:
    """Whether `op` writes one fresh tensor that `user` alone reads, once."""
    return (
        len(op.outs) == 1
        and isinstance(op.outs[0].owner, EmptyOp)
        and op.res[0].has_one_use()
        and any(value is op.res[0] for value in user.operands)
    )


def _is_plain_softmax(op: RowwiseOp) -> bool:
    """A softmax over one dim, with nothing behind it but the rounding of the store."""
    return (
        op.kind.data is RowwiseKind.SOFTMAX
        and op.reduced.value.data == 1
        and len(op.domain) > 1
        and only_rounds(op.epilogue, element_of(op.outs[0]))
    )


def _product(op: object) -> _Product | None:
    if not isinstance(op, GemmOp):
        return None
    _, m, n, k = op.group_ranks
    return _Product(op) if m >= 1 and n == k == 1 else None


def _meet(written: AccessMap, read: AccessMap) -> bool:
    """Whether an index names the same element for writer and reader, but for how batch dims are
    split."""
    return written == read or (
        written.is_dense and read.is_dense and written.sizes[-2:] == read.sizes[-2:]
    )


def find_chain(op: GemmOp) -> _Chain | None:
    """The chain that ends in `op`; None if its left factor is no softmax of a gemm."""
    softmax = op.ins[0].owner
    weighted = _product(op)
    if weighted is None or not isinstance(softmax, RowwiseOp) or not _is_plain_softmax(softmax):
        return None
    if not _only_result_used_by(softmax, op) or not _meet(softmax.out_access[0], op.in_access[0]):
        return None
    for position, (value, access) in enumerate(zip(softmax.ins, softmax.in_access, strict=True)):
        scores = _product(value.owner)
        if (
            scores is None
            or not _only_result_used_by(scores.op, softmax)
            or not _meet(scores.op.out_access[0], access)
        ):
            continue
        batches = scores.batch, softmax.domain[:-2], weighted.batch
        common = reduce(_common, batches)
        if common is not None:
            # A batch of 1 stays one, so that heads do not become it.
            one = [1] if all(len(dims) > 1 and dims[0] == 1 for dims in batches) else []
            return _Chain(scores, softmax, weighted, position, (*one, *common))
    return None


def _common(a: Sequence[Dim] | None, b: Sequence[Dim] | None) -> Sequence[Dim] | None:
    return None if a is None or b is None else common_split(a, b)


# The one kernel ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """Where attention writes."""

    destination: SSAValue
    access: AccessMap
    added: Sequence[Operation]
    """The ops that make the destination, where code that follows must be a kernel of its own."""


def build_attention(chain: _Chain, result: _Result) -> AttentionOp | None:
    """The one kernel that does what the chain does; None if an access has no form of 4 dims."""
    scores, softmax, weighted = chain.scores, chain.softmax, chain.weighted
    of_scores, of_softmax = chain.split(scores.batch), chain.split(chain.softmax_batch)
    own = [
        Read(v, of_scores(m))
        for v, m in zip(scores.op.ins[2:], scores.op.in_access[2:], strict=True)
    ]
    others = [
        Read(v, of_softmax(m))
        for i, (v, m) in enumerate(zip(softmax.ins, softmax.in_access, strict=True))
        if i != chain.position
    ]
    extras = list(dict.fromkeys([*own, *others]))
    of_weighted = chain.split(weighted.batch)
    rank = len(chain.batch)
    k = of_scores(scores.right).permute((*range(rank), rank + 1, rank))
    batched = Batched(
        of_scores(scores.op.in_access[0]),
        k,
        of_weighted(weighted.right),
        of_weighted(result.access),
        tuple(r.access for r in extras),
    )
    found = with_four_dims(batched)
    if found is None:
        return None
    heads, accesses = found
    block = Block(
        arg_types=[scores.op.epilogue.block.args[0].type, *(r.compute_type for r in extras)]
    )
    argument = {r: block.args[1 + i] for i, r in enumerate(extras)}
    first = [block.args[0], *(argument[r] for r in own)]
    score = inline(scores.op.epilogue, block, first, _then(of_scores, heads))
    if score is None:
        return None
    inner: list[SSAValue] = [argument[r] for r in others]
    inner.insert(chain.position, score[0])
    value = inline(softmax.prologue, block, inner, _then(of_softmax, heads))
    if value is None:
        return None
    block.add_op(YieldOp(value[0]))
    return AttentionOp(
        [scores.op.ins[0], scores.op.ins[1], weighted.op.ins[1], *(r.base for r in extras)],
        [result.destination],
        [*accesses.factors, *accesses.extras],
        [accesses.out],
        [Region(block)],
        attributes=dict(softmax.attributes),
    )


def _then(split: Callable[[AccessMap], AccessMap], heads: Heads) -> Remap:
    return lambda access: heads.merge(split(access))


def _result_of(weighted: GemmOp) -> _Result:
    """Where attention writes for a gemm: where that does if nothing follows the product, else a
    tensor of its own with the same layout."""
    if only_rounds(weighted.epilogue, element_of(weighted.outs[0])):
        return _Result(weighted.outs[0], weighted.out_access[0], [])
    element = element_of(weighted.ins[0])
    access, out = weighted.out_access[0], weighted.outs[0]
    if access.covers(dim_product(dims_of(out))):
        empty = EmptyOp(tensor_type(element, dims_of(out)))
    else:
        empty = EmptyOp(tensor_type(element, weighted.domain))
        access = AccessMap.dense(weighted.domain)
    return _Result(empty.result, access, [empty])


def _code_behind(weighted: GemmOp, fused: AttentionOp, result: _Result) -> PointwiseOp:
    """The epilogue of the gemm over the result of attention, in the order of its storage."""
    order = result.access.order_as_storage()
    assert order is not None, "the result covers its tensor"
    accesses = [result.access, *weighted.in_access[2:]]
    return PointwiseOp(
        [fused.res[0], *weighted.ins[2:]],
        weighted.outs,
        [access.permute(order) for access in accesses],
        [access.permute(order) for access in weighted.out_access],
        [_reordered(weighted.epilogue, order)],
        attributes=dict(weighted.attributes),
    )


def _reordered(region: Region, order: Sequence[int]) -> Region:
    block = Block(arg_types=[argument.type for argument in region.block.args])
    values = inline(region, block, block.args, lambda access: access.permute(order))
    assert values is not None, "every map can be permuted"
    block.add_op(YieldOp(*values))
    return Region(block)


class FuseAttention(FusionPattern):
    """softmax(code(a @ b)) @ c -> kernel.attention with the code as its score region.

    Code behind the second product becomes a kernel of its own: it costs one launch, attention saves
    two and the matrix of scores.
    """

    roots = (GemmOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        chain = find_chain(op) if isinstance(op, GemmOp) else None
        if chain is None:
            return
        weighted = chain.weighted.op
        result = _result_of(weighted)
        fused = build_attention(chain, result)
        reason = self._refusal(fused)
        if fused is None or reason is not None:
            message = f"softmax between gemms stays apart: {reason}"
            remark(self.pass_name, "missed", chain.softmax, message)
            for unused in (fused, *result.added):
                if unused is not None:
                    unused.erase()
            return
        message = f"{describe(chain.scores.op)} and {describe(op)} are attention"
        remark(self.pass_name, "applied", chain.softmax, message)
        fused.location = joined_location(chain.scores.op, chain.softmax, op)
        added: list[Operation] = [*result.added, fused]
        last: KernelOp = fused
        if result.added:
            last = _code_behind(weighted, fused, result)
            last.location = op.location
            added.append(last)
        keep_names(op.results, last.res)
        rewriter.replace(op, added, list(last.res))
        rewriter.erase(chain.softmax)
        rewriter.erase(chain.scores.op)

    def _refusal(self, fused: AttentionOp | None) -> str | None:
        if self.target.capabilities.of(AttentionOp) is None:
            return f"{self.target.name} has no attention"
        if fused is None:
            return "an operand cannot be addressed by batch and head"
        return self.target.refusal(fused)
