"""A reshape between two permutes means the same with one permute less."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.dialects import graph
from ait.ir.interpreter import evaluate
from ait.ir.trace import TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.propagate_layout import pieces_of_reshape
from tests.property.examples import examples


@dataclass(frozen=True)
class Chain:
    dims: tuple[int, ...]
    first: tuple[int, ...]
    after: tuple[int, ...]
    """The dims of the reshape's result."""
    last: tuple[int, ...]


@st.composite
def reshaped(draw: st.DrawFn, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Dims taken together, apart, or new ones of one element."""
    found: list[int] = []
    for dim in dims:
        how = draw(st.sampled_from(["as it is", "join", "split", "unit"]))
        if how == "join" and found:
            found[-1] *= dim
        elif how == "split" and dim % 2 == 0:
            found += [2, dim // 2]
        else:
            found += [dim, 1] if how == "unit" else [dim]
    return tuple(found)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    dims = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=2, max_size=4)))
    first = tuple(draw(st.permutations(range(len(dims)))))
    after = draw(reshaped(tuple(dims[i] for i in first)))
    return Chain(dims, first, after, tuple(draw(st.permutations(range(len(after))))))


@given(chains())
@examples(200)
def test_values_stay(chain: Chain) -> None:
    def model(x: nn.Tensor) -> nn.Tensor:
        return x.permute(*chain.first).reshape(*chain.after).permute(*chain.last)

    program = trace(model, {"x": TensorSpec(chain.dims, "f32")})
    x = np.arange(prod(chain.dims), dtype=np.float32).reshape(chain.dims)
    run_pipeline(program.module, ["propagate-layout"], verify=True)
    (got,) = evaluate(program, {"x": x}).values()
    want = x.transpose(chain.first).reshape(chain.after).transpose(chain.last)
    np.testing.assert_array_equal(got, want)


@given(chains())
@examples(100)
def test_pieces_have_the_same_elements(chain: Chain) -> None:
    before = [chain.dims[i] for i in chain.first]
    pieces = pieces_of_reshape(before, chain.after)
    assert [i for left, _ in pieces for i in left] == list(range(len(before)))
    assert [j for _, right in pieces for j in right] == list(range(len(chain.after)))
    for left, right in pieces:
        assert prod(before[i] for i in left) == prod(chain.after[j] for j in right)


def test_a_sequence_of_pixels_is_not_moved() -> None:
    """Whatever the channels-last image was called before."""

    def model(x: nn.Tensor) -> nn.Tensor:
        return x.permute(0, 3, 1, 2).flatten(2).transpose(1, 2)

    program = trace(model, {"x": TensorSpec((2, 4, 5, 6), "f32")})
    run_pipeline(program.module, ["propagate-layout"], verify=True)
    assert not any(isinstance(op, graph.PermuteOp) for op in program.module.walk())
