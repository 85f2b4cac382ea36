"""Convolutions of images with zeros between pixels keep their meaning when they are split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ait import nn
from ait.dialects.kernel import ConvOp, KernelOp
from ait.errors import CompileError
from ait.ir.interpreter import evaluate
from ait.ir.program import Program, parse_module
from ait.ir.trace import TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks

TEXT = """
func.func @main(%x: tensor<2x{h}x{w}x4xf32>, %weight: tensor<6x{r}x{s}x2xf32>,
                %extra: tensor<2x{p}x{q}x6xf32>)
    -> (tensor<2x{p}x{q}x6xf32>, tensor<2x{p}x{q}x6xf32>) {{
  %e = kernel.empty : tensor<2x{p}x{q}x6xf32>
  %f = kernel.empty : tensor<2x{p}x{q}x6xf32>
  %y, %z = kernel.conv ins(%x : tensor<2x{h}x{w}x4xf32>, %weight : tensor<6x{r}x{s}x2xf32>,
      %extra : tensor<2x{p}x{q}x6xf32>)
      outs(%e : tensor<2x{p}x{q}x6xf32>, %f : tensor<2x{p}x{q}x6xf32>)
      {{strides = array<i64: {stride}>, padding = array<i64: {padding}>,
        dilations = array<i64: {dilation}>, input_dilations = array<i64: {spread}>,
        groups = 2 : i64}} epilogue {{
  ^bb0(%sum: f32, %more: f32):
    %i = kernel.index <offset 3, sizes [2, {p}, {q}, 6], strides [1000, 100, 10, 1]>
    %at = arith.sitofp %i : i64 to f32
    %0 = arith.addf %sum, %at : f32
    %1 = arith.mulf %0, %more : f32
    kernel.yield %sum, %1 : f32, f32
  }}
  func.return %y, %z : tensor<2x{p}x{q}x6xf32>, tensor<2x{p}x{q}x6xf32>
}}
"""


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of the text: any spread, steps, dilations and padding, also negative."""

    def pair(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(2)]

    extent, kernel, stride, dilation = pair(1, 6), pair(1, 4), pair(1, 3), pair(1, 3)
    spread = [draw(st.integers(2, 4)), draw(st.integers(1, 4))]
    count = pair(1, 9)
    before = pair(-2, 4)
    behind = [
        (n - 1) * t + d * (k - 1) + 1 - ((size - 1) * u + 1) - b
        for n, t, d, k, size, u, b in zip(
            count, stride, dilation, kernel, extent, spread, before, strict=True
        )
    ]
    return {
        **dict(zip("hwrspq", (*extent, *kernel, *count), strict=True)),
        **{
            name: ", ".join(map(str, values))
            for name, values in {
                "stride": stride,
                "padding": (*before, *behind),
                "dilation": dilation,
                "spread": spread,
            }.items()
        },
    }


def inputs_of(fields: dict[str, Any]) -> list[Any]:
    rng = np.random.default_rng(0)
    h, w, r, s, p, q = (fields[name] for name in "hwrspq")
    shapes = [(2, h, w, 4), (6, r, s, 2), (2, p, q, 6)]
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


@given(convolutions())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_phases_compute_what_the_whole_does(fields: dict[str, Any]) -> None:
    program = Program(parse_module(TEXT.format(**fields)))
    inputs = inputs_of(fields)
    want = evaluate(program, inputs)
    run_pipeline(program.module, ["legalize"], verify=True)
    kernels = [op for op in program.main.body.block.ops if isinstance(op, KernelOp)]
    assert not any(isinstance(op, ConvOp) and op.input_dilations is not None for op in kernels)
    got = evaluate(program, inputs)
    for name, expected in want.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-3)


ODD = """
func.func @main(%x: tensor<1x?x4x1xf32, #sym.dims<[1, h, 4, 1], h in [1, 9]>>,
                %w: tensor<1x1x1x1xf32>)
    -> tensor<1x?x7x1xf32, #sym.dims<[1, p, 7, 1], p in [1, 9]>> {
  %e = kernel.empty : tensor<1x?x7x1xf32, #sym.dims<[1, p, 7, 1], p in [1, 9]>>
  %y = kernel.conv ins(%x : tensor<1x?x4x1xf32, #sym.dims<[1, h, 4, 1], h in [1, 9]>>,
      %w : tensor<1x1x1x1xf32>)
      outs(%e : tensor<1x?x7x1xf32, #sym.dims<[1, p, 7, 1], p in [1, 9]>>)
      {strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>,
       dilations = array<i64: 1, 1>, input_dilations = array<i64: 2, 2>, groups = 1 : i64}
      epilogue {
  ^bb0(%sum: f32):
    kernel.yield %sum : f32
  }
  func.return %y : tensor<1x?x7x1xf32, #sym.dims<[1, p, 7, 1], p in [1, 9]>>
}
"""


def test_what_is_not_split_is_refused_by_targets() -> None:
    """Padding behind that is no number cannot be written down."""
    with collect_remarks() as remarks:
        run_pipeline(parse_module(ODD), ["legalize"], target="any", verify=True)
    assert [r.kind for r in remarks] == ["missed"]
    with pytest.raises(CompileError, match="zeros between pixels"):
        run_pipeline(parse_module(ODD), ["legalize"], target="cpu")


@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_every_phase_says_where_it_comes_from(kernel: int) -> None:
    """Also those of pixels that no tap reaches."""

    def model(x: nn.Tensor) -> nn.Tensor:
        layer = nn.ConvTranspose2d(3, 4, kernel, stride=3, padding=0, output_padding=1)
        return layer.init_random(0)(x)

    program = trace(model, {"x": TensorSpec((2, 3, 4, 5))})
    run_pipeline(program.module, ["simplify", "lower", "fuse", "target"], verify=True)
    kernels = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    assert kernels
    assert len({op.source for op in kernels}) == 1
    assert all(op.source for op in kernels)
