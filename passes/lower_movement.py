"""lower-movement: permutes, slices, reshapes, concats, ... become views and assembles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    PatternRewriter,
)
from xdsl.rewriter import InsertPoint

from ait.dialects import graph
from ait.dialects.accessor import AccessMap, AssembleOp, MaterializeOp, ViewOp
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of, tensor_type
from ait.passes.lowering.launch import Read, read
from ait.passes.pieces import Piece, flattened, joined, through_pieces
from ait.passes.regions import integer
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_each

Maps: TypeAlias = Iterator[AccessMap]


def view_of(value: SSAValue) -> tuple[SSAValue, AccessMap]:
    """The base of a value and its access: through the view that made it, if one did."""
    if isinstance(value.owner, ViewOp):
        return value.owner.base, value.owner.access
    return value, AccessMap.dense(dims_of(value))


def _reshape(op: graph.ReshapeOp, access: AccessMap) -> list[AccessMap | None]:
    return [access.reshape(dims_of(op.result))]


def _permute(op: graph.PermuteOp, access: AccessMap) -> list[AccessMap | None]:
    return [access.permute(op.permutation)]


def _slice(op: graph.SliceOp, access: AccessMap) -> list[AccessMap | None]:
    return [access.slice(op.offsets, op.sizes, op.steps)]


def _expand(op: graph.ExpandOp, access: AccessMap) -> list[AccessMap | None]:
    return [access.expand(dims_of(op.result))]


def _split(op: graph.SplitOp, access: AccessMap) -> list[AccessMap | None]:
    parts: list[AccessMap | None] = []
    offset: Dim = 0
    for size in op.sizes:
        parts.append(_along_axis(access, op.axis, offset, size))
        offset = offset + size
    return parts


def _along_axis(access: AccessMap, axis: int, offset: Dim, size: Dim) -> AccessMap:
    """The part [offset, offset + size) of one dim."""
    offsets: list[Dim] = [0] * access.rank
    sizes = list(access.sizes)
    offsets[axis], sizes[axis] = offset, size
    return access.slice(offsets, sizes, [1] * access.rank)


VIEWS: Mapping[type, Callable[..., list[AccessMap | None]]] = {
    graph.ExpandOp: _expand,
    graph.PermuteOp: _permute,
    graph.ReshapeOp: _reshape,
    graph.SliceOp: _slice,
    graph.SplitOp: _split,
}
"""Ops whose results are views: from the operand's access to each result's, None if no strides do
it (a reshape of a permuted tensor), when the operand must be materialized first."""


class LowerToView(OpPattern):
    """A movement op -> accessor.view of the operand's base.

    A view of an assembled tensor that lies inside one piece is a view of that piece.
    """

    roots = tuple(VIEWS)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        rule = VIEWS.get(type(op))
        if rule is None:
            return
        operand = op.operands[0]
        base, access = view_of(operand)
        maps = rule(op, access)
        new_ops: list[Operation] = []
        if None in maps:
            copy = MaterializeOp(operand)
            _keep_source(copy, op)
            new_ops.append(copy)
            base = copy.result
            maps = rule(op, AccessMap.dense(dims_of(base)))
        results: list[SSAValue] = []
        for result, chosen in zip(op.results, cast(list[AccessMap], maps), strict=True):
            source = through_pieces(Read(base, chosen))
            if source.access == AccessMap.dense(dims_of(source.base)):
                results.append(source.base)
                continue
            view = ViewOp(source.base, source.access)
            view.result.name_hint = result.name_hint
            new_ops.append(view)
            results.append(view.result)
        for new in new_ops:
            new.location = op.location
        rewriter.replace(op, new_ops, results)


def _keep_source(new: Operation, op: Operation) -> None:
    """What moves data says where it comes from; views move none."""
    new.location = op.location
    source = op.attributes.get("source")
    if source is not None:
        new.attributes["source"] = source


def place_pieces(
    pieces: Sequence[SSAValue], axis: int, result: Attribute
) -> tuple[list[SSAValue], list[AccessMap]]:
    """The non-empty pieces of a concatenation and where in the result each goes."""
    whole = AccessMap.dense(dims_of(result))
    kept: list[SSAValue] = []
    maps: list[AccessMap] = []
    offset: Dim = 0
    for piece in pieces:
        size = dims_of(piece)[axis]
        if dim_product(dims_of(piece)) != 0:
            kept.append(piece)
            maps.append(_along_axis(whole, axis, offset, size))
        offset = offset + size
    return kept, maps


class LowerConcat(OpPattern):
    """graph.concat -> accessor.assemble.

    Pieces that are concats themselves are taken apart, neighbours in one tensor are one piece, and
    a concat of all parts of a tensor is that tensor.
    """

    roots = (graph.ConcatOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.ConcatOp):
            return
        values, places = place_pieces(list(op.inputs), op.axis, op.result.type)
        given = [Piece(read(v), m) for v, m in zip(values, places, strict=True)]
        pieces = joined([part for piece in given for part in flattened(piece)])
        dims = dims_of(op.result)
        if len(pieces) == 1 and pieces[0].place == AccessMap.dense(dims):
            views, (value,) = _values(pieces, op)
            rewriter.replace(op, views, [value])
            return
        views, found = _values(pieces, op)
        assembled = AssembleOp(
            found, [p.place for p in pieces], tensor_type(element_of(op.result), dims)
        )
        _keep_source(assembled, op)
        rewriter.replace(op, [*views, assembled], [assembled.result])


def _values(pieces: Sequence[Piece], op: Operation) -> tuple[list[Operation], list[SSAValue]]:
    """New views where pieces are not whole tensors, and the values of all pieces."""
    views: list[Operation] = []
    values: list[SSAValue] = []
    for piece in pieces:
        base, access = piece.source.base, piece.source.access
        if access == AccessMap.dense(dims_of(base)):
            values.append(base)
            continue
        view = ViewOp(base, access)
        view.location = op.location
        views.append(view)
        values.append(view.result)
    return views, values


class LowerPad(OpPattern):
    """graph.pad -> accessor.assemble of one piece, the rest filled."""

    roots = (graph.PadOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.PadOp):
            return
        if not any((*op.low, *op.high)):
            rewriter.replace(op, [], [op.x])
            return
        result = tensor_type(element_of(op.result), dims_of(op.result))
        inside = dims_of(op.x)
        place = AccessMap.dense(dims_of(result)).slice(op.low, inside, [1] * len(inside))
        fill = _literal(op.value, element_of(op.x))
        padded = AssembleOp([op.x], [place], result, fill)
        _keep_source(padded, op)
        rewriter.replace(op, padded)


def _literal(value: float | int, element: Attribute) -> FloatAttr | IntegerAttr:
    whole = integer(element)
    if whole is not None:
        return IntegerAttr(int(value), whole)
    assert isinstance(element, AnyFloat)
    return FloatAttr(float(value), element)


class ComposeViews(OpPattern):
    """A view of a view -> one view of the base."""

    roots = (ViewOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ViewOp) or not isinstance(op.base.owner, ViewOp):
            return
        inner = op.base.owner
        composed = op.access.compose(inner.access)
        if composed is not None:
            rewriter.replace(op, ViewOp(inner.base, composed))


class CopyReturnedViews(OpPattern):
    """A view that is returned -> a copy of it, which its producer can then write itself."""

    roots = (ReturnOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ReturnOp):
            return
        for index, value in enumerate(op.operands):
            if isinstance(value.owner, ViewOp):
                copy = MaterializeOp(value)
                copy.location = op.location
                copy.attributes.update(value.owner.attributes)
                copy.result.name_hint = value.name_hint
                rewriter.insert(copy, InsertPoint.before(op))
                op.operands[index] = copy.result
                rewriter.notify_op_modified(op)


@dataclass(frozen=True)
class LowerMovementPass(ModulePass):
    """Lowers movement ops to accessor ops; chains of them compose into one view.

    Before: `%1 = graph.reshape %x ...`, `%2 = graph.permute %1 {permutation = [0, 2, 1, 3]}`
    After:  `%2 = accessor.view %x <offset 0, sizes [...], strides [...]>`

    Data moves only where no strides can tell the access (reshaping a permuted tensor), where a view
    is returned (accessor.materialize), and where pieces become one tensor (concat, pad:
    accessor.assemble).
    """

    name = "lower-movement"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        # In one walk, in the order of the ops: what an op reads is lowered by then.
        rewrite_each(op, LowerToView(), LowerConcat(), LowerPad())
        rewrite_each(op, ComposeViews())
        rewrite_each(op, CopyReturnedViews())
        erase_unused(op)  # links of chains that nothing else reads
