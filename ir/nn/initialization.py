"""Random weights for models without a checkpoint, scaled so that deep ones stay finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ait.ir.dtypes import Array

Initializer: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Array]
"""Draws values of a shape."""


def fan_in(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Normal, with the variance 1 / inputs of each output: the first dim counts outputs."""
    inputs = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    deviation = max(inputs, 1) ** -0.5 if len(shape) > 1 else 0.02
    return generator.standard_normal(shape, np.float32) * np.float32(deviation)


def normal(deviation: float, mean: float = 0.0) -> Initializer:
    """Normal, with this mean and standard deviation."""
    return lambda generator, shape: (
        generator.standard_normal(shape, np.float32) * np.float32(deviation) + np.float32(mean)
    )


def uniform(low: float, high: float) -> Initializer:
    """Uniform in [low, high)."""
    return lambda generator, shape: (
        generator.random(shape, np.float32) * np.float32(high - low) + np.float32(low)
    )


small = normal(0.02)
"""For biases: not zero, so that a lost one shows."""
near_one = normal(0.1, mean=1.0)
"""For the scales of normalizations."""
