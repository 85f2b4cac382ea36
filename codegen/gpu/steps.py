"""Kernels that make each element of their results by itself, in one pass over the domain.

A *step* of a thread makes the elements of a few neighbours, its lanes. Each family of such kernels
says where the values come from; the walk, the region and the stores are the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import ElementwiseAttr, ElementwiseConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import WIDTHS, Lanes, Lines, fits, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.passes.target import DeviceDescription

FIRST = "first"
"""The variable of the first lane's index along the innermost axis."""


@dataclass(frozen=True)
class Walk:
    """The axes of a domain in the order in which threads take them, and the operands that decide
    how many lanes a step has."""

    axes: tuple[Axis, ...]
    ins: tuple[Operand, ...]
    outs: tuple[Operand, ...]
    most: int = WIDTHS[0]
    """The most lanes that a step may have."""

    @property
    def last(self) -> Axis | None:
        return self.axes[-1] if self.axes else None

    def _fits(self, vector: int) -> bool:
        return vector <= self.most and fits(self.last, self.ins, self.outs, vector)

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        """The widest step, and one narrower: sometimes more, smaller accesses in flight are the
        faster ones."""
        widest = next(width for width in WIDTHS if self._fits(width))
        widths = [widest, widest // 2] if widest > 1 else [1]
        seconds = stream_seconds(view.operands, device)
        return [
            Candidate(ElementwiseAttr(ElementwiseConfig(width)), seconds * (1 + i / 10))
            for i, width in enumerate(widths)
        ]

    def lanes(self, config: Attribute) -> Lanes:
        """The lanes of a step, whose first index is `FIRST`. Raises Refusal if a config wants more
        of them than there can be."""
        vector = cast(ElementwiseAttr, config).data.vector
        if not self._fits(vector):
            raise Refusal(f"elements cannot be accessed {vector} at once")
        name = self.last.name if self.last else ""
        return Lanes(vector, self.last, {name: FIRST}, {name: f"({FIRST} + lane)"})

    def digits(self, vector: int) -> Lines:
        """Takes the number of a step apart, from the innermost axis outwards."""
        lines = ["[[maybe_unused]] Index rest = step;"] if self.axes else []
        for position, axis in reversed(list(enumerate(self.axes))):
            is_last = position == len(self.axes) - 1
            name = FIRST if is_last else axis.name
            count = f"({axis.size}) / {vector}" if is_last and vector > 1 else axis.size
            scale = f" * {vector}" if is_last and vector > 1 else ""
            digit = f"rest % static_cast<Index>({count})" if position > 0 else "rest"
            lines.append(f"[[maybe_unused]] const Index {name} = {digit}{scale};")
            if position > 0:
                lines.append(f"rest /= static_cast<Index>({count});")
        return lines


@dataclass(frozen=True)
class Step:
    """What `elementwise.j2` is rendered with."""

    lanes: Lanes
    operands: Sequence[Operand]
    """Those that are accessed."""
    digits: Lines
    loads: Lines
    body: Lines
    """What the loop over the lanes does."""
    count: str
    """The number of steps in C++."""


def step_values(
    view: KernelView,
    walk: Walk,
    config: Attribute,
    computed: Sequence[str],
    data: Sequence[Operand] = (),
    singles: Sequence[Operand] = (),
    header: str = "ait/gpu/elementwise.hpp",
) -> TemplateValues:
    """Values for a template that extends `elementwise.j2`. `computed`: the values, in the loop over
    lanes, of what the last region gets besides its operands; of the results, if there is no region.
    `data`: operands that are read for them as the lanes reach them, `singles`: element by element.
    Raises Refusal if the config does not fit the op."""
    lanes = walk.lanes(config)
    region = list(view.regions.values())[-1] if view.regions else None
    read = read_by(region) if region else data
    results = [result.text for result in region.results] if region else computed
    code = lanes.region(region, computed) if region else []
    total = " * ".join(f"static_cast<int64_t>({axis.size})" for axis in walk.axes) or "1"
    accessed = list(dict.fromkeys([*data, *read, *view.outs]))
    return {
        **shared_values(view, header, lanes.packs(accessed)),
        "step": Step(
            lanes=lanes,
            operands=list(dict.fromkeys([*accessed, *singles])),
            digits=walk.digits(lanes.count),
            loads=lanes.loads(read),
            body=[*code, *lanes.keep(view.outs, results)],
            count=f"{total} / {lanes.count}",
        ),
    }
