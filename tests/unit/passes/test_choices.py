"""Choices between fusions: one refusal is not the last word, and nothing depends on order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import FunctionType, f32
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue
from xdsl.rewriter import Rewriter

from ait import nn
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import AttentionOp, CopyOp, EmptyOp, KernelOp, PointwiseOp
from ait.dialects.symbolic import dims_of
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes import target as registry
from ait.passes.pieces import embedding
from ait.passes.pipelines import run_pipeline
from ait.passes.regions import build_region
from ait.passes.target import AnyTarget, Capabilities
from tests.property.examples import examples
from tests.unit.passes.launches import launches

F = nn.functional
Tensor = nn.Tensor
BATCH = Dim("batch", 1, 4)


def arrays(specs: dict[str, TensorSpec]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {n: [d if isinstance(d, int) else 2 for d in spec.shape] for n, spec in specs.items()}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def checked(
    model: Callable[..., Any],
    specs: dict[str, TensorSpec],
    passes: Sequence[str] = ("default",),
    target: str = "any",
) -> list[KernelOp]:
    """The kernels after some passes, which keep the meaning of the model."""
    program = trace(model, specs)
    inputs = arrays(specs)
    want = evaluate(program, inputs)
    run_pipeline(program.module, passes, target=target, verify=True)
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_allclose(value, want[name], rtol=1e-4, atol=1e-5, err_msg=name)
    return [op for op in program.main.walk() if isinstance(op, KernelOp)]


# Operands one after the other -----------------------------------------------------------------


def computing(op: KernelOp, index: int, code: str = "exp") -> PointwiseOp:
    """Puts a kernel in front of `op` that computes its operand `index` from what that was."""
    block = op.parent
    assert block is not None
    value = op.ins[index]
    whole = AccessMap.dense(dims_of(value))
    body = build_region([f32], lambda b, args: [b.unary(code, args[0])])
    empty = EmptyOp(value.type)
    stage = PointwiseOp([value], [empty.result], [whole], [whole], [body])
    block.insert_op_before(empty, op)
    block.insert_op_before(stage, op)
    op.operands[index] = stage.res[0]
    return stage


def returned(program: Program, value: SSAValue) -> None:
    """Makes a program return one more value."""
    last = program.main.body.block.last_op
    assert isinstance(last, ReturnOp)
    inputs = program.main.function_type.inputs
    Rewriter.replace_op(last, ReturnOp(*last.operands, value))
    outputs = [*program.main.function_type.outputs, value.type]
    program.main.function_type = FunctionType.from_lists(list(inputs), outputs)
    program.main.res_attrs = None


@pytest.mark.parametrize("stays", [0, 1])
def test_an_operand_that_stays_does_not_keep_the_others(stays: int) -> None:
    """One operand of a softmax's code is returned too, the other is not."""
    specs = {"x": TensorSpec((BATCH, 6)), "y": TensorSpec((BATCH, 6))}
    program = trace(lambda x, y: (x - y).softmax(-1), specs)
    run_pipeline(program.module, ("simplify", "lower", "fuse"))
    (softmax,) = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    stages = [computing(softmax, 0), computing(softmax, 1)]
    returned(program, stages[stays].res[0])
    run_pipeline(program.module, ("fuse-vertical",), verify=True)
    found = [op.name for op in program.main.walk() if isinstance(op, KernelOp)]
    assert found == ["kernel.pointwise", "kernel.rowwise"]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_reductions_compute_their_operands(count: int, extra: int) -> None:
    """Several operands become one in the code of the reduced, and of those beside the result."""

    def model(**given: Tensor) -> Tensor:
        reduced = [given[f"x{i}"] for i in range(count)]
        total = reduced[0].exp()
        for other in reduced[1:]:
            total = total * other
        result = total.sum(-1)
        for i in range(extra):
            result = result + given[f"y{i}"] * given[f"z{i}"]
        return result

    specs = {f"x{i}": TensorSpec((BATCH, 5, 7)) for i in range(count)}
    for i in range(extra):
        specs |= {f"{name}{i}": TensorSpec((BATCH, 5)) for name in "yz"}
    assert launches(model, specs, arrays(specs)) == ["reduce"]


# Targets that take only some code -------------------------------------------------------------


