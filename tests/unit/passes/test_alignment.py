"""What is aligned is read off the maps, and what is not is fused, padded or copied by its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.codegen.cuda.configs import GemmAttr, WgmmaAttr
from ait.dialects.accessor import AccessMap
from ait.dialects.functions import find_function
from ait.dialects.kernel import ConvOp, CopyOp, GemmOp, KernelOp
from ait.dialects.symbolic import Dim, dims_of, rounded_up, symbol
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.program import parse_module
from ait.ir.trace import TensorSpec, trace
from ait.passes.alignment import has_single_strides, misfits, slowness
from ait.passes.cost import seconds, seconds_on
from ait.passes.pipelines import PLACE, expand, run_pipeline
from ait.passes.remarks import Remark, collect_remarks
from ait.passes.target import AlignedAccess, AnyTarget, Capabilities, find_target

TENSORS = tuple(name for name in expand(["default"]) if name not in PLACE)
N = symbol("n", 1, 64)
F8 = dtype_of("f8E4M3FN").numpy


def gemm(
    left: AccessMap,
    right: AccessMap,
    out: AccessMap,
    groups: tuple[int, int, int, int] = (0, 1, 1, 1),
    element: str = "f16",
) -> GemmOp:
    """A gemm with these maps, of tensors that are large enough."""
    of_type = TYPE.format(element)

    def operand(name: str, access: AccessMap) -> str:
        return f"%{name} <{access}{bounds(access)}> : {of_type}"

    def bounds(access: AccessMap) -> str:
        dynamic = any(not isinstance(dim, int) for dim in access.dims)
        return ", n in [1, 64]" if dynamic else ""

    module = parse_module(f"""
    func.func @main(%a: {of_type}, %b: {of_type}) -> {of_type} {{
      %e = kernel.empty : {of_type}
      %r = kernel.gemm ins({operand("a", left)}, {operand("b", right)}) outs({operand("e", out)})
        {{groups = array<i64: {", ".join(map(str, groups))}>}} epilogue {{
      ^bb0(%x: f32):
        kernel.yield %x : f32
      }}
      func.return %r : {of_type}
    }}""")
    main = find_function(module, "main")
    assert main is not None
    (op,) = (op for op in main.body.block.ops if isinstance(op, GemmOp))
    KEPT.append(module)
    return op


TYPE = "tensor<100000x{}>"
KEPT: list[Any] = []
"""Modules of the ops under test, which would die without."""


def mapped(offset: Dim, sizes: tuple[Dim, ...], strides: tuple[Dim, ...]) -> AccessMap:
    return AccessMap(offset, sizes, strides)


DENSE = mapped(0, (16, 24), (24, 1))
RIGHT = mapped(0, (24, 8), (8, 1))
OUT = mapped(0, (16, 8), (8, 1))


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (DENSE, None),
        (mapped(8, (16, 24), (24, 1)), None),
        (mapped(1, (16, 24), (24, 1)), "offset 1 of 2 bytes each"),
        (mapped(4, (16, 24), (24, 1)), "offset 4 of 2 bytes each"),
        (mapped(0, (16, 24), (25, 1)), "stride 25 of 2 bytes each"),
        (mapped(0, (16, 24), (1, 16)), None),
        (mapped(0, (16, 24), (1, 20)), "stride 20 of 2 bytes each"),
        (mapped(0, (16, 24), (48, 2)), "no dim of unit stride"),
        (mapped(0, (16, 24), (N * 8, 1)), None),
        (mapped(N * 16 + 8, (16, 24), (N * 24, 1)), None),
        (mapped(0, (16, 24), (N * 8 + 4, 1)), "stride n * 8 + 4 of 2 bytes each"),
        (mapped(0, (16, 24), (rounded_up(N + 23, 8), 1)), None),
        # One index has no stride; a broadcast has none either.
        (mapped(0, (16, 24), (0, 1)), None),
    ],
)
def test_misfits_of_maps(left: AccessMap, reason: str | None) -> None:
    found = misfits(gemm(left, RIGHT, OUT), find_target("any"))
    assert found == ({} if reason is None else {0: reason})


def test_an_odd_run_is_aligned_unless_all_of_it_must_be_vectors() -> None:
    op = gemm(mapped(0, (16, 21), (24, 1)), mapped(0, (21, 8), (8, 1)), OUT)
    target = find_target("any")
    assert misfits(op, target) == {}
    whole = described(whole_runs=True)
    assert misfits(op, whole) == {0: "a run of 21 elements of 2 bytes"}
    assert slowness(op, target) == 1.0
    assert slowness(op, whole) == 4.0
    assert seconds_on(op, whole) == pytest.approx(4 * seconds(op, whole.description))


def test_results_count_and_types_decide() -> None:
    op = gemm(DENSE, mapped(0, (24, 7), (1, 24)), mapped(0, (16, 7), (7, 1)))
    assert misfits(op, find_target("any")) == {2: "stride 7 of 2 bytes each"}
    assert misfits(op, find_target("cpu")) == {}
    assert misfits(op, find_target("cuda:sm_90a")) != {}
    # Hopper's kernels take 16-bit factors; older devices have none that ask for alignment.
    wide = gemm(DENSE, mapped(0, (24, 7), (1, 24)), mapped(0, (16, 7), (7, 1)), element="f32")
    assert misfits(wide, find_target("cuda:sm_90a")) == {}
    assert misfits(op, find_target("cuda:sm_80")) == {}


def test_groups_of_several_strides() -> None:
    one = gemm(
        mapped(0, (4, 4, 24), (96, 24, 1)), RIGHT, mapped(0, (4, 4, 8), (32, 8, 1)), (0, 2, 1, 1)
    )
    two = gemm(
        mapped(0, (4, 4, 24), (96, 24, 1)), RIGHT, mapped(0, (4, 4, 8), (64, 8, 1)), (0, 2, 1, 1)
    )
    assert has_single_strides(one) and not has_single_strides(two)
    assert misfits(two, find_target("any")) == {}
    assert slowness(two, find_target("any")) == 1.0
    assert slowness(two, described(single_strides=True)) == 4.0


class Described(AnyTarget):
    """A target with facts of its own, whose kernels hold no whole rows."""

    name = "described"

    def __init__(self, aligned: AlignedAccess, launch_seconds: float, bandwidth: float):
        self.capabilities = replace_aligned(AnyTarget.capabilities, aligned)
        self.description = replace(
            AnyTarget.description, launch_seconds=launch_seconds, memory_bandwidth=bandwidth
        )


def replace_aligned(given: Capabilities, aligned: AlignedAccess) -> Capabilities:
    rows = {
        kind: replace(row, aligned=None if row.aligned is None else aligned, rows=None)
        for kind, row in given.kernels.items()
    }
    return replace(given, kernels=rows)


def described(
    speed: float = 0.25,
    launch_seconds: float = 1e-6,
    bandwidth: float = 4e12,
    *,
    whole_runs: bool = False,
    single_strides: bool = False,
) -> Described:
    aligned = AlignedAccess(16, speed, None, whole_runs, single_strides)
    return Described(aligned, launch_seconds, bandwidth)


# Decisions ------------------------------------------------------------------------------------


def linear(x: nn.Tensor, features: int) -> nn.Tensor:
    width = x.shape[-1]
    assert isinstance(width, int)
    layer = nn.Linear(width, features, bias=False)
    return layer.init_random(len(current_recorder().parameters)).to(x.dtype)(x)


def run(
    model: Callable[..., Any],
    specs: dict[str, TensorSpec],
    target: AnyTarget,
    monkeypatch: pytest.MonkeyPatch,
    check: bool = True,
) -> tuple[list[KernelOp], list[Remark]]:
    """The kernels of a model for a target, checked to compute what it says, and the remarks."""
    program = trace(model, specs)
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.standard_normal(spec.shape).astype(np.float16) for name, spec in specs.items()
    }
    want = evaluate(program, inputs) if check else {}
    for module in ("align_operands", "fuse_memory", "fuse_horizontal", "fuse_vertical"):
        monkeypatch.setattr(f"ait.passes.{module}.find_target", lambda _: target)
    with collect_remarks() as remarks:
        run_pipeline(program.module, TENSORS, verify=True)
    for name, value in want.items():
        got = evaluate(program, inputs)[name]
        np.testing.assert_allclose(got.astype("f4"), value.astype("f4"), rtol=1e-2, atol=1e-2)
    main = find_function(program.module, "main")
    assert main is not None
    return [op for op in main.body.block.ops if isinstance(op, KernelOp)], remarks


SLOW: dict[str, Any] = {"speed": 1e-9, "launch_seconds": 1e-6}
"""A target for which any misfit costs more than any copy."""
FAST: dict[str, Any] = {"speed": 0.9, "launch_seconds": 1e-3}
"""A target for which no misfit costs as much as a copy."""


def f16(*shape: int) -> TensorSpec:
    return TensorSpec(shape, "f16")


def copies(kernels: list[KernelOp]) -> int:
    return sum(isinstance(op, CopyOp) for op in kernels)


@pytest.mark.parametrize(("facts", "copied"), [(SLOW, 1), (FAST, 0)], ids=["slow", "fast"])
def test_a_piece_at_an_odd_place_is_written_there_if_that_is_cheaper(
    facts: Any, copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece begins at 0 and is aligned once rows are padded; the second is not."""

    def model(x: nn.Tensor, y: nn.Tensor) -> nn.Tensor:
        return nn.cat([linear(x, 9), linear(y, 15)], -1).softmax(-1)

    specs = {"x": f16(4, 16), "y": f16(4, 24)}
    kernels, remarks = run(model, specs, described(**facts), monkeypatch)
    assert copies(kernels) == copied
    refused = [r for r in remarks if "would not be aligned in place" in r.message]
    assert len(refused) == copied
    for remark in refused:
        assert "offset 9 of 2 bytes each" in remark.message
        assert "slower" in remark.message and "to copy" in remark.message


