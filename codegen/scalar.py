"""Region code -> C++: each scalar op becomes one statement, `const float v3 = ait::erf(v2);`.

The names `ait::...` are declared by each target's prelude `ait/scalar.hpp`; they mean the same on
all targets. `PRINTERS` is the whole list of scalar ops that code can be generated for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float16Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    bf16,
    f8E4M3FN,
    f16,
    f32,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ait.codegen.expressions import DimPrinter
from ait.codegen.rough import RoughCall, rough_calls
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import ExtentOp, IndexOp, YieldOp
from ait.dialects.symbolic import Dim
from ait.errors import CompileError


@dataclass(frozen=True)
class ElementType:
    """An element type in C++: how it is stored, how it is computed with, and its size in bytes."""

    name: str
    storage: str
    compute: str
    bytes: int


ELEMENT_TYPES: Mapping[Attribute, ElementType] = {
    f32: ElementType("f32", "float", "float", 4),
    f16: ElementType("f16", "ait::half_t", "float", 2),
    bf16: ElementType("bf16", "ait::bfloat16_t", "float", 2),
    i64: ElementType("i64", "int64_t", "int64_t", 8),
    i32: ElementType("i32", "int32_t", "int32_t", 4),
    i8: ElementType("i8", "int8_t", "int8_t", 1),
    i1: ElementType("i1", "bool", "bool", 1),
    f8E4M3FN: ElementType("f8E4M3FN", "ait::float8_e4m3_t", "float", 1),
}


def element_type(attribute: Attribute) -> ElementType:
    """The C++ side of an element type. Raises CompileError for one that has none."""
    found = ELEMENT_TYPES.get(attribute)
    if found is None:
        raise CompileError(f"no code can be generated for element type {attribute}")
    return found


@dataclass(frozen=True)
class Scalar:
    """A C++ scalar: an expression (a name, for a parameter) and its type."""

    text: str
    type: str
    is_used: bool = True


@dataclass(frozen=True)
class RegionCode:
    """A region as C++ statements over its parameters.

    `indices`: the access maps of the indices that the code reads, as int64_t variables
    `<prefix>_index_<position>`. `extents`: the names of the run-time extents that it reads.
    `operations`: the kinds of arithmetic in it, in order of first use: `addf`, `erf`, ...
    """

    prefix: str
    parameters: tuple[Scalar, ...]
    lines: tuple[str, ...]
    results: tuple[Scalar, ...]
    indices: tuple[AccessMap, ...]
    extents: tuple[str, ...]
    operations: tuple[str, ...]

    @property
    def is_identity(self) -> bool:
        """Whether the results are just the first parameters, in order."""
        first = self.parameters[: len(self.results)]
        return [p.text for p in first] == [r.text for r in self.results]

    def index_name(self, position: int) -> str:
        """The variable of `indices[position]`."""
        return f"{self.prefix}_index_{position}"


# Literals -------------------------------------------------------------------------------------


def float_literal(value: float) -> str:
    """The shortest C++ float literal that reads back as exactly the float32 `value`."""
    if math.isnan(value):
        return "std::numeric_limits<float>::quiet_NaN()"
    if math.isinf(value):
        sign = "-" if value < 0 else ""
        return f"{sign}std::numeric_limits<float>::infinity()"
    single = np.float32(value)
    magnitude = abs(float(single))
    if magnitude == 0 or 1e-4 <= magnitude < 1e9:
        text = np.format_float_positional(single, unique=True, trim="0")
    else:
        text = np.format_float_scientific(single, unique=True, trim="0", exp_digits=1)
    return f"{text}f"


def integer_literal(value: int, width: int) -> str:
    """A C++ literal of type `int<width>_t`, or of bool for width 1."""
    if width == 1:
        return "true" if value else "false"
    if value == -(1 << 63):
        return "std::numeric_limits<int64_t>::min()"
    return f"int{width}_t{{{value}}}"


def _constant(op: Operation, _: Sequence[str]) -> str:
    value = cast(arith.ConstantOp, op).value
    if isinstance(value, FloatAttr):
        return _negative_in_parentheses(float_literal(value.value.data))
    if isinstance(value, IntegerAttr) and isinstance(value.type, IntegerType):
        return integer_literal(value.value.data, value.type.width.data)
    raise CompileError(f"no code can be generated for constant {value}")


def _negative_in_parentheses(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


# Printers -------------------------------------------------------------------------------------

Printer: TypeAlias = Callable[[Operation, Sequence[str]], str]
"""From an op and the text of its operands to a C++ expression."""


def _form(form: str) -> Printer:
    return lambda _, operands: form.format(*operands)


def _call(name: str) -> Printer:
    return lambda _, operands: f"ait::{name}({', '.join(operands)})"


def _to_result(op: Operation, operands: Sequence[str]) -> str:
    """A conversion that the prelude defines fully: saturating, wrapping or rounding."""
    return f"ait::convert<{_compute(op.results[0])}>({operands[0]})"


def _round_to_storage(op: Operation, operands: Sequence[str]) -> str:
    """Values of narrow floats are held as floats that the storage type can represent."""
    storage = element_type(op.results[0].type).storage
    return f"ait::convert<float>(ait::convert<{storage}>({operands[0]}))"


def _negated_if_bool(convert: Printer) -> Printer:
    """Signed conversions see the i1 `true` as -1."""

    def printer(op: Operation, operands: Sequence[str]) -> str:
        text = convert(op, operands)
        return f"ait::neg({text})" if op.operands[0].type == i1 else text

    return printer


def _unsigned_to_float(op: Operation, operands: Sequence[str]) -> str:
    if op.operands[0].type == i1:
        return f"ait::convert<float>({operands[0]})"
    return f"static_cast<float>({_unsigned(op.operands[0], operands[0])})"


def _extend_unsigned(op: Operation, operands: Sequence[str]) -> str:
    target = _compute(op.results[0])
    if op.operands[0].type == i1:
        return f"ait::convert<{target}>({operands[0]})"
    return f"static_cast<{target}>({_unsigned(op.operands[0], operands[0])})"


def _truncate(op: Operation, operands: Sequence[str]) -> str:
    if op.results[0].type == i1:
        return f"({operands[0]} & 1) != 0"
    return _to_result(op, operands)


def _unsigned(value: SSAValue, text: str) -> str:
    return f"static_cast<u{_compute(value)}>({text})"


# In the order of the predicate's number. Unordered comparisons are negations: true on NaN.
_COMPARE_FLOATS = (
    "false",
    "{0} == {1}",
    "{0} > {1}",
    "{0} >= {1}",
    "{0} < {1}",
    "{0} <= {1}",
    "({0} < {1} || {0} > {1})",
    "({0} == {0} && {1} == {1})",
    "!({0} < {1} || {0} > {1})",
    "!({0} <= {1})",
    "!({0} < {1})",
    "!({0} >= {1})",
    "!({0} > {1})",
    "{0} != {1}",
    "({0} != {0} || {1} != {1})",
    "true",
)
_COMPARE_INTEGERS = ("==", "!=", "<", "<=", ">", ">=", "<", "<=", ">", ">=")
_FIRST_UNSIGNED, _FIRST_ORDERED = 6, 2


def _compare_floats(op: Operation, operands: Sequence[str]) -> str:
    predicate = cast(arith.CmpfOp, op).predicate.value.data
    return _COMPARE_FLOATS[predicate].format(*operands)


def _compare_integers(op: Operation, operands: Sequence[str]) -> str:
    predicate = cast(arith.CmpiOp, op).predicate.value.data
    left, right = operands
    if op.operands[0].type == i1:
        # The i1 `true` is -1 when signed, so the signed order is the reverse of bool's.
        if _FIRST_ORDERED <= predicate < _FIRST_UNSIGNED:
            left, right = right, left
    elif predicate >= _FIRST_UNSIGNED:
        left, right = _unsigned(op.operands[0], left), _unsigned(op.operands[1], right)
    return f"{left} {_COMPARE_INTEGERS[predicate]} {right}"


PRINTERS: Mapping[type[Operation], Printer] = {
    arith.ConstantOp: _constant,
    # Floats
    arith.AddfOp: _form("{0} + {1}"),
    arith.SubfOp: _form("{0} - {1}"),
    arith.MulfOp: _form("{0} * {1}"),
    arith.DivfOp: _form("{0} / {1}"),
    arith.NegfOp: _form("-{0}"),
    arith.MaximumfOp: _call("maximum"),
    arith.MinimumfOp: _call("minimum"),
    arith.CmpfOp: _compare_floats,
    math_dialect.AbsFOp: _call("abs"),
    math_dialect.CeilOp: _call("ceil"),
    math_dialect.CopySignOp: _call("copysign"),
    math_dialect.CosOp: _call("cos"),
    math_dialect.ErfOp: _call("erf"),
    math_dialect.Exp2Op: _call("exp2"),
    math_dialect.ExpM1Op: _call("expm1"),
    math_dialect.ExpOp: _call("exp"),
    math_dialect.FloorOp: _call("floor"),
    math_dialect.FmaOp: _call("fma"),
    math_dialect.Log1pOp: _call("log1p"),
    math_dialect.Log2Op: _call("log2"),
    math_dialect.LogOp: _call("log"),
    math_dialect.PowFOp: _call("pow"),
    math_dialect.RoundEvenOp: _call("roundeven"),
    math_dialect.RsqrtOp: _call("rsqrt"),
    math_dialect.SinOp: _call("sin"),
    math_dialect.SqrtOp: _call("sqrt"),
    math_dialect.TanhOp: _call("tanh"),
    math_dialect.TruncOp: _call("trunc"),
    # Integers: the prelude wraps on overflow and gives 0 on division by 0
    arith.AddiOp: _call("add"),
    arith.SubiOp: _call("sub"),
    arith.MuliOp: _call("mul"),
    arith.FloorDivSIOp: _call("floor_divide"),
    arith.MaxSIOp: _call("maximum"),
    arith.MinSIOp: _call("minimum"),
    math_dialect.AbsIOp: _call("abs"),
    arith.CmpiOp: _compare_integers,
    # Bits and booleans
    arith.AndIOp: _form("{0} & {1}"),
    arith.OrIOp: _form("{0} | {1}"),
    arith.XOrIOp: _form("{0} ^ {1}"),
    arith.SelectOp: _form("{0} ? {1} : {2}"),
    # Conversions
    arith.ExtFOp: _form("{0}"),
    arith.TruncFOp: _round_to_storage,
    arith.FPToSIOp: _to_result,
    arith.SIToFPOp: _negated_if_bool(_to_result),
    arith.UIToFPOp: _unsigned_to_float,
    arith.ExtSIOp: _negated_if_bool(_to_result),
    arith.ExtUIOp: _extend_unsigned,
    arith.TruncIOp: _truncate,
}

SCALAR_OPS: frozenset[type[Operation]] = frozenset(PRINTERS) | {ExtentOp, IndexOp, YieldOp}
"""The ops that region code may consist of: what a target's capabilities can promise."""

