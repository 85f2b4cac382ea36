"""Reductions in parts: the interpreter gives what it gave before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.kernel import ReduceOp
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline

TARGET = "cuda:sm_90a"
BEFORE = ("simplify", "lower", "fuse")


def reductions(program: Program) -> int:
    return sum(isinstance(op, ReduceOp) for op in program.module.walk())


def weighted(x: nn.Tensor) -> nn.Tensor:
    """The place of an element counts: x[i, j] * (i - j)."""
    rows, columns = (nn.iota(x.shape, axis, "i64") for axis in (0, 1))
    return x * (rows - columns).to("f32")


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((1 << 20,), lambda x: x.sum()),
        ((1 << 20,), lambda x: x.mean() + 1.0),
        ((1 << 16, 48), lambda x: x.max(0)),
        ((1 << 16, 48), lambda x: weighted(x).sum(0)),
        ((3, 1 << 18), lambda x: weighted(x).min(1)),
        ((3, 512, 512, 5), lambda x: x.square().sum((1, 2))),
        ((1 << 10, 1 << 10), lambda x: (x * 1e-4 + 1.0).prod()),
    ],
    ids=["all", "mean", "columns", "weighted_columns", "weighted_rows", "pixels", "product"],
)
def test_parts_give_the_same(shape: tuple[int, ...], function: Callable[[Any], Any]) -> None:
    program = trace(function, {"x": TensorSpec(shape, "f32")})
    run_pipeline(program.module, BEFORE, target=TARGET, verify=True)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    (wanted,) = evaluate(program, [x]).values()
    before = reductions(program)
    run_pipeline(program.module, ["split-reductions"], target=TARGET, verify=True)
    assert reductions(program) > before
    (actual,) = evaluate(program, [x]).values()
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((4096,), lambda x: x.sum()),
        ((1 << 20,), lambda x: x.argmax(0)),
        ((4096, 512), lambda x: x.sum(1)),
        ((1048573,), lambda x: x.sum()),
        ((Dim("n", 1, 1 << 20),), lambda x: x.sum()),
    ],
    ids=["short", "argmax", "many_results", "prime", "dynamic"],
)
def test_what_is_not_split(shape: tuple[Any, ...], function: Callable[[Any], Any]) -> None:
    program = trace(function, {"x": TensorSpec(shape, "f32")})
    run_pipeline(program.module, (*BEFORE, "split-reductions"), target=TARGET, verify=True)
    assert reductions(program) == 1


def test_a_target_that_does_not_say_keeps_its_reductions() -> None:
    program = trace(lambda x: x.sum(), {"x": TensorSpec((1 << 22,), "f32")})
    run_pipeline(program.module, (*BEFORE, "split-reductions"), target="cpu", verify=True)
    assert reductions(program) == 1
