"""Which gemms Composable Kernel takes, with which instances, and how they are written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ait.codegen.gpu.family import Refusal
from ait.codegen.hip.dialect import CkGemmAttr
from ait.codegen.hip.gemm import instances, mismatch
from ait.codegen.hip.gemm_problem import GemmProblem, classify
from ait.codegen.hip.target import make_target
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import to_text
from ait.errors import CompileError
from tests.compile.hip.kernels import BIAS, IDENTITY, INTEGER_BIAS, batched, linear, mlp, parse_op

COLUMNS = "<offset 0, sizes [8, 8], strides [0, 1]>"


def problem_of(op: KernelOp) -> GemmProblem:
    return classify(KernelView(op))


def ck_configs(op: KernelOp, target: str = "hip:gfx90a") -> list[CkGemmAttr]:
    return [c for c in make_target(target).candidates(op) if isinstance(c, CkGemmAttr)]


def rendered(op: KernelOp) -> str:
    op.properties["config"] = ck_configs(op)[0]
    return make_target("hip:gfx90a").render(KernelView(op), "the_kernel")


def test_a_linear_layer_is_row_by_column() -> None:
    problem = problem_of(mlp(200, 136, 104))
    assert (problem.batch, problem.m, problem.n, problem.k) == (1, 200, 136, 104)
    assert problem.a.contiguous and problem.b.contiguous and not problem.transposed
    assert [extra.stride for extra in problem.tensors] == [0, 136]
    assert problem.store_vector == 8


def test_rows_of_several_dims_are_one() -> None:
    op = parse_op(
        "%x: memref<4x8x64xf16>, %w: memref<64x32xf16>, %o: memref<4x8x32xf16>",
        "kernel.gemm ins(%x : memref<4x8x64xf16>, %w : memref<64x32xf16>) "
        f"outs(%o : memref<4x8x32xf16>) {{groups = array<i64: 0, 2, 1, 1>}} {IDENTITY}",
    )
    problem = problem_of(op)
    assert (problem.m, problem.a.stride) == (32, 64)
    assert not problem.b.contiguous


def test_a_batch_of_two_dims_apart_is_refused() -> None:
    op = parse_op(
        "%x: memref<2x16x4x32xf16>, %y: memref<2x4x32x16xf16>, %o: memref<2x4x16x16xf16>",
        "kernel.gemm ins(%x <offset 0, sizes [2, 4, 16, 32], strides [2048, 32, 128, 1]> "
        ": memref<2x16x4x32xf16>, %y : memref<2x4x32x16xf16>) outs(%o : memref<2x4x16x16xf16>) "
        f"{{groups = array<i64: 2, 1, 1, 1>}} {IDENTITY}",
    )
    with pytest.raises(Refusal, match="a walks the batch dims in more than one stride"):
        problem_of(op)


def test_a_result_contiguous_along_m_is_the_transposed_product() -> None:
    op = linear(
        40, 48, 64, out=("<offset 0, sizes [40, 48], strides [1, 40]>", "memref<48x40xf16>")
    )
    problem = problem_of(op)
    assert problem.transposed
    assert (problem.m, problem.n) == (48, 40)
    assert problem.a.operand.name == "b"
    assert problem.result.stride == 40


def test_a_slice_of_a_wider_result_keeps_its_stride() -> None:
    op = linear(
        40, 48, 64, out=("<offset 48, sizes [40, 48], strides [144, 1]>", "memref<40x144xf16>")
    )
    assert problem_of(op).result.stride == 144
    assert "ait::hip::Matrix{out + 48, 144, 0}" in rendered(op)


def test_one_value_for_all_is_read_by_the_epilogue() -> None:
    scale = ("<offset 0, sizes [40, 48], strides [0, 0]>", "memref<f32>")
    op = linear(40, 48, 64, epilogue=BIAS, extras=(scale,))
    assert [extra.uniform for extra in problem_of(op).extras] == [True]
    text = rendered(op)
    assert "const float* extra0;" in text
    assert "ait::load<float>(extra0, 0)" in text
    assert "ck::Tuple<>" in text


@pytest.mark.parametrize(
    ("k", "vector"), [(64, 8), (60, 4), (62, 2), (37, 1)], ids=lambda v: str(v)
)
def test_loads_are_as_wide_as_the_summed_dim_allows(k: int, vector: int) -> None:
    problem = problem_of(linear(40, 48, k))
    assert problem.a.vector == vector
    assert {instance.load for instance in instances(problem)} == {(vector, vector)}


def test_stores_are_as_wide_as_every_extra_allows() -> None:
    bias = ("<offset 2, sizes [40, 48], strides [0, 1]>", "memref<50xf16>")
    problem = problem_of(linear(40, 48, 64, epilogue=BIAS, extras=(bias,)))
    assert problem.store_vector == 2


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (
            lambda: linear(8, 8, 8, epilogue=INTEGER_BIAS, extras=((COLUMNS, "memref<8xi8>"),)),
            "extra0 is i8",
        ),
        (
            lambda: linear(
                8,
                8,
                8,
                epilogue=BIAS,
                extras=(("<offset 0, sizes [8, 8], strides [1, 0]>", "memref<8xf16>"),),
            ),
            "an extra operand does not have unit stride along n",
        ),
        (
            lambda: linear(
                8, 8, 8, out=("<offset 0, sizes [8, 8], strides [16, 2]>", "memref<8x16xf16>")
            ),
            "the result does not have unit stride along n",
        ),
        (lambda: linear(1 << 20, 8, 2048), "may be larger than 2 GiB"),
    ],
    ids=["type", "column", "stride", "size"],
)
def test_refusals(op: Callable[[], KernelOp], reason: str) -> None:
    with pytest.raises((Refusal, CompileError), match=reason):
        problem_of(op())


@pytest.mark.parametrize("target", ["hip:gfx90a", "hip:gfx942"])
@pytest.mark.parametrize("element", ["f16", "bf16", "f32"])
def test_every_instance_is_valid_and_fits(target: str, element: str) -> None:
    for op in (mlp(200, 136, 104, element), batched(3, 40, 72, 56, element)):
        problem = problem_of(op)
        found = ck_configs(op, target)
        assert len(found) > 8
        for config in found:
            config.verify()
            assert not mismatch(config.data, problem)


def test_large_gemms_get_large_tiles_and_small_ones_small() -> None:
    large, small = (ck_configs(linear(m, 4096, 4096))[0].data.tile for m in (4096, 8))
    assert large[0] * large[1] >= 128 * 128
    assert small[0] <= 32


def test_dynamic_rows_are_extents() -> None:
    x, o = (f"memref<?x{n}xf16, #sym.dims<[batch * 2, {n}], batch in [1, 64]>>" for n in (64, 48))
    op = parse_op(
        f"%x: {x}, %w: memref<64x48xf16>, %o: {o}",
        f"kernel.gemm ins(%x : {x}, %w : memref<64x48xf16>) outs(%o : {o}) "
        f"{{groups = array<i64: 0, 1, 1, 1>}} {IDENTITY}",
    )
    assert to_text(problem_of(op).m) == "batch * 2"
    text = rendered(op)
    assert "const int64_t dim_batch = extents[0];" in text
    assert "const ait::hip::Sizes sizes{1, dim_batch * 2, 48, 64};" in text


def test_the_region_is_the_epilogue_functor() -> None:
    text = rendered(mlp(200, 136, 104))
    assert "const float v_acc = ck_sum;" in text
    assert "const float v_gelu = ait::gelu_rough(v_biased);" in text
    assert "ck_result = ait::hip::stored<ait::half_t>(v_r);" in text
    assert text.startswith('#include "ait/hip/gemm.hpp"')


def test_a_config_of_another_problem_is_an_error() -> None:
    op = linear(40, 48, 37)
    op.properties["config"] = ck_configs(linear(40, 48, 64))[0]
    with pytest.raises(CompileError, match="A allows loads of at most 1 elements"):
        make_target("hip:gfx90a").render(KernelView(op), "the_kernel")


def test_unknown_devices() -> None:
    with pytest.warns(UserWarning, match="chosen as for gfx942"):
        assert make_target("hip:gfx950").description.name == "gfx942"
    with pytest.raises(CompileError, match="gfx1100 is not supported"):
        make_target("hip:gfx1100")
