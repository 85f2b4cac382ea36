"""The iteration axes of kernel ops: which groups of dims they have, and which dims are one loop.

The maps of an op's operands range over *groups* of dims; adjacent dims of a group become one axis
where every operand walks them as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    AttentionOp,
    BackToBackGemmOp,
    ConvOp,
    ConvPoolOp,
    CopyOp,
    GatherOp,
    KernelOp,
    PointwiseOp,
    PoolOp,
    ProductOp,
    ReduceOp,
    ResizeOp,
    RowwiseOp,
)
from ait.dialects.symbolic import Dim, provably_le
from ait.errors import CompileError


@dataclass(frozen=True)
class Axis:
    """One loop of a kernel: its variable, the group it belongs to and its extent."""

    name: str
    group: str
    dim: Dim
    size: str
    """`dim` in C++."""


@dataclass(frozen=True)
class Group:
    """The axes that stem from one group of dims; none are left where the group has one index."""

    name: str
    axes: tuple[Axis, ...]
    dim: Dim
    size: str
    """The number of indices in C++: the extent of a linear variable over the group."""


# How the maps of an op's operands are made of groups of dims ----------------------------------


@dataclass(frozen=True)
class Space:
    """The groups of an op's dims, and over which groups its operands and regions range."""

    groups: Mapping[str, tuple[Dim, ...]]
    ins: tuple[tuple[str, ...], ...]
    outs: tuple[str, ...]
    """Those of all outs but `kept` ones."""
    regions: tuple[tuple[str, ...], ...]
    names: tuple[str, ...] = ()
    """Pointer variables of the leading ins."""
    sortable: tuple[str, ...] = ()
    """Groups whose order of axes means nothing."""
    kept: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    """Those of outs that range over others, by index."""

    def of_out(self, index: int) -> tuple[str, ...]:
        """The groups that an out ranges over."""
        return self.kept.get(index, self.outs)


def _pointwise_space(op: KernelOp) -> Space:
    return Space(
        {"i": op.domain},
        (("i",),) * len(op.ins),
        ("i",),
        (("i",),) * len(op.regions),
        sortable=("i",),
    )


def _product_space(op: ProductOp) -> Space:
    batch, m, n, k = op.group_dims
    groups = {"batch": batch, "m": m, "n": n, "k": k}
    outer = ("batch", "m", "n")
    rights = (("batch", "k", "n"),) * len(op.right_factors)
    extras = (outer,) * (len(op.ins) - op.DATA_OPERANDS)
    ins = (("batch", "m", "k"), *rights, *extras)
    regions = (outer,) * len(op.regions)
    return Space(groups, ins, outer, regions, ("a", "b", "c")[: op.DATA_OPERANDS])


def _back_to_back_space(op: BackToBackGemmOp) -> Space:
    batch, m, n, k, inner = op.group_dims
    groups = {"batch": batch, "m": m, "n": n, "k": k, "l": inner}
    middle, outer = ("batch", "m", "l"), ("batch", "m", "n")
    ins = (
        ("batch", "m", "k"),
        ("batch", "k", "l"),
        ("batch", "l", "n"),
        *((middle,) * len(op.middle_ins)),
        *((outer,) * len(op.visible_ins)),
    )
    kept = {i: middle for i in range(len(op.outs)) if i not in op.finished_outs}
    return Space(groups, ins, outer, (middle, outer), ("a", "b", "c"), kept=kept)


def _singles(names: str, sizes: Iterable[Dim]) -> dict[str, tuple[Dim, ...]]:
    return {name: (size,) for name, size in zip(names.split(), sizes, strict=True)}


def _conv_space(op: ConvOp) -> Space:
    if op.input_dilations is not None:
        raise CompileError("its input has zeros between pixels: legalize splits it")
    x, w = op.in_access[:2]
    groups = _singles("n h w c", x.sizes) | {"o": op.channel_dims}
    groups |= _singles("r s g", w.sizes[-3:]) | _singles("p q", op.domain[1:3])
    outer = ("n", "p", "q", "o")
    ins = (("n", "h", "w", "c"), ("o", "r", "s", "g"), *((outer,) * (len(op.ins) - 2)))
    return Space(groups, ins, outer, (outer,), ("input", "weight"))


def _conv_pool_space(op: ConvPoolOp) -> Space:
    x, w = op.in_access[:2]
    groups = _singles("n h w c", x.sizes) | {"o": op.channel_dims}
    groups |= _singles("r s g", w.sizes[-3:]) | _singles("y x", op.middle_domain[1:3])
    groups |= _singles("p q", op.domain[1:3])
    middle, outer = ("n", "y", "x", "o"), ("n", "p", "q", "o")
    ins = (
        ("n", "h", "w", "c"),
        ("o", "r", "s", "g"),
        *((middle,) * len(op.middle_ins)),
        *((outer,) * len(op.visible_ins)),
    )
    return Space(groups, ins, outer, (middle, outer), ("input", "weight"))


