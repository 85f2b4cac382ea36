"""Sums of products mean the same as one product of joined factors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects import graph
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import SIMPLIFY, run_pipeline
from ait.passes.target import FAMILIES
from ait.runtime.loader import load
from tests.property.examples import examples

F = nn.functional
BATCH = Dim("batch", 1, 4)
INTO = 16


@dataclass(frozen=True)
class Plan:
    """A block and its shortcut, both of which end in a product; the sum of both is activated."""

    channels: int
    hidden: int
    stride: int
    size: int
    biases: tuple[bool, bool]
    swapped: bool
    returned: bool
    """Whether what both read is an output as well."""
    images: bool
    dtype: str


class Block(nn.Module):
    def __init__(self, plan: Plan):
        self.plan = plan
        c, h = plan.channels, plan.hidden
        if plan.images:
            self.first: nn.Module = nn.Conv2d(c, h, 3, stride=plan.stride, padding=1)
            self.last: nn.Module = nn.Conv2d(h, INTO, 1, bias=plan.biases[0])
            self.short: nn.Module = nn.Conv2d(c, INTO, 1, stride=plan.stride, bias=plan.biases[1])
        else:
            self.first = nn.Linear(c, h)
            self.last = nn.Linear(h, INTO, bias=plan.biases[0])
            self.short = nn.Linear(c, INTO, bias=plan.biases[1])

    def forward(self, x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        x = x.tanh()
        block, short = self.last(self.first(x).relu()), self.short(x)
        y = F.relu(short + block if self.plan.swapped else block + short)
        return (y, x) if self.plan.returned else (y,)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    flag = st.booleans()
    return Plan(
        draw(st.sampled_from([3, 8])),
        draw(st.sampled_from([5, 8, 16])),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 7)),
        (draw(flag), draw(flag)),
        draw(flag),
        draw(flag),
        draw(flag),
        draw(st.sampled_from(["f32", "f16"])),
    )


def program_of(plan: Plan) -> Program:
    model = Block(plan).init_random(seed=1).to(plan.dtype)
    shape = (BATCH, plan.channels, plan.size, plan.size + 1)
    rows = (BATCH, plan.size, plan.channels)
    return trace(model, {"x": TensorSpec(shape if plan.images else rows, plan.dtype)})


def inputs_of(plan: Plan) -> dict[str, Any]:
    shape = (3, plan.channels, plan.size, plan.size + 1)
    rows = (3, plan.size, plan.channels)
    x = np.random.default_rng(2).standard_normal(shape if plan.images else rows)
    return {"x": x.astype({"f32": np.float32, "f16": np.float16}[plan.dtype])}


def assert_close(plan: Plan, got: dict[str, Any], want: dict[str, Any]) -> None:
    tolerance = {"f32": 1e-5, "f16": 1e-2}[plan.dtype]
    for name, value in want.items():
        a, b = (np.asarray(v, np.float64) for v in (got[name], value))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


@given(plans(), st.sampled_from(["any", "cpu", "cuda:sm_90a"]))
@examples(120)
def test_values_stay(plan: Plan, target: str) -> None:
    program, inputs = program_of(plan), inputs_of(plan)
    want = evaluate(program, inputs)
    run_pipeline(program.module, target=target, verify=True)
    assert_close(plan, evaluate(program, inputs), want)


@given(plans().filter(lambda plan: plan.stride == 1 and plan.size > 1))
@examples(40)
def test_small_blocks_end_in_one_product(plan: Plan) -> None:
    """On a target of one speed for all addresses, a launch less is worth it."""
    program = program_of(plan)
    run_pipeline(program.module, SIMPLIFY, target="cpu", verify=True)
    products = [op for op in program.main.walk() if isinstance(op, graph.LinearOp | graph.Conv2dOp)]
    assert len(products) == 2


def test_compiled_blocks_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the weights as traced, and with others."""
    families = dict(FAMILIES, quick="tests.unit.codegen.cpu.quick_target")
    monkeypatch.setattr("ait.passes.target.FAMILIES", families)
    count = 0

    @given(plans())
    @examples(4)
    def check(plan: Plan) -> None:
        nonlocal count
        count += 1
        program, inputs = program_of(plan), inputs_of(plan)
        replaced = {name: value * 2 for name, value in program.weights.items()}
        want = evaluate(program, inputs)
        again = evaluate(Program(program.module, replaced), inputs)
        library = tmp_path / f"model{count}.so"
        compile_program(program, "quick", library, CompileOptions(verify=True))
        with load(library) as model:
            assert_close(plan, model.run(inputs), want)
            model.set_weights(replaced)
            assert_close(plan, model.run(inputs), again)

    check()
