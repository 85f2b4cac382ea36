"""Attention, however it is written, is one kernel and means what was written.

`Spelling` has a field for each choice that people make: where q, k and v come from and how their
heads are arranged, how heads of keys are repeated, where the scale is, what kind of mask, how the
softmax is spelled, and what happens to the result. All that mean the same take as many launches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.dialects.functions import find_function
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import evaluate as evaluated
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.property.examples import examples

F = nn.functional
Tensor = nn.Tensor

BATCH, SEQ = Dim("batch", 1, 4), Dim("seq", 1, 16)
SIZES = {"batch": 2, "seq": 5, "past": 3}
HEADS, DEPTH = 4, 6
WIDTH = HEADS * DEPTH


def made(layer: nn.Module) -> nn.Module:
    """The layer, with weights that differ from those of layers called before."""
    return layer.init_random(len(current_recorder().parameters))


@dataclass(frozen=True)
class Spelling:
    """One way to write `softmax(scale q k^T + mask) v`."""

    source: str = "heads-first"
    groups: int = 1
    """Heads of queries to a head of keys and values."""
    repeat: str = "expand"
    scale: str = "product"
    mask: str = "none"
    softmax: str = "op"
    rank: int = 4
    dtype: str = "f32"
    wide_factors: bool = False
    """Whether q, k and v are cast to f32 first."""
    one: bool = False
    """Whether the batch is 1, known when compiled."""
    ending: str = "heads"

    def launches(self) -> list[str]:
        """The kernels that the whole takes."""
        before = [] if self.source in INPUTS else ["gemm"]
        after = ["gemm"] if self.ending == "linear" else []
        return [*before, "attention", *after]


# Where the factors come from: to q, k, v of [batch, heads, seq, depth] ------------------------


def heads_of(x: Tensor) -> Tensor:
    """[batch, seq, heads * depth] as [batch, heads, seq, depth]."""
    return x.unflatten(-1, [-1, DEPTH]).transpose(1, 2)


def linears(x: Tensor, groups: int, before: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    widths = (WIDTH, WIDTH // groups, WIDTH // groups)
    q, k, v = (made(nn.Linear(WIDTH, n, dtype=x.dtype))(x) for n in widths)
    return heads_of(before(q)), heads_of(k), heads_of(v)


def packed(x: Tensor, groups: int, before: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    widths = [WIDTH, WIDTH // groups, WIDTH // groups]
    q, k, v = made(nn.Linear(WIDTH, sum(widths), dtype=x.dtype))(x).split(widths, -1)
    return heads_of(before(q)), heads_of(k), heads_of(v)


def unbound(x: Tensor, groups: int, before: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    """All heads in one dim, of which q, k and v are slices."""
    heads = HEADS // groups
    both = made(nn.Linear(WIDTH, WIDTH + 2 * heads * DEPTH, dtype=x.dtype))(x)
    both = both.unflatten(-1, [-1, DEPTH]).permute(0, 2, 1, 3)
    return before(both[:, :HEADS]), both[:, HEADS : HEADS + heads], both[:, HEADS + heads :]


def heads_first(
    q: Tensor, k: Tensor, v: Tensor, before: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    return before(q), k, v


def heads_last(
    q: Tensor, k: Tensor, v: Tensor, before: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    return before(q).transpose(1, 2), k.permute(0, 2, 1, 3), v.transpose(2, 1)


def keys_transposed(
    q: Tensor, k: Tensor, v: Tensor, before: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    return before(q), k.mT, v


INPUTS: Mapping[str, Callable[..., tuple[Tensor, ...]]] = {
    "heads-first": heads_first,
    "heads-last": heads_last,
    "keys-transposed": keys_transposed,
}
PROJECTIONS: Mapping[str, Callable[..., tuple[Tensor, ...]]] = {
    "linears": linears,
    "packed": packed,
    "unbound": unbound,
}


def specs_of(spelling: Spelling) -> dict[str, TensorSpec]:
    """The inputs of a model: q, k, v or x, and a mask."""
    few, batch = HEADS // spelling.groups, 1 if spelling.one else BATCH
    if spelling.source in PROJECTIONS:
        shapes: dict[str, Any] = {"x": (batch, SEQ, WIDTH)}
    elif spelling.source == "heads-last":
        shapes = {
            "q": (batch, SEQ, HEADS, DEPTH),
            "k": (batch, SEQ, few, DEPTH),
            "v": (batch, SEQ, few, DEPTH),
        }
    else:
        turned = spelling.source == "keys-transposed"
        shapes = {
            "q": (batch, HEADS, SEQ, DEPTH),
            "k": (batch, few, DEPTH, SEQ) if turned else (batch, few, SEQ, DEPTH),
            "v": (batch, few, SEQ, DEPTH),
        }
    specs = {name: TensorSpec(shape, spelling.dtype) for name, shape in shapes.items()}
    if spelling.mask in MASK_SPECS:
        shape, dtype = MASK_SPECS[spelling.mask]
        specs["mask"] = TensorSpec((batch, *shape), dtype)
    return specs


# Repeated heads --------------------------------------------------------------------------------


def by_expand(x: Tensor, times: int) -> Tensor:
    batch, heads, length, size = x.shape
    wide = x[:, :, None, :, :].expand(batch, heads, times, length, size)
    return wide.reshape(batch, heads * times, length, size)


def by_interleave(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, 1)


def by_expand_of_sequences(x: Tensor, times: int) -> Tensor:
    """Repeated while the sequence is still the second dim."""
    return x.transpose(1, 2).repeat_interleave(times, 2).transpose(1, 2)


def heads_repeated(x: Tensor, times: int) -> list[int]:
    """The head of keys that each head of queries reads."""
    heads = x.shape[1]
    assert isinstance(heads, int)
    return [head for head in range(heads) for _ in range(times)]


def by_concat(x: Tensor, times: int) -> Tensor:
    return nn.cat([x.unsqueeze(2)] * times, 2).flatten(1, 2)


def by_stack(x: Tensor, times: int) -> Tensor:
    return nn.stack([x] * times, 2).reshape(x.shape[0], -1, *x.shape[2:])


def by_concat_of_heads(x: Tensor, times: int) -> Tensor:
    return nn.cat([x[:, head : head + 1] for head in heads_repeated(x, times)], 1)


def by_concat_of_split(x: Tensor, times: int) -> Tensor:
    parts = x.split(1, 1)
    return nn.cat([part for part in parts for _ in range(times)], 1)


def by_tile(x: Tensor, times: int) -> Tensor:
    """Tiled along a dim behind the heads."""
    return x.unsqueeze(2).repeat(1, 1, times, 1, 1).flatten(1, 2)


def by_index(x: Tensor, times: int) -> Tensor:
    return x[:, heads_repeated(x, times)]


def by_computed_index(x: Tensor, times: int) -> Tensor:
    heads = x.shape[1] * times
    return x.index_select(1, nn.arange(heads) // times)


def by_repeated_index(x: Tensor, times: int) -> Tensor:
    return x.index_select(1, nn.arange(x.shape[1]).repeat_interleave(times, 0))


def by_matrix_of_indices(x: Tensor, times: int) -> Tensor:
    indices = np.array(heads_repeated(x, times)).reshape(-1, times)
    return x.index_select(1, indices).flatten(1, 2)


REPEATS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "expand": by_expand,
    "interleave": by_interleave,
    "of-sequences": by_expand_of_sequences,
    "concat": by_concat,
    "stack": by_stack,
    "concat-of-heads": by_concat_of_heads,
    "concat-of-split": by_concat_of_split,
    "tile": by_tile,
    "index": by_index,
    "computed-index": by_computed_index,
    "repeated-index": by_repeated_index,
    "matrix-of-indices": by_matrix_of_indices,
}


# Scale, mask and softmax -----------------------------------------------------------------------

SCALE = DEPTH**-0.5
MASK_SPECS = {
    "added": ((1, 1, SEQ), "f32"),
    "added-to-heads": ((HEADS, SEQ, SEQ), "f32"),
    "kept": ((1, SEQ, SEQ), "i1"),
    "filled": ((1, 1, SEQ), "i1"),
    "infinite": ((1, SEQ, SEQ), "i1"),
}


def triangle(x: Tensor) -> Tensor:
    """[1, 1, seq, seq]: whether a query sees a key."""
    length = x.shape[-1]
    return nn.tril(nn.full((length, length), True))[None, None]


def causal_by_order(scores: Tensor, _: Tensor | None) -> Tensor:
    length = scores.shape[-1]
    hidden = nn.arange(length)[None, :] > nn.arange(length)[:, None]
    return scores.masked_fill(hidden, -1e4)


def lowest(x: Tensor) -> float:
    return float(nn.finfo(x.dtype).min)


INFINITE = float("-inf")


def positions(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Of queries, as a column, and of keys; the last query is where the last key is."""
    queries, keys = scores.shape[-2:]
    return (nn.arange(queries) + (keys - queries))[:, None], nn.arange(keys)


