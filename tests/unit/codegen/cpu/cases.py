"""Kernels to be compiled and compared with the interpreter: one op each, as IR text.

Names in a case are its own. `INPUTS` of a case are its arguments with their types; its result is
`%r`, written to `%e`.
"""

import re
from dataclasses import dataclass

B = "batch in [1, 8]"


@dataclass(frozen=True)
class Case:
    name: str
    inputs: dict[str, str]
    """Types of the arguments; index tensors are named `indices...` and stay below 5."""
    result: str
    op: str
    tolerance: float = 2e-6
    kept: str = ""
    """The type of a second result, into `%f`."""

    @property
    def results(self) -> dict[str, str]:
        """Names and types."""
        return {self.name: self.result} | ({f"{self.name}_kept": self.kept} if self.kept else {})


def sym(dims: str, element: str = "f32") -> str:
    """A tensor type with the symbol `batch`."""
    shape = "x".join("?" if "batch" in d else d for d in dims.split(", "))
    return f"tensor<{shape}x{element}, #sym.dims<[{dims}], {B}>>"


def region(arguments: str, body: str) -> str:
    """A region: `acc: f32, x: f32`, and its lines, whose names are its own."""
    text = f"^bb0({', '.join('%' + a.strip() for a in arguments.split(','))}):\n{body}"
    return "{\n" + re.sub(r"%(\w+)", r"%in_\1", text) + "\n}"


ADD = region("acc: f32, x: f32", "%s = arith.addf %acc, %x : f32\nkernel.yield %s : f32")
SUM = region("x: f32, w: f32", "%s = arith.addf %x, %w : f32\nkernel.yield %s : f32")
SAME = region("acc: f32", "kernel.yield %acc : f32")
RELU = region(
    "acc: f32, x: f32",
    "%s = arith.addf %acc, %x : f32\n%z = arith.constant 0.0 : f32\n"
    "%t = arith.maximumf %s, %z : f32\nkernel.yield %t : f32",
)
NORM = region(
    "y: f32, v: f32, x: f32, w: f32",
    "%s = arith.mulf %y, %w : f32\n%t = arith.addf %s, %v : f32\nkernel.yield %t : f32",
)


def gemm(
    name: str, a: str, b: str, out: str, groups: str, maps: dict[str, str], **more: object
) -> Case:
    """A product with an identity epilogue; `maps` of a, b and out where they are not dense."""
    ins = ", ".join(f"%{v} {maps.get(v, '')} : {t}" for v, t in (("a", a), ("b", b)))
    return Case(
        name,
        {"a": a, "b": b},
        out,
        f"kernel.gemm ins({ins}) outs(%e {maps.get('e', '')} : {out}) "
        f"{{groups = array<i64: {groups}>}} epilogue {SAME}",
        **more,  # type: ignore[arg-type]
    )


GEMMS = [
    gemm("gemm_kn", "tensor<7x40xf32>", "tensor<40x33xf32>", "tensor<7x33xf32>", "0, 1, 1, 1", {}),
    gemm(
        "gemm_nk_dot",
        "tensor<7x140xf32>",
        "tensor<33x140xf32>",
        "tensor<7x33xf32>",
        "0, 1, 1, 1",
        {"b": "<offset 0, sizes [140, 33], strides [1, 140]>"},
    ),
    gemm(
        "gemm_nk_blocked",
        "tensor<50x20xf16>",
        "tensor<50x20xf16>",
        "tensor<50x50xf16>",
        "0, 1, 1, 1",
        {"b": "<offset 0, sizes [20, 50], strides [1, 20]>"},
        tolerance=1e-3,
    ),
    gemm(
        "gemm_stream",
        "tensor<1x40xf32>",
        "tensor<40x90xbf16>",
        "tensor<1x90xf32>",
        "0, 1, 1, 1",
        {},
    ),
    gemm(
        "gemm_a_transposed",
        "tensor<3x40x17xf32>",
        "tensor<3x40x20xf32>",
        "tensor<3x17x20xf32>",
        "1, 1, 1, 1",
        {"a": "<offset 0, sizes [3, 17, 40], strides [680, 1, 17]>"},
    ),
    gemm(
        "gemm_heads_out",
        "tensor<2x16x64xbf16>",
        "tensor<64x96xbf16>",
        "tensor<2x3x16x32xbf16>",
        "0, 2, 2, 1",
        {
            "b": "<offset 0, sizes [64, 3, 32], strides [96, 32, 1]>",
            "e": "<offset 0, sizes [2, 16, 3, 32], strides [1536, 32, 512, 1]>",
        },
        tolerance=1e-2,
    ),
    gemm(
        "gemm_heads_in",
        "tensor<2x3x16x32xf32>",
        "tensor<24x96xf32>",
        "tensor<2x16x24xf32>",
        "0, 2, 1, 2",
        {
            "a": "<offset 0, sizes [2, 16, 3, 32], strides [1536, 32, 512, 1]>",
            "b": "<offset 0, sizes [3, 32, 24], strides [32, 1, 96]>",
        },
    ),
    gemm(
        "gemm_panels",
        "tensor<30x24xf32>",
        "tensor<3x24x32xf32>",
        "tensor<30x96xf32>",
        "0, 1, 2, 1",
        {
            "b": "<offset 0, sizes [24, 3, 32], strides [32, 768, 1]>",
            "e": "<offset 0, sizes [30, 3, 32], strides [96, 32, 1]>",
        },
    ),
    gemm("gemm_no_k", "tensor<3x0xf32>", "tensor<0x4xf32>", "tensor<3x4xf32>", "0, 1, 1, 1", {}),
    gemm("gemm_one", "tensor<1x1xf32>", "tensor<1x1xf32>", "tensor<1x1xf32>", "0, 1, 1, 1", {}),
    Case(
        "gemm_gelu_of_a_dim",
        {
            "a": sym("batch, 16, 64"),
            "b": "tensor<48x64xf32>",
            "bias": "tensor<48xf32>",
            "x": sym("batch, 16, 48"),
        },
        sym("batch, 16, 48"),
        f"""kernel.gemm ins(%a : {sym("batch, 16, 64")},
          %b <offset 0, sizes [64, 48], strides [1, 64]> : tensor<48x64xf32>,
          %bias <offset 0, sizes [batch, 16, 48], strides [0, 0, 1], {B}> : tensor<48xf32>,
          %x : {sym("batch, 16, 48")}) outs(%e : {sym("batch, 16, 48")})
          {{groups = array<i64: 0, 2, 1, 1>}} epilogue {{
        ^bb0(%acc: f32, %c: f32, %d: f32):
          %s = arith.addf %acc, %c : f32
          %half = arith.constant 0.5 : f32
          %one = arith.constant 1.0 : f32
          %root = arith.constant 0.70710678 : f32
          %t = arith.mulf %s, %root : f32
          %u = math.erf %t : f32
          %v = arith.addf %u, %one : f32
          %w = arith.mulf %s, %v : f32
          %g = arith.mulf %w, %half : f32
          %y = arith.addf %g, %d : f32
          kernel.yield %y : f32
        }}""",
    ),
]

