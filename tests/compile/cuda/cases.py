"""The kernels that the CUDA tests render, emulate, compile and run."""

from __future__ import annotations

from collections.abc import Sequence

from tests.compile.cuda.kernels import Case, of_weights
from tests.floats8 import around_floats8, every_float8

SUM = """{
^bb0(%acc : f32):
  kernel.yield %acc : f32
}"""

# gelu(0.5 * acc + bias) + residual
LINEAR = """{
^bb0(%acc : f32, %bias : f32, %residual : f32):
  %half = arith.constant 0.5 : f32
  %one = arith.constant 1.0 : f32
  %root = arith.constant 0.70710678 : f32
  %0 = arith.mulf %acc, %half : f32
  %1 = arith.addf %0, %bias : f32
  %2 = arith.mulf %1, %root : f32
  %3 = math.erf %2 : f32
  %4 = arith.addf %3, %one : f32
  %5 = arith.mulf %1, %4 : f32
  %6 = arith.mulf %5, %half : f32
  %7 = arith.addf %6, %residual : f32
  kernel.yield %7 : f32
}"""


def linear(
    m: int, n: int, k: int, element: str = "f16", config: str = "", name: str = "linear"
) -> Case:
    """gelu(x [m, k] @ w [n, k]^T / 2 + bias [n]) + residual [m, n]."""
    x, w, b, o = (
        f"tensor<{shape}x{element}>" for shape in (f"{m}x{k}", f"{n}x{k}", f"{n}", f"{m}x{n}")
    )
    return Case(
        name,
        {"x": x, "w": w, "b": b, "r": o, "o": o},
        f"""kernel.gemm ins(%x : {x},
          %w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w},
          %b <offset 0, sizes [{m}, {n}], strides [0, 1]> : {b}, %r : {o})
          outs(%o : {o}) {{groups = array<i64: 0, 1, 1, 1>}} epilogue {LINEAR}""",
        config=config,
    )


def product(
    name: str,
    sizes: tuple[int, int, int, int],
    maps: tuple[str, str, str],
    element: str = "f16",
    config: str = "",
    bases: tuple[int, int, int] = (4096, 4096, 4096),
    result: str = "",
) -> Case:
    """A batched product [b, m, n] of flat operands with any maps (offset and strides)."""
    batch, m, n, k = sizes
    shapes = ([batch, m, k], [batch, k, n], [batch, m, n])
    elements = (element, element, result or element)
    types = [f"tensor<{base}x{e}>" for base, e in zip(bases, elements, strict=True)]
    texts = [
        f"<{text.replace(' strides', f' sizes {shape}, strides')}>"
        for text, shape in zip(maps, shapes, strict=True)
    ]
    return Case(
        name,
        dict(zip("abo", types, strict=True)),
        f"""kernel.gemm ins(%a {texts[0]} : {types[0]}, %b {texts[1]} : {types[1]})
          outs(%o {texts[2]} : {types[2]}) {{groups = array<i64: 1, 1, 1, 1>}} epilogue {SUM}""",
        config=config,
    )


def many_batches(config: str) -> Case:
    """More products than a grid has blocks along y, so that each block has several."""
    count, m, n, k = sizes = (65_600, 4, 8, 8)
    strides = ([m * k, k, 1], [k * n, n, 1], [m * n, n, 1])
    a, b, o = (f"offset 0, strides {own}" for own in strides)
    bases = (count * m * k, count * k * n, count * m * n)
    return product("many_batches", sizes, (a, b, o), config=config, bases=bases)


def grouped_dims(config: str = "OwnGemmAttr") -> Case:
    """Heads: [2, 8, 4 * 16] x -> q [2, 4, 8, 16], a result whose n is two dims apart in memory,
    which also wants a second result and the index along n."""
    x, w, o, p = "tensor<16x32xf16>", "tensor<64x32xf16>", "tensor<1024xf32>", "tensor<1024xbf16>"
    sizes = "sizes [2, 8, 4, 16]"
    return Case(
        "grouped_dims",
        {"x": x, "w": w, "o": o, "p": p},
        f"""kernel.gemm ins(%x <offset 0, sizes [2, 8, 32], strides [256, 32, 1]> : {x},
          %w <offset 0, sizes [32, 4, 16], strides [1, 512, 32]> : {w})
          outs(%o <offset 0, {sizes}, strides [512, 16, 128, 1]> : {o},
               %p <offset 0, {sizes}, strides [512, 64, 16, 1]> : {p})
          {{groups = array<i64: 0, 2, 2, 1>}} epilogue {{
          ^bb0(%acc : f32):
            %i = kernel.index <offset 0, {sizes}, strides [0, 0, 16, 1]>
            %f = arith.sitofp %i : i64 to f32
            %0 = arith.addf %acc, %f : f32
            %1 = arith.negf %acc : f32
            kernel.yield %0, %1 : f32, f32
          }}""",
        outs=("o", "p"),
        config=config,
    )


def dynamic(rows: int, config: str = "", low: int = 1) -> Case:
    """x [batch * 8, 64] @ w [64, 96], with the mean over the rows' number."""
    symbol = f"batch in [{low}, 64]"
    x = f"tensor<?x64xf16, #sym.dims<[batch * 8, 64], {symbol}>>"
    o = f"tensor<?x96xf16, #sym.dims<[batch * 8, 96], {symbol}>>"
    w = "tensor<64x96xf16>"
    return Case(
        "dynamic",
        {"x": x, "w": w, "o": o},
        f"""kernel.gemm ins(%x : {x}, %w : {w}) outs(%o : {o})
          {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32):
            %n = kernel.extent <batch * 8, {symbol}>
            %f = arith.sitofp %n : i64 to f32
            %0 = arith.divf %acc, %f : f32
            kernel.yield %0 : f32
          }}""",
        dims={"batch": rows},
        config=config,
    )


def patches(config: str) -> Case:
    """Patches 2x2 of images [2, 32, 16, 32], channels last, where they lie @ w [40, 128]^T: k is
    two pieces of a patch, m the patches of all rows."""
    x, w, o = "tensor<32768xf16>", "tensor<40x128xf16>", "tensor<256x40xf16>"
    return Case(
        "patches",
        {"x": x, "w": w, "o": o},
        f"""kernel.gemm ins(
          %x <offset 0, sizes [2, 16, 8, 2, 2, 32], strides [16384, 1024, 64, 512, 32, 1]> : {x},
          %w <offset 0, sizes [2, 2, 32, 40], strides [64, 32, 1, 128]> : {w})
          outs(%o <offset 0, sizes [2, 16, 8, 40], strides [5120, 320, 40, 1]> : {o})
          {{groups = array<i64: 0, 3, 1, 3>}} epilogue {SUM}""",
        config=config,
    )


_TENSOR = "#plain.gemm<tile = [64, 32, 32], units = tensor>"
_SCALAR = "#plain.gemm<tile = [32, 32, 16], units = scalar>"

OWN_GEMMS = [
    linear(100, 72, 80, config="OwnGemmAttr", name="linear_vectors"),
    linear(65, 33, 47, config="OwnGemmAttr", name="linear_odd"),
    linear(20, 24, 32, "f32", name="linear_f32"),
    linear(17, 19, 21, "bf16", config=_SCALAR, name="linear_bf16_scalar_units"),
    linear(70, 40, 64, "bf16", config=_TENSOR, name="linear_bf16"),
    # A transposed, B transposed, both with offsets and padding; the result column-major
    product(
        "all_transposed",
        (3, 20, 24, 18),
        (
            "offset 5, strides [1, 3, 61]",
            "offset 1, strides [500, 1, 19]",
            "offset 7, strides [600, 1, 20]",
        ),
        config=_TENSOR,
    ),
    # B is the same for each of the batch, A walks backwards along k, f16 x f16 -> f32
    product(
        "broadcast_reversed",
        (2, 33, 35, 16),
        (
            "offset 15, strides [600, 17, -1]",
            "offset 0, strides [0, 35, 1]",
            "offset 0, strides [1200, 35, 1]",
        ),
        config="OwnGemmAttr",
        result="f32",
    ),
    product(
        "scalar_transposed",
        (2, 20, 24, 18),
        (
            "offset 0, strides [400, 1, 20]",
            "offset 0, strides [500, 1, 18]",
            "offset 3, strides [500, 24, 1]",
        ),
        "f32",
    ),
    grouped_dims(),
    grouped_dims(_SCALAR),
    patches("OwnGemmAttr"),
    dynamic(3, "OwnGemmAttr"),
    dynamic(9, _SCALAR),
    dynamic(0, "OwnGemmAttr", low=0),
    dynamic(0, _SCALAR, low=0),
    linear(1, 1, 1, "bf16", _TENSOR, "linear_one"),
    linear(1, 1, 1, "f32", _SCALAR, "linear_one"),
    many_batches(_SCALAR),
    many_batches(_TENSOR),
    of_weights(linear(65, 33, 47, "bf16", _TENSOR, "linear_of_weights")),
    of_weights(linear(33, 35, 21, "f32", _SCALAR, "linear_of_weights_f32")),
]


