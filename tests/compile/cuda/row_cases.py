"""Cases of the kernels on rows, gathers and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from tests.compile.cuda.kernels import Case

NAN, INF = float("nan"), float("inf")

FLOAT = """{
^bb0(%a : f32):
  kernel.yield %a : f32
}"""
NORMAL = """{
^bb0(%y : f32, %v : f32, %a : f32):
  kernel.yield %y : f32
}"""


_SUM_AND_NORM = """prologue {
          ^bb0(%p : f32, %q : f32, %c : f32, %d : f32):
            %0 = arith.addf %p, %q : f32
            kernel.yield %0 : f32
          } epilogue {
          ^bb0(%y : f32, %v : f32, %p : f32, %q : f32, %c : f32, %d : f32):
            %0 = arith.mulf %y, %c : f32
            %1 = arith.addf %0, %d : f32
            kernel.yield %1, %v : f32, f32
          }"""
"""Regions of a norm of a sum of two, scaled and shifted, which stores the sum too."""


def _map(offset: int, sizes: Sequence[int | str], strides: Sequence[int | str]) -> str:
    return f"<offset {offset}, sizes [{_list(sizes)}], strides [{_list(strides)}]>"


def _list(values: Sequence[int | str]) -> str:
    return ", ".join(map(str, values))


# Rows -----------------------------------------------------------------------------------------


def rowwise(
    name: str,
    kind: str,
    x: str,
    out: str = "",
    reduced: int = 1,
    maps: tuple[str, str] = ("", ""),
    config: str = "",
    dims: Mapping[str, int] | None = None,
    special: Mapping[int, float] | None = None,
) -> Case:
    """One operand, identity regions."""
    out = out or x
    eps = "" if "softmax" in kind else "eps = 1.0e-5 : f64, "
    return Case(
        name,
        {"x": x, "o": out},
        f"""kernel.rowwise ins(%x {maps[0]} : {x}) outs(%o {maps[1]} : {out})
          {{{eps}kind = #kernel.rowwise_kind {kind}, reduced = {reduced} : i64}}
          prologue {FLOAT} epilogue {NORMAL}""",
        config=config,
        dims=dims or {},
        special={"x": special or {}},
    )


def layer_norm(
    rows: int,
    cols: int,
    element: str = "f16",
    affine: str = "f16",
    config: str = "",
    name: str = "",
) -> Case:
    """layer_norm(x + r) * gamma + beta, and x + r as a second result."""
    x, g = f"tensor<{rows}x{cols}x{element}>", f"tensor<{cols}x{affine}>"
    per_col = _map(0, [rows, cols], [0, 1])
    return Case(
        name or f"layer_norm_{cols}",
        {"x": x, "r": x, "g": g, "b": g, "o": x, "s": x},
        f"""kernel.rowwise ins(%x : {x}, %r : {x}, %g {per_col} : {g}, %b {per_col} : {g})
          outs(%o : {x}, %s : {x})
          {{eps = 1.0e-5 : f64, kind = #kernel.rowwise_kind layer_norm, reduced = 1 : i64}}
          {_SUM_AND_NORM}""",
        outs=("o", "s"),
        config=config,
    )


def group_norm(
    name: str,
    images: int,
    pixels: int,
    groups: int,
    channels: int,
    config: str = "InterleavedRowsAttr",
    kind: str = "layer_norm",
    element: str = "f16",
    special: Mapping[str, Mapping[int, float]] | None = None,
) -> Case:
    """norm(x + t) * gamma + beta over the groups of `channels` channels each, of images whose
    channels come last, and x + t as a second result; t has an element for each channel of an image.
    """
    all_channels = groups * channels
    x = f"tensor<{images}x{pixels}x{all_channels}x{element}>"
    t, g = f"tensor<{images}x{all_channels}xf32>", f"tensor<{all_channels}x{element}>"
    sizes = [images, groups, pixels, channels]
    whole = _map(0, sizes, [pixels * all_channels, channels, all_channels, 1])
    per_image = _map(0, sizes, [all_channels, channels, 0, 1])
    per_channel = _map(0, sizes, [0, channels, 0, 1])
    return Case(
        name,
        {"x": x, "t": t, "g": g, "b": g, "o": x, "s": x},
        f"""kernel.rowwise ins(%x {whole} : {x}, %t {per_image} : {t}, %g {per_channel} : {g},
            %b {per_channel} : {g}) outs(%o {whole} : {x}, %s {whole} : {x})
          {{eps = 1.0e-5 : f64, kind = #kernel.rowwise_kind {kind}, reduced = 2 : i64}}
          {_SUM_AND_NORM}""",
        outs=("o", "s"),
        config=config,
        special=special or {},
    )


def group_norm_of_sum(
    name: str,
    pixels: int,
    groups: int,
    channels: int,
    config: str = "InterleavedRowsAttr",
    elements: tuple[str, str] = ("f32", "f16"),
    images: int = 1,
) -> Case:
    """norm(x + r) over groups of channels, which come last: x, and the result, of the first type,
    r of the second."""
    shape = f"{images}x{pixels}x{groups * channels}"
    x, r = (f"tensor<{shape}x{element}>" for element in elements)
    strides = [pixels * groups * channels, channels, groups * channels, 1]
    whole = _map(0, [images, groups, pixels, channels], strides)
    return Case(
        name,
        {"x": x, "r": r, "o": x},
        f"""kernel.rowwise ins(%x {whole} : {x}, %r {whole} : {r}) outs(%o {whole} : {x})
          {{eps = 1.0e-5 : f64, kind = #kernel.rowwise_kind layer_norm, reduced = 2 : i64}}
          prologue {{
          ^bb0(%p : f32, %q : f32):
            %0 = arith.addf %p, %q : f32
            kernel.yield %0 : f32
          }} epilogue {{
          ^bb0(%y : f32, %v : f32, %p : f32, %q : f32):
            kernel.yield %y : f32
          }}""",
        config=config,
    )


_INTERLEAVED = (
    "#cuda.interleaved_rows<rows = {}, vector = {}, places = {}, cluster = {}, items = {}>"
)

GROUP_NORMS = [
    # Runs of 10 in packs of 8; pixels that blocks share unevenly; blocks without any
    group_norm("group_norm_packs", 2, 70, 4, 10, _INTERLEAVED.format(4, 8, 32, 4, 1)),
    group_norm("group_norm_read_twice", 2, 70, 4, 10, _INTERLEAVED.format(4, 8, 32, 2, 0)),
    group_norm("group_norm_long", 1, 1300, 2, 8, _INTERLEAVED.format(2, 8, 16, 1, 82)),
    group_norm("group_norm_idle", 1, 3, 8, 4, _INTERLEAVED.format(2, 8, 32, 8, 1)),
    group_norm("group_norm_narrow", 3, 45, 6, 2, _INTERLEAVED.format(3, 2, 32, 1, 2)),
    group_norm(
        "group_norm_wide", 1, 37, 2, 40, _INTERLEAVED.format(1, 4, 16, 4, 1), element="bf16"
    ),
    # As many pixels for each thread; of a pack, elements of two rows, of one, of four
    group_norm("group_norm_even", 2, 256, 4, 10, _INTERLEAVED.format(4, 8, 32, 4, 2)),
    group_norm("group_norm_even_wide", 1, 512, 4, 16, _INTERLEAVED.format(2, 8, 8, 2, 32)),
    group_norm("group_norm_even_narrow", 3, 128, 16, 2, _INTERLEAVED.format(8, 8, 16, 8, 1)),
    group_norm(
        "group_norm_even_alone", 2, 192, 2, 12, _INTERLEAVED.format(2, 4, 16, 1, 12), element="f32"
    ),
    # Some threads have a pixel more than others, and the last block has fewer
    group_norm("group_norm_uneven", 2, 702, 4, 10, _INTERLEAVED.format(4, 8, 32, 4, 6)),
    group_norm("group_norm_uneven_end", 1, 3 * 65 + 2, 2, 8, _INTERLEAVED.format(2, 8, 16, 4, 4)),
    # A row is far from zero, what is seen first is far from all else, and what is no number spoils
    # its own row alone
    group_norm(
        "group_norm_far",
        1,
        1024,
        2,
        12,
        _INTERLEAVED.format(2, 8, 32, 2, 16),
        special={"x": {12: -5000.0, 40: 7000.0}, "t": dict.fromkeys(range(12), 1024.0)},
    ),
    group_norm(
        "group_norm_special",
        1,
        96,
        4,
        10,
        _INTERLEAVED.format(4, 8, 32, 1, 3),
        special={"x": {3: INF, 15: NAN, 3820: -INF}},
    ),
    # More rows than a block has threads
    group_norm("group_norm_many_rows", 1, 5, 128, 2, _INTERLEAVED.format(128, 8, 2, 2, 2)),
    group_norm("group_norm_f32", 2, 33, 2, 12, element="f32"),
    group_norm("group_rms_norm", 2, 50, 8, 8, kind="rms_norm"),
    group_norm_of_sum("group_norm_of_two_types", 70, 4, 10, _INTERLEAVED.format(2, 4, 32, 2, 2)),
]


def masked_softmax(config: str = "") -> Case:
    """softmax of half of the scores where the column does not exceed the row, else of -inf."""
    x = "tensor<3x5x24xf16>"
    sizes = [3, 5, 24]
    return Case(
        "masked_softmax",
        {"x": x, "o": "tensor<3x5x24xf32>"},
        f"""kernel.rowwise ins(%x : {x}) outs(%o : tensor<3x5x24xf32>)
          {{kind = #kernel.rowwise_kind softmax, reduced = 1 : i64}}
          prologue {{
          ^bb0(%p : f32):
            %i = kernel.index {_map(0, sizes, [0, 1, 0])}
            %j = kernel.index {_map(0, sizes, [0, 0, 1])}
            %hidden = arith.cmpi sgt, %j, %i : i64
            %least = arith.constant 0xFF800000 : f32
            %half = arith.constant 0.5 : f32
            %0 = arith.mulf %p, %half : f32
            %1 = arith.select %hidden, %least, %0 : f32
            kernel.yield %1 : f32
          }} epilogue {NORMAL}""",
        config=config,
    )


def dynamic_softmax(rows: int, cols: int, config: str = "", name: str = "dynamic") -> Case:
    symbols = "n in [0, 40], m in [1, 300]"
    x = f"tensor<?x?xf32, #sym.dims<[n, m], {symbols}>>"
    case = rowwise(f"{name}_softmax_{rows}x{cols}", "softmax", x, config=config)
    case.dims = {"n": rows, "m": cols}
    return case


_SPECIAL = {3: NAN, 40: INF, 70: -INF, **dict.fromkeys(range(96, 128), -INF)}
_STREAM = "#plain.rows<lanes = inner, vector = 4, team = {team}, rows = {rows}, items = 0>"
_SHORT = "#plain.rows<lanes = inner, vector = {}, team = {}, rows = {}, items = {}>"
_KEPT = "#plain.rows<lanes = inner, vector = 2, team = 64, rows = 1, items = 3>"
_COLUMNS = "#plain.rows<lanes = outer, vector = {vector}, team = 8, rows = 4, items = {items}>"
# Groups of 8 of 32 channels, of images of 9 pixels
_SHARED = "#plain.rows<lanes = inner, vector = {}, team = {}, rows = {}, items = {}, shared>"
_SHIFTED = (
    "#plain.rows<lanes = inner, vector = {}, team = {}, rows = {}, items = {}, shared, shifted>"
)
_GROUPS = _map(0, [2, 4, 9, 8], [288, 8, 32, 1])
# Rows of 21 elements, 40 beside each other, two planes: [2, 40, 21] in memory [2, 21, 40]
_PLANES = _map(0, [2, 40, 21], [840, 1, 40])

ROWWISE = [
    rowwise("softmax_short", "softmax", "tensor<9x4xf32>"),
    rowwise("softmax_odd", "softmax", "tensor<7x37xf16>"),
    rowwise("softmax_warp", "softmax", "tensor<5x256xbf16>"),
    # Blocks of many short rows, the last of which has fewer; teams that are full and that are not
    *(
        rowwise(
            f"softmax_many_{cols}",
            "softmax",
            f"tensor<70x{cols}xf16>",
            config=_SHORT.format(vector, team, rows, items),
        )
        for cols, vector, team, rows, items in (
            (128, 8, 8, 16, 2), (36, 4, 4, 64, 3), (77, 1, 16, 32, 5), (16, 8, 2, 128, 1)
        )
    ),
    rowwise("softmax_block", "softmax", "tensor<3x1536xf16>"),
    rowwise("softmax_kept", "softmax", "tensor<2x370xf32>", config=_KEPT),
    rowwise("softmax_special", "softmax", "tensor<5x32xf32>", special=_SPECIAL),
    *(
        rowwise(
            f"{kind}_streamed_{team}",
            kind,
            "tensor<3x500xf32>",
            config=_STREAM.format(team=team, rows=rows),
            special={600: -INF} if "softmax" in kind else None,
        )
        for kind in ("softmax", "log_softmax", "layer_norm", "rms_norm")
        for team, rows in ((32, 2), (128, 1))
    ),
    rowwise(
        "softmax_special_streamed",
        "softmax",
        "tensor<5x32xf32>",
        special=_SPECIAL,
        config=_STREAM.format(team=4, rows=8),
    ),
    *(
        rowwise(f"{kind}_shared", kind, "tensor<3x600xf16>", config=_SHARED.format(8, 32, 2, 3))
        for kind in ("softmax", "log_softmax", "layer_norm", "rms_norm")
    ),
    # Rows that begin anywhere: their ends are single elements, some have nothing else
    *(
        rowwise(
            f"softmax_shifted_{cols}",
            "softmax",
            f"tensor<5x{cols}xf16>",
            config=_SHIFTED.format(8, 64, 1, 3),
            special={cols: INF, 2 * cols - 1: NAN, 3 * cols + 4: -INF},
        )
        for cols in (1001, 515, 9, 7)
    ),
    rowwise(
        "log_softmax_shifted",
        "log_softmax",
        "tensor<3x1003xf16>",
        "tensor<3x1003xf32>",
        config=_SHIFTED.format(8, 32, 2, 4),
    ),
    rowwise(
        "softmax_shifted_twice",
        "softmax",
        "tensor<5x333xf32>",
        config="#plain.rows<lanes = inner, vector = 4, team = 32, rows = 4, items = 0, shifted>",
    ),
    layer_norm(5, 1005, config=_SHIFTED.format(8, 64, 1, 2), name="layer_norm_shifted"),
    rowwise("log_softmax_special", "log_softmax", "tensor<5x32xf32>", special=_SPECIAL),
    rowwise("rms_norm", "rms_norm", "tensor<6x72xf16>", "tensor<6x72xf32>"),
    # The reduced dims are two axes: a group of channels of an image
    rowwise(
        "group_norm",
        "layer_norm",
        "tensor<2x9x32xf16>",
        reduced=2,
        maps=(_GROUPS, _GROUPS),
    ),
    *(
        rowwise(
            f"{kind}_columns_{items}",
            kind,
            "tensor<2x21x40xf16>",
            "tensor<2x21x40xf16>",
            maps=(_PLANES, _PLANES),
            config=_COLUMNS.format(vector=vector, items=items),
        )
        for kind, vector, items in (
            ("softmax", 8, 3),
            ("softmax", 2, 0),
            ("layer_norm", 4, 3),
            ("layer_norm", 4, 0),
            ("log_softmax", 1, 3),
            ("rms_norm", 8, 0),
        )
    ),
    rowwise("columns", "softmax", "tensor<2x21x40xf16>", maps=(_PLANES, _PLANES)),
    # Read across, written along
    rowwise("transposed", "softmax", "tensor<2x21x40xf16>", maps=(_PLANES, "<offset 0, sizes "
            "[2, 40, 21], strides [840, 21, 1]>")),
    layer_norm(3, 768),
    layer_norm(3, 4096),
    layer_norm(5, 40, "bf16", "f32", name="layer_norm_mixed"),
    layer_norm(4, 33, "f32", "f32"),
    masked_softmax(),
    dynamic_softmax(13, 300),
    dynamic_softmax(3, 1),
    dynamic_softmax(0, 7),
]  # fmt: skip


_CLUSTERED = "#cuda.clustered_rows<vector = {}, team = {}, items = {}, cluster = {}{}>"

CLUSTERED = [
    # Blocks with as much as others, with less, and with nothing
    rowwise("clustered_softmax", "softmax", "tensor<3x1024xf16>",
            config=_CLUSTERED.format(8, 64, 1, 2, "")),
    rowwise("clustered_softmax_uneven", "softmax", "tensor<2x1000xf32>",
            config=_CLUSTERED.format(4, 64, 1, 4, "")),
    rowwise("clustered_log_softmax_idle", "log_softmax", "tensor<2x72xf16>",
            config=_CLUSTERED.format(8, 32, 1, 8, "")),
    rowwise("clustered_softmax_special", "softmax", "tensor<2x520xf32>",
            config=_CLUSTERED.format(4, 64, 2, 4, ""),
            special={3: NAN, **{520 + i: -INF for i in range(300)}}),
    # Rows that begin anywhere: the first block has what is in no pack
    rowwise("clustered_softmax_anywhere", "softmax", "tensor<5x1003xf16>",
            config=_CLUSTERED.format(8, 64, 1, 4, ", shifted")),
    rowwise("clustered_norm_anywhere", "layer_norm", "tensor<3x801xf32>",
            config=_CLUSTERED.format(4, 32, 4, 2, ", shifted")),
    # Nothing is kept
    rowwise("clustered_norm_read_twice", "layer_norm", "tensor<2x4000xbf16>",
            config=_CLUSTERED.format(8, 128, 0, 4, "")),
    rowwise("clustered_rms_norm", "rms_norm", "tensor<2x4000xf16>",
            config=_CLUSTERED.format(8, 128, 1, 8, "")),
    # Rows of two axes: a group of channels of an image
    rowwise("clustered_group_norm", "layer_norm", "tensor<2x9x32xf16>", reduced=2,
            maps=(_GROUPS, _GROUPS), config=_CLUSTERED.format(8, 32, 1, 2, "")),
    layer_norm(3, 2056, config=_CLUSTERED.format(8, 64, 3, 2, ""), name="clustered_norm_of_sum"),
    *(dynamic_softmax(rows, cols, _CLUSTERED.format(1, 32, 2, 8, ""), "clustered_dynamic")
      for rows, cols in ((5, 300), (3, 2), (0, 7))),
]  # fmt: skip


_AT_ONE_PLACE = _map(0, [3, 1024], [0, 1])

DIRECTIONS = [
    *(rowwise(name, "softmax", "tensor<3x1024xf16>", "tensor<1024xf16>",
              maps=("", _AT_ONE_PLACE), config=config)
      for name, config in (
          ("kept", "#plain.rows<lanes = inner, vector = 8, team = 64, rows = 1, items = 2>"),
          ("read_twice", "#plain.rows<lanes = inner, vector = 8, team = 64, rows = 1, items = 0>"),
          ("clustered", _CLUSTERED.format(8, 64, 1, 2, "")))),
]  # fmt: skip

OVERLAPPING_IMAGES = rowwise(
    "overlapping_images", "layer_norm", "tensor<2x32x16xf16>", "tensor<33x16xf16>", reduced=2,
    maps=(_map(0, [2, 2, 32, 8], [512, 8, 16, 1]), _map(0, [2, 2, 32, 8], [16, 8, 16, 1])),
    config=_INTERLEAVED.format(2, 8, 16, 2, 1),
)  # fmt: skip


def half_over(name: str, sizes: Sequence[int], config: str, text: str) -> Case:
    """What an op copies: three parts, each stored half over the one before it."""
    x, half = f"tensor<3x{'x'.join(map(str, sizes))}xf16>", prod(sizes) // 2
    out, strides = f"tensor<{half * 4}xf16>", [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    place = _map(0, [3, *sizes], [half, *strides])
    return Case(
        f"{name}_half_over",
        {"x": x, "o": out},
        f"kernel.{name} ins(%x : {x}) outs(%o {place} : {out}) {text} {FLOAT}",
        config=config,
    )


HALF_OVER = [
    half_over("pointwise", (1024,), "#plain.elementwise<vector = 4>", "body"),
    half_over("pointwise", (4096,), "#plain.elementwise<vector = 4, steps = 2>", "body"),
    half_over("resize", (8, 16, 8), "#plain.elementwise<vector = 2>",
              "{mode = #kernel.resize_mode nearest, coordinates = #kernel.coordinates half_pixel}"
              " epilogue"),
    half_over("pool", (8, 16, 8), "#plain.pool<vector = 8, outputs = [1, 1], team = 1, teams = 64>",
              "{kind = #kernel.pool_kind max, kernel = array<i64: 1, 1>,"
              " strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>,"
              " dilations = array<i64: 1, 1>} epilogue"),
]  # fmt: skip


def reduce(
    name: str,
    kind: str,
    x: str,
    out: str,
    map: str = "",
    out_map: str = "",
    reduced: int = 1,
    config: str = "",
    value: str = "f32",
    special: Mapping[int, float] | None = None,
) -> Case:
    """One operand, identity regions."""
    combined = "i64" if kind == "argmax" else value
    region = "{{\n^bb0(%a : {0}):\n  kernel.yield %a : {0}\n}}"
    return Case(
        name,
        {"x": x, "o": out},
        f"""kernel.reduce ins(%x {map} : {x}) outs(%o {out_map} : {out})
          {{extras = 0 : i64, kind = #kernel.reduce_kind {kind}, reduced = {reduced} : i64}}
          prologue {region.format(value)} epilogue {region.format(combined)}""",
        config=config,
        special={"x": special or {}},
    )


def squares(config: str = "", map: str = "", name: str = "squares") -> Case:
    """sqrt(sum over j of (x[i, j] - y[j])^2) * e[i], and the sum itself."""
    x, y, e = "tensor<24x50xf16>", "tensor<50xf32>", "tensor<24xf16>"
    return Case(
        name,
        {"x": x, "y": y, "e": e, "o": "tensor<24xf16>", "s": "tensor<24xf32>"},
        f"""kernel.reduce ins(%x {map} : {x}, %y {_map(0, [24, 50], [0, 1])} : {y}, %e : {e})
          outs(%o : tensor<24xf16>, %s : tensor<24xf32>)
          {{extras = 1 : i64, kind = #kernel.reduce_kind sum, reduced = 1 : i64}}
          prologue {{
          ^bb0(%p : f32, %q : f32):
            %0 = arith.subf %p, %q : f32
            %1 = arith.mulf %0, %0 : f32
            kernel.yield %1 : f32
          }} epilogue {{
          ^bb0(%sum : f32, %f : f32):
            %0 = math.sqrt %sum : f32
            %1 = arith.mulf %0, %f : f32
            kernel.yield %1, %sum : f32, f32
          }}""",
        outs=("o", "s"),
        config=config,
    )


def dynamic_mean(rows: int, cols: int) -> Case:
    """The mean over the first dim of [n, 24]."""
    symbol = "n in [0, 500]"
    x, o = f"tensor<?x24xf16, #sym.dims<[n, 24], {symbol}>>", "tensor<24xf32>"
    return Case(
        f"dynamic_mean_{rows}",
        {"x": x, "o": o},
        f"""kernel.reduce ins(%x <offset 0, sizes [24, n], strides [1, 24], {symbol}> : {x})
          outs(%o : {o})
          {{extras = 0 : i64, kind = #kernel.reduce_kind sum, reduced = 1 : i64}}
          prologue {FLOAT} epilogue {{
          ^bb0(%sum : f32):
            %n = kernel.extent <n, {symbol}>
            %f = arith.sitofp %n : i64 to f32
            %0 = arith.divf %sum, %f : f32
            kernel.yield %0 : f32
          }}""",
        dims={"n": rows},
    )


_ACROSS = _map(0, [48, 35], [1, 48])
_REDUCE_COLUMNS = "#plain.rows<lanes = outer, vector = {vector}, team = 16, rows = 4, items = 0>"
_REDUCE_SHIFTED = (
    "#plain.rows<lanes = inner, vector = {}, team = {}, rows = {}, items = 0, shifted>"
)
_REDUCE_ROWS = (
    "#plain.rows<lanes = inner, vector = {vector}, team = {team}, rows = {rows}, items = 0>"
)

REDUCE = [
    reduce("sum_rows", "sum", "tensor<6x333xf32>", "tensor<6xf32>"),
    reduce("sum_all", "sum", "tensor<5000xf16>", "tensor<f32>"),
    reduce("sum_nothing", "sum", "tensor<6x0xf32>", "tensor<6xf32>"),
    reduce("max_nothing", "max", "tensor<6x0xf16>", "tensor<6xf32>"),
    reduce("max_rows", "max", "tensor<6x96xf16>", "tensor<6xf16>", special={100: NAN, 200: INF}),
    reduce("min_short", "min", "tensor<60x5xbf16>", "tensor<60xbf16>", special={9: -INF, 7: NAN}),
    reduce("prod", "prod", "tensor<4x7xf32>", "tensor<4xf32>"),
    reduce("sum_i32", "sum", "tensor<3x70xi32>", "tensor<3xi32>", value="i32"),
    reduce("max_i8", "max", "tensor<3x70xi8>", "tensor<3xi8>", value="i8"),
    reduce("min_i64", "min", "tensor<3x64xi64>", "tensor<3xi64>", value="i64"),
    reduce("any", "max", "tensor<30x3xi1>", "tensor<30xi1>", value="i1"),
    reduce(
        "all", "min", "tensor<35x48xi1>", "tensor<48xi1>", value="i1", map=_ACROSS,
    ),
    *(
        reduce(
            f"argmax_{team}",
            "argmax",
            "tensor<5x64xf16>",
            "tensor<5xi64>",
            config=_REDUCE_ROWS.format(vector=vector, team=team, rows=rows),
            special={70: NAN, 90: NAN, 130: 4, 140: 4, 190: INF},
        )
        for vector, team, rows in ((8, 8, 4), (1, 64, 1), (2, 128, 1))
    ),
    # Equal ones in one pack, in packs of one thread, and of several; NaN behind infinity; nothing
    # but the least number, and that up to the last element: in whole runs of packs, and the rest
    *(
        reduce(
            f"argmax_of_equals_{team}",
            "argmax",
            "tensor<6x2000xf16>",
            "tensor<6xi64>",
            config=_REDUCE_ROWS.format(vector=8, team=team, rows=rows),
            special={
                **dict.fromkeys((1703, 1990), INF),
                **dict.fromkeys((2301, 2303, 3325, 3999), INF),
                4005: INF,
                **dict.fromkeys((5500, 5503, 5756), NAN),
                **dict.fromkeys(range(6000, 9999), -INF),
                9999: -3,
                **dict.fromkeys((10008, 10015, 11032), INF),
            },
        )
        for team, rows in ((32, 4), (128, 1))
    ),
    # Rows that begin anywhere, the first, or largest, elements of which are single ones
    *(
        reduce(
            f"{kind}_shifted_{cols}",
            kind,
            f"tensor<5x{cols}xf16>",
            f"tensor<5x{'i64' if kind == 'argmax' else 'f32'}>",
            config=_REDUCE_SHIFTED.format(8, 32, 2),
            special={cols: 6, cols + 60: 6, 2 * cols + 9: INF, 4 * cols - 1: 7}
            if kind == "argmax" and cols > 60
            else None,
        )
        for kind in ("argmax", "sum", "max")
        for cols in (1077, 9, 5)
    ),
    reduce(
        "sum_shifted_f32",
        "sum",
        "tensor<3x1001xf32>",
        "tensor<3xf32>",
        config=_REDUCE_SHIFTED.format(4, 128, 1),
    ),
    reduce("argmax_i64", "argmax", "tensor<5x64xi64>", "tensor<5xi64>", value="i64"),
    *(
        reduce(
            f"{kind}_columns_{vector}",
            kind,
            "tensor<35x48xf16>",
            f"tensor<48x{'i64' if kind == 'argmax' else 'f16'}>",
            map=_ACROSS,
            config=_REDUCE_COLUMNS.format(vector=vector),
            special={100: NAN, 1000: NAN, 148: NAN} if kind != "sum" else None,
        )
        for kind, vector in (("sum", 8), ("max", 4), ("argmax", 2), ("argmax", 1))
    ),
    # The mean of an image, channels last: kept dims outside and inside of the reduced ones
    reduce(
        "pool_all",
        "sum",
        "tensor<2x7x5x24xf16>",
        "tensor<2x24xf16>",
        map=_map(0, [2, 24, 7, 5], [840, 1, 120, 24]),
        reduced=2,
    ),
    reduce(
        "strided",
        "sum",
        "tensor<999xf32>",
        "tensor<20xf32>",
        map=_map(3, [20, 10], [2, 90]),
    ),
    squares(),
    squares(config=_REDUCE_ROWS.format(vector=1, team=32, rows=1), name="squares_single"),
    squares(map=_map(0, [24, 50], [1, 24]), name="squares_columns"),
    dynamic_mean(0, 24),
    dynamic_mean(203, 24),
]  # fmt: skip


# Gathers ----------------------------------------------------------------------------------------


def gather(
    name: str,
    table: str,
    indices: str,
    out: str,
    maps: tuple[str, str, str] = ("", "", ""),
    value: str = "f32",
    entries: int = 12,
    config: str = "",
) -> Case:
    return Case(
        name,
        {"t": table, "i": indices, "o": out},
        f"""kernel.gather ins(%t {maps[0]} : {table}, %i {maps[1]} : {indices})
          outs(%o {maps[2]} : {out}) epilogue {{
          ^bb0(%e : {value}):
            kernel.yield %e : {value}
          }}""",
        ranges={"i": (0, entries)},
        config=config,
    )


def embedding(rows: int = 6, width: int = 40, name: str = "embedding") -> Case:
    """table[ids] * 2 + positions."""
    t, p, o = (
        f"tensor<12x{width}xf16>",
        f"tensor<{rows}x{width}xf16>",
        f"tensor<3x{rows}x{width}xf16>",
    )
    i = f"tensor<3x{rows}xi64>"
    return Case(
        name,
        {"t": t, "i": i, "p": p, "o": o},
        f"""kernel.gather ins(%t : {t}, %i : {i},
            %p {_map(0, [3, rows, width], [0, width, 1])} : {p}) outs(%o : {o}) epilogue {{
          ^bb0(%e : f32, %q : f32):
            %0 = arith.addf %e, %e : f32
            %1 = arith.addf %0, %q : f32
            kernel.yield %1 : f32
          }}""",
        ranges={"i": (0, 12)},
    )


GATHER = [
    embedding(),
    gather("gather_i32", "tensor<12x16xf32>", "tensor<9xi32>", "tensor<9x16xf32>"),
    gather("gather_bytes", "tensor<12x48xi8>", "tensor<9xi32>", "tensor<9x48xi8>", value="i8"),
    gather("gather_odd", "tensor<12x5xbf16>", "tensor<4x3xi64>", "tensor<4x3x5xbf16>"),
    gather("gather_scalars", "tensor<12xf32>", "tensor<40xi64>", "tensor<40xf16>"),
    gather("gather_one", "tensor<12x64xf16>", "tensor<i64>", "tensor<64xf16>"),
    gather("gather_only_entry", "tensor<1x8xf16>", "tensor<5xi64>", "tensor<5x8xf16>", entries=1),
    # A column of a transposed table, an output that is a slice
    gather(
        "gather_transposed",
        "tensor<16x12xf16>",
        "tensor<5x2xi64>",
        "tensor<5x32xf16>",
        maps=(
            _map(0, [12, 16], [1, 12]),
            _map(1, [5], [2]),
            _map(16, [5, 16], [32, 1]),
        ),
    ),
]


def out_of_range(
    name: str, table: str, out: str, at: int, index: int, indices: str = "tensor<9xi64>"
) -> Case:
    """A gather with one index that is none of the 12 entries."""
    case = gather(name, table, indices, out)
    case.special = {"i": {at: index}}
    case.error = f"index {index} at {at} of 12"
    return case


OUT_OF_RANGE = [
    out_of_range("index_too_large", "tensor<12x16xf16>", "tensor<9x16xf16>", 4, 12),
    out_of_range("index_negative", "tensor<12x5xf32>", "tensor<9x5xf32>", 8, -1),
    out_of_range("index_of_scalars", "tensor<12xf32>", "tensor<9xf32>", 7, 1 << 40),
    out_of_range("index_i32", "tensor<12xf32>", "tensor<8xf32>", 5, -(1 << 31), "tensor<8xi32>"),
]


# Images -----------------------------------------------------------------------------------------


def _image(sizes: Sequence[int], element: str, nchw: bool, gap: int) -> tuple[str, str]:
    """The type of [n, h, w, c] as it is stored, with `gap` elements for one, and its map."""
    order = (0, 3, 1, 2) if nchw else (0, 1, 2, 3)
    stored = [sizes[i] for i in order]
    stored[-1] *= gap
    strides, step = [0] * 4, gap
    for i in reversed(order):
        strides[i] = step
        step *= sizes[i]
    return f"tensor<{'x'.join(map(str, stored))}x{element}>", _map(0, sizes, strides)


def pool(
    name: str,
    kind: str,
    x: tuple[int, int, int, int],
    out: tuple[int, int],
    kernel: int = 3,
    stride: int = 2,
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    dilation: int = 1,
    element: str = "f16",
    flags: str = "",
    nchw: bool = False,
    config: str = "",
    special: Mapping[int, float] | None = None,
    gap: int = 1,
) -> Case:
    """A pool with an addition behind it; `nchw`: as the images lie in memory. `gap`: elements of
    memory for one of the image."""
    outs = (x[0], *out, x[3])
    images = [_image(x, element, nchw, gap), _image(outs, element, nchw, 1)]
    types, maps = zip(*images, strict=True)
    return Case(
        name,
        {"x": types[0], "r": types[1], "o": types[1]},
        f"""kernel.pool ins(%x {maps[0]} : {types[0]}, %r {maps[1]} : {types[1]})
          outs(%o {maps[1]} : {types[1]})
          {{kind = #kernel.pool_kind {kind}, kernel = array<i64: {kernel}, {kernel}>,
            strides = array<i64: {stride}, {stride}>, padding = array<i64: {_list(padding)}>,
            dilations = array<i64: {dilation}, {dilation}>{flags}}} epilogue {{
          ^bb0(%v : f32, %e : f32):
            %0 = arith.addf %v, %e : f32
            kernel.yield %0 : f32
          }}""",
        config=config,
        special={"x": special or {}},
    )


def resize(
    name: str,
    mode: str,
    coordinates: str,
    x: tuple[int, int, int, int],
    out: tuple[int, int],
    nchw: bool = False,
    elements: tuple[str, str] = ("f16", "f32"),
    config: str = "",
    special: Mapping[int, float] | None = None,
) -> Case:
    """`nchw`: as the images lie in memory; `elements`: of images and results."""
    outs = (x[0], *out, x[3])
    (a, a_map), (o, o_map) = (
        _image(sizes, element, nchw, 1) for sizes, element in zip((x, outs), elements, strict=True)
    )
    return Case(
        name,
        {"x": a, "o": o},
        f"""kernel.resize ins(%x {a_map} : {a}) outs(%o {o_map} : {o})
          {{mode = #kernel.resize_mode {mode}, coordinates = #kernel.coordinates {coordinates}}}
          epilogue {FLOAT}""",
        config=config,
        special={"x": special or {}},
    )


_COUNT = ", count_include_pad"
_ADAPTIVE = ", adaptive"
_SEVERAL = "#plain.pool<vector = {}, outputs = [{}, {}], team = 1, teams = 64>"
_IN_ROW = "#plain.pool<vector = 1, outputs = [{}, {}], team = 1, teams = 64, in_row>"
_TEAM = "#plain.pool<vector = {}, outputs = [1, 1], team = {}, teams = {}>"
_HOLES = {5: NAN, 60: INF, 100: -INF, **dict.fromkeys(range(400, 560), -INF)}

IMAGES = [
    pool("max_pool", "max", (2, 9, 8, 16), (5, 4)),
    pool("max_pool_odd", "max", (1, 7, 7, 5), (4, 4), element="f32"),
    pool("max_pool_nchw", "max", (2, 7, 8, 3), (4, 4), nchw=True),
    pool("max_pool_dilated", "max", (1, 9, 9, 8), (7, 7), 2, 1, (0, 0, 0, 0), 2, "bf16"),
    # ceil_mode: the last windows hang over the padding
    pool("average_pool_ceil", "average", (1, 8, 8, 8), (4, 4), 3, 2, (0, 0, 1, 1), flags=_COUNT),
    pool("average_pool_padded", "average", (1, 6, 5, 8), (3, 3), flags=_COUNT),
    pool("average_pool", "average", (1, 6, 5, 8), (3, 3)),
    pool("average_pool_large", "average", (1, 11, 11, 8), (1, 1), 11, 1, (0, 0, 0, 0)),
    pool("adaptive_average", "average", (1, 7, 10, 8), (3, 4), flags=_ADAPTIVE),
    pool("adaptive_max", "max", (2, 5, 3, 6), (2, 2), flags=_ADAPTIVE, element="f32"),
    # Several outputs a thread, also past the last row and column
    *(
        pool(
            f"max_pool_{rows}x{columns}",
            "max",
            (2, 9, 8, 16),
            (5, 4),
            config=_SEVERAL.format(vector, rows, columns),
            special=_HOLES,
        )
        for vector, rows, columns in ((8, 2, 2), (4, 1, 3), (2, 4, 1))
    ),
    pool(
        "max_pool_f32_2x4",
        "max",
        (1, 7, 9, 4),
        (4, 5),
        element="f32",
        special={5: NAN, 60: INF, 100: -INF},
        config=_SEVERAL.format(4, 2, 4),
    ),
    pool(
        "max_pool_nchw_2x2", "max", (2, 7, 8, 3), (4, 4), nchw=True, config=_SEVERAL.format(1, 2, 2)
    ),
    # Neighbours in a row are read and written at once; images of one run, and of odd heights
    *(
        pool(
            f"max_pool_in_row_{rows}x{columns}",
            "max",
            (2, 9, 16, 3),
            (5, 8),
            nchw=True,
            config=_IN_ROW.format(rows, columns),
            special=_HOLES,
        )
        for rows, columns in ((1, 8), (2, 4), (3, 2))
    ),
    pool(
        "max_pool_in_row_5x5",
        "max",
        (1, 6, 8, 2),
        (6, 8),
        5,
        1,
        (2, 2, 2, 2),
        nchw=True,
        config=_IN_ROW.format(2, 8),
    ),
    pool(
        "average_pool_in_row",
        "average",
        (1, 8, 12, 2),
        (8, 12),
        stride=1,
        element="f32",
        nchw=True,
        flags=_COUNT,
        config=_IN_ROW.format(2, 4),
    ),
    # Runs outside of the image, and windows that must not take the nearest pixel for one outside
    pool(
        "average_pool_in_row_2x8",
        "average",
        (1, 9, 24, 2),
        (5, 16),
        5,
        2,
        (2, 2, 2, 9),
        nchw=True,
        config=_IN_ROW.format(2, 8),
    ),
    *(
        pool(
            f"max_pool_in_row_{name}",
            "max",
            (1, 8, 8, 3),
            out,
            *numbers,
            nchw=True,
            element=element,
            config=_IN_ROW.format(2, 4),
            special={5: NAN, 60: INF, 100: -INF},
        )
        for name, out, numbers, element in (
            ("dilated", (8, 8), (3, 1, (2, 2, 2, 2), 2), "f16"),
            ("beyond", (5, 8), (2, 2, (1, 1, 3, 8), 1), "bf16"),
            ("ceil", (5, 8), (3, 2, (1, 1, 2, 8), 1), "f32"),
        )
    ),
    # What windows side by side share: two and more pixels, one, none
    *(
        pool(
            f"{kind}_pool_{kernel}_by_{stride}_of_{dilation}_{rows}x{columns}",
            kind,
            (1, 11, 10, 8),
            tuple((size + 4 - (kernel - 1) * dilation - 1) // stride + 1 for size in (11, 10)),
            kernel,
            stride,
            (2, 2, 2, 2),
            dilation,
            element,
            config=_SEVERAL.format(4, rows, columns),
            special=special,
        )
        for kind, kernel, stride, dilation, rows, columns, element, special in (
            ("max", 5, 1, 1, 3, 3, "f16", _HOLES),
            ("max", 5, 2, 1, 4, 2, "bf16", _HOLES),
            ("max", 4, 1, 2, 5, 2, "f16", _HOLES),
            ("max", 3, 2, 2, 2, 3, "f32", {5: NAN, 60: INF, 100: -INF}),
            ("max", 2, 3, 1, 2, 2, "f16", _HOLES),
            ("average", 5, 1, 1, 5, 3, "f16", None),
            ("average", 3, 1, 2, 4, 4, "bf16", None),
            ("average", 4, 2, 1, 3, 2, "f32", None),
        )
    ),
    pool("max_pool_gaps", "max", (1, 7, 8, 8), (4, 4), gap=2, config=_SEVERAL.format(8, 2, 2)),
    pool(
        "max_pool_dilated_2x2",
        "max",
        (1, 9, 9, 8),
        (7, 7),
        2,
        1,
        (0, 0, 0, 0),
        2,
        "bf16",
        config=_SEVERAL.format(8, 2, 2),
        special=_HOLES,
    ),
    # A warp has a part of a pixel's channels
    pool("max_pool_of_parts", "max", (2, 6, 5, 192), (3, 3), config=_SEVERAL.format(2, 1, 2)),
    pool(
        "average_pool_of_parts", "average", (1, 5, 4, 96), (3, 2), config=_SEVERAL.format(1, 2, 1)
    ),
    pool("average_pool_2x2", "average", (1, 6, 5, 8), (3, 3), config=_SEVERAL.format(8, 2, 2)),
    pool(
        "average_pool_ceil_1x4",
        "average",
        (1, 8, 8, 8),
        (4, 4),
        3,
        2,
        (0, 0, 1, 1),
        flags=_COUNT,
        config=_SEVERAL.format(4, 1, 4),
    ),
    # Threads that share windows: side by side, within a warp, a whole block
    *(
        pool(
            f"global_{kind}_team_{team}",
            kind,
            (3, 7, 9, 16),
            (1, 1),
            flags=_ADAPTIVE,
            config=_TEAM.format(vector, team, teams),
            special=_HOLES if kind == "max" else None,
        )
        for kind, vector, team, teams in (
            ("average", 8, 8, 8),
            ("average", 4, 128, 4),
            ("average", 4, 2, 32),
            ("average", 8, 1, 32),
            ("max", 8, 16, 4),
            ("max", 1, 2, 32),
        )
    ),
    *(
        pool(
            f"global_{kind}_nchw_{team}",
            kind,
            (2, 7, 9, 3),
            (1, 1),
            flags=_ADAPTIVE,
            nchw=True,
            config=_TEAM.format(1, team, teams),
        )
        for kind, team, teams in (("average", 16, 4), ("max", 64, 1), ("average", 1, 64))
    ),
    pool(
        "adaptive_max_team",
        "max",
        (2, 5, 7, 6),
        (2, 3),
        flags=_ADAPTIVE,
        config=_TEAM.format(2, 4, 16),
    ),
    # Long windows that slide: a loop over the taps that are inside
    pool("average_pool_long", "average", (1, 13, 12, 8), (5, 5), 8, 2, (2, 3, 1, 2)),
    pool(
        "average_pool_long_counted",
        "average",
        (1, 13, 12, 8),
        (5, 5),
        8,
        2,
        (2, 3, 1, 2),
        flags=_COUNT,
        config=_TEAM.format(8, 4, 16),
    ),
    pool(
        "max_pool_dilated_team",
        "max",
        (1, 13, 12, 8),
        (6, 6),
        4,
        2,
        (3, 3, 2, 3),
        3,
        config=_TEAM.format(8, 2, 16),
    ),
    pool("max_pool_1x1", "max", (2, 1, 1, 8), (1, 1)),
    pool("max_pool_no_image", "max", (0, 8, 8, 8), (4, 4)),
    *(
        resize(f"{mode}_{coordinates}_{out[0]}", mode, coordinates, (1, 5, 4, 8), out)
        for mode in ("nearest", "bilinear")
        for coordinates in ("half_pixel", "align_corners", "asymmetric")
        for out in ((10, 8), (3, 7))
    ),
    # Neighbours in a row are written at once
    *(
        resize(f"{mode}_nchw_{out[1]}", mode, "half_pixel", (2, 5, 4, 3), out, nchw=True)
        for mode in ("nearest", "bilinear")
        for out in ((10, 8), (3, 7), (7, 12))
    ),
    # and share pixels, where there are some for each
    *(
        resize(
            f"{mode}_{coordinates}_by_{scale}_of_{width}",
            mode,
            coordinates,
            (2, 5, width, 2),
            (7, width * scale),
            nchw=True,
        )
        for mode, coordinates in (("bilinear", "half_pixel"), ("bilinear", "asymmetric"))
        for scale, width in ((2, 12), (4, 5), (4, 1), (2, 2))
    ),
    # Large ones share rows too: channels of pixels, and neighbours in a row; scales whose last rows
    # and columns are whole tiles and parts of them; what pixels at edges are mixed with
    *(
        resize(
            f"bilinear_tile_{coordinates}_by_{scale}_{'nchw' if nchw else 'nhwc'}_{vector}",
            "bilinear",
            coordinates,
            sizes,
            (sizes[1] * scale, sizes[2] * scale),
            nchw,
            (element, element),
            f"#plain.elementwise<vector = {vector}>",
            {0: INF, 1: -INF, 70: NAN, sizes[0] * sizes[1] * sizes[2] * sizes[3] - 1: INF},
        )
        for coordinates, scale, nchw, vector, sizes, element in (
            ("half_pixel", 2, False, 8, (1, 63, 80, 224), "f16"),
            ("asymmetric", 2, False, 1, (1, 331, 400, 1), "f32"),
            ("half_pixel", 3, False, 2, (2, 76, 53, 26), "bf16"),
            ("asymmetric", 4, False, 4, (3, 32, 9, 304), "f32"),
            ("half_pixel", 2, True, 8, (2, 67, 68, 60), "f16"),
            ("asymmetric", 2, True, 2, (1, 65, 63, 33), "f32"),
            ("half_pixel", 4, True, 4, (8, 1, 2, 4100), "bf16"),
            ("half_pixel", 4, True, 8, (4, 33, 2, 1000), "f16"),
        )
    ),
    resize("bilinear_to_one", "bilinear", "align_corners", (2, 4, 4, 3), (1, 1)),
    resize("bilinear_of_one", "bilinear", "half_pixel", (1, 1, 1, 8), (3, 2)),
    *(
        resize(
            f"{mode}_{first}_to_{last}{'_nchw' * nchw}",
            mode,
            "half_pixel",
            (2, 5, 6, 8),
            (7, 12),
            nchw,
            (first, last),
        )
        for mode, first, last, nchw in (
            ("nearest", "f16", "f16", False),
            ("bilinear", "f16", "f16", True),
            ("bilinear", "bf16", "bf16", False),
            ("nearest", "bf16", "bf16", True),
            ("bilinear", "f32", "f32", True),
            ("bilinear", "f32", "f16", False),
        )
    ),
]

ROWS = [*ROWWISE, *CLUSTERED, *GROUP_NORMS, *REDUCE, *GATHER, *IMAGES]
