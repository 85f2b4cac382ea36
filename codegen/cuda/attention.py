"""Attention of one type on tensor cores, of 16 bits or of f32 as TF32, with heads that fit
registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, gcd
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import AttentionAttr, AttentionConfig, Products
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.attention import AttentionProblem
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import PACK_BYTES, WIDTHS, Lanes, aligned_to, fits, shared_values
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

_TYPES = frozenset({"f16", "bf16"})
_WIDEST_HEAD = 256
_MOST_LANES = 8

_TILES = (
    AttentionConfig((128, 64), 4),
    AttentionConfig((128, 32), 4),
    AttentionConfig((64, 64), 4),
    AttentionConfig((64, 32), 4),
    AttentionConfig((32, 64), 2),
    AttentionConfig((16, 64), 1),
)
_F32_TILES = (
    AttentionConfig((128, 32), 4),
    AttentionConfig((64, 32), 4),
    AttentionConfig((64, 16), 4),
    AttentionConfig((16, 32), 1),
)
_MOST_SUMS = 160
"""Registers of a thread for scores and sums, beside which all else fits."""
_MOST_F32_SUMS = 112
"""The same beside factors of f32 in two parts."""

_RATE = 0.4
"""Of the peak, at best: mma.sync waits for its fragments."""
_PRODUCT_RATES = {None: 1.0, Products.TF32: 0.4, Products.TF32X3: 0.16}
"""The speed of products, as a part of those of 16-bit factors."""
_EXPONENT_OPERATIONS = 130.0
"""Operations at the peak that take as long as the softmax of a score, between the products."""
_REGION_OPERATIONS = 120.0
"""The same for a region that is more than a scale."""
_PLACE_SECONDS = 1.5e-6
"""Of a block from its start to its first products, and for its results."""
_FULL_WARPS = 8
"""Warps of a multiprocessor that reach its rate."""
_RAMP_SECONDS = 2e-6
_MEMORY_RATE = 0.7
"""Of the memory's rate: blocks wait for the keys that they have started to copy."""


class TensorAttention:
    """The kernel family; see family.py. `products`: how those of f32 are made; None: they are left
    to others."""

    template = "attention.cu.j2"
    config_type = AttentionAttr

    def __init__(self, products: Products | None):
        self._products = products

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view, self._products is not None)
        configs, most = _TILES, _MOST_SUMS
        if view.ins[0].element.bytes == 4:
            most = _MOST_F32_SUMS
            configs = [replace(config, products=self._products) for config in _F32_TILES]
        return [
            Candidate(AttentionAttr(config), _seconds(problem, config, device))
            for config in configs
            if config.registers(problem.value) <= most
            and config.shared_bytes(problem.depth, problem.value) <= device.shared_bytes
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        own = cast(AttentionAttr, config).data
        problem = _problem(view, own.products is not None)
        if view.ins[0].element.bytes != own.element_bytes:
            raise Refusal(f"factors of {view.ins[0].element.name}")
        if own.shared_bytes(problem.depth, problem.value) > HOPPER_SHARED_BYTES:
            raise Refusal("queries, keys and values do not fit shared memory")
        axes = ("depth", "depth", "value")
        sizes = (problem.depth, problem.depth, problem.value)
        vectors = [
            gcd(operand.vector(axis, PACK_BYTES), size)
            for operand, axis, size in zip(view.ins[:3], axes, sizes, strict=True)
        ]
        (axis,) = view.group("value").axes or (None,)
        count = next(w for w in WIDTHS if w <= _MOST_LANES and fits(axis, (), view.outs, w))
        lanes = Lanes(count, axis, {}, {})
        aligned = lanes.packs(view.outs)
        for operand, vector in zip(view.ins, vectors, strict=False):
            aligned += aligned_to(operand, vector)
        return {
            **shared_values(view, "ait/cuda/attention.hpp", aligned),
            "problem": problem,
            "config": own,
            "splits": own.products is Products.TF32X3,
            "region": view.region("score"),
            "lanes": lanes,
            "vectors": vectors,
        }


def _problem(view: KernelView, takes_f32: bool) -> AttentionProblem:
    elements = {operand.element.name for operand in view.ins[:3]}
    if len(elements) != 1 or not elements <= (_TYPES | {"f32"} if takes_f32 else _TYPES):
        raise Refusal("tensor cores multiply factors of one type")
    problem = AttentionProblem.of(view)
    if max(problem.depth, problem.value) > _WIDEST_HEAD:
        raise Refusal(f"heads of {problem.depth} and {problem.value} elements")
    return problem


def _seconds(
    problem: AttentionProblem, config: AttentionConfig, device: DeviceDescription
) -> float:
    """Turns of blocks, in each of which every warp multiplies its queries with all keys.

    What a warp's queries share of each fragment of keys sets its rate; few warps copy slowly.
    """
    rows, columns = config.tile
    blocks = problem.heads * ceil(problem.queries / rows)
    resident = max(1, _FULL_WARPS // config.warps)
    turns = max(1.0, blocks / (device.units * resident))
    turns = (turns + ceil(turns)) / 2
    depth = ceil(problem.depth / 16) * 16 + ceil(problem.value / 16) * 16
    keys = ceil(problem.keys / columns) * columns
    peak = device.matrix_peak["f16"] / device.units / _FULL_WARPS
    rate = _RATE * _PRODUCT_RATES[config.products] * min(1.0, rows / config.warps / 32) ** 0.3
    scores = rows / config.warps * keys * (0.5 + 0.5 * columns / keys if problem.causal else 1.0)
    score = 2.0 * depth / rate + _EXPONENT_OPERATIONS
    score += _REGION_OPERATIONS if problem.scale is None or problem.adds else 0.0
    multiply = scores * score / peak
    cache = device.memory_bandwidth / device.units * _FULL_WARPS / 4
    copy = keys * depth * config.element_bytes / config.warps / cache
    steady = turns * (multiply + copy + _PLACE_SECONDS)
    memory = problem.bytes / (device.memory_bandwidth * _MEMORY_RATE)
    return max(steady, memory) + _RAMP_SECONDS
