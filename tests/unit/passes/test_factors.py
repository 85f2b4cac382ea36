"""Products of factors that are repeated, scaled or converted first: the product means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.ir.trace import Dim, TensorSpec
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
