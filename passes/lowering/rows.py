"""Softmax, norms and reductions as row kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import FloatAttr, IntegerAttr, f32, f64, i64
from xdsl.ir import Attribute, SSAValue

from ait.dialects import graph
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    PointwiseOp,
    ReduceKind,
    ReduceKindAttr,
    ReduceOp,
    RowwiseKind,
    RowwiseKindAttr,
    RowwiseOp,
    compute_type,
)
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of
from ait.passes.lowering.launch import (
    Lowered,
    Read,
    Rule,
    Write,
    along,
    broadcast,
    launch,
    read,
)
from ait.passes.regions import ScalarBuilder, build_region, identity_region


def _affine(b: ScalarBuilder, y: SSAValue, factors: Sequence[SSAValue]) -> SSAValue:
    """`y * weight + bias`, of which the trailing ones may be absent."""
    if factors:
        y = b.mul(y, factors[0])
    return b.add(y, factors[1]) if len(factors) > 1 else y


def _rowwise(
    op: graph.GraphOp,
    kind: RowwiseKind,
    x: Read,
    affine: Sequence[Read],
    out: Write,
    reduced: int,
    eps: float | None = None,
) -> Lowered:
    ins = [x, *affine]
    types: list[Attribute] = [r.compute_type for r in ins]

    def epilogue(b: ScalarBuilder, args: Sequence[SSAValue]) -> Sequence[SSAValue]:
        y, _, _, *factors = args
        return [_affine(b, y, factors)]

    return launch(
        RowwiseOp,
        op,
        ins,
        [out],
        [identity_region(types), build_region([f32, f32, *types], epilogue)],
        {
            "kind": RowwiseKindAttr(kind),
            "reduced": IntegerAttr(reduced, i64),
            "eps": None if eps is None else FloatAttr(eps, f64),
        },
    )


def _axis_last(axis: int, rank: int) -> tuple[int, ...]:
    return (*(i for i in range(rank) if i != axis), axis)


def lower_softmax(op: graph.SoftmaxOp | graph.LogSoftmaxOp) -> Lowered:
    """Rows along `axis`, wherever it lies in memory."""
    dims = dims_of(op.x)
    access = AccessMap.dense(dims).permute(_axis_last(op.axis, len(dims)))
    kind = _SOFTMAX_KINDS[type(op)]
    return _rowwise(op, kind, read(op.x, access), [], Write(element_of(op.x), dims, access), 1)


_SOFTMAX_KINDS: Mapping[type, RowwiseKind] = {
    graph.SoftmaxOp: RowwiseKind.SOFTMAX,
    graph.LogSoftmaxOp: RowwiseKind.LOG_SOFTMAX,
}


def lower_trailing_norm(op: graph.LayerNormOp | graph.RmsNormOp) -> Lowered:
    """Rows are the trailing dims; weight and bias range over them."""
    dims = dims_of(op.x)
    kind = _NORM_KINDS[type(op)]
    affine = [broadcast(factor, dims) for factor in op.affine]
    out = Write.dense(element_of(op.x), dims)
    return _rowwise(op, kind, read(op.x), affine, out, op.axes_rank, op.eps)


_NORM_KINDS: Mapping[type, RowwiseKind] = {
    graph.LayerNormOp: RowwiseKind.LAYER_NORM,
    graph.RmsNormOp: RowwiseKind.RMS_NORM,
}


def lower_group_norm(op: graph.GroupNormOp) -> Lowered:
    """A layer norm over [batch, group | spatial..., channels of the group]."""
    dims = dims_of(op.x)
    groups = op.num_groups
    channel = 1 if op.layout == "nchw" else len(dims) - 1
    split = (*dims[:channel], groups, dims[channel] // groups, *dims[channel + 1 :])
    inner = [i for i in range(1, len(split)) if i not in (channel, channel + 1)]
    order = (0, channel, *inner, channel + 1)
    dense = AccessMap.dense(dims).reshape(split)
    assert dense is not None, "splitting one dim of a dense tensor is a view"
    access = dense.permute(order)
    per_channel = dims[channel] // groups
    strides = (0, per_channel, *(0 for _ in inner), 1)
    affine = [read(f, AccessMap(0, access.sizes, strides)) for f in op.affine]
    out = Write(element_of(op.x), dims, access)
    reduced = len(split) - 2
    return _rowwise(op, RowwiseKind.LAYER_NORM, read(op.x, access), affine, out, reduced, op.eps)


def lower_batch_norm(op: graph.BatchNormOp) -> Lowered:
    """Pointwise: the statistics are inputs."""
    dims = dims_of(op.x)
    ins = [read(op.x), *(along(v, op.axis, dims) for v in (op.mean, op.variance, *op.affine))]

    def body(b: ScalarBuilder, args: Sequence[SSAValue]) -> Sequence[SSAValue]:
        x, mean, variance, *factors = args
        scale = b.unary("rsqrt", b.shifted(variance, op.eps))
        return [_affine(b, b.mul(b.sub(x, mean), scale), factors)]

    region = build_region([r.compute_type for r in ins], body)
    return launch(PointwiseOp, op, ins, [Write.dense(element_of(op.x), dims)], [region])


def _reduce(
    op: graph.GraphOp, x: SSAValue, kind: ReduceKind, axes: Sequence[int], mean: bool = False
) -> Lowered:
    dims, element = dims_of(x), element_of(x)
    keep = [i for i in range(len(dims)) if i not in axes]
    access = AccessMap.dense(dims).permute((*keep, *axes))
    kept: tuple[Dim, ...] = tuple(dims[i] for i in keep)
    count = dim_product(dims[i] for i in axes)
    result = compute_type(element) if kind is not ReduceKind.ARGMAX else i64

    def epilogue(b: ScalarBuilder, args: Sequence[SSAValue]) -> Sequence[SSAValue]:
        return [b.div(args[0], b.extent(count)) if mean else args[0]]

    value = op.results[0]
    return launch(
        ReduceOp,
        op,
        [read(x, access)],
        [Write(element_of(value), dims_of(value), AccessMap.dense(kept))],
        [identity_region([compute_type(element)]), build_region([result], epilogue)],
        {
            "kind": ReduceKindAttr(kind),
            "reduced": IntegerAttr(len(axes), i64),
            "extras": IntegerAttr(0, i64),
        },
    )


_REDUCE_KINDS: Mapping[type, ReduceKind] = {
    graph.ReduceMaxOp: ReduceKind.MAX,
    graph.ReduceMeanOp: ReduceKind.SUM,
    graph.ReduceMinOp: ReduceKind.MIN,
    graph.ReduceProdOp: ReduceKind.PROD,
    graph.ReduceSumOp: ReduceKind.SUM,
}


def lower_reduce(op: graph.ReduceOp) -> Lowered:
    """Kept dims, then reduced ones; a reduction over no axis is a reduction over one of size 1."""
    mean = isinstance(op, graph.ReduceMeanOp)
    return _reduce(op, op.x, _REDUCE_KINDS[type(op)], op.axes, mean)


def lower_argmax(op: graph.ArgmaxOp) -> Lowered:
    """The reduction whose value is an index."""
    return _reduce(op, op.x, ReduceKind.ARGMAX, [op.axis])


RULES: Mapping[type, Rule] = {
    graph.ArgmaxOp: lower_argmax,
    graph.BatchNormOp: lower_batch_norm,
    graph.GroupNormOp: lower_group_norm,
    graph.LayerNormOp: lower_trailing_norm,
    graph.LogSoftmaxOp: lower_softmax,
    graph.RmsNormOp: lower_trailing_norm,
    graph.SoftmaxOp: lower_softmax,
    **dict.fromkeys(_REDUCE_KINDS, lower_reduce),
}
