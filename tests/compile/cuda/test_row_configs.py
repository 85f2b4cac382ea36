"""How threads share rows, and what the kernels on rows, gathers and images refuse."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from ait.codegen.cuda.configs import (
    ClusteredRowsAttr,
    ClusteredRowsConfig,
    InterleavedRowsAttr,
    InterleavedRowsConfig,
)
from ait.codegen.gpu.dialect import (
    Along,
    ElementwiseAttr,
    PoolAttr,
    PoolConfig,
    RowsAttr,
    RowsConfig,
    ShiftedTransposeAttr,
    TransposeAttr,
)
from ait.codegen.gpu.lanes import kept_bytes
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from tests.compile.cuda.cases import ELEMENTWISE, channels_last
from tests.compile.cuda.kernels import EMULATION, HEADERS, TARGET, Case, parse_config
from tests.compile.cuda.row_cases import (
    ROWS,
    gather,
    group_norm,
    group_norm_of_sum,
    layer_norm,
    pool,
    reduce,
    rowwise,
)


def best(case: Case) -> RowsConfig:
    config = TARGET.candidates(case.kernel())[0]
    assert isinstance(config, RowsAttr)
    return config.data


def clustered(case: Case) -> ClusteredRowsConfig:
    config = TARGET.candidates(case.kernel())[0]
    assert isinstance(config, ClusteredRowsAttr)
    return config.data


def width(case: Case) -> int:
    """Elements that a thread of the best kernel handles at once."""
    config = TARGET.candidates(case.kernel())[0]
    assert isinstance(config, ElementwiseAttr | PoolAttr)
    return config.data.vector


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_every_candidate_renders(case: Case) -> None:
    op = case.kernel()
    candidates = TARGET.candidates(op)
    assert candidates
    for config in candidates:
        op.properties["config"] = config
        assert "ait::Status kernel(" in TARGET.render(KernelView(op), "kernel")


@pytest.mark.parametrize("length", [1, 4, 31, 64, 1000, 1024])
def test_a_short_row_belongs_to_a_part_of_a_warp(length: int) -> None:
    config = best(rowwise("x", "softmax", f"tensor<100x{length}xf16>"))
    assert config.team <= 32 and config.team * config.rows == 128
    assert config.team * config.items * config.vector >= length


@pytest.mark.parametrize("length", [16, 36, 64, 77, 100, 128, 197, 384, 768])
def test_a_block_of_short_rows_moves_more_than_it_takes_to_begin_it(length: int) -> None:
    """Those of 2 KB began too slowly for an H200's memory."""
    config = best(rowwise("x", "softmax", f"tensor<1000000x{length}xf16>"))
    moved, threads = config.rows * length * 2, config.rows * config.team
    assert moved <= 8192 and (moved >= 3072 or threads == 256)
    assert config.team * config.vector * 2 >= 32 and config.items <= 8


def test_few_short_rows_have_many_threads() -> None:
    """12 heads of 128 tokens are read at once: there is nothing to gain from larger blocks."""
    few, many = (best(rowwise("x", "softmax", f"tensor<{n}x128xf16>")) for n in (1536, 100000))
    assert (few.team, few.rows, few.items) == (16, 8, 1)
    assert (many.team, many.rows, many.items) == (8, 16, 2)


def test_all_threads_of_a_team_have_all_packs_of_rows_of_some_lengths() -> None:
    for length, is_full in ((128, "true"), (768, "true"), (4096, "true"), (776, "false")):
        source = rowwise("x", "softmax", f"tensor<100x{length}xf16>").source()
        assert f"kIsFull = {is_full};" in source
    columns = "tensor<?x?xf16, #sym.dims<[n, m], n in [1, 8], m in [1, 128]>>"
    assert "kIsFull = false;" in rowwise("x", "softmax", columns).source()


@pytest.mark.parametrize("length", [1032, 4096, 12000, 16384])
def test_a_long_row_belongs_to_a_block_and_stays_in_its_registers(length: int) -> None:
    config = best(rowwise("x", "softmax", f"tensor<100x{length}xf16>"))
    assert config.rows == 1 and 64 <= config.team <= 1024
    assert config.items * config.vector <= 32
    assert config.team * config.items * config.vector >= length


