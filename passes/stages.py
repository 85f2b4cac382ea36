"""A stage: a pointwise computation between buffers, however the IR spells it.

`kernel.pointwise` and `kernel.copy` are both stages, so fusion has one rule for arithmetic and for
data movement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from xdsl.ir import Attribute, Operation, Region, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import CopyOp, PointwiseOp
from ait.dialects.symbolic import Dim
from ait.passes.lowering.launch import Read
from ait.passes.regions import identity_region

StageOp: TypeAlias = PointwiseOp | CopyOp


@dataclass(frozen=True)
class Stage:
    """`results[j][out_access[j](i)] = body(reads[..](i))[j]` for each `i` of `domain`."""

    op: Operation
    reads: tuple[Read, ...]
    domain: tuple[Dim, ...]
    out_access: tuple[AccessMap, ...]
    destinations: tuple[SSAValue, ...]
    body: Region

    @property
    def results(self) -> Sequence[SSAValue]:
        return self.op.results

    @property
    def moves_only(self) -> bool:
        """Whether the stage copies and computes nothing."""
        return not isinstance(self.op, PointwiseOp)


def is_stage(op: object) -> TypeGuard[StageOp]:
    """Whether `op` is a stage; of a value's owner, which may be a block."""
    return isinstance(op, StageOp)


def as_stage(op: StageOp) -> Stage:
    """The stage that `op` is."""
    reads = tuple(Read(v, m) for v, m in zip(op.ins, op.in_access, strict=True))
    body = op.body if isinstance(op, PointwiseOp) else _copy_body(reads[0].compute_type)
    return Stage(op, reads, op.domain, op.out_access, tuple(op.outs), body)


def stage_of(op: object) -> Stage | None:
    """The stage that `op` is; None for anything else."""
    return as_stage(op) if is_stage(op) else None


def _copy_body(of_type: Attribute) -> Region:
    return identity_region([of_type])
