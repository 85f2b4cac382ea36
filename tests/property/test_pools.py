"""A convolution whose result only a pool reads is one kernel with it: it means what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.dialects import symbolic
from ait.dialects.functions import find_function
from ait.dialects.kernel import ConvOp, ConvPoolOp, KernelOp, PoolOp
from ait.ir.interpreter import evaluate
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.property.examples import examples

BATCH, HEIGHT = Dim("batch", 1, 3), Dim("height", 12, 32)
SIZES = {"batch": 2, "height": 15}
WIDTH = 16
DTYPES: dict[str, Any] = {"f32": np.float32, "f16": np.float16}

F = nn.functional
Tensor = nn.Tensor
Pair = tuple[int, int]


@dataclass(frozen=True)
class Begin:
    """A convolution, what is done to it, and a pool of that."""

    dtype: str
    channels: int
    width: int
    taps: Pair
    strides: Pair
    padding: Pair
    code: tuple[str, ...]
    """What is done before the pool."""
    largest: bool
    """Whether the pool takes the largest of a window, or their mean."""
    window: Pair
    steps: Pair
    margin: Pair
    """Padding of the pool."""
    beyond: bool
    """Whether the last windows may reach beyond the padding."""
    counts: bool
    """Whether a mean counts the padding."""
    behind: tuple[str, ...]
    readers: str
    """What else reads what is pooled: nothing, the caller, or another pool."""
    last: bool
    """Whether the channels are the last dim of the image."""

    @property
    def shape(self) -> tuple[symbolic.Dim, ...]:
        """Of images."""
        sizes = (HEIGHT, WIDTH)
        dims = (*sizes, self.channels) if self.last else (self.channels, *sizes)
        return (BATCH, *dims)


class Layers(nn.Module):
    """What networks for images begin with."""

    def __init__(self, plan: Begin):
        self.plan = plan
        self.conv = nn.Conv2d(
            plan.channels, plan.width, plan.taps, stride=plan.strides, padding=plan.padding
        )
        self.scale = nn.Parameter((plan.width, 1, 1), init=nn.initialization.small)

    def forward(self, x: Tensor) -> Any:
        plan = self.plan
        x = self.conv(x.permute(0, 3, 1, 2) if plan.last else x)
        for step in plan.code:
            x = self.step(step, x)
        y = self.pool(x)
        for step in plan.behind:
            y = self.step(step, y)
        if plan.readers == "caller":
            return x, y
        return (y, F.avg_pool2d(x, 2)) if plan.readers == "pool" else y

    def step(self, name: str, x: Tensor) -> Tensor:
        if name == "scale":
            return x * self.scale
        return {"relu": F.relu, "tanh": F.tanh}[name](x)

    def pool(self, x: Tensor) -> Tensor:
        plan = self.plan
        window = plan.window, plan.steps, plan.margin
        if plan.largest:
            return F.max_pool2d(x, *window, ceil_mode=plan.beyond)
        return F.avg_pool2d(x, *window, ceil_mode=plan.beyond, count_include_pad=plan.counts)


@st.composite
def begins(draw: st.DrawFn) -> Begin:
    def pair(low: int, high: int) -> Pair:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    code = st.lists(st.sampled_from(["relu", "scale", "tanh"]), max_size=2).map(tuple)
    window = draw(st.sampled_from([(2, 2), (3, 3), (3, 2), (1, 3), (4, 4)]))
    return Begin(
        dtype=draw(st.sampled_from(sorted(DTYPES))),
        channels=draw(st.integers(1, 4)),
        width=draw(st.sampled_from([8, 16, 17, 24])),
        taps=pair(1, 5),
        strides=pair(1, 2),
        padding=pair(0, 2),
        code=draw(code),
        largest=draw(st.booleans()),
        window=window,
        steps=pair(1, 3),
        margin=(
            draw(st.integers(0, window[0] // 2)),
            draw(st.integers(0, window[1] // 2)),
        ),
        beyond=draw(st.booleans()),
        counts=draw(st.booleans()),
        behind=draw(code),
        readers=draw(st.sampled_from(["", "", "caller", "pool"])),
        last=draw(st.booleans()),
    )


def program_of(plan: Begin) -> Program:
    model = Layers(plan).init_random(seed=3).to(plan.dtype)
    return trace(model, {"x": TensorSpec(plan.shape, plan.dtype)})


def inputs_of(plan: Begin) -> dict[str, Any]:
    shape = [symbolic.evaluate(dim, SIZES) for dim in plan.shape]
    x = np.random.default_rng(1).standard_normal(shape)
    return {"x": x.astype(DTYPES[plan.dtype])}


def kernels(program: Program) -> list[KernelOp]:
    main = find_function(program.module, "main")
    assert main is not None
    return [op for op in main.body.block.ops if isinstance(op, KernelOp)]


def assert_same(plan: Begin, target: str) -> Program:
    program, inputs = program_of(plan), inputs_of(plan)
    want = evaluate(program, inputs)
    run_pipeline(program.module, target=target, verify=True)
    tolerance = {"f32": 1e-5, "f16": 1e-2}[plan.dtype]
    for name, value in evaluate(program, inputs).items():
        a, b = (np.asarray(v, np.float64) for v in (value, want[name]))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)
    return program


@given(begins())
@examples(80)
def test_a_pool_and_its_convolution_are_one_kernel(plan: Begin) -> None:
    """Where nothing else reads what is pooled, whatever stands between and behind them."""
    kinds = [type(op) for op in kernels(assert_same(plan, "any"))]
    apart = {ConvOp, PoolOp} & set(kinds)
    assert (ConvPoolOp in kinds) is (not plan.readers)
    assert bool(apart) is bool(plan.readers)


@given(begins())
@examples(60)
def test_values_stay_on_a_gpu(plan: Begin) -> None:
    """Whatever its kernels take."""
    assert_same(plan, "cuda:sm_90a")
