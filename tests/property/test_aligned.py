"""Odd sizes are padded or copied, and every value stays what it was.

`aligned` is a CPU for which all that can be aligned is worth it, so that padded programs are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects.functions import find_function
from ait.dialects.kernel import EmptyOp, KernelOp
from ait.dialects.symbolic import dims_of
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.alignment import misfits
from ait.passes.pipelines import PLACE, expand, run_pipeline
from ait.passes.remarks import collect_remarks
from ait.passes.target import FAMILIES, find_target
from ait.runtime.loader import load
from tests.property.examples import examples

F = nn.functional
N = Dim("n", 1, 6)
TENSORS = tuple(name for name in expand(["default"]) if name not in PLACE)
"""The passes until tensors become buffers."""


@pytest.fixture(autouse=True, scope="module")
def aligned_target() -> Iterator[None]:
    families = dict(FAMILIES, aligned="tests.property.aligned_target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ait.passes.target.FAMILIES", families)
        yield


@dataclass(frozen=True)
class Plan:
    """A chain of layers, by name, with the numbers that choose their sizes."""

    dtype: str
    images: bool
    width: int
    steps: tuple[tuple[str, int], ...]
    returned: int
    """Which of the values on the way is an output too."""
    size: int


LAYERS: dict[str, Callable[[nn.Tensor, int], nn.Tensor]] = {}


def layer(function: Callable[[nn.Tensor, int], nn.Tensor]) -> Callable[[nn.Tensor, int], nn.Tensor]:
    LAYERS[function.__name__] = function
    return function


def made(module: nn.Module, x: nn.Tensor) -> nn.Module:
    return module.init_random(len(current_recorder().parameters)).to(x.dtype)


def features(x: nn.Tensor) -> int:
    extent = x.shape[-1]
    assert isinstance(extent, int)
    return extent


@layer
def linear(x: nn.Tensor, size: int) -> nn.Tensor:
    return made(nn.Linear(features(x), size), x)(x)


@layer
def residual(x: nn.Tensor, size: int) -> nn.Tensor:
    return x + made(nn.Linear(features(x), features(x), bias=False), x)(F.gelu(x))


@layer
def normed(x: nn.Tensor, size: int) -> nn.Tensor:
    return x.softmax(-1) * 3


@layer
def joined(x: nn.Tensor, size: int) -> nn.Tensor:
    return nn.cat([linear(x, size), x.tanh(), linear(x, size + 2).relu()], -1)


@layer
def twins(x: nn.Tensor, size: int) -> nn.Tensor:
    """Two pieces by one kernel."""
    shared = x.softmax(-1)
    return nn.cat([shared.tanh(), shared + x], -1)


@layer
def sliced(x: nn.Tensor, size: int) -> nn.Tensor:
    return x[..., 1:] if features(x) > 1 else x


@layer
def gated(x: nn.Tensor, size: int) -> nn.Tensor:
    gate, up = linear(x, 2 * size).chunk(2, -1)
    return gate.sigmoid() * up


@layer
def attended(x: nn.Tensor, size: int) -> nn.Tensor:
    heads = [linear(x, 2 * size).unflatten(-1, [2, size]).transpose(1, 2) for _ in range(3)]
    return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


@layer
def products(x: nn.Tensor, size: int) -> nn.Tensor:
    return (x @ x.mT) @ x * 0.1


@layer
def convolved(x: nn.Tensor, size: int) -> nn.Tensor:
    image = x.transpose(1, 2).unflatten(-1, [x.shape[1], 1])
    kept = made(nn.Conv2d(features(x), size, (3, 1), padding=(1, 0)), x)(image)
    return kept.flatten(2).transpose(1, 2)


@st.composite
def plans(draw: st.DrawFn, most: int = 5) -> Plan:
    steps = st.tuples(st.sampled_from(sorted(LAYERS)), st.sampled_from([1, 3, 5, 7, 8, 9, 13]))
    return Plan(
        draw(st.sampled_from(["f32", "f16"])),
        draw(st.booleans()),
        draw(st.sampled_from([3, 5, 8, 11])),
        tuple(draw(st.lists(steps, min_size=1, max_size=most))),
        draw(st.integers(0, 8)),
        draw(st.integers(1, 6)),
    )


def program_of(plan: Plan) -> Program:
    def model(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        values = [x]
        for name, size in plan.steps:
            values.append(LAYERS[name](values[-1], size))
        kept = values[1:-1]
        returned = [kept[plan.returned]] if plan.returned < len(kept) else []
        return (values[-1], *returned)

    shape = (N, 5, plan.width) if plan.images else (2, N, plan.width)
    return trace(model, {"x": TensorSpec(shape, plan.dtype)})


def inputs_of(plan: Plan) -> dict[str, Any]:
    shape = (plan.size, 5, plan.width) if plan.images else (2, plan.size, plan.width)
    x = np.random.default_rng(plan.size).standard_normal(shape)
    return {"x": x.astype({"f32": np.float32, "f16": np.float16}[plan.dtype])}


def assert_close(plan: Plan, got: dict[str, Any], want: dict[str, Any]) -> None:
    tolerance = {"f32": 1e-4, "f16": 3e-2}[plan.dtype]
    for name, expected in want.items():
        a, b = (np.asarray(v, np.float64) for v in (got[name], expected))
        scale = 1 + np.max(np.abs(b))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("target", ["any", "cuda:sm_90a", "aligned"])
def test_values_stay(target: str) -> None:
    """The interpreter fills what nothing writes with poison: reading the padding would show."""

    @given(plans())
    @examples(60)
    def check(plan: Plan) -> None:
        program, inputs = program_of(plan), inputs_of(plan)
        want = evaluate(program, inputs)
        run_pipeline(program.module, target=target, verify=True)
        assert_close(plan, evaluate(program, inputs), want)

    check()


@given(plans())
@examples(60)
def test_all_is_aligned_where_it_pays(plan: Plan) -> None:
    """Only what a remark names is left."""
    program = program_of(plan)
    target = find_target("aligned")
    with collect_remarks() as remarks:
        run_pipeline(program.module, TENSORS, target="aligned", verify=True)
    missed = [r for r in remarks if r.pass_name == "align-operands" and r.kind == "missed"]
    main = find_function(program.module, "main")
    assert main is not None
    kernels = [op for op in main.body.block.ops if isinstance(op, KernelOp)]
    left = sum(bool(misfits(op, target)) for op in kernels)
    assert left <= len(missed)
    assert not missed, missed


def test_rows_are_padded() -> None:
    """An internal tensor of odd rows, of a dynamic extent as well, gets longer ones."""

    def model(x: nn.Tensor) -> tuple[nn.Tensor, nn.Tensor]:
        scores = (linear(linear(x, 7), 3) @ x.mT).relu()
        return scores @ x, scores.amax(-1)  # with two readers, they are stored

    program = trace(model, {"x": TensorSpec((2, N, 3), "f16")})
    run_pipeline(program.module, TENSORS, target="aligned", verify=True)
    main = find_function(program.module, "main")
    assert main is not None
    empties = [op for op in main.body.block.ops if isinstance(op, EmptyOp)]
    padded = [dims_of(op.result)[-1] for op in empties]
    assert 8 in padded
    assert (N + 7) // 8 * 8 in padded


def test_compiled_programs_agree(tmp_path: Path) -> None:
    count = 0

    @given(plans(most=4))
    @settings(examples(20))
    def check(plan: Plan) -> None:
        nonlocal count
        count += 1
        program, inputs = program_of(plan), inputs_of(plan)
        want = evaluate(program, inputs)
        library = tmp_path / f"model{count}.so"
        compile_program(program, "aligned", library, CompileOptions(verify=True))
        with load(library) as model:
            assert_close(plan, model.run(inputs), want)
            # A second run sees the workspace as the first left it.
            assert_close(plan, model.run(inputs), want)

    check()
