"""f8E4M3FN in compiled models: as inputs, results and weights, and rounded on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import ait
from ait import nn
from ait.codegen.compile import CompileOptions
from ait.ir.trace import Dim, TensorSpec, trace
from ait.runtime.loader import load
from tests.floats8 import around_floats8

F8 = np.dtype(ml_dtypes.float8_e4m3fn)
BATCH = Dim("batch", 1, 4)


class Quantised(nn.Module):
    """A dequantised linear whose result is quantised, and is given as f32 as well."""

    def __init__(self) -> None:
        self.weight = nn.Parameter((24, 40), "float8_e4m3fn")
        self.scale = nn.Parameter((24,), "f32")

    def forward(self, x: nn.Tensor) -> dict[str, nn.Tensor]:
        weight = self.weight.to("f32") * self.scale.unsqueeze(1)
        y = nn.functional.linear(x.to("f32") * 0.5, weight).tanh()
        return {"y": y, "q": y.to("f8E4M3FN"), "rounded": y.to("f8E4M3FN").to("f32") + 1}


def weights() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {
        "weight": rng.standard_normal((24, 40)).astype(F8),
        "scale": rng.uniform(0.1, 0.2, 24).astype(np.float32),
    }


@pytest.mark.parametrize("kept", ["embedded", "file"])
def test_a_model_of_8_bits(kept: str, tmp_path: Path) -> None:
    model = Quantised()
    path = tmp_path / "weights.safetensors"
    save_file(weights(), path)
    model.load_state_dict(path)
    assert model.weight.data is not None and model.weight.data.dtype == F8
    program = trace(model, {"x": TensorSpec((BATCH, 40), "f8E4M3FN")})
    x = np.random.default_rng(1).standard_normal((3, 40)).astype(F8)
    expected = ait.evaluate(program, {"x": x})
    library = tmp_path / "model.so"
    artifact = ait.compile(program, "cpu", library, CompileOptions(weights=kept, progress=False))
    with load(library, artifact.weights) as compiled:
        assert [(port.name, port.dtype) for port in compiled.inputs] == [("x", "f8E4M3FN")]
        results = compiled.run({"x": x})
        assert results["q"].dtype == F8 and results["y"].dtype == np.float32
        np.testing.assert_allclose(results["y"], expected["y"], rtol=1e-5, atol=1e-6)
        # The sums are in another order: a step of 8 bits may be another one, and is then its own.
        np.testing.assert_array_equal(results["q"], results["y"].astype(F8))
        np.testing.assert_array_equal(results["rounded"], results["q"].astype(np.float32) + 1)
        with pytest.raises(ait.InputError, match="dtype i8, expected f8E4M3FN"):
            compiled.run({"x": x.view(np.int8)})
        # Weights are replaced by what has their type.
        halved = (weights()["weight"].astype(np.float32) / 2).astype(F8)
        compiled.set_weights({"weight": halved})
        again = compiled.run({"x": x})["y"]
        assert not np.allclose(again, results["y"])


@pytest.mark.parametrize("given", ["f32", "f16", "i32"])
def test_casts_are_those_of_the_interpreter(given: str, tmp_path: Path) -> None:
    """All numbers, ties between them and what is beyond: as ml_dtypes and PyTorch round."""
    values = np.array(around_floats8(), np.float32)
    if given == "i32":
        values = np.arange(-600, 600)
    x = values.astype(nn.numpy_dtype(given))
    program = trace(
        lambda x: {"q": x.to("f8E4M3FN"), "back": x.to("f8E4M3FN").to(given)},
        {"x": TensorSpec(x.shape, given)},
    )
    expected = ait.evaluate(program, {"x": x})
    np.testing.assert_array_equal(
        expected["q"].astype(np.float32), x.astype(np.float32).astype(F8).astype(np.float32)
    )
    library = tmp_path / "casts.so"
    ait.compile(program, "cpu", library, CompileOptions(progress=False))
    with load(library) as compiled:
        results = compiled.run({"x": x})
    for name in ("q", "back"):
        np.testing.assert_array_equal(
            results[name].astype(np.float32), expected[name].astype(np.float32)
        )


def test_what_is_too_large_is_no_number_unless_it_is_clamped() -> None:
    x = np.float32([447, 464, 464.1, 1e9, -np.inf, np.nan])
    program = trace(
        lambda x: {
            "cast": x.to("f8E4M3FN").to("f32"),
            "saturated": x.clamp(-448, 448).to("f8E4M3FN").to("f32"),
        },
        {"x": TensorSpec((6,))},
    )
    results = ait.evaluate(program, {"x": x})
    nan = np.nan
    np.testing.assert_array_equal(results["cast"], np.float32([448, 448, nan, nan, nan, nan]))
    np.testing.assert_array_equal(results["saturated"], np.float32([448, 448, 448, 448, -448, nan]))


@pytest.mark.parametrize("target", ["cuda:sm_90a", "cuda:sm_80", "hip:gfx942"])
def test_what_has_no_kernels_of_8_bits_is_refused(target: str) -> None:
    program = trace(
        lambda x: nn.functional.max_pool2d(x, 2), {"x": TensorSpec((1, 4, 8, 8), "f8E4M3FN")}
    )
    from ait.passes.pipelines import run_pipeline

    with pytest.raises(ait.CompileError, match="f8E4M3FN"):
        run_pipeline(program.module, target=target)
