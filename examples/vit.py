"""A vision transformer, with the parameter names of timm's `vit_base_patch16_224`.

python examples/vit.py --target cpu
"""

from __future__ import annotations

import numpy as np

import ait
from ait import nn
from ait.nn import functional as F

EPS = 1e-6


class Attention(nn.Module):
    """Several heads of attention, whose queries, keys and values one layer projects."""

    def __init__(self, width: int, heads: int):
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        qkv = self.qkv(x).unflatten(2, [3, self.heads, -1])
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int, hidden: int):
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """One transformer layer, normalized before each half."""

    def __init__(self, width: int, heads: int):
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Images to one vector for each patch."""

    def __init__(self, patch: int, width: int):
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """Images [batch, 3, size, size] to logits [batch, classes]."""

    def __init__(
        self,
        size: int = 224,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        num_classes: int = 1000,
    ):
        self.cls_token = nn.Parameter((1, 1, width), init=nn.initialization.small)
        tokens = (size // patch) ** 2 + 1
        self.pos_embed = nn.Parameter((1, tokens, width), init=nn.initialization.small)
        self.patch_embed = PatchEmbed(patch, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        patches = self.patch_embed(x)
        first = self.cls_token.expand(patches.shape[0], -1, -1)
        x = nn.cat([first, patches], dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def specs(size: int = 224, max_batch: int = 64, dtype: object = "f32") -> dict[str, ait.TensorSpec]:
    """Square images, in any batch up to the given."""
    return {"x": ait.TensorSpec((ait.Dim("batch", 1, max_batch), 3, size, size), dtype)}


def main() -> None:
    """Compiles ViT-B/16, runs it and checks it against the reference interpreter."""
    from common import check, parse_arguments

    arguments = parse_arguments(__doc__)
    model = VisionTransformer()
    if arguments.weights is None:
        model.init_random()
    else:
        model.load_state_dict(arguments.weights)
    images = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    inputs = {"x": images.astype(nn.numpy_dtype(arguments.dtype))}
    model_specs = specs(dtype=arguments.dtype)
    check("vit_base_patch16_224", model.to(arguments.dtype), model_specs, inputs, arguments)


if __name__ == "__main__":
    main()
