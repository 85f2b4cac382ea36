"""The interpreter's own functions against the standard library."""

import math

import numpy as np
from xdsl.dialects.builtin import i8, i32, i64

from ait.ir.interpreter.numerics import convert, erf


def test_erf() -> None:
    x = np.concatenate(
        [
            np.linspace(-7, 7, 20001),
            np.arange(-6.5, 6.5, 1 / 32),  # the nodes, and half-way between them
            10.0 ** np.arange(-300, 3),
            -(10.0 ** np.arange(-300, 3)),
        ]
    )
    want = np.array([math.erf(v) for v in x])
    error = np.abs(erf(x) - want) / np.where(want == 0, 1, np.abs(want))
    assert error.max() < 1e-15


def test_erf_of_special_values() -> None:
    got = erf(np.array([math.inf, -math.inf, 0.0, -0.0, 5e-324]))
    assert got.tolist()[:4] == [1, -1, 0, 0]
    assert np.signbit(got).tolist() == [False, True, False, True, False]
    assert np.isnan(erf(np.array([math.nan]))).all()
    assert erf(np.float32([0.5])).dtype == np.float32
    assert erf(np.empty((0, 3), np.float32)).shape == (0, 3)


def test_floats_saturate_at_the_exact_limits() -> None:
    for element, bits in ((i8, 8), (i32, 32), (i64, 64)):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        x = np.array([float(low), float(low) * 1.5, float(2 ** (bits - 1)), 0.0], np.float32)
        assert convert(x, element).tolist() == [low, low, high, 0]