GATE = region(
    "acc: f32, gate: f32, x: f32",
    "%s = arith.addf %acc, %x : f32\n%t = math.tanh %gate : f32\n"
    "%u = arith.mulf %s, %t : f32\nkernel.yield %u : f32",
)


def dual_gemm(
    name: str, a: str, b: str, c: str, out: str, groups: str, maps: dict[str, str], **more: object
) -> Case:
    """`(a @ b + x) * tanh(a @ c)`; `maps` where they are not dense. x is like the result."""
    types = {"a": a, "b": b, "c": c, "x": out}
    ins = ", ".join(f"%{v} {maps.get(v, '')} : {t}" for v, t in types.items())
    return Case(
        name,
        types,
        out,
        f"kernel.dual_gemm ins({ins}) outs(%e {maps.get('x', '')} : {out}) "
        f"{{groups = array<i64: {groups}>}} epilogue {GATE}",
        **more,  # type: ignore[arg-type]
    )


HALVES = {
    "b": "<offset 0, sizes [140, 33], strides [1, 140]>",
    "c": "<offset 4620, sizes [140, 33], strides [1, 140]>",
}
DUAL_GEMMS = [
    dual_gemm(
        "dual_gemm_dot",
        "tensor<7x140xf32>",
        "tensor<66x140xf32>",
        "tensor<66x140xf32>",
        "tensor<7x33xf32>",
        "0, 1, 1, 1",
        HALVES,
        tolerance=1e-5,  # the rounding of one sum, times the other one
    ),
    dual_gemm(
        "dual_gemm_blocked",
        "tensor<130x140xf16>",
        "tensor<66x140xf16>",
        "tensor<66x140xf16>",
        "tensor<130x33xf16>",
        "0, 1, 1, 1",
        HALVES,
        tolerance=1e-3,
    ),
    dual_gemm(
        "dual_gemm_stream",
        "tensor<1x40xf32>",
        "tensor<40x90xf32>",
        "tensor<40x90xf32>",
        "tensor<1x90xf32>",
        "0, 1, 1, 1",
        {},
    ),
    # The factors differ in type and layout, and neither path of their own suits both.
    dual_gemm(
        "dual_gemm_unlike_factors",
        "tensor<1x40xf32>",
        "tensor<40x90xbf16>",
        "tensor<90x40xf32>",
        "tensor<1x90xf32>",
        "0, 1, 1, 1",
        {"c": "<offset 0, sizes [40, 90], strides [1, 40]>"},
    ),
    dual_gemm(
        "dual_gemm_interleaved",
        "tensor<30x24xf32>",
        "tensor<96x24xf32>",
        "tensor<96x24xf32>",
        "tensor<30x48xf32>",
        "0, 1, 1, 1",
        {
            "b": "<offset 0, sizes [24, 48], strides [1, 48]>",
            "c": "<offset 24, sizes [24, 48], strides [1, 48]>",
        },
    ),
    dual_gemm(
        "dual_gemm_batched",
        "tensor<3x40x17xf32>",
        "tensor<3x40x20xf32>",
        "tensor<40x20xf32>",
        "tensor<3x17x20xf32>",
        "1, 1, 1, 1",
        {
            "a": "<offset 0, sizes [3, 17, 40], strides [680, 1, 17]>",
            "c": "<offset 0, sizes [3, 40, 20], strides [0, 20, 1]>",
        },
    ),
    dual_gemm(
        "dual_gemm_of_a_dim",
        sym("batch, 16, 64"),
        "tensor<48x64xf32>",
        "tensor<48x64xf32>",
        sym("batch, 4, 16, 12"),
        "0, 2, 2, 1",
        {
            "b": "<offset 0, sizes [64, 4, 12], strides [1, 768, 64]>",
            "c": "<offset 0, sizes [64, 4, 12], strides [1, 768, 64]>",
            "x": f"<offset 0, sizes [batch, 16, 4, 12], strides [768, 12, 192, 1], {B}>",
        },
    ),
]


