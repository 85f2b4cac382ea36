"""Attentions that the CUDA tests render, emulate, compile and run."""

from __future__ import annotations

from dataclasses import dataclass

from tests.compile.cuda.kernels import Case


@dataclass(frozen=True)
class Heads:
    """The sizes of an attention: `groups` heads of keys and values, sizes of a head's elements."""

    batches: int
    heads: int
    rows: int
    columns: int
    depth: int
    groups: int = 0
    value: int = 0

    @property
    def kv(self) -> int:
        return self.groups or self.heads

    @property
    def values(self) -> int:
        return self.value or self.depth


SCALE = """{
^bb0(%s : f32):
  %c = arith.constant 0.25 : f32
  %0 = arith.mulf %s, %c : f32
  kernel.yield %0 : f32
}"""


def attention(
    name: str,
    sizes: Heads,
    element: str = "f16",
    config: str = "",
    causal: bool = False,
    result: str = "",
) -> Case:
    """softmax(q k^T / 4) v of dense [batch, head, row, depth] operands."""
    b, h, g = sizes.batches, sizes.heads, sizes.kv
    q = f"tensor<{b}x{h}x{sizes.rows}x{sizes.depth}x{element}>"
    k = f"tensor<{b}x{g}x{sizes.columns}x{sizes.depth}x{element}>"
    v = f"tensor<{b}x{g}x{sizes.columns}x{sizes.values}x{element}>"
    o = f"tensor<{b}x{h}x{sizes.rows}x{sizes.values}x{result or element}>"
    flag = "{causal}" if causal else ""
    return Case(
        name,
        {"q": q, "k": k, "v": v, "o": o},
        f"kernel.attention ins(%q : {q}, %k : {k}, %v : {v}) outs(%o : {o}) {flag} score {SCALE}",
        config=config,
    )


_MASKS = {
    "added": """%1 = arith.addf %0, %m : f32""",
    "shown": """%n = arith.constant 0xFF800000 : f32
  %1 = arith.select %m, %0, %n : f32""",
    "counted": """%n = arith.constant -6.55040e+04 : f32
  %w = arith.constant 1.0 : f32
  %f = arith.sitofp %m : i64 to f32
  %g = arith.subf %w, %f : f32
  %h = arith.mulf %g, %n : f32
  %1 = arith.addf %h, %0 : f32""",
    "capped": """%t = math.tanh %0 : f32
  %1 = arith.addf %t, %m : f32""",
}
"""Regions of a scaled product and what a mask says of a key (and of a query)."""


def masked(
    name: str,
    sizes: Heads,
    mask: str,
    config: str,
    element: str = "f16",
    queries: bool = False,
    lowest: float = -65504.0,
    result: str = "",
) -> Case:
    """Attention whose first batch has no visible key, by a mask [batch, column] or [row, column].
    Where it is added, all keys of that batch, and some others, get the lowest number."""
    b, h, rows, columns = sizes.batches, sizes.heads, sizes.rows, sizes.columns
    pairs = f"sizes [{b}, {h}, {rows}, {columns}]"
    kind = {"shown": "i1", "counted": "i64"}.get(mask, element)
    argument = {"shown": "i1", "counted": "i64"}.get(mask, "f32")
    lines, strides = (rows, f"[0, 0, {columns}, 1]") if queries else (b, f"[{columns}, 0, 0, 1]")
    case = attention(name, sizes, element, config, result=result)
    (*operands, (out, type)) = case.operands.items()
    case.operands = {**dict(operands), "mask": f"tensor<{lines}x{columns}x{kind}>", out: type}
    extra = f"%mask <offset 0, {pairs}, strides {strides}> : tensor<{lines}x{columns}x{kind}>"
    case.op = case.op.replace(") outs(", f", {extra}) outs(").replace(
        SCALE,
        f"""{{
^bb0(%s : f32, %m : {argument}):
  %c = arith.constant 0.25 : f32
  %0 = arith.mulf %s, %c : f32
  {_MASKS[mask]}
  kernel.yield %1 : f32
}}""",
    )
    case.ranges = {"mask": (0, 2)}
    hidden = 0.0 if kind in ("i1", "i64") else lowest
    some = [*range(columns), *range(columns, lines * columns, 7)]
    case.special = {"mask": dict.fromkeys(some, hidden)}
    return case


