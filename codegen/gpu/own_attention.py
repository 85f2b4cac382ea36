"""Attention without matrix units: any float types and strides, accumulated in f32."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from xdsl.ir import Attribute

from ait.codegen.gpu.attention import AttentionProblem
from ait.codegen.gpu.dialect import OwnAttentionAttr
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import Lanes, shared_values
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

_SIDE = 16
_SHARED_FLOATS = 11 << 10
"""For queries and for keys or values, in what a block has without asking: 48 KiB."""

_RATE = 0.1
"""Of the peak: every product reads both factors from shared memory."""


class OwnAttention:
    """The kernel family; see family.py."""

    template = "own_attention.j2"
    config_type = OwnAttentionAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = _problem(view)
        blocks = problem.heads * ceil(problem.queries / _SIDE)
        busy = min(1.0, blocks / (2 * device.units))
        products = problem.operations / problem.queries * ceil(problem.queries / _SIDE) * _SIDE
        seconds = products / (device.vector_peak * _RATE * busy) + device.launch_seconds
        return [Candidate(OwnAttentionAttr(), seconds)]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        return {
            **shared_values(view, "ait/gpu/own_attention.hpp", []),
            "problem": _problem(view),
            "lanes": Lanes(1, None, {}, {}),
            "region": view.region("score"),
        }


def _problem(view: KernelView) -> AttentionProblem:
    problem = AttentionProblem.of(view)
    wide = max(problem.depth, problem.value)
    if _SIDE * (problem.depth + wide + 2) > _SHARED_FLOATS:
        raise Refusal(f"heads of {problem.depth} and {problem.value} elements")
    return problem
