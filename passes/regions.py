"""Region code: building scalar expressions, and moving them between regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, IntegerType, f32, i1, i64
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import ExtentOp, IndexOp, YieldOp, compute_type
from ait.dialects.symbolic import Dim

Remap: TypeAlias = Callable[[AccessMap], AccessMap | None]
"""Carries an access map from one iteration domain to another; None where no map does."""


def through_storage(reader: AccessMap, writer: AccessMap) -> Remap:
    """Carries maps of the domain of a tensor's writer to that of its reader: the tensor, all of
    which is written once, says which index of the one is which of the other."""
    order = writer.order_as_storage()
    assert order is not None, "the writer covers the tensor"
    return lambda access: reader.compose(access.permute(order))


_FLOAT_OPS: Mapping[str, type[Operation]] = {
    "add": arith.AddfOp,
    "sub": arith.SubfOp,
    "mul": arith.MulfOp,
    "div": arith.DivfOp,
    "maximum": arith.MaximumfOp,
    "minimum": arith.MinimumfOp,
}
_INTEGER_OPS: Mapping[str, type[Operation]] = {
    "add": arith.AddiOp,
    "sub": arith.SubiOp,
    "mul": arith.MuliOp,
    "maximum": arith.MaxSIOp,
    "minimum": arith.MinSIOp,
    "and": arith.AndIOp,
    "or": arith.OrIOp,
    "xor": arith.XOrIOp,
}
_UNARY_OPS: Mapping[str, type[Operation]] = {
    "exp": math.ExpOp,
    "log": math.LogOp,
    "log1p": math.Log1pOp,
    "expm1": math.ExpM1Op,
    "tanh": math.TanhOp,
    "erf": math.ErfOp,
    "sqrt": math.SqrtOp,
    "rsqrt": math.RsqrtOp,
    "floor": math.FloorOp,
    "ceil": math.CeilOp,
    "sin": math.SinOp,
    "cos": math.CosOp,
}
_FLOAT_PREDICATES = {
    "equal": "oeq",
    "not_equal": "une",
    "less": "olt",
    "less_equal": "ole",
    "greater": "ogt",
    "greater_equal": "oge",
}
_INTEGER_PREDICATES = {
    "equal": "eq",
    "not_equal": "ne",
    "less": "slt",
    "less_equal": "sle",
    "greater": "sgt",
    "greater_equal": "sge",
}
# i1 is unsigned where it is ordered: false < true.
_BOOLEAN_PREDICATES = {
    "equal": "eq",
    "not_equal": "ne",
    "less": "ult",
    "less_equal": "ule",
    "greater": "ugt",
    "greater_equal": "uge",
}


def integer(of_type: Attribute) -> IntegerType | None:
    """The type, if it is one of integers."""
    return cast(IntegerType, of_type) if isinstance(of_type, IntegerType) else None


class ScalarBuilder:
    """Appends scalar ops to a block; both operands of a binary op have one type."""

    def __init__(self, block: Block):
        self.block = block

    def _add(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def constant(self, value: float | int | bool, of_type: Attribute) -> SSAValue:
        """A literal of a compute type."""
        whole = integer(of_type)
        if whole is not None:
            return self._add(arith.ConstantOp(IntegerAttr(int(value), whole)))
        return self._add(arith.ConstantOp(FloatAttr(float(value), f32)))

    def unary(self, name: str, x: SSAValue) -> SSAValue:
        """A float function of `math`, such as "exp"."""
        return self._add(
            _UNARY_OPS[name].create(
                operands=[x],
                result_types=[x.type],
                properties={"fastmath": arith.FastMathFlagsAttr("none")},
            )
        )

    def binary(self, name: str, a: SSAValue, b: SSAValue) -> SSAValue:
        """Arithmetic of the operands' type: "add", "sub", "mul", "maximum", ..."""
        if integer(a.type) is not None:
            op = _INTEGER_OPS[name]
            properties: dict[str, Attribute] = {}
            if op in (arith.AddiOp, arith.SubiOp, arith.MuliOp):
                properties["overflowFlags"] = arith.IntegerOverflowAttr("none")
        else:
            op = _FLOAT_OPS[name]
            properties = {"fastmath": arith.FastMathFlagsAttr("none")}
        return self._add(op.create(operands=[a, b], result_types=[a.type], properties=properties))

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.binary("add", a, b)

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.binary("sub", a, b)

    def mul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.binary("mul", a, b)

    def div(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.binary("div", a, b)

    def maximum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.binary("maximum", a, b)

    def minimum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.binary("minimum", a, b)

    def scaled(self, x: SSAValue, factor: float) -> SSAValue:
        return self.mul(x, self.constant(factor, x.type))

    def shifted(self, x: SSAValue, offset: float) -> SSAValue:
        return self.add(x, self.constant(offset, x.type))

    def neg(self, x: SSAValue) -> SSAValue:
        if integer(x.type) is not None:
            return self.sub(self.constant(0, x.type), x)
        return self._add(arith.NegfOp(x))

    def abs(self, x: SSAValue) -> SSAValue:
        if integer(x.type) is not None:
            return self._add(math.AbsIOp(x))
        return self._add(math.AbsFOp(x))

    def pow(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._add(math.PowFOp(x, y))

    def sigmoid(self, x: SSAValue) -> SSAValue:
        one = self.constant(1, x.type)
        return self.div(one, self.add(one, self.unary("exp", self.neg(x))))

    def compare(self, name: str, a: SSAValue, b: SSAValue) -> SSAValue:
        """ "less" and its kind; comparisons with NaN are false but for "not_equal"."""
        if integer(a.type) is None:
            return self._add(arith.CmpfOp(a, b, _FLOAT_PREDICATES[name]))
        table = _BOOLEAN_PREDICATES if a.type == i1 else _INTEGER_PREDICATES
        return self._add(arith.CmpiOp(a, b, table[name]))

    def select(self, condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._add(arith.SelectOp(condition, a, b))

    def logical_not(self, x: SSAValue) -> SSAValue:
        return self.binary("xor", x, self.constant(True, i1))

    def floor_divide(self, a: SSAValue, b: SSAValue) -> SSAValue:
        if integer(a.type) is not None:
            return self._add(arith.FloorDivSIOp(a, b))
        return self.unary("floor", self.div(a, b))

    def remainder(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """`a - floor_divide(a, b) * b`: the sign of `b`."""
        return self.sub(a, self.mul(self.floor_divide(a, b), b))

    def dim(self, dim: Dim) -> SSAValue:
        """The value of a dim as i64."""
        return self.constant(dim, i64) if isinstance(dim, int) else self._add(ExtentOp(dim))

    def extent(self, dim: Dim) -> SSAValue:
        """The value of a dim as f32."""
        if isinstance(dim, int):
            return self.constant(float(dim), f32)
        return self._add(arith.SIToFPOp(self._add(ExtentOp(dim)), f32))

    def index(self, access: AccessMap) -> SSAValue:
        return self._add(IndexOp(access))

    def cast(self, x: SSAValue, element: Attribute) -> SSAValue:
        """`x` as the compute type of `element`, rounded as if it were stored as `element`."""
        target = compute_type(element)
        if isinstance(element, AnyFloat):
            if integer(x.type) is not None:
                to_float = arith.UIToFPOp if x.type == i1 else arith.SIToFPOp
                x = self._add(to_float(x, f32))
            return self.rounded(x, element)
        whole = integer(target)
        assert whole is not None, "an element type is a float or an integer"
        if integer(x.type) is None and target != i1:
            return self._add(arith.FPToSIOp(x, whole))
        return self._cast_to_integer(x, whole)

    def _cast_to_integer(self, x: SSAValue, target: IntegerType) -> SSAValue:
        if x.type == target:
            return x
        if target == i1:
            return self.compare("not_equal", x, self.constant(0, x.type))
        given = integer(x.type)
        assert given is not None, "floats are converted by the caller"
        if given.width.data > target.width.data:
            return self._add(arith.TruncIOp(x, target))
        extend = arith.ExtUIOp if given == i1 else arith.ExtSIOp
        return self._add(extend(x, target))

    def rounded(self, x: SSAValue, element: Attribute) -> SSAValue:
        """The f32 `x` after a trip through the narrower float type `element`."""
        if element == f32:
            return x
        return self._add(arith.ExtFOp(self._add(arith.TruncFOp(x, element)), f32))


Body: TypeAlias = Callable[[ScalarBuilder, Sequence[SSAValue]], Sequence[SSAValue]]


def build_region(argument_types: Sequence[Attribute], body: Body) -> Region:
    """A one-block region that yields what `body` computes from its arguments."""
    block = Block(arg_types=argument_types)
    results = body(ScalarBuilder(block), block.args)
    block.add_op(YieldOp(*results))
    return Region(block)


def identity_region(argument_types: Sequence[Attribute], position: int = 0) -> Region:
    """A region that yields one of its arguments."""
    return build_region(argument_types, lambda _, arguments: [arguments[position]])


def inline(
    region: Region, block: Block, arguments: Sequence[SSAValue], remap: Remap | None = None
) -> list[SSAValue] | None:
    """Appends the code of `region` to `block`; returns what it yields there.

    `remap` carries the maps of index ops to the domain of the new place. None if one of them has
    no image; the block may then hold dead code.
    """
    values: dict[SSAValue, SSAValue] = dict(zip(region.block.args, arguments, strict=True))
    for op in region.block.ops:
        if isinstance(op, YieldOp):
            return [values[v] for v in op.values]
        copy = op.clone(values)
        if isinstance(copy, IndexOp) and remap is not None:
            access = remap(copy.access)
            if access is None:
                return None
            copy.properties["map"] = IndexOp(access).map
        block.add_op(copy)
    raise AssertionError("a region ends in kernel.yield")


def drop_unused(block: Block) -> None:
    """Erases scalar code of which nothing is yielded."""
    for op in reversed(list(block.ops)):
        if not isinstance(op, YieldOp) and not any(result.uses for result in op.results):
            block.erase_op(op)


def is_identity(region: Region) -> bool:
    """Whether a region only yields its first argument."""
    last = region.block.last_op
    return (
        isinstance(last, YieldOp)
        and region.block.first_op is last
        and len(last.values) == 1
        and last.values[0] is region.block.args[0]
    )


def only_rounds(region: Region, element: Attribute) -> bool:
    """Whether a region only yields its first argument, maybe rounded to `element`: a store there
    would round the same."""
    if is_identity(region):
        return True
    last = region.block.last_op
    if not isinstance(last, YieldOp) or len(last.values) != 1:
        return False
    extended = last.values[0].owner
    rounded = extended.input.owner if isinstance(extended, arith.ExtFOp) else None
    return (
        isinstance(rounded, arith.TruncFOp)
        and rounded.result.type == element
        and rounded.input is region.block.args[0]
    )
