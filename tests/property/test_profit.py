"""Fusion pays, on any graph: it never adds launches, and never moves more bytes."""

from __future__ import annotations

from hypothesis import given
from xdsl.dialects.builtin import ModuleOp

from ait.dialects.accessor import AssembleOp
from ait.dialects.functions import find_function
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import dim_product, dims_of, element_of, evaluate
from ait.passes.cost import cost_of
from ait.passes.pipelines import run_pipeline
from ait.passes.plan_memory import bytes_of
from tests.property.examples import examples
from tests.property.programs import Case, cases


def work(module: ModuleOp, bindings: dict[str, int]) -> tuple[int, int]:
    """Launches and bytes of a run. An assemble that no kernel writes is a copy of each piece."""
    main = find_function(module, "main")
    assert main is not None
    launches, moved = 0, 0
    for op in main.body.block.ops:
        if isinstance(op, KernelOp):
            launches += 1
            moved += evaluate(cost_of(op).bytes, bindings)
        elif isinstance(op, AssembleOp):
            launches += len(op.pieces) + (op.fill is not None)
            sizes = [dim_product(dims_of(value)) for value in (*op.pieces, op.result)]
            elements = sum(evaluate(size, bindings) for size in sizes)
            moved += elements * bytes_of(element_of(op.result))
    return launches, moved


@given(cases())
@examples(150)
def test_fusion_never_costs_more(case: Case) -> None:
    unfused, fused = case.program.clone(), case.program.clone()
    run_pipeline(unfused.module, ("simplify", "lower"))
    run_pipeline(fused.module, ("simplify", "lower", "fuse"))
    launches_before, bytes_before = work(unfused.module, case.bindings)
    launches_after, bytes_after = work(fused.module, case.bindings)
    assert launches_after <= launches_before
    assert bytes_after <= bytes_before
