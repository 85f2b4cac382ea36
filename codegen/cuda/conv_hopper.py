"""Convolutions of one 16-bit type on Hopper's tensor cores, their pixels loaded by TMA im2col.

TMA wants channels in multiples of 16 bytes and bounds how far a filter reaches. What cannot be
shown to hold is refused, and goes to the mma.sync kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import HopperConvAttr, HopperConvConfig, Schedule
from ait.codegen.cuda.cost import hopper_conv_seconds
from ait.codegen.cuda.limits import check_extent
from ait.codegen.gpu.conv import ConvProblem
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily
from ait.codegen.gpu.lanes import aligned_to, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import ConvOp
from ait.dialects.symbolic import lower_bound
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_PIECE = 8
"""Elements of 16 bytes: the unit of TMA's strides."""
_CORNERS = (-128, 127)
"""Where a filter's first tap may begin and end, counted from the image's corners."""
_FARTHEST_TAP = 255
_LONGEST_STEP = 8


class HopperConv(TurningFamily):
    """The kernel family; see family.py."""

    template = "conv_hopper.cu.j2"
    config_type = HopperConvAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = tma_problem(view)
        pack = problem.widest(problem.outputs)
        moved = stream_seconds(view.operands, device)
        shape = problem.gemm_shape
        return [
            Candidate(
                _attribute(config),
                hopper_conv_seconds(shape, device, config, _steps(problem, config), moved),
            )
            for config in _configs(problem, pack, device.shared_bytes)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(HopperConvAttr, config).data
        problem = tma_problem(view)
        _check_config(problem, own, problem.widest(problem.outputs))
        return tma_values(view, problem, own, "ait/cuda/conv_hopper.hpp")


def tma_values(
    view: KernelView, problem: ConvProblem, config: object, header: str
) -> TemplateValues:
    """What the templates of kernels are rendered with that read image and filter by TMA."""
    image, weights = view.ins[:2]
    region = view.region("epilogue")
    pack = problem.widest(problem.outputs)
    flat = problem.flat_lanes(pack, [*read_by(region), *region.indices, *view.outs])
    lanes = flat or problem.lanes(pack)
    aligned = [*aligned_to(image, _PIECE), *aligned_to(weights, _PIECE)]
    aligned += lanes.packs([*read_by(region), *view.outs])
    return {
        **shared_values(view, header, aligned),
        "conv": problem,
        "config": config,
        "region": region,
        "lanes": lanes,
        "flat": flat is not None,
        "constant_weights": weights.is_constant,
        "image_sizes": sizes(view, "cwhn"),
        "image_strides": padded_strides(view, image, "whn"),
        "weight_sizes": sizes(view, "gsro"),
        "weight_strides": padded_strides(view, weights, "sro"),
    }


def tma_problem(view: KernelView) -> ConvProblem:
    """Raises Refusal with the reason if TMA or wgmma cannot take the op."""
    image, weights = view.ins[:2]
    if image.element != weights.element or image.element.name not in _TYPES:
        raise Refusal("tensor cores multiply two factors of one 16-bit type")
    problem = ConvProblem.of(view)
    if problem.channels % _PIECE:
        raise Refusal(f"TMA copies 8 channels at once, a group has {problem.channels}")
    _check_operand(view, image, "c", "the image")
    _check_operand(view, weights, "g", "the filter")
    padding = cast(ConvOp, view.op).padding.get_values()
    for i in range(2):
        reach = (problem.taps[i] - 1) * problem.dilations[i]
        stride, before, after = problem.strides[i], padding[i], padding[i + 2]
        lowest, highest = _CORNERS
        ends = after - reach
        if reach > _FARTHEST_TAP or stride > _LONGEST_STEP:
            raise Refusal(f"a filter of reach {reach} and stride {stride}")
        if not (lowest <= -before <= highest and lowest + stride <= ends <= highest):
            raise Refusal(f"padding of {before} and {after}")
    return problem


def _check_operand(view: KernelView, operand: Operand, channel: str, what: str) -> None:
    if operand.stride(channel) != 1:
        raise Refusal(f"the channels of {what} are not neighbours in memory")
    if operand.alignment(channel) % (_PIECE * operand.element.bytes):
        raise Refusal(f"{what} is not aligned to 16 bytes")
    for axis, stride in zip(operand.axes, operand.strides, strict=True):
        if lower_bound(stride) <= 0:
            raise Refusal(f"{what} is read backwards, or the same along {axis.name}")
        check_extent(axis.name, axis.dim)


def sizes(view: KernelView, names: str) -> Mapping[str, str]:
    return {name: view.group(name).size for name in names}


def padded_strides(view: KernelView, operand: Operand, names: str) -> Mapping[str, str]:
    """Strides in C++; a dim of one index has none, but TMA wants one that is aligned."""
    return {
        name: operand.stride_text(name) if view.group(name).axes else str(_PIECE) for name in names
    }


# Configs --------------------------------------------------------------------------------------

_TILES: Mapping[Schedule, Sequence[tuple[int, int, int]]] = {
    # m, n, warpgroups
    Schedule.PINGPONG: (
        (64, 64, 2),
        (64, 128, 2),
        (64, 256, 2),
        (128, 32, 2),
        (128, 64, 2),
        (128, 96, 2),
        (128, 128, 2),
    ),
    Schedule.COOPERATIVE: (
        (64, 32, 1),
        (64, 64, 1),
        (64, 128, 1),
        (128, 64, 2),
        (128, 128, 2),
        (128, 192, 2),
        (128, 256, 2),
        (192, 64, 3),
        (192, 128, 3),
        (256, 64, 2),
        (256, 128, 2),
    ),
}
_SPLITS = (1, 2, 3, 4, 6, 8)
_MOST_STAGES = 8
_MOST_CONFIGS = 1024
"""That are remembered."""

_attribute = lru_cache(maxsize=_MOST_CONFIGS)(HopperConvAttr)


@lru_cache(maxsize=8)
def _every_config(shared_bytes: int) -> Sequence[HopperConvConfig]:
    """Those that a device with so much memory for a block runs, with the stages it has room for."""
    found: list[HopperConvConfig] = []
    for schedule, tiles in _TILES.items():
        for m, n, warpgroups in tiles:
            for k, split in product((64, 32, 16), _SPLITS):
                config = HopperConvConfig((m, n, k), warpgroups, schedule, 2, split)
                if config.problems():
                    continue
                stages = config.most_stages(shared_bytes)
                if stages >= 2:
                    found.append(replace(config, stages=min(stages, _MOST_STAGES)))
    return tuple(found)


def _configs(problem: ConvProblem, pack: int, shared_bytes: int) -> Iterator[HopperConvConfig]:
    return (c for c in _every_config(shared_bytes) if _is_sensible(problem, c, pack))


def _is_sensible(problem: ConvProblem, config: HopperConvConfig, pack: int) -> bool:
    _, n, k = config.tile
    try:
        _check_config(problem, config, pack)
    except Refusal:
        return False
    return (n <= 32 or n < 2 * problem.outputs) and (k == 16 or k <= problem.channels)


def _check_config(problem: ConvProblem, config: HopperConvConfig, pack: int) -> None:
    """Raises Refusal if a config cannot run the op."""
    k = config.tile[2]
    if problem.groups > 1 and problem.channels % k:
        raise Refusal(f"steps of {k} channels would leave a group of {problem.channels}")
    steps = _steps(problem, config)
    if config.split > 1:
        if config.split > steps:
            raise Refusal(f"{steps} steps along k have no {config.split} parts")
        if pack < 4:
            raise Refusal("blocks share the end of a tile in packs of 4 channels or more")


def _steps(problem: ConvProblem, config: HopperConvConfig) -> int:
    """Along k: a step has channels of one tap."""
    return problem.taps[0] * problem.taps[1] * ceil(problem.channels / config.tile[2])
