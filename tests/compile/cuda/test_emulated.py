"""The plain kernels, executed on the host: every address, tail, region and barrier of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.compile.cuda.attention_cases import OWN_ATTENTIONS, QUERY_ATTENTIONS, TENSOR_ATTENTIONS
from tests.compile.cuda.cases import (
    ELEMENTWISE,
    F8_GEMMS,
    GEMVS,
    INTEGER_GEMMS,
    MMA_GEMMS,
    OWN_GEMMS,
    TF32_GEMMS,
    WGMMA_GEMMS,
    linear,
    transpose_of_any_size,
)
from tests.compile.cuda.conv_cases import CONV_POOLS, OWN_CONVS, STEM_CONVS, TENSOR_CONVS
from tests.compile.cuda.edge_cases import NUMBERS, VIEWS
from tests.compile.cuda.kernels import Case, assert_close, call, emulated, on_host
from tests.compile.cuda.row_cases import (
    DIRECTIONS,
    HALF_OVER,
    OUT_OF_RANGE,
    OVERLAPPING_IMAGES,
    ROWS,
)
from tests.compile.cuda.whole_row_cases import BACK_TO_BACK, PARTS, WHOLE_ROWS

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")

# Not 0: operands have all their bits.
_SEED = 1
# Thousands of tiles are for a GPU.
_LARGE = {
    "linear_first_wgmma",
    "linear_many_tiles",
    "linear_ragged_tiles",
    "many_batches",
    "rows_first_choice",
    "both_first_choice",
    "parts_first_choice",
}

_CASES = [
    *(case for case in (*OWN_GEMMS, *MMA_GEMMS) if case.name not in _LARGE),
    *TF32_GEMMS,
    *INTEGER_GEMMS,
    *F8_GEMMS,
    *GEMVS,
    *(case for case in WGMMA_GEMMS if case.name not in _LARGE),
    *ELEMENTWISE,
    *ROWS,
    *(case for case in (*WHOLE_ROWS, *BACK_TO_BACK, *PARTS) if case.name not in _LARGE),
    *OWN_CONVS,
    *TENSOR_CONVS,
    *STEM_CONVS,
    *CONV_POOLS,
    *OWN_ATTENTIONS,
    *QUERY_ATTENTIONS,
    *TENSOR_ATTENTIONS,
    *NUMBERS,
    *VIEWS,
]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_matches_the_interpreter(case: Case, tmp_path: Path) -> None:
    actual = emulated(case, tmp_path, _SEED)
    expected = case.expected(case.inputs(_SEED))
    assert len(actual) == len(expected) == len(case.outs)
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, other.reshape(one.shape))


def test_each_seed_has_its_inputs_and_what_is_to_be_written_is_poisoned() -> None:
    """A result that no kernel wrote, or that it added to, would not be right by chance."""
    first, second = (linear(5, 7, 16, "bf16").inputs(seed) for seed in (1, 2))
    assert (first["x"] != second["x"]).any()
    assert np.isnan(first["o"].astype(np.float32)).all()


@pytest.mark.parametrize("case", OUT_OF_RANGE, ids=lambda case: case.name)
def test_reports_an_index_that_is_out_of_range(case: Case, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"{case.error}$"):
        emulated(case, tmp_path)


@pytest.mark.parametrize("case", DIRECTIONS, ids=lambda case: case.name)
def test_what_goes_backwards_begins_with_the_last_row(case: Case, tmp_path: Path) -> None:
    """All rows are stored at the same place: what is left is the row that came last."""
    library = on_host(case, tmp_path)
    last, first = case.inputs(), case.inputs()
    call(library, last, case.extents())
    call(library, first, case.extents(), backwards=True)
    rows = case.inputs()["x"]
    for left, row in ((last, rows[-1]), (first, rows[0])):
        alone = {**case.inputs(), "x": np.stack([row] * len(rows))}
        call(library, alone, case.extents())
        assert left["o"].tobytes() == alone["o"].tobytes()
    assert first["o"].tobytes() != last["o"].tobytes()


def test_the_order_of_blocks_is_that_of_each_call(tmp_path: Path) -> None:
    """Parts of three are stored half over each other: the order tells, and is forgotten."""
    case = HALF_OVER[0]
    found: list[bytes] = []
    for number, last_first in enumerate((False, True, False)):
        (folder := tmp_path / str(number)).mkdir()
        operands = case.inputs()
        call(on_host(case, folder), operands, case.extents(), last_first=last_first)
        found.append(operands["o"].tobytes())
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(("element", "side"), [("i8", 96), ("f16", 112), ("f32", 120)])
def test_transposes_wherever_the_last_tile_begins(element: str, side: int, tmp_path: Path) -> None:
    library = on_host(transpose_of_any_size(element, 1, 1), tmp_path)
    for rows in (1, 2, 9, *range(side - 2, side + 18), 2 * side + 5):
        for columns in (1, 31, 135, 258):
            case = transpose_of_any_size(element, rows, columns)
            operands = case.inputs()
            call(library, operands, case.extents(), last_first=rows % 2 == 1)
            assert operands["o"].tobytes() == operands["x"].T.tobytes(), f"{rows} x {columns}"


def test_the_last_place_of_a_large_matrix_is_no_number_of_32_bits(tmp_path: Path) -> None:
    """g++ refuses constants that overflow."""
    x, o = "tensor<65537x32769xf16>", "tensor<32769x65537xf16>"
    turned = "<offset 0, sizes [32769, 65537], strides [1, 32769]>"
    copy = f"kernel.copy ins(%x {turned} : {x}) outs(%o : {o})"
    on_host(Case("large", {"x": x, "o": o}, copy, config="ShiftedTransposeAttr"), tmp_path)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("case", HALF_OVER, ids=lambda case: case.name)
def test_parts_are_stored_in_the_order_of_the_direction(
    case: Case, backwards: bool, tmp_path: Path
) -> None:
    operands = case.inputs()
    call(on_host(case, tmp_path), operands, case.extents(), backwards)
    parts = list(enumerate(operands["x"].reshape(3, -1)))
    expected = np.zeros_like(operands["o"])
    for number, part in reversed(parts) if backwards else parts:
        begin = number * part.size // 2
        expected[begin : begin + part.size] = part
    assert operands["o"].tobytes() == expected.tobytes()


def test_interleaved_rows_begin_with_the_last_image(tmp_path: Path) -> None:
    """The second image is stored a pixel behind the first: one of them has what both have."""
    library, case = on_host(OVERLAPPING_IMAGES, tmp_path), OVERLAPPING_IMAGES
    last, first = case.inputs(), case.inputs()
    call(library, last, case.extents())
    call(library, first, case.extents(), backwards=True)
    differ = (last["o"] != first["o"]).any(axis=1)
    assert differ.tolist() == [False, *[True] * 31, False]