def gemm_rowwise(
    name: str,
    a: str,
    b: str,
    x: str,
    out: str,
    groups: str,
    maps: dict[str, str],
    kind: str = "softmax",
    **more: object,
) -> Case:
    """`row(a @ b + x) * x + (a @ b)`; `maps` where they are not dense."""
    types = {"a": a, "b": b, "x": x}
    ins = ", ".join(f"%{v} {maps.get(v, '')} : {t}" for v, t in types.items())
    return Case(
        name,
        types,
        out,
        f"kernel.gemm_rowwise ins({ins}) outs(%e {maps.get('e', '')} : {out}) {{groups = "
        f"array<i64: {groups}>, kind = #kernel.rowwise_kind {kind}, eps = 1.0e-5 : f32}} "
        f"prologue {ADD} epilogue {OF_ROW}",
        **more,  # type: ignore[arg-type]
    )


OF_ROW = region(
    "y: f32, v: f32, sum: f32, x: f32",
    "%s = arith.mulf %y, %x : f32\n%t = arith.addf %s, %sum : f32\nkernel.yield %t : f32",
)
GEMM_ROWS = [
    gemm_rowwise(
        "gemm_rowwise_panels",
        "tensor<130x300xf32>",
        "tensor<40x300xf32>",
        "tensor<130x40xf32>",
        "tensor<130x40xf32>",
        "0, 1, 1, 1",
        {"b": "<offset 0, sizes [300, 40], strides [1, 300]>"},
    ),
    gemm_rowwise(
        "gemm_rowwise_dot",
        "tensor<7x140xf32>",
        "tensor<33x140xf32>",
        "tensor<33xf32>",
        "tensor<7x33xf32>",
        "0, 1, 1, 1",
        {
            "b": "<offset 0, sizes [140, 33], strides [1, 140]>",
            "x": "<offset 0, sizes [7, 33], strides [0, 1]>",
        },
        "layer_norm",
        tolerance=1e-5,
    ),
    gemm_rowwise(
        "gemm_rowwise_stream",
        "tensor<2x40xf32>",
        "tensor<40x90xbf16>",
        "tensor<2xf32>",
        "tensor<2x90xf32>",
        "0, 1, 1, 1",
        {"x": "<offset 0, sizes [2, 90], strides [1, 0]>"},
        "log_softmax",
        tolerance=1e-5,
    ),
    # Several blocks of rows in each of several batches.
    gemm_rowwise(
        "gemm_rowwise_batched",
        "tensor<3x40x217xf16>",
        "tensor<3x40x20xf16>",
        "tensor<3x217x20xf16>",
        "tensor<3x217x20xf32>",
        "1, 1, 1, 1",
        {"a": "<offset 0, sizes [3, 217, 40], strides [8680, 1, 217]>"},
        "rms_norm",
        tolerance=1e-3,
    ),
    gemm_rowwise(
        "gemm_rowwise_shared_right",
        "tensor<3x20x30xf32>",
        "tensor<30x20xf32>",
        "tensor<3x20x20xf32>",
        "tensor<3x20x20xf32>",
        "1, 1, 1, 1",
        {"b": "<offset 0, sizes [3, 30, 20], strides [0, 20, 1]>"},
    ),
    # A factor of more floats than are packed for all threads.
    gemm_rowwise(
        "gemm_rowwise_large",
        "tensor<50x2100xf32>",
        "tensor<4100x2100xf32>",
        "tensor<4100xf32>",
        "tensor<50x4100xf32>",
        "0, 1, 1, 1",
        {
            "b": "<offset 0, sizes [2100, 4100], strides [1, 2100]>",
            "x": "<offset 0, sizes [50, 4100], strides [0, 1]>",
        },
        tolerance=1e-5,
    ),
    # Columns of two dims, written with the outer one first.
    gemm_rowwise(
        "gemm_rowwise_of_a_dim",
        sym("batch, 16, 64"),
        "tensor<48x64xf32>",
        "tensor<4x12xf32>",
        sym("batch, 4, 16, 12"),
        "0, 2, 2, 1",
        {
            "b": "<offset 0, sizes [64, 4, 12], strides [1, 768, 64]>",
            "x": f"<offset 0, sizes [batch, 16, 4, 12], strides [0, 0, 12, 1], {B}>",
            "e": f"<offset 0, sizes [batch, 16, 4, 12], strides [768, 12, 192, 1], {B}>",
        },
        "layer_norm",
        tolerance=1e-5,
    ),
    gemm_rowwise(
        "gemm_rowwise_of_columns_of_a_dim",
        "tensor<60x6xf32>",
        sym("6, batch"),
        sym("60, batch"),
        sym("60, batch"),
        "0, 1, 1, 1",
        {},
    ),
    gemm_rowwise(
        "gemm_rowwise_no_k",
        "tensor<3x0xf32>",
        "tensor<0x4xf32>",
        "tensor<3x4xf32>",
        "tensor<3x4xf32>",
        "0, 1, 1, 1",
        {},
    ),
]


def back_to_back(
    name: str,
    a: str,
    b: str,
    c: str,
    x: str,
    out: str,
    groups: str,
    maps: dict[str, str],
    tolerance: float = 2e-6,
    kept: str = "",
) -> Case:
    """`relu(a @ b + x) @ c + z`; `maps` where they are not dense. z is like the result. `kept`: the
    type of the middle, if that is a result too, with the map of `t`."""
    types = {"a": a, "b": b, "c": c, "x": x, "z": out}
    ins = ", ".join(f"%{v} {maps.get(v, '')} : {t}" for v, t in types.items())
    outs = f"%e {maps.get('z', '')} : {out}" + (
        f", %f {maps.get('t', '')} : {kept}" if kept else ""
    )
    return Case(
        name,
        types,
        out,
        f"kernel.back_to_back_gemm ins({ins}) outs({outs}) {{groups = array<i64: {groups}>, "
        f"middle_extras = 1 : i64{', keeps_middle' if kept else ''}}} middle {RELU} epilogue {ADD}",
        tolerance,
        kept,
    )


