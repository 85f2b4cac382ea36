"""Kernels that make each element of their results by itself, in one pass over the domain.

A *step* of a thread makes the elements of a few neighbours, its lanes. Each family of such kernels
says where the values come from; the walk, the region and the stores are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis
from ait.codegen.expressions import in_parentheses
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.dialect import ElementwiseAttr, ElementwiseConfig, ShiftedTransposeAttr
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.lanes import (
    PACK_BYTES,
    WIDTHS,
    Lanes,
    Lines,
    Reach,
    fits,
    read_by,
    shared_values,
)
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.passes.target import DeviceDescription

FIRST = "first"
"""The variable of the first lane's index along the innermost axis."""
_CHUNK, _IN_CHUNK = "chunk", "in_chunk"
_NO_TILES: Mapping[str, int] = {}


@dataclass(frozen=True)
class StepLanes(Lanes):
    """The lanes of a step. `one_run`: the domain is one run of neighbours, whatever its length."""

    one_run: bool = False

    def reach(self, operand: Operand) -> Reach:
        if self.axis is not None:
            if self.count == 1:
                return Reach.UNIFORM  # one element for all lanes: read before them
            if self.one_run and operand.stride(self.axis.name) == 1:
                return Reach.PACK
        return super().reach(operand)


@dataclass(frozen=True)
class _Digit:
    """A digit of the number of a step: what it is called, of how many values in C++, and of how
    many indices each of them is."""

    name: str
    count: str
    size: int


