"""The `cpu` dialect: how the CPU's kernels are configured."""

from __future__ import annotations

from typing import TypeAlias

from xdsl.dialects.builtin import ArrayAttr, IntAttr
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Dialect, ParametrizedAttribute, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

IntsAttr: TypeAlias = ArrayAttr[IntAttr]


class GemmPath(StrEnum):
    """How a product is computed; the names are those of `ait::GemmPath` (gemm.hpp)."""

    AUTOMATIC = "automatic"
    """One of the others, by the sizes and strides of each call: for dims unknown until then."""
    BLOCKED = "blocked"
    """Tiles of registers over packed panels of the right factor."""
    DOT = "dot"
    """Dot products with columns that are contiguous along k; nothing is packed."""
    STREAM = "stream"
    """Very few rows: the right factor, contiguous along n, is read once."""


@irdl_attr_definition
class GemmPathAttr(EnumAttribute[GemmPath], SpacedOpaqueSyntaxAttribute):
    name = "cpu.gemm_path"


@irdl_attr_definition
class CpuGemmAttr(ParametrizedAttribute):
    """How a gemm or convolution is computed: `#cpu.gemm<path = blocked, tile = [96, 256, 256]>`.

    `tile`: rows of the result and columns of the right factors, taken together, that are one task,
    and the depth of a packed panel. They are upper limits: the kernel divides evenly, and further
    if threads would be idle.
    """

    name = "cpu.gemm"

    path: GemmPathAttr
    tile: IntsAttr

    @classmethod
    def of(cls, path: GemmPath, tile: tuple[int, int, int]) -> CpuGemmAttr:
        return cls(GemmPathAttr(path), ArrayAttr([IntAttr(size) for size in tile]))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The tile along m, n and k."""
        m, n, k = (size.data for size in self.tile)
        return m, n, k

    def verify(self) -> None:
        if len(self.tile) != 3 or any(size.data <= 0 for size in self.tile):
            raise VerifyException("cpu.gemm: tile needs three positive numbers")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        with parser.in_angle_brackets():
            parser.parse_keyword("path")
            parser.parse_punctuation("=")
            path = parser.parse_str_enum(GemmPath)
            parser.parse_punctuation(",")
            parser.parse_keyword("tile")
            parser.parse_punctuation("=")
            sizes = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)
            )
        return [GemmPathAttr(path), ArrayAttr([IntAttr(size) for size in sizes])]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f"path = {self.path.data}, tile = {[*self.sizes]}")


Cpu = Dialect("cpu", [], [CpuGemmAttr, GemmPathAttr])