def pointwise(
    name: str,
    ins: dict[str, str],
    out: str,
    body: str,
    config: str = "",
    maps: dict[str, str] | None = None,
    dims: dict[str, int] | None = None,
) -> Case:
    """A pointwise kernel; `maps` gives the access maps of operands that have one."""
    maps = maps or {}
    types = {**ins, "o": out}
    text = {name: f"%{name} {maps.get(name, '')} : {type}" for name, type in types.items()}
    arguments = ", ".join(text[name] for name in ins)
    return Case(
        name,
        types,
        f"kernel.pointwise ins({arguments}) outs({text['o']}) body {body}",
        config=config,
        dims=dims or {},
    )


_ADD = """{
^bb0(%p : f32, %q : f32):
  %0 = arith.addf %p, %q : f32
  %1 = math.tanh %0 : f32
  kernel.yield %1 : f32
}"""

_SAME = "{\n^bb0(%p : f32):\n  kernel.yield %p : f32\n}"
_ROUNDED = """{
^bb0(%p : f32):
  %0 = arith.truncf %p : f32 to f8E4M3FN
  %1 = arith.extf %0 : f8E4M3FN to f32
  kernel.yield %1 : f32
}"""


def channels_last(name: str, channels: int, element: str) -> Case:
    """Planes of 32x32 elements as f32 pixels."""
    convert = "arith.sitofp %p : i8 to f32" if element == "i8" else "arith.addf %p, %p : f32"
    given = element if element == "i8" else "f32"
    return pointwise(
        name,
        {"x": f"tensor<{channels}x1024x{element}>"},
        f"tensor<1024x{channels}xf32>",
        f"{{\n^bb0(%p : {given}):\n  %0 = {convert}\n  kernel.yield %0 : f32\n}}",
        maps={"x": f"<offset 0, sizes [1024, {channels}], strides [1, 1024]>"},
    )


def _of_values(case: Case, values: Sequence[float]) -> Case:
    case.special = {"x": dict(enumerate(values))}
    return case


FLOATS_OF_8_BITS = [
    # Every number, and those between neighbours, what is too large and what is none.
    _of_values(
        pointwise("f8_from_f32", {"x": "tensor<1024xf32>"}, "tensor<1024xf8E4M3FN>", _SAME),
        around_floats8(),
    ),
    _of_values(
        pointwise("f8_to_f32", {"x": "tensor<256xf8E4M3FN>"}, "tensor<256xf32>", _SAME),
        every_float8().tolist(),
    ),
    _of_values(
        pointwise("f8_inside", {"x": "tensor<1024xf32>"}, "tensor<1024xf32>", _ROUNDED),
        around_floats8(),
    ),
]

