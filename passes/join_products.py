"""join-products: a sum of two products is one product of joined factors.

`a u + b v = [a b] [u v]^T`: what a residual block adds to its shortcut's projection, or a recurrent
cell to that of its state, need not be written and read again. Joined weights are derived ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects import graph
from ait.dialects.graph import GetParameterOp, GraphOp
from ait.dialects.graph.windows import channel_axis
from ait.dialects.kernel import ConvOp, GemmOp, KernelOp
from ait.dialects.symbolic import (
    dim_product,
    dims_of,
    element_of,
    known_divisor,
    upper_bound,
)
from ait.passes.cost import SURE_GAIN, copy_seconds, microseconds
from ait.passes.origins import joined_location
from ait.passes.plan_memory import bytes_of
from ait.passes.remarks import describe, remark
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_each
from ait.passes.target import TargetInfo, find_target

NAME = "join-products"

Product: TypeAlias = graph.LinearOp | graph.Conv2dOp


@dataclass(frozen=True)
class _Kind:
    """How products of a kind are joined."""

    kernel: type[KernelOp]
    """What runs them."""
    axis: Callable[[Any], int]
    """The dim of x, and of the weight, that is summed."""
    joins: Callable[[Any], bool]
    cut: Callable[[Any], list[Operation]]
    """The part of x that is read, if it is not all: each row of it gives one of the result."""
    changed: Mapping[str, Any]
    """Properties of the product that reads such a part."""


def _is_of_pixels(op: graph.Conv2dOp) -> bool:
    axes = (2, 3) if op.layout == "nchw" else (1, 2)
    taps = {dims_of(op.weight)[axis] for axis in axes}
    return taps == {1} and op.groups == 1 and not any(op.padding)


def _cut_pixels(op: graph.Conv2dOp) -> list[Operation]:
    """Every pixel that strides come to."""
    if max(op.strides) == 1:
        return []
    channel = channel_axis(op.layout, 4)
    dims, steps = dims_of(op.result), iter(op.strides)
    sizes = list(dims)
    sizes[channel] = dims_of(op.x)[channel]
    strides = [1 if axis in (0, channel) else next(steps) for axis in range(4)]
    return [graph.SliceOp(op.x, offsets=[0] * 4, sizes=sizes, steps=strides)]


_KINDS: Mapping[type[GraphOp], _Kind] = {
    graph.LinearOp: _Kind(
        GemmOp, lambda op: len(dims_of(op.x)) - 1, lambda op: True, lambda op: [], {}
    ),
    graph.Conv2dOp: _Kind(
        ConvOp,
        lambda op: channel_axis(op.layout, 4),
        _is_of_pixels,
        _cut_pixels,
        {"strides": (1, 1), "dilations": (1, 1)},
    ),
}


class _Join(OpPattern):
    """add(product(a, u), product(b, v)) -> product(concat(a, b), concat(u, v))."""

    roots = (graph.AddOp,)

    def __init__(self, target: TargetInfo):
        self.target = target

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.AddOp):
            return
        products = [_product(operand) for operand in op.operands]
        first, second = products
        if first is None or second is None or not _fit(first, second):
            return
        kind = _KINDS[type(first)]
        pieces = [(product.x, kind.cut(product)) for product in (first, second)]
        problem = self._problem(first, second, kind, pieces)
        names = f"{describe(first)} and {describe(second)}"
        if problem is not None:
            remark(NAME, "missed", op, f"{names} are not one product: {problem}")
            for _, cut in pieces:
                for new in cut:
                    new.erase()
            return
        remark(NAME, "applied", op, f"{names} are one product of joined factors")
        rewriter.replace(op, _joined(op, first, second, kind, pieces))

    def _problem(
        self,
        first: Product,
        second: Product,
        kind: _Kind,
        pieces: Sequence[tuple[SSAValue, list[Operation]]],
    ) -> str | None:
        """Why the sum stays one of two products; None if one is faster."""
        device = self.target.description
        row = self.target.capabilities.of(kind.kernel)
        element = element_of(first.result)
        width = bytes_of(element)
        if row is not None and row.aligned is not None:
            for product in (first, second):
                depth = dims_of(product.x)[kind.axis(product)]
                if known_divisor(depth) * width % row.aligned.bytes:
                    return f"rows of {depth} elements would not be aligned"
        result = upper_bound(dim_product(dims_of(first.result)))
        saved = device.launch_seconds + 2 * result * width / device.memory_bandwidth
        lost = 0.0
        for x, cut in pieces:
            if cut or not _is_computed(x):
                size = dim_product(dims_of(cut[-1].results[0] if cut else x))
                lost += copy_seconds(size, element, device)
        if lost >= saved * SURE_GAIN:
            return f"{microseconds(saved)} saved, {microseconds(lost)} to copy factors side by side"
        return None


def _product(value: SSAValue) -> Product | None:
    """The product that a value is, if nothing else reads it and it can be joined to another."""
    op = value.owner
    if not isinstance(op, graph.LinearOp | graph.Conv2dOp) or not value.has_one_use():
        return None
    return op if _KINDS[type(op)].joins(op) else None


def _fit(first: Product, second: Product) -> bool:
    """Whether two products, of different factors, add up element by element as they are."""
    alike = type(first) is type(second) and first.x is not second.x
    layouts = {op.layout for op in (first, second) if isinstance(op, graph.Conv2dOp)}
    return alike and len(layouts) < 2 and first.result.type == second.result.type


def _is_computed(value: SSAValue) -> bool:
    """Whether a kernel computes a value, and can write it to its place in a joined factor, in
    whatever order."""
    owner = value.owner
    if isinstance(owner, graph.PermuteOp):
        return _is_computed(owner.x)
    return isinstance(owner, GraphOp) and not isinstance(owner, GetParameterOp | _MOVEMENT)


_MOVEMENT = graph.ConcatOp | graph.ExpandOp | graph.ReshapeOp | graph.SliceOp | graph.SplitOp


def _joined(
    op: graph.AddOp,
    first: Product,
    second: Product,
    kind: _Kind,
    pieces: Sequence[tuple[SSAValue, list[Operation]]],
) -> list[Operation]:
    """The ops of the joined product, which is the last."""
    axis = kind.axis(first)
    values = [cut[-1].results[0] if cut else x for x, cut in pieces]
    # Weights [n, k] of two dims, or those of images in the layout of x.
    weight_axis = axis if isinstance(first, graph.Conv2dOp) else 1
    x = graph.ConcatOp(*values, axis=axis)
    weight = graph.ConcatOp(first.weight, second.weight, axis=weight_axis)
    biases = [product.bias for product in (first, second) if product.bias is not None]
    total: list[Operation] = [graph.AddOp(*biases)] if len(biases) == 2 else []
    bias = [total[0].results[0]] if total else biases
    new = first.clone_onto([x.result, weight.result, *bias], **kind.changed)
    ops = [*(new for _, cut in pieces for new in cut), x, weight, *total, new]
    for each in ops:
        each.attributes.update(first.attributes)
        each.location = joined_location(first, second, op)
    new.result.name_hint = op.result.name_hint
    return ops


@dataclass(frozen=True)
class JoinProductsPass(ModulePass):
    """Makes one product of two whose sum alone is used, where that saves more than it copies.

    Before: `%0 = graph.linear %a, %u`, `%1 = graph.linear %b, %v`, `%2 = graph.add %0, %1`
    After:  `%x = graph.concat %a, %b`, `%w = graph.concat %u, %v`, `%2 = graph.linear %x, %w`

    Convolutions of single pixels are such products; one that skips pixels reads a slice. What is
    saved is a launch, and that one product is written and read again. Factors that kernels of the
    model compute are written side by side later (fuse-memory), others are copied.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        pattern = _Join(find_target(self.target))
        rewrite_each(op, pattern)
        erase_unused(op)
