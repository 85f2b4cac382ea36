"""Which kernels convolutions and attentions get, and how they read their operands."""

from __future__ import annotations

import pytest
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from ait.codegen.cuda.config import AttentionAttr, ConvAttr, Cuda
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.dialect import DepthwiseAttr, OwnAttentionAttr, OwnConvAttr, Plain
from ait.ir.context import make_context
from tests.compile.cuda.attention_cases import Heads, attention, packed
from tests.compile.cuda.conv_cases import GROUPED, SAME, Conv, conv, hopper
from tests.compile.cuda.kernels import TARGET, Case


def chosen(case: Case) -> type:
    return type(TARGET.candidates(case.kernel())[0])


@pytest.mark.parametrize(
    ("case", "config"),
    [
        (conv("odd_channels", Conv(8, 28, 28, 12, 64)), ConvAttr),
        (conv("small_groups", GROUPED), ConvAttr),
        (conv("f32", SAME, "f32"), OwnConvAttr),
        (conv("depthwise", Conv(8, 28, 28, 64, 64, groups=64)), DepthwiseAttr),
        (attention("short", Heads(1, 12, 128, 128, 64)), AttentionAttr),
        (attention("f32", Heads(1, 2, 16, 16, 64), "f32"), OwnAttentionAttr),
        (attention("wide", Heads(1, 2, 16, 16, 272)), OwnAttentionAttr),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_kernel_of(case: Case, config: type) -> None:
    assert chosen(case) is config


def test_tensor_cores_of_the_a100_take_them_too() -> None:
    target = make_target("cuda:sm_80")
    assert isinstance(target.candidates(conv("same", SAME).kernel())[0], ConvAttr)
    best = target.candidates(attention("heads", Heads(1, 12, 128, 128, 64)).kernel())[0]
    assert isinstance(best, AttentionAttr)


@pytest.mark.parametrize(
    ("channels", "vector"), [(3, 1), (6, 2), (12, 4), (16, 8), (24, 8)], ids=str
)
def test_copies_are_as_wide_as_the_channels_allow(channels: int, vector: int) -> None:
    source = conv("channels", Conv(1, 8, 8, channels, 32), config="ConvAttr").source()
    assert f"kVectorA = {vector}, kVectorB = {vector}" in source


def test_channels_of_groups_bound_the_copies() -> None:
    """48 channels in 12 groups: no copy may leave its group's four."""
    source = conv("groups", Conv(1, 8, 8, 48, 48, groups=12), config="ConvAttr").source()
    assert "kVectorA = 4, kVectorB = 4" in source


def test_slices_of_packed_heads_are_read_in_place() -> None:
    source = packed("packed", 2, 4, 64, 64, "f16", "AttentionAttr").source()
    assert "kVectorQ = 8, kVectorK = 8, kVectorV = 8, kPack = 8" in source
    assert "512 + batch * 49152 + group * 64 + col * 768 + value" in source


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (attention("huge", Heads(1, 1, 16, 16, 512), "f32"), "heads of 512 and 512 elements"),
        (conv("uneven", Conv(1, 8, 8, 8, 9, groups=2)), "9 output channels in 2 groups"),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_refusals_say_what_was_given(case: Case, reason: str) -> None:
    (op,) = (o for o in case.program().module.walk() if type(o) in TARGET.capabilities.kernels)
    assert reason in (TARGET.refusal(op) or "")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "text",
    [
        "#cuda.conv<tile = [128, 64, 32], warps = [2, 2], stages = 4>",
        "#cuda.hopper_conv<tile = [128, 64, 64], warpgroups = 2, schedule = pingpong, stages = 4, "
        "split = 1>",
        "#cuda.halo_conv<rows = 4, stages = 2>",
        "#cuda.stem_conv<rows = 8, warpgroups = 3, stages = 2>",
        "#cuda.attention<tile = [128, 64], warps = 4>",
        "#plain.conv<tile = [64, 64, 32], units = tensor>",
        "#plain.depthwise<vector = 8>",
        "#plain.attention",
    ],
)
def test_configs_round_trip(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#cuda.conv<tile = [40, 64, 32], warps = [2, 2], stages = 4>", "16 pixels"),
        ("#cuda.conv<tile = [64, 24, 32], warps = [1, 1], stages = 4>", "16 channels"),
        ("#cuda.conv<tile = [64, 64, 48], warps = [2, 2], stages = 4>", "32 or 64"),
        ("#cuda.conv<tile = [256, 256, 32], warps = [2, 2], stages = 2>", "do not fit"),
        (hopper((96, 64, 64), "cooperative"), "64 pixels"),
        (hopper((128, 40, 64), "cooperative"), "multiple of 16"),
        (hopper((128, 64, 48), "pingpong"), "16, 32 or 64"),
        (hopper((64, 64, 64), "pingpong", split=2), "whole tiles"),
        (hopper((64, 64, 64), "cooperative", 1, split=9), "1 to 8 blocks"),
        (hopper((128, 256, 64), "pingpong"), "do not fit"),
        (hopper((192, 256, 64), "cooperative", 3), "do not fit"),
        ("#cuda.halo_conv<rows = 0, stages = 2>", "1 to 64 rows"),
        ("#cuda.stem_conv<rows = 2, warpgroups = 4, stages = 2>", "warpgroups"),
        ("#cuda.attention<tile = [128, 64], warps = 2>", "16 or 32 queries"),
        ("#cuda.attention<tile = [64, 48], warps = 4>", "keys"),
        ("#plain.depthwise<vector = 3>", "vector"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse(text)


def parse(text: str) -> object:
    context = make_context()
    for dialect in (Cuda, Plain):
        context.load_dialect(dialect)
    return Parser(context, text).parse_attribute()