def filled_triangle(s: Tensor) -> Tensor:
    """A triangle is filled in a matrix of lowest numbers, which is added."""
    length = s.shape[-1]
    index = nn.arange(length)
    mask = nn.full((length, length), lowest(s), s.dtype)
    return s + mask.masked_fill(index < (index + 1).reshape(length, 1), 0.0)


def multiplied_triangle(s: Tensor) -> Tensor:
    """A triangle of lowest numbers is multiplied by a comparison."""
    length = s.shape[-1]
    mask = nn.triu(nn.full((length, length), lowest(s), s.dtype), 1)
    hidden = nn.arange(length) > nn.arange(length).reshape(-1, 1)
    return s + (mask * hidden.to(s.dtype))[None, None]


def subtracted_triangle(s: Tensor) -> Tensor:
    """Scores are multiplied by a triangle of ones, and what is hidden is pushed down."""
    ones = nn.tril(nn.full((s.shape[-1], s.shape[-1]), 1.0, s.dtype))
    return s * ones - (1 - ones) * -lowest(s)


def part_of_literal(s: Tensor) -> Tensor:
    """The first rows and columns of a buffer for the longest sequence."""
    buffer = nn.tensor(np.tril(np.ones((1, 1, 16, 16), np.bool_)))
    queries, keys = s.shape[-2:]
    return nn.where(buffer[:, :, keys - queries : keys, :keys], s, lowest(s))


