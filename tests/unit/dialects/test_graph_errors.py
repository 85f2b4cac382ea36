"""What graph ops' constructors refuse, and how ops look from Python."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, TensorType, bf16, f16, f32, f64, i8, i64
from xdsl.ir import Attribute, Block, SSAValue

from ait.dialects import graph
from ait.dialects.graph.base import GraphOp
from ait.dialects.symbolic import Dim, dims_of, symbol, tensor_type
from ait.errors import ShapeError

B = symbol("batch", 1, 64)
S = symbol("seq", 1, 256)


def value(*dims: Dim, element: Attribute = f32) -> SSAValue:
    return Block(arg_types=[tensor_type(element, dims)]).args[0]


REFUSED: dict[str, tuple[Callable[[], GraphOp], str]] = {
    "broadcast": (
        lambda: graph.AddOp(value(B, 4), value(S, 4)),
        "graph.add: lhs [batch, 4] and rhs [seq, 4] do not broadcast: batch against seq in dim -2",
    ),
    "choice": (
        lambda: graph.GeluOp(value(4), approximate="fast"),
        'graph.gelu: approximate must be one of "none", "tanh", not "fast"',
    ),
    "axis": (lambda: graph.SoftmaxOp(value(4), axis=-2), "axis = -1 is outside [0, 1)"),
    "length": (
        lambda: graph.Conv2dOp(value(1, 3, 8, 8), value(4, 3, 3, 3), padding=(1, 1)),
        "graph.conv2d: padding must be 4 i64 integers",
    ),
    "element": (
        lambda: graph.CastOp(value(4), f64),
        "result has elements f64, not one of f32, f16, bf16, f8E4M3FN, i64, i32, i8, i1",
    ),
    "bias": (
        lambda: graph.LayerNormOp(value(4), None, value(4)),
        "graph.layer_norm: a bias needs a weight",
    ),
    "heads": (
        lambda: graph.AttentionOp(value(B, 3, S, 8), value(B, 2, S, 8), value(B, 2, S, 8)),
        "are not a multiple of the heads of k",
    ),
    "scale": (
        lambda: graph.AttentionOp(*[value(B, 3, S, S)] * 3),
        "q [batch, 3, seq, seq] has no static width: give a scale",
    ),
    "unnamed": (
        lambda: graph.ReluOp(Block(arg_types=[TensorType(f32, [-(2**63)])]).args[0]),
        "has a dynamic dim without a name",
    ),
    "negative dims": (
        lambda: graph.IotaOp((S - 300,)),
        "graph.iota: dim seq - 300 is negative",
    ),
    "slice of a symbol": (
        lambda: graph.SliceOp(value(S), offsets=(0,), sizes=(2,)),
        "2 elements from 0 in steps of 1 are not certain to lie inside dim 0, of extent seq",
    ),
    "same name, other bounds": (
        lambda: graph.AddOp(value(B, 4), value(symbol("batch", 1, 8), 4)),
        "batch (batch in [1, 64]) against batch (batch in [1, 8])",
    ),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(build: Callable[[], GraphOp], message: str) -> None:
    with pytest.raises(ShapeError) as error:
        build()
    assert message in str(error.value)


def test_a_symbol_may_not_have_two_bounds_in_one_result() -> None:
    with pytest.raises(ShapeError, match="dim 'batch' is given two different bounds"):
        graph.MatmulOp(value(B, 4), value(4, symbol("batch", 1, 8)))


def test_properties_are_python_values() -> None:
    conv = graph.Conv2dOp(value(1, 3, 8, 8), value(4, 3, 3, 3), strides=(2, 1))
    assert conv.strides == (2, 1) and conv.groups == 1 and conv.layout == "nchw"
    reduce = graph.ReduceSumOp(value(2, 3, 4), axes=[-1, 0], keepdims=True)
    assert reduce.axes == (0, 2) and reduce.keepdims is True
    assert graph.ReduceSumOp(value(2, 3)).axes == (0, 1)
    assert graph.SoftmaxOp(value(2, 3)).axis == 1
    assert graph.AttentionOp(*[value(B, 3, S, 16)] * 3).scale == 0.25
    clamp = graph.ClampOp(value(4), min=0)
    assert clamp.min == 0.0 and isinstance(clamp.min, float) and clamp.max is None
    assert isinstance(graph.ClampOp(value(4, element=i8), max=6).max, int)
    assert graph.CastOp(value(4), f16).element == f16
    assert graph.ReshapeOp(value(B, 4), (B * 4,)).dims == (B * 4,)
    norm = graph.BatchNormOp(*[value(1, 3, 4), *[value(3)] * 4])
    assert norm.weight is norm.operands[3] and norm.bias is norm.operands[4]


def test_equal_ops_store_equal_properties() -> None:
    """A default that is given and one that is not are one op."""
    given = graph.Conv2dOp(value(1, 3, 8, 8), value(4, 3, 3, 3), groups=1, strides=[1, 1])
    assert given.properties == graph.Conv2dOp(value(1, 3, 8, 8), value(4, 3, 3, 3)).properties
    assert graph.MatmulOp(value(2, 2), value(2, 2), transpose_a=False).properties == {}


def test_unknown_properties_are_no_silent_extras() -> None:
    with pytest.raises(TypeError, match=r"graph\.relu: missing or unknown properties: alpha"):
        graph.ReluOp(value(4), alpha=1.0)


def test_types_are_inferred_from_attributes() -> None:
    x = tensor_type(bf16, (B, 8))
    (inferred,) = graph.SoftmaxOp.infer_types([x], {"axis": IntegerAttr(1, i64)})
    assert inferred == x
    norm = {"axes_rank": IntegerAttr(1, i64), "eps": FloatAttr(1e-5, f64)}
    with pytest.raises(ShapeError, match=r"weight \[9\] must be \[8\]"):
        graph.LayerNormOp.infer_types([x, tensor_type(bf16, (9,))], norm)


def test_symbolic_extents_of_windows() -> None:
    h, w = symbol("h", 32, 512), symbol("w", 32, 512)
    x = value(B, 3, h, w)
    conv = graph.Conv2dOp(x, value(8, 3, 3, 3), strides=(2, 2), padding=(1, 1, 1, 1))
    assert dims_of(conv.result) == (B, 8, (h - 1) // 2 + 1, (w - 1) // 2 + 1)
    same = graph.Conv2dOp(x, value(8, 3, 3, 3), padding=(1, 1, 1, 1))
    assert dims_of(same.result) == (B, 8, h, w)
    back = graph.ConvTranspose2dOp(x, value(3, 8, 3, 3), strides=(2, 2), padding=(1, 1, 1, 1))
    assert dims_of(back.result) == (B, 8, h * 2 - 1, w * 2 - 1)
    doubled = graph.ResizeOp(x, size=(h * 2, w * 2))
    halved = graph.AvgPool2dOp(doubled.result, kernel=(2, 2))
    assert dims_of(halved.result) == (B, 3, h, w)


def test_construction_is_cheap() -> None:
    x, w, b = value(B, S, 64), value(64, 64), value(64)

    def layer(y: Any) -> Any:
        y = graph.LayerNormOp(graph.AddOp(graph.LinearOp(y, w, b), y), b, b)
        y = graph.PermuteOp(graph.ReshapeOp(graph.GeluOp(y), (B, S, 8, 8)), (0, 1, 3, 2))
        return graph.ReshapeOp(y, (B, S, 64)).result

    start = time.process_time()
    for _ in range(120):
        x = layer(x)
    assert time.process_time() - start < 1.0  # 840 ops, in 0.12 s on an idle machine
