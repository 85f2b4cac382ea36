"""forward-copies: a kernel whose result is only copied writes it where the copy would."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ait.dialects.accessor import AccessMap
from ait.dialects.functions import run_functions_of
from ait.dialects.kernel import Access, BufferOp, CopyOp, KernelOp, accesses_of
from ait.dialects.symbolic import dim_product, dims_of, element_of
from ait.passes.fusion.alignment_loss import Reach, Stored, loss_of_move, not_worth
from ait.passes.fusion.assembly import redirected, redirection
from ait.passes.fusion.legality import Refusal, capability
from ait.passes.origins import joined_location
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo, find_target

NAME = "forward-copies"


@dataclass(frozen=True)
class _Forward:
    """A copy, and the kernel that computes what it copies."""

    copy: CopyOp
    kernel: KernelOp
    index: int
    """Which of the kernel's results it is."""

    @property
    def source(self) -> SSAValue:
        return self.copy.ins[0]

    @property
    def destination(self) -> SSAValue:
        return self.copy.outs[0]

    @staticmethod
    def of(copy: CopyOp) -> _Forward:
        """Of a copied buffer. Raises Refusal unless one kernel writes it and no other reads it."""
        source = copy.ins[0]
        others = [use for use in source.uses if use.operation is not copy]
        if len(others) != 1:
            raise Refusal("it is used more than once")
        kernel = others[0].operation
        if not isinstance(kernel, KernelOp) or others[0].index < len(kernel.ins):
            raise Refusal("it is read elsewhere")
        if element_of(source) != element_of(copy.outs[0]):
            raise Refusal("it is stored in another type")
        return _Forward(copy, kernel, others[0].index - len(kernel.ins))

    @property
    def place(self) -> AccessMap:
        """Where the copy puts the source, whose dense storage the map is over. May be Refusal."""
        size = dim_product(dims_of(self.source))
        read, write = self.copy.in_access[0], self.copy.out_access[0]
        order = read.order_as_storage()
        if order is None or not read.covers(size):
            raise Refusal("only a part of it is copied")
        if not self.kernel.out_access[self.index].covers(size):
            raise Refusal("its kernel writes only a part of it")
        return write.permute(order)

    def between(self) -> list[Operation]:
        """The ops from the kernel, which is not one of them, to the copy, which is not either."""
        found: list[Operation] = []
        op = self.kernel.next_op
        while op is not None and op is not self.copy:
            found.append(op)
            op = op.next_op
        return found


def _check_order(forward: _Forward, place: AccessMap) -> None:
    """Raises Refusal if something would see the destination written too early."""
    written = Access(forward.destination, place, True)
    for op in (forward.kernel, *forward.between()):
        if isinstance(op, KernelOp) and any(written.meets(access) for access in accesses_of(op)):
            raise Refusal(f"{describe(op)} reads or writes the place before")


def _check_alignment(forward: _Forward, new: KernelOp, target: TargetInfo) -> None:
    """Raises Refusal if the kernel would lose more than the copy costs."""
    position = len(new.ins) + forward.index
    here = Stored.in_tensor(forward.source, forward.kernel.out_access[forward.index])
    there = Stored.in_tensor(forward.destination, new.out_access[forward.index])
    loss = loss_of_move(
        Reach(forward.kernel, position, replace(here, padded=False)),
        Reach(new, position, replace(there, padded=False)),
        target,
    )
    reason = None if loss is None else not_worth([loss], forward.source, target)
    if reason is not None:
        raise Refusal(reason)


def _forwarded(forward: _Forward, target: TargetInfo) -> KernelOp:
    """The kernel that writes into the copy's destination, in no block. Raises Refusal."""
    place = forward.place
    _check_order(forward, place)
    kernel = forward.kernel
    found = redirection(kernel, forward.index, place)
    if found is None:
        raise Refusal("its place cannot be addressed over the kernel's domain")
    if not found.out.is_dense and not capability(target, type(kernel)).strided_results:
        raise Refusal(f"{kernel.name} writes dense results only")
    outs = list(kernel.outs)
    outs[forward.index] = forward.destination
    new = redirected(kernel, outs, {forward.index: found.out}, found.factors)
    try:
        reason = target.refusal(new)
        if reason is not None:
            raise Refusal(reason)
        _check_alignment(forward, new, target)
    except Refusal:
        new.erase()
        raise
    return new


def _forward(copy: CopyOp, target: TargetInfo) -> None:
    forward = _Forward.of(copy)
    new = _forwarded(forward, target)
    kernel, block = forward.kernel, forward.kernel.parent
    assert block is not None
    remark(NAME, "applied", kernel, "writes its result where it would be copied to")
    new.location = joined_location(kernel, copy)
    owner = forward.destination.owner
    if isinstance(owner, BufferOp) and owner in forward.between():
        owner.detach()
        block.insert_op_before(owner, kernel)
    block.insert_op_before(new, kernel)
    buffer = forward.source.owner
    assert isinstance(buffer, BufferOp)
    for op in (copy, kernel, buffer):
        op.detach()
        op.erase()


@dataclass(frozen=True)
class ForwardCopiesPass(ModulePass):
    """Lets kernels write their results where copies would put them.

    Before: `kernel.pointwise ins(%x) outs(%a <first columns>, %b)`, `kernel.copy ins(%b) outs(%a
            <last columns>)`
    After:  `kernel.pointwise ins(%x) outs(%a <first columns>, %a <last columns>)`

    Works on buffers: on tensors in destination-passing style, a kernel writes one part of a tensor
    at most, since each of its results is a tensor of its own.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        for function in run_functions_of(op):
            for copy in list(function.body.block.ops):
                if isinstance(copy, CopyOp) and isinstance(copy.ins[0].owner, BufferOp):
                    try:
                        _forward(copy, target)
                    except Refusal as refusal:
                        remark(NAME, "missed", copy, f"stays a copy: {refusal}")
