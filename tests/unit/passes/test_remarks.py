"""Who listens to remarks hears all of them."""

from __future__ import annotations

from ait.ir.trace import TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks


def test_a_listener_hears_what_an_inner_one_hears() -> None:
    program = trace(lambda x: (x.tanh() * 2).sum(0), {"x": TensorSpec((4, 4))})
    with collect_remarks() as outer:
        run_pipeline(program.clone().module)
        before = list(outer)
        with collect_remarks() as inner:
            run_pipeline(program.clone().module)
    assert before and [str(r) for r in inner] == [str(r) for r in before]
    assert outer == [*before, *inner]
