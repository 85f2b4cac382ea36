"""Which CUDA toolkit is used: the system's if the user names one, the packages' else."""

from __future__ import annotations

import importlib.machinery
import shutil
from pathlib import Path

import pytest

from ait.codegen.cuda import toolchain
from ait.errors import ToolchainError

PLACES = ("CUDA_HOME", "CUDA_PATH", "PATH", "packages", "usual place")
"""The first one counts."""


def toolkit(folder: Path, release: str = "13.0", library: str = "lib64") -> Path:
    """A toolkit as far as it is looked at, and its nvcc."""
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.1'\n")
    nvcc.chmod(0o755)
    (folder / library).mkdir()
    (folder / library / "libcudart_static.a").touch()
    return nvcc


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A machine with a toolkit in each of PLACES: the folders."""
    site = tmp_path / "site-packages"
    folders = {place: tmp_path / place.replace(" ", "_") for place in PLACES}
    folders["packages"] = site / "nvidia" / "cu13"
    for place, folder in folders.items():
        toolkit(folder, library="lib" if place == "packages" else "lib64")
    monkeypatch.setenv("CXX", str(shutil.which("c++")))
    monkeypatch.delenv("AIT_NVCC", raising=False)
    monkeypatch.setenv("CUDA_HOME", str(folders["CUDA_HOME"]))
    monkeypatch.setenv("CUDA_PATH", str(folders["CUDA_PATH"]))
    monkeypatch.setenv("PATH", str(folders["PATH"] / "bin"))
    monkeypatch.setattr(toolchain, "_LAST_RESORT", folders["usual place"])
    monkeypatch.setattr(
        toolchain,
        "find_spec",
        lambda name: importlib.machinery.PathFinder.find_spec(name, [str(site)]),
    )
    return folders


def test_the_systems_toolkit_is_used_and_the_packages_without_one(machine: dict[str, Path]) -> None:
    """Compiler, headers and library are of one toolkit, whichever that is."""
    for place in PLACES:
        folder = machine[place]
        found = toolchain.find("sm_90a")
        assert found.compiler_of("kernel.cu").command == (str(folder / "bin" / "nvcc"),)
        assert found.compiler_of("model.cpp").system_includes == (folder / "include",)
        library = "lib" if place == "packages" else "lib64"
        assert found.link_flags == (f"-L{folder / library}",)
        shutil.rmtree(folder)
    with pytest.raises(ToolchainError, match=r"nvcc not found: run `ait setup cuda`.* CUDA_HOME"):
        toolchain.find("sm_90a")


def test_a_chosen_nvcc_counts_before_all(
    machine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = toolkit(tmp_path / "chosen")
    monkeypatch.setenv("AIT_NVCC", str(chosen))
    assert toolchain.find_toolkit().nvcc == chosen
    chosen.unlink()
    with pytest.raises(ToolchainError, match="no such program"):
        toolchain.find_toolkit()


def test_of_the_packages_the_newest_release_counts(machine: dict[str, Path]) -> None:
    for place in ("CUDA_HOME", "CUDA_PATH", "PATH"):
        shutil.rmtree(machine[place])
    toolkit(machine["packages"].with_name("cu12"), release="12.9")
    newest = toolkit(machine["packages"].with_name("cu14"), release="14.1")
    found = toolchain.find_toolkit()
    assert (found.nvcc, found.version) == (newest, "14.1")


def test_toolkits_that_do_not_do_are_named(machine: dict[str, Path]) -> None:
    """What the user points at is not passed over in silence."""
    old, part = machine["CUDA_HOME"], machine["CUDA_PATH"]
    shutil.rmtree(old)
    toolkit(old, release="12.3")
    with pytest.raises(ToolchainError, match=f"{old}/bin/nvcc is of CUDA 12.3; 12.4 or newer"):
        toolchain.find_toolkit()
    shutil.rmtree(old)
    shutil.rmtree(part / "lib64")
    with pytest.raises(ToolchainError, match=f"{part} has no libcudart_static.a"):
        toolchain.find_toolkit()


def test_a_link_to_nvcc_stands_for_its_toolkit(machine: dict[str, Path], tmp_path: Path) -> None:
    """As /usr/bin/nvcc may be one."""
    linked = toolkit(tmp_path / "elsewhere")
    for place in ("CUDA_HOME", "CUDA_PATH"):
        shutil.rmtree(machine[place])
    on_path = machine["PATH"] / "bin" / "nvcc"
    on_path.unlink()
    on_path.symlink_to(linked)
    assert toolchain.find_toolkit().nvcc == linked
