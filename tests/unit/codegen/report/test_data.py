"""What a report says of models: it must be what the passes did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ait.codegen.report.data import ReportData
from ait.dialects.symbolic import evaluate, symbols_of
from ait.ir.program import Program
from tests.unit.codegen.report import reports

MODELS = [
    reports.mlp,
    reports.joined,
    reports.small_bert,
    pytest.param(reports.resnet, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=MODELS, ids=lambda make: make.__name__)
def data(request: pytest.FixtureRequest) -> ReportData:
    make: Callable[[], Program] = request.param
    return reports.report_of(make())


@pytest.fixture(scope="module")
def bert() -> dict[str, Any]:
    return reports.report_of(reports.small_bert()).as_json()


def test_what_is_read_was_written_before(data: ReportData) -> None:
    for flow in (data.before, data.after):
        assert flow is not None
        for number, launch in enumerate(flow.launches):
            assert all(producer < number for producer in launch.producers)
            for operand in launch.operands:
                computed = operand.holder == "value" and operand.role == "in"
                assert not computed or operand.producers, (number, operand)
                assert operand.holder == "value" or operand.name
        assert [name for name, writers in flow.outputs.items() if not writers] == []


def test_inputs_and_outputs_are_those_of_the_model(data: ReportData) -> None:
    for flow in (data.before, data.after):
        assert flow is not None
        read = {o.name for launch in flow.launches for o in launch.operands if o.holder == "input"}
        assert read == {port.name for port in data.inputs}
        assert list(flow.outputs) == [port.name for port in data.outputs]


def test_fusion_moves_no_more_bytes_at_any_dims(data: ReportData) -> None:
    assert data.before is not None
    for dims in ("lower", "upper"):
        moved = []
        for flow in (data.before, data.after):
            costs = [launch.cost.bytes for launch in flow.launches]
            values = {s.name: getattr(s, dims) for s in symbols_of(costs)}
            moved.append(sum(evaluate(cost, values) for cost in costs))
        assert moved[1] <= moved[0]


def test_every_op_of_the_model_is_in_some_kernel(data: ReportData) -> None:
    assert data.before is not None
    found = {number for launch in data.after.launches for number in launch.made_of}
    left = set(range(len(data.before.launches))) - found
    assert not left, [data.before.launches[i] for i in left]


def test_a_kernel_has_the_source_of_what_it_is_made_of(data: ReportData) -> None:
    assert data.before is not None
    for launch in data.after.launches:
        sources = {data.before.launches[number].source for number in launch.made_of}
        assert launch.source in sources


def test_names_of_fused_ops_and_reasons(data: ReportData) -> None:
    page = data.as_json()
    for kernel in page["after"]["launches"]:
        for number in kernel["made_of"]:
            assert kernel["number"] in page["before"]["launches"][number]["into"]
        for index in kernel["remarks"]:
            assert kernel["number"] in page["remarks"][index]["kernels"]


def test_an_mlp() -> None:
    """On a target that has no kernel for both of its linears."""
    page = reports.report_of(reports.mlp(), target="cuda:sm_90a").as_json()
    assert page["symbols"] == [{"name": "batch", "lower": 1, "upper": 64}]
    assert page["inputs"] == [{"name": "x", "dtype": "f32", "dims": ("batch", "16")}]
    before, after = page["before"]["launches"], page["after"]["launches"]
    assert [k["kind"] for k in before] == ["gemm", "pointwise", "gemm", "pointwise"]
    assert [(k["kind"], k["source"], k["made_of"]) for k in after] == [
        ("gemm", "up", [0, 1]),
        ("gemm", "down", [2, 3]),
    ]
    up, down = after
    assert up["bytes_read"]["text"] == f"batch * {16 * 4} + {(16 * 32 + 32) * 4}"
    assert up["bytes_written"] == {"text": "batch * 128", "least": 128, "most": 64 * 128}
    assert up["operations"]["most"] > 2 * 64 * 16 * 32
    assert "math.erf" in up["code"]["epilogue"] and "math.erf" not in down["code"]["epilogue"]
    assert down["producers"] == [0]
    assert [o["name"] for o in down["operands"] if o["holder"] == "input"] == ["x"]
    reasons = [page["remarks"][i] for i in up["remarks"]]
    (applied,) = [reason for reason in reasons if reason["kind"] == "applied"]
    assert "kernel.gemm (up)" in applied["message"]


def test_data_movement_is_counted_and_explained() -> None:
    page = reports.report_of(reports.joined()).as_json()
    assert page["before"]["movements"] == 1
    moves = [k for k in page["after"]["launches"] if k["moves_only"]]
    assert page["after"]["movements"] == len(moves) == 1
    (move,) = moves
    assert move["source"] == "Joined"
    assert "piece is copied" in " ".join(page["remarks"][i]["message"] for i in move["remarks"])
    (assembled,) = [k for k in page["before"]["launches"] if k["kind"] == "assemble"]
    assert {page["after"]["launches"][i]["kind"] for i in assembled["into"]} == {"gemm", "copy"}


def test_merged_siblings_and_attention_are_made_of_all_their_parts(bert: dict[str, Any]) -> None:
    before = bert["before"]["launches"]
    kernels = [k for k in bert["after"]["launches"] if k["kind"] == "attention"]
    assert len(kernels) == 2
    for layer, attention in enumerate(kernels):
        parts = [before[i]["kind"] for i in attention["made_of"]]
        assert parts.count("gemm") == 2 and parts.count("rowwise") == 1
        merged = [
            {str(before[i]["source"]).rpartition(".")[2] for i in producer["made_of"]}
            for producer in (bert["after"]["launches"][i] for i in attention["producers"])
            if producer["kind"] == "gemm"
        ]
        # The last layer's query is of the first token alone, which the pooler takes.
        parts = [{"query", "key", "value"}] if layer == 0 else [{"query"}, {"key", "value"}]
        found = [names & {"query", "key", "value"} for names in merged]
        assert sorted(map(sorted, found)) == sorted(map(sorted, parts))
        reasons = [bert["remarks"][i] for i in attention["remarks"]]
        assert any("are attention" in reason["message"] for reason in reasons)
        other = f"layer.{1 - layer}."
        named = [r for r in reasons if other in r["message"]]
        # What both layers share, the scale of the scores, is of the layer that has it first.
        assert len(named) == (1 if layer == 0 else 0)


def test_a_kernel_without_a_source_says_so() -> None:
    program = reports.mlp()
    for op in program.module.walk():
        op.attributes.pop("source", None)
    page = reports.report_of(program, target="cuda:sm_90a").as_json()
    assert [k["source"] for k in page["after"]["launches"]] == [None, None]
    assert [k["made_of"] for k in page["after"]["launches"]] == [[0, 1], [2, 3]]


def test_members_of_a_group_are_kernels_that_share_a_launch() -> None:
    page = reports.report_of(reports.two_norms(), target="any").as_json()
    assert [(k["source"], k["group"]) for k in page["after"]["launches"]] == [("a", 0), ("b", 0)]
    reasons = [page["remarks"][i]["pass"] for i in page["after"]["launches"][0]["remarks"]]
    assert "group-kernels" in reasons
