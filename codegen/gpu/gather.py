"""Gathers: each result is an entry of a table, which an index from the data chooses."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute

from ait.codegen.expressions import in_parentheses
from ait.codegen.gpu.dialect import ElementwiseAttr
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.gpu.steps import FIRST, Walk, step_values, vector_of
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

_INDEX_TYPES = frozenset({"i64", "i32", "i8"})


class Gather:
    """The kernel family; see family.py."""

    template = "gather.j2"
    config_type = ElementwiseAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        indices = view.ins[1]
        if indices.element.name not in _INDEX_TYPES:
            raise Refusal(f"indices of {indices.element.name}")
        return _walk(view).candidates(view, device)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        walk, vector = _walk(view), vector_of(config)
        lanes = walk.lanes(vector)
        table, indices = view.ins[:2]
        # Lanes are neighbours in an entry, or (entries of one element) different entries.
        in_entry = bool(view.group("f").axes)
        lookup = f"{indices.name}[{indices.offset(**(lanes.first if in_entry else lanes.each))}]"
        data, singles = ([table], [indices]) if in_entry else ([], [table, indices])
        header = "ait/gpu/gather.hpp"
        return {
            **step_values(view, walk, vector, ["value"], data, singles, header),
            "table": table,
            "in_entry": in_entry,
            "lookup": lookup,
            "entries": view.group("entry").size,
            "table_loads": lanes.loads([table]),
            "table_element": lanes.element(table),
            "position": _position(view, lanes.count, in_entry),
            "is_first": _is_first(view, in_entry),
        }


def _walk(view: KernelView) -> Walk:
    """Over the indices, then over an entry. Indices are never read as packs."""
    axes = (*view.group("i").axes, *view.group("f").axes)
    table, _, *extras = view.ins
    data = [table] if view.group("f").axes else []
    return Walk(axes, (*data, *extras), view.outs)


def _position(view: KernelView, count: int, in_entry: bool) -> str:
    """The place of a lane's index among all indices."""
    if not in_entry:
        return f"int64_t{{step}} * {count} + lane"
    return f"int64_t{{step}} / (({view.group('f').size}) / {count})"


def _is_first(view: KernelView, in_entry: bool) -> str:
    """Whether a lane is the one that reports an index: one for all that use it."""
    axes = view.group("f").axes if in_entry else ()
    names = [axis.name for axis in axes[:-1]] + ([FIRST] if axes else [])
    return " && ".join(f"{in_parentheses(name)} == 0" for name in names) or "true"
