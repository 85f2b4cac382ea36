"""How exact results must be, beside those of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORST_RATIO = 2.0
"""How much larger our error may be than the other's."""


def is_exact(ours: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the error of our row is a number, and not much larger than that of the other's."""
    return ours["max_error"] <= WORST_RATIO * other["max_error"]
