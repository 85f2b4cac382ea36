"""The text of config attributes: `#target.kernel<name = value, ..., flag>`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias, TypeVar, cast

from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

_Value: TypeAlias = int | str | tuple[int, ...]
_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


def verify_config(name: str, problems: Sequence[str]) -> None:
    """Raises VerifyException if a config has problems."""
    if problems:
        raise VerifyException(f"{name}: " + "; ".join(problems))


class ConfigFields:
    """The fields `name = value, ..., flag` between angle brackets, each taken at most once."""

    def __init__(self, parser: AttrParser):
        self._parser = parser
        self._values: dict[str, _Value] = {}
        parser.parse_comma_separated_list(parser.Delimiter.ANGLE, self._field)

    def _field(self) -> None:
        name = self._parser.parse_identifier()
        if name in self._values:
            self._parser.raise_error(f"{name} is given twice")
        has_value = self._parser.parse_optional_punctuation("=") is not None
        self._values[name] = self._value() if has_value else True

    def _value(self) -> _Value:
        parser = self._parser
        numbers = parser.parse_optional_comma_separated_list(
            parser.Delimiter.SQUARE, partial(parser.parse_integer, allow_boolean=False)
        )
        if numbers is not None:
            return tuple(numbers)
        word = parser.parse_optional_identifier()
        return word if word is not None else parser.parse_integer(allow_boolean=False)

    def _take(self, name: str, kind: type[_T]) -> _T:
        value = self._values.pop(name, None)
        if not isinstance(value, kind):
            self._parser.raise_error(f"expected a value for {name}")
        return value

    def number(self, name: str) -> int:
        return self._take(name, int)

    def optional_number(self, name: str) -> int | None:
        return self.number(name) if name in self._values else None

    def flag(self, name: str) -> bool:
        return name in self._values and self._take(name, bool)

    def choice(self, name: str, kind: type[_E]) -> _E:
        word = self._take(name, str)
        if word not in list(kind):
            self._parser.raise_error(f"{name} must be one of {', '.join(kind)}")
        return kind(word)

    def optional_choice(self, name: str, kind: type[_E]) -> _E | None:
        return self.choice(name, kind) if name in self._values else None

    def numbers(self, name: str, count: int) -> tuple[int, ...]:
        values = cast(tuple[int, ...], self._take(name, tuple))
        if len(values) != count:
            self._parser.raise_error(f"{name} needs {count} numbers")
        return values

    def triple(self, name: str) -> tuple[int, int, int]:
        first, second, third = self.numbers(name, 3)
        return first, second, third

    def pair(self, name: str) -> tuple[int, int]:
        first, second = self.numbers(name, 2)
        return first, second

    def finish(self) -> None:
        """Refuses fields that nobody took."""
        if self._values:
            self._parser.raise_error(f"unknown {', '.join(self._values)}")


def print_fields(printer: Printer, texts: Sequence[str]) -> None:
    """Prints fields between angle brackets."""
    with printer.in_angle_brackets():
        printer.print_string(", ".join(texts))
