"""fuse-products: two products in a row become one kernel, once convolutions are products."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ait.passes.fusion.back_to_back import FuseBackToBack
from ait.passes.rewriting import rewrite_each
from ait.passes.target import find_target

NAME = "fuse-products"


@dataclass(frozen=True)
class FuseProductsPass(ModulePass):
    """Makes one kernel of two products the first of which computes the left factor of the second,
    though others read that too, as the end of a residual block and the first convolution of the
    next one.

    The factor is then stored but not read back. It passes in parts (`RowTile.in_parts`), so it may
    be wider than what a unit of the device holds, as it must not be in `fuse-vertical`. The pass
    stands behind `legalize`, which makes products of convolutions, and `align-operands`. The
    target's model of its kernels says whether it pays: each reads both right factors for its rows,
    and the rows alone keep units busy.

    Before:

        %t = kernel.gemm ins(%x, %w, %b, %shortcut) outs(%0) ... epilogue { relu }
        %y = kernel.gemm ins(%t, %v, %c) outs(%1) ... epilogue { relu }
        %z = kernel.conv ins(%y, %u) ...
        %s = kernel.gemm ins(%z, %q, %d, %t) ...

    After:

        %y, %t = kernel.back_to_back_gemm ins(%x, %w, %v, %b, %shortcut, %c) outs(%1, %0)
            {keeps_middle, ...} middle { relu } epilogue { relu }
        %z = kernel.conv ins(%y, %u) ...
        %s = kernel.gemm ins(%z, %q, %d, %t) ...
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        pattern = FuseBackToBack(find_target(self.target), NAME, in_parts=True)
        rewrite_each(op, pattern)
