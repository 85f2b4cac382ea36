"""The `cuda` dialect: configs of the CUDA kernel families.

```mlir
#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = pingpong, swapped>
#cuda.gemm<tile = [128, 256, 64], cluster = [2, 1], schedule = cooperative, stream_k>
#cuda.wgmma<tile = [64, 32, 64], schedule = cooperative, stages = 8, split = 4, swapped>
#cuda.wgmma_rows<tile = [128, 192, 64], cluster = 4, schedule = cooperative, stages = 4>
#cuda.back_to_back<tile = [128, 128, 64], stages = 4>
#cuda.back_to_back_parts<tile = [128, 64, 64], left = 2, stages = 8, ring = 4>
#cuda.mma<tile = [128, 64, 16], warps = [2, 2], stages = 4, products = tf32x3>
#cuda.gemm_sm80<tile = [128, 128, 32], warps = [2, 2], stages = 4>
#cuda.conv<tile = [128, 64, 32], warps = [2, 2], stages = 4>
#cuda.hopper_conv<tile = [128, 64, 64], warpgroups = 2, schedule = pingpong, stages = 4, split = 1>
#cuda.halo_conv<rows = 4, stages = 2>
#cuda.stem_conv<rows = 8, warpgroups = 3, stages = 3>
#cuda.interleaved_rows<rows = 4, vector = 8, places = 64, cluster = 8, items = 8>
#cuda.attention<tile = [128, 64], warps = 4>
#cuda.attention_hopper<tile = [128, 128], stages = 2, blocks = 1, producer, overlapped, turns>
```
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import auto

from xdsl.ir import Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.utils.str_enum import StrEnum

from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
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
_BARRIER_BYTES = 1024
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
        return self.ring_bytes(factors) + self.inbox_bytes(factors) + _BARRIER_BYTES

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
        each = self.shared_bytes(factors) + held_bytes + _BARRIER_BYTES
        by_shared = (shared_bytes + _BARRIER_BYTES) // each
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


_STATE_BYTES = 12
"""What a block says of a row, at most: three floats."""
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
        many for its columns."""
        m, n, _ = self.tile
        rows = m * (2 if self.product.pingpong else 1)
        said = 2 * rows * self.cluster * _STATE_BYTES
        beside = said + rows * n // pack * held_bytes + column_bytes
        return self.product.shared_bytes(self.parts) + beside

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
        return (m + middle) * 64 * 2 * self.stages + _BARRIER_BYTES

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
        return (m * self.left + max(part, n) * self.stages) * 64 * 2 + _BARRIER_BYTES

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


_OTHER_REGISTERS = 100
"""Of a thread of an mma.sync kernel, beside its sums: addresses and fragments."""


class Products(StrEnum):
    """How products of f32 are made of those of tensor cores."""

    TF32 = auto()
    """Each factor is rounded to TF32, 10 bits of mantissa."""
    TF32X3 = auto()
    """Each factor is the sum of two TF32 numbers, three products of which give one of f32."""


