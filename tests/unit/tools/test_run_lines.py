"""The executor of RUN lines agrees with lit, on failures too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.filecheck.run_lines import Unsupported, commands, execute, parse, run_with_lit

FUNCTION = """\
func.func @f(%x: f32) -> f32 {
  func.return %x : f32
}
"""
CONFIG = Path(__file__).parents[2] / "filecheck" / "lit.cfg.py"

CASES = [
    ("// RUN: ait-opt %s | filecheck %s\n// CHECK: func.func @f", True),
    ("// RUN: ait-opt %s | filecheck %s\n// CHECK: func.func @g", False),
    ("// RUN: ait-opt %s | filecheck %s", False),
    ("// RUN: not ait-opt %s", False),
    ("// RUN: not ait-opt %s -p nothing", True),
    ("// RUN: ait-opt %s -p nothing", False),
    ("// RUN: ait-opt %s -p nothing | filecheck %s\n// CHECK-NOT: g", False),
    ("// RUN: not ait-opt %s -p nothing 2>&1 | filecheck %s\n// CHECK: no pass or pipeline", True),
    ("// RUN: not ait-opt %s -p nothing | filecheck %s\n// CHECK: no pass or pipeline", False),
    ("// RUN: ait-opt %s \\\n// RUN:   | filecheck %s --check-prefix=A\n// A: func.func @f", True),
    ("// RUN: ait-opt %s | ait-opt | filecheck %s\n// CHECK: func.func @f", True),
    ("// RUN: ait-opt %s -o %t\n// RUN: ait-opt %t | filecheck %s\n// CHECK: @f", True),
    ("// RUN: ait-opt %s --verify-diagnostics\n// expected-error {{x}}", False),
]


def _here(test: Path, scratch: Path) -> bool:
    pipes = [parse(line, test, scratch) for line in commands(test.read_text())]
    return bool(pipes) and all(execute(pipe).succeeded for pipe in pipes)


@pytest.mark.parametrize(("lines", "succeeds"), CASES)
def test_outcomes(tmp_path: Path, lines: str, succeeds: bool) -> None:
    test = tmp_path / "t.mlir"
    test.write_text(f"{lines}\n{FUNCTION}")
    assert _here(test, tmp_path / "scratch") == succeeds


@pytest.mark.slow
def test_lit_agrees(tmp_path: Path) -> None:
    shutil.copy(CONFIG, tmp_path)
    for number, (lines, _) in enumerate(CASES):
        (tmp_path / f"case{number}.mlir").write_text(f"{lines}\n{FUNCTION}")
    report = run_with_lit(tmp_path).stdout
    for number, (lines, succeeds) in enumerate(CASES):
        verdict = "PASS" if succeeds else "FAIL"
        assert f"{verdict}: ait :: case{number}.mlir" in report, lines


@pytest.mark.parametrize("command", ["ait-opt %s > %t", "ait-opt %s && ait-opt %s", "cat %s", "|"])
def test_what_is_left_to_lit(tmp_path: Path, command: str) -> None:
    with pytest.raises(Unsupported):
        parse(command, tmp_path / "t.mlir", tmp_path / "t")
