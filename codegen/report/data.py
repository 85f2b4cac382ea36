"""What a report says, as plain data: launches before and after fusion, costs, remarks.

`before` is the module after lower-graph, one launch per op of the model; `after` is the module that
code is generated from. Both are described by the same walk, on tensors and on buffers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.dialects.memref import GetGlobalOp
from xdsl.ir import BlockArgument, Operation, Region, SSAValue
from xdsl.printer import Printer

import ait
from ait.codegen.plan import ModelPlan, Port, flattened
from ait.dialects.accessor import AccessMap, AssembleOp, MaterializeOp, ViewOp
from ait.dialects.functions import MAIN, find_function
from ait.dialects.graph import GetParameterOp
from ait.dialects.kernel import BufferOp, CopyOp, GroupOp, KernelOp
from ait.dialects.symbolic import (
    Dim,
    Symbol,
    bounds,
    dim_product,
    dims_of,
    element_of,
    symbols_of,
    to_text,
    upper_bound,
)
from ait.ir.program import inputs_of, outputs_of
from ait.passes.cost import Cost, cost_of, seconds
from ait.passes.origins import Locations, Snapshot, locations_of
from ait.passes.plan_memory import bytes_of
from ait.passes.remarks import Remark, source_of
from ait.passes.target import DeviceDescription, TargetInfo

Plain = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True)
class Operand:
    """An operand of a launch. `holder`: what its memory is: "input", "output", "weight" or "value".

    `name` is that of the input, output or weight, or the hint of a value; `type` is such as
    `f32[batch, 128]`; `access` is the map, or an empty string if the operand is read in order.
    `producers` are the launches before this one that wrote to it.
    """

    role: str
    holder: str
    name: str
    type: str
    access: str
    slot: int | None
    producers: tuple[int, ...]


@dataclass(frozen=True)
class Launch:
    """One launch (or copy) of a run, in order. Times are seconds of the roofline at the largest
    dims; `made_of` are the numbers of the launches before fusion whose work it does. `group` is the
    first member of the kernel.group that it is in, if it is in one."""

    kind: str
    source: str
    domain: str
    operands: tuple[Operand, ...]
    cost: Cost
    seconds: float
    moves_only: bool
    code: Mapping[str, str]
    properties: Mapping[str, str]
    config: str
    origins: Locations
    group: int | None = None
    made_of: tuple[int, ...] = ()
    remarks: tuple[int, ...] = ()
    symbol: str = ""

    @property
    def look(self) -> str:
        """How it is drawn: "moves" data only, "heavy" for matrix products, else "light"."""
        if self.moves_only:
            return "moves"
        return "light" if self.cost.matrix_operations == 0 else "heavy"

    @property
    def producers(self) -> list[int]:
        """The launches whose results it reads. Others may have written to its destination too."""
        reads = (operand for operand in self.operands if operand.role == "in")
        return sorted({p for operand in reads for p in operand.producers})


@dataclass(frozen=True)
class Flow:
    """The launches of a function, and which of them write its outputs."""

    launches: tuple[Launch, ...]
    outputs: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Note:
    """A remark, how often it was made, and the launches before fusion that it is about."""

    remark: Remark
    times: int
    about: tuple[int, ...]


@dataclass(frozen=True)
class PortText:
    """An input or output: its name, element type and dims."""

    name: str
    dtype: str
    dims: tuple[str, ...]


@dataclass(frozen=True)
class ReportData:
    """All that the page of one compile shows. Sizes are in bytes, times in seconds.

    `before` is None if the pipeline had no lower-graph. `facts` are numbers of the compile.
    """

    name: str
    target: str
    device: DeviceDescription
    compiler: str
    inputs: tuple[PortText, ...]
    outputs: tuple[PortText, ...]
    symbols: tuple[tuple[str, int, int], ...]
    before: Flow | None
    after: Flow
    notes: tuple[Note, ...]
    facts: Plain = field(default_factory=dict[str, Any])

    def as_json(self) -> Plain:
        """The data as plain values, in the form that the page embeds."""
        return {
            "format": 1,
            "name": self.name,
            "target": self.target,
            "device": asdict(self.device),
            "compiler": self.compiler,
            "inputs": [asdict(port) for port in self.inputs],
            "outputs": [asdict(port) for port in self.outputs],
            "symbols": [{"name": n, "lower": low, "upper": up} for n, low, up in self.symbols],
            "before": self._before_json(),
            "after": flow_json(self.after, self.device),
            "remarks": [self._note_json(i, note) for i, note in enumerate(self.notes)],
            **self.facts,
        }

    def _before_json(self) -> Plain | None:
        """The flow before fusion; its launches know into which kernels they went."""
        if self.before is None:
            return None
        flow = flow_json(self.before, self.device)
        for launch in flow["launches"]:
            launch["into"] = [
                i for i, kernel in enumerate(self.after.launches)
                if launch["number"] in kernel.made_of
            ]  # fmt: skip
        return flow

    def _note_json(self, number: int, note: Note) -> Plain:
        remark = note.remark
        return {
            "pass": remark.pass_name,
            "kind": remark.kind,
            "op": remark.op_name,
            "source": remark.source or None,
            "results": list(remark.results),
            "message": remark.message,
            "times": note.times,
            "about": list(note.about),
            "kernels": [
                i for i, kernel in enumerate(self.after.launches) if number in kernel.remarks
            ],
        }


# Reading the IR -------------------------------------------------------------------------------


def launch_ops(module: ModuleOp) -> list[Operation]:
    """What is launched, or copied, if `@main` runs as it is, in order; members of groups too."""
    main = find_function(module, MAIN)
    if main is None:
        return []
    return [op for op in flattened(main.body.block.ops) if _is_launch(op)]


def _is_launch(op: Operation) -> bool:
    return isinstance(op, KernelOp | MaterializeOp | AssembleOp)


def read_flow(module: ModuleOp, device: DeviceDescription) -> Flow:
    """The launches of `@main`, on tensors or on buffers."""
    main = find_function(module, MAIN)
    return Flow((), {}) if main is None else _Reader(main, device).flow()


class _Reader:
    """Walks a function in order and keeps who wrote to which memory.

    The memory of a tensor is that of the destination it was written to, behind all views.
    """

    def __init__(self, function: FuncOp, device: DeviceDescription):
        self._function = function
        self._device = device
        self._inputs = [port.name for port in inputs_of(function)]
        self._outputs = [port.name for port in outputs_of(function)]
        self._writers: dict[SSAValue, list[int]] = {}
        self._groups: dict[GroupOp, int] = {}

    def flow(self) -> Flow:
        launches: list[Launch] = []
        returned: tuple[SSAValue, ...] = ()
        for op in flattened(self._function.body.block.ops):
            if _is_launch(op):
                launches.append(self._launch(op, len(launches)))
            elif isinstance(op, ReturnOp):
                returned = tuple(op.arguments)
        block = self._function.body.block
        written = returned or block.args[len(self._inputs) :]
        outputs = {
            name: tuple(self._writers.get(_memory(value), ()))
            for name, value in zip(self._outputs, written, strict=True)
        }
        return Flow(tuple(launches), outputs)

    def _launch(self, op: Operation, number: int) -> Launch:
        operands = tuple(self._operand(*given) for given in _accesses(op))
        for value in _written(op):
            self._writers.setdefault(_memory(value), []).append(number)
        is_kernel = isinstance(op, KernelOp)
        return Launch(
            kind=op.name.partition(".")[2],
            source=source_of(op),
            domain=_dims_text(op.domain if is_kernel else dims_of(op.results[0])),
            operands=operands,
            cost=cost_of(op) if is_kernel else _movement_cost(op),
            seconds=_seconds(op, self._device),
            moves_only=not is_kernel or isinstance(op, CopyOp),
            code=_code(op) if is_kernel else {},
            properties=_properties(op) if is_kernel else {},
            config=str(op.config) if is_kernel and op.config is not None else "",
            origins=locations_of(op),
            group=self._group(op, number),
        )

    def _group(self, op: Operation, number: int) -> int | None:
        group = op.parent_op()
        return self._groups.setdefault(group, number) if isinstance(group, GroupOp) else None

    def _operand(self, role: str, value: SSAValue, access: AccessMap | None) -> Operand:
        memory = _memory(value)
        dense = access is None or access == AccessMap.dense(dims_of(value))
        holder, name = self._holder(memory)
        buffer = memory.owner
        slot = buffer.slot if isinstance(buffer, BufferOp) else None
        return Operand(
            role=role,
            holder=holder,
            name=name or value.name_hint or "",
            type=f"{element_of(value)}{_dims_text(dims_of(value))}",
            access="" if dense else str(access),
            slot=None if slot is None else slot.value.data,
            producers=tuple(self._writers.get(memory, ())),
        )

    def _holder(self, memory: SSAValue) -> tuple[str, str]:
        owner = memory.owner
        if isinstance(owner, GetParameterOp):
            return "weight", owner.parameter.string_value()
        if isinstance(owner, GetGlobalOp):
            return "weight", owner.name_.string_value()
        if not isinstance(memory, BlockArgument):
            return "value", memory.name_hint or ""
        if memory.index < len(self._inputs):
            return "input", self._inputs[memory.index]
        return "output", self._outputs[memory.index - len(self._inputs)]


def _accesses(op: Operation) -> list[tuple[str, SSAValue, AccessMap | None]]:
    """Role, value and map of every operand of a launch; of a movement's result too."""
    if isinstance(op, KernelOp):
        ins = zip(op.ins, op.in_access, strict=True)
        outs = zip(op.outs, op.out_access, strict=True)
        return [*(("in", v, m) for v, m in ins), *(("out", v, m) for v, m in outs)]
    results: list[SSAValue] = list(op.results)
    return [*(("in", value, None) for value in op.operands), *(("out", r, None) for r in results)]


