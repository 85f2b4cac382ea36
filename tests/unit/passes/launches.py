"""How many kernels a model comes down to, for the tests that count them."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.ir import Operation

from ait.dialects.functions import find_function
from ait.dialects.kernel import CopyOp, GroupOp, KernelOp
from ait.ir.interpreter import evaluate
from ait.ir.trace import TensorSpec, trace
from ait.passes import PASSES
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import Remark, collect_remarks

DIALECTS = ("graph", "accessor", "kernel")
"""Whose ops remarks are about."""


def launches(
    model: Any, specs: dict[str, TensorSpec], inputs: dict[str, Any], *, copies: bool = False
) -> list[str]:
    """Names of the launches of a model, which is checked to compute what it says: `gemm`, or
    `gemm+gemm` for a group.

    That data movement is left is an error, unless `copies` asks to count it with the others.
    """
    program = trace(model, specs)
    lowered = program.clone()
    with collect_remarks() as remarks:
        run_pipeline(lowered.module, verify=True)
    for remark in remarks:
        assert_sound(remark)
    want, got = evaluate(program, inputs), evaluate(lowered, inputs)
    for name, expected in want.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-3, atol=1e-4, err_msg=name)
    main = find_function(lowered.module, "main")
    assert main is not None
    found = [_members(op) for op in main.body.block.ops]
    kernels = [op for group in found for op in group]
    assert copies or not any(isinstance(op, CopyOp) for op in kernels), "data movement is left"
    return ["+".join(op.name.removeprefix("kernel.") for op in group) for group in found if group]


def kernels(model: Any, specs: dict[str, TensorSpec]) -> list[str]:
    """The launches of a model on random inputs, copies too; `batch` is 2 and `seq` is 3."""
    rng = np.random.default_rng(0)
    sizes = {"batch": 2, "seq": 3}
    inputs = {
        name: rng.standard_normal(
            [d if isinstance(d, int) else sizes[str(d)] for d in spec.shape], np.float32
        )
        for name, spec in specs.items()
    }
    return launches(model, specs, inputs, copies=True)


def assert_sound(remark: Remark) -> None:
    """A remark names its pass, what was decided, the op, and a reason that can be read."""
    assert remark.pass_name in PASSES, remark
    assert remark.kind in ("applied", "missed", "note"), remark
    assert remark.op_name.partition(".")[0] in DIALECTS, remark
    assert remark.message[:1].strip(), remark
    assert "None" not in remark.message.split(), remark


def _members(op: Operation) -> tuple[KernelOp, ...]:
    """The kernels that one op launches."""
    if isinstance(op, GroupOp):
        return op.members
    return (op,) if isinstance(op, KernelOp) else ()
