"""What a template needs to know of a kernel op, as names, numbers and C++ text.

A `KernelView` is made of one kernel op. It names the op's iteration *axes*, merges those that every
operand walks as one, prints addresses over them, and prints the op's regions. Nothing in it depends
on where in a model the op stands: equal kernels have equal views, hence equal code.

Axes come in *groups*, which are the variables a template loops over:

| op | groups | operands over |
|---|---|---|
| pointwise, copy | i | all: i |
| gemm | batch, m, n, k | a: batch m k; b: batch k n; others: batch m n |
| dual_gemm | batch, m, n, k | a: batch m k; b, c: batch k n; others: batch m n |
| gemm_rowwise | batch, m, n, k | those of gemm |
| back_to_back_gemm | batch, m, n, k, l | a: batch m k; b: batch k l; c: batch l n; middle extras: |
| | | batch m l, as an out that is the middle; others: batch m n |
| conv | n, h, w, c; o, r, s, g; p, q | input: n h w c; weight: o r s g; others: n p q o |
| conv_pool | n, h, w, c; o, r, s, g; y, x; p, q | input: n h w c; weight: o r s g; middle |
| | | extras: n y x o; others: n p q o |
| attention | batch, head, group, row, col, depth, value | query: batch head row depth; key: batch |
| | | group col depth; value: batch group col value; extras: batch head row col; out: batch head |
| | | row value |
| rowwise | row, col | all: row col |
| reduce | keep, red | reduced: keep red; others: keep |
| gather | i, f, entry | table: entry f; indices: i; others: i f |
| pool, resize | n, h, w, c, p, q | input: n h w c; others: n p q c |

In C++ an axis is a loop variable of its name: `m` where the group has one axis left, `m0`, `m1`
where it has two. An operand's `offset()` is over those; `offset(n="column")` is over one linear
variable for the whole group instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias, cast

from xdsl.dialects.builtin import (
    I64,
    BFloat16Type,
    DenseArrayBase,
    Float8E4M3FNType,
    Float16Type,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    UnitAttr,
    i64,
)
from xdsl.dialects.memref import GetGlobalOp
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, SSAValue

from ait.codegen.axes import Axis, Group, Merged, Walk, space_of, storage_order
from ait.codegen.cache import digest_of
from ait.codegen.expressions import DimPrinter, Extent
from ait.codegen.operand import Operand, split_offset
from ait.codegen.scalar import ElementType, RegionCode, Scalar, element_type, region_code
from ait.dialects.kernel import BufferOp, GemmRowwiseOp, KernelOp, ReduceOp
from ait.dialects.symbolic import (
    Dim,
    bounds,
    dim_product,
    element_of,
    to_text,
    upper_bound,
)
from ait.errors import CompileError

PropertyValue: TypeAlias = int | float | str | bool | list[int]

_INT32_LIMIT = 1 << 31
_MAX_SYMBOL_DIMS = 32
_MAX_SYMBOL_OPERATIONS = 3
_ROUGH_TYPES = (Float16Type, BFloat16Type, Float8E4M3FNType)
"""Types of results for which rough functions are exact enough; see rough.py."""


@dataclass(frozen=True)
class RegionView:
    """A region of a kernel in C++, and where its parameters come from.

    `computed` are values that the kernel itself has to define, under these names, before the
    region's code; the other parameters are loaded from `operands`.
    """

    name: str
    code: RegionCode
    operands: tuple[Operand, ...]
    indices: tuple[Operand, ...]
    """For each of the code's index variables, its address map."""

    @property
    def computed(self) -> tuple[Scalar, ...]:
        """Parameters that are no operands: an accumulator, a normalised value."""
        return self.code.parameters[: len(self.code.parameters) - len(self.operands)]

    @property
    def loaded(self) -> tuple[tuple[Scalar, Operand], ...]:
        """Parameters with the operands that they are elements of."""
        first = len(self.computed)
        return tuple(zip(self.code.parameters[first:], self.operands, strict=True))

    @property
    def results(self) -> tuple[Scalar, ...]:
        return self.code.results

    @property
    def is_identity(self) -> bool:
        return self.code.is_identity

    def loads(self, **variables: str) -> list[str]:
        """Statements that load the operands and set the index variables (see Operand.offset)."""
        lines = [
            f"const {scalar.type} {scalar.text} = {operand.load(**variables)};"
            for scalar, operand in self.loaded
            if scalar.is_used
        ]
        for operand in self.indices:
            lines.append(f"const int64_t {operand.name} = {operand.offset(**variables)};")
        return lines

    def statements(self, **variables: str) -> list[str]:
        """`loads`, then the region's own code."""
        return [*self.loads(**variables), *self.code.lines]


