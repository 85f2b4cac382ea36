"""Parts of a tensor that repeat, and code over them: movement that costs nothing, computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects import func

from ait import nn
from ait.dialects import graph
from ait.dialects.kernel import KernelOp, PointwiseOp, ReduceOp
from ait.ir.interpreter import evaluate
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.repeats import known_integers, steps_of
from tests.property.examples import examples
from tests.unit.passes.launches import launches

Tensor = nn.Tensor
BATCH = Dim("batch", 1, 4)


def same_as_before(model: Callable[..., Any], specs: dict[str, TensorSpec]) -> list[Any]:
    """The ops of a model once it is canonical, which computes what it did."""
    program = trace(model, specs)
    rng = np.random.default_rng(0)
    shapes = {n: [d if isinstance(d, int) else 3 for d in spec.shape] for n, spec in specs.items()}
    inputs = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    want = evaluate(program, inputs)
    run_pipeline(program.module, ["canonicalize-graph", "cse-graph", "canonicalize-graph"])
    program.module.verify()
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_array_equal(value, want[name])
    run_pipeline(program.module, ["default"], verify=True)
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_array_equal(value, want[name])
    return list(program.main.walk())


# Indices --------------------------------------------------------------------------------------


def test_integers_that_are_made_in_exponentially_many_ways() -> None:
    def model() -> Tensor:
        index = nn.arange(3)
        for _ in range(60):
            index = index + index
        return index

    (op,) = (op for op in trace(model, {}).main.walk() if isinstance(op, func.ReturnOp))
    found = known_integers(op.operands[0])
    assert found is not None and found.tolist() == [0, 1 << 60, 2 << 60]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-3, 3)), min_size=1, max_size=3),
    st.integers(-2, 9),
)
@examples(200)
def test_steps_count_the_indices(loops: list[tuple[int, int]], first: int) -> None:
    counted = np.full((), first)
    for size, step in loops:
        counted = counted[..., None] + np.arange(size) * step
    steps = steps_of(counted.reshape(-1).tolist())
    assert steps is not None or len(loops) > 1
    if steps is not None:
        again = np.full((), first)
        for size, step in steps:
            again = again[..., None] + np.arange(size) * step
        np.testing.assert_array_equal(again.reshape(-1), counted.reshape(-1))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 2))
@examples(60)
def test_known_indices_pick_what_they_say(indices: list[int], axis: int) -> None:
    shape = [3, 2, 2]
    shape[axis] = 5
    same_as_before(
        lambda x: x.index_select(axis, np.array(indices)), {"x": TensorSpec(tuple(shape))}
    )


REPEATING: dict[str, list[int]] = {
    "once-each": [0, 1, 2, 3, 4],
    "twice-each": [0, 0, 1, 1, 2, 2],
    "all-twice": [0, 1, 2, 0, 1, 2],
    "each-and-all": [1, 1, 2, 2, 1, 1, 2, 2],
    "one": [3],
    "one-often": [3, 3, 3],
    "backwards": [4, 3, 2, 1],
    "backwards-twice": [4, 4, 2, 2, 0, 0],
}


@pytest.mark.parametrize("name", REPEATING)
def test_patterns_of_indices_are_no_lookup(name: str) -> None:
    ops = same_as_before(lambda x: x[:, REPEATING[name]] * 2, {"x": TensorSpec((BATCH, 5, 3))})
    assert [op.name for op in ops if isinstance(op, KernelOp)] == ["kernel.pointwise"]


@pytest.mark.parametrize("indices", [[0, 1, 3], [0, 0, 1], [0, 1, 1, 2], [0, 2, 1, 3]])
def test_other_indices_are_looked_up(indices: list[int]) -> None:
    ops = same_as_before(lambda x: x[:, indices] * 2, {"x": TensorSpec((BATCH, 5, 3))})
    assert "kernel.gather" in [op.name for op in ops if isinstance(op, KernelOp)]


def test_indices_that_are_not_known_or_out_of_range_stay() -> None:
    def model(x: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        doubled = nn.arange(4).repeat_interleave(2, 0)
        return x[rows], x.index_select(0, doubled), rows.index_select(0, np.array([0, 0, 1, 1]))

    specs = {"x": TensorSpec((3, 2)), "rows": TensorSpec((BATCH,), "i64")}
    program = trace(model, specs)
    run_pipeline(program.module, ["canonicalize-graph"], verify=True)
    left = [op for op in program.main.walk() if isinstance(op, graph.GatherOp)]
    # [0, 3] of three rows, and of a number of rows that is not known, must fail when run.
    assert len(left) == 3


# Concats --------------------------------------------------------------------------------------

CONCATS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "of-same": lambda x, y: nn.cat([x, x], 1),
    "of-same-thrice": lambda x, y: nn.cat([x] * 3, 2),
    "of-dynamic": lambda x, y: nn.cat([x, x], 0),
    "of-ones": lambda x, y: nn.cat([x[:, :1]] * 3, 1),
    "of-parts": lambda x, y: nn.cat([x[:, :1], x[:, :1], x[:, 1:2], x[:, 1:2]], 1),
    "of-whole-parts": lambda x, y: nn.cat([x[:, :2], x[:, 2:], x[:, :2], x[:, 2:]], 1),
    "of-parts-of-steps": lambda x, y: nn.cat([x[:, ::2], x[:, ::2]], 1),
    "of-parts-in-disorder": lambda x, y: nn.cat([x[:, 2:3], x[:, :1], x[:, 2:3]], 1),
    "of-parts-of-other-dims": lambda x, y: nn.cat([x[:, :2, :1], x[:, :2, :1], x[:, 2:, :1]], 1),
    "of-two": lambda x, y: nn.cat([x, y, x, y], 1),
    "of-two-unevenly": lambda x, y: nn.cat([x, x, y], 1),
    "of-parts-of-two": lambda x, y: nn.cat([x[:, :1], y[:, :1], x[:, :1]], 1),
    "of-split": lambda x, y: nn.cat([p for p in x.split([1, 3], 1) for _ in range(2)], 1),
    "of-split-elsewhere": lambda x, y: nn.cat([p for p in x.split([2, 2], 1) for _ in "12"], 2),
}


@pytest.mark.parametrize("name", CONCATS)
def test_concats_mean_what_they_did(name: str) -> None:
    x = TensorSpec((BATCH, 4, 3))
    same_as_before(lambda x, y: CONCATS[name](x, y), {"x": x, "y": x})
    same_as_before(lambda x, y: CONCATS[name](x.tanh(), y).exp(), {"x": x, "y": x})


# Code over what repeats -----------------------------------------------------------------------


def kernels(model: Callable[..., Any], **specs: TensorSpec) -> list[KernelOp]:
    program = trace(model, specs)
    run_pipeline(program.module, ["simplify", "lower", "fuse"], verify=True)
    return [op for op in program.main.walk() if isinstance(op, KernelOp)]


def repeated_angles(x: Tensor, a: Tensor) -> Tensor:
    angles = nn.cat([a, a], 1)  # [batch, 6]
    both = x.reshape(BATCH, 4, 2, 3) * angles.cos().reshape(BATCH, 1, 2, 3)
    return both + angles.sin().reshape(BATCH, 1, 2, 3)


def test_code_over_what_repeats_runs_once() -> None:
    specs = {"x": TensorSpec((BATCH, 4, 6)), "a": TensorSpec((BATCH, 3))}
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((2, 4, 6), np.float32)}
    inputs["a"] = rng.standard_normal((2, 3), np.float32)
    assert launches(repeated_angles, specs, inputs) == ["pointwise", "pointwise"]
    angles, _ = kernels(repeated_angles, **specs)
    assert angles.domain == (BATCH, 3)
    assert len(angles.res) == 2


def returned_too(x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    angles = nn.cat([a, a], 1).cos()
    return angles, (x.reshape(BATCH, 4, 2, 3) * angles.reshape(BATCH, 1, 2, 3)).softmax(-1)


def other_shape(x: Tensor, a: Tensor) -> Tensor:
    """Its reader walks across the border of the copies in steps that no repetition has."""
    return x * nn.cat([a, a], 1).cos().reshape(BATCH, 1, 6)


@pytest.mark.parametrize("model", [returned_too, other_shape])
def test_it_stays_where_a_reader_could_not_repeat(model: Callable[..., Any]) -> None:
    specs = {"x": TensorSpec((BATCH, 4, 6)), "a": TensorSpec((BATCH, 3))}
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((2, 4, 6), np.float32)}
    inputs["a"] = rng.standard_normal((2, 3), np.float32)
    launches(model, specs, inputs)


# Sums of one number ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f32", "i64", "i32"])
@pytest.mark.parametrize("kind", ["sum", "mean", "amax", "prod"])
@pytest.mark.parametrize("axes", [0, 1, (0, 1)])
def test_reductions_of_one_number(dtype: str, kind: str, axes: Any) -> None:
    """Literals have no operand that says how much is reduced."""
    if kind == "mean" and dtype != "f32":
        return

    def model(x: Tensor) -> Tensor:
        wide = nn.full((x.shape[0], 3), 3 if dtype != "f32" else 1.5, dtype)
        return getattr(wide, kind)(axes)

    program = trace(model, {"x": TensorSpec((BATCH,))})
    want = evaluate(program, {"x": np.zeros(3, np.float32)})
    run_pipeline(program.module, verify=True)
    got = evaluate(program, {"x": np.zeros(3, np.float32)})
    for name, expected in want.items():
        assert got[name].dtype == expected.dtype
        np.testing.assert_allclose(got[name], expected)


def test_the_value_of_a_dim_is_no_reduction() -> None:
    def model(x: Tensor) -> Tensor:
        return x * (nn.size_tensor(x.shape[0]) * 2 + nn.size_tensor(x.shape[1])).to("f32")

    specs = {"x": TensorSpec((BATCH, Dim("length", 1, 9)))}
    inputs = {"x": np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)}
    assert launches(model, specs, inputs) == ["pointwise"]
    assert not any(isinstance(op, ReduceOp) for op in kernels(model, **specs))


def test_sums_of_positions_are_sums() -> None:
    """What differs from summand to summand is no number."""

    def model(x: Tensor) -> tuple[Tensor, Tensor]:
        rows = nn.arange(x.shape[0])
        return rows.sum(), (rows[:, None] + nn.arange(3)).sum(1)

    program = trace(model, {"x": TensorSpec((BATCH,))})
    inputs = {"x": np.zeros(4, np.float32)}
    want = evaluate(program, inputs)
    run_pipeline(program.module, verify=True)
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_array_equal(value, want[name])


def test_repeated_code_keeps_its_positions() -> None:
    """Code that asks for the position along a dim does not repeat along it."""

    def model(x: Tensor, a: Tensor) -> Tensor:
        wide = a[:, None, :].expand(BATCH, 2, 3)
        there = (wide + nn.arange(2)[:, None].to("f32")).cos()
        return x.reshape(BATCH, 4, 2, 3) * there[:, None]

    specs = {"x": TensorSpec((BATCH, 4, 6)), "a": TensorSpec((BATCH, 3))}
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((2, 4, 6), np.float32)}
    inputs["a"] = rng.standard_normal((2, 3), np.float32)
    launches(model, specs, inputs)
    found = [op for op in kernels(model, **specs) if isinstance(op, PointwiseOp)]
    assert 2 in found[0].domain
