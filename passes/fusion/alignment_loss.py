"""What placing a tensor inside of a larger one costs the kernels that write and read it there.

A place may be legal and yet not aligned, so that a kernel that was fast becomes a slow one. Against
that stands the copy that the place saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

from ait.dialects.accessor import AccessMap, ViewOp
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of
from ait.passes.alignment import misfit, padded_rows, wanted_of
from ait.passes.cost import copy_seconds, microseconds, seconds
from ait.passes.remarks import describe
from ait.passes.target import TargetInfo


@dataclass(frozen=True)
class Loss:
    """A kernel that a place makes slow."""

    kernel: KernelOp
    reason: str
    seconds: float


@dataclass(frozen=True)
class Stored:
    """Where a value lies: at a place in a tensor of `dims`, whose rows may be padded later."""

    dims: tuple[Dim, ...]
    place: AccessMap
    padded: bool = True

    @staticmethod
    def in_tensor(tensor: SSAValue, place: AccessMap | None = None) -> Stored:
        """A place in a tensor, by default all of it; tensors that are returned stay as they are."""
        dims = dims_of(tensor)
        returned = any(isinstance(use.operation, ReturnOp) for use in tensor.uses)
        return Stored(dims, place or AccessMap.dense(dims), not returned)

    def through(self, access: AccessMap) -> Stored | None:
        """A view of it."""
        place = access.compose(self.place)
        return None if place is None else replace(self, place=place)


@dataclass(frozen=True)
class Reach:
    """How a kernel reaches what is stored somewhere at one of its positions `[*ins, *outs]`."""

    kernel: KernelOp
    position: int
    stored: Stored


def loss_of_move(here: Reach, there: Reach, target: TargetInfo) -> Loss | None:
    """What a kernel loses that is as fast as it can be `here`, but not `there`."""
    wanted = wanted_of(here.kernel, target)
    if wanted is None or here.position in range(here.kernel.DATA_OPERANDS, len(here.kernel.ins)):
        return None
    base = target.description.alignment

    def problem(reach: Reach) -> str | None:
        access = _at_best(reach, wanted.bytes)
        return misfit(reach.kernel, reach.position, access, wanted, base)

    reason = problem(there)
    if reason is None or problem(here) is not None:
        return None
    slower = seconds(here.kernel, target.description) * (1 / wanted.speed_without - 1)
    return Loss(here.kernel, reason, slower)


def _at_best(reach: Reach, multiple: int) -> AccessMap:
    """The map once rows of the storage are padded, as `align-operands` may do."""
    stored = reach.stored
    if not stored.padded:
        return stored.place
    operands = (*reach.kernel.ins, *reach.kernel.outs)
    padded = padded_rows(stored.dims, element_of(operands[reach.position]), multiple)
    return stored.place.compose(padded.place) or stored.place


def reader_losses(value: SSAValue, here: Stored, there: Stored, target: TargetInfo) -> list[Loss]:
    """Of the kernels that read a value, also through views, if it were moved."""
    losses: list[Loss] = []
    for use in value.uses:
        user = use.operation
        if isinstance(user, ViewOp):
            before, after = here.through(user.access), there.through(user.access)
            if before is not None and after is not None:
                losses += reader_losses(user.result, before, after, target)
        elif isinstance(user, KernelOp) and use.index < len(user.ins):
            access = user.in_access[use.index]
            before, after = here.through(access), there.through(access)
            if before is not None and after is not None:
                reaches = Reach(user, use.index, before), Reach(user, use.index, after)
                loss = loss_of_move(*reaches, target)
                losses += [] if loss is None else [loss]
    return losses


def total_loss(losses: Sequence[Loss]) -> float:
    """Seconds lost; a kernel that is slow for two reasons is slow once."""
    return sum({loss.kernel: loss.seconds for loss in losses}.values())


def not_worth(losses: Sequence[Loss], value: SSAValue, target: TargetInfo) -> str | None:
    """Why a copy of a value is better than to have it in a place with these losses; None if the
    place is."""
    lost = total_loss(losses)
    copy = copy_seconds(dim_product(dims_of(value)), element_of(value), target.description)
    if lost <= copy:
        return None
    first = losses[0]
    return (
        f"{describe(first.kernel)} would not be aligned in place ({first.reason}): "
        f"{microseconds(lost)} slower, {microseconds(copy)} to copy"
    )
