"""A Hypothesis strategy of valid graph programs over all graph ops, and inputs for them.

Programs are grown forward: each step draws an op and operands that fit it, so nothing is ever
filtered away and what fails shrinks to few ops. Operands are counted back from the newest value.

Comparing two correct evaluations needs a tolerance only where rounding differs. So each value
carries whether it is *exact*, that is made of small integers by ops that keep them so, and a bound
of its magnitude; ops that jump (comparisons, floor, casts to integers, argmax) take exact values
only, and ops that blow up near a pole get operands kept away from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    FunctionType,
    ModuleOp,
    StringAttr,
    TensorType,
    bf16,
    f16,
    f32,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ait.dialects import graph
from ait.dialects.functions import NAME
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    dims_of,
    element_of,
    evaluate,
    lower_bound,
    symbol,
    symbols_of,
    tensor_type,
)
from ait.ir.program import Program

FLOATS = (f32, f16, bf16)
INTEGERS = (i64, i32, i8)
NUMPY: dict[Attribute, Any] = {
    f32: np.float32,
    f16: np.float16,
    bf16: ml_dtypes.bfloat16,
    i64: np.int64,
    i32: np.int32,
    i8: np.int8,
    i1: np.bool_,
}
EXACT_LIMIT = {f32: 2.0**20, f16: 2.0**10, bf16: 2.0**7}
"""Up to where whole numbers of a float type are exact, with room for one more sum."""
LARGEST = 1e4
"""Values that could be larger than this are not used any more."""


@dataclass
class Value:
    """A tensor of the program, whether it is exact, and a bound of its magnitude."""

    ssa: SSAValue
    exact: bool
    bound: float

    @property
    def dims(self) -> tuple[Dim, ...]:
        return dims_of(self.ssa)

    @property
    def element(self) -> Attribute:
        return element_of(self.ssa)

    @property
    def rank(self) -> int:
        return len(self.dims)


@dataclass
class Case:
    """A program, values for its symbols, and its inputs."""

    program: Program
    bindings: dict[str, int]
    inputs: dict[str, Any]
    exact: list[bool]
    """Of each output: whether all correct evaluations agree to the last bit."""

    def _repr_pretty_(self, p: Any, cycle: bool) -> None:
        p.text(f"Case(bindings={self.bindings})\n{self.program.module}")


Maker = Callable[["Growth"], "list[Value] | None"]
MAKERS: dict[type[Operation], Maker] = {}


def makes(*kinds: type[Operation]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function that appends one op of each of the kinds to a program."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for kind in kinds:
            MAKERS[kind] = lambda growth, kind=kind: function(growth, kind)
        return function

    return register


@dataclass
class Growth:
    """A program that grows."""

    draw: st.DrawFn
    rng: np.random.Generator
    block: Block
    symbols: list[Dim]
    values: list[Value] = field(default_factory=list[Value])
    parameters: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    inputs: list[tuple[Any, float]] = field(default_factory=list[tuple[Any, float]])

    # Drawing

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def choose(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def pick(self, accept: Callable[[Value], bool]) -> Value | None:
        """One of the values that are accepted, the newest first."""
        fitting = [v for v in reversed(self.values) if accept(v)]
        return fitting[self.integer(0, len(fitting) - 1)] if fitting else None

    def pick_float(self, exact: bool = False) -> Value | None:
        return self.pick(lambda v: v.element in FLOATS and (v.exact or not exact))

    # Building

    def add(self, op: Operation, exact: bool = False, bound: float = LARGEST) -> list[Value]:
        """Appends an op; values without a bound of their own are not used much further."""
        self.block.add_op(op)
        results = [Value(result, exact, bound) for result in op.results]
        limit = EXACT_LIMIT.get(results[0].element, math.inf)
        for result in results:
            result.exact = result.exact and (result.bound < limit or result.element in INTEGERS)
        self.values.extend(r for r in results if r.bound <= LARGEST or r.element in INTEGERS)
        return results

    def one(self, op: Operation, exact: bool = False, bound: float = LARGEST) -> Value:
        return self.add(op, exact, bound)[0]

    def parameter(self, dims: Sequence[int], element: Attribute, bound: int = 2) -> Value:
        """A new weight of small whole numbers."""
        name = f"layer.{len(self.parameters)}.weight"
        data = self.rng.integers(-bound, bound + 1, tuple(dims)).astype(NUMPY[element])
        self.parameters.append((name, data))
        op = graph.GetParameterOp(name, tensor_type(element, dims))
        self.block.insert_op_before(op, self.block.first_op) if self.block.first_op else (
            self.block.add_op(op)
        )
        return Value(op.result, True, bound)

    def number(self, value: float, element: Attribute) -> Value:
        """A literal of rank 0."""
        dense = DenseIntOrFPElementsAttr.from_list(TensorType(element, []), [value])
        op = graph.ConstantOp(dense)
        self.block.add_op(op)
        return Value(op.result, float(value).is_integer(), abs(value))

    def dim(self) -> Dim:
        return self.choose([*self.symbols, 1, 2, 3, 5, 8])

    def safe(self, x: Value) -> Value:
        """`|x| + 1`, clear of poles at 0."""
        magnitude = self.one(graph.AbsOp(x.ssa), x.exact, x.bound)
        one = self.number(1.0, x.element)
        return self.one(graph.AddOp(magnitude.ssa, one.ssa), x.exact, x.bound + 1)

    def small(self, x: Value, bound: float = 4.0) -> Value:
        """`x` clamped to [-bound, bound]."""
        if x.bound <= bound:
            return x
        return self.one(graph.ClampOp(x.ssa, min=-bound, max=bound), x.exact, bound)


# Elementwise ----------------------------------------------------------------------------------


@makes(
    graph.TanhOp,
    graph.ErfOp,
    graph.SigmoidOp,
    graph.GeluOp,
    graph.SiluOp,
    graph.HardswishOp,
    graph.HardsigmoidOp,
    graph.LeakyReluOp,
    graph.EluOp,
    graph.SoftplusOp,
    graph.SinOp,
    graph.CosOp,
)
def _smooth(g: Growth, kind: Any) -> Any:
    x = g.pick_float()
    if x is None:
        return None
    x = g.small(x, 30.0)
    properties = {"approximate": g.choose(["none", "tanh"])} if kind is graph.GeluOp else {}
    return g.add(kind(x.ssa, **properties), False, x.bound + 1)


@makes(graph.ExpOp)
def _exp(g: Growth, kind: Any) -> Any:
    x = g.pick_float()
    return None if x is None else g.add(kind(g.small(x).ssa), False, 55.0)


@makes(graph.LogOp, graph.SqrtOp, graph.RsqrtOp, graph.ReciprocalOp)
def _with_pole(g: Growth, kind: Any) -> Any:
    x = g.pick_float()
    return None if x is None else g.add(kind(g.safe(x).ssa), False, x.bound + 1)


@makes(graph.FloorOp, graph.CeilOp)
def _rounding(g: Growth, kind: Any) -> Any:
    x = g.pick_float(exact=True)
    if x is None:
        return None
    half = g.number(0.5, x.element)
    return g.add(kind(g.one(graph.MulOp(x.ssa, half.ssa), False, x.bound).ssa), True, x.bound + 1)


@makes(graph.NegOp, graph.AbsOp, graph.ReluOp)
def _keeping(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element != i1)
    return None if x is None else g.add(kind(x.ssa), x.exact, x.bound)


@makes(graph.ClampOp)
def _clamp(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element != i1)
    if x is None:
        return None
    low = g.choose([None, -3, 0])
    high = g.choose([None, 2, 5]) if low is not None else g.choose([2, 5])
    number = float if x.element in FLOATS else int
    bounds = {k: number(v) for k, v in (("min", low), ("max", high)) if v is not None}
    return g.add(kind(x.ssa, **bounds), x.exact, max(x.bound, 5))


@makes(graph.CastOp)
def _cast(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: True)
    if x is None:
        return None
    targets = [*FLOATS, *INTEGERS, i1] if x.exact else list(FLOATS)
    element = g.choose(targets)
    if x.element in INTEGERS and element in FLOATS and x.bound > EXACT_LIMIT[element]:
        return None
    bound = 1.0 if element == i1 or x.element == i1 else x.bound
    if element in FLOATS and x.bound > EXACT_LIMIT[element]:
        return None
    return g.add(kind(x.ssa, element), x.exact, bound)


def _partner(g: Growth, x: Value, exact: bool = False) -> Value:
    """A second operand that broadcasts with `x`: another value, a weight or a number."""
    fitting = [
        v
        for v in reversed(g.values)
        if v.element == x.element and (v.exact or not exact) and _broadcasts(v.dims, x.dims)
    ]
    fitting = [v for v in fitting if v.ssa is not x.ssa] or fitting
    how = g.integer(0, 3)
    if how <= 1 and fitting:
        return fitting[g.integer(0, len(fitting) - 1)]
    if how == 2 and x.element != i1:
        return g.number(g.choose([1, 2, 3]), x.element)
    dims = list(x.dims[g.integer(0, x.rank) :])
    dims = [d if isinstance(d, int) and g.flag() else 1 for d in dims]
    return g.parameter(dims, x.element)


def _broadcasts(a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    return all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b), strict=False))


def _ordered(g: Growth, a: Value, b: Value) -> tuple[Value, Value]:
    return (a, b) if g.flag() else (b, a)


@makes(graph.AddOp, graph.SubOp, graph.MaximumOp, graph.MinimumOp)
def _sums(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element != i1)
    if x is None:
        return None
    a, b = _ordered(g, x, _partner(g, x))
    return g.add(kind(a.ssa, b.ssa), a.exact and b.exact, a.bound + b.bound)


@makes(graph.MulOp)
def _mul(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element != i1)
    if x is None:
        return None
    a, b = _ordered(g, x, _partner(g, x))
    return g.add(kind(a.ssa, b.ssa), a.exact and b.exact, a.bound * b.bound)


@makes(graph.DivOp)
def _div(g: Growth, kind: Any) -> Any:
    x = g.pick_float()
    if x is None:
        return None
    return g.add(kind(x.ssa, g.safe(_partner(g, x)).ssa), False, x.bound)


@makes(graph.PowOp)
def _pow(g: Growth, kind: Any) -> Any:
    x = g.pick_float()
    if x is None:
        return None
    base = g.safe(g.small(x))
    return g.add(
        kind(base.ssa, g.number(g.choose([2.0, 3.0, 0.5, -1.0]), x.element).ssa), False, 125
    )


@makes(graph.FloorDivideOp, graph.RemainderOp)
def _whole_division(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element != i1 and v.exact)
    if x is None:
        return None
    divisor = g.number(g.choose([2, 4, -2]), x.element)
    return g.add(kind(x.ssa, divisor.ssa), True, x.bound + 4)


@makes(
    graph.EqualOp,
    graph.NotEqualOp,
    graph.LessOp,
    graph.LessEqualOp,
    graph.GreaterOp,
    graph.GreaterEqualOp,
)
def _comparison(g: Growth, kind: Any) -> Any:
    equality = kind in (graph.EqualOp, graph.NotEqualOp)
    x = g.pick(lambda v: v.exact and (equality or v.element != i1))
    if x is None:
        return None
    a, b = _ordered(g, x, _partner(g, x, exact=True))
    return g.add(kind(a.ssa, b.ssa), True, 1)


def _truth(g: Growth) -> Value:
    found = g.pick(lambda v: v.element == i1)
    return found if found is not None else g.parameter([g.choose([1, 3])], i1)


@makes(graph.LogicalNotOp)
def _not(g: Growth, kind: Any) -> Any:
    return g.add(kind(_truth(g).ssa), True, 1)


@makes(graph.LogicalAndOp, graph.LogicalOrOp, graph.LogicalXorOp)
def _logic(g: Growth, kind: Any) -> Any:
    x = _truth(g)
    a, b = _ordered(g, x, _partner(g, x))
    return g.add(kind(a.ssa, b.ssa), True, 1)


@makes(graph.SelectOp)
def _select(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: True)
    if x is None:
        return None
    y = _partner(g, x)
    wide = x if x.rank >= y.rank else y
    condition = g.pick(
        lambda v: v.element == i1 and all(_broadcasts(v.dims, o.dims) for o in (x, y))
    )
    if condition is None:
        condition = g.parameter([1] * wide.rank, i1)
    return g.add(kind(condition.ssa, x.ssa, y.ssa), x.exact and y.exact, max(x.bound, y.bound))


# Contractions ---------------------------------------------------------------------------------


def _sum_bound(x: Value, count: Dim, factor: float = 2.0) -> float:
    return x.bound * factor * max(1, evaluate(count, {s.name: s.upper for s in symbols_of(count)}))


@makes(graph.LinearOp)
def _linear(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element in FLOATS and v.rank >= 1 and isinstance(v.dims[-1], int))
    if x is None:
        return None
    if g.integer(0, 3) == 3:
        return _gated(g, x)
    return [_layer(g, x, g.choose([1, 3, 4, 16, 17]))]


def _layer(g: Growth, x: Value, features: int) -> Value:
    """A linear layer over `x`, whose last dim is static."""
    inner = x.dims[-1]
    assert isinstance(inner, int)
    weight = g.parameter([features, inner], x.element)
    bias = g.parameter([features], x.element) if g.flag() else None
    op = graph.LinearOp(x.ssa, weight.ssa, bias.ssa if bias else None)
    return g.one(op, x.exact, _sum_bound(x, inner) + 2)


def _gated(g: Growth, x: Value) -> Any:
    """A linear times the sigmoid of another one: of two layers, or of the columns of one."""
    n = g.choose([1, 4, 6])
    spelling = g.choose(["two", "split", "interleaved"])
    if spelling == "two":
        pair = [_layer(g, x, n), _layer(g, x, n)]
    else:
        wide = _layer(g, x, 2 * n)
        lead = list(wide.dims[:-1])
        zeros, ones = [0 for _ in lead], [1 for _ in lead]
        if spelling == "split":
            op: Operation = graph.SplitOp(wide.ssa, axis=len(lead), sizes=[n, n])
            pair = g.add(op, wide.exact, wide.bound)
        else:
            pair = [
                g.one(
                    graph.SliceOp(
                        wide.ssa, offsets=[*zeros, i], sizes=[*lead, n], steps=[*ones, 2]
                    ),
                    wide.exact,
                    wide.bound,
                )
                for i in (0, 1)
            ]
    if g.flag():
        pair.reverse()
    gate = g.one(graph.SigmoidOp(pair[0].ssa), bound=1)
    if g.flag():
        pair[1], gate = gate, pair[1]
    return g.add(graph.MulOp(pair[1].ssa, gate.ssa), bound=max(pair[1].bound, gate.bound))


@makes(graph.MatmulOp)
def _matmul(g: Growth, kind: Any) -> Any:
    a = g.pick(lambda v: v.element in FLOATS and v.rank >= 2)
    if a is None:
        return None
    transpose_a, transpose_b = g.flag(), g.flag()
    k = a.dims[-2] if transpose_a else a.dims[-1]

    def fits(v: Value) -> bool:
        if v.element != a.element or v.rank < 2:
            return False
        inner = v.dims[-1] if transpose_b else v.dims[-2]
        return inner == k and _broadcasts(v.dims[:-2], a.dims[:-2])

    b = g.pick(fits)
    if b is None:
        if not isinstance(k, int):
            return None
        n = g.choose([1, 2, 5, 16])
        batch = [d if isinstance(d, int) and g.flag() else 1 for d in a.dims[:-2]]
        batch = batch if g.flag() else []
        b = g.parameter([*batch, n, k] if transpose_b else [*batch, k, n], a.element)
    op = kind(a.ssa, b.ssa, transpose_a=transpose_a, transpose_b=transpose_b)
    return g.add(op, a.exact and b.exact, _sum_bound(a, k, b.bound))


def _image(g: Growth) -> Value | None:
    """A 4-d tensor with static channels and pixels to spare."""
    return g.pick(
        lambda v: (
            v.element in FLOATS
            and v.rank == 4
            and all(isinstance(d, int) and d > 0 for d in v.dims[1:])
        )
    )


@makes(graph.Conv2dOp)
def _conv2d(g: Growth, kind: Any) -> Any:
    x = _image(g)
    if x is None:
        return None
    layout = g.choose(["nchw", "nhwc"])
    channels, height, width = _image_extents(x, layout)
    groups = g.choose([d for d in (1, 2, channels) if channels % d == 0])
    outputs = groups * g.integer(1, 3)
    r, s = g.integer(1, min(3, height)), g.integer(1, min(3, width))
    shape = [outputs, channels // groups, r, s]
    weight = g.parameter(shape if layout == "nchw" else [outputs, r, s, shape[1]], x.element, 1)
    bias = g.parameter([outputs], x.element) if g.flag() else None
    op = kind(
        x.ssa,
        weight.ssa,
        bias.ssa if bias else None,
        strides=[g.integer(1, 2), g.integer(1, 2)],
        padding=[g.integer(0, 2) for _ in range(4)],
        dilations=[g.integer(1, 2) if r == 1 else 1, 1],
        groups=groups,
        layout=layout,
    )
    return g.add(op, x.exact, _sum_bound(x, shape[1] * r * s, 1) + 2)


@makes(graph.ConvTranspose2dOp)
def _conv_transpose2d(g: Growth, kind: Any) -> Any:
    x = _image(g)
    if x is None:
        return None
    layout = g.choose(["nchw", "nhwc"])
    channels, *extents = _image_extents(x, layout)
    groups = g.choose([d for d in (1, 2, channels) if channels % d == 0])
    outputs = groups * g.integer(1, 2)
    strides, kernel = ([g.integer(1, 3), g.integer(1, 3)] for _ in range(2))
    dilations = [g.integer(1, 2), 1]
    if g.flag():  # windows side by side
        kernel, dilations, output_padding = strides, [1, 1], [0, 0]
    else:
        output_padding = [g.integer(0, max(*p) - 1) for p in zip(strides, dilations, strict=True)]
    full = [
        (n - 1) * s + d * (k - 1) + 1 + more
        for n, s, d, k, more in zip(
            extents, strides, dilations, kernel, output_padding, strict=True
        )
    ]
    padding = [0] * 4 if g.flag() else [g.integer(0, min(2, full[i % 2] // 2)) for i in range(4)]
    if any(padding[i] + padding[i + 2] >= full[i] for i in range(2)):
        padding = [0] * 4
    depth = channels // groups
    shapes = {
        "nchw": [channels, outputs // groups, *kernel],
        "nhwc": [outputs, *kernel, depth],
    }
    weight = g.parameter(shapes[layout], x.element, 1)
    bias = g.parameter([outputs], x.element) if g.flag() else None
    op = kind(
        x.ssa,
        weight.ssa,
        bias.ssa if bias else None,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        dilations=dilations,
        groups=groups,
        layout=layout,
    )
    return g.add(op, x.exact, _sum_bound(x, depth * kernel[0] * kernel[1], 1) + 2)


def _image_extents(x: Value, layout: str) -> tuple[int, int, int]:
    order = (1, 2, 3) if layout == "nchw" else (3, 1, 2)
    c, h, w = (x.dims[i] for i in order)
    assert isinstance(c, int) and isinstance(h, int) and isinstance(w, int)
    return c, h, w


@makes(graph.MaxPool2dOp, graph.AvgPool2dOp)
def _pool(g: Growth, kind: Any) -> Any:
    x = _image(g)
    if x is None:
        return None
    layout = g.choose(["nchw", "nhwc"])
    _, height, width = _image_extents(x, layout)
    kernel = [g.integer(1, min(3, height)), g.integer(1, min(3, width))]
    padding = [g.integer(0, k // 2) for k in (*kernel, *kernel)]
    properties: dict[str, Any] = {
        "kernel": kernel,
        "strides": [g.integer(1, 2), g.integer(1, 2)],
        "padding": padding,
        "ceil_mode": g.flag(),
        "layout": layout,
    }
    if kind is graph.AvgPool2dOp:
        properties["count_include_pad"] = g.flag()
    return g.add(kind(x.ssa, **properties), x.exact and kind is graph.MaxPool2dOp, x.bound)


@makes(graph.AdaptiveAvgPool2dOp, graph.AdaptiveMaxPool2dOp)
def _adaptive(g: Growth, kind: Any) -> Any:
    x = _image(g)
    if x is None:
        return None
    size = [g.integer(1, 3), g.integer(1, 3)]
    op = kind(x.ssa, output_size=size, layout=g.choose(["nchw", "nhwc"]))
    return g.add(op, x.exact and kind is graph.AdaptiveMaxPool2dOp, x.bound)


@makes(graph.ResizeOp)
def _resize(g: Growth, kind: Any) -> Any:
    x = _image(g)
    if x is None:
        return None
    op = kind(
        x.ssa,
        size=[g.integer(1, 6), g.integer(1, 6)],
        mode=g.choose(["nearest", "bilinear"]),
        coordinates=g.choose(["half_pixel", "align_corners", "asymmetric"]),
        layout=g.choose(["nchw", "nhwc"]),
    )
    return g.add(op, x.exact and op.mode == "nearest", x.bound)


@makes(graph.AttentionOp)
def _attention(g: Growth, kind: Any) -> Any:
    q = g.pick(
        lambda v: (
            v.element in FLOATS and v.rank == 4 and isinstance(v.dims[3], int) and v.dims[3] > 0
        )
    )
    if q is None:
        return None
    batch, heads, _, width = q.dims
    q_small = g.small(q)
    keys = g.choose([1, 3, 7])
    kv_heads = g.choose(
        [h for h in (1, 2, heads) if isinstance(heads, int) and h and heads % h == 0] or [heads]
    )
    if not isinstance(kv_heads, int) or not isinstance(batch, int):
        k, v = q_small, q
    else:
        k = g.parameter([batch, kv_heads, keys, width], q.element, 1)
        v = g.parameter([batch, kv_heads, keys, g.choose([1, 4, 5])], q.element)
    total = dims_of(k.ssa)[2]
    causal = g.flag()
    mask = None
    if g.flag() and isinstance(total, int):
        mask = g.parameter([1, 1, 1, total], g.choose([q.element, i1]))
    op = kind(
        q_small.ssa,
        k.ssa,
        v.ssa,
        mask.ssa if mask else None,
        causal=causal,
        scale=g.choose([None, 0.5]),
    )
    return g.add(op, False, v.bound)


# Rows -----------------------------------------------------------------------------------------


@makes(graph.SoftmaxOp, graph.LogSoftmaxOp)
def _softmax(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element in FLOATS and v.rank >= 1)
    if x is None:
        return None
    return g.add(kind(g.small(x, 20.0).ssa, axis=g.integer(0, x.rank - 1)), False, 60)


def _static_tail(v: Value, count: int) -> bool:
    return v.rank >= count and all(isinstance(d, int) and d > 0 for d in v.dims[v.rank - count :])


@makes(graph.LayerNormOp, graph.RmsNormOp)
def _norm(g: Growth, kind: Any) -> Any:
    count = g.integer(1, 2)
    x = g.pick(lambda v: v.element in FLOATS and _static_tail(v, count))
    if x is None:
        return None
    shape = [d for d in x.dims[x.rank - count :] if isinstance(d, int)]
    factors = [
        g.parameter(shape, x.element).ssa
        for _ in range(g.integer(0, 1 if kind is graph.RmsNormOp else 2))
    ]
    # A large eps keeps rows of nearly equal values from magnifying rounding.
    return g.add(
        kind(x.ssa, *factors, axes_rank=count, eps=0.5), False, 2 * math.sqrt(2 * x.bound + 1) + 40
    )


@makes(graph.GroupNormOp)
def _group_norm(g: Growth, kind: Any) -> Any:
    x = _image(g)
    if x is None:
        return None
    layout = g.choose(["nchw", "nhwc"])
    channels, _, _ = _image_extents(x, layout)
    groups = g.choose([d for d in (1, 2, 3, channels) if channels % d == 0])
    factors = [g.parameter([channels], x.element).ssa for _ in range(g.integer(0, 2))]
    return g.add(kind(x.ssa, *factors, num_groups=groups, eps=0.5, layout=layout), False, 40)


@makes(graph.BatchNormOp)
def _batch_norm(g: Growth, kind: Any) -> Any:
    axis = g.choose([1, -1])
    x = g.pick(lambda v: v.element in FLOATS and v.rank >= 2 and isinstance(v.dims[axis], int))
    if x is None:
        return None
    channels = x.dims[axis]
    assert isinstance(channels, int)
    mean = g.parameter([channels], x.element)
    variance = g.safe(g.parameter([channels], x.element))
    factors = [g.parameter([channels], x.element).ssa for _ in range(g.integer(0, 2))]
    op = kind(x.ssa, mean.ssa, variance.ssa, *factors, axis=axis % x.rank, eps=0.25)
    return g.add(op, False, 2 * (x.bound + 2) + 2)


@makes(
    graph.ReduceSumOp, graph.ReduceMeanOp, graph.ReduceMaxOp, graph.ReduceMinOp, graph.ReduceProdOp
)
def _reduce(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.element in FLOATS and v.rank >= 1)
    if x is None:
        return None
    axes = sorted(g.draw(st.sets(st.integers(0, x.rank - 1), min_size=1)))
    if kind is graph.ReduceProdOp:
        x = g.small(x, 1.0)
    count = dim_product(x.dims[a] for a in axes)
    if kind not in (graph.ReduceSumOp, graph.ReduceProdOp) and lower_bound(count) == 0:
        return None  # the mean or maximum of nothing is no number
    bound = _sum_bound(x, count, 1) if kind is graph.ReduceSumOp else x.bound
    exact = x.exact and kind is not graph.ReduceMeanOp
    return g.add(kind(x.ssa, axes=axes, keepdims=g.flag()), exact, bound)


@makes(graph.ArgmaxOp)
def _argmax(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.exact and v.element in FLOATS and v.rank >= 1)
    if x is None:
        return None
    axis = g.integer(0, x.rank - 1)
    if lower_bound(x.dims[axis]) < 1:
        return None
    return g.add(kind(x.ssa, axis=axis, keepdims=g.flag()), True, 64)


@makes(graph.GatherOp)
def _gather(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: any(isinstance(d, int) and d > 0 for d in v.dims))
    if x is None:
        return None
    axis = g.choose([i for i, d in enumerate(x.dims) if isinstance(d, int) and d > 0])
    rows = x.dims[axis]
    assert isinstance(rows, int)
    shape = g.choose([(), (3,), (2, 2), (0,)])
    name = f"layer.{len(g.parameters)}.indices"
    data = g.rng.integers(0, rows, shape).astype(np.int64)
    g.parameters.append((name, np.asarray(data)))
    get = graph.GetParameterOp(name, tensor_type(i64, shape))
    g.block.add_op(get)
    return g.add(kind(x.ssa, get.result, axis=axis), x.exact, x.bound)


# Movement -------------------------------------------------------------------------------------


@makes(graph.ConcatOp)
def _concat(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.rank >= 1)
    if x is None:
        return None
    axis = g.integer(0, x.rank - 1)
    others = [
        v
        for v in reversed(g.values)
        if v.element == x.element
        and v.rank == x.rank
        and all(a == b for i, (a, b) in enumerate(zip(v.dims, x.dims, strict=True)) if i != axis)
    ]
    parts = [x, *(g.choose(others) for _ in range(g.integer(0, 2)))]
    parts = g.draw(st.permutations(parts))
    return g.add(
        kind(*(p.ssa for p in parts), axis=axis),
        all(p.exact for p in parts),
        max(p.bound for p in parts),
    )


@makes(graph.SplitOp)
def _split(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: any(isinstance(d, int) and d >= 2 for d in v.dims))
    if x is None:
        return None
    axis = g.choose([i for i, d in enumerate(x.dims) if isinstance(d, int) and d >= 2])
    extent = x.dims[axis]
    assert isinstance(extent, int)
    first = g.integer(1, extent - 1)
    return g.add(kind(x.ssa, axis=axis, sizes=[first, extent - first]), x.exact, x.bound)


@makes(graph.SliceOp)
def _slice(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.rank >= 1)
    if x is None:
        return None
    offsets: list[Dim] = []
    sizes: list[Dim] = []
    steps: list[int] = []
    for dim in x.dims:
        if not isinstance(dim, int) or dim == 0 or g.flag():
            offsets.append(0)
            sizes.append(dim)
            steps.append(1)
            continue
        step = g.choose([1, 2, -1])
        start = g.integer(0, dim - 1)
        room = start // -step + 1 if step < 0 else (dim - 1 - start) // step + 1
        offsets.append(start)
        sizes.append(g.integer(0 if g.integer(0, 5) == 5 else 1, room))
        steps.append(step)
    return g.add(kind(x.ssa, offsets=offsets, sizes=sizes, steps=steps), x.exact, x.bound)


@makes(graph.ReshapeOp)
def _reshape(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: True)
    if x is None:
        return None
    dims = list(x.dims)
    for _ in range(g.integer(1, 2)):
        how = g.integer(0, 2)
        if how == 0 and len(dims) >= 2:  # merge two neighbours
            at = g.integer(0, len(dims) - 2)
            dims[at : at + 2] = [dims[at] * dims[at + 1]]
        elif how == 1:  # a new dim of size 1
            dims.insert(g.integer(0, len(dims)), 1)
        else:  # split one
            even = [i for i, d in enumerate(dims) if isinstance(d, int) and d >= 4 and d % 2 == 0]
            if even:
                at = g.choose(even)
                dims[at : at + 1] = [2, dims[at] // 2]
    if len(dims) > 5:
        return None
    return g.add(kind(x.ssa, dims), x.exact, x.bound)


@makes(graph.PermuteOp)
def _permute(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.rank >= 2)
    if x is None:
        return None
    order = g.draw(st.permutations(range(x.rank)))
    return g.add(kind(x.ssa, list(order)), x.exact, x.bound)


@makes(graph.ExpandOp)
def _expand(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.rank <= 3)
    if x is None:
        return None
    dims = [g.dim() if d == 1 and g.flag() else d for d in x.dims]
    if g.flag():
        dims.insert(0, g.dim())
    return g.add(kind(x.ssa, dims), x.exact, x.bound)


@makes(graph.PadOp)
def _pad(g: Growth, kind: Any) -> Any:
    x = g.pick(lambda v: v.rank >= 1)
    if x is None:
        return None
    low = [g.integer(0, 2) for _ in x.dims]
    high = [g.integer(0, 2) for _ in x.dims]
    value = g.integer(0, 1)
    return g.add(kind(x.ssa, low=low, high=high, value=value), x.exact, max(x.bound, 1))


@makes(graph.ConstantOp)
def _constant(g: Growth, kind: Any) -> Any:
    element = g.choose([f32, f16, i64, i8])
    shape = g.choose([(), (1,), (3,), (2, 3)])
    numbers = [g.integer(-2, 2) for _ in range(math.prod(shape))]
    dense = DenseIntOrFPElementsAttr.from_list(TensorType(element, shape), numbers)
    return g.add(kind(dense), True, 2)


@makes(graph.IotaOp)
def _iota(g: Growth, kind: Any) -> Any:
    dims = [g.dim() for _ in range(g.integer(1, 2))]
    axis = g.integer(0, len(dims) - 1)
    return g.add(kind(dims, axis=axis, element=g.choose([i64, i32, f32])), True, 16)


# Programs -------------------------------------------------------------------------------------


@st.composite
def cases(
    draw: st.DrawFn,
    max_ops: int = 8,
    kinds: Sequence[type[Operation]] = tuple(MAKERS),
    elements: Sequence[Attribute] = FLOATS,
) -> Case:
    """Programs of up to `max_ops` steps over ops of these kinds, with inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    symbols: list[Dim] = [symbol("m", 0, 6), symbol("n", 1, 5)]
    names = {"m": draw(st.integers(0, 6)), "n": draw(st.integers(1, 5))}
    block = Block()
    growth = Growth(draw, rng, block, [])
    inputs: dict[str, Any] = {}
    for index in range(draw(st.integers(1, 3))):
        element = draw(st.sampled_from(list(elements)))
        shape = draw(st.sampled_from(_INPUT_SHAPES))
        dims = [symbols[0] if d == -2 else symbols[1] if d == -1 else d for d in shape]
        argument = block.insert_arg(tensor_type(element, dims), index)
        data = rng.integers(-3, 4, [evaluate(d, names) for d in dims]).astype(NUMPY[element])
        inputs[f"x{index}"] = data
        growth.values.append(Value(argument, True, 3))
        growth.symbols.extend(d for d in dims if not isinstance(d, int))
    for _ in range(draw(st.integers(1, max_ops))):
        MAKERS[draw(st.sampled_from(list(kinds)))](growth)
    return _finish(growth, inputs, names)


