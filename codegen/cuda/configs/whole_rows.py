"""Configs of Hopper's gemms with whole rows: with a row operation, or with a second gemm."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdsl.irdl import irdl_attr_definition

from ait.codegen.cuda.configs.gemm import BARRIER_BYTES, Schedule, WgmmaConfig
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.config_fields import ConfigAttr

_STATE_BYTES = 12
"""What a block says of a row, at most: three floats."""
_GAPS_BYTES = 80
"""Between what a block has beside its ring, and arrays of which nothing is used."""
_ROUNDED_TO = 1024
"""Bytes: the alignment of the ring, and so of all of a block's memory."""
_MOST_ROW_BLOCKS = 8


@dataclass(frozen=True)
class WgmmaRowsConfig:
    """A gemm with a row operation: a block's tile (m, n, k), how many blocks of a cluster have the
    columns of a row between them, the schedule, and the steps along k in flight. Tile and
    schedule are those of WgmmaConfig."""

    tile: tuple[int, int, int]
    cluster: int
    schedule: Schedule = Schedule.COOPERATIVE
    stages: int = 4

    @property
    def parts(self) -> int:
        """How many products the columns of a block are: none has more than 256."""
        return -(-self.tile[1] // 256)

    @property
    def product(self) -> WgmmaConfig:
        """The config of each product."""
        m, n, k = self.tile
        return WgmmaConfig((m, n // self.parts, k), self.schedule, self.stages)

    @property
    def columns(self) -> int:
        """The most columns of a row."""
        return self.cluster * self.tile[1]

    def shared_bytes(self, pack: int = 1, held_bytes: int = 0, column_bytes: int = 0) -> int:
        """The shared memory of a block that holds so many bytes for each pack of results, and so
        many for its columns, at most. Each warp has two barriers for what others say."""
        m, n, _ = self.tile
        rows = m * (2 if self.product.pingpong else 1)
        said = 2 * rows * self.cluster * _STATE_BYTES + 2 * 4 * self.product.warpgroups * 8
        beside = said + rows * n // pack * held_bytes + column_bytes + _GAPS_BYTES
        return self.product.shared_bytes(self.parts) + -(-beside // _ROUNDED_TO) * _ROUNDED_TO

    def fits(self, pack: int = 1, held_bytes: int = 0, column_bytes: int = 0) -> bool:
        """Whether a block has the shared memory."""
        return self.shared_bytes(pack, held_bytes, column_bytes) <= HOPPER_SHARED_BYTES

    def most_stages(self, pack: int, held_bytes: int, column_bytes: int) -> int:
        """As many steps as fit beside what is held."""
        none = replace(self, stages=0).shared_bytes(pack, held_bytes, column_bytes)
        one = replace(self, stages=1).shared_bytes(pack, held_bytes, column_bytes) - none
        return max(0, (HOPPER_SHARED_BYTES - none) // one)

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        if not 0 < self.tile[1] <= 384:
            return ["tile n is 8 to 384"]
        rows = self.tile[0] // (1 if self.product.pingpong else max(1, self.product.warpgroups))
        checks = (
            (1 <= self.cluster <= _MOST_ROW_BLOCKS, "a cluster has 1 to 8 blocks"),
            (self.tile[1] % self.parts == 0, "the columns are in equal parts"),
            (rows * self.tile[1] <= 64 * 384, "the accumulators do not fit the registers"),
            (self.fits(), "the tiles do not fit shared memory"),
        )
        return [*self.product.problems(), *(text for holds, text in checks if not holds)]


@irdl_attr_definition
class WgmmaRowsAttr(ConfigAttr[WgmmaRowsConfig]):
    """Config of a gemm with the softmax or norm of its rows (TMA, wgmma and clusters, compute
    capability 9.0a)."""

    name = "cuda.wgmma_rows"


@dataclass(frozen=True)
class BackToBackConfig:
    """Two gemms, one after the other: how many rows a block has, how many columns of the first
    product (all of them), how many of the second at once, and the tiles in flight. A warpgroup has
    64 rows."""

    tile: tuple[int, int, int]
    stages: int

    @property
    def warpgroups(self) -> int:
        """How many multiply."""
        return self.tile[0] // 64

    @property
    def shared_bytes(self) -> int:
        """The shared memory of a block: each stage has room for tiles of both products."""
        m, middle, _ = self.tile
        return (m + middle) * 64 * 2 * self.stages + BARRIER_BYTES

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        m, middle, n = self.tile
        checks = (
            (m in (64, 128), "a block has 64 or 128 rows"),
            (middle % 32 == 0 and 32 <= middle <= 256, "the middle is 32 to 256, by 32"),
            (n % 32 == 0 and 32 <= n <= 256, "the columns at once are 32 to 256, by 32"),
            (n <= middle, "the columns at once are no more than the middle's"),
            (middle // 4 + n // 2 <= 176, "the accumulators do not fit the registers"),
            (2 <= self.stages <= 16, "stages must be 2 to 16"),
            (self.shared_bytes <= HOPPER_SHARED_BYTES, "the tiles do not fit shared memory"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class BackToBackAttr(ConfigAttr[BackToBackConfig]):
    """Config of two gemms, the first of which computes the left factor of the second (TMA and
    wgmma, compute capability 9.0a)."""

    name = "cuda.back_to_back"


@dataclass(frozen=True)
class BackToBackPartsConfig:
    """Two gemms, one after the other, the middle in parts: how many rows a block has, how many
    columns of the middle a part, how many columns of the second product (all of them); the steps of
    left and of right factors in shared memory, and the slots of what the middle region reads that
    are on their way. A warpgroup has 64 rows."""

    tile: tuple[int, int, int]
    left: int
    stages: int
    ring: int

    @property
    def warpgroups(self) -> int:
        """How many multiply."""
        return self.tile[0] // 64

    @property
    def shared_bytes(self) -> int:
        """The shared memory of a block for factors."""
        m, part, n = self.tile
        return (m * self.left + max(part, n) * self.stages) * 64 * 2 + BARRIER_BYTES

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        m, part, n = self.tile
        sums = part // 2 + n // 2 + part // 4
        checks = (
            (m in (64, 128, 192), "a block has 64, 128 or 192 rows"),
            (part in (64, 128), "a part of the middle has 64 or 128 columns"),
            (n % 32 == 0 and 32 <= n <= 256, "the columns are 32 to 256, by 32"),
            (sums <= (112 if m == 192 else 192), "the accumulators do not fit the registers"),
            (1 <= self.left <= 16, "the steps of left factors must be 1 to 16"),
            (2 <= self.stages <= 32, "stages must be 2 to 32"),
            (1 <= self.ring <= 8, "the ring has 1 to 8 slots"),
            (self.shared_bytes <= HOPPER_SHARED_BYTES, "the tiles do not fit shared memory"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class BackToBackPartsAttr(ConfigAttr[BackToBackPartsConfig]):
    """Config of two gemms, the first of which computes the left factor of the second, in parts (TMA
    and wgmma, compute capability 9.0a)."""

    name = "cuda.back_to_back_parts"
