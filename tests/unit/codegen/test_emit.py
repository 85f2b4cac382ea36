"""Names and literals of model.cpp, and what a plan refuses."""

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
