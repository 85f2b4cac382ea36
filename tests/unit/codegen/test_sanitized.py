"""Generated code and the runtime under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ait
from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.nn import functional as F

pytestmark = pytest.mark.slow

# A child process: the sanitizers' libraries must be there before anything else is loaded.
RUN = """
import sys
import numpy as np
from ait.runtime.loader import load

data = np.load(sys.argv[2])
with load(sys.argv[1]) as model:
    for threads in (1, 3):
        context = model.context(num_threads=threads)
        for case in range(int(data["cases"])):
            inputs = {port.name: data[f"{port.name}{case}"] for port in model.inputs}
            for name, value in context.run(inputs).items():
                np.testing.assert_allclose(value, data[f"{name}{case}"], 1e-4, 1e-5)
    model.set_weights({w.name: data[w.name] for w in model.weights if w.role == "raw"})
    context.close()
print("clean")
"""


class Net(nn.Module):
    """A bit of everything: images and tokens, odd sizes, symbolic ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.embedding = nn.Embedding(11, 12)
        self.norm = nn.LayerNorm(12)
        self.q, self.k, self.v = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.head = nn.Linear(17, 7)

    def forward(self, image: nn.Tensor, ids: nn.Tensor) -> dict[str, nn.Tensor]:
        pixels = F.max_pool2d(F.relu(self.conv(image)), 3, 2, 1).mean((2, 3))
        x = self.norm(self.embedding(ids))
        q, k, v = (
            p.reshape(p.shape[0], p.shape[1], 3, 4).permute(0, 2, 1, 3)
            for p in (self.q(x), self.k(x), self.v(x))
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.permute(0, 2, 1, 3).reshape(x.shape[0], x.shape[1], 12)
        pooled = (x + mixed).sum(1)
        return {"scores": F.softmax(self.head(nn.cat([pixels, pooled], 1)), -1)}


def cases(rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    return [
        {
            "image": rng.standard_normal((batch, 3, 13, 9)).astype(np.float32),
            "ids": rng.integers(0, 11, (batch, length)),
        }
        for batch, length in ((1, 1), (2, 5), (5, 17))
    ]


def test_a_model_runs_clean(tmp_path: Path) -> None:
    model = Net()
    model.init_random()
    batch, length = ait.Dim("batch", 1, 5), ait.Dim("length", 1, 17)
    program = ait.trace(
        model,
        {
            "image": ait.TensorSpec((batch, 3, 13, 9), "f32"),
            "ids": ait.TensorSpec((batch, length), "i64"),
        },
    )
    data: dict[str, np.ndarray] = dict(program.weights)
    inputs = cases(np.random.default_rng(0))
    for i, case in enumerate(inputs):
        results = ait.evaluate(program, case)
        data |= {f"{name}{i}": value for name, value in {**case, **results}.items()}
    np.savez(tmp_path / "data.npz", cases=len(inputs), **data)
    output = tmp_path / "net.so"
    compile_program(program, "cpu", output, CompileOptions(sanitize=True))
    answer = subprocess.run(
        [sys.executable, "-c", RUN, output, tmp_path / "data.npz"],
        env={
            **os.environ,
            "LD_PRELOAD": library("libasan.so"),
            # Python itself leaks at exit by design.
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    assert answer.stdout == "clean\n"


def library(name: str) -> str:
    found = subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()
