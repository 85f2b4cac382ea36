import ctypes
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

import ait.codegen.cpu
from ait.codegen.expressions import DimPrinter
from ait.codegen.scalar import (
    PRINTERS,
    SCALAR_OPS,
    RegionCode,
    float_literal,
    integer_literal,
    region_code,
)
from ait.dialects.kernel import PointwiseOp
from ait.errors import CompileError
from tests.unit.codegen.conftest import parse_module

Parse = Callable[[str], ModuleOp]


def region(parse: Parse, arguments: str, body: str, **options: bool) -> RegionCode:
    """The code of a pointwise body over scalars of the given types (`%x: f32, ...`)."""
    types = [part.split(":")[1].strip() for part in arguments.split(",")]
    names = [f"%in{i}" for i in range(len(types))]
    signature = ", ".join(f"{n}: memref<8x{t}>" for n, t in zip(names, types, strict=True))
    ins = ", ".join(f"{n} : memref<8x{t}>" for n, t in zip(names, types, strict=True))
    yielded = body.rsplit(":", 1)[1].strip()
    module = parse(
        f"func.func @f({signature}, %o: memref<8x{yielded}>) {{"
        f"kernel.pointwise ins({ins}) outs(%o : memref<8x{yielded}>) body {{"
        f"^bb0({arguments}): {body} }} func.return }}"
    )
    (op,) = (op for op in module.walk() if isinstance(op, PointwiseOp))
    return region_code(op.body, **options)


GELU = """
  %half = arith.constant 0.5 : f32
  %s = arith.constant 0.70710677 : f32
  %0 = arith.mulf %x, %s : f32
  %1 = math.erf %0 : f32
  %one = arith.constant 1.0 : f32
  %2 = arith.addf %1, %one : f32
  %3 = arith.mulf %half, %x : f32
  %r = arith.mulf %3, %2 : f32
  kernel.yield %r : f32
"""


def test_code_reads_like_the_region(parse: Parse) -> None:
    code = region(parse, "%x : f32", GELU)
    assert code.lines == (
        "const float v1 = v_x * 0.70710677f;",
        "const float v2 = ait::erf(v1);",
        "const float v3 = v2 + 1.0f;",
        "const float v4 = 0.5f * v_x;",
        "const float v_r = v4 * v3;",
    )
    assert [result.text for result in code.results] == ["v_r"]
    assert code.operations == ("mulf", "erf", "addf")
    assert not code.is_identity


def test_without_hints_equal_code_is_equal_text(parse: Parse) -> None:
    renamed = GELU.replace("%r", "%other").replace("%s", "%scale")
    one = region(parse, "%x : f32", GELU, hints=False)
    two = region(parse, "%y : f32", renamed.replace("%x", "%y"), hints=False)
    assert one == two


def test_identity_and_unused_arguments(parse: Parse) -> None:
    code = region(parse, "%x : f32, %y : f32", "kernel.yield %x : f32")
    assert code.is_identity
    assert [p.is_used for p in code.parameters] == [True, False]
    assert not region(parse, "%x : f32, %y : f32", "kernel.yield %y : f32").is_identity


def test_dead_code_is_not_printed(parse: Parse) -> None:
    code = region(parse, "%x : f32", "%0 = math.exp %x : f32 kernel.yield %x : f32")
    assert code.lines == ()


def test_extents_and_indices_are_named(parse: Parse) -> None:
    module = parse("""
      func.func @f(%x: memref<?x8xi64, #sym.dims<[n, 8], n in [1, 4]>>) {
        kernel.pointwise ins() outs(%x : memref<?x8xi64, #sym.dims<[n, 8], n in [1, 4]>>) body {
          %0 = kernel.extent <n * 2 + 1, n in [1, 4]>
          %1 = kernel.index <offset 0, sizes [n, 8], strides [0, 1], n in [1, 4]>
          %2 = kernel.index <offset 0, sizes [n, 8], strides [1, 0], n in [1, 4]>
          %3 = arith.addi %0, %1 : i64
          %4 = arith.muli %3, %2 : i64
          kernel.yield %4 : i64
        }
        func.return
      }""")
    (op,) = (op for op in module.walk() if isinstance(op, PointwiseOp))
    code = region_code(op.body, DimPrinter())
    assert code.lines == (
        "const int64_t v0 = ait::add((dim_n * 2 + 1), v_index_0);",
        "const int64_t v1 = ait::mul(v0, v_index_1);",
    )
    assert code.extents == ("dim_n",)
    assert [access.strides for access in code.indices] == [(0, 1), (1, 0)]


