"""A product and the softmax or norm of its rows, in one kernel.

The rows must be those of the product: all of its columns, in any order and however either kernel
splits them into dims. What the row operation computes from the product before, and of itself after,
is code of the one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import EmptyOp, GemmOp, GemmRowwiseOp, RowwiseOp, YieldOp
from ait.passes.fusion.legality import (
    Refusal,
    check_places,
    covers_storage,
)
from ait.passes.fusion.motion import dependents_between, reaches, replace_both
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import split_domain, splits_for
from ait.passes.fusion.row_tiles import accept, check_width, row_capability, separates
from ait.passes.lowering.launch import Read
from ait.passes.regions import Remap, drop_unused, inline, through_storage
from ait.passes.remarks import describe, remark


@dataclass(frozen=True)
class _Pair:
    """A gemm, and a row operation that reads results of it, all through one map."""

    gemm: GemmOp
    rowwise: RowwiseOp
    written: AccessMap
    """How the gemm writes what the row operation reads."""
    read: AccessMap
    moved: Sequence[Operation]
    """Other users of the gemm that must stand behind the fused op."""

    @property
    def kept(self) -> list[int]:
        """Indices of the gemm's results that others read too."""
        return [
            i
            for i, result in enumerate(self.gemm.res)
            if any(use.operation is not self.rowwise for use in result.uses)
        ]

    def is_result(self, index: int) -> bool:
        """Whether operand `index` of the row operation is a result of the gemm."""
        return self.rowwise.ins[index].owner is self.gemm


def _pair_of(gemm: GemmOp, rowwise: RowwiseOp) -> _Pair:
    """The two as a pair. Raises Refusal."""
    if gemm.group_ranks[2] == 0:
        raise Refusal("it has no columns")
    if gemm.parent is not rowwise.parent:
        raise Refusal("it is computed elsewhere")
    if not all(isinstance(out.owner, EmptyOp) for out in gemm.outs):
        raise Refusal("it writes into a larger tensor")
    pairs = list(zip(rowwise.ins, rowwise.in_access, strict=True))
    values = [v for v, _ in pairs if isinstance(v, OpResult) and v.owner is gemm]
    read, *other_reads = dict.fromkeys(m for v, m in pairs if v.owner is gemm)
    written, *others = dict.fromkeys(gemm.out_access[v.index] for v in values)
    if other_reads or others:
        raise Refusal("it is read through two different maps")
    if not covers_storage(values[0], read):
        raise Refusal("the row operation does not read each element once")
    if not covers_storage(values[0], written):
        raise Refusal("it does not write all of its result")
    dependents = dependents_between(gemm, rowwise)
    if reaches(dependents, [v for v, _ in pairs if v.owner is not gemm]):
        raise Refusal("another operand depends on it too: fusing would make a cycle")
    return _Pair(gemm, rowwise, written, read, dependents)


def build_gemm_rowwise(pair: _Pair) -> GemmRowwiseOp:
    """The one kernel that does what the pair does, in no block yet. Raises Refusal."""
    fused = _fused(pair, pair.gemm)
    if fused is not None:
        return fused
    order = pair.read.order_as_storage()
    assert order is not None, "the row operation reads each element once"
    factors = splits_for(pair.written, [pair.rowwise.domain[i] for i in order])
    split = split_domain(pair.gemm, factors) if factors else None
    if isinstance(split, GemmOp):
        try:
            fused = _fused(pair, split)
        finally:
            split.erase()
    if fused is None:
        raise Refusal("an operand cannot be addressed over the product's domain")
    return fused


def _fused(pair: _Pair, gemm: GemmOp) -> GemmRowwiseOp | None:
    """The fused op over the domain of `gemm`: the pair's, or one with its domain split. None if a
    map has no image there."""
    rowwise = pair.rowwise
    position = pair.gemm.out_access.index(pair.written)
    remap = through_storage(gemm.out_access[position], pair.read)
    b, m, n, _ = gemm.group_ranks
    rows = len(rowwise.domain) - rowwise.reduced.value.data
    same = separates(remap, rowwise.domain, rows, range(b + m, b + m + n))
    if same is None:
        return None
    if not same:
        raise Refusal("its row is not all of the product's columns, and nothing but them")
    own = [Read(gemm.ins[i], gemm.in_access[i]) for i in gemm.visible_ins]
    theirs: list[Read | None] = []
    for index, (value, access) in enumerate(zip(rowwise.ins, rowwise.in_access, strict=True)):
        image = None if pair.is_result(index) else remap(access)
        if image is None and not pair.is_result(index):
            return None
        theirs.append(None if image is None else Read(value, image))
    out_maps = [remap(access) for access in rowwise.out_access]
    if None in out_maps:
        return None
    extras = list(dict.fromkeys([*own, *(r for r in theirs if r is not None)]))
    regions = _Regions(pair, own, theirs, extras, remap).built()
    if regions is None:
        return None
    kept = pair.kept
    properties: dict[str, Attribute | None] = {
        "groups": gemm.groups,
        "kind": rowwise.kind,
        "eps": rowwise.eps,
    }
    return GemmRowwiseOp(
        [*gemm.ins[:2], *(r.base for r in extras)],
        [*(gemm.outs[i] for i in kept), *rowwise.outs],
        [*gemm.in_access[:2], *(r.access for r in extras)],
        [*(gemm.out_access[i] for i in kept), *(m for m in out_maps if m is not None)],
        regions,
        properties,
        {**rowwise.attributes, **gemm.attributes},
    )


