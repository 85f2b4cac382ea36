"""Softmax and norms: statistics and result in f32, rounded once to the element type."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from typing_extensions import override
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import operand_def, result_def, var_operand_def

from ait.dialects.graph.base import (
    FLOATS,
    TENSOR,
    AnyTensor,
    GraphOp,
    Tensor,
    expect_axis,
    expect_dims,
    expect_elements,
    expect_same_element,
    from_front,
    graph_op,
    static_dim,
)
from ait.dialects.graph.properties import choice_property, float_property, int_property
from ait.dialects.graph.windows import LAYOUTS, channel_axis
from ait.dialects.symbolic import Dim
from ait.errors import ShapeError


class SoftmaxLikeOp(GraphOp, ABC):
    """A normalised exponential along one axis."""

    x = operand_def(TENSOR)
    result = result_def(TENSOR)
    axis = int_property()

    def __init__(self, x: SSAValue | Operation, *, axis: int = -1):
        super().__init__((x,), axis=from_front(axis, x))

    @override
    @classmethod
    def infer(cls, x: Tensor, *, axis: int) -> AnyTensor:
        expect_elements(FLOATS, x)
        expect_axis(axis, x.rank)
        return x.like(x.dims)


@graph_op
class SoftmaxOp(SoftmaxLikeOp):
    """`y = e^(x - m) / sum e^(x - m)` along `axis`, with `m = max x`."""

    name = "graph.softmax"


@graph_op
class LogSoftmaxOp(SoftmaxLikeOp):
    """`y = x - m - ln(sum e^(x - m))` along `axis`, with `m = max x`."""

    name = "graph.log_softmax"


class AffineNormOp(GraphOp, ABC):
    """A normalisation, then `y weight + bias`, each optional; a bias needs a weight."""

    x = operand_def(TENSOR)
    affine = var_operand_def(TENSOR)
    """The weight, then the bias."""
    result = result_def(TENSOR)
    eps = float_property()

    OPERANDS: ClassVar[tuple[str, ...]] = ("x", "weight", "bias")
    """Names of all operands, of which the last two are `affine`."""

    @property
    def weight(self) -> SSAValue | None:
        """The factor after the normalisation."""
        return self.affine[0] if self.affine else None

    @property
    def bias(self) -> SSAValue | None:
        """The summand after the factor."""
        return self.affine[1] if len(self.affine) > 1 else None

    @override
    @classmethod
    def operand_names(cls, count: int) -> Sequence[str]:
        if count > len(cls.OPERANDS):
            raise ShapeError(f"takes {', '.join(cls.OPERANDS)}: {count} operands are too many")
        return cls.OPERANDS[:count]


def _affine(
    weight: SSAValue | Operation | None, bias: SSAValue | Operation | None, name: str
) -> tuple[SSAValue | Operation | None, ...]:
    if weight is None and bias is not None:
        raise ShapeError(f"{name}: a bias needs a weight; use graph.add for a bias alone")
    return weight, bias


def _expect_operands(x: Tensor, dims: tuple[Dim, ...], others: tuple[Tensor, ...]) -> None:
    expect_elements(FLOATS, x, *others)
    expect_same_element(x, *others)
    for other in others:
        expect_dims(other, dims, f"the dims of {x} that it scales")


def _trailing(x: Tensor, axes_rank: int) -> tuple[Dim, ...]:
    if not 1 <= axes_rank <= x.rank:
        raise ShapeError(f"axes_rank = {axes_rank} is outside [1, {x.rank}], the rank of {x}")
    return x.dims[x.rank - axes_rank :]


@graph_op
class LayerNormOp(AffineNormOp):
    """`y = (x - mean) / sqrt(var + eps) weight + bias` over the last `axes_rank` dims, where
    `var` is the mean of `(x - mean)^2`; `weight` and `bias` have those dims.
    """

    name = "graph.layer_norm"
    axes_rank = int_property()

    def __init__(
        self,
        x: SSAValue | Operation,
        weight: SSAValue | Operation | None = None,
        bias: SSAValue | Operation | None = None,
        *,
        axes_rank: int = 1,
        eps: float = 1e-5,
    ):
        affine = _affine(weight, bias, self.name)
        super().__init__((x, *affine), axes_rank=axes_rank, eps=eps)

    @override
    @classmethod
    def infer(cls, x: Tensor, *affine: Tensor, axes_rank: int, eps: float) -> AnyTensor:
        _expect_operands(x, _trailing(x, axes_rank), affine)
        return x.like(x.dims)


@graph_op
class RmsNormOp(AffineNormOp):
    """`y = x / sqrt(mean(x^2) + eps) weight` over the last `axes_rank` dims."""

    name = "graph.rms_norm"
    axes_rank = int_property()
    OPERANDS: ClassVar = ("x", "weight")

    def __init__(
        self,
        x: SSAValue | Operation,
        weight: SSAValue | Operation | None = None,
        *,
        axes_rank: int = 1,
        eps: float = 1e-6,
    ):
        super().__init__((x, weight), axes_rank=axes_rank, eps=eps)

    @override
    @classmethod
    def infer(cls, x: Tensor, *affine: Tensor, axes_rank: int, eps: float) -> AnyTensor:
        _expect_operands(x, _trailing(x, axes_rank), affine)
        return x.like(x.dims)


@graph_op
class GroupNormOp(AffineNormOp):
    """Layer norm without weights over each of `num_groups` groups of channels of each image, then
    `y weight + bias` per channel. Channels are dim 1 for layout "nchw", the last for "nhwc"; the
    rank is 2 or more.
    """

    name = "graph.group_norm"
    num_groups = int_property()
    layout = choice_property(*LAYOUTS)

    def __init__(
        self,
        x: SSAValue | Operation,
        weight: SSAValue | Operation | None = None,
        bias: SSAValue | Operation | None = None,
        *,
        num_groups: int,
        eps: float = 1e-5,
        layout: str = "nchw",
    ):
        affine = _affine(weight, bias, self.name)
        super().__init__((x, *affine), num_groups=num_groups, eps=eps, layout=layout)

    @override
    @classmethod
    def infer(
        cls, x: Tensor, *affine: Tensor, num_groups: int, eps: float, layout: str
    ) -> AnyTensor:
        if x.rank < 2:
            raise ShapeError(f"{x} must have rank 2 or more")
        channels = static_dim(x, channel_axis(layout, x.rank))
        if num_groups < 1 or channels % num_groups:
            raise ShapeError(f"num_groups = {num_groups} does not divide {channels} channels: {x}")
        _expect_operands(x, (channels,), affine)
        return x.like(x.dims)


@graph_op
class BatchNormOp(AffineNormOp):
    """`y = (x - mean) / sqrt(variance + eps) weight + bias`, all vectors along `axis`."""

    name = "graph.batch_norm"
    x = operand_def(TENSOR)
    mean = operand_def(TENSOR)
    variance = operand_def(TENSOR)
    affine = var_operand_def(TENSOR)
    axis = int_property()
    OPERANDS: ClassVar = ("x", "mean", "variance", "weight", "bias")

    def __init__(
        self,
        x: SSAValue | Operation,
        mean: SSAValue | Operation,
        variance: SSAValue | Operation,
        weight: SSAValue | Operation | None = None,
        bias: SSAValue | Operation | None = None,
        *,
        axis: int = 1,
        eps: float = 1e-5,
    ):
        affine = _affine(weight, bias, self.name)
        super().__init__((x, mean, variance, *affine), axis=from_front(axis, x), eps=eps)

    @override
    @classmethod
    def infer(cls, x: Tensor, *vectors: Tensor, axis: int, eps: float) -> AnyTensor:
        expect_axis(axis, x.rank)
        _expect_operands(x, (x.dims[axis],), vectors)
        return x.like(x.dims)
