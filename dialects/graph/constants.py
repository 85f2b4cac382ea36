"""Values that are no function of operands: constants, indices and the model's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, cast

from typing_extensions import override
from xdsl.dialect_interfaces.constant_materialization import ConstantMaterializationInterface
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    FlatSymbolRefAttrConstr,
    IntegerType,
    ModuleOp,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
    UnitAttr,
    f32,
    i32,
    i64,
)
from xdsl.interfaces import HasFolderInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import ConstantLike, Pure, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from ait.dialects.graph.base import (
    ANYTHING,
    ELEMENT_KINDS,
    TENSOR,
    AnyTensor,
    GraphOp,
    Tensor,
    expect_axis,
    expect_elements,
    graph_op,
)
from ait.dialects.graph.properties import (
    attribute_property,
    dims_property,
    int_property,
)
from ait.dialects.symbolic import Dim, dims_of, lower_bound, tensor_type, to_text
from ait.errors import ShapeError

Dense: TypeAlias = DenseIntOrFPElementsAttr[IntegerType | AnyFloat]
"""Literal data, in a tensor type of the IR's element types."""


@graph_op
class ConstantOp(GraphOp, HasFolderInterface):
    """A tensor known at compile time, held in the IR: `graph.constant dense<1.0> : tensor<4xf32>`.

    Large data belongs into a parameter.
    """

    name = "graph.constant"
    value = attribute_property()
    result = result_def(TENSOR)
    traits = traits_def(ConstantLike())

    def __init__(self, value: Dense):
        super().__init__((), value=value)

    @property
    def dense(self) -> Dense:
        """The value with its static type."""
        return cast(Dense, self.value)

    @override
    @classmethod
    def infer(cls, *, value: Attribute) -> AnyTensor:
        if not isinstance(value, DenseIntOrFPElementsAttr):
            raise ShapeError(f"value must be dense elements, not {value}")
        given = cast(Dense, value).type
        if not isinstance(given, TensorType):
            raise ShapeError(f"value must be a tensor, not {given}")
        result = cast(AnyTensor, given)
        expect_elements(ANYTHING, Tensor("value", result.element_type, ()))
        dims_of(result)
        return result

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        return (self.value,)

    @override
    @classmethod
    def parse(cls, parser: Parser) -> ConstantOp:
        attributes = parser.parse_optional_attr_dict()
        value = _parse_dense(parser)
        return cls.create(
            result_types=[value.type], properties={"value": value}, attributes=attributes
        )

    @override
    def print(self, printer: Printer) -> None:
        printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        printer.print_attribute(self.value)


def _parse_dense(parser: Parser) -> Dense:
    position = parser.pos
    value = parser.parse_attribute()
    if not isinstance(value, DenseIntOrFPElementsAttr):
        parser.raise_error(f"expected dense elements, not {value}", position, parser.pos)
    return cast(Dense, value)


@graph_op
class IotaOp(GraphOp):
    """The tensor whose elements are their index along `axis`: i64, i32 or f32."""

    name = "graph.iota"
    IMPLIED: ClassVar = frozenset({"dims", "element"})
    result = result_def(TENSOR)
    axis = int_property()
    dims = dims_property()
    element = attribute_property()

    def __init__(self, dims: Sequence[Dim], *, axis: int = 0, element: Attribute = i64):
        axis = axis + len(dims) if axis < 0 else axis
        super().__init__((), axis=axis, dims=dims, element=element)

    @override
    @classmethod
    def infer(cls, *, axis: int, dims: tuple[Dim, ...], element: Attribute) -> AnyTensor:
        if element not in (i64, i32, f32):
            raise ShapeError(f"element must be i64, i32 or f32, not {element}")
        expect_axis(axis, len(dims))
        for dim in dims:
            if lower_bound(dim) < 0:
                raise ShapeError(f"dims must not be negative: {to_text(dim)}")
        return tensor_type(element, dims)

    @override
    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        result = result_types[0]
        return {"dims": dims_of(result), "element": result.element_type}


