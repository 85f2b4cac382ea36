"""`tensor[key]` means what NumPy's does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import ait
from ait.errors import ShapeError
from ait.ir.nn.indexing import select, slice_extent
from tests.unit.ir.nn.harness import result, same


@st.composite
def indexed_arrays(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """A shape, and a key of ints, slices, None, `...` and at most one list of indices."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    count = draw(st.integers(0, len(shape)))
    dots = draw(st.none() | st.integers(0, count))
    listed = draw(st.none() | st.integers(0, max(count - 1, 0)))
    key: list[Any] = []
    for position in range(count):
        if position == dots:
            key.append(Ellipsis)
        late = dots is not None and position >= dots
        extent = shape[len(shape) - count + position if late else position]
        inside = st.integers(-extent, extent - 1)
        bound = st.none() | st.integers(-extent - 2, extent + 2)
        step = st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3])
        if draw(st.integers(0, 4)) == 0:
            key.append(None)
        if position == listed:
            key.append(draw(st.lists(inside, min_size=1, max_size=3)))
        else:
            key.append(draw(inside | st.builds(slice, bound, bound, step)))
    if dots == count:
        key.append(Ellipsis)
    return shape, tuple(key)


@given(indexed_arrays())
@example(((2, 3, 4), (0, slice(None), [1, 0])))  # NumPy moves the picked dim to the front
@example(((2, 3, 4), ([1, 0], slice(None), 0)))
@example(((2, 3, 4), (0, None, [1, 0])))
@example(((2, 3), (Ellipsis, [1])))
@example(((3,), (slice(2, 0),)))
def test_as_in_numpy(case: tuple[tuple[int, ...], tuple[Any, ...]]) -> None:
    shape, key = case
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    same(result(lambda t: t[key], x), x[key])


@given(
    st.integers(0, 9), st.none() | st.integers(-12, 12), st.none() | st.integers(-12, 12),
    st.integers(-4, 4).filter(bool),
)  # fmt: skip
def test_slice_extent(extent: int, start: int | None, stop: int | None, step: int) -> None:
    part = slice(start, stop, step)
    offset, size, stride = slice_extent(extent, part)
    assert isinstance(offset, int) and isinstance(size, int)
    wanted = range(*part.indices(extent))
    assert [offset + i * stride for i in range(size)] == list(wanted)


def test_one_index_with_a_tensor() -> None:
    x = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    ids = np.array([[0, 2], [1, 1]])
    same(result(lambda t, i: t[:, i], x, ids), x[:, ids])
    same(result(lambda t, i: t[0, :, i], x, ids), x[0, :, ids])
    same(result(lambda t: t[:, np.array([True, False, True])], x), x[:, [0, 2]])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((2,), r"index 2 is not certain to lie inside dim 0 of \[2, 3\]"),
        ((-3,), "index -3"),
        ((0, 0, 0), r"3 indices are too many for \[2, 3\]"),
        ((Ellipsis, Ellipsis), "only one"),
        ((slice(None, None, 0),), "other than 0"),
        (([0], [1]), "only one dim"),
        (([5],), r"\[-2, 2\)"),
        ((True,), "True or False"),
        (([0.5],), "float64"),
    ],
)
def test_bad_indices(key: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        result(lambda t: t[key], np.zeros((2, 3), np.float32))


def test_symbolic_slices_are_exact() -> None:
    seq = ait.Dim("seq", 4, 16)
    selection = select((seq,), (slice(1, -1),))
    assert (selection.offsets, selection.sizes) == ([1], [seq - 2])
    assert slice_extent(seq, slice(-3, None)) == (seq - 3, 3, 1)
    assert slice_extent(seq, slice(None, 4)) == (0, 4, 1)
    assert slice_extent(seq, slice(None, None, -1)) == (seq - 1, seq, -1)
