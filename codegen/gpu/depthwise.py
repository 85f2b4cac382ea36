"""Convolutions of single channels: too few products for a gemm, the memory sets the pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import DepthwiseAttr, ElementwiseConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import PACK_BYTES, WIDTHS, aligned_to, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

_KEPT_BYTES = 256
"""Weights that a thread keeps in registers."""


class Depthwise:
    """The kernel family; see family.py."""

    template = "depthwise.j2"
    config_type = DepthwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        widest = _widest(problem)
        # Each product takes a load, a conversion and a multiply-add.
        products = problem.gemm_shape.operations / (device.vector_peak / 4)
        seconds = max(stream_seconds(view.operands, device), products + device.launch_seconds)
        kept = [w for w in WIDTHS if w <= widest and _keeps(problem, problem.depth, w)]
        widths = kept or [widest]
        return [
            Candidate(DepthwiseAttr(ElementwiseConfig(width)), seconds * (1 + i / 10))
            for i, width in enumerate(widths)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        vector = cast(DepthwiseAttr, config).data.vector
        problem = _problem(view)
        if vector > _widest(problem):
            raise Refusal(f"channels cannot be accessed {vector} at once")
        lanes = problem.lanes(vector)
        packed = problem.outputs == 1 and view.ins[0].vector("c", PACK_BYTES) >= vector > 1
        aligned = lanes.packs([*read_by(view.region("epilogue")), *view.outs])
        aligned += aligned_to(view.ins[0], vector if packed else 1)
        return {
            **shared_values(view, "ait/gpu/depthwise.hpp", aligned),
            "conv": problem,
            "region": view.region("epilogue"),
            "lanes": lanes,
            "packed": packed,
            "keeps_weights": _keeps(problem, problem.depth, vector),
            "keeps_row": _keeps(problem, problem.taps[1], vector),
        }


def _problem(view: KernelView) -> ConvProblem:
    problem = ConvProblem.of(view)
    if problem.channels != 1:
        raise Refusal(f"groups of {problem.channels} channels")
    return problem


def _keeps(problem: ConvProblem, taps: int, vector: int) -> bool:
    """Whether the weights of so many taps stay in registers."""
    return taps * vector * problem.view.ins[1].element.bytes <= _KEPT_BYTES


def _widest(problem: ConvProblem) -> int:
    view = problem.view
    widest = problem.widest(problem.groups * problem.outputs)
    if problem.outputs == 1:
        widest = min(widest, view.ins[0].vector("c", PACK_BYTES))
    return widest