BACK_TO_BACK = [
    back_to_back(
        "back_to_back_panels",
        "tensor<130x300xf32>",
        "tensor<40x300xf32>",
        "tensor<24x40xf32>",
        "tensor<40xf32>",
        "tensor<130x24xf32>",
        "0, 1, 1, 1, 1",
        {
            "b": "<offset 0, sizes [300, 40], strides [1, 300]>",
            "c": "<offset 0, sizes [40, 24], strides [1, 40]>",
            "x": "<offset 0, sizes [130, 40], strides [0, 1]>",
        },
        tolerance=1e-5,
    ),
    back_to_back(
        "back_to_back_few_rows",
        "tensor<2x40xf32>",
        "tensor<40x90xf32>",
        "tensor<7x90xf32>",
        "tensor<2x90xf32>",
        "tensor<2x7xf32>",
        "0, 1, 1, 1, 1",
        {"c": "<offset 0, sizes [90, 7], strides [1, 90]>"},
        tolerance=1e-5,
    ),
    back_to_back(
        "back_to_back_batched",
        "tensor<3x40x217xf16>",
        "tensor<3x40x20xf16>",
        "tensor<20x18xbf16>",
        "tensor<3x217xf16>",
        "tensor<3x217x18xf32>",
        "1, 1, 1, 1, 1",
        {
            "a": "<offset 0, sizes [3, 217, 40], strides [8680, 1, 217]>",
            "c": "<offset 0, sizes [3, 20, 18], strides [0, 18, 1]>",
            "x": "<offset 0, sizes [3, 217, 20], strides [217, 1, 0]>",
        },
        tolerance=1e-3,
    ),
    back_to_back(
        "back_to_back_of_a_dim",
        sym("batch, 16, 64"),
        "tensor<48x64xf32>",
        "tensor<4x12x3x5xf32>",
        "tensor<4x12xf32>",
        sym("batch, 3, 16, 5"),
        "0, 2, 2, 1, 2",
        {
            "b": "<offset 0, sizes [64, 4, 12], strides [1, 768, 64]>",
            "x": f"<offset 0, sizes [batch, 16, 4, 12], strides [0, 0, 12, 1], {B}>",
            "z": f"<offset 0, sizes [batch, 16, 3, 5], strides [240, 5, 80, 1], {B}>",
        },
        tolerance=1e-5,
    ),
    back_to_back(
        "back_to_back_middle_of_a_dim",
        "tensor<60x6xf32>",
        sym("6, batch"),
        sym("batch, 20"),
        sym("60, batch"),
        "tensor<60x20xf32>",
        "0, 1, 1, 1, 1",
        {},
        tolerance=1e-5,
    ),
    back_to_back(
        "back_to_back_kept",
        "tensor<3x40x217xf16>",
        "tensor<3x40x20xf16>",
        "tensor<20x18xbf16>",
        "tensor<3x217xf16>",
        "tensor<3x217x18xf32>",
        "1, 1, 1, 1, 1",
        {
            "a": "<offset 0, sizes [3, 217, 40], strides [8680, 1, 217]>",
            "c": "<offset 0, sizes [3, 20, 18], strides [0, 18, 1]>",
            "x": "<offset 0, sizes [3, 217, 20], strides [217, 1, 0]>",
            "t": "<offset 0, sizes [3, 217, 20], strides [20, 60, 1]>",
        },
        tolerance=1e-3,
        kept="tensor<217x3x20xf16>",
    ),
    back_to_back(
        "back_to_back_kept_of_dims",
        sym("batch, 16, 64"),
        "tensor<48x64xf32>",
        "tensor<4x12x15xf32>",
        "tensor<4x12xf32>",
        sym("batch, 16, 15"),
        "0, 2, 1, 1, 2",
        {
            "b": "<offset 0, sizes [64, 4, 12], strides [1, 768, 64]>",
            "x": f"<offset 0, sizes [batch, 16, 4, 12], strides [0, 0, 12, 1], {B}>",
            "t": f"<offset 0, sizes [batch, 16, 4, 12], strides [768, 12, 192, 1], {B}>",
        },
        tolerance=1e-5,
        kept=sym("batch, 4, 16, 12"),
    ),
    back_to_back(
        "back_to_back_kept_no_columns",
        "tensor<5x8xf32>",
        "tensor<8x6xf32>",
        "tensor<6x0xf32>",
        "tensor<5x6xf32>",
        "tensor<5x0xf32>",
        "0, 1, 1, 1, 1",
        {},
        kept="tensor<5x6xf32>",
    ),
    back_to_back(
        "back_to_back_no_middle",
        "tensor<3x2xf32>",
        "tensor<2x0xf32>",
        "tensor<0x4xf32>",
        "tensor<3x0xf32>",
        "tensor<3x4xf32>",
        "0, 1, 1, 1, 1",
        {},
    ),
]


