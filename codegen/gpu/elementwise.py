"""Pointwise and copy kernels: one pass over the domain, packs of elements where memory allows."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute

from ait.codegen.gpu.dialect import ElementwiseAttr
from ait.codegen.gpu.family import Candidate, TemplateValues
from ait.codegen.gpu.steps import Walk, step_values
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription


class Elementwise:
    """The kernel family; see family.py."""

    template = "elementwise.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        return _walk(view).candidates(view, device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        walk = _walk(view)
        if view.regions:
            return step_values(view, walk, config, ())
        (source,) = view.ins
        return step_values(view, walk, config, [walk.lanes(config).element(source)], [source])


def _walk(view: KernelView) -> Walk:
    return Walk(view.group("i").axes, view.ins, view.outs)
