"""The mathematics of the interpreter on NumPy arrays, shared by the graph and kernel levels.

Everything here is written to be right by inspection. Elementwise code is f32, as the IR says.
Sums run in f64 and are rounded to f32: the result then hardly depends on the order of summands,
which no level of the IR fixes. Products of matrices are f32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from xdsl.dialects.builtin import AnyFloat, i1
from xdsl.ir import Attribute

from ait.ir.dtypes import Array, dtype_of

# Element types --------------------------------------------------------------------------------


def to_compute(x: Array) -> Array:
    """A stored array in the type in which it is computed: floats in f32, others as they are."""
    return x if x.dtype.kind in "ib" else np.asarray(x, np.float32)


def to_storage(x: Array, element: Attribute) -> Array:
    """A computed array rounded, to nearest even, to the element type."""
    return np.asarray(x).astype(dtype_of(element).numpy, copy=False)


def convert(x: Array, element: Attribute) -> Array:
    """The cast between any two element types; see `graph.cast`."""
    if element == i1:
        return to_compute(x) != 0
    if isinstance(element, AnyFloat):
        return to_storage(np.asarray(x, np.float32), element)
    if x.dtype.kind in "ib":
        return x.astype(dtype_of(element).numpy)
    return _float_to_integer(np.asarray(x, np.float64), dtype_of(element).numpy)


def _float_to_integer(x: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    too_high = x >= float(limits.max) + 1  # the bound itself is no f64 for 64 bits
    too_low = x < float(limits.min)
    inside = np.where(np.isnan(x) | too_high | too_low, 0, x).astype(dtype)
    return np.where(too_high, limits.max, np.where(too_low, limits.min, inside)).astype(dtype)


# Scalar functions -----------------------------------------------------------------------------

_STEP = 1 / 16  # distance of the nodes around which erf is expanded
_LAST = 6 * 16  # beyond 6, erf rounds to 1
_TERMS = 14  # h <= 1/32: the first term left out is below 1e-17


def _erf_coefficients() -> Array:
    """Column k holds the Taylor coefficients of erf at `k / 16`.

    erf^(n+1)(x) = 2 / sqrt(pi) (-1)^n H_n(x) exp(-x^2) with the Hermite polynomials
    H_n = 2 x H_(n-1) - 2 (n-1) H_(n-2) (Abramowitz and Stegun, 7.1.19 and 22.7.13).
    """
    table = np.zeros((_TERMS, _LAST + 1))
    for k in range(_LAST + 1):
        x = k * _STEP
        scale = 2 / math.sqrt(math.pi) * math.exp(-x * x)
        hermite, before = 1.0, 0.0
        table[0, k] = math.erf(x)
        for n in range(_TERMS - 1):
            table[n + 1, k] = scale * (-1) ** n * hermite / math.factorial(n + 1)
            hermite, before = 2 * x * hermite - 2 * n * before, hermite
    return table


_ERF = _erf_coefficients()


def erf(x: Array) -> Array:
    """The error function, with a relative error below 1e-15 in f64; the result has x's dtype."""
    magnitude = np.abs(np.asarray(x, np.float64))
    bounded = np.minimum(np.nan_to_num(magnitude, nan=0.0), 6.0)
    node = np.rint(bounded / _STEP).astype(np.int64)
    offset = bounded - node * _STEP
    total = np.zeros_like(bounded)
    for coefficients in reversed(_ERF):
        total = total * offset + np.take(coefficients, node)
    total = np.where(np.isnan(magnitude), np.nan, total)
    return np.copysign(total, x).astype(x.dtype)


def sigmoid(x: Array) -> Array:
    """`1 / (1 + e^-x)`."""
    return 1 / (1 + np.exp(-x))


def floor_divide(a: Array, b: Array) -> Array:
    """`floor(a / b)`; an integer divided by 0 gives 0."""
    return np.floor_divide(a, b) if a.dtype.kind == "i" else np.floor(a / b)


def remainder(a: Array, b: Array) -> Array:
    """What `floor_divide` leaves, with the sign of `b`."""
    return a - floor_divide(a, b) * b


# Reductions -----------------------------------------------------------------------------------

Axes = tuple[int, ...]


