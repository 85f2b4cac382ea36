"""The linters, so that one summary covers them too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent

pytestmark = pytest.mark.lint


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff() -> None:
    _run(str(SCRIPTS / "ruff"), "check")


def test_format() -> None:
    _run(str(SCRIPTS / "ruff"), "format", "--check")


def test_pyright() -> None:
    _run(str(SCRIPTS / "pyright"))


@pytest.mark.parametrize("script", ["scripts/setup.sh", "scripts/lock.sh", ".ci/run"])
def test_shell_scripts(script: str) -> None:
    shell = "bash" if script == ".ci/run" else "sh"
    _run(shell, "-n", script)
    if shutil.which("shellcheck"):
        _run("shellcheck", script)


def test_reference_is_fresh(tmp_path: Path) -> None:
    from ait.tools.reference import write_reference

    kept = {path.name: path.read_text() for path in (ROOT / "docs/reference").glob("*.md")}
    fresh = {path.name: path.read_text() for path in write_reference(tmp_path)}
    assert kept == fresh, "run `make docs`"
