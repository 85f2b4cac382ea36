"""Moving ops within their block so that a fused op can take two ops' places."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Operation, SSAValue


def dependents_between(first: Operation, last: Operation) -> list[Operation]:
    """The ops strictly between the two that use `first`, directly or not, in block order."""
    found: dict[Operation, None] = {first: None}
    op = first.next_op
    while op is not None and op is not last:
        if any(operand.owner in found for operand in op.operands):
            found[op] = None
        op = op.next_op
    del found[first]
    return list(found)


def reaches(dependents: Sequence[Operation], values: Sequence[SSAValue]) -> bool:
    """Whether one of the values is computed by one of the ops."""
    owners = set(dependents)
    return any(value.owner in owners for value in values)


def move_after(place: Operation, ops: Sequence[Operation]) -> None:
    """Moves ops behind `place`, in their order."""
    block = place.parent
    assert block is not None
    for op in ops:
        op.detach()
        block.insert_op_after(op, place)
        place = op
