"""The arithmetic of windows that slide over images: layouts, output extents, their checks."""

from __future__ import annotations

from collections.abc import Sequence

from ait.dialects.graph.base import Tensor, expect_rank
from ait.dialects.symbolic import Dim, dim_min, floordiv, lower_bound, to_text
from ait.errors import ShapeError

LAYOUTS = ("nchw", "nhwc")
Pair = tuple[Dim, Dim]


def image(x: Tensor, layout: str) -> tuple[Dim, Dim, Pair]:
    """(batch, channels, (height, width)) of an image in this layout."""
    expect_rank(x, 4)
    n, p, q, r = x.dims
    return (n, p, (q, r)) if layout == "nchw" else (n, r, (p, q))


def image_dims(layout: str, n: Dim, c: Dim, spatial: Pair) -> tuple[Dim, ...]:
    """The dims of an image in this layout."""
    return (n, c, *spatial) if layout == "nchw" else (n, *spatial, c)


def spatial_axes(layout: str) -> tuple[int, int]:
    """The axes of height and width."""
    return (2, 3) if layout == "nchw" else (1, 2)


def channel_axis(layout: str, rank: int) -> int:
    """The axis of the channels, at any rank."""
    return 1 if layout == "nchw" else rank - 1


def positive(name: str, values: Sequence[int]) -> None:
    """Raises unless all values of a property are 1 or more."""
    if any(value < 1 for value in values):
        raise ShapeError(f"{name} = {list(values)} must be 1 or more")


def not_negative(name: str, values: Sequence[int]) -> None:
    """Raises if a value of a property is negative."""
    if any(value < 0 for value in values):
        raise ShapeError(f"{name} = {list(values)} must not be negative")


def window_extent(
    x: Tensor,
    extents: Pair,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool = False,
) -> Pair:
    """How often a window fits into each extent of the padded image.

    In `ceil_mode` a last window that is cut off counts too, if it starts inside the image or the
    padding before it.
    """
    positive("kernel", kernel)
    positive("strides", strides)
    positive("dilations", dilations)
    not_negative("padding", padding)
    found: list[Dim] = []
    for i, extent in enumerate(extents):
        before, after, stride = padding[i], padding[i + 2], strides[i]
        reach = dilations[i] * (kernel[i] - 1) + 1
        room = extent + (before + after - reach)
        if lower_bound(room) < 0:
            raise ShapeError(
                f"{x}: a window of {reach} does not fit into {to_text(extent)} with padding "
                f"{before} and {after}"
            )
        if ceil_mode:
            count = floordiv(room + stride - 1, stride) + 1
            count = dim_min(count, floordiv(extent + (before + stride - 1), stride))
        else:
            count = floordiv(room, stride) + 1
        found.append(count)
    return found[0], found[1]


def transposed_extent(
    x: Tensor,
    extents: Pair,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilations: Sequence[int],
) -> Pair:
    """How far windows reach that are put down at each pixel, less the padding: the extents of
    which `window_extent` would give the image's."""
    positive("kernel", kernel)
    positive("strides", strides)
    positive("dilations", dilations)
    not_negative("padding", padding)
    not_negative("output_padding", output_padding)
    found: list[Dim] = []
    for i, extent in enumerate(extents):
        if output_padding[i] >= max(strides[i], dilations[i]):
            raise ShapeError(
                f"output_padding = {list(output_padding)} must be less than strides = "
                f"{list(strides)} or dilations = {list(dilations)}"
            )
        if lower_bound(extent) < 1:
            raise ShapeError(f"{x}: an image of {to_text(extent)} pixels may be empty")
        before, after = padding[i], padding[i + 2]
        reach = dilations[i] * (kernel[i] - 1) + 1
        count = (extent - 1) * strides[i] + (reach + output_padding[i] - before - after)
        if lower_bound(count) < 1:
            raise ShapeError(
                f"{x}: padding {before} and {after} leaves nothing of {to_text(extent)} windows "
                f"of {reach} in steps of {strides[i]}"
            )
        found.append(count)
    return found[0], found[1]
