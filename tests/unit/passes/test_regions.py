"""Region code: what is equal, and what only looks alike."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import YieldOp
from ait.passes.regions import ScalarBuilder, build_region
from ait.passes.rewriting import share_equal


def test_equal_code_stands_once() -> None:
    rows, columns = AccessMap(0, (4, 4), (1, 0)), AccessMap(0, (4, 4), (0, 1))
    region = build_region(
        [],
        lambda build, _: [
            build.add(build.index(rows), build.index(rows)),
            build.add(build.index(rows), build.index(columns)),
            build.add(build.index(rows), build.index(rows)),
            build.add(build.index(columns), build.index(rows)),
        ],
    )
    share_equal(region.block.ops)
    region.verify()
    *code, last = region.block.ops
    assert isinstance(last, YieldOp)
    assert len(code) == 2 + 3  # two indices, three sums
    twice, both, again, turned = last.values
    assert again is twice
    assert len({twice, both, turned}) == 3


def test_what_differs_in_a_property_or_a_type_is_not_equal() -> None:
    def body(build: ScalarBuilder, _: Sequence[SSAValue]) -> list[SSAValue]:
        one, two = build.constant(1, f32), build.constant(2, f32)
        whole = build.constant(1, i64)
        zeros = build.constant(0.0, f32), build.constant(-0.0, f32)
        compared = [build.compare(name, one, two) for name in ("less", "less_equal")]
        return [one, two, whole, *zeros, *compared, build.add(one, two), build.mul(one, two)]

    region = build_region([], body)
    before = len(region.block.ops)
    share_equal(region.block.ops)
    assert len(region.block.ops) == before
