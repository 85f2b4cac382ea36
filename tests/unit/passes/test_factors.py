"""Products of factors that are repeated, scaled or converted first: the product means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.kernel import BackToBackGemmOp, GemmOp, KernelOp, ProductOp
from ait.dialects.symbolic import element_of
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter import evaluate
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import LOWER, SIMPLIFY, run_pipeline
from tests.compile.cuda.cases import integers
from tests.unit.passes.launches import launches

Tensor = nn.Tensor
BATCH = Dim("batch", 1, 4)


def interleaved(x: Tensor, dim: int, times: int) -> Tensor:
    """Each index of a dim several times, one after the other."""
    shape = x.shape
    spread = x.unsqueeze(dim + 1).expand(*shape[: dim + 1], times, *shape[dim + 1 :])
    return spread.flatten(dim, dim + 1)


def tiled(x: Tensor, dim: int, times: int) -> Tensor:
    """All of a dim several times."""
    shape = x.shape
    return x.unsqueeze(dim).expand(*shape[:dim], times, *shape[dim:]).flatten(dim, dim + 1)


REPEATS = {"interleaved": interleaved, "tiled": tiled}
SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda x: x,
    "scaled": lambda x: x * 0.5,
    "negated": lambda x: -x,
    "shifted": lambda x: x + 1,
}


@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("factor", [0, 1])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_repeated_factors(repeat: str, scale: str, factor: int, dim: int) -> None:
    """Repeated are batches, rows and columns of either factor, those that are summed too."""
    sizes = [[4, 6, 6], [4, 6, 6]]
    sizes[factor][dim] //= 2

    def model(a: Tensor, b: Tensor) -> Tensor:
        factors = [a, b]
        factors[factor] = SCALES[scale](REPEATS[repeat](factors[factor], dim, 2))
        return factors[0] @ factors[1]

    specs = {name: TensorSpec(tuple(size)) for name, size in zip("ab", sizes, strict=True)}
    assert "gemm" in run(model, specs)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("factor", [0, 1])
@pytest.mark.parametrize("batched", [False, True])
def test_what_is_done_to_a_factor(scale: str, factor: int, batched: bool) -> None:
    def model(a: Tensor, b: Tensor) -> Tensor:
        factors = [a, b]
        factors[factor] = SCALES[scale](factors[factor].transpose(-1, -2))
        return (factors[0] @ factors[1]).tanh()

    lead = (BATCH,) if batched else ()
    specs = {name: TensorSpec((*lead, 6, 6)) for name in "ab"}
    found = run(model, specs)
    assert "gemm" in found
    if scale != "shifted":  # a sum of shifted terms is no scaled sum
        assert found == ["gemm"]


def run(model: Any, specs: dict[str, TensorSpec]) -> list[str]:
    """The launches of a model, whose results are checked, copies among them."""
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        name: rng.standard_normal([2 if dim == BATCH else dim for dim in spec.shape], np.float32)
        for name, spec in specs.items()
    }
    return launches(model, specs, inputs, copies=True)


# Integers ---------------------------------------------------------------------------------------

_WIDENED: dict[str, Callable[[Tensor], Tensor]] = {
    "f32": lambda x: x.to("f32"),
    "scaled": lambda x: x.to("f32") * 0.125,
    "transposed": lambda x: x.transpose(-1, -2).to("f32"),
    "moved": lambda x: x.to("f32").transpose(-1, -2),
    "bf16": lambda x: x.to("bf16").to("f32"),
    "f16": lambda x: x.to("f16").to("f32") * 0.5,
}


@pytest.mark.parametrize("left", _WIDENED)
@pytest.mark.parametrize("right", _WIDENED)
def test_products_of_widened_integers_read_the_integers(left: str, right: str) -> None:
    def model(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
        return _WIDENED[left](a) @ _WIDENED[right](b) * scale

    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        name: rng.integers(-128, 128, (2, 6, 6)).astype(np.int8) for name in "ab"
    }
    specs = {name: TensorSpec((BATCH, 6, 6), "i8") for name in "ab"}
    specs["scale"], inputs["scale"] = TensorSpec((6,)), rng.random(6, np.float32)
    assert launches(model, specs, inputs, copies=True) == ["gemm"]


_OTHERS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "float": (lambda x: x, "f32"),
    "shifted": (lambda x: x.to("f32") + 1, "i8"),
    "wide": (lambda x: x.to("f32"), "i32"),
}


@pytest.mark.parametrize("other", _OTHERS)
def test_other_factors_keep_both_wide(other: str) -> None:
    prepare, element = _OTHERS[other]

    def model(a: Tensor, b: Tensor) -> Tensor:
        return a.to("f32") @ prepare(b)

    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        "a": rng.integers(-128, 128, (6, 6)).astype(np.int8),
        "b": rng.integers(-128, 128, (6, 6)).astype(dtype_of(element).numpy),
    }
    specs = {"a": TensorSpec((6, 6), "i8"), "b": TensorSpec((6, 6), element)}
    assert "pointwise" in "+".join(launches(model, specs, inputs, copies=True))


# Numbers of 8 bits and their scales ---------------------------------------------------------------

NARROW = ("i8", "f8E4M3FN")
"""Types that Hopper's tensor cores multiply, of 8 bits."""


