"""Kernels that work on rows: normalisations (rowwise) and reductions.

Both have rows (an outer group of axes) of elements (an inner group). A *team* of threads shares a
row; the lanes of a thread are neighbours in its row, or, where memory runs across the rows, in as
many rows. See include/ait/gpu/team.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.axes import Axis, Group
from ait.codegen.gpu.cost import ALONE, stream_seconds
from ait.codegen.gpu.dialect import Along, RowsAttr, RowsConfig
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, TurningFamily
from ait.codegen.gpu.lanes import (
    PACK_BYTES,
    WIDTHS,
    Lanes,
    Reach,
    ShiftedLanes,
    fits,
    kept_bytes,
    read_by,
    shared_values,
)
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.codegen.scalar import float_literal
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription

_WARP = 32
_BLOCK = 128
"""Threads of a block of small teams."""
_UNIT_THREADS = 2048
"""Threads that a multiprocessor runs at once, at most."""
_BLOCK_BYTES = 3 << 10
"""Of many short rows that a block should have: a GPU begins a block in 1.2 ns, and has to move more
in that time (softmax of 64 to 256 f16 took a fifth longer in blocks of 2 KB on an H200, of 36 to
100 two to four times as long in smaller ones)."""
_MOST_THREADS = 256
"""Of such a block."""
_THREAD_BYTES = 32
"""Of such a row that a thread has."""
_ACCESS_BYTES = 32
"""Of such a row that its team reads at once, at least: less is a part of what memory gives."""
_MOST_PACKS = 8
"""Packs of such a row that a thread has (layer norm of 197 f16: 13 took a sixth longer than 7)."""
_LARGEST_TEAM = 1024
_MOST_KEPT = 32
"""Elements that a thread can keep in registers beside all else."""
_MOST_KEPT_BY_MOST = 40
"""The same of the largest teams: the next larger row would be read twice."""
_REGISTERS_LENGTH = 16384
"""Of a softmax: elements that are better kept in shared memory, if there are more. Norms of 16384
and 40960 f16 take 3 to 7 % longer so (H100)."""
_SHIFTED_LENGTH = 768
"""Elements of a row that begins anywhere from which on it pays to read packs of it (f16 on an H100:
385 took a tenth longer, 1001 a tenth less)."""
_LEAST_BYTES = 8
"""An access of so many is wide enough."""
_SHARED_PACKS = 8
"""Packs of a thread that keeps them in shared memory, in teams of one warp, or of 128 to 512
threads (softmax of 1001 to 50257 f16 on an H100)."""
_RESERVED_BYTES = 1 << 10
"""Of shared memory, which the system takes for each block."""
_RUN = 4
"""Packs that a thread of a reduction reads at once: kRun of reduce.hpp."""
_KEPT = 16
"""Elements of a thread that gave the best times for rows of 2048 and 4096 f16 (H100)."""
_ACROSS_WIDTHS = (4, 8, 2, 1)
"""Elements of as many rows at once, the best first (f16 on an H100)."""
_KEEPING_BLOCK = 512
"""Threads of a block that have the registers for that and leave room for a second block."""
_RUN_BYTES = 64
"""Shorter runs of neighbours cost bandwidth: a fifth with 32 bytes (H100)."""
_RUN_LOSS = 3.8
"""How much longer rows in such runs take (group norms of images, channels last)."""
_LONG_BYTES = 70 << 10
_LONG_LOSS = 0.15
"""How much longer it takes where blocks have rows of so many bytes, or longer ones: a
multiprocessor has one or two of them, which do not move all the time (norms and softmax of 16384
to 50257 f16 on an H100: 2 to 18 %; 32768 on an H200: 16)."""
_READ_TWICE = 1.5
"""The same of rows that are not kept (softmax of 128256, layer norm of 65536 f16)."""


@dataclass(frozen=True)
class Rows:
    """An op as rows: its groups of axes, and the operands that move most data."""

    view: KernelView
    outer: Group
    inner: Group
    ins: tuple[Operand, ...]
    """Those over both groups."""
    outs: tuple[Operand, ...]
    """Those over both groups; none of a reduction."""
    keeps: bool
    """Whether a row is passed over twice, so that keeping it pays."""

    @property
    def main(self) -> Operand:
        """The operand that says where packs of rows begin that may begin anywhere."""
        return (*self.outs, *self.ins)[0]

    def axis(self, along: Along) -> Axis | None:
        """The axis along which lanes lie."""
        axes = (self.inner if along is Along.INNER else self.outer).axes
        return axes[-1] if axes else None

    def lanes(self, config: RowsConfig) -> Lanes:
        """The lanes of elements: their first is at (row, col). Raises Refusal if they cannot be."""
        outer, inner = self.outer.name, self.inner.name
        first = {outer: "row", inner: "col"}
        if config.shifted:
            return self._shifted_lanes(config.vector)
        if not self.fits(config.lanes, config.vector):
            raise Refusal(f"elements cannot be accessed {config.vector} at once")
        moved = {inner: "(col + lane)"} if config.lanes is Along.INNER else {outer: "(row + lane)"}
        return Lanes(config.vector, self.axis(config.lanes), first, {**first, **moved})

    def _shifted_lanes(self, vector: int) -> ShiftedLanes:
        """Those of rows that begin anywhere. Raises Refusal if results cannot be packs then."""
        outer, inner = self.outer.name, self.inner.name
        first = {outer: "row", inner: "col"}
        if len(self.inner.axes) != 1:
            raise Refusal("only rows of one axis may begin anywhere")
        each = {**first, inner: "(col + lane)"}
        lanes = ShiftedLanes(vector, self.inner.axes[0], first, each, self.main)
        widest = max(operand.element.bytes for operand in (*self.ins, *self.outs))
        narrowest = min(operand.element.bytes for operand in (*self.ins, *self.outs))
        if vector * narrowest > PACK_BYTES or vector * widest > 2 * PACK_BYTES:
            raise Refusal(f"elements cannot be accessed {vector} at once")
        if not all(lanes.reach(o) is Reach.PACK for o in (self.main, *self.outs)):
            raise Refusal("rows do not begin at the same distances from whole packs")
        return lanes

    def single(self) -> Lanes:
        """The lanes of one element."""
        first = {self.outer.name: "row", self.inner.name: "col"}
        return Lanes(1, self.axis(Along.INNER), first, first)

    def kept(self, config: RowsConfig, prologue: Sequence[Operand]) -> list[Operand]:
        """What is read ahead of the values that are made of it, and may be kept."""
        lanes = self.lanes(config)
        if not config.shared:
            return lanes.kept(prologue)
        return [operand for operand in prologue if lanes.reach(operand) is Reach.PACK]

    def shared_bytes(self, config: RowsConfig, prologue: Sequence[Operand]) -> int:
        """Of a block."""
        if not config.shared:
            return 0
        pack = kept_bytes(config.vector, self.kept(config, prologue))
        return config.items * pack * config.team * config.rows

    def check_kept(self, config: RowsConfig, blocks: int = 1) -> None:
        """Raises Refusal if threads keep a part of what they have of a row, and not all of it or
        nothing. `blocks`: that share a row."""
        packs = max(1, upper_bound(self.inner.dim))
        if config.lanes is Along.INNER:
            packs = packs // config.vector if config.shifted else ceil(packs / config.vector)
        needed = ceil(ceil(packs / blocks) / config.team)
        if 0 < config.items < needed:
            raise Refusal(f"a thread has {needed} packs of a row, and keeps {config.items}")

    def is_full(self, config: RowsConfig) -> bool:
        """Whether all threads have all the packs that they keep: known of rows of one length."""
        of_pack = config.vector if config.lanes is Along.INNER else 1
        return self.inner.dim == of_pack * config.team * config.items

    def blocks(self, config: RowsConfig) -> int:
        """At the largest sizes."""
        of_thread = config.vector if config.lanes is Along.OUTER else 1
        return -(-max(1, upper_bound(self.outer.dim)) // (config.rows * of_thread))

    def row_lanes(self, config: RowsConfig) -> Lanes:
        """The lanes of what a row has once: as many as a thread has rows."""
        outer = self.outer.name
        count = config.vector if config.lanes is Along.OUTER else 1
        first, each = {outer: "row"}, {outer: "(row + lane)"}
        return Lanes(count, self.axis(Along.OUTER), first, each)

    def fits(self, along: Along, vector: int) -> bool:
        outs = self.outs
        if not outs and along is Along.OUTER:
            outs = self.view.outs
        # Wide operands may take two accesses where that gives narrow ones whole packs.
        narrowest = min(operand.element.bytes for operand in (*self.ins, *outs))
        return vector * narrowest <= PACK_BYTES and fits(
            self.axis(along), self.ins, outs, vector, in_bytes=2 * PACK_BYTES
        )

    def widest(self, along: Along) -> int:
        return next(width for width in WIDTHS if self.fits(along, width))

    def runs_across(self) -> bool:
        """Whether neighbours in memory are in different rows."""
        inner, outer = self.axis(Along.INNER), self.axis(Along.OUTER)
        if inner is None or outer is None:
            return False
        main = [*self.outs, *self.ins][:1]
        return all(o.stride(inner.name) != 1 and o.stride(outer.name) == 1 for o in main)

    @property
    def has_short_runs(self) -> bool:
        """Whether rows lie in runs that are less than those of memory, and others between them."""
        axis = self.axis(Along.INNER)
        if axis is None or len(self.inner.axes) < 2 or self.main.stride(axis.name) != 1:
            return False
        return upper_bound(axis.dim) * self.main.element.bytes < _RUN_BYTES

    # Configs

    def configs(self, device: DeviceDescription) -> Iterator[RowsConfig]:
        """Configs, the likely best first."""
        if self.runs_across():
            yield from self._across(device)
        else:
            yield from self._within(device)

    def _within(self, device: DeviceDescription) -> Iterator[RowsConfig]:
        length = max(1, upper_bound(self.inner.dim))
        vector, shifted = self.widest(Along.INNER), self.shifted_width()
        packs = -(-length // vector)
        if not self.keeps:
            if shifted > vector:
                for config in self._reducing(shifted, length // shifted):
                    if config.team >= 2 * shifted:
                        yield replace(config, shifted=True)
            yield from self._reducing(vector, packs)
            return
        if shifted > vector:
            yield from self._sharing(device, length, shifted, True)
        elif length > _REGISTERS_LENGTH and "softmax" in str(self.view.attribute("kind")):
            yield from self._sharing(device, length, vector, False)
        if packs * vector <= _MOST_KEPT * _WARP:
            yield self._short(device, packs, vector)
            return
        wanted = power_of_two(-(-packs * vector // _KEPT))
        if wanted == _LARGEST_TEAM:
            # Blocks of half as many threads, which keep twice as much, overlap each other's waits.
            wanted = power_of_two(-(-packs * vector // _MOST_KEPT))
        best = min(_LARGEST_TEAM, max(2 * _WARP, wanted))
        for team in (best, best * 2, best // 2):
            if 2 * _WARP <= team <= _LARGEST_TEAM:
                items = self._items(packs, team)
                most = _MOST_KEPT_BY_MOST if team == _LARGEST_TEAM else _MOST_KEPT
                yield RowsConfig(
                    Along.INNER, vector, team, 1, items if items * vector <= most else 0
                )

    def _short(self, device: DeviceDescription, packs: int, vector: int) -> RowsConfig:
        """For rows that one warp can keep. Those of many have few threads, and blocks many rows."""
        pack_bytes = vector * self.main.element.bytes
        team, threads = power_of_two(min(_WARP, packs)), _BLOCK
        if upper_bound(self.outer.dim) * team > device.units * _UNIT_THREADS:
            wanted = max(
                ceil(packs * pack_bytes / _THREAD_BYTES),
                ceil(packs / _MOST_PACKS),
                _ACCESS_BYTES // pack_bytes,
            )
            team = power_of_two(min(_WARP, packs, wanted))
            while threads < _MOST_THREADS and threads // team * packs * pack_bytes < _BLOCK_BYTES:
                threads *= 2
        return RowsConfig(Along.INNER, vector, team, threads // team, self._items(packs, team))

    def shifted_width(self) -> int:
        """Elements that are read at once of long rows that begin anywhere; 1 if none can be, or
        enough can be read at once as it is."""
        length = self.inner.dim
        if not isinstance(length, int) or length < _SHIFTED_LENGTH:
            return 1
        if self.widest(Along.INNER) * self.main.element.bytes >= _LEAST_BYTES:
            return 1
        for vector in WIDTHS:
            try:
                self._shifted_lanes(vector)
            except Refusal:
                continue
            return vector
        return 1

    def _sharing(
        self, device: DeviceDescription, length: int, vector: int, shifted: bool
    ) -> Iterator[RowsConfig]:
        """Rows in shared memory, if a multiprocessor has room for two blocks."""
        if vector == 1:
            return
        packs = length // vector if shifted else -(-length // vector)
        team = _WARP
        if packs > _SHARED_PACKS * _WARP:
            team = min(512, max(_BLOCK, power_of_two(-(-packs // _SHARED_PACKS))))
        rows, items = max(1, _BLOCK // team), -(-packs // team)
        config = RowsConfig(Along.INNER, vector, team, rows, items, shared=True, shifted=shifted)
        needed = self.shared_bytes(config, read_by(self.view.region("prologue")))
        if needed > 0 and 2 * (needed + _RESERVED_BYTES) <= device.shared_bytes + _RESERVED_BYTES:
            yield config

    def _reducing(self, vector: int, packs: int) -> Iterator[RowsConfig]:
        """Teams whose threads have whole runs; two where it matters which element it was."""
        runs = 2 if self.view.attribute("kind") == "argmax" else 1
        best = min(_LARGEST_TEAM, power_of_two(-(-packs // (_RUN * runs))))
        if best == 2 * _WARP and runs == 1:
            # Two warps with less than a run each: sums of 1536 f16 took a fifth longer than by one.
            best = _WARP
        for team in (best, best // 2, best * 2):
            if 1 <= team <= _LARGEST_TEAM:
                teams = max(2 * _BLOCK // team, 1) if team <= _WARP else 1
                yield RowsConfig(Along.INNER, vector, team, teams, 0)

    def _across(self, device: DeviceDescription) -> Iterator[RowsConfig]:
        widest = self.widest(Along.OUTER)
        rows_bound = max(1, upper_bound(self.outer.dim))
        length = max(1, upper_bound(self.inner.dim))
        width = min((operand.element.bytes for operand in self.ins), default=4)
        for vector in (width for width in _ACROSS_WIDTHS if width <= widest):
            # As many threads side by side as leave work for all multiprocessors.
            rows = max(1, min(_WARP, power_of_two(rows_bound // vector)))
            while rows * vector * width > _RUN_BYTES and rows > 1:
                if -(-rows_bound // (rows * vector)) >= device.units:
                    break
                rows //= 2
            if rows * vector * width < _RUN_BYTES and vector < min(widest, _ACROSS_WIDTHS[0]):
                continue
            blocks = -(-rows_bound // (rows * vector))
            are_many = blocks > 4 * device.units
            most = _LARGEST_TEAM // 2 if are_many else _LARGEST_TEAM
            whole = power_of_two(length if self.keeps else -(-length // _RUN))
            team = max(_WARP // rows, min(most // rows, whole))
            if self.keeps:
                team, rows = self._keeping(team, rows, vector, length, width, are_many)
            items = self._items(length, team)
            kept = items * vector <= _MOST_KEPT
            yield RowsConfig(Along.OUTER, vector, team, rows, items if kept else 0)

    @staticmethod
    def _keeping(
        team: int, rows: int, vector: int, length: int, width: int, are_many: bool
    ) -> tuple[int, int]:
        """(team, rows) with a team that can keep its row, where a block has room for that; no more
        threads than that if there are many blocks."""
        needed = power_of_two(-(-length * vector // _MOST_KEPT))
        if are_many and needed <= team:
            return max(needed, _WARP // rows), rows
        narrow = rows
        while narrow * needed > _KEEPING_BLOCK and narrow * vector * width > _RUN_BYTES:
            narrow //= 2
        if team >= needed or narrow * needed > _LARGEST_TEAM:
            return team, rows
        return needed, narrow

    def _items(self, packs: int, team: int) -> int:
        return -(-packs // team) if self.keeps else 0


def moving_seconds(rows: Rows, device: DeviceDescription, blocks: int, kept: bool) -> float:
    """Expected time until all rows have been read and written by so many blocks, which keep them,
    or read them twice."""
    moved = stream_seconds(rows.view.operands, device) - device.launch_seconds
    moved *= max(1.0, device.units / (ALONE * blocks))
    if rows.has_short_runs:
        moved *= _RUN_LOSS
    if rows.keeps and not kept:
        moved *= _READ_TWICE
    return moved + device.launch_seconds


def _long_loss(rows: Rows, config: RowsConfig) -> float:
    """How much longer it takes where a block keeps one long row."""
    if config.lanes is not Along.INNER or config.rows > 1 or config.items == 0:
        return 1.0
    length = upper_bound(rows.inner.dim) * rows.main.element.bytes
    return 1.0 + _LONG_LOSS * min(1.0, length / _LONG_BYTES) ** 2


def power_of_two(number: int) -> int:
    """The least power of two that is at least `number`."""
    return 1 << max(0, number - 1).bit_length()


class _RowKernel(TurningFamily):
    """What the families have in common; see family.py."""

    config_type: type[Attribute] = RowsAttr

    def rows(self, view: KernelView) -> Rows:
        raise NotImplementedError

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        rows = self.rows(view)
        configs = list(rows.configs(device))
        best = configs[0]
        seconds = moving_seconds(rows, device, rows.blocks(best), best.items > 0)
        seconds *= _long_loss(rows, best)
        return [
            Candidate(RowsAttr(config), seconds * (1 + i / 10)) for i, config in enumerate(configs)
        ]

    def _values(self, view: KernelView, config: RowsConfig, rows: Rows) -> TemplateValues:
        lanes, row_lanes = rows.lanes(config), rows.row_lanes(config)
        prologue, epilogue = view.region("prologue"), view.region("epilogue")
        once = not rows.outs
        packs = dict.fromkeys(lanes.packs(read_by(prologue)))
        finish = row_lanes if once else lanes
        packs |= dict.fromkeys(finish.packs([*read_by(epilogue), *view.outs]))
        return {
            **shared_values(view, f"ait/gpu/{view.kind}.hpp", list(packs)),
            "rows": rows,
            "config": config,
            "row_begin": rows.main.offset(**{rows.outer.name: "row", rows.inner.name: "0"}),
            "single": rows.single(),
            "across": config.lanes is Along.OUTER,
            "lanes": lanes,
            "finish": finish,
            "prologue": prologue,
            "epilogue": epilogue,
            "prologue_operands": read_by(prologue),
            "epilogue_operands": read_by(epilogue),
        }


class Rowwise(_RowKernel):
    """The kernel family of softmax and norms."""

    template = "rowwise.j2"

    def rows(self, view: KernelView) -> Rows:
        return Rows(view, view.group("row"), view.group("col"), view.ins, view.outs, True)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        choice = cast(RowsAttr, config).data
        self.rows(view).check_kept(choice)
        return self.values_of(view, choice)

    def values_of(self, view: KernelView, choice: RowsConfig) -> TemplateValues:
        """What the template is rendered with."""
        rows = self.rows(view)
        return {
            **self._values(view, choice, rows),
            **row_kind(view),
            "kind": _rough_kind(view),
            "copies": [],
            "kept": rows.kept(choice, read_by(view.region("prologue"))),
        }


def row_kind(view: KernelView) -> TemplateValues:
    """Of an op that does something to rows: the C++ type of the kind (`LayerNorm`), and epsilon."""
    kind = str(view.attribute("kind"))
    return {
        "kind": "".join(word.capitalize() for word in kind.split("_")),
        "eps": float_literal(cast(float, view.attribute("eps", 0.0))),
    }


def _rough_kind(view: KernelView) -> str:
    """The C++ type of the kind, a cheaper one where all results have 16 bits."""
    kind = str(row_kind(view)["kind"])
    rough = all(out.element.name in ("f16", "bf16") for out in view.outs)
    return f"Rough{kind}" if rough and kind.endswith("Softmax") else kind


def _reduction(kind: str, value: str) -> str:
    """The C++ type of a kind of reduction."""
    if kind == "argmax":
        return f"ait::gpu::Argmax<{value}, Kernel::Index>"
    return f"ait::gpu::Fold<ait::gpu::{kind.capitalize()}<{value}>, {value}>"


class Reduce(_RowKernel):
    """The kernel family of reductions."""

    template = "reduce.j2"

    def rows(self, view: KernelView) -> Rows:
        reduced = view.region("prologue").operands
        return Rows(view, view.group("keep"), view.group("red"), reduced, (), False)

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        kind = str(view.attribute("kind"))
        value = view.region("prologue").results[0].type
        return {
            **self._values(view, cast(RowsAttr, config).data, self.rows(view)),
            "kind": _reduction(kind, value),
            "value": value,
            "result": "int64_t" if kind == "argmax" else value,
        }
