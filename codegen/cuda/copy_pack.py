"""Packs that threads bring to shared memory for themselves: see include/ait/cuda/copy_pack.hpp."""

from __future__ import annotations

from collections.abc import Iterable

from ait.codegen.gpu.lanes import Lanes, Lines
from ait.codegen.operand import Operand


def copies(operands: Iterable[Operand], lanes: Lanes) -> Lines:
    """Statements that start to copy packs of operands to where `reads` keeps them."""
    return [
        f"ait::cuda::copy_pack(reads.{operand.name}_pack, "
        f"{operand.name} + ({operand.offset(**lanes.first)}));"
        for operand in operands
    ]
