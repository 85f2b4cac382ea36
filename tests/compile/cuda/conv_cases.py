"""Convolutions that the CUDA tests render, emulate, compile and run."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tests.compile.cuda.cases import SUM
from tests.compile.cuda.kernels import Case

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
) -> Case:
    """A convolution of images and weights [O, R, S, C]. `block`: with bias, activation and a
    residual; `channels_first`: images and results are stored [N, C, H, W], weights [O, C, R, S]."""
    n, h, w, c, o = sizes.images, sizes.height, sizes.width, sizes.channels, sizes.outputs
    (p, q), (r, s), g = sizes.result, sizes.taps, sizes.channels // sizes.groups
    result = result or element

    def image(shape: tuple[int, int, int, int], e: str) -> tuple[str, str]:
        a, b, d, f = shape
        if not channels_first:
            return f"tensor<{a}x{b}x{d}x{f}x{e}>", ""
        access = f"<offset 0, sizes {list(shape)}, strides [{b * d * f}, {d}, 1, {b * d}]>"
        return f"tensor<{a}x{f}x{b}x{d}x{e}>", access

    x, x_map = image((n, h, w, c), element)
    y, y_map = image((n, p, q, o), result)
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
]


def tensor(tile: tuple[int, int, int], warps: tuple[int, int] = (2, 2), stages: int = 3) -> str:
    return f"#cuda.conv<tile = {list(tile)}, warps = {list(warps)}, stages = {stages}>"


_SMALL = tensor((64, 32, 32))

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
]
