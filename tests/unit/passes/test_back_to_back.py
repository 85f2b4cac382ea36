"""Two products in a row: what is one kernel, and what only looks like it.

Every model is also checked to compute what it says, by `launches`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.kernel import BackToBackGemmOp, BufferOp
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks
from tests.unit.passes.launches import kernels

F = nn.functional
Tensor = nn.Tensor
Model = Callable[..., Any]

BATCH, SEQ = Dim("batch", 1, 4), Dim("seq", 1, 16)
X = {"x": TensorSpec((BATCH, SEQ, 12))}
SQUARE = {"x": TensorSpec((12, 12))}
BATCHED = {
    "x": TensorSpec((BATCH, 5, 4)),
    "w": TensorSpec((BATCH, 4, 6)),
    "v": TensorSpec((BATCH, 6, 3)),
}


def made(layer: nn.Module) -> nn.Module:
    return layer.init_random(len(current_recorder().parameters))


def linear(x: Tensor, features: int = 12, bias: bool = True) -> Tensor:
    width = x.shape[-1]
    assert isinstance(width, int)
    return made(nn.Linear(width, features, bias))(x)


# What is one kernel -----------------------------------------------------------------------------


def scaled_by_row(x: Tensor) -> Tensor:
    return linear(linear(x, 8) * x[..., :1])


def two_results(x: Tensor) -> Any:
    y = linear(linear(x, 8).tanh())
    return y, y.sigmoid() + x


def heads_of_result(x: Tensor) -> Tensor:
    return linear(linear(x, 8).relu()).unflatten(-1, [3, 4]).permute(0, 2, 1, 3)


def gated_by_index(x: Tensor) -> Tensor:
    """The code in between counts columns, and that behind counts rows."""
    y = linear(x, 8) * nn.arange(8).to("f32")
    return linear(y) + nn.arange(12).to("f32")


ONE: dict[str, tuple[Model, dict[str, TensorSpec]]] = {
    "plain": (lambda x: linear(linear(x, 8, bias=False), 5, bias=False), X),
    "relu": (lambda x: linear(linear(x, 8).relu()), X),
    "gelu": (lambda x: linear(F.gelu(linear(x, 8)), 5), X),
    "residual-between": (lambda x: linear(linear(x).tanh() + x, 5), X),
    "residual-behind": (lambda x: x + linear(F.silu(linear(x, 8))), X),
    "scaled": (lambda x: linear(linear(x, 8) * 0.5) * 2.0, X),
    "scaled-by-row": (scaled_by_row, X),
    "flat-in-between": (lambda x: linear(linear(x, 8).relu().flatten(0, 1), 5), X),
    "heads-in-between": (lambda x: linear(linear(x, 8).unflatten(-1, [2, 4]).flatten(-2)), X),
    "heads-of-result": (heads_of_result, X),
    "two-results": (two_results, X),
    "index": (gated_by_index, X),
    "one-in-between": (lambda x: linear(linear(x, 1).relu()), X),
    "batched": (lambda x, w, v: (x @ w).tanh() @ v, BATCHED),
    "first-batched": (lambda x, w, v: linear((x @ w).tanh(), 7) + v[..., :1, :1], BATCHED),
    "second-batched": (lambda x, w, v: linear(x, 6).tanh() @ v + w[..., :1, :1], BATCHED),
}


@pytest.mark.parametrize(("model", "specs"), ONE.values(), ids=ONE)
def test_one_kernel(model: Model, specs: dict[str, TensorSpec]) -> None:
    assert kernels(model, specs) == ["back_to_back_gemm"]


def test_chains_of_products_pair_up() -> None:
    def model(x: Tensor) -> Tensor:
        for _ in range(4):
            x = linear(x).relu()
        return x

    assert kernels(model, X) == ["back_to_back_gemm"] * 2


def test_a_softmax_comes_first() -> None:
    """The product whose rows an operation needs whole is one kernel with that operation."""
    assert kernels(lambda x: linear(linear(x).relu()).softmax(-1), X) == ["gemm", "gemm_rowwise"]


def test_gates_and_attention_come_first() -> None:
    assert kernels(lambda x: linear(F.silu(linear(x)) * linear(x)), X) == ["dual_gemm", "gemm"]
    specs = {name: TensorSpec((BATCH, 3, SEQ, 4)) for name in "qkv"}
    assert kernels(lambda q, k, v: (q @ k.mT).softmax(-1) @ v, specs) == ["attention"]


# What is not ------------------------------------------------------------------------------------


def middle_is_output(x: Tensor) -> Any:
    y = linear(x, 8).relu()
    return linear(y), y


def middle_has_a_reader(x: Tensor) -> Any:
    y = linear(x, 8).relu()
    return linear(y), y.sum(0)


def middle_is_read_first(x: Tensor) -> Any:
    """What reads the middle stands between the two products, and must move."""
    y = linear(x, 8).relu()
    z = y.sum(0)
    return linear(y), z.softmax(-1), z


def middle_and_heads(x: Tensor) -> Any:
    y = linear(x, 8).relu()
    return linear(y).unflatten(-1, [3, 4]).permute(0, 2, 1, 3), y


def wide_middle(x: Tensor) -> Tensor:
    return linear(linear(x, 516).relu())


def middle_of_a_factor(x: Tensor) -> Tensor:
    """The second product cannot wait for what reads the middle."""
    y = linear(x, 8).relu()
    return linear(y, 12) + y.sum(-1, keepdim=True)


def middle_is_residual(x: Tensor) -> Tensor:
    y = linear(x).relu()
    return linear(y) + y


def squared(x: Tensor) -> Tensor:
    y = linear(x)
    return y @ y


REASONS: dict[str, tuple[Model, list[str], str]] = {
    "squared": (squared, ["gemm", "gemm"], "reads it in another way as well"),
    "residual": (middle_is_residual, ["gemm", "gemm"], "reads it in another way as well"),
    "transposed": (lambda x: linear(linear(x).T), ["gemm", "gemm"], "are not what the second"),
    "heads": (
        lambda x: linear(linear(x).unflatten(-1, [3, 4])),
        ["gemm", "gemm"],
        "are not what the second",
    ),
    "reader-before": (
        middle_of_a_factor,
        ["gemm", "reduce", "gemm"],
        "another operand depends on it too",
    ),
    "more-than-columns": (
        lambda x: linear(linear(x).unflatten(0, [6, 2]).flatten(1)),
        ["gemm", "gemm"],
        "cannot be addressed over the rows of the second",
    ),
    "slice": (lambda x: linear(linear(x)[:, :6]), ["gemm", "gemm"], "does not read each element"),
    "wide-middle": (
        lambda x: linear(linear(x, 513).relu()),
        ["gemm", "gemm"],
        "a row of 513 elements is more than the 512",
    ),
    "wide-result": (
        lambda x: linear(linear(x).relu(), 513),
        ["gemm", "gemm"],
        "a row of 513 elements is more than the 512",
    ),
}


KEPT: dict[str, tuple[Model, list[str]]] = {
    "output": (middle_is_output, ["back_to_back_gemm"]),
    "reader": (middle_has_a_reader, ["back_to_back_gemm", "reduce"]),
    "behind-a-reader": (middle_is_read_first, ["back_to_back_gemm", "reduce", "rowwise"]),
    "heads-of-result": (middle_and_heads, ["back_to_back_gemm"]),
    "wide": (wide_middle, ["back_to_back_gemm"]),
}


@pytest.mark.parametrize(("model", "expected"), KEPT.values(), ids=KEPT)
def test_a_middle_that_others_read_is_kept(model: Model, expected: list[str]) -> None:
    """`fuse-vertical` leaves the two alone, `fuse-products` does not."""
    with collect_remarks() as remarks:
        found = kernels(model, {"x": TensorSpec((60, 3, 12))} if model is wide_middle else X)
    assert found == expected
    decided = [(r.pass_name, r.kind) for r in remarks if "one kernel" in r.message]
    assert decided == [("fuse-vertical", "missed"), ("fuse-products", "applied")]


@pytest.mark.parametrize("fewest", [0, 1])
def test_a_middle_is_kept_beside_what_has_columns(fewest: int) -> None:
    """Kernels whose result is empty have nothing to do, and may not even start."""

    def model(x: Tensor, v: Tensor) -> Any:
        y = linear(x, 8).relu()
        return y @ v, y

    specs = {"x": TensorSpec((60, 12)), "v": TensorSpec((8, Dim("batch", fewest, 16)))}
    with collect_remarks() as remarks:
        found = kernels(model, specs)
    assert found == (["back_to_back_gemm"] if fewest else ["gemm", "gemm"])
    assert any("it may have no columns" in r.message for r in remarks) == (fewest == 0)


@pytest.mark.parametrize(("model", "expected", "reason"), REASONS.values(), ids=REASONS)
def test_refused(model: Model, expected: list[str], reason: str) -> None:
    with collect_remarks() as remarks:
        found = kernels(model, SQUARE)
    assert found == expected
    assert any(reason in r.message and r.kind == "missed" for r in remarks)


def test_a_piece_of_a_concat_is_written_in_place() -> None:
    """The columns are split into heads, and the index of the code in between is not."""

    def model(x: Tensor, z: Tensor) -> Tensor:
        y = linear(x, 8) * nn.arange(8).to("f32")
        return nn.cat([linear(y).unflatten(-1, [3, 4]), z], 2)

    specs = {**X, "z": TensorSpec((BATCH, SEQ, 2, 4))}
    assert kernels(model, specs) == ["back_to_back_gemm", "copy"]


def dying_residual(x: Tensor) -> Any:
    residual = linear(x, 8).softmax(-1)
    y = (linear(x, 8) + residual).relu()
    return linear(y), y.sum(0)


def test_a_middle_is_kept_where_its_residual_was() -> None:
    assert kernels(dying_residual, X) == ["gemm_rowwise", "back_to_back_gemm", "reduce"]
    program = trace(dying_residual, X)
    run_pipeline(program.module, verify=True)
    (op,) = (op for op in program.module.walk() if isinstance(op, BackToBackGemmOp))
    residual, middle = op.ins[op.middle_ins[-1]].owner, op.outs[-1].owner
    assert isinstance(residual, BufferOp) and isinstance(middle, BufferOp)
    assert residual.slot is not None and residual.slot == middle.slot


def test_a_right_factor_is_no_middle() -> None:
    specs = {"x": TensorSpec((12, 12)), "y": TensorSpec((12, 12))}
    assert kernels(lambda x, y: y @ linear(x), specs) == ["gemm", "gemm"]


def fused(model: Model, specs: dict[str, TensorSpec], target: str = "any") -> bool:
    """Whether a model has the one kernel; its result is not computed."""
    program = trace(model, specs)
    run_pipeline(program.module, ("simplify", "lower", "fuse"), target=target, verify=True)
    return any(isinstance(op, BackToBackGemmOp) for op in program.module.walk())


@pytest.mark.parametrize(
    ("rows", "width", "middle", "pays"),
    [
        (64, 64, 64, True),
        (64 * 1024, 64, 64, True),
        (64, 512, 512, False),  # one block would read all weights while the device waits
        (64 * 128, 256, 256, True),
    ],
)
def test_profit(rows: int, width: int, middle: int, pays: bool) -> None:
    specs = {
        "x": TensorSpec((rows, width), "f16"),
        "w": TensorSpec((width, middle), "f16"),
        "v": TensorSpec((middle, width), "f16"),
    }
    assert fused(lambda x, w, v: (x @ w).relu() @ v, specs) == pays


class Block(nn.Module):
    """A residual block of 1x1 and 3x3 convolutions."""

    def __init__(self, inputs: int, width: int, stride: int = 1):
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        self.shortcut = nn.Conv2d(inputs, 4 * width, 1, stride) if inputs != 4 * width else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = self.conv2(self.conv1(x).relu()).relu()
        return (self.conv3(y) + shortcut).relu()


class Blocks(nn.Module):
    def __init__(self, width: int) -> None:
        channels = 4 * width
        self.stem = nn.Conv2d(8, channels, 3, padding=1)
        self.blocks = nn.Sequential(
            Block(channels, width), Block(channels, width), Block(channels, 2 * width, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x).relu()).mean((2, 3))


@pytest.mark.parametrize(
    ("batch", "width", "size", "expected"), [(64, 64, 56, 2), (64, 128, 28, 1), (1, 128, 28, 0)]
)
def test_residual_blocks_on_a_gpu(batch: int, width: int, size: int, expected: int) -> None:
    """The end of a block and the first convolution of the next are one kernel, if there are rows
    enough: though the shortcut, or the next block's convolution of it, reads that end as well."""
    specs = {"x": TensorSpec((batch, 8, size, size), "f16")}
    program = trace(Blocks(width).to("f16"), specs, require_weights=False)
    run_pipeline(program.module, target="cuda:sm_90a", verify=True)
    found = [op for op in program.module.walk() if isinstance(op, BackToBackGemmOp)]
    assert len(found) == expected
    assert all(op.keeps_middle and op.config is not None for op in found)


