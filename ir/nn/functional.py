"""The functions of neural networks, with the names and arguments of `torch.nn.functional`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeAlias

from ait.dialects import graph
from ait.dialects.graph.base import shape_text
from ait.dialects.symbolic import Dim, exact_div, to_text
from ait.errors import ShapeError
from ait.ir.dtypes import dtype_of
from ait.ir.nn.ops import iota
from ait.ir.nn.recorder import current_recorder
from ait.ir.nn.tensor import Scalar, Tensor, apply

Pair: TypeAlias = "int | Sequence[int]"
"""One number for height and width, or both."""


def _error(message: str) -> ShapeError:
    return ShapeError(current_recorder().located(message))


# Activations ----------------------------------------------------------------------------------


def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return x.relu()


def relu6(x: Tensor) -> Tensor:
    """`min(max(x, 0), 6)`."""
    return x.clamp(0, 6)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`x` limited to [min_val, max_val]."""
    return x.clamp(min_val, max_val)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """`x Phi(x)`, with the normal distribution's Phi by erf ("none") or an estimate ("tanh")."""
    return apply(graph.GeluOp, x, approximate=approximate)


def silu(x: Tensor) -> Tensor:
    """`x sigmoid(x)`."""
    return apply(graph.SiluOp, x)


def mish(x: Tensor) -> Tensor:
    """`x tanh(softplus(x))`."""
    return x * softplus(x).tanh()


def hardswish(x: Tensor) -> Tensor:
    """`x hardsigmoid(x)`."""
    return apply(graph.HardswishOp, x)


