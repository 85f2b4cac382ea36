"""Running traced functions on arrays, for tests that compare with plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ait
from ait.ir.dtypes import Array, dtype_of


def specs_of(arrays: tuple[Array, ...]) -> dict[str, ait.TensorSpec]:
    """Inputs of fixed shapes, named by position."""
    return {
        f"input{i}": ait.TensorSpec(array.shape, dtype_of(array.dtype))
        for i, array in enumerate(arrays)
    }


def results(function: Callable[..., Any], *arrays: Array) -> list[Array]:
    """All outputs of a function of tensors, or of a module, by the interpreter."""
    program = ait.trace(lambda *tensors: function(*tensors), specs_of(arrays))
    program.verify()
    inputs = {f"input{i}": array for i, array in enumerate(arrays)}
    return list(ait.evaluate(program, inputs).values())


def result(function: Callable[..., Any], *arrays: Array) -> Array:
    """The only output."""
    (value,) = results(function, *arrays)
    return value


def normal(*shape: int, seed: int = 0) -> Array:
    """Random numbers as f32."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def close(actual: Array, expected: object, tolerance: float = 1e-5) -> None:
    """Asserts equal shapes, and values up to rounding."""
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape
    np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)


def same(actual: Array, expected: object) -> None:
    """Asserts equal shapes and values."""
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape
    np.testing.assert_array_equal(actual, wanted)
