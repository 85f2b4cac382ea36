"""What a model's build compiles and links besides its generated code.

A library is built from the generated sources, the sources and flags below, and nothing else:

    c++ <compile_flags()> -I<include_dirs()> -c <each source>
    c++ <objects> <link_flags(device)> -o model.so

The result needs libc, libm and the dynamic loader only (and the vendor's driver for a GPU).
"""

from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda", "hip"]

_ROOT = Path(__file__).resolve().parent

# In the order of how a call passes through them.
_SHARED_SOURCES = (
    "abi.cpp",
    "context.cpp",
    "graphs.cpp",
    "profile.cpp",
    "binding.cpp",
    "tensors.cpp",
    "weights.cpp",
    "report.cpp",
    "safetensors.cpp",
    "json.cpp",
    "mapped_file.cpp",
    "thread_pool.cpp",
    "problems.cpp",
    "status.cpp",
)

_DEVICE_SOURCES: dict[Device, str] = {
    "cpu": "device_cpu.cpp",
    "cuda": "device_cuda.cpp",
    "hip": "device_hip.cpp",
}

# The CUDA runtime is linked in; the HIP runtime comes as a shared library only.
_DEVICE_LIBRARIES: dict[Device, tuple[str, ...]] = {
    "cpu": (),
    "cuda": ("-lcudart_static", "-ldl", "-lrt"),
    "hip": ("-lamdhip64",),
}


def include_dirs() -> list[Path]:
    """Folders that hold `ait.h` and `ait/*.hpp`; a GPU target adds its vendor's own."""
    return [_ROOT / "include"]


def runtime_sources(device: Device) -> list[Path]:
    """The runtime's C++ files for a device; a plain host compiler suffices for all of them."""
    return [_ROOT / "src" / name for name in (*_SHARED_SOURCES, _DEVICE_SOURCES[device])]


def runtime_headers() -> list[Path]:
    """Every header that the sources include, for the build's dependency tracking."""
    include = include_dirs()[0]
    return sorted(
        [*include.rglob("*.h"), *include.rglob("*.hpp"), *(_ROOT / "src").glob("*.hpp")],
    )


def compile_flags() -> list[str]:
    """Flags of g++ or clang++ for the runtime's sources and the generated model.cpp."""
    return [
        "-std=c++17",
        "-O2",
        "-fPIC",
        "-fvisibility=hidden",
        "-fvisibility-inlines-hidden",
        "-ffunction-sections",
        "-pthread",
        "-Wall",
        "-Wextra",
    ]


def version_script() -> Path:
    """The linker's version script: exports `ait_*`, hides all else."""
    return _ROOT / "src" / "exports.map"


def link_flags(device: Device) -> list[str]:
    """Flags that go after the objects; for a GPU the caller adds `-L` of the vendor's libraries."""
    return [
        "-shared",
        "-pthread",
        # Another C++ library, or version of one, in the deployer's process must not matter.
        "-static-libstdc++",
        "-static-libgcc",
        f"-Wl,--version-script={version_script()}",
        "-Wl,-z,defs",
        "-Wl,-z,relro,-z,now",
        "-Wl,--gc-sections",
        "-Wl,--as-needed",
        *_DEVICE_LIBRARIES[device],
    ]