@dataclass(frozen=True)
class MmaConfig:
    """A gemm or a convolution on tensor cores: the block's tile (m, n, k; of a convolution m =
    pixels, n = output channels, k = taps x input channels), how many warps share its m and its n,
    the steps along k in flight, how factors of f32 are multiplied (None: they are of 16 bits), and
    how many blocks a multiprocessor has registers for, at least."""

    tile: tuple[int, int, int]
    warps: tuple[int, int]
    stages: int
    products: Products | None = None
    blocks: int = omitted(1)

    @property
    def splits(self) -> bool:
        """Whether factors are split."""
        return self.products is Products.TF32X3

    @property
    def element_bytes(self) -> int:
        """Of the factors."""
        return 2 if self.products is None else 4

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * self.warps[0] * self.warps[1]

    @property
    def shared_bytes(self) -> int:
        """The shared memory of the pipeline, with the padding of factors that lie across k."""
        m, n, k = self.tile
        return (m + n + 2 * _PADDING) * k * self.element_bytes * self.stages

    def resident_blocks(self, shared_bytes: int) -> int:
        """How many blocks a multiprocessor holds at once."""
        m, n, _ = self.tile
        registers = m * n // self.threads + _OTHER_REGISTERS
        return max(1, min(shared_bytes // self.shared_bytes, 65536 // (self.threads * registers)))

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        (m, n, k), (rows, columns) = self.tile, self.warps
        depths = [bytes_ // self.element_bytes for bytes_ in (64, 128)]
        checks = (
            (rows * columns in (1, 2, 4, 8), "a block has 1, 2, 4 or 8 warps"),
            (m > 0 and m % (16 * max(rows, 1)) == 0, "each warp has a multiple of 16 rows"),
            (n > 0 and n % (16 * max(columns, 1)) == 0, "each warp has a multiple of 16 columns"),
            (k in depths, f"tile k must be {depths[0]} or {depths[1]}"),
            (2 <= self.stages <= 8, "stages must be 2 to 8"),
            (m * n <= 128 * 32 * rows * columns, "the accumulators do not fit the registers"),
            (1 <= self.blocks <= 8, "a multiprocessor holds 1 to 8 blocks"),
            (self.shared_bytes <= HOPPER_SHARED_BYTES, "the tiles do not fit shared memory"),
        )
        return [text for holds, text in checks if not holds]


_PADDING = 8
"""Elements from line to line of a tile that lies across k, beside its own."""


@irdl_attr_definition
class MmaAttr(ConfigAttr[MmaConfig]):
    """Config of a gemm on tensor cores (mma.sync, compute capability 8.0 and newer)."""

    name = "cuda.mma"


@irdl_attr_definition
class CutlassMmaAttr(ConfigAttr[MmaConfig]):
    """Config of a gemm of CUTLASS 2.x (compute capability 8.0 and newer)."""

    name = "cuda.gemm_sm80"


@irdl_attr_definition
class ConvAttr(ConfigAttr[MmaConfig]):
    """Config of a convolution on tensor cores (mma.sync, compute capability 8.0 and newer)."""

    name = "cuda.conv"


def _spread_pitch(columns: int) -> int:
    """The f32 elements from row to row of a staged tile: as in the kernel's header."""
    return next(p for p in range(-(-columns // 4) * 4, columns + 32, 4) if p % 32 in (8, 24))


def _staged_columns(columns: int) -> int:
    """The widest part of a tile's columns that is staged at once: as in the kernel's header."""
    return next(w for w in range(min(columns, 64), 0, -1) if columns % w == 0 and w % 8 == 0)


def slab_bytes(columns: int) -> int:
    """The memory through which a warp's sums of so many columns pass, sixteen rows at a time."""
    return 16 * _spread_pitch(_staged_columns(columns)) * 4


@dataclass(frozen=True)
class HopperConvConfig:
    """A convolution on Hopper's tensor cores: the tile (m = pixels, n = output channels, k = input
    channels of one tap), the warpgroups that multiply, whether they take tiles by turns or share
    one, the steps along k in flight, and the blocks of a cluster that share the steps of a tile."""

    tile: tuple[int, int, int]
    warpgroups: int
    schedule: Schedule
    stages: int
    split: int = 1

    @property
    def is_pingpong(self) -> bool:
        return self.schedule is Schedule.PINGPONG

    @property
    def rows(self) -> int:
        """Rows of a tile that one warpgroup multiplies."""
        return self.tile[0] if self.is_pingpong else self.tile[0] // max(1, self.warpgroups)

    @property
    def stage_bytes(self) -> int:
        m, n, k = self.tile
        return -(-(m + n) * k * 2 // 1024) * 1024 + 16

    @property
    def staging_bytes(self) -> int:
        """The shared memory through which sums reach the threads that store them; of a split tile,
        it is that of the stages."""
        if self.split > 1:
            return 0
        return 4 * self.warpgroups * slab_bytes(self.tile[1])

    def most_stages(self, shared_bytes: int) -> int:
        """How many steps the shared memory holds; 0 if the parts of a split tile do not fit."""
        if self.split > 1 and self.tile[0] * _spread_pitch(self.tile[1]) * 4 > shared_bytes - 1024:
            return 0
        return (shared_bytes - self.staging_bytes) // self.stage_bytes

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        m, n, k = self.tile
        registers = self.rows * n // 128
        most = 128 if self.warpgroups < 3 else 96
        turns = self.warpgroups == 2 and self.split == 1
        checks = (
            (self.warpgroups in (1, 2, 3), "1, 2 or 3 warpgroups multiply"),
            (m > 0 and self.rows % 64 == 0, "each warpgroup has a multiple of 64 pixels"),
            (n % 16 == 0 and 16 <= n <= 256, "tile n must be a multiple of 16 up to 256"),
            (k in (16, 32, 64), "tile k must be 16, 32 or 64"),
            (turns or not self.is_pingpong, "pingpong has two warpgroups and whole tiles"),
            (2 <= self.stages <= 16, "stages must be 2 to 16"),
            (1 <= self.split <= 8, "a cluster has 1 to 8 blocks"),
            (registers <= most, "the accumulators do not fit the registers"),
        )
        problems = [text for holds, text in checks if not holds]
        if not problems and self.stages > self.most_stages(HOPPER_SHARED_BYTES):
            problems.append("the tiles do not fit shared memory")
        return problems


@irdl_attr_definition
class HopperConvAttr(ConfigAttr[HopperConvConfig]):
    """Config of a convolution on tensor cores (TMA and wgmma, compute capability 9.0a)."""

    name = "cuda.hopper_conv"


@dataclass(frozen=True)
class StemConvConfig:
    """A convolution of few channels, and maybe a pool behind it: the rows of the result of a strip,
    the warpgroups of a block, each with strips of its own, and the copies of rows in flight for
    each."""

    rows: int
    warpgroups: int
    stages: int

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        checks = (
            (1 <= self.rows <= 1024, "a strip has 1 to 1024 rows"),
            (1 <= self.warpgroups <= 4, "1 to 4 warpgroups multiply"),
            (2 <= self.stages <= 16, "stages must be 2 to 16"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class StemConvAttr(ConfigAttr[StemConvConfig]):
    """Config of a convolution of few channels, with a pool or without one (TMA and wgmma, compute
    capability 9.0a)."""

    name = "cuda.stem_conv"


@dataclass(frozen=True)
class HaloConvConfig:
    """A convolution that loads every pixel once: the rows of the result of a tile, and the tiles in
    flight."""

    rows: int
    stages: int

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        checks = (
            (1 <= self.rows <= 64, "a tile has 1 to 64 rows"),
            (1 <= self.stages <= 8, "stages must be 1 to 8"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class HaloConvAttr(ConfigAttr[HaloConvConfig]):
    """Config of a convolution that loads every pixel once (TMA and wgmma, compute capability
    9.0a)."""

    name = "cuda.halo_conv"


@dataclass(frozen=True)
class InterleavedRowsConfig:
    """A norm of rows that lie between each other: the neighbouring rows of a cluster, the elements
    that a thread reads at once, the places that a block reads at once, the blocks that share rows,
    and the packs that a thread keeps between two passes (0: none)."""

    rows: int
    vector: int
    places: int
    cluster: int
    items: int

    @property
    def least_kept_bytes(self) -> int:
        """What a block keeps of rows whose elements are bytes, and no more than a pack has."""
        return self.items * self.places * max(self.rows, self.vector)

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        threads = self.places * -(-self.rows // max(1, self.vector))
        fits = self.least_kept_bytes < HOPPER_SHARED_BYTES
        checks = (
            (self.rows >= 1 and self.places >= 1, "rows and places must be at least 1"),
            (self.vector in (1, 2, 4, 8, 16), "vector must be 1, 2, 4, 8 or 16"),
            (threads <= 1024, f"a block has up to 1024 threads, not {threads} or more"),
            (self.cluster in (1, 2, 4, 8), "a cluster has 1, 2, 4 or 8 blocks"),
            (self.items >= 0, "items must be 0 or more"),
            (fits, "the packs that are kept do not fit shared memory"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class InterleavedRowsAttr(ConfigAttr[InterleavedRowsConfig]):
    """Config of a norm of rows that lie between each other (clusters, compute capability 9.0)."""

    name = "cuda.interleaved_rows"


@dataclass(frozen=True)
class AttentionConfig:
    """An attention on tensor cores: the queries of a block, the keys of a step, the warps, which
    share the queries, and how factors of f32 are multiplied (None: they are of 16 bits)."""

    tile: tuple[int, int]
    warps: int
    products: Products | None = None

    @property
    def element_bytes(self) -> int:
        """Of the factors."""
        return 2 if self.products is None else 4

    def registers(self, value: int) -> int:
        """Of a thread, for the scores of a step and the sums of heads of `value` elements."""
        rows, columns = self.tile
        return rows // self.warps * (columns + -(-value // 16) * 16) // 32

    def shared_bytes(self, depth: int, value: int) -> int:
        """For the queries, and two steps of keys and values."""
        rows, columns = self.tile
        depth, value = (-(-size * self.element_bytes // 32) * 32 + 16 for size in (depth, value))
        return rows * depth + 2 * columns * (depth + value)

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        rows, columns = self.tile
        checks = (
            (self.warps in (1, 2, 4, 8), "a block has 1, 2, 4 or 8 warps"),
            (rows in (16 * self.warps, 32 * self.warps), "each warp has 16 or 32 queries"),
            (columns in (16, 32, 64, 128), "a step has 16, 32, 64 or 128 keys"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class AttentionAttr(ConfigAttr[AttentionConfig]):
    """Config of an attention on tensor cores (mma.sync, compute capability 8.0 and newer)."""

    name = "cuda.attention"


_REGISTERS = 65536
"""Of a multiprocessor."""
_MOST_REGISTERS = 240
"""Of a thread that multiplies, beside a warpgroup that only copies."""
_RESERVED_BYTES = 1 << 10
"""Of shared memory, which the system takes for each block."""
_COPY_REGISTERS = 8
"""Of a thread that also starts copies."""
_OTHER_ATTENTION_REGISTERS = 32
"""Of a thread, for addresses and the state of its rows."""
_OTHER_LAUNCHED_REGISTERS = 26
"""What ptxas wants beside the sums of an instruction (its error C7602)."""


@dataclass(frozen=True)
class HopperAttentionConfig:
    """An attention of warpgroups with 64 queries each: the queries of a block, the keys of a step,
    the steps in flight, and the blocks of a multiprocessor.

    `producer`: a further warpgroup starts all copies and leaves its registers to the others.
    `overlapped`: a warpgroup multiplies the next keys while it weighs the values of the last ones.
    `turns`: warpgroups start their products one after the other.
    `persistent`: blocks stay for one tile of queries after the other.
    `splits`: so many blocks, a cluster, share the keys of a tile of queries.
    `kept`: all keys of a head stay in the stages while its queries pass, 64 at a time, each with
    one of the warpgroups. It is persistent, too.
    `staged`: what is added to scores of pairs of queries and keys comes with the keys.
    """

    tile: tuple[int, int]
    stages: int
    blocks: int = 1
    producer: bool = False
    overlapped: bool = False
    turns: bool = False
    persistent: bool = False
    splits: int = omitted(1)
    kept: bool = False
    staged: bool = False

    @property
    def warpgroups(self) -> int:
        """Those that multiply."""
        return self.tile[0] // 64

    def registers(self, value: int) -> int:
        """Of a thread, for the scores of a step, their weights and the sums of a head's values.
        Weights take the place of scores, but where the next scores come meanwhile."""
        _, columns = self.tile
        weights = columns // 4 if self.overlapped else columns // 8
        copies = 0 if self.producer else _COPY_REGISTERS
        sums = -(-value // 8) * 4
        return columns // 2 + weights + sums + copies + _OTHER_ATTENTION_REGISTERS

    @property
    def free_registers(self) -> int:
        """Of a thread that multiplies. All start with the same number, a multiple of 8; then those
        of the producer pass on theirs."""
        launched = self.launched_registers
        if self.producer:
            groups = self.warpgroups + 1
            kept = 32 if launched * groups >= 512 else 24
            launched = (launched * groups - kept) // self.warpgroups // 8 * 8
        return min(launched, _MOST_REGISTERS)

    @property
    def launched_registers(self) -> int:
        """Of a thread, at first. The sums of one instruction must fit them."""
        groups = self.warpgroups + (1 if self.producer else 0)
        return _REGISTERS // self.blocks // (128 * groups) // 8 * 8

    def shared_bytes(self, depth: int, value: int, starts: bool = False) -> int:
        """For the queries, and the keys and values of all stages. `starts`: scores begin with what
        was added up for each key."""
        rows, columns = self.tile
        depth, value = (-(-size // 64) * 128 for size in (depth, value))
        queries = 2 if self.persistent else 1
        if self.kept:
            queries, rows = queries * self.warpgroups, 64
        mask = rows * -(-columns // 64) * 128 if self.staged else 0
        start = columns * 4 if starts and self.producer else 0
        stage = columns * (depth + value) + mask + start + 32
        return queries * (rows * depth + 16) + self.stages * stage

    def fits(self, depth: int, value: int, shared_bytes: int, starts: bool = False) -> bool:
        """Whether a multiprocessor holds the blocks. `starts`: scores begin with sums of keys."""
        resident = self.blocks * (self.shared_bytes(depth, value, starts) + _RESERVED_BYTES)
        return (
            self.registers(value) <= self.free_registers
            and self.tile[1] // 2 + _OTHER_LAUNCHED_REGISTERS <= self.launched_registers
            and resident <= shared_bytes + _RESERVED_BYTES
        )

    @property
    def _only_kept(self) -> HopperAttentionConfig:
        return HopperAttentionConfig(
            self.tile, self.stages, self.blocks, producer=True, persistent=True, kept=True
        )

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        rows, columns = self.tile
        checks = (
            (rows in (64, 128, 192), "a block has 64, 128 or 192 queries"),
            (columns % 16 == 0 and 16 <= columns <= 256, "a step has 16 to 256 keys, by 16"),
            (1 <= self.stages <= 8, "stages must be 1 to 8"),
            (self.blocks in (1, 2, 3, 4), "a multiprocessor holds 1 to 4 blocks"),
            (not self.overlapped or self.stages > 1, "an overlapped kernel needs two stages"),
            (not self.turns or (self.overlapped and rows > 64), "turns are of overlapped groups"),
            (not self.persistent or self.producer, "a persistent kernel needs a producer"),
            (self.splits in (1, 2, 4, 8), "1, 2, 4 or 8 blocks share the keys"),
            (self.splits == 1 or not self.producer, "blocks that share keys have no producer"),
            (not self.staged or self.producer, "what is staged needs a producer"),
            (
                not self.kept or self == self._only_kept,
                "a kernel that keeps keys is persistent, and no more",
            ),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class HopperAttentionAttr(ConfigAttr[HopperAttentionConfig]):
    """Config of an attention with TMA and wgmma (compute capability 9.0a)."""

    name = "cuda.attention_hopper"


Cuda = Dialect(
    "cuda",
    [],
    [
        AttentionAttr,
        BackToBackAttr,
        BackToBackPartsAttr,
        ConvAttr,
        CutlassMmaAttr,
        GemmAttr,
        HaloConvAttr,
        HopperAttentionAttr,
        HopperConvAttr,
        InterleavedRowsAttr,
        MmaAttr,
        StemConvAttr,
        WgmmaAttr,
        WgmmaRowsAttr,
    ],
)
