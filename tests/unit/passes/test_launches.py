"""What models written naively come down to: how many kernels, no data movement, little memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.functions import find_function
from ait.dialects.symbolic import dims_of
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.unit.passes.launches import launches

BATCH, SEQ = Dim("batch", 1, 4), Dim("seq", 1, 16)


class Encoder(nn.Module):
    """One layer of a transformer: three projections, softmax attention, residuals, post-norm."""

    def __init__(self, width: int = 24, heads: int = 3):
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 48), nn.Linear(48, width)

    def split(self, x: nn.Tensor) -> nn.Tensor:
        return x.unflatten(2, [self.heads, -1]).transpose(1, 2)

    def forward(self, x: nn.Tensor, mask: nn.Tensor) -> nn.Tensor:
        q, k, v = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) * 0.25 + mask
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = self.norm1(self.output(attended) + x)
        return self.norm2(self.down(nn.functional.gelu(self.up(x))) + x)


def test_encoder_layer() -> None:
    model = Encoder()
    model.init_random(0)
    rng = np.random.default_rng(0)
    specs = {"x": TensorSpec((BATCH, SEQ, 24)), "mask": TensorSpec((BATCH, 1, 1, SEQ))}
    inputs = {
        "x": rng.standard_normal((2, 5, 24)).astype(np.float32),
        "mask": np.where(rng.random((2, 1, 1, 5)) < 0.3, -1e9, 0).astype(np.float32),
    }
    assert launches(model, specs, inputs) == [
        "gemm", "attention", "gemm_rowwise", "gemm", "gemm_rowwise",
    ]  # fmt: skip


class Bottleneck(nn.Module):
    """A ResNet block with its downsample, batch norms and all."""

    def __init__(self, inputs: int = 8, width: int = 4):
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.bn3, self.bn4 = nn.BatchNorm2d(4 * width), nn.BatchNorm2d(4 * width)
        self.downsample = nn.Conv2d(inputs, 4 * width, 1, stride=2, bias=False)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        y = nn.functional.relu(self.bn2(self.conv2(y)))
        return nn.functional.relu(self.bn3(self.conv3(y)) + self.bn4(self.downsample(x)))


def test_resnet_bottleneck() -> None:
    model = Bottleneck()
    model.init_random(0)
    x = np.random.default_rng(0).standard_normal((2, 8, 6, 6)).astype(np.float32)
    found = launches(model, {"x": TensorSpec((BATCH, 8, 6, 6))}, {"x": x})
    assert found == ["conv"] * 4


def test_eight_chained_activations_need_two_buffers() -> None:
    def chain(x: nn.Tensor) -> nn.Tensor:
        for _ in range(9):
            x = x.softmax(1)
            x = x.transpose(0, 1).softmax(1)  # another axis: nothing to fuse into
        return x

    program = trace(chain, {"x": TensorSpec((6, 6))})
    run_pipeline(program.module)
    slots: Any = find_function(program.module, "main").attributes["slots"]  # pyright: ignore
    assert len(slots.data) <= 2


def test_inputs_and_outputs_take_no_workspace() -> None:
    program = trace(lambda x: x.tanh() * 2, {"x": TensorSpec((BATCH, 8))})
    run_pipeline(program.module)
    main = find_function(program.module, "main")
    assert main is not None
    assert list(main.attributes["slots"].data) == []  # pyright: ignore
    assert [dims_of(a)[1] for a in main.body.block.args] == [8, 8]


@pytest.mark.parametrize("spelling", ["left", "right", "reshaped", "twice"])
def test_spellings_end_in_one_kernel(spelling: str) -> None:
    def model(x: nn.Tensor, w: nn.Tensor) -> nn.Tensor:
        y = x @ w
        match spelling:
            case "left":
                return 0.5 * y + x
            case "right":
                return x + y * 0.5
            case "reshaped":
                return (y.reshape(-1) * 0.5).reshape(4, 4) + x
            case _:
                return y * 0.25 + x + y * 0.25

    specs = {"x": TensorSpec((4, 4)), "w": TensorSpec((4, 4))}
    rng = np.random.default_rng(1)
    inputs = {k: rng.standard_normal((4, 4)).astype(np.float32) for k in specs}
    assert launches(model, specs, inputs) == ["gemm"]


def test_siblings_that_store_heads_merge() -> None:
    query, key = (nn.Linear(24, 24).init_random(seed) for seed in range(2))

    def model(x: nn.Tensor) -> nn.Tensor:
        q, k = (layer(x).unflatten(2, [4, 6]).transpose(1, 2).tanh() for layer in (query, key))
        return q @ k.mT

    x = np.random.default_rng(0).standard_normal((2, 5, 24)).astype(np.float32)
    assert launches(model, {"x": TensorSpec((BATCH, SEQ, 24))}, {"x": x}) == ["gemm", "gemm"]
