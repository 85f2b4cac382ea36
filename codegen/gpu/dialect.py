"""The `plain` dialect: configs of the kernels of our own that all GPUs share.

```mlir
#plain.gemm<tile = [64, 64, 32], units = tensor>
#plain.elementwise<vector = 8>
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


class Units(StrEnum):
    """What multiplies in a gemm kernel of our own."""

    SCALAR = auto()
    """f32 multiply-add, for factors of any float types."""
    TENSOR = auto()
    """Matrix units, for two factors of one 16-bit type."""


@dataclass(frozen=True)
class OwnGemmConfig:
    """A gemm kernel of our own: the block's tile (m, n, k) and what multiplies."""

    tile: tuple[int, int, int]
    units: Units

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        m, n, k = self.tile
        if self.units is Units.TENSOR:
            legal = m in (64, 128) and n in (32, 64, 128) and k in (16, 32)
        else:
            legal = m in (16, 32, 64, 128) and n in (16, 32, 64, 128) and k in (8, 16, 32)
        return [] if legal else [f"no kernel with tile [{m}, {n}, {k}] on {self.units} units"]


@dataclass(frozen=True)
class ElementwiseConfig:
    """A pointwise or copy kernel: elements a thread handles at once."""

    vector: int

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        return [] if self.vector in (1, 2, 4, 8, 16) else ["vector must be 1, 2, 4, 8 or 16"]


@irdl_attr_definition
class OwnGemmAttr(Data[OwnGemmConfig]):
    """Config of the gemm kernel that takes any strides, alignment and types."""

    name = "plain.gemm"

    def verify(self) -> None:
        verify_config(self.name, self.data.problems())

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> OwnGemmConfig:
        fields = ConfigFields(parser)
        config = OwnGemmConfig(fields.triple("tile"), fields.choice("units", Units))
        fields.finish()
        return config

    def print_parameter(self, printer: Printer) -> None:
        print_fields(
            printer, [f"tile = {list(self.data.tile)}", f"units = {self.data.units.value}"]
        )


@irdl_attr_definition
class ElementwiseAttr(Data[ElementwiseConfig]):
    """Config of a pointwise or copy kernel."""

    name = "plain.elementwise"

    def verify(self) -> None:
        verify_config(self.name, self.data.problems())

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> ElementwiseConfig:
        fields = ConfigFields(parser)
        config = ElementwiseConfig(fields.number("vector"))
        fields.finish()
        return config

    def print_parameter(self, printer: Printer) -> None:
        print_fields(printer, [f"vector = {self.data.vector}"])


Plain = Dialect("plain", [], [ElementwiseAttr, OwnGemmAttr])
