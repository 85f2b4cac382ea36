"""Meaning of the graph ops: one implementation for each, on arrays of the storage dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    impl,
    register_impls,
)
from xdsl.ir import Operation, SSAValue

from ait.dialects import graph
from ait.dialects.graph.windows import channel_axis, spatial_axes
from ait.dialects.symbolic import element_of
from ait.errors import InputError
from ait.ir.dtypes import Array, array_of, dtype_of
from ait.ir.interpreter import numerics
from ait.ir.interpreter.environment import Environment
from ait.ir.interpreter.numerics import convert, to_compute, to_storage

F32 = np.float32

# Elementwise ----------------------------------------------------------------------------------

UnaryFunction: TypeAlias = Callable[[Any, Array], Array]
BinaryFunction: TypeAlias = Callable[[Array, Array], Array]


def _gelu(op: graph.GeluOp, x: Array) -> Array:
    if op.approximate == "tanh":
        inner = F32(math.sqrt(2 / math.pi)) * (x + F32(0.044715) * x * x * x)
        return F32(0.5) * x * (1 + np.tanh(inner))
    return F32(0.5) * x * (1 + numerics.erf(x * F32(math.sqrt(0.5))))


def _hardsigmoid(x: Array) -> Array:
    return np.minimum(np.maximum(x / 6 + F32(0.5), 0), 1)


def _clamp(op: graph.ClampOp, x: Array) -> Array:
    if op.min is not None:
        x = np.maximum(x, x.dtype.type(op.min))
    if op.max is not None:
        x = np.minimum(x, x.dtype.type(op.max))
    return x


UNARY: Mapping[type[graph.UnaryOp], UnaryFunction] = {
    graph.NegOp: lambda _, x: np.negative(x),
    graph.AbsOp: lambda _, x: np.abs(x),
    graph.ExpOp: lambda _, x: np.exp(x),
    graph.LogOp: lambda _, x: np.log(x),
    graph.TanhOp: lambda _, x: np.tanh(x),
    graph.ErfOp: lambda _, x: numerics.erf(x),
    graph.SigmoidOp: lambda _, x: numerics.sigmoid(x),
    graph.SqrtOp: lambda _, x: np.sqrt(x),
    graph.RsqrtOp: lambda _, x: 1 / np.sqrt(x),
    graph.ReciprocalOp: lambda _, x: 1 / x,
    graph.FloorOp: lambda _, x: np.floor(x),
    graph.CeilOp: lambda _, x: np.ceil(x),
    graph.SinOp: lambda _, x: np.sin(x),
    graph.CosOp: lambda _, x: np.cos(x),
    graph.ReluOp: lambda _, x: np.maximum(x, x.dtype.type(0)),
    graph.GeluOp: _gelu,
    graph.SiluOp: lambda _, x: x * numerics.sigmoid(x),
    graph.HardswishOp: lambda _, x: x * _hardsigmoid(x),
    graph.HardsigmoidOp: lambda _, x: _hardsigmoid(x),
    graph.LeakyReluOp: lambda op, x: np.where(x >= 0, x, F32(op.negative_slope) * x),
    graph.EluOp: lambda op, x: np.where(x > 0, x, F32(op.alpha) * np.expm1(x)),
    graph.SoftplusOp: lambda _, x: np.logaddexp(F32(0), x),
    graph.ClampOp: _clamp,
    graph.LogicalNotOp: lambda _, x: np.logical_not(x),
    graph.CastOp: lambda op, x: convert(x, op.element),
}
"""`y = f(op, x)` with x in its compute type."""

BINARY: Mapping[type[graph.BinaryOp], BinaryFunction] = {
    graph.AddOp: np.add,
    graph.SubOp: np.subtract,
    graph.MulOp: np.multiply,
    graph.DivOp: np.divide,
    graph.PowOp: np.power,
    graph.MaximumOp: np.maximum,
    graph.MinimumOp: np.minimum,
    graph.FloorDivideOp: numerics.floor_divide,
    graph.RemainderOp: numerics.remainder,
    graph.LogicalAndOp: np.logical_and,
    graph.LogicalOrOp: np.logical_or,
    graph.LogicalXorOp: np.logical_xor,
    graph.EqualOp: np.equal,
    graph.NotEqualOp: np.not_equal,
    graph.LessOp: np.less,
    graph.LessEqualOp: np.less_equal,
    graph.GreaterOp: np.greater,
    graph.GreaterEqualOp: np.greater_equal,
}
"""`y = f(lhs, rhs)` on compute types."""


def _image(x: Array, layout: str) -> Array:
    """An image of the layout as f32 [n, h, w, c]."""
    x = to_compute(x)
    return x.transpose(0, 2, 3, 1) if layout == "nchw" else x


def _stored_image(y: Array, layout: str, result: SSAValue) -> PythonValues:
    y = y.transpose(0, 3, 1, 2) if layout == "nchw" else y
    return (to_storage(y, element_of(result)),)


def _affine(y: Array, affine: Sequence[Array]) -> Array:
    """`y weight + bias`, as far as they are given."""
    if affine:
        y = y * to_compute(affine[0])
    return y + to_compute(affine[1]) if len(affine) > 1 else y


def _along(axis: int, rank: int, vectors: Sequence[Array]) -> list[Array]:
    """f32 vectors as tensors that broadcast along all axes but one."""
    shape = [-1 if i == axis else 1 for i in range(rank)]
    return [to_compute(v).reshape(shape) for v in vectors]


class GraphFunctions(InterpreterFunctions):
    """All graph ops; the elementwise ones are added from the tables above."""

    def __init__(self, environment: Environment):
        self.environment = environment

    @impl(graph.SelectOp)
    def select(self, _: Interpreter, op: graph.SelectOp, args: PythonValues) -> PythonValues:
        condition, a, b = cast(tuple[Array, Array, Array], args)
        return (np.where(condition, a, b),)

    # Contraction

    @impl(graph.MatmulOp)
    def matmul(self, _: Interpreter, op: graph.MatmulOp, args: PythonValues) -> PythonValues:
        a, b = map(to_compute, args)
        a = a.swapaxes(-1, -2) if op.transpose_a else a
        b = b.swapaxes(-1, -2) if op.transpose_b else b
        return (to_storage(np.matmul(a, b), element_of(op.result)),)

    @impl(graph.LinearOp)
    def linear(self, _: Interpreter, op: graph.LinearOp, args: PythonValues) -> PythonValues:
        x, weight, *bias = map(to_compute, args)
        y = np.matmul(x, weight.T)
        return (to_storage(y + bias[0] if bias else y, element_of(op.result)),)

    @impl(graph.Conv2dOp)
    def conv2d(self, _: Interpreter, op: graph.Conv2dOp, args: PythonValues) -> PythonValues:
        x, weight = _image(args[0], op.layout), _image(args[1], op.layout)
        y = numerics.convolution(x, weight, op.strides, op.padding, op.dilations, op.groups)
        for bias in args[2:]:
            y = y + to_compute(bias)
        return _stored_image(y, op.layout, op.result)

    @impl(graph.ConvTranspose2dOp)
    def conv_transpose2d(
        self, _: Interpreter, op: graph.ConvTranspose2dOp, args: PythonValues
    ) -> PythonValues:
        x, weight = _image(args[0], op.layout), to_compute(args[1])
        if op.layout == "nchw":
            c, o, r, s = weight.shape
            weight = weight.reshape(op.groups, c // op.groups, o, r, s).transpose(0, 2, 3, 4, 1)
            weight = weight.reshape(op.groups * o, r, s, c // op.groups)
        window = (op.strides, op.padding, op.output_padding, op.dilations)
        y = numerics.transposed_convolution(x, weight, *window, op.groups)
        for bias in args[2:]:
            y = y + to_compute(bias)
        return _stored_image(y, op.layout, op.result)

    # Pooling

    def _output(self, op: graph.ImageOp) -> tuple[int, int]:
        shape = self.environment.shape(op.result)
        height, width = spatial_axes(op.layout)
        return shape[height], shape[width]

    @impl(graph.MaxPool2dOp)
    def max_pool(self, _: Interpreter, op: graph.MaxPool2dOp, args: PythonValues) -> PythonValues:
        x = _image(args[0], op.layout)
        window = (op.kernel, op.strides, op.padding, op.dilations)
        y = numerics.max_pool(x, self._output(op), *window)
        return _stored_image(y, op.layout, op.result)

    @impl(graph.AvgPool2dOp)
    def avg_pool(self, _: Interpreter, op: graph.AvgPool2dOp, args: PythonValues) -> PythonValues:
        x = _image(args[0], op.layout)
        window = (op.kernel, op.strides, op.padding, (1, 1))
        y = numerics.average_pool(x, self._output(op), *window, op.count_include_pad)
        return _stored_image(y, op.layout, op.result)

    @impl(graph.AdaptiveAvgPool2dOp)
    def adaptive_avg_pool(
        self, _: Interpreter, op: graph.AdaptiveAvgPool2dOp, args: PythonValues
    ) -> PythonValues:
        y = numerics.adaptive_pool(_image(args[0], op.layout), self._output(op), average=True)
        return _stored_image(y, op.layout, op.result)

    @impl(graph.AdaptiveMaxPool2dOp)
    def adaptive_max_pool(
        self, _: Interpreter, op: graph.AdaptiveMaxPool2dOp, args: PythonValues
    ) -> PythonValues:
        y = numerics.adaptive_pool(_image(args[0], op.layout), self._output(op), average=False)
        return _stored_image(y, op.layout, op.result)

    @impl(graph.ResizeOp)
    def resize(self, _: Interpreter, op: graph.ResizeOp, args: PythonValues) -> PythonValues:
        sample = numerics.resize_nearest if op.mode == "nearest" else numerics.resize_bilinear
        y = sample(_image(args[0], op.layout), self._output(op), op.coordinates)
        return _stored_image(y, op.layout, op.result)

    # Normalisation

    @impl(graph.SoftmaxOp)
    def softmax(self, _: Interpreter, op: graph.SoftmaxOp, args: PythonValues) -> PythonValues:
        y = numerics.softmax(to_compute(args[0]), (op.axis,))
        return (to_storage(y, element_of(op.result)),)

    @impl(graph.LogSoftmaxOp)
    def log_softmax(
        self, _: Interpreter, op: graph.LogSoftmaxOp, args: PythonValues
    ) -> PythonValues:
        y = numerics.log_softmax(to_compute(args[0]), (op.axis,))
        return (to_storage(y, element_of(op.result)),)

    @impl(graph.LayerNormOp)
    def layer_norm(self, _: Interpreter, op: graph.LayerNormOp, args: PythonValues) -> PythonValues:
        x, *affine = args
        y = numerics.standardize(to_compute(x), _trailing(x, op.axes_rank), op.eps)
        return (to_storage(_affine(y, affine), element_of(op.result)),)

    @impl(graph.RmsNormOp)
    def rms_norm(self, _: Interpreter, op: graph.RmsNormOp, args: PythonValues) -> PythonValues:
        x, *affine = args
        y = numerics.rms_normalize(to_compute(x), _trailing(x, op.axes_rank), op.eps)
        return (to_storage(_affine(y, affine), element_of(op.result)),)

    @impl(graph.GroupNormOp)
    def group_norm(self, _: Interpreter, op: graph.GroupNormOp, args: PythonValues) -> PythonValues:
        x, *affine = args
        axis = channel_axis(op.layout, x.ndim)
        first = np.moveaxis(to_compute(x), axis, 1)  # [n, c, ...]
        n, c, *rest = first.shape
        grouped = first.reshape(n, op.num_groups, c // op.num_groups, *rest)
        axes = tuple(range(2, grouped.ndim))
        normal = numerics.standardize(grouped, axes, op.eps).reshape(first.shape)
        y = _affine(np.moveaxis(normal, 1, axis), _along(axis, x.ndim, affine))
        return (to_storage(y, element_of(op.result)),)

    @impl(graph.BatchNormOp)
    def batch_norm(self, _: Interpreter, op: graph.BatchNormOp, args: PythonValues) -> PythonValues:
        x, *vectors = args
        mean, variance, *affine = _along(op.axis, x.ndim, vectors)
        y = (to_compute(x) - mean) / np.sqrt(variance + F32(op.eps))
        return (to_storage(_affine(y, affine), element_of(op.result)),)

    # Reduction

    @impl(graph.ReduceSumOp)
    def reduce_sum(self, _: Interpreter, op: graph.ReduceSumOp, args: PythonValues) -> PythonValues:
        return self._reduced(op, args[0], numerics.reduce_sum)

    @impl(graph.ReduceMeanOp)
    def reduce_mean(
        self, _: Interpreter, op: graph.ReduceMeanOp, args: PythonValues
    ) -> PythonValues:
        return self._reduced(op, args[0], numerics.reduce_mean)

    @impl(graph.ReduceMaxOp)
    def reduce_max(self, _: Interpreter, op: graph.ReduceMaxOp, args: PythonValues) -> PythonValues:
        return self._reduced(op, args[0], numerics.reduce_max)

    @impl(graph.ReduceMinOp)
    def reduce_min(self, _: Interpreter, op: graph.ReduceMinOp, args: PythonValues) -> PythonValues:
        return self._reduced(op, args[0], numerics.reduce_min)

    @impl(graph.ReduceProdOp)
    def reduce_prod(
        self, _: Interpreter, op: graph.ReduceProdOp, args: PythonValues
    ) -> PythonValues:
        return self._reduced(op, args[0], numerics.reduce_prod)

    def _reduced(
        self,
        op: graph.ReduceOp,
        x: Array,
        function: Callable[[Array, tuple[int, ...]], Array],
    ) -> PythonValues:
        y = function(to_compute(x), op.axes)
        y = np.expand_dims(y, op.axes) if op.keepdims else y
        return (to_storage(y, element_of(op.result)),)

    @impl(graph.ArgmaxOp)
    def argmax(self, _: Interpreter, op: graph.ArgmaxOp, args: PythonValues) -> PythonValues:
        y = numerics.argmax(to_compute(args[0]), (op.axis,))
        return (np.expand_dims(y, op.axis) if op.keepdims else y,)

    # Attention

    @impl(graph.AttentionOp)
    def attention(self, _: Interpreter, op: graph.AttentionOp, args: PythonValues) -> PythonValues:
        q, k, v, *mask = args
        scores = numerics.attention_scores(to_compute(q), to_compute(k)) * F32(op.scale)
        for m in mask:
            if m.dtype == np.bool_:
                scores = np.where(m, scores, F32(-np.inf))
            else:
                scores = scores + to_compute(m)
        y = numerics.attention_values(scores, to_compute(v), op.causal)
        return (to_storage(y, element_of(op.result)),)

    # Movement

    @impl(graph.ConcatOp)
    def concat(self, _: Interpreter, op: graph.ConcatOp, args: PythonValues) -> PythonValues:
        return (np.concatenate(args, op.axis),)

    @impl(graph.SplitOp)
    def split(self, _: Interpreter, op: graph.SplitOp, args: PythonValues) -> PythonValues:
        ends = np.cumsum(self.environment.numbers(op.sizes))
        return tuple(np.split(args[0], ends[:-1], op.axis))

    @impl(graph.SliceOp)
    def slice(self, _: Interpreter, op: graph.SliceOp, args: PythonValues) -> PythonValues:
        offsets = self.environment.numbers(op.offsets)
        sizes = self.environment.numbers(op.sizes)
        picked = [
            offset + np.arange(size) * step
            for offset, size, step in zip(offsets, sizes, op.steps, strict=True)
        ]
        return (args[0][np.ix_(*picked)] if picked else args[0],)

    @impl(graph.ReshapeOp)
    def reshape(self, _: Interpreter, op: graph.ReshapeOp, args: PythonValues) -> PythonValues:
        return (np.reshape(args[0], self.environment.numbers(op.dims)),)

    @impl(graph.PermuteOp)
    def permute(self, _: Interpreter, op: graph.PermuteOp, args: PythonValues) -> PythonValues:
        return (np.transpose(args[0], op.permutation),)

    @impl(graph.ExpandOp)
    def expand(self, _: Interpreter, op: graph.ExpandOp, args: PythonValues) -> PythonValues:
        return (np.broadcast_to(args[0], self.environment.numbers(op.dims)),)

    @impl(graph.PadOp)
    def pad(self, _: Interpreter, op: graph.PadOp, args: PythonValues) -> PythonValues:
        amounts = list(zip(op.low, op.high, strict=True))
        element = element_of(op.result)
        shape = tuple(n + a + b for n, (a, b) in zip(args[0].shape, amounts, strict=True))
        y = np.full(shape, to_storage(np.asarray(op.value), element), dtype_of(element).numpy)
        y[tuple(slice(a, a + n) for n, (a, _) in zip(args[0].shape, amounts, strict=True))] = args[
            0
        ]
        return (y,)

    @impl(graph.GatherOp)
    def gather(self, _: Interpreter, op: graph.GatherOp, args: PythonValues) -> PythonValues:
        x, indices = args
        check_indices(indices, x.shape[op.axis], op)
        return (np.take(x, indices, op.axis),)

    # Constants

    @impl(graph.ConstantOp)
    def constant(self, _: Interpreter, op: graph.ConstantOp, args: PythonValues) -> PythonValues:
        return (array_of(op.dense),)

    @impl(graph.IotaOp)
    def iota(self, _: Interpreter, op: graph.IotaOp, args: PythonValues) -> PythonValues:
        shape = self.environment.numbers(op.dims)
        along = [-1 if axis == op.axis else 1 for axis in range(len(shape))]
        index = np.arange(shape[op.axis], dtype=dtype_of(op.element).numpy).reshape(along)
        return (np.broadcast_to(index, shape),)

    @impl(graph.GetParameterOp)
    def get_parameter(
        self, _: Interpreter, op: graph.GetParameterOp, args: PythonValues
    ) -> PythonValues:
        return (self.environment.weights[op.parameter_name],)


def _trailing(x: Array, count: int) -> tuple[int, ...]:
    return tuple(range(x.ndim - count, x.ndim))


def check_indices(indices: Array, extent: int, op: Operation) -> None:
    """Raises InputError, which names the op and its module, if an index is not in [0, extent)."""
    wrong = np.argwhere((indices < 0) | (indices >= extent))
    if len(wrong):
        where = tuple(map(int, wrong[0]))
        source = op.attributes.get("source")
        name = f"{op.name} of {source.data}" if isinstance(source, StringAttr) else op.name
        raise InputError(
            f"{name}: index {indices[where]} at {list(where)} is outside [0, {extent})"
        )


def _unary(function: UnaryFunction) -> Any:
    def run(_: GraphFunctions, __: Interpreter, op: Any, args: PythonValues) -> PythonValues:
        return (to_storage(function(op, to_compute(args[0])), element_of(op.result)),)

    return run


def _binary(function: BinaryFunction) -> Any:
    def run(_: GraphFunctions, __: Interpreter, op: Any, args: PythonValues) -> PythonValues:
        return (to_storage(function(*map(to_compute, args)), element_of(op.result)),)

    return run


for _kind, _function in UNARY.items():
    setattr(GraphFunctions, _kind.__name__, impl(_kind)(_unary(_function)))
for _kind, _function in BINARY.items():
    setattr(GraphFunctions, _kind.__name__, impl(_kind)(_binary(_function)))
register_impls(GraphFunctions)