def part_of_added_literal(s: Tensor) -> Tensor:
    buffer = nn.tensor(np.triu(np.full((16, 16), INFINITE, np.float32), 1))
    return s + buffer[: s.shape[-2], : s.shape[-1]].to(s.dtype)


def clipped(s: Tensor) -> Tensor:
    rows, columns = positions(s)
    return nn.maximum(s + nn.where(columns <= rows, 0.0, INFINITE).to(s.dtype), lowest(s))


def by_float_positions(s: Tensor) -> Tensor:
    rows, columns = (x.to("f32") for x in positions(s))
    return s.masked_fill(rows - columns < 0, INFINITE)


def by_int_positions(s: Tensor) -> Tensor:
    rows, columns = (x.to("i32") for x in positions(s))
    return nn.where((columns > rows).logical_not(), s, INFINITE)


CAUSAL_MASKS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "triangle": lambda s: nn.where(triangle(s), s, lowest(s)),
    "triangle-1e9": lambda s: nn.where(triangle(s), s, INFINITE if s.dtype == "f16" else -1e9),
    "upper-triangle": lambda s: s.masked_fill(
        nn.triu(nn.full((s.shape[-1], s.shape[-1]), True), 1), INFINITE
    ),
    "order": lambda s: nn.where(positions(s)[0] >= positions(s)[1], s, INFINITE),
    "added": lambda s: s + nn.triu(nn.full((s.shape[-1], s.shape[-1]), INFINITE, s.dtype), 1)[None],
    "filled": filled_triangle,
    "multiplied": multiplied_triangle,
    "subtracted": subtracted_triangle,
    "literal": part_of_literal,
    "added-literal": part_of_added_literal,
    "clipped": clipped,
    "float-positions": by_float_positions,
    "int-positions": by_int_positions,
}
"""Masks that hide the keys behind each query, and nothing else."""

MASKS: Mapping[str, Callable[[Tensor, Any], Tensor]] = {
    **{f"causal-{name}": (lambda s, _, f=f: f(s)) for name, f in CAUSAL_MASKS.items()},
    "none": lambda s, m: s,
    "added": lambda s, m: s + m.to(s.dtype),
    "added-to-heads": lambda s, m: m.to(s.dtype) + s,
    "kept": lambda s, m: nn.where(m, s, float(nn.finfo(s.dtype).min)),
    "filled": lambda s, m: s.masked_fill(m, -1e4),
    "infinite": lambda s, m: s.masked_fill(~m, float("-inf")),
    "causal-by-order": causal_by_order,
    "causal-by-triangle": lambda s, m: nn.where(triangle(s), s, -1e4),
    "causal-added": lambda s, m: s + nn.triu(nn.full((s.shape[-1], s.shape[-1]), -1e4, s.dtype), 1),
}


