"""bubble-up-slices: what is mostly cut away afterwards is not computed.

A classifier reads the first token of the last layer's result, a language model the last one. All
that this token alone depends on is computed for it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ait.dialects import graph
from ait.dialects.functions import functions_of
from ait.dialects.graph import ElementwiseOp, GraphOp
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    dims_of,
    lower_bound,
    provably_le,
    to_text,
    upper_bound,
)
from ait.passes.remarks import remark
from ait.passes.rewriting import erase_unused

NAME = "bubble-up-slices"

_LEAST_SHRINKAGE = 2
"""How many times less must be left. Rows that are cut from a tensor do not lie in one stride: to
save little would cost the kernels that read or write them more."""


@dataclass(frozen=True)
class Range:
    """What is taken of one dim: `offset + i * step` for `i < size`."""

    offset: Dim
    size: Dim
    step: int = 1

    def is_all_of(self, dim: Dim) -> bool:
        return self.offset == 0 and self.size == dim and (self.step == 1 or dim == 1)

    def within(self, outer: Range) -> Range:
        """This part of what `outer` takes."""
        return Range(outer.offset + self.offset * outer.step, self.size, self.step * outer.step)


Box: TypeAlias = tuple[Range, ...]
"""What is taken of a tensor, a range a dim."""


def _all_of(dims: Sequence[Dim]) -> Box:
    return tuple(Range(0, dim) for dim in dims)


def _box_of(op: graph.SliceOp) -> Box:
    return tuple(map(Range, op.offsets, op.sizes, op.steps))


def _covers(box: Box, dims: Sequence[Dim]) -> bool:
    return all(part.is_all_of(dim) for part, dim in zip(box, dims, strict=True))


def _sliced(value: SSAValue, box: Box, like: Operation) -> tuple[list[Operation], SSAValue]:
    """A box of a value: the op that cuts it out, if it is not all."""
    if _covers(box, dims_of(value)):
        return [], value
    new = graph.SliceOp(
        value,
        offsets=[part.offset for part in box],
        sizes=[part.size for part in box],
        steps=[part.step for part in box],
    )
    new.attributes.update(like.attributes)
    new.location = like.location
    return [new], new.result


# What of its operands an op needs for a box of its result ----------------------------------------

Boxes: TypeAlias = "Sequence[Box] | None"
"""A box of each operand; None if a part of the result is not one of the same op on boxes."""


def _broadcast(box: Box, operand: SSAValue) -> Box:
    """The box of an operand that is broadcast to the dims of `box`."""
    dims = dims_of(operand)
    parts = zip(box[len(box) - len(dims) :], dims, strict=True)
    return tuple(Range(0, 1) if dim == 1 else part for part, dim in parts)


def _of_elementwise(op: ElementwiseOp, box: Box) -> Boxes:
    return [_broadcast(box, operand) for operand in op.operands]


def _of_expand(op: graph.ExpandOp, box: Box) -> Boxes:
    return [_broadcast(box, op.x)]


def _of_permute(op: graph.PermuteOp, box: Box) -> Boxes:
    parts = dict(zip(op.permutation, box, strict=True))
    return [tuple(parts[axis] for axis in range(len(box)))]


def _of_reshape(op: graph.ReshapeOp, box: Box) -> Boxes:
    """Dims of which a part is taken must be dims of the operand as well."""
    before, after = dims_of(op.x), dims_of(op.result)
    taken = list(_all_of(before))
    for axis, (part, dim) in enumerate(zip(box, after, strict=True)):
        if part.is_all_of(dim):
            continue
        outer = dim_product(after[:axis])
        same = (i for i, d in enumerate(before) if d == dim and dim_product(before[:i]) == outer)
        source = next(same, None)
        if source is None:
            return None
        taken[source] = part
    return [tuple(taken)]


def _of_rows(op: Any, box: Box, first: int) -> Boxes:
    """Of ops that need all of the dims from `first` on, and all of their other operands."""
    dims = dims_of(op.result)
    if not _covers(box[first:], dims[first:]):
        return None
    whole = [_all_of(dims_of(operand)) for operand in op.operands[1:]]
    return [(*box[:first], *_all_of(dims_of(op.operands[0])[first:])), *whole]


def _of_norm(op: graph.LayerNormOp | graph.RmsNormOp, box: Box) -> Boxes:
    return _of_rows(op, box, len(box) - op.axes_rank)


def _of_linear(op: graph.LinearOp, box: Box) -> Boxes:
    return _of_rows(op, box, len(box) - 1)


def _of_softmax(op: graph.SoftmaxOp | graph.LogSoftmaxOp, box: Box) -> Boxes:
    return [box] if box[op.axis].is_all_of(dims_of(op.x)[op.axis]) else None


def _of_matmul(op: graph.MatmulOp, box: Box) -> Boxes:
    *batch, m, n = box
    k_axis = -2 if op.transpose_a else -1
    k = Range(0, dims_of(op.a)[k_axis])
    left = (k, m) if op.transpose_a else (m, k)
    right = (n, k) if op.transpose_b else (k, n)
    return [_broadcast((*batch, *left), op.a), _broadcast((*batch, *right), op.b)]


def _of_attention(op: graph.AttentionOp, box: Box) -> Boxes:
    batch, heads, queries, width = box
    _, h, length, dv = dims_of(op.result)
    _, groups, keys, d = dims_of(op.k)
    ends = queries.step == 1 and queries.offset + queries.size == length
    if not width.is_all_of(dv) or (op.causal and not ends):
        return None
    if groups != h and not heads.is_all_of(h):
        return None
    shared = heads if groups == h else Range(0, groups)
    boxes: list[Box] = [
        (batch, heads, queries, Range(0, d)),
        (batch, shared, Range(0, keys), Range(0, d)),
        (batch, shared, Range(0, keys), Range(0, dv)),
    ]
    if op.mask is not None:
        boxes.append(_broadcast((batch, heads, queries, Range(0, keys)), op.mask))
    return boxes


def _of_gather(op: graph.GatherOp, box: Box) -> Boxes:
    table, picked = dims_of(op.x), len(dims_of(op.indices))
    first, last = op.axis, op.axis + picked
    return [(*box[:first], Range(0, table[first]), *box[last:]), box[first:last]]


def _of_concat(op: graph.ConcatOp, box: Box) -> Boxes:
    """All pieces, of which other dims are cut."""
    axis = op.axis
    if not box[axis].is_all_of(dims_of(op.result)[axis]):
        return None
    pieces = [Range(0, dims_of(piece)[axis]) for piece in op.operands]
    return [(*box[:axis], piece, *box[axis + 1 :]) for piece in pieces]


_BOXES: Mapping[type[GraphOp], Callable[[Any, Box], Boxes]] = {
    ElementwiseOp: _of_elementwise,
    graph.AttentionOp: _of_attention,
    graph.ConcatOp: _of_concat,
    graph.ExpandOp: _of_expand,
    graph.GatherOp: _of_gather,
    graph.LayerNormOp: _of_norm,
    graph.LinearOp: _of_linear,
    graph.LogSoftmaxOp: _of_softmax,
    graph.MatmulOp: _of_matmul,
    graph.PermuteOp: _of_permute,
    graph.ReshapeOp: _of_reshape,
    graph.RmsNormOp: _of_norm,
    graph.SoftmaxOp: _of_softmax,
}
"""Ops that give a box of their result if they are given boxes of their operands."""

_TO_DIMS = (graph.ExpandOp, graph.ReshapeOp)
"""Those that are told the dims of their result."""

_PRODUCTS = (graph.Conv2dOp, graph.ConvTranspose2dOp, graph.LinearOp, graph.MatmulOp)
"""Ops whose kernels run code on their results before they store them."""
_BEHIND_PRODUCTS = (ElementwiseOp, graph.ExpandOp, graph.PermuteOp, graph.ReshapeOp)
"""What such code, and the movement in between, is made of."""


def _boxes_of(op: GraphOp, box: Box) -> Boxes:
    rule = next((rule for kind, rule in _BOXES.items() if isinstance(op, kind)), None)
    return None if rule is None else rule(op, box)


def _leaves_product(op: GraphOp, box: Box) -> bool:
    """Whether code on all of a product, which its kernel runs, would become code on a part of what
    the product has stored: one kernel more."""
    if _covers(box, dims_of(op.results[0])):
        return False
    boxes = _boxes_of(op, box)
    if isinstance(op, _PRODUCTS):
        return boxes is None
    if boxes is None or not isinstance(op, _BEHIND_PRODUCTS):
        return False
    return any(
        isinstance(operand.owner, GraphOp)
        and len(operand.owner.results) == 1
        and operand.has_one_use()
        and _leaves_product(operand.owner, part)
        for operand, part in zip(op.operands, boxes, strict=True)
    )


_BoxAndValue: TypeAlias = tuple[Box, SSAValue]


def _passed_on(op: Operation, box: Box) -> _BoxAndValue | None:
    """The box of another value that a box of the result is; None if it is none of one."""
    if isinstance(op, graph.SliceOp):
        inner = (part.within(own) for part, own in zip(box, _box_of(op), strict=True))
        return tuple(inner), op.x
    if isinstance(op, graph.ConcatOp):
        return _piece_of(op, box)
    return None


def _piece_of(op: graph.ConcatOp, box: Box) -> _BoxAndValue | None:
    """The box of the only piece of a concat that is needed, if one alone is."""
    part = box[op.axis]
    begin: Dim = 0
    for piece in op.operands:
        end = begin + dims_of(piece)[op.axis]
        last = part.offset + (part.size - 1) * part.step
        if part.step > 0 and provably_le(begin, part.offset) and provably_le(last, end - 1):
            own = Range(part.offset - begin, part.size, part.step)
            return (*box[: op.axis], own, *box[op.axis + 1 :]), piece
        begin = end
    return None


# The rewrite --------------------------------------------------------------------------------------


def _hull(boxes: Sequence[Box], dims: Sequence[Dim]) -> Box:
    """The smallest box that has all of some."""
    return tuple(map(_hull_of_dim, zip(*boxes, strict=True), dims))


def _hull_of_dim(parts: Sequence[Range], dim: Dim) -> Range:
    if all(part == parts[0] for part in parts):
        return parts[0]
    begins: list[int] = []
    ends: list[int] = []
    for part in parts:
        if not isinstance(part.offset, int) or not isinstance(part.size, int) or part.step < 0:
            return Range(0, dim)
        begins.append(part.offset)
        ends.append(part.offset + (part.size - 1) * part.step + 1)
    return Range(min(begins), max(ends) - min(begins))


def _relative(box: Box, hull: Box) -> Box:
    """A box as one of what its hull takes."""
    return tuple(
        Range(0, part.size)
        if part == outer
        else Range(part.offset - outer.offset, part.size, part.step)
        for part, outer in zip(box, hull, strict=True)
    )


def _slices_of(op: Operation) -> list[graph.SliceOp]:
    """The users of an op's result, if all of them are slices."""
    if not isinstance(op, GraphOp) or len(op.results) != 1:
        return []
    users = [use.operation for use in op.results[0].uses]
    slices = [user for user in users if isinstance(user, graph.SliceOp)]
    return slices if len(slices) == len(users) else []


