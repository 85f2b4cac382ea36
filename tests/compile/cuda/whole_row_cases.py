"""Cases of the kernels that have whole rows of a product: the softmax or norm of a gemm's rows."""

from __future__ import annotations

from collections.abc import Sequence

from tests.compile.cuda.kernels import Case, of_weights

IDENTITY = """{
^bb0(%s : f32):
  kernel.yield %s : f32
}"""
OF_ROW = """{
^bb0(%y : f32, %v : f32, %s : f32):
  kernel.yield %y : f32
}"""


def wgmma_rows(m: int, n: int, cluster: int, schedule: str, stages: int) -> str:
    """The text of a config."""
    return (
        f"#cuda.wgmma_rows<tile = [{m}, {n}, 64], cluster = {cluster}, schedule = {schedule}, "
        f"stages = {stages}>"
    )


def linear_norm(
    m: int,
    n: int,
    k: int,
    element: str = "f16",
    config: str = "",
    name: str = "linear_norm",
    kept: bool = False,
    kind: str = "layer_norm",
    symbol: str = "",
) -> Case:
    """kind(x [m, k] @ w [n, k]^T + bias [n] + residual [m, n]) * gamma [n] + beta [n]; `kept`: and
    what the norm begins with. `symbol`: of the rows, with bounds."""
    rows = symbol.partition(" ")[0] or str(m)
    bounds = f", {symbol}" if symbol else ""

    def tensor(*sizes: str | int) -> str:
        if not symbol or rows not in sizes:
            return f"tensor<{'x'.join(map(str, sizes))}x{element}>"
        shape = "x".join("?" if size == rows else str(size) for size in sizes)
        dims = ", ".join(map(str, sizes))
        return f"tensor<{shape}x{element}, #sym.dims<[{dims}], {symbol}>>"

    x, w, b, o = tensor(rows, k), tensor(n, k), tensor(n), tensor(rows, n)
    of_column = f"<offset 0, sizes [{rows}, {n}], strides [0, 1]{bounds}>"
    types = {"x": x, "w": w, "b": b, "r": o, "g": b, "h": b, "o": o}
    eps = "" if "softmax" in kind else "eps = 1.0e-5 : f32, "
    outs, yields = f"%o : {o}", "%1 : f32"
    if kept:
        types["v"] = o
        outs, yields = f"%o : {o}, %v : {o}", "%1, %value : f32, f32"
    return Case(
        name,
        types,
        f"""kernel.gemm_rowwise ins(%x : {x},
          %w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w},
          %b {of_column} : {b}, %r : {o}, %g {of_column} : {b}, %h {of_column} : {b})
          outs({outs}) {{{eps}groups = array<i64: 0, 1, 1, 1>,
          kind = #kernel.rowwise_kind {kind}}}
          prologue {{
          ^bb0(%sum : f32, %bias : f32, %residual : f32, %gamma : f32, %beta : f32):
            %0 = arith.addf %sum, %bias : f32
            %1 = arith.addf %0, %residual : f32
            kernel.yield %1 : f32
          }} epilogue {{
          ^bb0(%y : f32, %value : f32, %sum : f32, %bias : f32, %residual : f32, %gamma : f32,
            %beta : f32):
            %0 = arith.mulf %y, %gamma : f32
            %1 = arith.addf %0, %beta : f32
            kernel.yield {yields}
          }}""",
        outs=("o", "v") if kept else ("o",),
        config=config,
        dims={rows: m} if symbol else {},
    )


