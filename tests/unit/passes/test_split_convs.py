"""A convolution whose result is read in another shape writes it there, if channels alone are split;
compiled, it computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.utils.exceptions import VerifyException

from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects.kernel import ConvOp, GemmOp, KernelOp
from ait.dialects.symbolic import evaluate as evaluated
from ait.ir.interpreter import evaluate
from ait.ir.program import parse_module
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.cost import cost_of
from ait.passes.fusion.rebuild import split_domain
from ait.passes.pipelines import run_pipeline
from ait.runtime.loader import load
from tests.unit.passes.launches import launches

F = nn.functional
Tensor = nn.Tensor
BATCH = Dim("batch", 1, 4)
INPUTS = {
    "x": TensorSpec((BATCH, 8, 5, 7)),
    "w": TensorSpec((24, 8, 3, 3)),
    "single": TensorSpec((24, 8, 1, 1)),
    "grouped": TensorSpec((24, 4, 3, 3)),
    "depthwise": TensorSpec((24, 1, 3, 3)),
    "bias": TensorSpec((24,)),
}

CONVS: dict[str, Callable[..., Tensor]] = {
    "same": lambda x, w, bias, **_: F.conv2d(x, w, bias, padding=1),
    "single": lambda x, single, **_: F.conv2d(x, single),
    "strided": lambda x, w, bias, **_: F.conv2d(x, w, bias, stride=2, padding=1),
    "grouped": lambda x, grouped, bias, **_: F.conv2d(x, grouped, bias, groups=2),
    "depthwise": lambda x, depthwise, **_: F.conv2d(x, depthwise, groups=8, dilation=2, padding=1),
    "activated": lambda x, w, bias, **_: F.conv2d(x, w, bias, padding=1).tanh() * 0.5,
}
"""Convolutions with 24 channels."""

READERS: dict[str, Callable[[Tensor], Tensor]] = {
    "shuffled": lambda y: F.pixel_shuffle(y, 2),
    "heads": lambda y: y.unflatten(1, [4, 6]).permute(0, 1, 3, 4, 2),
    "tokens-of-heads": lambda y: y.unflatten(1, [4, 6]).flatten(3).transpose(2, 3),
    "channels-exchanged": lambda y: y.unflatten(1, [2, 12]).transpose(1, 2).flatten(1, 2),
    "three-parts": lambda y: y.unflatten(1, [2, 3, 4]).permute(0, 3, 4, 1, 5, 2),
    "channels-last": lambda y: y.permute(0, 2, 3, 1),
}


def model_of(conv: str, reader: str, code: bool) -> Callable[..., Tensor]:
    def model(**given: Tensor) -> Tensor:
        y = READERS[reader](CONVS[conv](**given)).contiguous()
        return y.sigmoid() + 1 if code else y

    return model


def arrays(batch: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    dims = {str(BATCH): batch}
    shapes = {n: [evaluated(d, dims) for d in spec.shape] for n, spec in INPUTS.items()}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("code", [False, True])
def test_it_writes_the_result_there(conv: str, reader: str, code: bool) -> None:
    found = launches(model_of(conv, reader, code), INPUTS, arrays())
    assert found in (["conv"], ["gemm"]), found


def test_residuals_in_the_other_shape_are_read_there() -> None:
    def model(r: Tensor, **given: Tensor) -> Tensor:
        return F.pixel_shuffle(CONVS["same"](**given), 2) * r

    specs = {**INPUTS, "r": TensorSpec((BATCH, 6, 10, 14))}
    r = np.random.default_rng(1).standard_normal((2, 6, 10, 14), np.float32)
    assert launches(model, specs, {**arrays(), "r": r}) == ["conv"]


def test_pixels_are_not_split() -> None:
    """Windows are over rows and columns as they are."""

    def model(**given: Tensor) -> Tensor:
        y = CONVS["same"](**given)  # [batch, 24, 5, 7]
        return y.flatten(2).unflatten(2, [7, 5]).transpose(2, 3).contiguous()

    assert launches(model, INPUTS, arrays(), copies=True) == ["conv", "copy"]


def test_compiled_convolutions_agree_with_the_interpreter(tmp_path: Path) -> None:
    def model(**given: Tensor) -> tuple[Tensor, ...]:
        return tuple(model_of(c, r, code=False)(**given) for c in CONVS for r in READERS)

    program = trace(model, INPUTS)
    library = tmp_path / "model.so"
    compile_program(program, "cpu", library, CompileOptions(verify=True))
    with load(library) as loaded:
        for batch in (1, 3):
            inputs = arrays(batch)
            want, got = evaluate(program, inputs), loaded.run(inputs)
            for name, expected in want.items():
                np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("target", ["cpu", "cuda:sm_90a", "cuda:sm_80"])
def test_targets_take_it(target: str) -> None:
    """The pipeline selects a configuration for each."""
    specs = {n: TensorSpec(spec.shape, "f16") for n, spec in INPUTS.items()}
    for conv in CONVS:
        program = trace(model_of(conv, "shuffled", True), specs)
        run_pipeline(program.module, target=target, verify=True)
        kernels = [op for op in program.main.walk() if isinstance(op, KernelOp)]
        assert [type(op) for op in kernels] in ([ConvOp], [GemmOp]), (target, conv)


def conv_text(domain: str = "2, 3, 5, 4", filters: str = "4, 3, 3, 6", **changes: str) -> str:
    properties = {
        "strides": "array<i64: 1, 1>",
        "padding": "array<i64: 1, 1, 1, 1>",
        "dilations": "array<i64: 1, 1>",
        "groups": "1 : i64",
        **changes,
    }
    listed = ", ".join(f"{name} = {value}" for name, value in properties.items())

    def dense(sizes: str) -> str:
        dims = [int(size) for size in sizes.split(",")]
        strides = [int(np.prod(dims[i + 1 :])) for i in range(len(dims))]
        return f"<offset 0, sizes [{sizes}], strides {strides}>"

    return f"""
