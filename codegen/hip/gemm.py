"""Instances of Composable Kernel's gemm: which exist, which fit a problem, which is fastest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from ait.codegen.hip.dialect import LDS_BYTES, WAVE, CkGemm, Pair
from ait.codegen.hip.gemm_problem import GemmProblem
from ait.dialects.symbolic import Dim, upper_bound
from ait.passes.target import DeviceDescription


@dataclass(frozen=True)
class _Tile:
    """The element-independent part of an instance; `k_bytes` of k are in a tile."""

    block: int
    m: int
    n: int
    k_bytes: int
    xdl: int
    repeat: Pair
    rows: int


# The first thirteen are the tiles of CK's own instance list for gemms on CDNA; the last ones, with
# the small matrix instruction, are for results of few rows or columns.
_TILES = (
    _Tile(256, 256, 128, 64, 32, (4, 2), 32),
    _Tile(256, 128, 256, 64, 32, (2, 4), 32),
    _Tile(128, 128, 128, 64, 32, (4, 2), 16),
    _Tile(256, 128, 128, 64, 32, (2, 2), 32),
    _Tile(128, 128, 64, 64, 32, (2, 2), 32),
    _Tile(128, 64, 128, 64, 32, (2, 2), 16),
    _Tile(64, 64, 64, 64, 32, (2, 2), 16),
    _Tile(256, 128, 64, 64, 32, (2, 1), 32),
    _Tile(256, 64, 128, 64, 32, (1, 2), 32),
    _Tile(128, 128, 32, 64, 32, (2, 1), 32),
    _Tile(128, 32, 128, 64, 32, (1, 2), 16),
    _Tile(64, 64, 32, 64, 32, (2, 1), 16),
    _Tile(64, 32, 64, 64, 32, (1, 2), 16),
    _Tile(64, 16, 16, 64, 16, (1, 1), 16),
    _Tile(128, 16, 32, 128, 16, (1, 1), 16),
    _Tile(128, 16, 64, 128, 16, (1, 2), 16),
    _Tile(128, 32, 16, 128, 16, (1, 1), 32),
)
# Bytes of k that stay together in LDS: a whole 16-byte load where k is contiguous; else less, so
# that a thread reads several neighbours along the other dim and transposes them in registers.
_K1_BYTES = {"k": 16, "mn": 8}


def instances(problem: GemmProblem) -> Iterator[CkGemm]:
    """Every instance that can compute `problem`."""
    for tile in _TILES:
        instance = _instance(tile, problem)
        if not instance.problems() and not mismatch(instance, problem):
            yield instance


def mismatch(instance: CkGemm, problem: GemmProblem) -> list[str]:
    """Why `instance`, valid in itself, does not fit `problem`; empty if it does."""
    found: list[str] = []
    if instance.unit != _units(problem):
        found.append(f"unit must be {list(_units(problem))}")
    for name, load, matrix in zip("AB", instance.load, (problem.a, problem.b), strict=True):
        if load > matrix.vector:
            found.append(f"{name} allows loads of at most {matrix.vector} elements")
    if instance.store > problem.store_vector:
        found.append(f"the result and extras allow at most {problem.store_vector} elements a store")
    if instance.lds_bytes(problem.element.bytes) > LDS_BYTES:
        found.append("the tiles do not fit LDS")
    return found


def _units(problem: GemmProblem) -> tuple[str, str]:
    a, b = ("k" if matrix.contiguous else "mn" for matrix in (problem.a, problem.b))
    return a, b


def _instance(tile: _Tile, problem: GemmProblem) -> CkGemm:
    element_bytes = problem.element.bytes
    k = tile.k_bytes // element_bytes
    unit = _units(problem)
    k1 = tuple(_K1_BYTES[name] // element_bytes for name in unit)
    vectors = (problem.a.vector, problem.b.vector)
    loads = [
        load if name == "k" else min(load, max(1, extent * k // (k1_ * tile.block)))
        for load, name, extent, k1_ in zip(vectors, unit, (tile.m, tile.n), k1, strict=True)
    ]
    columns = tile.block // tile.rows
    slice_n = tile.n // tile.repeat[1]
    return CkGemm(
        block=tile.block,
        tile=(tile.m, tile.n, k),
        k1=(k1[0], k1[1]),
        xdl=(tile.xdl, tile.xdl),
        repeat=tile.repeat,
        unit=unit,
        load=(loads[0], loads[1]),
        store=min(problem.store_vector, slice_n // columns),
        rows=tile.rows,
    )


# The model. Rates that a description does not have, relative to those it has; seconds for the rest.
_CACHE_OVER_MEMORY = 4.0
_ITERATION_SECONDS = 0.4e-6
_REGISTERS = 512
_OTHER_REGISTERS = 64
_SIMDS = 4
_BLOCK_SECONDS = 1.5e-6


def estimate(instance: CkGemm, problem: GemmProblem, device: DeviceDescription) -> float:
    """Seconds the gemm should take, without its launch; for the largest sizes it may have."""
    batch, m, n, k = map(_typical, (problem.batch, problem.m, problem.n, problem.k))
    tile_m, tile_n, tile_k = instance.tile
    element_bytes = problem.element.bytes
    blocks = batch * ceil(m / tile_m) * ceil(n / tile_n)
    steps = ceil(k / tile_k)
    blocks_per_unit = ceil(blocks / device.units)
    resident = min(_occupancy(instance, element_bytes), blocks_per_unit)
    rounds = blocks_per_unit / resident

    busy_simds = min(1.0, resident * instance.block / WAVE / _SIMDS)
    peak = device.matrix_peak[problem.element.name] / device.units * busy_simds
    compute = 2 * tile_m * tile_n * tile_k * resident / peak
    # A compute unit's LDS moves 128 bytes a clock, its vector unit does 128 operations.
    shared = _lds_traffic(instance, element_bytes) * resident / (device.vector_peak / device.units)
    cache_rate = device.memory_bandwidth * _CACHE_OVER_MEMORY / device.units
    traffic = (tile_m + tile_n) * tile_k * element_bytes * resident / cache_rate
    narrow = sum(_load_penalty(load, element_bytes) for load in instance.load) / 2
    step = max(compute + shared, traffic * narrow, _ITERATION_SECONDS)

    moved = batch * (m * k + n * k + m * n * (1 + len(problem.tensors))) * element_bytes
    return max(rounds * (steps * step + _BLOCK_SECONDS), moved / device.memory_bandwidth)


def _occupancy(instance: CkGemm, element_bytes: int) -> int:
    """Blocks that run on one compute unit at once."""
    accumulators = instance.tile[0] * instance.tile[1] // instance.block
    waves = _SIMDS * max(1, _REGISTERS // (accumulators + _OTHER_REGISTERS))
    by_registers = max(1, waves // (instance.block // WAVE))
    return min(by_registers, max(1, LDS_BYTES // instance.lds_bytes(element_bytes)))


def _lds_traffic(instance: CkGemm, element_bytes: int) -> int:
    """Bytes that a block reads from LDS for one tile of k."""
    waves = instance.waves[0] * instance.waves[1]
    rows = sum(xdl * repeat for xdl, repeat in zip(instance.xdl, instance.repeat, strict=True))
    return waves * rows * instance.tile[2] * element_bytes


def _load_penalty(load: int, element_bytes: int) -> float:
    """Loads of less than 16 bytes use that much more of the load units' time."""
    return max(1.0, 16 / (load * element_bytes) / 2)


def _typical(dim: Dim) -> int:
    return max(1, upper_bound(dim))
