"""Masks that hide the keys behind each query, and their near misses.

A mask that is nothing but causal is no operand and no code of the attention, which then skips keys;
one that hides anything else, or that leaves a key any weight, must mean what it meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects.kernel import AttentionOp, IndexOp
from ait.dialects.symbolic import evaluate as evaluated
from ait.ir.interpreter import evaluate
from ait.ir.trace import Dim, TensorSpec, trace
from ait.runtime.loader import load
from tests.property.examples import examples
from tests.property.test_attention_spellings import (
    BATCH,
    CAUSAL_MASKS,
    DEPTH,
    HEADS,
    INFINITE,
    SEQ,
    SIZES,
    lowered_ops,
    lowest,
    positions,
    triangle,
)

F = nn.functional
Tensor = nn.Tensor
Mask = Callable[[Tensor], Tensor]

PAST = Dim("past", 0, 8)


def attended(mask: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def model(q: Tensor, k: Tensor, v: Tensor, **others: Tensor) -> Tensor:
        others.pop("past", None)
        return mask(q @ k.mT * DEPTH**-0.5, **others).softmax(-1) @ v

    return model


def factors(
    queries: Any, keys: Any, dtype: str = "f32", batch: Any = BATCH
) -> dict[str, TensorSpec]:
    """Specs of q, k and v."""
    q, k = (TensorSpec((batch, HEADS, length, DEPTH), dtype) for length in (queries, keys))
    past = {"past": TensorSpec((PAST,))} if str(PAST) in str(keys) else {}
    return {"q": q, "k": k, "v": k, **past}


def attention_of(model: Callable[..., Any], specs: Mapping[str, TensorSpec]) -> AttentionOp:
    """The only kernel of a model."""
    (op,) = lowered_ops(model, specs, str(specs["q"].dtype))
    assert isinstance(op, AttentionOp)
    return op


def asks_positions(op: AttentionOp) -> bool:
    return any(isinstance(scalar, IndexOp) for scalar in op.score.block.ops)


def assert_only_causal(op: AttentionOp) -> None:
    assert op.causal is not None
    assert len(op.ins) == op.DATA_OPERANDS, "a mask is left as operand"
    assert not asks_positions(op), "a mask is left as code"


# What is causal -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("mask", CAUSAL_MASKS)
def test_masks_that_hide_later_keys_vanish(mask: str, dtype: str) -> None:
    assert_only_causal(attention_of(attended(CAUSAL_MASKS[mask]), factors(SEQ, SEQ, dtype)))


@pytest.mark.parametrize("mask", CAUSAL_MASKS)
def test_so_they_do_for_a_known_length(mask: str) -> None:
    """Where masks could be computed when compiled."""
    assert_only_causal(attention_of(attended(CAUSAL_MASKS[mask]), factors(7, 7)))


def cached_literal(s: Tensor) -> Tensor:
    buffer = nn.tensor(np.tril(np.ones((24, 24), np.bool_)))
    queries, keys = s.shape[-2:]
    return nn.where(buffer[keys - queries : keys, :keys], s, lowest(s))


def cached_triangle(s: Tensor) -> Tensor:
    queries, keys = s.shape[-2:]
    rows, columns = nn.arange(queries)[:, None], nn.arange(keys)[None]
    return s + nn.where(columns - rows > keys - queries, INFINITE, 0.0)


CACHED: Mapping[str, Mask] = {
    "order": CAUSAL_MASKS["order"],
    "literal": cached_literal,
    "triangle": cached_triangle,
    "clipped": CAUSAL_MASKS["clipped"],
    "int-positions": CAUSAL_MASKS["int-positions"],
}


@pytest.mark.parametrize("mask", CACHED)
@pytest.mark.parametrize(("queries", "keys"), [(SEQ, SEQ + PAST), (3, 8)])
def test_the_last_query_sees_all_keys_of_a_cache(mask: str, queries: Any, keys: Any) -> None:
    assert_only_causal(attention_of(attended(CACHED[mask]), factors(queries, keys)))


# With other masks -----------------------------------------------------------------------------


def padding_added(s: Tensor, mask: Tensor) -> Tensor:
    length = s.shape[-1]
    return s + (nn.triu(nn.full((length, length), INFINITE), 1) + mask)


def padding_added_later(s: Tensor, mask: Tensor) -> Tensor:
    return CAUSAL_MASKS["added"](s) + mask


def padding_kept(s: Tensor, mask: Tensor) -> Tensor:
    return nn.where(triangle(s) & (mask > 0), s, INFINITE)


def padding_filled(s: Tensor, mask: Tensor) -> Tensor:
    return CAUSAL_MASKS["order"](s.masked_fill(mask > 0, -1e9))


PADDED: Mapping[str, Callable[..., Tensor]] = {
    "added": padding_added,
    "added-later": padding_added_later,
    "kept": padding_kept,
    "filled": padding_filled,
}


@pytest.mark.parametrize("name", PADDED)
def test_of_several_masks_the_others_are_left(name: str) -> None:
    specs = {**factors(SEQ, SEQ), "mask": TensorSpec((BATCH, 1, 1, SEQ))}
    length = SIZES["seq"]
    rng = np.random.default_rng(1)
    inputs = {n: rng.standard_normal((2, HEADS, length, DEPTH), np.float32) for n in "qkv"}
    inputs["mask"] = rng.standard_normal((2, 1, 1, length)).astype(np.float32)
    inputs["mask"][..., 0] = 1.0  # each query sees the first key, where positive means seen
    (op,) = lowered_ops(attended(PADDED[name]), specs, "f32", inputs)
    assert isinstance(op, AttentionOp)
    assert op.causal is not None
    assert not asks_positions(op)
    (extra,) = op.in_access[3:]
    assert [stride == 0 for stride in extra.strides] == [False, True, True, False]


def test_a_mask_of_several_layers_is_looked_through() -> None:
    def model(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        both = triangle(q @ k.mT) & mask
        for _ in range(3):
            q = F.scaled_dot_product_attention(q, k, v, both)
        return q

    specs = {**factors(SEQ, SEQ), "mask": TensorSpec((BATCH, 1, 1, SEQ), "i1")}
    ops = lowered_ops(model, specs, "f32")
    assert [op.name for op in ops] == ["kernel.attention"] * 3
    assert all(isinstance(op, AttentionOp) and op.causal is not None for op in ops)
    assert all(len(op.ins) == 4 for op in ops)


def test_a_sliding_window_is_causal_and_stays_a_window() -> None:
    def mask(s: Tensor) -> Tensor:
        rows, columns = positions(s)
        return nn.where((columns <= rows) & (columns > rows - 2), s, INFINITE)

    op = attention_of(attended(mask), factors(SEQ, SEQ))
    assert op.causal is not None
    assert asks_positions(op)


# Near misses ----------------------------------------------------------------------------------


def literal_but_one(s: Tensor) -> Tensor:
    """One key more is seen."""
    seen = np.tril(np.ones((7, 7), np.bool_))
    seen[2, 5] = True
    return nn.where(nn.tensor(seen), s, INFINITE)


def literal_of_three_values(s: Tensor) -> Tensor:
    mask = np.triu(np.full((7, 7), -np.inf, np.float32), 1)
    mask[5, 1] = -1.0
    return s + nn.tensor(mask)


def literal_of_two_heads(s: Tensor) -> Tensor:
    """Different triangles for the heads."""
    both = np.stack([np.tri(7, 7, d, dtype=np.bool_) for d in (0, 1, 0, 0)])
    return nn.where(nn.tensor(both), s, INFINITE)


def ordered(hidden: Callable[[Tensor, Tensor], Tensor], value: float = INFINITE) -> Mask:
    """Scores of keys that are hidden by their position and the query's are `value`."""
    return lambda s: s.masked_fill(hidden(*positions(s)), value)


