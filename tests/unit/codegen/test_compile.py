"""From kernel-level IR to a library that runs: the plan, the sources, the build, the report."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr
from xdsl.dialects.func import FuncOp

from ait.codegen.compile import Artifact, CompileOptions, compile_program
from ait.dialects.kernel import PointwiseOp
from ait.errors import AitError, CompileError, InputError
from ait.ir.interpreter import evaluate
from ait.ir.program import Program, parse_module
from ait.passes import target as registry
from ait.passes.pipelines import expand
from ait.runtime.inspect import read_metadata
from ait.runtime.loader import load
from ait.runtime.sources import runtime_sources

# The model, two kernels and the runtime.
SOURCES = 1 + 2 + len(runtime_sources("cpu"))

MLP = """
graph.parameter @w : tensor<8x4xf32>
graph.parameter @b : tensor<4xf32>

func.func @main(%x: tensor<?x8xf32, #sym.dims<[batch, 8], batch in [1, 16]>> {ait.name = "x"})
    -> (tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>> {ait.name = "y"}) {
  %w = graph.get_parameter @w : tensor<8x4xf32>
  %b = graph.get_parameter @b : tensor<4xf32>
  %e = kernel.empty : tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>>
  %h = kernel.gemm
    ins(%x : tensor<?x8xf32, #sym.dims<[batch, 8], batch in [1, 16]>>, %w : tensor<8x4xf32>,
        %b <offset 0, sizes [batch, 4], strides [0, 1], batch in [1, 16]> : tensor<4xf32>)
    outs(%e : tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>>)
    {groups = array<i64: 0, 1, 1, 1>, source = "mlp.first"} epilogue {
    ^bb0(%acc: f32, %bias: f32):
      %s = arith.addf %acc, %bias : f32
      kernel.yield %s : f32
  }
  %f = kernel.empty : tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>>
  %y = kernel.pointwise ins(%h : tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>>)
    outs(%f : tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>>) {source = "mlp.act"} body {
    ^bb0(%v: f32):
      %t = math.tanh %v : f32
      kernel.yield %t : f32
  }
  func.return %y : tensor<?x4xf32, #sym.dims<[batch, 4], batch in [1, 16]>>
}
"""


@pytest.fixture(autouse=True)
def naive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Registers the naive target."""
    families = {**registry.FAMILIES, "naive": "tests.unit.codegen.naive_target"}
    monkeypatch.setattr(registry, "FAMILIES", families)
    yield
    registry.find_target.cache_clear()


@pytest.fixture
def mlp() -> Program:
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((8, 4)).astype(np.float32),
        "b": rng.standard_normal(4).astype(np.float32),
    }
    return Program(parse_module(MLP), weights)


PLACE = CompileOptions(pipeline=("place",), verify=True)


def compiled(program: Program, folder: Path, **options: object) -> Artifact:
    return compile_program(program, "naive", folder / "model.so", replace(PLACE, **options))


def batch_of(size: int) -> np.ndarray:
    return np.random.default_rng(size).standard_normal((size, 8)).astype(np.float32)


def test_a_compiled_model_computes_what_the_interpreter_does(mlp: Program, tmp_path: Path) -> None:
    artifact = compiled(mlp, tmp_path)
    with load(artifact.path) as model:
        for size in (1, 5, 16):
            x = batch_of(size)
            np.testing.assert_allclose(model(x), evaluate(mlp, {"x": x})["y"], rtol=1e-5, atol=1e-6)
        with pytest.raises(InputError, match="batch"):
            model(batch_of(17))
        assert [port.name for port in (*model.inputs, *model.outputs)] == ["x", "y"]


def test_the_program_stays_as_it_was(mlp: Program, tmp_path: Path) -> None:
    before = str(mlp.module)
    compiled(mlp, tmp_path)
    assert str(mlp.module) == before
    assert sorted(mlp.weights) == ["b", "w"]


