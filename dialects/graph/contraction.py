"""Matrix products and convolution: sums of products in f32, rounded once to the element type."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import operand_def, opt_operand_def, result_def

from ait.dialects.graph.base import (
    FLOATS,
    TENSOR,
    AnyTensor,
    GraphOp,
    Tensor,
    broadcast_dims,
    different,
    expect_dims,
    expect_elements,
    expect_rank,
    expect_same_element,
    graph_op,
    static_dim,
)
from ait.dialects.graph.properties import (
    choice_property,
    flag_property,
    int_property,
    ints_property,
)
from ait.dialects.graph.windows import (
    LAYOUTS,
    image,
    image_dims,
    positive,
    transposed_extent,
    window_extent,
)
from ait.dialects.symbolic import Dim, to_text
from ait.errors import ShapeError


@graph_op
class MatmulOp(GraphOp):
    """`y[..., m, n] = sum_k a[..., m, k] b[..., k, n]`; batch dims broadcast.

    `transpose_a` means that `a` is stored as [..., k, m], `transpose_b` that `b` is [..., n, k].
    """

    name = "graph.matmul"
    a = operand_def(TENSOR)
    b = operand_def(TENSOR)
    result = result_def(TENSOR)
    transpose_a = flag_property()
    transpose_b = flag_property()

    def __init__(
        self,
        a: SSAValue | Operation,
        b: SSAValue | Operation,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ):
        super().__init__((a, b), transpose_a=transpose_a, transpose_b=transpose_b)

    @override
    @classmethod
    def infer(cls, a: Tensor, b: Tensor, *, transpose_a: bool, transpose_b: bool) -> AnyTensor:
        expect_elements(FLOATS, a, b)
        expect_same_element(a, b)
        if a.rank < 2 or b.rank < 2:
            raise ShapeError(f"{a} and {b} must both have rank 2 or more")
        m, k = _matrix(a.dims, transpose_a)
        k2, n = _matrix(b.dims, transpose_b)
        if k != k2:
            raise ShapeError(f"{a} and {b} contract {different(k, k2)}")
        batch = broadcast_dims(
            a.dims[:-2], b.dims[:-2], ("the batch dims of a,", "the batch dims of b,")
        )
        return a.like((*batch, m, n))


def _matrix(dims: tuple[Dim, ...], transposed: bool) -> tuple[Dim, Dim]:
    rows, columns = dims[-2:]
    return (columns, rows) if transposed else (rows, columns)


@graph_op
class LinearOp(GraphOp):
    """`y[..., n] = sum_k x[..., k] weight[n, k] + bias[n]`."""

    name = "graph.linear"
    x = operand_def(TENSOR)
    weight = operand_def(TENSOR)
    bias = opt_operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(
        self,
        x: SSAValue | Operation,
        weight: SSAValue | Operation,
        bias: SSAValue | Operation | None = None,
    ):
        super().__init__((x, weight, bias))

    @override
    @classmethod
    def infer(cls, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> AnyTensor:
        operands = [t for t in (x, weight, bias) if t is not None]
        expect_elements(FLOATS, *operands)
        expect_same_element(*operands)
        expect_rank(weight, 2)
        if x.rank < 1:
            raise ShapeError(f"{x} must have rank 1 or more")
        n, k = weight.dims
        if x.dims[-1] != k:
            raise ShapeError(f"{x} and {weight} contract {different(x.dims[-1], k)}")
        if bias is not None:
            expect_dims(bias, (n,), f"one number for each row of {weight}")
        return x.like((*x.dims[:-1], n))


@graph_op
class Conv2dOp(GraphOp):
    """Two-dimensional cross-correlation of an image with zero padding, as networks use it.

    For layout "nchw": x [n, c, h, w], weight [o, c / groups, r, s], y [n, o, oh, ow]:

        y[n, o, i, j] = bias[o] + sum_{c, r, s} weight[o, c, r, s] x[n, group c / groups + c, p, q]
        p = i strides[0] + r dilations[0] - top,  q = j strides[1] + s dilations[1] - left

    For "nhwc": x [n, h, w, c], weight [o, r, s, c / groups], y [n, oh, ow, o]. `padding` is
    (top, left, bottom, right).
    """

    name = "graph.conv2d"
    x = operand_def(TENSOR)
    weight = operand_def(TENSOR)
    bias = opt_operand_def(TENSOR)
    result = result_def(TENSOR)
    strides = ints_property(2)
    padding = ints_property(4)
    dilations = ints_property(2)
    groups = int_property()
    layout = choice_property(*LAYOUTS)

    def __init__(
        self,
        x: SSAValue | Operation,
        weight: SSAValue | Operation,
        bias: SSAValue | Operation | None = None,
        *,
        strides: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
        groups: int = 1,
        layout: str = "nchw",
    ):
        super().__init__(
            (x, weight, bias),
            strides=strides,
            padding=padding,
            dilations=dilations,
            groups=groups,
            layout=layout,
        )

    @override
    @classmethod
    def infer(
        cls,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        strides: tuple[int, ...],
        padding: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: int,
        layout: str,
    ) -> AnyTensor:
        _expect_filters(x, weight, bias, groups)
        n, c, extents = image(x, layout)
        axes = (2, 3, 1) if layout == "nchw" else (1, 2, 3)
        r, s, depth = (static_dim(weight, axis) for axis in axes)
        outputs = static_dim(weight, 0)
        _expect_channels(x, c, weight, groups, depth * groups)
        if outputs % groups:
            raise ShapeError(f"{weight}: groups = {groups} does not divide {outputs} outputs")
        _expect_bias(bias, weight, outputs)
        spatial = window_extent(x, extents, (r, s), strides, padding, dilations)
        return x.like(image_dims(layout, n, outputs, spatial))


def _expect_filters(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    operands = [t for t in (x, weight, bias) if t is not None]
    expect_elements(FLOATS, *operands)
    expect_same_element(*operands)
    expect_rank(weight, 4)
    positive("groups", (groups,))


def _expect_channels(x: Tensor, given: Dim, weight: Tensor, groups: int, taken: int) -> None:
    if given != taken:
        raise ShapeError(
            f"{x} has {to_text(given)} channels, but {weight} with groups = {groups} takes {taken}"
        )


def _expect_bias(bias: Tensor | None, weight: Tensor, outputs: int) -> None:
    if bias is not None:
        expect_dims(bias, (outputs,), f"one number for each output of {weight}")


@graph_op
class ConvTranspose2dOp(GraphOp):
    """Two-dimensional transposed convolution: what conv2d does to gradients, as networks enlarge
    images. Each pixel adds its multiple of the kernel to the result.

    For layout "nchw": x [n, c, h, w], weight [c, o / groups, r, s], y [n, o, oh, ow]:

        y[n, group o / groups + o, i, j] = bias[o] + sum of weight[c, o, r, s] x[n, c, p, q] over
        the c of the group and all r, s, p, q with
        i = p strides[0] + r dilations[0] - top,  j = q strides[1] + s dilations[1] - left

    For "nhwc": x [n, h, w, c], weight [o, r, s, c / groups] as conv2d takes it, y [n, oh, ow, o].
    `padding` (top, left, bottom, right) is cut off the result, `output_padding` (height, width) is
    added behind it:

        oh = (h - 1) strides[0] + (r - 1) dilations[0] + 1 + output_padding[0] - top - bottom
    """

    name = "graph.conv_transpose2d"
    x = operand_def(TENSOR)
    weight = operand_def(TENSOR)
    bias = opt_operand_def(TENSOR)
    result = result_def(TENSOR)
    strides = ints_property(2)
    padding = ints_property(4)
    output_padding = ints_property(2)
    dilations = ints_property(2)
    groups = int_property()
    layout = choice_property(*LAYOUTS)

    def __init__(
        self,
        x: SSAValue | Operation,
        weight: SSAValue | Operation,
        bias: SSAValue | Operation | None = None,
        *,
        strides: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0, 0, 0),
        output_padding: Sequence[int] = (0, 0),
        dilations: Sequence[int] = (1, 1),
        groups: int = 1,
        layout: str = "nchw",
    ):
        super().__init__(
            (x, weight, bias),
            strides=strides,
            padding=padding,
            output_padding=output_padding,
            dilations=dilations,
            groups=groups,
            layout=layout,
        )

    @override
    @classmethod
    def infer(
        cls,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        strides: tuple[int, ...],
        padding: tuple[int, ...],
        output_padding: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: int,
        layout: str,
    ) -> AnyTensor:
        _expect_filters(x, weight, bias, groups)
        n, c, extents = image(x, layout)
        channels, outputs, kernel = cls._filters(weight, groups, layout)
        _expect_channels(x, c, weight, groups, channels)
        if channels % groups or outputs % groups:
            raise ShapeError(
                f"{weight}: groups = {groups} does not divide {channels} inputs and "
                f"{outputs} outputs"
            )
        _expect_bias(bias, weight, outputs)
        spatial = transposed_extent(x, extents, kernel, strides, padding, output_padding, dilations)
        return x.like(image_dims(layout, n, outputs, spatial))

    @staticmethod
    def _filters(weight: Tensor, groups: int, layout: str) -> tuple[int, int, tuple[int, int]]:
        """(inputs, outputs, (rows, columns)) of the weights in this layout."""
        first, *others = (static_dim(weight, axis) for axis in range(4))
        if layout == "nchw":
            depth, r, s = others
            return first, depth * groups, (r, s)
        r, s, depth = others
        return depth * groups, first, (r, s)
