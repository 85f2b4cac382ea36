"""How GPU tests run what was built: in a process of its own, which a faulting kernel may take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NEEDS_GPU = pytest.mark.skipif(
    not any(Path("/dev").glob("nvidia[0-9]*")), reason="needs an NVIDIA GPU"
)


def assert_passes(runner: str, folder: Path) -> None:
    """Runs a script beside this file on a folder of libraries and data; it exits 1 on errors."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / runner), str(folder)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