def product_rows(
    name: str,
    sizes: tuple[int, int, int, int],
    maps: tuple[str, str, str],
    kind: str,
    config: str = "",
    element: str = "f16",
    result: str = "",
    base: int = 4096,
) -> Case:
    """The rows of a batched product [b, m, n] of flat operands with any maps (offset, strides)."""
    batch, m, n, k = sizes
    shapes = ([batch, m, k], [batch, k, n], [batch, m, n])
    types = [f"tensor<{base}x{e}>" for e in (element, element, result or element)]
    texts = [
        f"<{text.replace(' strides', f' sizes {shape}, strides')}>"
        for text, shape in zip(maps, shapes, strict=True)
    ]
    eps = "" if "softmax" in kind else "eps = 1.0e-5 : f32, "
    return Case(
        name,
        dict(zip("abo", types, strict=True)),
        f"""kernel.gemm_rowwise ins(%a {texts[0]} : {types[0]}, %b {texts[1]} : {types[1]})
          outs(%o {texts[2]} : {types[2]}) {{{eps}groups = array<i64: 1, 1, 1, 1>,
          kind = #kernel.rowwise_kind {kind}}} prologue {IDENTITY} epilogue {OF_ROW}""",
        config=config,
    )


def scores(m: int, n: int, k: int, config: str, name: str = "scores") -> Case:
    """softmax(q @ k^T / 2 where the column is not beyond the row) as f32, and the product itself as
    f16: the sums are used before and after."""
    q, w = f"tensor<{m}x{k}xbf16>", f"tensor<{n}x{k}xbf16>"
    p, s = f"tensor<{m}x{n}xf32>", f"tensor<{m}x{n}xf16>"
    sizes = f"sizes [{m}, {n}]"
    return Case(
        name,
        {"q": q, "w": w, "p": p, "s": s},
        f"""kernel.gemm_rowwise ins(%q : {q},
          %w <offset 0, sizes [{k}, {n}], strides [1, {k}]> : {w})
          outs(%p : {p}, %s : {s})
          {{groups = array<i64: 0, 1, 1, 1>, kind = #kernel.rowwise_kind softmax}}
          prologue {{
          ^bb0(%sum : f32):
            %i = kernel.index <offset 0, {sizes}, strides [1, 0]>
            %j = kernel.index <offset 0, {sizes}, strides [0, 1]>
            %hidden = arith.cmpi sgt, %j, %i : i64
            %least = arith.constant 0xFF800000 : f32
            %half = arith.constant 0.5 : f32
            %0 = arith.mulf %sum, %half : f32
            %1 = arith.select %hidden, %least, %0 : f32
            kernel.yield %1 : f32
          }} epilogue {{
          ^bb0(%y : f32, %v : f32, %sum : f32):
            kernel.yield %y, %sum : f32, f32
          }}""",
        outs=("p", "s"),
        config=config,
    )


def _kinds(config: str, sizes: tuple[int, int, int], *kinds: str) -> list[Case]:
    return [linear_norm(*sizes, config=config, kind=kind, name=f"linear_{kind}") for kind in kinds]


