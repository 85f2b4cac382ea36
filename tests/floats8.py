"""The numbers of f8E4M3FN, and those that tell how it rounds."""

from __future__ import annotations

from itertools import pairwise

import ml_dtypes
import numpy as np
from numpy.typing import NDArray


def every_float8() -> NDArray[np.float32]:
    """What each of the 256 codes says, in their order; two are NaN."""
    return np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)


def around_floats8() -> list[float]:
    """1024 numbers of f32: those of f8E4M3FN, ties between neighbours, and what is next to these.
    The last ties are with 480, which would be the next number, and is NaN."""
    positive = [*every_float8()[:127].tolist(), 480.0]
    ties = np.float32([(a + b) / 2 for a, b in pairwise(positive)])
    below, above = np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e9))
    beyond = np.float32([1e-30, np.inf, np.nan])
    found = np.concatenate([np.float32(positive), ties, below, above, beyond])
    return [*found.tolist(), *(-found).tolist()]
