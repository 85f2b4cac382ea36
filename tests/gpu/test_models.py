"""Whole models on a GPU: the C interface and the Python loader, against the interpreter.

`AIT_PREBUILT_MODELS` names a folder made by build_models.py, on a machine that cannot compile.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gpu.prebuilt import NEEDS_GPU, assert_passes

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


@NEEDS_GPU
def test_models_match_the_interpreter(prebuilt: Path) -> None:
    assert_passes("run_models.py", prebuilt)
