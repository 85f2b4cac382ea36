"""What all graph ops share: inferred result types, the verifier, and one assembly format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any, ClassVar, Self, TypeAlias, cast

from typing_extensions import TypeVar, override
from xdsl.dialects.builtin import (
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    TensorType,
    UnitAttr,
    bf16,
    f8E4M3FN,
    f16,
    f32,
    f64,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    BaseAttr,
    IRDLOperation,
    OptionalDef,
    VariadicDef,
    irdl_op_definition,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ait.dialects.graph.properties import IntArray, PropertyKind
from ait.dialects.symbolic import (
    Dim,
    DimsAttr,
    dims_of,
    symbols_of,
    tensor_type,
    to_text,
)
from ait.errors import ShapeError

AnyTensor: TypeAlias = TensorType[Attribute]
TENSOR = BaseAttr[AnyTensor](TensorType)
"""Constraint of every operand and result; `infer` says the rest, with better messages."""


class ElementKind(Enum):
    """The families of element types that ops distinguish."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"


ELEMENT_KINDS: dict[Attribute, ElementKind] = {
    **dict.fromkeys((f32, f16, bf16, f8E4M3FN), ElementKind.FLOAT),
    **dict.fromkeys((i64, i32, i8), ElementKind.INTEGER),
    i1: ElementKind.BOOLEAN,
}
FLOATS = (ElementKind.FLOAT,)
BOOLEANS = (ElementKind.BOOLEAN,)
NUMBERS = (ElementKind.FLOAT, ElementKind.INTEGER)
ANYTHING = tuple(ElementKind)

