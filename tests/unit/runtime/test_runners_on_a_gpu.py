"""What runs prebuilt models and programs on a GPU (tests/gpu), tried on one made of host memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ait.runtime.arrays import borrow, borrow_output, numpy_dtype
from ait.runtime.loader import Context, load
from tests.gpu import build_models, build_programs, run_models, run_programs
from tests.gpu.device_memory import DeviceArray, DeviceMemory, memory_for, run_poisoned

BATCHES = (3, 1)
GENERATOR = np.random.default_rng(1)


def inputs_at(batch: int) -> dict[str, np.ndarray]:
    """Of the tiny model."""
    values = GENERATOR.standard_normal(6 * batch).astype(np.float32)
    return {"x": values[: 4 * batch].reshape(batch, 4), "s": values[4 * batch :]}


@pytest.fixture
def prebuilt(fake_gpu: Path, reference, tmp_path: Path) -> Path:
    """A folder as both build_models.py and build_programs.py make it."""
    shutil.copy(fake_gpu, tmp_path / "tiny.so")
    w = np.array([4, 3, 2, 1], np.float32)
    arrays = {"weight:w": w}
    for index, batch in enumerate(BATCHES):
        inputs = inputs_at(batch)
        arrays |= {f"{index}:in:{name}": value for name, value in inputs.items()}
        arrays[f"{index}:out:y"] = reference(**inputs)
        arrays[f"{index}:replaced:y"] = reference(**inputs, w=w)
    np.savez(tmp_path / "tiny.npz", **arrays)
    models = {"tiny": {"launches": 1, "dims": [{"batch": batch} for batch in BATCHES]}}
    (tmp_path / "models.json").write_text(json.dumps(models))
    programs = {"tiny": {"launches": 1, "sizes": len(BATCHES), "tolerances": {"y": 1e-6}}}
    (tmp_path / "programs.json").write_text(json.dumps(programs))
    return tmp_path


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


class Runs:
    """What contexts were given, with what was in it then; `breaks` lets them do nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, breaks: bool = False) -> None:
        self.outputs: list[np.ndarray] = []
        self.workspaces: list[np.ndarray] = []
        run, set_workspace = Context.run, Context.set_workspace

        def spied_run(context, inputs, outputs=None):
            self.outputs += [value.values() for value in outputs.values()]
            return None if breaks else run(context, inputs, outputs)

        def spied_workspace(context, workspace):
            self.workspaces.append(workspace.values())
            set_workspace(context, workspace)

        monkeypatch.setattr(Context, "run", spied_run)
        monkeypatch.setattr(Context, "set_workspace", spied_workspace)


@pytest.mark.usefixtures("without_torch")
def test_all_that_is_written_is_nan_before(fake_gpu, reference, monkeypatch) -> None:
    """Without PyTorch."""
    runs = Runs(monkeypatch)
    with load(fake_gpu) as model, model.context() as context:
        for batch in BATCHES:
            inputs = inputs_at(batch)
            results = run_poisoned(model, context, memory_for(model), inputs)
            np.testing.assert_allclose(results["y"], reference(**inputs), rtol=1e-6)
    assert [value.shape for value in runs.outputs] == [(batch, 4) for batch in BATCHES]
    assert all(np.isnan(value).all() for value in runs.outputs)
    # As much as is needed, or the run would have been refused.
    assert [value.nbytes for value in runs.workspaces] == [16 * batch for batch in BATCHES]
    assert all((value == 0xFF).all() for value in runs.workspaces)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "f8E4M3FN", "i64", "i32", "i8", "i1"])
def test_arrays_of_all_types_go_to_the_device_and_back(fake_gpu, dtype: str) -> None:
    with load(fake_gpu) as model:
        memory = DeviceMemory(model)
        for shape in ((2, 3), (), (0, 5)):
            values = GENERATOR.integers(0, 2, shape).astype(numpy_dtype(dtype))
            array = memory.given(values.T)
            np.testing.assert_array_equal(memory.read(array), values.T)
            borrowed = borrow(array, "it")
            assert (borrowed.dtype, borrowed.shape) == (dtype, values.T.shape)
            assert borrowed.device == "cuda" and not borrowed.pending
            poisoned = memory.poisoned(shape, dtype)
            assert borrow_output(poisoned, "it").shape == shape
            assert set(memory.read(poisoned).tobytes()) <= {0xFF}


def test_arrays_are_freed(fake_gpu, monkeypatch) -> None:
    freed: list[int] = []
    with load(fake_gpu) as model:
        library = DeviceMemory(model)._library
        release = library.release
        monkeypatch.setattr(
            library, "release", lambda name, it: (freed.append(it), release(name, it))
        )
        array = DeviceArray(library, 0, np.ones(3))
        address, _ = array.__cuda_array_interface__["data"]
        assert not freed
        del array
        assert freed == [address]


@pytest.mark.usefixtures("without_torch")
def test_programs_are_run_poisoned_or_not(prebuilt: Path, monkeypatch, capsys) -> None:
    assert run_programs.main([str(prebuilt), "--unpoisoned"]) == 0
    runs = Runs(monkeypatch)
    assert run_programs.main([str(prebuilt)]) == 0
    assert len(runs.outputs) == len(runs.workspaces) == 2 * len(BATCHES)
    assert capsys.readouterr().out.count("1 launches, 2 sizes    ok\n0 failed\n") == 2


@pytest.mark.usefixtures("without_torch")
def test_nothing_written_is_noticed(prebuilt: Path, monkeypatch, capsys) -> None:
    Runs(monkeypatch, breaks=True)
    assert run_programs.main([str(prebuilt)]) == 1
    assert "12 of 12 wrong, first (0, 0): nan" in capsys.readouterr().out
    assert run_models.main([str(prebuilt), "--check", "poisoned_memory"]) == 1
    assert "FAILED: y is not finite" in capsys.readouterr().out


@pytest.mark.usefixtures("without_torch")
def test_models_pass_all_checks_but_one_that_is_skipped(prebuilt: Path, capsys) -> None:
    assert run_models.main([str(prebuilt)]) == 0
    *lines, skipped, failed = capsys.readouterr().out.splitlines()
    ends = {line.partition(":")[2].partition(":")[0].strip(): line for line in lines}
    assert len(ends) == len(run_models.CHECKS)
    assert [line for line in lines if " ok: " not in line] == [
        f"{'tiny: pytorch tensors':40} skipped: PyTorch is missing"
    ]
    assert (skipped, failed) == ("1 skipped", "0 failed")


@pytest.mark.parametrize("builder", [build_models, build_programs])
def test_a_folder_has_all_that_its_runner_needs(builder, tmp_path: Path) -> None:
    """But for ait.runtime."""
    if builder is build_models:
        builder.build(tmp_path, [])
    else:
        builder.build(tmp_path, 0, networks=0)
    runner, _ = builder._SCRIPTS
    code = (
        "import runpy, sys\n"
        "for name in ('tests', 'xdsl', 'torch'): sys.modules[name] = None\n"
        f"sys.argv = [{runner!r}]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"runpy.run_path({str(tmp_path / runner)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0 failed\n"), done.stderr