_INPUT_SHAPES: list[tuple[int, ...]] = [
    (-1, 8),
    (-2, 3),
    (4, 6),
    (2, 4, 5, 6),
    (-1, 3, 4, 4),
    (2, -1, 8),
    (3,),
    (),
    (1, 1),
    (0, 3),
    (2, 4, -1, 8),
]
"""Shapes of inputs; -1 is the dim n, -2 the dim m, which may be empty."""


def _finish(growth: Growth, inputs: dict[str, Any], names: dict[str, int]) -> Case:
    """Returns some values (unused ones first, possibly an input or one value twice)."""
    values = [v for v in growth.values if not v.ssa.uses] or growth.values[-1:]
    values = values[-6:]
    if growth.flag() and len(growth.values) > 1:
        values = [*values, growth.values[growth.integer(0, len(growth.values) - 1)]]
    block = growth.block
    block.add_op(ReturnOp(*(v.ssa for v in values)))
    types = FunctionType.from_lists([a.type for a in block.args], [v.ssa.type for v in values])
    outputs = [f"y{i}" for i in range(len(values))]
    function = FuncOp(
        "main",
        types,
        Region(block),
        arg_attrs=ArrayAttr([DictionaryAttr({NAME: StringAttr(n)}) for n in inputs]),
        res_attrs=ArrayAttr([DictionaryAttr({NAME: StringAttr(n)}) for n in outputs]),
    )
    declarations = [
        graph.ParameterOp(name, tensor_type(_element_of(data), data.shape))
        for name, data in growth.parameters
    ]
    module = ModuleOp([*declarations, function])
    program = Program(module, dict(growth.parameters))
    return Case(program, names, inputs, [v.exact for v in values])