def narrow_values(element: str, shape: tuple[int, ...], seed: int) -> Any:
    """Random numbers of a type, none of them NaN."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-128, 128, shape) if element == "i8" else rng.normal(0, 4, shape)
    return values.astype(dtype_of(element).numpy)


def gemms_of(
    model: Any, specs: dict[str, TensorSpec], inputs: dict[str, Any], target: str, rtol: float
) -> list[tuple[str, str]]:
    """The types of the factors of a model's products on a target, where it still gives the same."""
    program = trace(model, specs)
    expected = evaluate(program, inputs)["output"].astype(np.float32)
    run_pipeline(program.module, target=target, verify=True)
    actual = evaluate(program, inputs)["output"].astype(np.float32)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    gemms = (op for op in program.main.walk() if isinstance(op, GemmOp))
    return [(str(element_of(op.ins[0])), str(element_of(op.ins[1]))) for op in gemms]


_DEQUANTISED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "times": lambda x, s: x.to("f32") * s,
    "times_before": lambda x, s: s * x.to("f32"),
    "divided": lambda x, s: x.to("f32") / s,
    "negated": lambda x, s: -(x.to("f32") * s),
    "tiny": lambda x, s: x.to("f32") * 1e-6 * s,
    "twice": lambda x, s: x.to("f32") * s * (s + 1),
    "rounded": lambda x, s: (x.to("f32") * s).to("f16"),
    "in_halves": lambda x, s: x.to("f16") * s.to("f16"),
}


@pytest.mark.parametrize("element", NARROW)
@pytest.mark.parametrize("prepare", _DEQUANTISED)
@pytest.mark.parametrize("rows", [(), (1,), (5, 1), (BATCH, 5, 1)], ids=str)
@pytest.mark.parametrize("columns", [(), (7,)], ids=str)
def test_scales_of_rows_and_columns_are_code_of_the_product(
    element: str, prepare: str, rows: tuple[Any, ...], columns: tuple[int, ...]
) -> None:
    def model(x: Tensor, w: Tensor, r: Tensor, c: Tensor) -> Tensor:
        step = c.unsqueeze(1) if columns else c
        left, right = _DEQUANTISED[prepare](x, r), _DEQUANTISED[prepare](w, step)
        return nn.functional.linear(left, right)

    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        "x": narrow_values(element, (2, 5, 32), 1),
        "w": narrow_values(element, (7, 32), 2),
        "r": rng.uniform(0.001, 0.002, [2 if n == BATCH else n for n in rows]).astype(np.float32),
        "c": rng.uniform(0.5, 1, columns).astype(np.float32),
    }
    specs = {
        "x": TensorSpec((BATCH, 5, 32), element),
        "w": TensorSpec((7, 32), element),
        "r": TensorSpec(rows),
        "c": TensorSpec(columns),
    }
    # Dequantised factors of 16 bits are rounded; what the product reads instead is not.
    rtol = 4e-3 if prepare in ("rounded", "in_halves") else 1e-5
    assert gemms_of(model, specs, inputs, "any", rtol) == [(element, element)]


@pytest.mark.parametrize("element", NARROW)
def test_a_scale_of_the_index_is_none_of_the_product(element: str) -> None:
    """A position in the sum, though it is no operand."""

    def model(x: Tensor, w: Tensor) -> Tensor:
        position = nn.arange(32).to("f32")
        return nn.functional.linear(x.to("f32") * position, w.to("f32"))

    inputs: dict[str, Any] = {
        "x": narrow_values(element, (5, 32), 1),
        "w": narrow_values(element, (7, 32), 2),
    }
    specs = {name: TensorSpec(inputs[name].shape, element) for name in "xw"}
    assert (element, element) not in gemms_of(model, specs, inputs, "any", 1e-5)


@pytest.mark.parametrize("element", NARROW)
def test_scales_that_vary_in_the_sum_stay_where_they_are(element: str) -> None:
    def model(x: Tensor, w: Tensor, s: Tensor) -> Tensor:
        return nn.functional.linear(x.to("f32") * s, w.to("f32"))

    inputs: dict[str, Any] = {
        "x": narrow_values(element, (5, 32), 1),
        "w": narrow_values(element, (7, 32), 2),
        "s": np.random.default_rng(0).random(32, np.float32),
    }
    specs = {name: TensorSpec(inputs[name].shape, element) for name in "xw"}
    specs["s"] = TensorSpec((32,))
    assert (element, element) not in gemms_of(model, specs, inputs, "any", 1e-5)


