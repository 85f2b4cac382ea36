"""What placing a tensor inside of a larger one costs the kernels that write and read it there.

A place may be legal and yet not aligned, so that a kernel that was fast becomes a slow one. Against
that stands the copy that the place saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import dim_product, dims_of, element_of
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
class Reach:
    """How a kernel reaches a value at one of its positions `[*ins, *outs]`: a map of a storage."""

    kernel: KernelOp
    position: int
    access: AccessMap
    storage: SSAValue


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
    if any(isinstance(use.operation, ReturnOp) for use in reach.storage.uses):
        return reach.access
    padded = padded_rows(dims_of(reach.storage), element_of(reach.storage), multiple)
    return reach.access.compose(padded.place) or reach.access


def not_worth(losses: Sequence[Loss], value: SSAValue, target: TargetInfo) -> str | None:
    """Why a copy of a value is better than to have it in a place with these losses; None if the
    place is."""
    by_kernel = {loss.kernel: loss for loss in losses}
    lost = sum(loss.seconds for loss in by_kernel.values())
    copy = copy_seconds(dim_product(dims_of(value)), element_of(value), target.description)
    if lost <= copy:
        return None
    first = next(iter(by_kernel.values()))
    return (
        f"{describe(first.kernel)} would not be aligned in place ({first.reason}): "
        f"{microseconds(lost)} slower, {microseconds(copy)} to copy"
    )
