"""What a bufferized and planned module does, as a list of kernel calls on named memory.

This is the one place that knows the form of the module after `plan-memory`: `func.func @main` takes
inputs, then outputs, which have `ait.output`; each argument has `ait.name`; weights are
`memref.get_global`, buffers `kernel.buffer` in the slots whose sizes the function's `slots` gives.
`@prepare`, if there is one, has only outputs: the derived weights, computed from raw ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.dialects.memref import GetGlobalOp, GlobalOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from ait.codegen.group_view import GroupView, LaunchView
from ait.codegen.kernel_view import KernelView
from ait.codegen.scalar import ElementType, element_type
from ait.dialects.functions import MAIN, PREPARE
from ait.dialects.kernel import BufferOp, GroupOp, KernelOp
from ait.dialects.symbolic import (
    Dim,
    DimsAttr,
    Symbol,
    dims_of,
    element_of,
    lower_bound,
    symbols_of,
    upper_bound,
)
from ait.errors import CompileError
from ait.ir.program import inputs_of, outputs_of
from ait.passes.plan_memory import SLOTS

MAX_RANK = 16
"""`AIT_MAX_RANK` of the C interface."""


class Memory(Enum):
    """What a kernel's pointer points into."""

    INPUT = "in"
    OUTPUT = "out"
    WEIGHT = "weight"
    SLOT = "slot"


class Role(Enum):
    """Where a weight's value comes from; the names are those of `ait::WeightRole`."""

    RAW = "raw"
    DERIVED = "derived"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Pointer:
    """An operand of a call: the `index`-th input, output, weight (of the table) or slot."""

    memory: Memory
    index: int


@dataclass(frozen=True)
class Port:
    """An input or output of a model."""

    name: str
    element: ElementType
    dims: tuple[Dim, ...]


@dataclass(frozen=True)
class Weight:
    """A constant tensor of a model.

    A literal is part of the model's code: it is always embedded, and no weights file has it. To the
    runtime it is a derived weight, which `prepare` copies from the library.
    """

    name: str
    element: ElementType
    shape: tuple[int, ...]
    role: Role
    is_literal: bool = False

    @property
    def bytes(self) -> int:
        return self.element.bytes * prod(self.shape)


@dataclass(frozen=True)
class Binding:
    """Where a symbol's value is read: `size(input, axis) == scale * symbol + offset`."""

    symbol: Symbol
    input: int
    axis: int
    scale: int
    offset: int


@dataclass(frozen=True)
class Call:
    """One launch: its pointers are the op's ins, then outs; of a group, member by member.
    `backwards`: whether it may begin with the last rows."""

    view: LaunchView
    pointers: tuple[Pointer, ...]
    backwards: bool = False


@dataclass(frozen=True)
class Function:
    """Kernel calls in order, and the sizes in bytes of the workspace slots that they use."""

    slots: tuple[Dim, ...]
    calls: tuple[Call, ...]

    def workspace(self, alignment: int) -> tuple[int, int]:
        """The least and most bytes of workspace that a run can need."""
        low = sum(_aligned(lower_bound(size), alignment) for size in self.slots)
        return low, sum(_aligned(upper_bound(size), alignment) for size in self.slots)


@dataclass(frozen=True)
class ModelPlan:
    """All that generated code is made from.

    `prepare` writes the derived weights, in order; its calls leave the literals out.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    bindings: tuple[Binding, ...]
    weights: tuple[Weight, ...]
    main: Function
    prepare: Function | None

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(binding.symbol for binding in self.bindings)

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls, those of `prepare` first."""
        return (*(self.prepare.calls if self.prepare else ()), *self.main.calls)


