"""The rows of kernels that move data, without the GPU that fills them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import manifest
from benchmarks.kernels import memory

CASE = memory.CASES[0]
TIMES = {"ait": 0.25, "torch-eager": 0.5}
MOVED = 1_000_000_000


class Copies:
    """Of any size in 0.2 ms."""

    def of(self, moved: int) -> dict[str, float]:
        return {"cudaMemcpy": 0.2, "torch-copy": 0.4}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Rows by engine, of a folder whose manifest says that the case took 3 s to compile."""
    manifest.add_to_manifest(tmp_path, "cuda:sm_90a", {CASE.name: 3.0})
    torch = SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setitem(sys.modules, "torch", torch)
    work = SimpleNamespace(bytes=MOVED)
    monkeypatch.setattr(memory, "prepare", lambda case: work)
    monkeypatch.setattr(memory, "ait_launches", lambda *_: ("ait", []))
    monkeypatch.setattr(memory, "torch_launches", lambda *_: ("torch-eager", []))
    monkeypatch.setattr(memory, "median_ms", lambda launches, *_: TIMES[launches])
    monkeypatch.setattr(memory, "error_of", lambda *_: 1e-3)
    copies: Any = Copies()
    found = memory.measure(CASE, memory.ENGINES, tmp_path, copies, None, 1.0)
    return {row["engine"]: row for row in found}


def test_rows_have_what_rows_of_models_have(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["ait"] == {
        "case": CASE.name,
        "engine": "ait",
        "median_ms": 0.25,
        "compile_s": 3.0,
        "max_error": 1e-3,
        "bytes": MOVED,
        "gb_per_s": pytest.approx(4000),
        "share_of_copy": pytest.approx(0.8),
    }
    assert rows["torch-eager"]["max_error"] == 1e-3 and "compile_s" not in rows["torch-eager"]
    assert not {"max_error", "compile_s"} & rows["cudaMemcpy"].keys()


def test_lines_are_in_microseconds_and_tell_who_is_below_the_bar(
    rows: dict[str, dict[str, Any]],
) -> None:
    said = memory.summarize(CASE, list(rows.values()))
    assert "ait 250.0 us 4000 GB/s 0.80 (error 1.0e-03) BELOW" in said
