"""Slices of what layers compute mean the same once they are in front of the layers.

Models are chains of layers on [batch, tokens, width], of whose result some tokens are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.dialects import graph
from ait.dialects.functions import find_function
from ait.dialects.symbolic import dims_of
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.property.examples import examples

F = nn.functional
WIDTH, HEADS = 12, 3
TOKENS = Dim("tokens", 4, 9)
Layer = Callable[[nn.Tensor, int], nn.Tensor]

ROWWISE: dict[str, Layer] = {}
"""Layers that compute a token of the result from one token of their operand, and other tensors."""
MIXING: dict[str, Layer] = {}
"""Layers that do not."""


def within(layers: dict[str, Layer]) -> Callable[[Layer], Layer]:
    def add(function: Layer) -> Layer:
        layers[function.__name__] = function
        return function

    return add


def made(module: nn.Module) -> nn.Module:
    return module.init_random(len(current_recorder().parameters))


@within(ROWWISE)
def linear(x: nn.Tensor, number: int) -> nn.Tensor:
    return made(nn.Linear(WIDTH, WIDTH))(x)


@within(ROWWISE)
def residual(x: nn.Tensor, number: int) -> nn.Tensor:
    return x + linear(F.gelu(made(nn.LayerNorm(WIDTH))(x)), number)


@within(ROWWISE)
def normed(x: nn.Tensor, number: int) -> nn.Tensor:
    return x.softmax(-1) * F.log_softmax(x, -1)


@within(ROWWISE)
def attended(x: nn.Tensor, number: int) -> nn.Tensor:
    """Attention of queries that are a token each to all keys; causal for odd numbers."""
    q, k, v = (linear(x, i).unflatten(2, [HEADS, -1]).transpose(1, 2) for i in range(3))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=number % 2 == 1)
    return mixed.transpose(1, 2).flatten(2)


@within(ROWWISE)
def positioned(x: nn.Tensor, number: int) -> nn.Tensor:
    table = made(nn.Embedding(20, WIDTH))
    return x + table(nn.arange(x.shape[1]))


@within(ROWWISE)
def multiplied(x: nn.Tensor, number: int) -> nn.Tensor:
    return (x @ x.mT) @ x * 0.1


@within(ROWWISE)
def transposed(x: nn.Tensor, number: int) -> nn.Tensor:
    return (x.transpose(0, 1).tanh() * 2).transpose(0, 1)


@within(MIXING)
def widened(x: nn.Tensor, number: int) -> nn.Tensor:
    return (
        nn.cat([x.sin(), x[..., :4].cos()], -1)[..., 4:]
        + x.unsqueeze(2).expand(-1, -1, 2, -1).flatten(2)[..., WIDTH:]
    )


@within(MIXING)
def joined(x: nn.Tensor, number: int) -> nn.Tensor:
    first = made(nn.Linear(WIDTH, WIDTH))(x[:, :1])
    return nn.cat([first, x.tanh()], 1)[:, number % 2 : -1 if number % 2 == 0 else None]


@within(MIXING)
def reversed_tokens(x: nn.Tensor, number: int) -> nn.Tensor:
    return x.flip([1])


@within(MIXING)
def weighted(x: nn.Tensor, number: int) -> nn.Tensor:
    return x.softmax(1) + x.mean(1, keepdim=True)


LAYERS = ROWWISE | MIXING


@dataclass(frozen=True)
class Plan:
    steps: tuple[tuple[str, int], ...]
    taken: tuple[tuple[int, int], ...]
    """The first token of each slice that is an output, from the end if negative, and how many."""
    tokens: int
    static: bool


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    steps = st.tuples(st.sampled_from(sorted(LAYERS)), st.integers(0, 3))
    taken = st.sampled_from([(-3, 1), (-2, 1), (-2, 2), (-1, 1), (0, 1), (0, 2), (1, 1), (2, 2)])
    return Plan(
        tuple(draw(st.lists(steps, min_size=1, max_size=5))),
        tuple(draw(st.lists(taken, min_size=1, max_size=3))),
        draw(st.integers(4, 9)),
        draw(st.booleans()),
    )


def program_of(plan: Plan) -> Program:
    def model(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        y = x
        for name, number in plan.steps:
            y = LAYERS[name](y, number)
        return tuple(y[:, first : first + count or None] for first, count in plan.taken)

    tokens = plan.tokens if plan.static else TOKENS
    return trace(model, {"x": TensorSpec((2, tokens, WIDTH), "f32")})


def inputs_of(plan: Plan) -> dict[str, Any]:
    shape = (2, plan.tokens, WIDTH)
    return {"x": np.random.default_rng(plan.tokens).standard_normal(shape).astype(np.float32)}


@given(plans())
@examples(150)
def test_values_stay(plan: Plan) -> None:
    program, inputs = program_of(plan), inputs_of(plan)
    want = evaluate(program, inputs)
    run_pipeline(
        program.module, ["canonicalize-graph", "cse-graph", "bubble-up-slices"], verify=True
    )
    got = evaluate(program, inputs)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@given(
    st.lists(st.sampled_from(sorted(ROWWISE)), min_size=1, max_size=4), st.sampled_from([5, 7, 9])
)
@examples(60)
def test_layers_by_token_compute_one(names: list[str], tokens: int) -> None:
    """Nothing that is computed behind the last op that needs all tokens has more than one."""
    plan = Plan((("weighted", 0), *((name, 0) for name in names)), ((0, 1),), tokens, True)
    program = program_of(plan)
    run_pipeline(
        program.module, ["canonicalize-graph", "cse-graph", "bubble-up-slices"], verify=True
    )
    main = find_function(program.module, "main")
    assert main is not None
    ops = list(main.body.block.ops)
    mixing = (graph.AttentionOp, graph.MatmulOp, graph.ReduceMeanOp)
    last = max(i for i, op in enumerate(ops) if isinstance(op, mixing))
    for op in ops[last + 1 :]:
        assert all(tokens not in dims_of(result) for result in op.results), op