def hardsigmoid(x: Tensor) -> Tensor:
    """`min(max(x / 6 + 1/2, 0), 1)`."""
    return apply(graph.HardsigmoidOp, x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`x if x >= 0 else negative_slope x`."""
    return apply(graph.LeakyReluOp, x, negative_slope=negative_slope)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """`x if x > 0 else alpha (e^x - 1)`."""
    return apply(graph.EluOp, x, alpha=alpha)


def softplus(x: Tensor) -> Tensor:
    """`ln(1 + e^x)`."""
    return apply(graph.SoftplusOp, x)


def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + e^-x)`."""
    return x.sigmoid()


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return x.tanh()


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """`a sigmoid(b)` of the halves of `dim`."""
    a, b = x.chunk(2, dim)
    return a * b.sigmoid()


def softmax(x: Tensor, dim: int, dtype: object = None) -> Tensor:
    """`e^x / sum(e^x)` along `dim`; `x` is first cast to `dtype`, if one is given."""
    return (x if dtype is None else x.to(dtype)).softmax(dim)


def log_softmax(x: Tensor, dim: int, dtype: object = None) -> Tensor:
    """`ln(softmax(x))` along `dim`."""
    return apply(graph.LogSoftmaxOp, x if dtype is None else x.to(dtype), axis=dim)


def dropout(x: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """`x`: nothing drops out in inference."""
    if training:
        raise _error("dropout(training=True): only inference is compiled")
    return x


# Products -------------------------------------------------------------------------------------


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x weight^T + bias`: x [..., k], weight [n, k], bias [n], result [..., n]."""
    return apply(graph.LinearOp, x, weight, bias)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: x [n, c, h, w], weight [o, c / groups, r, s], bias [o].

    `padding` is "valid", "same" (of stride 1), or zeros at both ends.
    """
    dilations = pair(dilation)
    return apply(
        graph.Conv2dOp,
        x,
        weight,
        bias,
        strides=pair(stride),
        padding=_conv_padding(weight, padding, dilations, pair(stride)),
        dilations=dilations,
        groups=groups,
    )


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    """Transposed convolution: x [n, c, h, w], weight [c, o / groups, r, s], bias [o].

    The result [n, o, oh, ow] has oh = (h - 1) stride + dilation (r - 1) + 1 + output_padding -
    2 padding; `padding` is cut off at both ends.
    """
    return apply(
        graph.ConvTranspose2dOp,
        x,
        weight,
        bias,
        strides=pair(stride),
        padding=_both_ends(padding),
        output_padding=pair(output_padding),
        dilations=pair(dilation),
        groups=groups,
    )


def _conv_padding(
    weight: Tensor, padding: Pair | str, dilations: Sequence[int], strides: Sequence[int]
) -> tuple[int, ...]:
    if not isinstance(padding, str):
        return _both_ends(padding)
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding != "same" or tuple(strides) != (1, 1):
        raise _error(f'conv2d: padding "{padding}" with strides {list(strides)}')
    kernel = [extent for extent in weight.shape[2:] if isinstance(extent, int)]
    total = [d * (extent - 1) for d, extent in zip(dilations, kernel, strict=True)]
    return (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)


def embedding(indices: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight` [rows, ...] by i32 or i64 indices; one outside is an error at run time."""
    return apply(graph.GatherOp, weight, indices, axis=0)


def one_hot(indices: Tensor, num_classes: int) -> Tensor:
    """i64 [..., num_classes]: 1 where the index is the position, else 0."""
    classes = iota((num_classes,), dtype=indices.dtype)
    return (indices.unsqueeze(-1) == classes).to("i64")


# Attention ------------------------------------------------------------------------------------


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`softmax(scale q k^T + mask) v`, for q [..., h, sq, d], k [..., hkv, sk, d] and
    v [..., hkv, sk, dv].

    A float mask is added, an i1 mask keeps where true. `is_causal` lets query i see keys j <= i, as
    PyTorch counts them: from the first. `scale` is 1 / sqrt(d) unless given. Queries that see
    nothing give zeros. Ranks from 2 on.
    """
    if dropout_p:
        raise _error(f"dropout_p = {dropout_p}: only inference is compiled")
    if is_causal and attn_mask is not None:
        raise _error("is_causal and attn_mask exclude each other")
    leading = query.shape[:-2]
    if query.ndim != 4:
        heads = leading[-1] if len(leading) else 1
        query, key, value = (
            _rank_four(x, heads if len(leading) > 1 else 1) for x in (query, key, value)
        )
        if attn_mask is not None and attn_mask.ndim > 2:
            attn_mask = _rank_four(attn_mask, attn_mask.shape[-3] if len(leading) > 1 else 1)
    if not enable_gqa and query.shape[1] != key.shape[1]:
        raise _error(
            f"attention: {to_text(query.shape[1])} heads of queries and "
            f"{to_text(key.shape[1])} of keys need enable_gqa=True"
        )
    queries, keys = query.shape[-2], key.shape[-2]
    if is_causal and queries != keys:
        # The op aligns the last query with the last key, PyTorch the first with the first.
        attn_mask = iota((1, keys), axis=1) <= iota((queries, 1))
        is_causal = False
    result = apply(graph.AttentionOp, query, key, value, attn_mask, scale=scale, causal=is_causal)
    return result if len(leading) == 2 else result.reshape(*leading, *result.shape[-2:])


def _rank_four(x: Tensor, heads: Dim) -> Tensor:
    """[..., h, s, d] as [b, h, s, d]."""
    return x.reshape(-1, heads, *x.shape[-2:]) if x.ndim > 2 else x.reshape(1, 1, *x.shape)


# Normalization --------------------------------------------------------------------------------


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`(x - mean) / sqrt(variance + eps) weight + bias` over the last dims, `normalized_shape`."""
    rank = _trailing("layer_norm", x, normalized_shape)
    if weight is None and bias is not None:
        return layer_norm(x, normalized_shape, eps=eps) + bias
    return apply(graph.LayerNormOp, x, weight, bias, axes_rank=rank, eps=eps)


def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float = 1e-6
) -> Tensor:
    """`x / sqrt(mean(x^2) + eps) weight` over the last dims, `normalized_shape`."""
    rank = _trailing("rms_norm", x, normalized_shape)
    return apply(graph.RmsNormOp, x, weight, axes_rank=rank, eps=eps)


def _trailing(name: str, x: Tensor, normalized_shape: Sequence[int]) -> int:
    rank = len(normalized_shape)
    if not rank or x.shape[-rank:] != tuple(normalized_shape):
        raise _error(
            f"{name}: the last dims of {shape_text(x.shape)} are not {list(normalized_shape)}"
        )
    return rank


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Layer norm over each group of channels (dim 1) of each image, scaled per channel."""
    if weight is None and bias is not None:
        return group_norm(x, num_groups, eps=eps) + _per_channel(bias, x)
    return apply(graph.GroupNormOp, x, weight, bias, num_groups=num_groups, eps=eps)


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`(x - running_mean) / sqrt(running_var + eps) weight + bias` per channel (dim 1)."""
    if training:
        raise _error("batch_norm(training=True): only inference is compiled")
    if weight is None and bias is not None:
        return batch_norm(x, running_mean, running_var, eps=eps) + _per_channel(bias, x)
    return apply(graph.BatchNormOp, x, running_mean, running_var, weight, bias, axis=1, eps=eps)


def _per_channel(vector: Tensor, x: Tensor) -> Tensor:
    """A vector that broadcasts along dim 1 of `x`."""
    return vector.reshape(-1, *[1] * (x.ndim - 2))


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """`x / max(|x|, eps)` along `dim`, with the Euclidean norm (p = 2) or the sum (p = 1)."""
    if p not in (1, 2):
        raise _error(f"normalize: p = {p} is neither 1 nor 2")
    length = x.norm(dim, keepdim=True) if p == 2 else x.abs().sum(dim, keepdim=True)
    return x / length.clamp(min=eps)


def cosine_similarity(a: Tensor, b: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`."""
    lengths = a.norm(dim).clamp(min=eps) * b.norm(dim).clamp(min=eps)
    return (a * b).sum(dim) / lengths


# Images ---------------------------------------------------------------------------------------


def max_pool2d(
    x: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum over windows of [n, c, h, w]; `stride` is the kernel's size unless given."""
    return apply(
        graph.MaxPool2dOp,
        x,
        kernel=pair(kernel_size),
        strides=pair(kernel_size if stride is None else stride),
        padding=_both_ends(padding),
        dilations=pair(dilation),
        ceil_mode=ceil_mode,
    )


def avg_pool2d(
    x: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean over windows of [n, c, h, w]; `stride` is the kernel's size unless given."""
    return apply(
        graph.AvgPool2dOp,
        x,
        kernel=pair(kernel_size),
        strides=pair(kernel_size if stride is None else stride),
        padding=_both_ends(padding),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def adaptive_avg_pool2d(x: Tensor, output_size: Pair) -> Tensor:
    """The mean over the parts of [n, c, h, w] that `output_size` divides each image into."""
    return apply(graph.AdaptiveAvgPool2dOp, x, output_size=pair(output_size))


def adaptive_max_pool2d(x: Tensor, output_size: Pair) -> Tensor:
    """The maximum over the parts of [n, c, h, w] that `output_size` divides each image into."""
    return apply(graph.AdaptiveMaxPool2dOp, x, output_size=pair(output_size))


def interpolate(
    x: Tensor,
    size: Dim | Sequence[Dim] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """[n, c, h, w] resized to `size`, or by `scale_factor`, which must give whole numbers.

    Modes are "nearest", "nearest-exact" and "bilinear".
    """
    if (size is None) == (scale_factor is None):
        raise _error("interpolate: give either size or scale_factor")
    if mode not in _RESIZE:
        raise _error(f"interpolate: mode {mode!r} is none of {', '.join(_RESIZE)}")
    if align_corners and mode != "bilinear":
        raise _error(f"interpolate: align_corners is for bilinear, not for {mode}")
    kind, coordinates = _RESIZE[mode]
    if scale_factor is not None:
        factors = scale_factor if isinstance(scale_factor, Sequence) else [scale_factor] * 2
        target = [_scaled(dim, f) for dim, f in zip(x.shape[2:], factors, strict=True)]
    else:
        assert size is not None
        target = list(size) if isinstance(size, Sequence) else [size] * 2
    return apply(
        graph.ResizeOp,
        x,
        size=target,
        mode=kind,
        coordinates="align_corners" if align_corners else coordinates,
    )


_RESIZE = {
    "nearest": ("nearest", "asymmetric"),
    "nearest-exact": ("nearest", "half_pixel"),
    "bilinear": ("bilinear", "half_pixel"),
}
"""PyTorch's modes as the op's mode and coordinates."""


def _scaled(dim: Dim, factor: float) -> Dim:
    exact = Fraction(factor).limit_denominator(1 << 16)
    result = exact_div(dim * exact.numerator, exact.denominator)
    if result is None:
        raise _error(f"interpolate: {to_text(dim)} times {factor} is no whole number: give a size")
    return result


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """[n, c r r, h, w] to [n, c, h r, w r]: channels become pixels."""
    n, c, h, w = x.shape
    r = upscale_factor
    channels = exact_div(c, r * r)
    if channels is None:
        raise _error(f"pixel_shuffle: {to_text(c)} channels are no multiple of {r * r}")
    parts = x.reshape(n, channels, r, r, h, w).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, channels, h * r, w * r)


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: Scalar = 0) -> Tensor:
    """Pads with a value: `pad` is (before, after) of the last dim, then of the one before, ...

    Negative amounts cut.
    """
    if mode != "constant":
        raise _error(f"pad: mode {mode!r} is not supported, only constant")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise _error(f"pad: {list(pad)} does not fit {shape_text(x.shape)}")
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    cuts = [slice(max(-low, 0), None if high >= 0 else high) for low, high in pairs]
    low, high = ([max(amount, 0) for amount in side] for side in zip(*pairs, strict=True))
    cut = x[tuple(cuts)]
    if not any(low) and not any(high):
        return cut
    if isinstance(value, float) and not dtype_of(x.dtype).is_float:
        raise _error(f"pad: the value {value} does not fit dtype {x.dtype}")
    return apply(graph.PadOp, cut, low=low, high=high, value=value)


# Arguments ------------------------------------------------------------------------------------


def pair(value: Pair) -> tuple[int, int]:
    """A number for both height and width, or one for each."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


def _both_ends(padding: Pair) -> tuple[int, int, int, int]:
    height, width = pair(padding)
    return height, width, height, width
