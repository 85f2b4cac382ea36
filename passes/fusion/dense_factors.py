"""Factors that a target's fast products cannot walk where they lie, copied into dense matrices.

Patches of an image are the example: a row of them is some elements of each of some rows of each
channel. One kernel walks such a factor slowly; a copy and a product of matrices may be faster.
Another are factors of 8 bits that do not lie along k.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from ait.dialects.kernel import EmptyOp, ProductOp
from ait.dialects.symbolic import dim_product, element_of, tensor_type
from ait.passes.alignment import (
    Layout,
    access_at,
    dense_layout,
    goes_along_k,
    groups_of,
    misfits,
    runs_of,
    wanted_of,
)
from ait.passes.cost import SURE_GAIN, copy_seconds, expected_seconds
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.target import TargetInfo

_ROW_BYTES = 16
"""Rows of a copy begin at multiples of so many bytes: what vector accesses need, at least."""


@dataclass(frozen=True)
class DenseFactors:
    """Which factors are copied, to what layout, and what copies and product take together."""

    layouts: Mapping[int, Layout]
    seconds: float


def cheapest_factors(
    op: ProductOp, target: TargetInfo, weights: Collection[int] = ()
) -> DenseFactors:
    """The way to reach a product's factors of which the target expects the least time.

    `weights`: positions whose copies cost nothing, since they are made before the model runs.
    """
    best = _way(op, {}, target, weights)
    limit = best.seconds * SURE_GAIN
    for positions in _choices(op, target):
        layouts = {position: dense_layout(op, position, _ROW_BYTES) for position in positions}
        way = _way(op, layouts, target, weights)
        if way.seconds < min(limit, best.seconds):
            best = way
    return best


def is_scattered(op: ProductOp, position: int) -> bool:
    """Whether a factor has more than one stride in a group of dims."""
    runs = runs_of(access_at(op, position), groups_of(op, position))
    return len(runs) > len({run.group for run in runs})


def _choices(op: ProductOp, target: TargetInfo) -> Iterator[tuple[int, ...]]:
    """Sets of factors whose copies may help: scattered ones, and then misaligned ones as well; or
    misaligned ones, where fast kernels take factors along k only."""
    scattered = {i for i in range(op.DATA_OPERANDS) if is_scattered(op, i)}
    wanted = wanted_of(op, target)
    if not scattered and (wanted is None or not goes_along_k(op, wanted)):
        return
    factors = sorted(scattered.union(misfits(op, target)).intersection(range(op.DATA_OPERANDS)))
    for count in range(1, len(factors) + 1):
        yield from combinations(factors, count)


def _way(
    op: ProductOp, layouts: Mapping[int, Layout], target: TargetInfo, weights: Collection[int]
) -> DenseFactors:
    cost = 0.0
    ins, maps = list(op.ins), list(op.in_access)
    for position, layout in layouts.items():
        element = element_of(op.ins[position])
        ins[position] = EmptyOp(tensor_type(element, layout.dims)).result
        maps[position] = layout.access
        if position not in weights:
            cost += copy_seconds(dim_product(layout.sizes), element, target.description)
    tried = rebuilt(op, ins=ins, in_maps=maps)
    cost += expected_seconds(tried, target)
    tried.erase()
    return DenseFactors(layouts, cost)