NEAR_MISSES: Mapping[str, Mask] = {
    "one-more": ordered(lambda i, j: j > i + 1),
    "one-less": ordered(lambda i, j: (j >= i) & (j > 0)),
    "transposed": ordered(lambda i, j: j < i),
    "band": ordered(lambda i, j: (j - i > 1) | (i - j > 1)),
    "diagonal": ordered(lambda i, j: j != i),
    "twice-as-steep": ordered(lambda i, j: j > 2 * i),
    "constant": ordered(lambda i, j: (j > 3) & (i >= 0)),
    "small-value": ordered(lambda i, j: j > i, -5.0),
    "value-of-scores": ordered(lambda i, j: j > i, -1e4),
    "literal-but-one": literal_but_one,
    "literal-of-three-values": literal_of_three_values,
    "literal-of-two-heads": literal_of_two_heads,
}

HIDE_MORE = ("one-less", "diagonal")


@pytest.mark.parametrize("name", NEAR_MISSES)
@pytest.mark.parametrize("length", [SEQ, 7])
def test_other_masks_stay(name: str, length: Any) -> None:
    if name.startswith("literal") and length is SEQ:
        return
    op = attention_of(attended(NEAR_MISSES[name]), factors(length, length))
    # What hides all that causal hides, and more, may be causal, but stays.
    assert op.causal is None or asks_positions(op)
    assert op.causal is None or name in HIDE_MORE