def reduce_sum(x: Array, axes: Axes) -> Array:
    """Integers wrap around."""
    if x.dtype.kind == "i":
        return np.sum(x, axis=axes, dtype=x.dtype)
    return np.asarray(np.sum(x, axis=axes, dtype=np.float64), np.float32)


def reduce_prod(x: Array, axes: Axes) -> Array:
    """Integers wrap around."""
    if x.dtype.kind == "i":
        return np.prod(x, axis=axes, dtype=x.dtype)
    return np.asarray(np.prod(x, axis=axes, dtype=np.float64), np.float32)


def reduce_mean(x: Array, axes: Axes) -> Array:
    """The mean of nothing is NaN."""
    count = math.prod(x.shape[axis] for axis in axes)
    total = np.sum(x, axis=axes, dtype=np.float64)
    return np.asarray(total / count if count else total * np.nan, np.float32)


def reduce_max(x: Array, axes: Axes) -> Array:
    """NaN wins; the maximum of nothing is -inf, the least integer or false."""
    least = {"i": lambda: np.iinfo(x.dtype).min, "b": lambda: False}.get(x.dtype.kind)
    return np.max(x, axis=axes, initial=least() if least else -np.inf)


def reduce_min(x: Array, axes: Axes) -> Array:
    """NaN wins; the minimum of nothing is +inf, the greatest integer or true."""
    greatest = {"i": lambda: np.iinfo(x.dtype).max, "b": lambda: True}.get(x.dtype.kind)
    return np.min(x, axis=axes, initial=greatest() if greatest else np.inf)


