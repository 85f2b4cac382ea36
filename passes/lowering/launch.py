"""What all lowering rules share: reading operands through views, and launching a kernel op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from xdsl.ir import Attribute, Operation, Region, SSAValue

from ait.dialects.accessor import AccessMap, ViewOp
from ait.dialects.kernel import EmptyOp, KernelOp, compute_type
from ait.dialects.symbolic import Dim, dims_of, element_of, tensor_type


@dataclass(frozen=True)
class Read:
    """An operand of a kernel: a base and how the kernel's domain reaches it."""

    base: SSAValue
    access: AccessMap

    @property
    def element(self) -> Attribute:
        return element_of(self.base)

    @property
    def compute_type(self) -> Attribute:
        return compute_type(self.element)


def read(value: SSAValue, access: AccessMap | None = None) -> Read:
    """`access` (by default dense) of a value's storage; of the base, if the value is a view."""
    if access is None:
        access = AccessMap.dense(dims_of(value))
    while isinstance(value.owner, ViewOp):
        composed = access.compose(value.owner.access)
        if composed is None:
            break
        value, access = value.owner.base, composed
    return Read(value, access)


def broadcast(value: SSAValue, domain: Sequence[Dim]) -> Read:
    """A value that NumPy broadcasting stretches to `domain`."""
    return read(value, AccessMap.dense(dims_of(value)).expand(domain))


def along(value: SSAValue, axis: int, domain: Sequence[Dim]) -> Read:
    """A vector whose elements belong to the indices of one axis of `domain`."""
    strides = tuple(1 if i == axis else 0 for i in range(len(domain)))
    return read(value, AccessMap(0, tuple(domain), strides))


@dataclass(frozen=True)
class Write:
    """A result of a kernel: its element type, dims, and how the domain reaches its storage."""

    element: Attribute
    dims: tuple[Dim, ...]
    access: AccessMap

    @staticmethod
    def dense(element: Attribute, dims: Sequence[Dim]) -> Write:
        return Write(element, tuple(dims), AccessMap.dense(dims))


@dataclass
class Lowered:
    """New ops in order, and the values that replace the graph op's results."""

    ops: list[Operation] = field(default_factory=list[Operation])
    results: list[SSAValue] = field(default_factory=list[SSAValue])


Rule: TypeAlias = Callable[..., Lowered]


def launch(
    kind: type[KernelOp],
    op: Operation,
    ins: Sequence[Read],
    outs: Sequence[Write],
    regions: Sequence[Region],
    properties: Mapping[str, Attribute | None] | None = None,
) -> Lowered:
    """One kernel op that stands for the graph op `op`, into fresh destinations."""
    empties = [EmptyOp(tensor_type(out.element, out.dims)) for out in outs]
    source = op.attributes.get("source")
    kernel = kind(
        [r.base for r in ins],
        [e.result for e in empties],
        [r.access for r in ins],
        [w.access for w in outs],
        regions,
        dict(properties or {}),
        {"source": source} if source is not None else {},
    )
    kernel.location = op.location
    return Lowered([*empties, kernel], list(kernel.results))
