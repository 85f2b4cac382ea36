"""Pooling and resampling of images: each result is made of a few input pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis
from ait.codegen.gpu.dialect import ElementwiseAttr
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import WIDTHS
from ait.codegen.gpu.steps import FIRST, Walk, step_values
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import provably_le
from ait.passes.target import DeviceDescription

_ELEMENTS = frozenset({"f32", "f16", "bf16"})


class _Window:
    """What the families have in common; see family.py."""

    template = "window.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        image = view.ins[0]
        if image.element.name not in _ELEMENTS:
            raise Refusal(f"an image of {image.element.name}")
        return _walk(view).candidates(view, device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        walk = _walk(view)
        lanes = walk.lanes(config)
        image = view.ins[0]
        shared = step_values(
            view, walk, config, ["values[lane]"], [image], header="ait/gpu/window.hpp"
        )
        pixel = {"h": "static_cast<Index>(y)", "w": "static_cast<Index>(x)"}
        read = lanes.at(pixel)
        return {
            **shared,
            "image_loads": read.loads([image]),
            "image_value": read.value(image),
            "function": self.function(view),
            "index_of": {name: _index(view, name, walk) for name in ("p", "q")},
        }

    def function(self, view: KernelView) -> str:
        """The function of window.hpp that makes the values of an output pixel."""
        raise NotImplementedError


class Pool(_Window):
    """The kernel family; see family.py."""

    def function(self, view: KernelView) -> str:
        kind = view.attribute("kind")
        padded = "true" if view.attribute("count_include_pad") else "false"
        vertical, horizontal = (_slide(view, dim) for dim in (0, 1))
        return f"{kind}_pool<{vertical}, {horizontal}, {padded}>"


class Resize(_Window):
    """The kernel family; see family.py."""

    def function(self, view: KernelView) -> str:
        mode, coordinates = view.attribute("mode"), view.attribute("coordinates")
        return f"{mode}<ait::gpu::Coordinates::{coordinates}>"


def _slide(view: KernelView, dim: int) -> str:
    """The window along h (0) or w (1) as a C++ type."""
    if view.attribute("adaptive"):
        return "ait::gpu::Adaptive"
    kernel, strides, padding, dilations = (
        cast(list[int], view.attribute(name))
        for name in ("kernel", "strides", "padding", "dilations")
    )
    numbers = (kernel[dim], strides[dim], padding[dim], padding[2 + dim], dilations[dim])
    return f"ait::gpu::Slide<{', '.join(map(str, numbers))}>"


def _walk(view: KernelView) -> Walk:
    """Over the output, innermost what is innermost in its memory."""
    axes: list[Axis] = []
    for axis in (axis for name in "npqc" for axis in view.group(name).axes):
        at = len(axes)
        while at > 0 and _is_inside(view, axes[at - 1], axis):
            at -= 1
        axes.insert(at, axis)
    # Neighbouring pixels read windows that overlap: only channels are read at once.
    most = WIDTHS[0] if axes and axes[-1].group == "c" else 1
    return Walk(tuple(axes), view.ins, view.outs, most)


def _is_inside(view: KernelView, axis: Axis, other: Axis) -> bool:
    """Whether steps along `axis` are surely smaller in the result than those along `other`."""
    inner, outer = (view.outs[0].stride(a.name) for a in (axis, other))
    return inner is not None and outer is not None and inner != outer and provably_le(inner, outer)


def _index(view: KernelView, name: str, walk: Walk) -> str:
    """The variable of an output pixel's row (p) or column (q)."""
    axes = view.group(name).axes
    if not axes:
        return "0"
    return FIRST if axes[0] is walk.last else axes[0].name
