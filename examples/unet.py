"""The denoising network of Stable Diffusion 1.5, with the parameter names of diffusers'
`UNet2DConditionModel`.

python examples/unet.py --target cpu

It has 860 million parameters: without `--weights` a network of the same structure and an eighth of
the width is compiled and run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import ait
from ait import nn
from ait.nn import functional as F


@dataclass(frozen=True)
class UNetConfig:
    """Sizes; the defaults are Stable Diffusion 1.5's."""

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """Of each resolution, of which each but the first halves the one before."""
    attends: tuple[bool, ...] = (True, True, True, False)
    """Which resolutions have transformers."""
    layers: int = 2
    latent_channels: int = 4
    latent_size: int = 64
    context_width: int = 768
    context_length: int = 77
    heads: int = 8
    norm_groups: int = 32

    @property
    def time_width(self) -> int:
        return 4 * self.channels[0]


SMALL = UNetConfig(channels=(32, 64, 128, 128), latent_size=32, context_width=64, norm_groups=8)
"""The same network, an eighth as wide or narrower."""


def time_embedding(timestep: nn.Tensor, width: int) -> nn.Tensor:
    """f32 [batch] -> [batch, width]: cosines and sines of width / 2 frequencies."""
    half = width // 2
    frequencies = np.exp(-math.log(10000) / half * np.arange(half, dtype=np.float32))
    angles = timestep.unsqueeze(-1) * nn.tensor(frequencies.astype(np.float32))
    return nn.cat([nn.cos(angles), nn.sin(angles)], dim=-1)


class TimeEmbedding(nn.Module):
    """Two layers that make one vector of a time, for all blocks."""

    def __init__(self, inputs: int, width: int):
        self.linear_1 = nn.Linear(inputs, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class ResnetBlock(nn.Module):
    """Two convolutions with the time between them, around a shortcut."""

    def __init__(self, config: UNetConfig, inputs: int, outputs: int):
        self.norm1 = nn.GroupNorm(config.norm_groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.time_width, outputs)
        self.norm2 = nn.GroupNorm(config.norm_groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: nn.Tensor, time: nn.Tensor) -> nn.Tensor:
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        y = self.conv1(F.silu(self.norm1(x)))
        y = y + self.time_emb_proj(F.silu(time)).unsqueeze(-1).unsqueeze(-1)
        return shortcut + self.conv2(F.silu(self.norm2(y)))


class Attention(nn.Module):
    """Attention of pixels to each other, or to a context of another width."""

    def __init__(self, width: int, heads: int, context_width: int):
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width), nn.Dropout(0.0)])

    def forward(self, x: nn.Tensor, context: nn.Tensor) -> nn.Tensor:
        q, k, v = (
            projected.unflatten(2, [self.heads, -1]).transpose(1, 2)
            for projected in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out, dropout = self.to_out
        return dropout(out(mixed))


class GEGLU(nn.Module):
    """`a * gelu(b)`, where one layer gives a and b."""

    def __init__(self, inputs: int, outputs: int):
        self.proj = nn.Linear(inputs, 2 * outputs)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Two layers with GEGLU between them."""

    def __init__(self, width: int):
        hidden = 4 * width
        self.net = nn.Sequential(GEGLU(width, hidden), nn.Dropout(0.0), nn.Linear(hidden, width))

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self attention, attention to the context, and a feed-forward layer."""

    def __init__(self, config: UNetConfig, width: int):
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, config.heads, width)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, config.heads, config.context_width)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: nn.Tensor, context: nn.Tensor) -> nn.Tensor:
        y = self.norm1(x)
        x = x + self.attn1(y, y)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    """Transformer blocks over the pixels of an image."""

    def __init__(self, config: UNetConfig, width: int):
        self.norm = nn.GroupNorm(config.norm_groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(config, width)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: nn.Tensor, context: nn.Tensor) -> nn.Tensor:
        size = x.shape[2:]
        y = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            y = block(y, context)
        return x + self.proj_out(y.transpose(1, 2).unflatten(2, size))