@dataclass(frozen=True)
class Partial(AnyTarget):
    """A target whose kernels of some kinds take no prologue, or no epilogue."""

    capabilities: Capabilities = AnyTarget.capabilities
    name: str = "partial"


@pytest.fixture
def partial_target(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    def register(**changes: Any) -> str:
        kernels = {
            kind: replace(row, **changes) for kind, row in AnyTarget.capabilities.kernels.items()
        }
        module = ModuleType("partial_target")
        target = Partial(replace(AnyTarget.capabilities, kernels=kernels))
        module.make_target = lambda name: target  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(sys.modules, "partial_target", module)
        monkeypatch.setattr(registry, "FAMILIES", {**registry.FAMILIES, "partial": module.__name__})
        registry.find_target.cache_clear()
        return "partial"

    yield register
    registry.find_target.cache_clear()


@pytest.mark.parametrize(
    ("changes", "kernels"),
    [
        ({}, ["pool"]),
        ({"fuses_prologue": False}, ["pool"]),
        ({"fuses_epilogue": False}, ["pointwise", "pool"]),
    ],
)
def test_code_beside_a_window_is_epilogue(
    partial_target: Callable[..., str], changes: dict[str, bool], kernels: list[str]
) -> None:
    """What a window's result meets is no code on what it reads."""
    specs = {"x": TensorSpec((BATCH, 3, 6, 8)), "y": TensorSpec((BATCH, 3, 3, 4))}
    program = trace(lambda x, y: F.max_pool2d(x, 2) * y, specs)
    run_pipeline(program.module, ("simplify", "lower", "fuse"))
    (pool,) = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    computing(pool, 1)
    run_pipeline(program.module, ("fuse-vertical",), target=partial_target(**changes), verify=True)
    found = [op.name for op in program.main.walk() if isinstance(op, KernelOp)]
    assert [name.removeprefix("kernel.") for name in found] == kernels


# Attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("batch", [BATCH, 1, 3])
def test_the_batch_of_an_attention_is_the_batch(batch: Any, heads: int) -> None:
    """Kernels share keys and masks by batch: heads are not to become it, nor the batch heads."""

    def model(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT).softmax(-1) @ v

    tensor = TensorSpec((batch, heads, 5, 6))
    (op,) = checked(model, {"q": tensor, "k": tensor, "v": tensor}, ("simplify", "lower", "fuse"))
    assert isinstance(op, AttentionOp)
    if heads == 1 or batch == 1:
        assert op.domain[0] * op.domain[1] == batch * heads
    else:
        assert op.domain[:2] == (batch, heads)


def test_code_behind_an_attention_that_writes_into_a_larger_tensor() -> None:
    """Found late, when the second product writes its part of a concat already."""

    def model(q: Tensor, k: Tensor, v: Tensor, other: Tensor) -> Tensor:
        return nn.cat([((q @ k.mT).softmax(-1) @ v).tanh(), other.exp()], 1)

    tensor = TensorSpec((BATCH, 2, 5, 6))
    specs = {"q": tensor, "k": tensor, "v": tensor, "other": tensor}
    program = trace(model, specs)
    inputs = arrays(specs)
    want = evaluate(program, inputs)
    run_pipeline(program.module, ("simplify", "lower"), verify=True)
    with pytest.MonkeyPatch.context() as patch:
        for pattern in ("FuseAttention", "FuseGemmRowwise", "FuseBackToBack"):
            name = f"ait.passes.fuse_vertical.{pattern}.match_and_rewrite"
            patch.setattr(name, lambda *_: None)
        run_pipeline(program.module, ("fuse-vertical", "fuse-memory"), verify=True)
    run_pipeline(program.module, ("fuse-vertical",), verify=True)
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_allclose(value, want[name], rtol=1e-4, atol=1e-5)
    names = [op.name for op in program.main.walk() if isinstance(op, KernelOp)]
    assert "kernel.attention" in names and "kernel.rowwise" not in names


# Assembled tensors ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 2])
def test_concats_of_nothing(rows: int) -> None:
    def model(x: Tensor) -> tuple[Tensor, ...]:
        nothing = nn.cat([x[:, :0], x[:, :0].exp()], 1)
        return nothing, nn.cat([nothing, x], 1), nn.cat([x[:rows], nothing.reshape(0, 3)], 0)

    program = trace(model, {"x": TensorSpec((4, 3))})
    inputs = {"x": np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)}
    want = evaluate(program, inputs)
    run_pipeline(program.module, verify=True)
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_array_equal(value, want[name])


