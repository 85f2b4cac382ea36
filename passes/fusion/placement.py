"""Where assembled tensors live: each whole, as part of a larger one, or as a view of one.

Every tensor that is assembled has a *home*: a place in the storage of a *root*, a tensor that is
assembled itself and is part of no other. What has to be written into a root is a set of *slots*, so
what several tensors ask for at one place is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from xdsl.ir import Block, Operation, SSAValue

from ait.dialects.accessor import AccessMap, AssembleOp
from ait.dialects.symbolic import dims_of
from ait.passes.lowering.launch import Read
from ait.passes.pieces import Piece, embedding, pieces_of


@dataclass(frozen=True)
class Home:
    """How the storage of a tensor is reached in that of a root."""

    root: AssembleOp
    place: AccessMap


@dataclass(eq=False)
class Slot:
    """A part of a root that must be written: in place by whoever computes it, or by a copy."""

    piece: Piece
    """What goes there, and where in the root."""
    root: AssembleOp
    owners: tuple[AssembleOp, ...]
    """The tensors of which the slot is part, the root first."""
    needed_by: list[AssembleOp] = field(default_factory=list[AssembleOp])
    """The tensors that read the slot as one of their pieces."""
    written: bool = False

    @property
    def tensors(self) -> tuple[AssembleOp, ...]:
        """All assembled tensors of which the slot is part."""
        return tuple(dict.fromkeys((*self.owners, *self.needed_by)))


_MOST_NODES = 2000
"""How many pieces of pieces are looked at to find what a tensor is a view of."""

Obstacle = Callable[[AssembleOp, Home], str | None]
"""Why a tensor cannot live in a place; None if it can."""


@dataclass
class Placement:
    """The homes of all tensors that a block assembles, and the slots of the roots."""

    obstacle: Obstacle
    homes: dict[AssembleOp, Home] = field(default_factory=dict[AssembleOp, Home])
    slots: dict[AssembleOp, dict[Piece, Slot]] = field(
        default_factory=dict[AssembleOp, dict[Piece, Slot]]
    )
    owners: dict[AssembleOp, tuple[AssembleOp, ...]] = field(
        default_factory=dict[AssembleOp, tuple[AssembleOp, ...]]
    )
    """Each tensor, after those of which it is a part, the root first."""
    needed: dict[AssembleOp, list[Slot]] = field(default_factory=dict[AssembleOp, list[Slot]])
    """The slots that must be written where each tensor is assembled."""
    refusals: dict[AssembleOp, str] = field(default_factory=dict[AssembleOp, str])
    """Why a tensor that is part of another is not part of its storage."""
    by_source: dict[Read, list[Slot]] = field(default_factory=dict[Read, list[Slot]])
    by_base: dict[SSAValue, list[Slot]] = field(default_factory=dict[SSAValue, list[Slot]])

    def run(self, block: Block) -> Placement:
        """Finds a home for each tensor: larger ones first, the later of two equal ones."""
        found = [op for op in block.ops if isinstance(op, AssembleOp)]
        for op in by_size(found):
            if op not in self.homes and not self._alias(op):
                self._place(op, Home(op, AccessMap.dense(dims_of(op.result))))
        return self

    def lives_in(self, slot: Slot) -> bool:
        """Whether a slot holds an assembled tensor that has its home there."""
        inner = inner_assemble(slot.piece)
        home = self.homes.get(inner) if inner is not None else None
        return home is not None and home.root is slot.root and home.place == slot.piece.place

    def _place(self, op: AssembleOp, home: Home) -> None:
        """Gives a tensor its home, and one inside of it to each piece that can live there."""
        pending: list[tuple[AssembleOp, Home, tuple[AssembleOp, ...]]] = [(op, home, ())]
        while pending:
            op, home, outer = pending.pop()
            self.homes[op] = home
            self.refusals.pop(op, None)
            self.owners[op] = owners = (*outer, op)
            for piece in moved_pieces(op, home):
                slot = self._slot(piece, home.root, owners)
                self._need(op, slot)
                inner = inner_assemble(piece)
                if inner is None or inner in self.homes or inner.parent is not op.parent:
                    continue
                place = Home(home.root, piece.place)
                reason = self.obstacle(inner, place)
                if reason is None:
                    pending.append((inner, place, owners))
                    self.homes[inner] = place
                else:
                    self.refusals[inner] = reason

    def _need(self, op: AssembleOp, slot: Slot) -> None:
        self.needed.setdefault(op, []).append(slot)
        slot.needed_by.append(op)

    def _slot(self, piece: Piece, root: AssembleOp, owners: tuple[AssembleOp, ...]) -> Slot:
        known = self.slots.setdefault(root, {})
        if piece not in known:
            known[piece] = slot = Slot(piece, root, owners)
            self.by_source.setdefault(piece.source, []).append(slot)
            self.by_base.setdefault(piece.source.base, []).append(slot)
        return known[piece]

    # Tensors that are views of larger ones

    def _alias(self, op: AssembleOp) -> bool:
        """Makes a tensor a view of a root that has all its pieces at the same distances."""
        if op.fill is not None:
            return False
        nodes = list(islice(expanded(op), _MOST_NODES))
        first = next((node for node in nodes if node.source in self.by_source), None)
        if first is None:
            return False
        for goal in self.by_source[first.source]:
            if goal.root.parent is not op.parent:
                continue
            place = self._embedding(op, nodes, first, goal)
            covering = self._covering(op, Home(goal.root, place)) if place is not None else None
            if place is None or covering is None:
                continue
            home = Home(goal.root, place)
            reason = self.obstacle(op, home)
            if reason is None:
                self.homes[op] = home
                for slot in covering:
                    self._need(op, slot)
                self.refusals.pop(op, None)
                return True
            self.refusals.setdefault(op, reason)
        return False

    def _embedding(
        self, op: AssembleOp, nodes: Sequence[Piece], first: Piece, goal: Slot
    ) -> AccessMap | None:
        pairs = [(first.place, goal.piece.place)]
        for node in nodes:
            inside = [s for s in self.by_source.get(node.source, ()) if s.root is goal.root]
            if node is not first and inside:
                pairs.append((node.place, inside[0].piece.place))
        return embedding(dims_of(op.result), pairs)

    def _covering(self, op: AssembleOp, home: Home) -> list[Slot] | None:
        """The slots of the root that hold a tensor's pieces, or the pieces of those."""
        found: list[Slot] = []
        pending = [(piece, home.place) for piece in map(Piece.in_storage_order, pieces_of(op))]
        while pending:
            piece, place = pending.pop()
            moved = piece.within(place)
            slot = None if moved is None else self.slots[home.root].get(moved)
            inner = inner_assemble(piece)
            if slot is not None:
                found.append(slot)
            elif (
                len(found) > _MOST_NODES or moved is None or inner is None or inner.fill is not None
            ):
                return None
            else:
                parts = map(Piece.in_storage_order, pieces_of(inner))
                pending.extend((part, moved.place) for part in parts)
        return found


