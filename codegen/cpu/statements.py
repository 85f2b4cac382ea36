"""C++ statements of CPU kernels: loops over groups of axes, and region code in them.

Templates say which function of the header library does a kernel's work; what they hand to it are
lambdas over one row of a group of axes, whose bodies are made here. In those bodies a linear index
over a group has the group's name (`m`), a single axis its own (`m`, or `m0` and `m1`), and `at` is
the position in the row: `begin + at` is the index in the row's group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ait.codegen.axes import Axis, Group
from ait.codegen.expressions import in_parentheses
from ait.codegen.kernel_view import KernelView, RegionView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import Dim

Lines = list[str]


def indented(lines: Iterable[str], columns: int = 2) -> Lines:
    return [" " * columns + line for line in lines]


def code(lines: Iterable[str], columns: int) -> str:
    """Lines as text to stand where a template is already `columns` deep."""
    return ("\n" + " " * columns).join(lines)


def uses(name: str, lines: Iterable[str]) -> bool:
    """Whether a variable occurs in `lines`."""
    word = re.compile(rf"\b{name}\b")
    return any(word.search(line) for line in lines)


def product(axes: Iterable[Axis]) -> str:
    """The number of indices of `axes` in C++."""
    return " * ".join(in_parentheses(axis.size) for axis in axes) or "1"


def digits(axes: Sequence[Axis], linear: str, body: Sequence[str]) -> Lines:
    """Declarations of those axes that `body` uses, from a linear index over all of them."""
    lines: Lines = []
    for position, axis in enumerate(axes):
        if not uses(axis.name, body) or axis.name == linear:
            continue
        value = in_parentheses(linear)
        inner = axes[position + 1 :]
        if inner:
            value = f"{value} / {in_parentheses(product(inner))}"
        if position > 0:
            value = f"{in_parentheses(value)} % {in_parentheses(axis.size)}"
        lines.append(f"const int64_t {axis.name} = {value};")
    return lines


def row_loop(group: Group, body: Sequence[str], is_linear: bool, first: str = "begin") -> Lines:
    """`body` for the indices [first, first + count) of a group, as loops that vectorise.

    `is_linear`: the body takes one linear index of the group. Otherwise its last axis runs inside
    and the others stay fixed there.
    """
    if is_linear or len(group.axes) <= 1:
        index = f"{first} + at" if first != "0" else "at"
        set_index = [f"const int64_t {group.name} = {index};"] if uses(group.name, body) else []
        return _vector_loop("0", "count", [*set_index, *body])
    inner = group.axes[-1]
    size = in_parentheses(inner.size)
    position = f"{inner.name}_first + (at - skipped)"
    set_index = [f"const int64_t {inner.name} = {position};"] if uses(inner.name, body) else []
    return [
        f"ait::for_runs({first}, count, {inner.size}, [&](int64_t start, int64_t length) {{",
        *indented(
            [
                *digits(group.axes[:-1], f"start / {size}", body),
                *([f"const int64_t {inner.name}_first = start % {size};"] if set_index else []),
                f"const int64_t skipped = start - {first};",
                *_vector_loop("skipped", "skipped + length", [*set_index, *body]),
            ]
        ),
        "});",
    ]


def _vector_loop(begin: str, end: str, body: Sequence[str]) -> Lines:
    return [
        "AIT_INDEPENDENT",
        f"for (int64_t at = {begin}; at < {end}; ++at) {{",
        *indented(body),
        "}",
    ]


class RegionRow:
    """A region of a kernel as the body of a loop over one row.

    `along`: the group that the row ranges over. `outer`: the other groups, which have linear
    indices; those whose axes are set one by one need no mention.
    """

    def __init__(self, view: KernelView, region: str, along: str, outer: Sequence[str] = ()):
        self._outs = view.outs_of(region)
        self._region: RegionView = view.region(region)
        self._group = view.group(along)
        self._outer = {name: name for name in outer}

    def stores(self, *given: str, first: str = "begin") -> Lines:
        """The loop that stores the region's results; `given` are its computed parameters."""
        is_linear = self._is_linear(self._outs)
        variables = self._variables(is_linear)
        finish = [
            out.store(result.text, **variables)
            for out, result in zip(self._outs, self._region.results, strict=True)
        ]
        return self._row(given, finish, is_linear, first)

    def fills(self, target: str, *given: str, first: str = "begin") -> Lines:
        """The loop that writes the region's one result to the array `target`; `given` are its
        computed parameters."""
        finish = [f"{target}[at] = {self._region.results[0].text};"]
        return self._row(given, finish, self._is_linear(()), first)

    def updates(self, target: str, first: str = "begin") -> Lines:
        """The loop that makes a new value of each one of the array `target`."""
        finish = [f"{target}[at] = {self._region.results[0].text};"]
        return self._row((f"{target}[at]",), finish, self._is_linear(()), first)

    def keeps(self, target: str, first: str = "begin") -> Lines:
        """The loop that stores what `updates` made of the array `target`; nothing if it is no
        result."""
        is_linear = self._is_linear(self._outs)
        variables = self._variables(is_linear)
        body = [out.store(f"{target}[at]", **variables) for out in self._outs]
        return row_loop(self._group, body, is_linear, first) if body else []

    def _row(
        self, given: Sequence[str], finish: Sequence[str], is_linear: bool, first: str
    ) -> Lines:
        body = [
            *self.definitions(given),
            *self._region.statements(**self._variables(is_linear)),
            *finish,
        ]
        return row_loop(self._group, body, is_linear, first)

    def definitions(self, given: Sequence[str]) -> Lines:
        """Declarations of the region's computed parameters, where it reads them."""
        return [
            f"const {scalar.type} {scalar.text} = {value};"
            for scalar, value in zip(self._region.computed, given, strict=True)
            if scalar.is_used
        ]

    def _is_linear(self, outs: Sequence[Operand]) -> bool:
        name = self._group.name
        operands = (*self._region.operands, *self._region.indices, *outs)
        return all(operand.stride(name) is not None for operand in operands)

    def _variables(self, is_linear: bool) -> dict[str, str]:
        name = self._group.name
        return {**self._outer, name: name} if is_linear else self._outer


