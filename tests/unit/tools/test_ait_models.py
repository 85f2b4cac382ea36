"""`ait` on a real model: compile, run, bench, inspect and verify agree with each other."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ait
from ait import nn
from ait.codegen.target import code_target
from ait.runtime.loader import Context
from ait.tools.ait import main

pytestmark = pytest.mark.slow


class Mlp(nn.Module):
    """Two linear layers with a residual: what is between them has two readers."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        hidden = nn.functional.gelu(self.up(x))
        return self.down(hidden) + hidden[..., :16]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "mlp.mlir"
    model = Mlp()
    model.init_random(0)
    spec = ait.TensorSpec((ait.Dim("batch", 1, 64), 16), "f32")
    ait.trace(model, {"x": spec}).save(path)
    return path


@pytest.fixture(scope="module")
def model(program: Path) -> Path:
    output = program.with_suffix(".so")
    assert main(["compile", str(program), "-o", str(output)]) == 0
    return output


def test_compile_explains_itself(program: Path, tmp_path: Path, capsys) -> None:
    arguments = ["compile", str(program), "-o", str(tmp_path / "m.so"), "--report", "--remarks"]
    arguments += ["--dump-ir", str(tmp_path / "ir"), "--emit-cpp", str(tmp_path / "cpp")]
    assert main([*arguments, "--verify-each"]) == 0
    captured = capsys.readouterr()
    assert "launches   2 of 2 kernels" in captured.out
    assert "fused into kernel.gemm (up) [fuse-vertical]" in captured.err
    (last,) = (tmp_path / "ir").glob("*-select-config.mlir")
    assert "kernel.gemm" in last.read_text()
    assert "graph.gelu" in (tmp_path / "ir/00-input.mlir").read_text()
    assert list((tmp_path / "cpp").glob("**/*.cpp"))


