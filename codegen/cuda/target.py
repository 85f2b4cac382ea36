"""The targets `cuda:sm_90a` (H100, H200) and `cuda:sm_80` (A100), and how they multiply f32.

`$AIT_RANKER` says whose order candidates are tried in: `analytic` (ours, the default) or
`nvidia-matmul-heuristics`, a package of NVIDIA's that must be installed for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from ait.codegen.cuda import probe, toolchain
from ait.codegen.cuda.configs import CutlassMmaAttr, GemmAttr, Products
from ait.codegen.cuda.cost import f32_peak
from ait.codegen.cuda.devices import DEFAULT, NAMED, find_device
from ait.codegen.cuda.families import capabilities, families
from ait.codegen.cuda.matmul_heuristics import PACKAGE, MatmulHeuristicsRanker
from ait.codegen.gpu.ranker import AnalyticRanker, Ranker
from ait.codegen.gpu.target import GpuTarget
from ait.errors import CompileError
from ait.passes.target import DeviceDescription

_RANKERS: Mapping[str, Callable[[], Ranker]] = {
    "analytic": AnalyticRanker,
    PACKAGE: MatmulHeuristicsRanker,
}

_PRODUCTS: Mapping[str, Products | None] = {
    "": Products.TF32X3,
    "tf32": Products.TF32,
    "f32": None,
}
"""By the mode of a target's name, how products of f32 are made (None: by multiply-add)."""


def make_target(name: str) -> GpuTarget:
    """The target that `cuda`, `cuda:<architecture>` or `cuda:<architecture>+<mode>` spells.

    Raises CompileError for an architecture or a ranker that is not supported. Warns for an unknown
    architecture, for which the nearest older one stands in.
    """
    base, _, mode = name.partition("+")
    products = _PRODUCTS[mode]
    architecture, description = find_device(base.partition(":")[2] or DEFAULT)
    return GpuTarget(
        name=f"cuda:{architecture}" + (f"+{mode}" if mode else ""),
        device="cuda",
        kernel_suffix=".cu",
        description=_in_mode(mode, description),
        capabilities=capabilities(architecture),
        families=families(architecture, products),
        package="ait.codegen.cuda",
        find_toolchain=partial(toolchain.find, architecture),
        present_device=partial(probe.present_device, architecture),
        named={device: _in_mode(mode, found) for device, found in NAMED.items()},
        suffixes=dict.fromkeys((GemmAttr, CutlassMmaAttr), toolchain.CUTLASS_SUFFIX),
        slow_configs=(GemmAttr,),
        ranker=_ranker(),
    )


def _in_mode(mode: str, device: DeviceDescription) -> DeviceDescription:
    """The device with the peak of f32 that a mode's products have."""
    if not mode:
        return device
    peak = f32_peak(device, _PRODUCTS[mode])
    return replace(device, matrix_peak={**device.matrix_peak, "f32": peak})


def _ranker() -> Ranker:
    """What $AIT_RANKER asks for. Raises CompileError if it is unknown or not installed."""
    name = os.environ.get("AIT_RANKER") or "analytic"
    if name not in _RANKERS:
        raise CompileError(f"AIT_RANKER={name}: there are {', '.join(_RANKERS)}")
    return _RANKERS[name]()
