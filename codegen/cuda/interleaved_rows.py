"""Norms of rows that lie between each other in memory: group norms of images, channels last.

At each *place* (pixel) a row has a *run* of elements (its channels), and the runs of neighbouring
rows lie side by side. A cluster of blocks has some neighbouring rows, and each block of it a part
of the places. See include/ait/cuda/interleaved_rows.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, gcd
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis
from ait.codegen.cuda.configs import InterleavedRowsAttr, InterleavedRowsConfig
from ait.codegen.cuda.copy_pack import copies
from ait.codegen.cuda.devices import HOPPER_SHARED_BYTES
from ait.codegen.gpu.cost import stream_seconds
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily, fitting
from ait.codegen.gpu.lanes import (
    PACK_BYTES,
    WIDTHS,
    Lanes,
    Reach,
    kept_bytes,
    read_by,
    shared_values,
)
from ait.codegen.gpu.rows import row_kind
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription

_KINDS = ("layer_norm", "rms_norm")
_CLUSTERS = (8, 4, 2, 1)
_THREADS = 320
"""Of a block, more or less: two or three blocks of a multiprocessor overlap each other's phases."""
_MOST_THREADS = 1024
_WARP = 32
_STATE_BYTES = 12
_PADDING = 64
# Group norms of 2 and 32 images of 64x64x320 f16 on an H100:
_RUN_BYTES = 128
"""Shorter runs of slabs take longer (80 instead of 160 bytes: 1.1 to 1.6 times as long)."""
_READ_TWICE = 2.0
_ALONE = 2.0
"""How many times its share of the memory's bandwidth a multiprocessor reaches alone."""
_SLAB_SECONDS = 4e-6
_MOST_BLOCKS = 3
"""Of a multiprocessor: registers allow no more."""


@dataclass(frozen=True)
class RunLanes(Lanes):
    """Lanes among elements that lie side by side at a place, of several rows: `element` counts
    them. `rows`, `runs`: the axes of rows and of a row's run."""

    rows: str = ""
    runs: str = ""
    run: int = 1

    def reach(self, operand: Operand) -> Reach:
        row, run = operand.stride(self.rows), operand.stride(self.runs)
        if row == 0 and run == 0:
            return Reach.UNIFORM
        aligned = operand.alignment(self.rows, self.runs)
        # A pack of twice the widest access is two of them.
        widest = 2 * PACK_BYTES if aligned >= PACK_BYTES else aligned
        is_side_by_side = run == 1 and row == self.run
        if is_side_by_side and self.count * operand.element.bytes <= widest:
            return Reach.PACK
        return Reach.SINGLE


