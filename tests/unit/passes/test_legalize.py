"""What legalize rewrites means the same afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.parser import Parser

from ait.dialects.kernel import ConvOp, GemmOp
from ait.dialects.symbolic import dims_of
from ait.ir.context import make_context
from ait.ir.interpreter import evaluate
from ait.ir.program import Program, inputs_of
from ait.passes.legalize import LegalizePass


def program(x: str, w: str, y: str, properties: str) -> Program:
    """A convolution over [2, 5, 4, ...] with a bias along the channels and the channel's index."""
    domain = "sizes [2, 5, 4, 6]"
    text = f"""
    func.func @main(%x : {x.split(" : ")[1]}, %w : {w.split(" : ")[1]}, %b : tensor<6xf32>)
        -> {y.split(" : ")[1]} {{
      %e = kernel.empty : {y.split(" : ")[1]}
      %r = kernel.conv ins({x}, {w}, %b <offset 0, {domain}, strides [0, 0, 0, 1]> : tensor<6xf32>)
        outs({y}) {properties} epilogue {{
        ^bb0(%s : f32, %c : f32):
          %i = kernel.index <offset 0, {domain}, strides [20, 4, 1, 7]>
          %f = arith.sitofp %i : i64 to f32
          %0 = arith.addf %s, %c : f32
          %1 = arith.mulf %0, %f : f32
          kernel.yield %1 : f32
        }}
      func.return %r : {y.split(" : ")[1]}
    }}"""
    module = Parser(make_context(), text).parse_module()
    module.verify()
    return Program(module)


_ONE = (
    "{strides = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, "
    "dilations = array<i64: 1, 1>, groups = 1 : i64}"
)
_DENSE = ("%x : tensor<2x5x4x3xf32>", "%w : tensor<6x1x1x3xf32>", "%e : tensor<2x5x4x6xf32>")
_CHANNELS_FIRST = (
    "%x <offset 0, sizes [2, 5, 4, 3], strides [60, 4, 1, 20]> : tensor<2x3x5x4xf32>",
    "%w <offset 2, sizes [6, 1, 1, 3], strides [1, 0, 0, 8]> : tensor<3x8xf32>",
    "%e <offset 0, sizes [2, 5, 4, 6], strides [120, 4, 1, 20]> : tensor<2x6x5x4xf32>",
)


@pytest.mark.parametrize("operands", [_DENSE, _CHANNELS_FIRST], ids=["dense", "channels first"])
def test_products_mean_the_convolution(operands: tuple[str, str, str]) -> None:
    before = program(*operands, _ONE)
    after = program(*operands, _ONE)
    LegalizePass(target="cuda").apply(make_context(), after.module)
    after.module.verify()
    kinds = {type(op) for op in after.module.walk()}
    assert GemmOp in kinds and ConvOp not in kinds
    generator = np.random.default_rng(3)
    inputs = [
        generator.standard_normal([int(d) for d in dims_of(port.type)]).astype(np.float32)  # pyright: ignore[reportArgumentType]
        for port in inputs_of(before.main)
    ]
    for one, other in zip(
        evaluate(before, inputs).values(), evaluate(after, inputs).values(), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_targets_that_do_not_ask_keep_convolutions() -> None:
    kept = program(*_DENSE, _ONE)
    LegalizePass(target="any").apply(make_context(), kept.module)
    assert any(isinstance(op, ConvOp) for op in kept.module.walk())