@pytest.mark.parametrize("length", [30000, 32768, 50257])
def test_a_longer_row_stays_in_shared_memory_twice_in_a_multiprocessor(length: int) -> None:
    config = best(rowwise("x", "softmax", f"tensor<100x{length}xf16>"))
    assert config.shared and config.shifted == (length % 8 != 0)
    block = config.items * config.vector * config.team
    assert length - 14 <= block and 2 * 2 * block <= 226 << 10


@pytest.mark.parametrize(
    ("kind", "rows", "length", "element"),
    [
        ("softmax", 256, 128256, "f16"),
        ("log_softmax", 320, 50257, "f32"),
        ("layer_norm", 1024, 65536, "f16"),
    ],
)
def test_a_row_too_long_for_a_block_stays_in_the_shared_memory_of_a_cluster(
    kind: str, rows: int, length: int, element: str
) -> None:
    config = clustered(rowwise("x", kind, f"tensor<{rows}x{length}x{element}>"))
    assert config.shifted == (length % config.vector != 0)
    kept = config.cluster * config.team * config.items * config.vector
    assert length - 2 * config.vector <= kept <= 1.25 * length


@pytest.mark.parametrize("rows", [32, 128, 256])
def test_multiprocessors_have_threads_enough_for_what_clusters_keep(rows: int) -> None:
    """8 blocks whose threads keep 8 packs; 4 with 16 took 3 to 14 % longer (H100 and H200)."""
    config = clustered(rowwise("x", "softmax", f"tensor<{rows}x128256xf16>"))
    assert (config.cluster, config.team, config.items) == (8, 256, 8)


def test_few_long_rows_have_as_many_multiprocessors_as_there_can_be() -> None:
    assert clustered(rowwise("x", "softmax", "tensor<1x128256xf16>")).cluster == 8
    # The exchange would take longer than the lone block.
    assert best(rowwise("x", "layer_norm", "tensor<1x16384xf16>")).items > 0


def test_a_row_too_long_for_a_cluster_is_read_twice() -> None:
    assert best(rowwise("x", "softmax", "tensor<300x1000000xf16>")).items == 0
    assert clustered(rowwise("x", "softmax", "tensor<2x1000000xf16>")).items == 0


def test_only_long_rows_that_begin_anywhere_are_read_as_packs() -> None:
    for length in (197, 701):
        assert best(rowwise("x", "softmax", f"tensor<100x{length}xf16>")).vector == 1
    assert best(rowwise("x", "softmax", "tensor<100x4095xf16>")).shifted
    assert not best(rowwise("x", "softmax", "tensor<100x4092xf16>")).shifted
    assert best(reduce("x", "argmax", "tensor<8x50257xf16>", "tensor<8xi64>")).shifted
    # The factor of each column begins at a whole pack, the rows do not.
    case = layer_norm(8, 4095)
    assert best(case).shifted
    assert "in2_pack" not in case.source()


def test_a_dynamic_row_is_kept_if_its_bound_fits() -> None:
    x = "tensor<?x?xf16, #sym.dims<[n, m], n in [1, 8], m in [1, {}]>>"
    assert best(rowwise("x", "softmax", x.format(4096))).items > 0
    assert best(rowwise("x", "softmax", x.format(100000))).items == 0


def test_lanes_lie_along_memory() -> None:
    across = "<offset 0, sizes [64, 512], strides [1, 64]>"
    config = best(reduce("x", "sum", "tensor<512x64xf16>", "tensor<64xf32>", map=across))
    assert config.lanes is Along.OUTER
    assert best(reduce("x", "sum", "tensor<64x512xf16>", "tensor<64xf32>")).lanes is Along.INNER


@pytest.mark.parametrize("length", [768, 1536, 2048])
def test_a_row_of_few_runs_is_reduced_by_one_warp(length: int) -> None:
    rows = reduce("x", "sum", f"tensor<100x{length}xf16>", "tensor<100xf32>")
    assert best(rows).team == 32