def average(name: str, config: str, element: str) -> Case:
    """Weights of the visible keys that are all the same: they are exact in 16 bits, and so f32
    results tell more than what those are rounded to."""
    case = masked(name, Heads(3, 2, 70, 77, 40), "shown", config, element, result="f32")
    case.ranges = {**case.ranges, "q": (0, 1)}
    return case


def infinite(name: str, config: str) -> Case:
    """An infinite value, and a score of minus infinity: results are infinite, or as if there was no
    such key."""
    case = attention(name, Heads(1, 2, 19, 37, 8), "f32", config)
    case.special = {"v": {8 * 5 + 3: float("inf")}, "k": {8 * (37 + 7) + 1: float("inf")}}
    return case


def packed(
    name: str, batches: int, heads: int, rows: int, depth: int, element: str, config: str
) -> Case:
    """Queries, keys and values are slices of [batch, row, 3, head, depth], the result is [batch,
    row, head, depth]; scores take a mask of columns, one of all pairs, and a distance."""
    width = heads * depth
    base = f"tensor<{batches * rows * 3 * width}x{element}>"
    o = f"tensor<{batches * rows * width}x{element}>"
    mask, bias = f"tensor<{batches}x{rows}xi1>", f"tensor<{heads}x{rows}x{rows}x{element}>"
    sizes = f"sizes [{batches}, {heads}, {rows}, {depth}]"
    strides = f"strides [{rows * 3 * width}, {depth}, {3 * width}, 1]"
    pairs = f"sizes [{batches}, {heads}, {rows}, {rows}]"
    slices = [
        f"%{name} <offset {i * width}, {sizes}, {strides}> : {base}" for i, name in enumerate("qkv")
    ]
    return Case(
        name,
        {"q": base, "k": base, "v": base, "mask": mask, "bias": bias, "o": o},
        f"""kernel.attention ins({", ".join(slices)},
          %mask <offset 0, {pairs}, strides [{rows}, 0, 0, 1]> : {mask},
          %bias <offset 0, {pairs}, strides [0, {rows * rows}, {rows}, 1]> : {bias})
          outs(%o <offset 0, {sizes}, strides [{rows * width}, {depth}, {width}, 1]> : {o})
          score {{
          ^bb0(%s : f32, %m : i1, %p : f32):
            %c = arith.constant 0.125 : f32
            %n = arith.constant 0xFF800000 : f32
            %i = kernel.index <offset 0, {pairs}, strides [0, 0, 1, 0]>
            %j = kernel.index <offset 0, {pairs}, strides [0, 0, 0, 1]>
            %d = arith.subi %i, %j : i64
            %f = arith.sitofp %d : i64 to f32
            %0 = arith.mulf %s, %c : f32
            %1 = arith.addf %0, %p : f32
            %2 = arith.mulf %f, %c : f32
            %3 = arith.addf %1, %2 : f32
            %4 = arith.select %m, %3, %n : f32
            kernel.yield %4 : f32
          }}""",
        config=config,
    )


def dynamic_attention(name: str, rows: int, columns: int, config: str) -> Case:
    """Any number of queries and keys; keys are stored [depth, column]."""
    symbols = "r in [1, 200], c in [1, 300]"
    q = f"tensor<1x2x?x32xf16, #sym.dims<[1, 2, r, 32], {symbols}>>"
    k = f"tensor<1x2x32x?xf16, #sym.dims<[1, 2, 32, c], {symbols}>>"
    v = f"tensor<1x2x?x32xf16, #sym.dims<[1, 2, c, 32], {symbols}>>"
    keys = f"<offset 0, sizes [1, 2, c, 32], strides [c * 64, c * 32, 1, c], {symbols}>"
    return Case(
        name,
        {"q": q, "k": k, "v": v, "o": q},
        f"""kernel.attention ins(%q : {q}, %k {keys} : {k}, %v : {v}) outs(%o : {q}) {{causal}}
          score {SCALE}""",
        dims={"r": rows, "c": columns},
        config=config,
    )