def test_an_op_without_a_printer_is_refused(parse: Parse) -> None:
    body = "%0 = math.atan %x : f32 kernel.yield %0 : f32"
    with pytest.raises(CompileError, match=r"math\.atan on \(f32\)"):
        region(parse, "%x : f32", body)
    body = "%0 = arith.extf %x : f32 to f64 %1 = arith.truncf %0 : f64 to f32 kernel.yield %1 : f32"
    with pytest.raises(CompileError, match=r"arith\.extf"):
        region(parse, "%x : f32", body)


def test_the_table_is_what_passes_can_ask() -> None:
    assert set(PRINTERS) < SCALAR_OPS


@given(st.floats(width=32))
def test_float_literals_are_exact(value: float) -> None:
    text = float_literal(value)
    if math.isnan(value):
        assert "quiet_NaN" in text
    elif math.isinf(value):
        assert ("-" in text, "infinity" in text) == (value < 0, True)
    else:
        assert text.endswith("f") and ("." in text or "e" in text)
        read = np.float32(text[:-1])
        assert read == np.float32(value)
        assert np.signbit(read) == np.signbit(np.float32(value))


def test_integer_literals() -> None:
    assert integer_literal(-5, 32) == "int32_t{-5}"
    assert integer_literal(-(1 << 63), 64) == "std::numeric_limits<int64_t>::min()"
    assert integer_literal(1, 1) == "true"


# Behaviour: every printer compiled against the CPU's prelude and compared with NumPy --------------

F32 = np.array(
    [0.0, -0.0, 1.0, -1.5, 2.5, 1e-3, 3e38, -3e38, np.inf, -np.inf, np.nan, 1e-42], np.float32
)
INTS = {
    "i64": np.array([0, 1, -1, 5, -7, (1 << 63) - 1, -(1 << 63)], np.int64),
    "i32": np.array([0, 1, -1, 5, -7, (1 << 31) - 1, -(1 << 31)], np.int32),
    "i8": np.array([0, 1, -1, 5, -7, 127, -128], np.int8),
}
BOOLS = np.array([False, True])
NUMPY = {"f32": F32, **INTS, "i1": BOOLS}
CTYPES = {"f32": "float", "i64": "int64_t", "i32": "int32_t", "i8": "int8_t", "i1": "bool"}