def test_the_report_and_the_metadata_tell_what_was_done(mlp: Program, tmp_path: Path) -> None:
    artifact = compiled(mlp, tmp_path)
    report = artifact.report
    assert (report.launches, report.kernels, report.movements) == (2, 2, 0)
    assert report.workspace == (64, 256)
    assert report.weight_bytes == 8 * 4 * 4 + 4 * 4
    assert [run.name for run in report.passes] == expand(["place"])
    assert len(report.compiled) + len(report.cached) == SOURCES
    assert "2 of 2 kernels" in str(report)
    json.dumps(report.as_json())
    metadata = read_metadata(artifact.path)
    assert (metadata["name"], metadata["target"]) == ("model", "naive")
    assert [step["source"] for step in metadata["steps"]] == ["mlp.first", "mlp.act"]
    assert metadata["workspace_bytes"] == {"lower": 64, "upper": 256}
    assert {w["name"]: w["role"] for w in metadata["weights"]} == {"w": "raw", "b": "raw"}


def test_the_page_tells_what_the_report_does(mlp: Program, tmp_path: Path) -> None:
    artifact = compiled(mlp, tmp_path, report=tmp_path / "pages" / "report.html", name="a <b>")
    assert artifact.page == tmp_path / "pages" / "report.html"
    text = artifact.page.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    page = json.loads(found[1])
    report = artifact.report
    assert page["name"] == "a <b>" and page["target"] == report.target
    assert len(page["after"]["launches"]) == report.launches
    assert page["after"]["movements"] == report.movements
    assert page["kernels"] == report.kernels
    assert page["workspace"] == list(report.workspace)
    assert page["library_bytes"] == artifact.path.stat().st_size
    assert [run["name"] for run in page["passes"]] == [run.name for run in report.passes]
    assert page["before"] is None  # this pipeline starts behind lower-graph
    assert compiled(mlp, tmp_path).page is None


def test_a_second_compile_compiles_nothing(mlp: Program, tmp_path: Path) -> None:
    compiled(mlp, tmp_path)
    first = (tmp_path / "model.so").read_bytes()
    report = compiled(mlp, tmp_path).report
    assert report.compiled == []
    assert (tmp_path / "model.so").read_bytes() == first


def test_weights_in_a_file(mlp: Program, tmp_path: Path) -> None:
    artifact = compiled(mlp, tmp_path, weights="file")
    assert artifact.weights == tmp_path / "model.safetensors"
    with pytest.raises(AitError, match="needs a weights file"):
        load(artifact.path)
    x = batch_of(3)
    with load(artifact.path, weights=artifact.weights) as model:
        np.testing.assert_allclose(model(x), evaluate(mlp, {"x": x})["y"], rtol=1e-5, atol=1e-6)


PREPARE = """
func.func @prepare() -> (tensor<8x4xf32> {ait.name = "w2"}) {
  %w = graph.get_parameter @w : tensor<8x4xf32>
  %t = kernel.empty : tensor<8x4xf32>
  %n = kernel.pointwise ins(%w : tensor<8x4xf32>) outs(%t : tensor<8x4xf32>) body {
    ^bb0(%v: f32):
      %s = arith.negf %v : f32
      kernel.yield %s : f32
  }
  %e = kernel.empty : tensor<8x4xf32>
  %d = kernel.pointwise ins(%w : tensor<8x4xf32>, %n : tensor<8x4xf32>)
    outs(%e : tensor<8x4xf32>) body {
    ^bb0(%v: f32, %m: f32):
      %s = arith.subf %v, %m : f32
      kernel.yield %s : f32
  }
  func.return %d : tensor<8x4xf32>
}
"""


def folding(program: Program) -> Program:
    """The model with `w` replaced by twice itself, which `@prepare` computes."""
    declared = "graph.parameter @w2 derived : tensor<8x4xf32>\n"
    text = declared + MLP.replace("get_parameter @w ", "get_parameter @w2 ") + PREPARE
    return Program(parse_module(text), dict(program.weights))


def test_derived_weights_are_computed_at_compile_time_and_again(
    mlp: Program, tmp_path: Path
) -> None:
    program = folding(mlp)
    x = batch_of(4)
    with load(compiled(program, tmp_path).path) as model:
        np.testing.assert_allclose(model(x), evaluate(program, {"x": x})["y"], rtol=1e-5, atol=1e-6)
        weights = {w.name: w.role for w in model.weights}
        assert weights == {"b": "raw", "w": "raw", "w2": "derived"}
        program.weights["w"] = program.weights["w"] * 0.5
        model.set_weight("w", program.weights["w"])
        np.testing.assert_allclose(model(x), evaluate(program, {"x": x})["y"], rtol=1e-5, atol=1e-6)


