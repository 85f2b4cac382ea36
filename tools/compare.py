"""How far two results of one computation are apart, and whether that is too far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# The interpreter rounds once per operation, compiled code once per fused kernel, and sums in
# another order: a few units in the last place of the storage type, scaled by the values' size.
_TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 4e-2, "float8_e4m3fn": 0.3}


@dataclass(frozen=True)
class Comparison:
    """Errors of `got` against `want`; `problem` says why they do not agree, or is empty."""

    max_error: float
    relative_error: float
    cosine: float
    problem: str


def tolerance_of(dtype: np.dtype[Any]) -> float:
    """The error, relative to the largest value, that is expected of results of a type."""
    return _TOLERANCES.get(dtype.name, 0.0)


def compare(got: Array, want: Array, tolerance: float | None = None) -> Comparison:
    """Compare two arrays.

    The largest error counts relative to the largest finite wanted value, so that cancellation to
    values near zero does not. Infinities and NaNs must be at the same places; integers and
    booleans must be equal.
    """
    if got.shape != want.shape or got.dtype != want.dtype:
        text = f"{got.dtype.name} {got.shape} instead of {want.dtype.name} {want.shape}"
        return Comparison(np.inf, np.inf, 0.0, text)
    bound = tolerance_of(want.dtype) if tolerance is None else tolerance
    a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
    finite = np.isfinite(a) & np.isfinite(b)
    error = _largest(np.abs(a[finite] - b[finite]))
    scale = _largest(np.abs(b)[finite])
    relative = error / scale if scale else float(error > 0)
    problem = ""
    if not np.array_equal(np.where(finite, 0, a), np.where(finite, 0, b), equal_nan=True):
        problem = "NaNs or infinities differ"
    elif not relative <= bound:
        problem = f"relative error {relative:.3g} exceeds {bound:.3g}"
    return Comparison(error, relative, _cosine(a[finite], b[finite]), problem)


def compare_all(
    got: Mapping[str, Array], want: Mapping[str, Array], tolerance: float | None = None
) -> dict[str, Comparison]:
    """`compare` for each output by name; an output that only one side has is a problem."""
    found: dict[str, Comparison] = {}
    for name in dict.fromkeys([*want, *got]):
        if name in got and name in want:
            found[name] = compare(got[name], want[name], tolerance)
        else:
            side = "the reference" if name in want else "the compiled model"
            found[name] = Comparison(np.inf, np.inf, 0.0, f"only {side} gives it")
    return found


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else 0.0


def _cosine(a: Array, b: Array) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else float(np.array_equal(a, b))
