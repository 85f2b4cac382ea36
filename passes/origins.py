"""What an op was made of: the locations of the ops that rewrites joined into it.

A rewrite that makes one op of several gives it `joined_location` of them; scalar code keeps its own
location when it moves between regions. Whoever wants to know takes a `Snapshot` of a module's ops,
runs passes, and asks it what has become of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias, cast

from xdsl.dialects.builtin import (
    UNKNOWN_LOC,
    ArrayAttr,
    FileLineColLoc,
    FusedLoc,
    IntAttr,
    LocationAttr,
    NoneAttr,
    StringAttr,
    UnknownLoc,
)
from xdsl.ir import Operation, SSAValue

Locations: TypeAlias = tuple[LocationAttr, ...]

_NO_METADATA = NoneAttr()


def joined_location(*ops: Operation) -> LocationAttr:
    """The location of an op that is made of `ops`: each of theirs, once."""
    parts = _unique(part for op in ops for part in location_parts(op.location))
    if not parts:
        return UNKNOWN_LOC
    return parts[0] if len(parts) == 1 else FusedLoc(ArrayAttr(parts), _NO_METADATA)


def location_parts(location: LocationAttr) -> Locations:
    """The single locations that a location consists of; none if it is unknown."""
    if isinstance(location, UnknownLoc):
        return ()
    if isinstance(location, FusedLoc):
        inner = cast(ArrayAttr[LocationAttr], location.locations)
        return _unique(part for each in inner for part in location_parts(each))
    return (location,)


def keep_names(old: Iterable[SSAValue], new: Iterable[SSAValue]) -> None:
    """Calls values that stand for others, one for one, as those were called."""
    for before, after in zip(old, new, strict=True):
        after.name_hint = before.name_hint


def locations_of(op: Operation) -> Locations:
    """The locations of an op and of all that is in its regions, each once."""
    return _unique(part for inner in op.walk() for part in location_parts(inner.location))


def _unique(locations: Iterable[LocationAttr]) -> Locations:
    return tuple(dict.fromkeys(locations))


class Snapshot:
    """Ops by number, recognized in what passes make of them.

    Taking one overwrites the ops' locations, and those in their regions.
    """

    def __init__(self, ops: Sequence[Operation]):
        self._numbers: dict[LocationAttr, int] = {}
        for number, op in enumerate(ops):
            location = FileLineColLoc(StringAttr("snapshot"), IntAttr(number), IntAttr(0))
            self._numbers[location] = number
            for inner in op.walk():
                inner.location = location

    def numbers(self, locations: Iterable[LocationAttr]) -> list[int]:
        """The numbers of the ops that `locations` are of, in order."""
        return sorted({self._numbers[part] for part in locations if part in self._numbers})
