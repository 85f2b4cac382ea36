"""Every .mlir file below this folder is a test; `lit tests/filecheck` runs the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.filecheck.run_lines import Unsupported, commands, execute, parse, run_with_lit

ROOT = Path(__file__).parent
FILES = sorted(ROOT.rglob("*.mlir"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_filecheck(file: Path, tmp_path: Path) -> None:
    lines = commands(file.read_text())
    assert lines, "no RUN line"
    try:
        pipes = [parse(line, file, tmp_path / "t") for line in lines]
    except Unsupported:
        outcome = run_with_lit(file)
        assert outcome.succeeded, outcome.stdout
        return
    for line, pipe in zip(lines, pipes, strict=True):
        outcome = execute(pipe)
        assert outcome.succeeded, f"RUN: {line}\n{outcome.stdout}\n{outcome.stderr}"