def conv(
    name: str,
    x: str,
    w: str,
    bias: str,
    out: str,
    properties: str,
    maps: dict[str, str] | None = None,
    tolerance: float = 3e-6,
) -> Case:
    maps = maps or {}
    n, p, q, o = out.removeprefix("tensor<").split("x")[:4]
    return Case(
        name,
        {"x": x, "w": w, "bias": bias},
        out,
        f"""kernel.conv ins(%x {maps.get("x", "")} : {x}, %w {maps.get("w", "")} : {w},
          %bias <offset 0, sizes [{n}, {p}, {q}, {o}], strides [0, 0, 0, 1]> : {bias})
          outs(%e : {out}) {{{properties}}} epilogue {RELU}""",
        tolerance,
    )


def windows(strides: str, padding: str, dilations: str, groups: int) -> str:
    return (
        f"strides = array<i64: {strides}>, padding = array<i64: {padding}>, "
        f"dilations = array<i64: {dilations}>, groups = {groups} : i64"
    )


SHUFFLED = Case(
    "conv_shuffled",
    {"x": "tensor<2x5x6x7xf32>", "w": "tensor<24x3x3x7xf32>", "bias": "tensor<24xf32>"},
    "tensor<2x6x10x12xf32>",
    f"""kernel.conv ins(%x : tensor<2x5x6x7xf32>,
      %w <offset 0, sizes [6, 2, 2, 3, 3, 7], strides [252, 126, 63, 21, 7, 1]>
        : tensor<24x3x3x7xf32>,
      %bias <offset 0, sizes [2, 5, 6, 6, 2, 2], strides [0, 0, 0, 4, 2, 1]> : tensor<24xf32>)
      outs(%e <offset 0, sizes [2, 5, 6, 6, 2, 2], strides [720, 24, 2, 120, 12, 1]>
        : tensor<2x6x10x12xf32>)
      {{{windows("1, 1", "1, 1, 1, 1", "1, 1", 1)}}} epilogue {RELU}""",
    3e-6,
)
"""Three dims of output channels: a pixel shuffle."""

CONVS = [
    SHUFFLED,
    conv(
        "conv_3x3",
        "tensor<2x7x8x12xf32>",
        "tensor<20x3x3x12xf32>",
        "tensor<20xf32>",
        "tensor<2x7x8x20xf32>",
        windows("1, 1", "1, 1, 1, 1", "1, 1", 1),
    ),
    conv(
        "conv_strided_f16",
        "tensor<1x9x9x3xf16>",
        "tensor<18x3x3x3xf16>",
        "tensor<18xf16>",
        "tensor<1x4x5x18xf16>",
        windows("2, 2", "0, 1, 0, 1", "1, 1", 1),
        tolerance=2e-3,
    ),
    conv(
        "conv_1x1",
        "tensor<2x5x5x16xf32>",
        "tensor<9x1x1x16xf32>",
        "tensor<9xf32>",
        "tensor<2x5x5x9xf32>",
        windows("1, 1", "0, 0, 0, 0", "1, 1", 1),
    ),
    conv(
        "conv_grouped",
        "tensor<1x6x6x12xf32>",
        "tensor<8x3x3x6xf32>",
        "tensor<8xf32>",
        "tensor<1x6x6x8xf32>",
        windows("1, 1", "1, 1, 1, 1", "1, 1", 2),
    ),
    conv(
        "conv_depthwise",
        "tensor<1x6x6x40xf32>",
        "tensor<40x3x3x1xf32>",
        "tensor<40xf32>",
        "tensor<1x6x6x40xf32>",
        windows("1, 1", "2, 2, 2, 2", "2, 2", 40),
    ),
    conv(
        "conv_nchw",
        "tensor<1x5x7x8xf32>",
        "tensor<6x5x3x3xf32>",
        "tensor<6xf32>",
        "tensor<1x7x8x6xf32>",
        windows("1, 1", "1, 1, 1, 1", "1, 1", 1),
        {
            "x": "<offset 0, sizes [1, 7, 8, 5], strides [0, 8, 1, 56]>",
            "w": "<offset 0, sizes [6, 3, 3, 5], strides [45, 3, 1, 9]>",
        },
    ),
    conv(
        "conv_cut_and_turned",
        "tensor<1x7x8x16xf32>",
        "tensor<6x3x3x16xf32>",
        "tensor<6xf32>",
        "tensor<1x3x7x6xf32>",
        windows("1, 1", "-1, 0, -1, 1", "1, 1", 1),
        {"w": "<offset 128, sizes [6, 3, 3, 16], strides [144, -48, -16, 1]>"},
    ),
    conv(
        "conv_1x1_cut",
        "tensor<1x5x5x16xf32>",
        "tensor<9x1x1x16xf32>",
        "tensor<9xf32>",
        "tensor<1x4x3x9xf32>",
        windows("1, 1", "-1, -2, 0, 0", "1, 1", 1),
    ),
    conv(
        "conv_depthwise_cut",
        "tensor<1x6x6x40xf32>",
        "tensor<40x3x3x1xf32>",
        "tensor<40xf32>",
        "tensor<1x4x3x40xf32>",
        windows("1, 1", "1, -2, -1, 1", "1, 1", 40),
    ),
]


def attention(
    name: str,
    q: str,
    k: str,
    v: str,
    out: str,
    score: str,
    extras: str = "",
    inputs: dict[str, str] | None = None,
    properties: str = "",
    maps: str = "",
    tolerance: float = 3e-6,
) -> Case:
    return Case(
        name,
        {"q": q, "k": k, "v": v, **(inputs or {})},
        out,
        f"kernel.attention ins(%q {maps} : {q}, %k : {k}, %v : {v}{extras}) outs(%e : {out}) "
        f"{properties} score {score}",
        tolerance,
    )


