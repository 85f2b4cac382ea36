"""Every level means the same: each graph op before and after lowering, down to shared slots."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.dialects.func import FuncOp, ReturnOp

from ait.dialects.symbolic import dims_of, element_of, evaluate, tensor_type
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter import evaluate as run
from ait.ir.program import Program
from ait.passes.pipelines import run_pipeline

_SPEC = importlib.util.spec_from_file_location(
    "graph_cases", Path(__file__).parents[2] / "dialects" / "test_graph.py"
)
assert _SPEC is not None and _SPEC.loader is not None
_CASES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CASES)

BINDINGS = {"batch": 3, "seq": 5}


def program_of(case: Any) -> Program:
    block, op = _CASES.build(case)
    op.detach()
    # The last input only binds the symbols.
    types = [*(a.type for a in block.args), tensor_type(f32, (_CASES.B, _CASES.S))]
    function = FuncOp("main", (types, [r.type for r in op.results]))
    for new, old in zip(function.body.block.args, block.args, strict=False):
        old.replace_all_uses_with(new)
    function.body.block.add_ops([op, ReturnOp(*op.results)])
    return Program(ModuleOp([function]))


def inputs_of(program: Program, rng: np.random.Generator) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []
    for t in program.main.function_type.inputs.data:
        dtype = dtype_of(element_of(t)).numpy
        shape = tuple(evaluate(dim, BINDINGS) for dim in dims_of(t))
        if dtype.kind in "ib":
            arrays.append(rng.integers(0, 2, shape).astype(dtype))
        else:
            arrays.append(rng.uniform(0.25, 2, shape).astype(dtype))
    return arrays


STAGES = {
    "plain": ("fold-constants", "lower-movement", "lower-graph", "fuse-memory", "bufferize"),
    "full": ("simplify", "lower", "fuse", "target", "bufferize", "plan-memory"),
}


@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("case", _CASES.CASES, ids=_CASES.label)
def test_lowering_keeps_the_meaning(case: Any, stages: tuple[str, ...]) -> None:
    program = program_of(case)
    rng = np.random.default_rng(0)
    inputs = inputs_of(program, rng)
    want = run(program, inputs)

    def check(name: str, module: ModuleOp) -> None:
        got = run(Program(module, program.weights), inputs)
        for (output, expected), found in zip(want.items(), got.values(), strict=True):
            assert found.dtype == expected.dtype and found.shape == expected.shape, name
            np.testing.assert_allclose(
                found.astype(np.float64),
                expected.astype(np.float64),
                rtol=1e-5 if expected.dtype == np.float32 else 2e-2,
                atol=1e-6,
                err_msg=f"{output} after {name}",
            )

    run_pipeline(program.module, stages, verify=True, after_pass=check)
