"""The analytic model of the kernels that all GPUs share, and the shapes that models work on.

Only differences between configs matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from ait.codegen.gpu.dialect import Along, GemvConfig, Units
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import dim_product, upper_bound
from ait.passes.target import DeviceDescription

ALONE = 2.5
"""How many times its share of the memory's bandwidth a multiprocessor reaches alone: 53 to 108 GB/s
of 3350 GB/s for 132 (reductions on an H100)."""
# The part of a gemm before the first and after the last multiplication.
_RAMP_SECONDS = 0.75e-6
# By the elements of a copy: 3.0 was measured, of a network's first convolution.
_SLOWER_COPIES = {1: 3.0, 2: 2.0, 4: 1.3}
# A product with few rows, fits to an H100: the time before its first and after its last load, what
# each pack of a thread adds to it, from the start of a block to that of the next one on the same
# multiprocessor, the time of a load where all draw, what one multiprocessor draws at most, what of
# a last wave's empty places counts, how much of the lesser of moving and multiplying is not hidden,
# what the first cache gives to tensor units, how much longer their loads take, which are less
# regular, and registers beside packs and sums.
_GEMV_RAMP_SECONDS = 1.1e-6
_GEMV_PACK_SECONDS = 4e-9
_GEMV_BLOCK_SECONDS = 0.13e-6
_GEMV_LATENCY = 2.7e-6
_GEMV_UNIT_BANDWIDTH = 50e9
_GEMV_TAIL = 0.2
_GEMV_HINDRANCE = 0.03
_GEMV_CACHE_BANDWIDTH = 60e9
_GEMV_TENSOR_LOSS = 1.02
_GEMV_REGISTERS = 14
# Words of rows that a thread reads ahead, as in the kernel.
_GEMV_ROW_WORDS = 32


@dataclass(frozen=True)
class GemmShape:
    """A gemm as numbers: extents (the largest that symbols allow), bytes an element, bytes moved.

    `epilogue_bytes` are read and written for each element of the result.
    """

    batch: int
    m: int
    n: int
    k: int
    element_bytes: int
    epilogue_bytes: int

    @staticmethod
    def of(view: KernelView) -> GemmShape:
        extents = [upper_bound(view.group(name).dim) for name in ("batch", "m", "n", "k")]
        batch, m, n, k = (max(1, extent) for extent in extents)
        others = [*view.extras, *view.outs]
        moved = sum(operand.element.bytes for operand in others if _is_full(operand))
        width = max(operand.element.bytes for operand in view.ins[:2])
        return GemmShape(batch, m, n, k, width, moved)

    def transposed(self) -> GemmShape:
        return GemmShape(
            self.batch, self.n, self.m, self.k, self.element_bytes, self.epilogue_bytes
        )

    @property
    def operations(self) -> float:
        return 2.0 * self.batch * self.m * self.n * self.k

    @property
    def bytes(self) -> float:
        factors = self.batch * self.k * (self.m + self.n) * self.element_bytes
        return factors + self.batch * self.m * self.n * self.epilogue_bytes


def _is_full(operand: Operand) -> bool:
    return operand.stride("m") != 0 and operand.stride("n") != 0


def own_gemm_seconds(
    shape: GemmShape,
    device: DeviceDescription,
    tile: tuple[int, int, int],
    tensor: bool,
    slowdown: float = 1.0,
) -> float:
    """Expected time of the gemm kernel of our own: one block a tile, several blocks a unit.
    `slowdown`: how much longer steps along k take where they do not wait for memory."""
    m, n, k = tile
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    peak = device.matrix_peak["f16"] * 0.11 if tensor else device.vector_peak * 0.5
    # Two blocks hide each other's waits; a lone one waits for memory in every step along k.
    per_unit = peak / device.units
    waves = ceil(tiles / (2 * device.units)) * 2 if tiles > device.units else 1
    step = max(2.0 * m * n * k / per_unit * slowdown, 0.6e-6 / max(1, min(4, tiles / device.units)))
    steady = waves * ceil(shape.k / k) * step
    finish = m * n * shape.epilogue_bytes * waves / (device.memory_bandwidth / device.units)
    return max(steady + finish, shape.bytes / device.memory_bandwidth) + _RAMP_SECONDS


def slowdown_of_copies(elements: int) -> float:
    """How much longer kernels take that copy so many elements of 16 bits at once for matrix units,
    where 8 and more are best."""
    return _SLOWER_COPIES.get(elements, 1.0)


def gemv_seconds(
    shape: GemmShape, device: DeviceDescription, config: GemvConfig, factors: int = 1
) -> float:
    """Expected time of a product of `factors` matrices with the few rows of `shape`: the bytes that
    threads have under way set the pace, until memory does, or a multiprocessor's share of it."""
    tensor = config.units is Units.TENSOR
    blocks = shape.batch * ceil(shape.n / config.tile)
    pack_bytes = config.vector * shape.element_bytes
    packs = factors * config.packs
    registers = gemv_registers(shape, config, factors)
    resident = max(1, min(2048, 65536 // registers) // config.threads)
    running = min(blocks, device.units * resident)

    steps = shape.k if config.lanes is Along.OUTER else ceil(shape.k / config.vector)
    sharers = config.team // 8 if tensor else config.team
    rounds = ceil(steps / (sharers * config.items)) * blocks / running
    matrix = shape.batch * factors * shape.n * shape.k * shape.element_bytes
    a_unit = matrix / blocks * ceil(blocks / device.units)
    # Blocks of a unit find the rows in its cache.
    rows = shape.m * shape.k * shape.element_bytes
    stream = matrix / device.memory_bandwidth
    stream = max(stream, (a_unit + rows) / _GEMV_UNIT_BANDWIDTH)
    if tensor:
        # They take eight rows from the cache for each sixteen columns.
        cached = a_unit * (1 + ceil(shape.m / 8) / 2)
        stream = max(stream * _GEMV_TENSOR_LOSS, cached / _GEMV_CACHE_BANDWIDTH)
    waves = blocks / (device.units * resident)
    if waves > 1:
        stream *= 1 + _GEMV_TAIL * (ceil(waves) / waves - 1)
    if rounds > 1:
        under_way = running * config.threads * packs * pack_bytes
        stream = max(stream, matrix * _GEMV_LATENCY / under_way)
    multiply = 0.0
    if not tensor:
        # Conversions take two turns: of the matrix, and of the rows for each of its columns.
        a_column = 2 + shape.m * (1 + 2 / config.own_columns)
        multiply = a_unit / shape.element_bytes * a_column / (device.vector_peak / 2 / device.units)
    longer, shorter = max(stream, multiply), min(stream, multiply)
    longer = max(longer, ceil(blocks / device.units) * _GEMV_BLOCK_SECONDS)
    start = _GEMV_RAMP_SECONDS + packs * _GEMV_PACK_SECONDS
    return longer + _GEMV_HINDRANCE * shorter + start


def gemv_registers(shape: GemmShape, config: GemvConfig, factors: int = 1) -> int:
    """Of a thread: packs of the matrix that are under way, rows that are read ahead, and sums."""
    across, tensor = config.lanes is Along.OUTER, config.units is Units.TENSOR
    pack_words = ceil(config.vector * shape.element_bytes / 4)
    row_words = ceil((1 if across else config.vector) * shape.element_bytes / 4)
    rows = ceil(shape.m / 8) if tensor else shape.m
    ahead = config.items
    while ahead > 1 and ahead * rows * row_words > _GEMV_ROW_WORDS:
        ahead //= 2
    sums = 4 * rows * config.columns if tensor else shape.m * config.own_columns
    return _GEMV_REGISTERS + factors * (config.packs * pack_words + sums) + ahead * rows * row_words


def stream_seconds(operands: Iterable[Operand], device: DeviceDescription) -> float:
    """Expected time of a kernel that moves each element of its operands once."""
    moved = 0
    for operand in operands:
        walked = (axis.dim for axis, s in zip(operand.axes, operand.strides, strict=True) if s != 0)
        moved += upper_bound(dim_product(walked)) * operand.element.bytes
    return moved / device.memory_bandwidth + device.launch_seconds
