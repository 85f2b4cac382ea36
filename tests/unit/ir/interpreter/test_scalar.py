"""Region code: each scalar op against plain Python."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, f32, i1, i8, i64
from xdsl.interpreter import Interpreter
from xdsl.ir import Attribute, Operation
from xdsl.utils.test_value import create_ssa_value

from ait.ir.interpreter.environment import Environment
from ait.ir.interpreter.scalar import CONVERSIONS, FUNCTIONS, ScalarFunctions

INTERPRETER = Interpreter(ModuleOp([]))
INTERPRETER.register_implementations(ScalarFunctions(Environment({})))

INTEGERS = [-128, -7, -1, 0, 1, 2, 5, 127]


def wrapped(value: int) -> int:
    return (value + 128) % 256 - 128


def truncated(a: int, b: int) -> int:
    return math.trunc(a / b) if b else 0


def i8_values(values: Any) -> np.ndarray:
    return np.asarray(values, np.int8)


BINARY: dict[type[Operation], Callable[[int, int], int]] = {
    arith.AddiOp: lambda a, b: a + b,
    arith.SubiOp: lambda a, b: a - b,
    arith.MuliOp: lambda a, b: a * b,
    arith.DivSIOp: truncated,
    arith.FloorDivSIOp: lambda a, b: a // b if b else 0,
    arith.CeilDivSIOp: lambda a, b: -(-a // b) if b else 0,
    arith.RemSIOp: lambda a, b: int(math.fmod(a, b)) if b else 0,
    arith.MaxSIOp: max,
    arith.MinSIOp: min,
    arith.AndIOp: lambda a, b: a & b,
    arith.OrIOp: lambda a, b: a | b,
    arith.XOrIOp: lambda a, b: a ^ b,
}


def run(op_type: Any, operand_types: list[Attribute], result: Attribute, *args: Any) -> np.ndarray:
    op = op_type.create(
        operands=[create_ssa_value(t) for t in operand_types], result_types=[result]
    )
    with np.errstate(all="ignore"):
        return INTERPRETER.run_op(op, args)[0]


@pytest.mark.parametrize("op_type", BINARY, ids=lambda op: op.name)
def test_integers(op_type: type[Operation]) -> None:
    pairs = list(product(INTEGERS, repeat=2))
    a, b = (i8_values([p[i] for p in pairs]) for i in range(2))
    got = run(op_type, [i8, i8], i8, a, b)
    assert got.dtype == np.int8
    assert got.tolist() == [wrapped(BINARY[op_type](*p)) for p in pairs]


PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("element", [i8, i1], ids=str)
def test_integer_comparisons(predicate: str, element: Any) -> None:
    values = INTEGERS if element == i8 else [0, 1]
    bits = 8 if element == i8 else 1

    def seen(value: int) -> int:
        unsigned = value % (1 << bits)
        signed = unsigned - (1 << bits) if unsigned >> (bits - 1) else unsigned
        return unsigned if predicate[0] == "u" else signed

    compare: dict[str, Callable[[int, int], bool]] = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
    }
    dtype = np.int8 if element == i8 else np.bool_
    for a, b in product(values, repeat=2):
        op = arith.CmpiOp(create_ssa_value(element), create_ssa_value(element), predicate)
        (got,) = INTERPRETER.run_op(op, (np.asarray(a, dtype), np.asarray(b, dtype)))
        assert bool(got) == compare[predicate[-2:]](seen(a), seen(b)), (a, b)


def test_float_comparisons() -> None:
    relations: dict[str, Callable[[float, float], bool]] = {
        "eq": lambda a, b: a == b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "ne": lambda a, b: a != b,
        "rd": lambda a, b: True,
        "no": lambda a, b: False,
    }

    def wanted(predicate: str, a: float, b: float) -> bool:
        if predicate in ("false", "true"):
            return predicate == "true"
        unordered = math.isnan(a) or math.isnan(b)
        if unordered:
            return predicate[0] == "u"
        return relations[predicate[1:]](a, b)

    names = ["false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"]
    names += ["ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"]
    values = [-1.0, 0.0, 2.0, math.inf, math.nan]
    for name, (a, b) in product(names, product(values, repeat=2)):
        op = arith.CmpfOp(create_ssa_value(f32), create_ssa_value(f32), name)
        (got,) = INTERPRETER.run_op(op, (np.float32(a), np.float32(b)))
        assert bool(got) == wanted(name, a, b), (name, a, b)


def test_conversions() -> None:
    assert run(arith.SIToFPOp, [i8], f32, i8_values([-3])).tolist() == [-3]
    assert run(arith.UIToFPOp, [i1], f32, np.array([True])).tolist() == [1]
    assert run(arith.ExtSIOp, [i8], i64, i8_values([-3])).tolist() == [-3]
    assert run(arith.ExtUIOp, [i1], i64, np.array([True])).tolist() == [1]
    assert run(arith.TruncIOp, [i64], i8, np.array([300])).tolist() == [44]
    assert run(arith.FPToSIOp, [f32], i8, np.float32([-3.7, 1e9, np.nan])).tolist() == [-3, 127, 0]


def test_everything_that_code_can_be_generated_for_has_a_meaning() -> None:
    from ait.codegen.scalar import PRINTERS

    known = {*FUNCTIONS, *CONVERSIONS, arith.ConstantOp, arith.CmpfOp, arith.CmpiOp}
    assert set(PRINTERS) <= known
