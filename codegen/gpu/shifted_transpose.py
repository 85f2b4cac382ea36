"""Pointwise and copy kernels that read along one axis of memory and write along another, where runs
begin anywhere: matrices of odd sizes.

A block has a tile, which changes sides in shared memory. It reads whole packs of memory, as far as
the tile touches them, and writes the sectors that begin in it; what is left at the ends of rows are
single elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

from xdsl.ir import Attribute

from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import ElementwiseConfig, ShiftedTransposeAttr
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import (
    PACK_BYTES,
    Lanes,
    Lines,
    Reach,
    ShiftedLanes,
    read_by,
    shared_values,
)
from ait.codegen.gpu.steps import vector_of
from ait.codegen.gpu.transpose import TransposeProblem
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import lower_bound, upper_bound
from ait.passes.target import DeviceDescription

_COLUMN = 128
"""Elements of a column that a block reads, at most a sector of them in vain."""
_ROW_PACKS = 16
"""Packs of a row that it writes."""
_SECTOR_PACKS = 2
_SHARED_BYTES = 48 << 10
_BLOCK_SECONDS = 1.2e-6
"""From a block's first load to its last store, where no other block hides it (H200)."""
_EMPTY = 0.4
"""What of a tile's empty places counts (f16 on an H200: 0.1 to 0.5)."""


@dataclass(frozen=True)
class _RunLanes(ShiftedLanes):
    """Lanes along the results' rows. Operands of the names `turned` were read before."""

    turned: frozenset[str] = frozenset()

    def reach(self, operand: Operand) -> Reach:
        return Reach.SINGLE if operand.name in self.turned else super().reach(operand)

    def element(self, operand: Operand) -> str:
        if operand.name in self.turned:
            return f"{operand.name}_turned.value[lane]"
        return super().element(operand)


@dataclass(frozen=True)
class _Step:
    """What `write` of the template is rendered with."""

    lanes: Lanes
    body: Lines


class ShiftedTranspose:
    """The kernel family; see family.py."""

    template = "shifted_transpose.j2"
    config_type = ShiftedTransposeAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = TransposeProblem.of(view)
        if problem.reads_packs and problem.writes_sectors:
            raise Refusal("runs begin at whole packs and sectors, or nearly so")
        tile = _tile(problem)
        _lanes(problem, tile.width)
        for operand in problem.turned:
            _last(operand)
        moved = stream_seconds(view.operands, device) - device.launch_seconds
        moved *= 1 + _EMPTY * tile.empty_share(problem)
        seconds = device.launch_seconds + _BLOCK_SECONDS + moved
        return [Candidate(ShiftedTransposeAttr(ElementwiseConfig(tile.width)), seconds)]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        problem = TransposeProblem.of(view)
        tile = _tile(problem)
        if vector_of(config) != tile.width:
            raise Refusal(f"packs have {tile.width} elements, not {vector_of(config)}")
        lanes = _lanes(problem, tile.width)
        inner, other = problem.inner.name, problem.other.name
        region = next(iter(view.regions.values()), None)
        read = read_by(region) if region else view.ins
        turned = [operand for operand in read if operand.name in problem.names]
        straight = [operand for operand in read if operand not in turned]
        sizes = tile.sizes(problem)
        aligned = [
            *lanes.packs([*read, *view.outs]),
            *((operand, PACK_BYTES) for operand in turned),
        ]
        return {
            **shared_values(view, "ait/gpu/shifted_transpose.hpp", aligned),
            "turned": turned,
            "straight": straight,
            "read": read,
            "pack": _step(view, lanes),
            "one": _step(view, replace(lanes, count=1)),
            "digits": problem.walk.digits(1, sizes, "tile"),
            "count": problem.walk.count(1, sizes),
            "origin": other,
            "sizes": (problem.inner.size, problem.other.size),
            "in_offsets": {o.name: o.offset(**{inner: "column", other: other}) for o in turned},
            "lasts": {o.name: _last(o) for o in turned},
            "out_offset": view.outs[0].offset(**{inner: "first", other: "row"}),
        }


@dataclass(frozen=True)
class _Tile:
    """A block's tile: ShiftedTile of shifted_transpose.hpp. `width`: elements of a pack."""

    width: int

    @property
    def side(self) -> int:
        """Elements of a column, along the axis that is read."""
        return _COLUMN - _SECTOR_PACKS * self.width

    @property
    def columns(self) -> int:
        """Those that are written."""
        return _ROW_PACKS * self.width

    @property
    def shared_bytes(self) -> int:
        """Columns are read that belong to the next tile too: rows are written as whole
        sectors."""
        columns = self.columns + _SECTOR_PACKS * self.width
        return (columns * (self.side + 2 * self.width - 1) // self.width + 2) * PACK_BYTES

    def sizes(self, problem: TransposeProblem) -> dict[str, int]:
        """Indices of a tile along both axes."""
        return {problem.inner.name: self.columns, problem.other.name: self.side}

    def empty_share(self, problem: TransposeProblem) -> float:
        """Places of tiles that have no element, to those that have one."""
        extents = [max(1, upper_bound(axis.dim)) for axis in (problem.inner, problem.other)]
        sizes = (self.columns, self.side)
        rooms = [ceil(n / size) * size for n, size in zip(extents, sizes, strict=True)]
        return prod(rooms) / prod(extents) - 1


def _tile(problem: TransposeProblem) -> _Tile:
    """Raises Refusal where operands disagree."""
    sizes = {operand.element.bytes for operand in (*problem.turned, *problem.view.outs)}
    if len(sizes) > 1:
        raise Refusal("what changes sides has elements of several sizes")
    tile = _Tile(PACK_BYTES // sizes.pop())
    if len(problem.turned) * tile.shared_bytes > _SHARED_BYTES:
        raise Refusal("the tiles of the operands exceed shared memory")
    return tile


def _last(operand: Operand) -> str:
    """Where the last element of an operand is in memory, in C++. Raises Refusal if that is not
    known."""
    ends: dict[str, str] = {}
    for axis, stride in zip(operand.axes, operand.strides, strict=True):
        if lower_bound(stride) >= 0:
            ends[axis.name] = f"static_cast<Index>({axis.size} - 1)"
        elif upper_bound(stride) <= 0:
            ends[axis.name] = "0"
        else:
            raise Refusal("an axis is read in a direction that sizes decide")
    return operand.offset(**ends)


def _lanes(problem: TransposeProblem, width: int) -> _RunLanes:
    """The lanes of a pack of the results. Raises Refusal if they cannot all be written so."""
    inner, other, outs = problem.inner.name, problem.other.name, problem.view.outs
    first = {inner: "column", other: "row"}
    each = {inner: "(column + lane)", other: "row"}
    lanes = _RunLanes(width, problem.inner, first, each, outs[0], problem.names)
    if width == 1 or not all(lanes.reach(out) is Reach.PACK for out in outs):
        raise Refusal("results do not begin at the same distances from whole packs")
    return lanes


def _step(view: KernelView, lanes: Lanes) -> _Step:
    region = next(iter(view.regions.values()), None)
    results = [r.text for r in region.results] if region else [lanes.element(view.ins[0])]
    code = lanes.region(region) if region else []
    return _Step(lanes, [*code, *lanes.keep(view.outs, results)])
