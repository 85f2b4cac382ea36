"""Rewrites the assembled tensors of a block: whoever computes a piece writes it where it belongs.

The block is rewritten in the order of its ops. Each root is a chain of destinations, one value for
each write, in that order; whatever is read through a place is read from the value at hand when its
last part has been written. So a reader never sees a place before it is written, neither in the
chain nor in the one buffer that the chain becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.ir import Block, Operation, OpResult, SSAValue

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.kernel import CopyOp, EmptyOp, KernelOp, PointwiseOp, compute_type
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of
from ait.passes.alignment import wanted_of
from ait.passes.fusion.alignment_loss import (
    Loss,
    Reach,
    Stored,
    loss_of_move,
    not_worth,
    reader_losses,
)
from ait.passes.fusion.placement import Home, Placement, Slot, inner_assemble, moved_pieces
from ait.passes.fusion.rebuild import rebuilt, split_domain, splits_of_out
from ait.passes.lowering.launch import read
from ait.passes.origins import joined_location
from ait.passes.regions import build_region
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo


@dataclass(frozen=True)
class Redirection:
    """How a kernel reaches a place in a root: over which domain, and through which map."""

    factors: Mapping[int, Sequence[Dim]]
    """How its domain must be split, if it must."""
    out: AccessMap


def redirection(kernel: KernelOp, index: int, place: AccessMap) -> Redirection | None:
    """How a kernel can write a result into a place of another storage; None if it cannot."""
    out = kernel.out_access[index]
    composed = out.compose(place)
    if composed is not None:
        return Redirection({}, composed)
    factors = splits_of_out(kernel, index, place.sizes)
    split = split_domain(kernel, factors) if factors else None
    if split is None:
        return None
    composed = split.out_access[index].compose(place)
    split.erase()
    return None if composed is None else Redirection(factors, composed)


class Legality:
    """Whether kernels of a target can write, and read, values in places of larger tensors, and
    whether that is worth it."""

    def __init__(self, target: TargetInfo):
        self.target = target

    def obstacle(self, op: AssembleOp, home: Home) -> str | None:
        """Why a tensor that is assembled cannot be part of a larger one; None if it can."""
        if len(moved_pieces(op, home)) < len(op.pieces):
            return "its pieces cannot be addressed there"
        if op.fill is not None and not self._writes_strided(PointwiseOp):
            return f"{PointwiseOp.name} writes dense results only"
        reason = self.reader_obstacle(op.result, home)
        if reason is not None:
            return reason
        own = Home(op, AccessMap.dense(dims_of(op.result)))
        for here, there in zip(moved_pieces(op, own), moved_pieces(op, home), strict=True):
            result = here.source.base
            if not here.is_whole or not isinstance(result, OpResult):
                continue
            reason = self.writer_obstacle(result, Home(home.root, there.place))
            if reason is not None and self.writer_obstacle(result, Home(op, here.place)) is None:
                return f"a piece could not be written there: {reason}"
        return self._assembled_loss(op, home)

    def reader_obstacle(self, value: SSAValue, home: Home) -> str | None:
        """Why something that reads a value cannot read it in its place; None if all can."""
        for use in list(value.uses):  # the checks make ops that read it, and erase them
            user = use.operation
            if isinstance(user, ViewOp):
                found = user.access.compose(home.place)
            elif isinstance(user, AssembleOp):
                found = AccessMap.dense(dims_of(value)).compose(home.place)
            elif isinstance(user, KernelOp) and use.index < len(user.ins):
                found = user.in_access[use.index].compose(home.place)
                if found is not None and not self._can_read(user, use.index, home.root, found):
                    found = None
            else:
                found = None
            if found is None:
                return f"{describe(user)} needs it dense"
        return None

    def writer_obstacle(self, result: OpResult, home: Home) -> str | None:
        """Why the kernel of a result cannot write it in its place; None if it can."""
        kernel, index = result.owner, result.index
        if not isinstance(kernel, KernelOp):
            return "no kernel here computes it"
        if kernel.parent is not home.root.parent:
            return "it is computed elsewhere"
        if not self._writes_strided(type(kernel)):
            return f"{kernel.name} writes dense results only"
        start = kernel.outs[index]
        if not isinstance(start.owner, EmptyOp) or not start.has_one_use():
            return "it is already part of another tensor"
        if not kernel.out_access[index].covers(dim_product(dims_of(result))):
            return "its kernel does not write all of it"
        found = redirection(kernel, index, home.place)
        if found is None:
            return "its place cannot be addressed over the kernel's domain"
        return self._write_refusal(kernel, index, home.root, found)

    # Profit: what can be reached in a place may be too badly aligned there

    def written_loss(self, result: OpResult, home: Home) -> str | None:
        """Why a copy is better than to write a result in its place; None if it is not."""
        here, there = Stored.in_tensor(result), Stored.in_tensor(home.root.result, home.place)
        losses = reader_losses(result, here, there, self.target)
        losses += self._writer_losses(result, here, there)
        return not_worth(losses, result, self.target)

    def _assembled_loss(self, op: AssembleOp, home: Home) -> str | None:
        """The same for a tensor that is assembled, and what its pieces are written by."""
        here, there = Stored.in_tensor(op.result), Stored.in_tensor(home.root.result, home.place)
        losses = reader_losses(op.result, here, there, self.target)
        pieces = moved_pieces(op, Home(op, here.place)), moved_pieces(op, home)
        for before, after in zip(*pieces, strict=True):
            result = before.source.base
            if before.is_whole and isinstance(result, OpResult):
                places = replace(here, place=before.place), replace(there, place=after.place)
                losses += self._writer_losses(result, *places)
        return not_worth(losses, op.result, self.target)

    def _writer_losses(self, result: OpResult, here: Stored, there: Stored) -> list[Loss]:
        kernel = result.owner
        if not isinstance(kernel, KernelOp) or wanted_of(kernel, self.target) is None:
            return []
        position = len(kernel.ins) + result.index
        ways = [redirection(kernel, result.index, stored.place) for stored in (here, there)]
        reaches: list[Reach] = []
        split: list[KernelOp] = []
        for way, stored in zip(ways, (here, there), strict=True):
            if way is None:
                continue
            op = split_domain(kernel, way.factors) if way.factors else None
            split += [] if op is None else [op]
            reaches.append(Reach(op or kernel, position, replace(stored, place=way.out)))
        loss = loss_of_move(reaches[0], reaches[1], self.target) if len(reaches) == 2 else None
        for op in split:
            op.erase()
        return [] if loss is None else [replace(loss, kernel=kernel)]

    def _writes_strided(self, kind: type[KernelOp]) -> bool:
        row = self.target.capabilities.of(kind)
        return row is None or row.strided_results

    def _can_read(self, kernel: KernelOp, index: int, root: AssembleOp, access: AccessMap) -> bool:
        row = self.target.capabilities.of(kernel)
        if row is not None and not row.strided_operands:
            return access.is_dense
        ins, maps = list(kernel.ins), list(kernel.in_access)
        ins[index], maps[index] = root.result, access
        return self._new_refusal(kernel, rebuilt(kernel, ins=ins, in_maps=maps)) is None

    def _write_refusal(
        self, kernel: KernelOp, index: int, root: AssembleOp, found: Redirection
    ) -> str | None:
        outs: list[SSAValue] = list(kernel.outs)
        outs[index] = root.result
        return self._new_refusal(
            kernel, redirected(kernel, outs, {index: found.out}, found.factors)
        )

    def _new_refusal(self, old: KernelOp, new: KernelOp) -> str | None:
        """What the target refuses in `new`, which is in no block, but not in `old`."""
        reason = self.target.refusal(new)
        new.erase()
        return reason if reason is not None and self.target.refusal(old) is None else None


def redirected(
    kernel: KernelOp,
    outs: Sequence[SSAValue],
    places: Mapping[int, AccessMap],
    factors: Mapping[int, Sequence[Dim]],
) -> KernelOp:
    """The kernel over a split domain, with other destinations and the maps of some replaced."""
    split = split_domain(kernel, factors) if factors else None
    given = split or kernel
    maps = [places.get(i, access) for i, access in enumerate(given.out_access)]
    new = rebuilt(given, outs=outs, out_maps=maps)
    if split is not None:
        split.erase()
    return new


class Assembler:
    """Rewrites one block; there are no assembled tensors afterwards."""

    def __init__(self, block: Block, target: TargetInfo, pass_name: str):
        self.block, self.pass_name = block, pass_name
        self.legality = Legality(target)
        self.placement = Placement(self.legality.obstacle).run(block)
        self.current: dict[AssembleOp, SSAValue] = {}
        """The latest value of the chain of each root."""
        self.filled: set[AssembleOp] = set()
        self.replaced: dict[SSAValue, SSAValue] = {}
        self.writers: dict[SSAValue, str] = {}
        for op in block.ops:
            if isinstance(op, KernelOp | AssembleOp):
                self.writers.update((result, describe(op)) for result in op.results)
        """What computes each value, as users know it."""
        self.reasons: dict[SSAValue, str] = {}
        """Why kernels do not write their results in place."""

    def run(self) -> None:
        """Rewrites the block."""
        for op in list(self.block.ops):
            if isinstance(op, KernelOp):
                self._write_in_place(op)
            elif isinstance(op, AssembleOp):
                self._finish(op)
        for op in list(self.placement.homes):
            op.detach()
            op.erase()

    # Kernels

    def _write_in_place(self, kernel: KernelOp) -> None:
        """Lets a kernel write its results where they belong, one into each root at most."""
        chosen: dict[int, tuple[Slot, AccessMap]] = {}
        factors: Mapping[int, Sequence[Dim]] = {}
        for result in kernel.res:
            assert isinstance(result, OpResult)
            for slot in self.placement.by_base.get(result, ()):
                if slot.written or not slot.piece.is_whole or factors:
                    continue
                reason = self._obstacle(result, slot, chosen)
                if reason is not None:
                    self.reasons.setdefault(result, reason)
                    continue
                found = redirection(kernel, result.index, slot.piece.place)
                assert found is not None, "there is no obstacle"
                if found.factors and chosen:
                    continue
                chosen[result.index], factors = (slot, found.out), found.factors
                break
        if chosen:
            self._redirect(kernel, chosen, factors)

    def _obstacle(
        self, result: OpResult, slot: Slot, chosen: Mapping[int, tuple[Slot, AccessMap]]
    ) -> str | None:
        if any(slot.root is other.root for other, _ in chosen.values()):
            return "its kernel writes another part of the same tensor"
        home = Home(slot.root, slot.piece.place)
        reason = self.legality.writer_obstacle(result, home)
        if reason is None:
            reason = self.legality.reader_obstacle(result, home)
        return self.legality.written_loss(result, home) if reason is None else reason

    def _redirect(
        self,
        kernel: KernelOp,
        chosen: Mapping[int, tuple[Slot, AccessMap]],
        factors: Mapping[int, Sequence[Dim]],
    ) -> None:
        remark(
            self.pass_name, "applied", kernel, "writes its part of the assembled tensor in place"
        )
        outs: list[SSAValue] = list(kernel.outs)
        for index, (slot, _) in chosen.items():
            outs[index] = self._destination(slot, kernel)
        maps = {index: out for index, (_, out) in chosen.items()}
        new = redirected(kernel, outs, maps, factors)
        new.location = joined_location(
            kernel, *(op for slot, _ in chosen.values() for op in slot.tensors)
        )
        self.block.insert_op_before(new, kernel)
        for old, result in zip(kernel.res, new.res, strict=True):
            result.name_hint = old.name_hint
            value: SSAValue = result
            if old.index in chosen:
                slot, _ = chosen[old.index]
                slot.written = True
                self.current[slot.root] = result
                view = ViewOp(result, slot.piece.place)
                self.block.insert_op_before(view, kernel)
                value = view.result
            self._replace(old, value)
        kernel.detach()
        kernel.erase()

    def _replace(self, old: SSAValue, new: SSAValue) -> None:
        old.replace_all_uses_with(new)
        self.replaced[old] = new

    # Roots

    def _destination(self, slot: Slot, before: Operation) -> SSAValue:
        """The value that a slot is written into: the root so far, with what is filled there."""
        self._fill_all(slot.owners, before)
        return self._root(slot.root, before)

    def _root(self, root: AssembleOp, before: Operation) -> SSAValue:
        if root not in self.current:
            empty = EmptyOp(root.result.type)
            self.block.insert_op_before(empty, before)
            self.current[root] = empty.result
        return self.current[root]

    def _fill_all(self, owners: Sequence[AssembleOp], before: Operation) -> None:
        """Fills the places of tensors, outer ones first, before any piece of them is written."""
        for owner in owners:
            self._fill(owner, before)

    def _fill(self, op: AssembleOp, before: Operation) -> None:
        if op.fill is None or op in self.filled:
            return
        self.filled.add(op)
        home = self.placement.homes[op]
        value, of_type = op.fill.value.data, compute_type(element_of(op.result))
        body = build_region([], lambda b, _: [b.constant(value, of_type)])
        fill = PointwiseOp(
            [],
            [self._root(home.root, before)],
            [],
            [home.place],
            [body],
            attributes=dict(op.attributes),
        )
        fill.location = op.location
        self.block.insert_op_before(fill, before)
        self.current[home.root] = fill.res[0]

    def _finish(self, op: AssembleOp) -> None:
        """Copies the pieces that are not in their place yet; reads the tensor where it lives."""
        self._fill_all(self.placement.owners.get(op, ()), op)
        for slot in self.placement.needed.get(op, ()):
            if not slot.written and not self.placement.lives_in(slot):
                self._copy(slot, op)
            slot.written = True
        home = self.placement.homes[op]
        whole = self._root(home.root, op)
        if home.root is op:
            if op.result.name_hint is not None:
                whole.name_hint = op.result.name_hint
            self._replace(op.result, whole)
            return
        remark(self.pass_name, "applied", op, "is a part of a larger tensor")
        view = ViewOp(whole, home.place)
        view.result.name_hint = op.result.name_hint
        self.block.insert_op_before(view, op)
        self._replace(op.result, view.result)

    def _copy(self, slot: Slot, op: AssembleOp) -> None:
        remark(self.pass_name, "missed", op, self._why(slot))
        given = slot.piece.source
        source = read(self.replaced.get(given.base, given.base), given.access)
        copy = CopyOp(
            [source.base],
            [self._destination(slot, op)],
            [source.access],
            [slot.piece.place],
            attributes=dict(op.attributes),
        )
        copy.location = joined_location(*slot.tensors)
        self.block.insert_op_before(copy, op)
        self.current[slot.root] = copy.res[0]

    def _why(self, slot: Slot) -> str:
        """Why a slot is filled by a copy."""
        base = slot.piece.source.base
        who = self.writers.get(base)
        inner = inner_assemble(slot.piece)
        if inner is not None:
            who = describe(inner)
            reason = self.placement.refusals.get(inner, "it is already in another place")
        elif who is None:
            return "a piece is copied: no kernel here computes it"
        elif not slot.piece.is_whole:
            reason = "it is a part of another tensor"
        else:
            reason = self.reasons.get(base, "it is already in another place")
        return f"a piece from {who} is copied: {reason}"
