"""Values of regions as lines over positions, and how large they are: each is looked at once."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import f32
from xdsl.ir import Block, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import IndexOp
from ait.passes.positions import Evaluation, Line, RawScore, extent_of, side_seen

_TIMES = 40
"""Doublings of a value, each of which has the one before as both operands."""


def test_a_position_that_is_made_in_exponentially_many_ways() -> None:
    block = Block()
    block.add_op(index := IndexOp(AccessMap(0, (16, 16), (1, -1))))
    value: SSAValue = index.result
    for _ in range(_TIMES):
        block.add_op(twice := arith.AddiOp(value, value))
        value = twice.result
    line = Evaluation(side_seen(16, 16)).line_of(value)
    assert line == Line(1 << _TIMES, -1 << _TIMES, 0)


def test_a_score_that_is_made_in_exponentially_many_ways() -> None:
    block = Block(arg_types=[f32])
    value: SSAValue = block.args[0]
    for _ in range(_TIMES):
        block.add_op(twice := arith.AddfOp(value, value))
        value = twice.result
    extent = extent_of(value, Evaluation(side_seen(16, 16)), RawScore(block.args[0], 11))
    assert (extent.low, extent.high, extent.bits) == (-(2.0**11), 2.0**11, 11)