def _written(op: Operation) -> Sequence[SSAValue]:
    return op.outs if isinstance(op, KernelOp) else op.results


def _memory(value: SSAValue) -> SSAValue:
    """The value that stands for the memory in which `value` lies."""
    while True:
        owner = value.owner
        if isinstance(owner, ViewOp):
            value = owner.base
        elif isinstance(owner, KernelOp):
            value = owner.outs[owner.results.index(value)]
        else:
            return value


def _movement_cost(op: Operation) -> Cost:
    """The cost of a copy that is no kernel yet: it reads its operands and writes its result."""
    read: Dim = 0
    for value in dict.fromkeys(op.operands):
        read = read + _bytes(value)
    return Cost(read, _bytes(op.results[0]), 0, 0)


def _bytes(value: SSAValue) -> Dim:
    return dim_product(dims_of(value)) * bytes_of(element_of(value))


def _seconds(op: Operation, device: DeviceDescription) -> float:
    if isinstance(op, KernelOp):
        return seconds(op, device)
    return upper_bound(_movement_cost(op).bytes) / device.memory_bandwidth


def _dims_text(dims: Iterable[Dim]) -> str:
    return "[" + ", ".join(map(to_text, dims)) + "]"


def _code(op: KernelOp) -> dict[str, str]:
    """The text of each region."""
    return {
        name: _region_text(region) for name, region in zip(op.REGION_NAMES, op.regions, strict=True)
    }


