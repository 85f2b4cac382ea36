"""Parts of a benchmark, measured by several processes, as one file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare

FACTS = {
    "device": "a GPU",
    "driver": "1",
    "versions": {"torch": "2", "cuda": "13"},
    "commit": "aa",
    "date": "2026-11-28",
}
FIRST, SECOND = (case.name for case in compare.CASES[:2])


def part(folder: Path, name: str, cases: Sequence[str], engine: str = "ait", **facts: Any) -> Path:
    """Writes a part whose rows are of an engine; returns its path."""
    rows = [{"case": case, "engine": engine, "median_ms": 1.0, "max_error": 0.0} for case in cases]
    file = folder / name
    file.write_text(json.dumps({**FACTS, **facts, "rows": rows}))
    return file


def merge(parts: Sequence[Path], output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--merge", *map(str, parts), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    compare.main()


def test_rows_of_parts_are_in_the_order_of_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [
        part(tmp_path, "a.json", [SECOND]),
        part(tmp_path, "b.json", [FIRST], date="2026-11-29"),
        part(tmp_path, "c.json", [FIRST, SECOND], "torch-max-autotune"),
    ]
    output = tmp_path / "new" / "all.json"
    merge(parts, output, monkeypatch)
    results = json.loads(output.read_text())
    tuned = "torch-max-autotune"
    wanted = [(FIRST, "ait"), (FIRST, tuned), (SECOND, "ait"), (SECOND, tuned)]
    assert [(row["case"], row["engine"]) for row in results.pop("rows")] == wanted
    assert results == {**FACTS, "date": "2026-11-29"}
    said = capsys.readouterr().out
    assert said.count("1.00x the fastest PyTorch") == 2
    assert said.count("no rows") == len(compare.CASES) - 2


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("device", "another"),
        ("driver", "2"),
        ("versions", {"torch": "3", "cuda": "13"}),
        ("commit", "bb"),
        ("note", "compiled elsewhere"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    fact: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = part(tmp_path, "a.json", [FIRST])
    other = part(tmp_path, "b.json", [SECOND], **{fact: value})
    output = tmp_path / "all.json"
    with pytest.raises(SystemExit, match=f"b.json do not belong together: {fact} is"):
        merge([first, other], output, monkeypatch)
    assert not output.exists()


def test_a_row_that_two_parts_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [part(tmp_path, "a.json", [FIRST, SECOND]), part(tmp_path, "b.json", [SECOND])]
    with pytest.raises(SystemExit, match=f"a.json and .*b.json both have {SECOND} by ait"):
        merge(parts, tmp_path / "all.json", monkeypatch)


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_what_is_no_result_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(SystemExit, match=r"a\.json"):
        merge([file], tmp_path / "all.json", monkeypatch)
