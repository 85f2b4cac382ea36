"""Kernels mean what the graph ops mean that they are made from: every kind of every op."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.graph import GraphOp
from ait.dialects.symbolic import Dim as AnyDim
from ait.ir.dtypes import DTYPES
from ait.ir.interpreter import evaluate
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline

F = nn.functional
BATCH = Dim("batch", 1, 4)


def check(model: Any, specs: Mapping[str, TensorSpec], inputs: Mapping[str, Any]) -> None:
    """The results of a model are the same when it is lowered, and after the whole pipeline."""
    program = trace(model, dict(specs))
    want = evaluate(program, inputs)
    for stages in (("lower",), ("default",)):
        lowered = program.clone()
        run_pipeline(lowered.module, stages, verify=True)
        assert not any(isinstance(op, GraphOp) for op in computing_ops(lowered))
        got = evaluate(lowered, inputs)
        for name, expected in want.items():
            assert got[name].dtype == expected.dtype
            np.testing.assert_allclose(
                got[name].astype("f8"), expected.astype("f8"), rtol=1e-4, atol=1e-5
            )


def computing_ops(program: Any) -> list[Any]:
    """The ops of `@main` but for those that only name weights."""
    return [op for op in program.main.body.block.ops if op.name != "graph.get_parameter"]


VALUES = (-3.7, -1.0, -0.4, 0.0, 0.3, 1.0, 2.5, 100.0)


@pytest.mark.parametrize(("source", "target"), list(product(DTYPES, DTYPES)))
def test_casts(source: str, target: str) -> None:
    given = np.array(VALUES).astype(DTYPES[source].numpy)
    specs = {"x": TensorSpec((len(VALUES),), source)}
    check(lambda x: x.to(target), specs, {"x": given})
    # In the middle of other code a cast is code too.
    check(lambda x: (x == x, x.to(target).to("f32") * 0.5), specs, {"x": given})


TRANSPOSED = [
    dict(zip(("groups", "stride", "padding", "output_padding", "dilation"), v, strict=True))
    for v in product((1, 2), (1, 2, (2, 3)), (0, (1, 0)), (0, 1), (1, (1, 2)))
    if v[3] < np.max(v[1]) or v[3] < np.min(v[4])
]


@pytest.mark.parametrize("kernel", [(2, 2), (2, 3)])
@pytest.mark.parametrize("options", TRANSPOSED, ids=lambda o: ",".join(map(str, o.values())))
def test_transposed_convolutions(kernel: tuple[int, int], options: dict[str, Any]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.up = nn.ConvTranspose2d(4, 6, kernel, bias=kernel == (2, 2), **options)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return F.relu(self.up(x))

    model = Model()
    model.init_random(0)
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 5), np.float32)
    check(model, {"x": TensorSpec((BATCH, 4, 3, 5))}, {"x": x})


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 2), (1, 2), None])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("kind", ["sum", "mean", "amax", "amin", "prod"])
def test_reductions(kind: str, axis: Any, keepdim: bool) -> None:
    shape: tuple[AnyDim, ...] = (BATCH, 3, 4)
    x = np.random.default_rng(0).standard_normal((2, 3, 4), np.float32)
    check(
        lambda x: getattr(x.tanh(), kind)(axis, keepdim) * 0.5 + 1,
        {"x": TensorSpec(shape)},
        {"x": x},
    )