func.func @main(%x: tensor<2x3x5x6xf32>, %w: tensor<4x3x3x6xf32>) -> tensor<2x3x5x4xf32> {{
  %e = kernel.empty : tensor<2x3x5x4xf32>
  %0 = kernel.conv ins(%x : tensor<2x3x5x6xf32>, %w {dense(filters)} : tensor<4x3x3x6xf32>)
    outs(%e {dense(domain)} : tensor<2x3x5x4xf32>) {{{listed}}} epilogue {{
  ^bb0(%sum: f32):
    kernel.yield %sum : f32
  }}
  func.return %0 : tensor<2x3x5x4xf32>
}}"""


def conv_of(text: str) -> ConvOp:
    (op,) = [op for op in parse_module(text).walk() if isinstance(op, ConvOp)]
    return op


def test_only_channels_split() -> None:
    op = conv_of(conv_text())
    split = split_domain(op, {3: [2, 2]})
    assert split is not None
    assert split.domain == (2, 3, 5, 2, 2)
    assert split.in_access[1].sizes == (2, 2, 3, 3, 6)
    assert cost_of(split) == cost_of(op)
    split.erase()
    for dim, extents in ((0, [2, 1]), (1, [3, 1]), (2, [5, 1])):
        assert split_domain(op, {dim: extents}) is None
    spread = conv_of(conv_text(input_dilations="array<i64: 2, 1>"))
    assert split_domain(spread, {3: [2, 2]}) is None


@pytest.mark.parametrize(
    ("domain", "filters"),
    [("2, 3, 5, 2, 2", "4, 3, 3, 6"), ("2, 3, 5, 4", "2, 2, 3, 3, 6"), ("2, 3, 20", "4, 3, 3, 6")],
)
def test_weights_have_the_channels_of_the_result(domain: str, filters: str) -> None:
    with pytest.raises(VerifyException, match=r"weights|the result ranges"):
        parse_module(conv_text(domain, filters)).verify()
