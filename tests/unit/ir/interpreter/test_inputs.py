"""What `evaluate` says of inputs, symbols and weights that do not fit."""

from typing import Any

import numpy as np
import pytest

from ait.errors import AitError, InputError, WeightError
from ait.ir.interpreter import evaluate
from ait.ir.parsing import parse_module
from ait.ir.program import Program

TYPES = {
    "x": "tensor<?x?xf32, #sym.dims<[b, s * 2 + 1], b in [1, 8], s in [2, 4]>>",
    "y": "tensor<?x3xf32, #sym.dims<[b, 3], b in [1, 8]>>",
}
PROGRAM = Program(
    parse_module(
        f"""func.func @main(%x: {TYPES["x"]} {{ait.name = "x"}},
                            %y: {TYPES["y"]} {{ait.name = "y"}}) -> {TYPES["x"]} {{
          func.return %x : {TYPES["x"]}
        }}"""
    )
)


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


def test_accepts_names_and_order() -> None:
    x, y = zeros(2, 5) + 1, zeros(2, 3)
    for inputs in ({"y": y, "x": x}, [x, y], (x, y)):
        (got,) = evaluate(PROGRAM, inputs).values()
        assert got.tolist() == x.tolist()


def test_results_are_the_callers_own() -> None:
    x, y = zeros(2, 5), zeros(2, 3)
    got = evaluate(PROGRAM, [x, y])["output_0"]
    got += 1
    assert not x.any()


@pytest.mark.parametrize(
    ("inputs", "messages"),
    [
        ({"x": zeros(2, 5)}, ["input 'y' is missing", "(the model takes x, y)"]),
        ({"x": zeros(2, 5), "y": zeros(2, 3), "z": 1}, ["there is no input 'z'"]),
        ([zeros(2, 5)], ["1 inputs given, the model takes 2: ['x', 'y']"]),
        (
            [zeros(2, 5, dtype=np.float64), zeros(2)],
            [
                "input 'x' has dtype float64, expected float32",
                "input 'y' has rank 1, expected 2: [b, 3]",
            ],
        ),
        (
            [zeros(9, 5), zeros(9, 4)],
            [
                "input 'x', dim 0: b = 9 is outside its range [1, 8]",
                "input 'y', dim 1 is 4, expected 3",
            ],
        ),
        (
            [zeros(2, 5), zeros(3, 3)],
            ["input 'y', dim 0 is 3, expected b = 2 (b = 2 from input 'x', dim 0)"],
        ),
        ([zeros(2, 13), zeros(2, 3)], ["input 'x', dim 1: s = 6 is outside its range [2, 4]"]),
        ([zeros(2, 6), zeros(2, 3)], ["input 'x', dim 1: s * 2 + 1 does not determine s"]),
    ],
    ids=str,
)
def test_wrong_inputs(inputs: Any, messages: list[str]) -> None:
    with pytest.raises(InputError) as error:
        evaluate(PROGRAM, inputs)
    for message in messages:
        assert message in str(error.value)


def test_expressions_are_checked_once_symbols_are_bound() -> None:
    product = "tensor<?xf32, #sym.dims<[a * b], a in [1, 4], b in [1, 4]>>"
    plain = "tensor<?x?xf32, #sym.dims<[a, b], a in [1, 4], b in [1, 4]>>"
    text = f"func.func @main(%x: {product}, %y: {plain}) -> {plain} {{ func.return %y : {plain} }}"
    program = Program(parse_module(text))
    assert evaluate(program, [zeros(6), zeros(2, 3)])["output_0"].shape == (2, 3)
    with pytest.raises(InputError, match=r"dim 0 is 5, expected a \* b = 6"):
        evaluate(program, [zeros(5), zeros(2, 3)])


def test_symbols_that_no_input_determines() -> None:
    made = "tensor<?xi64, #sym.dims<[n], n in [1, 4]>>"
    text = f"""func.func @main() -> {made} {{
      %0 = graph.iota {{axis = 0}} : {made}
      func.return %0 : {made}
    }}"""
    with pytest.raises(AitError, match="dim n: no input determines n"):
        evaluate(Program(parse_module(text)), [])


def test_missing_weights() -> None:
    text = """graph.parameter @w : tensor<2xf32>
    graph.parameter @v : tensor<2xf32>
    func.func @main() -> tensor<2xf32> {
      %w = graph.get_parameter @w : tensor<2xf32>
      func.return %w : tensor<2xf32>
    }"""
    with pytest.raises(WeightError) as error:
        evaluate(Program(parse_module(text)), {})
    assert str(error.value) == "parameter 'w' has no weight\nparameter 'v' has no weight"


DERIVED = """graph.parameter @w : tensor<2xf32>
graph.parameter @twice derived : tensor<2xf32>
func.func @main() -> tensor<2xf32> {
  %w = graph.get_parameter @twice : tensor<2xf32>
  func.return %w : tensor<2xf32>
}
"""


def test_derived_parameters_come_from_prepare() -> None:
    weights = {"w": np.float32([1, 2])}
    with pytest.raises(WeightError, match="neither weights nor @prepare: 'twice'"):
        evaluate(Program(parse_module(DERIVED), weights), {})
    prepare = """func.func @prepare() -> (tensor<2xf32> {ait.name = "twice"}) {
      %w = graph.get_parameter @w : tensor<2xf32>
      %y = graph.add %w, %w : tensor<2xf32>
      func.return %y : tensor<2xf32>
    }"""
    program = Program(parse_module(DERIVED + prepare), weights)
    assert evaluate(program, {})["output_0"].tolist() == [2, 4]
    program.weights["twice"] = np.float32([5, 6])
    assert evaluate(program, {})["output_0"].tolist() == [5, 6]


def test_observer_sees_every_operation() -> None:
    seen: list[tuple[str, list[Any]]] = []
    text = """func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      %0 = graph.neg %x : tensor<2xf32>
      %1 = graph.abs %0 : tensor<2xf32>
      func.return %1 : tensor<2xf32>
    }"""
    program = Program(parse_module(text))
    evaluate(
        program,
        [np.float32([1, 2])],
        observer=lambda op, results: seen.append((op.name, [r.tolist() for r in results])),
    )
    assert seen == [("graph.neg", [[-1, -2]]), ("graph.abs", [[1, 2]]), ("func.return", [])]
