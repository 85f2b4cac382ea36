"""Gemms of one input merge if they differ in their weights alone, whatever surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.dialects.functions import find_function
from ait.dialects.kernel import CopyOp, GemmOp
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.property.examples import examples

BATCH = Dim("batch", 1, 4)
WIDTH = 4
INPUTS = {
    "x": TensorSpec((BATCH, 3, WIDTH)),
    "y": TensorSpec((BATCH, 3, WIDTH)),
    "rows": TensorSpec((BATCH, 3, 1)),
    "other_rows": TensorSpec((BATCH, 3, 1)),
    "columns": TensorSpec((5,)),
    "all": TensorSpec((BATCH, 3, 5)),
}
"""`rows` is the same for all columns of a gemm, `columns` and `all` are not."""


@dataclass(frozen=True)
class Layer:
    """A linear of an input and what follows it, before the softmax that reads its result."""

    source: str = "x"
    bias: bool = False
    follow: str = "nothing"
    narrow: bool = False
    fixed: bool = False
    """Whether it has 5 columns, and not as many as its position says."""


FOLLOW: dict[str, Callable[[nn.Tensor, dict[str, nn.Tensor]], nn.Tensor]] = {
    "nothing": lambda y, _: y,
    "relu": lambda y, _: nn.functional.relu(y),
    "half": lambda y, _: y * 0.5,
    "quarter": lambda y, _: y * 0.25,
    "rows": lambda y, given: y * given["rows"],
    "other rows": lambda y, given: y * given["other_rows"],
    "rows added": lambda y, given: y + given["rows"],
    "columns": lambda y, given: y * given["columns"],
    "all": lambda y, given: y + given["all"],
}
APART = ("columns", "all")
"""What follows gemms that never merge: it is read by columns and is no weight."""
BY_ROWS = ("rows", "other rows", "rows added")
"""What the columns of a gemm share, and a merged gemm reads once."""


def program_of(layers: list[Layer], returned: bool = False) -> Program:
    """Layers, each into a softmax of its own; or, with `returned`, as outputs."""

    class Model(nn.Module):
        def __init__(self) -> None:
            self.parts = nn.ModuleList(
                [
                    nn.Linear(WIDTH, 5 if has_five_columns(layer) else 2 + i, bias=layer.bias)
                    for i, layer in enumerate(layers)
                ]
            )

        def forward(self, **given: nn.Tensor) -> tuple[nn.Tensor, ...]:
            found: list[nn.Tensor] = []
            for part, layer in zip(self.parts, layers, strict=True):
                y = FOLLOW[layer.follow](part(given[layer.source]), given)
                y = y.half() if layer.narrow else y
                found.append(y if returned else y.softmax(0))
            return tuple(found)

    model = Model()
    model.init_random(0)
    return trace(model, INPUTS)


def has_five_columns(layer: Layer) -> bool:
    """What is read together with the result is read through maps of equal sizes."""
    return layer.fixed or layer.follow in APART


def gemms_after_merging(program: Program, stages: tuple[str, ...]) -> int:
    """Runs the passes and checks the results before and after; returns how many gemms are left."""
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.standard_normal([2 if dim == BATCH else dim for dim in spec.shape]).astype("f4")
        for name, spec in INPUTS.items()
    }
    want = evaluate(program, inputs)
    run_pipeline(program.module, stages, verify=True)
    got = evaluate(program, inputs)
    for name, expected in want.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-2, atol=1e-3, err_msg=name)
    main = find_function(program.module, "main")
    assert main is not None
    assert not any(isinstance(op, CopyOp) for op in main.body.block.ops)
    return sum(isinstance(op, GemmOp) for op in main.body.block.ops)


def classes(layers: list[Layer]) -> int:
    """How many gemms are left if all merge that may, and no others."""
    shared = {
        (layer.source, layer.bias, layer.follow, layer.narrow)
        for layer in layers
        if layer.follow not in APART
    }
    return len(shared) + sum(layer.follow in APART for layer in layers)


LAYERS = st.builds(
    Layer,
    st.sampled_from(["x", "x", "y"]),
    st.booleans(),
    st.sampled_from(sorted(FOLLOW)),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(LAYERS, min_size=2, max_size=5))
@examples(60)
def test_those_merge_that_may(layers: list[Layer]) -> None:
    found = gemms_after_merging(program_of(layers), ("simplify", "lower", "fuse"))
    assert found == classes(layers)


@pytest.mark.parametrize("follow", sorted(FOLLOW))
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_like_layers(follow: str, bias: bool, narrow: bool) -> None:
    layers = [Layer("x", bias, follow, narrow, fixed) for fixed in (False, True, False)]
    found = gemms_after_merging(program_of(layers), ("simplify", "lower", "fuse"))
    assert found == (3 if follow in APART else 1)


def test_returned_results_stay_apart() -> None:
    program = program_of([Layer(), Layer()], returned=True)
    assert gemms_after_merging(program, ("simplify", "lower", "fuse")) == 2