ELEMENTWISE = [
    pointwise(
        "dense", {"x": "tensor<6x40xf16>", "y": "tensor<6x40xf16>"}, "tensor<6x40xf16>", _ADD
    ),
    pointwise(
        "broadcast",
        {"x": "tensor<6x40xf16>", "y": "tensor<40xf32>"},
        "tensor<6x40xbf16>",
        _ADD,
        maps={"y": "<offset 0, sizes [6, 40], strides [0, 1]>"},
    ),
    pointwise(
        "uniform",
        {"x": "tensor<6x40xf16>", "y": "tensor<6xf32>"},
        "tensor<6x40xf16>",
        _ADD,
        maps={"y": "<offset 0, sizes [6, 40], strides [1, 0]>"},
    ),
    # One operand is read across, one from an odd offset: they are read element by element
    pointwise(
        "transposed",
        {"x": "tensor<40x6xf32>", "y": "tensor<999xf32>"},
        "tensor<6x40xf32>",
        _ADD,
        maps={
            "x": "<offset 0, sizes [6, 40], strides [1, 6]>",
            "y": "<offset 3, sizes [6, 40], strides [41, 1]>",
        },
    ),
    pointwise(
        "dense_bf16",
        {"x": "tensor<6x40xbf16>", "y": "tensor<6x40xbf16>"},
        "tensor<6x40xbf16>",
        _ADD,
    ),
    pointwise(
        "broadcast_bf16",
        {"x": "tensor<6x40xf32>", "y": "tensor<40xbf16>"},
        "tensor<6x40xf32>",
        _ADD,
        maps={"y": "<offset 0, sizes [6, 40], strides [0, 1]>"},
    ),
    pointwise(
        "odd_bf16", {"x": "tensor<7x5xbf16>", "y": "tensor<7x5xf16>"}, "tensor<7x5xf16>", _ADD
    ),
    pointwise("odd", {"x": "tensor<7x5xf16>", "y": "tensor<7x5xf32>"}, "tensor<7x5xf16>", _ADD),
    # One run: packs, some a thread, and what is left
    *(
        pointwise(
            f"run_of_{count}_by_{steps}",
            {"x": f"tensor<{count}xf16>", "y": "tensor<f32>"},
            f"tensor<{count}xf16>",
            _ADD,
            maps={"y": f"<offset 0, sizes [{count}], strides [0]>"},
            config=f"#plain.elementwise<vector = 8, steps = {steps}>",
        )
        for count, steps in ((5, 1), (4103, 2), (4095, 2), (8199, 1), (2048, 3), (0, 2))
    ),
    pointwise("one", {"x": "tensor<f16>", "y": "tensor<f32>"}, "tensor<f16>", _ADD),
    *FLOATS_OF_8_BITS,
    # What an index stands for may need more bits than the index
    *(
        pointwise(
            name,
            {"x": "tensor<6x5xi64>"},
            "tensor<6x5xi64>",
            f"""{{
            ^bb0(%a : i64):
              %i = kernel.index <offset {offset}, sizes [6, 5], strides [{stride}, 1]>
              %s = arith.addi %a, %i : i64
              kernel.yield %s : i64
            }}""",
        )
        for name, offset, stride in (
            ("far_index", 2147483640, 5),
            ("long_index", -7, 1000000000),
            ("backward_index", 0, -1000000000),
        )
    ),
    pointwise(
        "integers",
        {"x": "tensor<300xi8>", "y": "tensor<300xi8>"},
        "tensor<300xi1>",
        """{
        ^bb0(%p : i8, %q : i8):
          %0 = arith.muli %p, %q : i8
          %1 = arith.cmpi slt, %0, %p : i8
          kernel.yield %1 : i1
        }""",
    ),
    pointwise(
        "dynamic_indices",
        {
            "x": "tensor<?x24xf16, #sym.dims<[n, 24], n in [1, 50]>>",
            "y": "tensor<24xf16>",
        },
        "tensor<?x24xf32, #sym.dims<[n, 24], n in [1, 50]>>",
        """{
        ^bb0(%p : f32, %q : f32):
          %i = kernel.index <offset 0, sizes [n, 24], strides [24, 1], n in [1, 50]>
          %n = kernel.extent <n, n in [1, 50]>
          %0 = arith.muli %i, %n : i64
          %1 = arith.sitofp %0 : i64 to f32
          %2 = arith.addf %p, %1 : f32
          %3 = arith.mulf %2, %q : f32
          kernel.yield %3 : f32
        }""",
        maps={"y": "<offset 0, sizes [n, 24], strides [0, 1], n in [1, 50]>"},
        dims={"n": 37},
    ),
    Case(
        "copy_slice",
        {"x": "tensor<6x64xf16>", "o": "tensor<6x128xf16>"},
        """kernel.copy ins(%x : tensor<6x64xf16>)
          outs(%o <offset 64, sizes [6, 64], strides [128, 1]> : tensor<6x128xf16>)""",
    ),
    # Patches 8x16 of an image [2, 3, 16, 48], the rows of each one after the other
    Case(
        "copy_patches",
        {"x": "tensor<2x3x16x48xf16>", "o": "tensor<2x2x3x384xf16>"},
        """kernel.copy ins(
          %x <offset 0, sizes [2, 2, 3, 3, 8, 16], strides [2304, 384, 16, 768, 48, 1]> :
            tensor<2x3x16x48xf16>)
          outs(%o <offset 0, sizes [2, 2, 3, 3, 8, 16], strides [2304, 1152, 384, 128, 16, 1]> :
            tensor<2x2x3x384xf16>)""",
        config="#plain.elementwise<vector = 8>",
    ),
    *(
        Case(
            f"copy_images_{name}",
            {"x": f"tensor<3x{c}x{h}x{w}xf16>", "o": f"tensor<3x{h}x{w}x{c}xf16>"},
            f"""kernel.copy ins(%x <offset 0, sizes [3, {h}, {w}, {c}],
                strides [{c * h * w}, {w}, 1, {h * w}]> : tensor<3x{c}x{h}x{w}xf16>)
              outs(%o : tensor<3x{h}x{w}x{c}xf16>)""",
            config=config,
        )
        for name, c, h, w, config in (
            ("wide", 40, 5, 8, "TransposeAttr"),
            ("many", 160, 4, 70, "TransposeAttr"),
            ("three", 3, 6, 8, "TransposeAttr"),
            ("odd", 7, 3, 3, "TransposeAttr"),
            ("anywhere", 7, 3, 3, "ShiftedTransposeAttr"),
            ("anywhere_tiles", 67, 9, 15, "ShiftedTransposeAttr"),
            ("anywhere_wide", 77, 1, 141, "ShiftedTransposeAttr"),
            ("anywhere_tall", 137, 3, 5, "ShiftedTransposeAttr"),
            ("anywhere_both", 267, 3, 91, "ShiftedTransposeAttr"),
            ("odd_tiles", 67, 9, 15, "TransposeAttr"),
            ("tall", 24, 4, 6, "#plain.transpose<vector = 2, others = 4, threads = [2, 128]>"),
            ("flat", 24, 4, 6, "#plain.transpose<vector = 4, others = 8, threads = [128, 2]>"),
            ("elementwise", 24, 4, 6, "ElementwiseAttr"),
        )
    ),
    *(
        Case(
            f"copy_anywhere_{element}_{m}",
            {"x": f"tensor<2x{n}x{m}x{element}>", "o": f"tensor<2x{m}x{n}x{element}>"},
            f"""kernel.copy ins(%x <offset 0, sizes [2, {m}, {n}], strides [{m * n}, 1, {m}]>
                : tensor<2x{n}x{m}x{element}>) outs(%o : tensor<2x{m}x{n}x{element}>)""",
            config="ShiftedTransposeAttr",
        )
        # Several tiles along rows or columns, some of them of 64 columns and some of 128
        for element, m, n in (
            ("i8", 515, 33),
            ("i32", 259, 61),
            ("f32", 63, 155),
            ("bf16", 117, 131),
            # Tiles end at row 124, 248, 120 or 240, and packs that they touch behind the last row
            ("f32", 125, 33),
            ("f16", 249, 33),
            ("bf16", 123, 111),
            ("i8", 241, 111),
        )
    ),
    # Parts of larger matrices, columns of the last of them from the right to the left
    *(
        Case(
            f"copy_part_anywhere_{name}",
            {"x": f"tensor<{stride * 40}x{element}>", "o": f"tensor<{m}x45x{element}>"},
            f"""kernel.copy ins(%x <offset {offset}, sizes [{m}, 37], strides [1, {step}]>
                : tensor<{stride * 40}x{element}>)
              outs(%o <offset 3, sizes [{m}, 37], strides [45, 1]> : tensor<{m}x45x{element}>)""",
            config="ShiftedTransposeAttr",
        )
        for name, element, m, stride, offset, step in (
            ("odd", "f16", 129, 133, 5, 133),
            ("even", "bf16", 117, 126, 7, 126),
            ("whole", "f32", 61, 64, 3, 64),
            ("backwards", "f16", 119, 121, 121 * 38 + 2, -121),
        )
    ),
    # x read across, y along, z in one element a row, w across in another type
    *(
        Case(
            f"pointwise_across_{m}",
            {
                "x": f"tensor<{n}x{m}xf16>",
                "y": f"tensor<{m}x{n}xf16>",
                "z": f"tensor<{m}xf32>",
                "w": f"tensor<{n}x{m}xf32>",
                "o": f"tensor<{m}x{n}xf16>",
                "s": f"tensor<{m}x{n}xf32>",
            },
            f"""kernel.pointwise ins(
                %x <offset 0, sizes [{m}, {n}], strides [1, {m}]> : tensor<{n}x{m}xf16>,
                %y : tensor<{m}x{n}xf16>,
                %z <offset 0, sizes [{m}, {n}], strides [1, 0]> : tensor<{m}xf32>,
                %w <offset 0, sizes [{m}, {n}], strides [1, {m}]> : tensor<{n}x{m}xf32>)
              outs(%o : tensor<{m}x{n}xf16>, %s : tensor<{m}x{n}xf32>) body {{
              ^bb0(%a : f32, %b : f32, %c : f32, %d : f32):
                %i = kernel.index <offset 0, sizes [{m}, {n}], strides [0, 1]>
                %f = arith.sitofp %i : i64 to f32
                %0 = arith.addf %a, %b : f32
                %1 = arith.mulf %0, %c : f32
                %2 = arith.addf %d, %f : f32
                kernel.yield %1, %2 : f32, f32
              }}""",
            outs=("o", "s"),
            config="TransposeAttr",
        )
        for m, n in ((72, 48), (77, 65), (48, 3))
    ),
    # x read across, y along, z in one element a row, where rows begin anywhere
    *(
        Case(
            f"pointwise_anywhere_{element}",
            {
                "x": f"tensor<{n}x{m}x{element}>",
                "y": f"tensor<{m}x{n}x{element}>",
                "z": f"tensor<{m}xf32>",
                "o": f"tensor<{m}x{n}x{element}>",
            },
            f"""kernel.pointwise ins(
                %x <offset 0, sizes [{m}, {n}], strides [1, {m}]> : tensor<{n}x{m}x{element}>,
                %y : tensor<{m}x{n}x{element}>,
                %z <offset 0, sizes [{m}, {n}], strides [1, 0]> : tensor<{m}xf32>)
              outs(%o : tensor<{m}x{n}x{element}>) body {{
              ^bb0(%a : f32, %b : f32, %c : f32):
                %i = kernel.index <offset 0, sizes [{m}, {n}], strides [0, 1]>
                %f = arith.sitofp %i : i64 to f32
                %0 = arith.addf %a, %b : f32
                %1 = arith.mulf %0, %c : f32
                %2 = arith.addf %1, %f : f32
                kernel.yield %2 : f32
              }}""",
            config="ShiftedTransposeAttr",
        )
        for element, m, n in (("f16", 77, 65), ("f32", 43, 33), ("bf16", 5, 9))
    ),
    Case(
        "dynamic_transpose",
        {
            "x": "tensor<24x?xf16, #sym.dims<[24, 8 * n], n in [0, 50]>>",
            "o": "tensor<?x24xf32, #sym.dims<[8 * n, 24], n in [0, 50]>>",
        },
        """kernel.copy ins(%x <offset 0, sizes [8 * n, 24], strides [1, 8 * n], n in [0, 50]>
            : tensor<24x?xf16, #sym.dims<[24, 8 * n], n in [0, 50]>>)
          outs(%o : tensor<?x24xf32, #sym.dims<[8 * n, 24], n in [0, 50]>>)""",
        dims={"n": 7},
        config="TransposeAttr",
    ),
    Case(
        "copy_transpose",
        {"x": "tensor<6x10xi64>", "o": "tensor<10x6xi64>"},
        """kernel.copy ins(%x <offset 0, sizes [10, 6], strides [1, 10]> : tensor<6x10xi64>)
          outs(%o : tensor<10x6xi64>)""",
    ),
]


