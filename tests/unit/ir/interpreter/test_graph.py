"""The graph level's meaning, each op against plain Python on small arrays."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from xdsl.dialects.builtin import StringAttr, bf16, f16, f32, i1, i8, i32, i64

from ait.dialects import graph
from ait.errors import InputError
from ait.ir.dtypes import dense_of

Run = Callable[..., Any]
NAN, INF = math.nan, math.inf
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def close(got: np.ndarray, want: Any, tolerance: float = 2e-6) -> None:
    want = np.asarray(want, np.float64)
    assert got.shape == want.shape
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=tolerance, atol=tolerance)


# Elementwise ----------------------------------------------------------------------------------

SAMPLES = [-INF, -50.0, -3.5, -2.0, -0.7, -0.0, 0.0, 1e-4, 0.5, 1.0, 2.25, 6.0, 50.0, INF, NAN]


def phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def hard(x: float) -> float:
    return min(max(x / 6 + 0.5, 0), 1)


UNARY: dict[Any, Callable[[float], float]] = {
    graph.NegOp: lambda x: -x,
    graph.AbsOp: abs,
    graph.ExpOp: math.exp,
    graph.LogOp: lambda x: math.log(x) if x > 0 else (-INF if x == 0 else NAN),
    graph.TanhOp: math.tanh,
    graph.ErfOp: math.erf,
    graph.SigmoidOp: sigmoid,
    graph.SqrtOp: lambda x: math.sqrt(x) if x >= 0 else NAN,
    graph.RsqrtOp: lambda x: 1 / math.sqrt(x) if x > 0 else (NAN if x else math.copysign(INF, x)),
    graph.ReciprocalOp: lambda x: 1 / x if x else math.copysign(INF, x),
    graph.FloorOp: lambda x: math.floor(x) if math.isfinite(x) else x,
    graph.CeilOp: lambda x: math.ceil(x) if math.isfinite(x) else x,
    graph.SinOp: lambda x: math.sin(x) if math.isfinite(x) else NAN,
    graph.CosOp: lambda x: math.cos(x) if math.isfinite(x) else NAN,
    graph.ReluOp: lambda x: x if x > 0 else 0.0,
    graph.SiluOp: lambda x: x * sigmoid(x),
    graph.HardswishOp: lambda x: x * hard(x),
    graph.HardsigmoidOp: hard,
    graph.LeakyReluOp: lambda x: x if x >= 0 else 0.01 * x,
    graph.EluOp: lambda x: x if x > 0 else math.expm1(x),
    graph.SoftplusOp: lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))),
    graph.GeluOp: lambda x: x * phi(x),
}


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_unary(run_op: Run, op: Any) -> None:
    def wanted(x: float) -> float:
        if math.isnan(x) or (
            math.isinf(x) and op in (graph.SiluOp, graph.HardswishOp, graph.GeluOp)
        ):
            return NAN if math.isnan(x) or x < 0 else INF
        return UNARY[op](x)

    want = [wanted(x) for x in SAMPLES]
    # In f32, 1 + erf(x) cancels for large negative x.
    close(run_op(op, np.float32(SAMPLES)), want, 1e-5 if op is graph.GeluOp else 2e-6)
    for narrow in (np.float16, ml_dtypes.bfloat16):
        stored = np.asarray(SAMPLES, np.float32).astype(narrow)
        in_f32 = run_op(op, stored.astype(np.float32))
        got = run_op(op, stored)
        assert got.dtype == narrow
        with np.errstate(over="ignore"):
            rounded = in_f32.astype(narrow)
        np.testing.assert_array_equal(got.astype(np.float32), rounded.astype(np.float32))


def test_unary_with_properties(run_op: Run) -> None:
    x = np.float32([-3, -0.5, 0.25, 8])
    close(run_op(lambda v: graph.GeluOp(v, approximate="tanh"), x), [gelu_tanh(v) for v in x])
    close(run_op(lambda v: graph.LeakyReluOp(v, negative_slope=0.2), x), [-0.6, -0.1, 0.25, 8])
    close(
        run_op(lambda v: graph.EluOp(v, alpha=2), x),
        [2 * math.expm1(-3), 2 * math.expm1(-0.5), 0.25, 8],
    )
    close(run_op(lambda v: graph.ClampOp(v, min=-1), x), [-1, -0.5, 0.25, 8])
    close(run_op(lambda v: graph.ClampOp(v, min=0, max=6), x), [0, 0, 0.25, 6])
    assert np.isnan(run_op(lambda v: graph.ClampOp(v, min=0, max=6), np.float32(NAN)))
    np.testing.assert_array_equal(
        run_op(lambda v: graph.ClampOp(v, min=-3, max=5), np.int8([-128, -3, 4, 127])),
        [-3, -3, 4, 5],
    )


def test_integers_wrap_around(run_op: Run) -> None:
    a, b = np.int8([127, -128, -128, 100]), np.int8([1, -1, -128, 3])
    np.testing.assert_array_equal(run_op(graph.AddOp, a, b), np.int8([-128, 127, 0, 103]))
    np.testing.assert_array_equal(run_op(graph.SubOp, a, b), np.int8([126, -127, 0, 97]))
    np.testing.assert_array_equal(run_op(graph.MulOp, a, b), np.int8([127, -128, 0, 44]))
    np.testing.assert_array_equal(run_op(graph.NegOp, a), np.int8([-127, -128, -128, -100]))
    np.testing.assert_array_equal(run_op(graph.AbsOp, a), np.int8([127, -128, -128, 100]))
    np.testing.assert_array_equal(run_op(graph.ReluOp, a), np.int8([127, 0, 0, 100]))
    np.testing.assert_array_equal(run_op(graph.MaximumOp, a, b), np.int8([127, -1, -128, 100]))
    np.testing.assert_array_equal(run_op(graph.MinimumOp, a, b), np.int8([1, -128, -128, 3]))
    big = np.int64([2**63 - 1])
    np.testing.assert_array_equal(run_op(graph.AddOp, big, np.int64([2])), [-(2**63) + 1])


def test_division_rounds_down(run_op: Run) -> None:
    pairs = list(product([-7, -6, 0, 5, 6], [-3, -2, 3, 4]))
    a, b = np.int32([p for p, _ in pairs]), np.int32([q for _, q in pairs])
    np.testing.assert_array_equal(run_op(graph.FloorDivideOp, a, b), [p // q for p, q in pairs])
    np.testing.assert_array_equal(run_op(graph.RemainderOp, a, b), [p % q for p, q in pairs])
    a, b = np.float32(a) / 2, np.float32(b)
    close(run_op(graph.FloorDivideOp, a, b), [math.floor(p / 2 / q) for p, q in pairs])
    close(run_op(graph.RemainderOp, a, b), [(p / 2) % q for p, q in pairs])
    zero = np.int32([0, 0])
    np.testing.assert_array_equal(run_op(graph.FloorDivideOp, np.int32([5, -5]), zero), [0, 0])
    np.testing.assert_array_equal(run_op(graph.RemainderOp, np.int32([5, -5]), zero), [5, -5])
    lowest = np.int8([-128])
    np.testing.assert_array_equal(run_op(graph.FloorDivideOp, lowest, np.int8([-1])), [-128])


BINARY: dict[Any, Callable[[float, float], float]] = {
    graph.AddOp: lambda a, b: a + b,
    graph.SubOp: lambda a, b: a - b,
    graph.MulOp: lambda a, b: a * b,
    graph.DivOp: lambda a, b: a / b,
    graph.PowOp: lambda a, b: abs(a) ** b,
    graph.MaximumOp: lambda a, b: a if a > b else b,
    graph.MinimumOp: lambda a, b: a if a < b else b,
    graph.EqualOp: lambda a, b: a == b,
    graph.NotEqualOp: lambda a, b: a != b,
    graph.LessOp: lambda a, b: a < b,
    graph.LessEqualOp: lambda a, b: a <= b,
    graph.GreaterOp: lambda a, b: a > b,
    graph.GreaterEqualOp: lambda a, b: a >= b,
}


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
def test_binary_broadcasts(run_op: Run, op: Any) -> None:
    a, b = normal(2, 1, 3), normal(4, 3)
    b[0] = a[0, 0]  # equal elements, for the comparisons
    a = np.abs(a) if op is graph.PowOp else a
    want = [
        [[BINARY[op](float(a[i, 0, k]), float(b[j, k])) for k in range(3)] for j in range(4)]
        for i in range(2)
    ]
    got = run_op(op, a, b)
    close(got, want)
    assert got.dtype == (np.bool_ if issubclass(op, graph.ComparisonOp) else np.float32)


def test_nan_in_comparisons_and_extrema(run_op: Run) -> None:
    a, b = np.float32([NAN, 1, NAN]), np.float32([1, NAN, NAN])
    for op in (graph.MaximumOp, graph.MinimumOp):
        assert np.isnan(run_op(op, a, b)).all()
    for op in (graph.EqualOp, graph.LessOp, graph.LessEqualOp, graph.GreaterOp):
        assert not run_op(op, a, b).any()
    assert run_op(graph.NotEqualOp, a, b).all()


def test_logic_and_select(run_op: Run) -> None:
    a, b = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    np.testing.assert_array_equal(run_op(graph.LogicalAndOp, a, b), [0, 0, 0, 1])
    np.testing.assert_array_equal(run_op(graph.LogicalOrOp, a, b), [0, 1, 1, 1])
    np.testing.assert_array_equal(run_op(graph.LogicalXorOp, a, b), [0, 1, 1, 0])
    np.testing.assert_array_equal(run_op(graph.LogicalNotOp, a), [1, 1, 0, 0])
    np.testing.assert_array_equal(run_op(graph.NotEqualOp, a, b), [0, 1, 1, 0])
    picked = run_op(graph.SelectOp, a, np.int32(7), np.int32([1, 2, 3, 4]))
    np.testing.assert_array_equal(picked, [1, 2, 7, 7])


def test_cast(run_op: Run) -> None:
    def cast(values: Any, element: Any) -> Any:
        return run_op(lambda x: graph.CastOp(x, element), np.asarray(values)).tolist()

    floats = np.float32([-INF, -3e9, -129.9, -1.5, -0.5, 0.9, 127.5, 3e9, 1e30, INF, NAN])
    assert cast(floats, i8) == [-128, -128, -128, -1, 0, 0, 127, 127, 127, 127, 0]
    low, high = -(2**31), 2**31 - 1
    assert cast(floats, i32) == [low, low, -129, -1, 0, 0, 127, high, high, high, 0]
    low, high = -(2**63), 2**63 - 1
    assert cast(floats, i64) == [low, -3000000000, -129, -1, 0, 0, 127, 3000000000, high, high, 0]
    assert cast(floats, i1) == [True] * 11
    assert cast(np.float32([0, -0.0, 1e-40]), i1) == [False, False, True]
    assert cast(np.int64([300, -129, 2**40 + 5]), i8) == [44, 127, 5]
    assert cast(np.int32([0, 2, -1]), i1) == [False, True, True]
    assert cast(np.array([True, False]), i64) == [1, 0]
    assert cast(np.array([True, False]), f16) == [1.0, 0.0]
    assert cast(np.int64([2**24 + 1, 70000]), f32) == [2.0**24, 70000.0]
    assert cast(np.int64([70000]), f16) == [INF]
    # Ties go to even: 1 + 2^-11 in f16, 1 + 2^-8 in bf16.
    assert cast(np.float32([1 + 2**-11, 1 + 3 * 2**-11]), f16) == [1.0, 1 + 2**-9]
    assert cast(np.float32([1 + 2**-8, 1 + 3 * 2**-8]), bf16) == [1.0, 1 + 2**-6]


# Contraction ----------------------------------------------------------------------------------


def test_matmul(run_op: Run) -> None:
    a, b = normal(2, 1, 3, 4), normal(5, 4, 2)
    want = np.zeros((2, 5, 3, 2))
    for x, y, m, n, k in product(range(2), range(5), range(3), range(2), range(4)):
        want[x, y, m, n] += float(a[x, 0, m, k]) * float(b[y, k, n])
    close(run_op(graph.MatmulOp, a, b), want)
    at, bt = np.ascontiguousarray(a.swapaxes(2, 3)), np.ascontiguousarray(b.swapaxes(1, 2))
    close(run_op(lambda p, q: graph.MatmulOp(p, q, transpose_a=True), at, b), want)
    close(run_op(lambda p, q: graph.MatmulOp(p, q, transpose_b=True), a, bt), want)


def test_linear_rounds_once(run_op: Run) -> None:
    x, weight, bias = (v.astype(np.float16) for v in (normal(2, 8), normal(3, 8), normal(3)))
    want = [
        [
            math.fsum(float(x[i, k]) * float(weight[n, k]) for k in range(8)) + float(bias[n])
            for n in range(3)
        ]
        for i in range(2)
    ]
    np.testing.assert_array_equal(run_op(graph.LinearOp, x, weight, bias), np.float16(want))
    close(
        run_op(graph.LinearOp, np.float32(x), np.float32(weight)), np.array(want) - np.float32(bias)
    )


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("groups", "strides", "padding", "dilations"),
    [
        (1, (1, 1), (0, 0, 0, 0), (1, 1)),
        (2, (2, 1), (1, 0, 2, 3), (1, 2)),
        (4, (1, 2), (0, 1, 1, 1), (2, 1)),
    ],
)
def test_conv2d(
    run_op: Run, layout: str, groups: int, strides: Any, padding: Any, dilations: Any
) -> None:
    c, o, height, width, r, s = 4, 8, 7, 6, 3, 2
    x, weight, bias = normal(2, c, height, width), normal(o, c // groups, r, s), normal(o)
    top, left, bottom, right = padding
    oh = (height + top + bottom - dilations[0] * (r - 1) - 1) // strides[0] + 1
    ow = (width + left + right - dilations[1] * (s - 1) - 1) // strides[1] + 1
    want = np.zeros((2, o, oh, ow))
    for n, q, i, j in product(range(2), range(o), range(oh), range(ow)):
        want[n, q, i, j] = bias[q]
        first = q // (o // groups) * (c // groups)
        for d, p, t in product(range(c // groups), range(r), range(s)):
            y = i * strides[0] + p * dilations[0] - top
            z = j * strides[1] + t * dilations[1] - left
            if 0 <= y < height and 0 <= z < width:
                want[n, q, i, j] += float(x[n, first + d, y, z]) * float(weight[q, d, p, t])

    def conv(*operands: Any) -> graph.Conv2dOp:
        return graph.Conv2dOp(
            *operands,
            strides=strides,
            padding=padding,
            dilations=dilations,
            groups=groups,
            layout=layout,
        )

    if layout == "nhwc":
        x, weight = x.transpose(0, 2, 3, 1), weight.transpose(0, 2, 3, 1)
        want = want.transpose(0, 2, 3, 1)
    close(run_op(conv, x, weight, bias), want, 1e-5)
    plain = want - (bias if layout == "nhwc" else bias[:, None, None])
    close(run_op(conv, x, weight), plain, 1e-5)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("groups", "strides", "padding", "output_padding", "dilations"),
    [
        (1, (1, 1), (0, 0, 0, 0), (0, 0), (1, 1)),
        (2, (2, 1), (1, 0, 2, 3), (1, 0), (1, 2)),
        (4, (3, 2), (4, 1, 0, 0), (0, 1), (2, 1)),
    ],
)
def test_conv_transpose2d(
    run_op: Run,
    layout: str,
    groups: int,
    strides: Any,
    padding: Any,
    output_padding: Any,
    dilations: Any,
) -> None:
    """Each pixel adds its multiple of the kernel, where that falls into the result."""
    c, o, height, width, r, s = 4, 8, 4, 5, 3, 2
    x, weight, bias = normal(2, c, height, width), normal(c, o // groups, r, s), normal(o)
    top, left, bottom, right = padding
    oh = (height - 1) * strides[0] + dilations[0] * (r - 1) + 1 + output_padding[0] - top - bottom
    ow = (width - 1) * strides[1] + dilations[1] * (s - 1) + 1 + output_padding[1] - left - right
    want = np.zeros((2, o, oh, ow))
    for n, i, y, z in product(range(2), range(c), range(height), range(width)):
        first = i // (c // groups) * (o // groups)
        for q, p, t in product(range(o // groups), range(r), range(s)):
            row = y * strides[0] + p * dilations[0] - top
            column = z * strides[1] + t * dilations[1] - left
            if 0 <= row < oh and 0 <= column < ow:
                want[n, first + q, row, column] += float(x[n, i, y, z]) * float(weight[i, q, p, t])

    def conv(*operands: Any) -> graph.ConvTranspose2dOp:
        return graph.ConvTranspose2dOp(
            *operands,
            strides=strides,
            padding=padding,
            output_padding=output_padding,
            dilations=dilations,
            groups=groups,
            layout=layout,
        )

    if layout == "nhwc":
        x, want = x.transpose(0, 2, 3, 1), want.transpose(0, 2, 3, 1)
        parts = np.split(weight, groups)  # of each group: [c / groups, o / groups, r, s]
        weight = np.concatenate([part.transpose(1, 2, 3, 0) for part in parts])
    close(run_op(conv, x, weight), want, 1e-5)
    with_bias = want + (bias if layout == "nhwc" else bias[:, None, None])
    close(run_op(conv, x, weight, bias), with_bias, 1e-5)


# Pooling --------------------------------------------------------------------------------------


def pool_reference(
    x: np.ndarray, op: Any, average: bool, output: tuple[int, int], include_pad: bool = False
) -> np.ndarray:
    n, c, height, width = x.shape
    dilations = (1, 1) if average else op.dilations
    top, left, bottom, right = op.padding
    want = np.zeros((n, c, *output))
    for b, d, i, j in product(range(n), range(c), range(output[0]), range(output[1])):
        values, count = [], 0
        for p, q in product(range(op.kernel[0]), range(op.kernel[1])):
            y = i * op.strides[0] + p * dilations[0] - top
            z = j * op.strides[1] + q * dilations[1] - left
            if y < height + bottom and z < width + right:
                count += 1
            if 0 <= y < height and 0 <= z < width:
                values.append(float(x[b, d, y, z]))
        if average:
            want[b, d, i, j] = sum(values) / (count if include_pad else len(values))
        else:
            want[b, d, i, j] = max(values)
    return want


WINDOWS = [
    {"kernel": (2, 3)},
    {"kernel": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)},
    {"kernel": (3, 2), "strides": (2, 3), "padding": (1, 0, 0, 1), "ceil_mode": True},
    {"kernel": (2, 2), "strides": (3, 3), "ceil_mode": True},
]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pools(run_op: Run, layout: str, window: dict[str, Any]) -> None:
    x = normal(2, 3, 8, 7)
    given = x.transpose(0, 2, 3, 1) if layout == "nhwc" else x
    made: list[Any] = []

    def make(kind: Any, **extra: Any) -> Callable[..., Any]:
        def builder(v: Any) -> Any:
            made.append(kind(v, **window, **extra, layout=layout))
            return made[-1]

        return builder

    def output(got: np.ndarray) -> np.ndarray:
        return got.transpose(0, 3, 1, 2) if layout == "nhwc" else got

    got = output(run_op(make(graph.MaxPool2dOp), given))
    close(got, pool_reference(x, made[-1], False, got.shape[2:]))
    for include in (False, True):
        got = output(run_op(make(graph.AvgPool2dOp, count_include_pad=include), given))
        close(got, pool_reference(x, made[-1], True, got.shape[2:], include))


def test_max_pool_dilation_and_nan(run_op: Run) -> None:
    x = normal(1, 1, 7, 7)
    x[0, 0, 3, 3] = NAN
    got = run_op(lambda v: graph.MaxPool2dOp(v, kernel=(3, 3), strides=(1, 1), dilations=(2, 3)), x)
    assert got.shape == (1, 1, 3, 1)
    assert np.isnan(got).ravel().tolist() == [False, True, False]


def test_adaptive_pools(run_op: Run) -> None:
    x = normal(2, 3, 7, 5)
    for average, kind in ((True, graph.AdaptiveAvgPool2dOp), (False, graph.AdaptiveMaxPool2dOp)):
        want = np.zeros((2, 3, 3, 4))
        for n, c, i, j in product(range(2), range(3), range(3), range(4)):
            rows = range(math.floor(i * 7 / 3), math.ceil((i + 1) * 7 / 3))
            columns = range(math.floor(j * 5 / 4), math.ceil((j + 1) * 5 / 4))
            values = [float(x[n, c, y, z]) for y, z in product(rows, columns)]
            want[n, c, i, j] = sum(values) / len(values) if average else max(values)
        close(run_op(lambda v, kind=kind: kind(v, output_size=(3, 4)), x), want)
        nhwc = run_op(
            lambda v, kind=kind: kind(v, output_size=(3, 4), layout="nhwc"),
            x.transpose(0, 2, 3, 1),
        )
        close(nhwc, want.transpose(0, 2, 3, 1))


def source(i: int, n: int, m: int, coordinates: str) -> Fraction:
    if coordinates == "half_pixel":
        return (i + Fraction(1, 2)) * n / m - Fraction(1, 2)
    if coordinates == "align_corners":
        return Fraction(i * (n - 1), m - 1) if m > 1 else Fraction(0)
    return Fraction(i * n, m)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("size", [(10, 9), (2, 3), (1, 1), (5, 3)])
def test_resize(run_op: Run, coordinates: str, size: tuple[int, int]) -> None:
    x = normal(1, 2, 5, 6)

    def nearest(i: int, n: int, m: int) -> int:
        c = source(i, n, m, coordinates)
        found = math.floor(c) if coordinates == "asymmetric" else math.ceil(c - Fraction(1, 2))
        return min(max(found, 0), n - 1)

    def linear(i: int, n: int, m: int) -> list[tuple[int, float]]:
        c = min(max(source(i, n, m, coordinates), Fraction(0)), Fraction(n - 1))
        low = math.floor(c)
        return [(low, float(1 - (c - low))), (min(low + 1, n - 1), float(c - low))]

    near, smooth = np.zeros((1, 2, *size)), np.zeros((1, 2, *size))
    for c, i, j in product(range(2), range(size[0]), range(size[1])):
        near[0, c, i, j] = x[0, c, nearest(i, 5, size[0]), nearest(j, 6, size[1])]
        for (y, wy), (z, wz) in product(linear(i, 5, size[0]), linear(j, 6, size[1])):
            smooth[0, c, i, j] += float(x[0, c, y, z]) * wy * wz
    for mode, want in (("nearest", near), ("bilinear", smooth)):
        properties = {"size": size, "mode": mode, "coordinates": coordinates}
        close(run_op(lambda v, p=properties: graph.ResizeOp(v, **p), x), want)
        nhwc = run_op(
            lambda v, p=properties: graph.ResizeOp(v, **p, layout="nhwc"), x.transpose(0, 2, 3, 1)
        )
        close(nhwc, want.transpose(0, 2, 3, 1))


# Normalisation --------------------------------------------------------------------------------


def test_softmax(run_op: Run) -> None:
    x = normal(3, 4, 2) * 10
    for op, want in (
        (graph.SoftmaxOp, lambda e, total: e / total),
        (graph.LogSoftmaxOp, lambda e, total: math.log(e / total)),
    ):
        for axis in range(3):
            rows = np.moveaxis(x.astype(np.float64), axis, -1)
            wanted = np.empty_like(rows)
            for index in np.ndindex(rows.shape[:-1]):
                e = [math.exp(v - max(rows[index])) for v in rows[index]]
                wanted[index] = [want(v, math.fsum(e)) for v in e]
            got = run_op(lambda v, op=op, axis=axis: op(v, axis=axis), x)
            close(got, np.moveaxis(wanted, -1, axis), 1e-5)
    assert np.isnan(run_op(graph.SoftmaxOp, np.full((2,), -INF, np.float32))).all()
    np.testing.assert_array_equal(run_op(graph.SoftmaxOp, np.float32([1e30, -INF])), [1, 0])


def norm(values: list[float], eps: float) -> list[float]:
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(variance + eps) for v in values]


def test_layer_norm(run_op: Run) -> None:
    x, weight, bias = normal(2, 3, 4) + 5, normal(3, 4), normal(3, 4)
    want = np.array([norm(x[i].ravel().tolist(), 1e-3) for i in range(2)]).reshape(x.shape)
    close(run_op(lambda v: graph.LayerNormOp(v, axes_rank=2, eps=1e-3), x), want, 1e-5)
    got = run_op(lambda *v: graph.LayerNormOp(*v, axes_rank=2, eps=1e-3), x, weight, bias)
    close(got, want * weight + bias, 1e-5)
    rows = np.array([[norm(x[i, j].tolist(), 1e-5) for j in range(3)] for i in range(2)])
    close(run_op(graph.LayerNormOp, x, weight[0]), rows * weight[0], 1e-5)


def test_rms_norm(run_op: Run) -> None:
    x, weight = normal(2, 5), normal(5)
    want = [
        [v / math.sqrt(sum(u * u for u in row) / 5 + 1e-6) for v in row]
        for row in x.astype(np.float64)
    ]
    close(run_op(graph.RmsNormOp, x), want)
    close(run_op(graph.RmsNormOp, x, weight), np.array(want) * weight)


def test_group_norm(run_op: Run) -> None:
    x, weight, bias = normal(2, 6, 3, 2), normal(6), normal(6)
    want = np.empty(x.shape)
    for n, g in product(range(2), range(3)):
        part = x[n, 2 * g : 2 * g + 2]
        want[n, 2 * g : 2 * g + 2] = np.reshape(norm(part.ravel().tolist(), 1e-5), part.shape)
    close(run_op(lambda v: graph.GroupNormOp(v, num_groups=3), x), want, 1e-5)
    scaled = want * weight[:, None, None] + bias[:, None, None]
    close(run_op(lambda *v: graph.GroupNormOp(*v, num_groups=3), x, weight, bias), scaled, 1e-5)
    nhwc = run_op(
        lambda *v: graph.GroupNormOp(*v, num_groups=3, layout="nhwc"),
        x.transpose(0, 2, 3, 1),
        weight,
        bias,
    )
    close(nhwc, scaled.transpose(0, 2, 3, 1), 1e-5)


def test_batch_norm(run_op: Run) -> None:
    x, mean, variance, weight, bias = (
        normal(2, 3, 4),
        normal(3),
        normal(3) ** 2,
        normal(3),
        normal(3),
    )
    want = np.empty(x.shape)
    for n, c, i in np.ndindex(x.shape):
        want[n, c, i] = (float(x[n, c, i]) - mean[c]) / math.sqrt(variance[c] + 1e-5)
    close(run_op(graph.BatchNormOp, x, mean, variance), want, 1e-5)
    scaled = want * weight[:, None] + bias[:, None]
    close(run_op(graph.BatchNormOp, x, mean, variance, weight, bias), scaled, 1e-5)
    last = run_op(
        lambda *v: graph.BatchNormOp(*v, axis=-1),
        x.transpose(0, 2, 1),
        mean,
        variance,
        weight,
        bias,
    )
    close(last, scaled.transpose(0, 2, 1), 1e-5)


# Reduction ------------------------------------------------------------------------------------

REDUCTIONS: dict[Any, Callable[[list[float]], float]] = {
    graph.ReduceSumOp: math.fsum,
    graph.ReduceMeanOp: lambda v: math.fsum(v) / len(v),
    graph.ReduceMaxOp: max,
    graph.ReduceMinOp: min,
    graph.ReduceProdOp: math.prod,
}


@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.name)
def test_reductions(run_op: Run, op: Any) -> None:
    x = normal(2, 3, 4)
    want = [REDUCTIONS[op](x[:, i].ravel().astype(float).tolist()) for i in range(3)]
    close(run_op(lambda v: op(v, axes=[0, 2]), x), want)
    close(run_op(lambda v: op(v, axes=[0, 2], keepdims=True), x), np.reshape(want, (1, 3, 1)))
    close(run_op(op, x), REDUCTIONS[op](x.ravel().astype(float).tolist()))
    close(run_op(lambda v: op(v, axes=[]), x), x)
    x[0, 1, 0] = NAN
    assert np.isnan(run_op(lambda v: op(v, axes=[0, 2]), x)).tolist() == [False, True, False]


def test_reductions_of_nothing(run_op: Run) -> None:
    x = np.empty((2, 0), np.float32)
    for op, want in (
        (graph.ReduceSumOp, 0),
        (graph.ReduceProdOp, 1),
        (graph.ReduceMaxOp, -INF),
        (graph.ReduceMinOp, INF),
        (graph.ReduceMeanOp, NAN),
    ):
        np.testing.assert_array_equal(run_op(lambda v, op=op: op(v, axes=[1]), x), [want] * 2)
    none = np.empty((0,), np.int8)
    assert run_op(graph.ReduceMaxOp, none) == -128
    assert run_op(graph.ReduceMinOp, none) == 127


def test_integer_reductions_wrap(run_op: Run) -> None:
    x = np.int8([[100, 100, 100]])
    assert run_op(graph.ReduceSumOp, x).tolist() == np.int8(300 - 256).item()
    assert run_op(graph.ReduceProdOp, x).dtype == np.int8


def test_sum_of_halves_does_not_saturate(run_op: Run) -> None:
    x = np.full(4096, 1.0, np.float16)
    assert run_op(graph.ReduceSumOp, x) == 4096
    assert run_op(graph.ReduceMeanOp, np.full(70000, 2.0, np.float16)) == 2


def test_argmax(run_op: Run) -> None:
    x = np.float32([[1, 3, 3], [NAN, 5, NAN], [-INF, -INF, -INF]])
    got = run_op(lambda v: graph.ArgmaxOp(v, axis=1), x)
    assert got.dtype == np.int64 and got.tolist() == [1, 0, 0]
    got = run_op(lambda v: graph.ArgmaxOp(v, axis=0, keepdims=True), np.int32([[1, 2], [1, 3]]))
    assert got.tolist() == [[0, 1]]


# Attention ------------------------------------------------------------------------------------


def attention_reference(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, see: Callable[..., float]
) -> np.ndarray:
    batch, heads, sq, d = q.shape
    ratio = heads // k.shape[1]
    y = np.zeros((batch, heads, sq, v.shape[3]))
    for b, h, i in product(range(batch), range(heads), range(sq)):
        scores = []
        for j in range(k.shape[2]):
            dot = math.fsum(float(q[b, h, i, e]) * float(k[b, h // ratio, j, e]) for e in range(d))
            scores.append(scale * dot + see(b, h, i, j))
        top = max(scores)
        if top == -INF:
            continue
        weights = [math.exp(s - top) for s in scores]
        for j, w in enumerate(weights):
            y[b, h, i] += w / math.fsum(weights) * v[b, h // ratio, j].astype(float)
    return y


def test_attention(run_op: Run) -> None:
    q, k, v = normal(2, 4, 3, 8), normal(2, 2, 5, 8), normal(2, 2, 5, 6)
    scale = 1 / math.sqrt(8)
    close(
        run_op(graph.AttentionOp, q, k, v), attention_reference(q, k, v, scale, lambda *_: 0), 1e-5
    )

    def causal(_: int, __: int, i: int, j: int) -> float:
        return 0 if j <= i + 2 else -INF

    got = run_op(lambda *x: graph.AttentionOp(*x, causal=True, scale=0.5), q, k, v)
    close(got, attention_reference(q, k, v, 0.5, causal), 1e-5)

    added = normal(2, 1, 3, 5)
    got = run_op(graph.AttentionOp, q, k, v, added)
    close(got, attention_reference(q, k, v, scale, lambda b, _, i, j: added[b, 0, i, j]), 1e-5)

    kept = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    got = run_op(graph.AttentionOp, q, k, v, kept)
    want = attention_reference(q, k, v, scale, lambda b, h, i, j: 0 if kept[i, j] else -INF)
    close(got, want, 1e-5)
    assert (got[:, :, 1] == 0).all()


def test_causal_attention_of_more_queries_than_keys(run_op: Run) -> None:
    q, k, v = normal(1, 1, 4, 2), normal(1, 1, 2, 2), normal(1, 1, 2, 2)
    got = run_op(lambda *x: graph.AttentionOp(*x, causal=True), q, k, v)
    assert (got[0, 0, :2] == 0).all()
    close(got[0, 0, 2], v[0, 0, 0])


# Movement -------------------------------------------------------------------------------------


def test_gather(run_op: Run) -> None:
    x, indices = normal(3, 4, 2), np.int64([[0, 3], [2, 2]])
    want = [[[x[i, j].tolist() for j in row] for row in indices] for i in range(3)]
    close(run_op(lambda v, i: graph.GatherOp(v, i, axis=1), x, indices), want)
    close(run_op(graph.GatherOp, x, np.int32(1)), x[1])
    for wrong in (3, -1):
        with pytest.raises(InputError, match=rf"index {wrong} at \[1\] is outside \[0, 3\)"):
            run_op(graph.GatherOp, x, np.int64([0, wrong]))


def test_a_wrong_index_is_told_without_the_whole_module(run_op: Run) -> None:
    def embed(x: Any, indices: Any) -> graph.GatherOp:
        op = graph.GatherOp(x, indices)
        op.attributes["source"] = StringAttr("bert.embeddings")
        return op

    with pytest.raises(InputError) as error:
        run_op(embed, normal(3, 2), np.int64([3]))
    assert str(error.value).startswith("graph.gather of bert.embeddings: index 3 at [0]")
    assert not getattr(error.value, "__notes__", [])


def test_concat_and_split(run_op: Run) -> None:
    a, b = normal(2, 3), normal(2, 1)
    got = run_op(lambda *x: graph.ConcatOp(*x, axis=1), a, b, a)
    assert got.tolist() == [[*a[i], *b[i], *a[i]] for i in range(2)]
    first, second, third = run_op(lambda x: graph.SplitOp(x, axis=1, sizes=(3, 0, 4)), got)
    assert first.tolist() == a.tolist() and second.shape == (2, 0)
    assert third.tolist() == [[*b[i], *a[i]] for i in range(2)]


def test_slice(run_op: Run) -> None:
    x = normal(4, 5)
    got = run_op(lambda v: graph.SliceOp(v, offsets=(3, 1), sizes=(2, 2), steps=(-2, 3)), x)
    assert got.tolist() == [[x[3, 1], x[3, 4]], [x[1, 1], x[1, 4]]]
    assert run_op(lambda v: graph.SliceOp(v, offsets=(0, 5), sizes=(4, 0)), x).shape == (4, 0)
    assert run_op(lambda v: graph.SliceOp(v, offsets=(), sizes=()), np.int8(3)) == 3


def test_reshape_permute_expand(run_op: Run) -> None:
    x = normal(2, 3, 4)
    assert run_op(lambda v: graph.ReshapeOp(v, (4, 6)), x).ravel().tolist() == x.ravel().tolist()
    got = run_op(lambda v: graph.PermuteOp(v, (2, 0, 1)), x)
    assert all(got[k, i, j] == x[i, j, k] for i, j, k in np.ndindex(x.shape))
    got = run_op(lambda v: graph.ExpandOp(v, (3, 2, 4)), x[0, :2, :1])
    assert all(got[i, j, k] == x[0, j, 0] for i, j, k in np.ndindex(got.shape))


def test_pad(run_op: Run) -> None:
    got = run_op(lambda v: graph.PadOp(v, low=(1, 0), high=(0, 2), value=-1), np.int8([[1, 2]]))
    assert got.tolist() == [[-1, -1, -1, -1], [1, 2, -1, -1]]
    got = run_op(lambda v: graph.PadOp(v, low=(1,), high=(1,), value=-INF), np.float16([1]))
    assert got.tolist() == [-INF, 1, -INF]
    assert run_op(
        lambda v: graph.PadOp(v, low=(1,), high=(0,), value=1), np.array([False])
    ).tolist() == [
        True,
        False,
    ]


def test_constants(run_op: Run) -> None:
    for array in (
        normal(2, 3),
        np.array([True, False]),
        np.asarray([1.5, -2], ml_dtypes.bfloat16),
        np.int8([[-128]]),
        np.float32(2.5),
    ):
        got = run_op(lambda a=array: graph.ConstantOp(dense_of(np.asarray(a))))
        assert got.dtype == array.dtype and got.tolist() == array.tolist()
    assert run_op(lambda: graph.IotaOp((2, 3), axis=1)).tolist() == [[0, 1, 2], [0, 1, 2]]
    got = run_op(lambda: graph.IotaOp((2, 1), axis=0, element=f32))
    assert got.dtype == np.float32 and got.tolist() == [[0], [1]]


def test_every_op_has_an_implementation() -> None:
    from ait.ir.interpreter.graph import GraphFunctions

    implemented = {kind for kind, _ in GraphFunctions._impls()}  # pyright: ignore
    assert implemented == set(graph.Graph.operations) - {graph.ParameterOp}
