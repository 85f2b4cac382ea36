"""raise-patterns: decomposed softmax, norms and activations become the one op that they are.

The rules look at products as bags of factors and at constants by value, so the order of operands
and the place of a scale do not matter. Attention needs no rule here: fuse-vertical recognises it by
its kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, ModuleOp, bf16, f8E4M3FN, f16
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    PatternRewriter,
)

from ait.dialects import graph
from ait.dialects.graph import GraphOp
from ait.dialects.symbolic import dims_of, element_of
from ait.passes.masks import RaiseTriangles
from ait.passes.remarks import remark
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_all

NAME = "raise-patterns"

OpT = TypeVar("OpT", bound=Operation)


# Looking at values ------------------------------------------------------------------------------


def made_by(value: SSAValue, kind: type[OpT]) -> OpT | None:
    """The op that computes a value, if it is of this kind."""
    return value.owner if isinstance(value.owner, kind) else None


def literal(value: SSAValue) -> float | None:
    """The one number that all elements of a value are; None if it is no literal."""
    owner = value.owner
    if isinstance(owner, graph.ExpandOp | graph.ReshapeOp):
        return literal(owner.x)
    if isinstance(owner, graph.CastOp) and _keeps_floats(owner):
        return literal(owner.x)
    if isinstance(owner, graph.ConstantOp) and owner.dense.is_splat():
        number = owner.dense.get_values()[0]
        return float(number) if isinstance(number, int | float) else None
    return None


def _keeps_floats(cast: graph.CastOp) -> bool:
    """Whether a cast only widens floats: any other may give another number."""
    given, wanted = element_of(cast.x), element_of(cast.result)
    if not isinstance(given, AnyFloat) or not isinstance(wanted, AnyFloat):
        return False
    return given == wanted or given.bitwidth < wanted.bitwidth


def close(value: SSAValue, a: float, b: float) -> bool:
    """Whether two constants are the same number: written with up to three digits fewer than f32,
    or, each of up to two, rounded to the elements of `value`."""
    return math.isclose(a, b, rel_tol=_CLOSE.get(element_of(value), 1e-4))


_CLOSE: dict[Attribute, float] = {f16: 2**-10, bf16: 2**-7, f8E4M3FN: 2**-3}


def plus_literal(value: SSAValue) -> Iterator[tuple[SSAValue, float]]:
    """The ways in which a value is `x + constant`."""
    add = made_by(value, graph.AddOp)
    if add is None:
        return
    for x, other in ((add.lhs, add.rhs), (add.rhs, add.lhs)):
        number = literal(other)
        if number is not None and dims_of(x) == dims_of(value):
            yield x, number


_MOST_FACTORS = 4
"""More than any rule looks at: a product of shared products has exponentially many factors."""


@dataclass
class Product:
    """`coefficient * factors[0] * factors[1] * ...`; of a long product, more than the most."""

    coefficient: float = 1.0
    factors: list[SSAValue] = field(default_factory=list[SSAValue])

    def without(self, value: SSAValue) -> SSAValue | None:
        """The other of two factors."""
        if len(self.factors) != 2 or value not in self.factors:
            return None
        return self.factors[1 - self.factors.index(value)]


def product_of(value: SSAValue) -> Product:
    """A value as a product: through mul, and div by literals."""
    product = Product()
    _multiply(product, value)
    return product


def _multiply(product: Product, value: SSAValue) -> None:
    if len(product.factors) > _MOST_FACTORS:
        return
    number = literal(value)
    mul, div = made_by(value, graph.MulOp), made_by(value, graph.DivOp)
    divisor = None if div is None else literal(div.rhs)
    if number is not None:
        product.coefficient *= number
    elif mul is not None:
        _multiply(product, mul.lhs)
        _multiply(product, mul.rhs)
    elif div is not None and divisor:
        product.coefficient /= divisor
        _multiply(product, div.lhs)
    else:
        product.factors.append(value)


def is_square(value: SSAValue, x: SSAValue) -> bool:
    """Whether a value is `x * x` or `x ** 2`."""
    mul, power = made_by(value, graph.MulOp), made_by(value, graph.PowOp)
    if mul is not None:
        return mul.lhs is x and mul.rhs is x
    return power is not None and power.lhs is x and literal(power.rhs) == 2


def is_cube(value: SSAValue, x: SSAValue) -> bool:
    """Whether a value is `x * x * x` or `x ** 3`."""
    power = made_by(value, graph.PowOp)
    if power is not None:
        return power.lhs is x and literal(power.rhs) == 3
    product = product_of(value)
    return product.coefficient == 1 and product.factors == [x, x, x]


def trailing_rank(axes: Sequence[int], rank: int) -> int | None:
    """How many trailing dims the axes are; None if they are others."""
    wanted = list(range(rank - len(axes), rank))
    return len(axes) if sorted(axes) == wanted and axes else None


ReduceT = TypeVar("ReduceT", bound=graph.ReduceOp)


def kept_reduction(value: SSAValue, kind: type[ReduceT]) -> ReduceT | None:
    """The reduction of this kind whose reduced dims are 1 in a value: kept, or put back later."""
    reshape = made_by(value, graph.ReshapeOp)
    found = made_by(value if reshape is None else reshape.x, kind)
    if found is None:
        return None
    kept = [1 if i in found.axes else dim for i, dim in enumerate(dims_of(found.x))]
    return found if list(dims_of(value)) == kept else None


def mean_of(value: SSAValue) -> graph.ReduceMeanOp | None:
    """The mean over trailing dims, kept as 1, that a value is."""
    mean = kept_reduction(value, graph.ReduceMeanOp)
    if mean is None:
        return None
    return mean if trailing_rank(mean.axes, len(dims_of(mean.x))) is not None else None


def divided_by_root(op: Operation) -> Iterator[tuple[SSAValue, SSAValue, float]]:
    """The ways in which an op is `x / sqrt(y + eps)`, as (x, y, eps)."""
    if isinstance(op, graph.DivOp):
        root = made_by(op.rhs, graph.SqrtOp)
        pairs = [(op.lhs, root.x)] if root is not None else []
    elif isinstance(op, graph.MulOp):
        pairs = [
            (x, root.x)
            for x, other in ((op.lhs, op.rhs), (op.rhs, op.lhs))
            if (root := made_by(other, graph.RsqrtOp)) is not None
        ]
    else:
        return
    for x, radicand in pairs:
        for y, eps in plus_literal(radicand):
            yield x, y, eps


def quotients(op: Operation) -> Iterator[tuple[SSAValue, SSAValue]]:
    """The ways in which an op is `x / y`, as (x, y): also `x * (1 / y)`."""
    if isinstance(op, graph.DivOp):
        yield op.lhs, op.rhs
    elif isinstance(op, graph.MulOp):
        for x, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
            divided, inverse = made_by(other, graph.DivOp), made_by(other, graph.ReciprocalOp)
            if inverse is not None:
                yield x, inverse.x
            elif divided is not None and literal(divided.lhs) == 1:
                yield x, divided.rhs


# Rules: the op that another one really is, or None ----------------------------------------------


def raise_softmax(op: Operation) -> GraphOp | None:
    """`exp(x - max(x)) / sum(exp(x - max(x)))`, also without the maximum."""
    for numerator, denominator in quotients(op):
        exponential = made_by(numerator, graph.ExpOp)
        total = kept_reduction(denominator, graph.ReduceSumOp)
        if exponential is None or total is None or total.x is not exponential.result:
            continue
        if len(total.axes) == 1:
            x = _without_maximum(exponential.x, list(total.axes))
            return graph.SoftmaxOp(x, axis=total.axes[0])
    return None


def _without_maximum(x: SSAValue, axes: Sequence[int]) -> SSAValue:
    """`y` if `x` is `y - max(y)` over these axes, else `x`: a softmax of both is the same."""
    shifted = made_by(x, graph.SubOp)
    largest = None if shifted is None else kept_reduction(shifted.rhs, graph.ReduceMaxOp)
    if shifted is None or largest is None:
        return x
    return shifted.lhs if largest.x is shifted.lhs and list(largest.axes) == axes else x


def raise_layer_norm(op: Operation) -> GraphOp | None:
    """`(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps)` over trailing dims."""
    for centered, variance, eps in divided_by_root(op):
        difference, spread = made_by(centered, graph.SubOp), mean_of(variance)
        mean = None if difference is None else mean_of(difference.rhs)
        if difference is None or spread is None or mean is None:
            continue
        if mean.x is not difference.lhs or list(mean.axes) != list(spread.axes):
            continue
        if is_square(spread.x, centered):
            return graph.LayerNormOp(difference.lhs, axes_rank=len(mean.axes), eps=eps)
    return None


def raise_rms_norm(op: Operation) -> GraphOp | None:
    """`x / sqrt(mean(x^2) + eps)` over trailing dims."""
    for x, mean_square, eps in divided_by_root(op):
        mean = mean_of(mean_square)
        if mean is not None and is_square(mean.x, x):
            return graph.RmsNormOp(x, axes_rank=len(mean.axes), eps=eps)
    return None


def raise_sigmoid(op: Operation) -> GraphOp | None:
    """`1 / (1 + exp(-x))`."""
    if isinstance(op, graph.ReciprocalOp):
        denominator = op.x
    elif isinstance(op, graph.DivOp) and literal(op.lhs) == 1:
        denominator = op.rhs
    else:
        return None
    for inner, one in plus_literal(denominator):
        exponential = made_by(inner, graph.ExpOp)
        negated = None if exponential is None else made_by(exponential.x, graph.NegOp)
        if one == 1 and negated is not None and dims_of(inner) == dims_of(op.results[0]):
            return graph.SigmoidOp(negated.x)
    return None


def raise_silu(op: Operation) -> GraphOp | None:
    """`x * sigmoid(x)`."""
    if not isinstance(op, graph.MulOp):
        return None
    for x, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        gate = made_by(other, graph.SigmoidOp)
        if gate is not None and gate.x is x:
            return graph.SiluOp(x)
    return None


def raise_gelu(op: Operation) -> GraphOp | None:
    """`x / 2 * (1 + erf(x / sqrt(2)))`, or with `tanh(sqrt(2 / pi) * (x + 0.044715 x^3))`."""
    if not isinstance(op, graph.MulOp | graph.DivOp):
        return None
    product = product_of(op.results[0])
    if not close(op.results[0], product.coefficient, 0.5) or len(product.factors) != 2:
        return None
    for shifted in product.factors:
        x = product.without(shifted)
        if x is None or dims_of(x) != dims_of(op.results[0]):
            continue
        for inner, one in plus_literal(shifted):
            if one == 1 and _is_erf_of_half(inner, x):
                return graph.GeluOp(x)
            if one == 1 and _is_tanh_of_cubic(inner, x):
                return graph.GeluOp(x, approximate="tanh")
    return None


def _is_erf_of_half(value: SSAValue, x: SSAValue) -> bool:
    erf = made_by(value, graph.ErfOp)
    if erf is None:
        return False
    argument = product_of(erf.x)
    return argument.factors == [x] and close(x, argument.coefficient, math.sqrt(0.5))


def _is_tanh_of_cubic(value: SSAValue, x: SSAValue) -> bool:
    tanh = made_by(value, graph.TanhOp)
    if tanh is None:
        return False
    argument = product_of(tanh.x)
    scale = math.sqrt(2 / math.pi)
    if len(argument.factors) != 1 or not close(x, argument.coefficient, scale):
        return False
    total = made_by(argument.factors[0], graph.AddOp)
    if total is None:
        return False
    for linear, cubic in ((total.lhs, total.rhs), (total.rhs, total.lhs)):
        if linear is x and _is_scaled_cube(cubic, x):
            return True
    return False


def _is_scaled_cube(value: SSAValue, x: SSAValue) -> bool:
    product = product_of(value)
    if not close(x, product.coefficient, 0.044715):
        return False
    if product.factors == [x, x, x]:
        return True
    return len(product.factors) == 1 and is_cube(product.factors[0], x)


RULES = (
    raise_softmax,
    raise_layer_norm,
    raise_rms_norm,
    raise_sigmoid,
    raise_silu,
    raise_gelu,
)
"""Tried in order on every op."""


class RaiseByRules(OpPattern):
    """The last op of a decomposition -> the op that the whole is."""

    roots = (GraphOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, GraphOp):
            return
        for rule in RULES:
            raised: Any = rule(op)
            if raised is not None and raised.results[0].type == op.results[0].type:
                raised.attributes.update(op.attributes)
                raised.results[0].name_hint = op.results[0].name_hint
                remark(NAME, "applied", op, f"is the end of a decomposed {raised.name}")
                rewriter.replace(op, raised)
                return


@dataclass(frozen=True)
class RaisePatternsPass(ModulePass):
    """Recognises decomposed softmax, layer norm, rms norm, sigmoid, silu and gelu, and literals of
    masks that only compare rows and columns.

    Before: `%m = graph.reduce_mean %x`, `%c = graph.sub %x, %m`, ..., `%y = graph.div %c, %s`
    After:  `%y = graph.layer_norm %x {axes_rank = 1, eps = 1.0e-05}`
    """

    name = NAME

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite_all(op, RaiseByRules(), RaiseTriangles(NAME))
        erase_unused(op)
