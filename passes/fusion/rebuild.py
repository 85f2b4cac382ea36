"""New kernel ops from old ones: all parts but the named ones stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, i64
from xdsl.ir import Attribute, Region, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    BackToBackGemmOp,
    ConvOp,
    CopyOp,
    DualGemmOp,
    GatherOp,
    GemmOp,
    GemmRowwiseOp,
    IndexOp,
    KernelOp,
    PointwiseOp,
    ProductOp,
    ReduceOp,
    RowwiseOp,
)
from ait.dialects.symbolic import Dim, dense_strides, exact_div


def rebuilt(
    op: KernelOp,
    *,
    ins: Sequence[SSAValue] | None = None,
    outs: Sequence[SSAValue] | None = None,
    in_maps: Sequence[AccessMap] | None = None,
    out_maps: Sequence[AccessMap] | None = None,
    regions: Sequence[Region] | None = None,
    properties: Mapping[str, Attribute] | None = None,
    kind: type[KernelOp] | None = None,
) -> KernelOp:
    """A copy of `op` with the given parts replaced; it is not in any block yet."""
    new = (kind or type(op))(
        op.ins if ins is None else ins,
        op.outs if outs is None else outs,
        op.in_access if in_maps is None else in_maps,
        op.out_access if out_maps is None else out_maps,
        [region.clone() for region in op.regions] if regions is None else regions,
        {**op.own_properties, **(properties or {})},
        dict(op.attributes),
    )
    new.location = op.location
    return new


def _every_dim(op: KernelOp, index: int) -> list[int | None]:
    return list(range(len(op.domain)))


def _product_dims(op: KernelOp, index: int) -> list[int | None]:
    assert isinstance(op, ProductOp)
    b, m, n, k = op.group_ranks
    if index == 0:
        return [*range(b + m), *([None] * n)]
    if index in op.right_factors:
        return [*range(b), *([None] * m), *range(b + k, b + k + n)]
    return list(range(b + m + n))


def _back_to_back_dims(op: KernelOp, index: int) -> list[int | None]:
    assert isinstance(op, BackToBackGemmOp)
    b, m, n, _, middle = op.group_ranks
    if index == 0 or index in op.middle_ins:
        return [*range(b + m), *([None] * n)]
    if index == 1:
        return [*range(b), *([None] * (m + n))]
    if index == 2:
        return [*range(b), *([None] * m), *range(b + middle, b + middle + n)]
    return list(range(b + m + n))


def _gather_dims(op: KernelOp, index: int) -> list[int | None]:
    features = op.in_access[0].rank - 1
    indices = len(op.domain) - features
    if index == 0:
        return [*([None] * indices), *range(1, 1 + features)]
    if index == 1:
        return [*range(indices), *([None] * features)]
    return list(range(len(op.domain)))


def _conv_dims(op: KernelOp, index: int) -> list[int | None]:
    """Pixels are not split: the image has them in its own way."""
    pixels, channels = 3, len(op.domain) - 3
    if index == 0:
        return [None] * len(op.domain)
    if index == 1:
        return [*([None] * pixels), *range(channels)]
    return list(range(len(op.domain)))


_DIMS_OF_INS: Mapping[type[KernelOp], Callable[[KernelOp, int], list[int | None]]] = {
    BackToBackGemmOp: _back_to_back_dims,
    ConvOp: _conv_dims,
    CopyOp: _every_dim,
    DualGemmOp: _product_dims,
    GatherOp: _gather_dims,
    GemmOp: _product_dims,
    GemmRowwiseOp: _product_dims,
    PointwiseOp: _every_dim,
    ReduceOp: _every_dim,
    RowwiseOp: _every_dim,
}
"""For each kind whose domain may be split: where in an operand's map each domain dim stands."""


def dims_of_operand(op: KernelOp, index: int) -> list[int | None] | None:
    """Where in the map of `ins[index]` each domain dim stands: None for a dim that it does not
    range over. None instead of the list for kinds with fixed dims."""
    dims_of_ins = _DIMS_OF_INS.get(type(op))
    return None if dims_of_ins is None else dims_of_ins(op, index)


def split_map(access: AccessMap, factors: Mapping[int, Sequence[Dim]]) -> AccessMap:
    """`access` with its dim i replaced by the dims `factors[i]`; a dim of no factors must be 1."""
    sizes: list[Dim] = []
    strides: list[Dim] = []
    for i, (size, stride) in enumerate(zip(access.sizes, access.strides, strict=True)):
        parts = factors.get(i, (size,))
        sizes.extend(parts)
        strides.extend(step * stride for step in dense_strides(parts))
    return AccessMap(access.offset, tuple(sizes), tuple(strides))


