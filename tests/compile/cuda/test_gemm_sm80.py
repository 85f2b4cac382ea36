"""Gemms of CUTLASS 2.x for the A100: what they take, and what is left to kernels of our own."""

from __future__ import annotations

import pytest
from xdsl.parser import Parser

from ait.codegen.cuda.configs import Cuda, CutlassMmaAttr, Products
from ait.codegen.cuda.gemm_sm80 import GemmSm80
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.ir.context import make_context
from tests.compile.cuda.cases import (
    A100_GEMMS,
    cutlass_mma,
    linear,
    merged_heads,
    on_a100,
    product,
)
from tests.compile.cuda.kernels import Case

A100 = make_target("cuda:sm_80")


def batched(factor: str, name: str, batch: int = 2) -> Case:
    """[batch, 16, 16] @ [batch, 16, 16], the left factor of which has any map."""
    dense = "offset 0, strides [256, 16, 1]"
    bases = (4096, 256 * batch, 256 * batch)
    return product(name, (batch, 16, 16, 16), (factor, dense, dense), bases=bases)


def odd_across() -> Case:
    """A right factor [k, n] whose rows are of 33 elements."""
    dense = "offset 0, strides [0, 64, 1]"
    return product("odd", (1, 16, 32, 16), (dense, "offset 0, strides [0, 33, 1]", dense))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (linear(64, 64, 63), "no pairs of neighbours along k"),
        (odd_across(), "no pairs of neighbours along n"),
        (merged_heads(""), "one stride apart|unit stride"),
        (batched("offset 0, strides [256, 32, 2]", "spread"), "no dim of unit stride"),
        (batched("offset 512, strides [256, -16, 1]", "reversed"), "0 or negative"),
        (batched("offset 0, strides [256, 0, 1]", "repeated"), "0 or negative"),
        (batched("offset 0, strides [0, 16, 1]", "crowd", 70000), "65535 products"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_cutlass_cannot_take_goes_to_kernels_of_our_own(case: Case, reason: str) -> None:
    op = on_a100(case).kernel()
    with pytest.raises(Refusal, match=reason):
        GemmSm80(Products.TF32X3).candidates(KernelView(op), A100.description)
    assert A100.refusal(op) is None
    assert not any(isinstance(config, CutlassMmaAttr) for config in A100.candidates(op))


@pytest.mark.parametrize("case", A100_GEMMS, ids=lambda case: case.name)
def test_every_candidate_renders(case: Case) -> None:
    op = case.kernel()
    found = [config for config in A100.candidates(op) if isinstance(config, CutlassMmaAttr)]
    assert found
    for config in found:
        op.properties["config"] = config
        assert "ait::cuda::sm80::run<Kernel>" in A100.render(KernelView(op), "kernel")


def test_layouts_come_from_the_strides() -> None:
    """Case 2 of the layouts is [k, m] and [n, k], its result [n, m]: the transposed product."""
    case = next(case for case in A100_GEMMS if case.name == "a100_layout_2")
    source = case.source()
    assert "LayoutA = cutlass::layout::RowMajor" in source
    assert "LayoutB = cutlass::layout::RowMajor" in source
    assert "kVectorA = 8, kVectorB = 8, kPack = 8" in source


@pytest.mark.parametrize(
    ("products", "operator"), [("tf32x3", "OpMultiplyAddFastF32"), ("tf32", "OpMultiplyAdd")]
)
def test_products_of_f32_have_their_operator(products: str, operator: str) -> None:
    config = cutlass_mma((64, 64, 16), (2, 2), f"products = {products}")
    source = on_a100(linear(64, 64, 64, "f32", config)).source()
    assert f"cutlass::arch::{operator};" in source
    # What split factors make NaN of is computed anew.
    assert ("exact_sum" in source) == (products == "tf32x3")


def test_hopper_takes_it_for_large_products_of_f32() -> None:
    """4096^3: measured, 70 TFLOP/s, where the kernels of our own reach 57."""
    best = make_target("cuda:sm_90a").candidates(linear(4096, 4096, 4096, "f32").kernel())[0]
    assert isinstance(best, CutlassMmaAttr)
    assert best.data.tile == (128, 128, 16)


def test_configs_round_trip() -> None:
    text = cutlass_mma((64, 64, 16), (2, 2), "products = tf32x3")
    context = make_context()
    context.load_dialect(Cuda)
    assert str(Parser(context, text).parse_attribute()) == text
