"""Kernel ops as text, for the tests of the HIP target."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin
from xdsl.dialects.func import Func
from xdsl.dialects.math import Math
from xdsl.dialects.memref import MemRef
from xdsl.parser import Parser

from ait.codegen.hip.dialect import Ck
from ait.dialects.accessor import Accessor
from ait.dialects.kernel import Kernel, KernelOp
from ait.dialects.symbolic import Sym

IDENTITY = "epilogue { ^bb0(%acc : f32): kernel.yield %acc : f32 }"
BIAS = """epilogue {
  ^bb0(%acc : f32, %bias : f32):
    %r = arith.addf %acc, %bias : f32
    kernel.yield %r : f32
}"""
INTEGER_BIAS = """epilogue {
  ^bb0(%acc : f32, %bias : i8):
    %converted = arith.sitofp %bias : i8 to f32
    %r = arith.addf %acc, %converted : f32
    kernel.yield %r : f32
}"""
BIAS_GELU_RESIDUAL = """epilogue {
  ^bb0(%acc : f32, %bias : f32, %residual : f32):
    %biased = arith.addf %acc, %bias : f32
    %scale = arith.constant 0.70710678118654757 : f32
    %scaled = arith.mulf %biased, %scale : f32
    %erf = math.erf %scaled : f32
    %one = arith.constant 1.0 : f32
    %sum = arith.addf %erf, %one : f32
    %half = arith.constant 0.5 : f32
    %halved = arith.mulf %biased, %half : f32
    %gelu = arith.mulf %halved, %sum : f32
    %r = arith.addf %gelu, %residual : f32
    kernel.yield %r : f32
}"""


def parse_op(arguments: str, op: str) -> KernelOp:
    """The one kernel op in a function of the given arguments."""
    context = Context()
    for dialect in (Builtin, Func, Arith, Math, MemRef, Sym, Accessor, Kernel, Ck):
        context.load_dialect(dialect)
    text = f"func.func @main({arguments}) {{ {op} func.return }}"
    module = Parser(context, text).parse_module()
    module.verify()
    (found,) = (op for op in module.walk() if isinstance(op, KernelOp))
    return found


def linear(
    m: int | str,
    n: int,
    k: int,
    element: str = "f16",
    epilogue: str = IDENTITY,
    extras: tuple[tuple[str, str], ...] = (),
    out: tuple[str, str] | None = None,
) -> KernelOp:
    """x [m, k] @ w [n, k]^T. `extras` and `out` are (map or "", type)."""
    x, w = f"memref<{m}x{k}x{element}>", f"memref<{n}x{k}x{element}>"
    out_map, out_type = out or ("", f"memref<{m}x{n}x{element}>")
    names = [f"%e{i}" for i in range(len(extras))]
    ins = [
        f"%x : {x}",
        f"%w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w}",
        *(f"{name} {place} : {kind}" for name, (place, kind) in zip(names, extras, strict=True)),
    ]
    arguments = [f"%x: {x}", f"%w: {w}"]
    arguments += [f"{name}: {kind}" for name, (_, kind) in zip(names, extras, strict=True)]
    return parse_op(
        ", ".join([*arguments, f"%o: {out_type}"]),
        f"kernel.gemm ins({', '.join(ins)}) outs(%o {out_map} : {out_type}) "
        f"{{groups = array<i64: 0, 1, 1, 1>}} {epilogue}",
    )


def mlp(m: int, n: int, k: int, element: str = "f16") -> KernelOp:
    """gelu(x @ w^T + bias) + residual."""
    return linear(
        m,
        n,
        k,
        element,
        BIAS_GELU_RESIDUAL,
        (
            (f"<offset 0, sizes [{m}, {n}], strides [0, 1]>", f"memref<{n}x{element}>"),
            ("", f"memref<{m}x{n}x{element}>"),
        ),
    )


def batched(b: int, m: int, n: int, k: int, element: str = "f16") -> KernelOp:
    """a [b, m, k] @ b [b, k, n], both row-major."""
    left, right = f"memref<{b}x{m}x{k}x{element}>", f"memref<{b}x{k}x{n}x{element}>"
    out = f"memref<{b}x{m}x{n}x{element}>"
    return parse_op(
        f"%a: {left}, %b: {right}, %o: {out}",
        f"kernel.gemm ins(%a : {left}, %b : {right}) outs(%o : {out}) "
        f"{{groups = array<i64: 1, 1, 1, 1>}} {IDENTITY}",
    )
