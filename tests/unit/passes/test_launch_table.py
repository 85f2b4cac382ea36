"""A table of graphs, written as people write them, and the most kernels that each may take.

Rows with `left` take more today: it names the kernels that are left. Such a row must fail, so that
whoever makes it hold takes `left` away; a wrong result fails it at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects import symbolic
from ait.ir.nn.recorder import current_recorder
from ait.ir.trace import Dim, TensorSpec
from ait.passes.remarks import collect_remarks
from tests.unit.passes.launches import launches

F = nn.functional
Tensor = nn.Tensor
Inputs = Mapping[str, TensorSpec]

BATCH, SEQ, HALF = Dim("batch", 1, 4), Dim("seq", 1, 16), Dim("half", 1, 8)
SIZES = {"batch": 2, "seq": 5, "half": 3}
"""The values of the dims when the results are checked."""


class TooManyLaunches(AssertionError):
    """A model takes more kernels than its row allows."""


@dataclass(frozen=True)
class Row:
    """A model, and how many kernels it may take: `copies` of `bound` may be copies."""

    model: Callable[..., Any]
    inputs: Inputs
    bound: int
    copies: int = 0


def row(
    name: str,
    model: Callable[..., Any],
    inputs: Inputs,
    bound: int,
    *,
    copies: int = 0,
    left: str | None = None,
) -> Any:
    """A row of the table; `left` says which kernels are left where the bound does not hold yet."""
    failing = pytest.mark.xfail(strict=True, raises=TooManyLaunches, reason=f"left: {left}")
    return pytest.param(
        Row(model, inputs, bound, copies), id=name, marks=[] if left is None else [failing]
    )


def f32(*shape: symbolic.Dim) -> TensorSpec:
    """An input of floats."""
    return TensorSpec(shape, "f32")


def random_inputs(specs: Inputs) -> dict[str, Any]:
    """An array for each input."""
    rng = np.random.default_rng(0)
    shapes = {
        name: tuple(symbolic.evaluate(dim, SIZES) for dim in spec.shape)
        for name, spec in specs.items()
    }
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def summary(kernels: list[str]) -> str:
    """`["gemm", "gemm", "copy"]` -> `2 gemm, copy`: runs of one kernel are counted."""
    runs: list[tuple[str, int]] = []
    for name in kernels:
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + 1)
        else:
            runs.append((name, 1))
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in runs)


def check(found: Row) -> None:
    """Raises TooManyLaunches, with the kernels and the refusals, unless a row's bounds hold."""
    with collect_remarks() as remarks:
        kernels = launches(
            found.model, dict(found.inputs), random_inputs(found.inputs), copies=True
        )
    copies = "+".join(kernels).split("+").count("copy")
    if len(kernels) > found.bound or copies > found.copies:
        missed = dict.fromkeys(str(r) for r in remarks if r.kind == "missed")
        raise TooManyLaunches(
            f"{len(kernels)} kernels ({summary(kernels)}) instead of {found.bound} "
            f"with {found.copies} copies\n" + "\n".join(missed)
        )


# Layers with weights of their own -------------------------------------------------------------


def made(layer: nn.Module) -> nn.Module:
    """The layer, with weights that differ from those of layers called before."""
    return layer.init_random(len(current_recorder().parameters))


def width(x: Tensor, axis: int = -1) -> int:
    """A fixed extent: features or channels."""
    extent = x.shape[axis]
    assert isinstance(extent, int)
    return extent


def linear(x: Tensor, features: int, bias: bool = True) -> Tensor:
    return made(nn.Linear(width(x), features, bias))(x)


