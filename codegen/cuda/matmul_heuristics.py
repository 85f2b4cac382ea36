"""Candidates of gemms in the order of NVIDIA's package `nvidia-matmul-heuristics`.

The package is never required and comes under a licence of its own. It is asked for by
AIT_RANKER=nvidia-matmul-heuristics (see target.py). What it recommends for a problem is matched to
our candidates by tile, cluster and split; recommended ones come first, in the order of the times
that the package expects, then all others by our own model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from ait.codegen.cuda.configs import GemmAttr, WgmmaAttr
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import Candidate
from ait.codegen.gpu.ranker import AnalyticRanker
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import GemmOp
from ait.errors import CompileError
from ait.passes.target import DeviceDescription

PACKAGE = "nvidia-matmul-heuristics"
_MODULE = "nvMatmulHeuristics"
_COUNT = 16
# The letters of cuBLAS: factors, sum, result. The package knows no mixed factors.
_PRECISIONS = {"f16": "HSH", "bf16": "TST"}
# Its names of the devices that have the config families which are matched.
_GPUS = {"H100": "H100_SXM", "H200": "H200_SXM"}

Shape = tuple[int, int, int]
"""Rows, columns and depth."""
Form = tuple[int, int, tuple[int, int] | None, int]
"""What configs are matched by: a tile's rows and columns, the cluster (None: any), the split."""


class MatmulHeuristicsRanker:
    """The ranker (ranker.py). Raises CompileError where the package is missing."""

    def __init__(self) -> None:
        self._own = AnalyticRanker()
        _package()

    def ranked(
        self, view: KernelView, candidates: Sequence[Candidate], device: DeviceDescription
    ) -> list[Candidate]:
        """Recommended candidates before others; our order for what the package does not know."""
        own = self._own.ranked(view, candidates, device)
        precision = _PRECISIONS.get(view.ins[0].element.name)
        gpu = _GPUS.get(device.name)
        if precision is None or gpu is None or not isinstance(view.op, GemmOp):
            return own
        shape = GemmShape.of(view)
        sizes = (shape.m, shape.n, shape.k)
        transposed = (shape.n, shape.m, shape.k)
        expected, turned = (
            recommended(extents, shape.batch, precision, gpu) for extents in (sizes, transposed)
        )

        def seconds(candidate: Candidate) -> float:
            form, swapped = _form(candidate)
            return (turned if swapped else expected).get(form, float("inf"))

        return sorted(own, key=seconds)


def _form(candidate: Candidate) -> tuple[Form | None, bool]:
    """What a config is matched by, and whether it is of the transposed problem."""
    match candidate.config:
        case WgmmaAttr(data=config):
            # Its clusters share one tile, which is a split and no cluster to the package.
            return (*config.tile[:2], None, config.split), config.swapped
        case GemmAttr(data=config):
            return (*config.tile[:2], config.cluster, 1), config.swapped
        case _:
            return None, False


@cache
def recommended(sizes: Shape, batch: int, precision: str, gpu: str) -> Mapping[Form | None, float]:
    """Seconds that the package expects of its best configs, each by its form."""
    package = _package()
    interface = package.NvMatmulHeuristicsInterface(
        package.NvMatmulHeuristicsTarget.CUTLASS3,
        precision=precision,
        flags=package.NvMatmulHeuristicsFlags.PERF_MODEL_BASED_AUTO_TUNING,
    )
    hardware = interface.createHardwareDescriptor()
    interface.setHardwarePredefinedGpu(hardware, package.NvMatmulHeuristicsNvidiaGpu[gpu])
    # Rows of the left factor, and of the transposed right one, lie along k.
    layout = package.NvMatmulHeuristicsMatmulLayout.NT_ROW_MAJOR
    interface.loadInternalDiscoverySet(layout, hardware)
    problem = interface.makeNvMatmulHeuristicsProblem(*sizes, layout, batch)
    answers = interface.get(problem, _COUNT, hardware)
    interface.destroyHardwareDescriptor(hardware)
    # Version 0.1.0.27 crashes in the destructor: without a handle it leaves a few kilobytes.
    interface.handle = None
    times: dict[Form | None, float] = {}
    for answer in answers:
        kernel = answer["kernel"]
        for cluster in ((kernel.cluster_m, kernel.cluster_n), None):
            form = (kernel.cta_tile_m, kernel.cta_tile_n, cluster, kernel.split_k)
            times[form] = min(answer["runtime"], times.get(form, float("inf")))
    return times


def _package() -> Any:
    try:
        return import_module(_MODULE)
    except ImportError as error:
        raise CompileError(
            f"AIT_RANKER asks for {PACKAGE}, which is not installed: "
            f"`pip install {PACKAGE}` (its licence is NVIDIA's own), or unset AIT_RANKER"
        ) from error
