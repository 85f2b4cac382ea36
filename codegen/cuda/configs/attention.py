"""Configs of attentions: with mma.sync, and with Hopper's instructions."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.irdl import irdl_attr_definition

from ait.codegen.cuda.configs.mma import Products
from ait.codegen.gpu.config_fields import ConfigAttr, omitted


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
_PANEL = 64
"""Elements of a line of shared memory."""
_ONES_BYTES = 16 * _PANEL * 2
"""Of the values that are one, whose sums are the totals of weights: those of 16 keys."""
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

    def _counts(self, value: int) -> bool:
        """Whether totals of weights are one more sum, beside those of so many values."""
        return value == _PANEL and self.splits == 1

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
        ones = _ONES_BYTES if self._counts(value) else 0
        depth, value = (-(-size // _PANEL) * 2 * _PANEL for size in (depth, value))
        queries = 2 if self.persistent else 1
        if self.kept:
            queries, rows = queries * self.warpgroups, 64
        mask = rows * -(-columns // 64) * 128 if self.staged else 0
        start = columns * 8 if starts and self.producer else 0
        stage = columns * (depth + value) + mask + start + 32
        return queries * (rows * depth + 16) + self.stages * stage + ones

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
