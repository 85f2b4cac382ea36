"""Object files of weights, as the tools of the system read them."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ait.errors import CompileError
from ait.runtime.weights_object import ALIGNMENT, SYMBOL, around_blob


def written(folder: Path, size: int, like: Path) -> Path:
    head, tail = around_blob(size, like)
    path = folder / f"weights_{size}.o"
    path.write_bytes(head + bytes(i % 251 for i in range(size)) + tail)
    return path


def read_by(tool: str, *arguments: str | Path) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    answer = subprocess.run([tool, *arguments], capture_output=True, text=True, check=True)
    assert answer.stderr == ""
    return answer.stdout


@pytest.mark.parametrize("size", [1, 7, 8, 4096, 70001])
def test_readelf_finds_one_hidden_symbol(blob: Path, tmp_path: Path, size: int) -> None:
    text = read_by("readelf", "-SsW", written(tmp_path, size, blob))
    (symbol,) = [line.split() for line in text.splitlines() if SYMBOL in line]
    assert symbol[1:6] == ["0" * 16, str(size), "OBJECT", "GLOBAL", "HIDDEN"]
    (data,) = [line.split() for line in text.splitlines() if "rodata" in line]
    assert int(data[-6], 16) == size and int(data[-1]) == ALIGNMENT


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld"])
def test_linkers_take_it(blob: Path, tmp_path: Path, linker: str) -> None:
    """The symbol is where it is said to be, and holds the bytes."""
    if shutil.which(f"ld.{linker}") is None:
        pytest.skip(f"needs ld.{linker}")
    size = 5000
    source = tmp_path / "check.cpp"
    source.write_text(
        f'extern "C" __attribute__((visibility("hidden"))) const unsigned char {SYMBOL}[];\n'
        f"static const unsigned char* const data[] = {{{SYMBOL}}};\n"
        "int main() {\n"
        f"  for (int i = 0; i < {size}; ++i) if (data[0][i] != i % 251) return 1;\n"
        f"  return reinterpret_cast<unsigned long>(data[0]) % {ALIGNMENT} ? 2 : 0;\n"
        "}\n"
    )
    output = tmp_path / "check"
    flags = (f"-fuse-ld={linker}", "-Wl,--gc-sections", "-Wl,--fatal-warnings", "-o", output)
    read_by("g++", source, written(tmp_path, size, blob), *flags)
    assert subprocess.run([output], check=False).returncode == 0


@pytest.mark.parametrize(
    ("order", "number", "name", "data"),
    [
        ("<", 183, "AArch64", ".rodata"),
        (">", 21, "PowerPC64", ".rodata"),
        (">", 22, "S/390", ".rodata"),
        ("<", 243, "RISC-V", ".rodata"),
        ("<", 62, "X86-64", ".lrodata"),
    ],
)
def test_it_is_for_the_machine_that_others_are_for(
    tmp_path: Path, order: str, number: int, name: str, data: str
) -> None:
    ident = b"\x7fELF" + bytes([2, 2 if order == ">" else 1, 1])
    like = tmp_path / "other.o"
    like.write_bytes(
        struct.pack(f"{order}16sHHIQQQIHHHHHH", ident, 1, number, 1, 0, 0, 0, 5, 64, *[0] * 5)
    )
    path = written(tmp_path, 10, like)
    header = read_by("readelf", "-hW", path)
    assert name in header and re.search(r"Flags: +0x5\b", header)
    assert f" {data} " in read_by("readelf", "-SW", path)
    (symbol,) = [line for line in read_by("readelf", "-sW", path).splitlines() if SYMBOL in line]
    assert symbol.split()[2] == "10"


def test_what_is_no_object_is_told(tmp_path: Path) -> None:
    like = tmp_path / "bitcode.o"
    like.write_bytes(b"BC\xc0\xde" * 20)
    with pytest.raises(CompileError, match=r"bitcode\.o is no object of ELF"):
        around_blob(1, like)
