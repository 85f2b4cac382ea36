"""Gemms for Hopper in plain CUDA (TMA, wgmma): seconds to compile, where CUTLASS takes a minute.

Factors come by TMA, which describes a tensor as up to five dims: the group that neighbours lie
along, the other one and the batch may each be of several, as long as tiles do not straddle them.
Results and the operands of the region are read and written by threads, in packs where they allow
it, so they may have any strides and types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from math import gcd
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import Products, Schedule, WgmmaAttr, WgmmaConfig
from ait.codegen.cuda.cost import (
    WgmmaWork,
    region_operations,
    wgmma_group_seconds,
    wgmma_seconds,
)
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.cuda.gemm_finish import Fragments, Packs, finish_of, fragments_of
from ait.codegen.cuda.limits import check_groups
from ait.codegen.expressions import in_parentheses
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.gpu.family import (
    Candidate,
    Frame,
    GroupCode,
    Refusal,
    TemplateValues,
    TurningFamily,
    fitting,
)
from ait.codegen.gpu.lanes import read_by, shared_values
from ait.codegen.gpu.own_gemm import check_integers
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import DualGemmOp
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    floordiv,
    known_divisor,
    lower_bound,
)
from ait.passes.target import NARROW_FACTORS, DeviceDescription, SharedLaunch

_ALIGNMENT = 16
_ROW_BYTES = 128
_MOST_DIMS = 5
_HALVES = frozenset({"f16", "bf16"})
_TF32 = "ait::cuda::Tf32"
_SWIZZLE_ROWS = 8
"""Rows of a tile after which the swizzle repeats: boxes are whole numbers of them."""

_PINGPONG_TILES = (
    *((64, n) for n in (32, 64, 96, 128, 160, 192, 224, 256)),
    *((128, n) for n in (32, 64, 96, 128, 160, 192)),
)
_COOPERATIVE_TILES = (
    *((128, n) for n in (64, 128, 160, 192, 224, 256)),
    *((192, n) for n in (64, 96, 128, 160, 192)),
    *((256, n) for n in (64, 96, 128)),
)
_LONE_TILES = tuple((64, n) for n in (8, 16, 32, 64, 96, 128, 192, 256))
_SPLITS = (1, 2, 3, 4, 5, 6, 8)
_MOST_STAGES = 16
_FEW_STAGES = 3
_MOST_SUMS = 128 * 192
"""Of a warpgroup, where tiles end in fragments; packs need more registers."""
_MOST_SUMS_OF_THREE = 64 * 192
"""The same of each of three."""
_MOST_SUMS_IN_PACKS = 128 * 128
_SWAPPED_ROWS = 256
"""Up to so many rows the transposed product is worth considering."""
_MOST_CONFIGS = 4096
"""That are remembered: the products of a model are offered much the same ones."""

_attribute = lru_cache(maxsize=_MOST_CONFIGS)(WgmmaAttr)


@dataclass(frozen=True)
class MapDim:
    """A dim of a tensor map, in C++: its size, its stride (none of the first), its part in a box,
    and the coordinate of a box."""

    size: str
    stride: str
    box: int
    coordinate: str


@dataclass(frozen=True)
class Load:
    """One copy of a tile's loads: where its box begins, in bytes and along the groups."""

    bytes: int
    outer: int
    k: int


@dataclass(frozen=True)
class FactorMap:
    """How TMA brings a tile of a factor: [outer, k] elements, where `outer` is m or n."""

    operand: Operand
    along_k: bool
    """Whether neighbours along k are neighbours in memory."""
    swizzle: int
    dims: tuple[MapDim, ...]
    loads: tuple[Load, ...]

    @property
    def major(self) -> str:
        return "K" if self.along_k else "MN"


@dataclass(frozen=True)
class Product:
    """The op's product as the tensor cores see it: `rows` and `columns` are its m and n, or the
    other way round."""

    rows: str
    columns: str
    a: FactorMap
    bs: tuple[FactorMap, ...]


