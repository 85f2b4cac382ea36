"""Products of factors that are repeated, scaled or converted first: the product means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.kernel import GemmOp
from ait.dialects.symbolic import element_of
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter import evaluate
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
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


class Quantised(nn.Module):
    """A linear of 8-bit integers whose result is scaled."""

    def __init__(self) -> None:
        self.weight = nn.Parameter((16, 32), "i8")
        self.scale = nn.Parameter((16,), "f32")

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.to("f32"), self.weight.to("f32")) * self.scale


@pytest.mark.parametrize(
    ("target", "element"), [("any", "i8"), ("cuda:sm_90a", "i8"), ("cuda:sm_80", "f32")]
)
def test_weights_stay_integers_where_they_are_multiplied(target: str, element: str) -> None:
    """Elsewhere they are widened once, by @prepare."""
    rng = np.random.default_rng(0)
    model = Quantised()
    weight = rng.integers(-128, 128, (16, 32)).astype(np.int8)
    model.load_state_dict({"weight": weight, "scale": rng.random(16, np.float32)})
    program = trace(model, {"x": TensorSpec((BATCH, 32), "i8")})
    x = rng.integers(-128, 128, (3, 32)).astype(np.int8)
    expected = evaluate(program, {"x": x})["output"]
    run_pipeline(program.module, target=target, verify=True)
    np.testing.assert_allclose(evaluate(program, {"x": x})["output"], expected, rtol=1e-6)
    (gemm,) = (op for op in program.main.walk() if isinstance(op, GemmOp))
    assert str(element_of(gemm.ins[1])) == element


def test_long_sums_are_exact() -> None:
    """2^24 + 1 is no f32, but a sum on the way to one that is."""
    case = integers(1, 1, 2000, "", "long")
    inputs = case.inputs()
    inputs["x"][...] = 127
    inputs["w"][...] = 127
    inputs["x"][0, 1000:], inputs["w"][0, -1] = -127, 126
    inputs["s"][...], inputs["b"][...] = 1000, 0
    (result,) = case.expected(inputs)
    # 1000 sums of 127 * 127, 999 that undo them, and -127 * 126.
    assert result == np.float16(127)
