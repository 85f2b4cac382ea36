"""The HIP toolchain: a clang that targets AMD GPUs, and the Composable Kernel headers.

A ROCm installation has both. Without one, a distribution's plain clang and its ROCm device
libraries compile the same sources; two things that such a distribution lacks are made here, in the
user's cache: the control bitcode of gfx942 (one constant), and `ck/config.h`, which Composable
Kernel's own build would generate. Compiling needs no GPU.

Composable Kernel is on no package index by itself. The flash-attn source distribution carries its
headers, so `ait setup hip` takes them from there, pinned by hash; nothing of it is ever executed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

from ait.codegen.build import Compiler, Part, Toolchain, compiler_identity
from ait.codegen.cache import GIB, cache_directory, digest_of, write_whole
from ait.errors import ToolchainError

CK_RELEASE = "2.8.3.post2"
CK_REQUIREMENT = f"flash-attn=={CK_RELEASE}"
CK_SHA256 = "d0f9f0b08a986cdeadbffcf5ec8b3a8f514366c68ad1853d3ab061bc83cc340b"
_CK_MEMBERS = f"flash_attn-{CK_RELEASE}/csrc/composable_kernel/include/"

PACKAGES = "clang-19 clang-tools-19 lld-19 llvm-19 rocm-device-libs libamdhip64-dev"
ARCHITECTURES = ("gfx90a", "gfx942")

_CLANGS = ("clang++-19", "clang++-20", "clang++-18")
_BITCODE = ("lib/x86_64-linux-gnu/amdgcn/bitcode", "lib64/amdgcn/bitcode", "amdgcn/bitcode")
# https://llvm.org/docs/AMDGPUUsage.html: the ISA version constant of an architecture that the
# distribution's device libraries do not know yet.
_EXTRA_ISA = {"gfx942": ("942", 9402)}
_CONFIG_TYPES = ("INT8", "FP8", "BF8", "FP16", "BF16", "FP32", "FP64")

_SYSTEM = Path("/usr")
_SUBPACKAGE = Path(__file__).parent
_OWN_HEADERS = (
    _SUBPACKAGE / "include",
    _SUBPACKAGE.parent / "gpu" / "include",
    _SUBPACKAGE.parent.parent / "runtime" / "include",
)
_HOST_FLAGS = ("-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-fvisibility=hidden")

# Stands in for setuptools while pip reads the distribution's metadata, which it insists on before
# it hands the file out: the real build script would need PyTorch and a GPU compiler.
_METADATA_BACKEND = f"""\
from pathlib import Path

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    info = Path(directory, "flash_attn-{CK_RELEASE}.dist-info")
    info.mkdir()
    text = "Metadata-Version: 2.1\\nName: flash_attn\\nVersion: {CK_RELEASE}\\n"
    (info / "METADATA").write_text(text)
    return info.name