class GemmHopper(TurningFamily):
    """The kernel family; see family.py. `products`: how those of f32 are made; the family takes
    TF32 alone."""

    template = "gemm_hopper.cu.j2"
    config_type = WgmmaAttr
    group = GroupCode(
        "ait/cuda/gemm_hopper_group.hpp", "ait::cuda::HopperGemmPart", "ait::cuda::run_hopper_group"
    )

    def __init__(self, products: Products | None = None):
        self._types = (
            _HALVES | NARROW_FACTORS | ({"f32"} if products is Products.TF32 else set[str]())
        )

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        check_factors(view, self._types)
        shape = GemmShape.of(view)
        factors, operations = _factors(view), region_operations(view)

        product = _products_of(view)

        def seconds(config: WgmmaConfig) -> float:
            product(config)
            return wgmma_seconds(shape, device, config, factors, operations, _adds_parts(view))

        configs = _configs(view, shape, factors, device)
        return fitting(configs, _attribute, seconds, "no tile fits")

    def frame(self, view: KernelView, config: Attribute) -> Frame:
        """Tiles of one size go through one ring. The stages count too, but `together` sees to
        them."""
        wgmma = cast(WgmmaAttr, config).data
        return (_frame(view, wgmma, product_of(view, wgmma)), wgmma.stages)

    def shares(self, view: KernelView, device: DeviceDescription) -> Mapping[Frame, WgmmaWork]:
        """By frame, the op's work."""
        check_factors(view, self._types)
        shape, factors, operations = GemmShape.of(view), _factors(view), region_operations(view)
        in_parts, product = _adds_parts(view), _products_of(view)
        found: dict[Frame, WgmmaWork] = {}
        for config in _configs(view, shape, factors, device, for_groups=True):
            try:
                frame = _frame(view, config, product(config))
            except Refusal:
                continue
            found[frame] = WgmmaWork.of(shape, config, factors, operations, in_parts)
        return found

    def together(self, members: Sequence[object], device: DeviceDescription) -> SharedLaunch:
        """With the stages that all have room for."""
        works = cast(Sequence[WgmmaWork], members)
        stages = min(work.config.stages for work in works)
        configs = [replace(work.config, stages=stages) for work in works]
        seconds = wgmma_group_seconds(works, device)
        return SharedLaunch(tuple(map(WgmmaAttr, configs)), seconds)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        check_factors(view, self._types)
        wgmma = cast(WgmmaAttr, config).data
        product = _sized_by_arguments(product_of(view, wgmma))
        region = view.region("epilogue")
        read = read_by(region)
        room = HOPPER_SHARED_BYTES - wgmma.shared_bytes(len(product.bs))
        finish = finish_of(view, product.rows, product.columns, wgmma, room)
        if isinstance(finish, Packs) and _sums(wgmma, len(product.bs)) > _MOST_SUMS_IN_PACKS:
            raise Refusal("the accumulators leave no registers to end in packs")
        factors = (product.a, *product.bs)
        aligned = [(factor.operand, _ALIGNMENT) for factor in factors]
        groups = (product.rows, product.columns, "k", "batch")
        return {
            **shared_values(
                view, "ait/cuda/gemm_hopper.hpp", [*aligned, *finish.accesses(read, view.outs)]
            ),
            "config": wgmma,
            "product": product,
            "element": _TF32 if product.a.operand.element.name == "f32" else product.a.operand.type,
            "factors": factors,
            "resident": wgmma.resident_blocks(
                HOPPER_SHARED_BYTES, len(product.bs), finish.held_bytes(wgmma), _adds_parts(view)
            ),
            "region": region,
            "read": read,
            "finish": finish,
            "finish_template": finish.template,
            "computed": [f"sums[{i}][lane]" for i in range(len(product.bs))],
            "sizes": [view.group(name).size for name in groups],
        }


def _factors(view: KernelView) -> int:
    """How many right factors there are."""
    return 2 if isinstance(view.op, DualGemmOp) else 1


def _adds_parts(view: KernelView) -> bool:
    """Whether tensor cores add up parts of sums only, which are as many registers more: they keep
    too few bits of sums of 8-bit floats."""
    return view.ins[0].element.name == "f8E4M3FN"


def _step_k(view: KernelView) -> int:
    """The factors along k that are a row of a tile."""
    return _ROW_BYTES // view.ins[0].element.bytes


def check_factors(view: KernelView, types: frozenset[str] = _HALVES) -> None:
    """Raises Refusal unless the factors are of one type of `types`, along sizes that the kernels
    count."""
    factors = view.ins[: view.op.DATA_OPERANDS]
    names = {operand.element.name for operand in factors}
    if len(names) > 1 or not names <= types:
        raise Refusal(f"factors of {' and '.join(operand.element.name for operand in factors)}")
    check_groups(view)
    if lower_bound(view.group("k").dim) < 1:
        raise Refusal("k may be 0")
    if names == {"i8"}:
        check_integers(view)


def _sums(config: WgmmaConfig, factors: int) -> int:
    """Of a warpgroup."""
    return config.part_rows * config.tile[1] * factors


