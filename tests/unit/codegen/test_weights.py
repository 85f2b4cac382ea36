"""Values of weights in the object file that a library embeds."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait.codegen.plan import Role, Weight
from ait.codegen.scalar import ELEMENT_TYPES
from ait.codegen.weights import StoredWeight, store_weights, write_object
from ait.errors import CompileError
from ait.ir.dtypes import Array
from ait.runtime.weights_object import ALIGNMENT, around_blob

ELEMENTS = {element.name: element for element in ELEMENT_TYPES.values()}
TYPES = {"f32": np.float32, "i64": np.int64, "i1": np.bool_}


@pytest.fixture(scope="module")
def like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("like") / "object.o"
    path.write_bytes(b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + (62).to_bytes(46, "little"))
    return path


def array(name: str, shape: tuple[int, ...], transposed: bool) -> Array:
    """Not all arrays are stored row after row."""
    values = (np.arange(1, 1 + prod(shape)) % 251).astype(TYPES[name])
    return values.reshape(shape[::-1]).T if transposed else values.reshape(shape)


def stored(values: list[tuple[str, Array]], embed: bool = True) -> list[StoredWeight]:
    weights = [
        Weight(str(i), ELEMENTS[name], value.shape, Role.RAW, is_literal=i == 0)
        for i, (name, value) in enumerate(values)
    ]
    by_name = {str(i): value for i, (_, value) in enumerate(values)}
    return store_weights(weights, by_name, 64, embed)


SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(TYPES)), SHAPES, st.booleans()), min_size=1),
    st.booleans(),
)
def test_each_embedded_value_is_at_its_offset(
    like: Path, cases: list[tuple[str, tuple[int, ...], bool]], embed: bool
) -> None:
    weights = stored([(case[0], array(*case)) for case in cases], embed)
    path = like.with_name("weights.o")
    write_object(weights, path, like)
    content = path.read_bytes()
    end = 1
    for item in weights:
        if item.offset >= 0 and item.value is not None:
            assert item.offset % 64 == 0
            data = item.value.tobytes()
            end = max(end, item.offset + len(data))
            assert content[ALIGNMENT + item.offset :][: len(data)] == data
    head, tail = around_blob(end, like)
    assert content.startswith(head) and content.endswith(tail)
    assert len(content) == len(head) + end + len(tail)


def test_a_full_disk_is_told(like: Path) -> None:
    weights = stored([("f32", np.ones(4, np.float32))])
    with pytest.raises(CompileError, match=r"cannot write weights to /dev/full: No space left"):
        write_object(weights, Path("/dev/full"), like)
