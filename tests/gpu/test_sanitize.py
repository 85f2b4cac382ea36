"""What sanitize.py makes of reports: only what is explained, where it is explained, is no fault."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest

from tests.gpu.sanitize import RUNNERS, TOOLS, Runner, known_noise, main

_TOLD = "========= COMPUTE-SANITIZER\n"


def race(place: str) -> str:
    """A report of racecheck about a write in `place`."""
    return (
        f"========= Error: Race reported between Write access at void k<A>()+0x10 in {place}\n"
        "=========     and Read access at void k<A>()+0x20 in gemm_rowwise.hpp:1 [3 hazards]\n"
        "========= \n"
    )


@pytest.fixture
def under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of kernels, for a compute-sanitizer that says what `said` has for each."""
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        "tool = sys.argv[sys.argv.index('--tool') + 1]\n"
        f"said = json.loads(pathlib.Path({str(tmp_path / 'said')!r}).read_text())\n"
        f"names = [n for n in said if n in sys.argv]\n"
        "code = 0\n"
        "for name in names:\n"
        "    text, status = said[name].get(tool, ('', 0))\n"
        "    print(text, end='')\n"
        "    code = max(code, status)\n"
        "script = next(i for i, a in enumerate(sys.argv) if a.endswith('.py'))\n"
        "print(pathlib.Path(sys.argv[script]).name, *sys.argv[script + 2:][:1])\n"
        "print(f'{int(code == 1)} failed')\n"
        "sys.exit(code)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    return tmp_path


def sanitized(folder: Path, said: Mapping[str, Mapping[str, tuple[str, int]]]) -> int:
    (folder / "said").write_text(json.dumps(said))
    cases = [{"name": name, "config": "#plain.elementwise<vector = 1>"} for name in said]
    (folder / "cases.json").write_text(json.dumps(cases))
    for name in said:
        (folder / f"{name}.npz").touch()
    return main([str(folder), "--jobs", "2"])


def noise_place() -> str:
    first, *_ = known_noise()
    (line,) = first.lines
    return line


def test_all_known_noise_is_of_lines_that_are_there() -> None:
    assert all(len(noise.lines) == 1 for noise in known_noise())


def test_clean_kernels_pass(under: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sanitized(under, {name: {} for name in "abcdef"}) == 0
    assert capsys.readouterr().out.count("6 kernels, 0 failed, 0 with known noise") == 4


def test_known_noise_is_told_and_passes(under: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = _TOLD + race(noise_place()) + race(noise_place())
    assert sanitized(under, {"a": {}, "b": {"racecheck": (report, 3)}}) == 0
    out = capsys.readouterr().out
    assert "racecheck: 2 kernels, 0 failed, 1 with known noise" in out
    assert "racecheck b:\n  known and no fault: starts of scores" in out


@pytest.mark.parametrize(
    ("tool", "text", "code"),
    [
        ("racecheck", race("hopper.hpp:1"), 3),
        ("racecheck", "{noise}" + race("gemm_hopper.hpp:1"), 3),
        ("racecheck", "{noise}", 1),
        ("racecheck", "{noise}", 139),
        ("memcheck", "{noise}", 3),
        ("memcheck", "========= Invalid __global__ read of size 2 bytes\n", 3),
        ("synccheck", "", 3),
        ("initcheck", "b 1 us 3 of 8 wrong\n", 1),
    ],
)
def test_all_else_fails(
    under: Path, capsys: pytest.CaptureFixture[str], tool: str, text: str, code: int
) -> None:
    """Other places, other tools, wrong results and crashes, whatever known noise is there too."""
    report = _TOLD + text.replace("{noise}", race(noise_place()))
    assert sanitized(under, {"a": {}, "b": {tool: (report, code)}}) == 1
    assert f"{tool}: 2 kernels, 1 failed" in capsys.readouterr().out


def test_models_are_run_by_their_own_script(
    under: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Besides kernels, in a call: those whose ops share a launch are only there."""
    models = under / "of_models"
    models.mkdir()
    (models / "models.json").write_text(json.dumps({"m": {}}))
    (models / "m.npz").touch()
    (under / "said").write_text(json.dumps({"a": {}, "m": {"memcheck": ("", 3)}}))
    (under / "cases.json").write_text(json.dumps([{"name": "a", "config": "#x"}]))
    (under / "a.npz").touch()
    assert main([str(under), str(models), "--tool", "memcheck"]) == 1
    out = capsys.readouterr().out
    assert "memcheck: 1 kernels, 0 failed" in out
    assert "memcheck: 1 models, 1 failed" in out
    assert "run_models.py --check" in out


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda runner: runner.things)
def test_scripts_take_what_they_are_told(runner: Runner) -> None:
    """Folder, options and names in the order of `Sanitizer`."""
    script = import_module(f"tests.gpu.{Path(runner.script).stem}")
    options = script.options_of(["folder", *runner.options, "a", "b"])
    assert (options.folder, options.names) == (Path("folder"), ["a", "b"])


def test_other_folders_are_refused(under: Path) -> None:
    with pytest.raises(SystemExit, match="has none of cases"):
        main([str(under)])


def test_only_racecheck_is_of_our_own_kernels_alone(
    under: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel of CUTLASS at which all tools find something."""
    found = dict.fromkeys(TOOLS, ("========= Error: of CUTLASS\n", 3))
    (under / "said").write_text(json.dumps({"a": {}, "cutlass": found}))
    configs = {"a": "#cuda.gemm_hopper<tile>", "cutlass": "#cuda.gemm<tile>"}
    cases = [{"name": name, "config": config} for name, config in configs.items()]
    (under / "cases.json").write_text(json.dumps(cases))
    for name in configs:
        (under / f"{name}.npz").touch()
    assert main([str(under)]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if " kernels, " in line]
    assert told == [
        *(f"{tool}: 2 kernels, 1 failed, 0 with known noise" for tool in TOOLS[:-1]),
        "racecheck: 1 kernels, 0 failed, 0 with known noise",
    ]
    assert main([str(under), "--tool", "racecheck", "--only", "cutlass"]) == 1
    assert "racecheck: 1 kernels, 1 failed" in capsys.readouterr().out


def test_without_folders_some_of_everything_is_built(
    under: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built: list[str] = []

    def builder(runner: Runner):
        def build(folder: Path, *counts: object, jobs: int, **more: int) -> None:
            numbers = [n for n in (*counts, *more.values()) if isinstance(n, int)]
            assert runner.things != "programs" or numbers == [16, 12]
            built.append(runner.things)
            folder.mkdir()
            (folder / runner.listed).write_text(json.dumps({"a": {}}))
            (folder / "a.npz").touch()

        return build

    for runner in RUNNERS:
        module = import_module(f"tests.gpu.build_{runner.things}")
        monkeypatch.setattr(module, "build", builder(runner))
    (under / "said").write_text(json.dumps({"a": {}}))
    assert main(["--tool", "memcheck"]) == 0
    assert built == ["kernels", "models", "programs"]
    out = capsys.readouterr().out
    assert all(f"memcheck: 1 {things}, 0 failed" in out for things in built)
