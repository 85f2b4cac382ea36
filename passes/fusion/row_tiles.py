"""What fusions of whole rows ask: are the rows the same, do they fit a block, does it pay?"""

from __future__ import annotations

from collections.abc import Sequence

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import BackToBackGemmOp, GemmOp, GemmRowwiseOp, KernelOp
from ait.dialects.symbolic import (
    Dim,
    dense_strides,
    dim_product,
    lower_bound,
    upper_bound,
)
from ait.passes.cost import (
    SURE_GAIN,
    expected_seconds,
    microseconds,
    roofline,
    seconds_in_blocks,
)
from ait.passes.fusion.legality import Refusal, capability, check_limits
from ait.passes.regions import Remap
from ait.passes.target import KernelCapability, RowTile, TargetInfo


def separates(remap: Remap, domain: Sequence[Dim], outer: int, columns: range) -> bool | None:
    """Whether the first `outer` dims of `domain` are carried to all dims but `columns`, and the
    others to `columns` alone: in any order, and however they are split. None if `remap` cannot
    carry them."""
    rows = remap(_walk(domain, range(outer)))
    rest = remap(_walk(domain, range(outer, len(domain))))
    if rows is None or rest is None:
        return None
    return all(
        size == 1 or (row == 0) == (i in columns) == (column != 0)
        for i, (size, row, column) in enumerate(
            zip(rows.sizes, rows.strides, rest.strides, strict=True)
        )
    )


def _walk(domain: Sequence[Dim], dims: range) -> AccessMap:
    """The linear index over some neighbouring dims of a domain."""
    steps = dense_strides([domain[i] for i in dims])
    strides = [steps[i - dims.start] if i in dims else 0 for i in range(len(domain))]
    return AccessMap(0, tuple(domain), tuple(strides))


def row_capability(kind: type[KernelOp], target: TargetInfo) -> KernelCapability:
    """The target's row of a kernel of whole rows. Raises Refusal if it takes no code."""
    row = capability(target, kind)
    if not (row.fuses_prologue and row.fuses_epilogue):
        raise Refusal(f"{kind.name} takes no code on {target.name}")
    return row


def check_width(
    row: KernelCapability, kind: type[KernelOp], dims: Sequence[Dim], target: TargetInfo
) -> RowTile:
    """The tile of rows of a kernel, which holds `dims`. Raises Refusal if it does not."""
    if row.rows is None:
        raise Refusal(f"{kind.name} holds no rows on {target.name}")
    width = upper_bound(dim_product(dims))
    if width > row.rows.width:
        raise Refusal(
            f"a row of {width} elements is more than the {row.rows.width} that {kind.name} holds "
            f"on {target.name}"
        )
    return row.rows


_TILES = ((64, 64), (128, 64), (128, 128), (128, 256))
"""Tiles of which a plain gemm takes the best."""


def accept(
    fused: GemmRowwiseOp | BackToBackGemmOp,
    gemms: Sequence[GemmOp],
    others: Sequence[KernelOp],
    row: KernelCapability,
    tile: RowTile,
    target: TargetInfo,
) -> str:
    """What a fused kernel, which is in no block yet, saves, in words.

    Raises Refusal, and erases it, where its operands are too many, it does not pay, or the target
    has no kernel for it.
    """
    check_limits(fused, row)
    try:
        profit = check_profit(fused, gemms, others, tile, target)
        refused = target.refusal(fused)
        if refused is not None:
            raise Refusal(refused)
    except Refusal:
        fused.erase()
        raise
    return profit


def accept_parts(
    fused: BackToBackGemmOp,
    gemms: Sequence[GemmOp],
    row: KernelCapability,
    target: TargetInfo,
) -> str:
    """What two products in one kernel, which is in no block yet and has the middle in parts, save
    over the `gemms`, in words.

    The target's model of its own kernels decides for the largest sizes, and blocks of whole rows,
    which small sizes make too few, for the smallest. Raises Refusal, and erases the kernel, where
    its operands are too many, it does not pay, or the target has no kernel for it.
    """
    check_limits(fused, row)
    try:
        refused = target.refusal(fused)
        if refused is not None:
            raise Refusal(refused)
        if any(lower_bound(dim) != upper_bound(dim) for dim in fused.domain):
            assert row.rows is not None, "the caller asked for rows"
            check_profit(fused, gemms, [], row.rows, target)
        apart = sum(expected_seconds(op, target) for op in gemms)
        together = expected_seconds(fused, target)
        # One that keeps the middle does all that the two do, but for reading it: any gain is sure.
        sure = SURE_GAIN if fused.keeps_middle is None else 1.0
        if together >= sure * apart:
            raise Refusal(
                f"{microseconds(together)} in one kernel are no sure gain over "
                f"{microseconds(apart)} in two"
            )
    except Refusal:
        fused.erase()
        raise
    return f"{microseconds(together)} in place of {microseconds(apart)}"


def check_profit(
    fused: GemmRowwiseOp | BackToBackGemmOp,
    gemms: Sequence[GemmOp],
    others: Sequence[KernelOp],
    tile: RowTile,
    target: TargetInfo,
) -> str:
    """What one kernel saves over several, in words. Raises Refusal if it saves nothing at the
    smallest or at the largest sizes.

    What is stored in between, and the launch, against the speed of blocks that have whole rows:
    fewer than the device has units, or so low that they read the right factor too often.
    """
    device = target.description
    shares = tile.shares(upper_bound(dim_product(fused.group_dims[2])))
    saved: list[float] = []
    for bound in (lower_bound, upper_bound):
        apart = sum(
            min(seconds_in_blocks(op, device, shape, bound) for shape in _TILES) for op in gemms
        )
        apart += sum(roofline(op, device, bound) for op in others)
        apart += (len(gemms) + len(others) - 1) * device.launch_seconds
        together = min(
            seconds_in_blocks(fused, device, shape, bound, groups, tile.rate)
            for shape, groups in shares
        )
        saved.append(apart - together - tile.seconds)
    worst = min(saved)
    if worst <= 0:
        raise Refusal(f"blocks of whole rows would lose {-worst * 1e6:.1f} us")
    return f"{worst * 1e6:.1f} us saved"
