"""`ait`: exit codes and messages of every kind of failure."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

from ait.codegen.build import Part
from ait.codegen.hip import toolchain as hip
from ait.errors import AitError
from ait.tools import ait, commands
from ait.tools.errors import UsageError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("AIT_DEBUG", raising=False)


def run(*argv: str) -> int:
    try:
        return ait.main(argv)
    except SystemExit as end:  # argparse
        return int(end.code or 0)


def _raising(error: BaseException):
    def command(name: str):
        def fail(arguments: argparse.Namespace) -> int:
            raise error

        return types.SimpleNamespace(configure=lambda parser: None, run=fail)

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (AitError("the model is bad"), 1, "error: the model is bad\n"),
        (UsageError("say which"), 2, "error: say which\n"),
        (FileNotFoundError(2, "No such file or directory", "a.mlir"), 1, "error: a.mlir: No such"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device"),
        (MemoryError(), 1, "error: this machine has not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyError("x"), 70, "error: unexpected KeyError: 'x'\nthis is a bug in ait; AIT_DEBUG=1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures(monkeypatch, capsys, error: BaseException, code: int, message: str) -> None:
    monkeypatch.setattr(commands, "command", _raising(error))
    assert run("doctor") == code
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert "Traceback" not in captured.err and captured.out == ""


def test_debugging_shows_the_traceback(monkeypatch, capsys) -> None:
    monkeypatch.setenv("AIT_DEBUG", "1")
    monkeypatch.setattr(commands, "command", _raising(KeyError("x")))
    assert run("doctor") == 70
    assert "Traceback" in capsys.readouterr().err


def test_warnings_are_one_line(monkeypatch, capsys) -> None:
    def warn(arguments: argparse.Namespace) -> int:
        warnings.warn("the cache is full", UserWarning, stacklevel=1)
        return 0

    module = types.SimpleNamespace(configure=lambda parser: None, run=warn)
    monkeypatch.setattr(commands, "command", lambda name: module)
    assert run("doctor") == 0
    assert capsys.readouterr().err == "warning: the cache is full\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["compose"],
        ["cache"],
        ["cache", "burn"],
        ["setup", "opencl"],
        ["run"],
        ["verify", "model.so"],
        ["bench", "model.so", "--repetitions", "0"],
        ["profile", "model.so", "--top", "0"],
        ["inspect", "a.so", "--jsn"],
    ],
)
def test_wrong_usage_is_exit_code_2(capsys, argv: list[str]) -> None:
    assert run(*argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "error: " in captured.err


@pytest.mark.parametrize("name", commands.SUMMARIES)
def test_every_command_has_help(capsys, name: str) -> None:
    assert run(name, "--help") == 0
    assert f"usage: ait {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "content"),
    [(c, x) for c in ("inspect", "run", "bench") for x in (None, b"", b"no ELF", b"\x7fELF" * 50)],
)
def test_files_that_are_no_models(tmp_path: Path, capsys, command: str, content) -> None:
    file = tmp_path / "model.so"
    if content is not None:
        file.write_bytes(content)
    assert run(command, str(file)) == 1
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"func.func @main(", b"garbage"])
@pytest.mark.parametrize("command", ["compile", "verify"])
def test_files_that_are_no_programs(tmp_path: Path, capsys, command: str, content) -> None:
    file = tmp_path / "model.mlir"
    if content is not None:
        file.write_bytes(content)
    assert run(command, str(file)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "model.mlir" in error


def test_unknown_target(tmp_path: Path, capsys) -> None:
    file = tmp_path / "model.mlir"
    file.write_text(
        "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n  func.return %x : tensor<2xf32>\n}"
    )
    assert run("compile", str(file), "--target", "abacus") == 1
    assert "abacus" in capsys.readouterr().err


def test_cache(tmp_path: Path, capsys) -> None:
    assert run("cache", "path") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cache'}\n"
    for action in ("size", "list", "prune", "clear"):
        assert run("cache", action) == 0
    assert "removed 0 objects" in capsys.readouterr().out
    assert run("cache", "prune", "--to", "lots") == 1
    assert "not a size: 'lots'" in capsys.readouterr().err


def test_doctor_tells_of_everything(capsys) -> None:
    assert run("doctor", "--json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"Python", "C++ compiler", "object cache", "disk"} <= {f["name"] for f in findings}
    assert all(f["detail"] for f in findings)
    assert run("doctor") == 0
    text = capsys.readouterr().out
    assert all(f["name"] in text for f in findings)


def test_doctor_fails_without_a_compiler(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert run("doctor") == 1
    assert "MISSING" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("AIT_NVCC", "CUDA nvcc"),
        ("AIT_CUTLASS", "CUDA CUTLASS"),
        ("AIT_HIPCC", "HIP compiler"),
        ("AIT_CK", "HIP Composable Kernel"),
    ],
)
def test_doctor_tells_what_a_gpu_lacks_and_passes(
    monkeypatch, capsys, tmp_path: Path, variable: str, name: str
) -> None:
    """Compiling for the CPU needs none of it."""
    if variable == "AIT_HIPCC":
        monkeypatch.setattr(hip, "find_compiler", hip.find_compiler.__wrapped__)
    else:
        found_compiler = hip.HipCompiler(Path("clang++"), "version 1", tmp_path, None)
        monkeypatch.setattr(hip, "find_compiler", lambda: found_compiler)
    monkeypatch.setenv(variable, "/nowhere")
    assert run("doctor", "--json") == 0
    found = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert found[name]["state"] == "optional"
    assert found[name]["detail"].startswith(f"{variable}=/nowhere: no ")
    assert run("doctor") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(name))
    assert line.removeprefix(name).split(f"{variable}=")[0].strip() == "missing (optional)"


def test_what_is_missing_is_no_question_of_texts(monkeypatch, capsys) -> None:
    parts = [Part("one", False, "missing: but for its name"), Part("two", True, "OK not")]
    monkeypatch.setattr("ait.codegen.cuda.toolchain.describe", lambda: parts)
    assert run("doctor", "--json") == 0
    found = {finding["name"]: finding["state"] for finding in json.loads(capsys.readouterr().out)}
    assert (found["CUDA one"], found["CUDA two"]) == ("ok", "optional")


def test_help_loads_nothing_that_takes_long() -> None:
    """It takes 0.05 s: a module-level import of xDSL would add 0.2 s."""
    code = (
        "import sys\n"
        "from ait.tools.ait import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = [m for m in ('xdsl', 'numpy', 'rich') if m in sys.modules]\n"
        "print(*heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "usage" in done.stdout and done.stderr.strip() == ""


def test_interrupt_ends_with_130(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.mlir"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "ait.tools.ait", "compile", str(fifo)],
        stderr=subprocess.PIPE,
        text=True,
        # Jobs in the background of a script ignore interrupts, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Opened when the tool has opened it to read, and closed when the signal is on its way: a signal
    # just before the tool begins to read is noticed when it has read.
    with fifo.open("wb"):
        process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "interrupted\n")


def test_a_model_behind_a_bare_report_is_no_page(capsys) -> None:
    assert run("compile", "--report", "model.mlir") == 2
    assert "'model.mlir' is no .html file" in capsys.readouterr().err
