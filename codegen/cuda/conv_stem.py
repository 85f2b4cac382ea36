"""Convolutions of few channels on Hopper's tensor cores, such as a network's first.

The taps of a row are one run of memory, which threads read in pairs of elements from rows of the
image that TMA brought to shared memory: a pixel of three channels needs no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, gcd
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.config import StemConvAttr, StemConvConfig, slab_bytes
from ait.codegen.cuda.conv_hopper import padded_strides
from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import aligned_to, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import BASE_ALIGNMENT
from ait.dialects.symbolic import known_divisor, lower_bound, upper_bound
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_PIECE = 8
"""Elements of 16 bytes: the unit of TMA's strides."""
_MOST_CHANNELS = 15
_MOST_OUTPUTS = 128
_MOST_REGISTERS = 64
"""Of a thread, for the runs of its pixels."""
_BOX = 256
"""Elements of a row that one copy takes."""
_STEP_CLOCKS_A_COLUMN = 0.75
_FINISH_CLOCKS_A_COLUMN = 17.0
"""Of sixty-four pixels: reading and multiplying, region and stores."""
_OVERLAP = {1: 1.0, 2: 1.74, 3: 1.91}
"""How much faster so many warpgroups are than one."""
_START_SECONDS = 2.5e-6
"""All weights go to the shared memory of each block."""
_CONFIGS = [
    StemConvConfig(rows, warpgroups, stages)
    for rows in (1, 2, 4, 8, 16)
    for warpgroups in (2, 3)
    for stages in (2, 3)
]


@dataclass(frozen=True)
class StemSize:
    """What decides how the kernel divides shared memory and registers, as in its header."""

    columns: int
    outputs: int
    channels: int
    planes: int
    taps: tuple[int, int]
    strides: tuple[int, int]
    dilation: int
    left: int

    @property
    def pieces(self) -> int:
        """Of eight elements in the taps of a row, which may begin one element early."""
        channels = self.channels // self.planes
        shift = self.left * channels % 2
        return -(-(self.taps[1] * channels + shift) // 8)

    @property
    def steps(self) -> int:
        """Of sixteen elements along k."""
        return ceil(self.planes * self.taps[0] * self.pieces / 2)

    def image_rows(self, rows: int) -> int:
        """Of the image, for so many rows of the result."""
        return (rows - 1) * self.strides[0] + (self.taps[0] - 1) * self.dilation + 1

    def shared_bytes(self, config: StemConvConfig) -> int:
        channels = self.channels // self.planes
        begin = -self.left * channels
        lead = (begin - begin % 2) % 8
        width = (self.columns - 1) * self.strides[1] * channels + 8 * self.pieces + lead
        stage = ceil(width / _BOX) * _BOX * self.image_rows(config.rows) * self.planes * 2
        outputs = ceil(self.outputs / 16) * 16
        weights = outputs * 128 * ceil(self.steps / 4)
        slabs = 4 * config.warpgroups * slab_bytes(outputs)
        return weights + config.stages * (stage + 16) + slabs


class StemConv:
    """The kernel family; see family.py."""

    template = "conv_stem.cu.j2"
    config_type = StemConvAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        size = _size(problem)
        fitting = [
            config
            for config in _CONFIGS
            if size.shared_bytes(config) <= device.shared_bytes
            and size.image_rows(config.rows) <= _BOX
        ]
        if not fitting:
            raise Refusal("a row of the image does not fit the shared memory")
        images, height = (max(1, upper_bound(view.group(name).dim)) for name in "np")
        moved = stream_seconds(view.operands, device)
        return [
            Candidate(StemConvAttr(c), _seconds(size, c, images, height, moved, device))
            for c in fitting
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        problem = _problem(view)
        image = view.ins[0]
        region = view.region("epilogue")
        pack = problem.widest(problem.outputs)
        flat = problem.flat_lanes(pack, [*read_by(region), *region.indices, *view.outs])
        lanes = flat or problem.lanes(pack)
        aligned = [*aligned_to(image, _PIECE), *lanes.packs([*read_by(region), *view.outs])]
        return {
            **shared_values(view, "ait/cuda/conv_stem.hpp", aligned),
            "conv": problem,
            "config": cast(StemConvAttr, config).data,
            "region": region,
            "lanes": lanes,
            "flat": flat is not None,
            "constant_weights": view.ins[1].is_constant,
            "strides": padded_strides(view, image, "hcn"),
            "planes": _planes(problem),
        }


def _problem(view: KernelView) -> ConvProblem:
    """Raises Refusal with the reason if the kernel cannot take the op."""
    image, weights = view.ins[:2]
    if image.element != weights.element or image.element.name not in _TYPES:
        raise Refusal("tensor cores multiply two factors of one 16-bit type")
    problem = ConvProblem.of(view)
    if problem.groups > 1 or problem.channels > _MOST_CHANNELS or problem.outputs > _MOST_OUTPUTS:
        raise Refusal(f"{problem.outputs} outputs of {problem.channels} channels are not few")
    if not isinstance(view.group("q").dim, int) or not isinstance(view.group("w").dim, int):
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
    if 4 * _size(problem).steps > _MOST_REGISTERS:
        raise Refusal("the runs of a pixel do not fit the registers")
    return problem


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


def _size(problem: ConvProblem) -> StemSize:
    columns = cast(int, problem.view.group("q").dim)
    return StemSize(
        columns,
        problem.outputs,
        problem.channels,
        _planes(problem),
        problem.taps,
        problem.strides,
        problem.dilations[0],
        problem.padding[1],
    )


def _seconds(
    size: StemSize,
    config: StemConvConfig,
    images: int,
    height: int,
    moved: float,
    device: DeviceDescription,
) -> float:
    """Expected time: warpgroups wait for what they read, and cover each other's waits in part."""
    tiles = images * ceil(height / config.rows)
    blocks = ceil(config.rows * size.columns / 64)
    clock = device.matrix_peak["f16"] / device.units / 4096
    outputs = ceil(size.outputs / 16) * 16
    alone = size.steps * outputs * _STEP_CLOCKS_A_COLUMN + outputs * _FINISH_CLOCKS_A_COLUMN
    block = alone / _OVERLAP[config.warpgroups] / clock
    return max(ceil(tiles / device.units) * blocks * block, moved) + _START_SECONDS