def conv(x: Tensor, channels: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> Tensor:
    """A convolution that keeps the size of images, but for its stride."""
    layer = nn.Conv2d(width(x, 1), channels, kernel, stride, kernel // 2, bias=bias)
    return made(layer)(x)


def conv_norm(x: Tensor, channels: int, kernel: int, stride: int = 1) -> Tensor:
    """A convolution and a batch norm."""
    return made(nn.BatchNorm2d(channels))(conv(x, channels, kernel, stride, bias=False))


def layer_norm(x: Tensor) -> Tensor:
    return made(nn.LayerNorm(width(x)))(x)


def rms_norm(x: Tensor) -> Tensor:
    return made(nn.RMSNorm(width(x)))(x)


def scales(x: Tensor) -> tuple[Tensor, Tensor]:
    """The weight and the bias of a norm that is written out: parameters of the width of x."""
    rng = np.random.default_rng(len(current_recorder().parameters))
    both = 1 + 0.1 * rng.standard_normal((2, 1, width(x))).astype(np.float32)
    weight, bias = (nn.Parameter(array) for array in both)
    for parameter in (weight, bias):
        current_recorder().adopt(parameter)
    return weight, bias


def written_layer_norm(x: Tensor) -> Tensor:
    """A layer norm as formula: mean, sub, pow, mean, add, rsqrt, mul, mul, add."""
    weight, bias = scales(x)
    centered = x - x.mean(-1, keepdim=True)
    variance = centered.pow(2).mean(-1, keepdim=True)
    return centered * (variance + 1e-5).rsqrt() * weight + bias


def divided_layer_norm(x: Tensor) -> Tensor:
    """The same with a square root and a division, the weight first, and x - mean twice."""
    weight, bias = scales(x)
    variance = (x - x.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True)
    return weight * ((x - x.mean(-1, keepdim=True)) / (variance + 1e-5).sqrt()) + bias


def written_rms_norm(x: Tensor) -> Tensor:
    """An rms norm as formula."""
    weight, _ = scales(x)
    return weight * (x * ((x * x).mean(-1, keepdim=True) + 1e-6).rsqrt())


# Linears and what follows them ----------------------------------------------------------------

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "tanh-gelu": lambda x: F.gelu(x, "tanh"),
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "silu": F.silu,
    "hardswish": F.hardswish,
}
RESIDUALS: Mapping[str, Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor], Tensor]] = {
    "{}": lambda f, y, a, b: f(y),
    "{}-of-residual": lambda f, y, a, b: f(y + a),
    "{}-then-residual": lambda f, y, a, b: a + f(y),
    "{}-between-residuals": lambda f, y, a, b: f(y + a) + b,
    "{}-then-two-residuals": lambda f, y, a, b: a + f(y) + b,
}
XAB = {"x": f32(BATCH, SEQ, 14), "a": f32(BATCH, SEQ, 18), "b": f32(BATCH, SEQ, 18)}
X = {"x": f32(BATCH, SEQ, 14)}


