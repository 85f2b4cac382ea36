"""Two products of one left factor that meet again, such as a linear and its gate, in one kernel.

They come in two spellings: as two gemms, one of which has the other's result among the operands of
its epilogue, and as one gemm of which a pointwise kernel reads both halves of the columns. What the
gate or the activation is does not matter: it is code of the epilogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from xdsl.dialects.builtin import DenseArrayBase, f32, i64
from xdsl.ir import Block, Operation, OpResult, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter
from xdsl.rewriter import InsertPoint

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import DualGemmOp, EmptyOp, GemmOp, PointwiseOp, YieldOp
from ait.dialects.symbolic import Dim, element_of, exact_div, provably_le, tensor_type
from ait.passes.fusion.legality import (
    Refusal,
    capability,
    check_limits,
    check_runs,
    covers_storage,
)
from ait.passes.fusion.motion import dependents_between, reaches, replace_both
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import dims_of_operand, rebuilt, split_domain
from ait.passes.lowering.launch import Read
from ait.passes.origins import keep_names
from ait.passes.regions import inline
from ait.passes.remarks import describe, remark


def _extras(op: GemmOp) -> list[Read]:
    """What the epilogue reads."""
    return [Read(op.ins[i], op.in_access[i]) for i in op.visible_ins]


def _epilogue_block(extras: Sequence[Read]) -> tuple[Block, dict[Read, SSAValue]]:
    """An empty block with two sums and the extras as arguments, and which extra is which."""
    block = Block(arg_types=[f32, f32, *(r.compute_type for r in extras)])
    return block, dict(zip(extras, block.args[2:], strict=True))


def _is_fresh(op: GemmOp) -> bool:
    """Whether the op writes all of each of its results and nothing else."""
    return all(
        isinstance(out.owner, EmptyOp) and covers_storage(out, access)
        for out, access in zip(op.outs, op.out_access, strict=True)
    )


# Two gemms, one in the epilogue of the other ----------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """Two gemms of one left factor; the epilogue of `second` reads results of `first`."""

    first: GemmOp
    second: GemmOp
    moved: Sequence[Operation]
    """Other users of `first` that must stand behind the fused op."""

    @property
    def kept(self) -> list[int]:
        """Indices of the results of `first` that others read too."""
        return [
            i
            for i, result in enumerate(self.first.res)
            if any(use.operation is not self.second for use in result.uses)
        ]


def _pair_of(first: GemmOp, second: GemmOp) -> _Pair:
    """The two as a pair. Raises Refusal."""
    if first.parent is not second.parent:
        raise Refusal("it is computed elsewhere")
    if first.in_access[0] != second.in_access[0]:
        raise Refusal("they read their left factor through different maps")
    if (first.group_ranks, first.group_dims) != (second.group_ranks, second.group_dims):
        raise Refusal("they range over different dims")
    if not _is_fresh(first):
        raise Refusal("it writes into a larger tensor")
    for index, value in enumerate(second.operands):
        if value.owner is not first:
            continue
        assert isinstance(value, OpResult)
        if index not in second.visible_ins:
            raise Refusal("its result is more than an operand of the epilogue")
        if second.in_access[index] != first.out_access[value.index]:
            raise Refusal("its result is read through another map than it is written")
    dependents = dependents_between(first, second)
    others = [value for value in second.operands if value.owner is not first]
    if reaches(dependents, others):
        raise Refusal("another operand depends on it too: fusing would make a cycle")
    return _Pair(first, second, dependents)


def build_pair(pair: _Pair) -> DualGemmOp:
    """The one kernel that does what the pair does; it is in no block yet."""
    first, second = pair.first, pair.second
    own, theirs = _extras(first), _extras(second)
    extras = list(dict.fromkeys([*own, *(r for r in theirs if r.base.owner is not first)]))
    block, argument = _epilogue_block(extras)
    values = inline(first.epilogue, block, [block.args[0], *(argument[r] for r in own)])
    assert values is not None, "nothing is remapped"
    read = [
        values[r.base.index]
        if isinstance(r.base, OpResult) and r.base.owner is first
        else argument[r]
        for r in theirs
    ]
    results = inline(second.epilogue, block, [block.args[1], *read])
    assert results is not None, "nothing is remapped"
    block.add_op(YieldOp(*(values[i] for i in pair.kept), *results))
    return DualGemmOp(
        [first.ins[0], first.ins[1], second.ins[1], *(r.base for r in extras)],
        [*(first.outs[i] for i in pair.kept), *second.outs],
        [*first.in_access[:2], second.in_access[1], *(r.access for r in extras)],
        [*(first.out_access[i] for i in pair.kept), *second.out_access],
        [Region(block)],
        {"groups": second.groups},
        dict(second.attributes),
    )


class FuseGemmPair(FusionPattern):
    """gemm A; gemm B of A's left factor whose epilogue reads A's result -> dual_gemm.

    A result of A that others read as well is one more result.
    """

    roots = (GemmOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, GemmOp):
            return
        for owner in dict.fromkeys(op.ins[i].owner for i in op.visible_ins):
            if not isinstance(owner, GemmOp) or owner.ins[0] is not op.ins[0]:
                continue
            try:
                pair = _pair_of(owner, op)
                row = capability(self.target, DualGemmOp)
                fused = build_pair(pair)
                check_limits(fused, row)
                check_runs(fused, self.target)
            except Refusal as reason:
                message = f"not one kernel with {describe(owner)}, which it reads: {reason}"
                remark(self.pass_name, "missed", op, message)
                continue
            message = f"{describe(owner)} and {describe(op)} are one dual gemm"
            remark(self.pass_name, "applied", op, message)
            self._replace(pair, fused, rewriter)
            return

    def _replace(self, pair: _Pair, fused: DualGemmOp, rewriter: PatternRewriter) -> None:
        survivors = [pair.first.res[i] for i in pair.kept]
        replace_both(pair.first, pair.second, fused, survivors, pair.moved, rewriter)


# One gemm, read in two halves -------------------------------------------------------------------


def _without(access: AccessMap, dim: int, index: int) -> AccessMap:
    """The map at one index of a dim, over the other dims."""
    kept = [i for i in range(access.rank) if i != dim]
    rest = access.select(kept)
    return AccessMap(access.offset + index * access.strides[dim], rest.sizes, rest.strides)


@dataclass(frozen=True)
class _Halves:
    """A gemm and the dim of its domain, of size 2, that tells the halves of its columns apart."""

    op: GemmOp
    dim: int

    def of_domain(self, access: AccessMap, half: int) -> AccessMap:
        """A map of the gemm's domain as a map of the domain of one half."""
        return _without(access, self.dim, half)

    def of_operand(self, index: int, half: int) -> Read:
        """An operand as one half reads it."""
        dims = dims_of_operand(self.op, index)
        position = dims[self.dim] if dims is not None else None
        access = self.op.in_access[index]
        if position is not None:
            access = _without(access, position, half)
        return Read(self.op.ins[index], access)

    def storage(self) -> AccessMap:
        """The first half of the result as a map to it, in the order of its storage."""
        out = self.op.out_access[0]
        order = out.order_as_storage()
        assert order is not None, "the gemm writes all of its result"
        return _without(out.permute(order), order.index(self.dim), 0)

    def out(self) -> AccessMap:
        """How a half's domain reaches a tensor that is dense in the order of `storage`."""
        order = self.op.out_access[0].order_as_storage()
        assert order is not None, "the gemm writes all of its result"
        rest = [i - (i > self.dim) for i in order if i != self.dim]
        dense = AccessMap.dense(self.storage().sizes)
        return dense.permute([rest.index(i) for i in range(len(rest))])