def test_reductions_over_columns_leave_work_for_all_multiprocessors() -> None:
    """[16384, 4096] over its rows: measured, runs of 64 bytes and 1024 threads a block."""
    across = "<offset 0, sizes [4096, 16384], strides [1, 4096]>"
    case = reduce("x", "sum", "tensor<16384x4096xf16>", "tensor<4096xf16>", map=across)
    config = best(case)
    assert config.rows * config.vector * 2 == 64
    assert config.team * config.rows == 1024


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (gather("x", "tensor<12x64xf16>", "tensor<9xi64>", "tensor<9x64xf16>"), 8),
        (gather("x", "tensor<12x64xf32>", "tensor<9xi64>", "tensor<9x64xf32>"), 4),
        (gather("x", "tensor<12x5xf16>", "tensor<9xi64>", "tensor<9x5xf16>"), 1),
        (pool("x", "max", (64, 112, 112, 64), (56, 56)), 8),
        (pool("x", "max", (64, 112, 112, 64), (56, 56), nchw=True), 1),
    ],
    ids=["f16", "f32", "odd", "channels_last", "channels_first"],
)
def test_accesses_are_16_bytes_where_they_can_be(case: Case, expected: int) -> None:
    assert width(case) == expected


@pytest.mark.parametrize(
    ("sizes", "is_shifted"),
    [
        ((1, 8191, 8193), True),
        ((64, 77, 13001), True),
        ((64, 13001, 77), True),
        ((128, 2048, 49), True),
        ((1, 8190, 8194), True),
        ((64, 10240, 196), True),
        ((64, 196, 10240), False),
        ((64, 3, 262144), False),
        ((64, 262144, 3), False),
        ((1, 255, 255), False),
        ((1, 1028, 252), False),
        ((1, 1023, 1025), False),
    ],
)
def test_only_what_fills_many_tiles_changes_sides_in_those_that_begin_anywhere(
    sizes: tuple[int, int, int], is_shifted: bool
) -> None:
    n, rows, columns = sizes
    x, o = f"tensor<{n}x{columns}x{rows}xf16>", f"tensor<{n}x{rows}x{columns}xf16>"
    turned = f"<offset 0, sizes [{n}, {rows}, {columns}], strides [{rows * columns}, 1, {rows}]>"
    case = Case("x", {"x": x, "o": o}, f"kernel.copy ins(%x {turned} : {x}) outs(%o : {o})")
    assert isinstance(TARGET.candidates(case.kernel())[0], ShiftedTransposeAttr) == is_shifted


def test_only_what_lies_across_changes_sides() -> None:
    by_name = {case.name: case for case in ELEMENTWISE}
    for name in ("dense", "uniform", "broadcast", "copy_slice"):
        candidates = TARGET.candidates(by_name[name].kernel())
        assert all(isinstance(config, ElementwiseAttr) for config in candidates)
    for name in ("copy_images_wide", "pointwise_across_77"):
        assert isinstance(TARGET.candidates(by_name[name].kernel())[0], TransposeAttr)


@pytest.mark.parametrize(
    ("channels", "element", "is_whole"),
    [(6, "f16", True), (7, "f16", False), (3, "i8", True), (5, "i8", False)],
)
def test_whole_lines_of_narrow_elements_fit_shared_memory(
    channels: int, element: str, is_whole: bool
) -> None:
    """48 KiB is what a block may have without asking."""
    case = channels_last("x", channels, element)
    found = [c for c in TARGET.candidates(case.kernel()) if isinstance(c, TransposeAttr)]
    assert any(config.data.is_whole for config in found) == is_whole


@pytest.mark.parametrize(("groups", "channels"), [(2, 1320), (9, 40), (8, 66)])
def test_blocks_of_interleaved_rows_have_as_many_threads_as_there_can_be(
    groups: int, channels: int
) -> None:
    case = group_norm("x", 2, 64, groups, channels, "")
    found = TARGET.candidates(case.kernel())
    for config in (c.data for c in found if isinstance(c, InterleavedRowsAttr)):
        assert config.rows * channels // config.vector * config.places <= 1024


def test_a_block_of_interleaved_rows_that_is_too_large_is_an_error() -> None:
    config = "#cuda.interleaved_rows<rows = 2, vector = 8, places = 32, cluster = 8, items = 0>"
    with pytest.raises(CompileError, match="up to 1024 threads, not 2112"):
        group_norm("x", 2, 64, 2, 264, config).source()


def test_interleaved_rows_that_exceed_the_shared_memory_are_an_error() -> None:
    """32 channels of f16, and of as many pixels as a block keeps."""
    config = "#cuda.interleaved_rows<rows = 2, vector = 8, places = 64, cluster = 1, items = {}>"
    assert "kItems = 48" in group_norm("x", 1, 48 * 64, 2, 16, config.format(48)).source()
    with pytest.raises(CompileError, match="do not fit shared memory"):
        group_norm("x", 1, 64 * 64, 2, 16, config.format(64)).source()
    assert "kItems = 0" in group_norm("x", 1, 64 * 64, 2, 16, config.format(0)).source()


