"""Hopper gemms with the softmax or norm of their rows: what they take, how rows are shared out."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.cuda.configs import Schedule, WgmmaRowsAttr, WgmmaRowsConfig
from ait.codegen.cuda.gemm_rowwise import GemmRowwiseHopper, lanes_of
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from tests.compile.cuda.kernels import EMULATION, HEADERS, TARGET, Case, parse_config
from tests.compile.cuda.test_nvcc import assert_clean, compile_kernel
from tests.compile.cuda.whole_row_cases import WHOLE_ROWS, linear_norm, scores, wgmma_rows

_FOUR = WgmmaRowsConfig((128, 192, 64), 4, Schedule.COOPERATIVE, 4)


def test_every_case_renders() -> None:
    for case in WHOLE_ROWS:
        assert "run_hopper_gemm_rowwise" in case.source()


def test_candidates_have_whole_rows_and_no_block_too_many() -> None:
    for m, n, k in ((1, 768, 768), (24576, 768, 3072), (384, 1024, 4096), (100, 33, 64)):
        found = GemmRowwiseHopper().candidates(linear_norm(m, n, k).view(), TARGET.description)
        configs = [candidate.config for candidate in found]
        assert len(set(configs)) == len(configs)
        for config in configs:
            assert isinstance(config, WgmmaRowsAttr) and not config.data.problems()
            assert config.data.columns >= n > config.data.columns - config.data.tile[1]


@pytest.mark.parametrize(
    ("sizes", "config"),
    [
        ((24576, 768, 768), wgmma_rows(64, 384, 2, "pingpong", 3)),
        ((24576, 768, 3072), wgmma_rows(128, 256, 3, "cooperative", 4)),
        ((128, 768, 768), wgmma_rows(64, 96, 8, "pingpong", 8)),
        ((384, 1024, 1024), wgmma_rows(64, 128, 8, "pingpong", 7)),
    ],
)
def test_the_first_choice_is_what_was_fastest(sizes: tuple[int, int, int], config: str) -> None:
    """On an H100."""
    assert str(TARGET.candidates(linear_norm(*sizes).kernel())[0]) == config


def test_longer_rows_than_a_cluster_has_are_refused() -> None:
    assert TARGET.refusal(linear_norm(64, 3072, 64).kernel()) is None
    for width in (3080, 4096):
        view = linear_norm(64, width, 64, config=wgmma_rows(128, 256, 8, "cooperative", 3)).view()
        with pytest.raises(Refusal, match="fit no cluster"):
            GemmRowwiseHopper().candidates(view, TARGET.description)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (linear_norm(64, 64, 63), "not aligned"),
        (linear_norm(64, 64, 64, "f32"), "factors of f32"),
    ],
    ids=["odd", "f32"],
)
def test_what_tma_cannot_bring_is_refused(case: Case, reason: str) -> None:
    (op,) = (op for op in case.program().module.walk() if isinstance(op, KernelOp))
    with pytest.raises(Refusal, match=reason):
        GemmRowwiseHopper().candidates(KernelView(op), TARGET.description)
    assert reason in (TARGET.refusal(op) or "")


def test_a_config_that_does_not_hold_the_row_is_an_error() -> None:
    case = linear_norm(64, 768, 64, config=wgmma_rows(128, 128, 5, "cooperative", 3))
    with pytest.raises(CompileError, match="up to 768 columns"):
        case.source()


def test_the_residual_is_held_where_there_is_room() -> None:
    view = linear_norm(256, 768, 768).view()
    held = [operand.name for operand in lanes_of(view, _FOUR).held]
    assert held == ["extra1"]
    assert not lanes_of(view, WgmmaRowsConfig((128, 192, 64), 4, Schedule.COOPERATIVE, 5)).held


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize(
    ("n", "tile", "cluster", "schedule"),
    [
        # Six steps would leave what is kept for columns room, but not the barriers too
        (480, (128, 160), 3, Schedule.COOPERATIVE),
        (64, (64, 64), 1, Schedule.COOPERATIVE),
        (768, (64, 96), 8, Schedule.PINGPONG),
        (320, (128, 320), 1, Schedule.COOPERATIVE),
    ],
)
def test_as_many_steps_as_fit_the_shared_memory(
    n: int, tile: tuple[int, int], cluster: int, schedule: Schedule, tmp_path: Path
) -> None:
    """The header says what it takes."""
    config = WgmmaRowsConfig((*tile, 64), cluster, schedule, 2)
    lanes = lanes_of(linear_norm(64, n, 64).view(), config)
    sizes = (lanes.count, lanes.pack_bytes, lanes.column_bytes)
    assert sizes[1] > 0 and sizes[2] > 0
    for held in (0, sizes[1]):
        stages = min(config.most_stages(sizes[0], held, sizes[2]), 32)
        most = replace(config, stages=stages)
        kept = lanes_of(linear_norm(64, n, 64).view(), most)
        case = linear_norm(64, n, 64, config=str(WgmmaRowsAttr(most)))
        said = most.shared_bytes(kept.count, kept.pack_bytes, kept.column_bytes)
        taken = "sizeof(ait::cuda::RowFinish<Kernel, ait::gpu::LayerNorm>::Shared)"
        check = f"static_assert({taken} <= {said} && {taken} + 1024 >= {said});"
        source = tmp_path / "kernel.cpp"
        text = re.sub(r"(?m)^}  // namespace$", rf"\g<0>\n{check}", case.source())
        assert check in text and said <= TARGET.description.shared_bytes
        source.write_text(text)
        includes = [f"-I{path}" for path in (EMULATION, *HEADERS)]
        command = ["g++", "-std=c++17", "-fsyntax-only", "-Wno-unknown-pragmas", *includes]
        done = subprocess.run([*command, str(source)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_more_steps_than_fit_beside_what_is_kept_are_an_error() -> None:
    case = linear_norm(64, 480, 64, config=wgmma_rows(128, 160, 3, "cooperative", 6))
    with pytest.raises(CompileError, match="do not fit shared memory"):
        case.source()


def test_columns_come_in_an_order_that_spares_exchanges() -> None:
    """Where the right factor lies along k and rows are whole packs of four threads."""
    config = wgmma_rows(64, 96, 1, "cooperative", 4)
    text = linear_norm(64, 96, 64, config=config).source()
    assert "kExchanges = false" in text
    # k, pairs of neighbours, the threads that share a row, the pairs of a thread, packs of four
    assert "{64, 2, 4, 4, 3}, {64, 512, 128, 2048}, {64, 2, 4, 4, 3}, 128}" in text
    assert "kExchanges = true" in linear_norm(64, 88, 64, config=config).source()


def test_what_varies_along_columns_alone_is_kept() -> None:
    lanes = lanes_of(linear_norm(256, 768, 768).view(), _FOUR)
    assert [operand.name for operand in lanes.columns] == ["extra0", "extra2", "extra3"]
    assert lanes.column_bytes == 3 * 192 * 2


def flags(case: Case) -> tuple[str, str]:
    """kWhole and kUsesSums."""
    text = case.source()
    found = re.search(r"kWhole = (\w+);", text), re.search(r"kUsesSums = (\w+),", text)
    assert found[0] and found[1]
    return found[0][1], found[1][1]


def test_sums_stay_only_where_they_are_used() -> None:
    config = wgmma_rows(64, 32, 3, "cooperative", 4)
    assert flags(linear_norm(64, 96, 64, config=config)) == ("true", "false")
    assert flags(linear_norm(64, 90, 64, config=config)) == ("false", "false")
    assert flags(scores(64, 96, 64, config)) == ("true", "true")


# Configs --------------------------------------------------------------------------------------


def test_configs_round_trip() -> None:
    text = (
        "#cuda.wgmma_rows<tile = [128, 192, 64], cluster = 4, schedule = cooperative, stages = 4>"
    )
    assert str(parse_config(text, WgmmaRowsAttr)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile = [128, 192, 64], cluster = 9, schedule = cooperative, stages = 4", "1 to 8 blocks"),
        ("tile = [128, 192, 64], cluster = 0, schedule = cooperative, stages = 4", "1 to 8 blocks"),
        ("tile = [128, 256, 64], cluster = 3, schedule = cooperative, stages = 5", "shared memory"),
        ("tile = [128, 256, 64], cluster = 3, schedule = pingpong, stages = 2", "registers"),
        ("tile = [128, 192, 64], schedule = cooperative, stages = 4", "a value for cluster"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=message):
        parse_config(f"#cuda.wgmma_rows<{text}>", WgmmaRowsAttr)


# What nvcc makes of them ----------------------------------------------------------------------

_COMPILED = [
    linear_norm(24576, 768, 768, config=wgmma_rows(128, 192, 4, "cooperative", 4), name="rows_192"),
    linear_norm(
        24576, 768, 768, "bf16", wgmma_rows(128, 256, 3, "cooperative", 3), "rows_256", kept=True
    ),
    linear_norm(24576, 768, 768, config=wgmma_rows(64, 192, 4, "pingpong", 5), name="rows_turns"),
    scores(4096, 190, 64, wgmma_rows(128, 192, 1, "cooperative", 3)),
]


@pytest.mark.compile
@pytest.mark.parametrize("case", _COMPILED, ids=lambda case: case.name)
def test_registers_suffice(case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_clean(compile_kernel(case, tmp_path_factory.mktemp(case.name)))