def _halvings(op: GemmOp, distance: Dim) -> Iterator[tuple[int, list[Dim], int]]:
    """The dims of op's n group that split so that one step along a part of size 2 is `distance`
    elements of the result; what they split into, and which part is the 2."""
    b, m, n, _ = op.group_ranks
    out = op.out_access[0]
    for dim in range(b + m, b + m + n):
        inner = exact_div(distance, out.strides[dim])
        outer = None if inner is None else exact_div(out.sizes[dim], 2 * inner)
        if inner is None or outer is None:
            continue
        tail: list[Dim] = [2] if inner == 1 and outer != 1 else [2, inner]
        yield (dim, tail, 0) if outer == 1 else (dim, [outer, *tail], 1)


@dataclass(frozen=True)
class _HalvesRead:
    """A pointwise op reads the two halves of the columns of a gemm, each through `access`."""

    halves: _Halves
    reads: tuple[AccessMap, AccessMap]
    """How the reader reaches the halves in the gemm's result."""
    access: AccessMap
    """How it reaches them in a tensor of one half."""


def _halves_read(op: PointwiseOp, gemm: GemmOp) -> _HalvesRead:
    """The halves of `gemm` that `op` reads. Raises Refusal.

    The gemm with the split domain stands in no block; the caller erases it.
    """
    if len(gemm.outs) != 1 or any(use.operation is not op for use in gemm.res[0].uses):
        raise Refusal("others read its results too")
    if gemm.parent is not op.parent:
        raise Refusal("it is computed elsewhere")
    if not _is_fresh(gemm):
        raise Refusal("it writes into a larger tensor")
    pairs = zip(op.ins, op.in_access, strict=True)
    low, high, *others = dict.fromkeys(m for v, m in pairs if v.owner is gemm)
    if others:
        raise Refusal("it is read through more than two maps")
    if not provably_le(low.offset, high.offset):
        low, high = high, low
    if (low.sizes, low.strides) != (high.sizes, high.strides):
        raise Refusal("it is read through two maps that differ in more than their offset")
    for dim, factors, part in _halvings(gemm, high.offset - low.offset):
        split = split_domain(gemm, {dim: factors})
        assert isinstance(split, GemmOp)
        halves = _Halves(split, dim + part)
        access = low.through(halves.storage())
        if access is not None and access.covers(halves.storage().size):
            return _HalvesRead(halves, (low, high), access)
        split.erase()
    raise Refusal("the two maps are not the halves of its columns")


