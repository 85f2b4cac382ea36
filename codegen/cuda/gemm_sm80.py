"""Gemms as CUTLASS 2.x kernels, with the region as their epilogue: on an A100, and of f32.

CUTLASS wants one stride for each group of dims, and neighbours in memory along one of a factor's
groups. What is otherwise is refused, and goes to the kernels of our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import CutlassMmaAttr, MmaConfig, Products
from ait.codegen.cuda.cost import mma_seconds, slowdown_of_copies
from ait.codegen.cuda.gemm_mma import check_factors, lanes_along, orientation
from ait.codegen.cuda.limits import check_groups
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import PACK_BYTES, aligned_to, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import lower_bound, upper_bound
from ait.passes.target import DeviceDescription

_MOST_BATCHES = 65535
_SMALLEST_COPY = 4
_TYPES: Mapping[str, str] = {
    "f16": "cutlass::half_t",
    "bf16": "cutlass::bfloat16_t",
    "f32": "float",
}
_OPERATORS: Mapping[Products | None, str] = {
    None: "OpMultiplyAdd",
    Products.TF32: "OpMultiplyAdd",
    Products.TF32X3: "OpMultiplyAddFastF32",
}

_HALF_CONFIGS = (
    MmaConfig((128, 256, 32), (2, 4), 3),
    MmaConfig((256, 128, 32), (4, 2), 3),
    MmaConfig((128, 128, 32), (2, 2), 4),
    MmaConfig((128, 64, 64), (2, 2), 3),
    MmaConfig((64, 128, 64), (2, 2), 3),
    MmaConfig((64, 64, 64), (2, 2), 4),
)
_F32_CONFIGS = (
    MmaConfig((128, 128, 16), (2, 4), 3, Products.TF32),
    MmaConfig((128, 64, 16), (2, 2), 3, Products.TF32),
    MmaConfig((64, 128, 16), (2, 2), 3, Products.TF32),
    MmaConfig((64, 64, 16), (2, 2), 4, Products.TF32),
)


@dataclass(frozen=True)
class Factor:
    """A factor as CUTLASS sees it, in C++: `element` is the address of (`row` or `column`, `k`)."""

    operand: Operand
    layout: str
    vector: int
    offset: str
    stride: str
    batch_stride: str
    element: str

    @property
    def copy_bytes(self) -> int:
        """Of the widest copy."""
        return self.vector * self.operand.element.bytes


class GemmSm80:
    """The kernel family; see family.py. `products`: how those of f32 are made; None: they are left
    to others."""

    template = "gemm_sm80.cu.j2"
    config_type = CutlassMmaAttr

    def __init__(self, products: Products | None):
        self._products = products

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        _check(view, self._products is not None)
        rows, columns = orientation(view)
        factors = _factors(view, rows, columns)
        shape = GemmShape.of(view)
        turned = shape if rows == "m" else shape.transposed()
        configs = _HALF_CONFIGS
        if view.ins[0].element.bytes == 4:
            configs = [replace(config, products=self._products) for config in _F32_CONFIGS]
        return [
            Candidate(
                CutlassMmaAttr(config),
                mma_seconds(turned, device, config, is_cutlass=True)
                * slowdown_of_copies((factor.copy_bytes for factor in factors), config),
            )
            for config in configs
            if config.shared_bytes <= device.shared_bytes
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(CutlassMmaAttr, config).data
        _check(view, own.products is not None)
        if view.ins[0].element.bytes != own.element_bytes:
            raise Refusal(f"factors of {view.ins[0].element.name}")
        rows, columns = orientation(view)
        a, b = _factors(view, rows, columns)
        region = view.region("epilogue")
        lanes = lanes_along(view, rows, columns)
        aligned = [
            *aligned_to(a.operand, a.vector),
            *aligned_to(b.operand, b.vector),
            *lanes.packs([*read_by(region), *view.outs]),
        ]
        return {
            **shared_values(view, "ait/cuda/gemm_sm80.hpp", aligned),
            "config": own,
            "a": a,
            "b": b,
            "cutlass_type": _TYPES[a.operand.element.name],
            "operator": _OPERATORS[own.products],
            "region": region,
            "lanes": lanes,
            "sizes": [view.group(name).size for name in ("batch", rows, columns, "k")],
        }


def _check(view: KernelView, takes_f32: bool) -> None:
    check_factors(view.ins[0], view.ins[1], takes_f32)
    check_groups(view)
    if upper_bound(view.group("batch").dim) > _MOST_BATCHES:
        raise Refusal(f"a batch may have more than {_MOST_BATCHES} products")
    if lower_bound(view.group("k").dim) < 1:
        raise Refusal("k may be 0")


def _factors(view: KernelView, rows: str, columns: str) -> tuple[Factor, Factor]:
    left, right = view.ins[:2]
    of_lines = {"m": left, "n": right}
    return (
        _factor(view, of_lines[rows], rows, "row", "RowMajor", "ColumnMajor"),
        _factor(view, of_lines[columns], columns, "column", "ColumnMajor", "RowMajor"),
    )


def _factor(
    view: KernelView, operand: Operand, group: str, variable: str, along_k: str, across: str
) -> Factor:
    """`along_k` and `across`: the layouts' names where neighbours lie along k, or across it."""
    what = f"the factor along {group}"
    inner = next((name for name in ("k", group) if operand.stride(name) == 1), None)
    if inner is None:
        raise Refusal(f"{what} has no dim of unit stride")
    other = group if inner == "k" else "k"
    for name in (other, "batch"):
        if operand.stride(name) is None:
            raise Refusal(f"the dims of {name} are not one stride apart in {what}")
    stride = operand.stride(other) or 0
    if view.group(other).axes and lower_bound(stride) < 1:
        raise Refusal(f"{what} has a stride along {other} that may be 0 or negative")
    vector = operand.vector(inner, PACK_BYTES)
    if vector * operand.element.bytes < _SMALLEST_COPY:
        raise Refusal(f"{what} has no pairs of neighbours along {inner}")
    return Factor(
        operand,
        along_k if inner == "k" else across,
        vector,
        view.expression(operand.offset_dim),
        # One line has no stride of its own, but 0 is a missing one.
        operand.stride_text(other) if view.group(other).axes else view.group(inner).size,
        operand.stride_text("batch"),
        operand.offset(**{"batch": "batch", group: variable, "k": "k"}),
    )
