"""Latency of all-MiniLM-L6-v2 on the CPU: ait against PyTorch eager, on the same threads.

    pip install torch
    python benchmarks/minilm_latency.py --threads 2

Both run in one process, in turns, so that they share whatever else the machine does. That is not
enough on a busy machine: PyTorch's threads spin while they wait for each other, and lose far more
than ait's when others hold the cores. Results of such a run are marked `busy` and compare nothing.

The PyTorch model is written by hand with the same weights, in its favour:
scaled_dot_product_attention and inference_mode. The result is the ratio of the medians, for several
sizes of inputs; it is written to benchmarks/results/ with the device, the versions and the commit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ait
from ait import nn
from ait.codegen.compile import CompileOptions

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import minilm  # noqa: E402

from benchmarks.environment import RESULTS, host  # noqa: E402

SIZES = ((1, 16), (1, 64), (1, 128), (8, 32), (8, 128), (32, 64))
TOLERANCE = 1e-4
IDLE_LOAD = 0.5
"""Load, in cores, that does not disturb."""
Encode = Callable[[], Any]


def torch_encoder(weights: dict[str, nn.Array]) -> Callable[[Any, Any], Any]:
    """The same encoder in PyTorch: ids and mask to unit vectors."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

    w = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    config = minilm.CONFIG
    width, heads = config.hidden_size, config.num_attention_heads

    def linear(x: Any, name: str) -> Any:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x: Any, name: str) -> Any:
        affine = w[f"{name}.weight"], w[f"{name}.bias"]
        return F.layer_norm(x, (width,), *affine, config.layer_norm_eps)

    def attention(x: Any, name: str, mask: Any) -> Any:
        batch, length, _ = x.shape
        q, k, v = (
            linear(x, f"{name}.{part}").view(batch, length, heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(batch, length, width)

    def encode(ids: Any, mask: Any) -> Any:
        with torch.inference_mode():
            x = F.embedding(ids, w["embeddings.word_embeddings.weight"])
            x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
            x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
            keep = mask[:, None, None, :].bool().expand(-1, -1, ids.shape[1], -1)
            for i in range(config.num_hidden_layers):
                layer = f"encoder.layer.{i}"
                mixed = attention(x, f"{layer}.attention.self", keep)
                mixed = linear(mixed, f"{layer}.attention.output.dense")
                x = norm(mixed + x, f"{layer}.attention.output.LayerNorm")
                inner = F.gelu(linear(x, f"{layer}.intermediate.dense"))
                x = norm(linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
            counts = mask.unsqueeze(-1).to(x.dtype)
            mean = (x * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
            return F.normalize(mean, dim=1)

    return encode


def in_turns(first: Encode, second: Encode, seconds: float) -> tuple[list[float], list[float]]:
    """Times of both, run alternately in small groups until the time is over."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (first, second):
        for _ in range(3):
            function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[1]) < 10:
        for function, found in zip((first, second), times, strict=True):
            for _ in range(5):
                begin = time.perf_counter()
                function()
                found.append(time.perf_counter() - begin)
    return times


def measure(
    context: Any, encode: Callable[[Any, Any], Any], batch: int, length: int, seconds: float
) -> dict[str, Any]:
    """One size: both results compared, then both timed."""
    import torch  # pyright: ignore[reportMissingImports]

    generator = np.random.default_rng(0)
    inputs = {
        "input_ids": generator.integers(0, minilm.CONFIG.vocab_size, (batch, length)),
        "attention_mask": np.ones((batch, length), np.int64),
    }
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    error = float(np.abs(context.run(inputs)["embeddings"] - encode(*tensors).numpy()).max())
    if not error < TOLERANCE:
        raise SystemExit(f"the two models differ by {error:.1e} for {batch}x{length} tokens")
    ours, theirs = in_turns(lambda: context.run(inputs), lambda: encode(*tensors), seconds)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(
        f"{batch:3} x {length:3} tokens: ait {a * 1e3:8.2f} ms, torch {b * 1e3:8.2f} ms, "
        f"ratio {a / b:.2f}, largest difference {error:.1e}",
        flush=True,
    )
    return {
        "batch": batch,
        "tokens": length,
        "ait_ms": a * 1e3,
        "torch_ms": b * 1e3,
        "ait_minimum_ms": min(ours) * 1e3,
        "torch_minimum_ms": min(theirs) * 1e3,
        "ratio": a / b,
        "runs": len(ours),
        "largest_difference": error,
    }


def main() -> None:
    """Compiles, compares, measures and writes the results."""
    parser = argparse.ArgumentParser(description="time MiniLM by ait and by PyTorch eager")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each size (default: 3)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise SystemExit("minilm_latency: it needs PyTorch: pip install torch") from None
    torch.set_num_threads(arguments.threads)
    machine = host("numpy", "torch")  # before this program adds its own load

    folder = minilm.model_folder()
    model = minilm.load_model(folder)
    weights = {name: np.asarray(p.data) for name, p in model.state_dict().items()}
    encode = torch_encoder(weights)
    with tempfile.TemporaryDirectory() as place:
        library = Path(place) / "minilm.so"
        artifact = ait.compile(
            ait.trace(model, minilm.specs()), "cpu", library, CompileOptions(name="minilm")
        )
        with ait.load(library) as compiled:
            context = compiled.context(num_threads=arguments.threads)
            rows = [measure(context, encode, *size, arguments.seconds) for size in SIZES]
    result = {
        "benchmark": "minilm_latency",
        "weights": "random" if folder is None else minilm.PACKAGE,
        "threads": arguments.threads,
        "busy": machine["load_before"] + arguments.threads > machine["cores"] + IDLE_LOAD,
        **machine,
        "kernel_launches": artifact.report.launches,
        "sizes": rows,
        "geometric_mean_ratio": statistics.geometric_mean([row["ratio"] for row in rows]),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"minilm_latency_cpu_{arguments.threads}_threads.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    if result["busy"]:
        load = machine["load_before"]
        print(f"others used the machine (load {load:.1f}): these times do not compare the two")
    print(f"geometric mean of the ratios {result['geometric_mean_ratio']:.2f}; wrote {path}")


if __name__ == "__main__":
    main()
