"""BERT, with the parameter names of `transformers.BertModel`, so that its checkpoints load.

    python examples/bert.py --target cpu

The attention is written out as matmul, softmax, matmul over three projections: recognising it is
the compiler's work, not the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import ait
from ait import nn


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT; the defaults are those of bert-base-uncased."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Embeddings(nn.Module):
    """The sum of each token's word, position and segment, normalized."""

    def __init__(self, config: BertConfig):
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, input_ids: nn.Tensor, token_type_ids: nn.Tensor | None) -> nn.Tensor:
        length = input_ids.shape[1]
        x = self.word_embeddings(input_ids) + self.position_embeddings.weight[:length]
        if token_type_ids is None:
            return self.LayerNorm(x + self.token_type_embeddings.weight[0])
        return self.LayerNorm(x + self.token_type_embeddings(token_type_ids))


class SelfAttention(nn.Module):
    """Several heads of attention, each over its own projections."""

    def __init__(self, config: BertConfig):
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.scale = (width // self.heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: nn.Tensor, mask: nn.Tensor) -> nn.Tensor:
        q, k, v = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) * self.scale + mask
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def split(self, x: nn.Tensor) -> nn.Tensor:
        """[batch, seq, width] to [batch, heads, seq, width / heads]."""
        return x.unflatten(2, [self.heads, -1]).transpose(1, 2)


class ResidualOutput(nn.Module):
    """The end of a block: a projection, the residual, layer norm."""

    def __init__(self, inner: int, config: BertConfig):
        self.dense = nn.Linear(inner, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: nn.Tensor, residual: nn.Tensor) -> nn.Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class Attention(nn.Module):
    """The attention block."""

    def __init__(self, config: BertConfig):
        self.self = SelfAttention(config)
        self.output = ResidualOutput(config.hidden_size, config)

    def forward(self, x: nn.Tensor, mask: nn.Tensor) -> nn.Tensor:
        return self.output(self.self(x, mask), x)


class Intermediate(nn.Module):
    """The first half of the MLP."""

    def __init__(self, config: BertConfig):
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return nn.functional.gelu(self.dense(x))


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, config: BertConfig):
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = ResidualOutput(config.intermediate_size, config)

    def forward(self, x: nn.Tensor, mask: nn.Tensor) -> nn.Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Encoder(nn.Module):
    """All layers."""

    def __init__(self, config: BertConfig):
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: nn.Tensor, mask: nn.Tensor) -> nn.Tensor:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Pooler(nn.Module):
    """A summary of the text: the first token's state, projected."""

    def __init__(self, config: BertConfig):
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.dense(x[:, 0]).tanh()


class BertModel(nn.Module):
    """Token ids [batch, seq] to states [batch, seq, width], and a summary [batch, width]."""

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True):
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config) if add_pooling_layer else None

    def forward(
        self,
        input_ids: nn.Tensor,
        attention_mask: nn.Tensor,
        token_type_ids: nn.Tensor | None = None,
    ) -> dict[str, nn.Tensor]:
        x = self.encode(input_ids, attention_mask, token_type_ids)
        outputs = {"last_hidden_state": x}
        if self.pooler is not None:
            outputs["pooler_output"] = self.pooler(x)
        return outputs

    def encode(
        self, input_ids: nn.Tensor, attention_mask: nn.Tensor, token_type_ids: nn.Tensor | None
    ) -> nn.Tensor:
        """The last states alone."""
        x = self.embeddings(input_ids, token_type_ids)
        # Zero where a token counts, and so low where it does not that softmax gives it nothing.
        padding = 1 - attention_mask[:, None, None, :].to(x.dtype)
        return self.encoder(x, padding * nn.finfo(x.dtype).min)


class BertForSequenceClassification(nn.Module):
    """Token ids to the logits [batch, labels] of a class of the whole text."""

    def __init__(self, config: BertConfig, num_labels: int = 2):
        self.bert = BertModel(config)
        self.classifier = nn.Linear(config.hidden_size, num_labels)

    def forward(
        self,
        input_ids: nn.Tensor,
        attention_mask: nn.Tensor,
        token_type_ids: nn.Tensor | None = None,
    ) -> nn.Tensor:
        summary = self.bert(input_ids, attention_mask, token_type_ids)["pooler_output"]
        return self.classifier(summary)


def modern_names(weights: Mapping[str, nn.Array]) -> dict[str, nn.Array]:
    """Early checkpoints, such as bert-base-uncased, name the layer norms' weights otherwise."""
    changes = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    renamed: dict[str, nn.Array] = {}
    for name, array in weights.items():
        for old, new in changes.items():
            name = name.replace(old, new)
        renamed[name] = array
    return renamed


def specs(max_batch: int = 64, max_length: int = 512) -> dict[str, ait.TensorSpec]:
    """The inputs, with any batch and length up to the given."""
    shape = (ait.Dim("batch", 1, max_batch), ait.Dim("seq", 1, max_length))
    names = ("input_ids", "attention_mask", "token_type_ids")
    return {name: ait.TensorSpec(shape, "i64") for name in names}


def example_inputs(batch: int, length: int, vocabulary: int = 30522) -> dict[str, nn.Array]:
    """Random tokens, of which each text has some more than the next."""
    generator = np.random.default_rng(0)
    lengths = np.maximum(length - 3 * np.arange(batch), 1)
    return {
        "input_ids": generator.integers(0, vocabulary, (batch, length)),
        "attention_mask": (np.arange(length) < lengths[:, None]).astype(np.int64),
        "token_type_ids": np.zeros((batch, length), np.int64),
    }


def main() -> None:
    """Compiles BERT-base, runs it and checks it against the reference interpreter."""
    from common import check, parse_arguments

    arguments = parse_arguments(__doc__)
    model = BertModel(BertConfig())
    if arguments.weights is None:
        model.init_random()
    else:
        weights = modern_names(nn.read_safetensors(arguments.weights))
        prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
        model.load_state_dict(weights, prefix=prefix)
    check("bert-base", model.to(arguments.dtype), specs(), example_inputs(2, 32), arguments)


if __name__ == "__main__":
    main()
