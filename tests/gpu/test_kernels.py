"""The CUDA kernels on a GPU, against the interpreter.

`AIT_PREBUILT` names a folder made by build_kernels.py, on a machine that cannot compile.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gpu.prebuilt import NEEDS_GPU, assert_passes

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled kernels with their data."""
    if chosen := os.environ.get("AIT_PREBUILT"):
        return Path(chosen)
    from tests.gpu.build_kernels import all_cases, build

    folder = tmp_path_factory.mktemp("kernels")
    build(folder, all_cases(), jobs=os.cpu_count() or 1)
    return folder


@NEEDS_GPU
def test_kernels_match_the_interpreter(prebuilt: Path) -> None:
    assert_passes("run_prebuilt.py", prebuilt)
