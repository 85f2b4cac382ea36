"""Convolutions on tensor cores (mma.sync): an implicit gemm with any strides and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import ConvAttr, MmaConfig, Products
from ait.codegen.cuda.cost import mma_seconds
from ait.codegen.cuda.gemm_mma import check_factors
from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import aligned_to, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import lower_bound
from ait.passes.target import DeviceDescription

_MOST_GROUPS = 65535

_HALF_CONFIGS = (
    MmaConfig((128, 128, 64), (2, 2), 3),
    MmaConfig((128, 64, 64), (2, 2), 3),
    MmaConfig((64, 128, 64), (2, 2), 3),
    MmaConfig((64, 64, 64), (2, 2), 3),
    MmaConfig((64, 32, 64), (2, 2), 4),
    MmaConfig((128, 64, 32), (2, 2), 3),
    MmaConfig((128, 32, 32), (4, 1), 4),
    MmaConfig((128, 16, 32), (4, 1), 4),
)
_F32_CONFIGS = (
    MmaConfig((128, 128, 32), (2, 2), 3, Products.TF32),
    MmaConfig((128, 128, 16), (2, 2), 4, Products.TF32),
    MmaConfig((128, 64, 32), (2, 2), 3, Products.TF32),
    MmaConfig((64, 128, 32), (2, 2), 3, Products.TF32),
    MmaConfig((64, 64, 32), (2, 2), 3, Products.TF32),
    MmaConfig((64, 32, 32), (2, 2), 4, Products.TF32),
    MmaConfig((128, 64, 16), (2, 2), 3, Products.TF32),
    MmaConfig((128, 32, 16), (4, 1), 4, Products.TF32),
    MmaConfig((128, 16, 16), (4, 1), 4, Products.TF32),
)


class TensorConv:
    """The kernel family; see family.py. `products`: how those of f32 are made; None: they are left
    to others."""

    template = "conv.cu.j2"
    config_type = ConvAttr

    def __init__(self, products: Products | None):
        self._products = products

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view, self._products is not None)
        shape = problem.gemm_shape
        configs = _HALF_CONFIGS
        if view.ins[0].element.bytes == 4:
            configs = [replace(config, products=self._products) for config in _F32_CONFIGS]
        return [
            Candidate(
                ConvAttr(config), problem.slowdown_of_copies * mma_seconds(shape, device, config)
            )
            for config in configs
            if config.shared_bytes <= device.shared_bytes
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(ConvAttr, config).data
        problem = _problem(view, own.products is not None)
        image, weights = view.ins[:2]
        if image.element.bytes != own.element_bytes:
            raise Refusal(f"factors of {image.element.name}")
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


def _problem(view: KernelView, takes_f32: bool) -> ConvProblem:
    image, weights = view.ins[:2]
    check_factors(image, weights, takes_f32)
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
