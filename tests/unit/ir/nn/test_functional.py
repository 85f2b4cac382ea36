"""`nn.functional` against independent formulas in NumPy, in f64."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.errors import ShapeError
from ait.ir.dtypes import Array
from ait.nn import functional as F
from tests.unit.ir.nn.harness import close, normal, result, same

_erf = np.vectorize(math.erf)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


ACTIVATIONS: list[tuple[str, Callable[[Any], Any], Callable[[Array], Array]]] = [
    ("relu", F.relu, lambda x: np.maximum(x, 0)),
    ("relu6", F.relu6, lambda x: np.clip(x, 0, 6)),
    ("hardtanh", F.hardtanh, lambda x: np.clip(x, -1, 1)),
    ("gelu", F.gelu, lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2),
    (
        "gelu_tanh",
        lambda x: F.gelu(x, "tanh"),
        lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    ),
    ("silu", F.silu, lambda x: x * sigmoid(x)),
    ("mish", F.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ("hardswish", F.hardswish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    ("hardsigmoid", F.hardsigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), lambda x: np.where(x >= 0, x, 0.2 * x)),
    ("elu", lambda x: F.elu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1))),
    ("softplus", F.softplus, lambda x: np.log1p(np.exp(x))),
    ("sigmoid", F.sigmoid, sigmoid),
    ("tanh", F.tanh, np.tanh),
    ("glu", lambda x: F.glu(x, 0), lambda x: x[:2] * sigmoid(x[2:])),
    ("softmax", lambda x: F.softmax(x, 1), lambda x: softmax(x, 1)),
    ("log_softmax", lambda x: F.log_softmax(x, 0), lambda x: np.log(softmax(x, 0))),
    ("dropout", F.dropout, lambda x: x),
]


@pytest.mark.parametrize(
    ("function", "expected"), [a[1:] for a in ACTIVATIONS], ids=[a[0] for a in ACTIVATIONS]
)
def test_activation(function: Callable[[Any], Any], expected: Callable[[Array], Array]) -> None:
    x = 4 * normal(4, 5)
    close(result(function, x), expected(x.astype(np.float64)))


def test_linear() -> None:
    x, w, b = normal(2, 3, 5), normal(4, 5), normal(4)
    close(result(F.linear, x, w, b), x @ w.T + b)
    close(result(F.linear, x, w), x @ w.T)


def conv2d(
    x: Array, w: Array, stride: int, padding: tuple[int, int], dilation: int, groups: int
) -> Array:
    """The definition, one output at a time."""
    n, _, height, width = x.shape
    o, c, r, s = w.shape
    ph, pw = padding
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    oh = (height + 2 * ph - dilation * (r - 1) - 1) // stride + 1
    ow = (width + 2 * pw - dilation * (s - 1) - 1) // stride + 1
    y = np.zeros((n, o, oh, ow))
    for b, k, i, j in np.ndindex(*y.shape):
        group = k // (o // groups)
        rows = slice(i * stride, i * stride + dilation * (r - 1) + 1, dilation)
        columns = slice(j * stride, j * stride + dilation * (s - 1) + 1, dilation)
        y[b, k, i, j] = (x[b, group * c : (group + 1) * c, rows, columns] * w[k]).sum()
    return y


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, (0, 0), 1, 1), (2, (1, 2), 1, 1), (1, (2, 2), 2, 1), (2, (1, 0), 1, 2), (1, (1, 1), 1, 4)],
)
def test_conv2d(stride: int, padding: tuple[int, int], dilation: int, groups: int) -> None:
    x, w, b = normal(2, 4, 7, 6), normal(8, 4 // groups, 3, 2), normal(8)
    actual = result(
        lambda *t: F.conv2d(*t, stride=stride, padding=padding, dilation=dilation, groups=groups),
        x, w, b,
    )  # fmt: skip
    close(actual, conv2d(x, w, stride, padding, dilation, groups) + b[:, None, None])


def test_conv2d_same_padding_keeps_the_size() -> None:
    x, w = normal(1, 2, 6, 5), normal(3, 2, 3, 3)
    actual = result(lambda *t: F.conv2d(*t, padding="same"), x, w)
    close(actual, conv2d(x, w, 1, (1, 1), 1, 1))
    with pytest.raises(ShapeError, match="same"):
        result(lambda *t: F.conv2d(*t, padding="same", stride=2), x, w)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding", "groups", "dilation"),
    [
        ((3, 2), 1, 0, 0, 1, 1),
        ((2, 2), 2, 0, 0, 1, 1),
        ((4, 4), 2, 1, 0, 2, 1),
        ((3, 3), (2, 3), (1, 0), (1, 2), 4, 1),
        ((3, 1), 2, (2, 0), 1, 1, (3, 1)),
        ((1, 2), 3, 0, (2, 0), 2, 2),
    ],
)
def test_conv_transpose2d_is_pytorchs(
    kernel: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> None:
    torch = pytest.importorskip("torch")
    x, w, b = normal(2, 4, 5, 3), normal(4, 8 // groups, *kernel), normal(8)
    options = (stride, padding, output_padding, groups, dilation)
    expected = torch.nn.functional.conv_transpose2d(*map(torch.tensor, (x, w, b)), *options)
    close(result(lambda *t: F.conv_transpose2d(*t, *options), x, w, b), expected.numpy())


def test_embedding_and_one_hot() -> None:
    table, ids = normal(6, 3), np.array([[0, 5], [2, 2]])
    same(result(lambda t, i: F.embedding(i, t), table, ids), table[ids])
    same(result(lambda i: F.one_hot(i, 6), ids), np.eye(6, dtype=np.int64)[ids])


# Attention ------------------------------------------------------------------------------------


def attention(q: Array, k: Array, v: Array, mask: Array | None, scale: float) -> Array:
    s = q.astype(np.float64) @ np.swapaxes(k, -1, -2) * scale
    return softmax(s if mask is None else s + mask, -1) @ v


def test_attention_with_masks() -> None:
    q, k, v = normal(2, 3, 4, 8), normal(2, 3, 5, 8), normal(2, 3, 5, 6)
    scale = 1 / math.sqrt(8)
    close(result(F.scaled_dot_product_attention, q, k, v), attention(q, k, v, None, scale))
    added = normal(2, 1, 1, 5)
    close(result(F.scaled_dot_product_attention, q, k, v, added), attention(q, k, v, added, scale))
    keep = np.tril(np.ones((4, 5), np.bool_))
    close(
        result(F.scaled_dot_product_attention, q, k, v, keep),
        attention(q, k, v, np.where(keep, 0, -np.inf), scale),
    )
    close(
        result(lambda *t: F.scaled_dot_product_attention(*t, scale=0.3), q, k, v),
        attention(q, k, v, None, 0.3),
    )


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (3, 5), (5, 3)])
def test_causal_attention_aligns_at_the_first_token(queries: int, keys: int) -> None:
    q, k, v = normal(1, 2, queries, 4), normal(1, 2, keys, 4), normal(1, 2, keys, 4, seed=1)
    mask = np.where(np.tril(np.ones((queries, keys))), 0, -np.inf)
    actual = result(lambda *t: F.scaled_dot_product_attention(*t, is_causal=True), q, k, v)
    close(actual, attention(q, k, v, mask, 0.5))


def test_attention_of_other_ranks_and_grouped_heads() -> None:
    q, k, v = normal(3, 4, 8), normal(3, 5, 8), normal(3, 5, 8, seed=1)
    mask = normal(3, 4, 5)
    scale = 1 / math.sqrt(8)
    actual = result(F.scaled_dot_product_attention, q, k, v, mask)
    close(actual, attention(q, k, v, mask, scale))
    close(
        result(F.scaled_dot_product_attention, q[0], k[0], v[0]),
        attention(q[0], k[0], v[0], None, scale),
    )
    q, k, v = normal(2, 6, 4, 8), normal(2, 3, 5, 8), normal(2, 3, 5, 8, seed=1)
    wide_k, wide_v = np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1)
    actual = result(lambda *t: F.scaled_dot_product_attention(*t, enable_gqa=True), q, k, v)
    close(actual, attention(q, wide_k, wide_v, None, scale))
    with pytest.raises(ShapeError, match="enable_gqa"):
        result(F.scaled_dot_product_attention, q, k, v)


# Normalization --------------------------------------------------------------------------------


def standardize(x: Array, axes: Any, eps: float) -> Array:
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def test_layer_norm_and_rms_norm() -> None:
    x, w, b = 3 * normal(2, 3, 4) + 1, normal(3, 4), normal(3, 4, seed=1)
    y = standardize(x, (1, 2), 1e-5)
    close(result(lambda x, w, b: F.layer_norm(x, (3, 4), w, b), x, w, b), y * w + b)
    close(result(lambda x: F.layer_norm(x, (3, 4)), x), y)
    close(result(lambda x, b: F.layer_norm(x, (3, 4), None, b), x, b), y + b)
    root = np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6)
    close(result(lambda x, w: F.rms_norm(x, (4,), w), x, w[0]), x / root * w[0])
    with pytest.raises(ShapeError, match="last dims"):
        result(lambda x: F.layer_norm(x, (3,)), x)


def test_group_norm_and_batch_norm() -> None:
    x, w, b = 3 * normal(2, 6, 3, 4) + 1, normal(6), normal(6, seed=1)
    groups = standardize(x.reshape(2, 3, -1), 2, 1e-5).reshape(x.shape)
    expected = groups * w[:, None, None] + b[:, None, None]
    close(result(lambda x, w, b: F.group_norm(x, 3, w, b), x, w, b), expected)
    close(result(lambda x, b: F.group_norm(x, 3, None, b), x, b), groups + b[:, None, None])
    mean, variance = normal(6, seed=2), np.abs(normal(6, seed=3)) + 0.5
    y = (x - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 1e-5)
    close(result(F.batch_norm, x, mean, variance, w, b), y * w[:, None, None] + b[:, None, None])
    close(result(F.batch_norm, x, mean, variance), y)
    only_bias = result(lambda x, m, v, b: F.batch_norm(x, m, v, None, b), x, mean, variance, b)
    close(only_bias, y + b[:, None, None])


def test_normalize_and_cosine_similarity() -> None:
    x, y = normal(3, 5), normal(3, 5, seed=1)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    close(result(F.normalize, x), unit)
    close(result(lambda x: F.normalize(x, p=1, dim=0), x), x / np.abs(x).sum(0))
    other = y / np.linalg.norm(y, axis=1, keepdims=True)
    close(result(F.cosine_similarity, x, y), (unit * other).sum(1))


# Images ---------------------------------------------------------------------------------------


def windows(x: Array, kernel: int, stride: int, fill: float, padding: int) -> Array:
    """[n, c, oh, ow, kernel, kernel]."""
    pad = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x = np.pad(x, pad, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))
    return view[:, :, ::stride, ::stride]


def test_pooling() -> None:
    x = normal(2, 3, 7, 8)
    expected = windows(x, 3, 2, -np.inf, 1).max((-1, -2))
    same(result(lambda x: F.max_pool2d(x, 3, 2, 1), x), expected)
    same(result(lambda x: F.max_pool2d(x, 2), x), windows(x, 2, 2, 0, 0).max((-1, -2)))
    close(result(lambda x: F.avg_pool2d(x, 3, 2, 1), x), windows(x, 3, 2, 0, 1).mean((-1, -2)))
    counted = np.nanmean(windows(x, 3, 2, np.nan, 1), (-1, -2))
    close(result(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), x), counted)
    assert result(lambda x: F.max_pool2d(x, 2, ceil_mode=True), x).shape == (2, 3, 4, 4)


def test_adaptive_pooling() -> None:
    x = normal(2, 3, 7, 8)
    close(result(lambda x: F.adaptive_avg_pool2d(x, 1), x), x.mean((2, 3), keepdims=True))
    rows = [(0, 3), (2, 5), (4, 7)]  # 7 in 3 parts: floor and ceil of thirds
    columns = [(0, 4), (4, 8)]
    parts = [[x[:, :, a:b, c:d] for c, d in columns] for a, b in rows]
    means = np.array([[part.mean((2, 3)) for part in row] for row in parts]).transpose(2, 3, 0, 1)
    close(result(lambda x: F.adaptive_avg_pool2d(x, (3, 2)), x), means)
    most = np.array([[part.max((2, 3)) for part in row] for row in parts]).transpose(2, 3, 0, 1)
    same(result(lambda x: F.adaptive_max_pool2d(x, (3, 2)), x), most)


def linear_resize(x: Array, size: int, align_corners: bool) -> Array:
    """Bilinear along the last axis."""
    n = x.shape[-1]
    i = np.arange(size)
    c = i * (n - 1) / (size - 1) if align_corners else (i + 0.5) * n / size - 0.5
    c = np.clip(c, 0, n - 1)
    low = np.floor(c).astype(int)
    high = np.minimum(low + 1, n - 1)
    t = c - low
    return x[..., low] * (1 - t) + x[..., high] * t


def test_interpolate() -> None:
    x = normal(1, 2, 3, 4)
    nearest = x[:, :, [0, 0, 1, 1, 2, 2]][..., [0, 0, 1, 1, 2, 2, 3, 3]]
    same(result(lambda x: F.interpolate(x, scale_factor=2), x), nearest)
    same(result(lambda x: F.interpolate(x, size=(5, 4)), x), x[:, :, [0, 0, 1, 1, 2]])
    exact = x[:, :, [0, 0, 1, 2, 2]]  # floor((i + 1/2) 3 / 5)
    same(result(lambda x: F.interpolate(x, size=(5, 4), mode="nearest-exact"), x), exact)
    for align in (False, True):
        rows = linear_resize(x.swapaxes(2, 3).astype(np.float64), 5, align).swapaxes(2, 3)
        expected = linear_resize(rows, 7, align)
        actual = result(
            lambda x, a=align: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=a), x
        )
        close(actual, expected)
    with pytest.raises(ShapeError, match="whole number"):
        result(lambda x: F.interpolate(x, scale_factor=1.5), x)


def test_pixel_shuffle_and_pad() -> None:
    x = normal(2, 8, 3, 4)
    y = x.reshape(2, 2, 2, 2, 3, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 8)
    same(result(lambda x: F.pixel_shuffle(x, 2), x), y)
    padded = np.pad(x, ((0, 0), (0, 0), (3, 0), (1, 2)), constant_values=7)
    same(result(lambda x: F.pad(x, (1, 2, 3, 0), value=7), x), padded)
    same(result(lambda x: F.pad(x, (-1, 2)), x), np.pad(x[..., 1:], ((0, 0),) * 3 + ((0, 2),)))
    same(result(lambda x: F.pad(x, (-1, -2)), x), x[..., 1:-2])
    with pytest.raises(ShapeError, match="reflect"):
        result(lambda x: F.pad(x, (1, 1), mode="reflect"), x)


def test_training_is_refused() -> None:
    with pytest.raises(ShapeError, match="inference"):
        result(lambda x: F.dropout(x, training=True), normal(2))


# Layers ---------------------------------------------------------------------------------------

LAYERS: list[tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[Any, Any], Any]]] = [
    (lambda: nn.Linear(5, 4), (3, 5), lambda m, x: F.linear(x, m.weight, m.bias)),
    (lambda: nn.Linear(5, 4, bias=False), (3, 5), lambda m, x: F.linear(x, m.weight)),
    (
        lambda: nn.Conv2d(4, 6, 3, 2, 1, groups=2),
        (1, 4, 5, 5),
        lambda m, x: F.conv2d(x, m.weight, m.bias, 2, 1, 1, 2),
    ),
    (
        lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, bias=False),
        (1, 4, 5, 5),
        lambda m, x: F.conv_transpose2d(x, m.weight, None, 2, 1, 1, 2),
    ),
    (
        lambda: nn.LayerNorm(5, eps=0.1),
        (3, 5),
        lambda m, x: F.layer_norm(x, (5,), m.weight, m.bias, 0.1),
    ),
    (lambda: nn.RMSNorm(5, eps=0.1), (3, 5), lambda m, x: F.rms_norm(x, (5,), m.weight, 0.1)),
    (lambda: nn.GroupNorm(2, 4), (1, 4, 3), lambda m, x: F.group_norm(x, 2, m.weight, m.bias)),
    (
        lambda: nn.BatchNorm2d(4, eps=0.1),
        (1, 4, 3, 3),
        lambda m, x: F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias, eps=0.1),
    ),
    (lambda: nn.MaxPool2d(3, 2, 1), (1, 2, 5, 5), lambda m, x: F.max_pool2d(x, 3, 2, 1)),
    (lambda: nn.AvgPool2d(2), (1, 2, 5, 5), lambda m, x: F.avg_pool2d(x, 2)),
    (lambda: nn.AdaptiveAvgPool2d(2), (1, 2, 5, 5), lambda m, x: F.adaptive_avg_pool2d(x, 2)),
    (lambda: nn.AdaptiveMaxPool2d(2), (1, 2, 5, 5), lambda m, x: F.adaptive_max_pool2d(x, 2)),
    (
        lambda: nn.Upsample(scale_factor=2),
        (1, 2, 3, 3),
        lambda m, x: F.interpolate(x, scale_factor=2),
    ),
    (lambda: nn.PixelShuffle(2), (1, 4, 3, 3), lambda m, x: F.pixel_shuffle(x, 2)),
    (lambda: nn.ZeroPad2d(1), (1, 4, 3, 3), lambda m, x: F.pad(x, (1, 1, 1, 1))),
    (lambda: nn.Flatten(), (2, 4, 3), lambda m, x: x.reshape(2, 12)),
    (lambda: nn.Dropout(0.1), (2, 4), lambda m, x: x),
    (lambda: nn.Identity(54, hello=1), (2, 4), lambda m, x: x),
    (lambda: nn.GELU("tanh"), (2, 4), lambda m, x: F.gelu(x, "tanh")),
    (lambda: nn.LeakyReLU(0.3), (2, 4), lambda m, x: F.leaky_relu(x, 0.3)),
    (lambda: nn.ELU(0.3), (2, 4), lambda m, x: F.elu(x, 0.3)),
    (lambda: nn.Hardtanh(-2, 2), (2, 4), lambda m, x: x.clamp(-2, 2)),
    (lambda: nn.Softmax(0), (2, 4), lambda m, x: F.softmax(x, 0)),
    (lambda: nn.LogSoftmax(0), (2, 4), lambda m, x: F.log_softmax(x, 0)),
    (lambda: nn.ReLU(inplace=True), (2, 4), lambda m, x: F.relu(x)),
    (lambda: nn.ReLU6(), (2, 4), lambda m, x: F.relu6(x)),
    (lambda: nn.SiLU(), (2, 4), lambda m, x: F.silu(x)),
    (lambda: nn.Mish(), (2, 4), lambda m, x: F.mish(x)),
    (lambda: nn.Hardswish(), (2, 4), lambda m, x: F.hardswish(x)),
    (lambda: nn.Hardsigmoid(), (2, 4), lambda m, x: F.hardsigmoid(x)),
    (lambda: nn.Softplus(), (2, 4), lambda m, x: F.softplus(x)),
    (lambda: nn.Sigmoid(), (2, 4), lambda m, x: F.sigmoid(x)),
    (lambda: nn.Tanh(), (2, 4), lambda m, x: F.tanh(x)),
]


@pytest.mark.parametrize(
    ("make", "shape", "expected"), LAYERS, ids=lambda v: str(v) if isinstance(v, tuple) else None
)
def test_layer_is_its_function_of_its_parameters(
    make: Callable[[], nn.Module], shape: tuple[int, ...], expected: Callable[[Any, Any], Any]
) -> None:
    module = make().init_random(3)
    x = normal(*shape)
    values = {name: p.data for name, p in module.named_parameters(buffers=True)}

    def by_function(x: nn.Tensor) -> nn.Tensor:
        constants = {name: nn.tensor(value) for name, value in values.items()}
        return expected(SimpleNamespace(**{"bias": None, **constants}), x)

    same(result(module, x), result(by_function, x))


def test_embedding_layer() -> None:
    module = nn.Embedding(6, 3, padding_idx=0).init_random()
    ids = np.array([[0, 5], [2, 2]])
    assert module.weight.data is not None
    same(result(module, ids), module.weight.data[ids])


def test_multihead_attention() -> None:
    module = nn.MultiheadAttention(8, 2).init_random()
    x = normal(2, 5, 8)
    p = {name: np.asarray(value.data) for name, value in module.state_dict().items()}
    projected = x @ p["in_proj_weight"].T + p["in_proj_bias"]
    q, k, v = (part.reshape(2, 5, 2, 4).swapaxes(1, 2) for part in np.split(projected, 3, axis=-1))
    mixed = attention(q, k, v, None, 0.5).swapaxes(1, 2).reshape(2, 5, 8)
    expected = mixed @ p["out_proj.weight"].T + p["out_proj.bias"]
    close(result(lambda x: module(x, x, x), x), expected)