def _attention_space(op: AttentionOp) -> Space:
    q, k, v = op.in_access[:3]
    groups = _singles("batch head row depth", q.sizes)
    groups |= _singles("group col", k.sizes[1:3]) | _singles("value", v.sizes[3:])
    score = ("batch", "head", "row", "col")
    ins = (
        ("batch", "head", "row", "depth"),
        ("batch", "group", "col", "depth"),
        ("batch", "group", "col", "value"),
        *((score,) * (len(op.ins) - 3)),
    )
    outs = ("batch", "head", "row", "value")
    return Space(groups, ins, outs, (score,), ("query", "keys", "values"))


def _rowwise_space(op: RowwiseOp) -> Space:
    split = len(op.domain) - op.reduced.value.data
    groups = {"row": op.domain[:split], "col": op.domain[split:]}
    both = ("row", "col")
    return Space(groups, (both,) * len(op.ins), both, (both, both), sortable=both)


def _reduce_space(op: ReduceOp) -> Space:
    split = len(op.full_domain) - op.reduced.value.data
    groups = {"keep": op.full_domain[:split], "red": op.full_domain[split:]}
    full = ("keep", "red")
    ins = tuple(full if i in op.reduced_ins else ("keep",) for i in range(len(op.ins)))
    return Space(groups, ins, ("keep",), (full, ("keep",)))


def _gather_space(op: GatherOp) -> Space:
    entry, *features = op.in_access[0].sizes
    split = len(op.domain) - len(features)
    groups = {"i": op.domain[:split], "f": op.domain[split:], "entry": (entry,)}
    outer = ("i", "f")
    ins = (("entry", "f"), ("i",), *((outer,) * (len(op.ins) - 2)))
    return Space(groups, ins, outer, (outer,), ("table", "indices"))


def _window_space(op: KernelOp) -> Space:
    _, p, q, _ = op.domain
    groups = _singles("n h w c", op.in_access[0].sizes) | _singles("p q", (p, q))
    outer = ("n", "p", "q", "c")
    ins = (("n", "h", "w", "c"), *((outer,) * (len(op.ins) - 1)))
    return Space(groups, ins, outer, (outer,), ("input",))


def space_of(op: KernelOp) -> Space:
    match op:
        case ProductOp():
            return _product_space(op)
        case BackToBackGemmOp():
            return _back_to_back_space(op)
        case ConvOp():
            return _conv_space(op)
        case ConvPoolOp():
            return _conv_pool_space(op)
        case AttentionOp():
            return _attention_space(op)
        case RowwiseOp():
            return _rowwise_space(op)
        case ReduceOp():
            return _reduce_space(op)
        case GatherOp():
            return _gather_space(op)
        case PoolOp() | ResizeOp():
            return _window_space(op)
        case PointwiseOp() | CopyOp():
            return _pointwise_space(op)
        case _:
            raise CompileError(f"no code can be generated for {op.name}")


# Merging axes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Walk:
    """How one user (an operand, or an index in a region) walks the dims, group by group."""

    offset: Dim
    strides: Mapping[str, tuple[Dim, ...]]

    @staticmethod
    def of(access: AccessMap, groups: Sequence[str], sizes: Mapping[str, tuple[Dim, ...]]) -> Walk:
        strides: dict[str, tuple[Dim, ...]] = {}
        position = 0
        for group in groups:
            end = position + len(sizes[group])
            strides[group] = access.strides[position:end]
            position = end
        return Walk(access.offset, strides)


@dataclass(frozen=True)
class Merged:
    """The axes of one group after merging; `last[i]` is the original dim with axis i's stride."""

    sizes: tuple[Dim, ...]
    last: tuple[int, ...]

    @staticmethod
    def of(name: str, dims: Sequence[Dim], walks: Sequence[Walk], order: Sequence[int]) -> Merged:
        users = [walk.strides[name] for walk in walks if name in walk.strides]
        sizes: list[Dim] = []
        last: list[int] = []
        for dim in order:
            size = dims[dim]
            if size == 1:
                continue
            if last and all(strides[last[-1]] == strides[dim] * size for strides in users):
                sizes[-1], last[-1] = sizes[-1] * size, dim
            else:
                sizes.append(size)
                last.append(dim)
        return Merged(tuple(sizes), tuple(last))


def storage_order(name: str, dims: Sequence[Dim], result: Walk) -> list[int]:
    """The dims of a group, outermost in the result's memory first.

    Dims whose strides cannot be compared keep their order; an insertion sort, since that relation
    is no total order.
    """
    strides = result.strides[name]
    order: list[int] = []
    for dim in range(len(dims)):
        position = len(order)
        while position > 0 and _is_inside(strides[order[position - 1]], strides[dim]):
            position -= 1
        order.insert(position, dim)
    return order


def _is_inside(stride: Dim, other: Dim) -> bool:
    """Whether steps of `stride` are surely smaller than those of `other`."""
    return stride != other and provably_le(0, stride) and provably_le(stride, other)
