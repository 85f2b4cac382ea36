"""group-kernels: independent kernels of one kind share a launch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

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
from ait.passes.cost import Work, microseconds
from ait.passes.remarks import remark
from ait.passes.target import DeviceDescription, GroupCapability, TargetInfo, find_target

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


@dataclass(frozen=True)
class _Balance:
    """What kernels gain and lose by one launch."""

    work: Work
    count: int
    alone: float
    """Seconds of the kernels one after the other, without launches."""
    row: GroupCapability
    device: DeviceDescription

    @staticmethod
    def of(work: Work, row: GroupCapability, device: DeviceDescription) -> _Balance:
        return _Balance(work, 1, work.seconds(device), row, device)

    def with_work(self, work: Work) -> _Balance:
        alone = self.alone + work.seconds(self.device)
        return replace(self, work=self.work + work, count=self.count + 1, alone=alone)

    @property
    def launches(self) -> float:
        """Seconds of launches saved."""
        return (self.count - 1) * self.device.launch_seconds

    @property
    def idle(self) -> float:
        """Seconds saved, since fewer units idle."""
        return self.alone - self.work.seconds(self.device)

    @property
    def lost(self) -> float:
        """Seconds lost to a group's lower speed."""
        together = self.work.seconds(self.device)
        return together / self.row.efficiency - together

    @property
    def gain(self) -> float:
        return self.launches + self.idle - self.lost

    @property
    def text(self) -> str:
        return (
            f"with {self.count - 1} more in one launch: {microseconds(self.launches)} of launches "
            f"and {microseconds(self.idle)} of idle units saved, {microseconds(self.lost)} lost to "
            "shared tiles"
        )


class _Grouper:
    """Groups the kernels of one function, each around the first of its members."""

    def __init__(self, function: FuncOp, target: TargetInfo):
        self.block = function.body.block
        self.target = target
        self.kernels = [op for op in self.block.ops if isinstance(op, KernelOp)]
        self.accesses = {op: accesses_of(op) for op in self.kernels}
        self.device = target.description
        grouped = target.capabilities.groups
        self.works = {
            op: Work.of(op, self.device) for op in self.kernels if family_of(op) in grouped
        }
        self.grouped: set[KernelOp] = set()
        self.told: set[KernelOp] = set()
        """Kernels of which it was said why they stay alone."""
        self.position: dict[Operation, float] = {op: i for i, op in enumerate(self.block.ops)}

    def run(self) -> None:
        for index, first in enumerate(self.kernels):
            row = self.target.capabilities.groups.get(family_of(first))
            if row is None or first in self.grouped:
                continue
            members = self._worth(self._members(index, row), row)
            if len(members) > 1:
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

    def _worth(self, members: Sequence[KernelOp], row: GroupCapability) -> list[KernelOp]:
        """Those of the kernels that are best in one launch, by the target's own numbers.

        A group runs at a part of its kernels' speed, which long kernels lose the most by, and it
        leaves fewer units idle, which short ones gain the most by. So the best group of each size
        is that of the shortest.
        """
        if len(members) < 2:
            return []
        shortest = sorted(members, key=lambda op: self.works[op].seconds(self.device))
        best, gain = 0, 0.0
        balance = _Balance.of(self.works[shortest[0]], row, self.device)
        for size, op in enumerate(shortest[1:], 2):
            balance = balance.with_work(self.works[op])
            if balance.gain >= gain:
                best, gain = size, balance.gain
        kept = set(shortest[:best]) if gain > 0 else set[KernelOp]()
        self._tell(members, kept, row)
        return [op for op in members if op in kept]

    def _tell(
        self, members: Sequence[KernelOp], kept: Collection[KernelOp], row: GroupCapability
    ) -> None:
        """Remarks on what is one launch, and on each kernel that stays out of it."""
        inside = [op for op in members if op in kept]
        if inside:
            remark(NAME, "applied", inside[0], self._balance(inside, row).text)
        for op in members[0 if inside else 1 :]:
            if op not in kept and op not in self.told:
                self.told.add(op)
                balance = self._balance([*(inside or members[:1]), op], row)
                remark(NAME, "missed", op, f"not {balance.text}")

    def _balance(self, members: Sequence[KernelOp], row: GroupCapability) -> _Balance:
        balance = _Balance.of(self.works[members[0]], row, self.device)
        for op in members[1:]:
            balance = balance.with_work(self.works[op])
        return balance

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

    Which of them do, the cost model decides: a launch saved for each, and units that would idle,
    against the part of their speed that kernels lose in a group.
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
