"""Gemms with the softmax or norm of their rows for Hopper: TMA, wgmma, and clusters that have whole
rows between their blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import Schedule, WgmmaRowsAttr, WgmmaRowsConfig
from ait.codegen.cuda.cost import CLUSTERS, region_operations, wgmma_rows_seconds
from ait.codegen.cuda.gemm_finish import Packs
from ait.codegen.cuda.gemm_hopper import check_factors, ordered_columns, product_of
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily, fitting
from ait.codegen.gpu.lanes import Lanes, Lines, Reach, fits, read_by, shared_values
from ait.codegen.gpu.rows import row_kind
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription, RowTile

_ALIGNMENT = 16
"""Of what TMA brings."""
_STEP_K = 64
_THREADS = 128
"""Of a warpgroup."""
_PACKS = (8, 4, 2)
_WIDEST_LOAD = 32
_SMALLEST_COPY = 4
_TILES = (
    *((Schedule.COOPERATIVE, (128, n)) for n in (384, 320, 256, 192, 160, 128, 96, 64)),
    *((Schedule.PINGPONG, (64, n)) for n in (384, 256, 192, 160, 128, 96, 64)),
    *((Schedule.COOPERATIVE, (64, n)) for n in (256, 192, 160, 128, 96, 64, 32)),
)
_FEW_SUMS, _SOME_SUMS, _MANY_SUMS = 96, 128, 192
"""Of a thread, that the registers have room for: where the epilogue uses them, where rows are not
whole, and elsewhere."""
_MOST_BLOCKS = 8
"""Of a cluster, that any device has."""
_MOST_STAGES = 12
_FEW_STAGES = 3
ROWS = RowTile(
    width=3072,
    tiles=[(128, 384), (128, 256), (128, 192), (64, 256), (64, 192), (64, 128), (64, 96)],
    groups=CLUSTERS,
    seconds=4e-6,
    rate=0.65,
)
"""The rows of a cluster. Seconds and rate are a fit to gemms of 128 to 24576 rows, alone and in
models (H100)."""


@dataclass(frozen=True)
class RowLanes(Packs):
    """Packs of a block that has the same columns of all rows: what varies along columns alone,
    `columns`, is in shared memory. So are whole tiles, `held`, while their rows are computed."""

    held: tuple[Operand, ...] = ()
    columns: tuple[Operand, ...] = ()
    width: int = 0
    """How many columns a block has."""

    @property
    def pack_bytes(self) -> int:
        """Of one pack of each held operand."""
        return sum(self.count * operand.element.bytes for operand in self.held)

    @property
    def column_bytes(self) -> int:
        """Of all that is kept for columns."""
        return sum(self.width * operand.element.bytes for operand in self.columns)

    def direct(self, operands: Sequence[Operand]) -> list[Operand]:
        """Those that are read where they lie."""
        return [o for o in operands if o not in self.held and o not in self.columns]

    def fetches(self, operands: Sequence[Operand]) -> Lines:
        lines: Lines = []
        for operand in operands:
            place = f"loaded.{operand.name}_pack"
            if operand in self.held:
                pack = f"ait::cuda::held_pack<{self.count}, {operand.type}>"
                lines.append(f"{place} = {pack}({self._slot(operand)}, thread);")
            elif operand in self.columns:
                line = f"{self._line(operand, 'const ')} + local"
                lines.append(f"{place} = ait::gpu::load_pack<{self.count}>({line});")
            else:
                lines += super().fetches([operand])
        return lines

    def holds(self) -> Lines:
        """Statements that start to bring packs to shared memory."""
        return [
            f"ait::cuda::hold_pack<{self.count}>({self._slot(operand)}, thread, "
            f"{operand.name} + ({operand.offset(**self.first)}));"
            for operand in self.held
        ]

    def keeps(self) -> Lines:
        """Statements that keep the column `local`, which is number `column` of the op's."""
        return [
            f"({self._line(operand, '')})[local] = {operand.name}[{operand.offset(n='column')}];"
            for operand in self.columns
        ]

    def _slot(self, operand: Operand) -> str:
        before = self.held[: self.held.index(operand)]
        offset = sum(self.count * other.element.bytes for other in before) * _THREADS
        return f"slot + {offset}" if offset else "slot"

    def _line(self, operand: Operand, const: str) -> str:
        before = self.columns[: self.columns.index(operand)]
        offset = sum(self.width * other.element.bytes for other in before)
        return f"reinterpret_cast<{const}{operand.type}*>(columns + {offset})"


