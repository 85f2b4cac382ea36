"""The targets `hip:gfx90a`, `hip:gfx942`: AMD GPUs by Composable Kernel and HIP kernels."""

from __future__ import annotations

from functools import partial

from ait.codegen.gpu.families import capabilities_of, families_of
from ait.codegen.gpu.target import GpuTarget
from ait.codegen.hip import toolchain
from ait.codegen.hip.devices import DEFAULT, describe
from ait.codegen.hip.families import ROWS
from ait.passes.target import Capabilities


def make_target(name: str) -> GpuTarget:
    """The target that `hip` or `hip:<architecture>` spells.

    Raises CompileError for an architecture that is not supported. Warns for an unknown one, whose
    kernels are chosen as for the nearest older one.
    """
    architecture = name.partition(":")[2] or DEFAULT
    return GpuTarget(
        name=f"hip:{architecture}",
        device="hip",
        kernel_suffix=".hip",
        description=describe(architecture),
        capabilities=Capabilities(capabilities_of(ROWS, architecture)),
        families=families_of(ROWS, architecture),
        package="ait.codegen.hip",
        find_toolchain=partial(toolchain.find, architecture),
    )
