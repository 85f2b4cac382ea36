"""Pooling and resampling of images: each result is made of a few input pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, gcd, hypot, log2, prod
from typing import TypeAlias, cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis
from ait.codegen.gpu.cost import ALONE, stream_seconds
from ait.codegen.gpu.dialect import ElementwiseAttr, PoolAttr, PoolConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily
from ait.codegen.gpu.lanes import PACK_BYTES, WIDTHS, aligned_to
from ait.codegen.gpu.rows import power_of_two
from ait.codegen.gpu.steps import FIRST, Walk, step_values, vector_of
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import dim_product, provably_le, upper_bound
from ait.passes.target import DeviceDescription

Aligned: TypeAlias = list[tuple[Operand, int]]

_ELEMENTS = frozenset({"f32", "f16", "bf16"})
_WARP = 32
_BLOCK = 256
_MOST_UNROLLED = 49
"""Taps of a window whose loads are written one by one."""
_OUTPUTS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (3, 2), (4, 1), (4, 2), (2, 4))
_ROW_OUTPUTS = ((1, 4), (1, 8), (2, 4), (2, 8), (1, 2))
"""The same of neighbours in a row, which are written at once: the best first (3x3 and 2x2 of f16 on
an H100)."""
_LARGEST_TEAM = 256
_SHORT = 16
"""Taps of a window that slides, of which one thread reads all (9, and few outputs: in half of the
time that teams take)."""
_LONG = 512
"""Taps of a window of neighbours from which on two warps are faster than one (3136: a tenth)."""
_TAPS_AT_ONCE = 4
"""Loads that a thread has under way: kTapsAtOnce of window.hpp."""
# Fits of global average pools of 1 to 512 images of 7x7x2048, and of 112x112x64 and 56x56x256, in
# f16 on an H100, in seconds:
_LATENCY = 0.6e-6
"""A round of loads, of any width,"""
_LATENCY_OF_LANE = 0.05e-6
"""and for each element of a load;"""
_COMBINE = 0.07e-6
"""a step in which a team halves what it has found,"""
_COMBINE_LANE = 0.8e-12
"""and for each element of all threads;"""
_FINISH_LANE = 0.04e-6
"""each element of an output."""
# Fits of windows of 2x2, 3x3 and 5x5 with 28 to 45 configs each, of which they choose one that is
# within 1 % of the best.
_OUTPUTS_APART = 0.05
"""By how much slower memory is with each doubling of a thread's outputs."""
_REGISTERS = 56
"""Of a thread, with which a multiprocessor has enough of them. With more, threads are fewer, and
each waits longer for its loads."""
_RESIDENT = 1280
"""Threads of a multiprocessor that loop over taps: they have up to 48 registers."""


def _check(view: KernelView) -> None:
    image = view.ins[0]
    if image.element.name not in _ELEMENTS:
        raise Refusal(f"an image of {image.element.name}")


def _values(
    view: KernelView,
    walk: Walk,
    vector: int,
    read: int,
    tiles: Mapping[str, int] | None = None,
) -> TemplateValues:
    """What both templates are rendered with, of which pixels are read `read` channels at once."""
    image = view.ins[0]
    lanes = walk.lanes(read).at({"h": "y", "w": "x"})
    computed, header = ["values[lane]"], "ait/gpu/window.hpp"
    shared = step_values(view, walk, vector, computed, [image], (), header, tiles or {})
    return {
        **shared,
        "image": image,
        "read": read,
        "image_loads": lanes.loads([image]),
        "image_element": lanes.element(image),
        "image_begin": image.offset(**lanes.first),
        "index_of": {name: _index(view, name, walk) for name in ("p", "q")},
    }


