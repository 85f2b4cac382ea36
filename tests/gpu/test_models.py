"""Whole models on a GPU: the C interface and the Python loader, against the interpreter.

`AIT_PREBUILT_MODELS` names a folder made by build_models.py, on a machine that cannot compile.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.test_kernels import has_gpu

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled models with their data."""
    if chosen := os.environ.get("AIT_PREBUILT_MODELS"):
        return Path(chosen)
    from tests.gpu.build_models import build

    folder = tmp_path_factory.mktemp("models")
    build(folder)
    return folder


@pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")
def test_models_match_the_interpreter(prebuilt: Path) -> None:
    # A process of its own: a kernel that faults takes the CUDA context with it.
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_models.py"), str(prebuilt)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
