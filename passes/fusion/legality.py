"""What every fusion of kernels asks: is all of a value written, does the target take the result?"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Operation, SSAValue

from ait.dialects.accessor import AccessMap, AssembleOp
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import dim_product, dims_of
from ait.passes.target import KernelCapability, TargetInfo


class Refusal(Exception):
    """Why two ops cannot become one."""


def covers_storage(value: SSAValue, access: AccessMap) -> bool:
    """Whether the map visits each element of a tensor once."""
    return access.covers(dim_product(dims_of(value)))


def capability(target: TargetInfo, kind: type[KernelOp]) -> KernelCapability:
    """The target's row for a kernel; Refusal if there is none."""
    row = target.capabilities.of(kind)
    if row is None:
        raise Refusal(f"{target.name} has no {kind.name}")
    return row


def check_places(
    some: Sequence[SSAValue], others: Sequence[SSAValue], row: KernelCapability | None
) -> None:
    """Refuses to compute two pieces of one assembled tensor in one kernel that cannot write them in
    place."""
    if row is None or row.strided_results:
        return
    if _assembled(some) & _assembled(others):
        raise Refusal("another of its results is a piece of the same tensor")


def _assembled(values: Sequence[SSAValue]) -> set[Operation]:
    """The ops that assemble one of the values with others."""
    users = {use.operation for value in values for use in value.uses}
    return {user for user in users if isinstance(user, AssembleOp)}


def check_limits(op: KernelOp, row: KernelCapability) -> None:
    """Raises Refusal if a fused op has more operands than the target's kernels take.

    The op, which is in no block, is then erased: left behind, it would still use its operands.
    """
    ins, outs = len(op.ins), len(op.outs)
    if ins > row.max_ins or outs > row.max_outs:
        op.erase()
        raise Refusal(
            f"{ins} operands and {outs} results are more than {row.max_ins} and {row.max_outs}"
        )


def check_runs(op: KernelOp, target: TargetInfo) -> None:
    """Raises Refusal, and erases a fused op, if no kernel of the target can run it."""
    reason = target.refusal(op)
    if reason is not None:
        op.erase()
        raise Refusal(reason)
