"""Fused ops in the places of two ops, and the ops that must move within their block for it."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.passes.origins import joined_location, keep_names


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


def replace_both(
    first: Operation,
    last: Operation,
    fused: Operation,
    survivors: Sequence[SSAValue],
    moved: Sequence[Operation],
    rewriter: PatternRewriter,
) -> None:
    """Puts an op that is made of two where the last one is, and the ops `moved` behind it, which
    depend on the first. Its results are the `survivors` of the first, then those of the last."""
    fused.location = joined_location(first, last)
    move_after(last, moved)
    keep_names([*survivors, *last.results], fused.results)
    count = len(survivors)
    rewriter.replace(last, fused, list(fused.results[count:]))
    for old, new in zip(survivors, fused.results[:count], strict=True):
        rewriter.replace_all_uses_with(old, new)
    rewriter.erase(first)


def move_after(place: Operation, ops: Sequence[Operation]) -> None:
    """Moves ops behind `place`, in their order."""
    block = place.parent
    assert block is not None
    for op in ops:
        op.detach()
        block.insert_op_after(op, place)
        place = op
