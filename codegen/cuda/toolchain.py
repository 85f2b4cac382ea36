"""The CUDA toolchain: nvcc and the CUTLASS headers, from the system or from pip packages.

Compiling needs neither a GPU nor a driver, and CUTLASS only where one of its kernels was chosen.
nvcc is taken from `$AIT_NVCC`, `$CUDA_HOME` (or `$CUDA_PATH`), the `PATH`, the pip packages of the
running environment, or /usr/local/cuda, in this order; CUTLASS from `$AIT_CUTLASS` or the package
`nvidia-cutlass`. With `$AIT_DEPENDENT_LAUNCH` 0, not 1, no kernel begins before the one before it
has ended, on devices that could do that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ait.codegen.build import Compiler, Part, Toolchain, compiler_identity
from ait.codegen.cache import GIB
from ait.errors import ToolchainError

CUTLASS_SUFFIX = ".cutlass.cu"
CUTLASS_REQUIREMENT = "nvidia-cutlass==4.2.0.0"
# One release of the toolkit: the extra pins nvcc and what it calls to each other.
TOOLKIT_REQUIREMENT = "cuda-toolkit[nvcc,cudart,cccl,nvtx]==13.0.3.0"
_OLDEST_NVCC = (12, 4)
_COMPILER_MEMORY = GIB // 2
_CUTLASS_COMPILER_MEMORY = 7 * GIB // 2
"""What one kernel of our own, and one of CUTLASS 3.x, take to compile."""

_SUBPACKAGE = Path(__file__).parent
_OWN_HEADERS = (
    _SUBPACKAGE / "include",
    _SUBPACKAGE.parent / "gpu" / "include",
    _SUBPACKAGE.parent.parent / "runtime" / "include",
)
_HOST_FLAGS = ("-O3", "-DNDEBUG", "-std=c++17", "-fPIC", "-fvisibility=hidden")
# Without NDEBUG ptxas serialises wgmma (five times slower). 20012 warns of explicitly defaulted
# functions in CUTLASS, 177 of what a generated kernel says and its template does not need.
_DEVICE_FLAGS = (
    "-O3",
    "-DNDEBUG",
    "-std=c++17",
    "--expt-relaxed-constexpr",
    "-Xcompiler=-fPIC,-fvisibility=hidden",
    "-diag-suppress=20012,177",
)
# A dependent launch lets a kernel start before its inputs are final: the kernels must wait, and
# CUTLASS waits only under its own macro.
_DEPENDENT_LAUNCH_FLAGS = ("-DAIT_CUDA_DEPENDENT_LAUNCH", "-DCUTLASS_ENABLE_GDC_FOR_SM90")
_FIRST_DEPENDENT_LAUNCH = 90
_LAST_RESORT = Path("/usr/local/cuda")
"""Where toolkits are usually installed. The packages come before it: they were asked for."""
_INSTALL = "run `ait setup cuda`, or"


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit: its nvcc, that one's version, and the folder of the CUDA runtime library."""

    nvcc: Path
    version: str
    library: Path


def find(architecture: str) -> Toolchain:
    """How generated CUDA sources (`.cu`, `.cutlass.cu`), host sources and their library are built
    here.

    Raises ToolchainError that says what to run or set, if nvcc is missing. Without CUTLASS the
    toolchain has no compiler for sources that include it.
    """
    toolkit = find_toolkit()
    host = os.environ.get("CXX", "c++")
    identity = compiler_identity((str(toolkit.nvcc),))
    device = Compiler(
        command=(str(toolkit.nvcc),),
        identity=identity,
        flags=(*_DEVICE_FLAGS, *architecture_flags(architecture)),
        includes=_OWN_HEADERS,
        memory=_COMPILER_MEMORY,
    )
    runtime = Compiler(
        command=(host,),
        identity=f"{compiler_identity((host,))}\n{identity}",
        flags=_HOST_FLAGS,
        includes=_OWN_HEADERS[2:],
        system_includes=(toolkit.nvcc.parent.parent / "include",),
    )
    # The runtime's own link flags name the (static) CUDA runtime; where it lies is said here.
    found = Toolchain(
        name=f"cuda:{architecture}",
        compilers={".cu": device, ".cpp": runtime},
        linker=(host,),
        link_flags=(f"-L{toolkit.library}",),
    )
    return _with_cutlass(found, device)


