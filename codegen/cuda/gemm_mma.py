"""Gemms on tensor cores with mma.sync: any strides, for all GPUs since compute capability 8.0.

Factors come by asynchronous copies of 4 to 16 bytes, so that f32 may lie as it likes; of 16 bits, a
factor's neighbours along k or along its lines must lie in pairs, or along k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import MmaAttr, MmaConfig, Products
from ait.codegen.cuda.cost import mma_seconds, slowdown_of_copies
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import (
    PACK_BYTES,
    Lanes,
    aligned_to,
    fits,
    read_by,
    shared_values,
)
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.passes.target import DeviceDescription

_HALVES = frozenset({"f16", "bf16"})
_SMALLEST_COPY = 4
_PACKS = (8, 4, 2, 1)

_HALF_CONFIGS = (
    MmaConfig((128, 256, 32), (2, 4), 4),
    MmaConfig((128, 128, 64), (2, 2), 3),
    MmaConfig((128, 128, 32), (2, 2), 4, blocks=2),
    MmaConfig((128, 64, 64), (2, 2), 3, blocks=2),
    MmaConfig((64, 128, 64), (2, 2), 3, blocks=2),
    MmaConfig((64, 64, 64), (2, 2), 4, blocks=2),
    MmaConfig((64, 32, 64), (2, 2), 4, blocks=3),
    MmaConfig((32, 32, 64), (2, 2), 6, blocks=4),
    MmaConfig((16, 64, 64), (1, 4), 6, blocks=4),
)
_TF32_CONFIGS = (
    MmaConfig((128, 256, 16), (2, 4), 4, Products.TF32),
    MmaConfig((128, 128, 32), (2, 2), 3, Products.TF32),
    MmaConfig((128, 128, 16), (2, 2), 4, Products.TF32, 2),
    MmaConfig((128, 64, 32), (2, 2), 3, Products.TF32, 2),
    MmaConfig((64, 128, 32), (2, 2), 3, Products.TF32, 2),
    MmaConfig((64, 64, 32), (2, 2), 4, Products.TF32, 2),
    MmaConfig((64, 32, 32), (2, 2), 4, Products.TF32, 3),
    MmaConfig((32, 32, 32), (2, 2), 3, Products.TF32, 4),
    MmaConfig((16, 64, 32), (1, 4), 6, Products.TF32, 4),
)
# Steps along k of large tiles are short: fragments of split factors fill the registers.
_SPLIT_CONFIGS = tuple(
    replace(config, products=Products.TF32X3)
    for config in _TF32_CONFIGS
    if config.tile[:2] != (128, 128) or config.tile[2] == 16
)
_CONFIGS: Mapping[Products | None, Sequence[MmaConfig]] = {
    None: _HALF_CONFIGS,
    Products.TF32: _TF32_CONFIGS,
    Products.TF32X3: _SPLIT_CONFIGS,
}


@dataclass(frozen=True)
class Factor:
    """A factor as the template reads it: its lines are along `extent` (m or n), and an element's
    address is the sum of what the line (C++ variable `line`) and k give."""

    operand: Operand
    extent: str
    along_k: bool
    """Whether neighbours along k are neighbours in memory, or nothing is."""
    vector: int
    line_offset: str
    tap_offset: str
    step: str
    """From line to line; empty if not all are as far apart."""

    @property
    def copy_bytes(self) -> int:
        """Of the widest copy."""
        return self.vector * self.operand.element.bytes


class MmaGemm:
    """The kernel family; see family.py. `products`: how those of f32 are made; None: they are left
    to others."""

    template = "gemm_mma.cu.j2"
    config_type = MmaAttr

    def __init__(self, products: Products | None):
        self._products = products

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        rows, columns = orientation(view)
        factors = _factors(view, rows, columns, self._products is not None)
        shape = GemmShape.of(view)
        turned = shape if rows == "m" else shape.transposed()
        configs = _CONFIGS[self._products if factors[0].operand.element.bytes == 4 else None]
        return [
            Candidate(
                MmaAttr(config),
                mma_seconds(turned, device, config)
                * slowdown_of_copies((factor.copy_bytes for factor in factors), config),
            )
            for config in configs
            if config.shared_bytes <= device.shared_bytes and _fit(factors, config)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(MmaAttr, config).data
        rows, columns = orientation(view)
        left, right = _factors(view, rows, columns, own.products is not None)
        if left.operand.element.bytes != own.element_bytes:
            raise Refusal(f"factors of {left.operand.element.name}")
        if not _fit((left, right), own):
            raise Refusal("copies are as wide as lines of the tile")
        region = view.region("epilogue")
        lanes = lanes_along(view, rows, columns)
        aligned = [
            *aligned_to(left.operand, left.vector),
            *aligned_to(right.operand, right.vector),
            *lanes.packs([*read_by(region), *view.outs]),
        ]
        return {
            **shared_values(view, "ait/cuda/gemm_mma.hpp", aligned),
            "config": own,
            "left": left,
            "right": right,
            "region": region,
            "lanes": lanes,
            "sizes": [view.group(name).size for name in ("batch", rows, columns, "k")],
        }


def check_factors(left: Operand, right: Operand, takes_f32: bool) -> None:
    """Raises Refusal unless both are of one type that tensor cores multiply."""
    taken = _HALVES | {"f32"} if takes_f32 else _HALVES
    if left.element != right.element or left.element.name not in taken:
        raise Refusal(f"tensor cores do not multiply {left.element.name} by {right.element.name}")


def orientation(view: KernelView) -> tuple[str, str]:
    """The op's m and n as the kernel's rows and columns: results are written along columns."""
    out = view.outs[0]
    turned = out.stride("n") != 1 and out.stride("m") == 1
    return ("n", "m") if turned else ("m", "n")


def _factors(view: KernelView, rows: str, columns: str, takes_f32: bool) -> tuple[Factor, Factor]:
    left, right = view.ins[:2]
    check_factors(left, right, takes_f32)
    of_lines = {"m": left, "n": right}
    return (
        _factor(of_lines[rows], rows, "m", f"the factor along {rows}"),
        _factor(of_lines[columns], columns, "n", f"the factor along {columns}"),
    )


def _factor(operand: Operand, group: str, extent: str, what: str) -> Factor:
    """Raises Refusal if its elements are not copied: single ones of 16 bits, that lie across k."""
    by_k, by_line = (operand.vector(name, PACK_BYTES) for name in ("k", group))
    along_k = (by_k >= by_line and _is_inner(operand, "k")) or not _is_inner(operand, group)
    vector = by_k if along_k else by_line
    if not along_k and vector * operand.element.bytes < _SMALLEST_COPY:
        raise Refusal(f"{what} has pairs neither along k nor along {group}")
    from_zero = replace(operand, offset_dim=0)
    return Factor(
        operand,
        extent,
        along_k,
        vector,
        operand.offset(**{"batch": "batch", group: "line", "k": "0"}),
        from_zero.offset(**{"batch": "0", group: "0", "k": "k"}),
        "" if operand.stride(group) is None else operand.stride_text(group),
    )


def _is_inner(operand: Operand, group: str) -> bool:
    chunks = operand.chunks(group)
    return bool(chunks) and chunks[-1][1] == 1


def _fit(factors: Sequence[Factor], config: MmaConfig) -> bool:
    """Whether the block's threads copy whole numbers of lines at once."""
    m, n, k = config.tile
    for factor, lines in zip(factors, (m, n), strict=True):
        piece = factor.vector if factor.copy_bytes >= _SMALLEST_COPY else 8
        pieces = (k if factor.along_k else lines) // piece
        if pieces == 0 or config.threads % pieces:
            return False
    return True


def lanes_along(view: KernelView, rows: str, columns: str) -> Lanes:
    """The widest packs of results along the kernel's columns."""
    place: Mapping[str, str] = {"batch": "batch", rows: "row", columns: "column"}
    axes = view.group(columns).axes
    axis = axes[-1] if axes else None
    for pack in _PACKS:
        if axis is not None and fits(axis, view.extras, view.outs, pack, 2 * PACK_BYTES):
            return Lanes(pack, axis, place, {**place, columns: "(column + lane)"})
    return Lanes(1, None, place, place)