class Pool(TurningFamily):
    """The kernel family; see family.py."""

    template = "pool.j2"
    config_type = PoolAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        _check(view)
        problem = PoolProblem(view)
        return [
            Candidate(PoolAttr(config), problem.seconds(config, device))
            for config in problem.configs()
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        _check(view)
        problem = PoolProblem(view)
        choice = cast(PoolAttr, config).data
        problem.check(choice)
        kind = str(view.attribute("kind"))
        padded = "true" if view.attribute("count_include_pad") else "false"
        walk = _with_neighbours(problem.walk) if choice.in_row else problem.walk
        lanes = choice.outputs[1] if choice.in_row else choice.vector
        reads = problem.reads(choice)
        shared = _values(view, walk, lanes, choice.vector, problem.tiles(choice.outputs))
        return {
            **shared,
            "aligned": [*cast(Aligned, shared["aligned"]), *aligned_to(view.ins[0], reads)],
            "reads": reads,
            "index": "int32_t" if _fits_int32(view, 1 << 30) else "int64_t",
            "config": choice,
            "is_unrolled": problem.is_unrolled(choice.team),
            "across": problem.is_across,
            "kind": f"ait::gpu::{kind.capitalize()}Pool<Element, kVector>",
            "windows": [window.text for window in problem.windows],
            "counts_padding": padded,
        }


class Resize(TurningFamily):
    """The kernel family; see family.py."""

    template = "resize.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        _check(view)
        return _resize_walk(view).candidates(view, device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        _check(view)
        walk, vector = _resize_walk(view), vector_of(config)
        mode, coordinates = view.attribute("mode"), view.attribute("coordinates")
        # Lanes are channels of one pixel, or neighbouring pixels, each made by itself.
        in_pixel = vector == 1 or walk.last is None or walk.last.group == "c"
        scale = 1 if in_pixel else _scale(view, walk, vector)
        arguments = f"ait::gpu::Coordinates::{coordinates}"
        function = f"{mode}<{arguments}>"
        image, reads = view.ins[0], 1
        if scale > 1:
            reads = min(vector // scale, image.vector("w", PACK_BYTES))
            function = f"{mode}_neighbours<{arguments}, {scale}, {reads}>"
        shared = _values(view, walk, vector, vector if in_pixel else 1)
        sizes = [upper_bound(view.group(name).dim) for name in "hwpq"]
        products = 4 * max(sizes[0] * sizes[2], sizes[1] * sizes[3])
        return {
            **shared,
            "aligned": [*cast(Aligned, shared["aligned"]), *aligned_to(image, reads)],
            "reads": reads,
            "index": "int32_t" if view.fits_int32 and products < 1 << 31 else "int64_t",
            "function": function,
            "in_pixel": in_pixel,
            "scale": scale,
        }


def _scale(view: KernelView, walk: Walk, lanes: int) -> int:
    """How many pixels a row gets for each that it had, where `lanes` neighbours know between which
    of these they lie; 1 where they do not."""
    if view.attribute("mode") != "bilinear" or view.attribute("coordinates") == "align_corners":
        return 1
    if walk.last is None or walk.last.group != "q":
        return 1
    width, columns = view.group("w").dim, view.group("q").dim
    if not isinstance(width, int) or not isinstance(columns, int) or width < 1:
        return 1
    scale = columns // width
    return scale if columns == scale * width and scale > 0 and lanes % scale == 0 else 1


@dataclass(frozen=True)
class _Side:
    """Windows along one dim. `taps`: how many each has (the most, if they differ)."""

    text: str
    """Their C++ type."""
    taps: int
    stride: int
    dilation: int

    def reach(self, outputs: int) -> int:
        """Inputs that the windows of so many neighbours see."""
        return min(outputs * self.taps, (outputs - 1) * self.stride + self.taps)


@dataclass(frozen=True)
class PoolProblem:
    """A pool and what its configs cost."""

    view: KernelView

    @cached_property
    def walk(self) -> Walk:
        return _walk(self.view)

    @cached_property
    def is_adaptive(self) -> bool:
        return bool(self.view.attribute("adaptive"))

    @cached_property
    def windows(self) -> tuple[_Side, _Side]:
        """Along h and w."""
        return self._window(0), self._window(1)

    def _window(self, dim: int) -> _Side:
        view = self.view
        if self.is_adaptive:
            outs, size = (upper_bound(view.group(n).dim) for n in ("pq"[dim], "hw"[dim]))
            taps = ceil(size / max(1, outs))
            return _Side("ait::gpu::Adaptive", taps, taps, 1)
        kernel, strides, padding, dilations = (
            cast(list[int], view.attribute(name))
            for name in ("kernel", "strides", "padding", "dilations")
        )
        numbers = (kernel[dim], strides[dim], padding[dim], padding[2 + dim], dilations[dim])
        text = f"ait::gpu::Slide<{', '.join(map(str, numbers))}>"
        return _Side(text, kernel[dim], strides[dim], dilations[dim])

    @cached_property
    def taps(self) -> int:
        return self.windows[0].taps * self.windows[1].taps

    @property
    def is_across(self) -> bool:
        """Whether neighbours in memory belong to different windows."""
        return _has_neighbouring_channels(self.view, self.walk.last)

    def is_unrolled(self, team: int) -> bool:
        """Whether a thread's loads are written one by one."""
        return not self.is_adaptive and team == 1 and self.taps <= _MOST_UNROLLED

    def tiles(self, outputs: tuple[int, int]) -> dict[str, int]:
        """How many outputs along which axis a step makes."""
        sides = zip("pq", outputs, strict=True)
        return {axis.name: count for name, count in sides for axis in self.view.group(name).axes}

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
            _with_neighbours(self.walk).lanes(columns)
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
        return [64, 128] if self.taps >= _LONG else [min(_WARP, most)] if most > 1 else []

    def _teams(self, team: int) -> int:
        if self.is_across:
            return max(_BLOCK // team, 4)
        return max(_BLOCK // 2 // team, 1) if team <= _WARP else 1

    def seconds(self, config: PoolConfig, device: DeviceDescription) -> float:
        """Expected time. A thread's loads come in rounds, whose waits add up where threads are too
        few to hide them; where blocks are few, a multiprocessor reaches only so much."""
        if config.in_row:
            order = 1 + _ROW_OUTPUTS.index(config.outputs) / 50
            return stream_seconds(self.view.operands, device) * order
        threads = self._outputs(config) * config.team
        moved = stream_seconds(self.view.operands, device) - device.launch_seconds
        blocks = ceil(threads / (config.team * config.teams))
        if blocks < device.units:
            moved *= device.units / (blocks * ALONE)
        rounds = ceil(self._loads(config) / _TAPS_AT_ONCE)
        if not self.is_unrolled(config.team):
            rounds *= max(1.0, threads / (device.units * _RESIDENT))
        waiting = rounds * (_LATENCY + config.vector * _LATENCY_OF_LANE)
        together = 0.0
        if config.team > 1:
            together = log2(config.team) * _COMBINE + threads * config.vector * _COMBINE_LANE
        finish = config.vector * _FINISH_LANE
        moved *= 1 + _OUTPUTS_APART * log2(prod(config.outputs))
        lanes_a_second = device.vector_peak / 2
        computing = threads * self._instructions(config) / lanes_a_second
        # What a multiprocessor reads from its cache: a byte of each lane at a time.
        bytes_of_load = config.vector * self.view.ins[0].element.bytes
        cached = threads * self._loads(config) * bytes_of_load / lanes_a_second
        busy = hypot(moved, waiting, computing, cached)
        return device.launch_seconds + busy + together + finish

    def _outputs(self, config: PoolConfig) -> int:
        """Threads, or teams, at the largest sizes."""
        p, q = (max(1, upper_bound(self.view.group(name).dim)) for name in "pq")
        rows, columns = config.outputs
        others = dim_product(self.view.group(name).dim for name in "nc")
        return (
            ceil(max(1, upper_bound(others)) / config.vector) * ceil(p / rows) * ceil(q / columns)
        )

    def _instructions(self, config: PoolConfig) -> float:
        """Of a thread, more or less; as if it had more where it leaves no registers for others."""
        loads, outputs = self._loads(config), prod(config.outputs)
        uses = outputs * ceil(self.taps / config.team)
        if self.is_unrolled(config.team):
            # A row's part of a window is found once for all windows above each other.
            vertical, horizontal = self.windows
            rows, columns = config.outputs
            uses = columns * (vertical.reach(rows) * horizontal.taps + rows * vertical.taps)
        # A maximum is taken of two elements at once, and of stored ones.
        lanes = config.vector / (2 if self.view.attribute("kind") == "max" else 1)
        row = self.windows[1].reach(config.outputs[1]) if self.is_unrolled(config.team) else 0
        registers = 20 + outputs * lanes + row * config.vector / 4
        count = 30 + loads * (10 + config.vector) + uses * lanes
        return count * max(1.0, registers / _REGISTERS) ** 2

    def _loads(self, config: PoolConfig) -> int:
        """Pixels that a thread reads."""
        if not self.is_unrolled(config.team):
            return ceil(self.taps / config.team)
        vertical, horizontal = self.windows
        rows, columns = config.outputs
        return vertical.reach(rows) * horizontal.reach(columns)


def _fits_int32(view: KernelView, most: int) -> bool:
    """Whether addresses do, and no side is longer than `most`."""
    extents = (upper_bound(view.group(name).dim) for name in "hwpq")
    return view.fits_int32 and max(extents) < most


def _resize_walk(view: KernelView) -> Walk:
    """Neighbours in a row are made one by one, but written at once."""
    walk = _walk(view)
    return _with_neighbours(walk) if walk.last and walk.last.group in "pq" else walk


def _with_neighbours(walk: Walk) -> Walk:
    """A walk whose steps may have neighbours in a row."""
    return replace(walk, most=WIDTHS[0])


def _walk(view: KernelView) -> Walk:
    """Over the output, innermost what is innermost in its memory."""
    axes: list[Axis] = []
    for axis in (axis for name in "npqc" for axis in view.group(name).axes):
        at = len(axes)
        while at > 0 and _is_inside(view, axes[at - 1], axis):
            at -= 1
        axes.insert(at, axis)
    # Neighbouring pixels read windows that overlap: only channels are read at once.
    most = WIDTHS[0] if axes and _has_neighbouring_channels(view, axes[-1]) else 1
    return Walk(tuple(axes), view.ins, view.outs, most)


def _has_neighbouring_channels(view: KernelView, last: Axis | None) -> bool:
    """Whether the axis has channels, which lie closer together in the image than pixels."""
    if last is None or last.group != "c":
        return False
    image = view.ins[0]
    step = image.stride(last.name)
    sides = [image.stride(axis.name) for name in "hw" for axis in view.group(name).axes]
    return step is not None and all(side is not None and provably_le(step, side) for side in sides)


def _is_inside(view: KernelView, axis: Axis, other: Axis) -> bool:
    """Whether steps along `axis` are surely smaller in the result than those along `other`."""
    inner, outer = (view.outs[0].stride(a.name) for a in (axis, other))
    return inner is not None and outer is not None and inner != outer and provably_le(inner, outer)


def _index(view: KernelView, name: str, walk: Walk) -> str:
    """The variable of an output pixel's row (p) or column (q)."""
    axes = view.group(name).axes
    if not axes:
        return "0"
    return FIRST if axes[0] is walk.last else axes[0].name
