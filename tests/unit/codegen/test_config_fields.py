"""The text of configs follows from their fields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import auto

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.ir import Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.str_enum import StrEnum

from ait.codegen.gpu.config_fields import ConfigAttr, omitted
from ait.ir.context import make_context


class Order(StrEnum):
    ROWS = auto()
    COLUMNS = auto()


@dataclass(frozen=True)
class Everything:
    """A field of each kind."""

    number: int
    tile: tuple[int, int, int]
    units: tuple[str, str]
    order: Order
    depth: int | None = None
    other: Order | None = None
    split: int = omitted(1)
    told: int = 4
    turned: bool = False

    def problems(self) -> list[str]:
        return [] if self.split > 0 else ["split must be positive"]


@irdl_attr_definition
class EverythingAttr(ConfigAttr[Everything]):
    """For tests."""

    name = "test.everything"


_LEAST = "number = 3, tile = [1, 2, 3], units = ['k', 'mn'], order = rows, told = 4".replace(
    "'", '"'
)


def parse(fields: str) -> EverythingAttr:
    context = make_context()
    context.load_dialect(Dialect("test", [], [EverythingAttr]))
    attribute = Parser(context, f"#test.everything<{fields}>").parse_attribute()
    assert isinstance(attribute, EverythingAttr)
    return attribute


_NUMBERS = st.integers(-(2**40), 2**40)
_ORDERS = st.sampled_from(Order)
_CONFIGS = st.builds(
    Everything,
    number=_NUMBERS,
    tile=st.tuples(_NUMBERS, _NUMBERS, _NUMBERS),
    units=st.tuples(st.sampled_from(["k", "mn", ""]), st.sampled_from(["k", "mn"])),
    order=_ORDERS,
    depth=st.none() | _NUMBERS,
    other=st.none() | _ORDERS,
    split=st.integers(1, 9),
    told=st.integers(0, 9),
    turned=st.booleans(),
)


@given(_CONFIGS)
def test_a_text_reads_as_the_config_that_printed_it(config: Everything) -> None:
    text = str(EverythingAttr(config))
    fields = text.removeprefix("#test.everything<").removesuffix(">")
    assert parse(fields) == EverythingAttr(config)


def test_only_what_says_something_is_printed() -> None:
    assert str(parse(_LEAST)) == f"#test.everything<{_LEAST}>"
    more = f"{_LEAST}, turned, split = 2, other = columns, depth = 7"
    in_order = _LEAST.replace("told", "depth = 7, other = columns, split = 2, told") + ", turned"
    assert str(parse(more)) == f"#test.everything<{in_order}>"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (_LEAST.replace("number = 3, ", ""), "expected a value for number"),
        (_LEAST.replace("number = 3", "number"), "expected a value for number"),
        (_LEAST.replace("number = 3", "number = [3]"), "expected a value for number"),
        (_LEAST.replace(", told = 4", ""), "expected a value for told"),
        (f"{_LEAST}, split", "expected a value for split"),
        (f"{_LEAST}, turned = 1", "expected a value for turned"),
        (f"{_LEAST}, split = 0", "split must be positive"),
        (f"{_LEAST}, told = 4", "told is given twice"),
        (f"{_LEAST}, x = 1, y", "unknown x, y"),
        (_LEAST.replace("rows", "diagonals"), "order must be one of rows, columns"),
        (_LEAST.replace("[1, 2, 3]", "[1, 2]"), "tile needs 3 numbers"),
        (_LEAST.replace("[1, 2, 3]", '[1, 2, "3"]'), "tile needs 3 numbers"),
        (_LEAST.replace('"mn"', "2"), "units needs 2 texts"),
    ],
)
def test_wrong_texts_are_refused(fields: str, message: str) -> None:
    with pytest.raises((ParseError, VerifyException), match=message):
        parse(fields)