def activated(spelling: str, activation: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def model(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return RESIDUALS[spelling](ACTIVATIONS[activation], linear(x, 18), a, b)

    return model


def linear_rows() -> Iterator[Any]:
    for spelling in RESIDUALS:
        for activation in ACTIVATIONS:
            name = "linear-" + spelling.format(activation)
            yield row(name, activated(spelling, activation), XAB, 1)
    yield row(
        "linear-tanh-of-sigmoid-times-a",
        lambda x, a, b: (linear(x, 18).sigmoid() * a).tanh(),
        XAB,
        1,
    )
    yield row("linear-times-a-plus-b", lambda x, a, b: linear(x, 18) * a + b, XAB, 1)


def swiglu(x: Tensor) -> Tensor:
    return F.silu(linear(x, 18)) * linear(x, 18)


def swiglu_without_bias(x: Tensor) -> Tensor:
    gate, up = linear(x, 18, bias=False), linear(x, 18, bias=False)
    return up * (gate * gate.sigmoid())


def geglu_of_chunk(x: Tensor) -> Tensor:
    y, gate = linear(x, 36).chunk(2, -1)
    return F.gelu(y) * gate


def geglu_of_split(x: Tensor) -> Tensor:
    parts = linear(x, 36).split([18, 18], 2)
    return F.gelu(parts[0]) * parts[1]


def three_activations(x: Tensor) -> tuple[Tensor, ...]:
    return linear(x, 18).relu(), linear(x, 10).tanh(), F.gelu(linear(x, 14))


def gated_rows() -> Iterator[Any]:
    yield row("swiglu", swiglu, X, 1)
    yield row("swiglu-without-bias", swiglu_without_bias, X, 1)
    yield row("geglu-of-chunk", geglu_of_chunk, X, 1)
    yield row("geglu-of-split", geglu_of_split, X, 1)
    yield row("three-linears-three-activations", three_activations, X, 1)


# Whole rows of products ------------------------------------------------------------------------


def norm_and_residual(x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both are results, as between the two halves of a pre-norm layer."""
    total = a + linear(x, 18)
    return total, layer_norm(total)


def whole_row_rows() -> Iterator[Any]:
    yield row("linear-softmax", lambda x, a, b: linear(x, 18).softmax(-1), XAB, 1)
    yield row("linear-layer-norm", lambda x, a, b: layer_norm(linear(x, 18)), XAB, 1)
    yield row("linear-written-norm", lambda x, a, b: written_layer_norm(linear(x, 18)), XAB, 1)
    yield row("linear-residual-norm-and-sum", norm_and_residual, XAB, 1)
    yield row("two-linears", lambda x: linear(linear(x, 18).relu(), 10), X, 1)
    yield row("bottleneck-adapter", lambda x: x + linear(F.gelu(linear(x, 6)), 14), X, 1)


# Transformers ---------------------------------------------------------------------------------


def split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, [heads, -1]).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def self_attention(x: Tensor, mask: Tensor, heads: int = 3) -> Tensor:
    """Projections, softmax attention written out, and the output projection."""
    q, k, v = (split_heads(linear(x, width(x)), heads) for _ in range(3))
    scores = q @ k.transpose(-2, -1) / math.sqrt(width(q)) + mask
    return linear(merge_heads(scores.softmax(-1) @ v), width(x))


def attention_block(x: Tensor, r: Tensor) -> Tensor:
    q, k, v = (split_heads(linear(x, 24), 3) for _ in range(3))
    return r + linear(merge_heads(F.scaled_dot_product_attention(q, k, v)), 24)


def scaled_queries_block(x: Tensor, r: Tensor) -> Tensor:
    """The same, written out, with the scale on the queries."""
    q, k, v = (split_heads(linear(x, 24), 3) for _ in range(3))
    scores = (q * width(q) ** -0.5) @ k.mT
    return linear(merge_heads(scores.softmax(-1) @ v), 24) + r


def grouped_query_block(x: Tensor, r: Tensor) -> Tensor:
    """The same with 4 heads of queries and 2 of keys and values, which are repeated."""
    q, k, v = (split_heads(linear(x, heads * 6), heads) for heads in (4, 2, 2))
    mixed = F.scaled_dot_product_attention(q, repeat_heads(k, 2), repeat_heads(v, 2))
    return linear(merge_heads(mixed), 24) + r


def written_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + (x / math.sqrt(2)).erf())


def mlp(x: Tensor, gelu: Callable[[Tensor], Tensor] = F.gelu) -> Tensor:
    return linear(gelu(linear(x, 40)), width(x))


def encoder(
    pre_norm: bool, norm: Callable[[Tensor], Tensor], gelu: Callable[[Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    def post(x: Tensor, mask: Tensor) -> Tensor:
        x = norm(x + self_attention(x, mask))
        return norm(x + mlp(x, gelu))

    def pre(x: Tensor, mask: Tensor) -> Tensor:
        x = x + self_attention(norm(x), mask)
        return x + mlp(norm(x), gelu)

    return pre if pre_norm else post


def rotate_half(x: Tensor) -> Tensor:
    half = width(x) // 2
    return nn.cat([-x[..., half:], x[..., :half]], -1)


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return x * cos + rotate_half(x) * sin


def repeat_heads(x: Tensor, times: int) -> Tensor:
    """Each head of keys or values for several heads of queries, by expand and reshape."""
    batch, heads, length, size = x.shape
    wide = x[:, :, None, :, :].expand(batch, heads, times, length, size)
    return wide.reshape(batch, heads * times, length, size)


def rotated_pair(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    return rotary(q, cos, sin), rotary(k, cos, sin)


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def attend_with_added_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As it is written out for causal models: a triangle of lowest numbers is added."""
    length = q.shape[2]
    mask = nn.triu(nn.full((length, length), float(nn.finfo("f32").min)), 1)
    scores = q @ k.transpose(2, 3) / math.sqrt(width(q)) + mask[None, None]
    return scores.softmax(-1) @ v


def attend_with_filled_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with scores that are replaced."""
    length = q.shape[2]
    hidden = nn.arange(length)[None, :] > nn.arange(length)[:, None]
    scores = (q * width(q) ** -0.5) @ k.mT
    return scores.masked_fill(hidden, -1e9).softmax(-1) @ v


def decoder(attend: Attend, norm: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A layer with 4 heads of queries and 2 of keys and values, all of 6 features."""

    def model(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y = norm(x)
        q, k, v = (split_heads(linear(y, heads * 6, bias=False), heads) for heads in (4, 2, 2))
        q, k = (rotary(part, cos.unsqueeze(1), sin.unsqueeze(1)) for part in (q, k))
        k, v = repeat_heads(k, 2), repeat_heads(v, 2)
        x = x + linear(merge_heads(attend(q, k, v)), 24, bias=False)
        y = norm(x)
        gated = F.silu(linear(y, 40, bias=False)) * linear(y, 40, bias=False)
        return x + linear(gated, 24, bias=False)

    return model


def transformer_rows() -> Iterator[Any]:
    tokens = f32(BATCH, SEQ, 24)
    added = {"x": tokens, "r": tokens}
    yield row("attention-block", attention_block, added, 3)
    yield row("attention-block-scaled-queries", scaled_queries_block, added, 3)
    yield row("attention-block-grouped-queries", grouped_query_block, added, 3)
    masked = {"x": tokens, "mask": f32(BATCH, 1, 1, SEQ)}
    yield row("encoder-pre-norm", encoder(True, layer_norm, F.gelu), masked, 7)
    yield row("encoder-post-norm", encoder(False, layer_norm, F.gelu), masked, 7)
    written = written_layer_norm, written_gelu
    yield row("encoder-pre-norm-written-out", encoder(True, *written), masked, 7)
    yield row("encoder-post-norm-written-out", encoder(False, *written), masked, 7)
    angles = f32(BATCH, 1, SEQ, 6)
    heads = {"q": f32(BATCH, 4, SEQ, 6), "k": f32(BATCH, 2, SEQ, 6), "cos": angles, "sin": angles}
    yield row("rotary-of-two", rotated_pair, heads, 1)
    rotated = {"x": tokens, "cos": f32(BATCH, SEQ, 6), "sin": f32(BATCH, SEQ, 6)}
    yield row(
        "decoder",
        decoder(attend, rms_norm),
        rotated,
        8,
    )
    yield row(
        "decoder-added-mask",
        decoder(attend_with_added_mask, rms_norm),
        rotated,
        8,
    )
    yield row(
        "decoder-filled-mask",
        decoder(attend_with_filled_mask, written_rms_norm),
        rotated,
        8,
    )


# Rotary embeddings, and other code over concats: one kernel per piece, grouped ----------------


def turned(q: Tensor, cos: Tensor, sin: Tensor, rotate: Callable[[Tensor], Tensor]) -> Tensor:
    return q * cos + rotate(q) * sin


def rotate_chunks(x: Tensor) -> Tensor:
    low, high = x.chunk(2, -1)
    return nn.cat([-high, low], -1)


def rotate_split(x: Tensor) -> Tensor:
    low, high = x.split([width(x) // 2] * 2, 3)
    return nn.cat([high * -1.0, low], 3)


def rotate_pairs(x: Tensor) -> Tensor:
    return nn.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)


def rotate_reshaped_pairs(x: Tensor) -> Tensor:
    pairs = x.unflatten(-1, [-1, 2])
    return nn.stack([-pairs[..., 1], pairs[..., 0]], -1).reshape(*x.shape)


def rotary_of_halves(q: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Angles once per pair of features, which lie half the features apart."""
    low, high = q.chunk(2, -1)
    return nn.cat([low * cos - high * sin, high * cos + low * sin], -1)


def rotary_of_pairs(q: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The same of neighbours."""
    even, odd = q[..., 0::2], q[..., 1::2]
    return nn.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


def rotary_of_reshaped_pairs(q: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = q.unflatten(-1, [-1, 2]).unbind(-1)
    return nn.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(3)


def angles_of(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    angles = positions[:, :, None] * frequencies
    both = nn.cat([angles, angles], -1)[:, None]
    return both.cos(), both.sin()


def rotary_of_positions(q: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    return rotary(q, *angles_of(positions, frequencies))


def rotated_pair_of_positions(
    q: Tensor, k: Tensor, positions: Tensor, frequencies: Tensor
) -> tuple[Tensor, Tensor]:
    cos, sin = angles_of(positions, frequencies)
    return rotary(q, cos, sin), rotary(k, cos, sin)


def rotary_of_interleaved_positions(q: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    angles = positions[:, :, None] * frequencies
    both = nn.stack([angles, angles], -1).flatten(-2)[:, None]
    return turned(q, both.cos(), both.sin(), rotate_pairs)


def partial_rotary(q: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Of the first four features only."""
    return nn.cat([rotary(q[..., :4], cos, sin), q[..., 4:]], -1)


def rotary_of_projection(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return rotary(split_heads(linear(x, 24), 4), cos, sin)


def rotary_of_scaled_projection(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return rotary(split_heads(linear(x, 24), 4) * 0.3, cos, sin)


def rotary_of_normed_projection(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return rotary(rms_norm(linear(x, 24).unflatten(-1, [4, 6])).transpose(1, 2), cos, sin)


def rotary_before_transpose(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q = linear(x, 24).unflatten(-1, [4, 6])
    return rotary(q, cos.transpose(1, 2), sin.transpose(1, 2)).transpose(1, 2)


def rotary_attention(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q, k, v = (split_heads(linear(x, 24), 4) for _ in range(3))
    return attend(rotary(q, cos, sin), rotary(k, cos, sin), v)


def rotary_attention_of_packed(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q, k, v = linear(x, 72).reshape(BATCH, SEQ, 3, 4, 6).permute(2, 0, 3, 1, 4).unbind(0)
    return attend(rotary(q, cos, sin), rotary(k, cos, sin), v)


def patch_embeddings(image: Tensor, token: Tensor, positions: Tensor) -> Tensor:
    """Patches by a convolution, behind a class token; both with their positions."""
    patches = conv(image, 8, 3).flatten(2).transpose(1, 2)
    tokens = nn.cat([token.expand(BATCH, 1, 8), patches], 1)
    return tokens + positions


def concat_rows() -> Iterator[Any]:
    heads = f32(BATCH, 4, SEQ, 6)
    angles, half = f32(BATCH, 1, SEQ, 6), f32(BATCH, 1, SEQ, 3)
    whole = {"q": heads, "cos": angles, "sin": angles}
    shared = {"x": heads, "cos": f32(SEQ, 6), "sin": f32(SEQ, 6)}
    yield row("rotary", rotary, {"x": heads, "cos": angles, "sin": angles}, 1)
    yield row("rotary-of-shared-angles", rotary, shared, 1)
    for rotate in (rotate_chunks, rotate_split, rotate_pairs, rotate_reshaped_pairs):
        name = rotate.__name__.removeprefix("rotate_").replace("_", "-")
        yield row(f"rotary-{name}", partial(turned, rotate=rotate), whole, 1)
    halves = {"q": heads, "cos": half, "sin": half}
    for model in (rotary_of_halves, rotary_of_pairs, rotary_of_reshaped_pairs):
        yield row(model.__name__.replace("_", "-"), model, halves, 1)
    positions = {"positions": f32(BATCH, SEQ), "frequencies": f32(3)}
    yield row("rotary-of-positions", rotary_of_positions, {"q": heads, **positions}, 2)
    yield row(
        "rotary-of-two-of-positions",
        rotated_pair_of_positions,
        {"q": heads, "k": f32(BATCH, 2, SEQ, 6), **positions},
        2,
    )
    yield row(
        "rotary-of-interleaved-positions",
        rotary_of_interleaved_positions,
        {"q": heads, **positions},
        2,
    )
    few = f32(BATCH, 1, SEQ, 4)
    yield row(
        "rotary-of-some-features",
        partial_rotary,
        {"q": heads, "cos": few, "sin": few},
        1,
        copies=1,
    )
    projected = {"x": f32(BATCH, SEQ, 24), "cos": angles, "sin": angles}
    yield row("rotary-of-projection", rotary_of_projection, projected, 2)
    yield row("rotary-of-scaled-projection", rotary_of_scaled_projection, projected, 2)
    yield row("rotary-of-normed-projection", rotary_of_normed_projection, projected, 3)
    yield row("rotary-before-transpose", rotary_before_transpose, projected, 2)
    yield row("rotary-attention", rotary_attention, projected, 3)
    yield row("rotary-attention-of-packed", rotary_attention_of_packed, projected, 3)
    image = {"image": f32(BATCH, 3, 4, 5), "token": f32(1, 1, 8), "positions": f32(1, 21, 8)}
    yield row("patch-embeddings", patch_embeddings, image, 2)
    two = {"x": f32(BATCH, 7), "y": f32(BATCH, SEQ), "a": f32(BATCH, SEQ + 7)}
    yield row("code-of-concat", lambda x, y, a: nn.cat([x, y], 1).tanh() * a, two, 1)
    yield row("code-of-returned-concat", code_of_returned_concat, two, 2, copies=2)
    yield row(
        "code-of-concat-of-linears",
        lambda x, y: nn.cat([linear(x, 6), linear(y, 10)], -1).relu(),
        {"x": f32(BATCH, 7), "y": f32(BATCH, 9)},
        1,
    )


def code_of_returned_concat(x: Tensor, y: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    both = nn.cat([x, y], 1)
    return both, both.tanh() * a


# Convolutional networks -----------------------------------------------------------------------


def bottleneck(x: Tensor) -> Tensor:
    y = conv_norm(x, 4, 1).relu()
    y = conv_norm(y, 4, 3, stride=2).relu()
    return (conv_norm(y, 16, 1) + conv_norm(x, 16, 1, stride=2)).relu()


def stem(x: Tensor) -> Tensor:
    return F.max_pool2d(conv_norm(x, 6, 7, stride=2).relu(), 3, 2, 1)


def dense_block(x: Tensor) -> Tensor:
    """Four convolutions, each of all results so far."""
    features = conv(x, 6).relu()
    for _ in range(3):
        features = nn.cat([features, conv(features, 3).relu()], 1)
    return features


def dense_block_of_list(x: Tensor) -> Tensor:
    """The same with a new concat of all results each time."""
    features = [conv(x, 6).relu()]
    for _ in range(3):
        features.append(conv(nn.cat(features, 1), 3).relu())
    return nn.cat(features, 1)


def dense_block_of_input(x: Tensor) -> Tensor:
    """The same, with the input among the results."""
    for _ in range(4):
        x = nn.cat([x, conv(x, 3).relu()], 1)
    return x


def inception(x: Tensor) -> Tensor:
    def unit(x: Tensor, channels: int, kernel: int) -> Tensor:
        return conv_norm(x, channels, kernel).relu()

    one = unit(x, 4, 1)
    three = unit(unit(x, 3, 1), 5, 3)
    double = unit(unit(unit(x, 2, 1), 3, 3), 5, 3)
    pooled = unit(F.avg_pool2d(x, 3, 1, 1), 2, 1)
    return nn.cat([one, three, double, pooled], 1)


def upsampled(x: Tensor, channels: int) -> Tensor:
    """The nearest pixel; the channels are as they were."""
    return F.interpolate(x, scale_factor=2)


def shuffled(x: Tensor, channels: int) -> Tensor:
    """The convolution that replaces a transposed one."""
    return F.pixel_shuffle(conv(x, 4 * channels, 1), 2)


def deconvolved(kernel: int, padding: int) -> Callable[[Tensor, int], Tensor]:
    """Twice the size by a transposed convolution."""
    return lambda x, channels: made(nn.ConvTranspose2d(width(x, 1), channels, kernel, 2, padding))(
        x
    )


def group_norm_silu(x: Tensor) -> Tensor:
    return F.silu(made(nn.GroupNorm(2, width(x, 1)))(x))


def u_net(
    activate: Callable[[Tensor], Tensor], enlarge: Callable[[Tensor, int], Tensor]
) -> Callable[[Tensor], Tensor]:
    """One step down, one up, and the skip connection between them."""

    def model(x: Tensor) -> Tensor:
        skip = activate(conv(activate(conv(x, 4)), 6))
        low = activate(conv(F.max_pool2d(skip, 2), 8))
        return activate(conv(nn.cat([enlarge(low, 8), skip], 1), 4))

    return model


def image_rows() -> Iterator[Any]:
    small, larger = {"x": f32(BATCH, 3, 5, 7)}, {"x": f32(BATCH, 5, 7, 9)}
    yield row("resnet-bottleneck", bottleneck, {"x": f32(BATCH, 8, 6, 10)}, 4)
    yield row("resnet-stem", stem, {"x": f32(BATCH, 3, 18, 14)}, 2)
    yield row("dense-block", dense_block, small, 4)
    yield row(
        "dense-block-then-conv",
        lambda x: conv(dense_block(x), 4, 1),
        small,
        5,
    )
    yield row(
        "dense-block-of-list",
        dense_block_of_list,
        small,
        4,
    )
    yield row(
        "dense-block-of-input",
        dense_block_of_input,
        small,
        5,
        copies=1,
    )
    yield row("inception", inception, larger, 8)
    yield row("inception-then-conv", lambda x: conv(inception(x), 4, 1), larger, 9)
    image = {"x": f32(BATCH, 3, 2 * HALF, 8)}
    yield row("u-net-resize", u_net(F.relu, upsampled), image, 6)
    yield row(
        "u-net-pixel-shuffle",
        u_net(F.relu, shuffled),
        image,
        6,
    )
    yield row("u-net-transposed", u_net(F.relu, deconvolved(2, 0)), image, 6)
    # A transposed convolution whose windows overlap is one kernel for each of four phases.
    yield row("u-net-transposed-overlapping", u_net(F.relu, deconvolved(4, 1)), image, 9)
    yield row("u-net-group-norm", u_net(group_norm_silu, upsampled), image, 10)


# Movement -------------------------------------------------------------------------------------


def bmm_between_permutes(x: Tensor, y: Tensor) -> Tensor:
    return (x.permute(1, 0, 2) @ y.permute(1, 2, 0)).permute(1, 0, 2)


def linears_of_parts(x: Tensor) -> Tensor:
    return nn.cat([linear(part, 5) for part in x.chunk(4, -1)], -1)


def concat_of_two_results(x: Tensor, y: Tensor) -> Tensor:
    """Both pieces are results of one kernel; the softmax keeps it from being one for each piece."""
    shared = (x * y).softmax(-1)
    return nn.cat([shared.tanh(), shared + x], -1)


def stack_of_three_results(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    shared = (x + y).softmax(-1)
    low, high = shared.relu(), shared * y
    return nn.stack([high, low, shared - x], 1), nn.cat([low.flatten(1), x.flatten(1)], 1)


def linear_of_concat(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return linear(nn.cat([linear(x, 6), linear(y, 10), z], -1), 7)


def linear_of_concat_of_siblings(x: Tensor, z: Tensor) -> Tensor:
    return linear(nn.cat([linear(x, 6), linear(x, 10), z], -1), 7)


def movement_rows() -> Iterator[Any]:
    yield row(
        "linear-reshape-permute",
        lambda x: linear(x, 18).reshape(BATCH, SEQ, 3, 6).permute(0, 2, 1, 3),
        X,
        1,
    )
    yield row(
        "permute-bmm-permute",
        bmm_between_permutes,
        {"x": f32(SEQ, BATCH, 6), "y": f32(9, BATCH, 6)},
        1,
    )
    pair = {"x": f32(BATCH, SEQ, 6), "y": f32(BATCH, SEQ, 6)}
    yield row("concat-of-two-results", concat_of_two_results, pair, 1)
    yield row("stack-of-three-results", stack_of_three_results, pair, 2, copies=2)
    yield row("split-linears-concat", linears_of_parts, {"x": f32(BATCH, SEQ, 28)}, 1)
    parts = {"x": f32(BATCH, 14), "y": f32(BATCH, 9), "z": f32(BATCH, 5)}
    yield row("linear-of-concat", linear_of_concat, parts, 4, copies=1)
    siblings = {"x": f32(BATCH, 14), "z": f32(BATCH, 5)}
    yield row("linear-of-concat-of-siblings", linear_of_concat_of_siblings, siblings, 4, copies=1)
    many = {f"x{i}": f32(3, i % 3 + 1) for i in range(100)}
    yield row("concat-of-100", lambda *xs: nn.cat(xs, 1), many, 2, copies=100)
    yield row("split-into-100", lambda x: x.split(2, 1), {"x": f32(3, 200)}, 2, copies=100)


# Norms and elementwise graphs -----------------------------------------------------------------


def independent_norms(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    return layer_norm(x), layer_norm(y), layer_norm(z)


def chain(*xs: Tensor) -> Tensor:
    """64 ops, each of the result so far and one more input."""
    steps: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
        nn.add,
        nn.mul,
        nn.maximum,
        nn.sub,
        nn.minimum,
    )
    result, *others = xs
    for i, other in enumerate(others):
        result = steps[i % len(steps)](result, other)
    return result


def returned_on_the_way(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    a = x + y
    b = a * x.tanh()
    c = b.sigmoid() - y
    return a, b, c, c * a + x


def four_ends(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    shared = x * y
    return shared.tanh(), shared + x, (shared - y).relu(), x * shared.sigmoid()


def four_ends_of_inputs(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return x.tanh(), x + y, (x - y).relu(), y.sigmoid()


def pointwise_rows() -> Iterator[Any]:
    norm_inputs = {"x": f32(BATCH, SEQ, 13)}
    yield row("layer-norm-written-out", written_layer_norm, norm_inputs, 1)
    yield row("layer-norm-divided", divided_layer_norm, norm_inputs, 1)
    widths = {"x": f32(BATCH, 13), "y": f32(BATCH, 24), "z": f32(BATCH, 7)}
    yield row("three-layer-norms", independent_norms, widths, 1)
    yield row("gate-of-norm", lambda x: x * layer_norm(x).sigmoid(), norm_inputs, 1)
    yield row("gate-of-written-norm", lambda x: x * written_layer_norm(x).sigmoid(), norm_inputs, 1)
    yield row("chain-of-64", chain, {f"x{i}": f32(BATCH, 11) for i in range(65)}, 1)
    pair = {"x": f32(BATCH, 11), "y": f32(BATCH, 11)}
    yield row("dag-returned-on-the-way", returned_on_the_way, pair, 1)
    yield row("dag-four-ends", four_ends, pair, 1)
    yield row("dag-four-ends-of-inputs", four_ends_of_inputs, pair, 1)


ROWS = [
    *linear_rows(),
    *gated_rows(),
    *whole_row_rows(),
    *transformer_rows(),
    *concat_rows(),
    *image_rows(),
    *movement_rows(),
    *pointwise_rows(),
]


@pytest.mark.parametrize("expected", ROWS)
def test_launches(expected: Row) -> None:
    check(expected)