WHOLE_ROWS = [
    # Every kind: rows that fill a cluster, that one block has, and whose last block has a part or
    # nothing; full and ragged tiles of rows, several of a cluster.
    *_kinds(
        wgmma_rows(128, 64, 3, "cooperative", 3), (300, 192, 136),
        "softmax", "log_softmax", "layer_norm", "rms_norm",
    ),
    *_kinds(wgmma_rows(64, 64, 2, "pingpong", 3), (200, 104, 72), "softmax", "layer_norm"),
    *_kinds(wgmma_rows(64, 32, 1, "cooperative", 4), (72, 24, 64), "log_softmax", "rms_norm"),
    linear_norm(520, 256, 64, "bf16", wgmma_rows(64, 64, 4, "pingpong", 4), "rows_turns", True),
    linear_norm(130, 100, 80, "f16", wgmma_rows(128, 128, 3, "cooperative", 3), "rows_part", True),
    linear_norm(65, 33, 40, "bf16", wgmma_rows(64, 32, 8, "cooperative", 4), "rows_odd", True),
    linear_norm(1, 512, 64, config=wgmma_rows(64, 64, 8, "cooperative", 4), name="rows_one"),
    linear_norm(40, 1, 24, config=wgmma_rows(64, 32, 1, "cooperative", 4), name="rows_of_one"),
    # More columns of a block than one product has.
    linear_norm(200, 640, 72, config=wgmma_rows(128, 320, 2, "cooperative", 3), name="rows_parts"),
    linear_norm(
        70, 600, 64, "bf16", wgmma_rows(128, 320, 2, "cooperative", 3), "rows_parts_kept", True
    ),
    scores(100, 96, 64, wgmma_rows(64, 32, 3, "cooperative", 4)),
    scores(140, 70, 40, wgmma_rows(128, 96, 1, "cooperative", 4), "scores_alone"),
    product_rows(
        "rows_transposed",
        (3, 20, 24, 18),
        (
            "offset 8, strides [600, 1, 24]",
            "offset 16, strides [800, 32, 1]",
            "offset 7, strides [600, 1, 20]",
        ),
        "softmax",
        wgmma_rows(64, 32, 1, "cooperative", 4),
    ),
    product_rows(
        "rows_batched",
        (3, 70, 48, 16),
        (
            "offset 0, strides [1120, 16, 1]",
            "offset 0, strides [0, 1, 16]",
            "offset 0, strides [3360, 48, 1]",
        ),
        "layer_norm",
        wgmma_rows(64, 32, 2, "pingpong", 4),
        "bf16",
        "f32",
        base=3360 * 3,
    ),
    # No rows; and so many that addresses have 64 bits.
    *(
        linear_norm(
            rows, 96, 64, config=wgmma_rows(64, 32, 3, "pingpong", 4), name=f"rows_of_{rows}",
            symbol=f"rows in [0, {most}]",
        )
        for rows, most in ((0, 300), (150, 10**8))
    ),
    of_weights(
        linear_norm(130, 100, 200, "bf16", wgmma_rows(64, 64, 2, "pingpong", 3), "rows_early", True)
    ),
    linear_norm(1024, 768, 768, config="WgmmaRowsAttr", name="rows_first_choice"),
]  # fmt: skip


def back_to_back(
    m: int,
    n: int,
    k: int,
    middle: int,
    config: str,
    name: str,
    element: str = "f16",
    across: bool = False,
    batch: str = "",
    result: str = "",
) -> Case:
    """relu(x [m, k] @ w [k, l] + b [l]) @ v [l, n] + c [n] + r [m, n]; weights are stored with k
    and l inner, or outer (`across`). `batch`: a symbol with bounds: so many problems of one v."""
    bounds = f", {batch}" if batch else ""
    symbol = [batch.partition(" ")[0]] if batch else []

    def tensor(*sizes: int | str) -> str:
        if not (symbol and sizes[0] == symbol[0]):
            return f"tensor<{'x'.join(map(str, sizes))}x{element}>"
        shape = "x".join(["?", *map(str, sizes[1:])])
        return f"tensor<{shape}x{element}, #sym.dims<[{', '.join(map(str, sizes))}], {batch}>>"

    def access(sizes: Sequence[int], strides: Sequence[int], step: int) -> str:
        dims, steps = [*symbol, *map(str, sizes)], [*([step] if symbol else []), *strides]
        return f"<offset 0, sizes [{', '.join(dims)}], strides {steps}{bounds}>"

    x, r = tensor(*symbol, m, k), tensor(*symbol, m, n)
    o = r.replace(element, result) if result else r
    w, v = (tensor(*symbol, k, middle), tensor(middle, n))
    w_steps, v_steps = (middle, 1), (n, 1)
    if not across:
        w, v = tensor(*symbol, middle, k), tensor(n, middle)
        w_steps, v_steps = (1, k), (1, middle)
    b, c = tensor(middle), tensor(n)
    return Case(
        name,
        {"x": x, "w": w, "v": v, "b": b, "c": c, "r": r, "o": o},
        f"""kernel.back_to_back_gemm ins(%x : {x},
          %w {access((k, middle), w_steps, k * middle)} : {w},
          %v {access((middle, n), v_steps, 0)} : {v},
          %b {access((m, middle), (0, 1), 0)} : {b}, %c {access((m, n), (0, 1), 0)} : {c}, %r : {r})
          outs(%o : {o}) {{groups = array<i64: {len(symbol)}, 1, 1, 1, 1>, middle_extras = 1 : i64}}
          middle {{
          ^bb0(%sum : f32, %bias : f32):
            %0 = arith.addf %sum, %bias : f32
            %zero = arith.constant 0.0 : f32
            %1 = arith.maximumf %0, %zero : f32
            kernel.yield %1 : f32
          }} epilogue {{
          ^bb0(%sum : f32, %bias : f32, %residual : f32):
            %0 = arith.addf %sum, %bias : f32
            %1 = arith.addf %0, %residual : f32
            kernel.yield %1 : f32
          }}""",
        config=config,
        dims={symbol[0]: 3} if symbol else {},
        # The middle is rounded to the factors' type: small values leave it as it is.
        ranges=dict.fromkeys("xwb", (-1, 2) if element == "bf16" else (-4, 5)),
    )


