"""Kernels with several results, and reductions with operands of their code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.kernel import GemmOp, KernelOp
from ait.ir.interpreter import evaluate
from ait.ir.program import Program, parse_module
from ait.ir.trace import TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.unit.passes.launches import launches

Step = Callable[[nn.Tensor, nn.Tensor], nn.Tensor]
RESULTS = ("%first", "%second", "%third")


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (2, 0), (0, 1, 2)])
def test_results_that_nobody_reads_are_not_computed(used: tuple[int, ...]) -> None:
    names = ", ".join(RESULTS[i] for i in used)
    types = ", ".join("tensor<4x3xf32>" for _ in used)
    module = parse_module(f"""
func.func @main(%x: tensor<4x6xf32>, %w: tensor<6x3xf32>) -> ({types}) {{
  %a = kernel.empty : tensor<4x3xf32>
  %b = kernel.empty : tensor<4x3xf32>
  %c = kernel.empty : tensor<4x3xf32>
  %first, %second, %third = kernel.gemm
      ins(%x : tensor<4x6xf32>, %w : tensor<6x3xf32>)
      outs(%a : tensor<4x3xf32>, %b : tensor<4x3xf32>, %c : tensor<4x3xf32>)
      {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
  ^bb0(%sum: f32):
    %zero = arith.constant 0.000000e+00 : f32
    %positive = arith.maximumf %sum, %zero : f32
    %opposite = arith.negf %sum : f32
    kernel.yield %sum, %positive, %opposite : f32, f32, f32
  }}
  func.return {names} : {types}
}}
""")
    program = Program(module, {})
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape, np.float32) for shape in ((4, 6), (6, 3))]
    want = evaluate(program, inputs)
    run_pipeline(module, ["fuse-vertical"], verify=True)
    got = evaluate(program, inputs)
    for name, expected in want.items():
        np.testing.assert_array_equal(got[name], expected, err_msg=name)
    (gemm,) = [op for op in module.walk() if isinstance(op, GemmOp)]
    assert len(gemm.res) == len(used)


@pytest.mark.parametrize("kind", ["sum", "mean", "amax", "prod"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_code_behind_a_reduction_reads_operands(kind: str, axis: int) -> None:
    kept = [size for i, size in enumerate((4, 3, 5)) if i != axis]

    def model(x: nn.Tensor, y: nn.Tensor, z: nn.Tensor) -> nn.Tensor:
        return getattr(x, kind)(axis) * y + z

    specs = {"x": TensorSpec((4, 3, 5)), "y": TensorSpec(tuple(kept)), "z": TensorSpec((kept[1],))}
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        name: rng.standard_normal([int(str(dim)) for dim in spec.shape], np.float32)
        for name, spec in specs.items()
    }
    assert launches(model, specs, inputs) == ["reduce"]


@pytest.mark.parametrize("axis", [0, 1])
def test_code_behind_a_reduction_computes_its_operands(axis: int) -> None:
    size = (5, 4)[axis]

    def model(x: nn.Tensor, a: nn.Tensor, b: nn.Tensor, c: nn.Tensor) -> nn.Tensor:
        return x.sum(axis) * (a.exp() + b * c) - b.tanh()

    specs = {"x": TensorSpec((4, 5)), **{name: TensorSpec((size,)) for name in "abc"}}
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        name: rng.standard_normal([int(str(dim)) for dim in spec.shape], np.float32)
        for name, spec in specs.items()
    }
    assert launches(model, specs, inputs) == ["reduce"]


STEPS: dict[str, Step] = {
    "twice": lambda last, _: last + last,
    "permuted": lambda last, _: last + last.permute(1, 0),
    "fibonacci": lambda last, before: last + before,
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_code_of_positions_does_not_double(step: Step) -> None:
    """Each value of a chain reads positions alone, and is read twice by what follows: where its
    code stood in that twice, there would be 2**50 ops."""
    steps = 50

    def model(x: nn.Tensor) -> nn.Tensor:
        before = last = nn.iota((4, 4))
        for _ in range(steps):
            before, last = last, step(last, before)
        return x - last

    program = trace(model, {"x": TensorSpec((4, 4), "i64")})
    x = np.arange(16, dtype=np.int64).reshape(4, 4)
    want = evaluate(program, {"x": x})
    run_pipeline(program.module, ["lower", "fuse-vertical"], verify=True)
    (kernel,) = [op for op in program.module.walk() if isinstance(op, KernelOp)]
    assert len(kernel.regions[0].block.ops) <= 2 * steps + 5
    got = evaluate(program, {"x": x})
    for name, expected in want.items():
        np.testing.assert_array_equal(got[name], expected, err_msg=name)
