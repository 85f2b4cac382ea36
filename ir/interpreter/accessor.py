"""Meaning of the accessor dialect: views, copies and assembly of dense tensors."""

from __future__ import annotations

from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    impl,
    register_impls,
)
from xdsl.utils.exceptions import InterpretationError

from ait.dialects import accessor
from ait.dialects.symbolic import element_of
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter.access import Access, poisoned, strided
from ait.ir.interpreter.environment import Environment


@register_impls
class AccessorFunctions(InterpreterFunctions):
    """A view is held as the dense tensor that it means: maps address that tensor's storage."""

    def __init__(self, environment: Environment):
        self.environment = environment

    @impl(accessor.ViewOp)
    def view(self, _: Interpreter, op: accessor.ViewOp, args: PythonValues) -> PythonValues:
        access = Access.of(op.access, self.environment)
        return (strided(args[0].reshape(-1), access, "the view").copy(),)

    @impl(accessor.MaterializeOp)
    def materialize(
        self, _: Interpreter, op: accessor.MaterializeOp, args: PythonValues
    ) -> PythonValues:
        return (args[0].copy(),)

    @impl(accessor.AssembleOp)
    def assemble(self, _: Interpreter, op: accessor.AssembleOp, args: PythonValues) -> PythonValues:
        shape = self.environment.shape(op.result)
        size = 1
        for n in shape:
            size *= n
        storage = poisoned(size, dtype_of(element_of(op.result)).numpy)
        if op.fill is not None:
            storage[:] = op.fill.value.data
        written: list[Access] = []
        for i, (piece, access) in enumerate(zip(args, op.accesses, strict=True)):
            place = Access.of(access, self.environment)
            if not place.is_injective or any(place.overlaps(other) for other in written):
                raise InterpretationError(f"piece {i} writes an element that is already written")
            written.append(place)
            if not place.is_empty:
                strided(storage, place, f"piece {i}")[...] = piece
        return (storage.reshape(shape),)
