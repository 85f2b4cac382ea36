"""What runs random programs on a GPU (tests/gpu), tried on the CPU: it passes what is right and
notices what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ait.ir.interpreter import evaluate
from ait.passes.pipelines import run_pipeline
from ait.passes.target import FAMILIES
from tests.gpu.build_programs import TARGET, build, generated, runs_of
from tests.gpu.networks import network
from tests.gpu.run_programs import difference, main


def test_programs_are_the_same_each_time_and_have_empty_sizes() -> None:
    first, again = (generated(12, 11) for _ in range(2))
    assert [str(c.program.module) for c in first] == [str(c.program.module) for c in again]
    assert len({str(case.program.module) for case in first}) == len(first)
    runs = [run for i, case in enumerate(first) for run in runs_of(case, 11 + i)]
    values = [v for run in runs for v in run.inputs.values()]
    assert any(v.size == 0 for v in values) and any(v.size > 0 for v in values)


@pytest.mark.slow
def test_a_wrong_answer_of_a_compiled_program_is_noticed(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    families = dict(FAMILIES, quick="tests.unit.codegen.cpu.quick_target")
    monkeypatch.setattr("ait.passes.target.FAMILIES", families)
    build(tmp_path, count=2, first=11, networks=0, target="quick")
    assert main([str(tmp_path)]) == 0
    path = tmp_path / "program_1.npz"
    arrays = dict(np.load(path))
    name = next(n for n in arrays if ":out:" in n and arrays[n].size and arrays[n].ndim)
    arrays[name] = np.roll(arrays[name] + arrays[name].dtype.type(1), 1)
    np.savez(path, **arrays)
    capsys.readouterr()
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("ok") and "wrong, first" in lines[1] and lines[-1] == "1 failed"


@pytest.mark.parametrize("seed", range(11, 15))
def test_networks_mean_the_same_when_they_are_lowered_for_a_gpu(seed: int) -> None:
    drawn = network(seed)
    lowered = drawn.program.clone()
    run_pipeline(lowered.module, target=TARGET)
    inputs = drawn.inputs(drawn.sizes[-1])
    want, got = evaluate(drawn.program, inputs), evaluate(lowered, inputs)
    for name, value in want.items():
        assert np.isfinite(value.astype("f4")).all()
        assert not difference(got[name], value, drawn.tolerance)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [([np.nan, 1], [0, 1]), ([np.inf, 1], [np.inf, 2]), ([1, 2], [[1, 2]]), ([np.inf, 1], [3, 1])],
)
def test_differences(actual: list[float], expected: list[float]) -> None:
    assert difference(np.array(actual, "f4"), np.array(expected, "f4"), 1e-2)
    assert not difference(np.array(expected, "f4"), np.array(expected, "f4"), 0.0)