def _with_cutlass(toolchain: Toolchain, device: Compiler) -> Toolchain:
    """The toolchain with a compiler for sources that include CUTLASS, or what to do about it."""
    try:
        cutlass = find_cutlass()
    except ToolchainError as error:
        return replace(toolchain, missing={CUTLASS_SUFFIX: str(error)})
    compiler = replace(
        device,
        identity=f"{device.identity}\n{_cutlass_version(cutlass)}",
        system_includes=(cutlass,),
        memory=_CUTLASS_COMPILER_MEMORY,
    )
    return replace(toolchain, compilers={**toolchain.compilers, CUTLASS_SUFFIX: compiler})


def architecture_flags(architecture: str) -> tuple[str, ...]:
    """What tells nvcc the architecture, for machine code of it alone, and how kernels begin."""
    number = architecture.removeprefix("sm_")
    generate = f"-gencode=arch=compute_{number},code={architecture}"
    can_overlap = int(re.sub(r"\D", "", number)) >= _FIRST_DEPENDENT_LAUNCH
    return (generate, *(_DEPENDENT_LAUNCH_FLAGS if can_overlap and _may_overlap() else ()))


def _may_overlap() -> bool:
    """What $AIT_DEPENDENT_LAUNCH says. Raises ToolchainError if that is neither 0 nor 1."""
    chosen = os.environ.get("AIT_DEPENDENT_LAUNCH") or "1"
    if chosen not in ("0", "1"):
        raise ToolchainError(f"AIT_DEPENDENT_LAUNCH={chosen}: it is 0 or 1")
    return chosen == "1"


def find_toolkit() -> Toolkit:
    """The nvcc to use, with its version and library folder. Raises ToolchainError without one."""
    if chosen := os.environ.get("AIT_NVCC"):
        found = shutil.which(chosen)
        if found is None:
            raise ToolchainError(f"AIT_NVCC={chosen}: no such program")
        return _toolkit(Path(found))
    for path in _nvcc_places():
        if os.access(path, os.X_OK):
            return _toolkit(path)
    raise ToolchainError(
        f"nvcc not found: {_INSTALL} set CUDA_HOME to a CUDA toolkit or AIT_NVCC to its nvcc"
    )


def find_cutlass() -> Path:
    """The include folder of CUTLASS. Raises ToolchainError if it is not installed."""
    if chosen := os.environ.get("AIT_CUTLASS"):
        for path in (Path(chosen) / "include", Path(chosen)):
            if _is_cutlass(path):
                return path
        raise ToolchainError(f"AIT_CUTLASS={chosen}: no cutlass/cutlass.h there")
    spec = find_spec("cutlass_library")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / "source" / "include"
        if _is_cutlass(path):
            return path
    raise ToolchainError(
        f"the CUTLASS headers are missing: {_INSTALL} `pip install --no-deps "
        f"{CUTLASS_REQUIREMENT}`, or set AIT_CUTLASS to a folder that has include/cutlass"
    )


def fetch() -> Path:
    """Installs what is missing (nvcc, CUTLASS) into the running environment with pip.

    Returns the CUTLASS include folder. Raises ToolchainError if pip fails.
    """
    if not _found(find_cutlass):
        # Its dependencies serve its Python interface; the headers need none.
        _pip_install("--no-deps", CUTLASS_REQUIREMENT)
    if not _found(find_toolkit):
        _pip_install(TOOLKIT_REQUIREMENT)
    find_toolkit()
    return find_cutlass()


