"""Access maps address what NumPy's own indexing addresses."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ait.dialects.accessor import AccessMap
from ait.dialects.symbolic import symbol


def addresses(access: AccessMap) -> Any:
    """The address of every index, as an array of the map's sizes."""
    sizes = [int(n) for n in access.sizes]  # pyright: ignore
    found = np.zeros(sizes, np.int64)
    for index in product(*map(range, sizes)):
        steps = (i * int(s) for i, s in zip(index, access.strides, strict=True))  # pyright: ignore
        found[index] = int(access.offset) + sum(steps)  # pyright: ignore
    return found


@st.composite
def viewed(draw: st.DrawFn) -> tuple[AccessMap, Any]:
    """A map, and what NumPy gives for the same movements of `arange`."""
    dims = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4))
    access, array = AccessMap.dense(dims), np.arange(math.prod(dims)).reshape(dims)
    for _ in range(draw(st.integers(0, 3))):
        move = draw(st.sampled_from(["permute", "slice", "expand", "reshape"]))
        if move == "permute":
            order = draw(st.permutations(range(access.rank)))
            access, array = access.permute(order), array.transpose(order)
        elif move == "slice":
            axis = draw(st.integers(0, access.rank - 1))
            extent = array.shape[axis]
            step = draw(st.sampled_from([1, 2, -1]))
            start = draw(st.integers(0, extent - 1))
            part = array[(slice(None),) * axis + (slice(start, None, step),)]
            offsets, steps = [0] * access.rank, [1] * access.rank
            offsets[axis], steps[axis] = start, step
            access, array = access.slice(offsets, part.shape, steps), part
        elif move == "expand":
            sizes = (draw(st.sampled_from([1, 2])), *array.shape)
            access, array = access.expand(sizes), np.broadcast_to(array, sizes)
        else:
            sizes = draw(st.sampled_from([(-1,), (1, *array.shape), array.shape[::-1]]))
            reshaped = array.reshape(sizes)
            changed = access.reshape(reshaped.shape)
            if changed is not None:
                access, array = changed, reshaped
    return access, array


@given(viewed())
def test_movements(pair: tuple[AccessMap, Any]) -> None:
    access, array = pair
    np.testing.assert_array_equal(addresses(access), array)


@given(viewed())
def test_orders_and_coverage(pair: tuple[AccessMap, Any]) -> None:
    access, array = pair
    order = access.order_as_storage()
    everything = sorted(array.reshape(-1)) == list(range(array.size))
    forwards = addresses(access).reshape(-1)[:1].tolist() == [0]
    assert (order is not None) == (everything and forwards)
    assert access.covers(array.size) == (everything and forwards)
    if order is not None:
        assert access.permute(order).is_dense


@given(viewed(), viewed())
def test_disjoint_maps_share_no_address(
    first: tuple[AccessMap, Any], second: tuple[AccessMap, Any]
) -> None:
    (a, a_array), (b, b_array) = first, second
    if a.disjoint_from(b):
        assert not np.intersect1d(a_array, b_array).size
    assert a.disjoint_from(b) == b.disjoint_from(a)


@given(
    st.lists(st.sampled_from([1, 2, 3, 5, 8]), min_size=1, max_size=4),
    st.data(),
)
def test_different_parts_of_one_tensor_are_disjoint(dims: list[int], data: st.DataObject) -> None:
    """Pieces side by side along a dim, every second index, and parts of those."""
    axis = data.draw(st.integers(0, len(dims) - 1))
    dims[axis] *= 2
    batch = symbol("batch", 0, 9)
    shape = (batch, *dims) if data.draw(st.booleans()) else tuple(dims)
    axis += len(shape) - len(dims)
    whole = AccessMap.dense(shape)
    half = dims[axis - len(shape)] // 2
    step = data.draw(st.sampled_from([1, 2]))
    sizes = [half if i == axis else n for i, n in enumerate(shape)]
    steps = [step if i == axis else 1 for i in range(len(shape))]
    start = half if step == 1 else 1
    a = whole.slice([0] * len(shape), sizes, steps)
    b = whole.slice([start if i == axis else 0 for i in range(len(shape))], sizes, steps)
    assert a.disjoint_from(b) and b.disjoint_from(a)
    order = data.draw(st.permutations(range(len(shape))))
    assert a.permute(order).disjoint_from(b)
    assert not a.disjoint_from(whole) and not whole.disjoint_from(b)


