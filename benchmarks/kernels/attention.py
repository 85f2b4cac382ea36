"""Attention against every backend of PyTorch's `scaled_dot_product_attention`.

q, k and v are dense [batch, heads, length, size]. The second group has what encoders ask for
beside that: a mask of keys [batch, 1, 1, keys] that is added to the scores, keys that fill no tile,
one query. The third has heads of other sizes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.kernels.case import Bar, KernelCase, Tensors

if TYPE_CHECKING:
    from ait import nn

BARS = {
    "attention": Bar(geomean=1.1, worst=0.95),
    "encoder_attention": Bar(),
    "attention_heads": Bar(geomean=1.0),
}

# Batch, heads, queries, keys, size of a head.
_SIZES = (
    (1, 12, 128, 128, 64),
    (64, 12, 128, 128, 64),
    (64, 12, 384, 384, 64),
    (1, 12, 4096, 4096, 64),
    (4, 16, 4096, 4096, 128),
    (2, 8, 4096, 4096, 40),
    (2, 8, 4096, 77, 40),
)
_ENCODERS = (
    (64, 12, 197, 197, 64),
    (64, 12, 1, 197, 64),
)
_MASKED = (
    (1, 12, 128, 128, 64),
    (64, 12, 128, 128, 64),
    (64, 12, 384, 384, 64),
)
_HEADS = (
    (4, 16, 2048, 2048, 32),
    (4, 16, 2048, 2048, 80),
    (2, 8, 4096, 4096, 160),
    (2, 8, 2048, 2048, 256),
)
_BACKENDS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")


def _module() -> nn.Module:
    from ait import nn

    class Attention(nn.Module):
        def forward(self, q: nn.Tensor, k: nn.Tensor, v: nn.Tensor) -> nn.Tensor:
            return nn.functional.scaled_dot_product_attention(q, k, v)

    return Attention()


def _masked_module() -> nn.Module:
    from ait import nn

    class Attention(nn.Module):
        def forward(self, q: nn.Tensor, k: nn.Tensor, v: nn.Tensor, mask: nn.Tensor) -> nn.Tensor:
            return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return Attention()


def _backend(name: str, tensors: Tensors) -> Any:
    from torch.nn.attention import (  # pyright: ignore[reportMissingImports]
        SDPBackend,
        sdpa_kernel,
    )
    from torch.nn.functional import (  # pyright: ignore[reportMissingImports]
        scaled_dot_product_attention,
    )

    q, k, v, mask = (tensors.get(name) for name in ("q", "k", "v", "mask"))
    with sdpa_kernel(getattr(SDPBackend, name)):
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _case(
    group: str, batch: int, heads: int, queries: int, keys: int, size: int, masked: bool = False
) -> KernelCase:
    lengths = str(queries) if queries == keys else f"{queries}x{keys}"
    q, kv = (batch, heads, queries, size), (batch, heads, keys, size)
    mask = {"mask": (batch, 1, 1, keys)} if masked else {}
    return KernelCase(
        group=group,
        name=f"{batch},{heads},{lengths},{size}{',mask' if masked else ''}",
        module=_masked_module if masked else _module,
        inputs={"q": q, "k": kv, "v": kv, **mask},
        weights={},
        rivals={
            name.removesuffix("_ATTENTION").lower(): partial(_backend, name) for name in _BACKENDS
        },
        reference=partial(_backend, "MATH"),
    )


CASES = (
    *(_case("attention", *sizes) for sizes in _SIZES),
    *(_case("encoder_attention", *sizes) for sizes in _ENCODERS),
    *(_case("encoder_attention", *sizes, masked=True) for sizes in _MASKED),
    *(_case("attention_heads", *sizes) for sizes in _HEADS),
)
