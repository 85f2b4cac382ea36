"""Pointwise and copy kernels: one pass over the domain, packs of elements where memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xdsl.ir import Attribute

from ait.codegen.gpu.dialect import ElementwiseAttr
from ait.codegen.gpu.family import Candidate, TemplateValues
from ait.codegen.gpu.steps import Walk, step_values, vector_of
from ait.codegen.gpu.transpose import lies_across
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

_ACROSS = 4.0
"""How much longer it takes to read an operand element by element across its rows: a guess."""


class Elementwise:
    """The kernel family; see family.py."""

    template = "elementwise.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        candidates = _walk(view).candidates(view, device)
        if not lies_across(view):
            return candidates
        return [replace(c, seconds=c.seconds * _ACROSS) for c in candidates]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        walk, vector = _walk(view), vector_of(config)
        if view.regions:
            return step_values(view, walk, vector, ())
        (source,) = view.ins
        return step_values(view, walk, vector, [walk.lanes(vector).element(source)], [source])


def _walk(view: KernelView) -> Walk:
    return Walk(view.group("i").axes, view.ins, view.outs)
