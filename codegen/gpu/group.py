"""The translation unit of kernels that share a launch (group.j2).

Members whose device code is equal are one *kind*, whatever their sizes and the names of symbols
are: the code is there once, and each member has arguments of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ait.codegen.gpu.family import GroupCode, TemplateValues
from ait.codegen.kernel_view import KernelView

Render = Callable[[KernelView, Mapping[str, str]], str]
"""The text of a kernel's part, as kernel.j2 names them, for some more values."""

_NUMBERED = "extent_{}"


@dataclass(frozen=True)
class Member:
    """A member's arguments: the function that makes them, and its first pointer and extent."""

    prepare: str
    pointer: int
    extent: int


@dataclass
class Kind:
    """Members of equal code."""

    name: str
    struct: str
    members: list[Member] = field(default_factory=list[Member])


def group_values(
    views: Sequence[KernelView], code: GroupCode, symbol: str, render: Render
) -> TemplateValues:
    """What group.j2 is rendered with."""
    kinds: dict[str, Kind] = {}
    prepares: dict[str, str] = {}  # their texts without their names -> their names
    structs: dict[str, str] = {}
    pointer = extent = 0
    for view in views:
        if view.key not in structs:
            structs[view.key] = render(view, {"member_part": "struct"})
        struct = structs[view.key]
        kind = kinds.setdefault(_numbered(struct, view), Kind(f"kernel_{len(kinds)}", struct))
        own = {"kernel_type": f"{kind.name}::Kernel", "symbol": "@"}
        text = render(view, {"member_part": "prepare", **own})
        prepare = prepares.setdefault(text, f"prepare_{len(prepares)}")
        kind.members.append(Member(prepare, pointer, extent))
        pointer += len(view.operands)
        extent += len(view.extents)
    return {
        "code": code,
        "symbol": symbol,
        "kinds": list(kinds.values()),
        "prepares": [text.replace("@", name, 1) for text, name in prepares.items()],
    }


def _numbered(text: str, view: KernelView) -> str:
    """Code with its extents called by their numbers: which symbols they are does not matter."""
    numbers = {extent.name: _NUMBERED.format(i) for i, extent in enumerate(view.extents)}
    return re.sub(r"\w+", lambda word: numbers.get(word[0], word[0]), text)
