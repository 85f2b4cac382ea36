"""Boxes of domains: the part of an iteration domain that reads one piece of a tensor.

They are proposals: whoever uses one proves with `AccessMap.relative_to` that it reads the piece
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ait.dialects.accessor import AccessMap, mixed_radix
from ait.dialects.symbolic import Dim, exact_div, provably_le


class NoBox(Exception):
    """Why a piece is no box."""


@dataclass(frozen=True)
class Slab:
    """Of addresses `(.. * extent + i) * unit + ..`, those with `offset <= i < offset + size`."""

    unit: Dim
    extent: Dim
    offset: Dim
    size: Dim


def slabs_of(place: AccessMap, total: Dim) -> list[Slab]:
    """The slabs of a dense storage of `total` elements in which a piece is. Raises NoBox."""
    steps = [(size, stride) for size, stride in place.coalesced() if size != 1]
    if not steps or steps[-1][1] != 1:
        steps.append((1, 1))
    offsets = mixed_radix(place.offset, [stride for _, stride in steps])
    if offsets is None:
        raise NoBox("a piece has no place along the dims of the assembled tensor")
    slabs: list[Slab] = []
    around = total
    for (size, unit), offset in zip(steps, offsets, strict=True):
        extent = exact_div(around, unit)
        if extent is None:
            raise NoBox("a piece is not a box of the assembled tensor")
        if extent != size:
            slabs.append(Slab(unit, extent, offset, size))
        around = unit
    return slabs


@dataclass(frozen=True)
class Cut:
    """A slab in a domain: dim `dim` is (outer, extent), and of `extent` it is one interval."""

    dim: int
    outer: Dim
    extent: Dim
    offset: Dim
    size: Dim


def cut_of(slab: Slab, access: AccessMap) -> Cut:
    """The cut through the domain of `access` that gives a slab. Raises NoBox."""
    for dim, (size, stride) in enumerate(zip(access.sizes, access.strides, strict=True)):
        extent = exact_div(slab.unit * slab.extent, stride)
        outer = None if extent in (None, 0) else exact_div(size, extent)
        first = exact_div(slab.offset * slab.unit, stride)
        length = exact_div(slab.size * slab.unit, stride)
        if extent is None or outer in (None, 0) or first is None or length is None:
            continue
        if provably_le(0, first) and provably_le(first + length, extent):
            return Cut(dim, outer, extent, first, length)
    raise NoBox("a piece is not a box of the consumer's domain")


@dataclass(frozen=True)
class Box:
    """A part of a domain: an interval of each dim; dims that it cuts to one index are dropped."""

    offsets: tuple[Dim, ...]
    sizes: tuple[Dim, ...]
    kept: tuple[int, ...]

    @staticmethod
    def of(domain: Sequence[Dim], cuts: Sequence[Cut]) -> Box:
        """What is left of a domain after all of the cuts."""
        offsets: list[Dim] = [0] * len(domain)
        sizes = list(domain)
        for cut in cuts:
            offsets[cut.dim], sizes[cut.dim] = cut.offset, cut.size
        single = {cut.dim for cut in cuts if cut.size == 1}
        kept = tuple(i for i in range(len(domain)) if i not in single)
        return Box(tuple(offsets), tuple(sizes), kept or (0,))

    def of_map(self, access: AccessMap) -> AccessMap:
        """A map of the domain, restricted to the box."""
        return access.slice(self.offsets, self.sizes, [1] * len(self.sizes)).select(self.kept)
