"""Convolutions of one 16-bit type on tensor cores: an implicit gemm with any strides and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.config import ConvAttr, ConvConfig
from ait.codegen.cuda.cost import mma_seconds
from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import aligned_to, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import lower_bound
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_MOST_GROUPS = 65535

_CONFIGS = (
    ConvConfig((128, 128, 64), (2, 2), 3),
    ConvConfig((128, 64, 64), (2, 2), 3),
    ConvConfig((64, 128, 64), (2, 2), 3),
    ConvConfig((64, 64, 64), (2, 2), 3),
    ConvConfig((64, 32, 64), (2, 2), 4),
    ConvConfig((128, 64, 32), (2, 2), 3),
    ConvConfig((128, 32, 32), (4, 1), 4),
    ConvConfig((128, 16, 32), (4, 1), 4),
)


class TensorConv:
    """The kernel family; see family.py."""

    template = "conv.cu.j2"
    config_type = ConvAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        shape = problem.gemm_shape
        return [
            Candidate(
                ConvAttr(config), problem.slowdown_of_copies * mma_seconds(shape, device, config)
            )
            for config in _CONFIGS
            if config.shared_bytes <= device.shared_bytes
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(ConvAttr, config).data
        problem = _problem(view)
        image, weights = view.ins[:2]
        a_vector, b_vector = problem.vector(image, "c"), problem.vector(weights, "g")
        lanes = problem.lanes(problem.widest(problem.outputs))
        aligned = [*aligned_to(image, a_vector), *aligned_to(weights, b_vector)]
        aligned += lanes.packs([*read_by(view.region("epilogue")), *view.outs])
        return {
            **shared_values(view, "ait/cuda/conv.hpp", aligned),
            "conv": problem,
            "config": own,
            "region": view.region("epilogue"),
            "lanes": lanes,
            "a_vector": a_vector,
            "b_vector": b_vector,
            "tap_offset": _linear(image, "hwc"),
            "weight_offset": _linear(weights, "rsg"),
        }


def _problem(view: KernelView) -> ConvProblem:
    image, weights = view.ins[:2]
    if image.element != weights.element or image.element.name not in _TYPES:
        raise Refusal("tensor cores multiply two factors of one 16-bit type")
    problem = ConvProblem.of(view)
    if problem.groups > _MOST_GROUPS:
        raise Refusal(f"{problem.groups} groups")
    if any(lower_bound(stride) < 0 for stride in weights.strides):
        raise Refusal("weights that are read backwards")
    return problem


def _linear(operand: Operand, axes: str) -> str:
    """How far indices along axes (variables of their names) lead from where they are 0."""
    terms = [
        f"{axis} * ({operand.stride_text(axis)})" for axis in axes if operand.stride(axis) != 0
    ]
    return " + ".join(terms) or "0"
