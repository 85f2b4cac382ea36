"""How graph ops hold their parameters: attributes in the IR, plain Python values in code.

`axis = int_property()` in the body of an op declares the property `axis`. It is stored as a
standard attribute (`1 : i64`), `op.axis` is an `int`, and the custom assembly writes `axis = 1`.
Every value has one stored form, so equal ops compare equal and survive a round trip unchanged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from typing_extensions import TypeVar, override
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    UnitAttr,
    f64,
    i64,
)
from xdsl.ir import Attribute
from xdsl.irdl import AttrConstraint, VerificationContext, opt_prop_def, prop_def
from xdsl.irdl.constraints import IntConstraint
from xdsl.utils.exceptions import VerifyException

from ait.dialects.symbolic import Dim, DimsAttr
from ait.errors import ShapeError

IntArray: TypeAlias = DenseArrayBase[IntegerType]

_UNIT = UnitAttr()


@dataclass(frozen=True)
class PropertyKind(AttrConstraint[Attribute], ABC):
    """A kind of parameter: the constraint on its attribute, and its value in Python."""

    @abstractmethod
    def encode(self, value: Any) -> Attribute | None:
        """The attribute that stores a value; None where the property is then left out."""

    @abstractmethod
    def decode(self, attribute: Attribute | None) -> Any:
        """The value that a stored attribute means."""

    @abstractmethod
    def expected(self) -> str:
        """What a valid attribute is, for messages."""

    @abstractmethod
    def accepts(self, attribute: Attribute) -> bool:
        """Whether the attribute is of this kind."""

    def from_text(self, attribute: Attribute) -> Attribute:
        """The stored form of what the custom assembly's attribute dictionary says."""
        return attribute

    def require(self, attribute: Attribute, name: str) -> Attribute:
        """The attribute, or a ShapeError that names the property."""
        if not self.accepts(attribute):
            raise ShapeError(f"{name} must be {self.expected()}, not {attribute}")
        return attribute

    @override
    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        if not self.accepts(attr):
            raise VerifyException(f"expected {self.expected()}, got {attr}")

    @override
    def mapping_type_vars(
        self, type_var_mapping: Mapping[TypeVar, AttrConstraint | IntConstraint]
    ) -> PropertyKind:
        return self


@dataclass(frozen=True)
class IntKind(PropertyKind):
    """An `int`, stored as an i64 IntegerAttr."""

    def encode(self, value: int) -> Attribute:
        return IntegerAttr(value, i64)

    def decode(self, attribute: Attribute | None) -> int:
        return cast(IntegerAttr, attribute).value.data

    def expected(self) -> str:
        return "an i64 integer"

    def accepts(self, attribute: Attribute) -> bool:
        return isinstance(attribute, IntegerAttr) and cast(IntegerAttr, attribute).type == i64


@dataclass(frozen=True)
class FloatKind(PropertyKind):
    """A `float`, stored as an f64 FloatAttr."""

    def encode(self, value: float) -> Attribute:
        return FloatAttr(float(value), f64)

    def decode(self, attribute: Attribute | None) -> float:
        return cast(FloatAttr, attribute).value.data

    def expected(self) -> str:
        return "an f64 number"

    def accepts(self, attribute: Attribute) -> bool:
        return isinstance(attribute, FloatAttr) and cast(FloatAttr, attribute).type == f64

    def from_text(self, attribute: Attribute) -> Attribute:
        if isinstance(attribute, IntegerAttr):
            return self.encode(cast(IntegerAttr, attribute).value.data)
        return attribute


@dataclass(frozen=True)
class NumberKind(PropertyKind):
    """An `int` or a `float` as the operand's element type asks; None where absent."""

    def encode(self, value: int | float | None) -> Attribute | None:
        if value is None:
            return None
        return FloatAttr(value, f64) if isinstance(value, float) else IntegerAttr(int(value), i64)

    def decode(self, attribute: Attribute | None) -> int | float | None:
        if attribute is None:
            return None
        return cast(IntegerAttr | FloatAttr, attribute).value.data

    def expected(self) -> str:
        return "an i64 integer or an f64 number"

    def accepts(self, attribute: Attribute) -> bool:
        return IntKind().accepts(attribute) or FloatKind().accepts(attribute)


