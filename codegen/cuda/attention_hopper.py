"""Attention with Hopper's own instructions: the copy engine (TMA) and products of warpgroups.

TMA needs 16-byte aligned addresses and strides, and heads whose elements are neighbours. What
cannot be shown to hold for all values of the symbols is refused, and goes to that of mma.sync.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.config import HopperAttentionAttr, HopperAttentionConfig
from ait.codegen.gpu.attention import AttentionProblem
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import Lanes, aligned_to, fits, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import known_divisor, lower_bound, upper_bound
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_WIDEST_HEAD = 256
_ALIGNMENT = 16
_INT32_MAX = (1 << 31) - 1
_PACKS = (8, 2, 1)
"""Results that a thread writes at once: of eight neighbours, four threads have two each."""


@dataclass(frozen=True)
class Factor:
    """Queries, keys or values as a tensor map: dims [element, line, head, batch]."""

    operand: Operand
    offset: str
    sizes: tuple[str, ...]
    strides: tuple[str, ...]
    steps: tuple[int, int]
    """1 where heads, and batches, have elements of their own; 0 where all share one's."""


class HopperAttention:
    """The kernel family; see family.py."""

    template = "attention_hopper.cu.j2"
    config_type = HopperAttentionAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        _factors(view)
        return [
            Candidate(HopperAttentionAttr(config), _seconds(problem, config, device))
            for config in _configs(problem, device)
            if config.fits(problem.depth, problem.value, device.shared_bytes)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        problem = _problem(view)
        (axis,) = view.group("value").axes or (None,)
        (result,) = view.outs
        packs = _PACKS if result.element.bytes == 2 else _PACKS[1:]
        count = next(w for w in packs if fits(axis, (), view.outs, w))
        lanes = Lanes(count, axis, {}, {})
        aligned = lanes.packs(view.outs)
        for operand in view.ins[:3]:
            aligned += aligned_to(operand, _ALIGNMENT // operand.element.bytes)
        region = view.region("score")
        pairs = _score_lanes(view)
        aligned += pairs.packs(read_by(region))
        return {
            **shared_values(view, "ait/cuda/attention_hopper.hpp", aligned),
            "problem": problem,
            "config": cast(HopperAttentionAttr, config).data,
            "region": region,
            "lanes": lanes,
            "pairs": pairs,
            "factors": _factors(view),
            "scale": None if problem.scale is None else f"{problem.scale!r}f",
        }


def _score_lanes(view: KernelView) -> Lanes:
    """How many neighbours along the keys get their scores at once: a thread has pairs."""
    (axis,) = view.group("col").axes or (None,)
    count = 2 if axis is not None and known_divisor(axis.dim) % 2 == 0 else 1
    each = {} if axis is None else {axis.name: f"({axis.name} + lane)"}
    return Lanes(count, axis, {}, each)


def _problem(view: KernelView) -> AttentionProblem:
    elements = {operand.element.name for operand in view.ins[:3]}
    if len(elements) != 1 or not elements <= _TYPES:
        raise Refusal("tensor cores multiply factors of one 16-bit type")
    problem = AttentionProblem.of(view)
    if max(problem.depth, problem.value) > _WIDEST_HEAD:
        raise Refusal(f"heads of {problem.depth} and {problem.value} elements")
    for name in ("batch", "head", "row", "col"):
        if upper_bound(view.group(name).dim) > _INT32_MAX:
            raise Refusal(f"{name} may exceed 31 bits")
    return problem


# Tensor maps ----------------------------------------------------------------------------------


def _factors(view: KernelView) -> tuple[Factor, ...]:
    """The maps of queries, keys and values. Raises Refusal where TMA cannot read them in place."""
    dims = (("depth", "row", "head"), ("depth", "col", "group"), ("value", "col", "group"))
    names = ("queries", "keys", "values")
    return tuple(
        _factor(view, operand, *dim, name)
        for operand, dim, name in zip(view.ins[:3], dims, names, strict=True)
    )


def _factor(
    view: KernelView, operand: Operand, inner: str, line: str, head: str, what: str
) -> Factor:
    if not operand.is_contiguous(inner):
        raise Refusal(f"{what} are not contiguous along {inner}")
    if view.group(line).axes and operand.stride(line) == 0:
        raise Refusal(f"{what} are the same along {line}")
    if any(lower_bound(stride) < 0 for stride in operand.strides):
        raise Refusal(f"{what} have a negative stride")
    if operand.alignment(along=inner) % _ALIGNMENT:
        raise Refusal(f"{what} are not aligned to {_ALIGNMENT} bytes")
    # A dim that does not move the operand is one index, whose stride no copy uses.
    unused = str(ceil(_WIDEST_HEAD / 8) * 8)
    sizes, strides, steps = [view.group(inner).size], list[str](), list[int]()
    for name in (line, head, "batch"):
        moves = operand.stride(name) != 0
        sizes.append(f"at_least_one({view.group(name).size})" if moves else "1")
        strides.append(operand.stride_text(name) if moves else unused)
        steps.append(int(moves))
    return Factor(
        operand,
        view.expression(operand.offset_dim),
        tuple(sizes),
        tuple(strides),
        (steps[1], steps[2]),
    )


# Configs --------------------------------------------------------------------------------------

_ROWS = (64, 128, 192)
_COLUMNS = (64, 80, 96, 112, 128, 160, 176)
_MOST_STAGES = 4
_SPLITS = (2, 4, 8)


def _configs(
    problem: AttentionProblem, device: DeviceDescription
) -> Iterator[HopperAttentionConfig]:
    """What may be the best: steps no longer than all keys, blocks no larger than all queries,
    blocks that stay where more are needed than fit, blocks that share keys where few are."""
    whole = ceil(problem.keys / 16) * 16
    steps = {columns for columns in _COLUMNS if columns < whole} | {min(whole, _COLUMNS[-1])}
    for rows in _ROWS:
        if rows >= problem.queries + 64:
            continue
        places = problem.heads * ceil(problem.queries / rows)
        for columns in sorted(steps):
            tile, tiles = (rows, columns), ceil(problem.keys / columns)
            for blocks in range(1, 5):
                if rows < _ROWS[-1]:
                    yield HopperAttentionConfig(tile, min(tiles, 2), blocks)
                if blocks < 3 and places > device.units * blocks:
                    yield _deepest(problem, device, HopperAttentionConfig(tile, 2, blocks))
            if rows > 64 and tiles > 1:
                turns = HopperAttentionConfig(tile, 2, producer=True, overlapped=True, turns=True)
                yield turns
                if places > device.units:
                    yield _deepest(problem, device, turns)
            for splits in _SPLITS if places * 2 <= device.units and rows == 64 else ():
                if tiles >= 2 * splits:
                    yield HopperAttentionConfig(tile, 2, overlapped=True, splits=splits)


def _deepest(
    problem: AttentionProblem, device: DeviceDescription, config: HopperAttentionConfig
) -> HopperAttentionConfig:
    """The config with blocks that stay, and as many stages as fit to copy ahead of them."""
    config = replace(config, producer=True, persistent=True)
    deeper = (replace(config, stages=stages) for stages in range(_MOST_STAGES, 2, -1))
    sizes = (problem.depth, problem.value, device.shared_bytes)
    return next((deep for deep in deeper if deep.fits(*sizes)), config)


# The analytic model. Its constants are fits to measurements; only differences matter.

_SUSTAINED = 0.86
"""The share of the peak by the clock that random data sustain: what descriptions hold."""
_EXPONENT_OPERATIONS = 256.0
"""Operations that tensor cores do while the units for exp2 make one of it."""
_REGION_OPERATIONS = 200.0
"""The same for a region that is more than a scale."""
_LOSS = 1.1
"""Of warpgroups that are not in step, over the sum of products and weights."""
_TURNS_LOSS = {128: 0.97, 192: 0.86}
"""Of those that take turns: three overlap better than two."""
_STEP_SECONDS = 0.12e-6
_PLACE_SECONDS = 1.8e-6
"""Of a block from its start to its first products, and for its results."""
_PRODUCER_SECONDS = 0.2e-6
"""More of it where registers move to those that multiply."""
_NEXT_PLACE_SECONDS = 1.2e-6
"""The same where copies for the next queries run meanwhile."""
_CLUSTER_SECONDS = 1.2e-6
_RAMP_SECONDS = 1.5e-6
_UNEVEN_CAUSAL = 1.12
"""What persistent blocks lose where some queries see more keys than others."""


def _seconds(
    problem: AttentionProblem, config: HopperAttentionConfig, device: DeviceDescription
) -> float:
    """Turns of blocks, each of which takes as long as products and softmax of all that share a
    multiprocessor; no less than memory takes."""
    rows, columns = config.tile
    simple = problem.scale is not None
    heads = ceil(problem.depth / 16) * 16 + ceil(problem.value / 8) * 8
    score = 2.0 * heads + _EXPONENT_OPERATIONS + (0.0 if simple else _REGION_OPERATIONS)
    loss = _TURNS_LOSS[rows] if config.turns and simple else _LOSS
    rate = device.matrix_peak["f16"] / _SUSTAINED / device.units
    step = rows * columns * score * loss / rate * config.blocks + _STEP_SECONDS
    tiles = ceil(ceil(problem.keys / columns) / config.splits)
    visible = 0.5 + 0.5 / tiles if problem.causal else 1.0
    start = _PLACE_SECONDS + (_PRODUCER_SECONDS if config.producer else 0.0)
    place = _NEXT_PLACE_SECONDS if config.persistent else start
    places = problem.heads * ceil(problem.queries / rows) * config.splits
    turns = max(1.0, places / (device.units * config.blocks))
    if config.persistent:
        turns = ceil(turns) * (_UNEVEN_CAUSAL if problem.causal else 1.0)
    else:
        turns = (turns + ceil(turns)) / 2
    steady = turns * (tiles * visible * step + place)
    if config.splits > 1:
        steady += _CLUSTER_SECONDS
    memory = problem.bytes / device.memory_bandwidth
    return max(steady, memory) + 0.1 * min(steady, memory) + _RAMP_SECONDS