# The view -------------------------------------------------------------------------------------


class KernelView:
    """A kernel op for templates; see the module's docstring. `op` may be on buffers or tensors.

    `moved_bases`: the caller adds to each pointer what `base_dim` of its operand says, so that
    kernels which differ in nothing else are equal. `config`: instead of the op's own.
    Raises CompileError for region code or element types without C++.
    """

    def __init__(self, op: KernelOp, moved_bases: bool = False, config: Attribute | None = None):
        self.op = op
        self._config = config
        self._moved_bases = moved_bases
        self._space = space_of(op)
        self._printer = DimPrinter()
        self._plain_codes = self._region_codes(hints=False)
        sizes = self._space.groups
        in_walks = [
            Walk.of(access, groups, sizes)
            for access, groups in zip(op.in_access, self._space.ins, strict=True)
        ]
        out_walks = [
            Walk.of(access, self._space.of_out(i), sizes) for i, access in enumerate(op.out_access)
        ]
        index_walks = [
            [Walk.of(access, groups, sizes) for access in code.indices]
            for code, groups in zip(self._plain_codes, self._space.regions, strict=True)
        ]
        every = [*in_walks, *out_walks, *(w for walks in index_walks for w in walks)]
        self._merged = {
            name: Merged.of(name, dims, every, self._order(name, dims, out_walks[0]))
            for name, dims in sizes.items()
        }
        self.groups: dict[str, Group] = {name: self._group(name) for name in sizes}
        shared = _shared_memory(op.operands, len(op.ins))
        names = self._operand_names()
        self.operands: tuple[Operand, ...] = tuple(
            self._operand(i, names[i], walk, shared[i])
            for i, walk in enumerate([*in_walks, *out_walks])
        )
        self._indices = [
            tuple(
                self._walked(-1, code.index_name(i), element_type(i64), walk)
                for i, walk in enumerate(walks)
            )
            for code, walks in zip(self._plain_codes, index_walks, strict=True)
        ]
        for operand in self.operands:
            for dim in (operand.offset_dim, *operand.strides):
                self._printer.names(dim)

    # Parts

    @property
    def members(self) -> tuple[KernelView, ...]:
        """The kernels that the launch runs: this one."""
        return (self,)

    @property
    def kind(self) -> str:
        """The op without its dialect: `gemm`."""
        return self.op.name.partition(".")[2]

    @cached_property
    def ins(self) -> tuple[Operand, ...]:
        return self.operands[: len(self.op.ins)]

    @cached_property
    def outs(self) -> tuple[Operand, ...]:
        return self.operands[len(self.op.ins) :]

    @property
    def extras(self) -> tuple[Operand, ...]:
        """The ins that only the last region sees."""
        first = max(self.op.DATA_OPERANDS, self.op.visible_ins.start)
        return self.ins[first:]

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The run-time numbers that the kernel takes, in the order of its `extents` argument."""
        return self._printer.extents

    @property
    def config(self) -> Attribute | None:
        return self._config or self.op.config

    @property
    def source(self) -> str:
        """Where in the model the op comes from. Not for generated code: equal kernels are one."""
        return self.op.source

    @cached_property
    def properties(self) -> dict[str, PropertyValue]:
        """The op's own properties as Python values; an absent unit or optional one is not there."""
        return {name: _python_value(a) for name, a in sorted(self.op.own_properties.items())}

    def attribute(self, name: str, default: PropertyValue | None = None) -> PropertyValue | None:
        """One of `properties`, or `default` where it is absent."""
        return self.properties.get(name, default)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, group by group."""
        return tuple(axis for group in self.groups.values() for axis in group.axes)

    @property
    def prologue(self) -> list[str]:
        """Statements that name the pointers and extents that the kernel is called with."""
        pointers = [operand.declaration for operand in self.operands]
        extents = [
            f"const int64_t {extent.name} = extents[{i}];" for i, extent in enumerate(self.extents)
        ]
        return [*pointers, *extents]

    @property
    def fits_int32(self) -> bool:
        """Whether every address of every operand, in elements, and every index along a group
        surely fit 32 bits."""
        indices = (upper_bound(group.dim) for group in self.groups.values())
        return all(reach < _INT32_LIMIT for reach in (*map(_farthest, self.operands), *indices))

    def expression(self, dim: Dim) -> str:
        """A dim in C++ over the kernel's extents."""
        return self._printer.expression(dim)

    def group(self, name: str) -> Group:
        return self.groups[name]

    @cached_property
    def regions(self) -> dict[str, RegionView]:
        """By name. Their code has the names of the model's values, which few callers look at."""
        codes = self._region_codes(hints=True)
        return {
            name: RegionView(
                name,
                codes[position],
                tuple(self.operands[i] for i in self.op.region_ins(position)),
                self._indices[position],
            )
            for position, name in enumerate(self.op.REGION_NAMES)
        }

    def region(self, name: str) -> RegionView:
        return self.regions[name]

    def outs_of(self, region: str) -> tuple[Operand, ...]:
        """The outs that a region gives: the last one all but those that another keeps."""
        finished = self.op.finished_outs.stop
        return self.outs[:finished] if region == self.op.REGION_NAMES[-1] else self.outs[finished:]

    # Identity

    @cached_property
    def key(self) -> str:
        """A text that is equal for kernels that are the same but for names and sources."""
        return f"{self.op.name}\n{self.config}\n{self.problem}"

    @cached_property
    def problem(self) -> str:
        """The key without the config: equal for kernels between whose configs one may choose."""
        lines = [self.op.name]
        lines += [f"{name} = {value}" for name, value in self.properties.items()]
        lines += [f"axis {axis.name} : {_dim_key(axis.dim)}" for axis in self.axes]
        lines += [
            f"{o.element.name} {_operand_key(o)} {o.is_constant} {o.shared}" for o in self.operands
        ]
        for code, indices in zip(self._plain_codes, self._indices, strict=True):
            lines += [*code.lines, "yield " + ", ".join(r.text for r in code.results)]
            lines += [f"index {_operand_key(o)}" for o in indices]
        lines += [f"extent {e.name} : {_dim_key(e.dim)}" for e in self.extents]
        return "\n".join(lines)

    @cached_property
    def symbol(self) -> str:
        """The kernel's function: what it does, its sizes and a hash, the same in every model."""
        what = str(self.properties.get("kind", self.kind))
        if what in ("max", "min", "sum", "prod", "average"):
            what = f"{self.kind}_{what}"
        if isinstance(self.op, GemmRowwiseOp):
            what = f"gemm_{what}"
        operations = list(
            dict.fromkeys(op for r in self.regions.values() for op in r.code.operations)
        )
        operations = operations[:_MAX_SYMBOL_OPERATIONS]
        dims = "x".join(_identifier(to_text(g.dim)) for g in self.groups.values() if g.axes)
        parts = [what, *operations, dims[:_MAX_SYMBOL_DIMS].strip("_"), digest_of([self.key])[:10]]
        return "_".join(part for part in parts if part)

    # Making

    def _region_codes(self, hints: bool) -> list[RegionCode]:
        """Both regions of a rowwise op may end up in one scope: their variables differ."""
        rough = all(isinstance(element_of(out), _ROUGH_TYPES) for out in self.op.outs)
        return [
            region_code(region, self._printer, "p" if name == "prologue" else "v", hints, rough)
            for name, region in zip(self.op.REGION_NAMES, self.op.regions, strict=True)
        ]

    def _order(self, name: str, dims: Sequence[Dim], result: Walk) -> Sequence[int]:
        if name in self._space.sortable:
            return storage_order(name, dims, result)
        return range(len(dims))

    def _group(self, name: str) -> Group:
        merged = self._merged[name]
        single = len(merged.sizes) == 1
        axes = tuple(
            Axis(name if single else f"{name}{i}", name, size, self._printer.expression(size))
            for i, size in enumerate(merged.sizes)
        )
        dim = dim_product(merged.sizes)
        return Group(name, axes, dim, self._printer.expression(dim))

    def _operand_names(self) -> list[str]:
        op = self.op
        if isinstance(op, ReduceOp):
            leading = [f"in{i}" for i in op.reduced_ins]
        else:
            leading = list(self._space.names) or [f"in{i}" for i in range(len(op.ins))]
        extras = [f"extra{i}" for i in range(len(op.ins) - len(leading))]
        outs = [f"out{i}" for i in range(len(op.outs))] if len(op.outs) > 1 else ["out"]
        return [*leading, *extras, *outs]

    def _operand(self, index: int, name: str, walk: Walk, shared: tuple[int, ...]) -> Operand:
        value = self.op.operands[index]
        element = element_type(element_of(value))
        constant = isinstance(value.owner, GetGlobalOp)
        return self._walked(index, name, element, walk, index >= len(self.op.ins), constant, shared)

    def _walked(
        self,
        index: int,
        name: str,
        element: ElementType,
        walk: Walk,
        is_output: bool = False,
        is_constant: bool = False,
        shared: tuple[int, ...] = (),
    ) -> Operand:
        pairs = [
            (axis, strides[last])
            for group, strides in walk.strides.items()
            for axis, last in zip(self.groups[group].axes, self._merged[group].last, strict=True)
        ]
        axes = tuple(axis for axis, _ in pairs)
        strides = tuple(stride for _, stride in pairs)
        # An index (-1) is a number, there is no pointer to move.
        moved = self._moved_bases and index >= 0
        base, offset = split_offset(walk.offset, element.bytes) if moved else (0, walk.offset)
        operand = Operand(
            index, name, element, is_output, is_constant, shared, base, offset, axes, strides,
            self._printer,
        )  # fmt: skip
        if index < 0 and _farthest(operand) >= _INT32_LIMIT:
            return replace(operand, is_wide=True)
        return operand