def build_halves(halves: _Halves) -> tuple[list[EmptyOp], DualGemmOp]:
    """The kernel whose two results are the halves, and its destinations; all in no block yet."""
    gemm = halves.op
    own = [[halves.of_operand(i, half) for i in gemm.visible_ins] for half in (0, 1)]
    extras = list(dict.fromkeys([*own[0], *own[1]]))
    block, argument = _epilogue_block(extras)
    results: list[SSAValue] = []
    for half, reads in enumerate(own):
        remap = partial(halves.of_domain, half=half)
        arguments = [block.args[half], *(argument[r] for r in reads)]
        values = inline(gemm.epilogue, block, arguments, remap)
        assert values is not None, "every map has an image in the domain of a half"
        results += values
    block.add_op(YieldOp(*results))
    factors = [halves.of_operand(0, 0), halves.of_operand(1, 0), halves.of_operand(1, 1)]
    element = element_of(gemm.outs[0])
    empties = [EmptyOp(tensor_type(element, halves.storage().sizes)) for _ in own]
    b, m, n, k = gemm.group_ranks
    fused = DualGemmOp(
        [*(r.base for r in factors), *(r.base for r in extras)],
        [e.result for e in empties],
        [*(r.access for r in factors), *(r.access for r in extras)],
        [halves.out()] * 2,
        [Region(block)],
        {"groups": DenseArrayBase.from_list(i64, [b, m, n - 1, k])},
        dict(gemm.attributes),
    )
    fused.location = gemm.location
    return empties, fused


class FuseColumnHalves(FusionPattern):
    """gemm A; a pointwise kernel that alone reads A's result, as two halves of its columns ->
    dual_gemm over the halves of A's right factor, with the halves as two results.

    The pointwise kernel then reads each of them once, and goes into the epilogue like any other.
    """

    roots = (PointwiseOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, PointwiseOp):
            return
        for owner in dict.fromkeys(value.owner for value in op.ins):
            reads = zip(op.ins, op.in_access, strict=True)
            maps = {access for value, access in reads if value.owner is owner}
            if not isinstance(owner, GemmOp) or len(maps) < 2:
                continue
            try:
                self._fuse(op, owner, rewriter)
            except Refusal as reason:
                message = f"{describe(owner)}, which it reads, is not made of two halves: {reason}"
                remark(self.pass_name, "missed", op, message)
                continue
            return

    def _fuse(self, op: PointwiseOp, gemm: GemmOp, rewriter: PatternRewriter) -> None:
        found = _halves_read(op, gemm)
        try:
            row = capability(self.target, DualGemmOp)
            if not row.strided_operands:
                raise Refusal(f"{DualGemmOp.name} reads dense operands only on {self.target.name}")
            empties, fused = build_halves(found.halves)
        finally:
            found.halves.op.erase()
        check_limits(fused, row)
        check_runs(fused, self.target)
        message = f"the halves of {describe(gemm)} are one dual gemm"
        remark(self.pass_name, "applied", op, message)
        for result in fused.res:
            result.name_hint = gemm.res[0].name_hint
        reads = [
            Read(fused.res[found.reads.index(access)], found.access)
            if value.owner is gemm
            else Read(value, access)
            for value, access in zip(op.ins, op.in_access, strict=True)
        ]
        reader = rebuilt(op, ins=[r.base for r in reads], in_maps=[r.access for r in reads])
        keep_names(op.res, reader.res)
        rewriter.insert([*empties, fused], InsertPoint.before(gemm))
        rewriter.replace(op, reader, list(reader.res))
        rewriter.erase(gemm)
