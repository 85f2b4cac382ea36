"""Region code for several neighbours at once: what a thread of a kernel of our own does.

The neighbours, its *lanes*, lie along one axis. An operand that is contiguous there is read or
written as a pack; one that does not vary there is read once; any other lane by lane. In the code,
`lane` counts the lanes of a loop, which templates write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from ait.codegen.axes import Axis
from ait.codegen.gpu.family import TemplateValues
from ait.codegen.kernel_view import KernelView, RegionView
from ait.codegen.operand import Operand
from ait.codegen.scalar import Scalar
from ait.dialects.symbolic import known_divisor

Lines = list[str]

WIDTHS = (16, 8, 4, 2, 1)
PACK_BYTES = 16
"""The widest access."""


class Reach(Enum):
    """How an operand is accessed by the lanes."""

    PACK = auto()
    """All at once."""
    UNIFORM = auto()
    """One element for all."""
    SINGLE = auto()
    """An element each."""


def kept_bytes(count: int, operands: Iterable[Operand]) -> int:
    """Bytes of a struct of packs of `count` elements, one of each operand.

    Each begins at a multiple of its size, up to that of the widest access: there may be gaps
    between them, and at the end.
    """
    size, widest = 0, 1
    for operand in operands:
        own = count * operand.element.bytes
        aligned = min(own, PACK_BYTES)
        size = -(-size // aligned) * aligned + own
        widest = max(widest, aligned)
    return -(-size // widest) * widest


def fits(
    axis: Axis | None,
    ins: Iterable[Operand],
    outs: Iterable[Operand],
    count: int,
    in_bytes: int = PACK_BYTES,
) -> bool:
    """Whether a thread can handle `count` neighbours along an axis: it is a whole number of packs,
    results are written as packs, and no operand that is read along it has wider ones than
    `in_bytes`."""
    if count == 1:
        return True
    if axis is None or known_divisor(axis.dim) % count:
        return False
    lanes = Lanes(count, axis, {}, {})
    for out in outs:
        if lanes.reach(out) is not Reach.PACK or count * out.element.bytes > PACK_BYTES:
            return False
    return all(
        operand.stride(axis.name) != 1 or count * operand.element.bytes <= in_bytes
        for operand in ins
    )


@dataclass(frozen=True)
class _Read:
    """Something that is read: its variable, its C++ type and its value."""

    name: str
    type: str
    value: str


@dataclass(frozen=True)
class Lanes:
    """`count` neighbours along `axis` (None: a domain of one index).

    `first` and `each`: the variables of `Operand.offset` for the first lane, and for lane `lane`.
    """

    count: int
    axis: Axis | None
    first: Mapping[str, str]
    each: Mapping[str, str]

    def at(self, variables: Mapping[str, str]) -> Lanes:
        """The same lanes of operands that have more variables."""
        first, each = {**self.first, **variables}, {**self.each, **variables}
        return replace(self, first=first, each=each)

    def reach(self, operand: Operand) -> Reach:
        if self.count == 1 or self.axis is None:
            return Reach.SINGLE
        name = self.axis.name
        if operand.stride(name) == 0:
            return Reach.UNIFORM
        # A pack of twice the widest access is two of them.
        packed = operand.vector(name, 2 * PACK_BYTES) >= self.count
        return Reach.PACK if packed else Reach.SINGLE

    def packs(self, operands: Iterable[Operand]) -> list[tuple[Operand, int]]:
        """Operands that are accessed as packs, and the alignment in bytes that this needs."""
        return [
            (operand, min(self.count * operand.element.bytes, PACK_BYTES))
            for operand in operands
            if self.reach(operand) is Reach.PACK
        ]

    def _reads(self, operands: Iterable[Operand]) -> list[_Read]:
        """What is read before the loop over lanes: packs and uniform elements."""
        reads: list[_Read] = []
        for operand in operands:
            name, offset = operand.name, operand.offset(**self.first)
            match self.reach(operand):
                case Reach.PACK:
                    pack = f"ait::gpu::Pack<{operand.type}, {self.count}>"
                    value = f"ait::gpu::load_pack<{self.count}>({name} + ({offset}))"
                    reads.append(_Read(f"{name}_pack", pack, value))
                case Reach.UNIFORM:
                    reads.append(_Read(f"{name}_one", operand.type, f"{name}[{offset}]"))
                case Reach.SINGLE:
                    pass
        return reads

    def loads(self, operands: Iterable[Operand]) -> Lines:
        """Before the loop over lanes: the packs and uniform elements of operands that are read."""
        return [f"const {r.type} {r.name} = {r.value};" for r in self._reads(operands)]

    def fields(self, operands: Iterable[Operand]) -> Lines:
        """Members of a struct that has what `loads` reads."""
        return [f"{r.type} {r.name};" for r in self._reads(operands)]

    def keep_reads(self, operands: Iterable[Operand], place: str) -> Lines:
        """`loads` into the members of the struct `place`."""
        return [f"{place}.{r.name} = {r.value};" for r in self._reads(operands)]

    def kept(self, operands: Iterable[Operand]) -> list[Operand]:
        """Those of which `keep_reads` reads something."""
        return [operand for operand in operands if self._reads([operand])]

    def unkept(self, operands: Iterable[Operand]) -> list[Operand]:
        """Those of which `keep_reads` reads nothing: they are read lane by lane."""
        return [operand for operand in operands if self.reach(operand) is Reach.SINGLE]

    def kept_reads(self, operands: Iterable[Operand], place: str) -> Lines:
        """Before the loop over lanes: names for what `keep_reads` has read."""
        return [f"const auto& {r.name} = {place}.{r.name};" for r in self._reads(operands)]

    def element(self, operand: Operand) -> str:
        """Within the loop: the lane's stored element."""
        match self.reach(operand):
            case Reach.PACK:
                return f"{operand.name}_pack.value[lane]"
            case Reach.UNIFORM:
                return f"{operand.name}_one"
            case Reach.SINGLE:
                return f"{operand.name}[{operand.offset(**self.each)}]"

    def value(self, operand: Operand) -> str:
        """Within the loop: the lane's element in its compute type."""
        return f"ait::convert<{operand.compute}>({self.element(operand)})"

    def region(self, region: RegionView, computed: Sequence[str] = ()) -> Lines:
        """Within the loop: the parameters of a region and its code. `computed` are the values of
        those that are no operands."""
        given = zip(region.computed, computed, strict=True)
        lines = [_definition(scalar, text) for scalar, text in given if scalar.is_used]
        lines += [
            _definition(scalar, self.value(operand))
            for scalar, operand in region.loaded
            if scalar.is_used
        ]
        lines += [
            f"const int64_t {index.name} = {index.offset(**self.each)};" for index in region.indices
        ]
        return [*lines, *region.code.lines]

    def results(self, outs: Iterable[Operand]) -> Lines:
        """Before the loop: where results are gathered."""
        return [f"ait::gpu::Pack<{o.type}, {self.count}> {o.name}_pack;" for o in outs]

    def keep(self, outs: Iterable[Operand], values: Iterable[str]) -> Lines:
        """Within the loop: the lane's results, rounded to the element type."""
        return [
            f"{out.name}_pack.value[lane] = ait::convert<{out.type}>({value});"
            for out, value in zip(outs, values, strict=True)
        ]

    def stores(self, outs: Iterable[Operand]) -> Lines:
        """After the loop."""
        return [
            f"ait::gpu::store_pack<{self.count}>({out.name} + ({out.offset(**self.first)}), "
            f"{out.name}_pack);"
            for out in outs
        ]


