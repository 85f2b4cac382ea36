"""group-kernels: independent kernels of one kind share a launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ait.dialects.functions import PREPARE, functions_of
from ait.dialects.kernel import (
    Access,
    CopyOp,
    GroupOp,
    KernelOp,
    PointwiseOp,
    accesses_of,
)
from ait.passes.cost import seconds
from ait.passes.remarks import remark
from ait.passes.target import GroupCapability, TargetInfo, find_target

NAME = "group-kernels"

_WINDOW = 128
"""How many kernels later a member may stand: keeps the pass linear, and lifetimes short."""


def family_of(op: KernelOp) -> type[KernelOp]:
    """Kernels of one family can share a launch: a copy is a pointwise kernel without code."""
    return PointwiseOp if isinstance(op, CopyOp) else type(op)


@dataclass
class _Footprint:
    """All that some kernels read and write, by buffer."""

    by_buffer: dict[SSAValue, set[Access]] = field(default_factory=dict[SSAValue, set[Access]])

    def add(self, accesses: Sequence[Access]) -> None:
        for access in accesses:
            self.by_buffer.setdefault(access.buffer, set()).add(access)

    def meets(self, accesses: Sequence[Access]) -> bool:
        """Whether the order of any of these and any of the footprint's own may matter."""
        return any(
            access.meets(other)
            for access in accesses
            for other in self.by_buffer.get(access.buffer, ())
        )


class _Grouper:
    """Groups the kernels of one function, each around the first of its members."""

    def __init__(self, function: FuncOp, target: TargetInfo):
        self.block = function.body.block
        self.target = target
        self.kernels = [op for op in self.block.ops if isinstance(op, KernelOp)]
        self.accesses = {op: accesses_of(op) for op in self.kernels}
        self.grouped: set[KernelOp] = set()
        self.position: dict[Operation, float] = {op: i for i, op in enumerate(self.block.ops)}

    def run(self) -> None:
        for index, first in enumerate(self.kernels):
            row = self.target.capabilities.groups.get(family_of(first))
            if row is None or first in self.grouped:
                continue
            members = self._members(index, row)
            if len(members) > 1 and self._pays(members, row):
                self.grouped.update(members)
                self._group(members)

    def _members(self, index: int, row: GroupCapability) -> list[KernelOp]:
        """The first kernel, and later ones that can run where it runs."""
        first = self.kernels[index]
        members = [first]
        before = _Footprint()  # what a later kernel would pass, and the members that it joins
        before.add(self.accesses[first])
        for op in self.kernels[index + 1 : index + 1 + _WINDOW]:
            if len(members) == row.max_members:
                break
            if op in self.grouped:
                continue  # it stands before the first one now
            if family_of(op) is family_of(first) and not before.meets(self.accesses[op]):
                members.append(op)
            before.add(self.accesses[op])
        return members

    def _pays(self, members: Sequence[KernelOp], row: GroupCapability) -> bool:
        """Launches saved against speed lost, by the target's own numbers."""
        device = self.target.description
        saved = (len(members) - 1) * device.launch_seconds
        work = sum(seconds(op, device) for op in members)
        lost = work / row.efficiency - work
        text = (
            f"with {len(members) - 1} more in one launch: {saved * 1e6:.1f} us of launches saved, "
            f"{lost * 1e6:.1f} us lost to shared tiles"
        )
        if saved > lost:
            remark(NAME, "applied", members[0], text)
            return True
        remark(NAME, "missed", members[0], f"not {text}")
        return False

    def _group(self, members: Sequence[KernelOp]) -> None:
        first = members[0]
        for op in members:
            for value in op.operands:
                self._define_before(value, first)
        place = first.next_op
        for op in members:
            while place is op:
                place = op.next_op
        assert place is not None, "a function ends in func.return"
        for op in members:
            op.detach()
        self.block.insert_op_before(GroupOp(members), place)

    def _define_before(self, value: SSAValue, first: Operation) -> None:
        """Buffers and globals that only later kernels use may be defined after the first."""
        owner = value.owner
        if isinstance(owner, Operation) and self.position[owner] > self.position[first]:
            owner.detach()
            self.block.insert_op_before(owner, first)
            self.position[owner] = self.position[first] - 0.5


@dataclass(frozen=True)
class GroupKernelsPass(ModulePass):
    """Puts kernels that do not depend on each other into one launch, where the target can.

    Before: `kernel.rowwise ins(%x) outs(%y)`, `kernel.rowwise ins(%u) outs(%v)`
    After:  `kernel.group { kernel.rowwise ins(%x) outs(%y); kernel.rowwise ins(%u) outs(%v) }`

    Works on buffers: pieces of one tensor, which tensors in destination-passing style chain one
    after the other, are then independent, since their maps never meet. A kernel joins the first one
    of its family that it could stand beside; it may pass all that it does not depend on.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        if not target.capabilities.groups:
            return
        for function in functions_of(op):
            if function.sym_name.data != PREPARE:
                _Grouper(function, target).run()
