"""Running a program of any level with NumPy: the definition of what the IR means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import TypeAlias, cast

import numpy as np
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.dialects.memref import GetGlobalOp
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_callable,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Operation

from ait.dialects import kernel
from ait.dialects.functions import PREPARE, find_function
from ait.dialects.symbolic import DimsAttr, dims_of, element_of
from ait.errors import AitError, WeightError
from ait.ir.dtypes import Array, array_of, dtype_of
from ait.ir.interpreter.access import poisoned
from ait.ir.interpreter.accessor import AccessorFunctions
from ait.ir.interpreter.environment import Environment
from ait.ir.interpreter.graph import GraphFunctions
from ait.ir.interpreter.inputs import Inputs, arrays_of, bind_symbols
from ait.ir.interpreter.kernel import KernelFunctions
from ait.ir.interpreter.scalar import ScalarFunctions
from ait.ir.program import Program, inputs_of, is_on_buffers, outputs_of

Observer: TypeAlias = Callable[[Operation, PythonValues], None]
"""Called after each operation with its results."""

SLOTS = "slots"


def evaluate(
    program: Program, inputs: Inputs, *, observer: Observer | None = None
) -> dict[str, Array]:
    """Runs `@main` on inputs by name or in order; returns the outputs by name.

    Works on every level of the IR. Derived parameters without a weight are computed first, by
    `@prepare`. Raises InputError that lists all that is wrong with the inputs, or for an index out
    of range, and WeightError for missing weights.
    """
    main = program.main
    ports = inputs_of(main)
    arrays = arrays_of(ports, inputs)
    bindings = bind_symbols(ports, arrays)
    weights = prepared_weights(program, observer=observer)
    environment = Environment(bindings, weights)
    return run_function(program, main, list(arrays.values()), environment, observer)


def prepared_weights(program: Program, *, observer: Observer | None = None) -> dict[str, Array]:
    """The program's weights and, from `@prepare`, the derived ones that are not given.

    Raises WeightError if one is missing.
    """
    weights = {**_literals(program), **program.weights}
    missing = [name for name, _, _ in program.parameters() if name not in weights]
    if not missing:
        return weights
    derived = {name: t for name, t, is_derived in program.parameters() if is_derived}
    lacking = [name for name in missing if name not in derived]
    prepare = find_function(program.module, PREPARE)
    if lacking:
        raise WeightError("\n".join(f"parameter '{name}' has no weight" for name in lacking))
    if prepare is None:
        names = ", ".join(f"'{name}'" for name in missing)
        raise WeightError(f"derived parameters have neither weights nor @{PREPARE}: {names}")
    for name in missing:
        size = prod(cast(tuple[int, ...], dims_of(derived[name])))
        weights[name] = poisoned(size, dtype_of(element_of(derived[name])).numpy)
    given = [weights[port.name] for port in inputs_of(prepare)]
    results = run_function(program, prepare, given, Environment({}, weights), observer)
    for name in missing:
        shape = cast(tuple[int, ...], dims_of(derived[name]))
        weights[name] = results.get(name, weights[name]).reshape(shape)
    return weights


def _literals(program: Program) -> dict[str, Array]:
    """Parameters and globals whose value is written in the IR."""
    return {name: array_of(value) for name, value in program.literals()}


def run_function(
    program: Program,
    function: FuncOp,
    arguments: list[Array],
    environment: Environment,
    observer: Observer | None = None,
) -> dict[str, Array]:
    """The outputs of one function, by name; arguments are the inputs, checked before."""
    interpreter = Interpreter(program.module)
    kernels = KernelFunctions(environment)
    kernels.slots = _slots(function, environment)
    for functions in (
        FuncFunctions(),
        GraphFunctions(environment),
        ScalarFunctions(environment),
        AccessorFunctions(environment),
        kernels,
        MemRefFunctions(environment),
    ):
        interpreter.register_implementations(functions)
    interpreter.listeners = (_Listener(environment, observer),)
    try:
        with np.errstate(all="ignore"):
            return _call(interpreter, function, [_frozen(a) for a in arguments], environment)
    except AitError as error:
        # xDSL notes the whole module on it, which tells a user nothing more.
        raise type(error)(*error.args) from None


def _call(
    interpreter: Interpreter, function: FuncOp, arguments: list[Array], environment: Environment
) -> dict[str, Array]:
    ports = outputs_of(function)
    shapes = [environment.shape(port.type) for port in ports]
    if not is_on_buffers(function):
        # Copied: a result may be a view of an argument.
        results = tuple(map(np.array, interpreter.call_op(function, tuple(arguments))))
    else:
        results = tuple(
            poisoned(prod(shape), dtype_of(element_of(port.type)).numpy)
            for port, shape in zip(ports, shapes, strict=True)
        )
        interpreter.call_op(function, (*(a.reshape(-1) for a in arguments), *results))
    return {
        port.name: result.reshape(shape)
        for port, result, shape in zip(ports, results, shapes, strict=True)
    }


def _frozen(array: Array) -> Array:
    """A read-only dense copy or view: kernels must not write their inputs."""
    array = np.ascontiguousarray(array).reshape(array.shape).view()
    array.flags.writeable = False
    return array


def _slots(function: FuncOp, environment: Environment) -> dict[int, Array]:
    """The workspace, poisoned: the sizes that the function declares, else those that are used."""
    declared = function.attributes.get(SLOTS)
    if isinstance(declared, DimsAttr):
        sizes = dict(enumerate(environment.numbers(declared.data)))
    elif declared is None:
        sizes = _used_slots(function.walk(), environment)
    else:
        raise AitError(f"@{function.sym_name.data}: {SLOTS} must be #sym.dims, not {declared}")
    return {slot: np.full(size, 0xFF, np.uint8) for slot, size in sizes.items()}


def _used_slots(ops: Iterable[Operation], environment: Environment) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for op in ops:
        if isinstance(op, kernel.BufferOp) and op.slot is not None:
            slot = op.slot.value.data
            itemsize = dtype_of(element_of(op.result)).numpy.itemsize
            sizes[slot] = max(sizes.get(slot, 0), prod(environment.shape(op.result)) * itemsize)
    return sizes


class _Listener(Interpreter.Listener):
    """Checks that every tensor has the shape of its type, and calls the observer."""

    def __init__(self, environment: Environment, observer: Observer | None):
        self.environment, self.observer = environment, observer

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        for value, array in zip(op.results, results, strict=True):
            self.environment.check_shape(value, array)
        if self.observer is not None:
            self.observer(op, results)


@register_impls
class FuncFunctions(InterpreterFunctions):
    """Functions, their calls and ends. Those of xDSL are in a package that imports all of RISC-V,
    which takes a quarter of the start of a compile."""

    @impl_callable(FuncOp)
    def enter(self, interpreter: Interpreter, op: FuncOp, args: PythonValues) -> PythonValues:
        return interpreter.run_ssacfg_region(op.body, args, op.sym_name.data)

    @impl(CallOp)
    def call(self, interpreter: Interpreter, op: CallOp, args: PythonValues) -> PythonValues:
        return interpreter.call_op(op.callee, args)

    @impl_terminator(ReturnOp)
    def leave(
        self, _: Interpreter, op: ReturnOp, args: PythonValues
    ) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(args), ()


@register_impls
class MemRefFunctions(InterpreterFunctions):
    """Globals: a weight's flat storage, which only `@prepare` may write, for derived ones."""

    def __init__(self, environment: Environment):
        self.environment = environment

    @impl(GetGlobalOp)
    def get_global(self, _: Interpreter, op: GetGlobalOp, args: PythonValues) -> PythonValues:
        name = op.name_.root_reference.data
        weight = self.environment.weights.get(name)
        if weight is None:
            raise WeightError(f"there is no weight '{name}'")
        return (weight.reshape(-1),)
