"""Two gemms in one kernel for Hopper, the middle of which passes in parts: it may be a result too,
and it may have any number of columns. TMA brings the factors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.back_to_back import factors_of, shapes_of
from ait.codegen.cuda.configs import BackToBackPartsAttr, BackToBackPartsConfig
from ait.codegen.cuda.cost import back_to_back_parts_seconds, region_operations
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.cuda.gemm_finish import Fragments, fragments_along_columns
from ait.codegen.cuda.gemm_hopper import check_factors
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily, fitting
from ait.codegen.gpu.lanes import read_by, shared_values
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import lower_bound, upper_bound
from ait.passes.target import DeviceDescription

_ALIGNMENT = 16
"""Of what TMA brings."""
_STEP = 64
"""Factors of 16 bits along k of a tile in shared memory."""
_MOST_COLUMNS = 256
_MOST_STAGES = 32
_MOST_LEFT = 12
_STREAMED_STAGES = (4, 5, 6, 3)
_RINGS = {1: (4, 3, 2), 2: (2, 1), 3: (2, 1)}
"""By how many warpgroups there are, the slots on their way that are worth trying, best first: more
of them were slower on an H100, whose memory then sees more places at once."""


@dataclass(frozen=True)
class Sizes:
    """The op's depth and middle as steps, and how its tiles end."""

    steps: int
    """Along k of the first product, at most."""
    has_one_depth: bool
    """Whether those are always so many."""
    slots: int
    """Steps along k of the second product, which are slots of the middle."""
    columns: int
    middle: Fragments
    end: Fragments

    @staticmethod
    def of(view: KernelView) -> Sizes:
        """Raises Refusal if the kernel does not take the op."""
        check_factors(view)
        if view.group("batch").dim != 1:
            raise Refusal("there are batches")
        inner, columns = (view.group(name).dim for name in ("l", "n"))
        if not isinstance(inner, int) or inner < _STEP or inner % _STEP:
            raise Refusal(f"a middle of {inner} columns is no number of steps")
        if upper_bound(columns) > _MOST_COLUMNS:
            raise Refusal(f"{upper_bound(columns)} columns")
        outs, kept = view.outs_of("epilogue"), view.outs_of("middle")
        if kept and lower_bound(columns) < 1:
            raise Refusal("the middle is kept, but the results may have no columns")
        factor = view.ins[0].element
        if any(out.element != factor for out in kept):
            raise Refusal("the middle is kept in another type than the second product takes")
        middle = fragments_along_columns(view, view.region("middle"), kept, "m", "l")
        end = fragments_along_columns(view, view.region("epilogue"), outs, "m", "n")
        if middle is None or end is None:
            raise Refusal("a region's operands or results are no rows, lines or tiles of 16 bits")
        depth = view.group("k").dim
        return Sizes(
            -(-upper_bound(depth) // _STEP),
            isinstance(depth, int),
            inner // _STEP,
            max(1, upper_bound(columns)),
            middle,
            end,
        )

    def all_steps(self, part: int) -> int:
        """Steps of right factors, for parts of so many columns of the middle."""
        return self.slots * _STEP // part * self.steps + self.slots

    def stays(self, config: BackToBackPartsConfig) -> bool:
        """Whether the steps of right factors in shared memory are just all that there are."""
        return self.has_one_depth and self.all_steps(config.tile[1]) == config.stages

    def ends(self, config: BackToBackPartsConfig) -> tuple[Fragments, Fragments]:
        """How tiles of a config end: the middle with its ring."""
        ring = config.ring if self.middle.tiles else 1
        return replace(self.middle, ring=ring), replace(self.end, ring=2 if self.end.tiles else 1)

    def held_bytes(self, config: BackToBackPartsConfig) -> int:
        """Shared memory of a block for what regions read, and for results on their way."""
        middle, end = self.ends(config)
        m, _, n = config.tile
        return middle.held_bytes_of(m, self.slots * _STEP, _STEP) + end.held_bytes_of(m, n)


class BackToBackParts(TurningFamily):
    """The kernel family; see family.py."""

    template = "back_to_back_parts.cu.j2"
    config_type = BackToBackPartsAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        sizes = Sizes.of(view)
        first, second = shapes_of(view)
        each = [*sizes.middle.tiles, *sizes.middle.outs]
        per_middle = sum(operand.element.bytes for operand in each)
        operations = region_operations(view)

        def seconds(config: BackToBackPartsConfig) -> float:
            factors_of(view, config.tile)
            return back_to_back_parts_seconds(
                first, second, device, config, sizes.stays(config), per_middle, operations
            )

        configs = _configs(first.m, sizes)
        return fitting(configs, BackToBackPartsAttr, seconds, "no tile fits")

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        sizes = Sizes.of(view)
        parts = cast(BackToBackPartsAttr, config).data
        _check(sizes, parts)
        product, second = factors_of(view, parts.tile)
        middle, end = sizes.ends(parts)
        factors = (product.a, *product.bs, second)
        aligned = [(factor.operand, _ALIGNMENT) for factor in factors]
        for name, finish in (("middle", middle), ("epilogue", end)):
            aligned += finish.accesses(read_by(view.region(name)), view.outs_of(name))
        return {
            **shared_values(view, "ait/cuda/back_to_back_parts.hpp", aligned),
            "config": parts,
            "product": product,
            "second": second,
            "factors": factors,
            "stays": sizes.stays(parts),
            "middle": middle,
            "middle_columns": sizes.slots * _STEP,
            "end": end,
            "computed": ["sums[0][lane]"],
            "sizes": [view.group(name).size for name in ("m", "n", "k", "batch", "l")],
        }


def _check(sizes: Sizes, config: BackToBackPartsConfig) -> None:
    """Raises Refusal if a config does not fit the op."""
    _, part, columns = config.tile
    if sizes.slots * _STEP % part:
        raise Refusal(f"the middle is no whole number of parts of {part} columns")
    if sizes.columns > columns:
        raise Refusal("there are more columns")
    if sizes.steps > config.left:
        raise Refusal("the left factor's steps do not fit")
    if sizes.middle.tiles and config.ring > sizes.slots:
        raise Refusal("the ring is longer than the middle")
    if config.shared_bytes + sizes.held_bytes(config) > HOPPER_SHARED_BYTES:
        raise Refusal("the tiles do not fit shared memory")


def _configs(rows: int, sizes: Sizes) -> Iterator[BackToBackPartsConfig]:
    """Blocks of all heights, with right factors that stay, or else with a ring of them."""
    columns = -(-sizes.columns // 32) * 32
    for m in (192, 128, 64):
        for part in (64, 128):
            if m > 64 and m >= 2 * rows:
                continue
            yield from _staged(sizes, (m, part, columns))


def _staged(sizes: Sizes, tile: tuple[int, int, int]) -> Iterator[BackToBackPartsConfig]:
    """The configs of a tile that fit: with the best ring that leaves room for the left factors of a
    tile, and as many steps of those as fit, up to two tiles."""
    every = sizes.all_steps(tile[1])
    for stages in dict.fromkeys((every, *_STREAMED_STAGES)):
        if stages > min(every, _MOST_STAGES):
            continue
        for ring in _RINGS[tile[0] // 64] if sizes.middle.tiles else (1,):
            for left in range(min(2 * sizes.steps, _MOST_LEFT), sizes.steps - 1, -1):
                config = BackToBackPartsConfig(tile, left, stages, ring)
                try:
                    _check(sizes, config)
                except Refusal:
                    continue
                if not config.problems():
                    yield config
                    break
            else:
                continue
            break