SCALE = region(
    "s: f32", "%c = arith.constant 0.25 : f32\n%t = arith.mulf %s, %c : f32\nkernel.yield %t : f32"
)

ATTENTIONS = [
    attention(
        "attention_plain",
        "tensor<2x3x20x16xf32>",
        "tensor<2x3x30x16xf32>",
        "tensor<2x3x30x24xf32>",
        "tensor<2x3x20x24xf32>",
        SCALE,
    ),
    attention(
        "attention_causal_grouped",
        "tensor<1x4x5x16xbf16>",
        "tensor<1x2x9x16xbf16>",
        "tensor<1x2x9x8xbf16>",
        "tensor<1x4x5x8xbf16>",
        SCALE,
        properties="{causal}",
        tolerance=1e-2,
    ),
    attention(
        "attention_masked",
        "tensor<2x12x2x16xf32>",
        "tensor<2x2x12x16xf32>",
        "tensor<2x2x12x16xf32>",
        "tensor<2x2x12x16xf32>",
        region("s: f32, m: f32", "%t = arith.addf %s, %m : f32\nkernel.yield %t : f32"),
        extras=", %m <offset 0, sizes [2, 2, 12, 12], strides [12, 0, 0, 1]> : tensor<2x12xf32>",
        inputs={"m": "tensor<2x12xf32>"},
        maps="<offset 0, sizes [2, 2, 12, 16], strides [384, 16, 32, 1]>",
    ),
    attention(
        "attention_of_nothing_visible",
        "tensor<1x1x3x4xf32>",
        "tensor<1x1x2x4xf32>",
        "tensor<1x1x2x4xf32>",
        "tensor<1x1x3x4xf32>",
        SCALE,
        properties="{causal}",
    ),
]


def rowwise(
    name: str, kind: str, x: str, out: str, reduced: int, maps: dict[str, str] | None = None
) -> Case:
    maps = maps or {}
    eps = ", eps = 1.0e-5 : f64" if "norm" in kind else ""
    return Case(
        name,
        {"x": x, "w": x},
        out,
        f"""kernel.rowwise ins(%x {maps.get("x", "")} : {x}, %w {maps.get("x", "")} : {x})
          outs(%e {maps.get("e", "")} : {out})
          {{kind = #kernel.rowwise_kind {kind}, reduced = {reduced} : i64{eps}}}
          prologue {SUM}
          epilogue {NORM}""",
        2e-6 if "f16" not in x else 2e-3,
    )


ROWWISES = [
    rowwise("softmax", "softmax", "tensor<5x37xf32>", "tensor<5x37xf32>", 1),
    rowwise("log_softmax", "log_softmax", "tensor<3x4x9xf16>", "tensor<3x4x9xf16>", 1),
    rowwise("layer_norm", "layer_norm", "tensor<6x40xf32>", "tensor<6x40xf32>", 1),
    rowwise("rms_norm", "rms_norm", "tensor<2x3x40xf32>", "tensor<2x3x40xf32>", 2),
    rowwise(
        "softmax_across",
        "softmax",
        "tensor<6x10xf32>",
        "tensor<6x10xf32>",
        1,
        {
            "x": "<offset 0, sizes [10, 6], strides [1, 10]>",
            "e": "<offset 0, sizes [10, 6], strides [1, 10]>",
        },
    ),
    rowwise(
        "group_norm",
        "layer_norm",
        "tensor<2x5x12xf32>",
        "tensor<2x5x12xf32>",
        2,
        {
            "x": "<offset 0, sizes [2, 3, 5, 4], strides [60, 4, 12, 1]>",
            "e": "<offset 0, sizes [2, 3, 5, 4], strides [60, 4, 12, 1]>",
        },
    ),
]


def reduce(
    name: str,
    kind: str,
    x: str,
    sizes: str,
    strides: str,
    out: str,
    reduced: int,
    value: str = "f32",
    prologue: str = "",
    tolerance: float = 2e-6,
    element: str = "",
) -> Case:
    result = "i64" if kind == "argmax" else value
    element = element or result
    kept = region(f"r: {result}", f"kernel.yield %r : {result}")
    prologue = prologue or region(f"x: {value}", f"kernel.yield %x : {value}")
    return Case(
        name,
        {"x": x},
        out,
        f"""kernel.reduce ins(%x <offset 0, sizes [{sizes}], strides [{strides}]> : {x})
          outs(%e : {out}) {{kind = #kernel.reduce_kind {kind}, reduced = {reduced} : i64,
          extras = 0 : i64}} prologue {prologue} epilogue {kept}""",
        tolerance,
    )


SQUARE = region("x: f32", "%s = arith.mulf %x, %x : f32\nkernel.yield %s : f32")

