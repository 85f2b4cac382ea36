"""Cheap functions for results that are stored in 16 bits or fewer.

A relative error of 2^-16 is none after rounding to f16, bf16 or f8E4M3FN. Where all results of a
region are rounded so, an idiom of its code may be one call of the prelude instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

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
    return {
        op: RoughCall(function, x)
        for op in block.ops
        for function, argument in _IDIOMS.items()
        if (x := argument(op)) is not None
    }


def gelu_argument(op: Operation) -> SSAValue | None:
    """The x of `x * 0.5 * (1 + erf(x * sqrt(0.5)))`, however associated, if that is what an op
    gives."""
    if not isinstance(op, arith.MulfOp):
        return None
    for factor in _products(op.result):
        x = _argument_of_one_plus_erf(factor)
        if x is not None and _is_half_of(op.result, (x, factor)):
            return x
    return None


def _products(value: SSAValue) -> Iterator[SSAValue]:
    """What a product of products is made of, products among it; each once, however often."""
    seen = {value}
    pending = [value]
    while pending:
        found = pending.pop()
        yield found
        if isinstance(found.owner, arith.MulfOp):
            factors = [f for f in (found.owner.rhs, found.owner.lhs) if f not in seen]
            seen.update(factors)
            pending += dict.fromkeys(factors)


def _is_half_of(product: SSAValue, factors: Sequence[SSAValue]) -> bool:
    """Whether a product is that of some values, each once, and of constants that give 0.5."""
    found = list(islice(_factors(product, frozenset(factors)), _MOST_FACTORS + 1))
    others = [factor for factor in found if _constant(factor) is None]
    scale = math.prod(c for c in map(_constant, found) if c is not None)
    is_whole = len(found) <= _MOST_FACTORS and len(others) == len(factors)
    return is_whole and set(others) == set(factors) and scale == 0.5


def _argument_of_one_plus(
    value: SSAValue,
    function: type[math_dialect.ErfOp | math_dialect.ExpOp | math_dialect.TanhOp],
) -> SSAValue | None:
    """The x of `1 + function(x)`."""
    if not isinstance(value.owner, arith.AddfOp):
        return None
    for called, one in (value.owner.operands, reversed(value.owner.operands)):
        if isinstance(called.owner, function) and _constant(one) == 1:
            return called.owner.operand
    return None


def _argument_of_one_plus_erf(value: SSAValue) -> SSAValue | None:
    """The x of `1 + erf(x * sqrt(0.5))`."""
    scaled = _argument_of_one_plus(value, math_dialect.ErfOp)
    if scaled is None or not isinstance(product := scaled.owner, arith.MulfOp):
        return None
    for x, scale in ((product.lhs, product.rhs), (product.rhs, product.lhs)):
        found = _constant(scale)
        if found is not None and math.isclose(found, math.sqrt(0.5), rel_tol=1e-6):
            return x
    return None


_MOST_FACTORS = 16
"""A product of shared products has exponentially many."""


def _factors(value: SSAValue, whole: frozenset[SSAValue]) -> Iterator[SSAValue]:
    """The factors of a product of products, except that those in `whole` are not taken apart."""
    if isinstance(value.owner, arith.MulfOp) and value not in whole:
        yield from _factors(value.owner.lhs, whole)
        yield from _factors(value.owner.rhs, whole)
    else:
        yield value


def sigmoid_argument(op: Operation) -> SSAValue | None:
    """The x of `1 / (1 + exp(-x))`, if that is what an op gives."""
    if not isinstance(op, arith.DivfOp) or _constant(op.lhs) != 1:
        return None
    negated = _argument_of_one_plus(op.rhs, math_dialect.ExpOp)
    if negated is None or not isinstance(negated.owner, arith.NegfOp):
        return None
    return negated.owner.operand


def one_plus_tanh_argument(op: Operation) -> SSAValue | None:
    """The x of `1 + tanh(x)`, if that is what an op gives."""
    if not isinstance(op, arith.AddfOp):
        return None
    return _argument_of_one_plus(op.result, math_dialect.TanhOp)


_IDIOMS: Mapping[str, Callable[[Operation], SSAValue | None]] = {
    "gelu_rough": gelu_argument,
    "sigmoid_rough": sigmoid_argument,
    "one_plus_tanh_rough": one_plus_tanh_argument,
}
"""By function of the prelude, what finds its argument where an op gives its result."""


def _constant(value: SSAValue) -> float | None:
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, FloatAttr):
        return owner.value.value.data
    return None
