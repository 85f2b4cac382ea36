"""Memory fusion: what must be copied is, exactly that, and every value stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.kernel import ConvOp, CopyOp, GemmOp, KernelOp
from ait.ir.interpreter import evaluate
from ait.ir.program import Program, parse_module
from ait.ir.trace import Dim, TensorSpec
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks
from ait.passes.target import AnyTarget, Capabilities, KernelCapability
from tests.unit.passes.launches import launches

Tensor = nn.Tensor
BATCH = Dim("batch", 1, 4)
X = {"x": TensorSpec((BATCH, 6), "f32"), "y": TensorSpec((BATCH, 6), "f32")}
INPUTS = {k: np.random.default_rng(i).standard_normal((3, 6), np.float32) for i, k in enumerate(X)}


def copies(model: Callable[[Tensor, Tensor], Any]) -> int:
    """The copies of a model, which is checked to compute what it says."""
    found = launches(model, X, INPUTS, copies=True)
    return "+".join(found).split("+").count("copy")


def norm(x: Tensor) -> Tensor:
    """A kernel that reads and writes whole rows."""
    return x.softmax(-1)


def test_piece_that_is_used_twice_is_copied_once() -> None:
    def model(x: Tensor, y: Tensor) -> Tensor:
        a = norm(x)
        return nn.cat([a, norm(y), a], 1)

    assert copies(model) == 1


def test_inputs_among_nested_pieces_are_copied_and_nothing_else() -> None:
    def model(x: Tensor, y: Tensor) -> Tensor:
        inner = nn.cat([x, norm(x)], 1)
        return nn.cat([norm(inner), inner, y], 1)

    assert copies(model) == 2


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("read_elsewhere", [False, True])
def test_part_of_a_result_is_copied(
    axis: int, start: int, before: bool, read_elsewhere: bool
) -> None:
    """Its kernel writes all of it, which has no place in the concat."""

    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        whole = norm(x)
        window = [slice(None), slice(None)]
        window[axis] = slice(start, start + 3)  # of less, no more would be computed
        part = whole[tuple(window)]
        pieces = [part, norm(y)[:, : part.shape[1]]] if axis == 0 else [part, norm(y)]
        joined = nn.cat(pieces[::-1] if before else pieces, axis)
        return (norm(joined), norm(whole + 1)) if read_elsewhere else (norm(joined),)

    specs = {name: TensorSpec((5, 6), "f32") for name in "xy"}
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal((5, 6), np.float32) for name in "xy"}
    found = launches(model, specs, inputs, copies=True)
    assert "+".join(found).split("+").count("copy") == 1


@pytest.mark.parametrize("dtype", ["f32", "f16", "i64", "i32", "i1"])
@pytest.mark.parametrize("axis", [0, 1])
def test_padding_of_every_type_is_filled(dtype: str, axis: int) -> None:
    """The kernel writes its result into the padded tensor, which is filled before."""

    def model(x: Tensor) -> Tensor:
        sides = [1, 2] if axis == 1 else [0, 0, 1, 2]
        return nn.functional.pad((x * 2).to(dtype), sides, value=1)

    x = np.arange(-6, 6).reshape(2, 6)
    found = launches(model, {"x": TensorSpec((2, 6), "i32")}, {"x": x.astype(np.int32)})
    assert found == ["pointwise", "pointwise"]


@pytest.mark.parametrize("fill", [None, 2.0])
def test_neighbours_in_one_tensor_are_one_piece(fill: float | None) -> None:
    first, width = (0, 5) if fill is None else (1, 6)
    filled = "" if fill is None else f"fill = {fill} : f32, "
    places = [
        f"#accessor.map<offset {first + start}, sizes [3, {size}], strides [{width}, 1]>"
        for start, size in ((0, 2), (2, 3))
    ]
    module = parse_module(f"""
