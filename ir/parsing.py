"""IR text -> modules: xDSL's parser with its gaps filled, and errors that say where they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from typing_extensions import override
from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, ModuleOp
from xdsl.ir import Operation
from xdsl.parser import Parser
from xdsl.parser.generic_parser import ParserState
from xdsl.utils.exceptions import DiagnosticException, ParseError, PyRDLError
from xdsl.utils.lexer import Input
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind, StringLiteral

from ait.errors import AitError
from ait.ir.context import make_context

BAD_IR = (DiagnosticException, PyRDLError, AitError, ValueError, OverflowError)
"""What malformed text makes dialects and xDSL raise while they parse, besides `ParseError`."""

_Literal: Any = Parser._TensorLiteralElement  # pyright: ignore[reportPrivateUsage]


@dataclass
class _BitsLiteral(_Literal):
    """An element of a dense literal in hexadecimal, which for a float type means its bits."""

    def to_type(self, parser: Parser, type: Any) -> Any:
        if not isinstance(type, AnyFloat):
            return _Literal.to_type(self, parser, type)
        size = type.compile_time_size
        if self.value >= 1 << 8 * size:
            parser.raise_error(f"{self.span.text} has more bits than {type}", self.span)
        return next(iter(type.iter_unpack(self.value.to_bytes(size, "little"))))


class _IrLexer(MLIRLexer):
    @override
    def _lex_string_literal(self, start_pos: int) -> MLIRToken:
        """Names that are not ASCII are printed as escaped UTF-8, and are strings all the same."""
        token = super()._lex_string_literal(start_pos)
        literal = StringLiteral.from_span(token.span)
        if token.kind is MLIRTokenKind.BYTES_LIT and _is_text(literal.bytes_contents):
            return MLIRToken(MLIRTokenKind.STRING_LIT, literal)
        return token

    # xDSL's pattern, made possessive: without a closing quote it would try exponentially many ways.
    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')


def _is_text(contents: bytes) -> bool:
    try:
        contents.decode()
    except UnicodeDecodeError:
        return False
    return True


class IrParser(Parser):
    """xDSL's parser, but hexadecimal floats in dense literals are right, and errors are located.

    xDSL prints infinities, NaNs and some large numbers as `dense<0xFF800000>` and reads that back
    as the number 4286578688.0. Whatever a dialect raises while it parses an operation becomes a
    `ParseError` at that operation.
    """

    def __init__(self, ctx: Context, input: str, name: str = "<unknown>"):
        super().__init__(ctx, "", name)
        self._parser_state = ParserState(_IrLexer(Input(input, name)))

    # xDSL computes 2^width of every integer type: an absurd width would take all memory.
    _builtin_integer_type_regex = re.compile(r"^[su]?i(\d{1,5})$")

    @override
    def _parse_tensor_literal_element(self) -> Any:
        element: Any = super()._parse_tensor_literal_element()
        if element.span.text[:2].lower() == "0x":
            return _BitsLiteral(element.is_negative, element.value, element.span)
        return element

    @override
    def parse_operation(self) -> Operation:
        """Parses one operation; raises `ParseError`."""
        span = self._begun = self._current_token.span
        try:
            return super().parse_operation()
        except ParseError:
            raise
        except BAD_IR as error:
            raise ParseError(span, _first_line(error)) from error

    @override
    def _get_op_by_name(self, name: str) -> type[Operation]:
        try:
            return super()._get_op_by_name(name)
        except ParseError as error:  # which is located after the name, perhaps on the next line
            raise ParseError(self._begun, error.msg) from None


def parse_module(text: str, file: str = "<text>", context: Context | None = None) -> ModuleOp:
    """The module that IR text means. Raises AitError, with line and column, if it means none."""
    parser: IrParser | None = None
    try:
        parser = IrParser(context or make_context(), text, file)
        return parser.parse_module()
    except ParseError as error:  # the parser's construction reads the first token
        start, message = error.span.start, error.msg
    except (*BAD_IR, RecursionError) as error:
        start, message = 0 if parser is None else parser.pos, _first_line(error)
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    raise AitError(f"{file}:{line}:{column}: {message}")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
