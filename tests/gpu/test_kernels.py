"""The CUDA kernels on a GPU, against the interpreter.

`AIT_PREBUILT` names a folder made by build_kernels.py, on a machine that cannot compile.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu


def has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled kernels with their data."""
    if chosen := os.environ.get("AIT_PREBUILT"):
        return Path(chosen)
    from tests.gpu.build_kernels import all_cases, build

    folder = tmp_path_factory.mktemp("kernels")
    build(folder, all_cases(), jobs=os.cpu_count() or 1)
    return folder


@pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")
def test_kernels_match_the_interpreter(prebuilt: Path) -> None:
    # A process of its own: a kernel that faults takes the CUDA context with it.
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_prebuilt.py"), str(prebuilt)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
