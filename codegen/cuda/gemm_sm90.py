"""Gemms as CUTLASS 3.x collectives (TMA, wgmma) with the region as one visitor-tree functor.

TMA needs 16-byte aligned addresses and strides, and one stride for each group of dims. What cannot
be shown to hold for all values of the symbols is refused, and goes to the kernel of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import GemmAttr, GemmConfig, Schedule
from ait.codegen.cuda.cost import hopper_seconds, leaves_units_idle, region_operations
from ait.codegen.cuda.limits import check_groups
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import lower_bound
from ait.passes.target import DeviceDescription

_ALIGNMENT = 16
_SMALLEST_K = 16
_FACTOR_TYPES = frozenset({"f16", "bf16"})
_CUTLASS_TYPES: Mapping[str, str] = {
    "f16": "cutlass::half_t",
    "bf16": "cutlass::bfloat16_t",
    "f32": "float",
}
_MAX_TMA_LEAVES = 3
"""Whole tiles are staged in shared memory, which the main loop needs as well."""

_TILES: Mapping[Schedule, Sequence[tuple[int, int, int]]] = {
    Schedule.PINGPONG: (
        (64, 16, 128),
        (64, 32, 128),
        (64, 64, 128),
        (64, 64, 64),
        (64, 128, 64),
        (64, 256, 64),
        (128, 64, 64),
        (128, 128, 64),
    ),
    Schedule.COOPERATIVE: (
        (128, 32, 64),
        (128, 64, 64),
        (128, 128, 64),
        (128, 192, 64),
        (128, 256, 64),
        (256, 128, 64),
    ),
}
_CLUSTERS = ((1, 1), (2, 1), (1, 2))


class Leaf(Enum):
    """How an operand of the region reaches the visitor tree."""

    SCALAR = auto()
    """One value for each batch."""
    ROW = auto()
    """value[n], read once a tile into shared memory."""
    COLUMN = auto()
    """value[m], read once a tile into registers."""
    SOURCE = auto()
    """A whole tile by TMA through the epilogue's source path, whose buffers the result reuses."""
    TILE = auto()
    """A whole tile by TMA through buffers of its own."""
    STRIDED = auto()
    """Predicated loads of single elements, with any strides."""


@dataclass(frozen=True)
class Stride:
    """A CuTe stride over (outer, inner, batch): its type, and its value as C++."""

    type: str
    value: str


@dataclass(frozen=True)
class TreeLeaf:
    """A leaf of the visitor tree: an operand of the region, in the order of its parameters."""

    kind: Leaf
    operand: Operand
    stride: Stride | None
    """None for a scalar."""


@dataclass(frozen=True)
class Plan:
    """A gemm as the template computes it: result[m, n] = f(sum over k of a[m, k] b[n, k], leaves).

    Where the config is swapped, a is the op's right factor and m its n.
    """

    rows: str
    columns: str
    a: Operand
    a_stride: Stride
    b: Operand
    b_stride: Stride
    result: Operand
    result_stride: Stride
    leaves: tuple[TreeLeaf, ...]

    @property
    def source(self) -> TreeLeaf | None:
        return next((leaf for leaf in self.leaves if leaf.kind is Leaf.SOURCE), None)


class GemmSm90:
    """The kernel family; see family.py."""

    template = "gemm_sm90.cu.j2"
    config_type = GemmAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        make_plan(view, swapped=False)
        shape, operations = GemmShape.of(view), region_operations(view)
        found: list[Candidate] = []
        for swapped in (False, True):
            turned = shape.transposed() if swapped else shape
            for schedule, tiles in _TILES.items():
                for tile in tiles:
                    for cluster in _CLUSTERS:
                        config = GemmConfig(tile, cluster, schedule, None, swapped)
                        if _is_sensible(config, turned):
                            found += _costed(config, turned, device, operations)
        return found

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        gemm = cast(GemmAttr, config).data
        plan = make_plan(view, gemm.swapped)
        region = view.region("epilogue")
        return {
            "view": view,
            "config": gemm,
            "plan": plan,
            "leaves": plan.leaves,
            "source": plan.source,
            "region": region,
            "arguments": [scalar for scalar, _ in _used(view)],
            "types": _CUTLASS_TYPES,
            "extents": [
                (position, extent)
                for position, extent in enumerate(view.extents)
                if extent.name in region.code.extents
            ],
            "sizes": [view.group(name).size for name in (plan.rows, plan.columns, "k", "batch")],
        }


def _costed(
    config: GemmConfig, turned: GemmShape, device: DeviceDescription, operations: int
) -> Iterator[Candidate]:
    """A config, and the same with stream-K where it can be faster."""
    for one in (config, replace(config, stream_k=True)):
        if not one.problems() and (not one.stream_k or leaves_units_idle(turned, device, one)):
            yield Candidate(GemmAttr(one), hopper_seconds(turned, device, one, operations))


def make_plan(view: KernelView, swapped: bool) -> Plan:
    """The plan of a `kernel.gemm`. Raises Refusal with the reason if CUTLASS cannot take it."""
    _check_types(view)
    _check_groups(view)
    rows, columns = ("n", "m") if swapped else ("m", "n")
    a, b = (view.ins[1], view.ins[0]) if swapped else (view.ins[0], view.ins[1])
    result = view.outs[0]
    return Plan(
        rows=rows,
        columns=columns,
        a=a,
        a_stride=_tma_stride(view, a, rows, "k", "the left factor"),
        b=b,
        b_stride=_tma_stride(view, b, columns, "k", "the right factor"),
        result=result,
        result_stride=_tma_stride(view, result, rows, columns, "the result"),
        leaves=_leaves(view, rows, columns),
    )