def same(x: Tensor) -> Tensor:
    return x


def scaled(x: Tensor) -> Tensor:
    return x * SCALE


def written_softmax(scores: Tensor) -> Tensor:
    e = (scores - scores.max(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def inverse_softmax(scores: Tensor) -> Tensor:
    """With a product, and sums whose dim comes back later."""
    e = (scores - scores.max(-1).unsqueeze(-1)).exp()
    return e * (1 / e.sum(-1)[..., None])


def wide_softmax(scores: Tensor) -> Tensor:
    return scores.float().softmax(-1).to(scores.dtype)


def wide_written_softmax(scores: Tensor) -> Tensor:
    return written_softmax(scores.to("f32")).type_as(scores)


SOFTMAXES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "op": lambda s: s.softmax(-1),
    "written": written_softmax,
    "inverse": inverse_softmax,
    "wide": wide_softmax,
    "wide-written": wide_written_softmax,
}

QUERY_SCALES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "queries": scaled,
    "queries-divided": lambda q: q / math.sqrt(DEPTH),
    "both": lambda q: q * DEPTH**-0.25,
}
KEY_SCALES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "keys": lambda k: SCALE * k,
    "both": lambda k: k * DEPTH**-0.25,
}
SCORE_SCALES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "product": lambda s: s * SCALE,
    "quotient": lambda s: s / math.sqrt(DEPTH),
}
SCALES = (*SCORE_SCALES, *QUERY_SCALES, "keys", "projected")


def merged(x: Tensor) -> Tensor:
    """[batch, heads, seq, depth] as [batch, seq, heads * depth]."""
    return x.transpose(1, 2).flatten(2)


ENDINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "heads": same,
    "merged": merged,
    "linear": lambda x: made(nn.Linear(WIDTH, 7, dtype=x.dtype))(merged(x)),
}


# The model -------------------------------------------------------------------------------------


