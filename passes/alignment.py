"""Which of a kernel's accesses the target's fast kernels take, as far as their maps can tell.

An address is known to be aligned if the offset and all strides that lead to it are multiples, for
all values of their symbols, and so is the buffer itself, which the runtime aligns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

from xdsl.ir import Attribute, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import CopyOp, KernelOp, ProductOp
from ait.dialects.symbolic import (
    Dim,
    bounds,
    dense_strides,
    dim_product,
    element_of,
    exact_div,
    known_divisor,
    rounded_up,
    to_text,
)
from ait.passes.plan_memory import bytes_of
from ait.passes.target import AlignedAccess, TargetInfo


@dataclass(frozen=True)
class Run:
    """Dims of a map that are walked in one stride."""

    group: int
    """The group of dims, of which a kernel has one stride at best."""
    size: Dim
    stride: Dim


def wanted_of(op: KernelOp, target: TargetInfo) -> AlignedAccess | None:
    """What the fast kernels for `op` ask of accesses; None if there are none for its types."""
    row = target.capabilities.of(op)
    wanted = None if row is None else row.aligned
    if wanted is None or wanted.elements is None:
        return wanted
    factors = {str(element_of(value)) for value in op.ins[: op.DATA_OPERANDS]}
    return wanted if len(factors) == 1 and factors <= wanted.elements else None


def positions_of(op: KernelOp) -> list[int]:
    """Which of `[*ins, *outs]` must be aligned: what the op multiplies, and its results."""
    first = len(op.ins)
    return [*range(op.DATA_OPERANDS), *range(first, first + len(op.outs))]


def access_at(op: KernelOp, position: int) -> AccessMap:
    """The map of one of `[*ins, *outs]`."""
    return (*op.in_access, *op.out_access)[position]


_K = 3
"""The group of a product's dims that are summed."""


def groups_of(op: KernelOp, position: int) -> list[int]:
    """The group of each dim of a map: those of a product, or each dim alone."""
    if not isinstance(op, ProductOp):
        return list(range(access_at(op, position).rank))
    batch, m, n, k = ([i] * rank for i, rank in enumerate(op.group_ranks))
    if position == 0:
        return [*batch, *m, *k]
    return [*batch, *k, *n] if position in op.right_factors else [*batch, *m, *n]


def runs_of(access: AccessMap, groups: Sequence[int]) -> list[Run]:
    """The runs of a map, outermost first, without dims that it does not walk along."""
    runs: list[Run] = []
    for group, size, stride in zip(groups, access.sizes, access.strides, strict=True):
        if size == 1 or stride == 0:
            continue
        last = runs[-1] if runs else None
        if last is not None and last.group == group and last.stride == stride * size:
            runs[-1] = Run(group, last.size * size, stride)
        else:
            runs.append(Run(group, size, stride))
    return runs


def misfit(
    op: KernelOp, position: int, access: AccessMap, wanted: AlignedAccess, base: int
) -> str | None:
    """Why fast kernels cannot reach an operand or result through a map; None if they can.

    `base` is the alignment of the buffer.
    """
    value = (*op.ins, *op.outs)[position]
    width = bytes_of(element_of(value))
    runs = runs_of(access, groups_of(op, position))
    inner = next((run for run in reversed(runs) if run.stride == 1), None)
    if inner is None and runs:
        return "no dim of unit stride"
    is_factor = position < op.DATA_OPERANDS
    if is_factor and inner is not None and inner.group != _K and goes_along_k(op, wanted):
        return "no unit stride along k"
    steps = [("offset", access.offset)]
    steps += [("stride", run.stride) for run in runs if run is not inner]
    if base % wanted.bytes:
        return f"a buffer at a multiple of {base} bytes"
    for what, dim in steps:
        if known_divisor(dim) * width % wanted.bytes:
            return f"{what} {to_text(dim)} of {width} bytes each"
    if wanted.whole_runs and inner is not None and known_divisor(inner.size) * width % wanted.bytes:
        return f"a run of {to_text(inner.size)} elements of {width} bytes"
    return None


def goes_along_k(op: KernelOp, wanted: AlignedAccess) -> bool:
    """Whether fast kernels take the factors of a product along k only."""
    if not isinstance(op, ProductOp):
        return False
    return all(str(element_of(v)) in wanted.along_k for v in op.ins[: op.DATA_OPERANDS])


def misfits(op: KernelOp, target: TargetInfo) -> dict[int, str]:
    """The positions of `[*ins, *outs]` that keep `op` from a fast kernel, and why."""
    wanted = wanted_of(op, target)
    if wanted is None:
        return {}
    base = target.description.alignment
    positions = list(range(op.DATA_OPERANDS)) if goes_along_k(op, wanted) else positions_of(op)
    found = {
        position: misfit(op, position, access_at(op, position), wanted, base)
        for position in positions
    }
    return {position: reason for position, reason in found.items() if reason is not None}


@dataclass(frozen=True)
class PaddedRows:
    """A tensor with longer rows, and the place in it of a tensor with rows as they were."""

    dims: tuple[Dim, ...]
    place: AccessMap


