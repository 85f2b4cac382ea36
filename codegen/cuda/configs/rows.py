"""Configs of Hopper's kernels on rows."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.irdl import irdl_attr_definition

from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.config_fields import ConfigAttr
from ait.codegen.gpu.dialect import Along, RowsConfig


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
class ClusteredRowsConfig:
    """A softmax or norm of rows that blocks share: the elements that a thread reads at once, the
    threads of a block, the packs that a thread keeps in shared memory between two passes (0: none),
    and the blocks of a row. `shifted`: rows begin anywhere, and packs where memory is aligned."""

    vector: int
    team: int
    items: int
    cluster: int
    shifted: bool = False

    @property
    def rows(self) -> RowsConfig:
        """A block's part of a row, as a row of its own."""
        kept, shifted = self.items > 0, self.shifted
        return RowsConfig(Along.INNER, self.vector, self.team, 1, self.items, kept, shifted)

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        found = self.rows.problems()
        if self.cluster not in (2, 4, 8):
            found.append("2, 4 or 8 blocks share a row")
        if self.items * self.team * self.vector >= HOPPER_SHARED_BYTES:
            found.append("the packs that are kept do not fit shared memory")
        return found


@irdl_attr_definition
class ClusteredRowsAttr(ConfigAttr[ClusteredRowsConfig]):
    """Config of a softmax or norm of rows that blocks share (clusters, compute capability 9.0)."""

    name = "cuda.clustered_rows"