def moved_pieces(op: AssembleOp, home: Home) -> list[Piece]:
    """The pieces of a tensor in the coordinates of its root, where they can all be expressed."""
    pieces = [piece.in_storage_order() for piece in pieces_of(op)]
    if home.root is op:
        return pieces
    moved = [piece.within(home.place) for piece in pieces]
    return [piece for piece in moved if piece is not None]


def inner_assemble(piece: Piece) -> AssembleOp | None:
    """The assembled tensor that a piece is all of."""
    owner = piece.source.base.owner
    return owner if isinstance(owner, AssembleOp) and piece.is_whole else None


def expanded(op: AssembleOp) -> Iterator[Piece]:
    """The pieces of a tensor, and those of its pieces, all in its own coordinates."""
    pending = [piece.in_storage_order() for piece in pieces_of(op)]
    while pending:
        piece = pending.pop(0)
        yield piece
        inner = inner_assemble(piece)
        if inner is None or inner.fill is not None:
            continue
        parts = (part.in_storage_order().within(piece.place) for part in pieces_of(inner))
        pending.extend(part for part in parts if part is not None)


def by_size(ops: Sequence[AssembleOp]) -> list[AssembleOp]:
    """Assembled tensors of one block: those of the most pieces, then the later ones, first.

    What a tensor is part of, or a view of, comes before it.
    """
    counts: dict[Operation, int] = {}
    position = {op: index for index, op in enumerate(ops)}
    for op in ops:
        inner = (piece.in_storage_order() for piece in pieces_of(op))
        owners = [inner_assemble(piece) for piece in inner]
        counts[op] = sum(1 if owner is None else counts.get(owner, 1) for owner in owners)
    return sorted(ops, key=lambda op: (counts[op], position[op]), reverse=True)
