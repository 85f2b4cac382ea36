"""The kernel family of pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.dialect import PoolAttr
from ait.codegen.gpu.family import Candidate, TemplateValues, TurningFamily
from ait.codegen.gpu.pool_cost import pool_seconds
from ait.codegen.gpu.pool_problem import PoolProblem
from ait.codegen.gpu.window import check_image, tiles_of, window_values
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription


class Pool(TurningFamily):
    """The kernel family; see family.py."""

    template = "pool.j2"
    config_type = PoolAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        check_image(view)
        problem = PoolProblem(view)
        return [
            Candidate(PoolAttr(config), pool_seconds(problem, config, device))
            for config in problem.configs()
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        check_image(view)
        problem = PoolProblem(view)
        choice = cast(PoolAttr, config).data
        problem.check(choice)
        kind = str(view.attribute("kind"))
        padded = "true" if view.attribute("count_include_pad") else "false"
        walk = problem.walk_of(choice)
        lanes = choice.outputs[1] if choice.in_row else choice.vector
        tiles, reads = tiles_of(view, choice.outputs), problem.reads(choice)
        return {
            **window_values(view, walk, lanes, choice.vector, tiles, reads),
            "index": "int32_t" if _fits_int32(view, 1 << 30) else "int64_t",
            "config": choice,
            "is_unrolled": problem.is_unrolled(choice.team),
            "across": problem.is_across,
            "kind": f"ait::gpu::{kind.capitalize()}Pool<Element, kVector>",
            "windows": [window.text for window in problem.windows],
            "counts_padding": padded,
        }


def _fits_int32(view: KernelView, most: int) -> bool:
    """Whether addresses do, and no side is longer than `most`."""
    extents = (upper_bound(view.group(name).dim) for name in "hwpq")
    return view.fits_int32 and max(extents) < most