@irdl_op_definition
class ParameterOp(IRDLOperation):
    """Declares a weight of the model, at module level; its value lies beside the IR.

    A `derived` parameter's value is computed from others by the module's function `@prepare`. A
    small table that is part of the model's code, not of its training, is written in the IR:
    `graph.parameter @table = dense<[1, 2]> : tensor<2xi64>`.
    """

    name = "graph.parameter"
    sym_name = prop_def(SymbolNameConstraint())
    parameter_type = prop_def(TENSOR)
    derived = opt_prop_def(UnitAttr)
    value = opt_prop_def(DenseIntOrFPElementsAttr[IntegerType | AnyFloat])
    traits = traits_def(SymbolOpInterface())

    def __init__(
        self,
        name: str,
        parameter_type: AnyTensor,
        *,
        derived: bool = False,
        value: Dense | None = None,
    ):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "parameter_type": parameter_type,
                "derived": UnitAttr() if derived else None,
                "value": value,
            }
        )

    def verify_(self) -> None:
        if self.parameter_type.element_type not in ELEMENT_KINDS:
            raise VerifyException(
                f"parameter @{self.sym_name.data} has elements of an unsupported type: "
                f"{self.parameter_type}"
            )
        if self.value is not None and self.value.type != self.parameter_type:
            raise VerifyException(
                f"parameter @{self.sym_name.data} is {self.parameter_type}, but its value is "
                f"{self.value.type}"
            )
        if not self.parameter_type.has_static_shape():
            raise VerifyException(
                f"parameter @{self.sym_name.data} has a dynamic shape: {self.parameter_type}"
            )

    @override
    @classmethod
    def parse(cls, parser: Parser) -> ParameterOp:
        properties: dict[str, Attribute] = {"sym_name": parser.parse_symbol_name()}
        if parser.parse_optional_keyword("derived") is not None:
            properties["derived"] = UnitAttr()
        if parser.parse_optional_punctuation("=") is not None:
            value = _parse_dense(parser)
            properties |= {"parameter_type": value.type, "value": value}
        else:
            parser.parse_punctuation(":")
            properties["parameter_type"] = parser.parse_type()
        return cls.create(properties=properties, attributes=parser.parse_optional_attr_dict())

    @override
    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(" derived" if self.derived is not None else "")
        printer.print_string(" : " if self.value is None else " = ")
        printer.print_attribute(self.parameter_type if self.value is None else self.value)
        printer.print_op_attributes(self.attributes)


@irdl_op_definition
class GetParameterOp(IRDLOperation):
    """The value of the module's parameter of that name."""

    name = "graph.get_parameter"
    parameter = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(TENSOR)
    traits = traits_def(Pure())
    assembly_format = "$parameter `:` type($result) attr-dict"

    def __init__(self, name: str, parameter_type: AnyTensor):
        super().__init__(
            result_types=[parameter_type], properties={"parameter": SymbolRefAttr(name)}
        )

    @property
    def parameter_name(self) -> str:
        """The parameter's symbol."""
        return self.parameter.root_reference.data

    def verify_(self) -> None:
        module = _module_of(self)
        if module is None:
            return
        # Not `SymbolTable.lookup_symbol`, which is ten times slower, for each of many parameters.
        for op in module.body.block.ops:
            if isinstance(op, ParameterOp) and op.sym_name.data == self.parameter_name:
                if op.parameter_type != self.result.type:
                    raise VerifyException(
                        f"the result is {self.result.type}, but parameter "
                        f"@{self.parameter_name} is {op.parameter_type}"
                    )
                return
        raise VerifyException(f"the module has no parameter @{self.parameter_name}")


def _module_of(op: Operation) -> ModuleOp | None:
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, ModuleOp):
        parent = parent.parent_op()
    return parent


class ConstantMaterialization(ConstantMaterializationInterface):
    """How folding makes a `graph.constant` of a dense attribute."""

    def materialize_constant(self, value: Attribute, type: Attribute) -> Operation | None:
        if isinstance(value, DenseIntOrFPElementsAttr) and isinstance(type, TensorType):
            return ConstantOp(cast(Dense, value))
        return None
