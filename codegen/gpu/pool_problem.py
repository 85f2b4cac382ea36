"""The choices that make a pool: how many outputs a thread makes, or how many threads one output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, gcd, log2
from typing import cast

from ait.codegen.gpu.dialect import PoolConfig
from ait.codegen.gpu.family import Refusal
from ait.codegen.gpu.lanes import PACK_BYTES
from ait.codegen.gpu.rows import power_of_two
from ait.codegen.gpu.steps import Walk
from ait.codegen.gpu.window import (
    has_neighbouring_channels,
    image_walk,
    with_neighbours,
)
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import dim_product, upper_bound

_WARP = 32
_BLOCK = 256
_MOST_UNROLLED = 49
"""Taps of a window whose loads are written one by one."""
_OUTPUTS = (
    *((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (3, 2), (4, 1), (4, 2), (2, 4)),
    *((5, 2), (5, 3), (6, 2), (7, 2)),
)
_ROW_OUTPUTS = ((1, 4), (1, 8), (2, 4), (2, 8), (1, 2))
"""The same of neighbours in a row, which are written at once: the best first (3x3 and 2x2 of f16 on
an H100)."""
_LARGEST_TEAM = 256
_TAPS_AT_ONCE = ((4, 16), (8, 8), (PACK_BYTES, 4))
"""By the most bytes of a load."""
_SHORT = 16
"""Taps of a window that slides, of which one thread reads all (9, and few outputs: in half of the
time that teams take)."""
_LONG_TEAMS = ((8192, 256), (2048, 128))
"""By the taps of a window of neighbours: threads of a team that is more than a warp. (12544 taps: a
warp takes 4 % longer, 3136: 6 %; 784 by two warps: 2.7 times as long. f16, H200.)"""


@dataclass(frozen=True)
class Side:
    """Windows along one dim. `taps`: how many each has (the most, if they differ)."""

    text: str
    """Their C++ type."""
    taps: int
    stride: int
    dilation: int

    def reach(self, outputs: int) -> int:
        """Inputs that the windows of so many neighbours see."""
        return min(outputs * self.taps, (outputs - 1) * self.stride + self.taps)

    def folds(self, outputs: int) -> int:
        """Inputs that are added to a window, or once to two neighbours that both see them."""
        pairs, single = divmod(outputs, 2)
        return pairs * (self.taps + min(self.stride, self.taps)) + single * self.taps


@dataclass(frozen=True)
class PoolProblem:
    """A pool, its configs, and what their threads do."""

    view: KernelView

    @cached_property
    def walk(self) -> Walk:
        return image_walk(self.view)

    def walk_of(self, config: PoolConfig) -> Walk:
        """The walk of a config's threads. Where windows slide, a warp has channels of one pixel,
        and the next one those of the next pixel: what their windows share, a block reads once
        (5x5 of f16: 29.4 us instead of 30.5 on an H200)."""
        if config.in_row:
            return with_neighbours(self.walk)
        axes, chunk = self.walk.axes, _WARP * config.vector
        if not self.is_unrolled(config.team) or not self.is_across or len(axes) < 2:
            return self.walk
        channels = axes[-1].dim
        if axes[-2].group != "q" or not isinstance(channels, int):
            return self.walk
        return replace(self.walk, chunk=chunk) if channels % chunk == 0 else self.walk

    @cached_property
    def is_adaptive(self) -> bool:
        return bool(self.view.attribute("adaptive"))

    @cached_property
    def windows(self) -> tuple[Side, Side]:
        """Along h and w."""
        return self._window(0), self._window(1)

    def _window(self, dim: int) -> Side:
        view = self.view
        if self.is_adaptive:
            outs, size = (upper_bound(view.group(n).dim) for n in ("pq"[dim], "hw"[dim]))
            taps = ceil(size / max(1, outs))
            return Side("ait::gpu::Adaptive", taps, taps, 1)
        kernel, strides, padding, dilations = (
            cast(list[int], view.attribute(name))
            for name in ("kernel", "strides", "padding", "dilations")
        )
        numbers = (kernel[dim], strides[dim], padding[dim], padding[2 + dim], dilations[dim])
        text = f"ait::gpu::Slide<{', '.join(map(str, numbers))}>"
        return Side(text, kernel[dim], strides[dim], dilations[dim])

    @cached_property
    def taps(self) -> int:
        return self.windows[0].taps * self.windows[1].taps

    @property
    def is_across(self) -> bool:
        """Whether neighbours in memory belong to different windows."""
        return has_neighbouring_channels(self.view, self.walk.last)

    @property
    def is_max(self) -> bool:
        return self.view.attribute("kind") == "max"

    def row_order(self, config: PoolConfig) -> int:
        """Of a config with neighbours in a row, how many are better."""
        return _ROW_OUTPUTS.index(config.outputs)

    def taps_at_once(self, config: PoolConfig) -> int:
        """Of a thread that loops over them: taps_at_once of window.hpp."""
        bytes_of_load = config.vector * self.view.ins[0].element.bytes
        return next(taps for most, taps in _TAPS_AT_ONCE if bytes_of_load <= most)

    def is_unrolled(self, team: int) -> bool:
        """Whether a thread's loads are written one by one."""
        return not self.is_adaptive and team == 1 and self.taps <= _MOST_UNROLLED

    def check(self, config: PoolConfig) -> None:
        """Raises Refusal for a config that does not fit the op."""
        if config.outputs != (1, 1) and not self.is_unrolled(config.team):
            raise Refusal("only short windows that slide are made several at once")
        if config.teams > 1 and config.team > _WARP and not self.is_across:
            raise Refusal("a team that is larger than a warp is the whole block")
        if config.in_row and not self._fits_row(config.outputs[1]):
            raise Refusal(f"no rows of {config.outputs[1]} neighbours can be written at once")

    def _fits_row(self, columns: int) -> bool:
        """Whether a thread can have so many neighbours in a row, and write them at once."""
        last = self.walk.last
        if last is None or last.group != "q" or not self.is_unrolled(1):
            return False
        try:
            with_neighbours(self.walk).lanes(columns)
        except Refusal:
            return False
        return True

    def reads(self, config: PoolConfig) -> int:
        """Pixels of a row that a thread reads at once."""
        if not config.in_row:
            return 1
        window = self.windows[1]
        begins = gcd(config.outputs[1] * window.stride, self.view.ins[0].vector("w", PACK_BYTES))
        return begins if window.dilation == 1 else 1

    def configs(self) -> Iterator[PoolConfig]:
        widest = self.walk.widest()
        for outputs in _ROW_OUTPUTS:
            if self._has(outputs) and self._fits_row(outputs[1]):
                yield PoolConfig(1, outputs, 1, _BLOCK, in_row=True)
        for vector in dict.fromkeys(max(1, widest // shrink) for shrink in (1, 2, 4)):
            if self.is_unrolled(1):
                for outputs in _OUTPUTS:
                    if self._has(outputs):
                        yield PoolConfig(vector, outputs, 1, _BLOCK)
            else:
                yield PoolConfig(vector, (1, 1), 1, _BLOCK)
            for team in self._team_sizes():
                yield PoolConfig(vector, (1, 1), team, self._teams(team))

    def _has(self, outputs: tuple[int, int]) -> bool:
        """Whether the result has so many rows and columns."""
        groups = (self.view.group(name) for name in "pq")
        return all(
            count <= max(1, upper_bound(g.dim)) for count, g in zip(outputs, groups, strict=True)
        )

    def _team_sizes(self) -> list[int]:
        if self.is_unrolled(1) and self.taps <= _SHORT:
            return []
        most = power_of_two(self.taps)
        if self.is_across:
            sizes = [2 << i for i in range(int(log2(_LARGEST_TEAM)))]
            return [size for size in sizes if size <= most]
        # Neighbours of a window are read by neighbouring threads.
        long = [size for taps, size in _LONG_TEAMS if self.taps >= taps]
        return long[:1] or ([min(_WARP, most)] if most > 1 else [])

    def _teams(self, team: int) -> int:
        if self.is_across:
            return max(_BLOCK // team, 4)
        return max(_BLOCK // 2 // team, 1) if team <= _WARP else 1

    def threads(self, config: PoolConfig) -> int:
        """Of all outputs, at the largest sizes."""
        p, q = (max(1, upper_bound(self.view.group(name).dim)) for name in "pq")
        rows, columns = config.outputs
        others = dim_product(self.view.group(name).dim for name in "nc")
        steps = ceil(max(1, upper_bound(others)) / config.vector) * ceil(p / rows)
        return steps * ceil(q / columns) * config.team

    def loads(self, config: PoolConfig) -> int:
        """Pixels that a thread reads."""
        if not self.is_unrolled(config.team):
            return ceil(self.taps / config.team)
        vertical, horizontal = self.windows
        rows, columns = config.outputs
        return vertical.reach(rows) * horizontal.reach(columns)
