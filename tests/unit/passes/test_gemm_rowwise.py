"""Products and the softmax or norm of their rows: what is one kernel, and what only looks like it.

Every model is also checked to compute what it says, by `launches`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ait import nn
from ait.dialects.kernel import GemmRowwiseOp
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


def made(layer: nn.Module) -> nn.Module:
    return layer.init_random(len(current_recorder().parameters))


def linear(x: Tensor, features: int = 12, bias: bool = True) -> Tensor:
    return made(nn.Linear(12, features, bias))(x)


def layer_norm(x: Tensor, width: int = 12) -> Tensor:
    return made(nn.LayerNorm(width))(x)


# What is one kernel -----------------------------------------------------------------------------


def norm_and_residual(x: Tensor) -> Any:
    total = linear(x) + x
    return total, layer_norm(total)


def scores_and_scaled(x: Tensor) -> Any:
    """The product is returned as it is; what the softmax begins with is another value."""
    scores = linear(x)
    return scores, (scores * 0.5).softmax(-1)


def both_results(x: Tensor) -> Any:
    total = linear(x)
    return total.tanh(), total.sigmoid(), layer_norm(total)


def gated_by_norm(x: Tensor) -> Tensor:
    y = layer_norm(linear(x))
    return y * y.sigmoid() + x


def used_before_and_after(x: Tensor) -> Tensor:
    scores = linear(x)
    return scores.softmax(-1) * scores


def norm_of_heads(x: Tensor) -> Tensor:
    """Over the heads and their features at once, which are the columns."""
    heads = linear(x).unflatten(-1, [3, 4])
    return F.layer_norm(heads, [3, 4])


def permuted_heads(x: Tensor) -> Tensor:
    """The result is written one head after the other."""
    return linear(x).softmax(-1).unflatten(-1, [3, 4]).permute(0, 2, 1, 3)


def other_reader_between(x: Tensor) -> Any:
    total = linear(x)
    column_sums = total.sum(1)
    return layer_norm(total), column_sums


def masked(x: Tensor) -> Tensor:
    return nn.where(nn.arange(12) < 7, linear(x), -1e9).softmax(-1)


ONE: dict[str, Model] = {
    "softmax": lambda x: linear(x).softmax(-1),
    "log-softmax": lambda x: F.log_softmax(linear(x), -1),
    "layer-norm": lambda x: layer_norm(linear(x)),
    "rms-norm": lambda x: made(nn.RMSNorm(12))(linear(x)),
    "no-bias": lambda x: linear(x, bias=False).softmax(-1),
    "scaled": lambda x: (linear(x) * 3.0).softmax(-1),
    "activated": lambda x: layer_norm(F.gelu(linear(x))),
    "residual": lambda x: layer_norm(linear(x) + x),
    "then-residual": lambda x: x + layer_norm(linear(x)),
    "norm-and-residual": norm_and_residual,
    "scores-and-scaled": scores_and_scaled,
    "both-results": both_results,
    "gated-by-norm": gated_by_norm,
    "used-before-and-after": used_before_and_after,
    "flat-rows": lambda x: linear(x).flatten(0, 1).softmax(-1),
    "norm-of-heads": norm_of_heads,
    "permuted-heads": permuted_heads,
    "masked": masked,
    "one-column": lambda x: linear(x, 1).softmax(-1),
    "decomposed": lambda x: (lambda e: e / e.sum(-1, keepdim=True))(
        (lambda s: s - s.amax(-1, keepdim=True))(linear(x)).exp()
    ),
}


@pytest.mark.parametrize("model", ONE.values(), ids=ONE)
def test_one_kernel(model: Model) -> None:
    assert kernels(model, X) == ["gemm_rowwise"]


def test_columns_of_a_transposed_product() -> None:
    """The softmax of the columns is that of the rows, once the product is transposed."""
    specs = {"x": TensorSpec((5, 12))}
    assert kernels(lambda x: linear(x).T.softmax(0), specs) == ["gemm_rowwise"]


def test_batched_products() -> None:
    specs = {"x": TensorSpec((BATCH, 5, 4)), "w": TensorSpec((BATCH, 4, 6))}
    assert kernels(lambda x, w: (x @ w).softmax(-1), specs) == ["gemm_rowwise"]


def test_a_piece_of_a_concat_is_written_in_place() -> None:
    """The columns are split into heads."""

    def model(x: Tensor, z: Tensor) -> Tensor:
        return nn.cat([linear(x).softmax(-1).unflatten(-1, [3, 4]), z], 2)

    specs = {**X, "z": TensorSpec((BATCH, SEQ, 2, 4))}
    assert kernels(model, specs) == ["gemm_rowwise", "copy"]


def test_both_results_are_written_in_place_as_pieces_of_one_tensor() -> None:
    def model(x: Tensor) -> Tensor:
        y = linear(x)
        return nn.cat([y, y.softmax(-1).tanh()], -1)

    assert kernels(model, SQUARE) == ["gemm_rowwise"]


def test_a_reader_in_between_moves_behind() -> None:
    assert kernels(other_reader_between, X) == ["gemm_rowwise", "reduce"]


def test_attention_comes_first() -> None:
    specs = {name: TensorSpec((BATCH, 3, SEQ, 4)) for name in "qkv"}
    assert kernels(lambda q, k, v: (q @ k.mT).softmax(-1) @ v, specs) == ["attention"]


def test_siblings_share_a_launch() -> None:
    assert kernels(lambda x: (linear(x).softmax(-1), layer_norm(linear(x, 9), 9)), X) == [
        "gemm_rowwise+gemm_rowwise"
    ]


# What is not ------------------------------------------------------------------------------------


def cycle(x: Tensor) -> Tensor:
    y = linear(x)
    return (y + y.sum(-1, keepdim=True)).softmax(-1)


def broadcast_product(x: Tensor) -> Tensor:
    """A column of the product is read for each column of the row."""
    return (x + linear(x, 1)).softmax(-1)


REASONS: dict[str, tuple[Model, list[str], str]] = {
    "other-axis": (lambda x: linear(x).softmax(0), ["gemm", "rowwise"], "not all of the product's"),
    "part-of-the-columns": (
        lambda x: linear(x).unflatten(-1, [3, 4]).softmax(-1),
        ["gemm", "rowwise"],
        "not all of the product's",
    ),
    "outer-part-of-the-columns": (
        lambda x: linear(x).unflatten(-1, [3, 4]).softmax(1),
        ["gemm", "rowwise"],
        "not all of the product's",
    ),
    "more-than-the-columns": (
        lambda x: F.layer_norm(linear(x), [12, 12]),
        ["gemm", "rowwise"],
        "not all of the product's",
    ),
    "slice": (
        lambda x: linear(x)[:, :6].softmax(-1),
        ["gemm", "rowwise"],
        "does not read each element once",
    ),
    "transposed": (lambda x: linear(x).T.softmax(-1), ["gemm", "rowwise"], "not all of the prod"),
    "both-ways": (
        lambda x: (lambda y: (y + y.T).softmax(-1))(linear(x)),
        ["gemm", "rowwise"],
        "through two different maps",
    ),
    "cycle": (cycle, ["gemm", "reduce", "rowwise"], "would make a cycle"),
    "broadcast-product": (broadcast_product, ["gemm", "rowwise"], "does not read each element"),
    "wide": (
        lambda x: linear(x, 513).softmax(-1),
        ["gemm", "rowwise"],
        "a row of 513 elements is more than the 512",
    ),
}


@pytest.mark.parametrize(("model", "expected", "reason"), REASONS.values(), ids=REASONS)
def test_refused(model: Model, expected: list[str], reason: str) -> None:
    with collect_remarks() as remarks:
        found = kernels(model, SQUARE)
    assert found == expected
    assert any(reason in r.message and r.kind == "missed" for r in remarks)


def fused(model: Model, specs: dict[str, TensorSpec], target: str = "any") -> bool:
    """Whether a model has the one kernel; its result is not computed."""
    program = trace(model, specs)
    run_pipeline(program.module, ("simplify", "lower", "fuse"), target=target, verify=True)
    return any(isinstance(op, GemmRowwiseOp) for op in program.module.walk())


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "pays"),
    [
        (64, 64, 512, True),
        (64, 4096, 512, False),  # one block would read all weights while the device waits
        (64 * 128, 2048, 512, True),
        (64 * 129, 2048, 512, False),  # a second wave of blocks for one of them
        (64 * 512, 64, 512, True),
    ],
)
def test_profit(rows: int, depth: int, columns: int, pays: bool) -> None:
    specs = {"x": TensorSpec((rows, depth), "f16"), "w": TensorSpec((depth, columns), "f16")}
    assert fused(lambda x, w: (x @ w).softmax(-1), specs) == pays


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "pays"),
    [
        (24576, 256, 768, True),
        (24576, 768, 768, False),  # a plain product and its norm are as fast
        (24576, 3072, 768, False),
        (12608, 384, 768, True),
        (12608, 3072, 768, False),  # clusters leave units idle, and the norm is little beside that
        (128, 768, 768, False),  # there are not rows enough
    ],
)
def test_profit_of_rows_that_units_share(rows: int, depth: int, columns: int, pays: bool) -> None:
    specs = {"x": TensorSpec((rows, depth), "f16"), "r": TensorSpec((rows, columns), "f16")}
    specs["w"] = TensorSpec((depth, columns), "f16")

    def model(x: Tensor, r: Tensor, w: Tensor) -> Tensor:
        return F.layer_norm(x @ w + r, [columns])

    assert fused(model, specs, "cuda:sm_90a") == pays


def test_dynamic_rows_must_pay_at_both_ends() -> None:
    def model(x: Tensor, w: Tensor) -> Tensor:
        return (x @ w).softmax(-1)

    weight = TensorSpec((2048, 512), "f16")
    for low, high, pays in ((1, 8192, False), (8192, 8192, True)):
        rows = Dim("rows", low, high) if low < high else high
        assert fused(model, {"x": TensorSpec((rows, 2048), "f16"), "w": weight}) == pays


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942"])
def test_targets_without_the_kernel_are_left_alone(target: str) -> None:
    with collect_remarks() as remarks:
        assert not fused(ONE["residual"], X, target)
    assert any(f"{target} has no kernel.gemm_rowwise" in r.message for r in remarks)