def all_leaves(
    config: str = "#cuda.gemm<tile = [128, 64, 64], cluster = [1, 1], schedule = pingpong>",
) -> Case:
    """A batched bf16 gemm whose region reads an operand of each kind of access, and an extent."""
    batch, m, n, k = 3, 136, 80, 72
    domain = f"sizes [{batch}, {m}, {n}]"
    operands = {
        "x": f"tensor<{batch * m * k}xbf16>",
        "w": f"tensor<{k * n}xbf16>",
        "row": f"tensor<{n}xf16>",
        "column": f"tensor<{batch * m}xf32>",
        "scalar": f"tensor<{batch}xbf16>",
        "tile": f"tensor<{batch * m * n}xf16>",
        "tile2": f"tensor<{batch * m * n}xf32>",
        "odd": f"tensor<{batch * m * (n + 1)}xf16>",
        "o": f"tensor<{batch * m * 2 * n}xbf16>",
    }
    maps = {
        "x": f"<offset 0, sizes [{batch}, {m}, {k}], strides [{m * k}, {k}, 1]>",
        "w": f"<offset 0, sizes [{batch}, {k}, {n}], strides [0, {n}, 1]>",
        "row": f"<offset 0, {domain}, strides [0, 0, 1]>",
        "column": f"<offset 0, {domain}, strides [{m}, 1, 0]>",
        "scalar": f"<offset 0, {domain}, strides [1, 0, 0]>",
        "tile": f"<offset 0, {domain}, strides [{m * n}, {n}, 1]>",
        "tile2": f"<offset 0, {domain}, strides [{m * n}, 1, {m}]>",
        "odd": f"<offset 1, {domain}, strides [{m * (n + 1)}, {n + 1}, 1]>",
        "o": f"<offset {n}, {domain}, strides [{2 * m * n}, {2 * n}, 1]>",
    }
    text = {name: f"%{name} {maps[name]} : {type}" for name, type in operands.items()}
    ins = ", ".join(text[name] for name in operands if name != "o")
    names = ["row", "column", "scalar", "tile", "tile2", "odd"]
    arguments = ", ".join(f"%v{name} : f32" for name in names)
    return Case(
        "all_leaves",
        operands,
        f"""kernel.gemm ins({ins}) outs({text["o"]}) {{groups = array<i64: 1, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32, {arguments}):
            %0 = arith.mulf %acc, %vscalar : f32
            %1 = arith.addf %0, %vrow : f32
            %2 = math.tanh %1 : f32
            %3 = arith.mulf %2, %vcolumn : f32
            %4 = arith.addf %3, %vtile : f32
            %5 = arith.subf %4, %vtile2 : f32
            %6 = arith.addf %5, %vodd : f32
            kernel.yield %6 : f32
          }}""",
        config=config,
    )


def heads(config: str = "GemmAttr") -> Case:
    """q @ k^T of 12 heads, both slices of one packed [128, 3 * 12 * 64] tensor."""
    return product(
        "heads",
        (12, 128, 128, 64),
        (
            "offset 0, strides [64, 2304, 1]",
            "offset 768, strides [64, 1, 2304]",
            "offset 0, strides [16384, 128, 1]",
        ),
        bases=(128 * 2304, 128 * 2304, 12 * 128 * 128),
        config=config,
    )


def merged_heads(config: str) -> Case:
    """Attention's heads [2, 4, 24, 64] as x [2 * 24, 4 * 64] @ w [256, 40], written as [40, 2, 24]:
    neither m nor k is one dim of x, nor m one of the result."""
    x, w, o = "tensor<12288xf16>", "tensor<256x40xf16>", "tensor<40x48xf16>"
    return Case(
        "merged_heads",
        {"x": x, "w": w, "o": o},
        f"""kernel.gemm ins(
          %x <offset 0, sizes [2, 24, 4, 64], strides [6144, 64, 1536, 1]> : {x},
          %w <offset 0, sizes [4, 64, 40], strides [2560, 40, 1]> : {w})
          outs(%o <offset 0, sizes [2, 24, 40], strides [24, 1, 48]> : {o})
          {{groups = array<i64: 0, 2, 1, 2>}} epilogue {SUM}""",
        config=config,
    )


def gated(m: int, n: int, k: int, config: str, element: str = "f16", pad: int = 0) -> Case:
    """silu(x @ g^T) * (x @ u^T) + bias, where u is the second half of a weight."""
    x, g, u, b, o = (
        f"tensor<{shape}x{element}>"
        for shape in (f"{m}x{k}", f"{n}x{k}", f"{2 * n}x{k}", f"{n}", f"{m}x{n + pad}")
    )
    sizes = f"sizes [{k}, {n}], strides [1, {k}]"
    return Case(
        "gated",
        {"x": x, "g": g, "u": u, "b": b, "o": o},
        f"""kernel.dual_gemm ins(%x : {x}, %g <offset 0, {sizes}> : {g},
          %u <offset {n * k}, {sizes}> : {u},
          %b <offset 0, sizes [{m}, {n}], strides [0, 1]> : {b})
          outs(%o <offset 0, sizes [{m}, {n}], strides [{n + pad}, 1]> : {o})
          {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0(%gate : f32, %up : f32, %bias : f32):
            %one = arith.constant 1.0 : f32
            %0 = arith.negf %gate : f32
            %1 = math.exp %0 : f32
            %2 = arith.addf %1, %one : f32
            %3 = arith.divf %gate, %2 : f32
            %4 = arith.mulf %3, %up : f32
            %5 = arith.addf %4, %bias : f32
            kernel.yield %5 : f32
          }}""",
        config=config,
    )


def layouts(
    config: str,
    sizes: tuple[int, int, int, int] = (2, 136, 104, 80),
    element: str = "bf16",
    result: str = "",
) -> list[Case]:
    """Each factor along k or across, the result by rows or by columns, all with padding."""
    batch, m, n, k = sizes
    cases: list[Case] = []
    for number in range(8):
        a = (k + 8, 1) if number & 1 else (1, m + 16)
        b = (1, k + 24) if number & 2 else (n + 8, 1)
        o = (n + 3, 1) if number & 4 else (1, m + 8)
        steps = [(m + 16) * (k + 8), (n + 8) * (k + 24), (m + 8) * (n + 3)]
        maps = [
            f"offset {first}, strides [{step}, {strides[0]}, {strides[1]}]"
            for first, step, strides in zip((8, 16, 8), steps, (a, b, o), strict=True)
        ]
        bases = [first + batch * step for first, step in zip((8, 16, 8), steps, strict=True)]
        name = f"layout_{number}"
        case = product(name, sizes, tuple(maps), element, config, tuple(bases), result)  # pyright: ignore
        cases.append(case)
    return cases


def _called(case: Case, name: str) -> Case:
    case.name = name
    return case


_SWAPPED = "#cuda.gemm<tile = [64, 32, 64], cluster = [1, 1], schedule = pingpong, swapped>"
_COOPERATIVE = "#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = cooperative>"
_STREAM_K = "#cuda.gemm<tile = [128, 128, 64], cluster = [1, 1], schedule = cooperative, stream_k>"
_SMALL = "#cuda.gemm<tile = [64, 16, 128], cluster = [1, 2], schedule = pingpong, stages = 4>"

