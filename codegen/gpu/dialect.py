"""The `plain` dialect: configs of the kernels of our own that all GPUs share.

```mlir
#plain.gemm<tile = [64, 64, 32], units = tensor>
#plain.elementwise<vector = 8, steps = 2>
#plain.rows<lanes = inner, vector = 8, team = 32, rows = 4, items = 2>
#plain.gemv<lanes = inner, vector = 8, team = 32, teams = 4, columns = 2, items = 4, units = scalar>
#plain.conv<tile = [64, 64, 32], units = tensor>
#plain.depthwise<vector = 8>
#plain.transpose<vector = 8, others = 8, threads = [16, 16]>
#plain.shifted_transpose<vector = 8>
#plain.pool<vector = 8, outputs = [2, 2], team = 1, teams = 256>
#plain.attention
#plain.query_attention<warps = 8>
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import auto

from xdsl.ir import Dialect, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.utils.str_enum import StrEnum

from ait.codegen.gpu.config_fields import ConfigAttr, omitted


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
    """A kernel that makes each element of its results by itself. `vector`: elements a thread
    handles at once. `steps`: such vectors that it has under way (pointwise and copy kernels)."""

    vector: int
    steps: int = omitted(1)

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        found: list[str] = []
        if self.vector not in (1, 2, 4, 8, 16):
            found.append("vector must be 1, 2, 4, 8 or 16")
        if not 1 <= self.steps <= 16:
            found.append("steps must be 1 to 16")
        return found


@dataclass(frozen=True)
class TransposeConfig:
    """A pass over a domain whose operands lie along two different axes. A thread makes `vector`
    neighbours along the result's axis of `others` neighbours along the other one; a block has
    `threads` of them along both. A `vector` that is no power of two is the whole of a short axis:
    all results of a thread lie side by side."""

    vector: int
    others: int
    threads: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether a thread has all of the result's axis."""
        return self.vector in (3, 5, 6, 7)

    @property
    def is_shared(self) -> bool:
        """Whether single elements are read and written: a block's tile is then in its memory."""
        return self.vector == self.others == 1

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        found: list[str] = []
        if self.others not in (1, 2, 4, 8, 16) or self.vector not in (1, 2, 3, 4, 5, 6, 7, 8, 16):
            found.append(
                "others must be 1, 2, 4, 8 or 16, and vector one of these, or 3, 5, 6 or 7"
            )
        along, across = self.threads
        if along * across != 256 or along not in [1 << i for i in range(9)]:
            found.append("threads must be two powers of two with the product 256")
        return found


@dataclass(frozen=True)
class PoolConfig:
    """A pool. `vector`: channels (or neighbours) that a thread handles at once. `outputs`: rows and
    columns of the result that it makes of them. `team`: threads that share a window. `teams`: of a
    block. `in_row`: neighbours in memory are neighbours in a row, whose results are written at
    once, and whose pixels are read so."""

    vector: int
    outputs: tuple[int, int]
    team: int
    teams: int
    in_row: bool = False

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        found = ElementwiseConfig(self.vector).problems()
        if not all(1 <= count <= 8 for count in self.outputs):
            found.append("outputs must be 1 to 8 rows and columns")
        powers = [1 << i for i in range(11)]
        if self.team not in powers or self.teams not in powers:
            found.append("team and teams must be powers of two up to 1024")
        if not 32 <= self.team * self.teams <= 1024:
            found.append(f"a block has 32 to 1024 threads, not {self.team * self.teams}")
        if self.team > 1 and self.outputs != (1, 1):
            found.append("a team makes one output")
        if self.in_row and (self.vector > 1 or self.outputs[1] not in (2, 4, 8)):
            found.append("in a row, 2, 4 or 8 columns are written at once, and nothing else is")
        return found


class Along(StrEnum):
    """Where the neighbours lie that a thread of a row kernel reads at once."""

    INNER = auto()
    """In one row."""
    OUTER = auto()
    """In as many rows."""


@dataclass(frozen=True)
class RowsConfig:
    """A kernel that works on rows: normalises them, or reduces each to one value.

    `vector`: elements that a thread reads at once. `team`: threads that share a row. `rows`: teams
    of a block. `items`: packs of its row that a thread keeps between two passes; 0: none are kept.
    `shared`: it keeps what it has read in shared memory, not its values in registers. `shifted`:
    rows begin anywhere, and packs where memory is aligned.
    """

    lanes: Along
    vector: int
    team: int
    rows: int
    items: int
    shared: bool = False
    shifted: bool = False

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        found: list[str] = []
        if self.vector not in (1, 2, 4, 8, 16):
            found.append("vector must be 1, 2, 4, 8 or 16")
        powers = [1 << i for i in range(11)]
        if self.team not in powers or self.rows not in powers:
            found.append("team and rows must be powers of two up to 1024")
        if not 32 <= self.team * self.rows <= 1024:
            found.append(f"a block has 32 to 1024 threads, not {self.team * self.rows}")
        if self.lanes is Along.INNER and self.team > 32 and self.rows > 1:
            found.append("a team that is larger than a warp is the whole block")
        if self.items < 0 or (self.items * self.vector > 64 and not self.shared):
            found.append("a thread keeps at most 64 elements in registers")
        if self.shared and self.items == 0:
            found.append("nothing is kept in shared memory")
        if self.shifted and (self.lanes is Along.OUTER or self.team < 2 * self.vector):
            found.append("rows that begin anywhere need a team of two threads for each element")
        if self.shifted and self.items > 0 and not self.shared:
            found.append("rows that begin anywhere are not kept in registers")
        return found


