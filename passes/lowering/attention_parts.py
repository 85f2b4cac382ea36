"""Attention as three kernels, where a target has no kernel for it: the scores of all queries and
keys, their softmax, and the product with the values."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntegerAttr, f32, i64
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    AttentionOp,
    EmptyOp,
    GemmOp,
    KernelOp,
    RowwiseKind,
    RowwiseKindAttr,
    RowwiseOp,
    YieldOp,
)
from ait.dialects.symbolic import Dim, element_of, exact_div, tensor_type
from ait.passes.lowering.contraction import int_array
from ait.passes.regions import ScalarBuilder, build_region, identity_region, inline

_HEAD = 1
"""The dim of heads in all maps of attention."""


def attention_in_parts(op: AttentionOp) -> list[Operation] | None:
    """Ops the last of which has the result of `op`; they are in no block yet. Scores are kept as
    f32, their softmax as values are.

    None if it is not known which queries share which keys.
    """
    heads = _heads(op.in_access[0].sizes[_HEAD], op.in_access[1].sizes[_HEAD])
    if heads is None:
        return None
    attributes = dict(op.attributes)
    query, *extras = (_split(op.in_access[i], heads) for i in (0, *range(3, len(op.ins))))
    key, value = (_split(access, heads, are_shared=True) for access in op.in_access[1:3])
    domain = _split(AccessMap.dense(op.score_domain), heads).sizes
    first, last = (int_array((len(domain) - 2, 1, 1, 1)) for _ in range(2))
    every = AccessMap.dense(domain)

    raw = EmptyOp(tensor_type(f32, domain))
    scores = GemmOp(
        [op.ins[0], op.ins[1], *op.ins[3:]],
        [raw.result],
        [query, _transposed(key), *extras],
        [every],
        [_score(op, heads, domain)],
        {"groups": first},
        attributes,
    )
    empty = EmptyOp(tensor_type(element_of(op.ins[2]), domain))
    softmax = RowwiseOp(
        [scores.res[0]],
        [empty.result],
        [every],
        [every],
        [identity_region([f32]), build_region([f32, f32, f32], _weight)],
        {
            "kind": RowwiseKindAttr(RowwiseKind.SOFTMAX),
            "reduced": IntegerAttr(1, i64),
        },
        attributes,
    )
    weighted = GemmOp(
        [softmax.res[0], op.ins[2]],
        op.outs,
        [every, value],
        [_split(op.out_access[0], heads)],
        [identity_region([f32])],
        {"groups": last},
        attributes,
    )
    kernels: list[KernelOp] = [scores, softmax, weighted]
    for kernel in kernels:
        kernel.location = op.location
    return [raw, scores, empty, softmax, weighted]


def _heads(queries: Dim, keys: Dim) -> tuple[Dim, Dim] | None:
    """(heads of keys, heads of queries that share one of them)."""
    shared = 1 if queries == keys else exact_div(queries, keys)
    return None if shared is None else (keys, shared)


def _split(access: AccessMap, heads: tuple[Dim, Dim], are_shared: bool = False) -> AccessMap:
    """The same with two dims of heads, those of keys and those that share them, if any do.
    `are_shared`: the map has those of keys alone."""
    keys, shared = heads
    if shared == 1:
        return access
    stride = access.strides[_HEAD]
    strides: Sequence[Dim] = (stride, 0) if are_shared else (stride * shared, stride)
    before, after = slice(0, _HEAD), slice(_HEAD + 1, None)
    return AccessMap(
        access.offset,
        (*access.sizes[before], keys, shared, *access.sizes[after]),
        (*access.strides[before], *strides, *access.strides[after]),
    )


def _transposed(access: AccessMap) -> AccessMap:
    """With the last two dims in the other order."""
    return access.permute([*range(access.rank - 2), access.rank - 1, access.rank - 2])


def _score(op: AttentionOp, heads: tuple[Dim, Dim], domain: Sequence[Dim]) -> Region:
    """The region that makes scores of products; causal attention hides keys with -inf."""
    types: list[Attribute] = [argument.type for argument in op.score.block.args]
    block = Block(arg_types=types)
    values = inline(op.score, block, block.args, lambda access: _split(access, heads))
    assert values is not None, "every map can be split"
    score = values[0]
    if op.causal is not None:
        builder, rank = ScalarBuilder(block), len(domain)
        row, column = (_index(builder, domain, axis) for axis in (rank - 2, rank - 1))
        if (behind := domain[-1] - domain[-2]) != 0:
            row = builder.add(row, builder.dim(behind))
        hidden = builder.compare("greater", column, row)
        score = builder.select(hidden, builder.constant(float("-inf"), f32), score)
    block.add_op(YieldOp(score))
    return Region(block)


def _index(builder: ScalarBuilder, domain: Sequence[Dim], axis: int) -> SSAValue:
    strides = tuple(int(i == axis) for i in range(len(domain)))
    return builder.index(AccessMap(0, tuple(domain), strides))


def _weight(builder: ScalarBuilder, arguments: Sequence[SSAValue]) -> Sequence[SSAValue]:
    """The softmax, and 0 of what is hidden: a query that sees no key has no weights, not NaN."""
    weight, score, _ = arguments
    hidden = builder.compare("equal", score, builder.constant(float("-inf"), f32))
    return [builder.select(hidden, builder.constant(0.0, f32), weight)]