HOPPER_GEMMS = [
    all_leaves(),
    heads(),
    dynamic(3, _SWAPPED),
    linear(520, 768, 256, config=_COOPERATIVE, name="linear_cooperative"),
    linear(72, 200, 136, "bf16", config=_SMALL, name="linear_small"),
    linear(1024, 3072, 768, config="GemmAttr", name="linear_first_choice"),
    linear(392, 640, 1024, config=_STREAM_K, name="linear_stream_k"),
    _called(dynamic(0, _STREAM_K, low=0), "cutlass_no_rows"),
    linear(1, 40, 136, config=_SMALL, name="cutlass_one_row"),
    # The left factor along m, the result by columns
    _called(layouts(_COOPERATIVE, result="f32")[0], "cutlass_columns_f32_result"),
    _called(layouts(_SWAPPED)[2], "cutlass_columns_swapped"),
]


def wgmma(m: int, n: int, schedule: str, stages: int, *more: str, k: int = 64) -> str:
    """The text of a config."""
    fields = [f"tile = [{m}, {n}, {k}]", f"schedule = {schedule}", f"stages = {stages}", *more]
    return f"#cuda.wgmma<{', '.join(fields)}>"


def all_reads(config: str, by_columns: bool = False) -> Case:
    """A batched gemm with two results of 16 bits, whose region reads what its tiles can end in
    fragments with: for each element, for each line across the results' neighbours, and, unless they
    would be read across, for each line along them."""
    batch, m, n, k = 2, 136, 104, 80
    domain = f"sizes [{batch}, {m}, {n}]"
    inner, outer = ("1", str(m)) if by_columns else (str(n), "1")
    dense = f"<offset 0, {domain}, strides [{m * n}, {inner}, {outer}]>"
    inner, outer = ("1", str(2 * m)) if by_columns else (str(2 * n), "1")
    padded = f"<offset 8, {domain}, strides [{2 * m * n}, {inner}, {outer}]>"
    every = {
        "tile": (f"tensor<{batch * m * n}xf16>", dense),
        "tile2": (f"tensor<{batch * m * n}xbf16>", dense),
        "row": (f"tensor<{n}xf16>", f"<offset 0, {domain}, strides [0, 0, 1]>"),
        "row2": (f"tensor<{batch * n}xf32>", f"<offset 0, {domain}, strides [{n}, 0, 1]>"),
        "column": (f"tensor<{batch * m}xbf16>", f"<offset 0, {domain}, strides [{m}, 1, 0]>"),
        "scalar": (f"tensor<{batch}xf32>", f"<offset 0, {domain}, strides [1, 0, 0]>"),
    }
    across = {"row", "row2"} if by_columns else {"column"} if "swapped" in config else set[str]()
    read = {name: value for name, value in every.items() if name not in across}
    factors = {
        "x": (f"tensor<{batch}x{m}x{k}xf16>", ""),
        "w": (
            f"tensor<{n}x{k}xf16>",
            f"<offset 0, sizes [{batch}, {k}, {n}], strides [0, 1, {k}]>",
        ),
    }
    outs = {
        "o": (f"tensor<{2 * batch * m * n + 8}xf16>", padded),
        "p": (f"tensor<{batch * m * n}xbf16>", dense),
    }
    texts = {
        name: f"%{name} {map} : {type}" for name, (type, map) in (factors | read | outs).items()
    }
    arguments = ", ".join(f"%v{name} : f32" for name in read)
    sums = [f"%s{i + 1} = arith.addf %s{i}, %v{name} : f32" for i, name in enumerate(read)]
    lines = "\n".join(["%s0 = arith.addf %acc, %acc : f32", *sums])
    return Case(
        "all_reads",
        {name: type for name, (type, _) in (factors | read | outs).items()},
        f"""kernel.gemm ins({", ".join(texts[name] for name in factors | read)})
          outs({", ".join(texts[name] for name in outs)})
          {{groups = array<i64: 1, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32, {arguments}):
            {lines}
            %last = arith.negf %acc : f32
            kernel.yield %s{len(read)}, %last : f32, f32
          }}""",
        outs=("o", "p"),
        config=config,
    )


def stages(m: int, n: int, k: int, config: str, results: int, reads_tile: bool = False) -> Case:
    """The last of (x @ w^T + b) * c and its erf with t or itself added, each of which is stored."""
    x, w, b, o = (f"tensor<{shape}xf16>" for shape in (f"{m}x{k}", f"{n}x{k}", n, f"{m}x{n}"))
    line = f"<offset 0, sizes [{m}, {n}], strides [0, 1]>"
    outs = ("o", "p", "q")[:results]
    stored = ", ".join(f"%{out} : {o}" for out in outs)
    given = ", ".join(f"%{2 - i}" for i in range(results))
    tile, read, added = (f", %t : {o}", ", %tile : f32", "%tile") if reads_tile else ("", "", "%1")
    return Case(
        f"stages_{results}{'_tile' * reads_tile}",
        {"x": x, "w": w, "b": b, "c": b}
        | ({"t": o} if reads_tile else {})
        | dict.fromkeys(outs, o),
        f"""kernel.gemm ins(%x : {x}, %w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w},
            %b {line} : {b}, %c {line} : {b}{tile}) outs({stored})
          {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32, %bias : f32, %scale : f32{read}):
            %0 = arith.addf %acc, %bias : f32
            %1 = arith.mulf %0, %scale : f32
            %sum = arith.addf %1, {added} : f32
            %2 = math.erf %sum : f32
            kernel.yield {given} : {", ".join(["f32"] * results)}
          }}""",
        outs=outs,
        config=config,
    )


_ACTIVATIONS = {
    # %a of %z
    "gelu": """%a0 = arith.mulf %z, %root : f32
      %a1 = math.erf %a0 : f32
      %a2 = arith.addf %a1, %one : f32
      %a3 = arith.mulf %z, %a2 : f32
      %a = arith.mulf %a3, %half : f32""",
    "gelu_by_tanh": """%a0 = arith.mulf %z, %z : f32
      %a1 = arith.mulf %a0, %z : f32
      %a2 = arith.mulf %a1, %third : f32
      %a3 = arith.addf %z, %a2 : f32
      %a4 = arith.mulf %a3, %slope : f32
      %a5 = math.tanh %a4 : f32
      %a6 = arith.addf %a5, %one : f32
      %a7 = arith.mulf %z, %half : f32
      %a = arith.mulf %a7, %a6 : f32""",
    "silu": """%a0 = arith.negf %z : f32
      %a1 = math.exp %a0 : f32
      %a2 = arith.addf %a1, %one : f32
      %a3 = arith.divf %one, %a2 : f32
      %a = arith.mulf %z, %a3 : f32""",
    "tanh": "%a = math.tanh %z : f32",
}
_NUMBERS = "\n".join(
    f"%{name} = arith.constant {value} : f32"
    for name, value in {
        "half": 0.5, "one": 1.0, "root": 0.70710678, "third": 0.044715, "slope": 0.79788456,
    }.items()
)  # fmt: skip


def activated(
    activation: str,
    m: int,
    n: int,
    k: int,
    config: str,
    added: int = 1,
    element: str = "f16",
    gated: bool = False,
) -> Case:
    """activation(x @ w^T + b), or activation(x @ w^T + b) * (x @ v^T), with `added` matrices."""
    x, w, b, o = (f"tensor<{shape}x{element}>" for shape in (f"{m}x{k}", f"{n}x{k}", n, f"{m}x{n}"))
    factor = f"<offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w}"
    ups, matrices = ["v"] * gated, [f"t{i}" for i in range(added)]
    texts = [f"%x : {x}", *(f"%{name} {factor}" for name in ("w", *ups))]
    texts.append(f"%b <offset 0, sizes [{m}, {n}], strides [0, 1]> : {b}")
    texts += [f"%{name} : {o}" for name in matrices]
    arguments = ["acc", *(["up"] * gated), "bias", *(f"e{i}" for i in range(added))]
    lines = [_NUMBERS, "%z = arith.addf %acc, %bias : f32", _ACTIVATIONS[activation]]
    lines.append(f"%s0 = arith.mulf %a, {'%up' if gated else '%one'} : f32")
    lines += [f"%s{i + 1} = arith.addf %s{i}, %e{i} : f32" for i in range(added)]
    body = "\n".join(lines)
    return Case(
        f"{activation}{'_gate' * gated}_and_{added}",
        {"x": x, "w": w} | dict.fromkeys(ups, w) | {"b": b} | dict.fromkeys((*matrices, "o"), o),
        f"""kernel.{"dual_" * gated}gemm ins({", ".join(texts)}) outs(%o : {o})
          {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0({", ".join(f"%{name} : f32" for name in arguments)}):
            {body}
            kernel.yield %s{added} : f32
          }}""",
        config=config,
    )


