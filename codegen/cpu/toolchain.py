"""The CPU's compilers: any g++ or clang++ from GCC 10 and clang 12 on."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from ait.codegen.build import Compiler, Toolchain, compiler_identity
from ait.codegen.cpu.devices import Level, host_machine
from ait.errors import ToolchainError

KERNEL_SUFFIX = ".kernel.cpp"
INCLUDE = Path(__file__).parent / "include"

_CANDIDATES = ("g++", "clang++", "c++")
_RUNTIME_INCLUDE = Path(__file__).parent.parent.parent / "runtime" / "include"

# NaN and infinities keep their meaning, so no -ffast-math; but nobody reads errno, or the flags of
# floating-point exceptions, and a product may be fused into the sum that it goes to.
_KERNEL_FLAGS = (
    "-std=c++17",
    "-O3",
    "-DNDEBUG",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-ffunction-sections",
    "-pthread",
    "-Wall",
)
# About the ABI of vectors as arguments, which no two objects share, and loops left scalar.
_QUIET = {"gcc": ("-Wno-psabi",), "clang": ("-Wno-psabi", "-Wno-pass-failed")}


def find(level: Level) -> Toolchain:
    """The compilers for `level`: $CXX, or the first of g++, clang++ and c++ that there is.

    Raises ToolchainError, which says what to install, where there is none.
    """
    command = _command(level)
    identity = compiler_identity(command)
    family = "clang" if "clang" in identity else "gcc"
    includes = (INCLUDE, _RUNTIME_INCLUDE)
    kernels = Compiler(
        command=command,
        identity=identity,
        flags=(*_KERNEL_FLAGS, *_QUIET[family], *level.flags),
        includes=includes,
    )
    # The runtime is built for any host: it is what tells an unfit one about it.
    features = "".join(f"AIT_FEATURE({_quoted(name)})" for name in level.features)
    runtime = Compiler(
        command=command,
        identity=identity,
        flags=(f"-DAIT_HOST_FEATURES={features}",) if features else (),
        includes=includes,
    )
    return Toolchain(
        name=f"cpu:{level.name}",
        compilers={KERNEL_SUFFIX: kernels, ".cpp": runtime},
        linker=command,
    )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _command(level: Level) -> tuple[str, ...]:
    given = os.environ.get("CXX", "").strip()
    if given:
        command = tuple(shlex.split(given))
        if shutil.which(command[0]) is None:
            raise ToolchainError(f"the C++ compiler that CXX names was not found: {command[0]}")
        return command
    cross = level.machine != host_machine()
    candidates = (f"{level.machine}-linux-gnu-g++",) if cross else _CANDIDATES
    for candidate in candidates:
        if shutil.which(candidate):
            return (candidate,)
    if cross:
        raise ToolchainError(
            f"no C++ compiler for {level.machine}: install {candidates[0]} (Debian and Ubuntu: "
            f"g++-{level.machine.replace('_', '-')}-linux-gnu), or set CXX to one"
        )
    raise ToolchainError(
        "no C++ compiler found: install g++ 10 or newer or clang++ 12 or newer (Debian and "
        "Ubuntu: apt install g++), or set CXX to the one to use"
    )
