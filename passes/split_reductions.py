"""split-reductions: a long reduction to few results is done in parts, so that no unit idles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.functions import run_functions_of
from ait.dialects.kernel import EmptyOp, IndexOp, KernelOp, ReduceKind, ReduceOp
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    element_of,
    exact_div,
    known_divisor,
    lower_bound,
    tensor_type,
    upper_bound,
)
from ait.passes.cost import cost_of, microseconds
from ait.passes.fusion.rebuild import rebuilt, split_map
from ait.passes.origins import keep_names
from ait.passes.plan_memory import bytes_of
from ait.passes.regions import identity_region
from ait.passes.remarks import remark
from ait.passes.target import TargetInfo, find_target

NAME = "split-reductions"

_KINDS = frozenset({ReduceKind.SUM, ReduceKind.PROD, ReduceKind.MAX, ReduceKind.MIN})
"""Those whose parts are values of the same kind."""
_PARTS_A_UNIT = 4
"""Parts of results that a unit is given, so that all are done at about the same time."""
_RUN_BYTES = 64
"""Results side by side in memory that one block makes, in bytes of what it reads of each."""
_EXTRA_LAUNCHES = 3.0
"""What the second kernel costs, in launches: it waits for all of the first."""


@dataclass(frozen=True)
class _Split:
    """A reduced dim, by its position in the domain, in so many parts."""

    dim: int
    parts: int
    rest: Dim


@dataclass(frozen=True)
class SplitReductionsPass(ModulePass):
    """Makes two reductions of one whose results are so few that most units would idle.

    The first one reduces each part of a dim, and gives a tensor with a dim for the parts; the
    second reduces that. What is computed before a reduction belongs to the first, what is behind
    it to the second. Targets say in `alone` of a capability what a unit reaches while the others
    idle.

    Before:

        %r = kernel.reduce ins(%x : tensor<1048576xf16>) outs(%o : tensor<f32>) {kind = sum, ...}

    After, for 132 units:

        %p = kernel.reduce ins(%x <sizes [512, 2048], strides [2048, 1]>) outs(%e : tensor<512xf32>)
        %r = kernel.reduce ins(%p : tensor<512xf32>) outs(%o : tensor<f32>) {kind = sum, ...}
    """

    name = NAME

    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        for function in run_functions_of(op):
            for reduction in list(function.body.block.ops):
                if isinstance(reduction, ReduceOp) and reduction.kind.data in _KINDS:
                    _consider(reduction, target)


def _consider(op: ReduceOp, target: TargetInfo) -> None:
    capability = target.capabilities.of(op)
    if capability is None or capability.alone is None:
        return
    device = target.description
    blocks = _blocks(op)
    if blocks >= device.units:
        return
    moved = lower_bound(cost_of(op).bytes)
    everywhere = moved / device.memory_bandwidth
    now = max(everywhere, everywhere * device.units / (blocks * capability.alone))
    saved = now - everywhere - _EXTRA_LAUNCHES * device.launch_seconds
    split = _best_split(op, _PARTS_A_UNIT * device.units // blocks)
    if saved <= 0 or split is None:
        return
    first = _rewrite(op, split)
    remark(NAME, "applied", first, f"done in {split.parts} parts: {microseconds(saved)} saved")


def _blocks(op: ReduceOp) -> int:
    """Units that can work on the results, at the most results."""
    access, kept = op.in_access[0], len(op.domain)
    at_once = 1
    if kept and access.strides[kept - 1] == 1:
        at_once = max(1, _RUN_BYTES // bytes_of(element_of(op.ins[0])))
    return max(1, ceil(upper_bound(dim_product(op.domain)) / at_once))


def _best_split(op: ReduceOp, most: int) -> _Split | None:
    """The most parts that divide a reduced dim for all values of its symbols."""

    def splits() -> Iterator[_Split]:
        for dim in range(len(op.domain), len(op.full_domain)):
            size = op.full_domain[dim]
            known = known_divisor(size)
            parts = next((n for n in range(min(most, known), 1, -1) if known % n == 0), 1)
            rest = exact_div(size, parts)
            if parts > 1 and rest is not None:
                yield _Split(dim, parts, rest)

    return max(splits(), key=lambda split: split.parts, default=None)


def _rewrite(op: ReduceOp, split: _Split) -> KernelOp:
    """Puts both reductions in the place of `op`; returns the first."""
    dims = (split.parts, *op.domain)
    empty = EmptyOp(tensor_type(op.value_type, dims))
    first = _in_parts(op, split, empty)
    extras = len(op.reduced_ins)
    # [parts, kept...] read as [kept..., parts]
    read = AccessMap.dense(dims).permute([*range(1, len(dims)), 0])
    second = rebuilt(
        op,
        ins=[first.res[0], *op.ins[extras:]],
        in_maps=[read, *op.in_access[extras:]],
        regions=[identity_region([op.value_type]), op.epilogue.clone()],
        properties={"reduced": IntegerAttr(1, i64)},
    )
    keep_names(op.res, second.res)
    Rewriter.replace_op(op, [empty, first, second], list(second.res))
    return first


def _in_parts(op: ReduceOp, split: _Split, empty: EmptyOp) -> KernelOp:
    """The reduction of each part, into a tensor whose first dim is the parts."""

    def carried(access: AccessMap) -> AccessMap:
        apart = split_map(access, {split.dim: (split.parts, split.rest)})
        order = [split.dim, *(i for i in range(apart.rank) if i != split.dim)]
        return apart.permute(order)

    prologue = op.prologue.clone()
    for scalar in prologue.block.ops:
        if isinstance(scalar, IndexOp):
            scalar.properties["map"] = IndexOp(carried(scalar.access)).map
    return rebuilt(
        op,
        ins=[op.ins[i] for i in op.reduced_ins],
        outs=[empty.result],
        in_maps=[carried(op.in_access[i]) for i in op.reduced_ins],
        out_maps=[AccessMap.dense((split.parts, *op.domain))],
        regions=[prologue, identity_region([op.value_type])],
        properties={"extras": IntegerAttr(0, i64)},
    )