def transpose_of_any_size(element: str, rows: int, columns: int, low: int = 1) -> Case:
    """A kernel for all sizes up to 4000, called with these."""
    bounds = f"m in [{low}, 4000], n in [{low}, 4000]"
    x, o = (f"tensor<?x?x{element}, #sym.dims<[{dims}], {bounds}>>" for dims in ("n, m", "m, n"))
    return Case(
        f"transpose_of_any_size_{element}",
        {"x": x, "o": o},
        f"""kernel.copy ins(%x <offset 0, sizes [m, n], strides [1, m], {bounds}> : {x})
          outs(%o : {o})""",
        dims={"m": rows, "n": columns},
        config="ShiftedTransposeAttr",
    )


_LONE = wgmma(64, 32, "cooperative", 3)
_LONE_SWAPPED = wgmma(64, 32, "cooperative", 3, "split = 2", "swapped")
_PINGPONG = wgmma(64, 64, "pingpong", 3)

ALL_READS = [
    *(
        all_reads(config)
        for config in (
            wgmma(128, 192, "pingpong", 2),
            wgmma(64, 96, "pingpong", 3),
            wgmma(256, 64, "cooperative", 2),
            wgmma(64, 16, "cooperative", 4),
            wgmma(128, 64, "pingpong", 3, "swapped"),
            wgmma(64, 32, "cooperative", 4, "swapped"),
            wgmma(64, 16, "cooperative", 4, "swapped"),
        )
    ),
    all_reads(wgmma(128, 64, "pingpong", 3), by_columns=True),
]

WGMMA_GEMMS = [
    *(
        activated(name, 130, 264, 72, wgmma(128, 192, "pingpong", 2), added)
        for name in _ACTIVATIONS
        for added in (0, 1, 2)
    ),
    activated("silu", 264, 200, 72, wgmma(64, 192, "pingpong", 2), gated=True),
    activated("gelu", 130, 264, 72, wgmma(128, 192, "pingpong", 2, "swapped")),
    *(
        stages(130, 264, 72, config, *kind)
        for kind in ((1, True), (2, False), (2, True), (3, False))
        for config in (wgmma(64, 64, "pingpong", 3), wgmma(128, 128, "cooperative", 2))
    ),
    *(
        all_leaves(config)
        for config in (
            wgmma(128, 64, "pingpong", 3),
            wgmma(64, 256, "pingpong", 2),
            wgmma(256, 64, "cooperative", 2),
            wgmma(192, 32, "cooperative", 3),
            wgmma(128, 96, "cooperative", 4, "split = 2"),
            wgmma(64, 16, "cooperative", 4),
            wgmma(64, 8, "cooperative", 8, "swapped"),
            _LONE_SWAPPED,
        )
    ),
    *ALL_READS,
    heads("WgmmaAttr"),
    heads(wgmma(128, 128, "cooperative", 3)),
    *layouts(wgmma(128, 64, "pingpong", 3)),
    *layouts(wgmma(64, 32, "cooperative", 3, "swapped"))[::2],
    *layouts(wgmma(128, 96, "cooperative", 4, "split = 2"))[2:4],
    *layouts(wgmma(64, 16, "cooperative", 4, "swapped"), (3, 136, 8, 72))[:2],
    dynamic(3, wgmma(64, 32, "cooperative", 4, "swapped")),
    dynamic(9, wgmma(128, 64, "pingpong", 3)),
    dynamic(0, _LONE, low=0),
    grouped_dims(_LONE),
    merged_heads(wgmma(64, 32, "pingpong", 3)),
    merged_heads(wgmma(64, 32, "cooperative", 3, "swapped")),
    patches(wgmma(128, 64, "pingpong", 3)),
    patches(wgmma(64, 32, "cooperative", 3, "swapped")),
    *(gated(*sizes) for sizes in ((136, 80, 72, _PINGPONG), (520, 256, 192, "WgmmaAttr"))),
    gated(65, 33, 48, wgmma(64, 64, "cooperative", 6, "split = 3"), "bf16", 2),
    linear(65, 33, 40, "bf16", _LONE, "linear_odd_results"),
    linear(1, 40, 136, config=_LONE_SWAPPED, name="linear_one_row"),
    linear(40, 1, 24, config=_LONE, name="linear_one_column"),
    linear(1, 1, 8, config=_LONE, name="linear_one"),
    linear(
        200, 72, 1000, config=wgmma(128, 32, "cooperative", 8, "split = 8"), name="linear_split"
    ),
    linear(300, 200, 64, config=wgmma(128, 128, "pingpong", 4), name="linear_short"),
    of_weights(linear(300, 72, 600, config=wgmma(64, 32, "pingpong", 8), name="linear_early")),
    of_weights(
        linear(
            70,
            200,
            600,
            config=wgmma(64, 32, "cooperative", 8, "split = 3", "swapped"),
            name="linear_early_split",
        )
    ),
    linear(1024, 3072, 768, config="WgmmaAttr", name="linear_first_wgmma"),
    linear(2100, 768, 768, config=wgmma(128, 256, "cooperative", 3), name="linear_many_tiles"),
    linear(2100, 776, 136, config=wgmma(128, 128, "pingpong", 5), name="linear_ragged_tiles"),
]


def mma(tile: tuple[int, int, int], warps: tuple[int, int], stages: int = 3, more: str = "") -> str:
    """The text of a config."""
    fields = f"tile = {list(tile)}, warps = {list(warps)}, stages = {stages}"
    return f"#cuda.mma<{fields}{more and ', '}{more}>"


def not_finite(config: str) -> Case:
    """A product of f32 where a few factors are infinite, NaN, or too large to be rounded."""
    maps = ("offset 0, strides [0, 32, 1]", "offset 0, strides [0, 40, 1]")
    case = product(
        "mma_not_finite",
        (1, 80, 40, 32),
        (*maps, "offset 0, strides [0, 40, 1]"),
        "f32",
        config,
        (80 * 32, 32 * 40, 80 * 40),
    )
    infinity = float("inf")
    rows = {32 * 3: infinity, 32 * 3 + 1: -infinity, 32 * 7 + 2: 3.4028e38, 32 * 70: infinity}
    case.special = {"a": rows, "b": {5: float("nan"), 40 * 2 + 9: -3.4028e38, 40 * 31: 2.0}}
    return case


_HALVES = mma((64, 64, 32), (2, 2))
_SPLIT_TF32 = mma((64, 32, 16), (2, 2), 4, "products = tf32x3")
_TF32 = mma((32, 64, 32), (1, 2), 2, "products = tf32, blocks = 2")

MMA_GEMMS = [
    linear(100, 72, 80, config=_HALVES, name="mma_linear"),
    linear(65, 33, 47, "bf16", _HALVES, "mma_odd"),
    linear(70, 40, 64, "f32", _SPLIT_TF32, "mma_split"),
    linear(65, 33, 47, "f32", _SPLIT_TF32, "mma_split_odd"),
    linear(70, 40, 64, "f32", _TF32, "mma_tf32"),
    linear(1, 1, 1, "f32", _TF32, "mma_one"),
    *layouts(_HALVES),
    *layouts(_SPLIT_TF32, (2, 72, 40, 33), "f32"),
    *layouts(_TF32, (2, 72, 40, 32), "f32")[2:6],
    all_leaves(mma((64, 64, 64), (2, 2))),
    heads(mma((64, 64, 64), (2, 2))),
    merged_heads(_HALVES),
    grouped_dims(_HALVES),
    dynamic(3, _HALVES),
    dynamic(0, _HALVES, low=0),
    many_batches(_HALVES),
    not_finite(_SPLIT_TF32),
    # Neighbours in memory are neighbours along no dim; one factor is that of the whole batch.
    product(
        "mma_strided",
        (2, 33, 35, 16),
        (
            "offset 46, strides [1600, 48, -3]",
            "offset 0, strides [0, 70, 2]",
            "offset 0, strides [1200, 35, 1]",
        ),
        "f32",
        _SPLIT_TF32,
        result="f16",
    ),
    # Several steps along k before the others, one through registers, and fewer than there may be
    of_weights(linear(100, 72, 200, config=_HALVES, name="mma_early")),
    of_weights(linear(65, 33, 47, "bf16", _HALVES, "mma_early_odd")),
    of_weights(linear(70, 40, 9, "f32", _SPLIT_TF32, "mma_early_split")),
    of_weights(
        product(
            "mma_early_left",
            (2, 33, 35, 80),
            (
                "offset 0, strides [2640, 80, 1]",
                "offset 0, strides [0, 35, 1]",
                "offset 0, strides [1200, 35, 1]",
            ),
            "f32",
            _SPLIT_TF32,
            (5280, 2800, 2400),
        ),
        "a",
    ),
]


