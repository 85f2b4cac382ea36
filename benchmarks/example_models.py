"""The models of examples/, as the examples compile them, for those who tune their kernels.

Dims that an example leaves open are tuned at the largest sizes, as `ait compile` does without
`--tune-at`. Nothing here needs weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ait
from ait import nn
from ait.dialects.symbolic import evaluate
from ait.ir.program import Program

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import bert  # noqa: E402
import minilm  # noqa: E402
import resnet50  # noqa: E402
import unet  # noqa: E402
import vit  # noqa: E402

Specs = Mapping[str, ait.TensorSpec]


@dataclass(frozen=True)
class TunedModel:
    """A model whose kernels are tuned: without weights, which `dtype` is of."""

    name: str
    module: Callable[[], nn.Module]
    specs: Callable[[], Specs]
    dtype: str = "f16"

    def traced(self) -> Program:
        return ait.trace(self.module().to(self.dtype), self.specs(), require_weights=False)


def at_sizes(specs: Specs, **sizes: int) -> Specs:
    """The same inputs where each open dim has a size."""
    return {
        name: ait.TensorSpec([evaluate(dim, sizes) for dim in spec.shape], spec.dtype)
        for name, spec in specs.items()
    }


_UNET = unet.UNetConfig()
EXAMPLES: Sequence[TunedModel] = (
    TunedModel("ResNet-50 up to b64", resnet50.resnet50, lambda: resnet50.specs(dtype="f16")),
    TunedModel("ViT-B/16 up to b64", vit.VisionTransformer, lambda: vit.specs(dtype="f16")),
    TunedModel("BERT-base up to 64x512", lambda: bert.BertModel(bert.BertConfig()), bert.specs),
    TunedModel("MiniLM up to 64x256", minilm.SentenceEncoder, minilm.specs),
    # The demo asks for no other type.
    TunedModel("MiniLM f32 up to 64x256", minilm.SentenceEncoder, minilm.specs, "f32"),
    TunedModel("UNet up to b8", lambda: unet.UNet(_UNET), lambda: unet.specs(_UNET, dtype="f16")),
    TunedModel(
        "UNet b1",
        lambda: unet.UNet(_UNET),
        lambda: at_sizes(unet.specs(_UNET, dtype="f16"), batch=1),
    ),
    TunedModel(
        "small UNet up to b8",
        lambda: unet.UNet(unet.SMALL),
        lambda: unet.specs(unet.SMALL, dtype="f16"),
    ),
)
