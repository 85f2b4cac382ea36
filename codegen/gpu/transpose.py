"""Pointwise and copy kernels that read along one axis of memory and write along another.

A thread has a tile of the domain: it reads packs along the axis of the operands that are *turned*,
and writes packs along that of the results. The tile changes sides in registers. Where neither are
packs, a block has a tile, which changes sides in shared memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import TransposeAttr, TransposeConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import PACK_BYTES, Lanes, Lines, Reach, read_by, shared_values
from ait.codegen.gpu.rows import power_of_two
from ait.codegen.gpu.steps import Walk
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import known_divisor, upper_bound
from ait.passes.target import DeviceDescription

_BLOCK = 256
_SIDE = 16
"""Threads of a block along an axis that has as many tiles."""
_SHARED_SIDE = 64
"""Elements of a tile in shared memory: kTransposeSide of transpose.hpp."""
_SHARED_BYTES = 48 << 10
_LEAST_BYTES = 8
_SHARED_SLOWDOWN = 1.5
"""How much longer it takes through shared memory than whole packs do (f16 and f32 on an H200)."""
_SINGLES = 1.3
"""The same of reading less at once than _LEAST_BYTES (f16 on an H200)."""
_WARP_RUNS = 4
"""Runs of elements that a warp writes side by side."""
_SECTOR_BYTES = 32
"""What memory is written in. Where rows begin within one, a warp's runs of 64 bytes take 1.4 to 1.5
times as long, of 32 bytes 1.5 to 2.2 times, of 8 bytes 3.5 times (f16 and f32 on an H200)."""
_MOST_SLOWDOWN = 3.5
_MOST_SINGLES = 4
"""Neighbours of a thread that writes one by one (three channels of f16 on an H100)."""


@dataclass(frozen=True)
class TileLanes(Lanes):
    """Lanes of a tile's line. Operands of the names `turned` were read before, as packs along the
    other axis, one a lane: of each, a line has element `other`."""

    turned: frozenset[str] = frozenset()
    others: int = 1
    """Lines whose results are written as one pack."""

    def keep(self, outs: Iterable[Operand], values: Iterable[str]) -> Lines:
        if self.others == 1:
            return super().keep(outs, values)
        place = f"value[other * {self.count} + lane]"
        return [
            f"{out.name}_pack.{place} = ait::convert<{out.type}>({value});"
            for out, value in zip(outs, values, strict=True)
        ]

    def whole(self) -> Lanes:
        """All lines as one."""
        return Lanes(self.count * self.others, self.axis, {}, {})

    def begin(self, row: str) -> Mapping[str, str]:
        """The variables of a line's first element."""
        return {name: text.replace("(row + other)", row) for name, text in self.first.items()}

    def reach(self, operand: Operand) -> Reach:
        return Reach.SINGLE if operand.name in self.turned else super().reach(operand)

    def element(self, operand: Operand) -> str:
        if operand.name in self.turned:
            return f"{operand.name}_turned[lane].value[other]"
        return super().element(operand)


