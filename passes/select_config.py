"""select-config: every kernel gets a configuration of its target."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ait.dialects.kernel import KernelOp
from ait.passes.target import find_target


@dataclass(frozen=True)
class SelectConfigPass(ModulePass):
    """Attaches the target's first candidate to kernels that have no config yet.

    Before: `kernel.gemm ins(...) outs(...)`
    After:  `kernel.gemm ins(...) outs(...) {config = #cuda.gemm<...>}`
    """

    name = "select-config"
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        for kernel in op.walk():
            if isinstance(kernel, KernelOp) and kernel.config is None:
                candidates = target.candidates(kernel)
                if candidates:
                    kernel.config = candidates[0]