def _shared_memory(values: Sequence[SSAValue], ins: int) -> list[tuple[int, ...]]:
    """For each operand, the others in the same memory if any of them, or itself, is written."""
    places = [_place(value) for value in values]
    shared: list[tuple[int, ...]] = []
    for i, place in enumerate(places):
        others = [j for j, other in enumerate(places) if j != i and other == place]
        written = i >= ins or any(j >= ins for j in others)
        shared.append(tuple(others) if written else ())
    return shared


def _place(value: SSAValue) -> object:
    """What memory a buffer lies in: equal places may overlap, others never do."""
    owner = value.owner
    if isinstance(owner, BufferOp):
        return owner if owner.slot is None else owner.slot.value.data
    if isinstance(owner, GetGlobalOp):
        return owner.name_.string_value()
    return value


def _python_value(attribute: Attribute) -> PropertyValue:
    match attribute:
        case IntegerAttr():
            return attribute.value.data
        case FloatAttr():
            return attribute.value.data
        case DenseArrayBase():
            return list(cast(DenseArrayBase[I64], attribute).get_values())
        case EnumAttribute():
            return str(attribute.data)
        case UnitAttr():
            return True
        case StringAttr():
            return attribute.data
        case _:
            raise CompileError(f"property {attribute} means nothing to a template")


def _reach(dim: Dim) -> int:
    """The largest absolute value of a dim."""
    low, high = bounds(dim)
    return max(abs(low), abs(high))


def _farthest(operand: Operand) -> int:
    """No address of an operand, in elements, has a larger absolute value."""
    steps = zip(operand.axes, operand.strides, strict=True)
    return sum((_reach(s) * upper_bound(a.dim) for a, s in steps), _reach(operand.offset_dim))


def _dim_key(dim: Dim) -> str:
    low, high = bounds(dim)
    return f"{to_text(dim)} in [{low}, {high}]"


def _operand_key(operand: Operand) -> str:
    strides = (f"{a.name} {to_text(s)}" for a, s in zip(operand.axes, operand.strides, strict=True))
    return f"{to_text(operand.offset_dim)}: {', '.join(strides)}"


def _identifier(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
