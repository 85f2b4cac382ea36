"""Reading a model's metadata without loading it."""

import contextlib
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait.errors import AitError
from ait.runtime.inspect import read_metadata


def test_reads_the_section(tiny):
    assert read_metadata(tiny)["name"] == "tiny"


def test_does_not_load_the_library(tiny, tmp_path):
    """A library for another machine, which this one could not load."""
    data = bytearray(tiny.read_bytes())
    struct.pack_into("<H", data, 18, 183)  # e_machine = AArch64
    (tmp_path / "other.so").write_bytes(data)
    assert read_metadata(tmp_path / "other.so")["name"] == "tiny"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no 64-bit ELF"),
        (b"hello, world", "no 64-bit ELF"),
        (b"\x7fELF\x01\x01" + b"\0" * 100, "no 64-bit ELF"),
        (b"\x7fELF\x02\x01" + b"\0" * 100, "no section table"),
    ],
)
def test_refuses_other_files(tmp_path, content, message):
    path = tmp_path / "file.so"
    path.write_bytes(content)
    with pytest.raises(AitError, match=message) as caught:
        read_metadata(path)
    assert str(path) in str(caught.value)


def test_refuses_other_libraries(tmp_path):
    source = tmp_path / "other.c"
    source.write_text("int other(void) { return 1; }")
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    library = tmp_path / "other.so"
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", library], check=True)
    with pytest.raises(AitError, match=r"no \.ait\.metadata section"):
        read_metadata(library)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(AitError, match="No such file"):
        read_metadata(tmp_path / "missing.so")
    with pytest.raises(AitError, match="Is a directory"):
        read_metadata(tmp_path)


def test_every_truncation_is_refused(tiny, tmp_path):
    data = tiny.read_bytes()
    path = tmp_path / "cut.so"
    for size in [*range(128), *range(128, len(data) - 1, 4999), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(AitError):
            read_metadata(path)


@given(st.data())
def test_damaged_headers_never_crash(tiny, tmp_path_factory, data):
    content = bytearray(tiny.read_bytes())
    start = struct.unpack_from("<Q", content, 40)[0]
    places = st.one_of(st.integers(6, 63), st.integers(start, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(content)
    with contextlib.suppress(AitError):
        assert isinstance(read_metadata(path), dict)
