"""Configs of Hopper's convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.irdl import irdl_attr_definition

from ait.codegen.cuda.configs.gemm import Schedule
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.config_fields import ConfigAttr


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
