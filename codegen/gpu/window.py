"""What pooling and resampling of images share: each result is made of a few input pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias, cast

from ait.codegen.axes import Axis
from ait.codegen.gpu.family import Refusal, TemplateValues
from ait.codegen.gpu.lanes import WIDTHS, aligned_to
from ait.codegen.gpu.steps import FIRST, Walk, step_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import provably_le

Aligned: TypeAlias = list[tuple[Operand, int]]

_ELEMENTS = frozenset({"f32", "f16", "bf16"})


def check_image(view: KernelView) -> None:
    """Raises Refusal for an image that the kernels do not take."""
    image = view.ins[0]
    if image.element.name not in _ELEMENTS:
        raise Refusal(f"an image of {image.element.name}")


def window_values(
    view: KernelView,
    walk: Walk,
    vector: int,
    read: int,
    tiles: Mapping[str, int],
    reads: int,
) -> TemplateValues:
    """What both templates are rendered with, of which pixels are read `read` channels at once, or
    `reads` neighbours in a row. `tiles`: as of `Walk.digits`."""
    image = view.ins[0]
    lanes = walk.lanes(read).at({"h": "y", "w": "x"})
    computed, header = ["values[lane]"], "ait/gpu/window.hpp"
    shared = step_values(view, walk, vector, computed, [image], (), header, tiles)
    return {
        **shared,
        "aligned": [*cast(Aligned, shared["aligned"]), *aligned_to(image, reads)],
        "reads": reads,
        "image": image,
        "read": read,
        "image_loads": lanes.loads([image]),
        "image_element": lanes.element(image),
        "image_begin": image.offset(**lanes.first),
        "index_of": {name: _index(view, name, walk) for name in ("p", "q")},
    }


def tiles_of(view: KernelView, outputs: tuple[int, int]) -> dict[str, int]:
    """How many outputs along which axis a step makes."""
    sides = zip("pq", outputs, strict=True)
    return {axis.name: count for name, count in sides for axis in view.group(name).axes}


def with_neighbours(walk: Walk) -> Walk:
    """A walk whose steps may have neighbours in a row."""
    return replace(walk, most=WIDTHS[0])


def image_walk(view: KernelView) -> Walk:
    """Over the output, innermost what is innermost in its memory."""
    axes: list[Axis] = []
    for axis in (axis for name in "npqc" for axis in view.group(name).axes):
        at = len(axes)
        while at > 0 and _is_inside(view, axes[at - 1], axis):
            at -= 1
        axes.insert(at, axis)
    # Neighbouring pixels read windows that overlap: only channels are read at once.
    most = WIDTHS[0] if axes and has_neighbouring_channels(view, axes[-1]) else 1
    return Walk(tuple(axes), view.ins, view.outs, most)


def has_neighbouring_channels(view: KernelView, last: Axis | None) -> bool:
    """Whether the axis has channels, which lie closer together in the image than pixels."""
    if last is None or last.group != "c":
        return False
    image = view.ins[0]
    step = image.stride(last.name)
    sides = [image.stride(axis.name) for name in "hw" for axis in view.group(name).axes]
    return step is not None and all(side is not None and provably_le(step, side) for side in sides)


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