def test_compile_writes_a_page(program: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "report.html"
    arguments = ["compile", str(program), "-o", str(tmp_path / "m.so"), "--json"]
    assert main([*arguments, "--report", str(page)]) == 0
    report = json.loads(capsys.readouterr().out)
    found = re.search(r'id="data">(.*?)</script>', page.read_text())
    assert found is not None
    data = json.loads(found[1])
    assert len(data["before"]["launches"]) == report["launches_before"]
    assert len(data["after"]["launches"]) == report["launches"]
    assert [kernel["source"] for kernel in data["after"]["launches"]] == ["up", "down"]


def test_weights_in_a_file(program: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "m.so"
    assert main(["compile", str(program), "-o", str(output), "--weights-mode", "file"]) == 0
    weights = tmp_path / "m.safetensors"
    assert str(weights) in capsys.readouterr().out and weights.exists()
    source = ["--program", str(program), "--trials=1"]
    for command in (["run"], ["bench", "--repetitions=2"], ["profile"], ["verify", *source]):
        assert main([command[0], str(output), *command[1:]]) == 0
    weights = weights.rename(tmp_path / "other.safetensors")
    assert main(["run", str(output)]) == 1
    assert "needs a weights file" in capsys.readouterr().err
    arguments = ["run", str(output), "--weights", str(weights)]
    assert main(arguments) == 0
    weights.write_bytes(b"damaged")
    assert main(arguments) == 1
    assert str(weights) in capsys.readouterr().err


def test_a_file_beside_a_library_that_has_its_weights_is_not_read(
    program: Path, tmp_path: Path
) -> None:
    """It may be a program's."""
    output = tmp_path / "m.so"
    assert main(["compile", str(program), "-o", str(output)]) == 0
    output.with_suffix(".safetensors").write_bytes(b"of something else")
    assert main(["run", str(output)]) == 0


def test_run_reads_and_writes_files(model: Path, tmp_path: Path, capsys) -> None:
    x = np.random.default_rng(1).standard_normal((5, 16), np.float32)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "out.npz"
    assert main(["run", str(model), f"--input=x={tmp_path / 'x.npy'}", "-o", str(out)]) == 0
    with np.load(out) as archive:
        np.testing.assert_array_equal(archive["output"], ait.load(model)(x))
    assert "5x16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((65, 16), np.float32), "batch"),
        (np.zeros((2, 17), np.float32), "17"),
        (np.zeros((2, 16)), "f64"),
    ],
)
def test_run_refuses_inputs_that_do_not_fit(
    model: Path, tmp_path: Path, capsys, array, message: str
) -> None:
    np.save(tmp_path / "x.npy", array)
    assert main(["run", str(model), f"--input=x={tmp_path / 'x.npy'}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message.replace("f64", "float64") in error


def test_bench(model: Path, capsys) -> None:
    assert main(["bench", str(model), "--shape=batch=8", "--repetitions=5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["inputs"] == {"x": [8, 16]}
    seconds = found["seconds"]
    assert 0 < seconds["min"] <= seconds["p50"] <= seconds["p99"]
    assert main(["bench", str(model), "--repetitions=2"]) == 0
    assert "p99" in capsys.readouterr().out


def test_profile_holds_each_step_against_its_floor(model: Path, tmp_path: Path, capsys) -> None:
    trace = tmp_path / "trace.json"
    argv = ["profile", str(model), "--shape=batch=8", "--repetitions=3"]
    assert main([*argv, "--json", "--trace", str(trace)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [step["source"] for step in found["steps"]] == ["up", "down"]
    up, down = found["steps"]
    # x, its weight and bias, and the result, all f32; two operations for each pair of factors.
    assert up["bytes"] == 4 * (8 * 16 + 16 * 32 + 32 + 8 * 32)
    assert down["bytes"] == 4 * (8 * 32 + 32 * 16 + 16 + 2 * 8 * 16)
    assert up["operations"] > 2 * 8 * 16 * 32
    assert all(step["seconds"] >= 0 and step["floor"] > 0 for step in found["steps"])
    events = [e for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
    assert [event["name"] for event in events] == ["up", "down"]
    assert events[1]["ts"] == pytest.approx(events[0]["ts"] + events[0]["dur"])


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [
        # `up` loses more, though `down` takes longer.
        (
            (9.7, 9.8),
            [
                ("0", "up", "9.7 s", "4 s", "2.42", "launch"),
                ("1", "down", "9.8 s", "4.16 s", "2.36", "memory"),
            ],
        ),
        # `down` loses more, though it is the later step and nearer to its floor.
        (
            (6.2, 6.4),
            [
                ("1", "down", "6.4 s", "4.16 s", "1.54", "memory"),
                ("0", "up", "6.2 s", "4 s", "1.55", "launch"),
            ],
        ),
    ],
)
def test_profile_shows_the_step_first_that_loses_the_most_time(
    model: Path, capsys, monkeypatch: pytest.MonkeyPatch, seconds, rows
) -> None:
    """On a device of 1000 bytes a second, of which `up` moves 3712 and `down` 4160, and which takes
    four seconds to launch something."""
    target = code_target(ait.load(model).metadata["target"])
    slow = replace(target.description, memory_bandwidth=1e3, launch_seconds=4.0)
    monkeypatch.setattr(type(target), "present_description", lambda self, index: slow)
    monkeypatch.setattr(Context, "profile", lambda self, inputs, repetitions: seconds)
    argv = ["profile", str(model), "--shape=batch=8", "--repetitions=1"]
    for top, shown in (([], rows), (["--top=1"], rows[:1])):
        assert main([*argv, *top]) == 0
        headings, *lines, total = capsys.readouterr().out.splitlines()
        columns = [re.split(r"\s{2,}", line.strip()) for line in (headings, *lines)]
        assert len({len(row) for row in columns}) == 1
        del columns[0][2]  # the kernel's name
        assert columns[0][:6] == ["step", "layer", "time", "floor", "ratio", "bound by"]
        assert [(*row[:2], *row[3:7]) for row in columns[1:]] == shown
        assert total.startswith(f"2 steps: {sum(seconds):.3g} s one after the other, floor 8.16 s")


def test_profile_asks_for_the_device_that_it_runs_on(
    model: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = code_target(ait.load(model).metadata["target"])
    slow = replace(target.description, name="slow", memory_bandwidth=1.0, launch_seconds=0.0)
    monkeypatch.setattr(type(target), "present_description", lambda self, index: slow)
    argv = ["profile", str(model), "--shape=batch=8", "--repetitions=1", "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "slow"
    assert all(step["floor"] == pytest.approx(step["bytes"]) for step in found["steps"])


def test_inspect(model: Path, capsys) -> None:
    assert main(["inspect", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["inputs"] == [{"name": "x", "dtype": "f32", "shape": ["batch", 16]}]
    assert main(["inspect", str(model)]) == 0
    text = capsys.readouterr().out
    for weight in found["weights"]:
        assert weight["name"] in text


def test_verify(program: Path, model: Path, capsys) -> None:
    arguments = ["verify", str(model), "--program", str(program), "--trials=2", "--json"]
    assert main(arguments) == 0
    trials = json.loads(capsys.readouterr().out)
    assert [t["output"]["problem"] for t in trials] == ["", ""]
    assert main(["verify", str(program)]) == 0
    assert "OK" in capsys.readouterr().out


def test_verify_finds_a_wrong_model(program: Path, model: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "other.mlir"
    other.write_text(program.read_text().replace("graph.gelu", "graph.relu").replace(
        'approximate = "none", ', ""))  # fmt: skip
    (tmp_path / "other.safetensors").write_bytes(program.with_suffix(".safetensors").read_bytes())
    assert main(["verify", str(model), "--program", str(other)]) == 1
    assert "relative error" in capsys.readouterr().out