def product_of(view: KernelView, config: WgmmaConfig) -> Product:
    """The op's product for a config. Raises Refusal with the reason if TMA cannot bring a factor,
    or the config does not fit."""
    return _products_of(view)(config)


def _products_of(view: KernelView) -> Callable[[WgmmaConfig], Product]:
    """`product_of` of one op for many configs: how factors come depends on their tiles alone."""
    factor = cache(partial(_factor, view))
    tiled = cache(partial(_tiled_product, view, factor))

    def product(config: WgmmaConfig) -> Product:
        _check_config(view, config)
        m, n, _ = config.tile
        return tiled(m, n, config.swapped)

    return product


def _check_config(view: KernelView, config: WgmmaConfig) -> None:
    """Raises Refusal if the config does not fit the op."""
    factors = _factors(view)
    if config.shared_bytes(factors) > HOPPER_SHARED_BYTES:
        raise Refusal("the tiles do not fit shared memory")
    m, _, k = config.tile
    if k != _step_k(view):
        raise Refusal(f"a step along k is {_step_k(view)} factors, not {k}")
    held = _sums(config, factors) * (2 if _adds_parts(view) else 1)
    if held > (_MOST_SUMS if config.warpgroups < 3 else _MOST_SUMS_OF_THREE):
        raise Refusal("the accumulators do not fit the registers")
    if config.split > 1 and view.ins[0].element.name == "i8":
        raise Refusal("sums of integers are not split")
    sums = (m + 4) * (config.split_columns + 8) * 4 * factors
    if config.split > 1 and sums > config.ring_bytes(factors):
        raise Refusal("the sums of a split do not fit shared memory")


def _tiled_product(
    view: KernelView, factor: Callable[[int, str, int], FactorMap], m: int, n: int, swapped: bool
) -> Product:
    """The op's product in tiles of m x n, its factors swapped or not. `factor`: `_factor` of the
    op. Raises Refusal if TMA cannot bring them."""
    if swapped:
        if _factors(view) > 1:
            raise Refusal("two right factors cannot be the rows")
        return Product("n", "m", factor(1, "row", m), (factor(0, "column", n),))
    a = factor(0, "row", m)
    return Product("m", "n", a, tuple(factor(1 + i, "column", n) for i in range(_factors(view))))


def _factor(view: KernelView, position: int, variable: str, tile: int) -> FactorMap:
    """How the factor at `position` among the ins comes as the rows or columns of a tile."""
    outer, what = ("n", "the right factor") if position else ("m", "the left factor")
    return factor_map(view, view.ins[position], outer, variable, tile, what)


_ARGUMENTS = {"row": "rows", "column": "columns", "k": "depth"}
"""The arguments that say how large groups of dims are, by the variables that count them."""


def _sized_by_arguments(product: Product) -> Product:
    """The same code for all sizes: those of tensor maps are the kernel's arguments."""

    def sized(factor: FactorMap) -> FactorMap:
        dims = tuple(
            replace(dim, size=f"arguments.{_ARGUMENTS[dim.coordinate]}")
            if dim.coordinate in _ARGUMENTS
            else dim
            for dim in factor.dims
        )
        return replace(factor, dims=dims)

    return replace(product, a=sized(product.a), bs=tuple(map(sized, product.bs)))


# Tensor maps ----------------------------------------------------------------------------------


def factor_map(
    view: KernelView,
    operand: Operand,
    outer: str,
    variable: str,
    tile: int,
    what: str,
    depth: str = "k",
) -> FactorMap:
    """How tiles of a factor come: so many indices of the group `outer`, from the C++ variable
    `variable` on, and of `depth`, from `k` on. Raises Refusal if TMA cannot bring them."""
    outers, ks = operand.chunks(outer), operand.chunks(depth)
    step = _ROW_BYTES // operand.element.bytes
    batches = [chunk for chunk in operand.chunks("batch") if chunk[1] != 0]
    if any(stride == 0 for _, stride in (*outers, *ks)):
        raise Refusal(f"{what} is the same along {outer} or {depth}")
    if any(lower_bound(stride) < 0 for stride in operand.strides):
        raise Refusal(f"{what} has a negative stride")
    along_k = _is_inner(ks) or (not _is_inner(outers) and not ks)
    if not along_k and not _is_inner(outers) and outers:
        raise Refusal(f"{what} has no dim of unit stride")
    if not along_k and operand.element.bytes != 2:
        raise Refusal(f"{what} does not lie along k, as its type must")
    inner = ks if along_k else outers
    _check_alignment(operand, inner, what)
    swizzle = _ROW_BYTES if along_k or tile % 64 == 0 else 64 if tile % 32 == 0 else 32
    width = swizzle // operand.element.bytes
    if not along_k and tile % width:
        raise Refusal(f"{what} has too narrow a tile to lie along {outer}")
    if len(inner) > 1 and known_divisor(inner[-1][0]) % width:
        raise Refusal(f"tiles of {what} straddle dims")
    others, extent = (outers, tile) if along_k else (ks, step)
    height = extent if len(others) < 2 else gcd(known_divisor(others[-1][0]), extent)
    if height % _SWIZZLE_ROWS:
        raise Refusal(f"tiles of {what} straddle dims")
    inner_variable, other_variable = ("k", variable) if along_k else (variable, "k")
    dims = [
        *_map_dims(view, inner[-1:] or [(1, 1)], inner, inner_variable, width),
        *_map_dims(view, others[-1:] or [(1, step)], others, other_variable, height),
        *_outer_dims(view, inner, inner_variable),
        *_outer_dims(view, others, other_variable),
        *_map_dims(view, batches[-1:], batches, "batch", 1),
        *_outer_dims(view, batches, "batch"),
    ]
    if len(dims) > _MOST_DIMS:
        raise Refusal(f"{what} has too many dims for TMA")
    loads = _loads(along_k, tile, width, height, operand.element.bytes)
    return FactorMap(operand, along_k, swizzle, tuple(dims), loads)


