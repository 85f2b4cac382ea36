"""Region code over pairs of positions, on one side of a diagonal: what it comes down to there.

Comparisons of positions, `i + c < j` and the like, have one outcome on each side of a diagonal of
the plane of queries i and keys j. With these outcomes known, a mask is the value that it has there,
and code that applies it is what is left.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import copysign, inf, isnan
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, bf16, f8E4M3FN, f16, f32, i1, i32, i64
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue

from ait.dialects.kernel import ExtentOp, IndexOp, YieldOp
from ait.dialects.symbolic import Dim, lower_bound, provably_le, upper_bound
from ait.passes.regions import ScalarBuilder, integer

Number: TypeAlias = float | int | bool
Outcome: TypeAlias = Number | SSAValue
"""What a value is on one side: a number, or what another value of the region is."""


# Where the code runs --------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """The pairs (i, j) of positions for which `low <= i - j <= high`.

    Positions are the last two dims of the domain; `rows` and `columns` are their extents.
    """

    rows: Dim
    columns: Dim
    low: Dim
    high: Dim


def side_seen(rows: Dim, columns: Dim) -> Side:
    """Where queries see keys causally: the last query sees all, `j <= i + (columns - rows)`."""
    return Side(rows, columns, rows - columns, rows - 1)


def side_hidden(rows: Dim, columns: Dim) -> Side:
    """The other pairs."""
    return Side(rows, columns, 1 - columns, rows - columns - 1)


@dataclass(frozen=True)
class Line:
    """`row * i + column * j + offset`: a whole number that follows from the two positions."""

    row: Dim
    column: Dim
    offset: Dim

    def plus(self, other: Line, sign: int = 1) -> Line:
        return Line(
            self.row + other.row * sign,
            self.column + other.column * sign,
            self.offset + other.offset * sign,
        )

    def times(self, factor: Dim) -> Line:
        return Line(self.row * factor, self.column * factor, self.offset * factor)

    @property
    def is_same_everywhere(self) -> bool:
        return self.row == 0 and self.column == 0


_EXACT: Mapping[Attribute, int] = {f32: 1 << 24, i32: (1 << 31) - 1, i64: (1 << 63) - 1}
"""Up to which size a type has every whole number."""


def _fits(line: Line, side: Side, of_type: Attribute) -> bool:
    """Whether a type has the number for all positions."""
    limit = _EXACT.get(of_type)
    if limit is None:
        return False
    total = 0
    for factor, extent in ((line.row, side.rows), (line.column, side.columns), (line.offset, 2)):
        size = max(abs(lower_bound(factor)), abs(upper_bound(factor)))
        total += size * max(upper_bound(extent) - 1, 0)
    return total <= limit


# Numbers --------------------------------------------------------------------------------------

_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_INTEGER_RELATIONS = ("eq", "ne", "lt", "le", "gt", "ge", "lt", "le", "gt", "ge")
"""By the number of the predicate of `arith.cmpi`; the last four are unsigned."""
_FLOAT_RELATIONS: Mapping[int, str] = {1: "eq", 2: "gt", 3: "ge", 4: "lt", 5: "le", 13: "ne"}
"""By the number of the predicate of `arith.cmpf`: those that region code has."""
_FIRST_UNSIGNED = 6


def relation_of(op: arith.CmpiOp | arith.CmpfOp) -> str | None:
    """How a comparison orders its operands; None if it is none of the usual ones."""
    predicate = op.predicate.value.data
    if isinstance(op, arith.CmpfOp):
        return _FLOAT_RELATIONS.get(predicate)
    if predicate >= _FIRST_UNSIGNED and op.lhs.type != i1:
        return None
    return _INTEGER_RELATIONS[predicate]


_ARITHMETIC: Mapping[type[Operation], Callable[..., Any]] = {
    arith.AddfOp: np.add,
    arith.SubfOp: np.subtract,
    arith.MulfOp: np.multiply,
    arith.DivfOp: np.divide,
    arith.MaximumfOp: np.maximum,
    arith.MinimumfOp: np.minimum,
    arith.AndIOp: np.logical_and,
    arith.OrIOp: np.logical_or,
    arith.XOrIOp: np.logical_xor,
}
"""Of two numbers. Sums of integers are lines, which cannot overflow unnoticed."""
_WIDENING = (arith.SIToFPOp, arith.UIToFPOp, arith.ExtUIOp, arith.ExtSIOp)
_STORED: Mapping[Attribute, Any] = {
    f8E4M3FN: ml_dtypes.float8_e4m3fn,
    f16: np.float16,
    bf16: ml_dtypes.bfloat16,
    f32: np.float32,
}


def _rounded(number: Number, of_type: Attribute) -> Number:
    """A number as a type has it."""
    stored = _STORED.get(of_type)
    if stored is not None:
        with np.errstate(over="ignore"):
            return float(np.float32(number).astype(stored))
    return bool(number) if of_type == i1 else int(number)


def number_of(value: Outcome) -> Number | None:
    return None if isinstance(value, SSAValue) else value


# Evaluation -----------------------------------------------------------------------------------


@dataclass
class Evaluation:
    """What the values of a region are on one side."""

    side: Side
    outcomes: dict[SSAValue, Outcome] = field(default_factory=dict[SSAValue, Outcome])
    lines: dict[SSAValue, Line | None] = field(default_factory=dict[SSAValue, Line | None])

    def of(self, value: SSAValue) -> Outcome:
        if value not in self.outcomes:
            self.outcomes[value] = self._of(value)
        return self.outcomes[value]

    def _of(self, value: SSAValue) -> Outcome:
        op = value.owner
        if not isinstance(op, Operation):
            return value
        if isinstance(op, arith.ConstantOp):
            literal = op.value
            if isinstance(literal, IntegerAttr):
                return _rounded(literal.value.data, value.type)
            return literal.value.data if isinstance(literal, FloatAttr) else value
        if isinstance(op, arith.CmpiOp | arith.CmpfOp):
            found = self._comparison(op)
            return value if found is None else found
        if isinstance(op, arith.SelectOp):
            return self._selection(op)
        given = [self.of(operand) for operand in op.operands]
        known = [number for number in map(number_of, given) if number is not None]
        if len(known) == len(given):
            found = _computed(op, known)
            return value if found is None else found
        return self._neutral(op, given)

    def _comparison(self, op: arith.CmpiOp | arith.CmpfOp) -> bool | None:
        relation = relation_of(op)
        if relation is None:
            return None
        a, b = (number_of(self.of(operand)) for operand in op.operands)
        if a is not None and b is not None:
            return _RELATIONS[relation](a, b)
        left, right = self.line_of(op.lhs), self.line_of(op.rhs)
        if left is None or right is None:
            return None
        bounds = self._bounds(left.plus(right, -1))
        return None if bounds is None else _compared_with_zero(relation, *bounds)

    def _selection(self, op: arith.SelectOp) -> Outcome:
        condition = number_of(self.of(op.cond))
        a, b = self.of(op.lhs), self.of(op.rhs)
        if condition is not None:
            return a if condition else b
        same = a is b if isinstance(a, SSAValue) or isinstance(b, SSAValue) else _same(a, b)
        return a if same else op.result

    def _neutral(self, op: Operation, given: list[Outcome]) -> Outcome:
        """The outcome of an op of which an operand is a number, if that decides it."""
        rule, result = _NEUTRAL.get(type(op)), op.results[0]
        if rule is None or (integer(result.type) is not None and result.type != i1):
            return result
        for position, value in enumerate(given):
            number = number_of(value)
            other = given[1 - position]
            if number is None or (position == 0 and isinstance(op, arith.SubfOp)):
                continue
            if number == rule.neutral:
                return other
            if rule.absorbing is not None and number == rule.absorbing:
                return number
        return result

    def line_of(self, value: SSAValue) -> Line | None:
        """A value as a line over the positions; None if it is none, or rounded."""
        if value not in self.lines:
            line = self._line_of(value)
            fits = line is not None and _fits(line, self.side, value.type)
            self.lines[value] = line if fits else None
        return self.lines[value]

    def _line_of(self, value: SSAValue) -> Line | None:
        number, op = number_of(self.of(value)), value.owner
        if number is not None:
            return Line(0, 0, int(number)) if number == number and _is_whole(number) else None
        match op:
            case IndexOp():
                *others, row, column = op.access.strides
                return None if any(s != 0 for s in others) else Line(row, column, op.access.offset)
            case ExtentOp():
                return Line(0, 0, op.dim.data)
            case arith.ExtSIOp() | arith.TruncIOp() | arith.SIToFPOp() | arith.FPToSIOp():
                return self.line_of(op.input)
            case _:
                return self._combined(op) if isinstance(op, Operation) else None

    def _combined(self, op: Operation) -> Line | None:
        if len(op.operands) != 2 or not isinstance(op, _LINEAR):
            return None
        a, b = (self.line_of(operand) for operand in op.operands)
        if a is None or b is None:
            return None
        if isinstance(op, arith.AddiOp | arith.AddfOp):
            return a.plus(b)
        if isinstance(op, arith.SubiOp | arith.SubfOp):
            return a.plus(b, -1)
        factor, line = (a, b) if a.is_same_everywhere else (b, a)
        return line.times(factor.offset) if factor.is_same_everywhere else None

    def _bounds(self, line: Line) -> tuple[Dim, Dim] | None:
        """The least and the largest value of a line that counts along i - j."""
        side, row, column = self.side, line.row, line.column
        if side.rows == 1:
            row = -column
        elif side.columns == 1:
            column = -row
        if row + column != 0:
            return None
        if row == 1:
            return side.low + line.offset, side.high + line.offset
        if row == -1:
            return line.offset - side.high, line.offset - side.low
        return (line.offset, line.offset) if row == 0 else None


_LINEAR = (
    arith.AddiOp,
    arith.AddfOp,
    arith.SubiOp,
    arith.SubfOp,
    arith.MuliOp,
    arith.MulfOp,
)


@dataclass(frozen=True)
class _Neutral:
    """The operand that changes nothing, and the one that decides alone."""

    neutral: Number
    absorbing: Number | None = None


# A sum with 0 is its other operand, but for the sign of a 0.
_NEUTRAL: Mapping[type[Operation], _Neutral] = {
    arith.AddfOp: _Neutral(0.0),
    arith.SubfOp: _Neutral(0.0),
    arith.MulfOp: _Neutral(1.0),
    arith.MaximumfOp: _Neutral(-inf, inf),
    arith.MinimumfOp: _Neutral(inf, -inf),
    arith.AndIOp: _Neutral(True, False),
    arith.OrIOp: _Neutral(False, True),
    arith.XOrIOp: _Neutral(False),
}


def _same(a: Number, b: Number) -> bool:
    """Whether two numbers are one, also in their sign."""
    return a == b and copysign(1, a) == copysign(1, b)


def _is_whole(number: Number) -> bool:
    return abs(number) != inf and int(number) == number


def _computed(op: Operation, given: list[Number]) -> Number | None:
    """What an op makes of numbers; None if it is not known here."""
    result = op.results[0].type
    combine = _ARITHMETIC.get(type(op))
    if combine is not None:
        if integer(result) is not None and result != i1:
            return None
        with np.errstate(all="ignore"):
            return _rounded(combine(*(_operand(x, result) for x in given)), result)
    if isinstance(op, arith.NegfOp):
        return -given[0]
    if isinstance(op, arith.TruncFOp | arith.ExtFOp):
        return _rounded(given[0], result)
    signed_bit = isinstance(op, arith.SIToFPOp | arith.ExtSIOp) and op.operands[0].type == i1
    return _rounded(given[0], result) if isinstance(op, _WIDENING) and not signed_bit else None


def _operand(number: Number, of_type: Attribute) -> Any:
    return np.float32(number) if of_type == f32 else number


def _compared_with_zero(relation: str, low: Dim, high: Dim) -> bool | None:
    """The outcome of comparing with 0 what lies between two bounds; None if it may be either."""
    negative, positive = provably_le(high, -1), provably_le(1, low)
    match relation:
        case "lt":
            return True if negative else False if provably_le(0, low) else None
        case "ge":
            return False if negative else True if provably_le(0, low) else None
        case "gt":
            return True if positive else False if provably_le(high, 0) else None
        case "le":
            return False if positive else True if provably_le(high, 0) else None
        case _:
            zero = low == 0 and high == 0
            equal = True if zero else False if negative or positive else None
            return equal if equal is None or relation == "eq" else not equal


# What is left of the code ---------------------------------------------------------------------


def remaining(region: Region, evaluation: Evaluation) -> tuple[Region, list[int]]:
    """A region that yields what another one does on one side, and which arguments of that it has.

    The first argument stays in any case.
    """
    yielded = region.block.last_op
    assert isinstance(yielded, YieldOp), "a region ends in kernel.yield"
    needed = _needed([evaluation.of(v) for v in yielded.values], evaluation)
    old = region.block.args
    kept = [i for i, argument in enumerate(old) if i == 0 or argument in needed]
    block = Block(arg_types=[old[i].type for i in kept])
    placed: dict[SSAValue, SSAValue] = {
        old[i]: new for i, new in zip(kept, block.args, strict=True)
    }

    def place(value: SSAValue) -> SSAValue:
        outcome = evaluation.of(value)
        if isinstance(outcome, SSAValue):
            return placed[outcome]
        return ScalarBuilder(block).constant(outcome, value.type)

    for op in region.block.ops:
        if any(result in needed for result in op.results):
            copy = op.clone({operand: place(operand) for operand in op.operands})
            block.add_op(copy)
            placed.update(zip(op.results, copy.results, strict=True))
    block.add_op(YieldOp(*(place(value) for value in yielded.values)))
    return Region(block), kept


def _needed(roots: list[Outcome], evaluation: Evaluation) -> set[SSAValue]:
    """The values that must be computed for some."""
    needed: set[SSAValue] = set()
    pending = list(roots)
    while pending:
        value = pending.pop()
        if isinstance(value, SSAValue) and value not in needed:
            needed.add(value)
            if isinstance(value, OpResult):
                pending.extend(evaluation.of(operand) for operand in value.op.operands)
    return needed


# How large values are -------------------------------------------------------------------------


@dataclass(frozen=True)
class Extent:
    """Bounds of a value; `bits` is the precision of a raw score, of which nothing else is known.

    Beyond 2 ** bits, a score changes by 1 and more if it, or a factor that it is computed from, is
    the next number of so many bits: what softmax makes of such scores is decided by how they were
    rounded.
    """

    low: float
    high: float
    bits: int | None = None

    @staticmethod
    def of_score(bits: int) -> Extent:
        return Extent(-(2.0**bits), 2.0**bits, bits)

    @staticmethod
    def sure(*ends: float) -> Extent:
        """From the least to the largest; an end that is NaN is not known."""
        if any(isnan(end) for end in ends):
            return Extent(-inf, inf)
        return Extent(min(ends), max(ends))


BITS: Mapping[Attribute, int] = {f8E4M3FN: 4, f16: 11, bf16: 8, f32: 24}
"""The precision of types."""

_UNIT = Extent(-1.0, 1.0)
_BOUNDED = (math.TanhOp, math.ErfOp, math.SinOp, math.CosOp)
"""Functions with values from -1 to 1."""


@dataclass(frozen=True)
class RawScore:
    """The argument of a region that is any number, of a precision of some bits."""

    value: SSAValue
    bits: int


def extent_of(value: Outcome, evaluation: Evaluation, score: RawScore) -> Extent:
    """How large a value is on one side."""
    return _Extents(evaluation, score).of(value)


@dataclass
class _Extents:
    """How large the values of a region are on one side."""

    evaluation: Evaluation
    score: RawScore
    known: dict[SSAValue, Extent] = field(default_factory=dict[SSAValue, Extent])

    def of(self, value: Outcome) -> Extent:
        if not isinstance(value, SSAValue):
            return Extent(float(value), float(value))
        if value not in self.known:
            self.known[value] = self._of(value)
        return self.known[value]

    def _of(self, value: SSAValue) -> Extent:
        if value is self.score.value:
            return Extent.of_score(self.score.bits)
        op = value.owner
        if not isinstance(op, Operation) or isinstance(op, IndexOp | ExtentOp):
            return Extent(-inf, inf)
        if isinstance(op, _BOUNDED):
            return _UNIT
        operands = op.operands[1:] if isinstance(op, arith.SelectOp) else op.operands
        found = [self.of(self.evaluation.of(operand)) for operand in operands]
        rule = _EXTENTS.get(type(op))
        if rule is None:
            return Extent(-inf, inf)
        precisions = [extent.bits for extent in found if extent.bits is not None]
        numbers = [e for e in found if e.low == e.high != 0]
        scales = isinstance(op, _SCALING) and len(numbers) + len(precisions) == len(found)
        if precisions and (scales or len(precisions) == len(found)):
            return Extent.of_score(min(*precisions, BITS.get(value.type, BITS[f32])))
        return rule(*found)


_SCALING = (arith.MulfOp, arith.DivfOp, arith.TruncFOp, arith.ExtFOp, arith.NegfOp)


def _sum(a: Extent, b: Extent) -> Extent:
    if -inf in (a.high, b.high):
        return Extent(-inf, -inf)
    return Extent(_or(a.low + b.low, -inf), _or(a.high + b.high, inf))


def _or(number: float, otherwise: float) -> float:
    return otherwise if isnan(number) else number


def _negative(a: Extent) -> Extent:
    return Extent(-a.high, -a.low)


def _product(a: Extent, b: Extent) -> Extent:
    return Extent.sure(*(x * y for x in (a.low, a.high) for y in (b.low, b.high)))


def _quotient(a: Extent, b: Extent) -> Extent:
    if b.low != b.high or b.low == 0:
        return Extent(-inf, inf)
    return Extent.sure(a.low / b.low, a.high / b.low)


def _larger(a: Extent, b: Extent) -> Extent:
    return Extent(max(a.low, b.low), max(a.high, b.high))


def _smaller(a: Extent, b: Extent) -> Extent:
    return Extent(min(a.low, b.low), min(a.high, b.high))


def _either(a: Extent, b: Extent) -> Extent:
    return Extent(min(a.low, b.low), max(a.high, b.high))


def _difference(a: Extent, b: Extent) -> Extent:
    return _sum(a, _negative(b))


def _unchanged(a: Extent) -> Extent:
    return a


_EXTENTS: Mapping[type[Operation], Callable[..., Extent]] = {
    arith.AddfOp: _sum,
    arith.DivfOp: _quotient,
    arith.ExtFOp: _unchanged,
    arith.MaximumfOp: _larger,
    arith.MinimumfOp: _smaller,
    arith.MulfOp: _product,
    arith.NegfOp: _negative,
    arith.SelectOp: _either,
    arith.SubfOp: _difference,
    arith.TruncFOp: _unchanged,
}
