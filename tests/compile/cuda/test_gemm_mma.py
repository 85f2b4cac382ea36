"""Gemms on mma.sync: how f32 is multiplied, what is chosen and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from ait.codegen.compile import CompileOptions, compile_program
from ait.codegen.cuda.configs import ConvAttr, CutlassMmaAttr, MmaAttr, Products, WgmmaAttr
from ait.codegen.cuda.gemm_mma import MmaGemm
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.errors import CompileError
from ait.passes.target import find_target
from tests.compile.cuda.cases import layouts, linear, mma, product, wgmma
from tests.compile.cuda.conv_cases import Conv, conv
from tests.compile.cuda.kernels import TARGET, Array, Case, emulated, parse_config

_DENSE = "offset 0, strides [0, 96, 1]"
_SIZES = (96 * 96, 96 * 96, 96 * 96)


def square(element: str, config: str = "") -> Case:
    """a [96, 96] @ b [96, 96]."""
    return product("square", (1, 96, 96, 96), (_DENSE, _DENSE, _DENSE), element, config, _SIZES)


class _Random(Case):
    """The same kernel on numbers of full precision and of many magnitudes."""

    def inputs(self, seed: int = 0) -> dict[str, Array]:
        generator = np.random.default_rng(seed)
        values = super().inputs(seed)
        for value in values.values():
            powers = np.exp2(generator.integers(-12, 13, value.shape))
            value[...] = generator.normal(size=value.shape) * powers
        return values


def worst_errors(products: str, folder: Path) -> tuple[float, float]:
    """Of an emulated product and of one summed in f32, against what magnitudes sum up to."""
    config = mma((32, 32, 16), (2, 2), 2, f"products = {products}")
    case = _Random(**vars(square("f32", config)))
    inputs = case.inputs()
    a, b = (inputs[name].reshape(96, 96) for name in "ab")
    (actual,) = emulated(case, folder)
    summed = np.zeros((96, 96), np.float32)
    for k in range(96):
        summed += np.outer(a[:, k], b[k])
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    size = np.abs(wide_a) @ np.abs(wide_b)

    def worst(result: Array) -> float:
        return float((np.abs(result.reshape(96, 96) - wide_a @ wide_b) / size).max())

    return worst(actual), worst(summed)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize(("products", "at_least", "at_most"), [("tf32x3", 0, 1), ("tf32", 50, 1e5)])
def test_split_factors_are_as_accurate_as_f32(
    products: str, at_least: float, at_most: float, tmp_path: Path
) -> None:
    """And rounded ones are not."""
    actual, summed = worst_errors(products, tmp_path)
    assert at_least * summed <= actual <= at_most * summed


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("cuda:sm_90a", Products.TF32X3),
        ("cuda:sm_80", Products.TF32X3),
        ("cuda", Products.TF32X3),
        ("cuda:sm_80+tf32", Products.TF32),
    ],
)
def test_the_target_says_how_f32_is_multiplied(name: str, products: Products) -> None:
    target = find_target(name)
    for case in (linear(512, 512, 512, "f32"), conv("f32", Conv(8, 28, 28, 64, 64), "f32")):
        best = target.candidates(case.kernel())[0]
        assert isinstance(best, MmaAttr | ConvAttr | CutlassMmaAttr)
        assert best.data.products is products


def test_tf32_takes_the_instructions_of_hopper_where_both_factors_lie_along_k() -> None:
    target = find_target("cuda:sm_90a+tf32")
    best = target.candidates(linear(512, 512, 512, "f32").kernel())[0]
    assert isinstance(best, WgmmaAttr) and best.data.tile[2] == 32
    for case in (linear(512, 512, 510, "f32"), square("f32")):
        found = target.candidates(case.kernel())
        assert not any(isinstance(config, WgmmaAttr) for config in found)
    # Split factors would have to be made in shared memory.
    found = TARGET.candidates(linear(512, 512, 512, "f32").kernel())
    assert not any(isinstance(config, WgmmaAttr) for config in found)


def test_a_step_along_k_is_128_bytes() -> None:
    halves = linear(64, 64, 64, "f16", wgmma(64, 64, "pingpong", 3, k=32)).kernel()
    with pytest.raises(CompileError, match="a step along k is 64 factors, not 32"):
        TARGET.render(KernelView(halves), "kernel")


def test_multiply_add_on_request() -> None:
    found = find_target("cuda:sm_90a+f32").candidates(linear(512, 512, 512, "f32").kernel())
    assert {type(config).__name__ for config in found} == {"OwnGemmAttr"}


def test_modes_have_names_of_their_own() -> None:
    """Libraries, caches and timings are told apart by the target's name."""
    names = {find_target(f"cuda:sm_90a{mode}").name for mode in ("", "+tf32", "+f32")}
    assert len(names) == 3