def both(m: int, middle: int, n: int, stages: int) -> str:
    """The text of a config."""
    return f"#cuda.back_to_back<tile = [{m}, {middle}, {n}], stages = {stages}>"


BACK_TO_BACK = [
    back_to_back(300, 64, 136, 128, both(128, 128, 64, 3), "both_dense"),
    back_to_back(70, 200, 64, 72, both(64, 96, 96, 4), "both_ragged", "bf16"),
    back_to_back(140, 104, 72, 40, both(128, 64, 64, 3), "both_across", across=True),
    back_to_back(65, 31, 64, 24, both(64, 32, 32, 4), "both_odd"),
    back_to_back(1, 8, 8, 256, both(64, 256, 32, 3), "both_one_row"),
    back_to_back(
        80, 96, 64, 64, both(64, 64, 64, 3), "both_batched", "bf16", batch="batch in [0, 1000000]"
    ),
    of_weights(back_to_back(70, 200, 136, 72, both(64, 96, 96, 4), "both_early")),
    back_to_back(70, 40, 64, 72, both(64, 96, 32, 3), "both_f32_result", result="f32"),
    back_to_back(65, 31, 64, 24, both(64, 32, 32, 4), "both_odd_f32_result", "bf16", result="f32"),
    back_to_back(4096, 256, 512, 256, "BackToBackAttr", "both_first_choice"),
]


_DEPTH_OF_TEXT = 17
"""The value of the symbol in a depth."""


def back_to_back_parts(
    m: int,
    n: int,
    k: int | str,
    middle: int,
    config: str,
    name: str,
    element: str = "f16",
    residual: bool = True,
    kept: bool = True,
    finish: bool = False,
    across: bool = False,
    symbol: str = "",
) -> Case:
    """t = relu(x [m, k] @ w [k, l] + b [l] + r [m, l]); o = relu(t @ v [l, n] + c [n] + s [m, n]),
    and t if it is `kept`. Without `residual` there is no r, without `finish` no s; weights are
    stored with k and l inner, or outer (`across`). `symbol`: of the rows, or in the text `k`, with
    bounds."""
    name_of_symbol = symbol.partition(" ")[0]
    rows = name_of_symbol if isinstance(k, int) and symbol else str(m)
    dynamic = rows if isinstance(k, int) else k

    def tensor(*sizes: str | int) -> str:
        if not symbol or dynamic not in sizes:
            return f"tensor<{'x'.join(map(str, sizes))}x{element}>"
        shape = "x".join("?" if size == dynamic else str(size) for size in sizes)
        return f"tensor<{shape}x{element}, #sym.dims<[{', '.join(map(str, sizes))}], {symbol}>>"

    def read(value: str, sizes: Sequence[str | int], strides: Sequence[str | int]) -> str:
        dims, steps = (", ".join(map(str, numbers)) for numbers in (sizes, strides))
        limits = f", {symbol}" if symbol and dynamic in (*sizes, *strides) else ""
        return f"%{value} <offset 0, sizes [{dims}], strides [{steps}]{limits}> : "

    def region(with_tile: bool) -> str:
        argument, add = (
            (", %tile : f32", "%1 = arith.addf %0, %tile : f32") if with_tile else ("", "")
        )
        value = "%1" if with_tile else "%0"
        return f"""{{
          ^bb0(%sum : f32, %bias : f32{argument}):
            %0 = arith.addf %sum, %bias : f32
            {add}
            %zero = arith.constant 0.0 : f32
            %2 = arith.maximumf {value}, %zero : f32
            kernel.yield %2 : f32
          }}"""

    types = {"x": tensor(rows, k), "w": tensor(middle, k), "v": tensor(n, middle)}
    w_steps: tuple[str | int, ...] = (1, k)
    v_steps = (1, middle)
    if across:
        types |= {"w": tensor(k, middle), "v": tensor(middle, n)}
        w_steps, v_steps = (middle, 1), (n, 1)
    types["b"] = tensor(middle)
    ins = [
        f"%x : {types['x']}",
        read("w", (k, middle), w_steps) + types["w"],
        read("v", (middle, n), v_steps) + types["v"],
        read("b", (rows, middle), (0, 1)) + types["b"],
    ]
    if residual:
        types["r"] = tensor(rows, middle)
        ins.append(f"%r : {types['r']}")
    types["c"] = tensor(n)
    ins.append(read("c", (rows, n), (0, 1)) + types["c"])
    if finish:
        types["s"] = tensor(rows, n)
        ins.append(f"%s : {types['s']}")
    types["o"] = tensor(rows, n)
    outs, flag = [f"%o : {types['o']}"], ""
    if kept:
        types["t"] = tensor(rows, middle)
        outs.append(f"%t : {types['t']}")
        flag = ", keeps_middle"
    return Case(
        name,
        types,
        f"""kernel.back_to_back_gemm ins({", ".join(ins)}) outs({", ".join(outs)})
          {{groups = array<i64: 0, 1, 1, 1, 1>, middle_extras = {1 + residual} : i64{flag}}}
          middle {region(residual)} epilogue {region(finish)}""",
        outs=("o", "t") if kept else ("o",),
        dims={name_of_symbol: m if isinstance(k, int) else _DEPTH_OF_TEXT} if symbol else {},
        config=config,
        # The middle is rounded to the factors' type: few values leave it as it is.
        ranges=dict.fromkeys("xwbr", (-1, 2) if element == "bf16" else (-8, 9)),
        constants=("w", "v"),
    )


