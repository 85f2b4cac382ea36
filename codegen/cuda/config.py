"""The `cuda` dialect: configs of the CUDA kernel families.

```mlir
#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = pingpong, swapped>
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import auto

from xdsl.ir import Data, Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.str_enum import StrEnum

from ait.codegen.gpu.config_fields import ConfigFields, print_fields, verify_config


class Schedule(StrEnum):
    """How the warps of a Hopper gemm share the work."""

    PINGPONG = auto()
    """Two warpgroups, each with its own tile: one multiplies while the other finishes its tile."""
    COOPERATIVE = auto()
    """Two warpgroups on the two halves of one tile."""


@dataclass(frozen=True)
class GemmConfig:
    """A CUTLASS 3.x gemm: the block's tile (m, n, k), the cluster of blocks (m, n), the schedule,
    the depth of the load pipeline (None: what shared memory holds), and whether the kernel computes
    the transposed product (then tile and cluster are those of the transposed problem)."""

    tile: tuple[int, int, int]
    cluster: tuple[int, int] = (1, 1)
    schedule: Schedule = Schedule.PINGPONG
    stages: int | None = None
    swapped: bool = False

    def problems(self) -> list[str]:
        """What the templates would refuse."""
        m, n, k = self.tile
        rows = 128 if self.schedule is Schedule.COOPERATIVE else 64
        blocks = self.cluster[0] * self.cluster[1]
        checks = (
            (m in (64, 128, 256) and m >= rows, f"tile m must be {rows} to 256, a power of two"),
            (n % 16 == 0 and 16 <= n <= 256, "tile n must be a multiple of 16 up to 256"),
            (k in (32, 64, 128), "tile k must be 32, 64 or 128"),
            (blocks in (1, 2, 4), "a cluster has 1, 2 or 4 blocks"),
            (self.stages is None or 2 <= self.stages <= 16, "stages must be 2 to 16"),
            (m * n <= rows * 256, "the accumulators do not fit the registers"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class GemmAttr(Data[GemmConfig]):
    """Config of a gemm made with CUTLASS 3.x collectives (compute capability 9.0a)."""

    name = "cuda.gemm"

    def verify(self) -> None:
        verify_config(self.name, self.data.problems())

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> GemmConfig:
        fields = ConfigFields(parser)
        config = GemmConfig(
            fields.triple("tile"),
            fields.pair("cluster"),
            fields.choice("schedule", Schedule),
            fields.optional_number("stages"),
            fields.flag("swapped"),
        )
        fields.finish()
        return config

    def print_parameter(self, printer: Printer) -> None:
        config = self.data
        texts = [
            f"tile = {list(config.tile)}",
            f"cluster = {list(config.cluster)}",
            f"schedule = {config.schedule.value}",
        ]
        if config.stages is not None:
            texts.append(f"stages = {config.stages}")
        if config.swapped:
            texts.append("swapped")
        print_fields(printer, texts)


Cuda = Dialect("cuda", [], [GemmAttr])