@pytest.mark.parametrize("target", ["cpu", "hip:gfx942", "cuda:sm_90a+f32"])
def test_what_has_no_tf32_says_so(target: str, tmp_path: Path) -> None:
    program = linear(8, 8, 8, "f32").program()
    options = CompileOptions(f32_products="tf32")
    with pytest.raises(CompileError, match="tf32"):
        compile_program(program, target, tmp_path / "model.so", options)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(CompileError, match="no mode 'fast'; it has f32, tf32"):
        find_target("cuda:sm_90a+fast")


def test_lone_halves_across_k_are_left_to_others() -> None:
    """Copies are of 4 bytes at least; along k, single elements pass through registers."""
    family, device = MmaGemm(Products.TF32X3), TARGET.description
    odd = (_DENSE, "offset 1, strides [0, 95, 1]", _DENSE)
    case = product("odd", (1, 96, 95, 96), odd, bases=_SIZES)
    with pytest.raises(Refusal, match="pairs neither along k nor along n"):
        family.candidates(KernelView(case.kernel()), device)
    turned = (_DENSE, "offset 1, strides [0, 1, 95]", _DENSE)
    case = product("odd", (1, 96, 96, 95), turned, bases=_SIZES)
    assert family.candidates(KernelView(case.kernel()), device)


@pytest.mark.parametrize(
    "case", [*layouts("", (2, 136, 104, 80), "f32"), *layouts("", (1, 40, 7, 33), "f32")]
)
def test_every_layout_of_f32_has_candidates_that_render(case: Case) -> None:
    op = case.kernel()
    found = [c for c in TARGET.candidates(op) if isinstance(c, MmaAttr)]
    assert len(found) == len(set(map(str, found))) > 0
    for config in found:
        op.properties["config"] = config
        assert "run_gemm_mma" in make_target("cuda").render(KernelView(op), "kernel")


def test_results_by_columns_are_those_of_the_transposed_product() -> None:
    by_rows, by_columns = (layouts(mma((64, 32, 32), (2, 2)))[number] for number in (4, 0))
    assert "kTileM = 64" in by_columns.source()
    assert "line < arguments.n" in by_rows.source()
    # The packs of eight results lie along the op's m, which are the kernel's columns.
    assert "kPack = 8" in by_columns.source()


def test_few_rows_take_small_tiles_and_many_large_ones() -> None:
    family, device = MmaGemm(Products.TF32X3), TARGET.description

    def best(rows: int) -> tuple[int, int, int]:
        view = linear(rows, 4096, 4096, "f32").view()
        config = min(family.candidates(view, device), key=lambda found: found.seconds).config
        assert isinstance(config, MmaAttr)
        return config.data.tile

    assert best(16)[0] <= 32
    assert best(8192)[0] >= 128


@pytest.mark.parametrize(
    "text",
    [
        mma((128, 128, 64), (2, 2)),
        mma((64, 32, 16), (2, 2), 4, "products = tf32x3"),
        mma((64, 32, 32), (2, 2), 4, "products = tf32, blocks = 2"),
        "#cuda.conv<tile = [64, 32, 32], warps = [2, 2], stages = 4, products = tf32x3>",
    ],
)
def test_configs_round_trip(text: str) -> None:
    assert str(parse_config(text, Attribute)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (mma((64, 32, 16), (2, 2)), "32 or 64"),
        (mma((64, 32, 64), (2, 2), 3, "products = tf32"), "16 or 32"),
        (mma((24, 32, 32), (1, 2)), "16 rows"),
        (mma((64, 32, 32), (2, 2), 1), "stages"),
        (mma((64, 32, 32), (2, 2), 3, "blocks = 9"), "1 to 8 blocks"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse_config(text, Attribute)


def test_a_config_of_other_elements_is_an_error() -> None:
    op = linear(64, 64, 64, "f32", mma((64, 64, 32), (2, 2))).kernel()
    with pytest.raises(CompileError, match="do not multiply f32"):
        TARGET.render(KernelView(op), "kernel")
