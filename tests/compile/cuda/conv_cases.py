"""Convolutions that the CUDA tests render, emulate, compile and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from tests.compile.cuda.cases import SUM, in_tf32
from tests.compile.cuda.kernels import Case, of_weights

# relu(acc + bias) + residual * acc
BLOCK = """{
^bb0(%acc : f32, %bias : f32, %residual : f32):
  %zero = arith.constant 0.0 : f32
  %0 = arith.addf %acc, %bias : f32
  %1 = arith.maximumf %0, %zero : f32
  %2 = arith.mulf %residual, %acc : f32
  %3 = arith.addf %1, %2 : f32
  kernel.yield %3 : f32
}"""


@dataclass(frozen=True)
class Conv:
    """The sizes of a convolution; `channels` and `outputs` are those of all groups."""

    images: int
    height: int
    width: int
    channels: int
    outputs: int
    taps: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def result(self) -> tuple[int, int]:
        top, left, bottom, right = self.padding
        reach = [d * (t - 1) + 1 for d, t in zip(self.dilations, self.taps, strict=True)]
        return (
            (self.height + top + bottom - reach[0]) // self.strides[0] + 1,
            (self.width + left + right - reach[1]) // self.strides[1] + 1,
        )

    @property
    def properties(self) -> str:
        def array(values: tuple[int, ...]) -> str:
            return f"array<i64: {', '.join(map(str, values))}>"

        return (
            f"{{strides = {array(self.strides)}, padding = {array(self.padding)}, "
            f"dilations = {array(self.dilations)}, groups = {self.groups} : i64}}"
        )


def conv(
    name: str,
    sizes: Conv,
    element: str = "f16",
    config: str = "",
    block: bool = False,
    channels_first: bool = False,
    result: str = "",
    among: int = 0,
    planes: bool = False,
) -> Case:
    """A convolution of images and weights [O, R, S, C]. `block`: with bias, activation and a
    residual; `channels_first`: images and results are stored [N, C, H, W], weights [O, C, R, S];
    `among`: images and results are a part of tensors with so many more channels, half of them
    before; `planes`: images alone are stored [N, C, H, W]."""
    n, h, w, c, o = sizes.images, sizes.height, sizes.width, sizes.channels, sizes.outputs
    (p, q), (r, s), g = sizes.result, sizes.taps, sizes.channels // sizes.groups
    result = result or element

    def image(
        shape: tuple[int, int, int, int], e: str, channels_first: bool = channels_first
    ) -> tuple[str, str]:
        a, b, d, f = shape
        if among:
            step = f + among
            strides = f"strides [{b * d * step}, {d * step}, {step}, 1]"
            access = f"<offset {among // 2}, sizes {list(shape)}, {strides}>"
            return f"tensor<{a}x{b}x{d}x{step}x{e}>", access
        if not channels_first:
            return f"tensor<{a}x{b}x{d}x{f}x{e}>", ""
        access = f"<offset 0, sizes {list(shape)}, strides [{b * d * f}, {d}, 1, {b * d}]>"
        return f"tensor<{a}x{f}x{b}x{d}x{e}>", access

    x, x_map = image((n, h, w, c), element, planes or channels_first)
    y, y_map = image((n, p, q, o), result)
    weight, w_map = f"tensor<{o}x{r}x{s}x{g}x{element}>", ""
    if channels_first:
        weight, w_map = image((o, r, s, g), element)
    operands, ins = {"x": x, "w": weight}, [f"%x {x_map} : {x}", f"%w {w_map} : {weight}"]
    if block:
        residual, r_map = image((n, p, q, o), element)
        operands |= {"b": f"tensor<{o}x{element}>", "r": residual}
        along = f"<offset 0, sizes [{n}, {p}, {q}, {o}], strides [0, 0, 0, 1]>"
        ins.append(f"%b {along} : tensor<{o}x{element}>")
        ins.append(f"%r {r_map} : {residual}")
    return Case(
        name,
        {**operands, "o": y},
        f"""kernel.conv ins({", ".join(ins)}) outs(%o {y_map} : {y}) {sizes.properties}
          epilogue {BLOCK if block else SUM}""",
        config=config,
    )


def dynamic_conv(name: str, images: int, config: str = "") -> Case:
    """A convolution over any number of images of any height."""
    symbols = "n in [1, 8], h in [4, 64]"
    x = f"tensor<?x?x10x16xf16, #sym.dims<[n, h, 10, 16], {symbols}>>"
    o = f"tensor<?x?x10x24xf16, #sym.dims<[n, h, 10, 24], {symbols}>>"
    w = "tensor<24x3x3x16xf16>"
    return Case(
        name,
        {"x": x, "w": w, "o": o},
        f"""kernel.conv ins(%x : {x}, %w : {w}) outs(%o : {o})
          {Conv(1, 1, 1, 16, 24).properties} epilogue {{
          ^bb0(%acc : f32):
            %i = kernel.index <offset 0, sizes [n, h, 10, 24], strides [0, 1, 0, 1], {symbols}>
            %f = arith.sitofp %i : i64 to f32
            %0 = arith.addf %acc, %f : f32
            kernel.yield %0 : f32
          }}""",
        dims={"n": images, "h": 7},
        config=config,
    )


# acc + bias, then times the residual
SCALED = """{
^bb0(%acc : f32, %bias : f32, %residual : f32):
  %0 = arith.addf %acc, %bias : f32
  %1 = arith.mulf %residual, %0 : f32
  kernel.yield %1 : f32
}"""

SHUFFLE = (0, 3, 1, 4, 2, 5)
"""Images, channels, rows and their parts, columns and theirs: where a pixel shuffle writes."""
HEADS = (0, 3, 1, 2, 4)
"""Images, heads, pixels, features."""


def split_conv(
    name: str,
    sizes: Conv,
    channels: tuple[int, ...],
    storage: tuple[int, ...],
    element: str = "f16",
    config: str = "",
) -> Case:
    """A convolution whose output channels are several dims; the result is stored with the dims
    [n, p, q, channels] in another order, and so is a residual that it is multiplied by."""
    (p, q), (r, s), g = sizes.result, sizes.taps, sizes.channels // sizes.groups
    domain = [sizes.images, p, q, *channels]
    stored = [domain[i] for i in storage]
    steps = {i: prod(stored[at + 1 :]) for at, i in enumerate(storage)}
    place = f"<offset 0, sizes {domain}, strides {[steps[i] for i in range(len(domain))]}>"
    filters = [*channels, r, s, g]
    dense = [prod(filters[i + 1 :]) for i in range(len(filters))]
    along = [0, 0, 0, *(prod(channels[i + 1 :]) for i in range(len(channels)))]
    x = f"tensor<{sizes.images}x{sizes.height}x{sizes.width}x{sizes.channels}x{element}>"
    w = f"tensor<{sizes.outputs}x{r}x{s}x{g}x{element}>"
    b = f"tensor<{sizes.outputs}x{element}>"
    y = f"tensor<{'x'.join(map(str, stored))}x{element}>"
    return Case(
        name,
        {"x": x, "w": w, "b": b, "r": y, "o": y},
        f"""kernel.conv ins(%x : {x}, %w <offset 0, sizes {filters}, strides {dense}> : {w},
          %b <offset 0, sizes {domain}, strides {along}> : {b}, %r {place} : {y})
          outs(%o {place} : {y}) {sizes.properties} epilogue {SCALED}""",
        config=config,
    )


def phase(name: str, config: str = "") -> Case:
    """A part of a transposed convolution: it writes every second pixel of every second row."""
    x, w, o = "tensor<2x7x6x16xf16>", "tensor<24x2x1x16xf16>", "tensor<2x14x12x24xf16>"
    sizes = Conv(2, 7, 6, 16, 24, (2, 1), padding=(0, 0, 1, 0))
    return Case(
        name,
        {"x": x, "w": w, "o": o},
        f"""kernel.conv ins(%x : {x}, %w : {w})
          outs(%o <offset 312, sizes [2, 7, 6, 24], strides [4032, 576, 48, 1]> : {o})
          {sizes.properties} epilogue {SUM}""",
        config=config,
    )


_SCALAR = "#plain.conv<tile = [32, 32, 16], units = scalar>"
_TENSOR = "#plain.conv<tile = [64, 32, 32], units = tensor>"

SAME = Conv(2, 7, 6, 16, 24)
STEM = Conv(1, 13, 12, 3, 16, (7, 7), (2, 2), (3, 3, 3, 3))
UNEVEN = Conv(1, 9, 11, 8, 10, (2, 3), (2, 1), (0, 2, 1, 0), (1, 2))
GROUPED = Conv(2, 6, 5, 24, 48, groups=3)

OWN_CONVS = [
    conv("conv_f32", SAME, "f32", block=True),
    conv("conv_scalar_units", UNEVEN, "bf16", _SCALAR, block=True),
    conv("conv_tensor_units", SAME, "f16", _TENSOR, block=True),
    conv("conv_own_stem", STEM, "f16", _TENSOR),
    conv("conv_own_grouped", GROUPED, "f16", _TENSOR),
    conv("conv_channels_first", Conv(2, 6, 5, 6, 10), "f32", _SCALAR, True, True),
    dynamic_conv("conv_own_dynamic", 3, _TENSOR),
    conv("depthwise", Conv(2, 7, 6, 32, 32, groups=32), "f16", "DepthwiseAttr", block=True),
    conv(
        "depthwise_wide",
        Conv(1, 15, 9, 12, 24, (13, 13), (2, 1), (6, 6, 6, 6), groups=12),
        "f32",
        "DepthwiseAttr",
        block=True,
    ),
    split_conv("conv_own_shuffled", SAME, (6, 2, 2), SHUFFLE, "f16", _TENSOR),
    split_conv("conv_scalar_heads", UNEVEN, (5, 2), HEADS, "f32", _SCALAR),
    split_conv("conv_grouped_shuffled", GROUPED, (12, 2, 2), SHUFFLE, "f32", _SCALAR),
    split_conv(
        "depthwise_heads", Conv(2, 7, 6, 32, 32, groups=32), (4, 8), HEADS, "f16", "DepthwiseAttr"
    ),
    split_conv(
        "depthwise_shuffled",
        Conv(1, 5, 6, 6, 24, groups=6),
        (6, 2, 2),
        SHUFFLE,
        "f32",
        "DepthwiseAttr",
    ),
    conv("depthwise_odd", Conv(1, 5, 6, 5, 5, groups=5), "bf16", "DepthwiseAttr"),
    # Threads have several rows, of which the last ones are fewer.
    conv("depthwise_rows", Conv(5, 41, 15, 64, 64, groups=64), "f16", "DepthwiseAttr", block=True),
    conv(
        "depthwise_strided",
        Conv(2, 17, 14, 16, 16, (3, 5), (2, 2), (1, 2, 0, 1), (1, 2), 16),
        "f16",
        "DepthwiseAttr",
        block=True,
    ),
    conv(
        "depthwise_unpadded",
        Conv(1, 9, 11, 8, 8, (7, 7), (1, 3), (0, 0, 0, 0), groups=8),
        "f32",
        "DepthwiseAttr",
    ),
    conv(
        "depthwise_taps",
        Conv(1, 40, 38, 8, 8, (35, 35), (1, 1), (17, 17, 17, 17), groups=8),
        "f16",
        "#plain.depthwise<vector = 8>",
    ),
    of_weights(conv("conv_own_early", UNEVEN, "bf16", _TENSOR, block=True)),
    of_weights(
        conv("depthwise_early", Conv(3, 11, 7, 24, 24, groups=24), "f16", "DepthwiseAttr", True)
    ),
    of_weights(conv("depthwise_early_odd", Conv(1, 5, 6, 5, 5, groups=5), "f32", "DepthwiseAttr")),
]


def tensor(
    tile: tuple[int, int, int], warps: tuple[int, int] = (2, 2), stages: int = 3, products: str = ""
) -> str:
    fields = f"tile = {list(tile)}, warps = {list(warps)}, stages = {stages}"
    return f"#cuda.conv<{fields}{', products = ' if products else ''}{products}>"


_SMALL = tensor((64, 32, 32))
_SPLIT_TF32 = tensor((64, 32, 16), products="tf32x3")

TENSOR_CONVS = [
    conv("conv_same", SAME, "f16", _SMALL, block=True),
    conv("conv_deep_tile", SAME, "bf16", tensor((32, 32, 64), (1, 2), 2), block=True),
    conv("conv_stem", STEM, "f16", tensor((128, 16, 32), (4, 1), 4)),
    conv("conv_uneven", UNEVEN, "bf16", tensor((32, 16, 32), (2, 1), 4), block=True),
    conv("conv_grouped", GROUPED, "f16", tensor((16, 16, 32), (1, 1)), block=True),
    split_conv("conv_shuffled", SAME, (6, 2, 2), SHUFFLE, "f16", _SMALL),
    split_conv("conv_heads", GROUPED, (6, 8), HEADS, "bf16", _SMALL),
    split_conv("conv_odd_heads", UNEVEN, (2, 5), HEADS, "f16", tensor((32, 16, 32), (2, 1), 4)),
    # Two and four channels: copies of 4 and of 8 bytes
    conv("conv_pairs", Conv(1, 6, 7, 12, 8, groups=2), "f16", tensor((32, 16, 32), (2, 1))),
    conv("conv_fours", Conv(1, 6, 7, 4, 8, strides=(2, 2)), "f16", tensor((32, 16, 64), (2, 1))),
    conv("conv_pointwise", Conv(2, 6, 8, 32, 16, (1, 1), (2, 2), (0, 0, 0, 0)), "f16", _SMALL),
    conv("conv_first", Conv(2, 6, 5, 6, 10), "f16", _SMALL, block=True, channels_first=True),
    conv("conv_f32_result", SAME, "f16", _SMALL, result="f32"),
    dynamic_conv("conv_dynamic", 5, _SMALL),
    of_weights(conv("conv_early", SAME, "f16", _SMALL, block=True)),
    of_weights(conv("conv_early_f32", UNEVEN, "f32", "ConvAttr", block=True)),
    of_weights(conv("conv_early_odd", STEM, "bf16", tensor((128, 16, 32), (4, 1), 4))),
    conv("conv_one_pixel", Conv(1, 1, 1, 1, 1), "f16", _SMALL, block=True),
    # Each f32 as two of TF32, or as one
    conv("conv_tf32x3", SAME, "f32", _SPLIT_TF32, block=True),
    conv("conv_tf32x3_uneven", UNEVEN, "f32", _SPLIT_TF32, block=True),
    conv("conv_tf32x3_odd", Conv(1, 6, 7, 9, 15, groups=3), "f32", _SPLIT_TF32, result="f16"),
    conv(
        "conv_tf32x3_first",
        Conv(2, 6, 5, 6, 10),
        "f32",
        tensor((32, 16, 32), (2, 1), 4, "tf32x3"),
        block=True,
        channels_first=True,
    ),
    *(
        in_tf32(conv(name, sizes, "f32", tensor((32, 16, 16), (2, 1), 2, "tf32"), block=True))
        for name, sizes in (("conv_tf32", SAME), ("conv_tf32_grouped", GROUPED))
    ),
]


def hopper(
    tile: tuple[int, int, int], schedule: str, warpgroups: int = 2, stages: int = 3, split: int = 1
) -> str:
    return (
        f"#cuda.hopper_conv<tile = {list(tile)}, warpgroups = {warpgroups}, "
        f"schedule = {schedule}, stages = {stages}, split = {split}>"
    )


_TURNS = hopper((64, 32, 16), "pingpong")
_SPLIT = hopper((64, 64, 64), "cooperative", 1, 4, 4)

HOPPER_CONVS = [
    conv("hopper_same", SAME, "f16", _TURNS, block=True),
    conv("hopper_uneven", UNEVEN, "bf16", _TURNS, block=True),
    conv("hopper_many_tiles", Conv(3, 40, 41, 16, 32), "f16", hopper((64, 16, 16), "pingpong")),
    conv(
        "hopper_wide_turns",
        Conv(2, 33, 31, 64, 128),
        "bf16",
        hopper((128, 128, 64), "pingpong"),
        block=True,
    ),
    conv(
        "hopper_two_parts",
        Conv(2, 17, 19, 96, 112, strides=(2, 2)),
        "f16",
        hopper((128, 112, 64), "cooperative"),
        block=True,
    ),
    conv(
        "hopper_three_parts",
        Conv(1, 21, 23, 40, 72, (5, 3), (1, 2), (2, 1, 2, 1)),
        "f16",
        hopper((192, 128, 32), "cooperative", 3),
    ),
    conv("hopper_dilated", Conv(1, 19, 20, 32, 64, dilations=(3, 2)), "bf16", _TURNS, block=True),
    conv("hopper_cut", Conv(1, 12, 13, 16, 16, padding=(-1, 2, 1, -2)), "f16", _TURNS),
    conv("hopper_grouped", Conv(2, 6, 5, 48, 72, groups=3), "f16", _TURNS, block=True),
    conv("hopper_pointwise", Conv(2, 6, 8, 32, 16, (1, 1), (2, 2), (0, 0, 0, 0)), "f16", _TURNS),
    conv("hopper_among", Conv(2, 9, 8, 32, 48), "f16", _TURNS, block=True, among=16),
    conv("hopper_f32_result", SAME, "f16", _TURNS, result="f32"),
    conv("hopper_split", Conv(1, 7, 7, 128, 96), "f16", _SPLIT, block=True),
    conv(
        "hopper_split_parts",
        Conv(1, 14, 14, 64, 128, strides=(2, 2)),
        "bf16",
        hopper((128, 64, 32), "cooperative", 2, 5, 6),
        block=True,
        among=16,
    ),
    dynamic_conv("hopper_dynamic", 5, _TURNS),
    phase("hopper_phase", _TURNS),
    of_weights(conv("hopper_early", UNEVEN, "bf16", _TURNS, block=True)),
    of_weights(conv("hopper_early_split", Conv(1, 7, 7, 128, 96), "f16", _SPLIT, block=True)),
    conv("hopper_one_pixel", Conv(1, 1, 1, 16, 8), "bf16", _TURNS, block=True),
    conv("hopper_split_f32_result", Conv(1, 7, 7, 64, 40), "bf16", _SPLIT, True, result="f32"),
]


def stem(rows: int, warpgroups: int = 3, stages: int = 2) -> str:
    return f"#cuda.stem_conv<rows = {rows}, warpgroups = {warpgroups}, stages = {stages}>"


STEM_CONVS = [
    conv("stem", Conv(2, 22, 24, 3, 64, (7, 7), (2, 2), (3, 3, 3, 3)), "f16", stem(2), block=True),
    conv("stem_rows", Conv(3, 35, 40, 3, 24, strides=(1, 2)), "bf16", stem(8, 3, 3), block=True),
    conv("stem_wide", Conv(1, 9, 200, 4, 40, (3, 5), padding=(0, 2, 2, 2)), "f16", stem(4)),
    conv(
        "stem_patches",
        Conv(2, 16, 32, 6, 17, (4, 4), (4, 4), (0, 0, 0, 0), (2, 1)),
        "f16",
        stem(1, 2, 2),
    ),
    conv(
        "stem_planes",
        Conv(3, 23, 32, 3, 64, (7, 7), (2, 2), (3, 3, 3, 3)),
        "f16",
        stem(4),
        block=True,
        planes=True,
    ),
    conv(
        "stem_planes_wide",
        Conv(1, 10, 168, 2, 24, (2, 3), (1, 4), (0, 2, 1, 0), (3, 1)),
        "bf16",
        stem(2, 2, 3),
        planes=True,
    ),
    conv("stem_first", Conv(2, 9, 16, 5, 20, (3, 3), (2, 2)), "bf16", stem(3), True, True),
    conv(
        "stem_f32_result",
        Conv(2, 9, 16, 3, 24, (3, 3), (2, 2)),
        "f16",
        stem(2),
        block=True,
        result="f32",
    ),
    conv("stem_one_row", Conv(1, 1, 16, 2, 128, (1, 9), (1, 1), (0, 4, 0, 4)), "bf16", stem(1)),
    of_weights(
        conv("stem_early", Conv(2, 13, 24, 3, 17, (7, 7), (2, 2), (3, 3, 3, 3)), "f16", stem(4))
    ),
]


def halo(rows: int, stages: int = 2) -> str:
    return f"#cuda.halo_conv<rows = {rows}, stages = {stages}>"


HALO_CONVS = [
    conv("halo", Conv(2, 22, 19, 64, 64), "f16", halo(4), block=True),
    conv("halo_narrow", Conv(40, 9, 8, 32, 24), "bf16", halo(2, 3), block=True, among=16),
    conv("halo_few", Conv(3, 7, 33, 16, 128, (5, 3), padding=(2, 0, 1, 2)), "f16", halo(1)),
    conv("halo_dilated", Conv(1, 12, 13, 64, 17, dilations=(2, 3)), "bf16", halo(4), block=True),
    phase("halo_phase", halo(4)),
    conv("halo_cut", Conv(2, 11, 12, 32, 48, (2, 4), padding=(-1, 3, 2, -2)), "f16", halo(8)),
    of_weights(conv("halo_early", Conv(3, 7, 13, 32, 17), "bf16", halo(4), block=True)),
    conv("halo_f32_result", Conv(2, 7, 9, 32, 24), "bf16", halo(2), block=True, result="f32"),
    conv("halo_one_pixel", Conv(1, 1, 1, 16, 8), "f16", halo(1), block=True),
]


@dataclass(frozen=True)
class Window:
    """The windows of a pool, which may reach beyond the padding (`more` results)."""

    taps: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (2, 2)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    more: int = 0

    def over(self, image: tuple[int, int]) -> tuple[int, int]:
        """How many there are."""
        rows, columns = (
            (image[i] + self.padding[i] + self.padding[2 + i] - self.taps[i]) // self.strides[i]
            + 1
            + self.more
            for i in range(2)
        )
        return rows, columns


# relu(acc + bias)
RELU = """{
^bb0(%acc : f32, %bias : f32):
  %zero = arith.constant 0.0 : f32
  %0 = arith.addf %acc, %bias : f32
  %1 = arith.maximumf %0, %zero : f32
  kernel.yield %1 : f32
}"""


def conv_pool(
    name: str,
    sizes: Conv,
    window: Window,
    config: str = "",
    element: str = "f16",
    kind: str = "max",
    block: bool = False,
    planes: bool = False,
    special: Mapping[int, float] | None = None,
    result: str = "",
) -> Case:
    """A convolution, bias and activation, and a pool. `block`: a residual in the middle and another
    one, and the number of the row, at the end; `planes`: images are stored [N, C, H, W];
    `special`: values of the image."""
    n, h, w, c, o = sizes.images, sizes.height, sizes.width, sizes.channels, sizes.outputs
    (y, x), (r, s) = sizes.result, sizes.taps
    p, q = window.over((y, x))
    image, access = f"tensor<{n}x{h}x{w}x{c}x{element}>", ""
    if planes:
        image = f"tensor<{n}x{c}x{h}x{w}x{element}>"
        access = f"<offset 0, sizes [{n}, {h}, {w}, {c}], strides [{c * h * w}, {w}, 1, {h * w}]>"
    weight, pooled = f"tensor<{o}x{r}x{s}x{c}x{element}>", f"tensor<{n}x{p}x{q}x{o}x{{}}>"
    residual, out = pooled.format(element), pooled.format(result or element)
    operands = {"x": image, "w": weight, "b": f"tensor<{o}x{element}>"}
    along = f"<offset 0, sizes [{n}, {y}, {x}, {o}], strides [0, 0, 0, 1]>"
    ins = [f"%x {access} : {image}", f"%w : {weight}", f"%b {along} : tensor<{o}x{element}>"]
    middle, epilogue = RELU, SUM
    if block:
        operands |= {"m": f"tensor<{n}x{y}x{x}x{o}x{element}>", "r": residual}
        ins += [f"%m : {operands['m']}", f"%r : {residual}"]
        middle = BLOCK
        epilogue = f"""{{
          ^bb0(%acc : f32, %more : f32):
            %i = kernel.index <offset 0, sizes [{n}, {p}, {q}, {o}], strides [0, 1, 0, 0]>
            %f = arith.sitofp %i : i64 to f32
            %0 = arith.addf %acc, %f : f32
            %1 = arith.subf %0, %more : f32
            kernel.yield %1 : f32
          }}"""
    pool = {"kernel": window.taps, "pool_strides": window.strides, "pool_padding": window.padding}
    arrays = "".join(
        f", {key} = array<i64: {', '.join(map(str, values))}>" for key, values in pool.items()
    )
    kind, _, padding = kind.partition("_")
    counts = ", count_include_pad" if padding else ""
    properties = (
        f"{sizes.properties[:-1]}{arrays}, kind = #kernel.pool_kind {kind}{counts}, "
        f"middle_extras = {2 if block else 1} : i64}}"
    )
    return Case(
        name,
        {**operands, "o": out},
        f"""kernel.conv_pool ins({", ".join(ins)}) outs(%o : {out}) {properties}
          middle {middle} epilogue {epilogue}""",
        config=config,
        special={"x": special or {}},
        # What is pooled may be rounded to the image's type: these leave it as it is.
        ranges=dict.fromkeys("xwb", (-8, 9)) if result else {},
    )


def _seven(images: int, height: int, width: int, outputs: int = 64) -> Conv:
    """A network's first convolution."""
    return Conv(images, height, width, 3, outputs, (7, 7), (2, 2), (3, 3, 3, 3))