def cutlass_mma(tile: tuple[int, int, int], warps: tuple[int, int], more: str = "") -> str:
    """The text of a config."""
    return mma(tile, warps, 3, more).replace("cuda.mma", "cuda.gemm_sm80")


_CUTLASS = cutlass_mma((64, 64, 32), (2, 2))
_CUTLASS_SPLIT = cutlass_mma((64, 64, 16), (2, 2), "products = tf32x3")
_CUTLASS_TF32 = cutlass_mma((64, 64, 16), (2, 2), "products = tf32")


def on_a100(case: Case) -> Case:
    """The same kernel for compute capability 8.0, under a name of its own."""
    case.target, case.name = "cuda:sm_80", f"a100_{case.name}"
    return case


A100_GEMMS = [
    on_a100(case)
    for case in (
        linear(100, 72, 80, config=_CUTLASS),
        linear(130, 66, 72, "bf16", _CUTLASS, "linear_pairs"),
        linear(70, 40, 64, "f32", _CUTLASS_SPLIT, "linear_split"),
        linear(65, 33, 47, "f32", _CUTLASS_SPLIT, "linear_split_odd"),
        linear(70, 40, 64, "f32", _CUTLASS_TF32, "linear_tf32"),
        *layouts(_CUTLASS),
        *layouts(_CUTLASS_SPLIT, (2, 72, 40, 32), "f32")[2:6],
        all_leaves(_CUTLASS),
        heads(_CUTLASS),
        dynamic(3, _CUTLASS),
        dynamic(0, _CUTLASS, low=0),
        grouped_dims(_CUTLASS),
        not_finite(_CUTLASS_SPLIT),
    )
]


def in_tf32(case: Case) -> Case:
    """The same kernel for the target that multiplies f32 as TF32."""
    case.target = "cuda:sm_90a+tf32"
    return case


TF32_GEMMS = [
    in_tf32(case)
    for case in (
        linear(136, 104, 80, "f32", wgmma(128, 64, "pingpong", 3, k=32), "tf32_pingpong"),
        linear(65, 40, 36, "f32", wgmma(64, 32, "cooperative", 3, k=32), "tf32_odd_results"),
        linear(
            40, 136, 200, "f32", wgmma(64, 16, "cooperative", 4, "swapped", k=32), "tf32_swapped"
        ),
        linear(
            200, 72, 1000, "f32", wgmma(128, 32, "cooperative", 4, "split = 4", k=32), "tf32_split"
        ),
        gated(136, 80, 72, wgmma(64, 64, "pingpong", 3, k=32), "f32"),
        # Both factors lie along k.
        layouts(wgmma(128, 64, "pingpong", 3, k=32), (2, 136, 104, 80), "f32")[3],
        layouts(wgmma(128, 64, "pingpong", 3, k=32), (2, 136, 104, 80), "f32")[7],
    )
]


# Results of integers are whole numbers within the limits of i8.
_WHOLE = """%low = arith.constant -128.0 : f32
            %high = arith.constant 127.0 : f32
            %whole = math.roundeven %2 : f32
            %3 = arith.maximumf %whole, %low : f32
            %4 = arith.minimumf %3, %high : f32
            %last = arith.fptosi %4 : f32 to {0}
            kernel.yield %last : {0}"""


def integers(m: int, n: int, k: int, config: str, name: str, result: str = "f16") -> Case:
    """x [m, k] @ w [n, k]^T of i8, times one scale a column, plus bias [n]."""
    x, w, s, o = f"tensor<{m}x{k}xi8>", f"tensor<{n}x{k}xi8>", f"tensor<{n}xf32>", (m, n)
    along = f"<offset 0, sizes [{m}, {n}], strides [0, 1]>"
    out = f"tensor<{o[0]}x{o[1]}x{result}>"
    last = _WHOLE.format(result) if result[0] == "i" else "kernel.yield %2 : f32"
    case = Case(
        name,
        {"x": x, "w": w, "s": s, "b": s, "o": out},
        f"""kernel.gemm ins(%x : {x}, %w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w},
          %s {along} : {s}, %b {along} : {s})
          outs(%o : {out}) {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32, %scale : f32, %bias : f32):
            %small = arith.constant 0.001953125 : f32
            %0 = arith.mulf %acc, %scale : f32
            %1 = arith.mulf %0, %small : f32
            %2 = arith.addf %1, %bias : f32
            {last}
          }}""",
        config=config,
    )
    case.ranges = {"x": (-128, 128), "w": (-128, 128)}
    return case


def batched_8_bits(name: str, element: str, result: str, config: str) -> Case:
    """Two products of slices along k whose results begin anywhere."""
    maps = (
        "offset 16, strides [21776, 160, 1]",
        "offset 32, strides [18304, 1, 176]",
        "offset 0, strides [14552, 107, 1]",
    )
    bases = (43600, 36700, 29200)
    return product(name, (2, 136, 104, 144), maps, element, config, bases, result)


INTEGER_GEMMS = [
    integers(65, 33, 47, "OwnGemmAttr", "integers_anywhere"),
    integers(136, 104, 144, wgmma(128, 64, "pingpong", 3, k=128), "integers_pingpong"),
    integers(65, 40, 272, wgmma(64, 32, "cooperative", 3, k=128), "integers_tails"),
    integers(200, 96, 4112, wgmma(128, 96, "cooperative", 3, k=128), "integers_long"),
    integers(3, 80, 160, wgmma(64, 8, "cooperative", 3, "swapped", k=128), "integers_swapped"),
    integers(70, 40, 144, wgmma(64, 32, "pingpong", 3, k=128), "integers_quantised", "i8"),
    integers(70, 39, 144, wgmma(64, 64, "cooperative", 3, k=128), "integers_to_i32", "i32"),
    integers(
        9, 72, 160, wgmma(64, 16, "cooperative", 3, "swapped", k=128), "integers_to_f32", "f32"
    ),
    integers(33, 40, 47, "OwnGemmAttr", "integers_anywhere_quantised", "i8"),
    batched_8_bits("integers_batched", "i8", "bf16", wgmma(128, 64, "pingpong", 3, k=128)),
    batched_8_bits("integers_batched", "i8", "f32", wgmma(128, 64, "cooperative", 3, k=128)),
]


_E4M3 = "f8E4M3FN"
_QUANTISED = """{
^bb0(%acc : f32, %row : f32, %column : f32):
  %low = arith.constant -448.0 : f32
  %high = arith.constant 448.0 : f32
  %0 = arith.mulf %acc, %row : f32
  %1 = arith.mulf %0, %column : f32
  %2 = arith.maximumf %1, %low : f32
  %3 = arith.minimumf %2, %high : f32
  kernel.yield %3 : f32
}"""