class __legacy__:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
"""


@dataclass(frozen=True)
class HipCompiler:
    """A clang that compiles HIP: its command, version text, ROCm root and device libraries.

    `bitcode` is None where the compiler finds its own (a ROCm installation).
    """

    command: Path
    version: str
    rocm: Path
    bitcode: Path | None

    @property
    def library_directory(self) -> Path:
        """The folder of `libamdhip64.so`."""
        return _first_existing(
            self.rocm, ("lib/x86_64-linux-gnu", "lib", "lib64"), "libamdhip64.so"
        )


def find(architecture: str) -> Toolchain:
    """How generated HIP sources (`.hip`), host sources and their library are built here.

    Raises ToolchainError that says what to install or set, if the compiler or Composable Kernel
    is missing.
    """
    compiler = find_compiler()
    kernels = find_composable_kernel(compiler)
    support = support_directory(compiler) / "include"
    identity = f"{compiler_identity((str(compiler.command),))}\n{_headers_identity(kernels)}"
    host = Compiler(
        command=(str(compiler.command),),
        identity=identity,
        flags=(*_HOST_FLAGS, "-D__HIP_PLATFORM_AMD__=1"),
        includes=_OWN_HEADERS[2:],
        system_includes=() if compiler.rocm == _SYSTEM else (compiler.rocm / "include",),
    )
    device = replace(
        host,
        flags=(*host.flags, *_device_flags(compiler, architecture)),
        includes=_OWN_HEADERS,
        # The support folder comes last: its ck/config.h counts only where CK brings none.
        system_includes=(kernels, support),
        memory=GIB,
    )
    return Toolchain(
        name=f"hip:{architecture}",
        compilers={".hip": device, ".cpp": host},
        linker=(str(compiler.command), "-shared"),
        link_flags=(f"-L{compiler.library_directory}", "-lamdhip64", "-Wl,-z,defs"),
    )


@cache
def find_compiler() -> HipCompiler:
    """`$AIT_HIPCC`, else a ROCm installation's clang, else a distribution's.

    Raises ToolchainError if there is none that can compile HIP.
    """
    roots = [Path(root) for root in (os.environ.get("ROCM_PATH"), "/opt/rocm") if root]
    if chosen := os.environ.get("AIT_HIPCC"):
        return _compiler(_executable(chosen), roots)
    for root in roots:
        for name in ("bin/amdclang++", "llvm/bin/clang++"):
            if os.access(root / name, os.X_OK):
                return _compiler(root / name, roots)
    for name in _CLANGS:
        if found := shutil.which(name):
            return _compiler(Path(found), roots)
    raise ToolchainError(
        f"no HIP compiler found: install one (apt-get install --no-install-recommends {PACKAGES}), "
        "or set ROCM_PATH to a ROCm installation or AIT_HIPCC to a clang++"
    )


def _device_flags(compiler: HipCompiler, architecture: str) -> tuple[str, ...]:
    bitcode = [f"--rocm-device-lib-path={compiler.bitcode}"] if compiler.bitcode else []
    return (
        "-x",
        "hip",
        f"--offload-arch={architecture}",
        f"--rocm-path={compiler.rocm}",
        *bitcode,
        "-DCK_TIME_KERNEL=0",
    )


def _headers_identity(folder: Path) -> str:
    """Says whether Composable Kernel's headers are the same as in another build."""
    if folder == composable_kernel_directory():
        return CK_SHA256
    files = sorted(path for path in (folder / "ck").rglob("*.hpp"))
    stamps = (f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)
    return digest_of(stamps)


def find_composable_kernel(compiler: HipCompiler) -> Path:
    """The include directory of Composable Kernel: `$AIT_CK`, ROCm's own, or the fetched one.

    Raises ToolchainError if there is none.
    """
    if chosen := os.environ.get("AIT_CK"):
        for path in (Path(chosen), Path(chosen) / "include"):
            if _is_composable_kernel(path):
                return path
        raise ToolchainError(f"AIT_CK={chosen}: no ck/ck.hpp there")
    for path in (compiler.rocm / "include", composable_kernel_directory()):
        if _is_composable_kernel(path):
            return path
    raise ToolchainError(
        "the Composable Kernel headers are missing: run `ait setup hip`, or set AIT_CK to a folder "
        "that has include/ck"
    )


def composable_kernel_directory() -> Path:
    """Where `fetch` puts the headers."""
    return cache_directory() / f"ck-{CK_RELEASE}"


def fetch() -> Path:
    """Downloads the pinned Composable Kernel headers (8 MB) into the user's cache, once.

    Returns their include directory. Raises ToolchainError if the download fails.
    """
    directory = composable_kernel_directory()
    if _is_composable_kernel(directory):
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolchainError(f"cannot make {directory.parent}: {error.strerror}") from error
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="fetch-") as name:
        temporary = Path(name)
        archive = _download(temporary)
        extracted = temporary / "include"
        _extract(archive, extracted)
        try:
            extracted.rename(directory)
        except OSError as error:  # another process may have been first
            if not _is_composable_kernel(directory):
                raise ToolchainError(f"cannot write {directory}: {error.strerror}") from error
    return directory


def describe() -> Sequence[Part]:
    """What `ait doctor` shows. Where the others lie says the compiler: they are not looked for
    without one."""
    try:
        compiler = find_compiler()
    except ToolchainError as error:
        return [Part("compiler", True, str(error))]
    return [
        Part("compiler", False, f"{compiler.command} ({compiler.version})"),
        Part("ROCm", False, str(compiler.rocm)),
        Part.looked_for("Composable Kernel", lambda: str(find_composable_kernel(compiler))),
    ]