def split_domain(op: KernelOp, factors: Mapping[int, Sequence[Dim]]) -> KernelOp | None:
    """`op` with domain dim i replaced by the dims `factors[i]`; None if its kind has such dims
    fixed."""
    dims_of_ins = _DIMS_OF_INS.get(type(op))
    if dims_of_ins is None or any(i in _fixed_dims(op) for i in factors):
        return None
    in_maps: list[AccessMap] = []
    for index, access in enumerate(op.in_access):
        positions = dims_of_ins(op, index)
        local = {p: f for i, f in factors.items() if (p := positions[i]) is not None}
        in_maps.append(split_map(access, local))
    regions = [region.clone() for region in op.regions]
    for number, region in enumerate(regions):
        local = _factors_of_region(op, number, factors)
        for scalar in region.block.ops:
            if isinstance(scalar, IndexOp):
                scalar.properties["map"] = IndexOp(split_map(scalar.access, local)).map
    return rebuilt(
        op,
        in_maps=in_maps,
        out_maps=[
            split_map(m, _factors_of_out(op, i, factors)) for i, m in enumerate(op.out_access)
        ],
        regions=regions,
        properties=_counts_after_split(op, factors),
    )


def _factors_of_region(
    op: KernelOp, region: int, factors: Mapping[int, Sequence[Dim]]
) -> Mapping[int, Sequence[Dim]]:
    """What of a split reaches the domain of a region: the middle of two gemms has no columns of the
    result."""
    if isinstance(op, BackToBackGemmOp) and region == 0:
        b, m, *_ = op.group_ranks
        return {i: parts for i, parts in factors.items() if i < b + m}
    return factors


def _factors_of_out(
    op: KernelOp, index: int, factors: Mapping[int, Sequence[Dim]]
) -> Mapping[int, Sequence[Dim]]:
    """What of a split reaches the map of an out: of one that another region than the last gives,
    what reaches that region's domain."""
    return factors if index in op.finished_outs else _factors_of_region(op, 0, factors)


def _fixed_dims(op: KernelOp) -> range:
    """Dims that must stay one: a convolution's pixels, and all of it before legalize splits it."""
    if not isinstance(op, ConvOp):
        return range(0)
    return range(3 if op.input_dilations is None else len(op.domain))


def _counts_after_split(op: KernelOp, factors: Mapping[int, Sequence[Dim]]) -> dict[str, Attribute]:
    """Properties that count domain dims."""
    if isinstance(op, RowwiseOp):
        first = len(op.domain) - op.reduced.value.data
        added = sum(len(parts) - 1 for i, parts in factors.items() if i >= first)
        return {"reduced": IntegerAttr(op.reduced.value.data + added, i64)}
    if isinstance(op, ProductOp | BackToBackGemmOp):
        ranks = list(op.group_ranks)
        b, m = ranks[:2]
        for i, parts in factors.items():
            group = 0 if i < b else 1 if i < b + m else 2
            ranks[group] += len(parts) - 1
        return {"groups": DenseArrayBase.from_list(i64, ranks)}
    return {}


def splits_of_out(op: KernelOp, index: int, sizes: Sequence[Dim]) -> Mapping[int, Sequence[Dim]]:
    """The splits of `splits_for` for the map of an out, as far as its dims are those of the
    domain: the columns of a middle that is kept are not."""
    return _factors_of_out(op, index, splits_for(op.out_access[index], sizes))


def splits_for(access: AccessMap, sizes: Sequence[Dim]) -> dict[int, list[Dim]]:
    """How the dims of `access` must split so that each step of a dense tensor of `sizes`, in the
    same storage, is a step along one of them."""
    factors: dict[int, list[Dim]] = {}
    for i, (size, stride) in enumerate(zip(access.sizes, access.strides, strict=True)):
        if size == 1 or stride == 0:
            continue
        parts = _split_dim(size, stride, dense_strides(sizes))
        if len(parts) > 1:
            factors[i] = parts
    return factors


def _split_dim(size: Dim, stride: Dim, steps: Sequence[Dim]) -> list[Dim]:
    parts: list[Dim] = []
    rest = size
    for step in steps:
        inner = exact_div(step, stride)
        if inner is None or inner in (0, 1):
            continue
        outer = exact_div(rest, inner)
        if outer is not None and outer != 1:
            parts.append(outer)
            rest = inner
    return [*parts, rest]
