"""Weights in safetensors files: right ones, wrong ones and replaced ones."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from ait.errors import WeightError
from ait.runtime.loader import load

X, S = np.ones((2, 4), np.float32), np.zeros(4, np.float32)
GOOD = {
    "w": np.array([5, 6, 7, 8], np.float32),
    "b": np.array([1, 2, 3, 4], np.float32),
    "scale": np.array(100, np.float32),
}
STALE = {"folded": np.full(4, -1, np.float32)}


@pytest.fixture
def external(library):
    """The variant whose weights are not embedded."""
    return library("-DTINY_EXTERNAL")


@pytest.fixture
def save(tmp_path):
    def write(tensors, name="weights.safetensors", **options):
        path = tmp_path / name
        save_file(tensors, path, **options)
        return path

    return write


def raw_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def right(model, reference, tensors=GOOD):
    expected = reference(X, S, tensors["w"], tensors["b"], tensors["scale"])
    return np.allclose(model(X, S), expected)


def test_model_without_weights_asks_for_a_file(external):
    with pytest.raises(WeightError, match=r"^[^\n]*needs a weights file.*'w'.*'b'.*'scale'"):
        load(external)


def test_file_gives_weights_and_derived_ones_are_computed(external, tiny, save, reference):
    path = save(GOOD)
    for library in (external, tiny):
        with load(library, weights=path) as model:
            assert right(model, reference)


def test_stale_derived_weights_are_not_trusted(external, save, reference):
    with load(external, weights=save(GOOD | STALE)) as model:
        assert right(model, reference)
    other = save(GOOD | STALE, metadata={"ait.prepared": "another model"})
    with load(external, weights=other) as model:
        assert right(model, reference)


def test_derived_weights_with_the_fingerprint_are_used(external, save):
    path = save(GOOD | STALE, metadata={"ait.prepared": "tiny-1"})
    with load(external, weights=path) as model:
        assert np.allclose(model(X, S), X * GOOD["w"] - 1)


def test_frozen_model_takes_derived_from_the_file(library, save):
    frozen = library("-DTINY_EXTERNAL", "-DTINY_FROZEN")
    with load(frozen, weights=save({"w": GOOD["w"]} | STALE)) as model:
        assert np.allclose(model(X, S), X * GOOD["w"] - 1)
    with pytest.raises(WeightError, match=r"(?s)3 problems.*'b' was folded.*'folded'.*missing"):
        load(frozen, weights=save(GOOD))


def test_lists_missing_mismatched_and_unexpected(tiny, save, reference):
    bad = {
        "w": np.zeros((2, 2), np.float32),
        "scale": np.zeros((), np.float16),
        "extra": np.zeros(3, np.float64),
        "also": np.zeros(3, np.uint8),
    }
    path = save(bad)
    with pytest.raises(WeightError) as caught:
        load(tiny, weights=path)
    message = str(caught.value)
    assert f"weights file '{path}': 5 problems:" in message
    assert "weight 'w' is F32[2, 2], expected f32[4]" in message
    assert "weight 'b' (f32[4]) is missing" in message
    assert "weight 'scale' is F16[], expected f32[]" in message
    assert "tensor 'also' is not a weight" in message
    assert "tensor 'extra' is not a weight" in message


def test_unexpected_tensors_can_be_ignored(tiny, save, reference):
    path = save(GOOD | {"extra": np.zeros(3, np.float64)})
    with load(tiny, weights=path, ignore_unexpected_weights=True) as model:
        assert right(model, reference)


def test_replacement_is_all_or_nothing(tiny, save, reference):
    with load(tiny, weights=save(GOOD)) as model:
        with pytest.raises(WeightError, match="is missing"):
            model.set_weights(save({"w": np.zeros(4, np.float32)}, "bad.safetensors"))
        with pytest.raises(WeightError, match="No such file"):
            model.set_weights("/nowhere.safetensors")
        assert right(model, reference)
        other = {name: np.asarray(value * 2) for name, value in GOOD.items()}
        model.set_weights(save(other, "other.safetensors"))
        assert right(model, reference, other)


@pytest.mark.parametrize("padding", range(8))
def test_misaligned_tensors_work(tiny, tmp_path, reference, padding):
    offset, header, data = 0, {"pad": {"dtype": "U8", "shape": [padding]}}, b"\0" * padding
    header["pad"]["data_offsets"] = [0, offset := padding]
    for name, value in GOOD.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [offset, offset := offset + value.nbytes],
        }
        data += value.tobytes()
    path = raw_file(tmp_path / "odd.safetensors", header, data)
    with load(tiny, weights=path, ignore_unexpected_weights=True) as model:
        assert right(model, reference)


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


FOUR = b"\0" * 4
DAMAGED = {
    "no header": (None, b"", "truncated: the file has 0 bytes"),
    "short": (None, b"\1\0\0", "truncated: the file has 3 bytes"),
    "huge": (None, b"\xff" * 16, "more than 100000000; this is no safetensors file"),
    "header cut": (None, struct.pack("<Q", 50) + b"{", "header's length is 50 bytes, but only 1"),
    "empty header": (b"", b"", "expected '{'"),
    "not an object": (b"[]", b"", "expected '{'"),
    "not JSON": (b"{nope}", b"", "byte 1: expected '\"'"),
    "open": (b'{"a"', b"", "expected ':'"),
    "open string": (b'{"a', b"", "a string does not end"),
    "trailing text": (b"{} x", b"", "text after the end"),
    "bad UTF-8": (b'{"\xff": 1}', b"", "invalid UTF-8"),
    "overlong UTF-8": (b'{"\xc0\x80": 1}', b"", "invalid UTF-8"),
    "surrogate": (rb'{"\ud800": 1}', b"", "lone surrogate"),
    "control": (b'{"\n": 1}', b"", "control character"),
    "escape": (rb'{"\q": 1}', b"", "unknown escape"),
    "metadata": (b'{"__metadata__": {"a": 1}}', b"", "expected '\"'"),
    "negative": ({"a": tensor(shape=[-1])}, FOUR, "not negative"),
    "fraction": ({"a": tensor(shape=[1.5])}, FOUR, "expected ']'"),
    "leading zero": (b'{"a": {"shape": [01]}}', FOUR, "must not begin with 0"),
    "too large": ({"a": tensor(shape=[2**64])}, FOUR, "a number is too large"),
    "too large size": ({"a": tensor(shape=[2**63])}, FOUR, "a size is too large"),
    "overflow": ({"a": tensor(shape=[2**40, 2**40])}, FOUR, "is too large"),
    "rank": ({"a": tensor(shape=[1] * 65)}, FOUR, "too many dims"),
    "dtype": ({"a": tensor("F99")}, FOUR, "unknown dtype 'F99'"),
    "fields": ({"a": {"dtype": "F32"}}, FOUR, "lacks dtype, shape or data_offsets"),
    "unknown field": ({"a": tensor() | {"x": 1}}, FOUR, "unknown field 'x' of tensor 'a'"),
    "field twice": (b'{"a": {"dtype": "F32", "dtype": "F32"}}', FOUR, "duplicate field 'dtype'"),
    "name twice": (b'{"a": %b, "a": %b}' % ((json.dumps(tensor()).encode(),) * 2), FOUR, "dupli"),
    "one offset": ({"a": tensor(offsets=[0])}, FOUR, "must be two numbers"),
    "three offsets": ({"a": tensor(offsets=[0, 4, 4])}, FOUR, "must be two numbers"),
    "backwards": ({"a": tensor(offsets=[4, 0])}, FOUR, "end before they begin"),
    "beyond": ({"a": tensor(offsets=[0, 8], shape=[2])}, FOUR, "truncated: tensor 'a'"),
    "size": ({"a": tensor(shape=[2])}, FOUR, "dtype and shape take 8 bytes"),
    "gap": ({"a": tensor(offsets=[4, 8])}, FOUR * 2, "tensor before it ends at 0"),
    "overlap": ({"a": tensor(), "b": tensor()}, FOUR, "tensor before it ends at 4"),
    "trailing data": ({"a": tensor()}, FOUR * 2, "the tensors end at byte 4 of the data"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_refused_precisely(tiny, tmp_path, reference, damage):
    header, data, message = DAMAGED[damage]
    path = tmp_path / "bad.safetensors"
    if header is None:
        path.write_bytes(data)
    else:
        raw_file(path, header, data)
    with load(tiny) as model:
        with pytest.raises(WeightError) as caught:
            model.set_weights(path)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)
        assert np.allclose(model(X, S), reference(X, S))
