"""Convolutions of images with zeros between pixels, as transposed ones are, without the zeros.

With d - 1 zeros between pixels, output pixels a, a + d, a + 2 d, ... meet the image with the same
taps of the kernel: such a *phase* is a convolution of the image itself with every so manieth tap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd

from xdsl.dialects.builtin import DenseArrayBase, f32, i64
from xdsl.ir import Attribute, Block, Region, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import ConvOp, KernelOp, PointwiseOp, YieldOp, compute_type
from ait.dialects.symbolic import Dim, element_of, floordiv
from ait.passes.regions import ScalarBuilder, inline


@dataclass(frozen=True)
class _Phase:
    """Output pixels `first`, `first + step`, ... of one dim and the taps that they meet."""

    first: int
    step: int
    size: Dim
    """How many pixels there are."""
    tap: int
    tap_step: int
    taps: int
    """Maybe none."""
    before: int
    after: int
    dilation: int


def split_phases(op: ConvOp) -> list[KernelOp] | None:
    """Kernels that one after another write what `op` writes; they are in no block yet.

    None if a phase would have padding that depends on symbolic dims.
    """
    rows, columns = _phases(op, 0), _phases(op, 1)
    if rows is None or columns is None:
        return None
    kernels: list[KernelOp] = []
    outs: Sequence[SSAValue] = op.outs
    for vertical, horizontal in product(rows, columns):
        kernels.append(_phase_kernel(op, vertical, horizontal, outs))
        outs = kernels[-1].res
    return kernels


def _phases(op: ConvOp, axis: int) -> list[_Phase] | None:
    """The phases of rows (axis 0) or columns (axis 1) that have pixels."""
    x, weight = op.in_access[:2]
    extent, kernel, count = (sizes[axis + 1] for sizes in (x.sizes, weight.sizes, op.domain))
    stride, padding, dilation, step = (
        values[axis]
        for values in (
            op.strides.get_values(),
            op.padding.get_values(),
            op.dilations.get_values(),
            op.spread,
        )
    )
    if not isinstance(kernel, int):
        return None
    tap_step = step // gcd(dilation, step)
    phases: list[_Phase] = []
    for first in range(step):
        size = floordiv(count + (step - 1 - first), step)
        if size == 0:
            continue
        # Tap r of output pixel `first + i step` meets pixel `(first stride + r dilation - padding)
        # / step + i stride`, where that is whole.
        start = first * stride - padding
        tap = next((r for r in range(tap_step) if (start + r * dilation) % step == 0), kernel)
        taps = max(0, (kernel - tap + tap_step - 1) // tap_step)
        before = -((start + tap * dilation) // step)
        apart = dilation * tap_step // step
        after = (size - 1) * stride + (apart * (taps - 1) + 1 - before) - extent
        if not isinstance(after, int):
            return None
        phases.append(_Phase(first, step, size, tap, tap_step, taps, before, after, apart))
    return phases


def _phase_kernel(
    op: ConvOp, vertical: _Phase, horizontal: _Phase, outs: Sequence[SSAValue]
) -> KernelOp:
    n, _, _, o = op.domain
    pair = (vertical, horizontal)

    def part(access: AccessMap) -> AccessMap:
        """A map over all pixels, over those of the phase."""
        return access.slice(
            (0, *(phase.first for phase in pair), 0),
            (n, *(phase.size for phase in pair), o),
            (1, *(phase.step for phase in pair), 1),
        )

    extras = [part(access) for access in op.in_access[2:]]
    out_maps = [part(access) for access in op.out_access]
    has_taps = vertical.taps > 0 and horizontal.taps > 0
    region = _part_of_epilogue(op, part, with_sum=has_taps)
    attributes = dict(op.attributes)
    if not has_taps:
        return PointwiseOp(op.ins[2:], outs, extras, out_maps, [region], {}, attributes)
    x, weight = op.in_access[:2]
    outputs, _, _, channels = weight.sizes
    filters = weight.slice(
        (0, *(phase.tap for phase in pair), 0),
        (outputs, *(phase.taps for phase in pair), channels),
        (1, *(phase.tap_step for phase in pair), 1),
    )
    padding = (*(phase.before for phase in pair), *(phase.after for phase in pair))
    properties: dict[str, Attribute | None] = {
        **op.own_properties,
        "padding": DenseArrayBase.from_list(i64, list(padding)),
        "dilations": DenseArrayBase.from_list(i64, [phase.dilation for phase in pair]),
        "input_dilations": None,
    }
    in_maps = [x, filters, *extras]
    return ConvOp(op.ins, outs, in_maps, out_maps, [region], properties, attributes)


def _part_of_epilogue(op: ConvOp, part: Callable[[AccessMap], AccessMap], with_sum: bool) -> Region:
    """The epilogue over the pixels of a phase; without a sum to take, of the sum 0."""
    extras = [compute_type(element_of(value)) for value in op.ins[2:]]
    block = Block(arg_types=[*([f32] if with_sum else []), *extras])
    arguments: list[SSAValue] = list(block.args)
    if not with_sum:
        arguments.insert(0, ScalarBuilder(block).constant(0.0, f32))
    values = inline(op.epilogue, block, arguments, part)
    assert values is not None, "each part of a map is one"
    block.add_op(YieldOp(*values))
    return Region(block)
