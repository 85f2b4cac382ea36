"""propagate-layout: see the class."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass


@dataclass(frozen=True)
class PropagateLayoutPass(ModulePass):
    """Placeholder that changes nothing."""

    name = "propagate-layout"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        return
