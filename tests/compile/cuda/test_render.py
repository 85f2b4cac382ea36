"""What is chosen and rendered for a kernel, without a compiler."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.cuda.configs import GemmAttr, GemmConfig, Schedule
from ait.codegen.cuda.devices import DEVICES
from ait.codegen.cuda.gemm_sm90 import Leaf, make_plan
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.errors import CompileError
from tests.compile.cuda.cases import all_leaves, dynamic, grouped_dims, heads, linear, product
from tests.compile.cuda.kernels import TARGET, Case, parse_config


def kinds(case: Case, swapped: bool = False) -> Mapping[str, Leaf]:
    """The leaf of each operand of the region, by the operand's name in the case."""
    names = list(case.operands)
    plan = make_plan(case.view(), swapped)
    return {names[leaf.operand.index]: leaf.kind for leaf in plan.leaves}


def test_every_access_has_its_leaf() -> None:
    assert kinds(all_leaves()) == {
        "row": Leaf.ROW,
        "column": Leaf.COLUMN,
        "scalar": Leaf.SCALAR,
        "tile": Leaf.SOURCE,
        "tile2": Leaf.TILE,
        "odd": Leaf.STRIDED,
    }


def test_the_transposed_product_swaps_rows_and_columns() -> None:
    swapped = kinds(all_leaves(), swapped=True)
    assert (swapped["row"], swapped["column"]) == (Leaf.COLUMN, Leaf.ROW)
    assert (swapped["tile"], swapped["odd"]) == (Leaf.SOURCE, Leaf.STRIDED)


def test_strides_come_from_the_access_maps() -> None:
    plan = make_plan(all_leaves().view(), swapped=False)
    by_kind = {leaf.kind: leaf.stride for leaf in plan.leaves}
    # x [3, 136, 72]; w [72, 80] for all of the batch; the result is half of a [3, 136, 160]
    assert (plan.a_stride.type, plan.a_stride.value) == (
        "cute::Stride<int64_t, _1, int64_t>",
        "{72, {}, 9792}",
    )
    assert (plan.b_stride.type, plan.b_stride.value) == (
        "cute::Stride<_1, int64_t, _0>",
        "{{}, 80, {}}",
    )
    assert plan.result_stride.value == "{160, {}, 21760}"
    tile, odd = by_kind[Leaf.TILE], by_kind[Leaf.STRIDED]
    assert tile is not None and tile.type == "cute::Stride<_1, int64_t, int64_t>"
    assert odd is not None and odd.value == "{81, 1, 11016}"


def test_rendered_pointers_carry_the_offsets() -> None:
    source = all_leaves().source()
    assert "ElementD* result = static_cast<cutlass::bfloat16_t*>(pointers[8]) + (80);" in source
    assert "static_cast<cutlass::half_t const*>(pointers[7]) + (1)" in source


def test_slices_of_a_packed_tensor_need_no_copy() -> None:
    plan = make_plan(heads().view(), swapped=False)
    assert plan.a_stride.value == "{2304, {}, 64}"
    assert plan.b_stride.value == "{2304, {}, 64}"


