"""The models that are compiled for a GPU and run there through the C interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ait
from ait import nn
from ait.ir.program import Program


class Mlp(nn.Module):
    """x + linear(gelu(linear(x))): two launches, with a bias, an activation and a residual."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return x + self.down(nn.functional.gelu(self.up(x)))


class Tagger(nn.Module):
    """Words to probabilities of tags, and a norm of their mean: a gather, rows and a reduction."""

    def __init__(self, words: int, width: int, tags: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.norm = nn.LayerNorm(width)
        self.tag = nn.Linear(width, tags)

    def forward(self, words: nn.Tensor) -> tuple[nn.Tensor, nn.Tensor]:
        x = self.norm(self.embed(words))
        return nn.functional.softmax(self.tag(x), -1), x.mean(1)


class Convolutions(nn.Module):
    """A stem, a bottleneck with a shortcut, and a depthwise and a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.narrow = nn.Conv2d(64, 32, 1)
        self.middle = nn.Conv2d(32, 32, 3, padding=1)
        self.wide = nn.Conv2d(32, 64, 1)
        self.depthwise = nn.Conv2d(64, 64, 5, padding=2, groups=64)
        self.grouped = nn.Conv2d(64, 48, 3, stride=2, dilation=2, padding=1, groups=4)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        x = self.stem(x).relu()
        x = (x + self.wide(self.middle(self.narrow(x).relu()).relu())).relu()
        return self.grouped(self.depthwise(x).relu())


class SelfAttention(nn.Module):
    """x + the projection of causal attention over packed projections of x."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        packed = self.project(x).unflatten(2, [3, self.heads, -1])
        q, k, v = (part.squeeze(2).transpose(1, 2) for part in packed.split(1, 2))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(y.transpose(1, 2).flatten(2))


class Classifier(nn.Module):
    """A vision transformer of one layer: patches, a class token, and the class of that token."""

    def __init__(self, patch: int, width: int, heads: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter((1, 1, width), init=nn.initialization.small)
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp = Mlp(width, 2 * width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = nn.cat([self.token.expand(x.shape[0], -1, -1), patches], 1)
        return self.head(self.norm(self.mlp(self.attention(tokens)))[:, -1])


class WholeRows(nn.Module):
    """A norm of a product's rows, which blocks share, and two layers that stay in registers between
    them; each is one kernel where there are rows enough."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(64, 512), nn.LayerNorm(512), nn.Linear(512, 8)
        self.first, self.second = nn.Linear(64, 128), nn.Linear(128, 8)

    def forward(self, x: nn.Tensor) -> tuple[nn.Tensor, nn.Tensor]:
        return self.down(self.norm(self.up(x))), self.second(self.first(x).relu())


class Quantised(nn.Module):
    """Two linears of 8-bit floats with scales of columns: the input is quantised, and what is
    between them, in the first product's kernel."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        normal = nn.initialization.normal(1.0)
        steps = nn.initialization.uniform(0.01, 0.02)
        self.up = nn.Parameter((hidden, width), "f8E4M3FN", init=normal)
        self.down = nn.Parameter((width, hidden), "f8E4M3FN", init=normal)
        self.up_steps = nn.Parameter((hidden, 1), "f32", init=steps)
        self.down_steps = nn.Parameter((width, 1), "f32", init=steps)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        h = self.product(x, 1 / 128, self.up.to("f32") * self.up_steps).relu()
        return x + self.product(h, 1 / 64, self.down.to("f32") * self.down_steps).to("f16")

    def product(self, x: nn.Tensor, step: float, weight: nn.Tensor) -> nn.Tensor:
        quantised = (x.to("f32") / step).clamp(-448, 448).to("f8E4M3FN")
        return nn.functional.linear(quantised.to("f32") * step, weight)


class Experts(nn.Module):
    """Experts with so many words each, perhaps none: x + linear(gelu(linear(x))). All first layers
    are one launch, and all second ones, which have depths of their own."""

    def __init__(self, width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.experts = nn.ModuleList([Mlp(width, each) for each in hidden])

    def forward(self, a: nn.Tensor, b: nn.Tensor, c: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return tuple(expert(x) for expert, x in zip(self.experts, (a, b, c), strict=True))


class CrossAttention(nn.Module):
    """Attention of x to a context of another width: projections of other rows and depths."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key, self.value = (nn.Linear(context, width) for _ in range(2))

    def forward(self, x: nn.Tensor, context: nn.Tensor) -> nn.Tensor:
        q, k, v = (
            y.unflatten(2, [self.heads, -1]).transpose(1, 2)
            for y in (self.query(x), self.key(context), self.value(context))
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return y.transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Model:
    """A model, and the values of its dynamic dims to run it at."""

    make: Callable[[], Program]
    dims: tuple[Mapping[str, int], ...]


def single_precision() -> Program:
    """An f32 MLP over up to 512 rows."""
    model = Mlp(768, 1024).init_random(seed=9)
    return ait.trace(model, {"x": ait.TensorSpec((ait.Dim("batch", 1, 512), 768), "f32")})


def mlp(width: int, hidden: int, most: int) -> Program:
    """An f16 MLP over up to `most` rows."""
    model = Mlp(width, hidden).init_random(seed=1).half()
    return ait.trace(model, {"x": ait.TensorSpec((ait.Dim("batch", 1, most), width), "f16")})


def quantised() -> Program:
    """Up to 200 f16 rows."""
    model = Quantised(256, 640).init_random(seed=5)
    return ait.trace(model, {"x": ait.TensorSpec((ait.Dim("rows", 1, 200), 256), "f16")})


def tagger(words: int, width: int, tags: int) -> Program:
    """An f16 tagger of up to 16 sentences of up to 100 words."""
    model = Tagger(words, width, tags).init_random(seed=2).half()
    dims = (ait.Dim("batch", 1, 16), ait.Dim("length", 1, 100))
    return ait.trace(model, {"words": ait.TensorSpec(dims, "i64")})


def convolutions() -> Program:
    """Up to four f16 images of uneven sizes."""
    model = Convolutions().init_random(seed=2).half()
    return ait.trace(model, {"x": ait.TensorSpec((ait.Dim("batch", 1, 4), 3, 37, 50), "f16")})


def classifier() -> Program:
    """Up to eight f16 images of 6 x 6 patches and some pixels more."""
    model = Classifier(16, 128, 2, 40).init_random(seed=4).half()
    return ait.trace(model, {"x": ait.TensorSpec((ait.Dim("batch", 1, 8), 3, 96, 104), "f16")})


def self_attention() -> Program:
    """Heads of 40 elements over sequences of any length."""
    model = SelfAttention(160, 4).init_random(seed=3).half()
    dims = (ait.Dim("batch", 1, 4), ait.Dim("length", 1, 200), 160)
    return ait.trace(model, {"x": ait.TensorSpec(dims, "f16")})


def whole_rows() -> Program:
    """So many f16 rows that one kernel pays at every size."""
    model = WholeRows().init_random(seed=4).half()
    return ait.trace(model, {"x": ait.TensorSpec((ait.Dim("rows", 8192, 8777), 64), "f16")})


def experts() -> Program:
    """Three f16 experts; the last one takes no fewer than five words."""
    model = Experts(256, (512, 320, 640)).init_random(seed=5).half()
    rows = {"a": ait.Dim("a", 0, 300), "b": ait.Dim("b", 0, 70), "c": ait.Dim("c", 5, 64)}
    return ait.trace(model, {name: ait.TensorSpec((dim, 256), "f16") for name, dim in rows.items()})


def cross_attention() -> Program:
    """Up to two f16 sequences of 64 and 77 words."""
    model = CrossAttention(320, 768, 8).init_random(seed=6).half()
    batch = ait.Dim("batch", 1, 2)
    specs = {"x": (batch, 64, 320), "context": (batch, 77, 768)}
    return ait.trace(model, {n: ait.TensorSpec(shape, "f16") for n, shape in specs.items()})


MODELS = {
    # CUTLASS kernels: every size is a multiple of 8.
    "mlp": Model(
        lambda: mlp(256, 1024, 512),
        ({"batch": 1}, {"batch": 7}, {"batch": 64}, {"batch": 129}, {"batch": 512}),
    ),
    # No row begins at 16 bytes: the plain kernels.
    "mlp_odd": Model(lambda: mlp(45, 77, 130), ({"batch": 1}, {"batch": 33}, {"batch": 130})),
    # Products one behind the other of CUTLASS 2.x, where its headers are.
    "single_precision": Model(single_precision, ({"batch": 1}, {"batch": 130}, {"batch": 512})),
    "quantised": Model(quantised, ({"rows": 1}, {"rows": 65}, {"rows": 200})),
    "tagger": Model(
        lambda: tagger(40, 72, 17),
        ({"batch": 1, "length": 1}, {"batch": 3, "length": 41}, {"batch": 16, "length": 100}),
    ),
    "classifier": Model(classifier, ({"batch": 1}, {"batch": 8})),
    "whole_rows": Model(whole_rows, ({"rows": 8192}, {"rows": 8777})),
    "experts": Model(
        experts,
        (
            {"a": 300, "b": 70, "c": 64},
            {"a": 0, "b": 1, "c": 5},
            {"a": 129, "b": 0, "c": 63},
            {"a": 0, "b": 0, "c": 64},
        ),
    ),
    "cross_attention": Model(cross_attention, ({"batch": 1}, {"batch": 2})),
    "convolutions": Model(convolutions, ({"batch": 1}, {"batch": 4})),
    "self_attention": Model(
        self_attention,
        ({"batch": 1, "length": 1}, {"batch": 3, "length": 77}, {"batch": 4, "length": 200}),
    ),
}