class GemmRowwiseHopper(TurningFamily):
    """The kernel family; see family.py."""

    template = "gemm_rowwise.cu.j2"
    config_type = WgmmaRowsAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        check_factors(view)
        shape = GemmShape.of(view)
        operations = region_operations(view)

        def seconds(config: WgmmaRowsConfig) -> float:
            product_of(view, config.product)
            holds = bool(lanes_of(view, config).held)
            return wgmma_rows_seconds(shape, device, config, operations, holds)

        return fitting(_configs(view), WgmmaRowsAttr, seconds, "its rows fit no cluster")

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        check_factors(view)
        rows = cast(WgmmaRowsAttr, config).data
        columns = view.group("n").dim
        if upper_bound(columns) > rows.columns:
            raise Refusal(f"a row has up to {upper_bound(columns)} columns")
        product = product_of(view, rows.product)
        lanes = lanes_of(view, rows)
        if not rows.fits(lanes.count, lanes.pack_bytes, lanes.column_bytes):
            raise Refusal("the tiles and what is kept for columns do not fit shared memory")
        ordered = ordered_columns(view, product.bs[0], "n", lanes.count, rows.product.tile[1])
        if ordered is not None:
            product = replace(product, bs=(ordered,))
        prologue, epilogue = view.region("prologue"), view.region("epilogue")
        packs = lanes.packs([*_read(view), *view.outs])
        factors = (product.a, *product.bs)
        aligned = [*((factor.operand, _ALIGNMENT) for factor in factors), *packs]
        return {
            **shared_values(view, "ait/cuda/gemm_rowwise.hpp", aligned),
            **row_kind(view),
            "config": rows,
            "product": product,
            "factors": factors,
            "whole": columns == rows.columns,
            "uses_sums": epilogue.computed[2].is_used,
            "lanes": lanes,
            "exchanges": ordered is None,
            "prefetched": _prefetched(view, lanes),
            "prologue": prologue,
            "epilogue": epilogue,
            "prologue_operands": read_by(prologue),
            "epilogue_operands": read_by(epilogue),
            "sizes": [view.group(name).size for name in ("m", "n", "k", "batch")],
        }


def _read(view: KernelView) -> list[Operand]:
    """What either region reads."""
    return list(dict.fromkeys(o for name in view.regions for o in read_by(view.region(name))))


def lanes_of(view: KernelView, config: WgmmaRowsConfig) -> RowLanes:
    """The widest packs of columns that all operands of the regions allow, which operands are kept
    for all rows, and which there is room to hold for a tile."""
    read = _read(view)
    width = config.tile[1]
    lanes = _packs(view, width, read)
    lanes = replace(lanes, columns=tuple(o for o in read if _is_by_column(lanes, o)))
    for operand in read:
        more = replace(lanes, held=(*lanes.held, operand))
        if _can_be_held(lanes, operand) and config.fits(
            more.count, more.pack_bytes, more.column_bytes
        ):
            lanes = more
    return lanes


def _packs(view: KernelView, width: int, read: Sequence[Operand]) -> RowLanes:
    place = {"batch": "batch", "m": "row", "n": "column"}
    axes = view.group("n").axes
    for pack in _PACKS:
        if axes and width % (4 * pack) == 0 and fits(axes[-1], read, view.outs, pack, _WIDEST_LOAD):
            each = {**place, "n": "(column + lane)"}
            return RowLanes(pack, axes[-1], place, each, width=width)
    return RowLanes(1, None, place, place, width=width)


def _is_by_column(lanes: Lanes, operand: Operand) -> bool:
    """Whether it varies along columns only, and packs of it are read."""
    return lanes.reach(operand) is Reach.PACK and all(
        operand.stride(group) == 0 for group in ("batch", "m")
    )


def _prefetched(view: KernelView, lanes: RowLanes) -> list[Operand]:
    """What is read of whole tiles and not held."""
    whole = [o for o in _read(view) if o.stride("m") != 0 and o.stride("n") != 0]
    return lanes.direct(whole)


def _can_be_held(lanes: Lanes, operand: Operand) -> bool:
    """Whether it is a whole tile, each element of which one thread needs."""
    return (
        lanes.reach(operand) is Reach.PACK
        and lanes.count * operand.element.bytes >= _SMALLEST_COPY
        and operand.stride("m") != 0
        and operand.stride("n") != 0
    )


def _configs(view: KernelView) -> Iterator[WgmmaRowsConfig]:
    """Tiles whose clusters have the rows and no block too many: each with as many steps in flight
    as fit beside the operands that could be held, if enough remain, and with as many as fit."""
    columns = max(1, upper_bound(view.group("n").dim))
    uses_sums = view.region("epilogue").computed[2].is_used
    for schedule, (m, n) in _TILES:
        cluster = -(-columns // n)
        whole = view.group("n").dim == cluster * n
        sums = m * n if schedule is Schedule.PINGPONG else min(m, 64) * n
        if sums > 128 * (_FEW_SUMS if uses_sums else _MANY_SUMS if whole else _SOME_SUMS):
            continue
        if cluster > _MOST_BLOCKS or (cluster == 1 and n >= 2 * columns and n > 32):
            continue
        one = WgmmaRowsConfig((m, n, _STEP_K), cluster, schedule, 2)
        lanes = lanes_of(view, one)
        kept = lanes.column_bytes
        beside = one.most_stages(lanes.count, lanes.pack_bytes, kept)
        most = one.most_stages(lanes.count, 0, kept)
        depths = [beside, most] if beside >= _FEW_STAGES else [most]
        for stages in dict.fromkeys(min(depth, _MOST_STAGES) for depth in depths):
            config = replace(one, stages=stages)
            if not config.problems():
                yield config
