"""Pointwise and copy kernels: one pass over the domain, packs of elements where memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.expressions import known_divisor
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import ElementwiseAttr, ElementwiseConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.passes.target import DeviceDescription

_PACK_BYTES = 16
_WIDTHS = (16, 8, 4, 2, 1)


class Elementwise:
    """The kernel family; see family.py."""

    template = "elementwise.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        widest = next(width for width in _WIDTHS if _fits(view, width))
        seconds = stream_seconds(view.operands, device)
        # One narrower step: sometimes more, smaller accesses in flight are the faster ones.
        widths = [widest, widest // 2] if widest > 1 else [1]
        return [
            Candidate(ElementwiseAttr(ElementwiseConfig(width)), seconds * (1 + i / 10))
            for i, width in enumerate(widths)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        vector = cast(ElementwiseAttr, config).data.vector
        if not _fits(view, vector):
            raise Refusal(f"elements cannot be accessed {vector} at once")
        axes = view.group("i").axes
        last = axes[-1].name if axes else ""
        return {
            "view": view,
            "vector": vector,
            "region": view.region("body") if "body" in view.regions else None,
            "axes": axes,
            "last": last,
            "index": "int32_t" if view.fits_int32 else "int64_t",
            "kinds": {operand.name: _kind(operand, last, vector) for operand in view.operands},
        }


def _fits(view: KernelView, vector: int) -> bool:
    """Whether a thread can handle `vector` neighbours along the last axis: it is a whole number of
    packs, results are written as packs, and no operand that is read along it needs two."""
    if vector == 1:
        return True
    axes = view.group("i").axes
    if not axes or known_divisor(axes[-1].dim) % vector:
        return False
    last = axes[-1].name
    if any(_kind(out, last, vector) != "pack" for out in view.outs):
        return False
    return all(
        operand.stride(last) != 1 or vector * operand.element.bytes <= _PACK_BYTES
        for operand in view.ins
    )


def _kind(operand: Operand, last: str, vector: int) -> str:
    """How an operand is accessed: `pack` at once, `uniform` (one element for all), or `single`."""
    if vector > 1 and last and operand.stride(last) == 0:
        return "uniform"
    if vector > 1 and operand.vector(last, _PACK_BYTES) >= vector:
        return "pack"
    return "single"
