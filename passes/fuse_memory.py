"""fuse-memory: data movement disappears into the accesses of whatever reads or writes."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.functions import functions_of
from ait.dialects.kernel import CopyOp, EmptyOp, KernelOp
from ait.dialects.symbolic import dim_product, dims_of, element_of
from ait.passes.fusion.assembly import Assembler
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.lowering.launch import read
from ait.passes.origins import keep_names
from ait.passes.pieces import joined, pieces_of
from ait.passes.remarks import remark
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_each
from ait.passes.target import TargetInfo, find_target

NAME = "fuse-memory"


class FoldViews(OpPattern):
    """A kernel that reads a view -> the kernel reads the view's base through a composed map."""

    roots = (KernelOp,)

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
    keep_names(op.res, new.res)
    rewriter.replace(op, new, list(new.res))


class CopyRemainingViews(OpPattern):
    """A view that something reads directly -> a copy into a dense tensor."""

    roots = (ViewOp,)

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


class AssembleCopies(OpPattern):
    """kernel.copy of all of an assembled tensor -> an assembled tensor of that one piece.

    The pieces can then be written where the copy would have put them.
    """

    roots = (CopyOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, CopyOp) or op.on_buffers:
            return
        (source,), (access,), (place,) = op.ins, op.in_access, op.out_access
        result = op.res[0]
        if not isinstance(source.owner, AssembleOp) or not isinstance(op.outs[0].owner, EmptyOp):
            return
        if not access.covers(dim_product(dims_of(source))):
            return
        if not place.covers(dim_product(dims_of(result))):
            return
        if element_of(source) != element_of(result):
            return
        view = ViewOp(source, access)
        assembled = AssembleOp([view.result], [place], result.type)
        assembled.attributes.update(op.attributes)
        assembled.location = op.location
        assembled.result.name_hint = result.name_hint
        rewriter.replace(op, [view, assembled], [assembled.result])


class JoinPieces(OpPattern):
    """Pieces that are neighbours in one tensor -> one piece."""

    roots = (AssembleOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, AssembleOp):
            return
        given = pieces_of(op)
        pieces = joined(given)
        if len(pieces) == len(given):
            return
        views = [ViewOp(piece.source.base, piece.source.access) for piece in pieces]
        result = op.result.type
        places = [piece.place for piece in pieces]
        new = AssembleOp([view.result for view in views], places, result, op.fill)
        new.attributes.update(op.attributes)
        new.location = op.location
        new.result.name_hint = op.result.name_hint
        rewriter.replace(op, [*views, new], [new.result])


@dataclass(frozen=True)
class FuseMemoryPass(ModulePass):
    """Folds views into the operands, and assembled pieces into the results, of kernels.

    Before: `%a = kernel.gemm ...`, `%b = kernel.gemm ...`, `%c = accessor.assemble %a, %b`
    After:  `%d = kernel.gemm ... outs(%e <first columns>)`,
            `%c = kernel.gemm ... outs(%d <last columns>)`

    An assembled tensor that is part of a larger one is a place in it, and so is one whose pieces
    have the same places relative to each other in another: concats of concats, and growing lists
    that are concatenated again and again, are written once. A copy of an assembled tensor counts as
    one of a single piece, so a permuted concat is written permuted. Copied are only pieces that are
    inputs, that are returned as they are, or that have one place already.

    What cannot be folded becomes `kernel.copy`: the data movements that are left.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        fold = FoldViews(target)
        _apply(op, fold, JoinPieces(), AssembleCopies())
        for function in functions_of(op):
            Assembler(function.body.block, target, NAME).run()
        _apply(op, fold, CopyRemainingViews())


def _apply(module: ModuleOp, *patterns: RewritePattern) -> None:
    """Applies patterns one after another, each to all ops, and drops what nothing reads."""
    for pattern in patterns:
        rewrite_each(module, pattern)
        erase_unused(module)