@pytest.mark.parametrize(("facts", "copied"), [(SLOW, 1), (FAST, 0)], ids=["slow", "fast"])
def test_a_piece_is_read_at_an_odd_place_if_that_is_cheaper(
    facts: Any, copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes the piece does not mind, but a linear reads it."""

    def model(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        part = x.softmax(-1)
        return nn.cat([x[:, :1].tanh(), part], -1).softmax(-1), linear(part, 8)

    kernels, remarks = run(model, {"x": f16(4, 16)}, described(**facts), monkeypatch)
    assert copies(kernels) == copied
    assert any("would not be aligned in place" in r.message for r in remarks) == bool(copied)


@pytest.mark.parametrize(("facts", "copied"), [(SLOW, 1), (FAST, 0)], ids=["slow", "fast"])
def test_columns_of_an_input_are_copied_if_that_is_cheaper(
    facts: Any, copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One copy for both that read them."""

    def model(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        part = x[:, 1:]
        return linear(part, 8).softmax(-1), linear(part, 16).tanh()

    kernels, remarks = run(model, {"x": f16(4, 17)}, described(**facts), monkeypatch)
    assert copies(kernels) == copied
    told = [r for r in remarks if r.pass_name == "align-operands"]
    assert told and all(r.kind == ("applied" if copied else "missed") for r in told[:1])
    assert "operand 0 has offset 1 of 2 bytes each" in told[0].message


def test_a_chain_of_odd_linears_is_padded_without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(x: nn.Tensor) -> nn.Tensor:
        return linear(linear(linear(x, 9).relu(), 11), 8)

    target = described(**SLOW)
    kernels, _ = run(model, {"x": f16(4, 16)}, target, monkeypatch)
    assert [type(op) for op in kernels] == [GemmOp, GemmOp, GemmOp]
    assert not any(misfits(op, target) for op in kernels)


def test_heads_are_padded_together_only_if_their_writers_do_not_lose_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gemm that must walk its columns in one stride cannot write padded heads."""

    def model(x: nn.Tensor) -> nn.Tensor:
        q, k, v = (linear(x, 10).unflatten(-1, [2, 5]).transpose(0, 1)[None] for _ in range(3))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return mixed[0].transpose(0, 1).flatten(1)

    specs = {"x": f16(4, 16)}
    free = described(**SLOW)
    kernels, _ = run(model, specs, free, monkeypatch)
    assert not any(misfits(op, free) for op in kernels)
    strict = described(**SLOW, single_strides=True)
    kernels, _ = run(model, specs, strict, monkeypatch)
    assert all(has_single_strides(op) for op in kernels)


def test_a_target_without_slow_kernels_pads_nothing() -> None:
    program = trace(lambda x: linear(linear(x, 771), 257), {"x": f16(4096, 64)})
    before = str(program.module)
    run_pipeline(program.module, ["align-operands"], target="cpu", verify=True)
    assert str(program.module) == before


@pytest.mark.parametrize("rows", [4096, symbol("n", 1, 4096)], ids=["static", "dynamic"])
def test_odd_linears_run_on_hopper_kernels(rows: Dim) -> None:
    """Odd K and N: without padding each of the gemms would be one of our own."""

    def model(x: nn.Tensor) -> nn.Tensor:
        return linear(linear(linear(x, 771).relu(), 257).softmax(-1), 512)

    program = trace(model, {"x": TensorSpec((rows, 1024), "f16")})
    target = find_target("cuda:sm_90a")
    run_pipeline(program.module, TENSORS, target=target.name, verify=True)
    main = find_function(program.module, "main")
    assert main is not None
    gemms = [op for op in main.body.block.ops if isinstance(op, GemmOp)]
    assert len(gemms) == 3
    assert all(isinstance(target.candidates(op)[0], GemmAttr | WgmmaAttr) for op in gemms)
    widths = [dims_of(op.outs[0])[-1] for op in gemms]
    assert widths == [776, 264, 512]


class Multiplied(nn.Module):
    """A product with a weight of 8 bits that lies across its sum."""

    def __init__(self, depth: int, columns: int) -> None:
        self.weight = nn.Parameter((depth, columns), "f8E4M3FN")

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return x.to("f16") @ (self.weight.to("f16") * 0.5)


@pytest.mark.parametrize(
    ("depth", "columns", "copies"), [(512, 384, 0), (512, 390, 0), (500, 384, 1)]
)
def test_weights_of_8_bits_are_stored_along_the_sum(depth: int, columns: int, copies: int) -> None:
    """Rows of an input that begin anywhere are copied; results are written anywhere."""
    model = Multiplied(depth, columns)
    rng = np.random.default_rng(0)
    model.load_state_dict({"weight": rng.normal(0, 1, (depth, columns)).astype(F8)})
    program = trace(model, {"x": TensorSpec((64, depth), "f8E4M3FN")})
    x = rng.normal(0, 1, (64, depth)).astype(F8)
    expected = evaluate(program, {"x": x})["output"].astype(np.float32)
    run_pipeline(program.module, target="cuda:sm_90a", verify=True)
    actual = evaluate(program, {"x": x})["output"].astype(np.float32)
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())
    (gemm,) = (op for op in program.main.walk() if isinstance(op, GemmOp))
    assert isinstance(gemm.config, WgmmaAttr)
    assert sum(isinstance(op, CopyOp) for op in program.main.walk()) == copies


def test_a_factor_of_8_bits_is_copied_where_that_is_cheaper() -> None:
    def copies(rows: int) -> int:
        specs = {
            "x": TensorSpec((rows, 1024), "f8E4M3FN"),
            "w": TensorSpec((1024, 1024), "f8E4M3FN"),
        }
        program = trace(lambda x, w: x.to("f32") @ w.to("f32"), specs)
        run_pipeline(program.module, target="cuda:sm_90a", verify=True)
        return sum(isinstance(op, CopyOp) for op in program.main.walk())

    assert [copies(rows) for rows in (1, 4096)] == [0, 1]


def test_kernels_that_need_whole_vectors_are_left() -> None:
    """Convolutions of our own copy channels in vectors: padding rows would not help them."""

    class Model(nn.Module):
        def __init__(self) -> None:
            self.first = nn.Conv2d(64, 131, 3, padding=1)
            self.second = nn.Conv2d(131, 64, 3, padding=1)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.second(self.first(x))

    program = trace(
        Model().half(), {"x": TensorSpec((16, 64, 56, 56), "f16")}, require_weights=False
    )
    with collect_remarks() as remarks:
        run_pipeline(program.module, TENSORS, target="cuda:sm_90a", verify=True)
    missed = [r.message for r in remarks if r.pass_name == "align-operands"]
    assert missed and all("a run of 131 elements" in message for message in missed)
    convs = [op for op in program.module.walk() if isinstance(op, ConvOp)]
    assert dims_of(convs[0].outs[0])[-1] == 131
