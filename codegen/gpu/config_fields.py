"""Configs as attributes: `#target.kernel<name = value, ..., flag>`.

A config is a frozen dataclass. Its fields are the table by which the attribute is read and printed:
each is by its type a number, a word of a StrEnum, a list of numbers or of quoted texts, or a flag,
which is there or not. They are printed in their order and read in any. Left out are what is None
and defaults that are marked `omitted`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast, get_args, get_type_hints

from xdsl.ir import Data
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

_T = TypeVar("_T")
_Item: TypeAlias = int | str
_Value: TypeAlias = int | str | tuple[_Item, ...]


class Config(Protocol):
    """The choices that make a kernel: a frozen dataclass."""

    def problems(self) -> list[str]:
        """What the kernel would refuse."""
        ...


_C = TypeVar("_C", bound=Config)


def omitted(value: _T) -> _T:
    """A field's default that texts leave out."""
    return field(default=value, metadata={"omitted": True})


class ConfigAttr(Data[_C], Generic[_C]):
    """An attribute that holds a config. `class GemmAttr(ConfigAttr[GemmConfig])` with a name is a
    whole definition; the verifier refuses a config that has problems."""

    def verify(self) -> None:
        if problems := self.data.problems():
            raise VerifyException(f"{self.name}: {'; '.join(problems)}")

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> _C:
        config = _config_of(cls)
        values = _parse_values(parser)
        known = {form.name: form.take(parser, values) for form in _forms(config)}
        if values:
            parser.raise_error(f"unknown {', '.join(values)}")
        return config(**known)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(filter(None, map(self._text, _forms(type(self.data))))))

    def _text(self, form: _Form) -> str:
        return form.text(getattr(self.data, form.name))


_REQUIRED = object()


@dataclass(frozen=True)
class _Form:
    """How a field is written: its name, the type of its value, and the value that is left out."""

    name: str
    kind: Any
    default: object = _REQUIRED

    def take(self, parser: AttrParser, values: dict[str, _Value]) -> object:
        """The value of the field, which `values` then lacks."""
        if self.name not in values and self.default is not _REQUIRED:
            return self.default
        value = values.pop(self.name, None)
        if members := get_args(self.kind):
            return self._list(parser, value, members)
        if issubclass(self.kind, Enum):
            words = [str(member.value) for member in self.kind]
            if isinstance(value, str) and value not in words:
                parser.raise_error(f"{self.name} must be one of {', '.join(words)}")
            return self.kind(self._checked(parser, value, str))
        return self._checked(parser, value, self.kind)

    def _list(self, parser: AttrParser, value: object, members: tuple[type, ...]) -> object:
        items = cast(tuple[_Item, ...], self._checked(parser, value, tuple))
        if [type(item) for item in items] != list(members):
            parser.raise_error(f"{self.name} needs {len(members)} {_NAMES[members[0]]}")
        return items

    def _checked(self, parser: AttrParser, value: object, kind: type[_T]) -> _T:
        # Exactly this type: a flag is no number.
        if type(value) is not kind:
            parser.raise_error(f"expected a value for {self.name}")
        return cast(_T, value)

    def text(self, value: object) -> str:
        """`name = value`, a flag's name, or nothing."""
        if value == self.default:
            return ""
        return self.name if value is True else f"{self.name} = {_value_text(value)}"


_NAMES = {int: "numbers", str: "texts"}


def _config_of(attribute: type[ConfigAttr[_C]]) -> type[_C]:
    """GemmConfig for a subclass of ConfigAttr[GemmConfig]."""
    (base,) = cast(Any, attribute).__orig_bases__
    (config,) = get_args(base)
    return config


@cache
def _forms(config: Any) -> tuple[_Form, ...]:
    """The table of a config's fields."""
    hints = get_type_hints(config)
    return tuple(_form(own.name, hints[own.name], own) for own in fields(config))


def _form(name: str, hint: Any, own: Any) -> _Form:
    if hint is bool:
        return _Form(name, bool, False)
    if NoneType in get_args(hint):
        (kind,) = (kind for kind in get_args(hint) if kind is not NoneType)
        return _Form(name, kind, None)
    return _Form(name, hint, own.default if own.metadata.get("omitted") else _REQUIRED)


def _parse_values(parser: AttrParser) -> dict[str, _Value]:
    """`<name = value, ..., flag>`, each name once."""
    values: dict[str, _Value] = {}

    def parse_field() -> None:
        name = parser.parse_identifier()
        if name in values:
            parser.raise_error(f"{name} is given twice")
        has_value = parser.parse_optional_punctuation("=") is not None
        values[name] = _parse_value(parser) if has_value else True

    parser.parse_comma_separated_list(parser.Delimiter.ANGLE, parse_field)
    return values


def _parse_value(parser: AttrParser) -> _Value:
    def parse_item() -> _Item:
        text = parser.parse_optional_str_literal()
        return text if text is not None else parser.parse_integer(allow_boolean=False)

    items = parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, parse_item)
    if items is not None:
        return tuple(items)
    word = parser.parse_optional_identifier()
    return word if word is not None else parser.parse_integer(allow_boolean=False)


def _value_text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value_text, cast(tuple[_Item, ...], value)))}]"
    if isinstance(value, StrEnum):
        return value.value
    return f'"{value}"' if isinstance(value, str) else str(value)