_OWN = "#plain.attention"

OWN_ATTENTIONS = [
    attention("attention_f32", Heads(2, 3, 19, 37, 20), "f32", _OWN),
    attention("attention_own_causal", Heads(1, 4, 21, 18, 24, 2, 40), "f16", _OWN, causal=True),
    packed("attention_own_packed", 2, 2, 35, 16, "bf16", _OWN),
    dynamic_attention("attention_own_dynamic", 5, 33, _OWN),
]


def query(warps: int) -> str:
    return f"#plain.query_attention<warps = {warps}>"


QUERY_ATTENTIONS = [
    masked("query_lowest", Heads(3, 2, 2, 70, 40), "added", query(4), "bf16", lowest=-1e9),
    attention("query", Heads(2, 3, 1, 197, 64), "f16", query(8)),
    attention("query_f32", Heads(2, 2, 3, 37, 20, 1, 24), "f32", query(2)),
    attention("query_wide", Heads(1, 2, 2, 70, 256, 2, 200), "f32", query(4)),
    attention("query_odd", Heads(1, 2, 2, 41, 7, 1, 13), "bf16", query(1), result="f32"),
    # Most queries see no key at all
    attention("query_hidden", Heads(1, 1, 9, 4, 40), "bf16", query(2), causal=True),
    packed("query_packed", 2, 2, 35, 16, "f16", query(4)),
    packed("query_packed_f32", 2, 2, 9, 16, "f32", query(2)),
]


def tensor(rows: int, columns: int, warps: int, products: str = "") -> str:
    fields = f"tile = [{rows}, {columns}], warps = {warps}"
    return f"#cuda.attention<{fields}{', products = ' if products else ''}{products}>"


_LOWEST = -3.3895313892515355e38
"""Of bf16."""

TENSOR_ATTENTIONS = [
    attention("attention", Heads(2, 2, 64, 64, 32), "f16", tensor(32, 32, 2)),
    attention("attention_odd", Heads(1, 2, 35, 41, 40), "bf16", tensor(32, 32, 1)),
    attention("attention_pairs", Heads(1, 2, 5, 70, 6, 1, 10), "f16", tensor(16, 32, 1)),
    attention("attention_causal", Heads(1, 4, 50, 70, 16, 2), "f16", tensor(32, 16, 2), True),
    # Most queries see no key at all
    attention("attention_hidden", Heads(1, 1, 70, 20, 80, 1, 24), "f16", tensor(32, 32, 2), True),
    masked("attention_lowest", Heads(3, 2, 35, 70, 40), "added", tensor(32, 32, 1), "bf16"),
    masked(
        "attention_lowest_bf16",
        Heads(3, 2, 35, 70, 40),
        "added",
        tensor(16, 32, 1),
        "bf16",
        lowest=_LOWEST,
    ),
    packed("attention_packed", 2, 2, 35, 16, "f16", tensor(16, 64, 1)),
    dynamic_attention("attention_dynamic", 20, 53, tensor(16, 32, 1)),
    attention(
        "attention_tf32", Heads(2, 2, 64, 64, 32), "f32", tensor(32, 32, 2, "tf32"), result="f16"
    ),
    attention("attention_tf32x3", Heads(2, 2, 70, 90, 64), "f32", tensor(64, 32, 2, "tf32x3")),
    attention(
        "attention_tf32x3_odd", Heads(1, 4, 35, 41, 7, 2, 13), "f32", tensor(32, 16, 2, "tf32x3")
    ),
    packed("attention_tf32x3_packed", 2, 2, 35, 24, "f32", tensor(16, 32, 1, "tf32x3")),
    infinite("attention_tf32x3_infinite", tensor(16, 16, 1, "tf32x3")),
    average("attention_f32_result", tensor(32, 32, 2), "f16"),
]


def hopper(rows: int, columns: int, stages: int, blocks: int = 1, flags: str = "") -> str:
    fields = f"tile = [{rows}, {columns}], stages = {stages}, blocks = {blocks}"
    return f"#cuda.attention_hopper<{fields}{', ' if flags else ''}{flags}>"