@pytest.mark.parametrize(("queries", "keys"), [(SEQ, SEQ + PAST), (3, 8), (8, 3)])
def test_the_first_key_for_the_first_query_is_another_mask(queries: Any, keys: Any) -> None:
    """As PyTorch counts: query i sees keys up to i."""

    def mask(s: Tensor) -> Tensor:
        queries, keys = s.shape[-2:]
        return nn.where(nn.arange(queries)[:, None] >= nn.arange(keys), s, INFINITE)

    op = attention_of(attended(mask), factors(queries, keys))
    # With more keys than queries it hides what causal hides, and more.
    assert op.causal is None or asks_positions(op)


def test_queries_before_all_keys_see_nothing_or_all() -> None:
    """Scores of -inf leave such queries nothing, finite ones leave them everything."""

    def model(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = positions(q @ k.mT)
        nothing = F.scaled_dot_product_attention(q, k, v, columns <= rows)
        everything = nn.where(columns <= rows, q @ k.mT, lowest(q)).softmax(-1) @ v
        return nothing, everything

    ops = lowered_ops(model, factors(6, 2), "f32")
    assert [op.causal is not None for op in ops if isinstance(op, AttentionOp)] == [True, False]


def test_a_row_whose_visible_keys_are_all_hidden_by_another_mask() -> None:
    """It sees all keys that are as low, also later ones: so a finite mask beside another stays."""

    def model(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        s, t, u = (q @ (k * c).mT for c in (1.0, 2.0, 3.0))
        together = nn.where(triangle(s) & mask, s, lowest(s)).softmax(-1) @ v
        added = (filled(t, mask) + triangle_of_lowest(t)).softmax(-1) @ v
        infinite = (u.masked_fill(~mask, INFINITE) + triangle_of_lowest(u)).softmax(-1) @ v
        return together, added, infinite

    def filled(s: Tensor, mask: Tensor) -> Tensor:
        return s.masked_fill(~mask, -1e9)

    def triangle_of_lowest(s: Tensor) -> Tensor:
        return nn.triu(nn.full((s.shape[-1], s.shape[-1]), lowest(s)), 1)

    specs = {**factors(SEQ, SEQ), "mask": TensorSpec((BATCH, 1, 1, SEQ), "i1")}
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal((2, HEADS, 5, DEPTH), np.float32) for name in "qkv"}
    inputs["mask"] = np.array([False, False, True, True, True]).reshape(1, 1, 1, 5).repeat(2, 0)
    ops = lowered_ops(model, specs, "f32", inputs)
    attentions = [op for op in ops if isinstance(op, AttentionOp)]
    assert len(attentions) == 3, [op.name for op in ops]
    # The lowest number hides a key even if all others have -1e9.
    assert [op.causal is not None for op in attentions] == [False, True, False]


# Any mask of positions ------------------------------------------------------------------------

Decide = Callable[[Any, Any], Any]
COMPARISONS: tuple[Decide, ...] = (
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a == b,
    lambda a, b: a != b,
)


@st.composite
def comparisons(draw: st.DrawFn) -> Decide:
    """A comparison of lines over the positions, near the diagonal in most cases."""
    compare = draw(st.sampled_from(COMPARISONS))
    a, b = draw(st.sampled_from(((1, 1), (1, 1), (-1, -1), (2, 1), (0, 1), (1, 0))))
    c = draw(st.integers(-3, 3))
    exchanged = draw(st.booleans())
    return lambda i, j: compare(j * b + c, i * a) if exchanged else compare(i * a, j * b + c)


def inverted(decide: Decide) -> Decide:
    return lambda i, j: ~decide(i, j)


def joined(parts: tuple[Decide, Decide, Decide]) -> Decide:
    a, b, combine = parts
    return lambda i, j: combine(a(i, j), b(i, j))


COMBINATIONS: tuple[Decide, ...] = (
    lambda a, b: a & b,
    lambda a, b: a | b,
    lambda a, b: a ^ b,
)


def combined(parts: st.SearchStrategy[Decide]) -> st.SearchStrategy[Decide]:
    both = st.tuples(parts, parts, st.sampled_from(COMBINATIONS))
    return st.one_of(parts.map(inverted), both.map(joined))


DECISIONS = st.recursive(comparisons(), combined, max_leaves=4)


@given(
    DECISIONS,
    st.sampled_from([(SEQ, SEQ), (SEQ, SEQ + PAST), (5, 5), (2, 6), (6, 2), (1, 5), (4, 1)]),
    st.booleans(),
)
@examples(60)
def test_any_mask_of_positions_means_the_same(
    seen: Decide, lengths: tuple[Any, Any], padded: bool
) -> None:
    def model(q: Tensor, k: Tensor, v: Tensor, **others: Tensor) -> Tensor:
        queries, keys = q.shape[-2], k.shape[-2]
        rows, columns = nn.arange(queries)[:, None], nn.arange(keys)[None]
        mask = seen(rows + (keys - queries), columns)
        if padded:
            mask = mask & others["mask"]
        return F.scaled_dot_product_attention(q, k, v, mask)

    specs = factors(*lengths)
    if padded:
        specs["mask"] = TensorSpec((BATCH, 1, 1, lengths[1]), "i1")
    (op,) = (op for op in lowered_ops(model, specs, "f32") if isinstance(op, AttentionOp))
    queries, keys = (evaluated(n, SIZES) for n in lengths)
    sees = seen(np.arange(queries)[:, None] + (keys - queries), np.arange(keys)[None])
    if op.causal is not None:
        beyond = ~np.tri(queries, keys, keys - queries, dtype=np.bool_)
        assert not np.any(np.broadcast_to(sees, beyond.shape)[beyond])


VALUES = (-5.0, -1e4, -1e9, float(np.finfo(np.float32).min), INFINITE)


@given(st.sampled_from(VALUES), st.sampled_from([1.0, 40.0, 300.0]), st.booleans())
@examples(30)
def test_what_leaks_through_a_mask_still_does(value: float, size: float, added: bool) -> None:
    """Large scores leak through masks of small values."""

    def mask(s: Tensor) -> Tensor:
        rows, columns = positions(s)
        if added:
            return s + nn.where(columns > rows, value, 0.0)
        return s.masked_fill(columns > rows, value)

    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal((1, HEADS, 6, DEPTH), np.float32) * size for n in "qkv"}
    inputs["v"] /= size
    lowered_ops(attended(mask), factors(6, 6, batch=1), "f32", inputs)


