"""Pointwise and copy kernels: one pass over the domain, packs of elements where memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import ElementwiseAttr, ElementwiseConfig
from ait.codegen.gpu.family import Candidate, Frame, GroupCode, TemplateValues, TurningFamily
from ait.codegen.gpu.steps import Walk, step_values
from ait.codegen.gpu.transpose import lies_across
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription, SharedLaunch

_MOST_STEPS = 8
_ACROSS = 4.0
"""How much longer it takes to read an operand element by element across its rows: 1.3 to 6.6 times
for images and matrices of f16 and f32 on an H100."""
_GROUP_RATE = 0.95
"""The speed of a kernel in a group, as a part of its speed alone: an estimate."""
_RESIDENT = 2048
"""Threads of a multiprocessor."""
_UNDER_WAY = 16
"""Bytes that a thread has under way of each operand: with less, rows of odd f16 take up to three
times as long, with more nothing is gained (H100)."""


class Elementwise(TurningFamily):
    """The kernel family; see family.py."""

    template = "elementwise.j2"
    config_type = ElementwiseAttr
    group = GroupCode(
        "ait/gpu/elementwise.hpp", "ait::gpu::AheadPart", "ait::gpu::run_blocks_of_group"
    )

    def frame(self, view: KernelView, config: Attribute) -> Frame:
        """All blocks are of one size."""
        return None

    def shares(self, view: KernelView, device: DeviceDescription) -> Mapping[Frame, Candidate]:
        """The first candidate."""
        return {None: self.candidates(view, device)[0]}

    def together(self, members: Sequence[object], device: DeviceDescription) -> SharedLaunch:
        """What they move, somewhat slower, as blocks of one kind need the registers of another, and
        one launch."""
        candidates = cast(Sequence[Candidate], members)
        moving = sum(candidate.seconds - device.launch_seconds for candidate in candidates)
        seconds = moving / _GROUP_RATE + device.launch_seconds
        return SharedLaunch(tuple(candidate.config for candidate in candidates), seconds)

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        seconds = stream_seconds(view.operands, device) * (_ACROSS if lies_across(view) else 1)
        return [
            Candidate(ElementwiseAttr(config), seconds * (1 + i / 10))
            for i, config in enumerate(_configs(view, device))
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        choice = cast(ElementwiseAttr, config).data
        walk = _walk(view)
        has_rest = walk.is_one_run(choice.vector)
        rest = _values(view, walk, 1)["step"] if has_rest else None
        return {
            **_values(view, walk, choice.vector),
            "steps": choice.steps,
            "rest": rest,
            "rest_count": f"({view.group('i').size}) % {choice.vector}" if has_rest else "0",
        }


def _configs(view: KernelView, device: DeviceDescription) -> Iterator[ElementwiseConfig]:
    """Configs, the likely best first: the widest steps, and narrower ones, of which a thread has
    more under way."""
    widest = _walk(view).widest()
    elements = max(1, upper_bound(view.group("i").dim))
    narrowest = min(operand.element.bytes for operand in view.operands)
    for vector in dict.fromkeys((widest, max(1, widest // 2))):
        filling = elements // (vector * device.units * _RESIDENT)
        steps = min(_UNDER_WAY // (vector * narrowest), filling, _MOST_STEPS)
        yield ElementwiseConfig(vector, max(1, steps))


def _values(view: KernelView, walk: Walk, vector: int) -> TemplateValues:
    if view.regions:
        return step_values(view, walk, vector, ())
    (source,) = view.ins
    return step_values(view, walk, vector, [walk.lanes(vector).element(source)], [source])


def _walk(view: KernelView) -> Walk:
    return Walk(view.group("i").axes, view.ins, view.outs, has_rest=True)