REDUCES = [
    reduce(
        "reduce_rows",
        "sum",
        "tensor<4x50xf32>",
        "4, 50",
        "50, 1",
        "tensor<4xf32>",
        1,
        prologue=SQUARE,
    ),
    reduce("reduce_columns", "sum", "tensor<50x9xf32>", "9, 50", "1, 9", "tensor<9xf32>", 1),
    reduce(
        "reduce_image",
        "max",
        "tensor<2x3x4x5xf16>",
        "2, 5, 3, 4",
        "60, 1, 20, 5",
        "tensor<2x5xf16>",
        2,
    ),
    reduce("reduce_all", "min", "tensor<4x50xf32>", "4, 50", "50, 1", "tensor<f32>", 2),
    reduce("reduce_prod", "prod", "tensor<4x5xf32>", "4, 5", "5, 1", "tensor<4xf32>", 1),
    reduce("reduce_integers", "sum", "tensor<3x5xi64>", "3, 5", "5, 1", "tensor<3xi64>", 1, "i64"),
    reduce("reduce_bytes", "max", "tensor<5x3xi8>", "3, 5", "1, 3", "tensor<3xi8>", 1, "i8"),
    reduce("argmax_rows", "argmax", "tensor<4x50xf32>", "4, 50", "50, 1", "tensor<4xi64>", 1),
    reduce(
        "argmax_columns", "argmax", "tensor<6x7xi32>", "7, 6", "1, 7", "tensor<7xi64>", 1, "i32"
    ),
    reduce("argmax_two", "argmax", "tensor<3x4x5xf32>", "5, 3, 4", "1, 20, 5", "tensor<5xi64>", 2),
    Case(
        "reduce_mean_of_a_dim",
        {"x": sym("batch, 6"), "w": "tensor<6xf32>"},
        "tensor<6xf32>",
        f"""kernel.reduce
          ins(%x <offset 0, sizes [6, batch], strides [1, 6], {B}> : {sym("batch, 6")},
          %w : tensor<6xf32>) outs(%e : tensor<6xf32>)
          {{kind = #kernel.reduce_kind sum, reduced = 1 : i64, extras = 1 : i64}}
          prologue {region("x: f32", "kernel.yield %x : f32")} epilogue {{
          ^bb0(%total: f32, %y: f32):
            %n = kernel.extent <batch, {B}>
            %c = arith.sitofp %n : i64 to f32
            %d = arith.divf %total, %c : f32
            %z = arith.addf %d, %y : f32
            kernel.yield %z : f32
          }}""",
    ),
]

GATHERS = [
    Case(
        "gather_rows",
        {"table": "tensor<5x24xf16>", "indices": "tensor<2x3xi64>", "x": "tensor<3x24xf32>"},
        "tensor<2x3x24xf32>",
        f"""kernel.gather ins(%table : tensor<5x24xf16>, %indices : tensor<2x3xi64>,
          %x <offset 0, sizes [2, 3, 24], strides [0, 24, 1]> : tensor<3x24xf32>)
          outs(%e : tensor<2x3x24xf32>) epilogue {ADD}""",
    ),
    Case(
        "gather_scalars",
        {"table": "tensor<5xi64>", "indices": "tensor<7xi32>"},
        "tensor<7xi64>",
        f"""kernel.gather ins(%table : tensor<5xi64>, %indices : tensor<7xi32>)
          outs(%e : tensor<7xi64>) epilogue {region("v: i64", "kernel.yield %v : i64")}""",
    ),
    Case(
        "gather_columns",
        {"table": "tensor<4x5x6xf32>", "indices": "tensor<3xi64>"},
        "tensor<4x3x6xf32>",
        f"""kernel.gather
          ins(%table <offset 0, sizes [5, 4, 6], strides [6, 30, 1]> : tensor<4x5x6xf32>,
          %indices : tensor<3xi64>)
          outs(%e <offset 0, sizes [3, 4, 6], strides [6, 18, 1]> : tensor<4x3x6xf32>)
          epilogue {SAME}""",
    ),
]


def pool(name: str, kind: str, x: str, out: str, properties: str) -> Case:
    return Case(
        name,
        {"x": x},
        out,
        f"""kernel.pool ins(%x : {x}) outs(%e : {out})
          {{kind = #kernel.pool_kind {kind}, {properties}}} epilogue {SAME}""",
        1e-3 if "f16" in x else 2e-6,
    )


def pool_windows(kernel: str, strides: str, padding: str, dilations: str = "1, 1") -> str:
    return (
        f"kernel = array<i64: {kernel}>, strides = array<i64: {strides}>, "
        f"padding = array<i64: {padding}>, dilations = array<i64: {dilations}>"
    )


POOLS = [
    pool(
        "pool_max",
        "max",
        "tensor<2x7x8x20xf32>",
        "tensor<2x4x4x20xf32>",
        pool_windows("3, 3", "2, 2", "1, 1, 1, 1"),
    ),
    pool(
        "pool_average",
        "average",
        "tensor<1x6x6x3xf16>",
        "tensor<1x3x4x3xf16>",
        pool_windows("2, 2", "2, 2", "0, 1, 0, 1"),
    ),
    pool(
        "pool_counting_padding",
        "average",
        "tensor<1x6x6x9xf32>",
        "tensor<1x7x4x9xf32>",
        pool_windows("2, 2", "1, 2", "1, 1, 1, 1") + ", count_include_pad",
    ),
    pool(
        "pool_adaptive",
        "average",
        "tensor<1x7x5x9xf32>",
        "tensor<1x3x2x9xf32>",
        pool_windows("1, 1", "1, 1", "0, 0, 0, 0") + ", adaptive",
    ),
]

RESIZES = [
    Case(
        f"resize_{mode}_{coordinates}",
        {"x": "tensor<1x4x5x10xf32>"},
        "tensor<1x7x3x10xf32>",
        f"""kernel.resize ins(%x : tensor<1x4x5x10xf32>) outs(%e : tensor<1x7x3x10xf32>)
          {{mode = #kernel.resize_mode {mode}, coordinates = #kernel.coordinates {coordinates}}}
          epilogue {SAME}""",
    )
    for mode, coordinates in (
        ("nearest", "half_pixel"),
        ("nearest", "asymmetric"),
        ("nearest", "align_corners"),
        ("bilinear", "half_pixel"),
        ("bilinear", "align_corners"),
    )
]


