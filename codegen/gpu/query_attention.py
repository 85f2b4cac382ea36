"""Attention of few queries, whose time is that of reading keys and values: any float types, strides
and regions, accumulated in f32."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.attention import AttentionProblem
from ait.codegen.gpu.dialect import QueryAttentionAttr, QueryAttentionConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import PACK_BYTES, Lanes, aligned_to, shared_values
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

_WIDEST_HEAD = 256
_WARPS = (4, 8, 2)
"""The first is as good as any where the memory sets the pace."""


class QueryAttention:
    """The kernel family; see family.py."""

    template = "query_attention.j2"
    config_type = QueryAttentionAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        configs = map(QueryAttentionConfig, _WARPS)
        return [Candidate(QueryAttentionAttr(c), _seconds(problem, c, device)) for c in configs]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        queries, keys, values = view.ins[:3]
        depth, value = packs = _packs(view)
        aligned = [
            *aligned_to(queries, depth),
            *aligned_to(keys, depth),
            *aligned_to(values, value),
        ]
        return {
            **shared_values(view, "ait/gpu/query_attention.hpp", aligned),
            "problem": _problem(view),
            "config": cast(QueryAttentionAttr, config).data,
            "packs": packs,
            "lanes": Lanes(1, None, {}, {}),
            "region": view.region("score"),
        }


def _packs(view: KernelView) -> tuple[int, int]:
    """Neighbours of the depth, and of a value, that are loaded at once."""
    queries, keys, values = view.ins[:3]
    depth = min(queries.vector("depth", PACK_BYTES), keys.vector("depth", PACK_BYTES))
    return depth, values.vector("value", PACK_BYTES)


def _problem(view: KernelView) -> AttentionProblem:
    problem = AttentionProblem.of(view)
    if max(problem.depth, problem.value) > _WIDEST_HEAD:
        raise Refusal(f"heads of {problem.depth} and {problem.value} elements")
    names = (("queries", "depth"), ("keys", "depth"), ("values", "value"))
    for operand, (name, inner) in zip(view.ins[:3], names, strict=True):
        if not operand.is_contiguous(inner):
            raise Refusal(f"{name} are not contiguous along {inner}")
    return problem


# The analytic model. Its constants are fits to measurements; only differences matter.

_RAMP_SECONDS = 2e-6
"""Of a block from its start to its first scores, and for its results."""
_ROUND_SECONDS = 1.2e-6
"""Of the keys that a block's teams read at once, from their loads to their sums."""
_MEMORY_RATE = 0.85
_PACK_OPERATIONS = 280.0
"""Of each lane and pack of a key, in units of the device's peak: all lanes make its score."""
_MOST_WARPS = 32
"""Of a multiprocessor at once."""
_READS = 4
"""Packs that a lane reads at once."""
_LANES = 32
"""Of a warp, and the most of a key."""


def _seconds(
    problem: AttentionProblem, config: QueryAttentionConfig, device: DeviceDescription
) -> float:
    """What takes longest: the memory, operations, or waiting for loads."""
    queries = problem.heads * problem.queries
    sizes = zip((problem.depth, problem.value), _packs(problem.view), strict=True)
    packs = max(ceil(size / pack) for size, pack in sizes)
    lanes = min(_LANES, 1 << (packs - 1).bit_length())
    own = ceil(packs / lanes)
    rounds = ceil(problem.keys * lanes / (max(1, _READS // own) * _LANES * config.warps))
    waves = max(1.0, queries * config.warps / (device.units * _MOST_WARPS))
    busy = min(1.0, queries * config.warps / (4 * device.units))
    operations = queries * problem.keys * lanes * own * _PACK_OPERATIONS
    return _RAMP_SECONDS + max(
        problem.bytes / (device.memory_bandwidth * _MEMORY_RATE),
        operations / (device.vector_peak * busy),
        waves * rounds * _ROUND_SECONDS,
    )