def make_plan(module: ModuleOp, freeze: bool = False) -> ModelPlan:
    """The plan of a bufferized module.

    `freeze`: raw weights that only `prepare` reads become frozen, and `prepare` is left out.
    Raises CompileError that lists everything in the module for which there is no code.
    """
    functions = {op.sym_name.data: op for op in module.ops if isinstance(op, FuncOp)}
    main, prepare = functions.get(MAIN), functions.get(PREPARE)
    if main is None:
        raise CompileError("the module has no function @main")
    inputs, outputs = _ports(main)
    weights = _weight_table(module, main, prepare, freeze)
    can_prepare = any(w.role is Role.DERIVED for w in weights) and not (freeze and prepare)
    problems = [*_port_problems("input", inputs), *_port_problems("output", outputs)]
    bindings = _bindings(inputs, _dims_of_calls(main), problems)
    plan = ModelPlan(
        inputs=inputs,
        outputs=outputs,
        bindings=bindings,
        weights=weights,
        main=_function(main, weights, problems),
        prepare=_prepare_function(prepare, weights, problems) if can_prepare else None,
    )
    if problems:
        raise CompileError("\n".join(problems))
    return plan


def _ports(function: FuncOp) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """The inputs and the outputs of a function."""
    inputs, outputs = (
        tuple(Port(p.name, element_type(element_of(p.type)), dims_of(p.type)) for p in ports)
        for ports in (inputs_of(function), outputs_of(function))
    )
    return inputs, outputs


def _port_problems(kind: str, ports: Sequence[Port]) -> Iterator[str]:
    names = [port.name for port in ports]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{names.count(name)} {kind}s are named '{name}'"
    for port in ports:
        if len(port.dims) > MAX_RANK:
            yield f"{kind} '{port.name}' has rank {len(port.dims)}, the most is {MAX_RANK}"


# Weights --------------------------------------------------------------------------------------


def _weight_table(
    module: ModuleOp, main: FuncOp, prepare: FuncOp | None, freeze: bool
) -> tuple[Weight, ...]:
    """Raw weights in order of first use, derived ones in the order of `prepare`, literals."""
    derived = _ports(prepare)[1] if prepare else ()
    computed = [Weight(p.name, p.element, _static(p.dims), Role.DERIVED) for p in derived]
    names = {port.name for port in derived}
    literal_names = _literal_names(module)
    in_main = _globals_read(main)
    every = in_main | (_globals_read(prepare) if prepare else {})
    raw: list[Weight] = []
    literals: list[Weight] = []
    for name, value in every.items():
        element, shape = element_type(element_of(value)), _static(dims_of(value))
        unused = freeze and name not in in_main
        if name in names or (unused and name in literal_names):
            continue
        if name in literal_names:
            literals.append(Weight(name, element, shape, Role.DERIVED, is_literal=True))
        else:
            raw.append(Weight(name, element, shape, Role.FROZEN if unused else Role.RAW))
    return (*raw, *computed, *literals)


def _literal_names(module: ModuleOp) -> set[str]:
    """The weights whose value is written in the IR."""
    return {
        op.sym_name.data
        for op in module.ops
        if isinstance(op, GlobalOp) and isinstance(op.initial_value, DenseIntOrFPElementsAttr)
    }


def _globals_read(function: FuncOp) -> dict[str, SSAValue]:
    """The weights that a function reads, in order of first use."""
    return {
        op.name_.string_value(): op.memref
        for op in function.body.block.ops
        if isinstance(op, GetGlobalOp)
    }


def _static(dims: Iterable[Dim]) -> tuple[int, ...]:
    shape = tuple(dims)
    assert all(isinstance(dim, int) for dim in shape), "weights have static shapes"
    return tuple(lower_bound(dim) for dim in shape)


# Symbols --------------------------------------------------------------------------------------


def _dims_of_calls(function: FuncOp) -> list[Dim]:
    """Every dim that a run computes with."""
    dims = [dim for argument in function.body.block.args for dim in dims_of(argument)]
    dims += _slots(function)
    for op in flattened(function.body.block.ops):
        if isinstance(op, KernelOp):
            for access in (*op.in_access, *op.out_access):
                dims += access.dims
    return dims


def _bindings(
    inputs: Sequence[Port], used: Iterable[Dim], problems: list[str]
) -> tuple[Binding, ...]:
    """Where to read each symbol, in order of first occurrence in the inputs."""
    found: dict[str, Binding] = {}
    for i, port in enumerate(inputs):
        for axis, dim in enumerate(port.dims):
            binding = _binding(dim, i, axis)
            if binding is None:
                continue
            known = found.setdefault(binding.symbol.name, binding)
            if known.symbol != binding.symbol:
                problems.append(f"dim {binding.symbol.name} has two different ranges")
            if abs(binding.scale) < abs(known.scale):
                found[binding.symbol.name] = binding
    for symbol in symbols_of(used):
        if symbol.name not in found:
            problems.append(
                f"the size {symbol.name} cannot be read from the inputs: give one of them a dim "
                f"that is {symbol.name} itself, or a multiple of it plus a constant"
            )
    return tuple(found.values())