def pointwise(name: str, inputs: dict[str, str], out: str, maps: dict[str, str], body: str) -> Case:
    ins = ", ".join(f"%{v} {maps.get(v, '')} : {t}" for v, t in inputs.items())
    return Case(
        name,
        inputs,
        out,
        f"kernel.pointwise ins({ins}) outs(%e {maps.get('e', '')} : {out}) body {body}",
    )


POINTWISES = [
    pointwise(
        "add_transposed",
        {"x": "tensor<40x50xf32>", "y": "tensor<50xf32>"},
        "tensor<50x40xf32>",
        {
            "x": "<offset 0, sizes [50, 40], strides [1, 50]>",
            "y": "<offset 0, sizes [50, 40], strides [1, 0]>",
        },
        ADD,
    ),
    pointwise(
        "reversed",
        {"x": "tensor<33xf32>"},
        "tensor<33xf32>",
        {"x": "<offset 32, sizes [33], strides [-1]>"},
        SAME,
    ),
    pointwise(
        "of_a_scalar",
        {"x": "tensor<f32>"},
        "tensor<f32>",
        {},
        region("x: f32", "%s = math.exp %x : f32\nkernel.yield %s : f32"),
    ),
    pointwise(
        "to_bytes",
        {"x": "tensor<3x50xf32>"},
        "tensor<3x50xi8>",
        {},
        region(
            "x: f32",
            "%c = arith.constant 100.0 : f32\n%t = arith.mulf %x, %c : f32\n"
            "%s = arith.fptosi %t : f32 to i8\nkernel.yield %s : i8",
        ),
    ),
    pointwise(
        "compare",
        {"x": "tensor<70xf32>", "y": "tensor<70xf32>"},
        "tensor<70xi1>",
        {},
        region("x: f32, y: f32", "%s = arith.cmpf olt, %x, %y : f32\nkernel.yield %s : i1"),
    ),
    pointwise(
        "choose",
        {"x": "tensor<70xi1>", "y": "tensor<70xi64>"},
        "tensor<70xi64>",
        {},
        region(
            "c: i1, y: i64",
            "%z = arith.constant -7 : i64\n"
            "%s = arith.select %c, %y, %z : i64\nkernel.yield %s : i64",
        ),
    ),
    pointwise(
        "index",
        {"x": "tensor<6x5xf32>"},
        "tensor<6x5xf32>",
        {},
        region(
            "x: f32",
            "%i = kernel.index <offset 2, sizes [6, 5], strides [10, 1]>\n"
            "%f = arith.sitofp %i : i64 to f32\n%s = arith.addf %x, %f : f32\n"
            "kernel.yield %s : f32",
        ),
    ),
    pointwise(
        "powers",
        {"x": "tensor<90xf32>", "y": "tensor<90xf32>"},
        "tensor<90xf32>",
        {},
        region(
            "x: f32, y: f32",
            "%a = math.absf %x : f32\n%s = math.powf %a, %y : f32\n"
            "%t = math.sin %s : f32\nkernel.yield %t : f32",
        ),
    ),
    pointwise(
        "half",
        {"x": sym("batch, 33", "f16")},
        sym("batch, 33", "bf16"),
        {},
        region("x: f32", "%s = math.tanh %x : f32\nkernel.yield %s : f32"),
    ),
    Case(
        "copy_permuted",
        {"x": "tensor<20x3x40xbf16>"},
        "tensor<40x3x20xbf16>",
        "kernel.copy ins(%x <offset 0, sizes [40, 3, 20], strides [1, 40, 120]>"
        " : tensor<20x3x40xbf16>) outs(%e : tensor<40x3x20xbf16>)",
    ),
    Case(
        "copy_nothing",
        {"x": "tensor<0x4xf32>"},
        "tensor<0x4xf32>",
        "kernel.copy ins(%x : tensor<0x4xf32>) outs(%e : tensor<0x4xf32>)",
    ),
]

CASES = [
    *GEMMS,
    *DUAL_GEMMS,
    *GEMM_ROWS,
    *BACK_TO_BACK,
    *CONVS,
    *ATTENTIONS,
    *ROWWISES,
    *REDUCES,
    *GATHERS,
    *POOLS,
    *RESIZES,
    *POINTWISES,
]


def module_text() -> str:
    """One function with all cases: each has its own arguments and its own output."""
    arguments: list[str] = []
    body: list[str] = []
    for case in CASES:
        names = re.compile(r"%(\w+)")
        arguments += [
            f'%{case.name}_{name}: {type_} {{ait.name = "{case.name}.{name}"}}'
            for name, type_ in case.inputs.items()
        ]
        names_of_results = "%r, %s" if case.kept else "%r"
        text = f"%e = kernel.empty : {case.result}\n"
        text += f"%f = kernel.empty : {case.kept}\n" if case.kept else ""
        text += f"{names_of_results} = {case.op}"
        body.append(names.sub(rf"%{case.name}_\1", text))
    named = [pair for case in CASES for pair in case.results.items()]
    types = ", ".join(f'{type_} {{ait.name = "{name}"}}' for name, type_ in named)
    values = [f"%{c.name}_{r}" for c in CASES for r in ("r", "s")[: len(c.results)]]
    results, result_types = ", ".join(values), ", ".join(type_ for _, type_ in named)
    newline = "\n"
    return (
        f"func.func @main({', '.join(arguments)}) -> ({types}) {{\n{newline.join(body)}\n"
        f"func.return {results} : {result_types}\n}}"
    )
