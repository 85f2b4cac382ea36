"""Convolutions of 16, 32 or 64 channels with strides of 1, on Hopper's tensor cores.

With so few channels an implicit gemm waits for shared memory, to which it brings every pixel once
for each tap. This kernel brings it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import HaloConvAttr, HaloConvConfig, slab_bytes
from ait.codegen.cuda.conv_hopper import tma_problem, tma_values
from ait.codegen.cuda.cost import halo_conv_seconds
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription

_CHANNELS = (16, 32, 64)
_MOST_OUTPUTS = 128
_MOST_SUMS = 128
"""Of a thread."""
_BOX = 256
"""Indices of a dim that one copy takes."""
_CONFIGS = [HaloConvConfig(rows, stages) for rows in (1, 2, 4, 8) for stages in (2, 3)]


class HaloConv(TurningFamily):
    """The kernel family; see family.py."""

    template = "conv_halo.cu.j2"
    config_type = HaloConvAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        layouts = [(config, HaloLayout.of(problem, config)) for config in _CONFIGS]
        fitting = [
            (config, layout)
            for config, layout in layouts
            if layout.shared_bytes <= device.shared_bytes and layout.problem is None
        ]
        if not fitting:
            raise Refusal("rows of the image and the filter do not fit the shared memory")
        images, height = (max(1, upper_bound(view.group(name).dim)) for name in "np")
        moved = stream_seconds(view.operands, device)
        return [
            Candidate(
                HaloConvAttr(config),
                halo_conv_seconds(
                    device,
                    images * ceil(height / config.rows),
                    2 * layout.blocks,
                    layout.outputs,
                    problem.depth,
                    moved,
                ),
            )
            for config, layout in fitting
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(HaloConvAttr, config).data
        problem = _problem(view)
        layout = HaloLayout.of(problem, own)
        if layout.problem is not None:
            raise Refusal(layout.problem)
        if layout.shared_bytes > HOPPER_SHARED_BYTES:
            raise Refusal("rows of the image and the filter do not fit the shared memory")
        return tma_values(view, problem, own, "ait/cuda/conv_halo.hpp")


def _problem(view: KernelView) -> ConvProblem:
    """Raises Refusal with the reason if the kernel cannot take the op."""
    problem = tma_problem(view)
    if problem.channels not in _CHANNELS or problem.groups > 1:
        raise Refusal(f"{problem.channels} channels in {problem.groups} groups")
    if problem.outputs > _MOST_OUTPUTS:
        raise Refusal(f"{problem.outputs} outputs")
    if problem.strides != (1, 1):
        raise Refusal(f"strides of {problem.strides}")
    if not isinstance(view.group("q").dim, int):
        raise Refusal("rows of unknown size")
    if _pitch(problem) > _BOX:
        raise Refusal("a row of the image is wider than a copy")
    return problem


def _pitch(problem: ConvProblem) -> int:
    """From a pixel in shared memory to the one below."""
    columns = cast(int, problem.view.group("q").dim)
    return columns + (problem.taps[1] - 1) * problem.dilations[1]


@dataclass(frozen=True)
class HaloLayout:
    """How the kernel divides shared memory and registers, as in its header."""

    outputs: int
    rows: int
    """Of the image, for a tile."""
    blocks: int
    """How many times 64 pixels a warpgroup has."""
    stage_bytes: int
    other_bytes: int
    """Weights, and what sums pass through."""
    farthest: int
    """The end of what products of a stage read, with the pixels that are nobody's."""
    stages: int

    @staticmethod
    def of(problem: ConvProblem, config: HaloConvConfig) -> HaloLayout:
        (taps_h, taps_w), (step_h, step_w) = problem.taps, problem.dilations
        pitch, row_bytes = _pitch(problem), problem.channels * 2
        outputs = ceil(problem.outputs / 16) * 16
        rows = config.rows + (taps_h - 1) * step_h
        columns = cast(int, problem.view.group("q").dim)
        blocks = ceil(((config.rows - 1) * pitch + columns) / 128)
        last = blocks * 128 + (taps_h - 1) * step_h * pitch + (taps_w - 1) * step_w
        return HaloLayout(
            outputs,
            rows,
            blocks,
            ceil(rows * pitch * row_bytes / 1024) * 1024,
            taps_h * taps_w * outputs * row_bytes + 8 * slab_bytes(outputs),
            last * row_bytes,
            config.stages,
        )

    @property
    def shared_bytes(self) -> int:
        return self.stages * (self.stage_bytes + 16) + self.other_bytes + 8

    @property
    def problem(self) -> str | None:
        """Why no kernel has this layout."""
        if self.blocks * self.outputs // 2 > _MOST_SUMS:
            return "the accumulators do not fit the registers"
        if self.rows > _BOX:
            return "a tile of the image is higher than a copy"
        if self.farthest > self.stage_bytes + self.other_bytes:
            return "products would read beyond the shared memory"
        return None
