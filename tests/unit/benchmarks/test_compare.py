"""What compare.py says of a model's rows."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import CASES, new_caches, summarize

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
        (0.5, 2e-3, "8.00x the fastest PyTorch, bar 0.5 ms met, error 2.00x, bar 2x met"),
        (0.8, 1e-3, "5.00x the fastest PyTorch, bar 0.5 ms MISSED, error 1.00x, bar 2x met"),
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


def test_all_engines_of_pytorch_count() -> None:
    tuned = {"engine": "torch-max-autotune", "median_ms": 1.0, "max_error": 1e-3}
    assert "2.00x the fastest PyTorch" in summarize(CASE, [*rows(0.5, 1e-3), tuned])


def test_caches_are_new_unless_they_were_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what Inductor sets by itself does not outlive them."""
    inductor, triton = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
    for chosen in ({}, {triton: "/theirs"}, {inductor: "/theirs"}):
        for name in (inductor, triton):
            monkeypatch.delenv(name, raising=False)
        for name, value in chosen.items():
            monkeypatch.setenv(name, value)
        with new_caches(tmp_path):
            kept = inductor in chosen
            assert os.environ[inductor] == ("/theirs" if kept else str(tmp_path / "inductor"))
            assert os.environ.get(triton) == (None if kept else str(tmp_path / "triton"))
        found = {name: os.environ[name] for name in (inductor, triton) if name in os.environ}
        assert found == chosen