@dataclass(frozen=True)
class ShiftedLanes(Lanes):
    """Lanes along rows that begin anywhere: each begins where its part of `main` is aligned, and
    with it that of all operands whose rows begin at the same distances from whole packs."""

    main: Operand | None = None

    def reach(self, operand: Operand) -> Reach:
        assert self.axis is not None and self.main is not None
        if self.count == 1:
            return Reach.SINGLE
        stride = operand.stride(self.axis.name)
        if stride == 0:
            return Reach.UNIFORM
        return Reach.PACK if stride == 1 and self._is_in_step(operand) else Reach.SINGLE

    def _is_in_step(self, operand: Operand) -> bool:
        assert self.axis is not None and self.main is not None
        distances = [operand.offset_dim - self.main.offset_dim]
        for axis in operand.axes:
            stride, other = operand.stride(axis.name), self.main.stride(axis.name)
            if axis is not self.axis and stride is not None and other is not None:
                distances.append(stride - other)
        return all(known_divisor(distance) % self.count == 0 for distance in distances)


def _definition(scalar: Scalar, value: str) -> str:
    return f"const {scalar.type} {scalar.text} = {value};"


def read_by(region: RegionView) -> list[Operand]:
    """The operands whose elements a region uses."""
    return [operand for scalar, operand in region.loaded if scalar.is_used]


def pointers(operands: Iterable[Operand]) -> Lines:
    """Declarations of the pointers of operands in device code."""
    lines: Lines = []
    for operand in operands:
        const = "" if operand.is_output else "const "
        lines.append(
            f"{const}{operand.type}* {operand.name} = "
            f"static_cast<{const}{operand.type}*>(arguments.pointers[{operand.index}]);"
        )
    return lines


def extents(view: KernelView) -> Lines:
    """Declarations of the run-time extents in device code."""
    return [
        f"[[maybe_unused]] const int64_t {extent.name} = arguments.extents[{i}];"
        for i, extent in enumerate(view.extents)
    ]


def put(lines: Iterable[str], depth: int = 4) -> str:
    """Lines of code as text that begins a new line, `depth` columns in."""
    return "".join(f"\n{' ' * depth}{line}" for line in lines)


def shared_values(
    view: KernelView, header: str, aligned: Sequence[tuple[Operand, int]]
) -> TemplateValues:
    """What `kernel.j2` is rendered with: `aligned` are the operands that must begin at a multiple
    of some bytes."""
    return {
        "view": view,
        "header": header,
        "aligned": aligned,
        "index": "int32_t" if view.fits_int32 else "int64_t",
        "pointers": pointers,
        "read_by": read_by,
        "extents": extents(view),
        "put": put,
    }


def aligned_to(operand: Operand, elements: int) -> list[tuple[Operand, int]]:
    """What accesses of some elements at once need of an operand's first address."""
    return [(operand, elements * operand.element.bytes)] if elements > 1 else []
