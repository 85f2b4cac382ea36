"""The values of a model's weights on their way into a library or a file beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ait.codegen.plan import Role, Weight
from ait.errors import CompileError, WeightError
from ait.ir.dtypes import Array
from ait.runtime.weights_object import around_blob

_SAFETENSORS_NAMES: Mapping[str, str] = {
    "f32": "F32",
    "f16": "F16",
    "bf16": "BF16",
    "i64": "I64",
    "i32": "I32",
    "i8": "I8",
    "i1": "BOOL",
    "f8E4M3FN": "F8_E4M3",
}


@dataclass(frozen=True)
class StoredWeight:
    """A weight of the table with its value, its offset in the blob and the digest of its bytes.

    The offset is -1 where the library does not embed the weight; a frozen one has no value either.
    """

    weight: Weight
    value: Array | None
    offset: int
    sha256: str


def store_weights(
    weights: Sequence[Weight], values: Mapping[str, Array], alignment: int, embed: bool = True
) -> list[StoredWeight]:
    """The values that a model keeps; those it embeds have offsets that are multiples of
    `alignment`: all of them, or without `embed` the literals alone.

    Raises WeightError that lists the weights without a value.
    """
    missing = [w.name for w in weights if w.role is not Role.FROZEN and w.name not in values]
    if missing:
        raise WeightError("\n".join(f"weight '{name}' has no value" for name in missing))
    arrays = [
        None if w.role is Role.FROZEN else np.ascontiguousarray(values[w.name]) for w in weights
    ]
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest, arrays))
    stored: list[StoredWeight] = []
    end = 0
    for weight, array, digest in zip(weights, arrays, digests, strict=True):
        offset = -1
        if array is not None and (embed or weight.is_literal):
            offset = -(-end // alignment) * alignment
            end = offset + weight.bytes
        stored.append(StoredWeight(weight, array, offset, digest))
    return stored


def has_blob(stored: Sequence[StoredWeight]) -> bool:
    """Whether the library embeds any weight."""
    return any(item.offset >= 0 for item in stored)


def total_bytes(stored: Sequence[StoredWeight]) -> int:
    """Bytes of all values that are kept, without gaps between them."""
    return sum(s.weight.bytes for s in stored if s.value is not None)


def write_object(stored: Sequence[StoredWeight], path: Path, like: Path) -> None:
    """Writes the embedded values, at their offsets, as an object file that defines them as one
    symbol, for the machine that the object `like` is for. Raises CompileError if the disk is full.
    """
    embedded = [
        (item.offset, item.value) for item in stored if item.value is not None and item.offset >= 0
    ]
    # Nothing has no address: there is a byte at least.
    size = max((offset + value.nbytes for offset, value in embedded), default=0) or 1
    try:
        head, tail = around_blob(size, like)
        with path.open("wb") as file:
            file.write(head)
            for offset, value in embedded:
                file.seek(len(head) + offset)
                file.write(_bytes(value))
            file.seek(len(head) + size)
            file.write(tail)
    except OSError as error:
        raise CompileError(f"cannot write weights to {path}: {error.strerror}") from error


def write_file(stored: Sequence[StoredWeight], path: Path, fingerprint: str) -> None:
    """Writes a safetensors file that the compiled model maps; atomically.

    The fingerprint tells the model that derived weights in it belong to the raw ones.
    Raises CompileError if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in _safetensors(stored, fingerprint):
                file.write(part)
        temporary.replace(path)
    except OSError as error:
        raise CompileError(f"cannot write weights to {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _safetensors(stored: Sequence[StoredWeight], fingerprint: str) -> Iterator[bytes | memoryview]:
    """The file in parts: https://huggingface.co/docs/safetensors#format."""
    kept = [item for item in stored if item.value is not None]
    header: dict[str, object] = {"__metadata__": {"ait.prepared": fingerprint}}
    end = 0
    for item in kept:
        header[item.weight.name] = {
            "dtype": _SAFETENSORS_NAMES[item.weight.element.name],
            "shape": item.weight.shape,
            "data_offsets": [end, end + item.weight.bytes],
        }
        end += item.weight.bytes
    text = json.dumps(header).encode()
    # The data begins aligned, so that a mapped file can be used in place.
    text = text.ljust(-(-(len(text) + 8) // 64) * 64 - 8)
    yield len(text).to_bytes(8, "little") + text
    for item in kept:
        if item.value is not None:
            yield _bytes(item.value)


def _digest(array: Array | None) -> str:
    return "" if array is None else hashlib.sha256(_bytes(array)).hexdigest()


def _bytes(array: Array) -> memoryview:
    """The array's memory; narrow floats have no buffer format of their own."""
    return array.reshape(-1).view(np.uint8).data
