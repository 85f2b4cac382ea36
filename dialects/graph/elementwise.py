"""Elementwise ops: each result element depends on one element of each operand.

Operands broadcast as in NumPy. Floats are computed in f32 and rounded once to the element type;
integers wrap around. Each op accepts the element types of its `ACCEPTS`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from typing_extensions import override
from xdsl.dialects.builtin import i1
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import operand_def, result_def, traits_def
from xdsl.traits import Commutative, OpTrait

from ait.dialects.graph.base import (
    ANYTHING,
    BOOLEANS,
    ELEMENT_KINDS,
    FLOATS,
    NUMBERS,
    TENSOR,
    AnyTensor,
    ElementKind,
    GraphOp,
    Tensor,
    broadcast,
    expect_elements,
    expect_same_element,
    graph_op,
)
from ait.dialects.graph.properties import (
    attribute_property,
    choice_property,
    float_property,
    optional_number_property,
)
from ait.dialects.symbolic import element_of, tensor_type
from ait.errors import ShapeError


class Elementwise(OpTrait):
    """Each result element depends on one element of each operand, after broadcasting."""


class ElementwiseOp(GraphOp, ABC):
    """Base of all elementwise ops."""

    ACCEPTS: ClassVar[tuple[ElementKind, ...]] = FLOATS
    """Families of element types that the operands may have."""

    result = result_def(TENSOR)
    traits = traits_def(Elementwise())


# Unary ----------------------------------------------------------------------------------------


class UnaryOp(ElementwiseOp, ABC):
    """An op `y = f(x)` whose result has the operand's type."""

    x = operand_def(TENSOR)

    def __init__(self, x: SSAValue | Operation, **properties: Any):
        super().__init__((x,), **properties)

    @override
    @classmethod
    def infer(cls, *operands: Any, **properties: Any) -> AnyTensor:
        x: Tensor = operands[0]
        expect_elements(cls.ACCEPTS, x)
        return x.like(x.dims)


@graph_op
class NegOp(UnaryOp):
    """`y = -x`."""

    name = "graph.neg"
    ACCEPTS: ClassVar = NUMBERS


@graph_op
class AbsOp(UnaryOp):
    """`y = |x|`."""

    name = "graph.abs"
    ACCEPTS: ClassVar = NUMBERS


@graph_op
class ExpOp(UnaryOp):
    """`y = e^x`."""

    name = "graph.exp"


@graph_op
class LogOp(UnaryOp):
    """`y = ln(x)`."""

    name = "graph.log"


@graph_op
class TanhOp(UnaryOp):
    """`y = tanh(x)`."""

    name = "graph.tanh"


@graph_op
class ErfOp(UnaryOp):
    """`y = erf(x)`, the error function."""

    name = "graph.erf"


@graph_op
class SigmoidOp(UnaryOp):
    """`y = 1 / (1 + e^-x)`."""

    name = "graph.sigmoid"


@graph_op
class SqrtOp(UnaryOp):
    """`y = sqrt(x)`."""

    name = "graph.sqrt"


@graph_op
class RsqrtOp(UnaryOp):
    """`y = 1 / sqrt(x)`."""

    name = "graph.rsqrt"


@graph_op
class ReciprocalOp(UnaryOp):
    """`y = 1 / x`."""

    name = "graph.reciprocal"


@graph_op
class FloorOp(UnaryOp):
    """The largest integral `y <= x`."""

    name = "graph.floor"


@graph_op
class CeilOp(UnaryOp):
    """The smallest integral `y >= x`."""

    name = "graph.ceil"


@graph_op
class SinOp(UnaryOp):
    """`y = sin(x)`."""

    name = "graph.sin"


@graph_op
class CosOp(UnaryOp):
    """`y = cos(x)`."""

    name = "graph.cos"


@graph_op
class ReluOp(UnaryOp):
    """`y = max(x, 0)`; NaN stays NaN."""

    name = "graph.relu"
    ACCEPTS: ClassVar = NUMBERS


@graph_op
class GeluOp(UnaryOp):
    """`y = x Phi(x)`, with `Phi(x) = (1 + erf(x / sqrt 2)) / 2` if `approximate` is "none", and
    `Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` if it is "tanh".
    """

    name = "graph.gelu"
    approximate = choice_property("none", "tanh")

    def __init__(self, x: SSAValue | Operation, *, approximate: str = "none"):
        super().__init__(x, approximate=approximate)


@graph_op
class SiluOp(UnaryOp):
    """`y = x sigmoid(x)`."""

    name = "graph.silu"


@graph_op
class HardswishOp(UnaryOp):
    """`y = x hardsigmoid(x)`."""

    name = "graph.hardswish"


@graph_op
class HardsigmoidOp(UnaryOp):
    """`y = min(max(x / 6 + 1/2, 0), 1)`."""

    name = "graph.hardsigmoid"


