"""fuse-memory: data movement disappears into the accesses of whatever reads or writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, OpResult, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern
from xdsl.rewriter import InsertPoint
from xdsl.transforms.dead_code_elimination import dce

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.kernel import CopyOp, EmptyOp, KernelOp, PointwiseOp, compute_type
from ait.dialects.symbolic import dim_product, dims_of, element_of
from ait.passes.fusion.rebuild import rebuilt, split_domain, splits_for
from ait.passes.lowering.launch import read
from ait.passes.origins import joined_location
from ait.passes.regions import build_region
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo, find_target

NAME = "fuse-memory"


class FoldViews(RewritePattern):
    """A kernel that reads a view -> the kernel reads the view's base through a composed map."""

    def __init__(self, target: TargetInfo):
        self.target = target

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, KernelOp):
            return
        row = self.target.capabilities.of(op)
        if row is not None and not row.strided_operands:
            return
        reads = [read(v, m) for v, m in zip(op.ins, op.in_access, strict=True)]
        if all(r.base is v for r, v in zip(reads, op.ins, strict=True)):
            return
        folded = rebuilt(op, ins=[r.base for r in reads], in_maps=[r.access for r in reads])
        replace_keeping_names(op, folded, rewriter)


def replace_keeping_names(op: KernelOp, new: KernelOp, rewriter: PatternRewriter) -> None:
    """Replaces a kernel op by one with as many results."""
    for old, result in zip(op.res, new.res, strict=True):
        result.name_hint = old.name_hint
    rewriter.replace(op, new, list(new.res))


class CopyRemainingViews(RewritePattern):
    """A view that something reads directly -> a copy into a dense tensor."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ViewOp) or not op.result.uses:
            return
        empty = EmptyOp(op.result.type)
        dense = AccessMap.dense(dims_of(op.result))
        copy = CopyOp([op.base], [empty.result], [op.access], [dense], attributes=op.attributes)
        copy.res[0].name_hint = op.result.name_hint
        copy.location = op.location
        remark(NAME, "missed", op, "a view is copied: its user takes dense tensors only")
        rewriter.replace(op, [empty, copy], [copy.res[0]])


@dataclass(frozen=True)
class _Writer:
    """A kernel that can write its result straight into its place in a larger tensor."""

    op: KernelOp
    result: OpResult
    place: AccessMap
    """How the result's storage reaches the larger tensor."""
    out: AccessMap
    """How the kernel's domain reaches the larger tensor."""


def whole_view(piece: SSAValue, place: AccessMap) -> tuple[SSAValue, AccessMap]:
    """The tensor behind a piece that is a view of all of it, and where its storage goes."""
    view = piece.owner
    if not isinstance(view, ViewOp):
        return piece, place
    order = view.access.order_as_storage()
    if order is None or view.access.size != dim_product(dims_of(view.base)):
        return piece, place
    return view.base, place.permute(order)