def floats8(m: int, n: int, k: int, config: str, name: str, result: str = "f16") -> Case:
    """x [m, k] @ w [n, k]^T of f8E4M3FN, times scales of rows [m] and columns [n], within the
    limits of f8E4M3FN."""
    x, w, o = f"tensor<{m}x{k}x{_E4M3}>", f"tensor<{n}x{k}x{_E4M3}>", f"tensor<{m}x{n}x{result}>"
    rows, columns = f"tensor<{m}xf32>", f"tensor<{n}xf16>"
    return Case(
        name,
        {"x": x, "w": w, "r": rows, "c": columns, "o": o},
        f"""kernel.gemm ins(%x : {x}, %w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w},
          %r <offset 0, sizes [{m}, {n}], strides [1, 0]> : {rows},
          %c <offset 0, sizes [{m}, {n}], strides [0, 1]> : {columns})
          outs(%o : {o}) {{groups = array<i64: 0, 1, 1, 1>}} epilogue {_QUANTISED}""",
        config=config,
    )


F8_GEMMS = [
    floats8(65, 33, 47, "OwnGemmAttr", "f8_anywhere", "f32"),
    # Conversions without instructions of their own.
    on_a100(floats8(65, 33, 47, "OwnGemmAttr", "f8_anywhere", _E4M3)),
    floats8(2, 56, 336, "GemvAttr", "f8_few_rows"),
    floats8(136, 104, 144, wgmma(128, 64, "pingpong", 3, k=128), "f8_pingpong"),
    floats8(65, 40, 272, wgmma(64, 32, "cooperative", 3, k=128), "f8_tails", "f32"),
    floats8(200, 96, 4112, wgmma(128, 96, "cooperative", 3, k=128), "f8_long", "bf16"),
    floats8(200, 96, 1040, wgmma(192, 96, "cooperative", 4, k=128), "f8_three_warpgroups"),
    floats8(3, 80, 160, wgmma(64, 8, "cooperative", 3, "swapped", k=128), "f8_swapped"),
    floats8(72, 64, 1040, wgmma(64, 64, "cooperative", 4, "split = 3", k=128), "f8_split"),
    floats8(136, 104, 144, wgmma(128, 64, "pingpong", 3, k=128), "f8_quantised", _E4M3),
    batched_8_bits("f8_batched", _E4M3, "bf16", wgmma(128, 64, "pingpong", 3, k=128)),
]


def gemv(
    lanes: str, vector: int, team: int, teams: int, columns: int, items: int, units: str = "scalar"
) -> str:
    """The text of a config."""
    numbers = f"vector = {vector}, team = {team}, teams = {teams}, columns = {columns}"
    return f"#plain.gemv<lanes = {lanes}, {numbers}, items = {items}, units = {units}>"


def few_rows(config: str, rows: int = 2) -> Case:
    """x [batch, 48] @ w [48, 56] of a few rows or none, beside their number."""
    symbol = "batch in [0, 4]"
    x = f"tensor<?x48xbf16, #sym.dims<[batch, 48], {symbol}>>"
    o = f"tensor<?x56xf16, #sym.dims<[batch, 56], {symbol}>>"
    w = "tensor<48x56xf16>"
    return Case(
        "few_rows",
        {"x": x, "w": w, "o": o},
        f"""kernel.gemm ins(%x : {x}, %w : {w}) outs(%o : {o})
          {{groups = array<i64: 0, 1, 1, 1>}} epilogue {{
          ^bb0(%acc : f32):
            %n = kernel.extent <batch, {symbol}>
            %f = arith.sitofp %n : i64 to f32
            %0 = arith.addf %acc, %f : f32
            kernel.yield %0 : f32
          }}""",
        dims={"batch": rows},
        config=config,
    )


def few_heads(config: str) -> Case:
    """A row of each of two heads, whose k is two dims apart in memory: [2, 3, 16] by [3, 16, 40],
    with two results, one of them by columns."""
    x, w, o, p = "tensor<4096xf16>", "tensor<4096xf16>", "tensor<80xf32>", "tensor<160xbf16>"
    return Case(
        "few_heads",
        {"x": x, "w": w, "o": o, "p": p},
        f"""kernel.gemm ins(
          %x <offset 8, sizes [2, 1, 3, 16], strides [64, 0, 256, 1]> : {x},
          %w <offset 16, sizes [2, 3, 16, 40], strides [2000, 640, 40, 1]> : {w})
          outs(%o <offset 0, sizes [2, 1, 40], strides [40, 0, 1]> : {o},
               %p <offset 0, sizes [2, 1, 40], strides [1, 0, 4]> : {p})
          {{groups = array<i64: 1, 1, 1, 2>}} epilogue {{
          ^bb0(%acc : f32):
            %0 = arith.negf %acc : f32
            kernel.yield %acc, %0 : f32, f32
          }}""",
        outs=("o", "p"),
        config=config,
    )


GEMVS = [
    # Packs along k: a part of a warp, a warp, several of them; one round and many; ragged ends
    linear(1, 100, 136, config=gemv("inner", 8, 32, 4, 1, 2), name="gemv_warp"),
    linear(1, 70, 2000, config=gemv("inner", 8, 128, 1, 2, 2), name="gemv_warps"),
    linear(3, 33, 200, "bf16", gemv("inner", 8, 16, 8, 4, 2), "gemv_rows"),
    linear(4, 9, 72, "f32", gemv("inner", 4, 64, 4, 2, 8), "gemv_f32"),
    linear(2, 50, 47, config="GemvAttr", name="gemv_odd"),
    linear(1, 1, 8, config="GemvAttr", name="gemv_one"),
    linear(0, 5, 3, config="GemvAttr", name="gemv_of_no_rows"),
    linear(3, 0, 8, config="GemvAttr", name="gemv_of_no_columns"),
    linear(4, 40, 1, config="GemvAttr", name="gemv_outer_product"),
    of_weights(linear(2, 50, 1000, config=gemv("inner", 8, 32, 4, 2, 2), name="gemv_early")),
    # Rows and columns exchanged
    linear(150, 3, 136, config=gemv("inner", 8, 32, 4, 2, 2), name="gemv_columns"),
    linear(150, 1, 40, config="GemvAttr", name="gemv_one_column"),
    # Packs across k: teams within a warp, of several warps, one team a block
    few_rows(gemv("outer", 8, 64, 1, 1, 2)),
    _called(few_rows(gemv("outer", 8, 32, 4, 1, 4), 4), "few_rows_4"),
    _called(few_rows(gemv("outer", 2, 8, 64, 1, 4), 0), "few_rows_none"),
    *(
        product(
            name,
            (3, rows, 88, 41),
            (
                "offset 3, strides [7, 1, 21]",
                "offset 8, strides [0, 96, 1]",
                "offset 1, strides [500, 100, 1]",
            ),
            element,
            config,
        )
        for name, rows, element, config in (
            ("gemv_across", 2, "f16", gemv("outer", 8, 64, 8, 1, 2)),
            ("gemv_across_f32", 4, "f32", gemv("outer", 4, 16, 32, 1, 4)),
            ("gemv_single", 1, "bf16", gemv("outer", 1, 32, 1, 1, 2)),
        )
    ),
    few_heads(gemv("outer", 8, 32, 1, 1, 2)),
    _called(few_heads(gemv("inner", 1, 32, 2, 2, 2)), "few_heads_inner"),
    # Tensor units: a warp and several, one block of rows and two, ragged ends
    linear(1, 100, 136, config=gemv("inner", 8, 32, 4, 1, 2, "tensor"), name="gemv_tensor"),
    linear(5, 70, 1000, "bf16", gemv("inner", 8, 128, 2, 2, 2, "tensor"), "gemv_tensor_warps"),
    linear(16, 33, 264, config=gemv("inner", 8, 64, 1, 1, 4, "tensor"), name="gemv_tensor_rows"),
    linear(50, 13, 72, config=gemv("inner", 8, 64, 2, 1, 1, "tensor"), name="gemv_tensor_columns"),
    _called(gated(9, 80, 72, gemv("inner", 8, 32, 2, 2, 2, "tensor")), "gemv_tensor_gated"),
    # Two matrices
    _called(gated(1, 80, 72, gemv("inner", 8, 16, 4, 2, 2)), "gemv_gated"),
    _called(gated(3, 33, 48, "GemvAttr", "bf16", 2), "gemv_gated_rows"),
]
