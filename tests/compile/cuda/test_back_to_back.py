"""Two Hopper gemms in one kernel: what they take, and what they are chosen for."""

from __future__ import annotations

import pytest
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.cuda.back_to_back import BackToBackHopper, factors_of
from ait.codegen.cuda.back_to_back_parts import BackToBackParts
from ait.codegen.cuda.configs import (
    BackToBackAttr,
    BackToBackPartsAttr,
)
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from tests.compile.cuda.kernels import TARGET, Case, parse_config
from tests.compile.cuda.test_nvcc import assert_clean, compile_kernel
from tests.compile.cuda.whole_row_cases import (
    BACK_TO_BACK,
    PARTS,
    back_to_back,
    back_to_back_parts,
    both,
    parts,
)


def bare_view(case: Case) -> KernelView:
    """The op without a config."""
    (op,) = (op for op in case.program().module.walk() if isinstance(op, KernelOp))
    return KernelView(op)


def test_every_case_renders() -> None:
    for case in BACK_TO_BACK:
        assert "run_hopper_back_to_back<" in case.source()
    for case in PARTS:
        assert "run_hopper_back_to_back_parts<" in case.source()


def test_the_second_right_factor_lies_along_the_middle() -> None:
    view = bare_view(back_to_back(128, 64, 256, 128, "", "dense"))
    product, second = factors_of(view, (128, 128, 64))
    maps = [
        [(dim.size, dim.box, dim.coordinate) for dim in factor.dims]
        for factor in (product.a, product.bs[0], second)
    ]
    assert maps == [
        [("256", 64, "k"), ("128", 128, "row")],
        [("256", 64, "k"), ("128", 128, "column")],
        [("128", 64, "k"), ("64", 64, "column")],
    ]


