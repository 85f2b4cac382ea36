"""Compiling generated HIP kernels, and reading what came out: the checks need no GPU."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ait.codegen.build import Compiler, Toolchain
from ait.codegen.hip import toolchain
from ait.codegen.hip.toolchain import find_compiler
from ait.errors import ToolchainError

ARCHITECTURES = ("gfx90a", "gfx942")
# The numbers of the ELF header's machine field: llvm.org/docs/AMDGPUUsage.html.
MACHINES = {"gfx90a": 0x3F, "gfx942": 0x4C}


def find_toolchain(architecture: str) -> Toolchain:
    """The toolchain, or a skip that says what is missing."""
    try:
        return toolchain.find(architecture)
    except ToolchainError as error:
        pytest.skip(str(error))


@cache
def tool(name: str) -> str:
    """An LLVM tool of the compiler's own version, or a skip."""
    command = find_compiler().command
    found = shutil.which(_run(str(command), f"-print-prog-name={name}").strip())
    if found is None:
        pytest.skip(f"{name} not found: apt-get install llvm-19")
    return found


@dataclass(frozen=True)
class DeviceCode:
    """A code object: what the loader and a person would look at."""

    path: Path
    architecture: str

    @property
    def machine(self) -> int:
        """The GPU that the ELF header names."""
        text = _run(tool("llvm-readelf"), "-h", str(self.path))
        flags = re.search(r"Flags:\s+0x([0-9a-fA-F]+)", text)
        assert flags is not None
        return int(flags[1], 16) & 0xFF

    def metadata(self, name: str) -> list[int]:
        """A number of each kernel in the code object, such as `vgpr_spill_count`."""
        text = _run(tool("llvm-readelf"), "--notes", str(self.path))
        return [int(value) for value in re.findall(rf"\.{name}:\s+(\d+)", text)]

    def count(self, mnemonic: str) -> int:
        """How many instructions have a mnemonic that starts so."""
        text = _run(
            tool("llvm-objdump"),
            "-d",
            "--no-show-raw-insn",
            f"--mcpu={self.architecture}",
            str(self.path),
        )
        return len(re.findall(rf"^\s+{mnemonic}", text, re.MULTILINE))


def compile_device(text: str, architecture: str, folder: Path) -> DeviceCode:
    """Only the device code of a translation unit."""
    source, target = folder / "kernel.hip", folder / "kernel.co"
    source.write_text(text)
    compiler = find_toolchain(architecture).compilers[".hip"]
    flags = ["--cuda-device-only", "--no-gpu-bundle-output"]
    _compile(compiler, source, target, *flags)
    return DeviceCode(target, architecture)


def needed_libraries(library: Path) -> list[str]:
    """The shared libraries that `library` names."""
    text = _run(tool("llvm-readelf"), "--dynamic", str(library))
    return re.findall(r"NEEDED.*\[(.+)\]", text)


def _compile(compiler: Compiler, source: Path, target: Path, *flags: str) -> None:
    _run(*compiler.arguments(), *flags, "-c", str(source), "-o", str(target))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