def support_directory(compiler: HipCompiler) -> Path:
    """The folder of what a plain distribution lacks; its `include` has a `ck/config.h`.

    Made on first use. Raises ToolchainError if it cannot be written.
    """
    directory = cache_directory() / f"hip-support-{digest_of([compiler.version])[:12]}"
    config = directory / "include" / "ck" / "config.h"
    lines = [f'#define CK_ENABLE_{name} "ON"' for name in _CONFIG_TYPES]
    text = "\n".join([*lines, '#define CK_USE_XDL "ON"', ""])
    _write_once(config, text.encode())
    return directory


def _compiler(command: Path, roots: Sequence[Path]) -> HipCompiler:
    rocm = next((root for root in roots if _has_hip_headers(root)), _SYSTEM)
    if not _has_hip_headers(rocm):
        raise ToolchainError(
            f"{command} has no HIP headers: apt-get install --no-install-recommends {PACKAGES}, "
            "or set ROCM_PATH to a ROCm installation"
        )
    version = _run([str(command), "--version"]).splitlines()[0]
    bitcode = None
    if rocm == _SYSTEM:
        source = _first_existing(rocm, _BITCODE, "ocml.bc")
        bitcode = _complete_bitcode(command, version, source)
    return HipCompiler(command, version, rocm, bitcode)


def _complete_bitcode(command: Path, version: str, source: Path) -> Path:
    """The distribution's device libraries plus the control files that are newer than them."""
    directory = cache_directory() / f"hip-bitcode-{digest_of([version, str(source)])[:12]}"
    for path in source.glob("*.bc"):
        target = directory / path.name
        if not target.exists():
            _write_once(target, path.read_bytes())
    for name, isa in _EXTRA_ISA.values():
        target = directory / f"oclc_isa_version_{name}.bc"
        if not target.exists():
            _write_once(target, _isa_bitcode(command, isa))
    return directory


def _isa_bitcode(command: Path, isa: int) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "isa.c"), Path(name, "isa.bc")
        source.write_text(
            'const __attribute__((address_space(4), visibility("protected"))) '
            f"int __oclc_ISA_version = {isa};\n"
        )
        flags = ["-target", "amdgcn-amd-amdhsa", "-nogpulib", "-nogpuinc", "-O2", "-emit-llvm"]
        _run([str(command), "-x", "c", *flags, "-c", str(source), "-o", str(output)])
        return output.read_bytes()


def _download(directory: Path) -> Path:
    backend = directory / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(_METADATA_BACKEND)
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{CK_REQUIREMENT} --hash=sha256:{CK_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "--use-pep517"]
    command += ["--dest", str(directory), "--requirement", str(requirements)]
    try:
        _run(command, {"PYTHONPATH": str(backend.parent)})
    except ToolchainError as error:
        raise ToolchainError(
            f"cannot download {CK_REQUIREMENT}, which has the Composable Kernel headers: {error}\n"
            "Without a package index, set AIT_CK to a folder that has include/ck."
        ) from error
    return next(directory.glob("flash_attn-*.tar.gz"))


def _extract(archive: Path, directory: Path) -> None:
    """Writes the headers of the archive, and nothing else of it, below the directory."""
    with tarfile.open(archive) as members:
        for member in members:
            if not member.isfile() or not member.name.startswith(_CK_MEMBERS):
                continue
            relative = PurePosixPath(member.name.removeprefix(_CK_MEMBERS))
            content = members.extractfile(member)
            if content is None or ".." in relative.parts:
                continue
            path = directory / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def _is_composable_kernel(path: Path) -> bool:
    return (path / "ck" / "ck.hpp").is_file()


def _has_hip_headers(root: Path) -> bool:
    return (root / "include" / "hip" / "hip_runtime.h").is_file()


def _executable(name: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    raise ToolchainError(f"AIT_HIPCC={name}: no such program")


def _first_existing(root: Path, folders: Sequence[str], file: str) -> Path:
    for folder in folders:
        if (root / folder / file).exists():
            return root / folder
    raise ToolchainError(
        f"{root} has no {file}: apt-get install --no-install-recommends {PACKAGES}"
    )


def _write_once(path: Path, content: bytes) -> None:
    """Writes a file that never changes. Raises ToolchainError where that is impossible."""
    if path.exists():
        return
    try:
        write_whole(path, content)
    except OSError as error:
        raise ToolchainError(f"cannot write {path}: {error.strerror}") from error


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """The standard output of a command; raises ToolchainError with its last lines if it fails."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise ToolchainError(f"{Path(command[0]).name} failed: {tail}")
    return done.stdout
