"""Gemms that the vendor templates refuse: any strides, alignment, types, results and grouping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.cost import GemmShape, own_gemm_seconds, slowdown_of_copies
from ait.codegen.gpu.dialect import OwnGemmAttr, OwnGemmConfig, Units
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import Lanes, aligned_to, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription

_FACTOR_TYPES = frozenset({"f32", "f16", "bf16", "f8E4M3FN"})
_MOST_INTEGERS = (1 << 31) // (1 << 14) - 1
"""The longest sum of products of 8-bit integers that 32 bits surely hold."""
_VECTOR_BYTES = 16

TILES = {
    Units.TENSOR: ((64, 32, 32), (64, 64, 32), (128, 64, 32), (128, 128, 32)),
    Units.SCALAR: ((16, 64, 16), (32, 32, 16), (64, 64, 16), (128, 64, 16), (128, 128, 8)),
}


@dataclass(frozen=True)
class Engine:
    """What multiplies the tiles: a C++ class template and its header."""

    header: str
    type: str


_SCALAR_ENGINE = Engine("ait/gpu/own_gemm.hpp", "ait::gpu::ScalarEngine")


class OwnGemm:
    """The kernel family; see family.py. `tensor_engine`: the target's matrix units, if it has an
    engine for them."""

    template = "own_gemm.j2"
    config_type = OwnGemmAttr

    def __init__(self, tensor_engine: Engine | None = None):
        self._tensor_engine = tensor_engine

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        _check(view)
        shape = GemmShape.of(view)
        unit = self.best_units(view)
        is_tensor = unit is Units.TENSOR
        vectors = [operand.vector(group, _VECTOR_BYTES) for operand, group in _copied(view)]
        slowdown = slowdown_of_copies(min(vectors)) if is_tensor else 1.0
        return [
            Candidate(
                OwnGemmAttr(OwnGemmConfig(tile, unit)),
                own_gemm_seconds(shape, device, tile, is_tensor, slowdown),
            )
            for tile in TILES[unit]
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        _check(view)
        own = cast(OwnGemmAttr, config).data
        engine = self.engine(own.units, view)
        tile_m, tile_n, tile_k = own.tile
        (a, a_group), (b, b_group) = _copied(view)
        a_along_k, b_along_n = a_group == "k", b_group == "n"
        a_vector = min(a.vector(a_group, _VECTOR_BYTES), tile_k if a_along_k else tile_m)
        b_vector = min(b.vector(b_group, _VECTOR_BYTES), tile_n if b_along_n else tile_k)
        place = {name: name for name in ("batch", "m", "n")}
        aligned = [*aligned_to(a, a_vector), *aligned_to(b, b_vector)]
        return {
            **shared_values(view, engine.header, aligned),
            "config": own,
            "engine": engine,
            "region": view.region("epilogue"),
            "lanes": Lanes(1, None, place, place),
            "sizes": [view.group(name).size for name in ("batch", "m", "n", "k")],
            "holes": False,
            "a_along_k": a_along_k,
            "b_along_n": b_along_n,
            "a_vector": a_vector,
            "b_vector": b_vector,
            "out_along_n": not _prefers(view.outs[0], "m"),
        }

    def best_units(self, view: KernelView) -> Units:
        """The fastest units that take the two factors, the first of the view's operands."""
        takes_tensor = self._tensor_engine is not None and _has_tensor_types(view)
        return Units.TENSOR if takes_tensor else Units.SCALAR

    def engine(self, units: Units, view: KernelView) -> Engine:
        """What multiplies the view's factors. Raises Refusal if the units cannot."""
        engine = _SCALAR_ENGINE if units is Units.SCALAR else self._tensor_engine
        if engine is None:
            raise Refusal("the target has no tensor units for this kernel")
        if units is Units.TENSOR and not _has_tensor_types(view):
            raise Refusal("tensor units need two factors of one 16-bit type")
        return engine


def _check(view: KernelView) -> None:
    names = [operand.element.name for operand in view.ins[:2]]
    if names == ["i8", "i8"]:
        check_integers(view)
        return
    for name in names:
        if name not in _FACTOR_TYPES:
            raise Refusal(f"a factor of {name}")


def check_integers(view: KernelView) -> None:
    """Raises Refusal if sums of products of 8-bit integers may be too long to be exact."""
    if upper_bound(view.group("k").dim) > _MOST_INTEGERS:
        raise Refusal(f"sums of more than {_MOST_INTEGERS} products of integers may overflow")


def _has_tensor_types(view: KernelView) -> bool:
    left, right = view.ins[:2]
    return left.element == right.element and left.element.bytes == 2


def _copied(view: KernelView) -> tuple[tuple[Operand, str], tuple[Operand, str]]:
    """The factors, and the groups along which threads copy neighbours of them."""
    a, b = view.ins[:2]
    b_along_n = not _prefers(b, "k") if b.stride("n") != 1 else True
    return (a, "m" if _prefers(a, "m") else "k"), (b, "n" if b_along_n else "k")


def _prefers(operand: Operand, group: str) -> bool:
    """Whether neighbours along `group` are neighbours in memory: threads then walk along it."""
    inner = [
        stride
        for axis, stride in zip(operand.axes, operand.strides, strict=True)
        if axis.group == group
    ]
    return bool(inner) and inner[-1] == 1