@given(viewed(), st.data())
def test_composition(pair: tuple[AccessMap, Any], data: st.DataObject) -> None:
    """A view of a view, where it is one, reads what two steps of indexing read."""
    inner, array = pair
    dims = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), max_size=3))
    if math.prod(dims) > array.size:
        return
    strides = data.draw(st.tuples(*(st.integers(-6, 12) for _ in dims)))
    offset = data.draw(st.integers(0, array.size - 1))
    outer = AccessMap(offset, tuple(dims), strides)
    wanted = addresses(outer)
    if wanted.min(initial=0) < 0 or wanted.max(initial=0) >= array.size:
        return
    composed = outer.compose(inner)
    if composed is not None:
        np.testing.assert_array_equal(addresses(composed), array.reshape(-1)[wanted])


@given(viewed(), st.data())
def test_what_is_relative_to_a_map_composes_back(
    pair: tuple[AccessMap, Any], data: st.DataObject
) -> None:
    """Composing and relating undo each other, and only elements of the outer map are related."""
    outer, array = pair
    if len(np.unique(array)) < array.size:
        return
    dims = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), max_size=3))
    strides = data.draw(st.tuples(*(st.integers(-6, 12) for _ in dims)))
    access = AccessMap(data.draw(st.integers(0, int(array.max()))), tuple(dims), strides)
    relative = access.relative_to(outer)
    if relative is not None:
        own = addresses(relative)
        assert own.min(initial=0) >= 0 and own.max(initial=0) < array.size
        np.testing.assert_array_equal(array.reshape(-1)[own], addresses(access))


@given(viewed())
def test_parts_are_relative_to_what_they_are_part_of(pair: tuple[AccessMap, Any]) -> None:
    """A box of a tensor is found in it again, wherever the box lies."""
    part, array = pair
    if len(np.unique(array)) < array.size:
        return
    assert part.relative_to(part) == AccessMap.dense(part.sizes)
    assert part.relative_to(AccessMap.dense((int(array.max()) + 1,))) == part


@given(viewed())
def test_whole_views_compose_with_themselves(pair: tuple[AccessMap, Any]) -> None:
    """Composition is not only right but there: reading all of a value reads its own map."""
    access, _ = pair
    assert AccessMap.dense(access.sizes).compose(access) == access
    flat = AccessMap.dense((access.size,))
    if access.reshape((access.size,)) is not None:
        assert flat.compose(access) is not None


@given(viewed(), viewed())
def test_reaching_one_map_through_another(
    a: tuple[AccessMap, Any], b: tuple[AccessMap, Any]
) -> None:
    """What `through` finds are the positions, in the value that `inner` is, of the elements."""
    (access, _), (inner, array) = a, b
    found = access.through(inner)
    if found is not None:
        np.testing.assert_array_equal(array.reshape(-1)[addresses(found)], addresses(access))


@given(
    st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4),
    st.sampled_from([1, 2, 5]),
    st.data(),
)
def test_parts_of_dims_are_reached_through_each_other(
    sizes: list[int], gap: int, data: st.DataObject
) -> None:
    """The first elements of a dim that is `gap` times as long, permuted, and their own storage."""
    axis = data.draw(st.integers(0, len(sizes) - 1))
    long = [n * gap if i == axis else n for i, n in enumerate(sizes)]
    part = AccessMap.dense(long).slice([0] * len(sizes), sizes, [1] * len(sizes))
    order = data.draw(st.permutations(range(len(sizes))))
    assert part.permute(order).through(part) == AccessMap.dense(sizes).permute(order)


def test_no_way_through() -> None:
    inner = AccessMap(0, (4, 3), (6, 1))
    assert AccessMap(1, (4, 3), (6, 1)).through(inner) is None, "another first element"
    assert AccessMap(0, (4, 4), (6, 1)).through(inner) is None, "beyond a row"
    assert AccessMap(0, (4, 3), (3, 1)).through(inner) is None, "between rows"


@given(viewed(), st.data())
def test_maps_of_nothing(pair: tuple[AccessMap, Any], data: st.DataObject) -> None:
    """Dims of size 0 are dims: what is said of maps with them keeps their sizes."""
    access, _ = pair
    axis = data.draw(st.integers(0, access.rank - 1))
    sizes = [0 if i == axis else n for i, n in enumerate(access.sizes)]
    inner = access.slice([0] * access.rank, sizes, [1] * access.rank)
    order = data.draw(st.permutations(range(inner.rank)))
    outers = [AccessMap.dense(inner.sizes).permute(order), inner.permute(order)]
    outers.append(AccessMap(0, outers[0].sizes, (3,) * inner.rank))
    for outer in outers:
        for found in (outer.compose(inner), outer.relative_to(inner), outer.through(inner)):
            assert found is None or found.sizes == outer.sizes
