"""Meaning of region code: scalar ops applied to whole arrays, one element per index.

An SSA value of type f32 is an f32 array, of type i1 a bool array, and so on; arrays broadcast.
Integers wrap around and are signed, i1 is unsigned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, i1
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Operation

from ait.dialects import kernel
from ait.ir.dtypes import Array, dtype_of
from ait.ir.interpreter import numerics
from ait.ir.interpreter.access import addresses
from ait.ir.interpreter.environment import Environment
from ait.ir.interpreter.numerics import convert

Function: TypeAlias = Callable[..., Any]


def _safe(function: Function) -> Function:
    """An integer division; by 0 it gives 0."""

    def divide(a: Array, b: Array) -> Array:
        quotient: Array = function(a, np.where(b == 0, b.dtype.type(1), b))
        return np.where(b == 0, b.dtype.type(0), quotient)

    return divide


def _toward_zero(a: Array, b: Array) -> Array:
    down = np.floor_divide(a, b)
    exact = down * b == a
    return np.where(~exact & ((a < 0) != (b < 0)), down + down.dtype.type(1), down)


def _rounded_up(a: Array, b: Array) -> Array:
    down = np.floor_divide(a, b)
    return np.where(down * b == a, down, down + down.dtype.type(1))


def _fused_multiply_add(a: Array, b: Array, c: Array) -> Array:
    return (a.astype(np.float64) * b + c).astype(np.float32)


def _reciprocal_root(x: Array) -> Array:
    return 1 / np.sqrt(x)


FUNCTIONS: Mapping[type[Operation], Function] = {
    arith.AddfOp: np.add,
    arith.SubfOp: np.subtract,
    arith.MulfOp: np.multiply,
    arith.DivfOp: np.divide,
    arith.NegfOp: np.negative,
    arith.MaximumfOp: np.maximum,
    arith.MinimumfOp: np.minimum,
    arith.MaxnumfOp: np.fmax,
    arith.MinnumfOp: np.fmin,
    arith.AddiOp: np.add,
    arith.SubiOp: np.subtract,
    arith.MuliOp: np.multiply,
    arith.DivSIOp: _safe(_toward_zero),
    arith.FloorDivSIOp: _safe(np.floor_divide),
    arith.CeilDivSIOp: _safe(_rounded_up),
    arith.RemSIOp: _safe(np.fmod),
    arith.MaxSIOp: np.maximum,
    arith.MinSIOp: np.minimum,
    arith.AndIOp: np.bitwise_and,
    arith.OrIOp: np.bitwise_or,
    arith.XOrIOp: np.bitwise_xor,
    arith.SelectOp: np.where,
    math.AbsFOp: np.abs,
    math.AbsIOp: np.abs,
    math.CeilOp: np.ceil,
    math.CopySignOp: np.copysign,
    math.CosOp: np.cos,
    math.ErfOp: numerics.erf,
    math.ExpOp: np.exp,
    math.Exp2Op: np.exp2,
    math.ExpM1Op: np.expm1,
    math.FloorOp: np.floor,
    math.FmaOp: _fused_multiply_add,
    math.LogOp: np.log,
    math.Log1pOp: np.log1p,
    math.Log2Op: np.log2,
    math.PowFOp: np.power,
    math.RoundEvenOp: np.rint,
    math.RsqrtOp: _reciprocal_root,
    math.SinOp: np.sin,
    math.SqrtOp: np.sqrt,
    math.TanhOp: np.tanh,
    math.TruncOp: np.trunc,
}
"""Ops that are one function of their operands."""

CONVERSIONS: tuple[type[Operation], ...] = (
    arith.ExtFOp,
    arith.TruncFOp,
    arith.ExtSIOp,
    arith.ExtUIOp,
    arith.TruncIOp,
    arith.SIToFPOp,
    arith.UIToFPOp,
    arith.FPToSIOp,
)
"""Ops that convert to their result's type as `graph.cast` does; only i1 is ever unsigned."""

_RELATIONS: tuple[Function, ...] = (
    np.equal,
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.not_equal,
)


def _compare_floats(number: int, a: Array, b: Array) -> Array:
    """The predicates of `arith.cmpf` in order: false, the relations if ordered, ord, the relations
    or unordered, uno, true."""
    unordered = np.isnan(a) | np.isnan(b)
    if number in (0, 15):
        return np.full(unordered.shape, number == 15)
    if number in (7, 14):
        return unordered if number == 14 else ~unordered
    related = _RELATIONS[(number - 1) % 7](a, b)
    return related & ~unordered if number < 7 else related | unordered


_SIGNED: tuple[Function, ...] = (
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
)
_FIRST_UNSIGNED = 6


class ScalarFunctions(InterpreterFunctions):
    """`arith` and `math` on arrays, and the scalar ops of the kernel dialect."""

    def __init__(self, environment: Environment):
        self.environment = environment

    @impl(arith.ConstantOp)
    def constant(self, _: Interpreter, op: arith.ConstantOp, args: PythonValues) -> PythonValues:
        value = cast(FloatAttr | IntegerAttr, op.value)
        return (np.asarray(value.value.data).astype(dtype_of(value.type).numpy),)

    @impl(arith.CmpfOp)
    def compare_floats(self, _: Interpreter, op: arith.CmpfOp, args: PythonValues) -> PythonValues:
        return (_compare_floats(op.predicate.value.data, *args),)

    @impl(arith.CmpiOp)
    def compare_integers(
        self, _: Interpreter, op: arith.CmpiOp, args: PythonValues
    ) -> PythonValues:
        number = op.predicate.value.data
        a, b = args
        if number >= _FIRST_UNSIGNED:
            if op.lhs.type != i1:
                a, b = (x.view(f"u{x.dtype.itemsize}") for x in (a, b))
            number -= 4  # the unsigned ones follow in the order of the signed ones
        elif op.lhs.type == i1 and number > 1:
            a, b = b, a  # as a signed number, true is -1
        return (_SIGNED[number](a, b),)

    @impl(kernel.ExtentOp)
    def extent(self, _: Interpreter, op: kernel.ExtentOp, args: PythonValues) -> PythonValues:
        return (np.asarray(self.environment.number(op.dim.data), np.int64),)

    @impl(kernel.IndexOp)
    def index(self, _: Interpreter, op: kernel.IndexOp, args: PythonValues) -> PythonValues:
        return (addresses(op.access, self.environment),)

    @impl_terminator(kernel.YieldOp)
    def finish(
        self, _: Interpreter, op: kernel.YieldOp, args: PythonValues
    ) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(args), ()


def _applied(function: Function) -> Any:
    def run(_: Any, __: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
        result = function(*args)
        return (np.asarray(result, dtype_of(op.results[0].type).numpy),)

    return run


def _converted(_: Any, __: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
    return (convert(args[0], op.results[0].type),)


for _kind, _function in FUNCTIONS.items():
    setattr(ScalarFunctions, _kind.__name__, impl(_kind)(_applied(_function)))
for _kind in CONVERSIONS:
    setattr(ScalarFunctions, _kind.__name__, impl(_kind)(_converted))
register_impls(ScalarFunctions)