def kept(rows: int, columns: int, stages: int) -> str:
    return hopper(rows, columns, stages, 1, "producer, persistent, kept")


_TURNS = "producer, overlapped, turns"
_STAY = f"{_TURNS}, persistent"
_PLAIN = "producer, persistent"


def mapped(name: str, maps: dict[str, str], config: str, result: str = "f16") -> Case:
    """Two batches of three heads: 70 queries, 90 keys, heads of 40, of flat operands with any maps
    (offset and strides)."""
    shapes = {"q": [2, 3, 70, 40], "k": [2, 3, 90, 40], "v": [2, 3, 90, 40], "o": [2, 3, 70, 40]}
    types = {n: f"tensor<40000x{result if n == 'o' else 'f16'}>" for n in shapes}
    texts = {
        n: f"%{n} <{maps[n].replace(' strides', f' sizes {shape}, strides')}> : {types[n]}"
        for n, shape in shapes.items()
    }
    factors = ", ".join(texts[n] for n in "qkv")
    return Case(
        name,
        types,
        f"kernel.attention ins({factors}) outs({texts['o']}) score {SCALE}",
        config=config,
    )


def dynamic_keys(name: str, rows: int, columns: int, config: str) -> Case:
    """Any number of queries and keys, [batch, line, head, depth]."""
    symbols = "r in [0, 200], c in [0, 300]"
    q = f"tensor<2x?x2x32xf16, #sym.dims<[2, r, 2, 32], {symbols}>>"
    k = f"tensor<2x?x2x32xf16, #sym.dims<[2, c, 2, 32], {symbols}>>"
    queries = f"<offset 0, sizes [2, 2, r, 32], strides [r * 64, 32, 64, 1], {symbols}>"
    keys = f"<offset 0, sizes [2, 2, c, 32], strides [c * 64, 32, 64, 1], {symbols}>"
    return Case(
        name,
        {"q": q, "k": k, "v": k, "o": q},
        f"""kernel.attention ins(%q {queries} : {q}, %k {keys} : {k}, %v {keys} : {k})
          outs(%o {queries} : {q}) score {SCALE}""",
        dims={"r": rows, "c": columns},
        config=config,
    )


_ROWS_FIRST = "offset 8, strides [8400, 40, 120, 1]"
_KEYS_FIRST = "offset 16, strides [10800, 40, 120, 1]"

