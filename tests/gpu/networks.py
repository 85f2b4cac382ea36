"""Random networks of sizes that the fast kernels take: layers as networks have them, in any order.

The programs of the property tests are small: few of their products fill a tile. These have widths
of 24 to 768 and up to a thousand rows, of static and dynamic counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

import ait
from ait import nn
from ait.dialects.symbolic import dims_of, element_of, evaluate
from ait.ir.dtypes import dtype_of
from ait.ir.program import Program, inputs_of
from ait.nn import functional as F

Step: TypeAlias = Callable[[nn.Tensor], nn.Tensor]
_T = TypeVar("_T")
_Layer = TypeVar("_Layer", bound=nn.Module)

_WIDTHS = (24, 64, 72, 128, 192, 256, 320, 512)
_MOST_WIDTH, _MOST_CHANNELS, _LEAST_SIDE = 768, 128, 6
_TOKENS = (1, 33, 50, 64, 128)
_ACTIVATIONS: Sequence[Step] = (F.relu, F.gelu, F.silu, F.sigmoid, F.tanh, F.hardswish)
_TOLERANCES = {"f16": 1e-2, "bf16": 8e-2}
"""Of the largest value: some sums and roundings one after the other."""


class Network(nn.Module):
    """Steps that a seed draws, one after the other. Some values on the way are results too."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.takes_images = self.drawn(0.35)
        self.width = self.one_of((3, 8, 16, 64) if self.takes_images else _WIDTHS)
        self.side = self.one_of((14, 20, 27, 28)) if self.takes_images else 0
        self.tokens = 0 if self.drawn(0.5) else self.one_of(_TOKENS)  # 0: of any number
        self.first_width, self.first_side = self.width, self.side
        makers = _IMAGE_STEPS if self.takes_images else _TOKEN_STEPS
        self.steps: list[Step] = []
        for _ in range(int(self.rng.integers(3, 8))):
            self.steps.append(self.one_of(makers)(self))
        self.kept = [self.drawn(0.2) for _ in self.steps[:-1]]

    def forward(self, x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        values: list[nn.Tensor] = []
        for step in self.steps:
            x = step(x)
            values.append(x)
        return (*(v for v, kept in zip(values, self.kept, strict=False) if kept), x)

    def one_of(self, choices: Sequence[_T]) -> _T:
        return choices[int(self.rng.integers(len(choices)))]

    def drawn(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def add(self, layer: _Layer) -> _Layer:
        """The layer, whose parameters are the network's."""
        setattr(self, f"layer{len(dict(self.named_parameters()))}", layer)
        return layer

    def linear(self, outputs: int, inputs: int = 0) -> nn.Linear:
        return self.add(nn.Linear(inputs or self.width, outputs, bias=self.drawn(0.7)))

    def new_width(self) -> int:
        return self.one_of(_WIDTHS)


# Steps of [batch, tokens, width] ----------------------------------------------------------------


def _linear(net: Network) -> Step:
    outputs = net.new_width()
    layer, activation = net.linear(outputs), net.one_of(_ACTIVATIONS)
    net.width = outputs
    return lambda x: activation(layer(x))


def _norm(net: Network) -> Step:
    return net.add(net.one_of((nn.LayerNorm, nn.RMSNorm))(net.width))


def _mlp(net: Network) -> Step:
    hidden = net.new_width()
    norm, up = net.add(nn.LayerNorm(net.width)), net.linear(hidden)
    down, activation = net.linear(net.width, hidden), net.one_of(_ACTIVATIONS)
    return lambda x: x + down(activation(up(norm(x))))


def _gated(net: Network) -> Step:
    hidden = net.new_width()
    gate, up, down = net.linear(hidden), net.linear(hidden), net.linear(net.width, hidden)
    activation = net.one_of(_ACTIVATIONS)
    return lambda x: down(activation(gate(x)) * up(x))


def _halves(net: Network) -> Step:
    layer = net.linear(2 * net.width)
    return lambda x: F.glu(layer(x)) + x


def _norm_of_product(net: Network) -> Step:
    """What one kernel may compute."""
    outputs = net.new_width()
    layer = net.linear(outputs)
    norm = net.add(net.one_of((nn.LayerNorm, nn.RMSNorm))(outputs))
    net.width = outputs
    return lambda x: norm(layer(x))


def _softmax(net: Network) -> Step:
    layer = net.linear(net.width)
    return lambda x: F.softmax(layer(x), -1) * x


def _attention(net: Network) -> Step:
    heads = net.one_of([h for h in (1, 2, 3, 4, 8) if net.width % (8 * h) == 0])
    width, is_causal = net.width // heads, net.drawn(0.5)
    project, out = net.linear(3 * net.width), net.linear(net.width)

    def step(x: nn.Tensor) -> nn.Tensor:
        packed = project(x).unflatten(2, [3, heads, width])
        q, k, v = (part.squeeze(2).transpose(1, 2) for part in packed.split(1, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
        return x + out(mixed.transpose(1, 2).flatten(2))

    return step


def _written_out_attention(net: Network) -> Step:
    q, k, scale = net.linear(net.width), net.linear(net.width), net.width**-0.5
    return lambda x: F.softmax(q(x).matmul(k(x).transpose(1, 2)) * scale, -1).matmul(x)


def _side_by_side(net: Network) -> Step:
    left, right = net.new_width(), net.new_width()
    if left + right > _MOST_WIDTH:
        left, right = 64, 128
    a, b, activation = net.linear(left), net.linear(right), net.one_of(_ACTIVATIONS)
    net.width = left + right
    return lambda x: nn.cat([activation(a(x)), b(x)], -1)


def _part(net: Network) -> Step:
    start = 8 * int(net.rng.integers(0, net.width // 16))
    length = net.width // 16 * 8
    net.width = length
    return lambda x: x.narrow(2, start, length)


def _mean_scaled(net: Network) -> Step:
    activation = net.one_of(_ACTIVATIONS)
    return lambda x: x * activation(x.mean(1, keepdim=True))


def _backwards(net: Network) -> Step:
    layer, axis = net.linear(net.width), net.one_of((1, 2))
    return lambda x: layer(x.flip(axis)) + x


def _mixed_tokens(net: Network) -> Step:
    if not net.tokens:
        return _linear(net)
    layer = net.linear(net.tokens, net.tokens)
    return lambda x: x + layer(x.transpose(1, 2)).transpose(1, 2)


_TOKEN_STEPS: Sequence[Callable[[Network], Step]] = (
    _linear,
    _norm,
    _mlp,
    _gated,
    _halves,
    _norm_of_product,
    _softmax,
    _attention,
    _written_out_attention,
    _side_by_side,
    _part,
    _mean_scaled,
    _backwards,
    _mixed_tokens,
)


# Steps of [batch, channels, side, side] ---------------------------------------------------------


def _conv(net: Network) -> Step:
    taps, outputs = net.one_of((1, 3, 3, 5)), net.one_of((8, 16, 24, 32, 64, 96))
    stride = 2 if net.side >= 2 * _LEAST_SIDE and net.drawn(0.3) else 1
    layer = net.add(nn.Conv2d(net.width, outputs, taps, stride=stride, padding=taps // 2))
    activation = net.one_of(_ACTIVATIONS)
    net.width, net.side = outputs, -(-net.side // stride)
    return lambda x: activation(layer(x))


def _stem(net: Network) -> Step:
    if net.width != 3:
        return _conv(net)
    layer = net.add(nn.Conv2d(3, 64, 7, stride=2, padding=3))
    net.width, net.side = 64, -(-net.side // 2)
    pooled = net.drawn(0.5)
    if pooled:
        net.side = (net.side - 1) // 2 + 1

    def step(x: nn.Tensor) -> nn.Tensor:
        x = layer(x).relu()
        return F.max_pool2d(x, 3, stride=2, padding=1) if pooled else x

    return step


def _bottleneck(net: Network) -> Step:
    inner = net.one_of((16, 32, 64))
    a = net.add(nn.Conv2d(net.width, inner, 1))
    b = net.add(nn.Conv2d(inner, inner, 3, padding=1))
    c = net.add(nn.Conv2d(inner, net.width, 1))
    return lambda x: (x + c(b(a(x).relu()).relu())).relu()


def _depthwise(net: Network) -> Step:
    taps = net.one_of((3, 5))
    layer = net.add(nn.Conv2d(net.width, net.width, taps, padding=taps // 2, groups=net.width))
    activation = net.one_of(_ACTIVATIONS)
    return lambda x: activation(layer(x)) + x


def _normed(net: Network) -> Step:
    if net.width % 8 == 0 and net.drawn(0.5):
        return net.add(nn.GroupNorm(net.one_of((2, 4, 8)), net.width))
    return net.add(nn.BatchNorm2d(net.width))


def _squeezed(net: Network) -> Step:
    hidden = net.one_of((8, 24))
    down, up = net.linear(hidden), net.linear(net.width, hidden)

    def step(x: nn.Tensor) -> nn.Tensor:
        weights = up(down(x.mean((2, 3))).relu()).sigmoid()
        return x * weights.unsqueeze(-1).unsqueeze(-1)

    return step


def _pooled(net: Network) -> Step:
    if net.side < 2 * _LEAST_SIDE:
        return _normed(net)
    pool = net.one_of((F.max_pool2d, F.avg_pool2d))
    net.side //= 2
    return lambda x: pool(x, 2)


def _enlarged(net: Network) -> Step:
    if net.side > 28:
        return _pooled(net)
    net.side *= 2
    if net.width % 4 == 0 and net.drawn(0.5):
        net.width //= 4
        return lambda x: F.pixel_shuffle(x, 2)
    return lambda x: F.interpolate(x, scale_factor=2, mode="nearest")


def _joined(net: Network) -> Step:
    outputs = net.one_of((8, 16, 32))
    if net.width + outputs > _MOST_CHANNELS:
        return _conv(net)
    layer = net.add(nn.Conv2d(net.width, outputs, 3, padding=1))
    net.width += outputs
    return lambda x: nn.cat([x, layer(x).relu()], 1)


_IMAGE_STEPS: Sequence[Callable[[Network], Step]] = (
    _stem,
    _conv,
    _conv,
    _bottleneck,
    _depthwise,
    _normed,
    _squeezed,
    _pooled,
    _enlarged,
    _joined,
)


# Programs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A network's program, sizes to run it at, and how far its results may be off."""

    seed: int
    program: Program
    sizes: Sequence[Mapping[str, int]]
    tolerance: float

    def inputs(self, size: Mapping[str, int]) -> dict[str, NDArray[Any]]:
        """Numbers between -1 and 1, the same ones each time."""
        generator = np.random.default_rng(self.seed)
        (port,) = inputs_of(self.program.main)
        shape = [evaluate(dim, size) for dim in dims_of(port.type)]
        values = generator.uniform(-1, 1, shape)
        return {port.name: values.astype(dtype_of(element_of(port.type)).numpy)}


def network(seed: int) -> Drawn:
    """The network of a seed, with random weights."""
    net = Network(seed)
    dtype = "bf16" if net.drawn(0.25) else "f16"
    net.init_random(seed).to(dtype)
    batch = ait.Dim("batch", 1, 8)
    if net.takes_images:
        dims: tuple[Any, ...] = (batch, net.first_width, net.first_side, net.first_side)
        sizes = [{"batch": n} for n in (1, 3)]
    elif net.tokens:
        dims, sizes = (batch, net.tokens, net.first_width), [{"batch": n} for n in (1, 8)]
    else:
        dims = (batch, ait.Dim("tokens", 1, 128), net.first_width)
        sizes = [{"batch": b, "tokens": t} for b, t in ((1, 1), (3, 77), (8, 128))]
    program = ait.trace(net, {"x": ait.TensorSpec(dims, dtype)})
    return Drawn(seed, program, sizes, _TOLERANCES[dtype])
