"""Every kind of kernel, compiled and run, against the interpreter."""

import numpy as np
import pytest

from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects.symbolic import dims_of, element_of
from ait.dialects.symbolic import evaluate as evaluate_dim
from ait.errors import AitError
from ait.ir.dtypes import Array, dtype_of
from ait.ir.interpreter import evaluate
from ait.ir.program import Program, inputs_of, parse_module
from ait.passes import target as registry
from ait.runtime.loader import CompiledModel, load
from tests.unit.codegen.cpu.cases import CASES, Case, module_text

BATCH = 3


@pytest.fixture(scope="module")
def program() -> Program:
    return Program(parse_module(module_text(), "cases"))


@pytest.fixture(scope="module")
def model(program: Program, tmp_path_factory: pytest.TempPathFactory) -> CompiledModel:
    with pytest.MonkeyPatch.context() as patch:
        families = {**registry.FAMILIES, "quick": "tests.unit.codegen.cpu.quick_target"}
        patch.setattr(registry, "FAMILIES", families)
        output = tmp_path_factory.mktemp("kernels") / "cases.so"
        compile_program(program, "quick", output, CompileOptions(pipeline=("place",)))
        registry.find_target.cache_clear()
    return load(output)


@pytest.fixture(scope="module")
def inputs(program: Program) -> dict[str, Array]:
    generator = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    for port in inputs_of(program.main):
        shape = tuple(evaluate_dim(dim, {"batch": BATCH}) for dim in dims_of(port.type))
        dtype = dtype_of(element_of(port.type)).numpy
        if dtype == np.bool_:
            arrays[port.name] = generator.random(shape) < 0.5
        elif np.issubdtype(dtype, np.integer):
            arrays[port.name] = generator.integers(0, 5, shape).astype(dtype)
        else:
            arrays[port.name] = generator.standard_normal(shape).astype(dtype)
    return arrays


@pytest.fixture(scope="module")
def expected(program: Program, inputs: dict[str, Array]) -> dict[str, Array]:
    return evaluate(program, inputs)


@pytest.fixture(scope="module")
def results(model: CompiledModel, inputs: dict[str, Array]) -> dict[str, Array]:
    return {name: np.asarray(value) for name, value in model.run(inputs).items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel(case: Case, results: dict[str, Array], expected: dict[str, Array]) -> None:
    for name in case.results:
        got, want = results[name], expected[name]
        assert got.dtype == want.dtype and got.shape == want.shape
        if np.issubdtype(want.dtype, np.integer) or want.dtype == np.bool_:
            np.testing.assert_array_equal(got, want)
            continue
        scale = max(1.0, float(np.abs(want.astype(np.float64)).max(initial=0.0)))
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=0, atol=case.tolerance * scale
        )


def test_index_out_of_range_is_an_error(model: CompiledModel, inputs: dict[str, Array]) -> None:
    bad = inputs["gather_rows.indices"].copy()
    bad[1, 0] = 5
    with pytest.raises(AitError, match=r"index 5 .*outside of \[0, 5\)"):
        model.run(inputs | {"gather_rows.indices": bad})
    model.run(inputs)
