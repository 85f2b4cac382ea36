"""Derived parameters: weights that the module's function `@prepare` computes from others.

Folding never computes anything here. It writes down, in `@prepare`, how the folded value follows
from the raw weights; the compiler evaluates that with the interpreter, and the compiled model runs
it again when weights are replaced.
"""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from ait.dialects.functions import NAME, PREPARE, find_function
from ait.dialects.graph import GetParameterOp, ParameterOp
from ait.dialects.graph.base import AnyTensor
from ait.dialects.graph.constants import Dense
from ait.dialects.symbolic import dims_of, element_of, tensor_type


class DerivedParameters:
    """Writes `@prepare` of a module; create one per pass."""

    def __init__(self, module: ModuleOp):
        self.module = module
        self.function = find_function(module, PREPARE)
        self.declared = {
            op.sym_name.data: op for op in module.body.block.ops if isinstance(op, ParameterOp)
        }
        self._values: dict[str, SSAValue] = {}
        if self.function is not None:
            self._read_function(self.function)

    def _read_function(self, function: FuncOp) -> None:
        for op in function.body.block.ops:
            if isinstance(op, GetParameterOp):
                self._values[op.parameter.root_reference.data] = op.result
        self._values.update(zip(self.names, self._return.operands, strict=True))

    @property
    def _return(self) -> Operation:
        assert self.function is not None, "there is a function by now"
        last = self.function.body.block.last_op
        assert isinstance(last, ReturnOp), "a function ends in func.return"
        return last

    @property
    def names(self) -> list[str]:
        """The derived parameters, in the order in which `@prepare` returns them."""
        if self.function is None or self.function.res_attrs is None:
            return []
        names = (attributes.data[NAME] for attributes in self.function.res_attrs)
        return [name.data for name in names if isinstance(name, StringAttr)]

    def value_of(self, name: str) -> SSAValue:
        """The parameter as a value inside of `@prepare`."""
        if name not in self._values:
            declared = self.declared[name].parameter_type
            get = GetParameterOp(name, declared)
            get.result.name_hint = None
            self.insert(get)
            self._values[name] = get.result
        return self._values[name]

    def insert(self, *ops: Operation) -> None:
        """Appends ops to the code of `@prepare`."""
        if self.function is None:
            self.function = FuncOp(
                PREPARE,
                FunctionType.from_lists([], []),
                Region(Block([ReturnOp()])),
                res_attrs=ArrayAttr([]),
            )
            self.module.body.block.add_op(self.function)
        self.function.body.block.insert_ops_before(ops, self._return)

    def define(self, name: str, value: SSAValue) -> str:
        """Declares a derived parameter with a value of `@prepare`; returns its unique name."""
        assert self.function is not None, "the value was inserted"
        of_type: AnyTensor = tensor_type(element_of(value), dims_of(value))
        unique = self._declare(name, lambda n: ParameterOp(n, of_type, derived=True))
        self._values[unique] = value
        end = self._return
        end.operands = [*end.operands, value]
        self._append_to_signature(unique, of_type)
        return unique

    def declare(self, name: str, value: Dense) -> str:
        """Declares a parameter whose value is written in the IR; returns its unique name."""
        of_type: AnyTensor = tensor_type(value.get_element_type(), value.get_shape())
        return self._declare(name, lambda n: ParameterOp(n, of_type, value=value))

    def _declare(self, name: str, make: Callable[[str], ParameterOp]) -> str:
        unique, count = name, 0
        while unique in self.declared:
            count += 1
            unique = f"{name}.{count}"
        self.declared[unique] = make(unique)
        Rewriter.insert_op(self.declared[unique], InsertPoint.at_start(self.module.body.block))
        return unique

    def _append_to_signature(self, name: str, of_type: AnyTensor) -> None:
        """Adds one result; what is known of the others is kept, for there may be hundreds."""
        function = self.function
        assert function is not None and function.res_attrs is not None
        types = [*function.function_type.outputs.data, of_type]
        function.function_type = FunctionType.from_lists([], types)
        named = DictionaryAttr({NAME: StringAttr(name)})
        function.res_attrs = ArrayAttr((*function.res_attrs.data, named))
