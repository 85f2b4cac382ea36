"""fuse-pools: a pool and the convolution that it reads become one kernel."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ait.passes.fusion.conv_pool import FuseConvPool
from ait.passes.rewriting import erase_unused, rewrite_each
from ait.passes.target import find_target

NAME = "fuse-pools"


@dataclass(frozen=True)
class FusePoolsPass(ModulePass):
    """Lets a convolution pool its own result, which then is neither written nor read.

    Before: `%c = kernel.conv ins(%x, %w, %b) ...`, `%y = kernel.pool ins(%c) ...`
    After:  `%y = kernel.conv_pool ins(%x, %w, %b) ... middle { code of the convolution } epilogue
            { code of the pool }`

    Only where no other kernel reads the convolution's result, and the target expects its kernel of
    both to be faster than its kernels of each. It asks at the end, when all operands lie where the
    kernels will read them: not every kernel of a convolution can pool.
    """

    name = NAME

    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        pattern = FuseConvPool(find_target(self.target), NAME)
        rewrite_each(op, pattern)
        erase_unused(op)
