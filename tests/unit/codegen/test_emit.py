"""Names and literals of model.cpp, and what a plan refuses."""

import os
import subprocess
import sys

import pytest

from ait.codegen.emit import comment, raw_literal, string_literal
from ait.codegen.plan import make_plan
from ait.errors import CompileError
from ait.ir.program import parse_module


def test_string_literals_are_bytes() -> None:
    assert string_literal('a"b\\c\n') == '"a\\042b\\134c\\012"'
    assert string_literal("é1") == '"\\303\\2511"'


def test_raw_literals_end_where_they_should() -> None:
    assert raw_literal("{}") == 'R"ait({})ait"'
    assert raw_literal('x)ait"') == 'R"ait1(x)ait")ait1"'


def test_comments_stay_in_their_line() -> None:
    assert comment("a\nb\\") == "a b"


def test_a_plan_lists_all_problems() -> None:
    module = parse_module(
        """
      func.func @main(%x: memref<4xf32> {ait.name = "x"}, %y: memref<4xf32> {ait.name = "x"},
          %o: memref<4xf32> {ait.name = "o", ait.output}) {
        kernel.pointwise ins(%x : memref<4xf32>) outs(%o : memref<4xf32>)
          {source = "first"} body {
          ^bb0(%v: f32):
            %t = math.atan %v : f32
            kernel.yield %t : f32
        }
        func.return
      }""".replace("f64", "f32")
    )
    with pytest.raises(CompileError) as caught:
        make_plan(module)
    assert "2 inputs are named 'x'" in str(caught.value)
    assert "first: no code can be generated for math.atan" in str(caught.value)


def test_a_symbol_is_read_where_that_is_simplest() -> None:
    dims = "#sym.dims<[n * 2 + 1, n], n in [1, 4]>"
    module = parse_module(f"""
      func.func @main(%x: memref<?x?xf32, {dims}>, %o: memref<?x?xf32, {dims}> {{ait.output}}) {{
        kernel.copy ins(%x : memref<?x?xf32, {dims}>) outs(%o : memref<?x?xf32, {dims}>)
        func.return
      }}""")
    (binding,) = make_plan(module).bindings
    assert (binding.input, binding.axis, binding.scale, binding.offset) == (0, 1, 1, 0)


def test_a_rank_that_the_interface_cannot_hold_is_refused() -> None:
    shape = f"memref<{'1x' * 17}f32>"
    module = parse_module(f"""
      func.func @main(%x: {shape} {{ait.name = "x"}}, %o: {shape} {{ait.output}}) {{
        kernel.copy ins(%x : {shape}) outs(%o : {shape})
        func.return
      }}""")
    with pytest.raises(CompileError, match="input 'x' has rank 17, the most is 16"):
        make_plan(module)


EMIT = """
import numpy as np
import ait
from ait import nn
from ait.codegen.cache import digest_of
from ait.codegen.emit import emit_kernels, emit_model
from ait.codegen.plan import make_plan
from ait.codegen.target import code_target
from ait.codegen.weights import store_weights
from ait.ir.context import make_context
from ait.nn import functional as F
from ait.passes.pipelines import run_pipeline


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(12)
        self.a, self.b, self.c = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(24, 5)

    def forward(self, x):
        h = self.norm(x)
        return F.softmax(self.c(nn.cat([F.gelu(self.a(h)), self.b(h)], 1)), -1)


model = Net()
model.init_random()
program = ait.trace(model, {"x": ait.TensorSpec((ait.Dim("n", 1, 9), 12), "f32")})
run_pipeline(program.module, target="cpu", context=make_context())
plan, target = make_plan(program.module), code_target("cpu")
values = {w.name: np.zeros(w.shape, np.float32) for w in plan.weights}
weights = store_weights(plan.weights, values, 64)
sources = [*emit_kernels(plan, target), emit_model(plan, target, "net", weights)]
print(digest_of([part for s in sources for part in (s.name, s.text, s.origin)]))
"""


@pytest.mark.slow
def test_the_same_program_gives_the_same_sources() -> None:
    """Whatever the order in which Python's sets and dicts hash."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", EMIT],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(digests) == 1
