"""Programs: names, weights, files, and what is said of broken ones."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from xdsl.dialects.builtin import f32

from ait.errors import AitError, WeightError
from ait.ir.interpreter import evaluate
from ait.ir.parsing import parse_module
from ait.ir.program import Program

TEXT = """
graph.parameter @a : tensor<2x4xf32>
graph.parameter @"encoder.b" : tensor<2xbf16>
graph.parameter @c derived : tensor<2xi64>
graph.parameter @d = dense<[true, false]> : tensor<2xi1>
func.func @main(%x: tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>> {ait.name = "ids"},
                %y: tensor<2xf32>) -> (tensor<?x2xf32, #sym.dims<[n, 2], n in [0, 8]>>,
                                       tensor<2xf32> {ait.name = "same"}) {
  %a = graph.get_parameter @a : tensor<2x4xf32>
  %0 = graph.linear %x, %a, %y : (tensor<?x4xf32, #sym.dims<[n, 4], n in [0, 8]>>,
    tensor<2x4xf32>, tensor<2xf32>) -> tensor<?x2xf32, #sym.dims<[n, 2], n in [0, 8]>>
  func.return %0, %y : tensor<?x2xf32, #sym.dims<[n, 2], n in [0, 8]>>, tensor<2xf32>
}
"""


def weights() -> dict[str, np.ndarray]:
    return {
        "a": np.arange(8, dtype=np.float32).reshape(2, 4),
        "encoder.b": np.asarray([1, -2], ml_dtypes.bfloat16),
    }


def program() -> Program:
    return Program(parse_module(TEXT), weights())


def test_names() -> None:
    model = program()
    assert model.input_names == ["ids", "input_1"]
    assert model.output_names == ["output_0", "same"]
    with pytest.raises(AitError, match="no function @main"):
        _ = Program(parse_module("graph.parameter @a : tensor<f32>")).main


def test_weights_that_fit() -> None:
    model = program()
    model.verify()
    model.weights["c"] = np.array([1, 2])  # a derived one may have a value
    model.verify()


def test_all_problems_of_weights_at_once() -> None:
    model = program()
    model.weights = {
        "a": np.zeros((4, 2), np.float16),
        "c": np.zeros(2, np.complex64),
        "extra": np.zeros(1, np.float32),
    }
    with pytest.raises(WeightError) as error:
        model.verify()
    assert str(error.value).splitlines() == [
        "weight 'a' has elements f16, the parameter has f32",
        "weight 'a' has shape [4, 2], the parameter has [2, 4]",
        "parameter 'encoder.b' has no weight",
        "weight 'c': dtype complex64 is none of f32, f16, bf16, i64, i32, i8, i1, f8E4M3FN",
        "weight 'extra' belongs to no parameter",
    ]


def test_invalid_ir() -> None:
    model = program()
    model.main.body.block.args[1].name_hint = None
    next(iter(model.main.body.block.ops)).results[0].replace_all_uses_with(
        model.main.body.block.args[1]
    )
    with pytest.raises(AitError, match=r"the IR is not valid: .*weight \[2\] must have rank 2"):
        model.verify()


def test_use_before_definition(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    path.write_text("""func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      %1 = graph.neg %0 : tensor<2xf32>
      %0 = graph.abs %x : tensor<2xf32>
      func.return %1 : tensor<2xf32>
    }""")
    with pytest.raises(AitError, match=r"the IR is not valid: .*does not dominate this use"):
        Program.load(path)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    model = program()
    # Not contiguous, a scalar and an empty one.
    model.weights["a"] = np.asfortranarray(model.weights["a"])
    model.save(path)
    again = Program.load(path)
    assert str(again.module) == str(model.module)
    assert again.weights.keys() == model.weights.keys()
    for name, array in model.weights.items():
        assert again.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(again.weights[name], array)
    model.weights["c"] = again.weights["c"] = np.array([1, 2])
    x, y = np.ones((3, 4), np.float32), np.zeros(2, np.float32)
    for name, array in evaluate(model, [x, y]).items():
        np.testing.assert_array_equal(evaluate(again, [x, y])[name], array)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "i64", "i32", "i8", "i1", "f8E4M3FN"])
def test_every_dtype_survives_a_file(tmp_path: Path, dtype: str) -> None:
    from ait.ir.dtypes import dtype_of

    for shape in ((), (0, 3), (2, 3)):
        array = np.arange(np.prod(shape)).reshape(shape).astype(dtype_of(dtype).numpy)
        text = "x".join([*map(str, shape), dtype])
        module = parse_module(f"graph.parameter @w : tensor<{text}>")
        Program(module, {"w": array}).save(tmp_path / "w.mlir")
        again = Program.load(tmp_path / "w.mlir").weights["w"]
        assert again.dtype == array.dtype and again.shape == shape
        np.testing.assert_array_equal(again, array)


def test_without_weights_there_is_no_file_to_read(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    path.write_text(
        "func.func @main(%x: tensor<f32>) -> tensor<f32> {\n  func.return %x : tensor<f32>\n}"
    )
    assert Program.load(path).weights == {}
    path.write_text("graph.parameter @w : tensor<2xf32>")
    with pytest.raises(WeightError, match="parameter 'w' has no weight"):
        Program.load(path)


def test_broken_weight_files(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    program().save(path)
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    broken = [
        b"",
        whole[:4],
        whole[:40],
        whole[:-1],
        b"\xff" * 16 + whole[16:],
        whole[:8] + b"{" + whole[9:20],
    ]
    for data in broken:
        file.write_bytes(data)
        with pytest.raises(WeightError, match=r"cannot read weights from .*model\.safetensors"):
            Program.load(path)


@pytest.mark.parametrize("dtype", ["F8_E5M2FNUZ", "F4"])
def test_numbers_without_arrays(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "model.mlir"
    program().save(path)
    size = 1 if dtype == "F4" else 2
    entry = {"dtype": dtype, "shape": [2], "data_offsets": [0, size]}
    header = json.dumps({"scales": entry}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\x38" * size)
    with pytest.raises(WeightError, match=f"cannot read weights .*: scales is of type {dtype}"):
        Program.load(path)


def test_unreadable_text(tmp_path: Path) -> None:
    with pytest.raises(AitError, match=r"cannot read .*absent\.mlir"):
        Program.load(tmp_path / "absent.mlir")
    (tmp_path / "binary.mlir").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AitError, match=r"cannot read .*binary\.mlir"):
        Program.load(tmp_path / "binary.mlir")


def test_clone_shares_weights_but_not_the_module() -> None:
    model = program()
    copy = model.clone()
    copy.main.sym_name = type(copy.main.sym_name)("other")
    copy.weights.pop("a")
    assert model.main.sym_name.data == "main" and "a" in model.weights


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (
            "func.func @main() {\n  %0 = graph.nope\n}",
            "2:3",
            "Operation graph.nope is not registered",
        ),
        ("func.func @main() {\n  %0 = graph.relu %x : tensor<f32>\n}", "", "defined"),
        ("", "1:1", "Could not parse entire input"),
        (
            "graph.parameter @w : tensor<?xf32, #sym.dims<[n], n in [3, 2]>>",
            "1:",
            "dim 'n': bounds are [low, high] with 0 <= low <= high",
        ),
        ("graph.parameter @w : tensor<4xi99999999>", "1:31", "Expected shape type"),
        (
            "func.func @main(%x: f32) {\n  %0 = graph.relu %x : f32\n}",
            "2:24",
            "takes tensors, not f32",
        ),
        ('"graph.relu"() <{', "", ""),
        ("!", "1:1", "Expected suffix identifier"),
        (f'"{"closing quote forgotten " * 9}', "1:1", "End of file reached before closing string"),
        ("graph.parameter @w = 3 : i64", "1:22", "expected dense elements, not 3 : i64"),
    ],
)
def test_malformed_text(text: str, place: str, message: str) -> None:
    with pytest.raises(AitError) as error:
        parse_module(text, "model.mlir")
    assert str(error.value).startswith(f"model.mlir:{place}")
    assert message in str(error.value)


def test_hexadecimal_floats_are_bits() -> None:
    module = parse_module(
        "graph.parameter @w = dense<[0x7F800000, 0x3F800000, 2.0]> : tensor<3xf32>"
    )
    ((_, value),) = Program(module).literals()
    assert value.get_values() == (float("inf"), 1.0, 2.0)
    assert str(parse_module(str(module))) == str(module)
    with pytest.raises(AitError, match=f"0x1FFFFFFFF has more bits than {f32}"):
        parse_module("graph.parameter @w = dense<0x1FFFFFFFF> : tensor<3xf32>")
