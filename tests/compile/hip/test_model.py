"""A whole model for an AMD GPU, built where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xdsl.parser import Parser

from ait.codegen.compile import compile_program
from ait.errors import AitError
from ait.ir.context import make_context
from ait.ir.program import Program
from ait.runtime.inspect import read_metadata
from ait.runtime.loader import load
from tests.compile.hip.device_code import find_toolchain, needed_libraries

pytestmark = pytest.mark.compile

_X = "tensor<?x64xf16, #sym.dims<[batch, 64], batch in [1, 40]>>"
_H = "tensor<?x48xf16, #sym.dims<[batch, 48], batch in [1, 40]>>"
MLP = f"""
graph.parameter @w1 : tensor<48x64xf16>
graph.parameter @b1 : tensor<48xf16>
graph.parameter @w2 : tensor<64x48xf16>
graph.parameter @b2 : tensor<64xf16>
func.func @main(%x : {_X} {{ait.name = "x"}}) -> ({_X} {{ait.name = "y"}}) {{
  %w1 = graph.get_parameter @w1 : tensor<48x64xf16>
  %b1 = graph.get_parameter @b1 : tensor<48xf16>
  %w2 = graph.get_parameter @w2 : tensor<64x48xf16>
  %b2 = graph.get_parameter @b2 : tensor<64xf16>
  %h = graph.linear %x, %w1, %b1 : ({_X}, tensor<48x64xf16>, tensor<48xf16>) -> {_H}
  %g = graph.gelu %h {{approximate = "none"}} : ({_H}) -> {_H}
  %o = graph.linear %g, %w2, %b2 : ({_H}, tensor<64x48xf16>, tensor<64xf16>) -> {_X}
  %y = graph.add %o, %x : ({_X}, {_X}) -> {_X}
  func.return %y : {_X}
}}
"""


def program() -> Program:
    module = Parser(make_context(), MLP).parse_module()
    shapes = {"w1": (48, 64), "b1": (48,), "w2": (64, 48), "b2": (64,)}
    return Program(module, {name: np.zeros(shape, np.float16) for name, shape in shapes.items()})


def test_a_fused_mlp(tmp_path: Path) -> None:
    find_toolchain("gfx90a")
    artifact = compile_program(program(), "hip:gfx90a", tmp_path / "model.so")
    assert artifact.report.launches == 2
    metadata = read_metadata(artifact.path)
    assert [kernel["config"].partition("<")[0] for kernel in metadata["kernels"]] == [
        "#ck.gemm"
    ] * 2
    # The link asks for every symbol to be defined.
    needed = needed_libraries(artifact.path)
    assert [name.partition(".")[0] for name in needed if "hip" in name] == ["libamdhip64"]
    assert not any("clang" in name or "ck" in name for name in needed)


@pytest.mark.skipif(Path("/dev/kfd").exists(), reason="there is an AMD GPU")
def test_without_a_gpu_the_runtimes_error_is_passed_on(tmp_path: Path) -> None:
    find_toolchain("gfx90a")
    artifact = compile_program(program(), "hip:gfx90a", tmp_path / "model.so")
    with pytest.raises(AitError, match="HIP error"):
        load(artifact.path)
