"""The `ck` dialect: configs of kernels made with Composable Kernel."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Dialect
from xdsl.irdl import irdl_attr_definition

from ait.codegen.gpu.config_fields import ConfigAttr

WAVE = 64
LDS_BYTES = 64 * 1024
_ACCUMULATOR_BYTES = 4
# The matrix instructions' tiles, and CK's limit of threads a block.
_XDL_TILES = ((32, 32), (16, 16))
_MAX_BLOCK = 256
_VECTORS = (1, 2, 4, 8)
_MAX_ACCUMULATORS = 256
_UNITS = ("k", "mn")

Pair = tuple[int, int]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class CkGemm:
    """One instance of CK's `DeviceGemmMultipleD_Xdl_CShuffle`, or of its batched form."""

    block: int
    """Threads a block."""
    tile: Triple
    """Elements of m, n and k that a block works on at once."""
    k1: Pair
    """Elements of k that A and B keep together in LDS."""
    xdl: Pair
    """The tile of one matrix instruction."""
    repeat: Pair
    """Such tiles a wave along m and n."""
    unit: tuple[str, str]
    """Along which dim A and B are contiguous: "k", or "mn" for the other one."""
    load: Pair
    """Elements a load of A and B, along that dim."""
    store: int
    """Elements an access of the result and of the extra operands, along n."""
    rows: int
    """Rows of the result that the threads of a block write at once."""

    @property
    def waves(self) -> Pair:
        """Waves of a block along m and n."""
        return (
            self.tile[0] // (self.xdl[0] * self.repeat[0]),
            self.tile[1] // (self.xdl[1] * self.repeat[1]),
        )

    @property
    def columns(self) -> int:
        """Threads along n when the result is written."""
        return self.block // self.rows

    def threads(self, operand: int) -> Pair:
        """Threads along k and along m or n that load operand 0 or 1."""
        groups = self.tile[2] // self.k1[operand]
        return groups, self.block // groups

    def lds_bytes(self, element_bytes: int) -> int:
        """LDS of a block: the tiles of A and B, or one shuffled slice of the accumulators."""
        m, n, k = self.tile
        tiles = (m + 1 + n + 1) * k * element_bytes
        slice_elements = self.waves[0] * self.xdl[0] * self.waves[1] * self.xdl[1]
        return max(tiles, slice_elements * _ACCUMULATOR_BYTES)

    def problems(self) -> list[str]:
        """What CK would refuse at compile time; empty for a valid instance."""
        shape = self._shape_problems()
        # What follows divides by numbers that the shape must have right.
        return shape or [*self._load_problems(), *self._store_problems()]

    def _shape_problems(self) -> list[str]:
        (m, n, k), (xdl_m, xdl_n), (repeat_m, repeat_n) = self.tile, self.xdl, self.repeat
        numbers = (*self.tile, *self.k1, *self.repeat, *self.load, self.block, self.rows)
        if min(numbers) < 1:
            return ["every number must be positive"]
        if self.xdl not in _XDL_TILES:
            return [f"there is no {xdl_m} x {xdl_n} matrix instruction"]
        waves = self.waves[0] * self.waves[1]
        checks = [
            (m % (xdl_m * repeat_m) == 0, "tile m is no multiple of xdl m * repeat m"),
            (n % (xdl_n * repeat_n) == 0, "tile n is no multiple of xdl n * repeat n"),
            (k % self.k1[0] == 0 and k % self.k1[1] == 0, "tile k is no multiple of k1"),
            (self.block == WAVE * waves, f"{waves} waves need a block of {WAVE * waves}"),
            (self.block <= _MAX_BLOCK, f"a block has at most {_MAX_BLOCK} threads"),
            (m * n <= self.block * _MAX_ACCUMULATORS, "the accumulators exceed the registers"),
            (all(unit in _UNITS for unit in self.unit), "unit must name k or mn"),
        ]
        return [message for ok, message in checks if not ok]

    def _load_problems(self) -> list[str]:
        found: list[str] = []
        for operand, name in enumerate("AB"):
            groups, threads = self.threads(operand)
            extent, load = self.tile[operand], self.load[operand]
            if self.block % groups or extent % max(threads, 1):
                found.append(f"the threads of a block do not cover the tile of {name}")
                continue
            most = self.k1[operand] if self.unit[operand] == "k" else extent // threads
            if load not in _VECTORS or most % load:
                found.append(f"{name} cannot be loaded {load} elements at a time")
        return found

    def _store_problems(self) -> list[str]:
        slice_m, slice_n = (w * x for w, x in zip(self.waves, self.xdl, strict=True))
        if self.store not in _VECTORS:
            return [f"there is no store of {self.store} elements"]
        if self.block % self.rows or slice_m % self.rows:
            return ["rows divides neither the block nor a slice of the result"]
        if slice_n % (self.columns * self.store):
            return ["threads along n times store do not divide a slice of the result"]
        return []


@irdl_attr_definition
class CkGemmAttr(ConfigAttr[CkGemm]):
    """`#ck.gemm<block = 256, tile = [256, 128, 32], k1 = [8, 8], xdl = [32, 32], repeat = [4, 2],
    unit = ["k", "k"], load = [8, 8], store = 8, rows = 32>`.

    The verifier checks what CK would check only while it compiles.
    """

    name = "ck.gemm"


Ck = Dialect("ck", [], [CkGemmAttr])