def unordered(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.isnan(a) | np.isnan(b)


FLOAT_PREDICATES = {
    "oeq": lambda a, b: a == b,
    "ogt": lambda a, b: a > b,
    "oge": lambda a, b: a >= b,
    "olt": lambda a, b: a < b,
    "ole": lambda a, b: a <= b,
    "one": lambda a, b: (a != b) & ~unordered(a, b),
    "ord": lambda a, b: ~unordered(a, b),
    "ueq": lambda a, b: (a == b) | unordered(a, b),
    "ugt": lambda a, b: (a > b) | unordered(a, b),
    "uge": lambda a, b: (a >= b) | unordered(a, b),
    "ult": lambda a, b: (a < b) | unordered(a, b),
    "ule": lambda a, b: (a <= b) | unordered(a, b),
    "une": lambda a, b: a != b,
    "uno": unordered,
}
INTEGER_PREDICATES = {
    "eq": np.equal,
    "ne": np.not_equal,
    "slt": np.less,
    "sle": np.less_equal,
    "sgt": np.greater,
    "sge": np.greater_equal,
}


def unsigned(f):
    return lambda a, b: f(a.view(f"u{a.dtype}"), b.view(f"u{b.dtype}"))


UNSIGNED_PREDICATES = {"ult": np.less, "ule": np.less_equal, "ugt": np.greater}


def floor_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(b == 0, 0, a // np.where(b == 0, 1, b)).astype(a.dtype)


def saturated(x: np.ndarray, dtype: type) -> np.ndarray:
    info = np.iinfo(dtype)
    low, high = x <= float(info.min), x >= float(info.max)
    inside = np.where(low | high | np.isnan(x), 0, x).astype(dtype)
    return np.where(np.isnan(x), 0, np.where(low, info.min, np.where(high, info.max, inside)))


def rounded(dtype):
    return lambda x: x.astype(dtype).astype(np.float32)


CASES: list[tuple[str, str, str, Callable[..., np.ndarray]]] = [
    *(
        (f"arith.cmpf {name}, %a, %b : f32", "f32 f32", "i1", f)
        for name, f in FLOAT_PREDICATES.items()
    ),
    *(
        (f"arith.cmpi {name}, %a, %b : {t}", f"{t} {t}", "i1", f)
        for name, f in INTEGER_PREDICATES.items()
        for t in INTS
    ),
    *(
        (f"arith.cmpi {name}, %a, %b : {t}", f"{t} {t}", "i1", unsigned(f))
        for name, f in UNSIGNED_PREDICATES.items()
        for t in INTS
    ),
    ("arith.cmpi ult, %a, %b : i1", "i1 i1", "i1", lambda a, b: ~a & b),
    ("arith.cmpi slt, %a, %b : i1", "i1 i1", "i1", lambda a, b: a & ~b),
    ("arith.cmpi ne, %a, %b : i1", "i1 i1", "i1", np.not_equal),
    ("arith.addf %a, %b : f32", "f32 f32", "f32", np.add),
    ("arith.subf %a, %b : f32", "f32 f32", "f32", np.subtract),
    ("arith.mulf %a, %b : f32", "f32 f32", "f32", np.multiply),
    ("arith.divf %a, %b : f32", "f32 f32", "f32", np.divide),
    ("arith.negf %a : f32", "f32", "f32", np.negative),
    ("arith.maximumf %a, %b : f32", "f32 f32", "f32", np.maximum),
    ("arith.minimumf %a, %b : f32", "f32 f32", "f32", np.minimum),
    ("math.absf %a : f32", "f32", "f32", np.abs),
    ("math.floor %a : f32", "f32", "f32", np.floor),
    ("math.ceil %a : f32", "f32", "f32", np.ceil),
    ("math.trunc %a : f32", "f32", "f32", np.trunc),
    ("math.roundeven %a : f32", "f32", "f32", np.rint),
    ("math.copysign %a, %b : f32", "f32 f32", "f32", np.copysign),
    ("math.sqrt %a : f32", "f32", "f32", np.sqrt),
    ("math.exp %a : f32", "f32", "f32", np.exp),
    ("math.exp2 %a : f32", "f32", "f32", np.exp2),
    ("math.expm1 %a : f32", "f32", "f32", np.expm1),
    ("math.log %a : f32", "f32", "f32", np.log),
    ("math.log1p %a : f32", "f32", "f32", np.log1p),
    ("math.log2 %a : f32", "f32", "f32", np.log2),
    ("math.rsqrt %a : f32", "f32", "f32", lambda a: 1 / np.sqrt(a)),
    ("math.tanh %a : f32", "f32", "f32", np.tanh),
    ("math.sin %a : f32", "f32", "f32", np.sin),
    ("math.cos %a : f32", "f32", "f32", np.cos),
    ("math.erf %a : f32", "f32", "f32", np.vectorize(math.erf, otypes=[np.float32])),
    ("math.powf %a, %b : f32", "f32 f32", "f32", np.power),
    *(
        case
        for t, values in INTS.items()
        for case in (
            (f"arith.addi %a, %b : {t}", f"{t} {t}", t, np.add),
            (f"arith.subi %a, %b : {t}", f"{t} {t}", t, np.subtract),
            (f"arith.muli %a, %b : {t}", f"{t} {t}", t, np.multiply),
            (f"arith.floordivsi %a, %b : {t}", f"{t} {t}", t, floor_divide),
            (f"arith.maxsi %a, %b : {t}", f"{t} {t}", t, np.maximum),
            (f"arith.minsi %a, %b : {t}", f"{t} {t}", t, np.minimum),
            (f"math.absi %a : {t}", t, t, np.abs),
            (f"arith.andi %a, %b : {t}", f"{t} {t}", t, np.bitwise_and),
            (f"arith.fptosi %a : f32 to {t}", "f32", t, lambda x, d=values.dtype: saturated(x, d)),
            (f"arith.sitofp %a : {t} to f32", t, "f32", lambda x: x.astype(np.float32)),
            (f"arith.extui %a : i1 to {t}", "i1", t, lambda x, d=values.dtype: x.astype(d)),
            (f"arith.extsi %a : i1 to {t}", "i1", t, lambda x, d=values.dtype: -x.astype(d)),
            (f"arith.trunci %a : {t} to i1", t, "i1", lambda x: (x & 1).astype(bool)),
        )
    ),
    ("arith.extsi %a : i8 to i64", "i8", "i64", lambda x: x.astype(np.int64)),
    ("arith.extui %a : i8 to i64", "i8", "i64", lambda x: x.view(np.uint8).astype(np.int64)),
    ("arith.trunci %a : i64 to i8", "i64", "i8", lambda x: x.astype(np.int8)),
    ("arith.uitofp %a : i1 to f32", "i1", "f32", lambda x: x.astype(np.float32)),
    ("arith.uitofp %a : i32 to f32", "i32", "f32", lambda x: x.view(np.uint32).astype(np.float32)),
    ("arith.sitofp %a : i1 to f32", "i1", "f32", lambda x: -x.astype(np.float32)),
    ("arith.xori %a, %b : i1", "i1 i1", "i1", np.logical_xor),
    ("arith.ori %a, %b : i1", "i1 i1", "i1", np.logical_or),
    ("arith.andi %a, %b : i1", "i1 i1", "i1", np.logical_and),
    (
        "arith.truncf %a : f32 to f16 %r = arith.extf %r0 : f16 to f32",
        "f32",
        "f32",
        rounded(np.float16),
    ),
    (
        "arith.truncf %a : f32 to bf16 %r = arith.extf %r0 : bf16 to f32",
        "f32",
        "f32",
        rounded(ml_dtypes.bfloat16),
    ),
]


def operands_of(types: list[str]) -> list[np.ndarray]:
    """All pairs of interesting values."""
    if len(types) == 1:
        return [NUMPY[types[0]]]
    return [grid.ravel() for grid in np.meshgrid(*(NUMPY[t] for t in types))]


LOOP = """
extern "C" void f{number}({parameters}, {result}* out, int64_t n) {{
  for (int64_t i = 0; i < n; ++i) {{
    {loads}
    {body}
    out[i] = {value};
  }}
}}
"""


def loop(number: int, text: str, types: str, result: str) -> str:
    """A C function that runs the code of one case over arrays."""
    names = [f"%{name}: {t}" for name, t in zip("ab", types.split(), strict=False)]
    first = "%r0 =" if "%r0" in text else "%r ="
    module = parse_module(
        f"func.func @f({', '.join(names)}) -> {result} {{ {first} {text} "
        f'"kernel.yield"(%r) : ({result}) -> () }}'
    )
    (function,) = (op for op in module.walk() if isinstance(op, FuncOp))
    code = region_code(function.body)
    return LOOP.format(
        number=number,
        parameters=", ".join(f"const {p.type}* in_{p.text}" for p in code.parameters),
        result=CTYPES[result],
        loads=" ".join(f"const {p.type} {p.text} = in_{p.text}[i];" for p in code.parameters),
        body=" ".join(code.lines),
        value=code.results[0].text,
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("scalar")
    source, output = folder / "cases.cpp", folder / "cases.so"
    loops = [loop(i, *case[:3]) for i, case in enumerate(CASES)]
    source.write_text('#include "ait/scalar.hpp"\n' + "".join(loops))
    own = Path(ait.codegen.cpu.__file__).parent
    includes = [f"-I{folder / 'include'}" for folder in (own, own.parents[1] / "runtime")]
    command = ["g++", "-std=c++17", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover"]
    command += ["-static-libubsan", "-shared", "-fPIC", *includes, source, "-o", output]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(output))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_generated_code_computes_what_the_op_means(library: ctypes.CDLL, number: int) -> None:
    _, types, result, reference = CASES[number]
    arrays = operands_of(types.split())
    out = np.empty(len(arrays[0]), NUMPY[result].dtype)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*arrays, out)]
    library[f"f{number}"](*pointers, ctypes.c_int64(len(out)))
    with np.errstate(all="ignore"):
        expected = reference(*arrays)
    assert expected.dtype == out.dtype
    if result == "f32":
        np.testing.assert_allclose(out, expected, rtol=4e-7, atol=1e-44)
    else:
        np.testing.assert_array_equal(out, expected)
