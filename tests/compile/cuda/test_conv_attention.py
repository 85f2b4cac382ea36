"""Which kernels convolutions and attentions get, and how they read their operands."""

from __future__ import annotations

from math import inf

import pytest
from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from ait.codegen.cuda.attention_hopper import HopperAttention
from ait.codegen.cuda.configs import AttentionAttr, ConvAttr, HopperAttentionAttr
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.attention import AttentionProblem
from ait.codegen.gpu.dialect import DepthwiseAttr, OwnAttentionAttr, QueryAttentionAttr
from ait.codegen.gpu.family import Refusal
from ait.errors import CompileError
from tests.compile.cuda.attention_cases import (
    HOPPER_ATTENTIONS,
    SCALE,
    Heads,
    attention,
    dynamic_attention,
    hopper,
    kept,
    mapped,
    masked,
    packed,
    tensor,
)
from tests.compile.cuda.conv_cases import (
    GROUPED,
    SAME,
    Conv,
    Window,
    conv,
    conv_pool,
    halo,
    stem,
)
from tests.compile.cuda.conv_cases import hopper as hopper_conv
from tests.compile.cuda.kernels import TARGET, Case, parse_config


def chosen(case: Case) -> type:
    return type(TARGET.candidates(case.kernel())[0])


@pytest.mark.parametrize(
    ("case", "config"),
    [
        (conv("odd_channels", Conv(8, 28, 28, 12, 64)), ConvAttr),
        (conv("small_groups", GROUPED), ConvAttr),
        (conv("f32", SAME, "f32"), ConvAttr),
        (conv("f32_odd", Conv(2, 7, 6, 15, 24), "f32"), ConvAttr),
        (conv("depthwise", Conv(8, 28, 28, 64, 64, groups=64)), DepthwiseAttr),
        (attention("short", Heads(1, 12, 128, 128, 64)), HopperAttentionAttr),
        (attention("unaligned", Heads(1, 12, 128, 128, 20)), AttentionAttr),
        (dynamic_attention("keys_transposed", 5, 33, ""), AttentionAttr),
        (attention("f32", Heads(8, 12, 384, 384, 64), "f32"), AttentionAttr),
        (attention("f32_one", Heads(64, 12, 1, 197, 64), "f32"), QueryAttentionAttr),
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


def test_hopper_reads_slices_of_packed_heads_in_place() -> None:
    source = packed("packed", 2, 4, 64, 64, "f16", "HopperAttentionAttr").source()
    keys = source[source.index("&maps.keys") :]
    assert "pointers[1]) + (256)" in keys.replace("arguments.", "")
    assert "{768, 64, 49152}" in keys
    assert "kPack = 8, kScorePack = 2" in source


def test_what_heads_share_is_one_index_of_the_map() -> None:
    maps = {
        "q": "offset 0, strides [8400, 2800, 40, 1]",
        "k": "offset 0, strides [0, 3600, 40, 1]",
        "v": "offset 0, strides [3600, 0, 40, 1]",
        "o": "offset 0, strides [8400, 2800, 40, 1]",
    }
    source = mapped("shared", maps, "HopperAttentionAttr").source()
    steps = "kQueryHead = 1, kQueryBatch = 1, kKeyHead = 1, kKeyBatch = 0, kValueHead = 0"
    assert f"{steps}, kValueBatch = 1;" in source


_MAP = "offset 0, strides [10800, 3600, 40, 1]"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("offset 4, strides [10800, 3600, 40, 1]", "keys are not aligned"),
        ("offset 0, strides [10800, 3600, 41, 1]", "keys are not aligned"),
        ("offset 0, strides [10800, 3600, 1, 96]", "keys are not contiguous along depth"),
        ("offset 0, strides [10800, 3600, 0, 1]", "keys are the same along col"),
        ("offset 7200, strides [10800, -3600, 40, 1]", "keys have a negative stride"),
    ],
)
def test_what_tma_cannot_read_goes_to_other_kernels(keys: str, reason: str) -> None:
    case = mapped("keys", {"q": _MAP, "k": keys, "v": _MAP, "o": _MAP}, "")
    with pytest.raises(Refusal, match=reason):
        HopperAttention().candidates(case.view(), TARGET.description)
    assert chosen(case) in (AttentionAttr, QueryAttentionAttr)


