"""Two products in a row: what is one kernel, and what only looks like it.

Every model is also checked to compute what it says, by `launches`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ait import nn
from ait.dialects.kernel import BackToBackGemmOp
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


def middle_is_residual(x: Tensor) -> Tensor:
    y = linear(x).relu()
    return linear(y) + y


def squared(x: Tensor) -> Tensor:
    y = linear(x)
    return y @ y


REASONS: dict[str, tuple[Model, list[str], str]] = {
    "output": (middle_is_output, ["gemm", "gemm"], "others read its results"),
    "reader": (middle_has_a_reader, ["gemm", "gemm", "reduce"], "others read its results"),
    "residual": (middle_is_residual, ["gemm", "gemm"], "others read its results"),
    "squared": (squared, ["gemm", "gemm"], "others read its results"),
    "transposed": (lambda x: linear(linear(x).T), ["gemm", "gemm"], "are not what the second"),
    "heads": (
        lambda x: linear(linear(x).unflatten(-1, [3, 4])),
        ["gemm", "gemm"],
        "are not what the second",
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


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942"])
def test_targets_without_the_kernel_are_left_alone(target: str) -> None:
    with collect_remarks() as remarks:
        assert not fused(*ONE["relu"], target)
    assert any(f"{target} has no kernel.back_to_back_gemm" in r.message for r in remarks)
