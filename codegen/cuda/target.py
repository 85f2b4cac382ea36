"""The targets `cuda:sm_90a` (H100, H200) and `cuda:sm_80` (A100)."""

from __future__ import annotations

from functools import partial

from ait.codegen.cuda import probe, toolchain
from ait.codegen.cuda.config import GemmAttr
from ait.codegen.cuda.devices import DEFAULT, find_device
from ait.codegen.cuda.families import capabilities, families
from ait.codegen.gpu.target import GpuTarget


def make_target(name: str) -> GpuTarget:
    """The target that `cuda` or `cuda:<architecture>` spells.

    Raises CompileError for an architecture that is not supported. Warns for an unknown one, for
    which the nearest older one stands in.
    """
    architecture, description = find_device(name.partition(":")[2] or DEFAULT)
    return GpuTarget(
        name=f"cuda:{architecture}",
        device="cuda",
        kernel_suffix=".cu",
        description=description,
        capabilities=capabilities(architecture),
        families=families(architecture),
        package="ait.codegen.cuda",
        find_toolchain=partial(toolchain.find, architecture),
        present_device=partial(probe.present_device, architecture),
        slow_configs=(GemmAttr,),
    )