func.func @main(%x: tensor<3x8xf32>) -> tensor<3x{width}xf32> {{
  %a = accessor.view %x <offset 1, sizes [3, 2], strides [8, 1]>
      : tensor<3x8xf32> -> tensor<3x2xf32>
  %b = accessor.view %x <offset 3, sizes [3, 3], strides [8, 1]>
      : tensor<3x8xf32> -> tensor<3x3xf32>
  %c = accessor.assemble %a, %b {{{filled}maps = [{", ".join(places)}]}}
      : (tensor<3x2xf32>, tensor<3x3xf32>) -> tensor<3x{width}xf32>
  func.return %c : tensor<3x{width}xf32>
}}
""")
    program = Program(module, {})
    inputs = [np.arange(24, dtype=np.float32).reshape(3, 8)]
    (want,) = evaluate(program, inputs).values()
    run_pipeline(module, ["fuse-memory"], verify=True)
    (got,) = evaluate(program, inputs).values()
    np.testing.assert_array_equal(got, want)
    assert sum(isinstance(op, CopyOp) for op in module.walk()) == 1


def test_piece_that_is_returned_is_copied() -> None:
    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        a = norm(x)
        return a, nn.cat([a, norm(y)], 1)

    assert copies(model) == 1


def test_inner_concat_that_is_returned_is_copied_as_a_whole() -> None:
    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        inner = nn.cat([norm(x), norm(y)], 1)
        return inner, nn.cat([inner, norm(inner)], 1)

    assert copies(model) == 1


def test_overlapping_concats_share_what_they_can() -> None:
    """No tensor holds both concats, so the piece that they share is written twice."""

    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        a, b, c = norm(x), norm(y), norm(x * y)
        return nn.cat([a, b], 1), nn.cat([b, c], 1)

    assert copies(model) == 1


def test_overlapping_concats_are_views_of_one_that_holds_both() -> None:
    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        a, b, c = norm(x), norm(y), norm(x * y)
        first, second = norm(nn.cat([a, b], 1)), norm(nn.cat([b, c], 1))
        return first, second, nn.cat([a, b, c], 1)

    assert copies(model) == 0


def test_pieces_in_another_order_are_no_view() -> None:
    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        a, b = norm(x), norm(y)
        return norm(nn.cat([b, a], 1)), nn.cat([a, b, norm(x * y)], 1)

    assert copies(model) == 2


def test_concat_on_either_side_of_its_host_is_a_view() -> None:
    """Also where the larger concat comes first, and where other axes are concatenated."""

    def model(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        a, b, c = norm(x), norm(y), norm(x * y)
        large = nn.cat([a, b, c], 0)
        return large, norm(nn.cat([a, b], 0)), norm(nn.cat([b, c], 0))

    assert copies(model) == 0


def test_two_results_of_one_kernel_are_not_written_into_one_tensor() -> None:
    """Each write makes a new value of the tensor, and one kernel cannot make both."""

    def model(x: Tensor, y: Tensor) -> Tensor:
        a = x * y
        return nn.cat([a.tanh(), a.exp(), norm(x)], 1)

    assert copies(model) <= 1


def test_chain_of_doublings_stays_small() -> None:
    """Each concat of one tensor with itself: the pieces of pieces double with every step."""

    def model(x: Tensor, y: Tensor) -> Tensor:
        for _ in range(10):
            x = nn.cat([x, x], 1)
        return x + 1

    assert copies(model) <= 20


UPDATED = """
func.func @main(%x: tensor<2x3xf32>) -> (tensor<2x6xf32>, tensor<2x3xf32>) {
  %e = kernel.empty : tensor<2x3xf32>
  %f = kernel.empty : tensor<2x3xf32>
  %a = kernel.copy ins(%x <offset 0, sizes [3], strides [1]> : tensor<2x3xf32>)
    outs(%e <offset 0, sizes [3], strides [1]> : tensor<2x3xf32>)
  %b = kernel.copy ins(%x <offset 3, sizes [3], strides [1]> : tensor<2x3xf32>)
    outs(%a <offset 3, sizes [3], strides [1]> : tensor<2x3xf32>)
  %c = kernel.copy ins(%b : tensor<2x3xf32>) outs(%f : tensor<2x3xf32>)
  %y = accessor.assemble %b, %c {maps = [#accessor.map<offset 0, sizes [2, 3], strides [6, 1]>,
    #accessor.map<offset 3, sizes [2, 3], strides [6, 1]>]}
    : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  func.return %y, %b : tensor<2x6xf32>, tensor<2x3xf32>
}
"""


def kernels(program: Program, kind: type[KernelOp]) -> list[KernelOp]:
    return [op for op in program.main.body.block.ops if isinstance(op, kind)]


def test_tensor_that_is_updated_in_steps_is_copied() -> None:
    """Its first step writes a part of it only: it cannot move into a larger tensor step by step."""
    program = Program(parse_module(UPDATED), {})
    inputs = {"input_0": np.arange(6, dtype=np.float32).reshape(2, 3)}
    want = evaluate(program, inputs)
    with collect_remarks() as remarks:
        run_pipeline(program.module, ["fuse-memory"], verify=True)
    assert any("already part of another tensor" in r.message for r in remarks)
    for names in ([], ["bufferize", "plan-memory"]):
        run_pipeline(program.module, names, verify=True)
        for name, value in evaluate(program, inputs).items():
            np.testing.assert_array_equal(value, want[name])
    assert len(kernels(program, CopyOp)) == 4


class Picky(AnyTarget):
    """A target whose gemms and convolutions read only what lies in rows."""

    name = "picky"

    def refusal(self, op: KernelOp) -> str | None:
        """Factors of gemms must be dense."""
        if isinstance(op, GemmOp | ConvOp) and not op.in_access[0].is_dense:
            return "its left factor is not dense"
        return None


class Dense(AnyTarget):
    """A target whose kernels write dense results only."""

    name = "dense"
    capabilities = Capabilities(
        {
            kind: replace(KernelCapability(), strided_results=kind is CopyOp)
            for kind in AnyTarget.capabilities.kernels
        }
    )


NESTED = """
func.func @main(%x: tensor<4x3xf32>, %w0: tensor<3x2xf32>, %w1: tensor<5x5xf32>)
    -> tensor<4x10xf32> {
  %0 = graph.tanh %x : tensor<4x3xf32>
  %1 = graph.matmul %0, %w0 : (tensor<4x3xf32>, tensor<3x2xf32>) -> tensor<4x2xf32>
  %2 = graph.concat %0, %1 {axis = 1} : (tensor<4x3xf32>, tensor<4x2xf32>) -> tensor<4x5xf32>
  %3 = graph.matmul %2, %w1 : (tensor<4x5xf32>, tensor<5x5xf32>) -> tensor<4x5xf32>
  %4 = graph.concat %2, %3 {axis = 1} : (tensor<4x5xf32>, tensor<4x5xf32>) -> tensor<4x10xf32>
  func.return %4 : tensor<4x10xf32>
}
"""


@pytest.mark.parametrize(
    ("target", "copied"),
    [(AnyTarget(), 0), (Picky(), 2), (Dense(), 3)],
    ids=["any", "picky", "dense"],
)
def test_targets_are_asked(target: AnyTarget, copied: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that cannot read or write strided gets copies, not kernels that it refuses."""
    program = Program(parse_module(NESTED), {})
    rng = np.random.default_rng(0)
    shapes = {"input_0": (4, 3), "input_1": (3, 2), "input_2": (5, 5)}
    inputs = {k: rng.standard_normal(s, np.float32) for k, s in shapes.items()}
    want = evaluate(program, inputs)
    run_pipeline(program.module, ["lower", "fuse-vertical"], verify=True)

    def chosen(_: str) -> AnyTarget:
        return target

    monkeypatch.setattr("ait.passes.fuse_memory.find_target", chosen)
    run_pipeline(program.module, ["fuse-memory"], verify=True)
    for name, value in evaluate(program, inputs).items():
        np.testing.assert_allclose(value, want[name], rtol=1e-5)
    assert len(kernels(program, CopyOp)) == copied
    assert all(target.refusal(op) is None for op in kernels(program, KernelOp))
