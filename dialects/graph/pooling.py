"""Pooling and resizing of images: rank 4, layout "nchw" or "nhwc", floats."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import operand_def, result_def

from ait.dialects.graph.base import (
    FLOATS,
    TENSOR,
    AnyTensor,
    GraphOp,
    Tensor,
    expect_elements,
    graph_op,
)
from ait.dialects.graph.properties import (
    choice_property,
    dims_property,
    flag_property,
    ints_property,
)
from ait.dialects.graph.windows import (
    LAYOUTS,
    image,
    image_dims,
    positive,
    spatial_axes,
    window_extent,
)
from ait.dialects.symbolic import Dim, dims_of, lower_bound
from ait.errors import ShapeError


class ImageOp(GraphOp, ABC):
    """An op on each channel of an image."""

    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    layout = choice_property(*LAYOUTS)


@graph_op
class MaxPool2dOp(ImageOp):
    """The maximum over each window; padding counts as -inf, and NaN wins.

    `padding` is (top, left, bottom, right); for `ceil_mode` see `window_extent`.
    """

    name = "graph.max_pool2d"
    kernel = ints_property(2)
    strides = ints_property(2)
    padding = ints_property(4)
    dilations = ints_property(2)
    ceil_mode = flag_property()

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        kernel: Sequence[int],
        strides: Sequence[int] | None = None,
        padding: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
        ceil_mode: bool = False,
        layout: str = "nchw",
    ):
        super().__init__(
            (x,),
            kernel=kernel,
            strides=kernel if strides is None else strides,
            padding=padding,
            dilations=dilations,
            ceil_mode=ceil_mode,
            layout=layout,
        )

    @override
    @classmethod
    def infer(
        cls,
        x: Tensor,
        *,
        kernel: tuple[int, ...],
        strides: tuple[int, ...],
        padding: tuple[int, ...],
        dilations: tuple[int, ...],
        ceil_mode: bool,
        layout: str,
    ) -> AnyTensor:
        expect_elements(FLOATS, x)
        n, c, extents = image(x, layout)
        spatial = window_extent(x, extents, kernel, strides, padding, dilations, ceil_mode)
        return x.like(image_dims(layout, n, c, spatial))


@graph_op
class AvgPool2dOp(ImageOp):
    """The mean over each window: over its elements inside the image or, if `count_include_pad`,
    inside the padded image (where padding counts as 0). See `MaxPool2dOp` for the rest.
    """

    name = "graph.avg_pool2d"
    kernel = ints_property(2)
    strides = ints_property(2)
    padding = ints_property(4)
    ceil_mode = flag_property()
    count_include_pad = flag_property()

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        kernel: Sequence[int],
        strides: Sequence[int] | None = None,
        padding: Sequence[int] = (0, 0, 0, 0),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        layout: str = "nchw",
    ):
        super().__init__(
            (x,),
            kernel=kernel,
            strides=kernel if strides is None else strides,
            padding=padding,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            layout=layout,
        )

    @override
    @classmethod
    def infer(
        cls,
        x: Tensor,
        *,
        kernel: tuple[int, ...],
        strides: tuple[int, ...],
        padding: tuple[int, ...],
        ceil_mode: bool,
        count_include_pad: bool,
        layout: str,
    ) -> AnyTensor:
        expect_elements(FLOATS, x)
        n, c, extents = image(x, layout)
        spatial = window_extent(x, extents, kernel, strides, padding, (1, 1), ceil_mode)
        return x.like(image_dims(layout, n, c, spatial))


class AdaptivePoolOp(ImageOp, ABC):
    """Output element i of `output_size` covers [floor(i n / size), ceil((i + 1) n / size))."""

    output_size = ints_property(2)

    def __init__(
        self, x: SSAValue | Operation, *, output_size: Sequence[int], layout: str = "nchw"
    ):
        super().__init__((x,), output_size=output_size, layout=layout)

    @override
    @classmethod
    def infer(cls, x: Tensor, *, output_size: tuple[int, ...], layout: str) -> AnyTensor:
        expect_elements(FLOATS, x)
        positive("output_size", output_size)
        n, c, extents = image(x, layout)
        if min(map(lower_bound, extents)) < 1:
            raise ShapeError(f"{x} must have at least one pixel")
        return x.like(image_dims(layout, n, c, (output_size[0], output_size[1])))


@graph_op
class AdaptiveAvgPool2dOp(AdaptivePoolOp):
    """The mean over windows that divide the image into `output_size` parts."""

    name = "graph.adaptive_avg_pool2d"


@graph_op
class AdaptiveMaxPool2dOp(AdaptivePoolOp):
    """The maximum over windows that divide the image into `output_size` parts; NaN wins."""

    name = "graph.adaptive_max_pool2d"


@graph_op
class ResizeOp(ImageOp):
    """Samples the image at `size` points in each spatial dim.

    Output index i of m reads an input of n at the coordinate
    - "half_pixel": c = (i + 1/2) n / m - 1/2
    - "align_corners": c = i (n - 1) / (m - 1), or 0 if m is 1
    - "asymmetric": c = i n / m

    Mode "nearest" takes element floor(c) for "asymmetric" and ceil(c - 1/2) else (halves round
    down), in exact arithmetic; "bilinear" interpolates between floor(c) and floor(c) + 1. Indices
    and coordinates are clamped to the image.
    """

    name = "graph.resize"
    IMPLIED: ClassVar = frozenset({"size"})
    size = dims_property()
    mode = choice_property("nearest", "bilinear")
    coordinates = choice_property("half_pixel", "align_corners", "asymmetric")

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        size: Sequence[Dim],
        mode: str = "nearest",
        coordinates: str = "half_pixel",
        layout: str = "nchw",
    ):
        super().__init__((x,), size=size, mode=mode, coordinates=coordinates, layout=layout)

    @override
    @classmethod
    def infer(
        cls, x: Tensor, *, size: tuple[Dim, ...], mode: str, coordinates: str, layout: str
    ) -> AnyTensor:
        expect_elements(FLOATS, x)
        n, c, extents = image(x, layout)
        if len(size) != 2:
            raise ShapeError(f"size must have 2 dims, not {len(size)}")
        if min(map(lower_bound, extents)) < 1:
            raise ShapeError(f"{x} must have at least one pixel")
        return x.like(image_dims(layout, n, c, (size[0], size[1])))

    @override
    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        axes = spatial_axes(given.get("layout", "nchw"))
        dims = dims_of(result_types[0])
        return {"size": [dims[axis] for axis in axes if axis < len(dims)]}