def test_extents_of_the_region_reach_the_functor() -> None:
    source = dynamic(3, "GemmAttr").source()
    functor = source[source.index("struct Region<float>") :]
    name = re.search(r"int64_t (\w+);", functor)
    assert name is not None
    assert f"const int64_t {name[1]} = values.{name[1]};" in functor
    assert f"{name[1]} }}" in functor or f"{{{name[1]}}}" in functor


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (linear(64, 64, 63), "not aligned"),
        (linear(64, 63, 64), "the result is not aligned"),
        (linear(64, 64, 64, "f32"), "factors of f32"),
        (linear(64, 64, 8), "k is too small"),
        (grouped_dims(), "2 results"),
        (
            product(
                "odd_offset",
                (1, 16, 16, 16),
                (
                    "offset 4, strides [0, 16, 1]",
                    "offset 0, strides [0, 16, 1]",
                    "offset 0, strides [0, 16, 1]",
                ),
            ),
            "the left factor is not aligned",
        ),
        (
            product(
                "reversed",
                (2, 16, 16, 16),
                (
                    "offset 0, strides [256, 16, 1]",
                    "offset 512, strides [-256, 16, 1]",
                    "offset 0, strides [256, 16, 1]",
                ),
            ),
            "negative",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_cutlass_cannot_take_goes_to_kernels_of_our_own(case: Case, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        make_plan(case.view(), swapped=False)
    op = case.kernel()
    assert TARGET.refusal(op) is None
    kinds = {type(config).__name__ for config in TARGET.candidates(op)}
    assert "OwnGemmAttr" in kinds and "GemmAttr" not in kinds


def test_unaligned_symbolic_strides_are_refused() -> None:
    """[k, batch] has rows of `batch` elements: aligned for some values only."""
    x = "tensor<64x?xf16, #sym.dims<[64, batch], batch in [8, 64]>>"
    o = "tensor<?x32xf16, #sym.dims<[batch, 32], batch in [8, 64]>>"
    w = "tensor<64x32xf16>"
    case = Case(
        "symbolic",
        {"x": x, "w": w, "o": o},
        f"""kernel.gemm ins(
          %x <offset 0, sizes [batch, 64], strides [1, batch], batch in [8, 64]> : {x}, %w : {w})
          outs(%o : {o}) {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32):
            kernel.yield %acc : f32
          }}""",
    )
    with pytest.raises(Refusal, match="the left factor is not aligned"):
        make_plan(case.view(), swapped=False)


def test_a_config_that_does_not_fit_is_an_error() -> None:
    op = linear(64, 64, 63).kernel()
    op.properties["config"] = GemmAttr(GemmConfig((128, 128, 64)))
    with pytest.raises(CompileError, match="not aligned"):
        TARGET.render(KernelView(op), "kernel")


def first_of_cutlass(case: Case) -> GemmAttr:
    candidates = TARGET.candidates(case.kernel())
    return next(config for config in candidates if isinstance(config, GemmAttr))


def test_large_gemms_overlap_their_epilogues() -> None:
    """24576 x 3072 x 768: measured, pingpong 128 x 128 x 64 is the best of all."""
    best = first_of_cutlass(linear(24576, 3072, 768))
    assert (best.data.tile, best.data.schedule) == ((128, 128, 64), Schedule.PINGPONG)


def test_few_rows_take_small_tiles() -> None:
    best = first_of_cutlass(linear(128, 768, 768))
    m, n, _ = best.data.tile
    assert m * n <= 64 * 32


def test_stream_k_evens_out_a_last_wave() -> None:
    """140 tiles of 128 x 128 are hardly more than one wave of 132, 528 are four whole ones."""
    configs = [
        {config.data for config in TARGET.candidates(op) if isinstance(config, GemmAttr)}
        for op in (linear(1792, 1280, 4096).kernel(), linear(1024, 8448, 4096).kernel())
    ]
    uneven, even = (any(config.stream_k for config in found) for found in configs)
    assert uneven and not even


def test_a100_has_no_hopper_kernels() -> None:
    target = make_target("cuda:sm_80")
    configs = target.candidates(linear(64, 64, 64).kernel())
    kinds = {type(config).__name__ for config in configs}
    assert kinds == {"CutlassMmaAttr", "MmaAttr", "OwnGemmAttr"}


@pytest.mark.parametrize(("name", "like"), [("sm_86", "sm_80"), ("sm_120", "sm_90a")])
def test_unknown_devices_are_described_by_the_nearest_older_one(name: str, like: str) -> None:
    with pytest.warns(UserWarning, match=f"{name} is unknown.*{like}"):
        target = make_target(f"cuda:{name}")
    assert (target.name, target.description) == (f"cuda:{name}", DEVICES[like])
    configs = target.candidates(linear(64, 64, 64).kernel())
    assert {type(config).__name__ for config in configs} == {
        "CutlassMmaAttr",
        "MmaAttr",
        "OwnGemmAttr",
    }


@pytest.mark.parametrize("name", ["cuda", "cuda:sm_90", "cuda:sm_90a"])
def test_names_of_the_hopper_target(name: str) -> None:
    assert make_target(name).name == "cuda:sm_90a"


@pytest.mark.parametrize("name", ["sm_70", "gfx90a"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(CompileError, match=name):
        make_target(f"cuda:{name}")


@pytest.mark.parametrize(
    "text",
    [
        "#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = pingpong>",
        "#cuda.gemm<tile = [256, 128, 64], cluster = [1, 1], schedule = cooperative, stages = 4, "
        "swapped>",
        "#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = cooperative, stream_k>",
    ],
)
def test_configs_round_trip(text: str) -> None:
    assert str(parse_config(text, GemmAttr)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile = [128, 256, 64], cluster = [1, 1], schedule = pingpong", "do not fit"),
        ("tile = [64, 128, 64], cluster = [1, 1], schedule = cooperative", "tile m"),
        ("tile = [128, 128, 64], cluster = [3, 1], schedule = pingpong", "a cluster has"),
        ("tile = [128, 128], cluster = [1, 1], schedule = pingpong", "needs 3 numbers"),
        ("tile = [128, 128, 64], cluster = [1, 1], schedule = fast", "must be one of"),
        ("tile = [128, 128, 64], cluster = [1, 1], schedule = pingpong, stream_k", "are whole"),
        ("tile = [128, 128, 64], cluster = [1, 1], schedule = pingpong, x = 1", "unknown x"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=message):
        parse_config(f"#cuda.gemm<{text}>", GemmAttr)
