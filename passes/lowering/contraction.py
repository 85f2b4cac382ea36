"""Matrix products, convolution and attention as structured kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, UnitAttr, f32, i1, i64
from xdsl.ir import SSAValue

from ait.dialects import graph
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import AttentionOp, ConvOp, GemmOp
from ait.dialects.symbolic import Dim, dims_of, element_of
from ait.passes.lowering.launch import Lowered, Read, Rule, Write, along, broadcast, launch, read
from ait.passes.regions import ScalarBuilder, build_region, identity_region


def int_array(values: Sequence[int]) -> DenseArrayBase:
    """`array<i64: ...>`."""
    return DenseArrayBase.from_list(i64, list(values))


def _channels_last(layout: str) -> tuple[int, ...]:
    """The permutation of an image's dims into [N, H, W, C]."""
    return (0, 2, 3, 1) if layout == "nchw" else (0, 1, 2, 3)


def read_image(value: SSAValue, layout: str) -> Read:
    """An image of either layout, read over [N, H, W, C]."""
    return read(value, AccessMap.dense(dims_of(value)).permute(_channels_last(layout)))


def write_image(value: SSAValue, layout: str) -> Write:
    """A result image of either layout, written over [N, H, W, C]."""
    dims = dims_of(value)
    access = AccessMap.dense(dims).permute(_channels_last(layout))
    return Write(element_of(value), dims, access)


def _swap_last(permute: bool, rank: int) -> tuple[int, ...]:
    axes = list(range(rank))
    if permute:
        axes[-2:] = axes[:-3:-1]
    return tuple(axes)


def lower_matmul(op: graph.MatmulOp) -> Lowered:
    """A gemm; where the right factor has no batch, the left one's batch dims are rows."""
    domain = dims_of(op.result)
    batch, (m, n) = domain[:-2], domain[-2:]
    a, b = (_factor(v, t) for v, t in ((op.a, op.transpose_a), (op.b, op.transpose_b)))
    k = a.sizes[-1]
    if all(dim == 1 for dim in b.sizes[:-2]):
        groups = (0, len(batch) + 1, 1, 1)
        right = b.permute((b.rank - 2, b.rank - 1))
    else:
        groups = (len(batch), 1, 1, 1)
        right = _expand_batch(b, batch, (k, n))
    left = _expand_batch(a, batch, (m, k))
    return launch(
        GemmOp,
        op,
        [read(op.a, left), read(op.b, right)],
        [Write.dense(element_of(op.result), domain)],
        [identity_region([f32])],
        {"groups": int_array(groups)},
    )


def _factor(value: SSAValue, transposed: bool) -> AccessMap:
    dims = dims_of(value)
    return AccessMap.dense(dims).permute(_swap_last(transposed, len(dims)))


def _expand_batch(access: AccessMap, batch: Sequence[Dim], matrix: tuple[Dim, Dim]) -> AccessMap:
    return access.expand((*batch, *matrix))


def lower_linear(op: graph.LinearOp) -> Lowered:
    """A gemm whose rows are all leading dims of x; the bias is an epilogue."""
    domain = dims_of(op.result)
    weight = AccessMap.dense(dims_of(op.weight)).permute((1, 0))
    ins = [read(op.x), read(op.weight, weight)]
    epilogue = identity_region([f32])
    if op.bias is not None:
        ins.append(broadcast(op.bias, domain))
        epilogue = build_region([f32, f32], lambda b, args: [b.add(*args)])
    return launch(
        GemmOp,
        op,
        ins,
        [Write.dense(element_of(op.result), domain)],
        [epilogue],
        {"groups": int_array((0, len(domain) - 1, 1, 1))},
    )


def lower_conv2d(op: graph.Conv2dOp) -> Lowered:
    """A convolution over [N, H, W, C], whatever the layout; the bias is an epilogue."""
    out = write_image(op.result, op.layout)
    ins = [read_image(op.x, op.layout), read_image(op.weight, op.layout)]
    epilogue = identity_region([f32])
    if op.bias is not None:
        ins.append(along(op.bias, 3, out.access.sizes))
        epilogue = build_region([f32, f32], lambda b, args: [b.add(*args)])
    properties = {
        "strides": int_array(op.strides),
        "padding": int_array(op.padding),
        "dilations": int_array(op.dilations),
        "groups": IntegerAttr(op.groups, i64),
    }
    return launch(ConvOp, op, ins, [out], [epilogue], properties)


def lower_attention(op: graph.AttentionOp) -> Lowered:
    """Attention whose scale and mask are region code."""
    q, k = dims_of(op.q), dims_of(op.k)
    ins = [read(op.q), read(op.k), read(op.v)]
    if op.mask is not None:
        ins.append(broadcast(op.mask, (*q[:3], k[2])))

    def score(b: ScalarBuilder, args: Sequence[SSAValue]) -> Sequence[SSAValue]:
        s = b.scaled(args[0], op.scale)
        if len(args) == 1:
            return [s]
        mask = args[1]
        if mask.type == i1:
            return [b.select(mask, s, b.constant(float("-inf"), f32))]
        return [b.add(s, mask)]

    arguments = [f32, *(r.compute_type for r in ins[3:])]
    return launch(
        AttentionOp,
        op,
        ins,
        [Write.dense(element_of(op.result), dims_of(op.result))],
        [build_region(arguments, score)],
        {"causal": UnitAttr() if op.causal else None},
    )


RULES: Mapping[type, Rule] = {
    graph.AttentionOp: lower_attention,
    graph.Conv2dOp: lower_conv2d,
    graph.LinearOp: lower_linear,
    graph.MatmulOp: lower_matmul,
}