_FACTOR = "%c = arith.constant 0.25 : f32\n  %0 = arith.mulf %s, %c : f32"


@pytest.mark.parametrize(
    ("region", "scale"),
    [
        (_FACTOR, 0.25),
        (_FACTOR.replace("%s, %c", "%c, %s"), 0.25),
        (_FACTOR.replace("%0", "%1") + "\n  %0 = arith.mulf %1, %c : f32", 0.0625),
        (_FACTOR.replace("0.25", "-0.25"), None),
        (_FACTOR.replace("%s, %c", "%s, %s"), None),
        (_FACTOR.replace("mulf", "divf"), None),
    ],
)
def test_scale_of_a_region_that_is_no_more(region: str, scale: float | None) -> None:
    problem = AttentionProblem.of(with_region(region).view())
    assert problem.scale == scale
    assert not problem.adds or scale is None


@pytest.mark.parametrize("op", ["addf", "mulf"])
def test_a_score_that_is_made_in_exponentially_many_ways(op: str) -> None:
    lines = [f"%{i} = arith.{op} %{i - 1}, %{i - 1} : f32" for i in range(65, 1, -1)]
    first = f"%1 = arith.{op} %s, %s : f32"
    last = "%0 = arith.negf %65 : f32"
    region = "\n  ".join([first, *reversed(lines), last])
    problem = AttentionProblem.of(with_region(region).view())
    assert problem.scale is None and not problem.adds_by_key


_MINUS = "%n = arith.constant 0xFF800000 : f32"
_DISTANCE = """%i = kernel.index <offset 0, sizes [1, 2, 16, 16], strides [0, 0, 1, 0]>
  %j = kernel.index <offset 0, sizes [1, 2, 16, 16], strides [0, 0, 0, 1]>
  %b = arith.cmpi sle, %j, %i : i64"""


def with_region(region: str) -> Case:
    case = attention("scaled", Heads(1, 2, 16, 16, 64))
    text = f"{{\n^bb0(%s : f32):\n  {region}\n  kernel.yield %0 : f32\n}}"
    case.op = case.op.replace(SCALE, text)
    return case


@pytest.mark.parametrize(
    ("region", "scale", "by_key"),
    [
        (_FACTOR.replace("mulf", "addf"), 1.0, True),
        (_FACTOR.replace("%0", "%1") + "\n  %0 = arith.subf %1, %c : f32", 0.25, True),
        (_FACTOR.replace("%0", "%1") + "\n  %0 = arith.subf %c, %1 : f32", None, False),
        (_FACTOR.replace("%0", "%1") + "\n  %0 = arith.addf %c, %1 : f32", 0.25, True),
        (_FACTOR.replace("%0", "%1") + "\n  %0 = arith.addf %1, %s : f32", None, False),
        # (s + 1 / 4) / 4
        (f"{_FACTOR.replace('mulf', 'addf').replace('%0', '%1')}\n  %0 = arith.mulf %1, %c : f32",
         0.25, True),
        (f"{_FACTOR.replace('%0', '%1')}\n  {_MINUS}\n  {_DISTANCE}\n"
         "  %0 = arith.select %b, %1, %n : f32", 0.25, False),
        (f"{_FACTOR.replace('%0', '%1')}\n  {_MINUS}\n  {_DISTANCE}\n"
         "  %0 = arith.select %b, %n, %1 : f32", 0.25, False),
        # What is hidden by a number that scores reach is more than an addend.
        (f"{_FACTOR.replace('%0', '%1')}\n  %n = arith.constant -1.0e+09 : f32\n  {_DISTANCE}\n"
         "  %0 = arith.select %b, %1, %n : f32", None, False),
        (f"{_FACTOR.replace('%0', '%1')}\n  %b = arith.cmpf olt, %1, %c : f32\n  {_MINUS}\n"
         "  %0 = arith.select %b, %1, %n : f32", None, False),
        (f"{_FACTOR.replace('%0', '%1')}\n  %0 = math.tanh %1 : f32", None, False),
    ],
)  # fmt: skip
def test_regions_that_scale_and_add(region: str, scale: float | None, by_key: bool) -> None:
    problem = AttentionProblem.of(with_region(region).view())
    assert problem.scale == scale
    assert problem.adds and problem.adds_by_key == by_key


