"""Softmax and norms of rows that are too long for one block, or so few that one block each would
leave multiprocessors idle: the blocks of a cluster share a row. See
include/ait/cuda/clustered_rows.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.cuda.configs import ClusteredRowsAttr, ClusteredRowsConfig
from ait.codegen.cuda.copy_pack import copies
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.dialect import Along
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, fitting
from ait.codegen.gpu.lanes import read_by
from ait.codegen.gpu.rows import Rows, Rowwise, moving_seconds
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription

_CLUSTERS = (4, 8, 2)
_TEAMS = (256, 128)
_STATE_BYTES = 12
_BARRIER_BYTES = 16
# Softmax of 1 to 1024 rows of 32000 to 151936 elements, layer norms of 4 to 1024 rows of 8192 to
# 65536, on an H100 and an H200:
_EXCHANGE_SECONDS = 1.95e-6
"""What is in nobody's shadow until blocks know of each other."""
_SUM_LOSS = 1.3
"""How much longer rows take that are made of several operands, all of which are kept."""
_RESERVED_BYTES = 1 << 10
"""Of shared memory, which the system takes for each block."""
_KEPT_BYTES = 160 << 10
"""What blocks of a multiprocessor should keep together, so that some wait while others move."""
_THREADS = 1024
"""Threads of a multiprocessor that pass over what they keep as fast as it comes."""
_THREADS_LOSS = 0.05
"""How much longer moving takes with half as many; with a quarter it is three times that."""
_REGISTERS = 48
"""Of a thread."""


class ClusteredRows(Rowwise):
    """The kernel family; see family.py."""

    template = "clustered_rows.cu.j2"
    config_type = ClusteredRowsAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        rows = self.rows(view)
        return fitting(
            _configs(rows, device),
            ClusteredRowsAttr,
            lambda config: _seconds(rows, config, device),
            "rows are not read as packs",
        )

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        choice = cast(ClusteredRowsAttr, config).data
        rows = self.rows(view)
        rows.check_kept(choice.rows, choice.cluster)
        if _kept_bytes(rows, choice) > HOPPER_SHARED_BYTES:
            raise Refusal("the packs that are kept do not fit shared memory")
        kept = _kept(rows, choice) if choice.items else []
        return {
            **self.values_of(view, choice.rows),
            "header": "ait/cuda/clustered_rows.hpp",
            "cluster": choice.cluster,
            "copies": copies(kept, rows.lanes(choice.rows)),
        }


def _configs(rows: Rows, device: DeviceDescription) -> Iterator[ClusteredRowsConfig]:
    """All that keep the rows; if none can, those that read them twice."""
    vector, shifted = rows.widest(Along.INNER), rows.shifted_width()
    is_shifted = shifted > vector
    vector = max(vector, shifted)
    if rows.runs_across() or vector == 1:
        return
    packs = ceil(max(1, upper_bound(rows.inner.dim)) / vector)
    configs = [
        ClusteredRowsConfig(vector, team, ceil(ceil(packs / cluster) / team), cluster, is_shifted)
        for cluster in _CLUSTERS
        for team in _TEAMS
    ]
    keeping = [c for c in configs if 0 < _kept_bytes(rows, c) <= device.shared_bytes]
    yield from keeping or (replace(config, items=0) for config in configs)


def _kept(rows: Rows, config: ClusteredRowsConfig) -> list[Operand]:
    """What blocks keep."""
    return rows.kept(config.rows, read_by(rows.view.region("prologue")))


def _kept_bytes(rows: Rows, config: ClusteredRowsConfig) -> int:
    """Shared memory of a block; 0 if it keeps nothing."""
    kept = rows.shared_bytes(config.rows, read_by(rows.view.region("prologue")))
    told = config.team // 32 * config.cluster * _STATE_BYTES + _BARRIER_BYTES
    return kept + told if kept else 0


def _seconds(rows: Rows, config: ClusteredRowsConfig, device: DeviceDescription) -> float:
    """Expected time."""
    blocks = config.cluster * max(1, upper_bound(rows.outer.dim))
    kept = _kept_bytes(rows, config)
    moved = moving_seconds(rows, device, blocks, kept > 0)
    if kept:
        moved *= _keeping_loss(config.team, kept, blocks, device)
        if blocks > device.units and len(_kept(rows, config)) > 1:
            moved *= _SUM_LOSS
    return moved + _EXCHANGE_SECONDS


def _keeping_loss(team: int, kept: int, blocks: int, device: DeviceDescription) -> float:
    """How much longer moving takes by blocks of `team` threads that keep `kept` bytes each: where a
    multiprocessor has several, some move while others wait, and more threads compute faster."""
    by_registers = (64 << 10) // (team * _REGISTERS)
    by_memory = device.shared_bytes // (kept + _RESERVED_BYTES)
    resident = max(1, min(by_memory, by_registers))
    threads = team * min(resident, ceil(blocks / device.units))
    loss = 1 + _THREADS_LOSS * max(0.0, _THREADS / threads - 1)
    if blocks > device.units:
        loss *= max(1.0, _KEPT_BYTES / (resident * kept)) ** 0.5
    return loss