def describe() -> Sequence[Part]:
    """What `ait doctor` shows."""

    def nvcc() -> str:
        toolkit = find_toolkit()
        return f"{toolkit.nvcc} (CUDA {toolkit.version})"

    def cutlass() -> str:
        path = find_cutlass()
        return f"{path} ({_cutlass_version(path)})"

    return [Part.looked_for("nvcc", nvcc), Part.looked_for("CUTLASS", cutlass)]


def _nvcc_places() -> Iterator[Path]:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if root := os.environ.get(variable):
            yield Path(root) / "bin" / "nvcc"
    if on_path := shutil.which("nvcc"):
        yield Path(on_path)
    for folder in _pip_toolkits():
        yield folder / "bin" / "nvcc"
    yield _LAST_RESORT / "bin" / "nvcc"


def _pip_toolkits() -> Iterator[Path]:
    """`site-packages/nvidia/cu13` and the like: the packages make one toolkit of it."""
    spec = find_spec("nvidia")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(location).glob("cu[0-9]*"), reverse=True)


@cache
def _toolkit(nvcc: Path) -> Toolkit:
    lines = _run([str(nvcc), "--version"])
    match = re.search(r"release (\d+)\.(\d+)", lines)
    if match is None:
        raise ToolchainError(f"{nvcc} does not say which release it is")
    if (int(match[1]), int(match[2])) < _OLDEST_NVCC:
        oldest = ".".join(map(str, _OLDEST_NVCC))
        raise ToolchainError(
            f"{nvcc} is of CUDA {match[1]}.{match[2]}; {oldest} or newer is needed: "
            f"{_INSTALL} set AIT_NVCC to a newer one"
        )
    root = _root(nvcc)
    library = next((root / name for name in ("lib64", "lib") if _has_runtime(root / name)), None)
    if library is None:
        raise ToolchainError(
            f"{root} has no libcudart_static.a: {_INSTALL} set CUDA_HOME to a whole toolkit"
        )
    return Toolkit(root / "bin" / "nvcc", f"{match[1]}.{match[2]}", library)


def _root(nvcc: Path) -> Path:
    """The toolkit's folder. A link or script elsewhere may stand for nvcc: nvcc itself knows."""
    dry = _run([str(nvcc), "--dryrun", "-c", "-x", "cu", os.devnull, "-o", os.devnull])
    match = re.search(r"^#\$ TOP=(.+)$", dry, re.MULTILINE)
    top = Path(match[1]) if match else nvcc.resolve().parent.parent
    return top.resolve()


def _has_runtime(folder: Path) -> bool:
    return (folder / "libcudart_static.a").is_file()


def _is_cutlass(path: Path) -> bool:
    return all((path / "cutlass" / name).is_file() for name in ("cutlass.h", "version.h"))


def _cutlass_version(include: Path) -> str:
    """`4.2.0`, from the header."""
    text = (include / "cutlass" / "version.h").read_text()
    numbers = [
        match[1]
        for part in ("MAJOR", "MINOR", "PATCH")
        if (match := re.search(rf"#define CUTLASS_{part}\s+(\d+)", text))
    ]
    return ".".join(numbers)


def _found(find: object) -> bool:
    assert callable(find)
    try:
        find()
    except ToolchainError:
        return False
    return True


def _pip_install(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    try:
        _run(command)
    except ToolchainError as error:
        raise ToolchainError(
            f"cannot install {arguments[-1]}: {error}\nWithout a package index, set CUDA_HOME to a "
            "CUDA toolkit and AIT_CUTLASS to a folder that has include/cutlass."
        ) from error


def _run(command: Sequence[str]) -> str:
    """What a command prints; raises ToolchainError with its last lines if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolchainError(f"{command[0]} does not run: {error.strerror}") from error
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise ToolchainError(f"{Path(command[0]).name} failed: {tail}")
    return done.stdout + done.stderr