@dataclass(frozen=True)
class Walk:
    """The axes of a domain in the order in which threads take them, and the operands that decide
    how many lanes a step has."""

    axes: tuple[Axis, ...]
    ins: tuple[Operand, ...]
    outs: tuple[Operand, ...]
    most: int = WIDTHS[0]
    """The most lanes that a step may have."""
    has_rest: bool = False
    """Whether elements that make no whole step may be left at the end."""
    chunk: int | None = None
    """Into parts of how many indices the innermost axis is divided: for each of them, the axis
    outside of it is walked."""

    @property
    def last(self) -> Axis | None:
        return self.axes[-1] if self.axes else None

    def _fits(self, vector: int) -> bool:
        if self.is_one_run(vector):
            return True
        return vector <= self.most and fits(self.last, self.ins, self.outs, vector)

    def is_one_run(self, vector: int) -> bool:
        """Whether the domain is one run of neighbours that is cut into steps wherever it ends."""
        if not self.has_rest or len(self.axes) != 1 or vector == 1:
            return False
        (axis,) = self.axes
        return all(
            vector * operand.element.bytes <= PACK_BYTES
            and operand.stride(axis.name) == 1
            and operand.alignment(axis.name) % (vector * operand.element.bytes) == 0
            for operand in (*self.ins, *self.outs)
            if operand.is_output or operand.stride(axis.name) != 0
        )

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        """The widest step, and one narrower: sometimes more, smaller accesses in flight are the
        faster ones."""
        widest = self.widest()
        widths = [widest, widest // 2] if widest > 1 else [1]
        seconds = stream_seconds(view.operands, device)
        return [
            Candidate(ElementwiseAttr(ElementwiseConfig(width)), seconds * (1 + i / 10))
            for i, width in enumerate(widths)
        ]

    def widest(self) -> int:
        """The most lanes that a step can have."""
        return next(width for width in WIDTHS if self._fits(width))

    def lanes(self, vector: int) -> StepLanes:
        """The lanes of a step, whose first index is `FIRST`. Raises Refusal if a config wants more
        of them than there can be."""
        if not self._fits(vector):
            raise Refusal(f"elements cannot be accessed {vector} at once")
        name = self.last.name if self.last else ""
        first, each = {name: FIRST}, {name: f"({FIRST} + lane)"}
        return StepLanes(vector, self.last, first, each, one_run=self.is_one_run(vector))

    def digits(
        self, vector: int, tiles: Mapping[str, int] = _NO_TILES, number: str = "step"
    ) -> Lines:
        """Takes the number of a step apart, from the innermost axis outwards. `tiles`: how many
        indices of an axis a step takes; the last of them may be past its end."""
        lines = [f"[[maybe_unused]] Index rest = {number};"] if self.axes else []
        order = self._order(vector, tiles)
        for digit in order:
            is_last = digit is order[-1]
            value = "rest" if is_last else f"rest % static_cast<Index>({digit.count})"
            scale = f" * {digit.size}" if digit.size > 1 else ""
            lines.append(f"[[maybe_unused]] const Index {digit.name} = {value}{scale};")
            if not is_last:
                lines.append(f"rest /= static_cast<Index>({digit.count});")
        if self.chunk is not None:
            lines.append(f"const Index {FIRST} = {_CHUNK} + {_IN_CHUNK};")
        return lines

    def _order(self, vector: int, tiles: Mapping[str, int]) -> list[_Digit]:
        """The digits of a step's number, the fastest first."""
        digits = [self._digit(axis, vector, tiles) for axis in self.axes]
        if self.chunk is not None:
            digits[-1] = _Digit(_IN_CHUNK, str(self.chunk // vector), vector)
            chunks = f"({self.axes[-1].size}) / {self.chunk}"
            digits.insert(-2, _Digit(_CHUNK, chunks, self.chunk))
        return digits[::-1]

    def count(self, vector: int, tiles: Mapping[str, int] = _NO_TILES) -> str:
        """The number of steps in C++."""
        counts = (self._digit(axis, vector, tiles).count for axis in self.axes)
        return " * ".join(f"static_cast<int64_t>({count})" for count in counts) or "1"

    def _digit(self, axis: Axis, vector: int, tiles: Mapping[str, int]) -> _Digit:
        """The parts into which steps divide an axis."""
        name = FIRST if axis is self.last else axis.name
        if axis is self.last and vector > 1:
            return _Digit(name, f"({axis.size}) / {vector}", vector)
        size = tiles.get(axis.name, 1)
        if size == 1:
            return _Digit(name, axis.size, 1)
        return _Digit(name, f"({in_parentheses(axis.size)} + {size - 1}) / {size}", size)


@dataclass(frozen=True)
class Step:
    """What `steps.j2` is rendered with, and what else makes such steps."""

    lanes: Lanes
    operands: Sequence[Operand]
    """Those that are accessed."""
    read: Sequence[Operand]
    """Those that `loads` reads."""
    digits: Lines
    loads: Lines
    body: Lines
    """What the loop over the lanes does."""
    count: str
    """The number of steps in C++."""


def vector_of(config: Attribute) -> int:
    """The lanes that an elementwise config asks for."""
    return cast(ElementwiseAttr | ShiftedTransposeAttr, config).data.vector


def step_values(
    view: KernelView,
    walk: Walk,
    vector: int,
    computed: Sequence[str],
    data: Sequence[Operand] = (),
    singles: Sequence[Operand] = (),
    header: str = "ait/gpu/elementwise.hpp",
    tiles: Mapping[str, int] = _NO_TILES,
) -> TemplateValues:
    """Values for a template that extends `steps.j2`. `computed`: the values, in the loop over
    lanes, of what the last region gets besides its operands; of the results, if there is no region.
    `data`: operands that are read for them as the lanes reach them, `singles`: element by element.
    `tiles`: as of `Walk.digits`. Raises Refusal if the config does not fit the op."""
    lanes = walk.lanes(vector)
    region = list(view.regions.values())[-1] if view.regions else None
    read = read_by(region) if region else data
    results = [result.text for result in region.results] if region else computed
    code = lanes.region(region, computed) if region else []
    accessed = list(dict.fromkeys([*data, *read, *view.outs]))
    return {
        **shared_values(view, header, lanes.packs(accessed)),
        "step": Step(
            lanes=lanes,
            operands=list(dict.fromkeys([*accessed, *singles])),
            read=read,
            digits=walk.digits(vector, tiles),
            loads=lanes.loads(read),
            body=[*code, *lanes.keep(view.outs, results)],
            count=walk.count(vector, tiles),
        ),
    }