class WriteInPlace(RewritePattern):
    """accessor.assemble of kernels' results -> the kernels write into one destination.

    Pieces that no kernel of this function computes (its inputs, weights) are copied. Others that
    read a piece read it where it now is.
    """

    def __init__(self, target: TargetInfo):
        self.target = target

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, AssembleOp):
            return
        writers: dict[int, _Writer] = {}
        for index, (piece, place) in enumerate(zip(op.pieces, op.accesses, strict=True)):
            writer = self._writer(op, piece, place)
            taken = writer is not None and any(w.op is writer.op for w in writers.values())
            if writer is not None and not taken:
                writers[index] = writer
        ordered = in_block_order([w.op for w in writers.values()])
        by_op = {w.op: w for w in writers.values()}
        first = ordered[0] if ordered else op
        destination = self._destination(op, first, rewriter)
        for kernel in ordered:
            assert isinstance(kernel, KernelOp)
            destination = self._redirect(op, by_op[kernel], destination, rewriter)
        for index, (piece, place) in enumerate(zip(op.pieces, op.accesses, strict=True)):
            if index not in writers:
                destination = self._copy(op, piece, place, destination, rewriter)
        destination.name_hint = op.result.name_hint
        rewriter.replace(op, [], [destination])

    def _writer(self, op: AssembleOp, piece: SSAValue, place: AccessMap) -> _Writer | None:
        once = sum(p is piece for p in op.pieces) == 1
        piece, place = whole_view(piece, place)
        kernel = piece.owner
        if not isinstance(kernel, KernelOp) or not isinstance(piece, OpResult):
            remark(NAME, "missed", op, "a piece is copied: no kernel here computes it")
            return None
        row = self.target.capabilities.of(kernel)
        out = kernel.out_access[piece.index]
        reason = None
        if row is not None and not row.strided_results:
            reason = f"{kernel.name} writes dense results only"
        elif not isinstance(kernel.outs[piece.index].owner, EmptyOp):
            reason = "it is already part of another tensor"
        elif not out.covers(dim_product(dims_of(piece))):
            reason = "its kernel does not write all of it"
        elif not once or not self._readers_can_follow(op, piece, place):
            reason = "another user needs it dense"
        if reason is None:
            composed = out.compose(place)
            if composed is not None:
                return _Writer(kernel, piece, place, composed)
            factors = splits_for(out, place.sizes)
            split = split_domain(kernel, factors) if factors else None
            composed = split.out_access[piece.index].compose(place) if split is not None else None
            if split is not None and composed is not None:
                return self._adopt(kernel, split, piece.index, place, composed)
            if split is not None:
                split.erase()
            reason = "its place cannot be addressed over the kernel's domain"
        remark(NAME, "missed", op, f"a piece from {describe(kernel)} is copied: {reason}")
        return None

    def _adopt(
        self,
        kernel: KernelOp,
        split: KernelOp,
        index: int,
        place: AccessMap,
        out: AccessMap,
    ) -> _Writer:
        """Puts the kernel with the finer domain in the old one's place."""
        block = kernel.parent
        assert block is not None
        block.insert_op_before(split, kernel)
        for old, new in zip(kernel.res, split.res, strict=True):
            new.name_hint = old.name_hint
            old.replace_all_uses_with(new)
        kernel.detach()
        kernel.erase()
        result = split.res[index]
        assert isinstance(result, OpResult)
        return _Writer(split, result, place, out)

    def _readers_can_follow(self, op: AssembleOp, piece: SSAValue, place: AccessMap) -> bool:
        """Whether all other users of a piece can read it through its place."""
        for use in piece.uses:
            user = use.operation
            if user is op:
                continue
            if isinstance(user, ViewOp):
                access = user.access
            elif isinstance(user, KernelOp) and use.index < len(user.ins):
                access = user.in_access[use.index]
            else:
                return False
            if access.compose(place) is None:
                return False
        return True

    def _destination(self, op: AssembleOp, first: Operation, rewriter: PatternRewriter) -> SSAValue:
        empty = EmptyOp(op.result.type)
        rewriter.insert(empty, InsertPoint.before(first))
        if op.fill is None:
            return empty.result
        value = op.fill.value.data
        element = element_of(op.result)
        body = build_region([], lambda b, _: [b.constant(value, compute_type(element))])
        dense = AccessMap.dense(dims_of(op.result))
        fill = PointwiseOp([], [empty.result], [], [dense], [body], attributes=dict(op.attributes))
        fill.location = op.location
        rewriter.insert(fill, InsertPoint.before(first))
        return fill.res[0]

    def _redirect(
        self, op: AssembleOp, writer: _Writer, destination: SSAValue, rewriter: PatternRewriter
    ) -> SSAValue:
        kernel, index = writer.op, writer.result.index
        outs = list(kernel.outs)
        maps = list(kernel.out_access)
        outs[index], maps[index] = destination, writer.out
        redirected = rebuilt(kernel, outs=outs, out_maps=maps)
        redirected.location = joined_location(kernel, op)
        remark(NAME, "applied", kernel, "writes its part of the assembled tensor in place")
        results: list[SSAValue] = list(redirected.res)
        whole = results[index]
        view = ViewOp(whole, writer.place)
        for old, new in zip(kernel.res, redirected.res, strict=True):
            new.name_hint = old.name_hint
        results[index] = view.result
        rewriter.replace(kernel, [redirected, view], results)
        return whole

    def _copy(
        self,
        op: AssembleOp,
        piece: SSAValue,
        place: AccessMap,
        destination: SSAValue,
        rewriter: PatternRewriter,
    ) -> SSAValue:
        source = read(piece)
        copy = CopyOp(
            [source.base], [destination], [source.access], [place], attributes=dict(op.attributes)
        )
        copy.location = op.location
        rewriter.insert(copy, InsertPoint.before(op))
        return copy.res[0]


def in_block_order(ops: Sequence[Operation]) -> list[Operation]:
    """Ops of one block, sorted by position."""
    if not ops:
        return []
    wanted = set(ops)
    block = ops[0].parent
    assert block is not None
    return [op for op in block.ops if op in wanted]


@dataclass(frozen=True)
class FuseMemoryPass(ModulePass):
    """Folds views into the operands, and assembled pieces into the results, of kernels.

    Before: `%a = kernel.gemm ...`, `%b = kernel.gemm ...`, `%c = accessor.assemble %a, %b`
    After:  `%d = kernel.gemm ... outs(%e <first columns>)`,
            `%c = kernel.gemm ... outs(%d <last columns>)`

    What cannot be folded becomes `kernel.copy`: the data movements that are left.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        fold = FoldViews(target)
        for pattern in (fold, WriteInPlace(target), fold):
            PatternRewriteWalker(pattern, apply_recursively=False).rewrite_module(op)
            dce(op)
        PatternRewriteWalker(CopyRemainingViews(), apply_recursively=False).rewrite_module(op)