@dataclass(frozen=True)
class _Regions:
    """The regions of the one kernel, from those of the two."""

    pair: _Pair
    own: Sequence[Read]
    """What the gemm's epilogue reads."""
    theirs: Sequence[Read | None]
    """What the row operation reads; None for results of the gemm."""
    extras: Sequence[Read]
    remap: Remap

    def built(self) -> list[Region] | None:
        """None if an index has no image in the gemm's domain."""
        prologue = Block(arg_types=[f32, *(r.compute_type for r in self.extras)])
        results = self._results(prologue, prologue.args[0])
        given = self._given(prologue, results)
        value = inline(self.pair.rowwise.prologue, prologue, given, self.remap)
        if value is None:
            return None
        prologue.add_op(YieldOp(*value))
        same = [i for i, result in enumerate(results) if result is value[0]]

        epilogue = Block(arg_types=[f32, f32, f32, *(r.compute_type for r in self.extras)])
        y, v, total = epilogue.args[:3]
        # What the row operation begins with is at hand; another result is computed once more.
        results = [
            v if i in same else result for i, result in enumerate(self._results(epilogue, total))
        ]
        given = [y, v, *self._given(epilogue, results)]
        values = inline(self.pair.rowwise.epilogue, epilogue, given, self.remap)
        if values is None:
            return None
        epilogue.add_op(YieldOp(*(results[i] for i in self.pair.kept), *values))
        for block in (prologue, epilogue):
            drop_unused(block)
        return [Region(prologue), Region(epilogue)]

    def _argument(self, block: Block, read: Read) -> SSAValue:
        first = len(block.args) - len(self.extras)
        return block.args[first + self.extras.index(read)]

    def _results(self, block: Block, total: SSAValue) -> list[SSAValue]:
        """What the gemm computes from a sum."""
        arguments = [total, *(self._argument(block, r) for r in self.own)]
        values = inline(self.pair.gemm.epilogue, block, arguments)
        assert values is not None, "nothing is remapped"
        return values

    def _given(self, block: Block, results: Sequence[SSAValue]) -> list[SSAValue]:
        """The operands of the row operation, of which some are the gemm's results."""
        given: list[SSAValue] = []
        for value, read in zip(self.pair.rowwise.ins, self.theirs, strict=True):
            if read is not None:
                given.append(self._argument(block, read))
            else:
                assert isinstance(value, OpResult)
                given.append(results[value.index])
        return given


class FuseGemmRowwise(FusionPattern):
    """gemm A; a softmax or norm B of A's rows -> gemm_rowwise.

    A result of A that others read as well is one more result.
    """

    roots = (RowwiseOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, RowwiseOp):
            return
        for owner in dict.fromkeys(value.owner for value in op.ins):
            if not isinstance(owner, GemmOp):
                continue
            try:
                pair = _pair_of(owner, op)
                fused, profit = self._fuse(pair)
            except Refusal as reason:
                message = f"not one kernel with {describe(owner)}, which it reads: {reason}"
                remark(self.pass_name, "missed", op, message)
                continue
            message = f"{describe(owner)} and {describe(op)} are one kernel: {profit}"
            remark(self.pass_name, "applied", op, message)
            self._replace(pair, fused, rewriter)
            return

    def _fuse(self, pair: _Pair) -> tuple[GemmRowwiseOp, str]:
        row = row_capability(GemmRowwiseOp, self.target)
        check_places([pair.gemm.res[i] for i in pair.kept], pair.rowwise.res, row)
        tile = check_width(row, GemmRowwiseOp, pair.gemm.group_dims[2], self.target)
        fused = build_gemm_rowwise(pair)
        return fused, accept(fused, [pair.gemm], [pair.rowwise], row, tile, self.target)

    def _replace(self, pair: _Pair, fused: GemmRowwiseOp, rewriter: PatternRewriter) -> None:
        survivors = [pair.gemm.res[i] for i in pair.kept]
        replace_both(pair.gemm, pair.rowwise, fused, survivors, pair.moved, rewriter)
