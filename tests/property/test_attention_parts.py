"""Attention that a target has no kernel for means the same as the kernels that it becomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.parser import Parser

from ait.dialects.kernel import AttentionOp, KernelOp
from ait.errors import CompileError
from ait.ir.context import make_context
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.passes.legalize import LegalizePass
from tests.property.examples import examples

WITHOUT = "hip:gfx942"
"""A target that has no attention."""
_SCORES = {
    "scaled": "%r = arith.mulf %s, %c : f32",
    "added": "%t = arith.mulf %s, %c : f32\n%r = arith.addf %t, %m : f32",
    "by_head": (
        "%i = kernel.index <offset 0, sizes [2, {heads}, {rows}, {cols}], strides [0, 1, 0, 0]"
        "{bounds}>\n%f = arith.sitofp %i : i64 to f32\n%r = arith.addf %s, %f : f32"
    ),
}


def attention(
    groups: int, shared: int, rows: int | str, cols: int | str, score: str, causal: bool
) -> str:
    heads = groups * shared
    names = sorted({n for n in (rows, cols) if isinstance(n, str)})
    bounds = "".join(f", {n} in [0, 9]" for n in names)

    def tensor(*dims: int | str) -> str:
        shape = "x".join("?" if isinstance(d, str) else str(d) for d in dims)
        own = "".join(f", {n} in [0, 9]" for n in names if n in dims)
        return f"tensor<{shape}xf32" + (
            f", #sym.dims<[{', '.join(map(str, dims))}]{own}>>" if own else ">"
        )

    q, o = tensor(2, heads, rows, 5), tensor(2, heads, rows, 3)
    k, v, m = tensor(2, groups, cols, 5), tensor(2, groups, cols, 3), tensor(rows, cols)
    access = f"<offset 0, sizes [2, {heads}, {rows}, {cols}], strides [0, 0, {cols}, 1]{bounds}>"
    mask = f", %mask {access} : {m}" if score == "added" else ""
    code = _SCORES[score].format(heads=heads, rows=rows, cols=cols, bounds=bounds)
    return f"""
      func.func @main(%q : {q}, %k : {k}, %v : {v}, %mask : {m}, %o : {o}) -> {o} {{
        %y = kernel.attention ins(%q : {q}, %k : {k}, %v : {v}{mask}) outs(%o : {o})
          {"{causal}" if causal else ""} score {{
          ^bb0(%s : f32{", %m : f32" if mask else ""}):
            %c = arith.constant 0.5 : f32
            {code}
            kernel.yield %r : f32
          }}
        func.return %y : {o}
      }}"""


@given(
    groups=st.sampled_from([1, 2, 3]),
    shared=st.sampled_from([1, 2, 4]),
    rows=st.sampled_from([1, 4, "n"]),
    cols=st.sampled_from([1, 6, "m", "n"]),
    score=st.sampled_from(sorted(_SCORES)),
    causal=st.booleans(),
    sizes=st.fixed_dictionaries({"n": st.integers(0, 9), "m": st.integers(0, 9)}),
    seed=st.integers(0, 99),
)
@examples(60)
def test_parts_of_attention_mean_the_same(
    groups: int, shared: int, rows: int | str, cols: int | str, score: str, causal: bool,
    sizes: dict[str, int], seed: int,
) -> None:  # fmt: skip
    module = Parser(make_context(), attention(groups, shared, rows, cols, score, causal))
    program = Program(module.parse_module())
    generator = np.random.default_rng(seed)
    r, c = (n if isinstance(n, int) else sizes[n] for n in (rows, cols))
    shapes = [(2, groups * shared, r, 5), (2, groups, c, 5), (2, groups, c, 3), (r, c)]
    inputs = [np.array(generator.uniform(-2, 2, shape), np.float32) for shape in shapes]
    # Some queries see no key at all.
    inputs[3][generator.random(r) < 0.3] = -np.inf
    inputs.append(np.full((2, groups * shared, r, 3), np.nan, np.float32))
    want = evaluate(program, [a.copy() for a in inputs])
    lowered = program.clone()
    LegalizePass(target=WITHOUT).apply(make_context(), lowered.module)
    lowered.module.verify()
    kernels = [op for op in lowered.module.walk() if isinstance(op, KernelOp)]
    assert len(kernels) == 3 and not any(isinstance(op, AttentionOp) for op in kernels)
    got = evaluate(lowered, [a.copy() for a in inputs])
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5)


def test_heads_that_share_keys_in_no_known_way_are_refused() -> None:
    text = attention(2, 2, 4, 4, "scaled", False).replace("2x4x4x5", "2x5x4x5")
    program = Program(Parser(make_context(), text.replace("2x4x4x3", "2x5x4x3")).parse_module())
    with pytest.raises(CompileError, match=r"no kernel for kernel\.attention"):
        LegalizePass(target=WITHOUT).apply(make_context(), program.module)