@graph_op
class LeakyReluOp(UnaryOp):
    """`y = x if x >= 0 else negative_slope x`."""

    name = "graph.leaky_relu"
    negative_slope = float_property()

    def __init__(self, x: SSAValue | Operation, *, negative_slope: float = 0.01):
        super().__init__(x, negative_slope=negative_slope)


@graph_op
class EluOp(UnaryOp):
    """`y = x if x > 0 else alpha (e^x - 1)`."""

    name = "graph.elu"
    alpha = float_property()

    def __init__(self, x: SSAValue | Operation, *, alpha: float = 1.0):
        super().__init__(x, alpha=alpha)


@graph_op
class SoftplusOp(UnaryOp):
    """`y = ln(1 + e^x)`."""

    name = "graph.softplus"


@graph_op
class ClampOp(UnaryOp):
    """`y = min(max(x, min), max)`, each bound optional; NaN stays NaN.

    The bounds are floats for float tensors and ints for integer tensors.
    """

    name = "graph.clamp"
    ACCEPTS: ClassVar = NUMBERS
    min = optional_number_property()
    max = optional_number_property()

    def __init__(
        self,
        x: SSAValue | Operation,
        *,
        min: int | float | None = None,
        max: int | float | None = None,
    ):
        is_float = ELEMENT_KINDS.get(element_of(SSAValue.get(x))) is ElementKind.FLOAT
        number = float if is_float else int
        super().__init__(
            x,
            min=None if min is None else number(min),
            max=None if max is None else number(max),
        )

    @override
    @classmethod
    def infer(cls, x: Tensor, *, min: int | float | None, max: int | float | None) -> AnyTensor:
        expect_elements(cls.ACCEPTS, x)
        is_float = x.kind is ElementKind.FLOAT
        for name, bound in (("min", min), ("max", max)):
            if bound is not None and isinstance(bound, float) != is_float:
                raise ShapeError(f"{name} = {bound} does not fit elements {x.element}")
        return x.like(x.dims)


@graph_op
class LogicalNotOp(UnaryOp):
    """`y = not x`."""

    name = "graph.logical_not"
    ACCEPTS: ClassVar = BOOLEANS


@graph_op
class CastOp(UnaryOp):
    """`y = x` in the element type `element`.

    Float to float rounds to nearest even; f8E4M3FN has no infinity, and what would round to more
    than 448 is NaN there, as PyTorch has it (clamp first to saturate, as ONNX does by default).
    Float to integer truncates toward zero and saturates, and NaN gives 0. Integer to integer wraps
    around. To i1 is `x != 0`.
    """

    name = "graph.cast"
    ACCEPTS: ClassVar = ANYTHING
    IMPLIED: ClassVar = frozenset({"element"})
    element = attribute_property()

    def __init__(self, x: SSAValue | Operation, element: Attribute):
        super().__init__(x, element=element)

    @override
    @classmethod
    def infer(cls, x: Tensor, *, element: Attribute) -> AnyTensor:
        expect_elements(ANYTHING, x, Tensor("result", element, ()))
        return tensor_type(element, x.dims)

    @override
    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {"element": result_types[0].element_type}


# Binary ---------------------------------------------------------------------------------------


class BinaryOp(ElementwiseOp, ABC):
    """An op `y = f(lhs, rhs)` on operands of one element type."""

    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation):
        super().__init__((lhs, rhs))

    @classmethod
    def infer(cls, lhs: Tensor, rhs: Tensor) -> AnyTensor:
        expect_elements(cls.ACCEPTS, lhs, rhs)
        expect_same_element(lhs, rhs)
        return lhs.like(broadcast(lhs, rhs))


@graph_op
class AddOp(BinaryOp):
    """`y = lhs + rhs`."""

    name = "graph.add"
    ACCEPTS: ClassVar = NUMBERS
    traits = traits_def(Commutative())


@graph_op
class SubOp(BinaryOp):
    """`y = lhs - rhs`."""

    name = "graph.sub"
    ACCEPTS: ClassVar = NUMBERS


@graph_op
class MulOp(BinaryOp):
    """`y = lhs rhs`."""

    name = "graph.mul"
    ACCEPTS: ClassVar = NUMBERS
    traits = traits_def(Commutative())


@graph_op
class DivOp(BinaryOp):
    """`y = lhs / rhs`."""

    name = "graph.div"


@graph_op
class PowOp(BinaryOp):
    """`y = lhs^rhs`, with C's `powf` in the special cases."""

    name = "graph.pow"


@graph_op
class MaximumOp(BinaryOp):
    """The larger of both; NaN if either is."""

    name = "graph.maximum"
    ACCEPTS: ClassVar = NUMBERS
    traits = traits_def(Commutative())


