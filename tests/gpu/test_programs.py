"""Random programs of the property tests on a GPU, against the interpreter.

`AIT_PREBUILT_PROGRAMS` names a folder made by build_programs.py, on a machine that cannot compile.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gpu.prebuilt import NEEDS_GPU, assert_passes

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled programs with their data."""
    if chosen := os.environ.get("AIT_PREBUILT_PROGRAMS"):
        return Path(chosen)
    from tests.gpu.build_programs import build

    folder = tmp_path_factory.mktemp("programs")
    build(folder)
    return folder


@NEEDS_GPU
def test_random_programs_match_the_interpreter(prebuilt: Path) -> None:
    assert_passes("run_programs.py", prebuilt)
