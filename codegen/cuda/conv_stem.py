"""Convolutions of few channels on Hopper's tensor cores, such as a network's first.

The taps of a row are one run of memory, which threads read in pairs of elements from rows of the
image that TMA brought to shared memory: a pixel of three channels needs no padding. Warpgroups walk
down strips of the image, and keep in registers what rows of taps share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, gcd
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import StemConvAttr, StemConvConfig
from ait.codegen.cuda.conv_hopper import padded_strides
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import (
    PACK_BYTES,
    WIDTHS,
    Lanes,
    Reach,
    aligned_to,
    fits,
    read_by,
    shared_values,
)
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import BASE_ALIGNMENT, Operand
from ait.dialects.symbolic import known_divisor, lower_bound, upper_bound
from ait.passes.cost import CACHE_SPEED
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_PIECE = 8
"""Elements of 16 bytes: the unit of TMA's strides."""
_MOST_CHANNELS = 15
_MOST_OUTPUTS = 128
_MOST_REGISTERS = 64
"""Of a thread, for the runs of its pixels."""
_BOX = 256
"""Elements of a row, or pairs of them, that one copy takes; and rows."""
_STAGES = 4
_MOST_REGISTERS_OF = {4: 128, 3: 168, 2: 255}
"""Of a thread, by the warpgroups of a block."""
_OTHER_REGISTERS = 20
_STEP_WAITS, _FINISH_WAITS = 0.41, 4.5
"""Clocks of a warpgroup for each column of a row of sixty-four pixels: for each product and behind
them, fit to an H100."""
_STEP_CLOCKS, _FINISH_CLOCKS = 0.42, 1.3
"""The same of what the warpgroups of a multiprocessor have one after the other."""
_COPY_WAITS = 100.0
"""Clocks that a strip takes for each copy before its first row."""
_LEAST_MOVING, _SCATTER, _MOST_WRITTEN = 1.6, 0.25, 1.6
"""How much longer than by the table's bandwidth operands take, and how much more with what is
written at once, as a part of the cache, up to so much of it: fit to an H100, whose memory is slower
than the table's."""
_START_SECONDS = 2.5e-6
"""All weights go to the shared memory of each block."""
_MOST_LANES = 8
"""Channels of a thread that are stored at once."""
_ROWS = (1, 2, 3, 4, 5, 7, 8, 10, 14, 16, 20, 28, 40, 56, 80, 112)
"""Of strips."""


@dataclass(frozen=True)
class StemWindow:
    """What a result is made of: rows of the convolution, every how many they begin, and columns,
    from so many before the image on. Without a pool it is the pair of columns that a thread has."""

    height: int = 1
    width: int = 2
    step: int = 1
    left: int = 0
    is_pool: bool = False


