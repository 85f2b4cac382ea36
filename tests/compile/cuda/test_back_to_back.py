"""Two Hopper gemms in one kernel: what they take, and what they are chosen for."""

from __future__ import annotations

import pytest
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.cuda.back_to_back import BackToBackHopper, factors_of
from ait.codegen.cuda.config import BackToBackAttr, BackToBackConfig
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from tests.compile.cuda.kernels import TARGET, Case, parse_config
from tests.compile.cuda.test_nvcc import assert_clean, compile_kernel
from tests.compile.cuda.whole_row_cases import BACK_TO_BACK, back_to_back, both


def bare_view(case: Case) -> KernelView:
    """The op without a config."""
    (op,) = (op for op in case.program().module.walk() if isinstance(op, KernelOp))
    return KernelView(op)


def test_every_case_renders() -> None:
    for case in BACK_TO_BACK:
        assert "run_hopper_back_to_back" in case.source()


def test_the_second_right_factor_lies_along_the_middle() -> None:
    view = bare_view(back_to_back(128, 64, 256, 128, "", "dense"))
    product, second = factors_of(view, BackToBackConfig((128, 128, 64), 3))
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


def test_a_config_that_does_not_hold_the_middle_is_an_error() -> None:
    with pytest.raises(CompileError, match="more columns"):
        back_to_back(64, 64, 64, 128, both(64, 96, 64, 3), "narrow").source()


# Configs --------------------------------------------------------------------------------------


def test_configs_round_trip() -> None:
    text = both(128, 192, 64, 4)
    assert str(parse_config(text, BackToBackAttr)) == text


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


# What nvcc makes of them ----------------------------------------------------------------------


@pytest.mark.compile
@pytest.mark.parametrize(
    "config", [both(128, 256, 192, 4), both(128, 128, 128, 5), both(64, 64, 64, 8)]
)
def test_registers_suffice(config: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    case = back_to_back(
        65536, 192, 512, parse_config(config, BackToBackAttr).data.tile[1], config, "both"
    )
    assert_clean(compile_kernel(case, tmp_path_factory.mktemp(case.name)))