@dataclass(frozen=True)
class InterleavedProblem:
    """A norm whose rows lie between each other: its axes. `outer`: None if there is one image."""

    view: KernelView
    outer: Axis | None
    rows: Axis
    places: Axis
    runs: Axis
    count: int
    """Rows side by side."""
    run: int

    @staticmethod
    def of(view: KernelView) -> InterleavedProblem:
        """Raises Refusal where rows lie otherwise."""
        if view.attribute("kind") not in _KINDS:
            raise Refusal("only norms have rows that lie between each other")
        outer, inner = view.group("row").axes, view.group("col").axes
        if len(inner) != 2 or len(outer) not in (1, 2):
            raise Refusal("rows do not lie between each other")
        rows, (places, runs) = outer[-1], inner
        count, run = rows.dim, runs.dim
        if not isinstance(count, int) or not isinstance(run, int):
            raise Refusal("rows that lie between each other have dynamic sizes")
        problem = InterleavedProblem(
            view, outer[0] if len(outer) == 2 else None, rows, places, runs, count, run
        )
        results = [*view.outs, *read_by(view.region("prologue"))[:1]]
        if not all(o.stride(runs.name) == 1 and o.stride(rows.name) == run for o in results):
            raise Refusal("the runs of rows do not lie side by side")
        return problem

    def lanes(self, vector: int) -> RunLanes:
        """Of the pack that begins at (outer, place, element)."""
        at = {self.places.name: "place"}
        if self.outer is not None:
            at[self.outer.name] = "outer"
        first = {**at, self.rows.name: "0", self.runs.name: "element"}
        each = {
            **at,
            self.rows.name: f"((element + lane) / {self.run})",
            self.runs.name: f"((element + lane) % {self.run})",
        }
        return RunLanes(vector, self.runs, first, each, self.rows.name, self.runs.name, self.run)

    @cached_property
    def read(self) -> list[Operand]:
        return read_by(self.view.region("prologue"))

    def kept(self, vector: int) -> list[Operand]:
        """What is read as packs, others at each place: kept until rows are known."""
        lanes, places = self.lanes(vector), self.places.name
        return [o for o in self.read if lanes.reach(o) is Reach.PACK and o.stride(places) != 0]

    def fixed(self, vector: int) -> list[Operand]:
        """What is the same at all places, and read once for them."""
        lanes, places = self.lanes(vector), self.places.name
        read = dict.fromkeys([*self.read, *read_by(self.view.region("epilogue"))])
        return [operand for operand in lanes.kept(read) if operand.stride(places) == 0]

    @cached_property
    def vector(self) -> int:
        """The most elements at once: results are written as packs. Raises Refusal if there are no
        such packs."""
        for vector in WIDTHS:
            lanes = self.lanes(vector)
            main = [*self.view.outs, *self.read[:1]]
            narrow = all(vector * o.element.bytes <= PACK_BYTES for o in main)
            fits = (self.count * self.run) % vector == 0 and narrow
            if vector > 1 and fits and all(lanes.reach(o) is Reach.PACK for o in main):
                return vector
        raise Refusal("no runs can be read as packs")

    def configs(self, device: DeviceDescription) -> Iterator[InterleavedRowsConfig]:
        """Every number of rows whose elements are whole packs, shared by clusters."""
        for rows in (n for n in range(1, self.count + 1) if self.count % n == 0):
            width = rows * self.run
            if width % self.vector or width // self.vector > _THREADS:
                continue
            side = width // self.vector
            places = _WARP // gcd(_WARP, side)
            places *= max(1, _THREADS // (side * places))
            if side * places > _MOST_THREADS:
                continue
            for cluster in _CLUSTERS:
                config = InterleavedRowsConfig(rows, self.vector, places, cluster, 0)
                kept = replace(config, items=self.items(config))
                yield kept if self.shared_bytes(kept) <= device.shared_bytes else config

    def items(self, config: InterleavedRowsConfig) -> int:
        """Packs of a thread."""
        part = ceil(max(1, upper_bound(self.places.dim)) / config.cluster)
        return ceil(part / config.places)

    def sure(self, config: InterleavedRowsConfig) -> int:
        """Packs that every thread keeps: 0 if nobody knows how many places there are."""
        if config.items == 0 or not isinstance(self.places.dim, int):
            return 0
        part = ceil(self.places.dim / config.cluster)
        least = self.places.dim - part * (config.cluster - 1)
        return max(0, least) // config.places

    def shared_bytes(self, config: InterleavedRowsConfig) -> int:
        """Of a block, at most."""
        width = config.rows * self.run
        threads = config.places * width // config.vector
        packs = config.items * threads * kept_bytes(config.vector, self.kept(config.vector))
        numbers = 2 * 4 * threads * _most_touched(config.vector, self.run)
        states = (config.cluster + 1) * config.rows * _STATE_BYTES
        return packs + numbers + states + _PADDING

    def check(self, config: InterleavedRowsConfig) -> None:
        """Raises Refusal for a config that does not fit the op."""
        width = config.rows * self.run
        if self.count % config.rows or width % config.vector or config.vector > self.vector:
            raise Refusal(f"no packs of {config.vector} in {config.rows} rows")
        threads = width // config.vector * config.places
        if threads % _WARP or threads > _MOST_THREADS:
            raise Refusal(f"a block has whole warps, up to {_MOST_THREADS} threads, not {threads}")
        if config.items not in (0, self.items(config)):
            raise Refusal("packs are kept of whole rows, or not at all")
        if self.shared_bytes(config) > HOPPER_SHARED_BYTES:
            raise Refusal("the packs that are kept do not fit shared memory")


def _most_touched(length: int, size: int) -> int:
    """`most_touched` of interleaved_rows.hpp."""
    if length % size == 0:
        return length // size
    return 1 if size % length == 0 else (length + size - 2) // size + 1


class InterleavedRows(TurningFamily):
    """The kernel family; see family.py."""

    template = "interleaved_rows.cu.j2"
    config_type = InterleavedRowsAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = InterleavedProblem.of(view)
        return fitting(
            problem.configs(device),
            InterleavedRowsAttr,
            lambda config: _seconds(problem, config, device),
            "no rows are whole packs",
        )

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        problem = InterleavedProblem.of(view)
        choice = cast(InterleavedRowsAttr, config).data
        problem.check(choice)
        lanes = problem.lanes(choice.vector)
        prologue, epilogue = view.region("prologue"), view.region("epilogue")
        operands = [*problem.read, *read_by(epilogue), *view.outs]
        kept, fixed = problem.kept(choice.vector), problem.fixed(choice.vector)
        aligned = list(dict.fromkeys(lanes.packs(operands)))
        return {
            **shared_values(view, "ait/cuda/interleaved_rows.hpp", aligned),
            **row_kind(view),
            "config": choice,
            "sure": problem.sure(choice),
            "slabs": problem.count // choice.rows,
            "run": problem.run,
            "outer": problem.outer.size if problem.outer else "1",
            "places": problem.places.size,
            "lanes": lanes,
            "finish": lanes,
            "prologue": prologue,
            "epilogue": epilogue,
            "prologue_operands": problem.read,
            "kept": kept,
            "fixed": fixed,
            "copies": copies(kept, lanes),
            "epilogue_operands": read_by(epilogue),
        }


def _seconds(
    problem: InterleavedProblem, config: InterleavedRowsConfig, device: DeviceDescription
) -> float:
    """Expected time: short runs cost bandwidth, each slab of a block a wait for the others of its
    cluster, and few blocks reach only so much."""
    moved = stream_seconds(problem.view.operands, device) - device.launch_seconds
    images = max(1, upper_bound(problem.outer.dim)) if problem.outer else 1
    blocks = images * (problem.count // config.rows) * config.cluster
    run_bytes = config.rows * problem.run * min(o.element.bytes for o in problem.view.outs)
    moved *= max(1.0, _RUN_BYTES / run_bytes) * (1.0 if config.items else _READ_TWICE)
    moved *= max(1.0, device.units / (_ALONE * blocks))
    resident = max(1, min(_MOST_BLOCKS, device.shared_bytes // problem.shared_bytes(config)))
    turns = ceil(blocks / (device.units * resident))
    return device.launch_seconds + moved + turns * _SLAB_SECONDS
