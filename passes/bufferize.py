"""bufferize: tensors become buffers; destinations become allocations or the caller's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects import memref
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FunctionType,
    MemRefType,
    ModuleOp,
    StringAttr,
    SymbolRefAttr,
    UnitAttr,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.functions import NAME, OUTPUT, functions_of, value_name
from ait.dialects.graph import GetParameterOp, ParameterOp
from ait.dialects.kernel import BufferOp, CopyOp, EmptyOp, KernelOp
from ait.dialects.symbolic import dims_of, element_of, memref_type
from ait.errors import CompileError


def buffer_type(value: SSAValue) -> MemRefType[Attribute]:
    """The dense buffer that holds a tensor."""
    return memref_type(element_of(value), dims_of(value))


def destination_of(value: SSAValue) -> SSAValue:
    """The tensor whose storage a value updates: through destinations to where they begin."""
    while isinstance(value.owner, KernelOp):
        kernel = value.owner
        value = kernel.outs[kernel.res.index(value)]
    return value


def global_of(parameter: ParameterOp) -> memref.GlobalOp:
    """The buffer of a parameter, whose data lies beside the IR."""
    declared = parameter.parameter_type
    buffer = memref.GlobalOp.get(
        parameter.sym_name,
        memref_type(declared.element_type, dims_of(declared)),
        parameter.value or UnitAttr(),
        sym_visibility=StringAttr("private"),
        constant=UnitAttr(),
    )
    if parameter.derived is not None:
        buffer.attributes["derived"] = UnitAttr()
    return buffer


@dataclass
class _Bufferizer:
    """Rewrites one function; `buffers` maps each tensor to the buffer that holds it."""

    function: FuncOp
    buffers: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])

    def run(self) -> None:
        block = self.function.body.block
        returned = block.last_op
        assert isinstance(returned, ReturnOp), "a function ends in func.return"
        for argument in list(block.args):
            self._retype_argument(block, argument)
        names = self._result_names(len(returned.operands))
        outputs = [
            block.insert_arg(buffer_type(value), len(block.args)) for value in returned.operands
        ]
        for output, name in zip(outputs, names, strict=True):
            output.name_hint = value_name(name)
        copies = self._assign_outputs(returned, outputs)
        for op in list(block.ops):
            self._rewrite(op)
        for source, output in copies:
            dense = AccessMap.dense(dims_of(output))
            copy = CopyOp([self.buffers[source]], [output], [dense], [dense])
            block.insert_op_before(copy, returned)
        block.insert_op_after(ReturnOp(), returned)
        for op in reversed(list(block.ops)):
            if not isinstance(op, KernelOp | BufferOp | memref.GetGlobalOp) or (
                isinstance(op, KernelOp) and not op.on_buffers
            ):
                if op is block.last_op:
                    continue
                op.detach()
                op.erase()
        self._set_signature(block, names)

    def _retype_argument(self, block: Block, old: SSAValue) -> None:
        new = block.insert_arg(buffer_type(old), len(block.args))
        new.name_hint = old.name_hint
        self.buffers[old] = new

    def _result_names(self, count: int) -> list[str]:
        attributes = self.function.res_attrs
        if attributes is None:
            return [f"output_{i}" for i in range(count)]
        names = (entry.data.get(NAME) for entry in attributes)
        return [
            name.data if isinstance(name, StringAttr) else f"output_{i}"
            for i, name in enumerate(names)
        ]

    def _assign_outputs(
        self, returned: ReturnOp, outputs: Sequence[SSAValue]
    ) -> list[tuple[SSAValue, SSAValue]]:
        """Lets kernels write outputs directly; the others (inputs, weights, twice) are copied."""
        copies: list[tuple[SSAValue, SSAValue]] = []
        for value, output in zip(returned.operands, outputs, strict=True):
            root = destination_of(value)
            fresh = isinstance(root.owner, EmptyOp) and root not in self.buffers
            if fresh and buffer_type(root) == output.type:
                self.buffers[root] = output
            else:
                copies.append((value, output))
        return copies

    def _rewrite(self, op: Operation) -> None:
        block = self.function.body.block
        if isinstance(op, EmptyOp):
            if op.result not in self.buffers:
                allocation = BufferOp(buffer_type(op.result))
                allocation.result.name_hint = op.result.name_hint
                block.insert_op_before(allocation, op)
                self.buffers[op.result] = allocation.result
        elif isinstance(op, GetParameterOp):
            name = op.parameter.root_reference
            get = memref.GetGlobalOp(SymbolRefAttr(name), buffer_type(op.result))
            get.memref.name_hint = op.result.name_hint
            block.insert_op_before(get, op)
            self.buffers[op.result] = get.memref
        elif isinstance(op, KernelOp):
            self._rewrite_kernel(op, block)
        elif not isinstance(op, ReturnOp) and not isinstance(op, BufferOp):
            raise CompileError(f"bufferize: {op.name} must be lowered to a kernel op before")

    def _rewrite_kernel(self, op: KernelOp, block: Block) -> None:
        properties = dict(op.properties)
        outs = [self.buffers[out] for out in op.outs]
        kernel = type(op).create(
            operands=[*(self.buffers[value] for value in op.ins), *outs],
            properties=properties,
            attributes=dict(op.attributes),
            location=op.location,
            regions=[op.detach_region(region) for region in list(op.regions)],
        )
        block.insert_op_before(kernel, op)
        for result, out in zip(op.res, outs, strict=True):
            if out.name_hint is None and isinstance(out.owner, BufferOp):
                out.name_hint = result.name_hint
            self.buffers[result] = out

    def _set_signature(self, block: Block, names: Sequence[str]) -> None:
        old = [argument for argument in block.args if not isinstance(argument.type, MemRefType)]
        for argument in old:
            block.erase_arg(argument)
        types = [argument.type for argument in block.args]
        self.function.function_type = FunctionType.from_lists(types, [])
        given = self.function.arg_attrs
        inputs = list(given) if given is not None else [DictionaryAttr({}) for _ in old]
        outputs = [DictionaryAttr({NAME: StringAttr(name), OUTPUT: UnitAttr()}) for name in names]
        self.function.arg_attrs = ArrayAttr([*inputs, *outputs])
        self.function.res_attrs = None


@dataclass(frozen=True)
class BufferizePass(ModulePass):
    """Turns functions on tensors into functions on buffers.

    Before: `func.func @main(%x : tensor<4xf32>) -> tensor<4xf32>`, with `kernel.empty`s
    After:  `func.func @main(%x : memref<4xf32>, %y : memref<4xf32>)`, with `kernel.buffer`s

    Outputs are trailing arguments, marked `ait.output`; kernels write them directly. Inputs,
    weights and outputs cost no memory of the model's own.
    """

    name = "bufferize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for parameter in list(op.body.block.ops):
            if isinstance(parameter, ParameterOp):
                Rewriter.replace_op(parameter, global_of(parameter))
        for function in functions_of(op):
            _Bufferizer(function).run()
