"""Attention with Hopper's own instructions: the copy engine (TMA) and products of warpgroups.

TMA needs 16-byte aligned addresses and strides, and heads whose elements are neighbours. What
cannot be shown to hold for all values of the symbols is refused, and goes to that of mma.sync.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import HopperAttentionAttr, HopperAttentionConfig
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.cuda.limits import check_groups
from ait.codegen.gpu.attention import AttentionProblem
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily
from ait.codegen.gpu.lanes import Lanes, aligned_to, fits, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import AttentionOp, KernelOp
from ait.dialects.symbolic import known_divisor, lower_bound
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_WIDEST_HEAD = 256
_ALIGNMENT = 16
_LARGEST_ADDEND = 1e8
"""That surely stays finite over any scale."""
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


class HopperAttention(TurningFamily):
    """The kernel family; see family.py."""

    template = "attention_hopper.cu.j2"
    config_type = HopperAttentionAttr

    def goes_backwards(self, op: KernelOp) -> bool:
        """Causal places have an order of their own: the longest come first."""
        return cast(AttentionOp, op).causal is None

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        _factors(view)
        return [
            Candidate(HopperAttentionAttr(config), _seconds(problem, config, device))
            for config in _with_masks(view, problem, device)
            if _fits(config, problem, device)
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
        data = cast(HopperAttentionAttr, config).data
        mask = _mask(view, problem) if data.staged else None
        if mask is None:
            aligned += pairs.packs(read_by(region))
        else:
            aligned += aligned_to(mask.operand, _ALIGNMENT // mask.operand.element.bytes)
        needed = data.shared_bytes(problem.depth, problem.value, problem.adds_by_key)
        if needed > HOPPER_SHARED_BYTES:
            raise Refusal("queries, keys and values do not fit shared memory")
        if data.kept and ceil(problem.keys / data.tile[1]) > data.stages:
            raise Refusal(f"{problem.keys} keys in {data.stages} stages of {data.tile[1]}")
        keys = view.group("col").dim
        adds = problem.scale is not None and problem.adds
        header = "attention_kept" if data.kept else "attention_hopper"
        return {
            **shared_values(view, f"ait/cuda/{header}.hpp", aligned),
            "problem": problem,
            "config": data,
            "sure_columns": keys % data.tile[1] if isinstance(keys, int) else 0,
            "has_edges": known_divisor(keys) % data.tile[1] != 0,
            "region": region,
            "lanes": lanes,
            "pairs": pairs,
            "adds": adds,
            "adds_by_key": problem.adds_by_key,
            "is_huge": adds and problem.largest_addend > _LARGEST_ADDEND,
            "factors": _factors(view),
            "mask": mask,
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
    check_groups(view, ("batch", "head", "row", "col"))
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
    if operand.alignment(inner) % _ALIGNMENT:
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


def _mask(view: KernelView, problem: AttentionProblem) -> Factor:
    """The map of what is added to scores. Raises Refusal where TMA cannot bring tiles of it."""
    if problem.scale is None or not problem.adds or problem.adds_by_key:
        raise Refusal("no score of a query and a key begins with what is read")
    read = read_by(view.region("score"))
    if len(read) != 1 or read[0].element.bytes != 2 or read[0].stride("col") == 0:
        raise Refusal("what is added to scores is no tensor of 16 bits")
    if _score_lanes(view).count != 2:
        raise Refusal("an odd number of keys")
    return _factor(view, read[0], "col", "row", "head", "masks")


# Configs --------------------------------------------------------------------------------------

_ROWS = (64, 128, 192)
_COLUMNS = (64, 80, 96, 112, 128, 160, 176)
_MOST_COLUMNS = 208
"""Of one step, where it has all keys."""
_MOST_STAGES = 4
_MOST_RING = 8
_KEPT = HopperAttentionConfig((192, 64), 2, producer=True, persistent=True, kept=True)
_SPLITS = (2, 4, 8)


def _configs(
    problem: AttentionProblem, device: DeviceDescription
) -> Iterator[HopperAttentionConfig]:
    """What may be the best: steps no longer than all keys, blocks no larger than all queries,
    blocks that stay where more are needed than fit, blocks that share keys where few are."""
    whole = ceil(problem.keys / 16) * 16
    steps = {columns for columns in _COLUMNS if columns < whole} | {min(whole, _COLUMNS[-1])}
    if whole <= _MOST_COLUMNS:
        steps.add(whole)
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
            for stages in _kept_stages(problem, tile, device) if rows > 64 else ():
                yield replace(_KEPT, tile=tile, stages=stages)
            for splits in _SPLITS if places * 2 <= device.units and rows == 64 else ():
                if tiles >= 2 * splits:
                    yield HopperAttentionConfig(tile, 2, overlapped=True, splits=splits)


def _with_masks(
    view: KernelView, problem: AttentionProblem, device: DeviceDescription
) -> Iterator[HopperAttentionConfig]:
    """The configs, also with masks that come in tiles."""
    try:
        _mask(view, problem)
        comes = True
    except Refusal:
        comes = False
    for config in _configs(problem, device):
        yield config
        if comes and config.producer and not config.kept:
            staged = (replace(config, staged=True, stages=n) for n in range(config.stages, 1, -1))
            yield from list(islice((c for c in staged if _fits(c, problem, device)), 1))


def _kept_stages(
    problem: AttentionProblem, tile: tuple[int, int], device: DeviceDescription
) -> Iterator[int]:
    """As many stages as fit, if they have all keys of a head, up to those of the next one."""
    steps = ceil(problem.keys / tile[1])
    for stages in range(min(2 * steps, _MOST_RING), steps - 1, -1):
        if _fits(replace(_KEPT, tile=tile, stages=stages), problem, device):
            yield stages
            return


def _deepest(
    problem: AttentionProblem, device: DeviceDescription, config: HopperAttentionConfig
) -> HopperAttentionConfig:
    """The config with blocks that stay, and as many stages as fit to copy ahead of them."""
    config = replace(config, producer=True, persistent=True)
    deeper = (replace(config, stages=stages) for stages in range(_MOST_STAGES, 2, -1))
    return next((deep for deep in deeper if _fits(deep, problem, device)), config)


def _fits(
    config: HopperAttentionConfig, problem: AttentionProblem, device: DeviceDescription
) -> bool:
    sizes = (problem.depth, problem.value, device.shared_bytes)
    return config.fits(*sizes, starts=problem.adds_by_key)


# The analytic model. Its constants are fits to measurements; only differences matter.

_SUSTAINED = 0.86
"""The share of the peak by the clock that random data sustain: what descriptions hold."""
_EXPONENT_OPERATIONS = 256.0
"""Operations that tensor cores do while the units for exp2 make one of it."""
_REGION_OPERATIONS = 200.0
"""The same for a region that does more to a product than to scale it, and to add to it."""
_STAGED_KEYS_OPERATIONS, _KEYS_OPERATIONS = 30.0, 110.0
"""The same for what is added for each key: by a warp that has nothing else to do, or by all."""
_STAGED_PAIRS_OPERATIONS, _PAIRS_OPERATIONS = 140.0, 250.0
"""The same for each query and key: from tiles in shared memory, or from where it is."""
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
_RAGGED_SECONDS = 1.2e-6
"""More of a block where heads do not fill the lines of shared memory."""
_KEPT_TILE_SECONDS = 0.25e-6
_KEPT_RUN_SECONDS = 0.3e-6
"""Of a tile of queries, and of the keys of a head, where keys are kept: beside their products."""
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
    if config.kept:
        return _kept_seconds(problem, config, device)
    score = _score_operations(problem, config)
    loss = _TURNS_LOSS[rows] if config.turns and simple else _LOSS
    rate = device.matrix_peak["f16"] / _SUSTAINED / device.units
    step = rows * columns * score * loss / rate * config.blocks + _STEP_SECONDS
    tiles = ceil(ceil(problem.keys / columns) / config.splits)
    visible = 0.5 + 0.5 / tiles if problem.causal else 1.0
    start = _PLACE_SECONDS + (_PRODUCER_SECONDS if config.producer else 0.0)
    place = _NEXT_PLACE_SECONDS if config.persistent else start
    place += _RAGGED_SECONDS if problem.depth % 64 or problem.value % 64 else 0.0
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


def _kept_seconds(
    problem: AttentionProblem, config: HopperAttentionConfig, device: DeviceDescription
) -> float:
    """Runs of a head's tiles of 64 queries, as query_runs of attention_kept.hpp makes them."""
    columns = config.tile[1]
    score = _score_operations(problem, config)
    rate = device.matrix_peak["f16"] / _SUSTAINED / device.units
    step = 64 * columns * score / rate + _STEP_SECONDS
    tile = ceil(problem.keys / columns) * step + _KEPT_TILE_SECONDS
    tiles = ceil(problem.queries / 64)
    runs = (ceil(tiles / parts) for parts in range(1, min(tiles, device.units) + 1))
    turns = (
        (ceil(problem.heads * ceil(tiles / run) / device.units), run) for run in dict.fromkeys(runs)
    )
    steady = min(count * (run * tile + _KEPT_RUN_SECONDS) for count, run in turns)
    memory = problem.bytes / device.memory_bandwidth
    return max(steady, memory) + 0.1 * min(steady, memory) + _PLACE_SECONDS + _RAMP_SECONDS


def _score_operations(problem: AttentionProblem, config: HopperAttentionConfig) -> float:
    """Of both products and the softmax of a score, as operations of tensor cores."""
    heads = ceil(problem.depth / 16) * 16 + ceil(problem.value / 8) * 8
    return 2.0 * heads + _EXPONENT_OPERATIONS + _region_operations(problem, config)


def _region_operations(problem: AttentionProblem, config: HopperAttentionConfig) -> float:
    if problem.scale is None:
        return _REGION_OPERATIONS
    if not problem.adds:
        return 0.0
    if problem.adds_by_key:
        return _STAGED_KEYS_OPERATIONS if config.producer else _KEYS_OPERATIONS
    return _STAGED_PAIRS_OPERATIONS if config.staged else _PAIRS_OPERATIONS