def _shrinks(box: Box, dims: Sequence[Dim]) -> bool:
    """Whether a box is a small part of a tensor at the largest sizes, and never empty."""
    left = dim_product(part.size for part in box)
    most = upper_bound(left)
    return lower_bound(left) > 0 and most * _LEAST_SHRINKAGE <= upper_bound(dim_product(dims))


def _narrowed(op: GraphOp, box: Box, like: Operation) -> tuple[list[Operation], SSAValue] | None:
    """The ops that compute a box of an op's result; None if its kind does not allow that."""
    passed = _passed_on(op, box)
    if passed is not None:
        return _sliced(passed[1], passed[0], like)
    boxes = _boxes_of(op, box)
    if boxes is None or _leaves_product(op, box):
        return None
    ops: list[Operation] = []
    operands: list[SSAValue] = []
    for operand, part in zip(op.operands, boxes, strict=True):
        cut, value = _sliced(operand, part, like)
        ops += cut
        operands.append(value)
    changed = {"dims": [part.size for part in box]} if isinstance(op, _TO_DIMS) else {}
    new = op.clone_onto(operands, **changed)
    new.results[0].name_hint = op.results[0].name_hint
    return [*ops, new], new.results[0]


def _bubble_up(op: Operation) -> None:
    """Computes of an op's result what slices take of it, if that is a small part."""
    slices = _slices_of(op)
    if not slices:
        return
    assert isinstance(op, GraphOp)
    dims = dims_of(op.results[0])
    boxes = [_box_of(each) for each in slices]
    hull = _hull(boxes, dims)
    narrowed = _narrowed(op, hull, slices[0]) if _shrinks(hull, dims) else None
    block = op.parent
    if narrowed is None or block is None:
        return
    ops, value = narrowed
    sizes = ", ".join(to_text(part.size) for part in hull)
    remark(NAME, "applied", op, f"only [{sizes}] of [{', '.join(map(to_text, dims))}] are needed")
    block.insert_ops_before(ops, op)
    for each, box in zip(slices, boxes, strict=True):
        cut, taken = _sliced(value, _relative(box, hull), each)
        block.insert_ops_before(cut, op)
        each.result.replace_all_uses_with(taken)
        each.detach()
        each.erase()
    # What it read may have slices as its only users now.
    op.detach()
    op.erase()


@dataclass(frozen=True)
class BubbleUpSlicesPass(ModulePass):
    """Moves slices in front of the ops whose results they cut, where they leave half or less.

    Before: `%y = graph.layer_norm %x`, `%0 = graph.slice %y` to the first of 197 tokens
    After:  `%0 = graph.slice %x` to the first token, `%y = graph.layer_norm %0`

    All uses of a result must be slices; where they differ, what lies between them is computed, too.
    An op that needs all of a dim (the row of a norm, the keys of an attention) keeps it whole, and
    an op of another kind is where slices stay. Code on a product stays with it.
    """

    name = NAME

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in functions_of(op):
            for each in reversed(list(function.body.block.ops)):
                if each.parent is not None:
                    _bubble_up(each)
        erase_unused(op)
