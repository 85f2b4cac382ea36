"""Convolutions of patches are products of matrices, and mean what they were.

`patches` is a CPU that is fast at products of matrices alone, so that patches are always copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects.functions import find_function
from ait.dialects.kernel import ConvOp, CopyOp, GemmOp
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.fusion.dense_factors import is_scattered
from ait.passes.pipelines import run_pipeline
from ait.passes.target import FAMILIES
from ait.runtime.loader import load
from tests.property.examples import examples

BATCH = Dim("batch", 1, 3)
DTYPES: dict[str, Any] = {"f32": np.float32, "f16": np.float16}


@pytest.fixture(autouse=True, scope="module")
def patch_target() -> Iterator[None]:
    families = dict(FAMILIES, patches="tests.property.patch_target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ait.passes.target.FAMILIES", families)
        yield


@dataclass(frozen=True)
class Patches:
    """A patch embedding: images, patches and what is done to their sums."""

    dtype: str
    patch: tuple[int, int]
    grid: tuple[int, int]
    rest: tuple[int, int]
    """Rows and columns of the image that no patch has."""
    channels: int
    width: int
    last: bool
    """Whether the channels are the last dim of the image."""
    bias: bool
    tokens: bool
    """Whether patches become rows behind a class token, to which positions are added."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image."""
        sizes = [p * n + r for p, n, r in zip(self.patch, self.grid, self.rest, strict=True)]
        return (*sizes, self.channels) if self.last else (self.channels, *sizes)


class Embedding(nn.Module):
    """What vision transformers begin with."""

    def __init__(self, plan: Patches):
        self.plan = plan
        self.conv = nn.Conv2d(
            plan.channels, plan.width, plan.patch, stride=plan.patch, bias=plan.bias
        )
        self.first = nn.Parameter((1, 1, plan.width), init=nn.initialization.small)
        count = plan.grid[0] * plan.grid[1] + plan.tokens
        self.positions = nn.Parameter((1, count, plan.width), init=nn.initialization.small)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        y = self.conv(x.permute(0, 3, 1, 2) if self.plan.last else x)
        if not self.plan.tokens:
            return y.relu()
        rows = y.flatten(2).transpose(1, 2)
        first = self.first.expand(x.shape[0], -1, -1)
        return nn.cat([first, rows], 1) + self.positions


@st.composite
def plans(draw: st.DrawFn) -> Patches:
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    patch = draw(pair.filter(lambda patch: patch != (1, 1)))
    return Patches(
        draw(st.sampled_from(sorted(DTYPES))),
        patch,
        draw(pair),
        draw(st.tuples(st.integers(0, patch[0] - 1), st.integers(0, patch[1] - 1))),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 9)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
    )


def program_of(plan: Patches) -> Program:
    model = Embedding(plan).init_random(seed=3).to(plan.dtype)
    return trace(model, {"x": TensorSpec((BATCH, *plan.shape), plan.dtype)})


def inputs_of(plan: Patches) -> dict[str, Any]:
    x = np.random.default_rng(1).standard_normal((2, *plan.shape))
    return {"x": x.astype(DTYPES[plan.dtype])}


def assert_close(plan: Patches, got: dict[str, Any], want: dict[str, Any]) -> None:
    tolerance = {"f32": 1e-5, "f16": 1e-2}[plan.dtype]
    for name, value in want.items():
        a, b = (np.asarray(v, np.float64) for v in (got[name], value))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


@given(plans())
@examples(80)
def test_patches_are_matrices(plan: Patches) -> None:
    """One copy of the image at most, then a product whose factors have one stride a group."""
    program, inputs = program_of(plan), inputs_of(plan)
    want = evaluate(program, inputs)
    run_pipeline(program.module, target="patches", verify=True)
    assert_close(plan, evaluate(program, inputs), want)
    main = find_function(program.module, "main")
    assert main is not None
    ops = list(main.body.block.ops)
    (product,) = [op for op in ops if isinstance(op, GemmOp)]
    assert not any(isinstance(op, ConvOp) for op in ops)
    assert not any(is_scattered(product, position) for position in (0, 1))
    assert sum(isinstance(op, CopyOp) and op.ins[0] is main.args[0] for op in ops) <= 1


@given(plans())
@examples(80)
def test_values_stay_on_a_gpu(plan: Patches) -> None:
    """Whatever the model of cost decides."""
    program, inputs = program_of(plan), inputs_of(plan)
    want = evaluate(program, inputs)
    run_pipeline(program.module, target="cuda:sm_90a", verify=True)
    assert_close(plan, evaluate(program, inputs), want)


def test_compiled_patches_agree(tmp_path: Path) -> None:
    count = 0

    @given(plans())
    @examples(4)
    def check(plan: Patches) -> None:
        nonlocal count
        count += 1
        program, inputs = program_of(plan), inputs_of(plan)
        want = evaluate(program, inputs)
        library = tmp_path / f"model{count}.so"
        compile_program(program, "patches", library, CompileOptions(verify=True))
        with load(library) as model:
            assert_close(plan, model.run(inputs), want)
            # Weights that are replaced are laid out again.
            replaced = {name: value * 2 for name, value in program.weights.items()}
            again = evaluate(Program(program.module, replaced), inputs)
            model.set_weights(replaced)
            assert_close(plan, model.run(inputs), again)

    check()
