"""Kernels go through large tensors from the end that was written last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ait import nn
from ait.codegen.emit import emit_model
from ait.codegen.plan import make_plan
from ait.codegen.target import code_target
from ait.codegen.weights import store_weights
from ait.dialects.kernel import GemmRowwiseOp, KernelOp
from ait.ir.program import Program
from ait.ir.trace import TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.target import AnyTarget

F = nn.functional
WIDTH = 64


class Turning(AnyTarget):
    """Has a cache of 1 MiB, and kernels of all kinds but `fixed` that can go backwards."""

    def __init__(self, *fixed: type[KernelOp]):
        self.description = replace(AnyTarget.description, cache_bytes=1 << 20)
        self.capabilities = replace(
            AnyTarget.capabilities,
            kernels={
                kind: replace(row, goes_backwards=kind not in fixed)
                for kind, row in AnyTarget.capabilities.kernels.items()
            },
            groups={},
        )


class Chain(nn.Module):
    """Products and norms in turn, which do not fuse; the last one adds what `kept` tells."""

    def __init__(self, layers: int, residual: bool):
        self.linears = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(layers)])
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.residual = residual

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        for linear in self.linears:
            y = linear(self.norm(x))
            x = y + x if self.residual else y
        return x


def directions(
    target: AnyTarget,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    layers: int = 3,
    residual: bool = False,
) -> list[tuple[str, bool]]:
    def found(_: str) -> AnyTarget:
        return target

    for module in ("alternate_directions", "fuse_vertical", "legalize"):
        monkeypatch.setattr(f"ait.passes.{module}.find_target", found)
    program = traced(rows, layers, residual)
    run_pipeline(program.module, target="any", verify=True)
    kernels = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    return [(op.name, op.is_backwards) for op in kernels]


def traced(rows: int, layers: int, residual: bool) -> Program:
    model = Chain(layers, residual).to("f16")
    return trace(model, {"x": TensorSpec((rows, WIDTH), "f16")}, require_weights=False)


LARGE = 1 << 14
"""Rows of a tensor that is larger than the cache."""


@pytest.mark.parametrize("residual", [False, True])
def test_each_goes_the_other_way_than_the_one_before(
    residual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written before that and is read as well."""
    found = directions(Turning(), monkeypatch, LARGE, residual=residual)
    assert len(found) > 3
    assert [backwards for _, backwards in found] == [i % 2 == 1 for i in range(len(found))]


def test_small_tensors_are_in_the_cache_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    found = directions(Turning(), monkeypatch, 64)
    assert not any(backwards for _, backwards in found)


def test_kinds_that_cannot_go_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what reads their results goes backwards."""
    found = directions(Turning(GemmRowwiseOp), monkeypatch, LARGE)
    kinds = [name for name, _ in found]
    assert kinds == ["kernel.rowwise", "kernel.gemm_rowwise", "kernel.gemm_rowwise", "kernel.gemm"]
    assert [backwards for _, backwards in found] == [False, False, False, True]


def test_no_target_that_does_not_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = directions(AnyTarget(), monkeypatch, LARGE)
    assert not any(backwards for _, backwards in found)


def test_models_call_their_kernels_so() -> None:
    """What a kernel is, and its name, do not depend on its direction."""
    program = traced(1 << 18, 4, False)
    run_pipeline(program.module, target="cuda:sm_90a", verify=True)
    ops = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    plan, target = make_plan(program.module), code_target("cuda:sm_90a")
    assert [call.backwards for call in plan.main.calls] == [op.is_backwards for op in ops]
    values = {weight.name: np.zeros(weight.shape, np.float16) for weight in plan.weights}
    text = emit_model(plan, target, "chain", store_weights(plan.weights, values, 64)).text
    count = sum(op.is_backwards for op in ops)
    assert 0 < text.count(", true));") == count < len(ops)
    symbols = {call.view.key: call.backwards for call in plan.main.calls}
    assert len(symbols) < len(ops)
