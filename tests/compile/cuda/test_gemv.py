"""Products with few rows or columns: what the kernel takes, and when it is chosen."""

from __future__ import annotations

import pytest
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.gpu.dialect import GemvAttr
from ait.codegen.gpu.family import Refusal
from ait.codegen.gpu.gemv import Gemv, product_of
from ait.codegen.gpu.own_gemm import Engine
from ait.codegen.kernel_view import KernelView
from ait.errors import CompileError
from tests.compile.cuda.cases import GEMVS, few_rows, gated, gemv, linear
from tests.compile.cuda.kernels import TARGET, Case, parse_config
from tests.compile.cuda.test_nvcc import assert_clean, compile_kernel

FAMILY = Gemv(Engine("ait/cuda/gemv_tensor.hpp", "ait::cuda::TensorGemv"))


def sides(case: Case) -> tuple[str, str, str, list[str]]:
    """What the kernel calls rows and columns, and the factors that give them."""
    product = product_of(case.view())
    weights = [weight.name for weight in product.weights]
    return product.rows, product.columns, product.vectors.name, weights


def test_the_side_with_few_is_the_rows() -> None:
    assert sides(linear(4, 100, 64)) == ("m", "n", "a", ["b"])
    assert sides(linear(100, 4, 64)) == ("n", "m", "b", ["a"])
    assert sides(linear(3, 2, 64)) == ("n", "m", "b", ["a"])
    assert sides(few_rows("GemvAttr")) == ("m", "n", "a", ["b"])
    assert sides(gated(3, 2, 64, "")) == ("m", "n", "a", ["b", "c"])
    assert sides(linear(100, 16, 64)) == ("n", "m", "b", ["a"])


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (linear(17, 17, 64), "more than 16 rows and columns"),
        (gated(17, 1, 64, ""), "more than 16 rows"),
        (linear(5, 17, 60), "more than 4 rows on scalar units"),
    ],
    ids=("square", "gated", "odd"),
)
def test_what_is_refused(case: Case, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        FAMILY.candidates(case.view(), TARGET.description)


def test_packs_lie_where_neighbours_do() -> None:
    def first(case: Case) -> tuple[str, int]:
        config = case.view().config
        assert isinstance(config, GemvAttr)
        return str(config.data.lanes), config.data.vector

    assert first(linear(1, 768, 768, config="GemvAttr")) == ("inner", 8)
    assert first(linear(1, 768, 768, "f32", "GemvAttr")) == ("inner", 4)
    assert first(linear(1, 768, 100, config="GemvAttr")) == ("inner", 4)
    assert first(linear(1, 768, 47, config="GemvAttr")) == ("inner", 1)
    assert first(few_rows("GemvAttr")) == ("outer", 8)


def test_candidates_fit_and_are_distinct() -> None:
    for case in (
        linear(1, 1000, 2048),
        linear(16, 72, 80),
        linear(4, 72, 80, "f32"),
        few_rows(""),
        gated(2, 80, 72, ""),
    ):
        view = case.view()
        found = [c.config for c in FAMILY.candidates(view, TARGET.description)]
        assert len(set(found)) == len(found)
        for config in found:
            assert isinstance(config, GemvAttr) and not config.data.problems()
            FAMILY.values(view, config)


def test_a_config_that_does_not_fit_is_an_error() -> None:
    for case, text, message in (
        (linear(16, 64, 512), gemv("inner", 8, 1024, 1, 2, 1, "tensor"), "shared memory"),
        (linear(16, 64, 64), gemv("inner", 8, 32, 4, 1, 2), "more than 4 rows on scalar units"),
        (linear(4, 64, 64, "f32"), gemv("inner", 8, 32, 4, 1, 2, "tensor"), "packs of 8"),
        (linear(1, 64, 47), gemv("inner", 8, 32, 4, 1, 2), "cannot be read in packs of 8"),
        (linear(1, 64, 64), gemv("outer", 8, 32, 4, 1, 2), "cannot be read in packs of 8"),
        (linear(17, 64, 64), gemv("inner", 8, 32, 4, 1, 2), "more than 16 rows"),
    ):
        op = case.kernel()
        op.properties["config"] = parse_config(text, GemvAttr)
        with pytest.raises(CompileError, match=message):
            TARGET.render(KernelView(op), "kernel")


# Choice ---------------------------------------------------------------------------------------


def test_few_rows_are_no_tiles() -> None:
    shapes = ((1, 768, 768), (1, 768, 3072), (1, 28672, 4096), (4, 4096, 4096), (1, 1000, 2048))
    for m, n, k in shapes:
        assert isinstance(TARGET.candidates(linear(m, n, k).kernel())[0], GemvAttr)
        assert isinstance(TARGET.candidates(linear(n, m, k).kernel())[0], GemvAttr)
    assert isinstance(TARGET.candidates(gated(1, 14336, 4096, "").kernel())[0], GemvAttr)


# Configs --------------------------------------------------------------------------------------


def test_configs_round_trip() -> None:
    for text in (gemv("inner", 8, 128, 2, 4, 4, "tensor"), gemv("outer", 4, 64, 8, 1, 16)):
        assert str(parse_config(text, GemvAttr)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (gemv("inner", 16, 32, 4, 1, 2), "vector"),
        (gemv("inner", 8, 24, 4, 1, 2), "powers of two"),
        (gemv("inner", 8, 8, 2, 1, 2), "32 to 1024 threads, not 16"),
        (gemv("inner", 8, 32, 64, 1, 2), "32 to 1024 threads, not 2048"),
        (gemv("inner", 8, 32, 4, 16, 1), "1 to 8 columns"),
        (gemv("outer", 8, 32, 4, 2, 1), "columns of a team"),
        (gemv("inner", 8, 32, 4, 1, 3), "items"),
        (gemv("outer", 8, 32, 4, 1, 2, "tensor"), "packs along k"),
        (gemv("inner", 4, 32, 4, 1, 2, "tensor"), "packs of 8"),
        (gemv("inner", 8, 16, 4, 1, 2, "tensor"), "whole warps"),
        (gemv("inner", 8, 32, 4, 4, 8), "up to 16 packs"),
        ("#plain.gemv<lanes = inner, vector = 8>", "expected a value for"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=message):
        parse_config(text, GemvAttr)


# What nvcc makes of them ----------------------------------------------------------------------

_COMPILED = [
    # What takes most registers, and every way of adding up
    linear(4, 4096, 4096, config=gemv("inner", 8, 128, 1, 4, 4), name="many_columns"),
    linear(1, 28672, 4096, config="GemvAttr", name="first_choice"),
    gated(4, 4096, 4096, "GemvAttr"),
    *(case for case in GEMVS if case.name in ("gemv_warps", "gemv_across", "gemv_odd")),
]


@pytest.mark.compile
@pytest.mark.parametrize("case", _COMPILED, ids=lambda case: case.name)
def test_registers_suffice(case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_clean(compile_kernel(case, tmp_path_factory.mktemp(case.name)))