def test_numbers_of_two_types_of_8_bits_are_widened() -> None:
    def model(x: Tensor, w: Tensor) -> Tensor:
        return nn.functional.linear(x.to("f32"), w.to("f32"))

    types = dict(zip("xw", NARROW, strict=True))
    inputs: dict[str, Any] = {n: narrow_values(t, (16, 32), 1) for n, t in types.items()}
    specs = {name: TensorSpec((16, 32), element) for name, element in types.items()}
    assert gemms_of(model, specs, inputs, "any", 1e-5) == [("f32", "f32")]


def test_rounding_to_8_bits_is_no_widening() -> None:
    """An i8 has more bits than f8E4M3FN: what rounds it is no factor that could be left out."""

    def model(x: Tensor, w: Tensor) -> Tensor:
        return nn.functional.linear(x.to("f8E4M3FN").to("f32"), w.to("f8E4M3FN").to("f32"))

    inputs: dict[str, Any] = {n: narrow_values("i8", (16, 32), i) for i, n in enumerate("xw")}
    specs = {name: TensorSpec((16, 32), "i8") for name in "xw"}
    assert gemms_of(model, specs, inputs, "any", 1e-5) == [("f8E4M3FN", "f8E4M3FN")]


@pytest.mark.parametrize("element", ["i8", "f32"])
def test_a_factor_that_is_made_in_exponentially_many_ways(element: str) -> None:
    """Sums of one term: either side of each product may be the scale of the other."""

    def model(x: Tensor, w: Tensor) -> Tensor:
        factor = x.to("f32")
        for _ in range(64):
            factor = factor * factor
        return nn.functional.linear(factor, w.to("f32"))

    inputs: dict[str, Any] = {
        "x": np.array([[-1], [0], [1]]).astype(dtype_of(element).numpy),
        "w": np.array([[5], [-3]]).astype(dtype_of(element).numpy),
    }
    specs = {name: TensorSpec(inputs[name].shape, element) for name in "xw"}
    assert len(gemms_of(model, specs, inputs, "any", 0)) == 1


WIDTHS = {"first": 16, "second": 48}


class Quantised(nn.Module):
    """Two linears of 8-bit numbers; the result of the first is quantised in between."""

    def __init__(self, element: str) -> None:
        self.element = element
        self.first = nn.Parameter((16, 32), element)
        self.second = nn.Parameter((48, 16), element)
        self.first_scale = nn.Parameter((16, 1), "f32")
        self.second_scale = nn.Parameter((48, 1), "f32")

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        weight = self.first.to("f16") * self.first_scale.to("f16")
        h = nn.functional.linear(x.to("f16") * 0.125, weight).relu()
        h = (h / scale).clamp(-127, 127).to(self.element)
        weight = (self.second.to("f32") * self.second_scale / 4).to("f16")
        return nn.functional.linear(h.to("f16") * scale, weight)


@pytest.mark.parametrize("element", NARROW)
@pytest.mark.parametrize(
    ("target", "is_narrow"), [("any", True), ("cuda:sm_90a", True), ("cuda:sm_80", False)]
)
def test_weights_stay_narrow_where_they_are_multiplied(
    target: str, element: str, is_narrow: bool
) -> None:
    """Elsewhere they are dequantised once, by @prepare; and scales are not computed at run time."""
    rng = np.random.default_rng(0)
    model = Quantised(element)
    scales = {f"{name}_scale": rng.random((n, 1), np.float32) / 64 for name, n in WIDTHS.items()}
    weights = {
        "first": narrow_values(element, (16, 32), 1),
        "second": narrow_values(element, (48, 16), 2),
    }
    model.load_state_dict({**weights, **scales})
    program = trace(model, {"x": TensorSpec((BATCH, 32), element), "scale": TensorSpec((), "f16")})
    inputs = {"x": narrow_values(element, (3, 32), 3), "scale": np.float16(0.5)}
    expected = evaluate(program, inputs)["output"].astype(np.float32)
    fold = [*SIMPLIFY, *LOWER, "fuse-vertical"]
    run_pipeline(program.module, fold, target=target, verify=True)
    actual = evaluate(program, inputs)["output"].astype(np.float32)
    # What was rounded to halves is not any more: a step of 8 bits may be another one.
    np.testing.assert_allclose(actual, expected, atol=0.05 * np.abs(expected).max())
    kernels = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    products = [op for op in kernels if isinstance(op, ProductOp | BackToBackGemmOp)]
    right = {str(element_of(op.ins[i])) for op in products for i in op.right_factors}
    assert right == {element if is_narrow else "f16"}
    if is_narrow:
        assert all(op in products for op in kernels)


def test_long_sums_are_exact() -> None:
    """2^24 + 1 is no f32, but a sum on the way to one that is."""
    case = integers(1, 1, 2000, "", "long")
    inputs = case.inputs()
    inputs["x"][...] = 127
    inputs["w"][...] = 127
    inputs["x"][0, 1000:], inputs["w"][0, -1] = -127, 126
    inputs["s"][...], inputs["b"][...] = 512, 0
    (result,) = case.expected(inputs)
    # 1000 sums of 127 * 127, 999 that undo them, and -127 * 126.
    assert result == np.float16(127)