def test_what_lies_between_packs_of_several_types_counts_too() -> None:
    """Four f16 beside four f32 take as much room as eight f32."""
    config = "#cuda.interleaved_rows<rows = 2, vector = 4, places = 32, cluster = 1, items = {}>"
    assert "kItems = 44" in group_norm_of_sum("x", 44 * 32, 2, 10, config.format(44)).source()
    with pytest.raises(CompileError, match="do not fit shared memory"):
        group_norm_of_sum("x", 45 * 32, 2, 10, config.format(45)).source()


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_packs_that_are_kept_are_as_large_as_the_compiler_says(tmp_path: Path) -> None:
    operands = [
        rowwise("x", "softmax", f"tensor<4x32x{element}>").view().ins[0]
        for element in ("f32", "f16", "f8E4M3FN")
    ]
    lines = ["#include <cuda_runtime.h>", '#include "ait/gpu/access.hpp"']
    for count, length in product((2, 4, 8, 16), (1, 2, 3)):
        for kept in product(operands, repeat=length):
            fields = [f"ait::gpu::Pack<{o.type}, {count}> p{i};" for i, o in enumerate(kept)]
            name = f"Kept{len(lines)}"
            lines.append(f"struct {name} {{ {' '.join(fields)} }};")
            lines.append(f"static_assert(sizeof({name}) == {kept_bytes(count, kept)});")
    source = tmp_path / "kept.cpp"
    source.write_text("\n".join(lines))
    includes = [f"-I{path}" for path in (EMULATION, *HEADERS)]
    command = ["g++", "-std=c++17", "-fsyntax-only", *includes, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 8, 32, 4, 1), "rows and places"),
        ((2, 3, 32, 4, 1), "vector"),
        ((2, 8, 32, 3, 1), "a cluster has"),
        ((2, 8, 32, 4, -1), "items"),
        ((2, 8, 1056, 4, 1), "up to 1024 threads, not 1056"),
        ((512, 8, 32, 4, 1), "up to 1024 threads, not 2048"),
        ((8, 8, 512, 4, 57), "do not fit shared memory"),
    ],
)
def test_wrong_configs_of_interleaved_rows_are_refused(
    sizes: tuple[int, ...], message: str
) -> None:
    with pytest.raises(VerifyException, match=message):
        InterleavedRowsAttr(InterleavedRowsConfig(*sizes))


def pooling(case: Case) -> PoolConfig:
    config = TARGET.candidates(case.kernel())[0]
    assert isinstance(config, PoolAttr)
    return config.data


def test_windows_that_overlap_much_are_made_several_at_once() -> None:
    config = pooling(pool("x", "max", (16, 80, 80, 256), (80, 80), 5, 1, (2, 2, 2, 2)))
    assert config.team == 1 and config.outputs[0] * config.outputs[1] >= 4


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_few_long_windows_are_shared_by_teams(batch: int) -> None:
    x = (batch, 7, 7, 2048)
    few = pooling(pool("x", "average", x, (1, 1), flags=", adaptive"))
    threads = batch * 2048 // few.vector * few.team
    assert threads >= min(batch, 4) * 8192
    many = pooling(pool("x", "average", (512, 7, 7, 2048), (1, 1), flags=", adaptive"))
    assert many.team <= 2


def test_short_windows_have_narrow_threads_where_outputs_are_few() -> None:
    few = pooling(pool("x", "max", (1, 112, 112, 64), (56, 56)))
    assert (few.vector, few.team, few.outputs) == (2, 1, (1, 1))


def test_a_long_window_of_neighbours_belongs_to_a_block() -> None:
    config = pooling(pool("x", "average", (64, 56, 56, 256), (1, 1), flags=", adaptive", nchw=True))
    assert config.vector == 1 and config.team >= 64 and config.teams == 1


def test_an_image_of_integers_is_refused() -> None:
    case = Case(
        "x",
        {"x": "tensor<1x8x8x16xi32>", "o": "tensor<1x4x4x16xf32>"},
        """kernel.resize ins(%x : tensor<1x8x8x16xi32>) outs(%o : tensor<1x4x4x16xf32>)
          {mode = #kernel.resize_mode nearest, coordinates = #kernel.coordinates asymmetric}
          epilogue {
          ^bb0(%v : f32):
            kernel.yield %v : f32
          }""",
    )
    (op,) = (op for op in case.program().module.walk() if isinstance(op, KernelOp))
    assert TARGET.refusal(op) == "an image of i32"


