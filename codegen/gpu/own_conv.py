"""Convolutions as the gemm kernel that takes anything, its left factor read from the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.cost import own_gemm_seconds
from ait.codegen.gpu.dialect import OwnConvAttr, OwnGemmConfig, Units
from ait.codegen.gpu.family import Candidate, TemplateValues
from ait.codegen.gpu.lanes import aligned_to, shared_values
from ait.codegen.gpu.own_gemm import TILES, Engine, OwnGemm
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription


class OwnConv:
    """The kernel family; see family.py. `gemm`: the family whose engines multiply."""

    template = "own_conv.j2"
    config_type = OwnConvAttr

    def __init__(self, gemm: OwnGemm):
        self._gemm = gemm

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = ConvProblem.of(view)
        shape, slowdown = problem.gemm_shape, problem.slowdown_of_copies
        unit = self._gemm.best_units(view)
        return [
            Candidate(
                OwnConvAttr(OwnGemmConfig(tile, unit)),
                slowdown * own_gemm_seconds(shape, device, tile, unit is Units.TENSOR),
            )
            for tile in TILES[unit]
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(OwnConvAttr, config).data
        problem = ConvProblem.of(view)
        engine: Engine = self._gemm.engine(own.units, view)
        a, b = view.ins[:2]
        a_vector = min(problem.vector(a, "c"), own.tile[2])
        b_vector = min(problem.vector(b, "g"), own.tile[2])
        aligned = [*aligned_to(a, a_vector), *aligned_to(b, b_vector)]
        return {
            **shared_values(view, engine.header, aligned),
            "conv": problem,
            "config": own,
            "engine": engine,
            "region": view.region("epilogue"),
            "lanes": problem.lanes(1),
            "sizes": [problem.groups, problem.pixels, problem.outputs, problem.depth],
            "holes": problem.is_padded,
            "a_along_k": True,
            "b_along_n": False,
            "a_vector": a_vector,
            "b_vector": b_vector,
            "out_along_n": view.outs[0].stride("o") == 1,
        }
