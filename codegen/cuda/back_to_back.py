"""Two gemms in one kernel for Hopper: the first product stays in registers, where the second finds
its left factor. TMA brings the factors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import BackToBackAttr, BackToBackConfig
from ait.codegen.cuda.cost import back_to_back_seconds, region_operations
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.cuda.gemm_finish import Packs
from ait.codegen.cuda.gemm_hopper import (
    FactorMap,
    Product,
    check_factors,
    factor_map,
    ordered_columns,
)
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily, fitting
from ait.codegen.gpu.lanes import fits, read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import lower_bound, upper_bound
from ait.passes.target import DeviceDescription, RowTile

_ALIGNMENT = 16
"""Of what TMA brings."""
_WIDEST_LOAD = 32
_WIDEST_MIDDLE = 256
_MOST_STAGES = 8
_COLUMNS = (256, 192, 128, 96, 64, 32)

ROWS = RowTile(width=_WIDEST_MIDDLE, tiles=[(128, None), (64, None)], in_parts=True)
"""The rows of a block; the kernels that have the middle in parts are in back_to_back_parts.py."""


class BackToBackHopper(TurningFamily):
    """The kernel family; see family.py."""

    template = "back_to_back.cu.j2"
    config_type = BackToBackAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        check_factors(view)
        if view.outs_of("middle"):
            raise Refusal("the middle is a result")
        middle = upper_bound(view.group("l").dim)
        if middle > _WIDEST_MIDDLE:
            raise Refusal(f"a middle of {middle} columns")
        if lower_bound(view.group("l").dim) < 1:
            raise Refusal("the middle may have no columns")
        first, second = shapes_of(view)
        operations = region_operations(view)

        def seconds(config: BackToBackConfig) -> float:
            factors_of(view, config.tile)
            return back_to_back_seconds(first, second, device, config, operations)

        configs = _configs(first.m, middle, second.n)
        return fitting(configs, BackToBackAttr, seconds, "no tile fits")

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        check_factors(view)
        both = cast(BackToBackAttr, config).data
        if upper_bound(view.group("l").dim) > both.tile[1]:
            raise Refusal("the middle has more columns")
        product, second = factors_of(view, both.tile)
        middle, epilogue = view.region("middle"), view.region("epilogue")
        middle_reads, epilogue_reads = read_by(middle), read_by(epilogue)
        middle_lanes = _lanes(view, "l", (2,), middle_reads, ())
        packs = [pack for pack in (8, 4, 2) if both.tile[2] % (4 * pack) == 0]
        lanes = _lanes(view, "n", packs, epilogue_reads, view.outs)
        ordered = ordered_columns(view, second, "n", lanes.count, both.tile[2])
        second = ordered or second
        factors = (product.a, *product.bs, second)
        aligned = [
            *((factor.operand, _ALIGNMENT) for factor in factors),
            *middle_lanes.packs(middle_reads),
            *lanes.packs([*epilogue_reads, *view.outs]),
        ]
        return {
            **shared_values(view, "ait/cuda/back_to_back.hpp", aligned),
            "config": both,
            "product": product,
            "second": second,
            "factors": factors,
            "middle": middle,
            "middle_lanes": middle_lanes,
            "middle_operands": middle_reads,
            "epilogue": epilogue,
            "lanes": lanes,
            "exchanges": ordered is None,
            "whole": view.group("l").dim == both.tile[1],
            "prefetched": [o for o in epilogue_reads if o.stride("m") != 0 and o.stride("n") != 0],
            "epilogue_operands": epilogue_reads,
            "sizes": [view.group(name).size for name in ("m", "n", "k", "batch", "l")],
        }


def shapes_of(view: KernelView) -> tuple[GemmShape, GemmShape]:
    """The two products as numbers."""
    names = ("batch", "m", "n", "k", "l")
    batch, m, n, k, middle = (max(1, upper_bound(view.group(name).dim)) for name in names)
    others = [*view.extras, *view.outs_of("epilogue")]
    whole = [o for o in others if o.stride("m") != 0 and o.stride("n") != 0]
    width = view.ins[0].element.bytes
    return (
        GemmShape(batch, m, middle, k, width, 0),
        GemmShape(batch, m, n, middle, width, sum(o.element.bytes for o in whole)),
    )


def factors_of(view: KernelView, tile: tuple[int, int, int]) -> tuple[Product, FactorMap]:
    """The first product, and the second right factor. `tile`: rows, columns of the first product
    and of the second one. Raises Refusal if TMA cannot bring a factor."""
    m, middle, columns = tile
    left, right, second = view.ins[:3]
    a = factor_map(view, left, "m", "row", m, "the left factor")
    b = factor_map(view, right, "l", "column", middle, "the first right factor")
    c = factor_map(view, second, "n", "column", columns, "the second right factor", "l")
    return Product("m", "l", a, (b,)), c


def _lanes(
    view: KernelView,
    group: str,
    packs: Sequence[int],
    read: Sequence[Operand],
    outs: Sequence[Operand],
) -> Packs:
    """The widest of some packs that all operands allow."""
    place = {"batch": "batch", "m": "row", group: "column"}
    axes = view.group(group).axes
    for pack in packs:
        if axes and fits(axes[-1], read, outs, pack, _WIDEST_LOAD):
            return Packs(pack, axes[-1], place, {**place, group: "(column + lane)"})
    return Packs(1, None, place, place)


def _configs(rows: int, middle: int, columns: int) -> Iterator[BackToBackConfig]:
    """Blocks of all the middle, and as many columns as there are, or fewer, with all the stages
    that fit."""
    width = -(-middle // 32) * 32
    for m in (128, 64) if rows > 64 else (64,):
        for n in _COLUMNS:
            if n >= columns + 32 or n > width:
                continue
            stage = (m + width) * 64 * 2
            most = (HOPPER_SHARED_BYTES - 1024) // stage
            config = BackToBackConfig((m, width, n), min(most, _MOST_STAGES))
            if not config.problems():
                yield config
