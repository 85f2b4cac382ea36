"""What every family must stand: nothing to do, one of what there are many of, and operands that are
parts of larger tensors. The cases are those of the families, of other sizes or at other places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from xdsl.ir import BlockArgument

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import dims_of
from tests.compile.cuda.attention_cases import Heads, attention, dynamic_keys
from tests.compile.cuda.attention_cases import hopper as hopper_attention
from tests.compile.cuda.attention_cases import kept as kept_attention
from tests.compile.cuda.attention_cases import query as query_attention
from tests.compile.cuda.attention_cases import tensor as tensor_attention
from tests.compile.cuda.cases import (
    ELEMENTWISE,
    gated,
    transpose_of_any_size,
    wgmma,
)
from tests.compile.cuda.conv_cases import (
    Conv,
    Window,
    conv,
    conv_pool,
    halo,
    hopper,
    stem,
    tensor,
)
from tests.compile.cuda.kernels import Case
from tests.compile.cuda.row_cases import (
    CLUSTERED,
    GATHER,
    REDUCE,
    ROWWISE,
    embedding,
    group_norm,
    pool,
    resize,
)
from tests.compile.cuda.whole_row_cases import (
    back_to_back,
    back_to_back_parts,
    both,
    linear_norm,
    parts,
    wgmma_rows,
)

_TENSOR = re.compile(r"tensor<((?:\d+x)+)(\w+)>")
_MAP = re.compile(r"<offset (\d+), sizes \[([\d, ]*)\],\s+strides \[([\d, ]*)\]>")


def any_number(case: Case, most: int, number: int) -> Case:
    """The same kernel for up to `most` of what lies outermost, as no other dim is large, called
    with `number` of them."""
    bounds = f"n in [0, {most}]"

    def named(sizes: Sequence[str]) -> list[str]:
        return ["n" if size == str(most) else size for size in sizes]

    def type_of(found: re.Match[str]) -> str:
        sizes = found[1].split("x")[:-1]
        dims = named(sizes)
        if dims == sizes:
            return found[0]
        assert dims.count("n") == 1 and set(dims[: dims.index("n")]) <= {"1"}, f"{found[0]}"
        shape = "x".join(dims).replace("n", "?")
        return f"tensor<{shape}x{found[2]}, #sym.dims<[{', '.join(dims)}], {bounds}>>"

    def map_of(found: re.Match[str]) -> str:
        sizes = found[2].split(", ")
        dims = named(sizes)
        if dims == sizes:
            return found[0]
        return f"<offset {found[1]}, sizes [{', '.join(dims)}], strides [{found[3]}], {bounds}>"

    return replace(
        case,
        name=f"{case.name}_of_{number}",
        operands={name: _TENSOR.sub(type_of, type) for name, type in case.operands.items()},
        op=_MAP.sub(map_of, _TENSOR.sub(type_of, case.op)),
        dims={"n": number},
    )


def inside(case: Case, more: int = 16, **dims: int) -> Case:
    """The same kernel on parts of larger tensors, which have `more` elements along their last dim
    as it is stored, half of them before. `dims`: along which dim; other operands stay then."""
    (kernel,) = (op for op in case.program().module.walk() if isinstance(op, KernelOp))
    accesses = [*kernel.in_access, *kernel.out_access]
    operands, text, names = dict(case.operands), case.op, list(case.operands)
    for value, access in zip(kernel.operands, accesses, strict=True):
        assert isinstance(value, BlockArgument)
        name = names[value.index]
        shape = dims_of(value.type)  # pyright: ignore
        if shape and (not dims or name in dims):
            larger, place = _part(shape, access, dims.get(name, -1), more)  # pyright: ignore
            type = case.operands[name]
            operands[name] = f"tensor<{'x'.join(map(str, larger))}x{type.split('x')[-1]}"
            text, count = re.subn(
                rf"%{name}\s*(<[^>]*>)?\s*: {re.escape(type)}",
                f"%{name} {place} : {operands[name]}",
                text,
            )
            assert count == 1, f"{name} is {count} operands"
    return replace(case, name=f"{case.name}_inside", operands=operands, op=text)


def _part(shape: Sequence[int], access: AccessMap, dim: int, more: int) -> tuple[list[int], str]:
    """The shape of a tensor with `more` elements along a dim, and the access of what it had."""
    larger = [*shape]
    larger[dim] += more
    inner = prod(shape[dim:][1:])
    row, grown = shape[dim] * inner, larger[dim] * inner

    def moved(distance: int) -> int:
        return distance // row * grown + distance % row

    strides = [moved(stride) for stride in access.strides]  # pyright: ignore
    offset = moved(access.offset) + more // 2 * inner  # pyright: ignore
    return larger, f"<offset {offset}, sizes {list(access.sizes)}, strides {strides}>"


def _named(cases: Sequence[Case]) -> Mapping[str, Case]:
    return {case.name: case for case in cases}


# Of a few images, as many as there is of nothing else
_CONV = Conv(5, 6, 8, 16, 24)
_FEW = Conv(5, 6, 8, 4, 24)
_EACH = Conv(5, 6, 8, 16, 16, groups=16)
_OWN_CONV = "#plain.conv<tile = [64, 32, 32], units = tensor>"
_SCALAR_CONV = "#plain.conv<tile = [32, 32, 16], units = scalar>"
_MMA_CONV = tensor((64, 32, 32))
_OWN_ATTENTION = "#plain.attention"
_COPIES = _named(ELEMENTWISE)
_ROWS = _named([*ROWWISE, *CLUSTERED, *REDUCE, *GATHER])
_PLAIN_ATTENTIONS = {
    "own": _OWN_ATTENTION,
    "query": query_attention(2),
    "tensor": tensor_attention(16, 32, 1),
}

NUMBERS = [
    *(
        any_number(case, most, number)
        for case, most, numbers in (
            (conv("own_conv", _CONV, "f16", _OWN_CONV, block=True), 5, (0,)),
            (conv("mma_conv", _CONV, "f16", _MMA_CONV, block=True), 5, (0, 1)),
            (conv("depthwise", _EACH, "f16", "DepthwiseAttr", block=True), 5, (0, 1)),
            (conv("stem", _FEW, "f16", stem(2, 2, 3), block=True), 5, (0,)),
            (conv_pool("conv_pool", _FEW, Window(), stem(2, 2, 3), block=True), 5, (0,)),
            (gated(136, 40, 72, wgmma(64, 32, "pingpong", 3)), 136, (0, 1)),
            (gated(3, 33, 48, "GemvAttr", "bf16", 2), 3, (0,)),
            (back_to_back(70, 40, 64, 72, both(64, 96, 64, 3), "both"), 70, (0, 1)),
            (back_to_back_parts(70, 40, 72, 128, parts(64, 64, 64, 2, 2, 2), "parts"), 70, (1,)),
            (_ROWS["sum_rows"], 6, (0, 1)),
            (embedding(), 3, (0,)),
            (resize("bilinear", "bilinear", "half_pixel", (5, 6, 4, 8), (12, 7)), 5, (0,)),
            (pool("max_pool", "max", (5, 9, 8, 16), (4, 6), stride=2), 5, (0,)),
            (_COPIES["dense"], 6, (0, 1)),
            (_COPIES["copy_slice"], 6, (0,)),
            (_COPIES["copy_images_many"], 3, (0, 1)),
            (_COPIES["copy_anywhere_f32_125"], 2, (0, 1)),
            (group_norm("group_norm", 5, 33, 4, 10), 5, (0,)),
            # Places
            (group_norm("group_norm_places", 1, 33, 4, 10), 33, (0, 1)),
        )
        for number in numbers
    ),
    *(
        dynamic_keys(f"attention_{name}_{what}", *sizes, config)
        for name, config in _PLAIN_ATTENTIONS.items()
        for what, sizes in (("no_queries", (0, 20)), ("no_keys", (20, 0)), ("one", (1, 1)))
    ),
    replace(_COPIES["dynamic_transpose"], name="transpose_to_no_rows", dims={"n": 0}),
    transpose_of_any_size("f16", 0, 33, 0),
    transpose_of_any_size("f16", 33, 0, 0),
]

HOPPER_NUMBERS = [
    *(
        any_number(conv(name, _CONV, "bf16", config, block=True), 5, number)
        for name, config, numbers in (
            ("hopper_conv", hopper((64, 32, 16), "pingpong"), (0, 1)),
            ("hopper_conv_split", hopper((64, 64, 16), "cooperative", 1, 4, 4), (0,)),
            ("halo_conv", halo(2), (0, 1)),
        )
        for number in numbers
    ),
    any_number(
        attention("hopper_batches", Heads(5, 2, 70, 90, 40), "f16", hopper_attention(64, 48, 2)),
        5,
        0,
    ),
    *(
        dynamic_keys(f"hopper_{name}_{what}", *sizes, config)
        for name, config in (
            ("kept", kept_attention(192, 80, 4)),
            ("turns", hopper_attention(128, 64, 2, 1, "producer, overlapped, turns")),
            ("split", hopper_attention(64, 64, 2, 1, "splits = 2")),
        )
        for what, sizes in (("no_queries", (0, 20)), ("no_keys", (20, 0)))
    ),
]
"""Those of `NUMBERS` that only a GPU runs."""


_HEADS = Heads(2, 4, 21, 18, 24, 2, 40)

VIEWS = [
    *(
        inside(conv(f"{name}_conv", _CONV, element, config, block=True, result=result), more)
        for name, config, element, result, more in (
            ("own", _OWN_CONV, "f16", "f32", 16),
            ("scalar", _SCALAR_CONV, "f32", "f32", 5),
            ("mma", _MMA_CONV, "f16", "f16", 16),
            ("mma_odd", _MMA_CONV, "bf16", "f32", 6),
        )
    ),
    inside(conv("depthwise", _EACH, "f16", "DepthwiseAttr", block=True)),
    inside(conv("depthwise_odd", _EACH, "bf16", "DepthwiseAttr", block=True, result="f32"), 5),
    # Columns of the image, since its rows are dense
    inside(conv("stem", _FEW, "bf16", stem(2, 2, 3), block=True), x=2, r=3, o=3),
    inside(
        conv_pool("conv_pool", _FEW, Window(), stem(2, 2, 3), "bf16", block=True),
        x=2,
        m=3,
        r=3,
        o=3,
    ),
    inside(_ROWS["softmax_block"]),
    inside(_ROWS["softmax_odd"], 5),
    inside(_ROWS["softmax_columns_3"]),
    inside(_ROWS["clustered_softmax_uneven"]),
    inside(group_norm("group_norm", 2, 70, 4, 10)),
    inside(_ROWS["sum_rows"], 5),
    inside(_ROWS["squares"]),
    inside(_ROWS["gather_bytes"], 32),
    inside(resize("bilinear", "bilinear", "half_pixel", (2, 5, 4, 8), (7, 12))),
    inside(pool("max_pool", "max", (2, 9, 8, 16), (5, 4))),
    inside(_COPIES["dense_bf16"]),
    inside(_COPIES["copy_slice"]),
    inside(_COPIES["copy_images_many"]),
    inside(_COPIES["copy_anywhere_f32_125"], 5),
    inside(_COPIES["pointwise_across_72"]),
    inside(_COPIES["pointwise_anywhere_f32"], 5),
    inside(gated(136, 40, 72, wgmma(64, 32, "pingpong", 3))),
    inside(linear_norm(130, 96, 72, config=wgmma_rows(64, 32, 3, "pingpong", 4), kept=True)),
    inside(back_to_back(70, 40, 64, 72, both(64, 96, 64, 3), "both")),
    inside(back_to_back_parts(70, 40, 72, 128, parts(64, 64, 64, 2, 2, 2), "parts")),
    *(
        inside(attention(f"attention_{name}", _HEADS, "f16", config, True, result))
        for (name, config), result in zip(
            _PLAIN_ATTENTIONS.items(), ("f32", "f32", "f16"), strict=True
        )
    ),
    inside(attention("attention_odd", _HEADS, "bf16", tensor_attention(16, 32, 1)), 6),
]