_KIND_TEXT = {
    FLOATS: "a float type (f32, f16, bf16, f8E4M3FN)",
    BOOLEANS: "i1",
    NUMBERS: "a number type (f32, f16, bf16, f8E4M3FN, i64, i32, i8)",
    (ElementKind.FLOAT, ElementKind.BOOLEAN): "a float type or i1",
    (ElementKind.INTEGER,): "an integer type (i64, i32, i8)",
    ANYTHING: "one of f32, f16, bf16, f8E4M3FN, i64, i32, i8, i1",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An operand as type inference sees it: its name in the op, element type and dims."""

    name: str
    element: Attribute
    dims: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        return len(self.dims)

    @property
    def kind(self) -> ElementKind:
        return ELEMENT_KINDS[self.element]

    def like(self, dims: Sequence[Dim]) -> AnyTensor:
        """A result of the same element type."""
        return tensor_type(self.element, dims)

    def __str__(self) -> str:
        return f"{self.name} {shape_text(self.dims)}"


def shape_text(dims: Iterable[Dim]) -> str:
    """`[batch, 4]`, as messages write a shape."""
    return f"[{', '.join(map(to_text, dims))}]"


def expect_elements(kinds: tuple[ElementKind, ...], *tensors: Tensor) -> None:
    """Raises unless each tensor's element type is of one of the kinds."""
    for tensor in tensors:
        if ELEMENT_KINDS.get(tensor.element) not in kinds:
            wanted = _KIND_TEXT[kinds]
            raise ShapeError(f"{tensor.name} has elements {tensor.element}, not {wanted}")


def expect_same_element(*tensors: Tensor) -> None:
    """Raises unless all tensors have one element type."""
    first = tensors[0]
    for other in tensors[1:]:
        if other.element != first.element:
            raise ShapeError(
                f"{first.name} has elements {first.element} but {other.name} {other.element}: "
                "cast one of them"
            )


def expect_rank(tensor: Tensor, rank: int) -> None:
    """Raises unless the tensor has exactly this rank."""
    if tensor.rank != rank:
        raise ShapeError(f"{tensor} must have rank {rank}")


def expect_dims(tensor: Tensor, dims: tuple[Dim, ...], reason: str) -> None:
    """Raises unless the tensor has exactly these dims."""
    if tensor.dims != dims:
        raise ShapeError(f"{tensor} must be {shape_text(dims)}: {reason}")


def expect_axis(axis: int, rank: int, name: str = "axis") -> int:
    """The axis, which stored properties count from the front; raises if there is none such."""
    if not 0 <= axis < rank:
        raise ShapeError(f"{name} = {axis} is outside [0, {rank})")
    return axis


def from_front(axis: int, value: SSAValue | Operation) -> int:
    """A constructor's axis, which may count from the end, as the stored one."""
    return axis + len(dims_of(SSAValue.get(value))) if axis < 0 else axis


def static_dim(tensor: Tensor, axis: int) -> int:
    """An extent that must be known."""
    dim = tensor.dims[axis]
    if not isinstance(dim, int):
        raise ShapeError(f"dim {axis} of {tensor} must be static")
    return dim


def broadcast(*tensors: Tensor) -> tuple[Dim, ...]:
    """NumPy's broadcasting: dims align at the right, 1 stretches, all others must be equal."""
    dims = tensors[0].dims
    for other in tensors[1:]:
        if other.dims != dims:
            dims = _broadcast_pair(tensors, dims, other.dims)
    return dims


def broadcast_dims(a: Sequence[Dim], b: Sequence[Dim], names: tuple[str, str]) -> tuple[Dim, ...]:
    """The broadcast of two shapes that are parts of operands, named for the message."""
    return _broadcast_pair((Tensor(names[0], f32, tuple(a)), Tensor(names[1], f32, tuple(b))), a, b)


def _broadcast_pair(
    tensors: Sequence[Tensor], a: Sequence[Dim], b: Sequence[Dim]
) -> tuple[Dim, ...]:
    rank = max(len(a), len(b))
    wide_a = (1,) * (rank - len(a)) + tuple(a)
    wide_b = (1,) * (rank - len(b)) + tuple(b)
    result: list[Dim] = []
    for axis, (left, right) in enumerate(zip(wide_a, wide_b, strict=True)):
        if left == right or right == 1:
            result.append(left)
        elif left == 1:
            result.append(right)
        else:
            operands = " and ".join(map(str, tensors))
            raise ShapeError(
                f"{operands} do not broadcast: {different(left, right)} in dim {axis - rank}"
            )
    return tuple(result)


def different(left: Dim, right: Dim) -> str:
    """`a against b`, with the symbols' bounds where the two dims print alike."""
    if to_text(left) != to_text(right):
        return f"{to_text(left)} against {to_text(right)}"
    return f"{_with_bounds(left)} against {_with_bounds(right)}"


def _with_bounds(dim: Dim) -> str:
    bounds = ", ".join(f"{s.name} in [{s.lower}, {s.upper}]" for s in symbols_of(dim))
    return f"{to_text(dim)} ({bounds})"


class GraphOp(IRDLOperation, ABC):
    """A pure op on tensors whose result types follow from its operands and properties.

    A subclass declares operands, results and properties, and implements `infer`. One assembly
    format serves all: operands, then properties and attributes, then all types (or the one type,
    where operands and the result have the same):

        %y = graph.softmax %x {axis = 1} : tensor<4x8xf32>
        %y = graph.cast %x : (tensor<4xf32>) -> tensor<4xf16>

    Properties that a result type tells already (`IMPLIED`) are not written.
    """

    traits = traits_def(Pure())

    IMPLIED: ClassVar[frozenset[str]] = frozenset()
    """Properties that `implied_properties` recovers from the types."""

    def __init__(self, operands: Sequence[SSAValue | Operation | None], **properties: Any):
        values = [
            value if isinstance(value, SSAValue) else SSAValue.get(value)
            for value in operands
            if value is not None
        ]
        kinds = type(self).property_kinds()
        if properties.keys() != kinds.keys():
            wrong = ", ".join(sorted(properties.keys() ^ kinds.keys()))
            raise TypeError(f"{self.name}: missing or unknown properties: {wrong}")
        stored: dict[str, Attribute] = {}
        for name, kind in kinds.items():  # one order, so that equal ops print alike
            try:
                attribute = kind.encode(properties[name])
                if attribute is not None:
                    stored[name] = kind.require(attribute, name)
            except ShapeError as error:
                raise ShapeError(f"{self.name}: {error}") from None
        Operation.__init__(
            self,
            operands=values,
            result_types=self.infer_types([value.type for value in values], stored),
            properties=stored,
        )

    def clone_onto(self, operands: Sequence[SSAValue], **changed: Any) -> Self:
        """The same op on other operands, with some properties changed, its result types inferred
        anew. Raises ShapeError where they do not fit."""
        kinds = type(self).property_kinds()
        properties = dict(self.properties)
        for name, value in changed.items():
            encoded = kinds[name].encode(value)
            if encoded is None:
                properties.pop(name, None)
            else:
                properties[name] = encoded
        new = type(self).create(
            operands=operands,
            result_types=self.infer_types([operand.type for operand in operands], properties),
            properties=properties,
            attributes=dict(self.attributes),
        )
        new.location = self.location
        return new

    @classmethod
    def property_kinds(cls) -> dict[str, PropertyKind]:
        """The kind of each property; `graph_op` gives each op its own."""
        raise NotImplementedError

    @classmethod
    @abstractmethod
    def infer(cls, *operands: Any, **properties: Any) -> AnyTensor | Sequence[AnyTensor]:
        """The result types, from operands as `Tensor`s and properties as Python values.

        Raises ShapeError, in terms of the operands' names and shapes.
        """

    @classmethod
    def operand_names(cls, count: int) -> Sequence[str]:
        """What messages call the operands, of which the op has `count`."""
        names: list[str] = []
        for name, definition in cls.get_irdl_definition().operands:
            if isinstance(definition, VariadicDef) and not isinstance(definition, OptionalDef):
                names.extend(f"{name}[{i}]" for i in range(count - len(names)))
            else:
                names.append(name)
        return names[:count]

    @classmethod
    def infer_types(
        cls, operand_types: Sequence[Attribute], properties: Mapping[str, Attribute]
    ) -> Sequence[AnyTensor]:
        """The result types. Raises ShapeError where operands and properties do not fit."""
        try:
            return cls._inferred(operand_types, properties)
        except (ShapeError, VerifyException) as error:
            raise ShapeError(f"{cls.name}: {error}") from None

    @classmethod
    def _inferred(
        cls, operand_types: Sequence[Attribute], properties: Mapping[str, Attribute]
    ) -> Sequence[AnyTensor]:
        names = cls.operand_names(len(operand_types))
        tensors = [
            Tensor(name, cast(AnyTensor, t).element_type, dims_of(t))
            for name, t in zip(names, operand_types, strict=True)
        ]
        decoded = {
            name: kind.decode(properties.get(name)) for name, kind in cls.property_kinds().items()
        }
        types = cls.infer(*tensors, **decoded)
        return [types] if isinstance(types, TensorType) else types

    def verify_(self) -> None:
        try:
            inferred = self._inferred(self.operand_types, self.properties)
        except ShapeError as error:
            raise VerifyException(str(error)) from None
        if list(inferred) != list(self.result_types):
            raise VerifyException(
                f"the result is {_types_text(self.result_types)}, "
                f"but operands and properties give {_types_text(inferred)}"
            )

    @classmethod
    def implied_properties(
        cls, result_types: Sequence[AnyTensor], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The values of `IMPLIED`, from what the assembly says: result types and properties.

        The text may be wrong: answer anything then, the verifier has the right message.
        """
        return {}

    @classmethod
    @override
    def parse(cls, parser: Parser) -> GraphOp:
        operands = parser.parse_optional_undelimited_comma_separated_list(
            parser.parse_optional_unresolved_operand, parser.parse_unresolved_operand
        )
        operands = operands or []
        entries = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        position = parser.pos
        function_type = parser.parse_optional_function_type()
        if function_type is None:
            operand_types: Sequence[Attribute] = [parser.parse_type()] * max(len(operands), 1)
            result_types, operand_types = operand_types[:1], operand_types[: len(operands)]
        else:
            operand_types, result_types = function_type.inputs.data, function_type.outputs.data
        for given in (*operand_types, *result_types):
            if not isinstance(given, TensorType):
                parser.raise_error(f"{cls.name} takes tensors, not {given}", position, parser.pos)

        kinds = cls.property_kinds()
        properties = {
            name: kinds[name].from_text(entries.pop(name)) for name in kinds if name in entries
        }
        if cls.IMPLIED and result_types:
            properties |= cls._implied(cast(Sequence[AnyTensor], result_types), properties)
        return cls.create(
            operands=parser.resolve_operands(operands, operand_types, position),
            result_types=result_types,
            properties={name: properties[name] for name in kinds if name in properties},
            attributes=entries,
        )

    @classmethod
    def _implied(
        cls, result_types: Sequence[AnyTensor], properties: Mapping[str, Attribute]
    ) -> dict[str, Attribute]:
        kinds = cls.property_kinds()
        given = {
            name: kinds[name].decode(attribute)
            for name, attribute in properties.items()
            if kinds[name].accepts(attribute)
        }
        try:
            implied = cls.implied_properties(result_types, given)
        except ShapeError:  # a dynamic dim without a name: the verifier says so
            return {}
        return {name: cast(Attribute, kinds[name].encode(v)) for name, v in implied.items()}

    @override
    def print(self, printer: Printer) -> None:
        if self.operands:
            printer.print_string(" ")
            printer.print_list(self.operands, printer.print_ssa_value)
        entries = [
            (name, value, True)
            for name, value in self.properties.items()
            if name not in self.IMPLIED
        ]
        entries.extend((name, value, False) for name, value in self.attributes.items())
        if entries:
            printer.print_string(" ")
            with printer.in_braces():
                printer.print_list(entries, lambda entry: _print_entry(printer, *entry))
        printer.print_string(" : ")
        types = {*self.operand_types, *self.result_types}
        if len(types) == 1 and len(self.results) == 1:
            printer.print_attribute(self.results[0].type)
        else:
            printer.print_function_type(self.operand_types, self.result_types)


OpT = TypeVar("OpT", bound=GraphOp)


def graph_op(cls: type[OpT]) -> type[OpT]:
    """Class decorator of every graph op: its IRDL definition, and properties as Python values."""
    cls = irdl_op_definition(cls)
    definition = cls.get_irdl_definition()
    kinds = {
        name: constraint
        for name, declared in definition.properties.items()
        if isinstance(constraint := declared.constr, PropertyKind)
    }
    for accessor, (name, _) in definition.accessor_names.items():
        if name in kinds:
            setattr(cls, accessor, _reader(name, kinds[name]))
    cls.property_kinds = classmethod(lambda _: kinds)  # pyright: ignore[reportAttributeAccessIssue]
    return cls


def _reader(name: str, kind: PropertyKind) -> property:
    return property(lambda op: kind.decode(op.properties.get(name)))


def _types_text(types: Iterable[Attribute]) -> str:
    return ", ".join(map(str, types))


def _print_entry(printer: Printer, name: str, value: Attribute, shorter: bool) -> None:
    """`name = value`, without the i64 and f64 types that the parser assumes anyway."""
    printer.print_identifier_or_string_literal(name)
    if isinstance(value, UnitAttr):
        return
    printer.print_string(" = ")
    text = _number_text(value)
    if text is None and shorter:
        text = _list_text(value)
    if text is None:
        printer.print_attribute(value)
    else:
        printer.print_string(text)


def _number_text(value: Attribute) -> str | None:
    if isinstance(value, IntegerAttr) and cast(IntegerAttr, value).type == i64:
        return str(cast(IntegerAttr, value).value.data)
    if isinstance(value, FloatAttr) and cast(FloatAttr, value).type == f64:
        return _float_text(cast(FloatAttr, value).value.data)
    return None


def _float_text(value: float) -> str | None:
    """The shortest float literal that reads back as `value`; infinities and NaN have none."""
    if not isfinite(value):
        return None
    mantissa, mark, exponent = repr(value).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + mark + exponent


def _list_text(value: Attribute) -> str | None:
    """`[1, 2]` for lists of static numbers, which `PropertyKind.from_text` reads back."""
    if isinstance(value, DenseArrayBase) and cast(IntArray, value).elt_type == i64:
        return str(list(cast(IntArray, value).get_values()))
    if isinstance(value, DimsAttr) and all(isinstance(dim, int) for dim in value.data):
        return shape_text(value.data)
    return None