_PAIRS = Window((2, 2), (2, 2), (0, 0, 0, 0))

CONV_POOLS = [
    conv_pool("pool", _seven(2, 30, 32), Window(), stem(3, 3, 4)),
    of_weights(conv_pool("pool_early", _seven(1, 22, 24, 40), Window(), stem(2, 2, 3), block=True)),
    conv_pool("pool_block", _seven(3, 29, 40, 24), Window(), stem(2, 2, 3), block=True),
    conv_pool("pool_pairs", Conv(2, 18, 24, 4, 32), _PAIRS, stem(4, 4, 2), "bf16", block=True),
    conv_pool(
        "pool_numbers",
        _seven(1, 22, 24),
        Window(),
        stem(2, 1, 3),
        special={0: float("nan"), 700: float("inf"), 900: float("-inf")},
    ),
    conv_pool(
        "pool_wide", Conv(1, 7, 288, 2, 16, (3, 5), (1, 2)), Window(), stem(1, 2, 4), planes=True
    ),
    conv_pool(
        "pool_planes",
        _seven(2, 40, 32, 96),
        Window(),
        stem(5, 2, 4),
        planes=True,
    ),
    conv_pool(
        "pool_average",
        Conv(2, 20, 24, 4, 48, (5, 5)),
        Window(),
        stem(2, 3, 4),
        "bf16",
        "average",
        True,
    ),
    conv_pool(
        "pool_average_pairs",
        Conv(1, 21, 24, 4, 17),
        Window((3, 2), (3, 2), (1, 1, 1, 0)),
        stem(2, 3, 4),
        kind="average_with_padding",
    ),
    conv_pool(
        "pool_beyond",
        Conv(2, 19, 24, 5, 128, (4, 3), (1, 2), (0, 2, 1, 1)),
        Window((3, 3), (2, 2), (0, 0, 0, 0), 1),
        stem(16, 2, 4),
        block=True,
    ),
    # Rows of taps that see no row twice.
    conv_pool(
        "pool_holes", Conv(2, 22, 24, 4, 24, (3, 3), dilations=(2, 1)), Window(), stem(3, 2, 2)
    ),
    conv_pool(
        "pool_skips",
        Conv(1, 30, 32, 4, 32, (1, 3), (2, 1), (0, 1, 0, 1)),
        Window(),
        stem(2, 4, 4),
        block=True,
    ),
    conv_pool("pool_one", Conv(1, 2, 16, 2, 16, (2, 2), (2, 1)), Window(), stem(1, 4, 4)),
    # An average of three is no number of 16 bits.
    conv_pool(
        "pool_f32_result",
        Conv(2, 21, 24, 4, 24),
        Window((3, 2), (3, 2), (1, 1, 1, 0)),
        stem(2, 3, 4),
        kind="average_with_padding",
        result="f32",
    ),
]
