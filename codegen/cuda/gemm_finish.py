"""How a Hopper gemm's tiles end: which threads run the region on sums, and what they read for it.

The kernels: include/ait/cuda/gemm_finish.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ait.codegen.axes import Axis
from ait.codegen.cuda.configs import WgmmaConfig
from ait.codegen.gpu.lanes import PACK_BYTES, Lanes, Lines, Reach, fits, read_by
from ait.codegen.kernel_view import KernelView, RegionView
from ait.codegen.operand import Operand
from ait.dialects.kernel import DualGemmOp

_PACKS = (8, 4, 2, 1)
_WIDEST_LOAD = 32
_PIECE = 8
"""Results of 16 bits that fill the widest access."""
_COLUMNS = 16
"""Of two chunks, as matrices pass through shared memory."""
_ROWS = 16
"""Of a warp, that pass at once."""
_WARPS = 4
_CHUNKS = (64, 32, 16)
_NARROW, _FEW_SUMS = 32, 256
"""As in the kernel: chunks that any number of sums allows, and the sums that allow all."""
_RINGS = (4, 2)


@dataclass(frozen=True)
class Packs(Lanes):
    """Neighbours in memory that a thread gets by exchanging sums; all it reads is read before, into
    the struct `loaded`."""

    across: bool = False
    """Whether neighbours lie along rows."""
    template: ClassVar[str] = "gemm_packs.j2"

    @staticmethod
    def held_bytes(config: WgmmaConfig) -> int:
        """Shared memory of a block beside the factors."""
        return 0

    def accesses(
        self, read: Sequence[Operand], outs: Sequence[Operand]
    ) -> list[tuple[Operand, int]]:
        """Operands that are accessed as packs, and the alignment in bytes that this needs."""
        return self.packs([*read, *outs])

    def element(self, operand: Operand) -> str:
        if self.reach(operand) is Reach.UNIFORM:
            return f"{operand.name}_one"
        return f"{operand.name}_pack.value[lane]"

    def members(self, operands: Sequence[Operand]) -> list[tuple[str, str]]:
        """(type, name) of what is read."""
        return [
            (operand.type, f"{operand.name}_one")
            if self.reach(operand) is Reach.UNIFORM
            else (f"ait::gpu::Pack<{operand.type}, {self.count}>", f"{operand.name}_pack")
            for operand in operands
        ]

    def fetches(self, operands: Sequence[Operand]) -> Lines:
        """Statements that read into `loaded`."""
        lines: Lines = []
        for operand in operands:
            match self.reach(operand):
                case Reach.PACK:
                    pack = f"{operand.name} + ({operand.offset(**self.first)})"
                    value = f"ait::gpu::load_pack<{self.count}>({pack})"
                    lines.append(f"loaded.{operand.name}_pack = {value};")
                case Reach.UNIFORM:
                    value = f"{operand.name}[{operand.offset(**self.first)}]"
                    lines.append(f"loaded.{operand.name}_one = {value};")
                case Reach.SINGLE:
                    value = f"{operand.name}[{operand.offset(**self.each)}]"
                    place = f"loaded.{operand.name}_pack.value[lane]"
                    loop = f"for (int lane = 0; lane < {self.count}; ++lane)"
                    lines += ["#pragma unroll", f"{loop} {place} = {value};"]
        return lines


@dataclass(frozen=True)
class Fragments(Lanes):
    """Two columns of a row, where the tensor cores leave their sums.

    Operands that the region reads for a row only (`rows`), for a column only (`lines`), or for each
    element (`tiles`).
    """

    rows: tuple[Operand, ...] = ()
    lines: tuple[Operand, ...] = ()
    tiles: tuple[Operand, ...] = ()
    outs: tuple[Operand, ...] = ()
    """Where results go; one that is not stored goes to the next product alone."""
    factors: int = 1
    """How many right ones the product has."""
    ring: int = 1
    """How many slots of the tiles, each of sixteen rows and a chunk of columns, a warp brings at
    once."""
    across: bool = False
    """Whether neighbours in memory lie along rows."""
    template: ClassVar[str] = "gemm_fragments.j2"

    def accesses(
        self, read: Sequence[Operand], outs: Sequence[Operand]
    ) -> list[tuple[Operand, int]]:
        """Operands that are accessed as pieces, and the alignment in bytes that this needs."""
        return [(operand, PACK_BYTES) for operand in (*self.lines, *self.tiles, *outs)]

    @property
    def line_bytes(self) -> int:
        """Of what is read for a column."""
        return sum(operand.element.bytes for operand in self.lines)

    def element(self, operand: Operand) -> str:
        if operand in self.rows:
            return f"row_reads.{operand.name}_one"
        if operand in self.lines:
            return f"line_reads.{operand.name}_pack.value[lane]"
        return f"{operand.name}_pack.value[lane]"

    def offset(self, operand: Operand) -> str:
        """Of the element of `row` and `column`."""
        return operand.offset(**self.first)

    def line_offset(self, operand: Operand) -> str:
        """Where an operand's line lies in shared memory, in bytes."""
        before = self.lines[: self.lines.index(operand)]
        return f"kTileN * {sum(other.element.bytes for other in before)}"

    @staticmethod
    def suits(config: WgmmaConfig) -> bool:
        """Whether tiles of a config can end so."""
        return config.split == 1 and config.tile[1] % _COLUMNS == 0

    def held_bytes(self, config: WgmmaConfig) -> int:
        """Shared memory of a block for what is read, and for results on their way."""
        return self._held_bytes(config.warpgroups, config.tile[1], self._chunk(config), self.ring)

    def held_bytes_of(self, rows: int, columns: int, chunk: int | None = None) -> int:
        """The same of a block of so many rows, 64 a warpgroup. `chunk`: the columns of a slot, if
        not those of a tile whose sums all wait."""
        chunk = chunk or self._chunk_of(columns, columns)
        return self._held_bytes(rows // 64, columns, chunk, self.ring)

    def _held_bytes(self, warpgroups: int, columns: int, chunk: int, ring: int) -> int:
        slot = _ROWS * chunk * 2
        tiles = len(self.tiles) * ring * slot
        lines = -(-self.line_bytes * columns // 128) * 128
        each = max(len(self.outs), 1) * slot + max(tiles, 128) + max(lines, 128)
        return warpgroups * _WARPS * each

    def rings(self, config: WgmmaConfig) -> Iterator[Fragments]:
        """The same with each size of ring that is worth trying, the largest first."""
        for ring in self._ring_sizes(config):
            yield replace(self, ring=ring)

    def held_bytes_of_rings(self, config: WgmmaConfig) -> list[int]:
        """`held_bytes` of each of `rings`."""
        columns, chunk = config.tile[1], self._chunk(config)
        rings = self._ring_sizes(config)
        return [self._held_bytes(config.warpgroups, columns, chunk, ring) for ring in rings]

    def _ring_sizes(self, config: WgmmaConfig) -> list[int]:
        if not self.tiles:
            return [1]
        slots = config.part_rows // 64 * (config.tile[1] // self._chunk(config))
        return sorted({min(ring, slots) for ring in _RINGS}, reverse=True)

    def _chunk(self, config: WgmmaConfig) -> int:
        """Columns of a slot: wide ones need registers, which many sums leave none of."""
        n = config.tile[1]
        return self._chunk_of(n, config.part_rows // 64 * n * self.factors)

    @staticmethod
    def _chunk_of(n: int, sums: int) -> int:
        return next(c for c in _CHUNKS if n % c == 0 and (c <= _NARROW or sums <= _FEW_SUMS))


Finish = Fragments | Packs


def finish_of(view: KernelView, rows: str, columns: str, config: WgmmaConfig, room: int) -> Finish:
    """How a config's tiles end. `rows` and `columns`: the groups of the op that a tile's are;
    `room`: the bytes of shared memory beside the factors."""
    fragments = fragments_of(view, rows, columns)
    if fragments is not None and fragments.suits(config):
        for one in fragments.rings(config):
            if one.held_bytes(config) <= room:
                return one
    return packs_of(view, rows, columns, config.tile[1])


def packs_of(view: KernelView, rows: str, columns: str, tile_columns: int) -> Packs:
    """The widest packs of results that all operands of the region allow."""
    read = read_by(view.region("epilogue"))
    place = _place(rows, columns)
    for pack in _PACKS:
        if pack > 1 and tile_columns % (4 * pack):
            continue
        for group in (columns, rows):
            axis = _innermost(view, group)
            if axis is not None and fits(axis, read, view.outs, pack, _WIDEST_LOAD):
                each = {**place, group: f"({place[group]} + lane)"}
                return Packs(pack, axis, place, each, across=group == rows)
    return Packs(1, None, place, place)


def fragments_of(view: KernelView, rows: str, columns: str) -> Fragments | None:
    """None if results are not of 16 bits in pieces along rows or columns, or the region reads what
    is no row, line or tile."""
    epilogue = view.region("epilogue")
    return fragments_along_columns(view, epilogue, view.outs, rows, columns) or _fragments(
        view, epilogue, view.outs, rows, columns, True
    )


def fragments_along_columns(
    view: KernelView, region: RegionView, outs: Sequence[Operand], rows: str, columns: str
) -> Fragments | None:
    """Those of a region of the op, and of the `outs` that it gives, in pieces along columns."""
    return _fragments(view, region, outs, rows, columns, False)


def _fragments(
    view: KernelView,
    region: RegionView,
    results: Sequence[Operand],
    rows: str,
    columns: str,
    across: bool,
) -> Fragments | None:
    axis, outs = _innermost(view, rows if across else columns), tuple(results)
    if any(out.element.bytes != 2 for out in outs) or not fits(axis, [], outs, _PIECE):
        return None
    read = read_by(region)
    of_rows = tuple(operand for operand in read if operand.stride(columns) == 0)
    others = [operand for operand in read if operand not in of_rows]
    lines = tuple(operand for operand in others if operand.stride(rows) == 0)
    tiles = tuple(operand for operand in others if operand not in lines)
    pieces = Lanes(_PIECE, axis, {}, {})
    if any(pieces.reach(operand) is not Reach.PACK for operand in others):
        return None
    if (across and lines) or any(operand.element.bytes != 2 for operand in tiles):
        return None
    place = _place(rows, columns)
    each = {**place, columns: f"({place[columns]} + lane)"}
    inner = _innermost(view, columns)
    factors = 2 if isinstance(view.op, DualGemmOp) else 1
    return Fragments(2, inner, place, each, of_rows, lines, tiles, outs, factors, 1, across)


def _place(rows: str, columns: str) -> dict[str, str]:
    return {"batch": "batch", rows: "row", columns: "column"}


def _innermost(view: KernelView, group: str) -> Axis | None:
    axes = view.group(group).axes
    return axes[-1] if axes else None
