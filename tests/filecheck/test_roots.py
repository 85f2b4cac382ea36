"""The roots of patterns are all that they rewrite: the tests of passes print the same when each
pattern is shown all ops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from xdsl.ir import Operation

from ait.passes import PASSES, load_pass
from ait.passes.rewriting import OpPattern
from tests.filecheck.run_lines import commands, execute, parse

FILES = sorted((Path(__file__).parent / "passes").glob("*.mlir"))


def patterns(base: type[OpPattern] = OpPattern) -> Iterator[type[OpPattern]]:
    for kind in base.__subclasses__():
        yield from patterns(kind)
        if "roots" in vars(kind):
            yield kind


@pytest.fixture(scope="module")
def rooted() -> list[type[OpPattern]]:
    for name in PASSES:
        load_pass(name)
    return list(patterns())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_patterns_would_rewrite_no_other_op(
    file: Path, tmp_path: Path, rooted: list[type[OpPattern]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first command of each line is the compiler.
    runs = [parse(line, file, tmp_path)[:1] for line in commands(file.read_text())]
    expected = [execute(run) for run in runs]
    for kind in rooted:
        monkeypatch.setattr(kind, "roots", (Operation,))
    assert [execute(run) for run in runs] == expected