def padded_rows(
    dims: Sequence[Dim], element: Attribute, multiple: int, row: Dim | None = None
) -> PaddedRows:
    """The dims whose rows of `row` elements (by default the last dim) are padded to a multiple of
    so many bytes. `row` must divide the number of elements."""
    total = dim_product(dims)
    if row is None:
        row = dims[-1] if dims else 1
    outer = exact_div(total, row)
    assert outer is not None, "a row divides a tensor"
    leading = tuple(dims[:-1]) if dims and dims[-1] == row else (outer,)
    unit = multiple // gcd(multiple, bytes_of(element))
    padded = (*leading, rounded_up(row, unit))
    return PaddedRows(padded, AccessMap(0, (*leading, row), dense_strides(padded)))


@dataclass(frozen=True)
class Layout:
    """A tensor of its own for what a map reaches, aligned: each element once, rows padded."""

    dims: tuple[Dim, ...]
    access: AccessMap
    """The map that takes the place of the old one."""
    order: tuple[int, ...]
    """The dims that the map walks along, outermost first."""

    @property
    def sizes(self) -> tuple[Dim, ...]:
        """The extents of what is stored."""
        return tuple(self.access.sizes[i] for i in self.order)

    def copy(self, source: SSAValue, access: AccessMap, destination: SSAValue) -> CopyOp:
        """The copy of what `access` reaches."""
        maps = access.select(self.order), self.access.select(self.order)
        return CopyOp([source], [destination], [maps[0]], [maps[1]])

    def copy_back(self, source: SSAValue, access: AccessMap, destination: SSAValue) -> CopyOp:
        """The copy from the layout to where `access` reaches."""
        maps = self.access.select(self.order), access.select(self.order)
        return CopyOp([source], [destination], [maps[0]], [maps[1]])


def aligned_layout(
    access: AccessMap, groups: Sequence[int], element: Attribute, multiple: int
) -> Layout:
    """The layout in the order of the map's strides, its innermost run padded to `multiple` bytes.

    The run is all of the last dims that belong to one group and are walked in one stride.
    """
    walked = [i for i in range(access.rank) if access.sizes[i] != 1 and access.strides[i] != 0]
    order = sorted(walked, key=lambda i: max(map(abs, bounds(access.strides[i]))), reverse=True)
    inner = order[-1:]
    for i in reversed(order[:-1]):
        same = groups[i] == groups[inner[0]]
        if not same or access.strides[i] != access.strides[inner[0]] * access.sizes[inner[0]]:
            break
        inner = [i, *inner]
    return _in_order(access, order[: len(order) - len(inner)], inner, element, multiple)


def dense_layout(op: ProductOp, position: int, multiple: int) -> Layout:
    """The layout of a factor as matrices whose rows, padded to `multiple` bytes, lie along k, and
    whose dims each have one stride, however many the map has."""
    access, groups = access_at(op, position), groups_of(op, position)
    walked = [i for i in range(access.rank) if access.sizes[i] != 1 and access.strides[i] != 0]
    k = [i for i in walked if groups[i] == _K]
    outer = [i for i in walked if groups[i] != _K]
    return _in_order(access, outer, k, element_of(op.ins[position]), multiple)


def _in_order(
    access: AccessMap,
    outer: Sequence[int],
    inner: Sequence[int],
    element: Attribute,
    multiple: int,
) -> Layout:
    """The layout of dims in an order, `inner` ones being a row."""
    unit = multiple // gcd(multiple, bytes_of(element))
    row = rounded_up(dim_product(access.sizes[i] for i in inner), unit)
    dims = (*(access.sizes[i] for i in outer), row)
    steps = dict(zip(outer, dense_strides(dims), strict=False))
    steps |= zip(inner, dense_strides([access.sizes[i] for i in inner]), strict=True)
    strides = tuple(steps.get(i, 0) for i in range(access.rank))
    return Layout(dims, AccessMap(0, access.sizes, strides), (*outer, *inner))


def has_single_strides(op: KernelOp) -> bool:
    """Whether all of a product's operands walk each group of its dims in one common stride."""
    if not isinstance(op, ProductOp):
        return True
    maps = [*op.in_access, *op.out_access]
    groups = [groups_of(op, position) for position in range(len(maps))]
    for group, rank in enumerate(op.group_ranks):
        walked = [
            [
                pair
                for g, pair in zip(ids, zip(m.sizes, m.strides, strict=True), strict=True)
                if g == group
            ]
            for ids, m in zip(groups, maps, strict=True)
            if group in ids
        ]
        kept = [i for i in range(rank) if walked[0][i][0] != 1]
        for outer, inner in pairwise(kept):
            if any(dims[outer][1] != dims[inner][1] * dims[inner][0] for dims in walked):
                return False
    return True


def slowness(op: KernelOp, target: TargetInfo) -> float:
    """How many times the time of a fast kernel `op` takes: 1 if one takes its accesses."""
    wanted = wanted_of(op, target)
    if wanted is None or (
        not misfits(op, target) and (has_single_strides(op) or not wanted.single_strides)
    ):
        return 1.0
    return 1.0 / wanted.speed_without
