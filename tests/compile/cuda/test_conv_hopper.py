"""Which of Hopper's kernels a convolution gets, how they read and write, and what they refuse."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ait.codegen.cuda.configs import HaloConvAttr, HopperConvAttr, StemConvAttr
from ait.codegen.cuda.conv_halo import HaloConv
from ait.codegen.cuda.conv_hopper import HopperConv
from ait.codegen.cuda.conv_stem import StemConv
from ait.codegen.gpu.family import KernelFamily, Refusal
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from tests.compile.cuda.conv_cases import (
    SAME,
    Conv,
    Window,
    conv,
    conv_pool,
    halo,
    hopper,
    phase,
    stem,
)
from tests.compile.cuda.kernels import TARGET, Case
from tests.compile.cuda.test_nvcc import assert_clean, compile_kernel

HALO, HOPPER, STEM = HaloConv(), HopperConv(), StemConv()


def strided(size: int, channels: int, outputs: int, taps: int, images: int = 64) -> Conv:
    """A convolution with strides of 2."""
    before = taps // 2
    padding = (before, before, before, before)
    return Conv(images, size, size, channels, outputs, (taps, taps), (2, 2), padding)


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        (Conv(64, 56, 56, 64, 64), HaloConvAttr),
        (Conv(64, 28, 28, 128, 128), HopperConvAttr),
        (Conv(64, 14, 14, 256, 256), HopperConvAttr),
        (Conv(1, 7, 7, 512, 512), HopperConvAttr),
        (strided(56, 64, 64, 3), HopperConvAttr),
        (Conv(64, 28, 28, 128, 128, groups=4), HopperConvAttr),
        (strided(56, 256, 512, 1), HopperConvAttr),
        (strided(224, 3, 64, 7), StemConvAttr),
        (strided(224, 3, 64, 7, images=1), StemConvAttr),
    ],
    ids=str,
)
def test_kernel_of(sizes: Conv, kind: type) -> None:
    assert type(TARGET.candidates(conv("layer", sizes, block=True).kernel())[0]) is kind


@pytest.mark.parametrize("planes", [False, True])
def test_images_may_be_channels_first_at_a_networks_begin(planes: bool) -> None:
    case = conv("first", strided(224, 3, 64, 7), block=True, planes=planes)
    assert isinstance(TARGET.candidates(case.kernel())[0], StemConvAttr)
    assert f"kPlanes = {3 if planes else 1}" in case.source()


@pytest.mark.parametrize(
    ("images", "split"),
    [(64, False), (1, True)],
)
def test_blocks_share_the_steps_where_tiles_are_few(images: int, split: bool) -> None:
    best = TARGET.candidates(conv("deep", Conv(images, 14, 14, 256, 256)).kernel())[0]
    assert isinstance(best, HopperConvAttr)
    assert (best.data.split > 1) is split


# What the kernels read and write ---------------------------------------------------------------


def test_a_part_of_the_channels_is_read_and_written_in_place() -> None:
    config = hopper((64, 32, 16), "pingpong")
    source = conv("among", Conv(2, 9, 8, 32, 48), config=config, block=True, among=16).source()
    assert "pointers[0]) + (8)" in source, "the image's first channel"
    assert "{48, 384, 3456}" in source, "the image's strides"
    assert "store_pack<8>(out + (8 + m * 64 + channel)" in source
    assert "load_pack<8>(extra1 + (8 + m * 64 + channel))" in source


def test_pixels_that_lie_in_order_are_not_taken_apart() -> None:
    config = hopper((64, 32, 16), "pingpong")
    flat = conv("flat", SAME, config=config, block=True).source()
    assert "m * 24 + channel" in flat
    apart = conv("first", SAME, config=config, result="f32").source()
    assert "m * 24 + channel" in apart
    source = phase("phase", config).source()
    assert "312 + image * 4032 + row * 576 + column * 48 + channel" in source


# Refusals --------------------------------------------------------------------------------------

_SAME = Conv(2, 16, 16, 64, 64)


@pytest.mark.parametrize(
    ("family", "case", "reason"),
    [
        (HOPPER, conv("f32", _SAME, "f32"), "16-bit"),
        (HOPPER, conv("odd", replace(_SAME, channels=12)), "8 channels at once"),
        (HOPPER, conv("first", _SAME, channels_first=True), "not neighbours"),
        (HOPPER, conv("among", _SAME, among=6), "not aligned"),
        (HOPPER, conv("far", replace(_SAME, strides=(9, 1))), "stride 9"),
        (HOPPER, conv("padded", replace(_SAME, padding=(130, 1, 1, 1))), "padding of 130"),
        (HALO, conv("strided", replace(_SAME, strides=(1, 2))), "strides of"),
        (HALO, conv("deep", replace(_SAME, channels=128)), "128 channels"),
        (HALO, conv("many", replace(_SAME, outputs=192)), "192 outputs"),
        (HALO, conv("wide", replace(_SAME, width=400)), "wider than a copy"),
        (STEM, conv("many", Conv(1, 16, 16, 3, 192)), "not few"),
        (STEM, conv("odd", Conv(1, 16, 16, 3, 32)), "odd elements"),
        (STEM, conv("rows", Conv(1, 16, 17, 3, 32, strides=(2, 2))), "not aligned"),
        (STEM, conv("among", Conv(1, 16, 16, 4, 32), among=4), "not dense"),
        (STEM, conv("long", Conv(1, 16, 32, 8, 32, (9, 9))), "registers"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_refusals(family: KernelFamily, case: Case, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        family.candidates(case.view(), TARGET.description)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (conv_pool("many", Conv(1, 16, 16, 3, 192), Window()), "not few"),
        (conv_pool("apart", Conv(1, 24, 24, 4, 32), Window((3, 3), (2, 3))), "every 3"),
        (conv_pool("wide", Conv(1, 24, 24, 4, 32), Window((3, 5))), "of 5 columns"),
        (conv_pool("high", Conv(1, 24, 24, 4, 32), Window((4, 3))), "more than one row"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_pools_that_no_kernel_takes(case: Case, reason: str) -> None:
    (op,) = (found for found in case.program().module.walk() if isinstance(found, KernelOp))
    assert re.search(reason, TARGET.refusal(op) or "")


_DEEP = hopper((64, 64, 16), "cooperative", 1, 4, 4)
_WIDE = hopper((64, 64, 64), "cooperative", 1)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (conv("short", Conv(1, 8, 8, 16, 64, (1, 1)), config=_DEEP), "no 4 parts"),
        (conv("groups", Conv(1, 8, 8, 48, 48, groups=3), config=_WIDE), "leave a group of 16"),
        (conv("sums", Conv(1, 56, 56, 64, 128), config=halo(8)), "registers"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_configs_that_do_not_fit_an_op_are_refused(case: Case, reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        case.source()


# What nvcc makes of them -----------------------------------------------------------------------

_SQUARE = Conv(64, 14, 14, 256, 256)
_LAYERS = [
    ("pingpong", Conv(64, 28, 28, 128, 128), "f16", hopper((128, 128, 64), "pingpong")),
    ("three_parts", _SQUARE, "f16", hopper((192, 128, 64), "cooperative", 3)),
    ("wide", _SQUARE, "bf16", hopper((128, 256, 64), "cooperative")),
    ("halo", Conv(64, 56, 56, 64, 64), "f16", halo(4)),
    ("stem", strided(224, 3, 64, 7), "f16", stem(8, 3)),
]
_STRIPS = [
    ("chosen", strided(224, 3, 64, 7), Window(), ""),
    ("four", strided(224, 3, 64, 7), Window(), stem(14, 4)),
    ("deep", strided(224, 3, 96, 7), Window(), stem(14, 3)),
]


@pytest.mark.compile
@pytest.mark.parametrize(("name", "sizes", "element", "config"), _LAYERS, ids=str)
def test_no_spills(name: str, sizes: Conv, element: str, config: str, tmp_path: Path) -> None:
    case = conv(name, sizes, element, config, block=True)
    assert_clean(compile_kernel(case, tmp_path))


@pytest.mark.compile
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize(("name", "sizes", "window", "config"), _STRIPS, ids=str)
def test_pools_do_not_spill(
    name: str, sizes: Conv, window: Window, config: str, planes: bool, tmp_path: Path
) -> None:
    case = conv_pool(name, sizes, window, config, planes=planes)
    assert_clean(compile_kernel(case, tmp_path))


_STRUCTURES = {HopperConvAttr: "HopperConv", HaloConvAttr: "HaloConv", StemConvAttr: "StemConv"}


@pytest.mark.compile
@pytest.mark.parametrize(
    "sizes",
    [
        Conv(1, 14, 14, 256, 256),
        Conv(64, 56, 56, 64, 64),
        Conv(3, 19, 60, 32, 40, (5, 3), dilations=(2, 1)),
        strided(224, 3, 64, 7),
        strided(96, 4, 24, 3),
    ],
    ids=str,
)
def test_the_best_configs_of_each_family_fit_the_shared_memory(sizes: Conv, tmp_path: Path) -> None:
    """The header says what it takes; Python has only checked its own sum."""
    best: dict[type, object] = {}
    for config in TARGET.candidates(conv("any", sizes).kernel()):
        if type(config) in _STRUCTURES:
            best.setdefault(type(config), config)
    assert best
    for kind, config in best.items():
        case = conv(_STRUCTURES[kind], sizes, config=str(config))
        limit = TARGET.description.shared_bytes
        check = f"static_assert(ait::cuda::{_STRUCTURES[kind]}<Kernel>::kSharedBytes <= {limit});"
        source = re.sub(r"(?m)^}  // namespace$", rf"\g<0>\n{check}", case.source())
        assert check in source
        compile_kernel(case, tmp_path, source)
