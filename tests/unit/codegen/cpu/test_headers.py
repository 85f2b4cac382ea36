"""The kernel headers by themselves: headers.cpp, built for several instruction sets."""

import subprocess
from pathlib import Path

import pytest

from ait.codegen.build import SourceFile, Toolchain, compiler_identity
from ait.codegen.cpu import toolchain
from ait.codegen.cpu.devices import LEVELS, Level, host_level, host_machine

SOURCE = Path(__file__).with_name("headers.cpp")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
HOST_LEVELS = [level for level in LEVELS.values() if level.machine == host_machine()]


def build(level: Level, folder: Path, *flags: str) -> Path:
    """The test program for `level`, as kernels are compiled but for the optimization."""
    compiler = toolchain.find(level).compiler_of(f"x{toolchain.KERNEL_SUFFIX}")
    program = folder / "headers"
    command = [*compiler.arguments(), "-O1", "-Wextra", "-Werror", *flags, str(SOURCE)]
    subprocess.run([*command, "-o", str(program)], check=True, timeout=900)
    return program


def run(program: Path) -> None:
    done = subprocess.run([program], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_headers(level: Level, tmp_path: Path) -> None:
    newest = HOST_LEVELS.index(host_level())
    if HOST_LEVELS.index(level) > newest:
        pytest.skip(f"this machine does not have {level.name}")
    sanitize = SANITIZE if level is host_level() else ()
    run(build(level, tmp_path, *sanitize))


def test_vectors_wider_than_the_registers(tmp_path: Path) -> None:
    """What AVX-512 would compute, on any machine."""
    run(build(host_level(), tmp_path, "-DAIT_VECTOR_BYTES=64"))


def test_a_compiler_for_each_kind_of_source() -> None:
    found: Toolchain = toolchain.find(host_level())
    kernels = found.compiler_of("kernels/gemm.kernel.cpp")
    runtime = found.compiler_of(SourceFile("model.cpp", "").name)
    assert set(host_level().flags) <= set(kernels.flags)
    assert not set(host_level().flags) & set(runtime.flags)
    assert kernels.identity == compiler_identity(kernels.command)