_PLAIN = "#plain.rows<lanes = {}, vector = {}, team = {}, rows = 1, items = {{}}{}>"


@pytest.mark.parametrize(
    ("length", "config", "needed"),
    [
        (2048, _PLAIN.format("inner", 8, 64, ""), 4),
        (2048, _PLAIN.format("inner", 8, 64, ", shared"), 4),
        (2050, _PLAIN.format("inner", 2, 64, ", shared, shifted"), 17),
        (2048, "#cuda.clustered_rows<vector = 8, team = 32, items = {}, cluster = 4>", 2),
        (2055, "#cuda.clustered_rows<vector = 8, team = 32, items = {}, cluster = 2, shifted>", 4),
    ],
)
def test_rows_are_kept_as_a_whole(length: int, config: str, needed: int) -> None:
    """What a thread has beyond that would not be of its row, or lie in others' memory."""
    rowwise("x", "softmax", f"tensor<3x{length}xf16>", config=config.format(needed)).source()
    with pytest.raises(CompileError, match=f"has {needed} packs of a row, and keeps {needed - 1}"):
        rowwise(
            "x", "softmax", f"tensor<3x{length}xf16>", config=config.format(needed - 1)
        ).source()


def test_rows_of_clusters_that_exceed_the_shared_memory_are_an_error() -> None:
    config = "#cuda.clustered_rows<vector = 4, team = 256, items = {}, cluster = 2>"
    x = "tensor<3x{}xf32>"
    assert (
        "kItems = 32" in rowwise("x", "softmax", x.format(65536), config=config.format(32)).source()
    )
    with pytest.raises(CompileError, match="do not fit shared memory"):
        rowwise("x", "softmax", x.format(131072), config=config.format(64)).source()


def test_a_config_that_does_not_fit_is_an_error() -> None:
    op = rowwise("x", "softmax", "tensor<4x37xf16>").kernel()
    op.properties["config"] = RowsAttr(RowsConfig(Along.INNER, 8, 32, 4, 1))
    with pytest.raises(CompileError, match="8 at once"):
        TARGET.render(KernelView(op), "kernel")


@pytest.mark.parametrize(
    "text",
    [
        "#plain.rows<lanes = outer, vector = 8, team = 16, rows = 32, items = 0>",
        "#plain.rows<lanes = inner, vector = 8, team = 64, rows = 1, items = 9, shared, shifted>",
        "#plain.pool<vector = 1, outputs = [2, 8], team = 1, teams = 256, in_row>",
        "#cuda.interleaved_rows<rows = 4, vector = 8, places = 64, cluster = 8, items = 8>",
        "#cuda.clustered_rows<vector = 8, team = 256, items = 8, cluster = 8, shifted>",
    ],
)
def test_configs_round_trip(text: str) -> None:
    assert str(parse_config(text, Attribute)) == text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("inner, vector = 3, team = 32, rows = 4, items = 1", "vector"),
        ("inner, vector = 8, team = 24, rows = 4, items = 1", "powers of two"),
        ("inner, vector = 8, team = 64, rows = 2, items = 1", "whole block"),
        ("outer, vector = 8, team = 64, rows = 32, items = 1", "threads"),
        ("inner, vector = 8, team = 32, rows = 4, items = 9", "64 elements"),
        ("inner, vector = 8, team = 32, rows = 4, items = 0, shared", "nothing is kept"),
        ("inner, vector = 8, team = 8, rows = 16, items = 9, shared, shifted", "two threads"),
        ("outer, vector = 8, team = 32, rows = 4, items = 0, shifted", "begin anywhere"),
        ("inner, vector = 8, team = 32, rows = 4, items = 2, shifted", "in registers"),
    ],
)
def test_wrong_configs_are_refused(fields: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse_config(f"#plain.rows<lanes = {fields}>", RowsAttr)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("team = 64, items = 8, cluster = 3", "2, 4 or 8 blocks"),
        ("team = 96, items = 8, cluster = 2", "powers of two"),
        ("team = 512, items = 60, cluster = 2", "do not fit shared memory"),
    ],
)
def test_wrong_configs_of_clusters_are_refused(fields: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse_config(f"#cuda.clustered_rows<vector = 8, {fields}>", ClusteredRowsAttr)