def _region_text(region: Region) -> str:
    stream = StringIO()
    Printer(stream).print_region(region)
    return stream.getvalue()


def _properties(op: KernelOp) -> dict[str, str]:
    return {name: str(value) for name, value in op.own_properties.items()}


# The whole report -----------------------------------------------------------------------------


class Recorder:
    """Watches the passes of a compile, and tells what it saw."""

    def __init__(self, target: TargetInfo):
        self._target = target
        self._device = target.description
        self._before: Flow | None = None
        self._snapshot: Snapshot | None = None

    def lowered(self, module: ModuleOp) -> None:
        """Call when the graph has become launches, and nothing is fused yet."""
        self._before = read_flow(module, self._device)
        self._snapshot = Snapshot(launch_ops(module))

    def finished(
        self,
        name: str,
        module: ModuleOp,
        plan: ModelPlan,
        remarks: Sequence[Remark],
        facts: Plain,
    ) -> ReportData:
        """Call after the last pass, with the module that `plan` is of."""
        notes = self._notes(remarks)
        flow = read_flow(module, self._device)
        symbols = [call.view.symbol for call in plan.main.calls for _ in call.view.members]
        launches = tuple(
            replace(launch, symbol=symbol, made_of=self._numbers(launch.origins))
            for launch, symbol in zip(flow.launches, symbols, strict=True)
        )
        uses = Counter(number for launch in launches for number in launch.made_of)
        shared = {number for number, times in uses.items() if times > 1}
        launches = tuple(
            replace(launch, remarks=self._reasons(launch, notes, shared)) for launch in launches
        )
        return ReportData(
            name=name,
            target=self._target.name,
            device=self._device,
            compiler=f"ait {ait.__version__}",
            inputs=_port_texts(plan.inputs),
            outputs=_port_texts(plan.outputs),
            symbols=tuple((s.name, s.lower, s.upper) for s in _symbols(plan.inputs)),
            before=self._before,
            after=Flow(launches, flow.outputs),
            notes=notes,
            facts=facts,
        )

    def _numbers(self, locations: Locations) -> tuple[int, ...]:
        return () if self._snapshot is None else tuple(self._snapshot.numbers(locations))

    def _notes(self, remarks: Sequence[Remark]) -> tuple[Note, ...]:
        times: dict[tuple[str, str, str, str, tuple[int, ...]], int] = {}
        first: dict[tuple[str, str, str, str, tuple[int, ...]], Remark] = {}
        for remark in remarks:
            about = self._numbers(remark.origins)
            key = (remark.pass_name, remark.kind, remark.location, remark.message, about)
            times[key] = times.get(key, 0) + 1
            first.setdefault(key, remark)
        return tuple(Note(first[key], number, key[-1]) for key, number in times.items())

    def _reasons(self, launch: Launch, notes: Sequence[Note], shared: set[int]) -> tuple[int, ...]:
        """The numbers of the remarks that concern a launch.

        `shared`: what became part of several launches, a constant say. A remark on that concerns
        only the launches of its own layer, and those that it names.
        """
        own = set(launch.made_of) - shared
        sources = {launch.source, *self._sources(own)} - {""}
        return tuple(
            i
            for i, note in enumerate(notes)
            if not own.isdisjoint(note.about)
            or (shared.issuperset(note.about) and note.remark.source in sources)
            or any(f"({source})" in note.remark.message for source in sources)
        )

    def _sources(self, numbers: Iterable[int]) -> list[str]:
        return [] if self._before is None else [self._before.launches[n].source for n in numbers]


