"""Elementwise graph ops as scalar code, and as `kernel.pointwise`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from xdsl.ir import SSAValue

from ait.dialects import graph
from ait.dialects.accessor import AccessMap
from ait.dialects.graph import ElementwiseOp
from ait.dialects.kernel import PointwiseOp, compute_type
from ait.dialects.symbolic import dims_of, element_of
from ait.errors import CompileError
from ait.passes.lowering.launch import Lowered, Rule, Write, broadcast, launch
from ait.passes.regions import ScalarBuilder, build_region

Scalar: TypeAlias = Callable[..., SSAValue]
"""`(builder, op, operands...) -> value`, in the operands' compute types."""


def _plain(method: Callable[..., SSAValue]) -> Scalar:
    """The code of an op without properties: one method of the builder."""

    def scalar(b: ScalarBuilder, op: object, *operands: SSAValue) -> SSAValue:
        return method(b, *operands)

    return scalar


def _unary(name: str) -> Scalar:
    def scalar(b: ScalarBuilder, x: SSAValue) -> SSAValue:
        return b.unary(name, x)

    return _plain(scalar)


def _binary(name: str) -> Scalar:
    def scalar(b: ScalarBuilder, x: SSAValue, y: SSAValue) -> SSAValue:
        return b.binary(name, x, y)

    return _plain(scalar)


def _compare(name: str) -> Scalar:
    def scalar(b: ScalarBuilder, x: SSAValue, y: SSAValue) -> SSAValue:
        return b.compare(name, x, y)

    return _plain(scalar)


def _cast(b: ScalarBuilder, op: graph.CastOp, x: SSAValue) -> SSAValue:
    return b.cast(x, element_of(op.result))


def _silu(b: ScalarBuilder, x: SSAValue) -> SSAValue:
    return b.mul(x, b.sigmoid(x))


def _hardswish(b: ScalarBuilder, x: SSAValue) -> SSAValue:
    return b.mul(x, _hardsigmoid(b, x))


def _clamp(b: ScalarBuilder, op: graph.ClampOp, x: SSAValue) -> SSAValue:
    if op.min is not None:
        x = b.maximum(x, b.constant(op.min, x.type))
    if op.max is not None:
        x = b.minimum(x, b.constant(op.max, x.type))
    return x


def _relu(b: ScalarBuilder, op: graph.ReluOp, x: SSAValue) -> SSAValue:
    return b.maximum(x, b.constant(0, x.type))


def _gelu(b: ScalarBuilder, op: graph.GeluOp, x: SSAValue) -> SSAValue:
    if op.approximate == "tanh":
        cube = b.mul(b.mul(x, x), x)
        inner = b.scaled(b.add(x, b.scaled(cube, 0.044715)), math.sqrt(2 / math.pi))
        return b.mul(b.scaled(x, 0.5), b.shifted(b.unary("tanh", inner), 1))
    erf = b.unary("erf", b.scaled(x, math.sqrt(0.5)))
    return b.mul(b.scaled(x, 0.5), b.shifted(erf, 1))


def _hardsigmoid(b: ScalarBuilder, x: SSAValue) -> SSAValue:
    shifted = b.shifted(x, 3)
    clamped = b.minimum(b.maximum(shifted, b.constant(0, x.type)), b.constant(6, x.type))
    return b.scaled(clamped, 1 / 6)


def _leaky_relu(b: ScalarBuilder, op: graph.LeakyReluOp, x: SSAValue) -> SSAValue:
    positive = b.compare("greater", x, b.constant(0, x.type))
    return b.select(positive, x, b.scaled(x, op.negative_slope))


def _elu(b: ScalarBuilder, op: graph.EluOp, x: SSAValue) -> SSAValue:
    positive = b.compare("greater", x, b.constant(0, x.type))
    return b.select(positive, x, b.scaled(b.unary("expm1", x), op.alpha))


def _softplus(b: ScalarBuilder, op: graph.SoftplusOp, x: SSAValue) -> SSAValue:
    # log(1 + e^x) = max(x, 0) + log1p(e^-|x|) does not overflow.
    tail = b.unary("log1p", b.unary("exp", b.neg(b.abs(x))))
    return b.add(b.maximum(x, b.constant(0, x.type)), tail)


def _reciprocal(b: ScalarBuilder, x: SSAValue) -> SSAValue:
    return b.div(b.constant(1, x.type), x)