_REDUCED_FLOATS = (Float16Type, BFloat16Type, Float8E4M3FNType)
_ON_REDUCED_FLOATS = (arith.ExtFOp, arith.TruncFOp, arith.SelectOp, arith.ConstantOp)


def is_supported(op: Operation) -> bool:
    """Whether C++ can be generated for a scalar op: its kind, and the types it works on.

    Values of floats below f32 exist only between a `truncf` and the `extf` that reads it back.
    """
    if type(op) not in SCALAR_OPS:
        return False
    types = [*op.operand_types, *op.result_types]
    if all(t is f32 for t in types):  # most are
        return True
    if any(isinstance(t, _REDUCED_FLOATS) for t in types):
        return isinstance(op, _ON_REDUCED_FLOATS)
    return all(t in ELEMENT_TYPES for t in types)


# Regions --------------------------------------------------------------------------------------

# Ops that are no arithmetic, and so say nothing about what a kernel does.
_SILENT = (arith.ConstantOp, arith.ExtFOp, arith.TruncFOp, ExtentOp, IndexOp, YieldOp)
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_]+")
_INDEX_NAME = re.compile(r"[a-z]_index_\d+")


def region_code(
    region: Region,
    dims: DimPrinter | None = None,
    prefix: str = "v",
    hints: bool = True,
    rough: bool = False,
) -> RegionCode:
    """The C++ of a one-block region that ends in `kernel.yield`.

    `dims` names the extents. Variables are `<prefix>_<hint>` or `<prefix><number>`; without
    `hints`, names do not depend on the IR's name hints, and equal code gives equal text. `rough`:
    all results are stored in 16 bits (see rough.py).
    Raises CompileError for an op that is not in the table.
    """
    printer = _RegionPrinter(dims or DimPrinter(), prefix, hints)
    return printer.run(region, rough_calls(region.block) if rough else None)


