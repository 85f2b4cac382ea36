"""Whatever graph goes in: every pass keeps it valid, and keeps what it means."""

from __future__ import annotations

import inspect
import io

import pytest
from hypothesis import given
from xdsl.printer import Printer

from ait.dialects import graph
from ait.ir.interpreter import evaluate
from ait.ir.program import parse_module
from ait.passes.pipelines import run_pipeline
from tests.property.examples import examples
from tests.property.programs import MAKERS, Case, assert_equal, cases

EXAMPLES = examples(200)


def generic(module: object) -> str:
    """The module in the form that shows everything."""
    out = io.StringIO()
    Printer(out, print_generic_format=True).print_op(module)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


def test_every_graph_op_is_generated() -> None:
    every = {
        value
        for value in vars(graph).values()
        if inspect.isclass(value) and issubclass(value, graph.GraphOp) and "name" in vars(value)
    }
    assert every == set(MAKERS)


@given(cases())
@EXAMPLES
def test_text_round_trip(case: Case) -> None:
    module = case.program.module
    for text in (str(module), generic(module)):
        again = parse_module(text)
        again.verify()
        assert generic(again) == generic(module)


@given(cases())
@EXAMPLES
def test_each_pass_keeps_the_meaning(case: Case) -> None:
    want = evaluate(case.program, case.inputs)
    changed = case.program.clone()

    def check(name: str, _: object) -> None:
        try:
            assert_equal(case, evaluate(changed, case.inputs), want)
        except Exception as error:
            error.add_note(f"after {name}")
            raise

    run_pipeline(changed.module, target="any", verify=True, after_pass=check)


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.name)
def test_each_op_through_the_pipeline(kind: type) -> None:
    @given(cases(max_ops=3, kinds=[kind]))
    @examples(15)
    def check(case: Case) -> None:
        want = evaluate(case.program, case.inputs)
        changed = case.program.clone()
        run_pipeline(changed.module, target="any", verify=True)
        assert_equal(case, evaluate(changed, case.inputs), want)

    check()


@given(
    cases(
        max_ops=4,
        kinds=[
            graph.LinearOp,
            graph.MulOp,
            graph.AddOp,
            graph.SiluOp,
            graph.SplitOp,
            graph.ReshapeOp,
            graph.PermuteOp,
        ],
    )
)
@EXAMPLES
def test_gated_layers(case: Case) -> None:
    """Products of one input that meet again, among what moves and activates them."""
    want = evaluate(case.program, case.inputs)
    changed = case.program.clone()
    run_pipeline(changed.module, target="any", verify=True)
    assert_equal(case, evaluate(changed, case.inputs), want)