def copies(found: Sequence[KernelOp]) -> int:
    return sum(isinstance(op, CopyOp) for op in found)


@pytest.mark.parametrize("nested_first", [False, True])
def test_a_concat_with_a_shared_concat_is_a_view_of_one_that_has_all_pieces(
    nested_first: bool,
) -> None:
    """The pieces of `both` lie side by side in `flat`, so what holds `both` is the same tensor."""

    def model(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        a, b, c = x.exp(), y.sin(), z.cos()
        both = nn.cat([a, b], 1)
        nested = nn.cat([both, c], 1) if nested_first else None
        flat = nn.cat([a, b, c], 1)
        nested = nn.cat([both, c], 1) if nested is None else nested
        return flat.softmax(1), nested.softmax(0), both.softmax(1)

    tensor = TensorSpec((4, 3))
    found = checked(model, {"x": tensor, "y": tensor, "z": tensor})
    assert copies(found) == 0
    assert sum(isinstance(op, PointwiseOp) for op in found) <= 3


def test_a_concat_that_is_viewed_twice_is_written_once() -> None:
    """In another concat and by itself: it lives in the other."""

    def model(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        turned = nn.cat([x, y], 1).reshape(6, 4)
        return nn.cat([turned, z], 0).softmax(1), turned.softmax(0)

    pair, other = TensorSpec((4, 3)), TensorSpec((2, 4))
    assert copies(checked(model, {"x": pair, "y": pair, "z": other})) == 3


@pytest.mark.parametrize("first", ["wide", "heads"])
@pytest.mark.parametrize("exchanged", [False, True])
def test_only_one_result_of_a_kernel_decides_how_it_is_split(first: str, exchanged: bool) -> None:
    """Two results in two concats, of which one asks for the heads apart."""

    def model(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.exp(), x.exp() * 2 + 1
        if exchanged:
            a, b = b, a
        wide = nn.cat([a, y], 1)
        heads = nn.cat([b.unflatten(1, [2, 3]).transpose(0, 1), z], 2)
        return (wide, heads) if first == "wide" else (heads, wide)

    specs = {"x": TensorSpec((4, 6)), "y": TensorSpec((4, 2)), "z": TensorSpec((2, 4, 5))}
    checked(model, specs)


def test_a_part_of_a_result_is_not_written_in_place() -> None:
    def model(x: Tensor, w: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        z = x @ w
        return nn.cat([z[:, 1:3], y], 1), nn.cat([y, z[:2]], 0)

    specs = {"x": TensorSpec((4, 5)), "w": TensorSpec((5, 3)), "y": TensorSpec((4, 3))}
    found = checked(model, specs)
    assert copies(found) == 4


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(2, 4),
    st.integers(0, 5),
    st.permutations(range(4)),
    st.booleans(),
)
@examples(100)
def test_pieces_say_how_a_tensor_lies_in_another(
    dims: list[int], count: int, offset: int, order: list[int], spread: bool
) -> None:
    """The map of a stack of pieces is found from where its pieces lie, for any number of them."""
    whole = [count, *dims]
    stored = [i for i in order if i < len(whole)]
    strides = [0] * len(whole)
    step = 1
    for dim in reversed(stored):
        strides[dim] = step
        step *= whole[dim] + spread
    place = AccessMap(offset, tuple(whole), tuple(strides))
    piece = AccessMap.dense(dims)
    own = AccessMap.dense(whole)
    pairs = [
        (
            AccessMap(i * own.strides[0], piece.sizes, piece.strides),
            AccessMap(offset + i * strides[0], piece.sizes, tuple(strides[1:])),
        )
        for i in range(count)
    ]
    if 1 in dims:
        # A dim of one index has no stride of its own.
        return
    assert embedding(whole, pairs) == place
    assert embedding(whole, pairs[:2]) == place
    assert embedding(whole, pairs[::-1]) == place
    if count > 2:
        moved = AccessMap(pairs[2][1].offset + 1, piece.sizes, tuple(strides[1:]))
        assert embedding(whole, [*pairs[:2], (pairs[2][0], moved)]) is None
