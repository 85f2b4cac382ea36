"""Loop nests of kernels that visit each index of a domain once: pointwise, copy, gather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ait.codegen.axes import Axis
from ait.codegen.cpu.statements import Lines, indented, uses
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand

# What a scalar op costs against an addition, for the least work that is worth a thread.
_COSTS = {
    "exp": 6,
    "exp2": 6,
    "expm1": 8,
    "log": 8,
    "log1p": 10,
    "log2": 8,
    "tanh": 12,
    "erf": 12,
    "sin": 20,
    "cos": 20,
    "powf": 40,
}


@dataclass(frozen=True)
class Nest:
    """Outer axes, which the library runs in parallel, and the loop over the inner one.

    `function`: `for_each_row`, or `for_each_tile` where an operand is contiguous along the last
    outer axis instead of the inner one.
    """

    function: str
    outer: tuple[Axis, ...]
    inner_size: str
    cost: int
    lines: Lines

    @property
    def sizes(self) -> str:
        """Extents of the outer axes in C++."""
        return ", ".join(axis.size for axis in self.outer)


def _cost(view: KernelView) -> int:
    operations = [name for region in view.regions.values() for name in region.code.operations]
    return 1 + sum(_COSTS.get(name, 1) for name in operations)


def _crossed(axes: Sequence[Axis], operands: Sequence[Operand]) -> Axis | None:
    """An outer axis along which an operand is contiguous that is not so along the inner one."""
    for operand in operands:
        if operand.stride(axes[-1].name) in (0, 1):
            continue
        for axis in axes[:-1]:
            if operand.stride(axis.name) == 1:
                return axis
    return None


def _nest(
    view: KernelView, axes: Sequence[Axis], row: Sequence[str], element: Sequence[str]
) -> Nest:
    """The nest over `axes`: `row` once per row, `element` for each of its elements."""
    order = list(axes)
    crossed = _crossed(order, view.operands) if order else None
    if crossed is not None:
        order.remove(crossed)
        order.insert(len(order) - 1, crossed)
    outer, inner = tuple(order[:-1]), order[-1] if order else None
    indices = [
        f"const int64_t {axis.name} = index[{position}];"
        for position, axis in enumerate(outer)
        if uses(axis.name, [*row, *element])
    ]
    loop = [*element]
    if inner is not None:
        name = inner.name
        loop = [
            "AIT_INDEPENDENT",
            f"for (int64_t {name} = begin; {name} < end; ++{name}) {{",
            *indented(element),
            "}",
        ]
    return Nest(
        function="for_each_tile" if crossed is not None else "for_each_row",
        outer=outer,
        inner_size=inner.size if inner is not None else "1",
        cost=_cost(view),
        lines=[*indices, *row, *loop],
    )


def pointwise_nest(view: KernelView) -> Nest:
    """The nest of a pointwise op."""
    region = view.region("body")
    stores = [out.store(result.text) for out, result in zip(view.outs, region.results, strict=True)]
    return _nest(view, view.group("i").axes, (), [*region.statements(), *stores])


def copy_nest(view: KernelView) -> Nest:
    """The nest of a copy: elements move as they are."""
    (source,), (out,) = view.ins, view.outs
    move = f"{out.name}[{out.offset()}] = {source.name}[{source.offset()}];"
    return _nest(view, view.group("i").axes, (), [move])


def gather_nest(view: KernelView) -> Nest:
    """The nest of a gather; indices are known to be in bounds."""
    table, indices = view.ins[:2]
    region = view.region("epilogue")
    axes = (*view.group("i").axes, *view.group("f").axes)
    lookup = (
        [f"const int64_t entry = static_cast<int64_t>({indices.name}[{indices.offset()}]);"]
        if view.group("entry").axes
        else []
    )
    value = [
        f"const {scalar.type} {scalar.text} = {table.load()};"
        for scalar in region.computed
        if scalar.is_used
    ]
    stores = [out.store(result.text) for out, result in zip(view.outs, region.results, strict=True)]
    element = [*value, *region.statements(), *stores]
    if not view.group("f").axes:
        return _nest(view, axes, (), [*lookup, *element])
    return _nest(view, axes, lookup, element)
