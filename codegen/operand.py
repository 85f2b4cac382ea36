"""An operand of a kernel as a template sees it: a pointer, and addresses over the kernel's axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd

from ait.codegen.axes import Axis
from ait.codegen.expressions import DimPrinter, in_parentheses, sum_of
from ait.codegen.scalar import ElementType
from ait.dialects.symbolic import Dim, Expr, dim_product, known_divisor, lower_bound
from ait.errors import CompileError

BASE_ALIGNMENT = 64
"""Alignment in bytes of weights, workspace buffers, and of inputs and outputs on targets that ask
for it."""


def split_offset(offset: Dim, element_bytes: int) -> tuple[Dim, Dim]:
    """(base, rest) of an offset in elements: the base keeps a pointer's alignment, and whoever
    adds it to the pointer need not know more. It is surely not negative."""
    terms = offset.terms if isinstance(offset, Expr) else (((), offset),)
    step = BASE_ALIGNMENT // gcd(BASE_ALIGNMENT, element_bytes)
    base: Dim = 0
    for monomial, coefficient in terms:
        whole = coefficient if coefficient % step == 0 else coefficient // step * step
        if not monomial:
            base = base + whole
        elif whole == coefficient:
            base = base + Expr(((monomial, whole),))
    return (base, offset - base) if lower_bound(base) >= 0 else (0, offset)


@dataclass(frozen=True)
class Operand:
    """An operand of a kernel: `pointers[index]`, read or written through a map over axes."""

    index: int
    name: str
    """Its pointer variable."""
    element: ElementType
    is_output: bool
    is_constant: bool
    """Whether it lies in a weight: no kernel writes there."""
    shared: tuple[int, ...]
    """Indices of the other operands that lie in the same memory, when one of them is written."""
    base_dim: Dim
    """Elements by which the caller has moved the pointer from the buffer's begin."""
    offset_dim: Dim
    axes: tuple[Axis, ...]
    strides: tuple[Dim, ...]
    """Elements from one index to the next, per axis."""
    _printer: DimPrinter
    is_wide: bool = False
    """Whether addresses are counted in 64 bits, whatever indices are counted in: of numbers that
    are no addresses of memory and may exceed 32."""

    @property
    def type(self) -> str:
        """The C++ type of a stored element."""
        return self.element.storage

    @property
    def compute(self) -> str:
        """The C++ type that region code sees."""
        return self.element.compute

    @property
    def declaration(self) -> str:
        """The statement that declares the pointer variable."""
        const = "" if self.is_output else "const "
        restrict = "" if self.shared else " __restrict"
        return (
            f"{const}{self.type}*{restrict} {self.name} = "
            f"static_cast<{const}{self.type}*>(pointers[{self.index}]);"
        )

    def offset(self, **variables: str) -> str:
        """The element's address over the axes, in C++: `128 + m * 384 + k`.

        A keyword renames an axis (`m0="row"`), or gives one linear variable for a whole group of
        axes (`m="row"`), which is then taken apart where this operand needs that. Names of groups
        that the operand does not range over are ignored.
        """
        terms: list[tuple[Dim, str]] = []
        for run in self._runs():
            group = run[0][0].group
            linear = variables.get(group) if run[0][0].name != group else None
            if linear is not None:
                terms += self._linear_terms(run, linear)
            else:
                terms += [(stride, variables.get(axis.name, axis.name)) for axis, stride in run]
        return self._sum(self.offset_dim, terms)

    def stride(self, name: str) -> Dim | None:
        """The stride of an axis or of a whole group; 0 if the operand does not vary along it.

        None if the operand walks the group in more than one stride.
        """
        chunks = self.chunks(name)
        if len(chunks) > 1:
            return None
        return chunks[0][1] if chunks else 0

    def chunks(self, name: str) -> list[tuple[Dim, Dim]]:
        """(size, stride) of the fewest dims that walk an axis or a whole group, outermost first."""
        return self._coalesced(
            [pair for pair in self._pairs() if name in (pair[0].name, pair[0].group)]
        )

    def stride_text(self, name: str) -> str:
        """`stride` in C++. Raises CompileError where there is none."""
        stride = self.stride(name)
        if stride is None:
            raise CompileError(f"{self.name} has no single stride along {name}")
        return self._printer.expression(stride)

    def is_contiguous(self, name: str) -> bool:
        """Whether neighbours along the axis or group are neighbours in memory (or it has one)."""
        present = [p for p in self._pairs() if name in (p[0].name, p[0].group)]
        return not present or self.stride(name) == 1

    def alignment(self, *along: str, base: int = BASE_ALIGNMENT) -> int:
        """Bytes to which every address that starts a run along `along` is surely aligned.

        `along`: the axes or groups that are read in vectors; their own strides do not count.
        """
        strides = [s for a, s in self._pairs() if a.name not in along and a.group not in along]
        divisor = base
        for dim in (self.offset_dim, *strides):
            divisor = gcd(divisor, known_divisor(dim) * self.element.bytes)
        return divisor

    def vector(self, along: str, max_bytes: int, base: int = BASE_ALIGNMENT) -> int:
        """The widest vector (a power of two, in elements) for aligned access along an axis or
        group: 1 unless the operand is contiguous there and vectors fill its extent."""
        if not self.is_contiguous(along):
            return 1
        pairs = [pair for pair in self._pairs() if along in (pair[0].name, pair[0].group)]
        size = dim_product(axis.dim for axis, _ in pairs)
        width = max_bytes // self.element.bytes
        fits = gcd(self.alignment(along, base=base) // self.element.bytes, known_divisor(size))
        while width > 1 and fits % width:
            width //= 2
        return max(width, 1)

    def load(self, **variables: str) -> str:
        """The element in its compute type: `ait::load<float>(a, m * 384 + k)`."""
        return f"ait::load<{self.compute}>({self.name}, {self.offset(**variables)})"

    def store(self, value: str, **variables: str) -> str:
        """The statement that writes `value`, rounded to the element type."""
        return f"ait::store({self.name}, {self.offset(**variables)}, {value});"

    def _pairs(self) -> list[tuple[Axis, Dim]]:
        return list(zip(self.axes, self.strides, strict=True))

    def _runs(self) -> list[list[tuple[Axis, Dim]]]:
        """The axes with their strides, group by group."""
        runs: list[list[tuple[Axis, Dim]]] = []
        for pair in self._pairs():
            if runs and runs[-1][0][0].group == pair[0].group:
                runs[-1].append(pair)
            else:
                runs.append([pair])
        return runs

    @staticmethod
    def _coalesced(pairs: Iterable[tuple[Axis, Dim]]) -> list[tuple[Dim, Dim]]:
        """(size, stride) of axes, merged where the operand walks them as one."""
        merged: list[tuple[Dim, Dim]] = []
        for axis, stride in pairs:
            if merged and merged[-1][1] == stride * axis.dim:
                merged[-1] = (merged[-1][0] * axis.dim, stride)
            else:
                merged.append((axis.dim, stride))
        return merged

    def _linear_terms(
        self, run: Sequence[tuple[Axis, Dim]], variable: str
    ) -> list[tuple[Dim, str]]:
        """The address over one linear index of a group: its digits times their strides."""
        chunks = self._coalesced(run)
        terms: list[tuple[Dim, str]] = []
        inner: Dim = 1
        for position, (size, stride) in reversed(list(enumerate(chunks))):
            digit = variable
            if inner != 1:
                digit = f"{digit} / {self._printer.factor(inner)}"
            if position > 0:
                digit = f"{in_parentheses(digit)} % {self._printer.factor(size)}"
            terms.append((stride, digit))
            inner = inner * size
        return list(reversed(terms))

    def _sum(self, offset: Dim, terms: Iterable[tuple[Dim, str]]) -> str:
        parts: list[tuple[int, str]] = []
        for stride, variable in terms:
            if stride == 0 or variable == "0":
                continue
            if self.is_wide:
                variable = f"static_cast<int64_t>({variable})"
            if isinstance(stride, int):
                parts.append((stride, variable if stride == 1 else in_parentheses(variable)))
            else:
                factor = self._printer.factor(stride)
                parts.append((1, f"{in_parentheses(variable)} * {factor}"))
        text = sum_of(parts)
        if offset == 0:
            return text
        start = self._printer.expression(offset)
        if text == "0":
            return start
        return f"{start} - {text[1:]}" if text.startswith("-") else f"{start} + {text}"
