"""What code generation needs to know of kernels that share a launch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from xdsl.ir import Attribute

from ait.codegen.cache import digest_of
from ait.codegen.expressions import Extent
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand


@dataclass(frozen=True)
class GroupView:
    """Kernels with their configs that are one function: its pointers are those of the first member,
    then those of the next one, and so are its extents. Names as in KernelView."""

    members: tuple[KernelView, ...]

    @property
    def kind(self) -> str:
        """What they are: `group of gemm`."""
        return f"group of {self.members[0].kind}"

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Those of all members; each one's `index` counts its own member's."""
        return tuple(operand for member in self.members for operand in member.operands)

    @property
    def extents(self) -> tuple[Extent, ...]:
        return tuple(extent for member in self.members for extent in member.extents)

    @property
    def config(self) -> Attribute | None:
        """That of the first member, which those of the others suit."""
        return self.members[0].config

    @property
    def source(self) -> str:
        """Where in the model the members come from."""
        sources = list(dict.fromkeys(member.source for member in self.members if member.source))
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        return f"{sources[0]}{more}" if sources else ""

    @cached_property
    def key(self) -> str:
        """Equal for groups of equal kernels in the same order."""
        return "\n\n".join(member.key for member in self.members)

    @cached_property
    def symbol(self) -> str:
        """The function's name, the same in every model."""
        return f"group{len(self.members)}_{self.members[0].kind}_{digest_of([self.key])[:10]}"


LaunchView: TypeAlias = KernelView | GroupView
"""What one launch runs."""