def argmax(x: Array, axes: Axes) -> Array:
    """The first largest element over the last axes, which are flattened; NaN is largest."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = tuple(x.shape[axis] for axis in kept)
    flat = np.transpose(x, (*kept, *axes)).reshape(*rows, math.prod(x.shape[a] for a in axes))
    return np.argmax(flat, axis=-1).astype(np.int64)


# Normalisation --------------------------------------------------------------------------------


def softmax(x: Array, axes: Axes) -> Array:
    """f32 -> f32; a row of -inf gives NaN."""
    e = np.exp(x - np.max(x, axis=axes, keepdims=True, initial=-np.inf))
    return (e / np.sum(e, axis=axes, keepdims=True, dtype=np.float64)).astype(np.float32)


def log_softmax(x: Array, axes: Axes) -> Array:
    """f32 -> f32."""
    shifted = x - np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    total = np.sum(np.exp(shifted), axis=axes, keepdims=True, dtype=np.float64)
    return (shifted - np.log(total)).astype(np.float32)


def standardize(x: Array, axes: Axes, eps: float) -> Array:
    """`(x - mean) / sqrt(var + eps)`, f32 -> f32."""
    wide = np.asarray(x, np.float64)
    centered = wide - _mean(wide, axes)
    variance = _mean(centered * centered, axes)
    return (centered / np.sqrt(variance + eps)).astype(np.float32)


def rms_normalize(x: Array, axes: Axes, eps: float) -> Array:
    """`x / sqrt(mean(x^2) + eps)`, f32 -> f32."""
    wide = np.asarray(x, np.float64)
    return (wide / np.sqrt(_mean(wide * wide, axes) + eps)).astype(np.float32)


def _mean(x: Array, axes: Axes) -> Array:
    count = max(1, math.prod(x.shape[axis] for axis in axes))  # of empty rows, which hold nothing
    return np.asarray(np.sum(x, axis=axes, keepdims=True) / count)


# Images, as [n, h, w, c] ----------------------------------------------------------------------


def convolution(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    input_dilations: Sequence[int] = (1, 1),
) -> Array:
    """x [n, h, w, c] with weight [o, r, s, c / groups] -> [n, oh, ow, o], in f32.

    Negative padding cuts off.
    """
    outputs, rows, columns, depth = weight.shape
    x = _framed(_spread(x, input_dilations), padding)
    seen = windows(x, (rows, columns), strides, dilations)  # [n, oh, ow, c, r, s]
    n, oh, ow = seen.shape[:3]
    seen = seen.reshape(n * oh * ow, groups, depth * rows * columns).swapaxes(0, 1)
    taps = weight.transpose(0, 3, 1, 2).reshape(groups, outputs // groups, -1).swapaxes(1, 2)
    result = np.matmul(seen, taps)  # [groups, n * oh * ow, o / groups]
    return result.swapaxes(0, 1).reshape(n, oh, ow, outputs)


def _spread(x: Array, steps: Sequence[int]) -> Array:
    """x [n, h, w, c] with steps - 1 zeros between its rows and between its columns."""
    n, h, w, c = x.shape
    height, width = (max(0, (n - 1) * step + 1) for n, step in zip((h, w), steps, strict=True))
    spread = np.zeros((n, height, width, c), x.dtype)
    spread[:, :: steps[0], :: steps[1]] = x
    return spread


def _framed(x: Array, padding: Sequence[int]) -> Array:
    """x [n, h, w, c] with zeros (top, left, bottom, right) around it, or so much cut off."""
    top, left, bottom, right = padding
    more = [max(0, side) for side in padding]
    x = np.pad(x, ((0, 0), (more[0], more[2]), (more[1], more[3]), (0, 0)))
    rows = slice(max(0, -top), x.shape[1] - max(0, -bottom))
    return x[:, rows, max(0, -left) : x.shape[2] - max(0, -right)]


def transposed_convolution(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Array:
    """x [n, h, w, c] with weight [o, r, s, c / groups] -> [n, oh, ow, o], in f32: each pixel of x
    adds its multiple of the kernel."""
    n, h, w, _ = x.shape
    outputs, rows, columns, depth = weight.shape
    taps = weight.reshape(groups, outputs // groups, rows, columns, depth)
    x = x.reshape(n, h, w, groups, depth)
    height, width = (
        (extent - 1) * stride + (kernel - 1) * dilation + 1 + more
        for extent, kernel, stride, dilation, more in zip(
            (h, w), (rows, columns), strides, dilations, output_padding, strict=True
        )
    )
    y = np.zeros((n, height, width, groups, outputs // groups), np.float32)
    for r, s in np.ndindex(rows, columns):
        i, j = r * dilations[0], s * dilations[1]
        reached = y[:, i : i + h * strides[0] : strides[0], j : j + w * strides[1] : strides[1]]
        reached += np.einsum("nhwgc,goc->nhwgo", x, taps[:, :, r, s])
    return _framed(y.reshape(n, height, width, outputs), [-side for side in padding])


def windows(
    x: Array, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """[n, h, w, c] -> [n, oh, ow, c, r, s]: what each window sees, as a view."""
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    if x.shape[1] < reach[0] or x.shape[2] < reach[1]:
        counts = (
            max(0, (extent - size) // stride + 1)
            for extent, size, stride in zip(x.shape[1:3], reach, strides, strict=True)
        )
        return np.zeros((x.shape[0], *counts, x.shape[3], *kernel), x.dtype)
    every = sliding_window_view(x, reach, axis=(1, 2))
    return every[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]


def max_pool(
    x: Array,
    output: tuple[int, int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
) -> Array:
    """x [n, h, w, c] -> [n, *output, c]; padding is -inf."""
    reach = _reach(x, output, kernel, strides, padding, dilations)
    padded = np.pad(x, reach, constant_values=-np.inf)
    seen = windows(padded, kernel, strides, dilations)[:, : output[0], : output[1]]
    return np.max(seen, axis=(4, 5))


def average_pool(
    x: Array,
    output: tuple[int, int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
    count_include_pad: bool,
) -> Array:
    """x [n, h, w, c] -> [n, *output, c]: sums over windows by how much of each counts."""
    reach = _reach(x, output, kernel, strides, padding, dilations)
    top, left, bottom, right = padding
    ones = np.ones((1, *x.shape[1:3], 1), np.float32)
    counted = np.pad(ones, reach)
    if count_include_pad:
        inside = np.pad(ones, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=1)
        counted[:, : inside.shape[1], : inside.shape[2]] = inside[
            :, : counted.shape[1], : counted.shape[2]
        ]

    def summed(a: Array) -> Array:
        seen = windows(a, kernel, strides, dilations)[:, : output[0], : output[1]]
        return np.asarray(np.sum(seen, axis=(4, 5), dtype=np.float64))

    return (summed(np.pad(x, reach)) / summed(counted)).astype(np.float32)


def _reach(
    x: Array,
    output: tuple[int, int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """How far to pad x so that exactly `output` windows, the last perhaps cut off, fit."""
    amounts: list[tuple[int, int]] = []
    for i in range(2):
        end = (output[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1
        amounts.append((padding[i], max(0, end - padding[i] - x.shape[1 + i])))
    return (0, 0), amounts[0], amounts[1], (0, 0)


def adaptive_pool(x: Array, output: tuple[int, int], average: bool) -> Array:
    """x [n, h, w, c] -> [n, *output, c]; cell i covers [floor(i n / m), ceil((i + 1) n / m))."""
    result = np.empty((x.shape[0], *output, x.shape[3]), np.float32)
    for i, rows in enumerate(_cells(x.shape[1], output[0])):
        for j, columns in enumerate(_cells(x.shape[2], output[1])):
            cell = x[:, rows, columns]
            result[:, i, j] = reduce_mean(cell, (1, 2)) if average else reduce_max(cell, (1, 2))
    return result


def _cells(extent: int, count: int) -> list[slice]:
    return [slice(i * extent // count, -(-(i + 1) * extent // count)) for i in range(count)]


def resize_nearest(x: Array, output: tuple[int, int], coordinates: str) -> Array:
    """x [n, h, w, c] -> [n, *output, c]."""
    rows = nearest_indices(x.shape[1], output[0], coordinates)
    columns = nearest_indices(x.shape[2], output[1], coordinates)
    return x[:, rows[:, None], columns[None, :]]


def nearest_indices(n: int, m: int, coordinates: str) -> Array:
    """For each of m outputs the element, of n, that `graph.resize` takes: in exact arithmetic."""
    i = np.arange(m)
    if coordinates == "asymmetric":
        found = i * n // m
    elif coordinates == "align_corners":
        # ceil(i (n - 1) / (m - 1) - 1/2)
        found = -((max(m - 1, 1) - 2 * i * (n - 1)) // (2 * max(m - 1, 1)))
    else:
        # ceil((2 i + 1) n / (2 m) - 1)
        found = -(-(2 * i + 1) * n // (2 * m)) - 1
    return np.clip(found, 0, n - 1)


def resize_bilinear(x: Array, output: tuple[int, int], coordinates: str) -> Array:
    """x [n, h, w, c] -> [n, *output, c]: along h, then along w."""
    for axis in (1, 2):
        c = source_coordinates(x.shape[axis], output[axis - 1], coordinates)
        low = np.floor(c).astype(np.int64)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        part = (c - low).reshape(shape)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x.astype(np.float32)


def source_coordinates(n: int, m: int, coordinates: str) -> Array:
    """Where in [0, n - 1] each of m outputs samples."""
    i = np.arange(m, dtype=np.float64)
    if coordinates == "asymmetric":
        c = i * n / m
    elif coordinates == "align_corners":
        c = i * (n - 1) / max(m - 1, 1)
    else:
        c = (i + 0.5) * n / m - 0.5
    return np.clip(c, 0, n - 1)


# Attention ------------------------------------------------------------------------------------


def attention_scores(q: Array, k: Array) -> Array:
    """`q k^T` per head: q [b, h, sq, d], k [b, hkv, sk, d] -> [b, h, sq, sk]."""
    return np.matmul(q, np.repeat(k, q.shape[1] // max(k.shape[1], 1), axis=1).swapaxes(2, 3))


def attention_values(scores: Array, v: Array, causal: bool) -> Array:
    """`softmax(scores) v`, of zeros for a query all of whose scores are -inf."""
    sq, sk = scores.shape[2:]
    if causal:
        seen = np.tri(sq, sk, sk - sq, dtype=np.bool_)
        scores = np.where(seen, scores, np.float32(-np.inf))
    nothing = np.all(np.isneginf(scores), axis=3, keepdims=True)
    weights = np.where(nothing, np.float32(0), softmax(np.where(nothing, 0, scores), (3,)))
    return np.matmul(weights, np.repeat(v, scores.shape[1] // max(v.shape[1], 1), axis=1))