def _check_types(view: KernelView) -> None:
    left, right = view.ins[:2]
    if left.element != right.element or left.element.name not in _FACTOR_TYPES:
        raise Refusal(f"factors of {left.element.name} and {right.element.name}")
    if len(view.outs) != 1:
        raise Refusal(f"{len(view.outs)} results")
    for operand in (*(operand for _, operand in _used(view)), view.outs[0]):
        if operand.element.name not in _CUTLASS_TYPES:
            raise Refusal(f"an operand of {operand.element.name}")
    if view.region("epilogue").indices:
        raise Refusal("the epilogue asks for indices")


def _check_groups(view: KernelView) -> None:
    for name, group in view.groups.items():
        if len(group.axes) > 1:
            raise Refusal(f"the dims of {name} are not one stride apart")
    check_groups(view)
    if lower_bound(view.group("k").dim) < _SMALLEST_K:
        raise Refusal("k is too small")


def _used(view: KernelView) -> list[tuple[str, Operand]]:
    """The operands that the region reads, by the names of its parameters."""
    return [
        (scalar.text, operand)
        for scalar, operand in view.region("epilogue").loaded
        if scalar.is_used
    ]


# Strides --------------------------------------------------------------------------------------


def _tma_stride(view: KernelView, operand: Operand, outer: str, inner: str, what: str) -> Stride:
    """The stride of an operand that TMA moves. Raises Refusal if TMA cannot."""
    contiguous = _contiguous(view, operand, outer, inner)
    if contiguous is None:
        raise Refusal(f"{what} has no dim of unit stride")
    other = outer if contiguous == inner else inner
    if view.group(other).axes and operand.stride(other) == 0:
        raise Refusal(f"{what} is the same along {other}")
    if any(lower_bound(stride) < 0 for stride in operand.strides):
        raise Refusal(f"{what} has a negative stride")
    if operand.alignment(contiguous) % _ALIGNMENT:
        raise Refusal(f"{what} is not aligned to {_ALIGNMENT} bytes")
    # One index has no stride of its own, but the tensor map wants one that is aligned.
    step = (
        operand.stride_text(other)
        if view.group(other).axes
        else f"padded({view.group(contiguous).size})"
    )
    batch_type, batch = _batch_stride(view, operand)
    if contiguous == inner:
        return Stride(f"cute::Stride<int64_t, _1, {batch_type}>", f"{{{step}, {{}}, {batch}}}")
    return Stride(f"cute::Stride<_1, int64_t, {batch_type}>", f"{{{{}}, {step}, {batch}}}")


def _contiguous(view: KernelView, operand: Operand, outer: str, inner: str) -> str | None:
    """The group along which neighbours are neighbours in memory."""
    for group in (inner, outer):
        if operand.stride(group) == 1:
            return group
    for group in (inner, outer):
        if not view.group(group).axes:
            return group
    return None


def _batch_stride(view: KernelView, operand: Operand) -> tuple[str, str]:
    """The type and value; a static zero, which stays out of tensor maps, for one value of many."""
    if not view.group("batch").axes:
        return "int64_t", "0"
    if operand.stride("batch") == 0:
        return "_0", "{}"
    return "int64_t", operand.stride_text("batch")


# Leaves ---------------------------------------------------------------------------------------


def _leaves(view: KernelView, rows: str, columns: str) -> tuple[TreeLeaf, ...]:
    leaves: list[TreeLeaf] = []
    for _, operand in _used(view):
        tiles = sum(leaf.kind in (Leaf.SOURCE, Leaf.TILE) for leaf in leaves)
        leaf = _leaf(view, operand, rows, columns, tma=tiles < _MAX_TMA_LEAVES)
        if leaf.kind is Leaf.TILE and tiles == 0:
            leaf = replace(leaf, kind=Leaf.SOURCE)
        leaves.append(leaf)
    return tuple(leaves)


def _leaf(view: KernelView, operand: Operand, rows: str, columns: str, tma: bool) -> TreeLeaf:
    """The cheapest leaf that is right for an operand of the region."""
    row_step, column_step = operand.stride(rows), operand.stride(columns)
    batch = operand.stride_text("batch")
    if row_step == 0 and column_step == 0:
        return TreeLeaf(Leaf.SCALAR, operand, None)
    if row_step == 0 and column_step == 1:
        stride = Stride("cute::Stride<_0, _1, int64_t>", f"{{{{}}, {{}}, {batch}}}")
        return TreeLeaf(Leaf.ROW, operand, stride)
    if row_step == 1 and column_step == 0:
        stride = Stride("cute::Stride<_1, _0, int64_t>", f"{{{{}}, {{}}, {batch}}}")
        return TreeLeaf(Leaf.COLUMN, operand, stride)
    if tma and (not view.group("batch").axes or operand.stride("batch") != 0):
        try:
            stride = _tma_stride(view, operand, rows, columns, "an operand")
            return TreeLeaf(Leaf.TILE, operand, stride)
        except Refusal:
            pass  # StridedLeaf takes anything
    texts = [operand.stride_text(name) for name in (rows, columns, "batch")]
    any_stride = Stride("cute::Stride<int64_t, int64_t, int64_t>", f"{{{', '.join(texts)}}}")
    return TreeLeaf(Leaf.STRIDED, operand, any_stride)


# Configs --------------------------------------------------------------------------------------


def _is_sensible(config: GemmConfig, shape: GemmShape) -> bool:
    """Whether a config is worth ranking: tiles not far larger than the problem, clusters full."""
    (m, n, k), (cluster_m, cluster_n) = config.tile, config.cluster
    fits_m = m == 64 or m < 2 * shape.m
    fits_n = n == 16 or n < 2 * shape.n
    fits_k = k == 64 or k <= shape.k
    full = m * cluster_m < shape.m + m and n * cluster_n < shape.n + n
    return fits_m and fits_n and fits_k and full
