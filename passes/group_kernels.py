"""group-kernels: independent kernels of one kind share a launch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ait.dialects.functions import run_functions_of
from ait.dialects.kernel import (
    Access,
    CopyOp,
    GroupOp,
    KernelOp,
    PointwiseOp,
    accesses_of,
)
from ait.passes.cost import Work, expected_seconds, microseconds
from ait.passes.remarks import remark
from ait.passes.target import (
    DeviceDescription,
    GroupCapability,
    SharedLaunch,
    TargetInfo,
    find_target,
)

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
class _Gain:
    """Seconds that kernels gain by one launch, or lose, and why."""

    seconds: float
    text: str


class _Scales(Protocol):
    """What decides how many kernels are best in one launch."""

    def seconds(self, op: KernelOp) -> float:
        """The time of a kernel, to tell short ones from long ones."""
        ...

    def suit(self, op: KernelOp, other: KernelOp) -> bool:
        """Whether two kernels can share a launch."""
        ...

    def gain(self, ops: Sequence[KernelOp]) -> _Gain:
        """Of two kernels or more."""
        ...


class _Rooflines:
    """Weighs by the work of kernels: a launch saved for each, and units that would idle, against
    the part of their speed that kernels lose in a group."""

    def __init__(
        self, kernels: Iterable[KernelOp], row: GroupCapability, device: DeviceDescription
    ):
        self._works = {op: Work.of(op, device) for op in kernels}
        self._row = row
        self._device = device

    def seconds(self, op: KernelOp) -> float:
        return self._works[op].seconds(self._device)

    def suit(self, op: KernelOp, other: KernelOp) -> bool:
        return True

    def gain(self, ops: Sequence[KernelOp]) -> _Gain:
        work = sum((self._works[op] for op in ops[1:]), self._works[ops[0]])
        together = work.seconds(self._device)
        launches = (len(ops) - 1) * self._device.launch_seconds
        idle = sum(map(self.seconds, ops)) - together
        lost = together / self._row.efficiency - together
        text = (
            f"{microseconds(launches)} of launches and {microseconds(idle)} of idle units saved, "
            f"{microseconds(lost)} lost to shared tiles"
        )
        return _Gain(launches + idle - lost, text)


class _Models:
    """Weighs by what the target expects of its own kernels."""

    def __init__(self, target: TargetInfo):
        self._target = target
        self._shares: dict[KernelOp, object | None] = {}
        self._seconds: dict[KernelOp, float] = {}

    def seconds(self, op: KernelOp) -> float:
        if op not in self._seconds:
            self._seconds[op] = expected_seconds(op, self._target)
        return self._seconds[op]

    def suit(self, op: KernelOp, other: KernelOp) -> bool:
        return self._together([op, other]) is not None

    def gain(self, ops: Sequence[KernelOp]) -> _Gain:
        launch = self._together(ops)
        if launch is None or launch.seconds is None:
            return _Gain(-inf, "they cannot share it")
        alone = sum(map(self.seconds, ops))
        text = f"{microseconds(alone)} apart, {microseconds(launch.seconds)} as one"
        return _Gain(alone - launch.seconds, text)

    def _together(self, ops: Sequence[KernelOp]) -> SharedLaunch | None:
        shares = [self._share(op) for op in ops]
        known = [share for share in shares if share is not None]
        return self._target.shared_launch(known) if len(known) == len(ops) else None

    def _share(self, op: KernelOp) -> object | None:
        if op not in self._shares:
            self._shares[op] = self._target.launch_share(op)
        return self._shares[op]


class _Grouper:
    """Groups the kernels of one function, each around the first of its members."""

    def __init__(self, function: FuncOp, target: TargetInfo):
        self.block = function.body.block
        self.target = target
        self.kernels = [op for op in self.block.ops if isinstance(op, KernelOp)]
        self.accesses = {op: accesses_of(op) for op in self.kernels}
        self._scales: dict[type[KernelOp], _Scales] = {
            kind: self._scales_of(kind, row) for kind, row in target.capabilities.groups.items()
        }
        self.grouped: set[KernelOp] = set()
        self.told: set[KernelOp] = set()
        """Kernels of which it was said why they stay alone."""
        self.position: dict[Operation, float] = {op: i for i, op in enumerate(self.block.ops)}

    def _scales_of(self, kind: type[KernelOp], row: GroupCapability) -> _Scales:
        if self.target.has_models:
            return _Models(self.target)
        kernels = (op for op in self.kernels if family_of(op) is kind)
        return _Rooflines(kernels, row, self.target.description)

    def run(self) -> None:
        for index, first in enumerate(self.kernels):
            row = self.target.capabilities.groups.get(family_of(first))
            if row is None or first in self.grouped:
                continue
            scales = self._scales[family_of(first)]
            members = self._worth(self._members(index, row, scales), scales)
            if len(members) > 1:
                self.grouped.update(members)
                self._group(members)

    def _members(self, index: int, row: GroupCapability, scales: _Scales) -> list[KernelOp]:
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
            joins = family_of(op) is family_of(first) and not before.meets(self.accesses[op])
            if joins and scales.suit(first, op):
                members.append(op)
            before.add(self.accesses[op])
        return members

    def _worth(self, members: Sequence[KernelOp], scales: _Scales) -> list[KernelOp]:
        """Those of the kernels that are best in one launch, by the target's own numbers.

        A group runs at a part of its kernels' speed, which long kernels lose the most by, and it
        leaves fewer units idle, which short ones gain the most by. So the best group of each size
        is that of the shortest.
        """
        if len(members) < 2:
            return []
        shortest = sorted(members, key=scales.seconds)
        best, gain = 0, 0.0
        for size in range(2, len(shortest) + 1):
            found = scales.gain(shortest[:size]).seconds
            if found >= gain:
                best, gain = size, found
        kept = set(shortest[:best]) if gain > 0 else set[KernelOp]()
        self._tell(members, kept, scales)
        return [op for op in members if op in kept]

    def _tell(
        self, members: Sequence[KernelOp], kept: Collection[KernelOp], scales: _Scales
    ) -> None:
        """Remarks on what is one launch, and on each kernel that stays out of it."""
        inside = [op for op in members if op in kept]
        if inside:
            text = scales.gain(inside).text
            remark(NAME, "applied", inside[0], f"with {len(inside) - 1} more in one launch: {text}")
        for op in members[0 if inside else 1 :]:
            if op not in kept and op not in self.told:
                self.told.add(op)
                all_of_them = [*(inside or members[:1]), op]
                text = scales.gain(all_of_them).text
                more = len(all_of_them) - 1
                remark(NAME, "missed", op, f"not with {more} more in one launch: {text}")

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
        for function in run_functions_of(op):
            _Grouper(function, target).run()
