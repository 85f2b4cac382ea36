"""Graph ops: construction, inferred types, and round trips of every op in both formats."""

import io
from collections.abc import Callable

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import (
    Builtin,
    DenseIntOrFPElementsAttr,
    ModuleOp,
    StringAttr,
    TensorType,
    bf16,
    f16,
    f32,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.dialects.func import Func, FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer

from ait.dialects.graph import (
    BINARY_OPS,
    UNARY_OPS,
    AdaptiveAvgPool2dOp,
    AdaptiveMaxPool2dOp,
    ArgmaxOp,
    AttentionOp,
    AvgPool2dOp,
    BatchNormOp,
    CastOp,
    ClampOp,
    ConcatOp,
    ConstantOp,
    Conv2dOp,
    ConvTranspose2dOp,
    ExpandOp,
    GatherOp,
    GeluOp,
    GetParameterOp,
    Graph,
    GroupNormOp,
    IotaOp,
    LayerNormOp,
    LinearOp,
    LogicalAndOp,
    LogicalNotOp,
    LogSoftmaxOp,
    MatmulOp,
    MaxPool2dOp,
    PadOp,
    ParameterOp,
    PermuteOp,
    ReduceMaxOp,
    ReduceMeanOp,
    ReduceMinOp,
    ReduceProdOp,
    ReduceSumOp,
    ReshapeOp,
    ResizeOp,
    RmsNormOp,
    SelectOp,
    SliceOp,
    SoftmaxOp,
    SplitOp,
)
from ait.dialects.symbolic import Dim, Sym, dims_of, symbol, tensor_type

B = symbol("batch", 1, 64)
S = symbol("seq", 1, 256)

Build = Callable[..., Operation]


def value(dims: tuple[Dim, ...], element: Attribute = f32) -> SSAValue:
    return Block(arg_types=[tensor_type(element, dims)]).args[0]


def generic(module: ModuleOp) -> str:
    out = io.StringIO()
    Printer(out, print_generic_format=True).print_op(module)
    return out.getvalue()


def context() -> Context:
    ctx = Context()
    for dialect in (Builtin, Func, Sym, Graph):
        ctx.load_dialect(dialect)
    return ctx


X = (B, 4, S)
IMAGE = (B, 6, 16, 16)

# One or more instances of every op: (builder, operand dims or (dims, element), result dims).
CASES: list[tuple[Build, list[object], object]] = [
    *[(op, [X], X) for op in UNARY_OPS if op not in (LogicalNotOp, CastOp, ClampOp)],
    (LogicalNotOp, [(X, i1)], X),
    (lambda x: CastOp(x, f16), [(X, i32)], X),
    (lambda x: CastOp(x, i1), [X], X),
    (lambda x: ClampOp(x, min=0.5), [X], X),
    (lambda x: ClampOp(x, max=float("inf")), [X], X),
    (lambda x: ClampOp(x, min=-3, max=6), [(X, i8)], X),
    (ClampOp, [X], X),
    (lambda x: GeluOp(x, approximate="tanh"), [(X, bf16)], X),
    *[
        (op, [(X, i1), ((4, 1), i1)], X)
        if op.ACCEPTS == LogicalAndOp.ACCEPTS
        else (op, [X, (4, 1)], X)
        for op in BINARY_OPS
    ],
    (SelectOp, [((4, S), i1), X, ()], X),
    (MatmulOp, [(B, 3, 5, 7), (7, 9)], (B, 3, 5, 9)),
    (lambda a, b: MatmulOp(a, b, transpose_a=True), [(B, 5, S), (1, 5, 9)], (B, S, 9)),
    (lambda a, b: MatmulOp(a, b, transpose_b=True), [(S, 7), (B, 9, 7)], (B, S, 9)),
    (LinearOp, [(B, S, 8), (16, 8)], (B, S, 16)),
    (LinearOp, [(8,), (16, 8), (16,)], (16,)),
    (
        lambda x, w, b: Conv2dOp(x, w, b, strides=(2, 2), padding=(1, 1, 1, 1)),
        [(B, 6, 16, 16), (8, 6, 3, 3), (8,)],
        (B, 8, 8, 8),
    ),
    (
        lambda x, w: Conv2dOp(x, w, groups=2, dilations=(2, 1), layout="nhwc"),
        [(B, S + 8, 9, 6), (8, 3, 2, 3)],
        (B, S + 4, 8, 8),
    ),
    (
        lambda x, w, b: ConvTranspose2dOp(x, w, b, strides=(2, 2), padding=(1, 1, 1, 1)),
        [(B, 6, 8, S), (6, 8, 4, 4), (8,)],
        (B, 8, 16, S * 2),
    ),
    (
        lambda x, w: ConvTranspose2dOp(
            x, w, strides=(2, 3), output_padding=(1, 0), dilations=(1, 2), groups=2, layout="nhwc"
        ),
        [(B, 5, S, 6), (8, 3, 2, 3)],
        (B, 12, S * 3, 8),
    ),
    (
        lambda x: MaxPool2dOp(x, kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1)),
        [IMAGE],
        (B, 6, 8, 8),
    ),
    (
        lambda x: MaxPool2dOp(x, kernel=(2, 2), ceil_mode=True, layout="nhwc", dilations=(1, 2)),
        [(B, 5, 7, 3)],
        (B, 3, 3, 3),
    ),
    (lambda x: AvgPool2dOp(x, kernel=(2, 4)), [IMAGE], (B, 6, 8, 4)),
    (
        lambda x: AvgPool2dOp(x, kernel=(3, 3), ceil_mode=True, count_include_pad=False),
        [IMAGE],
        (B, 6, 6, 6),
    ),
    (lambda x: AdaptiveAvgPool2dOp(x, output_size=(1, 1)), [IMAGE], (B, 6, 1, 1)),
    (
        lambda x: AdaptiveMaxPool2dOp(x, output_size=(2, 3), layout="nhwc"),
        [(B, S, 5, 3)],
        (B, 2, 3, 3),
    ),
    (lambda x: ResizeOp(x, size=(32, S)), [IMAGE], (B, 6, 32, S)),
    (
        lambda x: ResizeOp(
            x, size=(3, 4), mode="bilinear", coordinates="align_corners", layout="nhwc"
        ),
        [IMAGE],
        (B, 3, 4, 16),
    ),
    (SoftmaxOp, [X], X),
    (lambda x: LogSoftmaxOp(x, axis=1), [X], X),
    (LayerNormOp, [(B, 4, 8)], (B, 4, 8)),
    (lambda x, w: LayerNormOp(x, w, axes_rank=2), [(B, 4, 8), (4, 8)], (B, 4, 8)),
    (lambda x, w, b: LayerNormOp(x, w, b, eps=1e-12), [(B, 8), (8,), (8,)], (B, 8)),
    (RmsNormOp, [(B, 4, 8)], (B, 4, 8)),
    (RmsNormOp, [(B, 4, S), (S,)], (B, 4, S)),
    (lambda x, w, b: GroupNormOp(x, w, b, num_groups=2), [IMAGE, (6,), (6,)], IMAGE),
    (lambda x: GroupNormOp(x, num_groups=4, layout="nhwc"), [IMAGE], IMAGE),
    (BatchNormOp, [IMAGE, (6,), (6,)], IMAGE),
    (
        lambda x, m, v, w, b: BatchNormOp(x, m, v, w, b, axis=-1),
        [IMAGE, (16,), (16,), (16,), (16,)],
        IMAGE,
    ),
    (ReduceSumOp, [(X, i64)], ()),
    (lambda x: ReduceMeanOp(x, axes=[-1, 0], keepdims=True), [X], (1, 4, 1)),
    (lambda x: ReduceMaxOp(x, axes=[1]), [X], (B, S)),
    (lambda x: ReduceMinOp(x, axes=[]), [X], X),
    (lambda x: ReduceProdOp(x, axes=[0]), [X], (4, S)),
    (lambda x: ArgmaxOp(x, axis=-1), [X], (B, 4)),
    (lambda x: ArgmaxOp(x, axis=1, keepdims=True), [(X, i32)], (B, 1, S)),
    (AttentionOp, [(B, 4, S, 16), (B, 2, 7, 16), (B, 2, 7, 8)], (B, 4, S, 8)),
    (
        lambda q, k, v, m: AttentionOp(q, k, v, m, scale=0.5, causal=True),
        [(B, 4, S, 16), (B, 4, S, 16), (B, 4, S, 16), ((S, S), i1)],
        (B, 4, S, 16),
    ),
    (GatherOp, [(100, 8), ((B, S), i64)], (B, S, 8)),
    (lambda x, i: GatherOp(x, i, axis=-1), [(3, 4), ((), i32)], (3,)),
    (lambda *xs: ConcatOp(*xs, axis=-1), [X, (B, 4, 3), (B, 4, S)], (B, 4, 2 * S + 3)),
    (
        lambda x: SplitOp(x, axis=-1, sizes=(S, 3, S)),
        [(B, 2 * S + 3)],
        [(B, S), (B, 3), (B, S)],
    ),
    (lambda x: SplitOp(x, axis=0, sizes=(4,)), [(4,)], [(4,)]),
    (lambda x: SliceOp(x, offsets=(0, 1), sizes=(B, 2)), [(B, 3)], (B, 2)),
    (
        lambda x: SliceOp(x, offsets=(0, B - 1, 3), sizes=((S + 1) // 2, B, 2), steps=(2, -1, -2)),
        [(S, B, 4)],
        ((S + 1) // 2, B, 2),
    ),
    (lambda x: SliceOp(x, offsets=(S - 1,), sizes=(1,)), [(S,)], (1,)),
    (lambda x: SliceOp(x, offsets=(0,), sizes=(S,)), [(512,)], (S,)),
    (lambda x: ReshapeOp(x, (B * S, 2, 2)), [X], (B * S, 2, 2)),
    (lambda x: ReshapeOp(x, ()), [(1, 1)], ()),
    (lambda x: PermuteOp(x, (2, 0, -2)), [X], (S, B, 4)),
    (lambda x: ExpandOp(x, (B, S, 4)), [(S, 1)], (B, S, 4)),
    (lambda x: PadOp(x, low=(0, 1), high=(2, 3), value=-1.5), [(B, 4)], (B + 2, 8)),
    (lambda x: PadOp(x, low=(1,), high=(0,), value=1), [((S,), i1)], (S + 1,)),
    (lambda: ConstantOp(dense((2, 2), f32, [1.0, -0.5, 3e8, 0.1])), [], (2, 2)),
    (lambda: ConstantOp(dense((), i1, [1])), [], ()),
    (lambda: IotaOp((B, S), axis=-1), [], (B, S)),
    (lambda: IotaOp((7,), element=f32), [], (7,)),
]


def dense(dims: tuple[int, ...], element: Attribute, data: list[float]) -> DenseIntOrFPElementsAttr:
    return DenseIntOrFPElementsAttr.from_list(TensorType(element, dims), data)  # type: ignore


def build(case: tuple[Build, list[object], object]) -> tuple[Block, Operation]:
    builder, operands, _ = case
    typed = [
        (o, f32) if not (len(o) == 2 and isinstance(o[0], tuple)) else o  # type: ignore
        for o in operands
    ]
    block = Block(arg_types=[tensor_type(e, d) for d, e in typed])  # type: ignore
    op = builder(*block.args)
    block.add_op(op)
    return block, op


def label(case: tuple[Build, list[object], object]) -> str:
    return build(case)[1].name


def in_module(block: Block) -> ModuleOp:
    types = [a.type for a in block.args]
    func = FuncOp("main", (types, []))
    for new, old in zip(func.body.block.args, block.args, strict=True):
        old.replace_all_uses_with(new)
    for op in list(block.ops):
        op.detach()
        func.body.block.add_op(op)
    func.body.block.add_op(ReturnOp())
    return ModuleOp([func])


@pytest.mark.parametrize("case", CASES, ids=label)
def test_infers_and_round_trips(case: tuple[Build, list[object], object]) -> None:
    block, op = build(case)
    wanted = case[2] if isinstance(case[2], list) else [case[2]]
    assert [dims_of(r) for r in op.results] == wanted
    module = in_module(block)
    module.verify()
    ctx = context()
    op.attributes["source"] = StringAttr("a.b")
    for text in (str(module), generic(module)):
        again = Parser(ctx, text).parse_module()
        again.verify()
        assert generic(again) == generic(module)
        assert str(again) == str(module)


def test_every_op_has_a_case_and_a_docstring() -> None:
    tested = {type(build(case)[1]) for case in CASES} | {ParameterOp, GetParameterOp}
    assert tested == set(Graph.operations)
    for op in Graph.operations:
        assert vars(op)["__doc__"], op.name