@pytest.mark.parametrize("seed", range(2))
def test_residual_blocks_mean_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every fusion that the kernels can run."""
    monkeypatch.setattr("ait.passes.fusion.row_tiles.expected_seconds", _one_each)
    specs = {"x": TensorSpec((2, 8, 10, 6), "f16")}
    program = trace(Blocks(64).init_random(seed).to("f16"), specs)
    fused = program.clone()
    run_pipeline(fused.module, target="cuda:sm_90a", verify=True)
    assert sum(isinstance(op, BackToBackGemmOp) for op in fused.module.walk()) == 2
    inputs = {"x": np.random.default_rng(seed).standard_normal((2, 8, 10, 6)).astype(np.float16)}
    for got, want in zip(
        evaluate(fused, inputs).values(), evaluate(program, inputs).values(), strict=True
    ):
        scale = float(np.abs(want.astype(np.float32)).max())
        np.testing.assert_allclose(
            got.astype(np.float32), want.astype(np.float32), rtol=0, atol=4e-3 * scale
        )


def _one_each(op: object, target: object) -> float:
    """What a kernel is expected to take, so that fewer are better."""
    return 1.0


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942"])
def test_targets_without_the_kernel_are_left_alone(target: str) -> None:
    with collect_remarks() as remarks:
        assert not fused(*ONE["relu"], target)
    assert any(f"{target} has no kernel.back_to_back_gemm" in r.message for r in remarks)
