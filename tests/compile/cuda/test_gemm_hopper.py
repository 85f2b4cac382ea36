"""The Hopper gemms of plain CUDA: what they take, how TMA sees it, what they are chosen for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.cuda.configs import Schedule, WgmmaAttr, WgmmaConfig
from ait.codegen.cuda.gemm_finish import Finish, Fragments, Packs, finish_of, packs_of
from ait.codegen.cuda.gemm_hopper import FactorMap, GemmHopper, product_of
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import GemmOp
from ait.errors import CompileError
from tests.compile.cuda.cases import (
    ALL_READS,
    WGMMA_GEMMS,
    all_leaves,
    dynamic,
    gated,
    grouped_dims,
    heads,
    layouts,
    linear,
    merged_heads,
    product,
    wgmma,
)
from tests.compile.cuda.kernels import TARGET, Case, parse_config
from tests.compile.cuda.test_nvcc import assert_clean, compile_kernel

_COOPERATIVE = WgmmaConfig((128, 128, 64), Schedule.COOPERATIVE, 5)
_PINGPONG = WgmmaConfig((128, 128, 64), Schedule.PINGPONG, 5)
_SMALL = WgmmaConfig((64, 32, 64), Schedule.COOPERATIVE, 8)
_SWAPPED = WgmmaConfig((64, 32, 64), Schedule.COOPERATIVE, 8, swapped=True)


def dims(factor: FactorMap) -> list[tuple[str, str, int, str]]:
    return [(dim.size, dim.stride, dim.box, dim.coordinate) for dim in factor.dims]


def test_a_linear_is_two_maps_along_k() -> None:
    mapped = product_of(linear(256, 512, 320).view(), _COOPERATIVE)
    assert (mapped.rows, mapped.columns) == ("m", "n")
    assert dims(mapped.a) == [("320", "1", 64, "k"), ("256", "320", 128, "row")]
    assert dims(mapped.bs[0]) == [("320", "1", 64, "k"), ("512", "320", 128, "column")]
    assert mapped.a.along_k and mapped.a.swizzle == 128 and len(mapped.a.loads) == 1


def test_swapped_the_right_factor_has_the_rows() -> None:
    mapped = product_of(linear(8, 512, 320).view(), _SWAPPED)
    assert (mapped.rows, mapped.columns) == ("n", "m")
    assert dims(mapped.a)[1] == ("512", "320", 64, "row")
    assert dims(mapped.bs[0])[1] == ("8", "320", 32, "column")


def test_a_factor_across_k_comes_in_blocks_of_its_swizzle() -> None:
    (across,) = [case for case in layouts("WgmmaAttr") if case.name == "layout_0"]
    mapped = product_of(across.view(), _SMALL)
    a, b = mapped.a, mapped.bs[0]
    assert (a.along_k, a.swizzle, [load.bytes for load in a.loads]) == (False, 128, [0])
    assert (b.along_k, b.swizzle, [load.bytes for load in b.loads]) == (False, 64, [0])
    wide = product_of(across.view(), _COOPERATIVE).bs[0]
    assert [(load.bytes, load.outer) for load in wide.loads] == [(0, 0), (64 * 128, 64)]


def test_a_factor_that_is_the_same_for_the_batch_has_no_dim_for_it() -> None:
    mapped = product_of(all_leaves("WgmmaAttr").view(), _COOPERATIVE)
    assert [dim[3] for dim in dims(mapped.a)] == ["k", "row", "batch"]
    assert [dim[3] for dim in dims(mapped.bs[0])] == ["column", "k"]


def test_heads_need_no_copy() -> None:
    a = product_of(heads("WgmmaAttr").view(), _COOPERATIVE).a
    assert dims(a)[1:] == [("128", "2304", 128, "row"), ("12", "64", 1, "batch")]


def test_groups_of_several_dims_are_dims_of_the_map() -> None:
    a = product_of(merged_heads("WgmmaAttr").view(), _SMALL).a
    assert dims(a) == [
        ("64", "1", 64, "k % 64"),
        ("24", "64", 8, "row % 24"),
        ("4", "1536", 1, "k / 64"),
        ("2", "6144", 1, "row / 24"),
    ]
    # Tiles of 64 rows straddle images of 24: boxes of 8 rows do not.
    assert [load.outer for load in a.loads] == list(range(0, 64, 8))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (linear(64, 64, 63), "not aligned"),
        (linear(64, 64, 64, "f32"), "factors of f32"),
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
        (
            product(
                "sparse",
                (1, 16, 16, 16),
                (
                    "offset 0, strides [0, 256, 8]",
                    "offset 0, strides [0, 16, 1]",
                    "offset 0, strides [0, 16, 1]",
                ),
            ),
            "no dim of unit stride",
        ),
        (
            product(
                "repeated",
                (1, 16, 16, 16),
                (
                    "offset 0, strides [0, 0, 1]",
                    "offset 0, strides [0, 16, 1]",
                    "offset 0, strides [0, 16, 1]",
                ),
            ),
            "the same along",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_tma_cannot_bring_is_refused(case: Case, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        GemmHopper().candidates(case.view(), TARGET.description)
    kinds = {type(config).__name__ for config in TARGET.candidates(case.kernel())}
    assert "WgmmaAttr" not in kinds


_BLOCK_BYTES = 227 << 10


def packs(case: Case, config: WgmmaConfig) -> tuple[int, str]:
    """The width of packs, and their group."""
    view = case.view()
    mapped = product_of(view, config)
    lanes = packs_of(view, mapped.rows, mapped.columns, config.tile[1])
    return lanes.count, lanes.axis.group if lanes.axis else ""


def finish(case: Case, config: WgmmaConfig) -> Finish:
    mapped = product_of(case.view(), config)
    room = _BLOCK_BYTES - config.shared_bytes(len(mapped.bs))
    return finish_of(case.view(), mapped.rows, mapped.columns, config, room)


def test_results_are_written_in_the_widest_packs() -> None:
    assert packs(linear(256, 512, 320), _COOPERATIVE) == (8, "n")
    assert packs(linear(256, 512, 320), _SWAPPED) == (8, "n")
    assert packs(linear(256, 508, 320), _COOPERATIVE) == (4, "n")
    assert packs(linear(256, 511, 320), _COOPERATIVE)[0] == 1
    # Two results, of which one is f32
    assert packs(grouped_dims("WgmmaAttr"), _SMALL) == (4, "n")
    # The result by columns
    assert packs(layouts("WgmmaAttr")[0], _SMALL) == (8, "m")


@pytest.mark.parametrize("case", ALL_READS, ids=lambda case: case.config)
def test_what_fragments_can_read_ends_in_fragments(case: Case) -> None:
    config = case.view().config
    assert isinstance(config, WgmmaAttr)
    assert isinstance(finish(case, config.data), Fragments)


def test_wide_or_odd_results_and_split_tiles_end_in_packs() -> None:
    split = WgmmaConfig((128, 128, 64), Schedule.COOPERATIVE, 4, 2)
    assert isinstance(finish(linear(256, 512, 320), split), Packs)
    assert isinstance(finish(linear(256, 508, 320), _COOPERATIVE), Packs)
    assert isinstance(finish(grouped_dims("WgmmaAttr"), _SMALL), Packs)


def test_as_much_of_a_tile_is_on_its_way_as_there_is_room_for() -> None:
    def ring(stages: int) -> int:
        found = finish(linear(256, 512, 320), replace(_PINGPONG, stages=stages))
        return found.ring if isinstance(found, Fragments) else 0

    assert [ring(stages) for stages in (4, 5, 6)] == [4, 2, 0]


def test_every_case_renders() -> None:
    for case in WGMMA_GEMMS:
        assert "run_hopper_gemm" in case.source()


def test_the_first_choice_is_a_kernel_of_plain_cuda() -> None:
    for m, n, k in ((24, 768, 768), (128, 3072, 768), (8192, 4096, 4096), (24576, 3072, 768)):
        op = linear(m, n, k).kernel()
        assert isinstance(TARGET.candidates(op)[0], WgmmaAttr)


def test_few_rows_are_swapped() -> None:
    for rows in (1, 16):
        best = best_tiles(linear(rows, 28672, 4096))
        assert best.swapped and best.tile[1] <= 16


def test_few_tiles_with_long_k_are_split() -> None:
    assert best_tiles(linear(16, 768, 3072)).split > 1


@pytest.mark.parametrize(("columns", "k"), [(768, 3072), (2304, 768)])
def test_few_rows_are_one_wave_of_blocks(columns: int, k: int) -> None:
    """Of 197 rows, measured: a block too many on some multiprocessors takes half as long again."""
    config = best_tiles(linear(197, columns, k))
    rows, tile_columns = config.tile[:2][:: -1 if config.swapped else 1]
    blocks = -(-197 // rows) * -(-columns // tile_columns) * config.split
    clusters = 112 // config.split * config.split  # of whole parts of 16 multiprocessors
    assert blocks <= (132 if config.split == 1 else clusters)


def best_tiles(case: Case) -> WgmmaConfig:
    """What comes first of this family."""
    found = TARGET.candidates(case.kernel())
    return next(config.data for config in found if isinstance(config, WgmmaAttr))


def test_candidates_fit_and_are_distinct() -> None:
    for case in (linear(1, 768, 768), linear(8192, 3072, 768), gated(512, 512, 512, "")):
        found = GemmHopper().candidates(case.view(), TARGET.description)
        configs = [candidate.config for candidate in found]
        assert len(set(configs)) == len(configs)
        for config in configs:
            assert isinstance(config, WgmmaAttr) and not config.data.problems()
            assert config.data.shared_bytes(2 if case.name == "gated" else 1) <= _BLOCK_BYTES


def test_a_config_that_does_not_fit_is_an_error() -> None:
    op = linear(64, 64, 63).kernel()
    op.properties["config"] = WgmmaAttr(_SMALL)
    with pytest.raises(CompileError, match="not aligned"):
        TARGET.render(KernelView(op), "kernel")
    dual = gated(64, 64, 64, "WgmmaAttr").kernel()
    dual.properties["config"] = WgmmaAttr(_SWAPPED)
    with pytest.raises(CompileError, match="two right factors"):
        TARGET.render(KernelView(dual), "kernel")
    dual.properties["config"] = WgmmaAttr(_PINGPONG)
    with pytest.raises(CompileError, match="shared memory"):
        TARGET.render(KernelView(dual), "kernel")
    dual.properties["config"] = WgmmaAttr(replace(_PINGPONG, stages=2))
    with pytest.raises(CompileError, match="registers"):
        TARGET.render(KernelView(dual), "kernel")


# Configs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "#cuda.wgmma<tile = [128, 128, 64], schedule = pingpong, stages = 5>",
        "#cuda.wgmma<tile = [64, 8, 64], schedule = cooperative, stages = 16, split = 8, swapped>",
    ],
)
def test_configs_round_trip(text: str) -> None:
    assert str(parse_config(text, WgmmaAttr)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile = [128, 256, 64], schedule = pingpong, stages = 4", "do not fit"),
        ("tile = [192, 64, 64], schedule = pingpong, stages = 4", "tile m"),
        ("tile = [128, 40, 64], schedule = cooperative, stages = 4", "tile n"),
        ("tile = [128, 128, 16], schedule = pingpong, stages = 4", "tile k"),
        ("tile = [128, 128, 64], schedule = pingpong, stages = 1", "stages"),
        ("tile = [128, 64, 64], schedule = pingpong, stages = 4, split = 2", "splits no tile"),
        ("tile = [128, 64, 64], schedule = cooperative, stages = 4, split = 9", "1 to 8 parts"),
        ("tile = [192, 256, 64], schedule = cooperative, stages = 4", "fewer registers"),
        ("tile = [128, 128, 64], schedule = pingpong", "expected a value for stages"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=message):
        parse_config(f"#cuda.wgmma<{text}>", WgmmaAttr)


# What nvcc makes of them ----------------------------------------------------------------------

_COMPILED = [
    # The largest tiles of each schedule, with what takes most registers
    all_leaves(wgmma(64, 256, "pingpong", 2)),
    linear(4096, 4096, 4096, config=wgmma(128, 128, "pingpong", 5), name="linear_pingpong"),
    linear(4096, 4096, 4096, config=wgmma(128, 256, "cooperative", 3), name="linear_cooperative"),
    linear(4096, 4096, 4096, config=wgmma(256, 128, "cooperative", 3), name="linear_tall"),
    linear(4096, 4096, 4096, config=wgmma(192, 192, "cooperative", 3), name="linear_three"),
    linear(16, 768, 3072, config=wgmma(64, 16, "cooperative", 16, "split = 8", "swapped")),
    gated(4096, 4096, 4096, wgmma(128, 128, "cooperative", 4)),
    layouts(wgmma(128, 96, "cooperative", 4, "split = 2"))[0],
    dynamic(9, wgmma(64, 32, "cooperative", 4, "swapped")),
]


@pytest.mark.compile
@pytest.mark.parametrize("case", _COMPILED, ids=lambda case: case.name)
def test_registers_suffice(case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert isinstance(case.kernel(), GemmOp) or case.name == "gated"
    assert_clean(compile_kernel(case, tmp_path_factory.mktemp(case.name)))