def ordered_columns(
    view: KernelView, factor: FactorMap, outer: str, pack: int, columns: int
) -> FactorMap | None:
    """The map of a right factor whose `columns`, of the group `outer`, come in such an order that a
    thread's sums are `pack` neighbours; None if a map cannot have it.

    Of 8 columns of a product a thread has the t-th two. Column 8 i + 2 t + e of 4 * pack ones is
    taken from the place pack * t + 2 i + e, for which the dim of the columns becomes four.
    """
    chunks = factor.operand.chunks(outer)
    columns_of_map = 4 * pack
    if (
        pack == 1
        or not factor.along_k
        or len(factor.dims) != 2
        or len(chunks) != 1
        or known_divisor(chunks[0][0]) % columns_of_map
        or columns % columns_of_map
    ):
        return None
    size, stride = chunks[0]
    inner = [(2, 1), (4, pack), (pack // 2, 2)]
    dims = [
        factor.dims[0],
        *(MapDim(str(n), view.expression(step * stride), n, "0") for n, step in inner),
        MapDim(
            view.expression(floordiv(size, columns_of_map)),
            view.expression(columns_of_map * stride),
            columns // columns_of_map,
            f"column / {columns_of_map}",
        ),
    ]
    return replace(factor, dims=tuple(dims), loads=(Load(0, 0, 0),))


def _is_inner(chunks: Sequence[tuple[Dim, Dim]]) -> bool:
    return bool(chunks) and chunks[-1][1] == 1


def _check_alignment(operand: Operand, inner: Sequence[tuple[Dim, Dim]], what: str) -> None:
    """The address and all strides but the inner one are whole numbers of 16 bytes."""
    strides = list(operand.strides)
    if inner:
        strides.remove(1)
    for dim in (operand.offset_dim, *strides):
        if known_divisor(dim) * operand.element.bytes % _ALIGNMENT:
            raise Refusal(f"{what} is not aligned to {_ALIGNMENT} bytes")


def _map_dims(
    view: KernelView,
    innermost: Sequence[tuple[Dim, Dim]],
    chunks: Sequence[tuple[Dim, Dim]],
    variable: str,
    box: int,
) -> list[MapDim]:
    """The innermost dim of a group."""
    texts: list[MapDim] = []
    for size, stride in innermost:
        size_text = view.expression(size)
        at = f"{variable} % {in_parentheses(size_text)}" if len(chunks) > 1 else variable
        texts.append(MapDim(size_text, view.expression(stride), box, at if chunks else "0"))
    return texts


def _outer_dims(
    view: KernelView, chunks: Sequence[tuple[Dim, Dim]], variable: str
) -> Iterator[MapDim]:
    """The other dims of a group, from the inside out: boxes have one index of each."""
    for position in range(len(chunks) - 2, -1, -1):
        size, stride = chunks[position]
        below = dim_product(size for size, _ in chunks[position + 1 :])
        at = f"{variable} / {in_parentheses(view.expression(below))}"
        if position > 0:
            at = f"{at} % {in_parentheses(view.expression(size))}"
        yield MapDim(view.expression(size), view.expression(stride), 1, at)


def _loads(
    along_k: bool, tile: int, width: int, height: int, element_bytes: int
) -> tuple[Load, ...]:
    """Boxes of `height` rows, `width` elements wide. Rows of a tile are swizzled rows: boxes follow
    each other in shared memory."""
    if along_k:
        row = width * element_bytes
        return tuple(Load(first * row, first, 0) for first in range(0, tile, height))
    step = _ROW_BYTES // element_bytes
    return tuple(
        Load((block * step + k * width) * element_bytes, block, k)
        for block in range(0, tile, width)
        for k in range(0, step, height)
    )


# Configs --------------------------------------------------------------------------------------


def _frame(view: KernelView, config: WgmmaConfig, product: Product) -> Frame:
    """What kernels of a group have in common, but for their stages: all that products depend on,
    and which factor gives the rows, for fewer kinds of them."""
    resident = config.resident_blocks(
        HOPPER_SHARED_BYTES, len(product.bs), in_parts=_adds_parts(view)
    )
    factors = (product.a, *product.bs)
    layout = tuple(factor.major for factor in factors)
    element = view.ins[0].element.name
    return (config.tile, config.schedule, config.swapped, resident, element, layout)


def _configs(
    view: KernelView,
    shape: GemmShape,
    factors: int,
    device: DeviceDescription,
    for_groups: bool = False,
) -> Iterator[WgmmaConfig]:
    """What is worth ranking: tiles not far larger than the problem, in both orientations.
    `for_groups`: larger ones too, which other members may need, and none that is split: members
    keep the device busy together."""
    for swapped in (False, True):
        if swapped and (factors > 1 or shape.m > _SWAPPED_ROWS):
            continue
        turned = shape.transposed() if swapped else shape
        fragments = fragments_of(view, *_orientation(swapped))
        for schedule, tiles in (
            (Schedule.PINGPONG, _PINGPONG_TILES),
            (Schedule.COOPERATIVE, (*_COOPERATIVE_TILES, *_LONE_TILES)),
        ):
            for m, n in tiles:
                is_large = (m > 64 and m >= 2 * turned.m) or (n > 8 and n >= 2 * turned.n)
                if is_large and not for_groups:
                    continue
                splits = schedule is Schedule.COOPERATIVE and not for_groups
                for split in _SPLITS if splits else (1,):
                    config = WgmmaConfig((m, n, _step_k(view)), schedule, 1, split, swapped)
                    yield from _staged(turned, factors, device, config, fragments)


def _orientation(swapped: bool) -> tuple[str, str]:
    """The groups of the op that rows and columns of a tile are."""
    return ("n", "m") if swapped else ("m", "n")


def _staged(
    shape: GemmShape,
    factors: int,
    device: DeviceDescription,
    one: WgmmaConfig,
    fragments: Fragments | None,
) -> Iterator[WgmmaConfig]:
    """A config of one stage with as many as fit, beside what the end of a tile needs if enough
    remain; of small tiles also with so many that two blocks share a multiprocessor. None where the
    config cannot be."""
    (m, n, _), split = one.tile, one.split
    steps = -(-shape.k // one.tile[2])
    if split > 1 and steps < 2 * split:
        return
    tiles = shape.batch * -(-shape.m // m) * -(-shape.n // n)
    if split > 1 and tiles > 4 * device.units:
        return
    helds: tuple[int, ...] = ()
    if fragments is not None and fragments.suits(one):
        helds = tuple(fragments.held_bytes_of_rings(one))
    if _sums(one, factors) <= _MOST_SUMS_IN_PACKS:
        helds = (*helds, 0)
    yield from _deepened(one, factors, device.shared_bytes, helds)


@lru_cache(maxsize=_MOST_CONFIGS)
def _deepened(
    one: WgmmaConfig, factors: int, shared_bytes: int, helds: Sequence[int]
) -> Sequence[WgmmaConfig]:
    """`one` with the stages that `_staged` is about. `helds`: the bytes that each way to end a tile
    needs, the best one first."""
    found: list[WgmmaConfig] = []
    stage, inbox = replace(one, stages=1).ring_bytes(factors), one.inbox_bytes(factors)
    for blocks in (1, 2) if one.warpgroups == 1 else (1,):
        room = shared_bytes // blocks - 2048
        fitting = ((room - inbox - held) // stage for held in helds)
        stages = next((s for s in fitting if s >= _FEW_STAGES), 0)
        if stages == 0 and 0 in helds:
            stages = (room - inbox) // stage
        most = _MOST_STAGES if blocks == 1 else _MOST_STAGES // 2
        config = replace(one, stages=min(stages, most))
        if stages > 0 and not config.problems():
            found.append(config)
    return tuple(found)
