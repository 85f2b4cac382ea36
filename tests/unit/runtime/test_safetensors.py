"""The safetensors reader against arbitrary bytes, and against the format's own reader."""

import ctypes
import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from ait.runtime import sources

HERE = Path(__file__).parent
READER = ("safetensors.cpp", "json.cpp", "status.cpp")


def reader_sources():
    folder = sources.runtime_sources("cpu")[0].parent
    return [*(folder / name for name in READER), HERE / "safetensors_probe.cpp"]


@pytest.fixture(scope="module")
def probe(build, workdir):
    """Our reader: bytes -> the number of tensors, or the message."""
    library = workdir / "probe.so"
    subprocess.run(["g++", "-shared", *build(reader_sources()), "-o", library], check=True)
    function = ctypes.CDLL(str(library)).probe
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def read(data: bytes):
        message = ctypes.create_string_buffer(4096)
        count = function(data, len(data), message, len(message))
        return count if count >= 0 else message.value.decode()

    return read


@pytest.fixture(scope="module")
def good_file(workdir):
    path = workdir / "seed.safetensors"
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        'naïve "name"\n😀': np.zeros((), np.int64),
        "empty": np.zeros((0, 3), np.float16),
    }
    safetensors.numpy.save_file(tensors, path, metadata={"format": "np"})
    return path


def test_reads_what_the_format_writes(probe, good_file):
    assert probe(good_file.read_bytes()) == 3
    assert probe(safetensors.numpy.save({})) == 0


def test_damaged_files_under_sanitizers(build, workdir, good_file):
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1")
    program = workdir / "fuzz"
    subprocess.run(["g++", *build(reader_sources(), *flags), flags[0], "-o", program], check=True)
    done = subprocess.run([program, good_file, "30000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "all passed" in done.stdout


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(probe, data):
    assert isinstance(probe(data), str) or official(data)


def official(data: bytes) -> bool:
    try:
        safetensors.numpy.load(data)
    except Exception:
        return False
    return True


sizes = st.one_of(st.integers(0, 4), st.sampled_from([2**31, 2**63, 2**64, -1]))
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I8", "BOOL", "I64", "F16", "X"]),
        "shape": st.lists(sizes, max_size=3),
        "data_offsets": st.lists(st.integers(-1, 16), min_size=1, max_size=3),
    }
)


@given(
    st.dictionaries(st.text(max_size=3), entries, max_size=3),
    st.integers(0, 32),
    st.booleans(),
)
def test_accepts_nothing_that_the_format_refuses(probe, header, data_size, ascii_only):
    text = json.dumps(header, ensure_ascii=ascii_only)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "surrogatepass")
    data = struct.pack("<Q", len(encoded)) + encoded + bytes(data_size)
    if isinstance(probe(data), int):
        assert official(data)
