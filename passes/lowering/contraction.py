"""Matrix products, convolution and attention as structured kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, UnitAttr, f32, i1, i64
from xdsl.ir import Operation, SSAValue

from ait.dialects import graph
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import AttentionOp, ConvOp, CopyOp, GemmOp
from ait.dialects.symbolic import Dim, dims_of, element_of, floordiv
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


def lower_conv_transpose2d(op: graph.ConvTranspose2dOp) -> Lowered:
    """A gemm where windows do not overlap; else a convolution, with the kernel turned around, of
    the image with zeros between its pixels."""
    if _is_tiling(op):
        return _lower_tiling(op)
    made, filters = _transposed_filters(op)
    _, r, s, _ = filters.access.sizes
    turned = filters.access.slice((0, r - 1, s - 1, 0), filters.access.sizes, (1, -1, -1, 1))
    out = write_image(op.result, op.layout)
    ins = [read_image(op.x, op.layout), read(filters.base, turned)]
    epilogue = identity_region([f32])
    if op.bias is not None:
        ins.append(along(op.bias, 3, out.access.sizes))
        epilogue = build_region([f32, f32], lambda b, args: [b.add(*args)])
    reach = [d * (k - 1) for d, k in zip(op.dilations, _kernel(op), strict=True)]
    before = [n - cut for n, cut in zip(reach, op.padding[:2], strict=True)]
    behind = [
        n - cut + more
        for n, cut, more in zip(reach, op.padding[2:], op.output_padding, strict=True)
    ]
    properties = {
        "strides": int_array((1, 1)),
        "padding": int_array((*before, *behind)),
        "dilations": int_array(op.dilations),
        "input_dilations": int_array(op.strides) if max(op.strides) > 1 else None,
        "groups": IntegerAttr(op.groups, i64),
    }
    lowered = launch(ConvOp, op, ins, [out], [epilogue], properties)
    return Lowered([*made, *lowered.ops], lowered.results)


def _kernel(op: graph.ConvTranspose2dOp) -> tuple[int, int]:
    """Rows and columns of the weights."""
    axes = (2, 3) if op.layout == "nchw" else (1, 2)
    r, s = (dims_of(op.weight)[axis] for axis in axes)
    assert isinstance(r, int) and isinstance(s, int), "the op's verifier asks for static weights"
    return r, s


def _grouped_filters(op: graph.ConvTranspose2dOp) -> AccessMap:
    """The weights over [groups, o, r, s, c], o and c being those of one group."""
    groups = op.groups
    if op.layout == "nchw":
        c, o, r, s = dims_of(op.weight)
        split = AccessMap.dense((groups, floordiv(c, groups), o, r, s))
        return split.permute((0, 2, 3, 4, 1))
    o, r, s, c = dims_of(op.weight)
    return AccessMap.dense((groups, floordiv(o, groups), r, s, c))


def _transposed_filters(op: graph.ConvTranspose2dOp) -> tuple[list[Operation], Read]:
    """The weights over [o, r, s, c / groups]; copied first where no strides can tell."""
    grouped = _grouped_filters(op)
    groups, o, *rest = grouped.sizes
    dims = (groups * o, *rest)
    access = grouped.reshape(dims)
    if access is not None:
        return [], read(op.weight, access)
    element = element_of(op.weight)
    write = Write(element, dims, AccessMap.dense(grouped.sizes))
    copied = launch(CopyOp, op, [read(op.weight, grouped)], [write], [])
    return copied.ops, read(copied.results[0])


def _is_tiling(op: graph.ConvTranspose2dOp) -> bool:
    """Whether the windows that pixels write lie side by side."""
    dense = all(k == 1 or d == 1 for k, d in zip(_kernel(op), op.dilations, strict=True))
    uncut = not any((*op.padding, *op.output_padding))
    return dense and uncut and _kernel(op) == tuple(op.strides)


def _lower_tiling(op: graph.ConvTranspose2dOp) -> Lowered:
    """A gemm over [groups; n, h, w; r, s, o; c] that writes each pixel's window in its place."""
    groups, o, r, s, c = _grouped_filters(op).sizes
    image, result = (
        AccessMap.dense(dims_of(v)).permute(_channels_last(op.layout)) for v in (op.x, op.result)
    )
    n, h, w, _ = image.sizes
    sn, sh, sw, sc = image.strides
    left = AccessMap(0, (groups, n, h, w, c), (sc * c, sn, sh, sw, sc))
    right = _grouped_filters(op).permute((0, 4, 2, 3, 1))
    sn, sh, sw, so = result.strides
    sizes = (groups, n, h, w, r, s, o)
    place = AccessMap(0, sizes, (so * o, sn, sh * r, sw * s, sh, sw, so))
    batched = int(groups != 1)

    def within(access: AccessMap) -> AccessMap:
        return access.select(range(1 - batched, access.rank))

    ins = [read(op.x, within(left)), read(op.weight, within(right))]
    epilogue = identity_region([f32])
    if op.bias is not None:
        ins.append(read(op.bias, within(AccessMap(0, sizes, (o, 0, 0, 0, 0, 0, 1)))))
        epilogue = build_region([f32, f32], lambda b, args: [b.add(*args)])
    return launch(
        GemmOp,
        op,
        ins,
        [Write(element_of(op.result), dims_of(op.result), within(place))],
        [epilogue],
        {"groups": int_array((batched, 3, 3, 1))},
    )


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
    graph.ConvTranspose2dOp: lower_conv_transpose2d,
    graph.LinearOp: lower_linear,
    graph.MatmulOp: lower_matmul,
}
