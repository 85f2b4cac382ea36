"""Which kernel families take which ops: the rows of a target's table, and those of all GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ait.codegen.gpu.cost import ALONE
from ait.codegen.gpu.elementwise import Elementwise
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.gpu.gather import Gather
from ait.codegen.gpu.pool import Pool
from ait.codegen.gpu.resize import Resize
from ait.codegen.gpu.rows import Reduce, Rowwise
from ait.codegen.gpu.shifted_transpose import ShiftedTranspose
from ait.codegen.gpu.transpose import Transpose
from ait.dialects.kernel import (
    CopyOp,
    GatherOp,
    KernelOp,
    PointwiseOp,
    PoolOp,
    ReduceOp,
    ResizeOp,
    RowwiseOp,
)
from ait.passes.target import AlignedAccess, KernelCapability


@dataclass(frozen=True)
class OpRow:
    """What the kernels of one op take together, and the families that give them.

    `everywhere`: families for all architectures; `only`: those that a single one has.
    """

    capability: KernelCapability
    everywhere: Sequence[KernelFamily]
    only: Mapping[str, Sequence[KernelFamily]] = field(
        default_factory=dict[str, Sequence[KernelFamily]]
    )
    aligned: Mapping[str, AlignedAccess] = field(default_factory=dict[str, AlignedAccess])
    """What the families of a single architecture ask of accesses, to be fast."""
    narrow: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """The types of 8 bits that a single architecture multiplies."""

    def families(self, architecture: str) -> Sequence[KernelFamily]:
        """Those that an architecture has."""
        return [*self.only.get(architecture, ()), *self.everywhere]

    def capability_of(self, architecture: str) -> KernelCapability:
        """What an architecture's kernels take."""
        return replace(
            self.capability,
            aligned=self.aligned.get(architecture, self.capability.aligned),
            narrow_factors=self.narrow.get(architecture, frozenset()),
        )


_ELEMENTWISE = (Elementwise(), Transpose(), ShiftedTranspose())

SHARED: Mapping[type[KernelOp], OpRow] = {
    PointwiseOp: OpRow(KernelCapability(), _ELEMENTWISE),
    CopyOp: OpRow(KernelCapability(max_ins=1, max_outs=1), _ELEMENTWISE),
    RowwiseOp: OpRow(KernelCapability(), [Rowwise()]),
    ReduceOp: OpRow(KernelCapability(alone=ALONE), [Reduce()]),
    GatherOp: OpRow(KernelCapability(), [Gather()]),
    PoolOp: OpRow(KernelCapability(), [Pool()]),
    ResizeOp: OpRow(KernelCapability(), [Resize()]),
}
"""Ops whose kernels are the same on all GPUs."""


def families_of(
    rows: Mapping[type[KernelOp], OpRow], architecture: str
) -> Mapping[type[KernelOp], Sequence[KernelFamily]]:
    """For each op, the families of an architecture."""
    return {kind: row.families(architecture) for kind, row in rows.items()}


def capabilities_of(
    rows: Mapping[type[KernelOp], OpRow], architecture: str
) -> Mapping[type[KernelOp], KernelCapability]:
    """For each op that an architecture has kernels for, what they take."""
    return {
        kind: row.capability_of(architecture)
        for kind, row in rows.items()
        if row.families(architecture)
    }
