"""The kernel family of resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Attribute

from ait.codegen.gpu.dialect import ElementwiseAttr
from ait.codegen.gpu.family import Candidate, TemplateValues, TurningFamily
from ait.codegen.gpu.lanes import PACK_BYTES
from ait.codegen.gpu.steps import Walk, vector_of
from ait.codegen.gpu.window import (
    check_image,
    image_walk,
    tiles_of,
    window_values,
    with_neighbours,
)
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import dim_product, upper_bound
from ait.passes.target import DeviceDescription

_TILED_SCALES = (2, 3, 4)
"""By how much an image may be enlarged for steps of several outputs, and"""
_TILED_ROWS = 4
"""how many rows these have at least, or the scale's. (f16 by 2, 168 MB on an H200: 43 us instead of
57 where channels lie side by side, and instead of 49 where pixels do.)"""
_TILED_STEPS = 1 << 16
"""Steps from which on those of several outputs are enough for all threads of a GPU."""


class Resize(TurningFamily):
    """The kernel family; see family.py."""

    template = "resize.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        check_image(view)
        return _resize_walk(view).candidates(view, device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        check_image(view)
        walk, vector = _resize_walk(view), vector_of(config)
        sampling = _Sampling.of(view, walk, vector)
        read = vector if sampling.in_pixel else 1
        tiles = tiles_of(view, sampling.outputs)
        sizes = [upper_bound(view.group(name).dim) for name in "hwpq"]
        products = 4 * max(sizes[0] * sizes[2], sizes[1] * sizes[3])
        return {
            **window_values(view, walk, vector, read, tiles, sampling.reads),
            "index": "int32_t" if view.fits_int32 and products < 1 << 31 else "int64_t",
            "sampling": sampling,
        }


@dataclass(frozen=True)
class _Sampling:
    """Which function of window.hpp makes the outputs of a step."""

    name: str
    arguments: tuple[str | int, ...]
    in_pixel: bool
    """Whether the lanes are channels of one pixel, else they are neighbouring pixels."""
    in_runs: bool = False
    """Whether pixels of a row of the image are read in runs,"""
    reads: int = 1
    """of so many."""
    outputs: tuple[int, int] = (1, 1)
    """Rows and columns of a step, which share pixels too."""

    @property
    def text(self) -> str:
        return f"{self.name}<{', '.join(map(str, self.arguments))}>"

    @property
    def is_tile(self) -> bool:
        return self.outputs != (1, 1)

    @staticmethod
    def of(view: KernelView, walk: Walk, vector: int) -> _Sampling:
        coordinates = f"ait::gpu::Coordinates::{view.attribute('coordinates')}"
        in_pixel = vector == 1 or walk.last is None or walk.last.group == "c"
        plain = _Sampling(str(view.attribute("mode")), (coordinates,), in_pixel)
        scale = _scale(view, "w", "q")
        if scale == 1 or walk.last is None:
            return plain
        if in_pixel:
            rows = _tile_rows(view, scale, scale * vector)
            if rows == 1:
                return plain
            arguments = (coordinates, scale, rows, scale, vector)
            return _Sampling("bilinear_tile", arguments, True, outputs=(rows, scale))
        if walk.last.group != "q" or vector % scale != 0:
            return plain
        reads = min(vector // scale, view.ins[0].vector("w", PACK_BYTES))
        rows = _tile_rows(view, scale, vector)
        if rows == 1:
            return _Sampling("bilinear_neighbours", (coordinates, scale, reads), False, True, reads)
        arguments = (coordinates, scale, rows, reads, vector)
        return _Sampling("bilinear_rows", arguments, False, True, reads, (rows, 1))


def _scale(view: KernelView, size: str, outs: str) -> int:
    """How many pixels a side of a result gets for each that the image had, if all know between
    which of these they lie; 1 if not, or if they do not need to."""
    if view.attribute("mode") != "bilinear" or view.attribute("coordinates") == "align_corners":
        return 1
    before, after = view.group(size).dim, view.group(outs).dim
    if not isinstance(before, int) or not isinstance(after, int) or before < 1:
        return 1
    return after // before if after > 0 and after % before == 0 else 1


def _tile_rows(view: KernelView, scale: int, values: int) -> int:
    """How many rows of an image that is enlarged by `scale` a step makes, of `values` elements
    each, which share the pixels that they lie between; 1 if they share none, or steps were too few
    for all threads."""
    if scale not in _TILED_SCALES or _scale(view, "h", "p") != scale:
        return 1
    rows = max(scale, _TILED_ROWS // scale * scale)
    elements = upper_bound(dim_product(view.group(name).dim for name in "ncpq"))
    return rows if elements // (rows * values) >= _TILED_STEPS else 1


def _resize_walk(view: KernelView) -> Walk:
    """Neighbours in a row are made one by one, but written at once."""
    walk = image_walk(view)
    return with_neighbours(walk) if walk.last and walk.last.group in "pq" else walk