def test_candidates_hold_the_middle() -> None:
    for middle in (8, 104, 256):
        view = bare_view(back_to_back(4096, 96, 64, middle, "", "any"))
        found = BackToBackHopper().candidates(view, TARGET.description)
        configs = [candidate.config for candidate in found]
        assert len(set(configs)) == len(configs) > 0
        for config in configs:
            assert isinstance(config, BackToBackAttr) and not config.data.problems()
            assert config.data.tile[1] >= middle > config.data.tile[1] - 32


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (back_to_back(64, 64, 64, 264, "", "wide"), "a middle of 264 columns"),
        (back_to_back(64, 64, 60, 64, "", "unaligned"), "the left factor is not aligned"),
        (back_to_back(64, 64, 64, 60, "", "odd"), "second right factor is not aligned"),
        (back_to_back(64, 64, 64, 64, "", "f32", "f32"), "factors of f32"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_does_not_fit_is_refused(case: Case, reason: str) -> None:
    view = bare_view(case)
    with pytest.raises(Refusal, match=reason):
        BackToBackHopper().candidates(view, TARGET.description)
    assert reason in (TARGET.refusal(view.op) or "")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (back_to_back_parts(64, 64, 64, 96, "", "odd"), "a middle of 96 columns is no number"),
        (back_to_back_parts(64, 264, 64, 128, "", "wide"), "264 columns"),
        (back_to_back_parts(64, 64, 60, 128, "", "unaligned"), "the left factor is not aligned"),
        (back_to_back_parts(64, 60, 64, 128, "", "pieces"), "no rows, lines or tiles"),
        (back_to_back_parts(64, 64, 64, 128, "", "f32", "f32"), "factors of f32"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_does_not_pass_in_parts_is_refused(case: Case, reason: str) -> None:
    view = bare_view(case)
    with pytest.raises(Refusal, match=reason):
        BackToBackParts().candidates(view, TARGET.description)
    assert TARGET.refusal(view.op) is not None


@pytest.mark.parametrize("kept", [False, True])
def test_candidates_in_parts_render(kept: bool) -> None:
    """All of them, for a middle that registers would hold and for a wider one."""
    for middle, n in ((128, 64), (512, 128), (1024, 256)):
        case = back_to_back_parts(4096, n, 128, middle, "", "any", kept=kept)
        view = bare_view(case)
        found = BackToBackParts().candidates(view, TARGET.description)
        configs = [candidate.config for candidate in found]
        assert len(set(configs)) == len(configs) > 0
        for config in configs:
            assert isinstance(config, BackToBackPartsAttr) and not config.data.problems()
            BackToBackParts().values(view, config)


def test_a_middle_that_is_kept_passes_in_parts() -> None:
    """One that is not goes to the kernel that has it whole, if that can."""
    for kept, kind in ((True, BackToBackPartsAttr), (False, BackToBackAttr)):
        case = back_to_back_parts(4096, 64, 64, 128, "", "any", kept=kept)
        configs = TARGET.candidates(bare_view(case).op)
        assert any(isinstance(config, kind) for config in configs)
        assert any(isinstance(config, BackToBackAttr) for config in configs) != kept


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (parts(128, 128, 64, 2, 4, 1), "no whole number of parts of 128"),
        (parts(128, 64, 32, 2, 4, 1), "there are more columns"),
        (parts(128, 64, 64, 1, 4, 1), "the left factor's steps do not fit"),
        (parts(128, 64, 64, 2, 4, 4), "the ring is longer than the middle"),
        (parts(128, 64, 64, 8, 10, 2), "do not fit shared memory"),
    ],
)
def test_a_config_in_parts_that_does_not_fit_is_an_error(config: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        back_to_back_parts(64, 64, 128, 192, config, "narrow").source()


def test_results_without_columns_leave_a_middle_that_is_kept_to_others() -> None:
    """No tile would be computed, and the middle not be stored."""
    config = parts(64, 64, 64, 2, 4, 2)
    with pytest.raises(CompileError, match="may have no columns"):
        back_to_back_parts(100, 0, 64, 128, config, "none").source()
    back_to_back_parts(100, 0, 64, 128, config, "none", kept=False).source()


def test_a_config_that_does_not_hold_the_middle_is_an_error() -> None:
    with pytest.raises(CompileError, match="more columns"):
        back_to_back(64, 64, 64, 128, both(64, 96, 64, 3), "narrow").source()


# Configs --------------------------------------------------------------------------------------


def test_configs_round_trip() -> None:
    for text, kind in (
        (both(128, 192, 64, 4), BackToBackAttr),
        (parts(192, 64, 96, 3, 6, 2), BackToBackPartsAttr),
    ):
        assert str(parse_config(text, kind)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile = [192, 64, 64], stages = 4", "64 or 128 rows"),
        ("tile = [128, 288, 64], stages = 2", "the middle is 32 to 256"),
        ("tile = [128, 64, 96], stages = 4", "no more than the middle's"),
        ("tile = [128, 256, 256], stages = 3", "registers"),
        ("tile = [128, 256, 64], stages = 5", "shared memory"),
        ("tile = [128, 64, 64]", "a value for stages"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=message):
        parse_config(f"#cuda.back_to_back<{text}>", BackToBackAttr)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (parts(256, 64, 64, 2, 4, 2), "64, 128 or 192 rows"),
        (parts(128, 96, 64, 2, 4, 2), "64 or 128 columns"),
        (parts(128, 64, 288, 2, 4, 2), "the columns are 32 to 256"),
        (parts(128, 128, 256, 2, 3, 2), "registers"),
        (parts(192, 64, 160, 2, 3, 2), "registers"),
        (parts(128, 64, 64, 17, 4, 2), "steps of left factors"),
        (parts(128, 64, 64, 2, 1, 2), "stages"),
        (parts(128, 64, 64, 2, 4, 9), "the ring"),
        (parts(128, 64, 256, 8, 4, 2), "shared memory"),
    ],
)
def test_wrong_configs_in_parts_are_refused(config: str, message: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=message):
        parse_config(config, BackToBackPartsAttr)


# What nvcc makes of them ----------------------------------------------------------------------


@pytest.mark.compile
@pytest.mark.parametrize(
    "config", [both(128, 256, 192, 4), both(128, 128, 128, 5), both(64, 64, 64, 8)]
)
def test_registers_suffice(config: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    middle = parse_config(config, BackToBackAttr).data.tile[1]
    case = back_to_back(65536, 192, 512, middle, config, "both")
    assert_clean(compile_kernel(case, tmp_path_factory.mktemp(case.name)))


@pytest.mark.compile
@pytest.mark.parametrize(
    "config",
    [
        parts(128, 128, 128, 2, 3, 2),
        parts(192, 64, 64, 2, 8, 2),
        parts(192, 64, 128, 1, 3, 1),
        parts(128, 64, 256, 2, 3, 1),
        parts(64, 64, 256, 2, 3, 2),
    ],
)
def test_registers_suffice_in_parts(config: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With all that a region may read."""
    rows, _, columns = parse_config(config, BackToBackPartsAttr).data.tile
    finish = rows == 128 and columns <= 128
    case = back_to_back_parts(65536, columns, 64, 256, config, "parts", finish=finish)
    assert_clean(compile_kernel(case, tmp_path_factory.mktemp(case.name)))
