"""The `cuda` dialect: configs of the CUDA kernel families.

```mlir
#cuda.gemm<tile = [128, 128, 64], cluster = [2, 1], schedule = pingpong, swapped>
#cuda.own_gemm<tile = [64, 64, 32], units = tensor>
#cuda.elementwise<vector = 8>
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import auto
from functools import partial
from typing import TypeAlias, TypeVar, cast

from xdsl.ir import Data, Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum


class Schedule(StrEnum):
    """How the warps of a Hopper gemm share the work."""

    PINGPONG = auto()
    """Two warpgroups, each with its own tile: one multiplies while the other finishes its tile."""
    COOPERATIVE = auto()
    """Two warpgroups on the two halves of one tile."""


class Units(StrEnum):
    """What multiplies in a gemm kernel of our own."""

    SCALAR = auto()
    """f32 multiply-add, for factors of any float types."""
    TENSOR = auto()
    """Tensor cores, for two factors of one 16-bit type."""


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


_Value: TypeAlias = int | str | tuple[int, ...]
_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


def _verify(name: str, problems: list[str]) -> None:
    if problems:
        raise VerifyException(f"{name}: " + "; ".join(problems))


@irdl_attr_definition
class GemmAttr(Data[GemmConfig]):
    """Config of a gemm made with CUTLASS 3.x collectives (compute capability 9.0a)."""

    name = "cuda.gemm"

    def verify(self) -> None:
        _verify(self.name, self.data.problems())

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> GemmConfig:
        fields = _Fields(parser)
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
        _print(printer, texts)


@irdl_attr_definition
class OwnGemmAttr(Data[OwnGemmConfig]):
    """Config of the gemm kernel that takes any strides, alignment and types."""

    name = "cuda.own_gemm"

    def verify(self) -> None:
        _verify(self.name, self.data.problems())

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> OwnGemmConfig:
        fields = _Fields(parser)
        config = OwnGemmConfig(fields.triple("tile"), fields.choice("units", Units))
        fields.finish()
        return config

    def print_parameter(self, printer: Printer) -> None:
        _print(printer, [f"tile = {list(self.data.tile)}", f"units = {self.data.units.value}"])


@irdl_attr_definition
class ElementwiseAttr(Data[ElementwiseConfig]):
    """Config of a pointwise or copy kernel."""

    name = "cuda.elementwise"

    def verify(self) -> None:
        _verify(self.name, self.data.problems())

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> ElementwiseConfig:
        fields = _Fields(parser)
        config = ElementwiseConfig(fields.number("vector"))
        fields.finish()
        return config

    def print_parameter(self, printer: Printer) -> None:
        _print(printer, [f"vector = {self.data.vector}"])


class _Fields:
    """The fields `name = value, ..., flag` between angle brackets, each taken at most once."""

    def __init__(self, parser: AttrParser):
        self._parser = parser
        self._values: dict[str, _Value] = {}
        parser.parse_comma_separated_list(parser.Delimiter.ANGLE, self._field)

    def _field(self) -> None:
        name = self._parser.parse_identifier()
        if name in self._values:
            self._parser.raise_error(f"{name} is given twice")
        has_value = self._parser.parse_optional_punctuation("=") is not None
        self._values[name] = self._value() if has_value else True

    def _value(self) -> _Value:
        parser = self._parser
        numbers = parser.parse_optional_comma_separated_list(
            parser.Delimiter.SQUARE, partial(parser.parse_integer, allow_boolean=False)
        )
        if numbers is not None:
            return tuple(numbers)
        word = parser.parse_optional_identifier()
        return word if word is not None else parser.parse_integer(allow_boolean=False)

    def _take(self, name: str, kind: type[_T]) -> _T:
        value = self._values.pop(name, None)
        if not isinstance(value, kind):
            self._parser.raise_error(f"expected a value for {name}")
        return value

    def number(self, name: str) -> int:
        return self._take(name, int)

    def optional_number(self, name: str) -> int | None:
        return self.number(name) if name in self._values else None

    def flag(self, name: str) -> bool:
        return name in self._values and self._take(name, bool)

    def choice(self, name: str, kind: type[_E]) -> _E:
        word = self._take(name, str)
        if word not in list(kind):
            self._parser.raise_error(f"{name} must be one of {', '.join(kind)}")
        return kind(word)

    def numbers(self, name: str, count: int) -> tuple[int, ...]:
        values = cast(tuple[int, ...], self._take(name, tuple))
        if len(values) != count:
            self._parser.raise_error(f"{name} needs {count} numbers")
        return values

    def triple(self, name: str) -> tuple[int, int, int]:
        first, second, third = self.numbers(name, 3)
        return first, second, third

    def pair(self, name: str) -> tuple[int, int]:
        first, second = self.numbers(name, 2)
        return first, second

    def finish(self) -> None:
        """Refuses fields that nobody took."""
        if self._values:
            self._parser.raise_error(f"unknown {', '.join(self._values)}")


def _print(printer: Printer, texts: list[str]) -> None:
    with printer.in_angle_brackets():
        printer.print_string(", ".join(texts))


Cuda = Dialect("cuda", [], [ElementwiseAttr, GemmAttr, OwnGemmAttr])