def _port_texts(ports: Iterable[Port]) -> tuple[PortText, ...]:
    return tuple(PortText(p.name, p.element.name, tuple(map(to_text, p.dims))) for p in ports)


def _symbols(ports: Iterable[Port]) -> tuple[Symbol, ...]:
    """Every symbol in the ports' dims, in order."""
    return symbols_of(dim for port in ports for dim in port.dims)


# JSON -----------------------------------------------------------------------------------------


def amount(dim: Dim) -> Plain:
    """A symbolic number: as text, and its least and most value."""
    low, high = bounds(dim)
    return {"text": to_text(dim), "least": max(low, 0), "most": high}


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    read: Dim = 0
    written: Dim = 0
    matrix: Dim = 0
    scalar: Dim = 0
    for cost in costs:
        read, written = read + cost.bytes_read, written + cost.bytes_written
        matrix = matrix + cost.matrix_operations
        scalar = scalar + cost.scalar_operations
    return Cost(read, written, matrix, scalar)


def flow_json(flow: Flow, device: DeviceDescription) -> Plain:
    cost = total(launch.cost for launch in flow.launches)
    return {
        "launches": [_launch_json(i, launch) for i, launch in enumerate(flow.launches)],
        "outputs": {name: list(writers) for name, writers in flow.outputs.items()},
        "movements": sum(launch.moves_only for launch in flow.launches),
        "bytes": amount(cost.bytes),
        "operations": amount(cost.operations),
        "seconds": sum(launch.seconds for launch in flow.launches),
        "launch_seconds": len(flow.launches) * device.launch_seconds,
    }


def _launch_json(number: int, launch: Launch) -> Plain:
    return {
        "number": number,
        "kind": launch.kind,
        "source": launch.source or None,
        "domain": launch.domain,
        "operands": [asdict(operand) for operand in launch.operands],
        "bytes_read": amount(launch.cost.bytes_read),
        "bytes_written": amount(launch.cost.bytes_written),
        "bytes": amount(launch.cost.bytes),
        "operations": amount(launch.cost.operations),
        "seconds": launch.seconds,
        "look": launch.look,
        "moves_only": launch.moves_only,
        "code": dict(launch.code),
        "properties": dict(launch.properties),
        "config": launch.config,
        "symbol": launch.symbol,
        "producers": launch.producers,
        "group": launch.group,
        "made_of": list(launch.made_of),
        "remarks": list(launch.remarks),
    }