@pytest.mark.parametrize(("dtype", "hides"), [("f32", False), ("f16", True), ("bf16", True)])
def test_the_precision_of_scores_tells_what_is_large(dtype: str, hides: bool) -> None:
    model = attended(ordered(lambda i, j: j > i, -1e4))
    assert (attention_of(model, factors(SEQ, SEQ, dtype)).causal is not None) is hides


def test_bounded_scores_need_no_large_value() -> None:
    """Scores that a tanh bounds lie above -1e4 in any case."""

    def capped(value: float) -> Callable[..., Tensor]:
        hide = ordered(lambda i, j: j > i, value)

        def mask(s: Tensor) -> Tensor:
            return hide((s / 50).tanh() * 50)

        return attended(mask)

    specs = factors(SEQ, SEQ)
    assert_only_causal(attention_of(capped(-1e4), specs))
    # 155 is 105 more than 50: exp(-105) is 0, exp(-103) is not.
    assert_only_causal(attention_of(capped(-155.0), specs))
    assert attention_of(capped(-153.0), specs).causal is None


# Compiled -------------------------------------------------------------------------------------


def test_compiled_masks_agree_with_the_interpreter(tmp_path: Path) -> None:
    """All masks, and near misses, in one model."""
    masks = [*CAUSAL_MASKS.values(), *(NEAR_MISSES[n] for n in ("one-more", "band", "small-value"))]

    def model(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        plain = [attended(f)(q, k, v) for f in masks]
        return (*plain, *(attended(f)(q, k, v, mask=mask) for f in PADDED.values()))

    specs = {**factors(SEQ, SEQ), "mask": TensorSpec((BATCH, 1, 1, SEQ))}
    program = trace(model, specs)
    library = tmp_path / "model.so"
    compile_program(program, "cpu", library, CompileOptions(verify=True))
    rng = np.random.default_rng(0)
    with load(library) as loaded:
        for batch, length in ((2, 5), (1, 1), (3, 16)):
            shape = (batch, HEADS, length, DEPTH)
            inputs = {name: rng.standard_normal(shape, np.float32) for name in "qkv"}
            inputs["mask"] = np.ones((batch, 1, 1, length), np.float32)
            want, got = evaluate(program, inputs), loaded.run(inputs)
            for name, expected in want.items():
                np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
