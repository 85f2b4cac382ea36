"""Configs of gemms and convolutions with mma.sync, and of CUTLASS 2.x."""

from __future__ import annotations

from dataclasses import dataclass
from enum import auto

from xdsl.irdl import irdl_attr_definition
from xdsl.utils.str_enum import StrEnum

from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.config_fields import ConfigAttr, omitted

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