HOPPER_ATTENTIONS = [
    attention("hopper", Heads(2, 2, 64, 64, 32), "f16", hopper(64, 64, 1)),
    attention("hopper_odd", Heads(1, 2, 35, 41, 40), "bf16", hopper(64, 16, 2, 4)),
    attention("hopper_128", Heads(1, 3, 300, 333, 128), "f16", hopper(128, 128, 2, 1, _TURNS)),
    attention("hopper_176", Heads(1, 2, 130, 500, 128), "bf16", hopper(128, 176, 2, 1, _TURNS)),
    attention("hopper_192", Heads(2, 2, 200, 1000, 64), "f16", hopper(192, 128, 2, 1, _TURNS)),
    attention("hopper_alone", Heads(2, 2, 200, 1000, 64), "f16", hopper(192, 64, 3, 1, "producer")),
    attention("hopper_two", Heads(1, 2, 200, 700, 64), "f16", hopper(64, 128, 3, 2, "overlapped")),
    attention("hopper_80", Heads(1, 2, 100, 150, 80), "bf16", hopper(128, 96, 2, 1, "overlapped")),
    attention("hopper_160", Heads(1, 2, 100, 150, 160), "f16", hopper(128, 64, 2, 1, "producer")),
    attention("hopper_256", Heads(1, 2, 100, 250, 256), "f16", hopper(128, 64, 2, 1, "producer")),
    attention("hopper_values", Heads(1, 4, 90, 130, 48, 2, 104), "f16", hopper(64, 64, 2, 2)),
    attention("hopper_causal", Heads(2, 4, 250, 270, 64, 2), "f16", hopper(64, 64, 2, 4), True),
    attention(
        "hopper_causal_turns",
        Heads(1, 4, 450, 470, 64),
        "f16",
        hopper(192, 128, 2, 1, _TURNS),
        True,
    ),
    # Most queries see no key at all
    attention("hopper_hidden", Heads(1, 1, 370, 40, 80, 1, 24), "f16", hopper(64, 64, 2, 2), True),
    attention("hopper_mixed", Heads(1, 2, 70, 77, 40), "f16", hopper(128, 80, 1, 2), result="bf16"),
    attention(
        "hopper_many",
        Heads(14, 10, 130, 150, 32),
        "f16",
        hopper(128, 64, 2, 1, _STAY),
    ),
    attention(
        "hopper_many_plain",
        Heads(30, 10, 20, 77, 40),
        "f16",
        hopper(64, 80, 2, 2, "producer, persistent"),
    ),
    attention(
        "hopper_many_causal",
        Heads(10, 8, 250, 200, 32),
        "bf16",
        hopper(128, 96, 3, 1, "producer, overlapped, persistent"),
        True,
    ),
    attention("hopper_split", Heads(1, 3, 70, 700, 64), "f16", hopper(64, 64, 2, 2, "splits = 4")),
    attention(
        "hopper_split_one",
        Heads(2, 4, 1, 1100, 128, 2),
        "bf16",
        hopper(64, 128, 2, 1, "overlapped, splits = 8"),
    ),
    # Some blocks have no keys, most queries see none
    attention(
        "hopper_split_hidden",
        Heads(1, 1, 120, 70, 80, 1, 24),
        "f16",
        hopper(64, 64, 2, 1, "splits = 2"),
        True,
    ),
    attention("hopper_kept", Heads(3, 2, 197, 197, 64), "f16", kept(128, 208, 2)),
    attention("hopper_kept_long", Heads(2, 2, 1000, 77, 40), "bf16", kept(192, 80, 3)),
    attention("hopper_kept_many", Heads(20, 14, 70, 150, 32), "f16", kept(192, 80, 4)),
    attention("hopper_kept_one", Heads(20, 14, 1, 50, 32), "f16", kept(128, 64, 2)),
    attention("hopper_kept_groups", Heads(2, 4, 130, 90, 48, 2, 104), "f16", kept(128, 48, 2)),
    attention("hopper_kept_causal", Heads(2, 4, 200, 170, 64), "f16", kept(192, 96, 3), True),
    masked("hopper_added", Heads(3, 2, 130, 300, 64), "added", hopper(192, 96, 3, 1, _STAY)),
    masked("hopper_added_odd", Heads(3, 2, 70, 77, 40), "added", hopper(64, 80, 1, 2)),
    masked("hopper_added_kept", Heads(3, 2, 70, 77, 40), "added", kept(128, 80, 2)),
    masked(
        "hopper_added_lowest",
        Heads(3, 2, 70, 100, 64),
        "added",
        hopper(128, 64, 2, 1, _TURNS),
        "bf16",
        lowest=_LOWEST,
    ),
    masked(
        "hopper_added_low",
        Heads(3, 2, 70, 100, 64),
        "added",
        hopper(64, 48, 2, 3),
        "bf16",
        lowest=-1e9,
    ),
    masked("hopper_shown", Heads(3, 2, 100, 190, 64), "shown", hopper(128, 64, 2, 2, _PLAIN)),
    masked("hopper_shown_kept", Heads(3, 2, 100, 190, 64), "shown", kept(192, 96, 2)),
    masked("hopper_counted", Heads(3, 2, 100, 200, 64), "counted", hopper(192, 64, 4, 1, _STAY)),
    masked("hopper_pairs", Heads(2, 3, 130, 200, 64), "added", kept(192, 112, 3), queries=True),
    masked(
        "hopper_pairs_lowest",
        Heads(2, 3, 130, 201, 64),
        "added",
        hopper(128, 128, 2, 1, _TURNS),
        "bf16",
        queries=True,
        lowest=_LOWEST,
    ),
    masked(
        "hopper_pairs_staged",
        Heads(2, 3, 230, 200, 64),
        "added",
        hopper(192, 96, 2, 1, f"{_STAY}, staged"),
        queries=True,
    ),
    masked(
        "hopper_pairs_staged_lowest",
        Heads(3, 2, 70, 144, 40),
        "added",
        hopper(128, 64, 3, 1, f"{_PLAIN}, staged"),
        "bf16",
        queries=True,
        lowest=_LOWEST,
    ),
    masked("hopper_pairs_shown", Heads(2, 3, 90, 96, 32), "shown", hopper(64, 48, 2), queries=True),
    masked("hopper_capped", Heads(2, 3, 90, 99, 32), "capped", hopper(64, 48, 2, 1, "overlapped")),
    masked("hopper_capped_kept", Heads(2, 3, 90, 96, 32), "capped", kept(128, 48, 3)),
    masked(
        "hopper_split_added",
        Heads(2, 3, 70, 700, 64),
        "added",
        hopper(64, 64, 2, 1, "overlapped, splits = 4"),
    ),
    # Several places to a block, one after the other
    attention("hopper_on", Heads(14, 20, 30, 150, 64, 2), "bf16", hopper(192, 64, 4, 1, _STAY)),
    attention("hopper_on_one", Heads(14, 10, 1, 50, 64, 1), "f16", hopper(128, 64, 2, 1, _STAY)),
    attention("hopper_on_128", Heads(14, 20, 20, 70, 128, 1), "f16", hopper(128, 64, 2, 1, _STAY)),
    # Some places have no keys that their queries see
    attention(
        "hopper_on_hidden", Heads(5, 10, 300, 40, 64, 1), "f16", hopper(128, 64, 2, 1, _STAY), True
    ),
    masked(
        "hopper_on_added", Heads(14, 10, 30, 130, 32), "added", hopper(128, 64, 3, 1, _STAY), "bf16"
    ),
    masked("hopper_on_capped", Heads(14, 10, 20, 99, 40), "capped", hopper(128, 48, 2, 1, _STAY)),
    attention("hopper_kept_few", Heads(14, 10, 50, 150, 40, 2), "f16", kept(128, 80, 3)),
    dynamic_keys("hopper_on_no_keys", 20, 0, hopper(128, 64, 2, 1, _STAY)),
    packed("hopper_packed", 2, 2, 135, 16, "f16", hopper(64, 64, 2, 2)),
    packed("hopper_packed_turns", 2, 3, 335, 64, "bf16", hopper(128, 64, 2, 1, _TURNS)),
    dynamic_keys("hopper_dynamic", 120, 253, hopper(128, 64, 2, 1, "producer, overlapped")),
    dynamic_keys("hopper_no_keys", 20, 0, hopper(64, 64, 2, 2)),
    dynamic_keys("hopper_no_queries", 0, 20, hopper(64, 64, 2, 2)),
    mapped(
        "hopper_lines",
        {"q": _ROWS_FIRST, "k": _KEYS_FIRST, "v": _KEYS_FIRST, "o": _ROWS_FIRST},
        hopper(64, 48, 2, 3),
    ),
    average("hopper_f32_result", hopper(64, 80, 1, 2), "bf16"),
    average("hopper_turns_f32_result", hopper(128, 64, 2, 1, _TURNS), "f16"),
    average("hopper_kept_f32_result", kept(128, 80, 2), "f16"),
    average("hopper_split_f32_result", hopper(64, 16, 2, 1, "overlapped, splits = 2"), "bf16"),
    attention("hopper_one_key", Heads(1, 1, 1, 1, 8), "f16", hopper(64, 16, 1)),
    # Batches share their keys, heads their values; results begin anywhere
    mapped(
        "hopper_shared",
        {
            "q": _ROWS_FIRST,
            "k": "offset 0, strides [0, 3600, 40, 1]",
            "v": "offset 0, strides [3600, 0, 40, 1]",
            "o": "offset 3, strides [9000, 2900, 41, 1]",
        },
        hopper(64, 64, 2, 2),
    ),
]