class Transpose:
    """The kernel family; see family.py."""

    template = "transpose.j2"
    config_type = TransposeAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = TransposeProblem.of(view)
        configs = list(problem.configs(device))
        problem.check(configs[0])
        moving = stream_seconds(view.operands, device) - device.launch_seconds
        seconds = device.launch_seconds + moving * problem.slowdown(configs[0])
        return [
            Candidate(TransposeAttr(config), seconds * (1 + i / 10))
            for i, config in enumerate(configs)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        problem, choice = TransposeProblem.of(view), cast(TransposeAttr, config).data
        problem.check(choice)
        lanes = problem.lanes(choice)
        region = next(iter(view.regions.values()), None)
        read = read_by(region) if region else view.ins
        turned = [operand for operand in read if operand.name in lanes.turned]
        straight = [operand for operand in read if operand not in turned]
        results = [r.text for r in region.results] if region else [lanes.element(view.ins[0])]
        code = lanes.region(region) if region else []
        tiles = problem.tiles(choice)
        aligned = lanes.packs([*read, *view.outs])
        if choice.is_whole:
            aligned = [(out, PACK_BYTES) for out in view.outs]
        aligned += [(o, min(PACK_BYTES, choice.others * o.element.bytes)) for o in turned]
        return {
            **shared_values(view, "ait/gpu/transpose.hpp", aligned),
            "index": "int32_t" if problem.fits_int32(choice) else "int64_t",
            "config": choice,
            "lanes": lanes,
            "is_shared": choice.is_shared,
            "turned": turned,
            "straight": straight,
            "read": read,
            "digits": problem.walk.digits(1, tiles, "tile"),
            "count": problem.walk.count(1, tiles) + ("" if choice.is_shared else f" * {_BLOCK}"),
            "origin": problem.other.name,
            "sizes": (problem.inner.size, problem.other.size),
            "body": [*code, *lanes.keep(view.outs, results)],
        }


@dataclass(frozen=True)
class TransposeProblem:
    """A domain whose results lie along the axis `inner`, and some operands along `other`."""

    view: KernelView
    walk: Walk
    inner: Axis
    other: Axis
    turned: tuple[Operand, ...]

    @staticmethod
    def of(view: KernelView) -> TransposeProblem:
        """Raises Refusal where all operands lie along one axis."""
        axes = view.group("i").axes
        if len(axes) > 1:
            inner = axes[-1]
            for other in axes[:-1]:
                turned = tuple(o for o in view.ins if _lies_along(o, other, inner))
                if turned:
                    rest = (axis for axis in axes[:-1] if axis is not other)
                    walk = Walk((*rest, other, inner), view.ins, view.outs)
                    return TransposeProblem(view, walk, inner, other, turned)
        raise Refusal("all operands lie along one axis")

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(operand.name for operand in self.turned)

    def lanes(self, config: TransposeConfig) -> TileLanes:
        """Along the results' axis: the tile of a thread begins at (row, column)."""
        inner, other = self.inner.name, self.other.name
        first = {inner: "column", other: "(row + other)"}
        each = {**first, inner: "(column + lane)"}
        lines = config.others if config.is_whole else 1
        return TileLanes(config.vector, self.inner, first, each, self.names, lines)

    @cached_property
    def widest(self) -> int:
        """Neighbours along the results' axis."""
        others = tuple(o for o in self.view.ins if o.name not in self.names)
        return replace(self.walk, ins=others).widest()

    @cached_property
    def most_others(self) -> int:
        """Neighbours along the other axis."""
        return min(operand.vector(self.other.name, PACK_BYTES) for operand in self.turned)

    @property
    def reads_packs(self) -> bool:
        """Whether there are packs worth their name on both sides."""
        turned = min(operand.element.bytes for operand in self.turned)
        written = min(operand.element.bytes for operand in self.view.outs)
        return min(self.widest * written, self.most_others * turned) >= _LEAST_BYTES

    @property
    def writes_sectors(self) -> bool:
        """Whether rows of results begin at whole sectors of memory."""
        along = self.inner.name
        return all(out.alignment(along) % _SECTOR_BYTES == 0 for out in self.view.outs)

    def slowdown(self, config: TransposeConfig) -> float:
        """How much longer a config takes than what reads and writes whole packs and sectors."""
        if config.is_whole:
            return 1.0
        if config.is_shared:
            return _SHARED_SLOWDOWN
        if self.writes_sectors:
            return 1.0 if self.reads_packs else _SINGLES
        narrowest = min(operand.element.bytes for operand in self.view.outs)
        run = _WARP_RUNS * config.vector * narrowest
        return min(1 + _SECTOR_BYTES / run, _MOST_SLOWDOWN)

    def check(self, config: TransposeConfig) -> None:
        """Raises Refusal for a config that does not fit the op."""
        if config.is_whole:
            if config not in self._whole_configs():
                raise Refusal(f"no results of {config.vector} x {config.others} side by side")
        elif config.vector > self.widest or config.others > self.most_others:
            raise Refusal(f"no tiles of {config.vector} x {config.others} elements")
        stored = sum(operand.element.bytes for operand in self.turned)
        if config.is_shared and stored * _SHARED_SIDE * (_SHARED_SIDE + 4) > _SHARED_BYTES:
            raise Refusal("the tiles of the operands exceed shared memory")

    def configs(self, device: DeviceDescription) -> Iterator[TransposeConfig]:
        """Configs, the likely best first: large tiles, unless they leave multiprocessors idle."""
        large, small = self._config(1), self._config(2)
        busy = self._blocks(large) >= device.units
        yield from self._whole_configs()
        yield from dict.fromkeys((large, small) if busy else (small, large))

    def _whole_configs(self) -> list[TransposeConfig]:
        """A thread that writes as packs what it has along both axes, where the result's axis is
        short and no power of two, so that no pack fits it (three channels of an image); or none."""
        inner, other = self.inner, self.other
        outs = self.view.outs
        narrowest = min(operand.element.bytes for operand in (*outs, *self.turned))
        others = PACK_BYTES // narrowest
        if not isinstance(inner.dim, int) or inner.dim not in (3, 5, 6, 7):
            return []
        if known_divisor(other.dim) % others:
            return []
        # Results of each type change places in shared memory: see store_side_by_side.
        stored = sum({out.type: out.element.bytes for out in outs}.values())
        if _BLOCK * inner.dim * others * stored > _SHARED_BYTES:
            return []
        side_by_side = all(
            out.stride(inner.name) == 1
            and out.stride(other.name) == inner.dim
            and out.alignment(inner.name, other.name) % PACK_BYTES == 0
            for out in outs
        )
        turned = all(o.vector(other.name, 2 * PACK_BYTES) >= others for o in self.turned)
        if not side_by_side or not turned:
            return []
        return [TransposeConfig(inner.dim, others, (1, _BLOCK))]

    def _config(self, shrink: int) -> TransposeConfig:
        vector = max(1, self.widest // shrink)
        others = max(1, self.most_others // shrink)
        if vector == 1:
            others = min(others, _MOST_SINGLES)
        along = min(_SIDE, power_of_two(self._tiles(self.inner, vector)))
        across = min(_BLOCK // along, power_of_two(self._tiles(self.other, others)))
        return TransposeConfig(vector, others, (_BLOCK // across, across))

    def _blocks(self, config: TransposeConfig) -> int:
        """Blocks of threads, at the largest sizes."""
        tiles = self.tiles(config)
        return prod(self._tiles(axis, tiles.get(axis.name, 1)) for axis in self.walk.axes)

    @staticmethod
    def _tiles(axis: Axis, size: int) -> int:
        return -(-max(1, upper_bound(axis.dim)) // size)

    def tiles(self, config: TransposeConfig) -> dict[str, int]:
        """Indices of a block along both axes."""
        if config.is_shared:
            return {self.inner.name: _SHARED_SIDE, self.other.name: _SHARED_SIDE}
        along, across = config.threads
        return {self.inner.name: along * config.vector, self.other.name: across * config.others}

    def fits_int32(self, config: TransposeConfig) -> bool:
        """Whether addresses and the numbers of steps, those past the ends included, do."""
        return self.view.fits_int32 and self._blocks(config) * _BLOCK < 1 << 31


def _lies_along(operand: Operand, axis: Axis, other: Axis) -> bool:
    """Whether neighbours along one axis are neighbours in memory, and those along another are not,
    nor all the same."""
    return operand.stride(axis.name) == 1 and operand.stride(other.name) not in (0, 1)


def lies_across(view: KernelView) -> bool:
    """Whether some operand lies along another axis than the results."""
    try:
        TransposeProblem.of(view)
    except Refusal:
        return False
    return True