def _element_of(data: Any) -> Attribute:
    return next(element for element, dtype in NUMPY.items() if data.dtype == np.dtype(dtype))


TOLERANCE = {f32: 2e-4, f16: 4e-2, bf16: 3e-1}
"""Allowed differences, relative to 1 + the largest magnitude of an output."""


def assert_equal(case: Case, got: dict[str, Any], want: dict[str, Any]) -> None:
    """Exact outputs agree to the last bit, others up to what rounding may change."""
    for (name, expected), exact in zip(want.items(), case.exact, strict=True):
        actual = got[name]
        assert actual.shape == expected.shape, f"{name}: {actual.shape} != {expected.shape}"
        assert actual.dtype == expected.dtype, f"{name}: {actual.dtype} != {expected.dtype}"
        a, b = (np.asarray(v, np.float64) for v in (actual, expected))
        if exact:
            np.testing.assert_array_equal(a, b, err_msg=name)
            continue
        element = _element_of(expected)
        scale = 1 + (np.nanmax(np.abs(b)) if b.size else 0)
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance(case, element) * scale, err_msg=name
        )


def tolerance(case: Case, element: Attribute) -> float:
    """The coarsest type that occurs anywhere decides: a value may have passed through it."""
    used = {
        element_of(value)
        for op in case.program.main.body.walk()
        for value in (*op.operands, *op.results)
    }
    return max(TOLERANCE.get(e, 0.0) for e in (*used, element))