def test_derived_weights_of_a_file_need_no_preparation(mlp: Program, tmp_path: Path) -> None:
    program = folding(mlp)
    artifact = compiled(program, tmp_path, weights="file")
    x = batch_of(4)
    with load(artifact.path, weights=artifact.weights) as model:
        np.testing.assert_allclose(model(x), evaluate(program, {"x": x})["y"], rtol=1e-5, atol=1e-6)


def test_a_frozen_model_keeps_only_what_it_needs(mlp: Program, tmp_path: Path) -> None:
    program = folding(mlp)
    artifact = compiled(program, tmp_path, freeze=True)
    assert artifact.report.weight_bytes == 8 * 4 * 4 + 4 * 4
    x = batch_of(4)
    with load(artifact.path) as model:
        np.testing.assert_allclose(model(x), evaluate(program, {"x": x})["y"], rtol=1e-5, atol=1e-6)
        with pytest.raises(AitError, match="folded into other weights"):
            model.set_weight("w", program.weights["w"])


def test_a_missing_weight_is_named(mlp: Program, tmp_path: Path) -> None:
    del mlp.weights["b"]
    with pytest.raises(AitError, match="'b' has no weight"):
        compiled(mlp, tmp_path)
    assert not (tmp_path / "model.so").exists()


def test_hostile_names_stay_data(tmp_path: Path) -> None:
    """Names come from users: nothing in them may become code."""
    hostile = 'x)ait";}//\\\u00e9\n'
    module = parse_module(MLP)
    main = next(op for op in module.ops if isinstance(op, FuncOp) and op.arg_attrs)
    main.arg_attrs = ArrayAttr([DictionaryAttr({"ait.name": StringAttr(hostile)})])
    (act,) = (op for op in module.walk() if isinstance(op, PointwiseOp))
    act.attributes["source"] = StringAttr(hostile)
    weights = {"w": np.ones((8, 4), np.float32), "b": np.ones(4, np.float32)}
    artifact = compiled(Program(module, weights), tmp_path, name=hostile)
    with load(artifact.path) as model:
        assert model.inputs[0].name == hostile
        assert model.metadata["name"] == hostile
        assert model.metadata["steps"][1]["source"] == hostile


def test_identical_layers_share_one_kernel(tmp_path: Path) -> None:
    layer = """
      %e{i} = kernel.empty : tensor<8xf32>
      %y{i} = kernel.pointwise ins(%y{j} : tensor<8xf32>) outs(%e{i} : tensor<8xf32>)
        {{source = "layer.{i}"}} body {{
        ^bb0(%v: f32):
          %t{i} = math.tanh %v : f32
          kernel.yield %t{i} : f32
      }}"""
    layers = "".join(layer.format(i=i, j=i - 1) for i in range(1, 9))
    text = f"""
      func.func @main(%y0: tensor<8xf32> {{ait.name = "x"}}) -> tensor<8xf32> {{
        {layers}
        func.return %y8 : tensor<8xf32>
      }}"""
    program = Program(parse_module(text), {})
    artifact = compiled(program, tmp_path)
    # In place, or from one buffer to another: two kernels at most.
    assert artifact.report.launches == 8
    assert artifact.report.kernels <= 3
    x = np.linspace(-2, 2, 8, dtype=np.float32)
    with load(artifact.path) as model:
        np.testing.assert_allclose(model(x), next(iter(evaluate(program, {"x": x}).values())), 1e-5)


def test_an_unknown_target_is_refused(mlp: Program, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="unknown target 'tpu'"):
        compile_program(mlp, "tpu", tmp_path / "model.so")


