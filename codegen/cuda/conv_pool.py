"""The pool behind a convolution of few channels, such as in a network's first layers, on Hopper.

It is the kernel of the convolution (conv_stem.py), which keeps what windows share in registers and
writes only what was pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import StemConvAttr
from ait.codegen.cuda.conv_stem import (
    StemSize,
    StemWindow,
    is_same_everywhere,
    stem_candidates,
    stem_size,
    stem_values,
)
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import Lanes, read_by
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import ConvPoolOp
from ait.passes.target import DeviceDescription


class ConvPool:
    """The kernel family; see family.py."""

    template = "conv_pool.cu.j2"
    config_type = StemConvAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        return stem_candidates(_size(view), device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        op = cast(ConvPoolOp, view.op)
        taps, strides = op.kernel.get_values(), op.pool_strides.get_values()
        padding = op.pool_padding.get_values()
        values = stem_values(_size(view), config, "ait/cuda/conv_pool.hpp")
        middle = view.region("middle")
        kind = str(view.attribute("kind"))
        return {
            **values,
            "lanes": cast(Lanes, values["lanes"]).at({"y": "row", "x": "column"}),
            "middle": middle,
            "middle_varies": not all(map(is_same_everywhere, read_by(middle))),
            "kind": f"{kind.capitalize()}Pool",
            "windows": [
                f"ait::gpu::Slide<{taps[i]}, {strides[i]}, {padding[i]}, {padding[2 + i]}, 1>"
                for i in range(2)
            ],
            "taps": taps,
            "pool_padding": padding,
            "counts_padding": bool(view.attribute("count_include_pad")),
            "is_pooled": True,
        }


def _size(view: KernelView) -> StemSize:
    """Raises Refusal with the reason if the kernel cannot take the op."""
    size = stem_size(view, _window(cast(ConvPoolOp, view.op)))
    if not isinstance(view.group("x").dim, int):
        raise Refusal("rows of unknown size")
    return size


def _window(op: ConvPoolOp) -> StemWindow:
    """Raises Refusal for windows whose rows or columns threads do not have at hand."""
    height, width = op.kernel.get_values()
    down, across = op.pool_strides.get_values()
    _, left, _, _ = op.pool_padding.get_values()
    if across != 2 or width not in (2, 3):
        raise Refusal(f"windows of {width} columns every {across}, not of 2 or 3 every 2")
    if height - down not in (0, 1):
        raise Refusal(f"windows of {height} rows every {down} share more than one row")
    return StemWindow(height, width, down, left, is_pool=True)
