"""alternate-directions: a kernel begins where the one before it has ended."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from ait.dialects.functions import run_functions_of
from ait.dialects.kernel import BACKWARDS, GroupOp, KernelOp
from ait.dialects.symbolic import upper_bound
from ait.passes.cost import bytes_reached
from ait.passes.target import TargetInfo, find_target

NAME = "alternate-directions"

_CACHE_PART = 0.25
"""Of the last-level cache: a smaller tensor is there as a whole."""


@dataclass(frozen=True)
class AlternateDirectionsPass(ModulePass):
    """Lets kernels go through their rows forwards and backwards in turn.

    A kernel that reads a tensor right after it was written finds its end in the cache, and not its
    beginning, if the tensor is large: read from the end on, the part that the cache holds does not
    come from memory, and what comes from there costs power as well. So a kernel takes the other
    direction than the one that wrote its newest large operand. The results are the same bits.

    Before: `kernel.gemm ins(%x ...) outs(%h ...)`, `kernel.rowwise ins(%h ...) outs(%y ...)`
    After:  `kernel.gemm ins(%x ...) outs(%h ...)`, `kernel.rowwise ins(%h ...) outs(%y ...)
            {backwards}`

    Runs at the end, on buffers, when the order of kernels is settled. Only kernels of
    which the target says that they can, as configured (`goes_backwards`), take part; others go
    forwards.
    """

    name = NAME

    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        for function in run_functions_of(op):
            _alternate(function, target)


def _alternate(function: FuncOp, target: TargetInfo) -> None:
    writers: dict[SSAValue, tuple[int, bool]] = {}
    """By buffer, the number of the kernel that wrote it last, and whether that went backwards."""
    for number, op in enumerate(function.body.block.ops):
        kernels = op.members if isinstance(op, GroupOp) else [op]
        for kernel in kernels:
            if not isinstance(kernel, KernelOp):
                continue
            backwards = kernel is op and _goes_backwards(kernel, writers, target)
            if backwards:
                kernel.attributes[BACKWARDS] = UnitAttr()
            writers |= dict.fromkeys(kernel.outs, (number, backwards))


def _goes_backwards(
    op: KernelOp, writers: dict[SSAValue, tuple[int, bool]], target: TargetInfo
) -> bool:
    if not target.goes_backwards(op):
        return False
    least = _CACHE_PART * target.description.cache_bytes
    large = [
        writers[value]
        for value, access in zip(op.ins, op.in_access, strict=True)
        if value in writers and upper_bound(bytes_reached(value, access)) >= least
    ]
    return bool(large) and not max(large)[1]