def attend(spelling: Spelling, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Factors of [batch, heads, seq, depth] to a result of that shape."""
    batch, _, length, _ = q.shape
    groups = spelling.groups
    q = QUERY_SCALES.get(spelling.scale, same)(q)
    k = KEY_SCALES.get(spelling.scale, same)(k)
    if groups > 1 and spelling.repeat in REPEATS:
        k, v = (REPEATS[spelling.repeat](x, groups) for x in (k, v))
    if groups > 1 and spelling.repeat == "broadcast":
        q, k, v = q.unflatten(1, [-1, groups]), k.unsqueeze(2), v.unsqueeze(2)
    if spelling.rank == 3:
        q, k, v = (x.reshape(-1, length, DEPTH) for x in (q, k, v))
    dtype = q.dtype
    if spelling.wide_factors:
        q, k, v = (x.float() for x in (q, k, v))
    scores = SCORE_SCALES.get(spelling.scale, same)(q @ k.transpose(-1, -2))
    shape = scores.shape
    if spelling.mask != "none":
        scores = scores.reshape(batch, HEADS, length, length)
        scores = MASKS[spelling.mask](scores, mask).reshape(shape)
    mixed = (SOFTMAXES[spelling.softmax](scores) @ v).to(dtype)
    return mixed.reshape(batch, HEADS, length, DEPTH)


def model_of(spelling: Spelling) -> Callable[..., Tensor]:
    def model(**inputs: Tensor) -> Tensor:
        mask = inputs.pop("mask", None)
        before = scaled if spelling.scale == "projected" else same
        if spelling.source in PROJECTIONS:
            q, k, v = PROJECTIONS[spelling.source](inputs["x"], spelling.groups, before)
        else:
            q, k, v = INPUTS[spelling.source](**inputs, before=before)
        return ENDINGS[spelling.ending](attend(spelling, q, k, v, mask))

    return model


def array_for(name: str, spec: TensorSpec, rng: np.random.Generator) -> Any:
    """Random values. A mask of bools is true for no row's first key alone, so that each query sees
    a key whether true means seen or hidden."""
    shape = tuple(evaluated(dim, SIZES) for dim in spec.shape)
    if spec.dtype == "i1":
        kept = rng.random(shape) < 0.7
        kept[..., 0], kept[..., 1:2] = True, False
        return kept
    return rng.standard_normal(shape, np.float32).astype(nn.numpy_dtype(spec.dtype))


TOLERANCE = {"f32": 1e-5, "f16": 4e-3, "bf16": 3e-2}


def lowered(model: Callable[..., Any], specs: Mapping[str, TensorSpec], dtype: str) -> list[str]:
    """The kernels of a model after the default pipeline, each pass of which keeps its meaning."""
    return [op.name.removeprefix("kernel.") for op in lowered_ops(model, specs, dtype)]


def lowered_ops(
    model: Callable[..., Any],
    specs: Mapping[str, TensorSpec],
    dtype: str,
    inputs: Mapping[str, Any] | None = None,
) -> list[KernelOp]:
    """The same as ops."""
    program = trace(model, specs)
    rng = np.random.default_rng(0)
    if inputs is None:
        inputs = {name: array_for(name, spec, rng) for name, spec in specs.items()}
    want = evaluate(program, inputs)
    changed = program.clone()
    run_pipeline(changed.module, verify=True)
    got = evaluate(changed, inputs)
    for name, expected in want.items():
        assert got[name].dtype == expected.dtype
        a, b = (np.asarray(v, np.float32) for v in (got[name], expected))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype], err_msg=name)
    main = find_function(changed.module, "main")
    assert main is not None
    return [op for op in main.walk() if isinstance(op, KernelOp)]


def kernels_of(spelling: Spelling) -> list[str]:
    return lowered(model_of(spelling), specs_of(spelling), spelling.dtype)


# Spellings that mean attention -----------------------------------------------------------------

EXAMPLES = examples(150)


@st.composite
def spellings(draw: st.DrawFn) -> Spelling:
    """Any spelling. Repetition by broadcasting has a batch dim of its own, so no rank of 3."""
    groups = draw(st.sampled_from((1, 2, HEADS)))
    repeat = draw(st.sampled_from((*REPEATS, "broadcast")))
    broadcast = groups > 1 and repeat == "broadcast"
    return Spelling(
        source=draw(st.sampled_from((*INPUTS, *PROJECTIONS))),
        groups=groups,
        repeat=repeat,
        scale=draw(st.sampled_from(SCALES)),
        mask=draw(st.sampled_from(tuple(MASKS))),
        softmax=draw(st.sampled_from(tuple(SOFTMAXES))),
        rank=4 if broadcast else draw(st.sampled_from((4, 3))),
        dtype=draw(st.sampled_from(tuple(TOLERANCE))),
        wide_factors=draw(st.booleans()),
        one=draw(st.booleans()),
        ending=draw(st.sampled_from(tuple(ENDINGS))),
    )


@given(spellings())
@EXAMPLES
def test_every_spelling_is_one_attention(spelling: Spelling) -> None:
    assert kernels_of(spelling) == spelling.launches()


# Heads of batches in one dim are not grouped by the op.
OP_SPELLINGS = [
    (repeat, rank)
    for repeat in (*REPEATS, "op", "none")
    for rank in (3, 4)
    if (repeat, rank) != ("op", 3)
]


@pytest.mark.parametrize(("repeat", "rank"), OP_SPELLINGS)
@pytest.mark.parametrize("causal", [False, True])
def test_the_op_reads_what_its_factors_were_made_from(repeat: str, causal: bool, rank: int) -> None:
    groups = 1 if repeat == "none" else 2

    def model(x: Tensor) -> Tensor:
        q, k, v = linears(x, groups, lambda q: q * 0.5)
        if repeat in REPEATS:
            k, v = (REPEATS[repeat](part, groups) for part in (k, v))
        shape = q.shape
        if rank == 3:
            q, k, v = (part.reshape(-1, 1, *shape[2:]) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(
            q, -k, v, is_causal=causal, enable_gqa=repeat == "op"
        )
        return ENDINGS["linear"](mixed.reshape(*shape))

    specs = {"x": TensorSpec((BATCH, SEQ, WIDTH))}
    assert lowered(model, specs, "f32") == ["gemm", "attention", "gemm"]


@pytest.mark.parametrize("place", ["probabilities", "values", "result"])
def test_a_scale_behind_the_softmax_moves_into_the_next_product(place: str) -> None:
    def model(x: Tensor) -> Tensor:
        q, k, v = linears(x, 1, same)
        p = (q @ k.mT).softmax(-1)
        p, v = p * 0.9 if place == "probabilities" else p, v * 0.9 if place == "values" else v
        mixed = p @ v * 0.9 if place == "result" else p @ v
        return ENDINGS["linear"](mixed)

    specs = {"x": TensorSpec((BATCH, SEQ, WIDTH))}
    assert lowered(model, specs, "f32") == ["gemm", "attention", "gemm"]


def test_code_behind_attention_is_a_kernel_of_its_own() -> None:
    def model(q: Tensor, k: Tensor, v: Tensor, r: Tensor) -> Tensor:
        return merged(((q @ k.mT).softmax(-1) @ v).tanh()) + r

    heads = TensorSpec((BATCH, HEADS, SEQ, DEPTH))
    specs = {"q": heads, "k": heads, "v": heads, "r": TensorSpec((BATCH, SEQ, WIDTH))}
    assert lowered(model, specs, "f32") == ["attention", "pointwise"]


# Near misses -----------------------------------------------------------------------------------

Heads = Callable[[Tensor, Tensor, Tensor], Any]


def over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-2) @ v


def over_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(1) @ v


def returned(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    p = (q @ k.mT).softmax(-1)
    return p, p @ v


def scores_returned(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    scores = q @ k.mT
    return scores, scores.softmax(-1) @ v


def used_twice(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    p = (q @ k.mT).softmax(-1)
    return p @ (p @ v)


def transposed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-1).mT @ v


def heads_exchanged(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Probabilities of one head for the values of another."""
    batch, heads, length, _ = q.shape
    p = (q @ k.mT).softmax(-1).reshape(batch, 2, heads // 2, length, length)
    return p.transpose(1, 2).reshape(batch, heads, length, length) @ v


def weighted_columns(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q @ k.mT).softmax(-1) * k[..., 0].unsqueeze(-2)) @ v


@pytest.mark.parametrize(
    "model",
    [
        over_queries,
        over_heads,
        returned,
        scores_returned,
        used_twice,
        transposed,
        heads_exchanged,
        weighted_columns,
    ],
)
def test_what_is_no_attention_stays_apart(model: Heads) -> None:
    heads = TensorSpec((BATCH, HEADS, SEQ, DEPTH))
    kernels = lowered(model, {"q": heads, "k": heads, "v": heads}, "f32")
    assert "attention" not in kernels
    assert {"rowwise", "gemm_rowwise"} & set(kernels)


def tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Head h reads keys h % 2."""
    k, v = k.repeat(1, 2, 1, 1), v.repeat(1, 2, 1, 1)
    return (q @ k.mT).softmax(-1) @ v


def keys_tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.repeat(1, 2, 1, 1).mT).softmax(-1) @ by_expand(v, 2)


def different_times(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ by_expand(k[:, :1], 4).mT).softmax(-1) @ by_expand(v, 2)


def tiled_op(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k.repeat(1, 2, 1, 1), v.repeat(1, 2, 1, 1))


def keys_tiled_op(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k.repeat(1, 2, 1, 1), by_expand(v, 2))


@pytest.mark.parametrize("model", [tiled, keys_tiled, different_times, tiled_op, keys_tiled_op])
def test_other_repetitions_are_right(model: Heads) -> None:
    few = TensorSpec((BATCH, 2, SEQ, DEPTH))
    kernels = lowered(
        model, {"q": TensorSpec((BATCH, HEADS, SEQ, DEPTH)), "k": few, "v": few}, "f32"
    )
    assert kernels.count("attention") <= 1


@pytest.mark.parametrize("scale", [0.0, 1e30, 1e-30, float("inf")])
def test_extreme_scales_stay_on_the_factor(scale: float) -> None:
    def model(x: Tensor, y: Tensor) -> Tensor:
        return (x * scale) @ y

    square = TensorSpec((5, 5))
    assert lowered(model, {"x": square, "y": square}, "f32") == ["pointwise", "gemm"]


def test_a_scaled_factor_that_is_also_returned_is_computed_once() -> None:
    def model(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scaled = x * 0.5
        return scaled, scaled @ y

    square = TensorSpec((5, 5))
    assert lowered(model, {"x": square, "y": square}, "f32") == ["pointwise", "gemm"]


def test_rounding_of_a_factor_that_is_written_stays() -> None:
    """What is cast to fewer bits and back is not what it was."""

    def model(x: Tensor, y: Tensor) -> Tensor:
        return x.to("bf16").float() @ y

    square = TensorSpec((5, 5))
    assert lowered(model, {"x": square, "y": square}, "f32") == ["pointwise", "gemm"]