def parts(m: int, part: int, n: int, left: int, stages: int, ring: int) -> str:
    """The text of a config."""
    return (
        f"#cuda.back_to_back_parts<tile = [{m}, {part}, {n}], left = {left}, stages = {stages}, "
        f"ring = {ring}>"
    )


PARTS = [
    back_to_back_parts(300, 64, 64, 256, parts(128, 64, 64, 2, 8, 4), "parts_that_stay"),
    back_to_back_parts(
        330, 128, 136, 256, parts(128, 128, 128, 3, 3, 3), "parts_streamed", "bf16", finish=True
    ),
    back_to_back_parts(200, 40, 72, 128, parts(64, 64, 64, 2, 2, 2), "parts_ragged"),
    back_to_back_parts(
        500, 96, 64, 192, parts(192, 64, 96, 1, 3, 1), "parts_not_kept", residual=False, kept=False
    ),
    back_to_back_parts(
        410, 64, 128, 256, parts(192, 64, 64, 2, 4, 1), "parts_across", finish=True, across=True
    ),
    back_to_back_parts(
        150, 256, 256, 512, parts(128, 64, 256, 4, 2, 1), "parts_wide", "bf16", residual=False
    ),
    # More room for steps than there are of them; and fewer steps than there may be.
    back_to_back_parts(330, 64, 64, 128, parts(64, 64, 64, 2, 6, 2), "parts_in_much_room"),
    back_to_back_parts(
        330, 64, "d * 8", 128, parts(64, 64, 64, 4, 10, 2), "parts_of_a_depth",
        symbol="d in [1, 32]",
    ),
    # No rows; and so many that addresses have 64 bits.
    *(
        back_to_back_parts(
            rows, 64, 64, 128, parts(64, 128, 64, 1, 3, 2), f"parts_of_{rows}",
            symbol=f"rows in [0, {most}]",
        )
        for rows, most in ((0, 300), (150, 10**8))
    ),
    back_to_back_parts(9000, 64, 64, 128, "BackToBackPartsAttr", "parts_first_choice"),
]  # fmt: skip
