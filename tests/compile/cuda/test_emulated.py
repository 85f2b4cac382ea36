"""The plain kernels, executed on the host: every address, tail, region and barrier of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.compile.cuda.cases import ELEMENTWISE, OWN_GEMMS
from tests.compile.cuda.kernels import Case, assert_close, emulated

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


@pytest.mark.parametrize("case", [*OWN_GEMMS, *ELEMENTWISE], ids=lambda case: case.name)
def test_matches_the_interpreter(case: Case, tmp_path: Path) -> None:
    actual = emulated(case, tmp_path)
    expected = case.expected(case.inputs())
    assert len(actual) == len(expected) == len(case.outs)
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, other.reshape(one.shape))
