"""The CPU target with a fast compiler setting, for tests of what kernels compute."""

from ait.codegen.build import Toolchain
from ait.codegen.cpu.target import CpuTarget


class QuickTarget(CpuTarget):
    def toolchain(self) -> Toolchain:
        return super().toolchain().with_flags(("-O1",))


def make_target(name: str) -> QuickTarget:
    return QuickTarget(name, None)
