"""The targets `cuda:sm_90a` (H100, H200) and `cuda:sm_80` (A100).

`$AIT_RANKER` says whose order candidates are tried in: `analytic` (ours, the default) or
`nvidia-matmul-heuristics`, a package of NVIDIA's that must be installed for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial

from ait.codegen.cuda import probe, toolchain
from ait.codegen.cuda.config import GemmAttr
from ait.codegen.cuda.devices import DEFAULT, find_device
from ait.codegen.cuda.families import capabilities, families
from ait.codegen.cuda.matmul_heuristics import PACKAGE, MatmulHeuristicsRanker
from ait.codegen.gpu.ranker import AnalyticRanker, Ranker
from ait.codegen.gpu.target import GpuTarget
from ait.errors import CompileError

_RANKERS: Mapping[str, Callable[[], Ranker]] = {
    "analytic": AnalyticRanker,
    PACKAGE: MatmulHeuristicsRanker,
}


def make_target(name: str) -> GpuTarget:
    """The target that `cuda` or `cuda:<architecture>` spells.

    Raises CompileError for an architecture or a ranker that is not supported. Warns for an unknown
    architecture, for which the nearest older one stands in.
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
        ranker=_ranker(),
    )


def _ranker() -> Ranker:
    """What $AIT_RANKER asks for. Raises CompileError if it is unknown or not installed."""
    name = os.environ.get("AIT_RANKER") or "analytic"
    if name not in _RANKERS:
        raise CompileError(f"AIT_RANKER={name}: there are {', '.join(_RANKERS)}")
    return _RANKERS[name]()
