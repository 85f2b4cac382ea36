"""Cheap functions for results that are stored in 16 bits or fewer.

A relative error of 2^-16 is none after rounding to f16, bf16 or f8E4M3FN. Where all results of a
region are rounded so, an idiom of its code may be one call of the prelude instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import Block, Operation, SSAValue


@dataclass(frozen=True)
class RoughCall:
    """A function of the prelude (without its namespace) and its argument."""

    function: str
    argument: SSAValue


def rough_calls(block: Block) -> Mapping[Operation, RoughCall]:
    """The ops of a block whose result a call can give."""
    found = ((op, gelu_argument(op)) for op in block.ops)
    return {op: RoughCall("gelu_rough", x) for op, x in found if x is not None}


def gelu_argument(op: Operation) -> SSAValue | None:
    """The x of `x * 0.5 * (1 + erf(x * sqrt(0.5)))`, however associated, if that is what an op
    gives."""
    if not isinstance(op, arith.MulfOp):
        return None
    for factor in _factors(op.result, frozenset()):
        x = _argument_of_one_plus_erf(factor)
        if x is None:
            continue
        rest = [f for f in _factors(op.result, frozenset({x, factor})) if f is not factor]
        values = [value for value in rest if _constant(value) is None]
        scale = math.prod(c for c in map(_constant, rest) if c is not None)
        if values == [x] and scale == 0.5:
            return x
    return None


def _argument_of_one_plus_erf(value: SSAValue) -> SSAValue | None:
    """The x of `1 + erf(x * sqrt(0.5))`."""
    match value.owner:
        case arith.AddfOp(lhs=SSAValue(owner=math_dialect.ErfOp() as erf), rhs=one):
            pass
        case arith.AddfOp(lhs=one, rhs=SSAValue(owner=math_dialect.ErfOp() as erf)):
            pass
        case _:
            return None
    if _constant(one) != 1 or not isinstance(product := erf.operand.owner, arith.MulfOp):
        return None
    for x, scale in ((product.lhs, product.rhs), (product.rhs, product.lhs)):
        found = _constant(scale)
        if found is not None and math.isclose(found, math.sqrt(0.5), rel_tol=1e-6):
            return x
    return None


def _factors(value: SSAValue, whole: frozenset[SSAValue]) -> Iterator[SSAValue]:
    """The factors of a product of products, except that those in `whole` are not taken apart."""
    if isinstance(value.owner, arith.MulfOp) and value not in whole:
        yield from _factors(value.owner.lhs, whole)
        yield from _factors(value.owner.rhs, whole)
    else:
        yield value


def _constant(value: SSAValue) -> float | None:
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, FloatAttr):
        return owner.value.value.data
    return None
