"""The analytic model that ranks configs: tiles, waves, and the bytes that tiles move.

Its constants are fits to measurements of the H200 (one number each, no table per shape); only
differences between configs matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from ait.codegen.kernel_view import KernelView, Operand
from ait.dialects.symbolic import dim_product, upper_bound
from ait.passes.target import DeviceDescription

# Bytes that the last-level cache gives all multiprocessors per byte of the memory.
_CACHE_FACTOR = 3.0
# Shared-memory bytes, and tensor-core operations, of a Hopper multiprocessor per clock.
_SHARED_BYTES_PER_CLOCK = 128
_MATRIX_OPERATIONS_PER_CLOCK = 4096
# The share of the peak where each step along k is one instruction (tile m 64).
_LONE_INSTRUCTION_RATE = 0.85
# How much of its even share of the memory's rate one multiprocessor can draw on its own.
_LONE_UNIT_FACTOR = 1.2
# Filling the pipeline and leaving: seconds before the first and after the last multiplication.
_RAMP_SECONDS = 1.5e-6
# What the blocks of a cluster lose by waiting for each other, per further block.
_CLUSTER_LOSS = 0.05


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


def tensor_tile_rate(m: int, n: int) -> float:
    """The share of the peak that a tile of m64 x n instructions reaches: narrow ones wait for
    shared memory, which holds both factors, and a lone one for itself."""
    shared = (64 + n) * 16 * 2 / _SHARED_BYTES_PER_CLOCK
    matrix = 2 * 64 * n * 16 / _MATRIX_OPERATIONS_PER_CLOCK
    return matrix / max(matrix, shared) * (_LONE_INSTRUCTION_RATE if m == 64 else 1.0)


def hopper_seconds(
    shape: GemmShape,
    device: DeviceDescription,
    tile: tuple[int, int, int],
    cluster: tuple[int, int],
    overlapped_epilogue: bool,
) -> float:
    """Expected time of a persistent Hopper gemm whose blocks take one tile after the other."""
    m, n, k = tile
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    # A cluster is scheduled as a whole, and some multiprocessors cannot be part of one.
    blocks = cluster[0] * cluster[1]
    units = device.units if blocks == 1 else device.units // blocks * blocks
    waves = ceil(tiles / units)
    busy = min(tiles, units)

    depth = ceil(shape.k / k) * k
    peak = device.matrix_peak["f16"] / device.units
    multiply = 2.0 * m * n * depth / (peak * tensor_tile_rate(m, n))
    cache = device.memory_bandwidth * _CACHE_FACTOR / busy
    # Blocks of a cluster share what they read: its m blocks the columns, its n blocks the rows.
    fetch = (m / cluster[1] + n / cluster[0]) * depth * shape.element_bytes / cache
    main = max(multiply, fetch) * (1 + _CLUSTER_LOSS * (blocks - 1))
    finish = m * n * (shape.epilogue_bytes / cache + 12 / (device.vector_peak / device.units))
    if overlapped_epilogue:
        steady = waves * max(main, finish) + min(main, finish)
    else:
        steady = waves * (main + finish)
    drawn = device.memory_bandwidth * min(1.0, busy / device.units * _LONE_UNIT_FACTOR)
    return max(steady, shape.bytes / drawn) + _RAMP_SECONDS


def own_gemm_seconds(
    shape: GemmShape, device: DeviceDescription, tile: tuple[int, int, int], tensor: bool
) -> float:
    """Expected time of the gemm kernel of our own: one block a tile, several blocks a unit."""
    m, n, k = tile
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    peak = device.matrix_peak["f16"] * 0.2 if tensor else device.vector_peak * 0.5
    # Two blocks hide each other's waits; a lone one waits for memory in every step along k.
    per_unit = peak / device.units
    waves = ceil(tiles / (2 * device.units)) * 2 if tiles > device.units else 1
    step = max(2.0 * m * n * k / per_unit, 0.6e-6 / max(1, min(4, tiles / device.units)))
    steady = waves * ceil(shape.k / k) * step
    finish = m * n * shape.epilogue_bytes * waves / (device.memory_bandwidth / device.units)
    return max(steady + finish, shape.bytes / device.memory_bandwidth) + _RAMP_SECONDS / 2


def stream_seconds(operands: Iterable[Operand], device: DeviceDescription) -> float:
    """Expected time of a kernel that moves each element of its operands once."""
    moved = 0
    for operand in operands:
        walked = (axis.dim for axis, s in zip(operand.axes, operand.strides, strict=True) if s != 0)
        moved += upper_bound(dim_product(walked)) * operand.element.bytes
    return moved / device.memory_bandwidth + device.launch_seconds