class _RegionPrinter:
    def __init__(self, dims: DimPrinter, prefix: str, hints: bool):
        self._dims = dims
        self._prefix = prefix
        self._hints = hints
        self._calls: Mapping[Operation, RoughCall] = {}
        self._texts: dict[SSAValue, str] = {}
        self._names: set[str] = set()
        self._lines: list[str] = []
        self._indices: dict[AccessMap, str] = {}
        self._extents: dict[str, None] = {}
        self._operations: dict[str, None] = {}

    def run(self, region: Region, calls: Mapping[Operation, RoughCall] | None) -> RegionCode:
        block = region.block
        self._calls = calls or {}
        parameters = tuple(
            Scalar(self._name(arg), _compute(arg), arg.first_use is not None) for arg in block.args
        )
        needed = self._needed(block)
        for op in block.ops:
            if op in needed:
                self._print(op)
        last = block.last_op
        if not isinstance(last, YieldOp):
            raise CompileError("region code must end in kernel.yield")
        return RegionCode(
            prefix=self._prefix,
            parameters=parameters,
            lines=tuple(self._lines),
            results=tuple(Scalar(self._texts[v], _compute(v)) for v in last.values),
            indices=tuple(self._indices),
            extents=tuple(self._extents),
            operations=tuple(self._operations),
        )

    def _needed(self, block: Block) -> set[Operation]:
        """The ops that give what is yielded, or something on the way there."""
        values: set[SSAValue] = set()
        needed: set[Operation] = set()
        for op in reversed(list(block.ops)):
            if isinstance(op, YieldOp):
                values.update(op.operands)
            elif not values.isdisjoint(op.results):
                needed.add(op)
                call = self._calls.get(op)
                values.update(op.operands if call is None else [call.argument])
        return needed

    def _print(self, op: Operation) -> None:
        if not is_supported(op):
            types = ", ".join(map(str, op.operand_types))
            raise CompileError(f"no code can be generated for {op.name} on ({types})")
        if op in self._calls:
            self._operations[self._calls[op].function] = None
        elif not isinstance(op, _SILENT):
            self._operations[op.name.partition(".")[2]] = None
        if isinstance(op, IndexOp):
            name = f"{self._prefix}_index_{len(self._indices)}"
            self._texts[op.result] = self._indices.setdefault(op.access, name)
        elif isinstance(op, ExtentOp):
            self._extents.update((name, None) for name in self._dims.names(op.dim.data))
            self._texts[op.result] = self._extent(op.dim.data)
        else:
            self._print_value(op)

    def _extent(self, dim: Dim) -> str:
        if isinstance(dim, int):
            return integer_literal(dim, 64)
        return self._dims.factor(dim)

    def _print_value(self, op: Operation) -> None:
        result = op.results[0]
        call = self._calls.get(op)
        if call is None:
            text = PRINTERS[type(op)](op, [self._texts[operand] for operand in op.operands])
        else:
            text = f"ait::{call.function}({self._texts[call.argument]})"
        if isinstance(op, arith.ConstantOp | arith.ExtFOp):
            self._texts[result] = text
            return
        self._lines.append(f"const {_compute(result)} {self._name(result)} = {text};")

    def _name(self, value: SSAValue) -> str:
        """A fresh variable. No template uses such names itself, whatever the hints are."""
        hint = _NOT_IN_NAMES.sub("_", value.name_hint or "") if self._hints else ""
        name = base = f"{self._prefix}_{hint}" if hint else f"{self._prefix}{len(self._names)}"
        count = 1
        while name in self._names or _is_index_name(name):
            count += 1
            name = f"{base}_{count}_"
        self._names.add(name)
        self._texts[value] = name
        return name


def _is_index_name(name: str) -> bool:
    return _INDEX_NAME.fullmatch(name) is not None


def _compute(value: SSAValue) -> str:
    return element_type(value.type).compute
