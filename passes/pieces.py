"""Pieces of assembled tensors: what they are read from, where they go, which of them are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.symbolic import Dim, dim_product, dims_of, exact_div
from ait.passes.lowering.launch import Read, read


@dataclass(frozen=True)
class Piece:
    """`destination[place(i)] = source.base[source.access(i)]` for each index `i` of `place`."""

    source: Read
    place: AccessMap

    @property
    def is_whole(self) -> bool:
        """Whether the piece is all of a tensor, in the order of its storage."""
        access = self.source.access
        return access.is_dense and access.size == dim_product(dims_of(self.source.base))

    def in_storage_order(self) -> Piece:
        """The piece with its indices in the order of its source's storage, if it is all of it."""
        access = self.source.access
        order = access.order_as_storage()
        if order is None or access.size != dim_product(dims_of(self.source.base)):
            return self
        dense = AccessMap.dense([access.sizes[i] for i in order])
        return Piece(Read(self.source.base, dense), self.place.permute(order))

    def within(self, place: AccessMap) -> Piece | None:
        """The piece of the larger tensor, in which `place` is where the destination goes."""
        moved = self.place.compose(place)
        return None if moved is None else Piece(self.source, moved)


def pieces_of(op: AssembleOp) -> list[Piece]:
    """The pieces of an assembled tensor, read through their views."""
    return [Piece(read(v), m) for v, m in zip(op.pieces, op.accesses, strict=True)]


def flattened(piece: Piece) -> list[Piece]:
    """A piece, or the pieces that it is itself assembled from if nothing else reads it."""
    whole = piece.in_storage_order()
    base = whole.source.base
    inner = base.owner
    if not whole.is_whole or not isinstance(inner, AssembleOp) or inner.fill is not None:
        return [piece]
    if not _read_once(base):
        return [piece]
    moved = [part.within(whole.place) for part in pieces_of(inner)]
    if None in moved:
        return [piece]
    return [part for part in moved if part is not None]


def _read_once(value: SSAValue) -> bool:
    """Whether a value, and each view on the way to its one reader, has one use."""
    while value.has_one_use():
        user = next(iter(value.uses)).operation
        if not isinstance(user, ViewOp):
            return True
        value = user.result
    return False


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, where neighbours that are neighbours in their source too are one piece."""
    found: list[Piece] = []
    for piece in pieces:
        one = _joined(found[-1], piece) if found else None
        if one is None:
            found.append(piece)
        else:
            found[-1] = one
    return found


def _joined(first: Piece, second: Piece) -> Piece | None:
    if first.source.base is not second.source.base or first.place.rank != second.place.rank:
        return None
    for axis in range(first.place.rank):
        place = _along(first.place, second.place, axis)
        access = _along(first.source.access, second.source.access, axis)
        if place is not None and access is not None:
            return Piece(Read(first.source.base, access), place)
    return None


def _along(first: AccessMap, second: AccessMap, axis: int) -> AccessMap | None:
    """The map that is one map, then the other, along an axis; None if no stride gives that."""
    for i in range(first.rank):
        same = first.sizes[i] == second.sizes[i] and first.strides[i] == second.strides[i]
        if i != axis and not same:
            return None
    steps = [m.strides[axis] for m in (first, second) if m.sizes[axis] != 1]
    step: Dim = steps[0] if steps else second.offset - first.offset
    if any(other != step for other in steps):
        return None
    if second.offset != first.offset + step * first.sizes[axis]:
        return None
    sizes, strides = list(first.sizes), list(first.strides)
    sizes[axis], strides[axis] = first.sizes[axis] + second.sizes[axis], step
    return AccessMap(first.offset, tuple(sizes), tuple(strides))


def part_of_piece(op: AssembleOp, access: AccessMap) -> Read | None:
    """What a view of an assembled tensor reads, if all of it lies inside one piece."""
    for value, place in zip(op.pieces, op.accesses, strict=True):
        inside = access.relative_to(place)
        if inside is not None:
            return read(value, inside)
    return None


def through_pieces(source: Read) -> Read:
    """What a read of assembled tensors comes down to, if it stays inside one piece of each."""
    while isinstance(source.base.owner, AssembleOp):
        part = part_of_piece(source.base.owner, source.access)
        if part is None:
            return source
        source = part
    return source


def embedding(
    dims: Sequence[Dim], pairs: Sequence[tuple[AccessMap, AccessMap]]
) -> AccessMap | None:
    """A map of a tensor of `dims` that carries the first of each pair of maps to the second.

    The first maps address the tensor's storage. None if no such map is found.
    """
    steps = AccessMap.dense(dims).strides
    strides: list[Dim | None] = [0 if dim == 1 else None for dim in dims]
    for size, step, stride in (column for pair in pairs for column in _columns(*pair)):
        for axis, known in enumerate(strides):
            if known is None and size != 1 and step == steps[axis]:
                strides[axis] = stride
    first, goal = pairs[0]
    for given, wanted in pairs[1:]:
        _stride_from_offsets(
            strides, steps, given.offset - first.offset, wanted.offset - goal.offset
        )
    if None in strides:
        return None
    origin = AccessMap(0, tuple(dims), tuple(s for s in strides if s is not None))
    moved = first.compose(origin)
    if moved is None:
        return None
    found = AccessMap(goal.offset - moved.offset, origin.sizes, origin.strides)
    return found if all(m.compose(found) == wanted for m, wanted in pairs) else None


def _columns(first: AccessMap, second: AccessMap) -> Iterator[tuple[Dim, Dim, Dim]]:
    if first.rank == second.rank:
        yield from zip(first.sizes, first.strides, second.strides, strict=True)


def _stride_from_offsets(
    strides: list[Dim | None], steps: Sequence[Dim], distance: Dim, wanted: Dim
) -> None:
    """Finds the one stride that is not known from how far two pieces lie apart."""
    unknown = [axis for axis, stride in enumerate(strides) if stride is None]
    if len(unknown) != 1 or distance == 0:
        return
    count = exact_div(distance, steps[unknown[0]])
    stride = exact_div(wanted, count) if count is not None and count != 0 else None
    strides[unknown[0]] = stride