def test_code_that_does_not_compile_names_the_layer(
    mlp: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.codegen.naive_target.UNIT", "// {symbol}\n#error broken\n")
    with pytest.raises(CompileError) as caught:
        compiled(mlp, tmp_path, cache=False)
    assert f"2 of {SOURCES} sources failed" in str(caught.value)
    assert "(mlp.first)" in str(caught.value)
    assert "(mlp.act)" in str(caught.value)
    assert not (tmp_path / "model.so").exists()


def test_a_symbol_that_no_input_tells_is_refused(tmp_path: Path) -> None:
    text = """
      func.func @main() -> tensor<?xf32, #sym.dims<[n], n in [1, 4]>> {
        %e = kernel.empty : tensor<?xf32, #sym.dims<[n], n in [1, 4]>>
        %y = kernel.pointwise ins() outs(%e : tensor<?xf32, #sym.dims<[n], n in [1, 4]>>) body {
          %0 = arith.constant 1.0 : f32
          kernel.yield %0 : f32
        }
        func.return %y : tensor<?xf32, #sym.dims<[n], n in [1, 4]>>
      }"""
    with pytest.raises(CompileError, match="the size n cannot be read from the inputs"):
        compiled(Program(parse_module(text), {}), tmp_path)


def test_half_precision_and_symbolic_slots(tmp_path: Path) -> None:
    text = """
      func.func @main(%x: tensor<?x?xf16, #sym.dims<[m * 2, n], m in [0, 4], n in [1, 9]>>)
          -> tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>> {
        %e = kernel.empty : tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>>
        %y = kernel.copy ins(%x <offset 0, sizes [n, m * 2], strides [1, n], m in [0, 4],
            n in [1, 9]> : tensor<?x?xf16, #sym.dims<[m * 2, n], m in [0, 4], n in [1, 9]>>)
          outs(%e : tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>>)
        %f = kernel.empty : tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>>
        %z = kernel.pointwise
          ins(%y : tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>>)
          outs(%f : tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>>) body {
          ^bb0(%v: f32):
            %w = kernel.extent <m * 2 + n floordiv 2, m in [0, 4], n in [1, 9]>
            %s = arith.sitofp %w : i64 to f32
            %r = arith.addf %v, %s : f32
            kernel.yield %r : f32
        }
        func.return %z : tensor<?x?xf16, #sym.dims<[n, m * 2], m in [0, 4], n in [1, 9]>>
      }"""
    program = Program(parse_module(text), {})
    with load(compiled(program, tmp_path).path) as model:
        for m, n in ((0, 3), (1, 1), (4, 9)):
            x = np.random.default_rng(n).standard_normal((2 * m, n)).astype(np.float16)
            (expected,) = evaluate(program, [x]).values()
            np.testing.assert_array_equal(model(x), expected)
        with pytest.raises(InputError):
            model(np.zeros((3, 1), np.float16))


LITERAL = """
graph.parameter @w : tensor<4xf32>
graph.parameter @table = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>

func.func @main(%x: tensor<4xf32> {ait.name = "x"}) -> (tensor<4xf32> {ait.name = "y"}) {
  %w = graph.get_parameter @w : tensor<4xf32>
  %t = graph.get_parameter @table : tensor<4xf32>
  %e = kernel.empty : tensor<4xf32>
  %y = kernel.pointwise ins(%x : tensor<4xf32>, %w : tensor<4xf32>, %t : tensor<4xf32>)
    outs(%e : tensor<4xf32>) body {
    ^bb0(%a: f32, %b: f32, %c: f32):
      %p = arith.mulf %b, %c : f32
      %s = arith.addf %a, %p : f32
      kernel.yield %s : f32
  }
  func.return %y : tensor<4xf32>
}
"""


@pytest.mark.parametrize("weights", ["embedded", "file"])
def test_literals_belong_to_the_model_and_not_to_its_weights(tmp_path: Path, weights: str) -> None:
    """A user's weights file, which cannot know them, is enough."""
    program = Program(parse_module(LITERAL), {"w": np.ones(4, np.float32)})
    artifact = compiled(program, tmp_path, weights=weights)
    users = tmp_path / "users.safetensors"
    save_file({"w": np.full(4, 2, np.float32)}, users)
    x, table = np.ones(4, np.float32), np.arange(1, 5, dtype=np.float32)
    with load(artifact.path, weights=artifact.weights) as model:
        np.testing.assert_array_equal(model(x), 1 + table)
        model.set_weights(users)
        np.testing.assert_array_equal(model(x), 1 + 2 * table)
        model.set_weight("w", np.zeros(4, np.float32))
        np.testing.assert_array_equal(model(x), x)
        with pytest.raises(AitError, match="table"):
            model.set_weight("table", np.zeros(4, np.float32))
        assert model.metadata["weights"][1]["role"] == "literal"
    with load(artifact.path, weights=users) as model:
        np.testing.assert_array_equal(model(x), 1 + 2 * table)
