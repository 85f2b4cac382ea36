"""Gated layers: which spellings are one kernel, and which only look like it.

Every model is also checked to compute what it says, by `launches`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ait import nn
from ait.dialects.kernel import DualGemmOp
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


def linear(x: Tensor, features: int = 12, bias: bool = True) -> Tensor:
    layer = nn.Linear(12, features, bias).init_random(len(current_recorder().parameters))
    return layer(x)


# What is one kernel -----------------------------------------------------------------------------


def gate_is_output(x: Tensor) -> Any:
    gate = linear(x).sigmoid()
    return gate * linear(x), gate


def up_is_output(x: Tensor) -> Any:
    up = linear(x)
    return linear(x).sigmoid() * up, up


def other_reader_between(x: Tensor) -> Any:
    gate = linear(x).sigmoid()
    total = gate.softmax(-1)
    return gate * linear(x), total


def heads(x: Tensor) -> Tensor:
    """The halves of each of three heads."""
    parts = linear(x, 36).unflatten(-1, [3, 2, 6])
    return parts[..., 0, :] * parts[..., 1, :].tanh()


def permuted_heads(x: Tensor) -> Tensor:
    """The same, written one head after the other."""
    parts = linear(x, 36).unflatten(-1, [3, 2, 6]).permute(0, 2, 1, 3, 4)
    return parts[..., 0, :] * parts[..., 1, :].tanh()


def of_a_row(x: Tensor) -> Tensor:
    """A column that is added before the halving: each half has its own part of the index."""
    y = linear(x, 36) + nn.arange(36).to("f32")
    return F.silu(y[..., :18]) * y[..., 18:]


ONE: dict[str, Model] = {
    "operands-swapped": lambda x: linear(x) * F.silu(linear(x)),
    "both-activated": lambda x: F.silu(linear(x)) * linear(x).tanh(),
    "sum": lambda x: linear(x).tanh() + linear(x),
    "then-residual": lambda x: x + F.silu(linear(x)) * linear(x),
    "flat-in-between": lambda x: F.silu(linear(x)).flatten(0, 1) * linear(x).flatten(0, 1),
    "twice": lambda x: (lambda g: g * linear(x) + g)(linear(x).sigmoid()),
    "last-half-first": lambda x: (lambda p: p[1].sigmoid() * p[0])(linear(x, 36).chunk(2, -1)),
    "activated-before-chunk": lambda x: (lambda p: p[0] * p[1])(linear(x, 36).tanh().chunk(2, -1)),
    "interleaved": lambda x: (lambda y: F.silu(y[..., ::2]) * y[..., 1::2])(linear(x, 36)),
    "one-column-each": lambda x: (lambda y: y[..., :1].tanh() * y[..., 1:])(linear(x, 2)),
    "glu-then-residual": lambda x: (lambda p: x + p[0] * p[1].sigmoid())(
        linear(x, 24).chunk(2, -1)
    ),
    "heads": heads,
    "permuted-heads": permuted_heads,
    "index": of_a_row,
    "gate-is-output": gate_is_output,
    "up-is-output": up_is_output,
}


@pytest.mark.parametrize("model", ONE.values(), ids=ONE)
def test_one_kernel(model: Model) -> None:
    assert kernels(model, X) == ["dual_gemm"]


def test_batched_products() -> None:
    specs = {n: TensorSpec((BATCH, *s)) for n, s in (("x", (5, 4)), ("w", (4, 6)), ("v", (4, 6)))}
    assert kernels(lambda x, w, v: (x @ w).sigmoid() * (x @ v), specs) == ["dual_gemm"]


def test_a_result_that_others_read_is_one_more_result() -> None:
    """Its other reader moves behind the kernel."""
    assert kernels(other_reader_between, X) == ["dual_gemm", "rowwise"]


def test_two_gated_layers() -> None:
    def model(x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + F.silu(linear(x)) * linear(x)
        return x

    assert kernels(model, X) == ["dual_gemm"] * 2


# What is not ------------------------------------------------------------------------------------


def cycle(x: Tensor) -> Tensor:
    gate = linear(x)
    return gate * linear(x) + gate.mean(-1, keepdim=True)


def right_factor(x: Tensor) -> Tensor:
    y = linear(x)
    return x @ y + y


def left_factor(x: Tensor) -> Tensor:
    y = linear(x)
    return linear(y) * y


def half_is_output(x: Tensor) -> Any:
    first, second = linear(x, 24).chunk(2, -1)
    return first.tanh() * second, first.softmax(-1)


def unequal_slices(x: Tensor) -> Tensor:
    y = linear(x, 30)
    return y[..., :10] * y[..., 8:18].tanh()


def quarters(x: Tensor) -> Tensor:
    y = linear(x, 40)
    return y[..., :10] * y[..., 10:20].tanh()


def backwards(x: Tensor) -> Tensor:
    y = linear(x, 24)
    return y[..., :12] * y[..., 12:].flip(-1).tanh()


def three_parts(x: Tensor) -> Tensor:
    a, b, c = linear(x, 36).chunk(3, -1)
    return a * b.sigmoid() + c


REFUSED: dict[str, tuple[Model, list[str], str]] = {
    "transposed": (
        lambda x: linear(x).sigmoid().T * linear(x),
        ["gemm", "gemm"],
        "through another map than it is written",
    ),
    "one-column": (
        lambda x: linear(x, 1).sigmoid() * linear(x),
        ["gemm", "gemm"],
        "range over different dims",
    ),
    "of-the-transposed-input": (
        lambda x: linear(x.T).sigmoid() * linear(x),
        ["gemm", "gemm"],
        "left factor through different maps",
    ),
    "cycle": (cycle, ["gemm", "reduce", "gemm"], "would make a cycle"),
    "right-factor": (right_factor, ["gemm", "gemm"], "more than an operand of the epilogue"),
    "left-factor": (left_factor, ["gemm", "gemm"], ""),
    "half-is-output": (half_is_output, ["gemm", "pointwise", "rowwise"], "others read its results"),
    "unequal-slices": (unequal_slices, ["gemm", "pointwise"], "not the halves of its columns"),
    "quarters": (quarters, ["gemm", "pointwise"], "not the halves of its columns"),
    "backwards": (backwards, ["gemm", "pointwise"], "differ in more than their offset"),
    "three-parts": (three_parts, ["gemm", "pointwise"], "more than two maps"),
    "halves-of-rows": (
        lambda x: (lambda p: p[0] * p[1].tanh())(linear(x).chunk(2, 0)),
        ["gemm", "pointwise"],
        "not the halves of its columns",
    ),
}


@pytest.mark.parametrize(("model", "expected", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(model: Model, expected: list[str], reason: str) -> None:
    with collect_remarks() as remarks:
        found = kernels(model, SQUARE)
    assert found == expected
    assert not reason or any(reason in r.message and r.kind == "missed" for r in remarks)


def test_different_inputs_are_two_kernels() -> None:
    specs = {"x": X["x"], "y": X["x"]}
    assert kernels(lambda x, y: linear(x).sigmoid() * linear(y), specs) == ["gemm", "gemm"]


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942"])
@pytest.mark.parametrize("model", [ONE["operands-swapped"], ONE["interleaved"]])
def test_targets_without_the_kernel_are_left_alone(target: str, model: Model) -> None:
    program = trace(model, X)
    with collect_remarks() as remarks:
        run_pipeline(program.module, ("simplify", "lower", "fuse"), target=target, verify=True)
    assert not any(isinstance(op, DualGemmOp) for op in program.module.walk())
    assert any(f"{target} has no kernel.dual_gemm" in r.message for r in remarks)


@pytest.mark.parametrize(
    ("element", "columns", "reason"),
    [("f16", 64, None), ("f32", 64, "factors of f32"), ("f16", 63, "not aligned")],
)
def test_what_no_kernel_takes_stays_two(element: str, columns: int, reason: str | None) -> None:
    """The kernel of cuda:sm_90a has its limits: what it refuses is left as it was."""
    factor = TensorSpec((64, columns), element)
    specs = {"x": TensorSpec((32, 64), element), "y": factor, "z": factor}

    def model(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return (x @ y).sigmoid() * (x @ z)

    program = trace(model, specs)
    with collect_remarks() as remarks:
        run_pipeline(
            program.module, ("simplify", "lower", "fuse"), target="cuda:sm_90a", verify=True
        )
    found = any(isinstance(op, DualGemmOp) for op in program.module.walk())
    assert found == (reason is None)
    assert reason is None or any(reason in r.message for r in remarks if r.kind == "missed")
