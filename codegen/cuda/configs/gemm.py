"""Configs of Hopper's gemms: of CUTLASS 3.x, and of plain CUDA."""

from __future__ import annotations

from dataclasses import dataclass
from enum import auto

from xdsl.irdl import irdl_attr_definition
from xdsl.utils.str_enum import StrEnum

from ait.codegen.gpu.config_fields import ConfigAttr, omitted


class Schedule(StrEnum):
    """How the warps of a Hopper gemm share the work."""

    PINGPONG = auto()
    """Two warpgroups, each with its own tile: one multiplies while the other finishes its tile."""
    COOPERATIVE = auto()
    """Two warpgroups on the two halves of one tile."""


@dataclass(frozen=True)
class GemmConfig:
    """A CUTLASS 3.x gemm: the block's tile (m, n, k), the cluster of blocks (m, n), the schedule,
    the depth of the load pipeline (None: what shared memory holds), whether the kernel computes the
    transposed product (then tile and cluster are those of the transposed problem), and whether it
    deals out steps along k instead of tiles, as many to each multiprocessor (stream-K)."""

    tile: tuple[int, int, int]
    cluster: tuple[int, int] = (1, 1)
    schedule: Schedule = Schedule.PINGPONG
    stages: int | None = None
    swapped: bool = False
    stream_k: bool = False

    def problems(self) -> list[str]:
        """What the templates would refuse."""
        m, n, k = self.tile
        pingpong = self.schedule is Schedule.PINGPONG
        rows = 128 if self.schedule is Schedule.COOPERATIVE else 64
        blocks = self.cluster[0] * self.cluster[1]
        checks = (
            (m in (64, 128, 256) and m >= rows, f"tile m must be {rows} to 256, a power of two"),
            (n % 16 == 0 and 16 <= n <= 256, "tile n must be a multiple of 16 up to 256"),
            (k in (32, 64, 128), "tile k must be 32, 64 or 128"),
            (blocks in (1, 2, 4), "a cluster has 1, 2 or 4 blocks"),
            (self.stages is None or 2 <= self.stages <= 16, "stages must be 2 to 16"),
            (m * n <= rows * 256, "the accumulators do not fit the registers"),
            (
                not (self.stream_k and pingpong),
                "a pingpong's tiles are whole: stream-K shares them",
            ),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class GemmAttr(ConfigAttr[GemmConfig]):
    """Config of a gemm made with CUTLASS 3.x collectives (compute capability 9.0a)."""

    name = "cuda.gemm"


_STEP_BYTES = 128
"""Of a row of a tile of factors, along k."""
BARRIER_BYTES = 1024
"""Room for the barriers of a block."""
_MOST_BLOCKS = 4
_CHUNK = 8
"""Columns of which a thread has neighbours, as products leave their sums."""


@dataclass(frozen=True)
class WgmmaConfig:
    """A gemm of plain CUDA: a block's tile (m, n, k: 128 bytes), the schedule, the steps along k
    in flight, how many blocks of a cluster share the steps of one tile, and whether the kernel
    computes the transposed product (then the tile is of the transposed problem).

    A pingpong's tile is one warpgroup's; a cooperative one has a warpgroup for each 64 rows, or
    two for 256.
    """

    tile: tuple[int, int, int]
    schedule: Schedule = Schedule.PINGPONG
    stages: int = 4
    split: int = omitted(1)
    swapped: bool = False

    @property
    def warpgroups(self) -> int:
        """How many multiply."""
        if self.schedule is Schedule.PINGPONG:
            return 2
        return 2 if self.tile[0] == 256 else self.tile[0] // 64

    @property
    def pingpong(self) -> bool:
        return self.schedule is Schedule.PINGPONG

    @property
    def part_rows(self) -> int:
        """Rows of a tile that one warpgroup has."""
        return self.tile[0] if self.pingpong else self.tile[0] // self.warpgroups

    def shared_bytes(self, factors: int = 1) -> int:
        """The shared memory of a block with so many right factors."""
        return self.ring_bytes(factors) + self.inbox_bytes(factors) + BARRIER_BYTES

    def ring_bytes(self, factors: int = 1) -> int:
        """The shared memory for steps along k in flight."""
        m, n, _ = self.tile
        return (m + factors * n) * _STEP_BYTES * self.stages

    def inbox_bytes(self, factors: int = 1) -> int:
        """The shared memory for the sums that the other blocks of a split tile send."""
        return (self.split - 1) * factors * self.tile[0] * self.split_columns * 4

    @property
    def split_columns(self) -> int:
        """Columns of a tile that one of the blocks which share its steps finishes."""
        return -(-self.tile[1] // _CHUNK // self.split) * _CHUNK

    def resident_blocks(
        self, shared_bytes: int, factors: int = 1, held_bytes: int = 0, in_parts: bool = False
    ) -> int:
        """How many blocks a multiprocessor holds at once, that need so much more memory.
        `in_parts`: sums have parts beside them."""
        if self.warpgroups > 1:
            return 1  # they use all registers
        sums = factors * self.tile[1] // 2 * (2 if in_parts else 1)
        by_registers = 65536 // (256 * (80 + sums))
        each = self.shared_bytes(factors) + held_bytes + BARRIER_BYTES
        by_shared = (shared_bytes + BARRIER_BYTES) // each
        return max(1, min(_MOST_BLOCKS, by_registers, by_shared))

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        m, n, k = self.tile
        rows = m if self.pingpong else m // self.warpgroups if self.warpgroups else 0
        checks = (
            (m in ((64, 128) if self.pingpong else (64, 128, 192, 256)), "tile m is 64 to 256"),
            (n in (8, 16) or (n % 32 == 0 and 32 <= n <= 256), "tile n is 8, 16, or 32 to 256"),
            (k in (32, 64, 128), "tile k is 64, or 32 of TF32, or 128 of 8 bits"),
            (2 <= self.stages <= 32, "stages must be 2 to 32"),
            (1 <= self.split <= 8, "a tile is split into 1 to 8 parts"),
            (self.split == 1 or not self.pingpong, "a pingpong splits no tile"),
            (rows * n <= 128 * 192, "the accumulators do not fit the registers"),
            (self.warpgroups < 3 or rows * n <= 64 * 192, "three warpgroups have fewer registers"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class WgmmaAttr(ConfigAttr[WgmmaConfig]):
    """Config of a gemm of plain CUDA for Hopper (TMA and wgmma, compute capability 9.0a)."""

    name = "cuda.wgmma"