@dataclass(frozen=True)
class StemSize:
    """How the kernel divides images, shared memory and registers, as in its header."""

    problem: ConvProblem
    window: StemWindow

    @property
    def planes(self) -> int:
        return _planes(self.problem)

    @property
    def channels(self) -> int:
        """Of a pixel in a plane."""
        return self.problem.channels // self.planes

    @property
    def columns(self) -> int:
        """Of the products: output channels, and what fills them up."""
        return ceil(self.problem.outputs / 16) * 16

    @property
    def pieces(self) -> int:
        """Of eight elements in the taps of a row, which may begin one element early."""
        shift = self.problem.padding[1] * self.channels % 2
        return -(-(self.problem.taps[1] * self.channels + shift) // 8)

    @property
    def steps(self) -> int:
        """Of sixteen elements along k."""
        return ceil(self.planes * self.problem.taps[0] * self.pieces / 2)

    @property
    def _keeps_rows(self) -> bool:
        problem = self.problem
        return problem.dilations[0] == 1 and problem.taps[0] >= problem.strides[0]

    @property
    def image_rows(self) -> int:
        """Of a copy."""
        problem = self.problem
        if self._keeps_rows:
            return problem.strides[0]
        return (problem.taps[0] - 1) * problem.dilations[0] + 1

    @property
    def copies_before(self) -> int:
        """The first row of a strip that is complete has so many copies before its own."""
        problem = self.problem
        shared = problem.taps[0] - problem.strides[0] if self._keeps_rows else 0
        return ceil(shared / problem.strides[0])

    @property
    def results(self) -> tuple[int, int]:
        """Images, and rows of results of each, at the largest sizes."""
        view = self.problem.view
        images, height = (max(1, upper_bound(view.group(name).dim)) for name in "np")
        return images, height

    @property
    def column_tiles(self) -> int:
        """That a row of results is done in."""
        results = cast(int, self.problem.view.group("q").dim)
        return ceil((results if self.window.is_pool else ceil(results / 2)) / self.tile_pairs)

    @property
    def tile_pairs(self) -> int:
        """Of columns, of which a warpgroup makes results."""
        return 4 * (7 if self.window.width > 2 else 8)

    @property
    def tile_row_bytes(self) -> int:
        """Of the results in a row of a strip."""
        columns = self.tile_pairs * (1 if self.window.is_pool else 2)
        outs = self.problem.view.outs
        return columns * self.problem.outputs * sum(out.element.bytes for out in outs)

    @property
    def stage_bytes(self) -> int:
        problem = self.problem
        step = problem.strides[1] * self.channels
        begin = -self.window.left * step - problem.padding[1] * self.channels
        lead = (begin - begin % 2) % 8
        last = 2 * (3 * self.tile_pairs // 4 + 7) + 1
        width = last * step + 8 * self.pieces + lead
        row = cast(int, problem.view.group("w").dim) * self.channels
        boxes = ceil(width / (_BOX if row % 2 else 2 * _BOX))
        box = ceil(ceil(width / boxes) / 8) * 8
        return boxes * ceil(box * self.image_rows * self.planes * 2 / 128) * 128

    def shared_bytes(self, config: StemConvConfig) -> int:
        weights = self.columns * 128 * ceil(self.steps / 4)
        return weights + config.warpgroups * (config.stages * (self.stage_bytes + 16) + 32)

    def lanes(self, extras: Iterable[Operand]) -> Lanes:
        """Neighbouring channels of a pixel of the convolution, or of a result."""
        view = self.problem.view
        channels = gcd(self.problem.outputs, self.columns // 4)
        axes = view.group("o").axes
        axis, extras = axes[-1] if axes else None, list(extras)
        width = next(
            width
            for width in WIDTHS
            if width <= _MOST_LANES
            and channels % width == 0
            and fits(axis, extras, view.outs, width, 2 * PACK_BYTES)
        )
        return self.problem.lanes(width)


class StemConv:
    """The kernel family; see family.py."""

    template = "conv_stem.cu.j2"
    config_type = StemConvAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        return stem_candidates(_size(view), device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        return stem_values(_size(view), config, "ait/cuda/conv_stem.hpp")


def stem_size(view: KernelView, window: StemWindow) -> StemSize:
    """The convolution of few channels that `view` is, or begins with. Raises Refusal with the
    reason if tensor cores cannot take its runs from rows of the image."""
    image, weights = view.ins[:2]
    if image.element != weights.element or image.element.name not in _TYPES:
        raise Refusal("tensor cores multiply two factors of one 16-bit type")
    problem = ConvProblem.of(view)
    if problem.groups > 1 or problem.channels > _MOST_CHANNELS or problem.outputs > _MOST_OUTPUTS:
        raise Refusal(f"{problem.outputs} outputs of {problem.channels} channels are not few")
    if not all(isinstance(view.group(name).dim, int) for name in ("q", "w")):
        raise Refusal("rows of unknown size")
    if problem.dilations[1] != 1 and problem.taps[1] > 1:
        raise Refusal("the taps of a row are apart")
    if problem.strides[1] * (problem.channels // _planes(problem)) % 2:
        raise Refusal("pixels begin at odd elements")
    if any(lower_bound(stride) <= 0 for stride in image.strides):
        raise Refusal("the image is read backwards, or repeats")
    if any(lower_bound(stride) < 0 for stride in weights.strides):
        raise Refusal("weights that are read backwards")
    # The address of a row; those of its pixels do not matter.
    if _row_alignment(view) % (_PIECE * image.element.bytes):
        raise Refusal("the rows of the image are not aligned to 16 bytes")
    size = StemSize(problem, window)
    if 4 * size.steps > _MOST_REGISTERS:
        raise Refusal("the runs of a pixel do not fit the registers")
    if size.image_rows > _BOX:
        raise Refusal("the rows of taps are too far apart for one copy")
    return size


def _size(view: KernelView) -> StemSize:
    return stem_size(view, StemWindow())


def _planes(problem: ConvProblem) -> int:
    """One where pixels follow each other with all their channels; as many as channels where every
    channel is a plane of its own. Raises Refusal for rows with anything in between."""
    image, channels = problem.view.ins[0], problem.channels
    last = (("c", 1), ("w", channels))
    if all(not problem.view.group(n).axes or image.stride(n) == step for n, step in last):
        return 1
    if image.stride("w") == 1:
        return channels
    raise Refusal("the rows of the image are not dense")


def _row_alignment(view: KernelView) -> int:
    """Bytes to which the begin of every row is surely aligned."""
    image = view.ins[0]
    pairs = zip(image.axes, image.strides, strict=True)
    planes = _planes(ConvProblem.of(view)) > 1
    apart = ("n", "h", "c") if planes else ("n", "h")
    steps = [stride for axis, stride in pairs if axis.group in apart]
    divisors = [known_divisor(dim) for dim in (image.offset_dim, *steps)]
    return gcd(BASE_ALIGNMENT, *(divisor * image.element.bytes for divisor in divisors))


def stem_values(size: StemSize, config: Attribute, header: str) -> TemplateValues:
    """What the kernel is rendered with; a pool needs more. Raises Refusal if the config does not
    fit."""
    view, own = size.problem.view, cast(StemConvAttr, config).data
    if size.shared_bytes(own) > HOPPER_SHARED_BYTES:
        raise Refusal("weights and rows of the image do not fit shared memory")
    image, extras = view.ins[0], view.ins[2:]
    regions = view.regions.values()
    lanes = size.lanes(extras)
    read = [operand for region in regions for operand in read_by(region)]
    aligned = [*aligned_to(image, _PIECE), *lanes.packs([*read, *view.outs])]
    return {
        **shared_values(view, header, aligned),
        "conv": size.problem,
        "config": own,
        "region": view.region("epilogue"),
        "lanes": lanes,
        "constant_weights": view.ins[1].is_constant,
        "strides": padded_strides(view, image, "hcn"),
        "planes": size.planes,
        "is_pooled": False,
    }


def stem_candidates(size: StemSize, device: DeviceDescription) -> Sequence[Candidate]:
    """All configs that fit. Raises Refusal if there is none."""
    _, height = size.results
    registers = _registers(size)
    configs = [
        StemConvConfig(rows, warpgroups, _STAGES)
        for rows in dict.fromkeys(min(rows, height) for rows in _ROWS)
        for warpgroups, most in _MOST_REGISTERS_OF.items()
        if registers <= most
    ]
    fitting = [config for config in configs if size.shared_bytes(config) <= device.shared_bytes]
    if not fitting:
        raise Refusal("a row of the image does not fit the shared memory, or sums the registers")
    moved = stream_seconds(size.problem.view.operands, device)
    return [Candidate(StemConvAttr(c), _seconds(size, c, moved, device)) for c in fitting]


def _registers(size: StemSize) -> int:
    """Of a thread, more or less: runs, sums, what the first region reads, and what is known of
    windows."""
    view = size.problem.view
    lanes = size.lanes(view.ins[2:])
    packs = size.columns // (4 * lanes.count)
    held = 0
    for operand in read_by(next(iter(view.regions.values()))):
        elements = 1 if lanes.reach(operand) is Reach.UNIFORM else lanes.count
        words = ceil(elements * operand.element.bytes / 4)
        held += packs * words * (1 if size.window.is_pool and is_same_everywhere(operand) else 2)
    windows = size.columns // 4 if size.window.is_pool else 0
    return 4 * size.steps + size.columns // 2 + held + windows + _OTHER_REGISTERS


def is_same_everywhere(operand: Operand) -> bool:
    """Whether what is read of it differs at most from channel to channel."""
    return all(operand.stride(name) == 0 for name in "npqyx")


def _seconds(
    size: StemSize, config: StemConvConfig, moved: float, device: DeviceDescription
) -> float:
    """Expected time: warpgroups of a multiprocessor wait by themselves, and share its units."""
    images, height = size.results
    strips = images * ceil(height / config.rows) * size.column_tiles
    clock = device.matrix_peak["f16"] / device.units / 4096
    columns = size.columns
    waits = columns * (size.steps * _STEP_WAITS + _FINISH_WAITS)
    shared = columns * (size.steps * _STEP_CLOCKS + _FINISH_CLOCKS)
    rows = (config.rows - 1) * size.window.step + size.window.height

    def strip(warpgroups: int) -> float:
        return (rows * (waits + warpgroups * shared) + size.copies_before * _COPY_WAITS) / clock

    at_once = device.units * config.warpgroups
    rounds, rest = divmod(strips, at_once)
    computing = rounds * strip(config.warpgroups)
    if rest:
        computing += strip(ceil(rest / device.units))
    # Results that are written in many places at once leave the cache in no order.
    written = min(strips, at_once) * config.rows * size.tile_row_bytes / device.cache_bytes
    moving = moved * (_LEAST_MOVING + _SCATTER * min(written, _MOST_WRITTEN))
    # The rows before a strip's first come from the cache once more.
    image = stream_seconds(size.problem.view.ins[:1], device) - device.launch_seconds
    moving += image * size.copies_before / config.rows / CACHE_SPEED
    return max(computing, moving) + _START_SECONDS
