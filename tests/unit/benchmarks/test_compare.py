"""What compare.py says of a model's rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.compare import CASES, summarize

CASE = replace(CASES[0], must=0.5)


def rows(milliseconds: float, error: float) -> list[dict[str, Any]]:
    return [
        {"engine": "ait", "median_ms": milliseconds, "max_error": error},
        {"engine": "torch-eager", "median_ms": 4.0, "max_error": 1e-3},
        {"engine": "torch-compile", "failure": "out of memory"},
    ]


@pytest.mark.parametrize(
    ("milliseconds", "error", "said"),
    [
        (0.5, 2e-3, "8.00x the faster PyTorch, bar 0.5 ms met, error 2.00x, bar 2x met"),
        (0.8, 1e-3, "5.00x the faster PyTorch, bar 0.5 ms MISSED, error 1.00x, bar 2x met"),
        (0.5, 3e-3, "bar 0.5 ms met, error 3.00x, bar 2x MISSED"),
        (0.5, math.nan, "bar 0.5 ms met, error nanx, bar 2x MISSED"),
    ],
)
def test_bars_of_time_and_error_are_met_or_missed(
    milliseconds: float, error: float, said: str
) -> None:
    assert summarize(CASE, rows(milliseconds, error)).endswith(said)


def test_failures_have_no_bars() -> None:
    said = summarize(CASE, [{"engine": "ait", "failure": "no GPU"}, *rows(1.0, 0.0)[1:]])
    assert "ait failed" in said and "bar" not in said