@dataclass(frozen=True)
class FlagKind(PropertyKind):
    """A `bool`: a UnitAttr if true, absent if false."""

    def encode(self, value: bool) -> Attribute | None:
        return _UNIT if value else None

    def decode(self, attribute: Attribute | None) -> bool:
        return attribute is not None

    def expected(self) -> str:
        return "a flag without a value"

    def accepts(self, attribute: Attribute) -> bool:
        return isinstance(attribute, UnitAttr)


@dataclass(frozen=True)
class ChoiceKind(PropertyKind):
    """One of a few names, stored as a StringAttr."""

    choices: tuple[str, ...]

    def encode(self, value: str) -> Attribute:
        return StringAttr(value)

    def decode(self, attribute: Attribute | None) -> str:
        return cast(StringAttr, attribute).data

    def expected(self) -> str:
        return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)

    def accepts(self, attribute: Attribute) -> bool:
        return isinstance(attribute, StringAttr) and attribute.data in self.choices


@dataclass(frozen=True)
class IntsKind(PropertyKind):
    """A `tuple[int, ...]`, of a fixed length if one is given, stored as an i64 DenseArrayBase."""

    length: int | None = None

    def encode(self, value: Sequence[int]) -> Attribute:
        return DenseArrayBase.from_list(i64, list(value))

    def decode(self, attribute: Attribute | None) -> tuple[int, ...]:
        return cast(IntArray, attribute).get_values()

    def expected(self) -> str:
        return "i64 integers" if self.length is None else f"{self.length} i64 integers"

    def accepts(self, attribute: Attribute) -> bool:
        if not isinstance(attribute, DenseArrayBase):
            return False
        array = cast(IntArray, attribute)
        return array.elt_type == i64 and self.length in (None, len(array))

    def from_text(self, attribute: Attribute) -> Attribute:
        values = _integers(attribute)
        return attribute if values is None else self.encode(values)


@dataclass(frozen=True)
class DimsKind(PropertyKind):
    """A tuple of dims, stored as a DimsAttr; static ones are written `[2, 3]`."""

    def encode(self, value: Sequence[Dim]) -> Attribute:
        try:
            return DimsAttr(tuple(value))
        except VerifyException as error:
            raise ShapeError(str(error)) from None

    def decode(self, attribute: Attribute | None) -> tuple[Dim, ...]:
        return cast(DimsAttr, attribute).data

    def expected(self) -> str:
        return "dims"

    def accepts(self, attribute: Attribute) -> bool:
        return isinstance(attribute, DimsAttr)

    def from_text(self, attribute: Attribute) -> Attribute:
        values = _integers(attribute)
        return attribute if values is None else self.encode(values)


@dataclass(frozen=True)
class AttributeKind(PropertyKind):
    """Any attribute, kept as it is."""

    def encode(self, value: Attribute) -> Attribute:
        return value

    def decode(self, attribute: Attribute | None) -> Attribute | None:
        return attribute

    def expected(self) -> str:
        return "an attribute"

    def accepts(self, attribute: Attribute) -> bool:
        return True


def _integers(attribute: Attribute) -> list[int] | None:
    """The values of `[1, 2]` as the parser gives them, or None for anything else."""
    if not isinstance(attribute, ArrayAttr):
        return None
    items = list(cast(ArrayAttr[Attribute], attribute))
    if not all(isinstance(item, IntegerAttr) for item in items):
        return None
    return [cast(IntegerAttr, item).value.data for item in items]


# Declarations for the bodies of op classes. Their static type is that of `op.<name>`, into which
# `graph_op` (base.py) turns the accessor.


def int_property() -> int:
    return cast(int, prop_def(IntKind()))


def float_property() -> float:
    return cast(float, prop_def(FloatKind()))


def number_property() -> int | float:
    return cast(int, prop_def(NumberKind()))


def optional_number_property() -> int | float | None:
    return cast(int, opt_prop_def(NumberKind()))


def flag_property() -> bool:
    return cast(bool, opt_prop_def(FlagKind()))


def choice_property(*choices: str) -> str:
    return cast(str, prop_def(ChoiceKind(choices)))


def ints_property(length: int | None = None) -> tuple[int, ...]:
    return cast(tuple[int, ...], prop_def(IntsKind(length)))


def dims_property() -> tuple[Dim, ...]:
    return cast(tuple[Dim, ...], prop_def(DimsKind()))


def attribute_property() -> Attribute:
    return prop_def(AttributeKind())
