"""plan-memory: buffers share the slots of one workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, IntegerAttr, IntegerType, ModuleOp, i1, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from ait.dialects.functions import functions_of
from ait.dialects.kernel import (
    BackToBackGemmOp,
    BufferOp,
    ConvOp,
    ConvPoolOp,
    CopyOp,
    DualGemmOp,
    GemmOp,
    GemmRowwiseOp,
    KernelOp,
    PointwiseOp,
    RowwiseOp,
)
from ait.dialects.symbolic import (
    Dim,
    DimsAttr,
    dim_max,
    dim_product,
    dims_of,
    element_of,
    upper_bound,
)
from ait.errors import CompileError

SLOTS = "slots"
"""The function attribute that lists the slots' sizes in bytes, as `#sym.dims`."""


def bytes_of(element: Attribute) -> int:
    """The storage size of one element; i1 takes a byte."""
    if element == i1:
        return 1
    if isinstance(element, IntegerType | AnyFloat):
        return (element.bitwidth + 7) // 8
    raise CompileError(f"{element} cannot be stored in a buffer")


@dataclass
class Slot:
    """A part of the workspace, and when the buffer that holds it dies."""

    size: Dim
    free_after: int


@dataclass(frozen=True)
class Lifetime:
    """The ops, by position, between which a buffer's content matters."""

    buffer: SSAValue
    first: int
    last: int

    @property
    def size(self) -> Dim:
        return dim_product(dims_of(self.buffer)) * bytes_of(element_of(self.buffer))


def lifetimes(function: FuncOp) -> list[Lifetime]:
    """Of all allocations of a function, in the order of their first use."""
    block = function.body.block
    position = {op: i for i, op in enumerate(block.ops)}
    found: list[Lifetime] = []
    for op in block.ops:
        if isinstance(op, BufferOp):
            # The members of a group run at once: their uses are the group's.
            users = (block.find_ancestor_op_in_block(use.operation) for use in op.result.uses)
            uses = [position[user] for user in users if user is not None]
            if uses:
                found.append(Lifetime(op.result, min(uses), max(uses)))
    return sorted(found, key=lambda life: life.first)


_IN_PLACE: frozenset[type[Operation]] = frozenset(
    {
        BackToBackGemmOp,
        ConvOp,
        ConvPoolOp,
        CopyOp,
        DualGemmOp,
        GemmOp,
        GemmRowwiseOp,
        PointwiseOp,
        RowwiseOp,
    }
)
"""Kernels that read an operand of a region at an index before they write what it gives there."""


def may_write_over(op: Operation, read: SSAValue, written: SSAValue) -> bool:
    """Whether a kernel may write one buffer over another that it reads for the last time.

    Each element must be read only by the index that writes it: equal maps and element sizes, and
    no operand of the buffer that is reached in any other way.
    """
    if not isinstance(op, KernelOp) or type(op) not in _IN_PLACE:
        return False
    if bytes_of(element_of(read)) != bytes_of(element_of(written)):
        return False
    outs = [i for i, out in enumerate(op.outs) if out is written]
    ins = [(i, op.in_access[i]) for i, value in enumerate(op.ins) if value is read]
    if len(outs) != 1 or any(out is read for out in op.outs):
        return False
    place, own = op.out_access[outs[0]], op.ins_of_out(outs[0])
    return all(i in own and access == place for i, access in ins)


def assign_slots(function: FuncOp) -> tuple[dict[SSAValue, int], list[Slot]]:
    """Greedy by first use: a dead slot of the closest size, else a new one."""
    ops = list(function.body.block.ops)
    slots: list[Slot] = []
    holder: dict[int, SSAValue] = {}
    assigned: dict[SSAValue, int] = {}
    for life in lifetimes(function):
        index = _best_slot(life, slots, holder, ops[life.first])
        if index is None:
            index = len(slots)
            slots.append(Slot(life.size, life.last))
        slot = slots[index]
        slot.size = dim_max(slot.size, life.size)
        slot.free_after = life.last
        holder[index] = life.buffer
        assigned[life.buffer] = index
    return assigned, slots


def _best_slot(
    life: Lifetime, slots: Sequence[Slot], holder: Mapping[int, SSAValue], first: Operation
) -> int | None:
    wanted = upper_bound(life.size)
    best: int | None = None
    best_waste = 0
    for index, slot in enumerate(slots):
        free = slot.free_after < life.first or (
            slot.free_after == life.first and may_write_over(first, holder[index], life.buffer)
        )
        if not free:
            continue
        waste = abs(upper_bound(slot.size) - wanted)
        if best is None or waste < best_waste:
            best, best_waste = index, waste
    return best


def _plan(function: FuncOp) -> None:
    assigned, slots = assign_slots(function)
    for op in list(function.body.block.ops):
        if not isinstance(op, BufferOp):
            continue
        if op.result in assigned:
            op.slot = IntegerAttr(assigned[op.result], i64)
        else:
            op.detach()
            op.erase()
    function.attributes[SLOTS] = DimsAttr(tuple(slot.size for slot in slots))


@dataclass(frozen=True)
class PlanMemoryPass(ModulePass):
    """Places all allocations into slots of one workspace.

    Before: `%a = kernel.buffer : memref<4xf32>` for each intermediate
    After:  `%a = kernel.buffer slot 0 : memref<4xf32>`, and the sizes as attribute `slots`

    Two buffers share a slot if one is dead before the other is first written, or if a kernel
    overwrites its operand element by element. Sizes are symbolic: a slot takes what the largest of
    its buffers takes for the dims at hand.
    """

    name = "plan-memory"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in functions_of(op):
            _plan(function)
