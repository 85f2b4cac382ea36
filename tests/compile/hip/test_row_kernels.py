"""The kernels on rows, gathers, images and elements compile for AMD GPUs: one of each path."""

from __future__ import annotations

from pathlib import Path

import pytest

from ait.codegen.hip.target import make_target
from ait.codegen.kernel_view import KernelView
from tests.compile.cuda.cases import ELEMENTWISE
from tests.compile.cuda.kernels import Case
from tests.compile.cuda.row_cases import ROWS
from tests.compile.hip.device_code import MACHINES, DeviceCode, compile_device

pytestmark = pytest.mark.compile

# Teams within a warp, between warps, across rows; kept and streamed; packs of each family; several
# outputs a thread; steps under way and what is left, packs that change sides, also from anywhere.
_PATHS = (
    "softmax_block",
    "layer_norm_mixed",
    "log_softmax_streamed_128",
    "softmax_columns_3",
    "argmax_128",
    "sum_columns_8",
    "embedding",
    "max_pool",
    "max_pool_2x2",
    "global_average_team_128",
    "run_of_4103_by_2",
    "copy_images_wide",
    "bilinear_half_pixel_10",
    "copy_anywhere_f16_249",
    "copy_anywhere_i8_241",
    "pointwise_anywhere_f32",
)
_ARCHITECTURE = "gfx90a"


def compiled(case: Case, folder: Path) -> DeviceCode:
    target = make_target(f"hip:{_ARCHITECTURE}")
    op = case.kernel()
    assert target.refusal(op) is None
    source = target.render(KernelView(op), "the_kernel")
    code = compile_device(source, _ARCHITECTURE, folder)
    assert code.machine == MACHINES[_ARCHITECTURE]
    return code


@pytest.mark.parametrize(
    "case",
    [case for case in (*ROWS, *ELEMENTWISE) if case.name in _PATHS],
    ids=lambda case: case.name,
)
def test_kernels(case: Case, tmp_path: Path) -> None:
    code = compiled(case, tmp_path)
    assert max(code.metadata("vgpr_spill_count")) == 0
    assert max(code.metadata("private_segment_fixed_size")) == 0