class Downsample(nn.Module):
    """Half the size."""

    def __init__(self, width: int):
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Twice the size."""

    def __init__(self, width: int):
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0))


class DownBlock(nn.Module):
    """One resolution on the way down: its images, each of which is a skip connection."""

    def __init__(self, config: UNetConfig, level: int):
        width, before = config.channels[level], config.channels[max(level - 1, 0)]
        inputs = [before, *([width] * (config.layers - 1))]
        self.resnets = nn.ModuleList([ResnetBlock(config, n, width) for n in inputs])
        transformers = [Transformer(config, width) for _ in inputs if config.attends[level]]
        self.attentions = nn.ModuleList(transformers) if transformers else None
        last = level == len(config.channels) - 1
        self.downsamplers = None if last else nn.ModuleList([Downsample(width)])

    def forward(self, x: nn.Tensor, time: nn.Tensor, context: nn.Tensor) -> list[nn.Tensor]:
        images: list[nn.Tensor] = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if self.attentions is not None:
                x = self.attentions[i](x, context)
            images.append(x)
        if self.downsamplers is not None:
            images.append(self.downsamplers[0](x))
        return images


class MidBlock(nn.Module):
    """The lowest resolution."""

    def __init__(self, config: UNetConfig):
        width = config.channels[-1]
        self.attentions = nn.ModuleList([Transformer(config, width)])
        self.resnets = nn.ModuleList([ResnetBlock(config, width, width) for _ in range(2)])

    def forward(self, x: nn.Tensor, time: nn.Tensor, context: nn.Tensor) -> nn.Tensor:
        x = self.attentions[0](self.resnets[0](x, time), context)
        return self.resnets[1](x, time)


class UpBlock(nn.Module):
    """One resolution on the way up; each of its layers takes one more skip connection."""

    def __init__(self, config: UNetConfig, level: int):
        widths = config.channels
        width, below = widths[level], widths[min(level + 1, len(widths) - 1)]
        inputs = [below, *([width] * config.layers)]
        skips = [*([width] * config.layers), widths[max(level - 1, 0)]]
        sums = [x + skip for x, skip in zip(inputs, skips, strict=True)]
        self.resnets = nn.ModuleList([ResnetBlock(config, n, width) for n in sums])
        transformers = [Transformer(config, width) for _ in sums if config.attends[level]]
        self.attentions = nn.ModuleList(transformers) if transformers else None
        self.upsamplers = None if level == 0 else nn.ModuleList([Upsample(width)])

    def forward(
        self, x: nn.Tensor, skips: list[nn.Tensor], time: nn.Tensor, context: nn.Tensor
    ) -> nn.Tensor:
        """Takes its skip connections off the end of the list."""
        for i, resnet in enumerate(self.resnets):
            x = resnet(nn.cat([x, skips.pop()], dim=1), time)
            if self.attentions is not None:
                x = self.attentions[i](x, context)
        return x if self.upsamplers is None else self.upsamplers[0](x)


class UNet(nn.Module):
    """Latents [batch, 4, size, size], times [batch], contexts [batch, length, width] to noise."""

    def __init__(self, config: UNetConfig):
        self.config = config
        widths = config.channels
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], config.time_width)
        levels = range(len(widths))
        self.down_blocks = nn.ModuleList([DownBlock(config, level) for level in levels])
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList([UpBlock(config, level) for level in reversed(levels)])
        self.conv_norm_out = nn.GroupNorm(config.norm_groups, widths[0])
        self.conv_out = nn.Conv2d(widths[0], config.latent_channels, 3, padding=1)

    def forward(
        self, sample: nn.Tensor, timestep: nn.Tensor, encoder_hidden_states: nn.Tensor
    ) -> nn.Tensor:
        context = encoder_hidden_states
        waves = time_embedding(timestep, self.config.channels[0])
        time = self.time_embedding(waves.to(sample.dtype))
        x = self.conv_in(sample)
        skips = [x]
        for block in self.down_blocks:
            skips.extend(block(skips[-1], time, context))
        x = self.mid_block(skips[-1], time, context)
        for block in self.up_blocks:
            x = block(x, skips, time, context)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def specs(
    config: UNetConfig, max_batch: int = 8, dtype: object = "f32"
) -> dict[str, ait.TensorSpec]:
    """Square latents, in any batch up to the given; times are floats of 32 bits."""
    batch, size = ait.Dim("batch", 1, max_batch), config.latent_size
    context = (batch, config.context_length, config.context_width)
    return {
        "sample": ait.TensorSpec((batch, config.latent_channels, size, size), dtype),
        "timestep": ait.TensorSpec((batch,), "f32"),
        "encoder_hidden_states": ait.TensorSpec(context, dtype),
    }


def example_inputs(config: UNetConfig, batch: int, dtype: object = "f32") -> dict[str, nn.Array]:
    """Noise, a time for each image, and contexts of noise."""
    generator = np.random.default_rng(0)
    size, element = config.latent_size, nn.numpy_dtype(dtype)
    sample = generator.standard_normal((batch, config.latent_channels, size, size), np.float32)
    context = generator.standard_normal(
        (batch, config.context_length, config.context_width), np.float32
    )
    return {
        "sample": sample.astype(element),
        "timestep": generator.integers(0, 1000, batch).astype(np.float32),
        "encoder_hidden_states": context.astype(element),
    }


def main() -> None:
    """Compiles the network, runs it and checks it against the reference interpreter."""
    from common import check, parse_arguments

    arguments = parse_arguments(__doc__)
    config = SMALL if arguments.weights is None else UNetConfig()
    model = UNet(config)
    if arguments.weights is None:
        model.init_random()
    else:
        model.load_state_dict(arguments.weights)
    inputs = example_inputs(config, 1, arguments.dtype)
    model_specs = specs(config, dtype=arguments.dtype)
    check("unet", model.to(arguments.dtype), model_specs, inputs, arguments)


if __name__ == "__main__":
    main()
