"""Running one graph op on arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation

from ait.dialects.symbolic import tensor_type
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter import evaluate
from ait.ir.program import Program

Run = Callable[..., Any]


def run(builder: Callable[..., Operation], *arrays: Any) -> Any:
    """What the op that `builder` makes gives for arrays: its result, or a list of several."""
    arrays = tuple(np.asarray(a) for a in arrays)
    types = [tensor_type(dtype_of(a.dtype).element, a.shape) for a in arrays]
    function = FuncOp("main", (types, []))
    op = builder(*function.body.block.args)
    function.body.block.add_ops([op, ReturnOp(*op.results)])
    function.update_function_type()
    program = Program(ModuleOp([function]))
    program.verify()
    results = list(evaluate(program, list(arrays)).values())
    return results[0] if len(results) == 1 else results


@pytest.fixture
def run_op() -> Run:
    return run