_POWERS = tuple(1 << i for i in range(11))
_MOST_COLUMNS = 8
_MOST_PACKS = 16
TENSOR_COLUMNS = 16
"""Columns of a matrix that a warp multiplies at once on tensor units."""


@dataclass(frozen=True)
class GemvConfig:
    """A product of a matrix with a few vectors.

    `lanes`: whether a pack of the matrix lies along k (inner) or is of neighbouring columns, which
    are what each vector's results are called. `vector`: elements of a pack. `team`: threads that
    share the steps along k of their columns. `teams`: of a block. `columns`: of a team whose packs
    lie along k; on tensor units, sixteen times as many. `items`: packs of a column that a thread
    has under way. `units`: what multiplies.
    """

    lanes: Along
    vector: int
    team: int
    teams: int
    columns: int
    items: int
    units: Units = Units.SCALAR

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.team * self.teams

    @property
    def tile(self) -> int:
        """Columns of a block."""
        return self.teams * self.own_columns

    @property
    def packs(self) -> int:
        """Packs of a matrix that a thread has under way."""
        return self.items * self.columns * (2 if self.units is Units.TENSOR else 1)

    @property
    def own_columns(self) -> int:
        """Columns of a team."""
        if self.units is Units.TENSOR:
            return TENSOR_COLUMNS * self.columns
        return self.columns if self.lanes is Along.INNER else self.vector

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        across, tensor = self.lanes is Along.OUTER, self.units is Units.TENSOR
        checks = (
            (self.vector in (1, 2, 4, 8), "vector must be 1, 2, 4 or 8"),
            (self.team in _POWERS and self.teams in _POWERS, "team and teams are powers of two"),
            (32 <= self.threads <= 1024, f"a block has 32 to 1024 threads, not {self.threads}"),
            (1 <= self.columns <= _MOST_COLUMNS, f"a team has 1 to {_MOST_COLUMNS} columns"),
            (not across or self.columns == 1, "packs across k are the columns of a team"),
            (not (across and tensor), "tensor units take packs along k"),
            (not tensor or self.vector == 8, "tensor units take packs of 8"),
            (not tensor or self.team % 32 == 0, "a team on tensor units has whole warps"),
            (self.items in _POWERS, "items is a power of two"),
            (self.items * self.columns <= _MOST_PACKS, f"up to {_MOST_PACKS} packs are under way"),
        )
        return [text for holds, text in checks if not holds]


@irdl_attr_definition
class OwnGemmAttr(ConfigAttr[OwnGemmConfig]):
    """Config of the gemm kernel that takes any strides, alignment and types."""

    name = "plain.gemm"


@irdl_attr_definition
class ElementwiseAttr(ConfigAttr[ElementwiseConfig]):
    """Config of a pointwise, copy, gather or resize kernel."""

    name = "plain.elementwise"


@irdl_attr_definition
class TransposeAttr(ConfigAttr[TransposeConfig]):
    """Config of a pointwise or copy kernel that reads along one axis and writes along another."""

    name = "plain.transpose"


@irdl_attr_definition
class ShiftedTransposeAttr(ConfigAttr[ElementwiseConfig]):
    """Config of a pass over operands along two axes whose runs begin anywhere: elements of a
    pack."""

    name = "plain.shifted_transpose"


@irdl_attr_definition
class PoolAttr(ConfigAttr[PoolConfig]):
    """Config of a pool kernel."""

    name = "plain.pool"


@irdl_attr_definition
class RowsAttr(ConfigAttr[RowsConfig]):
    """Config of a rowwise or reduce kernel."""

    name = "plain.rows"


@irdl_attr_definition
class GemvAttr(ConfigAttr[GemvConfig]):
    """Config of the product of a matrix with a few vectors."""

    name = "plain.gemv"


@irdl_attr_definition
class OwnConvAttr(ConfigAttr[OwnGemmConfig]):
    """Config of the convolution that takes any strides, alignment and types: the gemm of
    m = pixels, n = output channels and k = taps x input channels, whose left factor is read from
    the image."""

    name = "plain.conv"


@irdl_attr_definition
class DepthwiseAttr(ConfigAttr[ElementwiseConfig]):
    """Config of a convolution of single channels: output channels a thread handles at once."""

    name = "plain.depthwise"


@irdl_attr_definition
class OwnAttentionAttr(ParametrizedAttribute):
    """Config of the attention that takes any types, head sizes and strides: nothing to choose."""

    name = "plain.attention"


@dataclass(frozen=True)
class QueryAttentionConfig:
    """An attention of few queries: the warps of a block, which share the keys of one query."""

    warps: int

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        return [] if self.warps in (1, 2, 4, 8, 16) else ["a query has 1, 2, 4, 8 or 16 warps"]


@irdl_attr_definition
class QueryAttentionAttr(ConfigAttr[QueryAttentionConfig]):
    """Config of the attention for few queries, which takes any types and regions."""

    name = "plain.query_attention"


Plain = Dialect(
    "plain",
    [],
    [
        DepthwiseAttr,
        ElementwiseAttr,
        GemvAttr,
        OwnAttentionAttr,
        OwnConvAttr,
        OwnGemmAttr,
        PoolAttr,
        QueryAttentionAttr,
        RowsAttr,
        ShiftedTransposeAttr,
        TransposeAttr,
    ],
)
