"""Layers: modules with the parameters, names and arguments of `torch.nn`."""

from __future__ import annotations

from collections.abc import Sequence

from ait.errors import ShapeError
from ait.ir.nn import functional as F
from ait.ir.nn.functional import Pair, pair
from ait.ir.nn.initialization import near_one, normal, small, uniform
from ait.ir.nn.module import Buffer, Module, Parameter
from ait.ir.nn.tensor import Scalar, Tensor


class Linear(Module):
    """`y = x weight^T + bias`: [..., in_features] to [..., out_features]."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: object = None
    ):
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter((out_features, in_features), dtype)
        self.bias = Parameter((out_features,), dtype, init=small) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """Cross-correlation of images [n, in_channels, h, w] with a kernel."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: object = None,
    ):
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"Conv2d: groups = {groups} must divide {in_channels} and {out_channels} channels"
            )
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        shape = (out_channels, in_channels // groups, *pair(kernel_size))
        self.weight = Parameter(shape, dtype)
        self.bias = Parameter((out_channels,), dtype, init=small) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class ConvTranspose2d(Module):
    """Transposed convolution of images [n, in_channels, h, w], which it enlarges by `stride`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        dtype: object = None,
    ):
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"ConvTranspose2d: groups = {groups} must divide {in_channels} and {out_channels} "
                "channels"
            )
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.groups, self.dilation = groups, dilation
        shape = (in_channels, out_channels // groups, *pair(kernel_size))
        self.weight = Parameter(shape, dtype)
        self.bias = Parameter((out_channels,), dtype, init=small) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class Embedding(Module):
    """Rows of a table [num_embeddings, embedding_dim] by i32 or i64 index."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: object = None,
    ):
        self.padding_idx = padding_idx
        self.weight = Parameter((num_embeddings, embedding_dim), dtype, init=normal(0.5))

    def forward(self, indices: Tensor) -> Tensor:
        return F.embedding(indices, self.weight)


# Normalization --------------------------------------------------------------------------------


class LayerNorm(Module):
    """Subtracts the mean of the last dims and divides by their deviation, then scales."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: object = None,
    ):
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        shape = self.normalized_shape
        self.weight = Parameter(shape, dtype, init=near_one) if elementwise_affine else None
        self.bias = Parameter(shape, dtype, init=small) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """Divides by the root of the mean square of the last dims, then scales."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-6,
        elementwise_affine: bool = True,
        dtype: object = None,
    ):
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        shape = self.normalized_shape
        self.weight = Parameter(shape, dtype, init=near_one) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Module):
    """Normalizes groups of channels (dim 1) of each image, then scales each channel."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: object = None,
    ):
        self.num_groups, self.eps = num_groups, eps
        self.weight = Parameter((num_channels,), dtype, init=near_one) if affine else None
        self.bias = Parameter((num_channels,), dtype, init=small) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class BatchNorm2d(Module):
    """Normalizes each channel (dim 1) with the mean and variance that training has found."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        dtype: object = None,
    ):
        self.eps = eps
        self.weight = Parameter((num_features,), dtype, init=near_one) if affine else None
        self.bias = Parameter((num_features,), dtype, init=small) if affine else None
        self.running_mean = Buffer((num_features,), dtype, init=normal(0.1))
        self.running_var = Buffer((num_features,), dtype, init=uniform(0.5, 1.5))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


# Pooling and resizing -------------------------------------------------------------------------


class MaxPool2d(Module):
    """The maximum over windows of [n, c, h, w]."""

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        ceil_mode: bool = False,
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )


class AvgPool2d(Module):
    """The mean over windows of [n, c, h, w]."""

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AdaptiveAvgPool2d(Module):
    """The mean over the `output_size` parts of each image."""

    def __init__(self, output_size: Pair):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool2d(Module):
    """The maximum over the `output_size` parts of each image."""

    def __init__(self, output_size: Pair):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, self.output_size)


class Upsample(Module):
    """Resizes images: see `functional.interpolate`."""

    def __init__(
        self,
        size: Pair | None = None,
        scale_factor: float | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ):
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = None if self.size is None else pair(self.size)
        return F.interpolate(x, size, self.scale_factor, self.mode, self.align_corners)


class PixelShuffle(Module):
    """[n, c r r, h, w] to [n, c, h r, w r]."""

    def __init__(self, upscale_factor: int):
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.upscale_factor)


class ZeroPad2d(Module):
    """Zeros around images: one amount, or (left, right, top, bottom)."""

    def __init__(self, padding: int | Sequence[int]):
        self.padding = [padding] * 4 if isinstance(padding, int) else list(padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding)


class Flatten(Module):
    """Merges dims `start_dim` to `end_dim`."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)


# Activations ----------------------------------------------------------------------------------


class ReLU(Module):
    """`max(x, 0)`."""

    def __init__(self, inplace: bool = False):
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


class ReLU6(ReLU):
    """`min(max(x, 0), 6)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


class SiLU(ReLU):
    """`x sigmoid(x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x)


class Mish(ReLU):
    """`x tanh(softplus(x))`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(x)


class Hardswish(ReLU):
    """`x hardsigmoid(x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


class Hardsigmoid(ReLU):
    """`min(max(x / 6 + 1/2, 0), 1)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x)


class GELU(Module):
    """`x Phi(x)`, by erf ("none") or by an estimate ("tanh")."""

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, self.approximate)


class LeakyReLU(Module):
    """`x if x >= 0 else negative_slope x`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """`x if x > 0 else alpha (e^x - 1)`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha)


class Softplus(Module):
    """`ln(1 + e^x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x)


class Sigmoid(Module):
    """`1 / (1 + e^-x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid()


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh()


class Hardtanh(Module):
    """`x` limited to [min_val, max_val]."""

    def __init__(self, min_val: Scalar = -1.0, max_val: Scalar = 1.0, inplace: bool = False):
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.min_val, self.max_val)


class Softmax(Module):
    """`e^x / sum(e^x)` along `dim`."""

    def __init__(self, dim: int):
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(self.dim)


class LogSoftmax(Softmax):
    """`ln(softmax(x))` along `dim`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)


class Dropout(Module):
    """`x`: nothing drops out in inference."""

    def __init__(self, p: float = 0.5, inplace: bool = False):
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x


# Attention ------------------------------------------------------------------------------------


class MultiheadAttention(Module):
    """Attention of several heads with PyTorch's parameters, batch first: [b, s, embed_dim].

    `forward` gives the output alone, never the weights.
    """

    def __init__(self, embed_dim: int, num_heads: int, bias: bool = True, dtype: object = None):
        if embed_dim % num_heads:
            raise ShapeError(f"{num_heads} heads do not divide embed_dim = {embed_dim}")
        self.num_heads = num_heads
        self.in_proj_weight = Parameter((3 * embed_dim, embed_dim), dtype)
        self.in_proj_bias = Parameter((3 * embed_dim,), dtype, init=small) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        weights = self.in_proj_weight.chunk(3)
        biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (
            self._heads(F.linear(x, weight, bias))
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask, is_causal=is_causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """[b, s, embed] as [b, heads, s, width]."""
        batch, length, width = x.shape
        return x.reshape(batch, length, self.num_heads, width // self.num_heads).transpose(1, 2)