def axis(operand: Operand, group: Group) -> str:
    """How an operand walks a group, as one of the library's axes."""
    if not group.axes:
        return "ait::axis()"
    stride = operand.stride(group.name)
    if stride == 1:
        return "ait::unit_axis()"
    if stride is not None:
        return f"ait::axis({operand.stride_text(group.name)})"
    sizes = ", ".join(a.size for a in group.axes)
    strides = ", ".join(operand.stride_text(a.name) for a in group.axes)
    return f"ait::axis<{len(group.axes)}>({{{sizes}}}, {{{strides}}})"


def base(view: KernelView, operand: Operand) -> str:
    """An operand's first element."""
    offset = view.expression(operand.offset_dim)
    return operand.name if offset == "0" else f"{operand.name} + {offset}"


def unit_stride(operand: Operand, name: str) -> str:
    """The stride along a group; 1, so that it counts as contiguous, where it has one index."""
    present = any(axis.group == name for axis in operand.axes)
    return operand.stride_text(name) if present else "1"


def is_depthwise(view: KernelView) -> bool:
    """Whether each channel of a convolution is a group of its own with one output."""
    groups = view.attribute("groups")
    return groups != 1 and view.group("g").dim == 1 and view.group("o").dim == groups


def has_dense_filters(view: KernelView) -> bool:
    """Whether each filter of a convolution is dense, channels innermost."""
    weight = view.ins[1]
    step: Dim = 1
    for name in "gsr":
        if view.group(name).axes and weight.stride(name) != step:
            return False
        step = step * view.group(name).dim
    return not is_depthwise(view)


def on_pixels(view: KernelView, lines: Sequence[str]) -> Lines:
    """`lines` with the indices n, p, q that they use, from the linear index `pixel`."""
    members = {"n": "image", "p": "y", "q": "x"}
    used = [name for name in members if uses(name, lines)]
    if not used:
        return [*lines]
    height, width = view.group("p").size, view.group("q").size
    return [
        f"const ait::Pixel position(pixel, {height}, {width});",
        *(f"const int64_t {name} = position.{members[name]};" for name in used),
        *lines,
    ]