def _binding(dim: Dim, index: int, axis: int) -> Binding | None:
    """How to read a symbol from an input's dim; None unless the dim is linear in one symbol."""
    symbols = symbols_of(dim)
    if len(symbols) != 1 or isinstance(dim, int):
        return None
    (only,) = symbols
    coefficients = dict(dim.terms)
    scale, offset = coefficients.pop((only,), 0), coefficients.pop((), 0)
    if coefficients or scale == 0:
        return None
    return Binding(only, index, axis, scale, offset)


# Calls ----------------------------------------------------------------------------------------


def _slots(function: FuncOp) -> tuple[Dim, ...]:
    sizes = function.attributes.get(SLOTS)
    return sizes.data if isinstance(sizes, DimsAttr) else ()


def _function(function: FuncOp, weights: Sequence[Weight], problems: list[str]) -> Function:
    pointers = _Pointers(function, weights)
    calls: list[Call] = []
    for op in function.body.block.ops:
        if isinstance(op, KernelOp | GroupOp):
            call = _call(op, pointers, problems)
            calls += [call] if call is not None else []
        elif not isinstance(op, _NO_CODE):
            problems.append(f"no code can be generated for {op.name}")
    return Function(_slots(function), tuple(calls))


def _call(op: KernelOp | GroupOp, pointers: _Pointers, problems: list[str]) -> Call | None:
    """None if there is a problem with any of the kernels."""
    views: list[KernelView] = []
    members = op.members if isinstance(op, GroupOp) else (op,)
    for member in members:
        try:
            views.append(KernelView(member, moved_bases=True))
        except CompileError as error:
            problems.append(f"{member.source or member.name}: {error}")
    if len(views) < len(members):
        return None
    used = tuple(pointers.of(v) for member in members for v in (*member.ins, *member.outs))
    if isinstance(op, GroupOp):
        return Call(GroupView(tuple(views)), used)
    return Call(views[0], used, op.is_backwards)


def flattened(ops: Iterable[Operation]) -> Iterator[Operation]:
    """The ops, with the members of groups in the groups' places."""
    for op in ops:
        if isinstance(op, GroupOp):
            yield from op.members
        else:
            yield op


def _prepare_function(
    prepare: FuncOp | None, weights: Sequence[Weight], problems: list[str]
) -> Function:
    """`prepare`, which is empty where all derived weights are literals."""
    return _function(prepare, weights, problems) if prepare else Function((), ())


_NO_CODE = (GetGlobalOp, BufferOp, ReturnOp)


class _Pointers:
    """What the buffers of a function are."""

    def __init__(self, function: FuncOp, weights: Sequence[Weight]):
        inputs, _ = _ports(function)
        self._inputs = len(inputs)
        self._globals = {weight.name: Pointer(Memory.WEIGHT, i) for i, weight in enumerate(weights)}
        if function.sym_name.data == PREPARE:
            # A derived weight has no place of its own before `prepare` has written it.
            derived = [weight.name for weight in weights if weight.role is Role.DERIVED]
            self._globals |= {n: Pointer(Memory.OUTPUT, i) for i, n in enumerate(derived)}

    def of(self, value: SSAValue) -> Pointer:
        owner = value.owner
        if isinstance(owner, GetGlobalOp):
            return self._globals[owner.name_.string_value()]
        if isinstance(owner, BufferOp):
            assert owner.slot is not None, "plan-memory gave every buffer a slot"
            return Pointer(Memory.SLOT, owner.slot.value.data)
        assert isinstance(value, BlockArgument)
        if value.index < self._inputs:
            return Pointer(Memory.INPUT, value.index)
        return Pointer(Memory.OUTPUT, value.index - self._inputs)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
