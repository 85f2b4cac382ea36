"""The config of CK's gemm: its text, and that the verifier knows what CK would refuse."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from xdsl.context import Context
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.hip.dialect import Ck, CkGemm, CkGemmAttr

VALID = CkGemm(
    block=256,
    tile=(256, 128, 32),
    k1=(8, 8),
    xdl=(32, 32),
    repeat=(4, 2),
    unit=("k", "k"),
    load=(8, 8),
    store=8,
    rows=32,
)
TEXT = (
    "#ck.gemm<block = 256, tile = [256, 128, 32], k1 = [8, 8], xdl = [32, 32], repeat = [4, 2], "
    'unit = ["k", "k"], load = [8, 8], store = 8, rows = 32>'
)


def parse(text: str) -> object:
    context = Context()
    context.load_dialect(Ck)
    return Parser(context, text).parse_attribute()


def test_text_round_trip() -> None:
    stream = StringIO()
    Printer(stream).print_attribute(CkGemmAttr(VALID))
    assert stream.getvalue() == TEXT
    assert parse(TEXT) == CkGemmAttr(VALID)


def test_derived_numbers() -> None:
    assert VALID.waves == (2, 2)
    assert VALID.columns == 8
    assert VALID.threads(0) == (4, 64)
    assert VALID.lds_bytes(2) == (257 + 129) * 32 * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 128}, "4 waves need a block of 256"),
        ({"xdl": (8, 8)}, "no 8 x 8 matrix instruction"),
        ({"tile": (200, 128, 32)}, "tile m is no multiple"),
        ({"tile": (256, 128, 36)}, "tile k is no multiple of k1"),
        ({"unit": ("k", "m")}, "unit must name k or mn"),
        ({"load": (16, 8)}, "A cannot be loaded 16 elements at a time"),
        ({"unit": ("k", "mn"), "load": (8, 8)}, "B cannot be loaded 8 elements at a time"),
        ({"k1": (8, 0)}, "every number must be positive"),
        ({"store": 16}, "no store of 16 elements"),
        ({"rows": 48}, "rows divides neither"),
        ({"rows": 8}, "do not divide a slice"),
        ({"repeat": (8, 4), "block": 64, "tile": (256, 128, 32)}, "accumulators exceed"),
    ],
)
def test_verifier(change: dict[str, object], message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        CkGemmAttr(replace(VALID, **change))  # pyright: ignore[reportArgumentType]


def test_parser_counts_elements() -> None:
    with pytest.raises(ParseError, match="tile needs 3 numbers"):
        parse(TEXT.replace("[256, 128, 32]", "[256, 128]"))
