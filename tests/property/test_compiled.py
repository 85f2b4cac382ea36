"""Random programs, compiled for the CPU and run through the C ABI, against the interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from ait.codegen.compile import CompileOptions, compile_program
from ait.ir.interpreter import evaluate
from ait.passes.target import FAMILIES
from ait.runtime.loader import load
from tests.property.programs import Case, assert_equal, cases


@pytest.fixture(scope="module")
def quick_target() -> str:
    """The CPU target with a compiler setting that is made for tests."""
    families = dict(FAMILIES, quick="tests.unit.codegen.cpu.quick_target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ait.passes.target.FAMILIES", families)
        yield "quick"


def test_compiled_programs_agree_with_the_interpreter(
    quick_target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    @given(cases(max_ops=6))
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def check(case: Case) -> None:
        nonlocal count
        count += 1
        want = evaluate(case.program, case.inputs)
        library = tmp_path / f"model{count}.so"
        compile_program(case.program, quick_target, library, CompileOptions(verify=True))
        with load(library) as model:
            got = model.run(case.inputs)
            assert_equal(case, got, want)
            # A second run sees the workspace as the first left it.
            assert_equal(case, model.run(case.inputs), want)

    check()