SCALARS: Mapping[type[ElementwiseOp], Scalar] = {
    graph.AbsOp: _plain(ScalarBuilder.abs),
    graph.AddOp: _binary("add"),
    graph.CastOp: _cast,
    graph.CeilOp: _unary("ceil"),
    graph.ClampOp: _clamp,
    graph.CosOp: _unary("cos"),
    graph.DivOp: _binary("div"),
    graph.EluOp: _elu,
    graph.EqualOp: _compare("equal"),
    graph.ErfOp: _unary("erf"),
    graph.ExpOp: _unary("exp"),
    graph.FloorDivideOp: _plain(ScalarBuilder.floor_divide),
    graph.FloorOp: _unary("floor"),
    graph.GeluOp: _gelu,
    graph.GreaterEqualOp: _compare("greater_equal"),
    graph.GreaterOp: _compare("greater"),
    graph.HardsigmoidOp: _plain(_hardsigmoid),
    graph.HardswishOp: _plain(_hardswish),
    graph.LeakyReluOp: _leaky_relu,
    graph.LessEqualOp: _compare("less_equal"),
    graph.LessOp: _compare("less"),
    graph.LogOp: _unary("log"),
    graph.LogicalAndOp: _binary("and"),
    graph.LogicalNotOp: _plain(ScalarBuilder.logical_not),
    graph.LogicalOrOp: _binary("or"),
    graph.LogicalXorOp: _binary("xor"),
    graph.MaximumOp: _binary("maximum"),
    graph.MinimumOp: _binary("minimum"),
    graph.MulOp: _binary("mul"),
    graph.NegOp: _plain(ScalarBuilder.neg),
    graph.NotEqualOp: _compare("not_equal"),
    graph.PowOp: _plain(ScalarBuilder.pow),
    graph.ReciprocalOp: _plain(_reciprocal),
    graph.ReluOp: _relu,
    graph.RemainderOp: _plain(ScalarBuilder.remainder),
    graph.RsqrtOp: _unary("rsqrt"),
    graph.SelectOp: _plain(ScalarBuilder.select),
    graph.SigmoidOp: _plain(ScalarBuilder.sigmoid),
    graph.SiluOp: _plain(_silu),
    graph.SinOp: _unary("sin"),
    graph.SoftplusOp: _softplus,
    graph.SqrtOp: _unary("sqrt"),
    graph.SubOp: _binary("sub"),
    graph.TanhOp: _unary("tanh"),
}
"""The scalar code of every elementwise op."""


def lower_elementwise(op: ElementwiseOp) -> Lowered:
    """One `kernel.pointwise` over the result's dims; broadcasting is strides of 0."""
    domain = dims_of(op.result)
    ins = [broadcast(operand, domain) for operand in op.operands]
    scalar = SCALARS[type(op)]
    body = build_region([r.compute_type for r in ins], lambda b, args: [scalar(b, op, *args)])
    return launch(PointwiseOp, op, ins, [Write.dense(element_of(op.result), domain)], [body])


def lower_constant(op: graph.ConstantOp) -> Lowered:
    """A splat is scalar code, which fuses into its users; other data must be a parameter by now."""
    dense = op.dense
    if not dense.is_splat():
        raise CompileError("graph.constant with distinct elements: run fold-constants before")
    value = cast(float | int, dense.get_values()[0])
    element, domain = element_of(op.result), dims_of(op.result)
    of_type = compute_type(element)
    body = build_region([], lambda b, _: [b.constant(value, of_type)])
    return launch(PointwiseOp, op, [], [Write.dense(element, domain)], [body])


def lower_iota(op: graph.IotaOp) -> Lowered:
    """Scalar code of the index along the axis."""
    domain, element = dims_of(op.result), element_of(op.result)
    strides = tuple(1 if i == op.axis else 0 for i in range(len(domain)))
    access = AccessMap(0, domain, strides)
    body = build_region([], lambda b, _: [b.cast(b.index(access), element)])
    return launch(PointwiseOp, op, [], [Write.dense(element, domain)], [body])


_ELEMENTWISE: Rule = lower_elementwise

RULES: Mapping[type, Rule] = {
    **dict.fromkeys(SCALARS, _ELEMENTWISE),
    graph.ConstantOp: lower_constant,
    graph.IotaOp: lower_iota,
}
