"""What `ait.trace` makes of a model: inputs, outputs, names, sources and errors."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ait
from ait import nn
from ait.dialects.graph import GetParameterOp, GraphOp
from ait.errors import ShapeError, TraceError, WeightError
from ait.ir.parsing import parse_module
from ait.ir.program import Program
from tests.unit.ir.nn.harness import normal, same

SPEC = ait.TensorSpec((2, 3))
X = normal(2, 3)


def traced(function: Callable[..., Any], *names: str) -> Program:
    program = ait.trace(function, dict.fromkeys(names or ("x",), SPEC))
    program.verify()
    return program


# Inputs ---------------------------------------------------------------------------------------


def test_inputs_go_by_name_or_else_by_position() -> None:
    def subtract(a: nn.Tensor, b: nn.Tensor) -> nn.Tensor:
        return a - b

    y = normal(2, 3, seed=1)
    for names, expected in ((("a", "b"), X - y), (("b", "a"), y - X), (("p", "q"), X - y)):
        program = traced(subtract, *names)
        assert program.input_names == list(names)
        same(ait.evaluate(program, dict(zip(names, (X, y), strict=True)))["output"], expected)


def test_optional_inputs_may_be_left_out() -> None:
    def scaled(x: nn.Tensor, scale: nn.Tensor | None = None) -> nn.Tensor:
        return x if scale is None else x * scale

    same(ait.evaluate(traced(scaled), {"x": X})["output"], X)
    same(ait.evaluate(traced(scaled, "x", "scale"), [X, X])["output"], X * X)


def test_inputs_by_any_name() -> None:
    same(ait.evaluate(traced(lambda **given: given["q"] + 1, "q"), [X])["output"], X + 1)
    same(ait.evaluate(traced(nn.Sequential(nn.ReLU()), "image"), [X])["output"], np.maximum(X, 0))


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(TraceError, match=r"inputs x, z do not fit the function\(x.*, y"):
        traced(lambda x, y: x, "x", "z")
    with pytest.raises(TraceError, match=r"inputs a, b do not fit Linear\(x: "):
        traced(nn.Linear(3, 3), "a", "b")


def test_dims() -> None:
    batch = ait.Dim("batch", 1, 4)
    program = ait.trace(
        lambda x, y: nn.cat([x, y]),
        {"x": ait.TensorSpec((batch, 3)), "y": ait.TensorSpec((batch * 2 + 1, 3))},
    )
    y = normal(5, 3)
    same(ait.evaluate(program, [X, y])["output"], np.concatenate([X, y]))
    other = ait.TensorSpec((ait.Dim("batch", 1, 8),))
    with pytest.raises(ShapeError, match=r"input 'y': dim batch is in \[1, 8\] here"):
        ait.trace(lambda x, y: x, {"x": ait.TensorSpec((batch,)), "y": other})
    with pytest.raises(ShapeError, match="input 'x': an extent cannot be negative"):
        ait.trace(lambda x: x, {"x": ait.TensorSpec((-1,))})
    with pytest.raises(ShapeError, match="input 'x': dtype f8"):
        ait.trace(lambda x: x, {"x": ait.TensorSpec((1,), "f8")})
    with pytest.raises(ShapeError, match="bounds"):
        ait.Dim("batch", 3, 1)


# Outputs --------------------------------------------------------------------------------------


@dataclass
class Inner:
    key: Any
    value: Any = None


@dataclass
class Output:
    logits: Any
    past: Inner


Point = namedtuple("Point", ["a", "b"])


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: x + 1, ["output"]),
        (lambda x: (x + 1,), ["output_0"]),
        (lambda x: [x + 1, x], ["output_0", "output_1"]),
        (lambda x: {"a": x + 1, "b": x}, ["a", "b"]),
        (lambda x: {"a": [x, {"b": x}]}, ["a_0", "a_1.b"]),
        (lambda x: Output(x, Inner(x)), ["logits", "past.key"]),
        (lambda x: Point(x, x), ["a", "b"]),
        (lambda x: (x, None, (x, x)), ["output_0", "output_2_0", "output_2_1"]),
    ],
)
def test_output_names(function: Any, names: list[str]) -> None:
    program = traced(function)
    assert program.output_names == names
    for value in ait.evaluate(program, [X]).values():
        assert value.shape == X.shape


def test_inputs_duplicates_and_constants_may_be_outputs() -> None:
    module = nn.Linear(3, 3).init_random()

    def function(x: nn.Tensor) -> dict[str, Any]:
        y = x + 1
        return {
            "x": x, "y": y, "again": y, "two": 2.0, "array": np.arange(3), "weight": module.weight,
            "module": module(x),
        }  # fmt: skip

    program = traced(function)
    values = ait.evaluate(program, [X])
    same(values["x"], X)
    same(values["again"], values["y"])
    same(values["two"], np.float32(2))
    same(values["array"], np.arange(3))
    same(values["weight"], module.weight.data)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: "text", "is a str, not a tensor"),
        (lambda x: {"a": object()}, "output a is a object"),
        (lambda x: None, "gives no tensor"),
        (lambda x: (), "gives no tensor"),
        (lambda x: {"a.b": x, "a": {"b": x}}, "two outputs are named 'a.b'"),
    ],
)
def test_outputs_that_are_none(function: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        traced(function)


# Parameters and sources -----------------------------------------------------------------------


class Inside(nn.Module):
    def __init__(self, wrong: bool = False):
        self.fc = nn.Linear(3, 4 if wrong else 3)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.fc(x) + x


class Outside(nn.Module):
    def __init__(self, wrong: bool = False):
        self.blocks = nn.Sequential(Inside(), Inside(wrong))
        self.unused = nn.Linear(1, 1)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.blocks(x).relu()


def test_every_op_tells_its_module() -> None:
    program = traced(Outside().init_random())
    found = [
        (op.name, str(op.attributes["source"]))
        for op in program.main.body.block.ops
        if isinstance(op, GraphOp)
    ]
    assert found == [
        ("graph.linear", '"blocks.0.fc"'),
        ("graph.add", '"blocks.0"'),
        ("graph.linear", '"blocks.1.fc"'),
        ("graph.add", '"blocks.1"'),
        ("graph.relu", '"Outside"'),
    ]


def test_only_read_parameters_are_declared_once() -> None:
    block = Inside().init_random()
    program = traced(nn.Sequential(block, block))
    assert list(program.weights) == ["0.fc.weight", "0.fc.bias"]
    reads = [op for op in program.main.body.block.ops if isinstance(op, GetParameterOp)]
    assert len(reads) == 2


def test_errors_name_module_op_and_line() -> None:
    with pytest.raises(ShapeError) as caught:
        traced(Outside(wrong=True).init_random())
    text = str(caught.value)
    assert text.startswith("blocks.1: graph.add: lhs [2, 4] and rhs [2, 3] do not broadcast")
    assert "(test_trace.py:" in text


def test_parameters_without_data_are_listed() -> None:
    with pytest.raises(WeightError, match=r"2 parameters have no data.*: weight, bias"):
        traced(nn.Linear(3, 3))
    program = ait.trace(nn.Linear(3, 3), {"x": SPEC}, require_weights=False)
    assert program.weights == {}


def test_functions_of_modules_name_weights_after_them() -> None:
    first, second = nn.Linear(3, 3).init_random(), nn.Linear(3, 3).init_random(1)
    program = traced(lambda x: second(first(x)))
    assert list(program.weights) == ["weight", "bias", "linear_1.weight", "linear_1.bias"]


def test_parts_must_belong_to_the_model() -> None:
    class Lost(nn.Module):
        def __init__(self):
            self.hidden = [nn.Linear(3, 3)]

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.hidden[0](x)

    with pytest.raises(TraceError, match=r"Lost: its forward calls a Linear .* nn.ModuleList"):
        traced(Lost())

    class Loose(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x + nn.Parameter((3,))

    with pytest.raises(TraceError, match="belongs to no module"):
        traced(Loose())

    class Fine(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return nn.ReLU()(x)  # no weights: may be made on the way

    traced(Fine())


def test_large_constants_lie_beside_the_ir() -> None:
    table = normal(50, 50)
    small = normal(3)

    class Fixed(nn.Module):
        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return x * small + nn.tensor(table)[:2, :3]

    program = traced(nn.Sequential(Fixed(), Fixed()))
    assert list(program.weights) == ["0.constant_0", "1.constant_1"]
    expected = (X * small + table[:2, :3]) * small + table[:2, :3]
    np.testing.assert_allclose(ait.evaluate(program, [X])["output"], expected, rtol=1e-5)


def test_programs_survive_saving(tmp_path: Path) -> None:
    program = traced(Outside().init_random())
    program.save(tmp_path / "model.mlir")
    again = Program.load(tmp_path / "model.mlir")
    assert str(again.module) == str(program.module)
    same(ait.evaluate(again, [X])["output"], ait.evaluate(program, [X])["output"])


def test_a_failed_trace_leaves_nothing_behind() -> None:
    model = Outside(wrong=True).init_random()
    for _ in range(2):
        with pytest.raises(ShapeError):
            traced(model)
    traced(Outside().init_random())


def test_modules_without_forward() -> None:
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        traced(nn.Module())


def test_names_of_any_language_survive_as_text() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.größe = nn.Linear(3, 3)

        def forward(self, größe: nn.Tensor) -> dict[str, nn.Tensor]:
            return {'say "naïve"\\\n': self.größe(größe), "结果": größe * 2}

    model = Model().init_random()
    program = ait.trace(model, {"größe": ait.TensorSpec((ait.Dim("rows", 1, 3), 3))})
    parsed = Program(parse_module(str(program.module)), program.weights)
    parsed.verify()
    assert parsed.input_names == program.input_names == ["größe"]
    assert parsed.output_names == program.output_names == ['say "naïve"\\\n', "结果"]
    assert str(parsed.module) == str(program.module)
    x = normal(2, 3)
    same(ait.evaluate(parsed, {"größe": x})["结果"], x * 2)
