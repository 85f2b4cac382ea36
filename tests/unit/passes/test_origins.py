"""Locations: what an op was made of survives rewrites, and remarks tell which op they are about."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    UNKNOWN_LOC,
    FileLineColLoc,
    FusedLoc,
    IntAttr,
    ModuleOp,
    StringAttr,
)
from xdsl.ir import Operation

from ait.codegen.report.data import launch_ops
from ait.ir.parsing import parse_module
from ait.passes.origins import Snapshot, joined_location, location_parts, locations_of
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks

MODEL = """
func.func @main(%x: tensor<8x4xf32>, %w: tensor<4x4xf32>) -> tensor<8x4xf32> {
  %h = graph.linear %x, %w {source = "up"} : (tensor<8x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  %act = graph.relu %h {source = "act"} : tensor<8x4xf32>
  func.return %act : tensor<8x4xf32>
}
"""


def _op(*lines: int) -> Operation:
    parts = [FileLineColLoc(StringAttr("a.mlir"), IntAttr(line), IntAttr(1)) for line in lines]
    op = ModuleOp([])
    op.location = UNKNOWN_LOC
    for part in parts:
        other = ModuleOp([])
        other.location = part
        op.location = joined_location(op, other)
    return op


def test_joining_keeps_each_location_once() -> None:
    joined = joined_location(_op(3), _op(), _op(1, 3), _op(2))
    assert isinstance(joined, FusedLoc)
    lines = [p.line.data for p in location_parts(joined) if isinstance(p, FileLineColLoc)]
    assert lines == [3, 1, 2]


def test_joining_nothing_and_one() -> None:
    assert joined_location() == joined_location(_op(), _op()) == UNKNOWN_LOC
    assert joined_location(_op(), _op(4), _op(4)) == _op(4).location


def test_a_snapshot_recognizes_ops_after_passes() -> None:
    module = parse_module(MODEL)
    run_pipeline(module, ["lower"])
    before = launch_ops(module)
    snapshot = Snapshot(before)
    assert [snapshot.numbers(locations_of(op)) for op in before] == [[0], [1]]
    run_pipeline(module, ["fuse", "target", "place"])
    (kernel,) = launch_ops(module)
    assert snapshot.numbers(locations_of(kernel)) == [0, 1]


def test_remarks_record_their_op() -> None:
    module = parse_module(MODEL)
    with collect_remarks() as remarks:
        run_pipeline(module, ["default"])
    (remark,) = [r for r in remarks if r.pass_name == "fuse-vertical"]
    assert (remark.op_name, remark.source, remark.results) == ("kernel.pointwise", "act", ("act",))
    assert str(remark) == (
        "kernel.pointwise (act): fused into kernel.gemm (up) [fuse-vertical, applied]"
    )
