"""NumPy's basic indexing, on shapes that may be symbolic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, Generic, TypeAlias, cast

from typing_extensions import TypeVar

from ait.dialects.graph.base import shape_text
from ait.dialects.symbolic import (
    Dim,
    Expr,
    dim_max,
    dim_min,
    floordiv,
    lower_bound,
    provably_le,
    to_text,
    upper_bound,
)
from ait.errors import ShapeError

IndexT = TypeVar("IndexT")
"""What picks elements by their indices along one dim."""

Part: TypeAlias = "int | Expr | slice | EllipsisType | None"


@dataclass
class Selection(Generic[IndexT]):
    """What an index means: a strided slice of each dim, then a reshape, then at most one gather."""

    offsets: list[Dim] = field(default_factory=list[Dim])
    sizes: list[Dim] = field(default_factory=list[Dim])
    steps: list[int] = field(default_factory=list[int])
    dims: list[Dim] = field(default_factory=list[Dim])
    """The dims after the reshape, which drops integers' dims and adds those of None."""
    indices: IndexT | None = None
    axis: int = 0
    """The dim, after the reshape, along which `indices` pick."""
    to_front: bool = False
    """Whether NumPy moves the picked dims to the front: integers stand apart from `indices`."""

    def take(self, offset: Dim, size: Dim, step: int = 1) -> None:
        self.offsets.append(offset)
        self.sizes.append(size)
        self.steps.append(step)


def select(dims: Sequence[Dim], key: Sequence[Part | IndexT]) -> Selection[IndexT]:
    """The selection of `x[key]` for an `x` of these dims; `key` has one `...` at most.

    Raises ShapeError where an integer is out of range, or where a symbolic bound may be negative
    or not.
    """
    selection = Selection[IndexT]()
    for part in _without_ellipsis(dims, key):
        if part is None:
            selection.dims.append(1)
            continue
        axis = len(selection.offsets)
        extent = dims[axis]
        if isinstance(part, int | Expr):
            selection.take(_element(dims, axis, part), 1)
        elif isinstance(part, slice):
            offset, size, step = slice_extent(extent, cast("slice[Any, Any, Any]", part))
            selection.take(offset, size, step)
            selection.dims.append(size)
        else:
            if selection.indices is not None:
                raise ShapeError("only one dim can be indexed with a tensor or a list")
            selection.indices, selection.axis = part, len(selection.dims)
            selection.take(0, extent)
            selection.dims.append(extent)
    selection.to_front = selection.indices is not None and _stand_apart(key)
    return selection


def _stand_apart(key: Sequence[Part | IndexT]) -> bool:
    """Whether something lies between the integers and indices: `...` does, even for no dim."""
    basic = (slice, EllipsisType, type(None))
    places = [i for i, part in enumerate(key) if not isinstance(part, basic)]
    return places[-1] - places[0] >= len(places)


def _without_ellipsis(
    dims: Sequence[Dim], key: Sequence[Part | IndexT]
) -> list[int | Expr | slice | IndexT | None]:
    """The key with a part for every dim."""
    places = [i for i, part in enumerate(key) if isinstance(part, EllipsisType)]
    given = sum(1 for part in key if part is not None and not isinstance(part, EllipsisType))
    if len(places) > 1:
        raise ShapeError("an index can hold only one `...`")
    if given > len(dims):
        raise ShapeError(f"{given} indices are too many for {shape_text(dims)}")
    place = places[0] if places else len(key)
    rest = [slice(None)] * (len(dims) - given)
    whole = [*key[:place], *rest, *key[place + 1 :]]
    return cast("list[int | Expr | slice | IndexT | None]", whole)


def _element(dims: Sequence[Dim], axis: int, index: Dim) -> Dim:
    extent = dims[axis]
    negative = is_negative(index)
    offset = extent + index if negative else index
    if not (provably_le(0, offset) and provably_le(offset + 1, extent)):
        raise ShapeError(
            f"index {to_text(index)} is not certain to lie inside dim {axis} of {shape_text(dims)}"
        )
    return offset


def is_negative(index: Dim) -> bool:
    """Whether an index counts from the end. Raises ShapeError if that depends on a symbol."""
    if lower_bound(index) >= 0:
        return False
    if upper_bound(index) < 0:
        return True
    raise ShapeError(f"index {to_text(index)} may be negative or not: its meaning is not certain")


def slice_extent(extent: Dim, part: slice) -> tuple[Dim, Dim, int]:
    """(offset, size, step) of a slice of a dim, as `slice.indices` gives it for an int."""
    step = 1 if part.step is None else part.step
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"a slice's step must be a fixed integer other than 0, not {step}")
    low, high = (0, extent) if step > 0 else (-1, extent - 1)
    first, last = (low, high) if step > 0 else (high, low)
    start = first if part.start is None else _clamped(part.start, extent, low, high)
    stop = last if part.stop is None else _clamped(part.stop, extent, low, high)
    length = stop - start if step > 0 else start - stop
    size = dim_max(0, floordiv(length + (abs(step) - 1), abs(step)))
    return (0 if size == 0 else start), size, step


def _clamped(bound: Dim, extent: Dim, low: Dim, high: Dim) -> Dim:
    if is_negative(bound):
        return dim_max(extent + bound, low)
    return dim_min(bound, high)