@pytest.mark.parametrize(
    ("mask", "element", "limit"),
    [
        ("added", "f16", 65504.0),
        ("added", "bf16", inf),
        ("shown", "f16", 0.0),
        ("counted", "f16", inf),
    ],
)
def test_addends_are_as_large_as_types_allow(mask: str, element: str, limit: float) -> None:
    case = masked("masked", Heads(2, 2, 16, 16, 64), mask, "", element)
    assert AttentionProblem.of(case.view()).largest_addend == limit


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (attention("no_mask", Heads(2, 2, 96, 96, 64)), "begins with"),
        (masked("keys", Heads(2, 2, 96, 96, 64), "added", ""), "begins with"),
        (masked("capped", Heads(2, 2, 96, 96, 64), "capped", "", queries=True), "begins with"),
        (
            masked("bits", Heads(2, 2, 96, 96, 64), "shown", "", queries=True),
            "no tensor of 16 bits",
        ),
        (masked("odd", Heads(2, 2, 96, 77, 64), "added", "", queries=True), "odd number of keys"),
        (
            masked("rows", Heads(2, 2, 96, 92, 64), "added", "", queries=True),
            "masks are not aligned",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_masks_that_do_not_come_in_tiles(case: Case, reason: str) -> None:
    config = parse_config(
        hopper(128, 64, 3, 1, "producer, persistent, staged"), HopperAttentionAttr
    )
    with pytest.raises(Refusal, match=reason):
        HopperAttention().values(case.view(), config)
    configs = TARGET.candidates(case.kernel())
    assert not any(isinstance(c, HopperAttentionAttr) and c.data.staged for c in configs)


def test_masks_of_pairs_come_in_tiles() -> None:
    case = masked("pairs", Heads(64, 12, 384, 384, 64), "added", "", queries=True)
    assert best(case).data.staged
    assert "&maps.mask" in case.source()


def test_kept_keys_need_their_stages() -> None:
    case = attention("long", Heads(1, 2, 128, 300, 64), config=kept(128, 128, 2))
    with pytest.raises(Refusal, match="300 keys in 2 stages of 128"):
        HopperAttention().values(case.view(), case.view().config or pytest.fail("no config"))


def test_a_region_that_is_the_identity_is_a_scale_of_one() -> None:
    case = attention("plain", Heads(1, 2, 16, 16, 64), config="HopperAttentionAttr")
    case.op = case.op.replace(SCALE, "{\n^bb0(%s : f32):\n  kernel.yield %s : f32\n}")
    assert "kScale = 1.0f" in case.source()


def best(case: Case) -> HopperAttentionAttr:
    config = TARGET.candidates(case.kernel())[0]
    assert isinstance(config, HopperAttentionAttr)
    return config


def test_long_heads_take_three_warpgroups_in_turns() -> None:
    config = best(attention("long", Heads(1, 12, 4096, 4096, 64))).data
    assert config.tile == (192, 128) and config.turns


def test_many_short_heads_share_blocks_that_stay() -> None:
    assert best(attention("short", Heads(64, 12, 128, 128, 64))).data.persistent
    assert best(attention("middle", Heads(64, 12, 384, 384, 64))).data.persistent


def test_few_queries_share_long_keys() -> None:
    assert best(attention("decode", Heads(1, 32, 1, 8192, 128))).data.splits > 1


def test_every_candidate_renders_and_fits() -> None:
    case = attention("any", Heads(2, 16, 700, 900, 96), causal=True)
    op = case.kernel()
    configs = [c for c in TARGET.candidates(op) if isinstance(c, HopperAttentionAttr)]
    assert len(configs) > 5
    for config in configs:
        config.verify()
        assert config.data.shared_bytes(96, 96) <= TARGET.description.shared_bytes
        case.config = str(config)
        assert f"kStages = {config.data.stages}" in case.source()


def test_shared_memory_is_what_the_kernel_asks_for() -> None:
    """The formula of attention_hopper.hpp: lines of 128 bytes for each 64 elements begun, and
    eight bytes a barrier."""
    for case in HOPPER_ATTENTIONS:
        config = case.view().config
        assert isinstance(config, HopperAttentionAttr)
        (rows, columns), stages = config.data.tile, config.data.stages
        queries = 2 if config.data.persistent else 1
        mask = rows * -(-columns // 64) if config.data.staged else 0
        panels = queries * rows * 2 + stages * (columns * (2 + 3) + mask)
        barriers = 8 * (2 * queries * (rows // 64 if config.data.kept else 1) + 4 * stages)
        assert config.data.shared_bytes(100, 140) == panels * 128 + barriers
        # A panel of values has 16 lines of ones beside it, and starts of keys are there twice
        halves = queries * rows + stages * (columns * 2 + mask)
        ones = 0 if config.data.splits > 1 else 16
        starts = stages * columns * 8 if config.data.producer else 0
        assert config.data.shared_bytes(64, 64, True) == ((halves + ones) * 128 + barriers + starts)


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


_STEM = Conv(1, 224, 224, 8, 64, (3, 3), (2, 2))
_HALO = Conv(1, 56, 56, 64, 64)
_WIDE = Heads(1, 2, 300, 300, 256)


@pytest.mark.parametrize(
    ("fits", "does_not"),
    [
        (conv("stem", _STEM, config=stem(8, 4, 4)), stem(8, 4, 16)),
        (conv_pool("pool", _STEM, Window(), config=stem(8, 4, 4)), stem(8, 4, 16)),
        (conv("halo", _HALO, config=halo(4, 2)), halo(4, 4)),
        (attention("mma", _WIDE, config=tensor(64, 64, 4)), tensor(128, 128, 8)),
        (attention("hopper", _WIDE, config=hopper(64, 64, 2)), hopper(64, 64, 4)),
        (
            masked("starts", Heads(1, 2, 64, 512, 64), "added", hopper(64, 256, 3, 1, "producer")),
            hopper(64, 256, 4, 1, "producer"),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_exceeds_the_shared_memory_is_an_error(fits: Case, does_not: str) -> None:
    """Which only a launch would tell."""
    assert "kernel(" in fits.source()
    fits.config = does_not
    with pytest.raises(CompileError, match=r"fit (the )?shared memory"):
        fits.source()


@pytest.mark.parametrize(
    "text",
    [
        "#cuda.conv<tile = [128, 64, 32], warps = [2, 2], stages = 4>",
        "#cuda.hopper_conv<tile = [128, 64, 64], warpgroups = 2, schedule = pingpong, stages = 4, "
        "split = 1>",
        "#cuda.halo_conv<rows = 4, stages = 2>",
        "#cuda.stem_conv<rows = 8, warpgroups = 3, stages = 2>",
        "#cuda.attention<tile = [128, 64], warps = 4>",
        hopper(192, 128, 2, 1, "producer, overlapped, turns, persistent"),
        hopper(64, 80, 1, 4),
        hopper(64, 128, 2, 1, "overlapped, splits = 4"),
        kept(128, 208, 2),
        hopper(128, 64, 3, 1, "producer, persistent, staged"),
        "#cuda.attention<tile = [64, 32], warps = 4, products = tf32x3>",
        "#plain.query_attention<warps = 8>",
        "#plain.conv<tile = [64, 64, 32], units = tensor>",
        "#plain.depthwise<vector = 8>",
        "#plain.attention",
    ],
)
def test_configs_round_trip(text: str) -> None:
    assert str(parse_config(text, Attribute)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#cuda.conv<tile = [40, 64, 32], warps = [2, 2], stages = 4>", "16 rows"),
        ("#cuda.conv<tile = [64, 24, 32], warps = [1, 1], stages = 4>", "16 columns"),
        ("#cuda.conv<tile = [64, 64, 48], warps = [2, 2], stages = 4>", "32 or 64"),
        (
            "#cuda.conv<tile = [64, 64, 64], warps = [2, 2], stages = 4, products = tf32>",
            "16 or 32",
        ),
        ("#cuda.conv<tile = [256, 256, 32], warps = [2, 2], stages = 2>", "do not fit"),
        (hopper_conv((96, 64, 64), "cooperative"), "64 pixels"),
        (hopper_conv((128, 40, 64), "cooperative"), "multiple of 16"),
        (hopper_conv((128, 64, 48), "pingpong"), "16, 32 or 64"),
        (hopper_conv((64, 64, 64), "pingpong", split=2), "whole tiles"),
        (hopper_conv((64, 64, 64), "cooperative", 1, split=9), "1 to 8 blocks"),
        (hopper_conv((128, 256, 64), "pingpong"), "do not fit"),
        (hopper_conv((192, 256, 64), "cooperative", 3), "do not fit"),
        (hopper_conv((128, 128, 64), "pingpong", 2, 7), "do not fit shared memory"),
        (hopper_conv((256, 128, 64), "cooperative", 2, 5, 2), "do not fit shared memory"),
        ("#cuda.conv<tile = [256, 128, 64], warps = [4, 2], stages = 5>", "shared memory"),
        ("#cuda.halo_conv<rows = 0, stages = 2>", "1 to 64 rows"),
        ("#cuda.stem_conv<rows = 2, warpgroups = 5, stages = 2>", "warpgroups"),
        ("#cuda.stem_conv<rows = 0, warpgroups = 3, stages = 2>", "1 to 1024 rows"),
        ("#cuda.stem_conv<rows = 1025, warpgroups = 3, stages = 2>", "1 to 1024 rows"),
        ("#cuda.stem_conv<rows = 2, warpgroups = 3, stages = 17>", "stages"),
        ("#cuda.attention<tile = [128, 64], warps = 2>", "16 or 32 queries"),
        ("#cuda.attention<tile = [64, 48], warps = 4>", "keys"),
        (hopper(100, 64, 2), "64, 128 or 192 queries"),
        (hopper(64, 72, 2), "keys, by 16"),
        (hopper(64, 64, 0), "stages"),
        (hopper(64, 64, 2, 5), "1 to 4 blocks"),
        (hopper(64, 64, 1, 1, "overlapped"), "two stages"),
        (hopper(128, 64, 2, 1, "turns"), "turns are of overlapped"),
        (hopper(128, 64, 2, 1, "persistent"), "needs a producer"),
        (hopper(64, 64, 2, 1, "splits = 3"), "blocks share the keys"),
        (hopper(64, 64, 2, 1, "producer, splits = 2"), "have no producer"),
        (hopper(128, 64, 2, 1, "producer, overlapped, persistent, kept"), "keeps keys"),
        (hopper(128, 64, 2, 1, "kept"), "keeps keys"),
        (hopper(128, 64, 2, 1, "staged"), "what is staged needs a producer"),
        ("#plain.query_attention<warps = 3>", "warps"),
        ("#plain.depthwise<vector = 3>", "vector"),
    ],
)
def test_wrong_configs_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse_config(text, Attribute)