@graph_op
class MinimumOp(BinaryOp):
    """The smaller of both; NaN if either is."""

    name = "graph.minimum"
    ACCEPTS: ClassVar = NUMBERS
    traits = traits_def(Commutative())


@graph_op
class FloorDivideOp(BinaryOp):
    """`y = floor(lhs / rhs)`, where the quotient of floats is f32; an integer divided by 0 is 0."""

    name = "graph.floor_divide"
    ACCEPTS: ClassVar = NUMBERS


@graph_op
class RemainderOp(BinaryOp):
    """`y = lhs - floor(lhs / rhs) rhs`, which has the divisor's sign."""

    name = "graph.remainder"
    ACCEPTS: ClassVar = NUMBERS


@graph_op
class LogicalAndOp(BinaryOp):
    """`y = lhs and rhs`."""

    name = "graph.logical_and"
    ACCEPTS: ClassVar = BOOLEANS
    traits = traits_def(Commutative())


@graph_op
class LogicalOrOp(BinaryOp):
    """`y = lhs or rhs`."""

    name = "graph.logical_or"
    ACCEPTS: ClassVar = BOOLEANS
    traits = traits_def(Commutative())


@graph_op
class LogicalXorOp(BinaryOp):
    """`y = lhs xor rhs`."""

    name = "graph.logical_xor"
    ACCEPTS: ClassVar = BOOLEANS
    traits = traits_def(Commutative())


class ComparisonOp(BinaryOp, ABC):
    """A comparison, with an i1 result. Comparisons with NaN are false, but for `not_equal`."""

    ACCEPTS: ClassVar = NUMBERS

    @override
    @classmethod
    def infer(cls, lhs: Tensor, rhs: Tensor) -> AnyTensor:
        expect_elements(cls.ACCEPTS, lhs, rhs)
        expect_same_element(lhs, rhs)
        return tensor_type(i1, broadcast(lhs, rhs))


@graph_op
class EqualOp(ComparisonOp):
    """`y = (lhs == rhs)`."""

    name = "graph.equal"
    ACCEPTS: ClassVar = ANYTHING
    traits = traits_def(Commutative())


@graph_op
class NotEqualOp(ComparisonOp):
    """`y = (lhs != rhs)`."""

    name = "graph.not_equal"
    ACCEPTS: ClassVar = ANYTHING
    traits = traits_def(Commutative())


@graph_op
class LessOp(ComparisonOp):
    """`y = (lhs < rhs)`."""

    name = "graph.less"


@graph_op
class LessEqualOp(ComparisonOp):
    """`y = (lhs <= rhs)`."""

    name = "graph.less_equal"


@graph_op
class GreaterOp(ComparisonOp):
    """`y = (lhs > rhs)`."""

    name = "graph.greater"


@graph_op
class GreaterEqualOp(ComparisonOp):
    """`y = (lhs >= rhs)`."""

    name = "graph.greater_equal"


# Ternary --------------------------------------------------------------------------------------


@graph_op
class SelectOp(ElementwiseOp):
    """`y = a where condition else b`, with an i1 condition."""

    name = "graph.select"
    ACCEPTS: ClassVar = ANYTHING
    condition = operand_def(TENSOR)
    a = operand_def(TENSOR)
    b = operand_def(TENSOR)

    def __init__(
        self,
        condition: SSAValue | Operation,
        a: SSAValue | Operation,
        b: SSAValue | Operation,
    ):
        super().__init__((condition, a, b))

    @override
    @classmethod
    def infer(cls, condition: Tensor, a: Tensor, b: Tensor) -> AnyTensor:
        expect_elements(BOOLEANS, condition)
        expect_elements(ANYTHING, a, b)
        expect_same_element(a, b)
        return a.like(broadcast(condition, a, b))


UNARY_OPS: tuple[type[UnaryOp], ...] = cast(
    tuple[type[UnaryOp], ...],
    (
        NegOp, AbsOp, ExpOp, LogOp, TanhOp, ErfOp, SigmoidOp, SqrtOp, RsqrtOp, ReciprocalOp,
        FloorOp, CeilOp, SinOp, CosOp, ReluOp, GeluOp, SiluOp, HardswishOp, HardsigmoidOp,
        LeakyReluOp, EluOp, SoftplusOp, ClampOp, LogicalNotOp, CastOp,
    ),
)  # fmt: skip
BINARY_OPS: tuple[type[BinaryOp], ...] = cast(
    tuple[type[BinaryOp], ...],
    (
        AddOp, SubOp, MulOp, DivOp, PowOp, MaximumOp, MinimumOp, FloorDivideOp, RemainderOp,
        LogicalAndOp, LogicalOrOp, LogicalXorOp, EqualOp, NotEqualOp, LessOp, LessEqualOp,
        GreaterOp, GreaterEqualOp,
    ),
)  # fmt: skip
