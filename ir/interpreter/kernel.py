"""Meaning of the kernel dialect, on tensors and on buffers.

A tensor is an array of its shape; a buffer (memref) is a flat array of its storage, which kernels
change in place. Both are reached through access maps only. What a compiled kernel must not do is an
error here: reading or writing outside of a storage, writing an element twice, and overwriting an
operand other than the very element that is computed from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import FloatAttr
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    impl,
    register_impls,
)
from xdsl.ir import Attribute, Region
from xdsl.utils.exceptions import InterpretationError

from ait.dialects import kernel
from ait.dialects.symbolic import element_of
from ait.ir.dtypes import Array, dtype_of
from ait.ir.interpreter import numerics
from ait.ir.interpreter.access import Access, poisoned, strided
from ait.ir.interpreter.environment import Environment
from ait.ir.interpreter.graph import check_indices
from ait.ir.interpreter.numerics import convert, to_compute

Shape = tuple[int, ...]


class Launch:
    """One execution of a kernel op: its operands seen through their maps, and its regions."""

    def __init__(
        self,
        interpreter: Interpreter,
        environment: Environment,
        op: kernel.KernelOp,
        args: PythonValues,
    ):
        self.interpreter, self.op = interpreter, op
        count = len(op.ins)
        self.in_storages = [_storage(a) for a in args[:count]]
        self.out_access = [Access.of(m, environment) for m in op.out_access]
        self.in_access = [Access.of(m, environment) for m in op.in_access]
        self.args = args
        self.loaded = [
            to_compute(strided(storage, access, f"in {i}"))
            for i, (storage, access) in enumerate(
                zip(self.in_storages, self.in_access, strict=True)
            )
        ]

    @property
    def domain(self) -> Shape:
        """The shape over which the destinations range."""
        return self.out_access[0].sizes

    def run(self, region: Region, arguments: Sequence[Array]) -> list[Array]:
        """What region code yields for arrays of arguments."""
        return list(self.interpreter.run_ssacfg_region(region, tuple(arguments), self.op.name))

    def finish(
        self, region: Region, computed: Sequence[Array], kept: Sequence[Array] = ()
    ) -> PythonValues:
        """Runs the last region on what the op computed and its visible operands, and stores; `kept`
        are the values of outs that another region gave."""
        visible = [self.loaded[i] for i in self.op.visible_ins]
        return self.store([*self.run(region, [*computed, *visible]), *kept])

    def store(self, values: Sequence[Array]) -> PythonValues:
        """Writes the values to the destinations; returns the results, of tensors only."""
        self._check_destinations()
        outs = self.args[len(self.op.ins) :]
        stored = [
            _converted(value, element_of(out))
            for value, out in zip(values, self.op.outs, strict=True)
        ]
        results: list[Array] = []
        for i, (out, value, access) in enumerate(zip(outs, stored, self.out_access, strict=True)):
            storage = _storage(out) if self.op.on_buffers else _storage(out).copy()
            if not access.is_empty:
                strided(storage, access, f"out {i}")[...] = value
            if not self.op.on_buffers:
                results.append(storage.reshape(out.shape))
        return tuple(results)

    def _check_destinations(self) -> None:
        outs = [_storage(out) for out in self.args[len(self.op.ins) :]]
        for i, (out, access) in enumerate(zip(outs, self.out_access, strict=True)):
            if not access.is_injective:
                raise InterpretationError(f"out {i} writes an element more than once")
            if not self.op.on_buffers:
                continue
            for j in range(i):
                if _clash(out, access, outs[j], self.out_access[j]):
                    raise InterpretationError(f"outs {j} and {i} write the same element")
            for j, (storage, other) in enumerate(
                zip(self.in_storages, self.in_access, strict=True)
            ):
                if _in_place(self.op, j, i) and _same_place(out, access, storage, other):
                    continue
                if _clash(out, access, storage, other):
                    raise InterpretationError(f"out {i} overwrites what in {j} still reads")


def _converted(value: Array, element: Attribute) -> Array:
    """The value as it is stored, in memory of its own: a view of an operand would change with the
    first store."""
    stored = convert(value, element)
    return np.array(stored) if np.may_share_memory(stored, value) else stored


def _storage(value: Array) -> Array:
    """The flat, row-major storage of a tensor or a buffer."""
    return value.reshape(-1)


def _in_place(op: kernel.KernelOp, index: int, out: int) -> bool:
    """Whether `ins[index]` is read at just the element of `outs[out]` that is written: not as a
    factor."""
    if isinstance(op, kernel.PointwiseOp | kernel.CopyOp | kernel.RowwiseOp):
        return True
    return index in op.ins_of_out(out)


def _start(storage: Array) -> int:
    return storage.__array_interface__["data"][0]


def _same_place(a: Array, a_map: Access, b: Array, b_map: Access) -> bool:
    return _start(a) == _start(b) and a.dtype.itemsize == b.dtype.itemsize and a_map == b_map


def _clash(a: Array, a_map: Access, b: Array, b_map: Access) -> bool:
    if not np.may_share_memory(a, b):
        return False
    if _start(a) == _start(b) and a.dtype.itemsize == b.dtype.itemsize:
        return a_map.overlaps(b_map)
    return True


@register_impls
class KernelFunctions(InterpreterFunctions):
    """All structured ops, and the workspace."""

    def __init__(self, environment: Environment):
        self.environment = environment
        self.slots: dict[int, Array] = {}

    def _launch(self, interpreter: Interpreter, op: kernel.KernelOp, args: PythonValues) -> Launch:
        return Launch(interpreter, self.environment, op, args)

    # Destinations

    @impl(kernel.EmptyOp)
    def empty(self, _: Interpreter, op: kernel.EmptyOp, args: PythonValues) -> PythonValues:
        shape = self.environment.shape(op.result)
        return (poisoned(prod(shape), dtype_of(element_of(op.result)).numpy).reshape(shape),)

    @impl(kernel.BufferOp)
    def buffer(self, _: Interpreter, op: kernel.BufferOp, args: PythonValues) -> PythonValues:
        dtype = dtype_of(element_of(op.result)).numpy
        count = prod(self.environment.shape(op.result))
        if op.slot is None:
            return (poisoned(count, dtype),)
        size = count * dtype.itemsize
        slot = self.slots.get(op.slot.value.data)
        if slot is None:
            raise InterpretationError(f"the function declares no slot {op.slot.value.data}")
        if slot.size < size:
            raise InterpretationError(
                f"the buffer needs {size} bytes, slot {op.slot.value.data} has {slot.size}"
            )
        return (slot[:size].view(dtype),)

    # Groups

    @impl(kernel.GroupOp)
    def group(self, it: Interpreter, op: kernel.GroupOp, args: PythonValues) -> PythonValues:
        """The members in another order than that of the text: it must not matter."""
        for member in reversed(op.members):
            it.run_op(member, it.get_values(member.operands))
        return ()

    # Elementwise

    @impl(kernel.CopyOp)
    def copy(self, it: Interpreter, op: kernel.CopyOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        return launch.store(launch.loaded)

    @impl(kernel.PointwiseOp)
    def pointwise(
        self, it: Interpreter, op: kernel.PointwiseOp, args: PythonValues
    ) -> PythonValues:
        return self._launch(it, op, args).finish(op.body, [])

    # Contraction

    @impl(kernel.GemmOp)
    def gemm(self, it: Interpreter, op: kernel.GemmOp, args: PythonValues) -> PythonValues:
        return self._product(it, op, args)

    @impl(kernel.DualGemmOp)
    def dual_gemm(self, it: Interpreter, op: kernel.DualGemmOp, args: PythonValues) -> PythonValues:
        return self._product(it, op, args)

    def _product(
        self, it: Interpreter, op: kernel.GemmOp | kernel.DualGemmOp, args: PythonValues
    ) -> PythonValues:
        launch = self._launch(it, op, args)
        a, *rights = launch.loaded[: op.DATA_OPERANDS]
        batch, rows, *_ = op.group_ranks
        return launch.finish(op.epilogue, [_multiplied(a, b, batch, rows) for b in rights])

    @impl(kernel.GemmRowwiseOp)
    def gemm_rowwise(
        self, it: Interpreter, op: kernel.GemmRowwiseOp, args: PythonValues
    ) -> PythonValues:
        launch = self._launch(it, op, args)
        a, b, *extras = launch.loaded
        batch, rows, columns, _ = op.group_ranks
        total = _multiplied(a, b, batch, rows)
        (v,) = launch.run(op.prologue, [total, *extras])
        v = np.broadcast_to(v, launch.domain)
        y = _normalized(op.kind.data, op.eps, v, _last(v.ndim, columns))
        return launch.finish(op.epilogue, [y, v, total])

    @impl(kernel.BackToBackGemmOp)
    def back_to_back_gemm(
        self, it: Interpreter, op: kernel.BackToBackGemmOp, args: PythonValues
    ) -> PythonValues:
        launch = self._launch(it, op, args)
        a, b, c = launch.loaded[: op.DATA_OPERANDS]
        batch, rows, *_ = op.group_ranks
        first = _multiplied(a, b, batch, rows)
        extras = [launch.loaded[i] for i in op.middle_ins]
        (middle,) = launch.run(op.middle, [first, *extras])
        middle = np.broadcast_to(middle, first.shape)
        kept = [] if op.keeps_middle is None else [middle]
        return launch.finish(op.epilogue, [_multiplied(middle, c, batch, rows)], kept)

    @impl(kernel.ConvOp)
    def conv(self, it: Interpreter, op: kernel.ConvOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        total = _convolved(op, launch.loaded, op.spread)
        return launch.finish(op.epilogue, [total.reshape(launch.domain)])

    @impl(kernel.ConvPoolOp)
    def conv_pool(self, it: Interpreter, op: kernel.ConvPoolOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        total = _convolved(op, launch.loaded)
        channels = launch.domain[3:]
        extras = [launch.loaded[i] for i in op.middle_ins]
        (middle,) = launch.run(op.middle, [total.reshape(*total.shape[:3], *channels), *extras])
        # One dim of channels, as pools know them.
        image = np.broadcast_to(middle, (*total.shape[:3], *channels)).reshape(total.shape)
        pooled = _slid(
            op.kind.data,
            image,
            (launch.domain[1], launch.domain[2]),
            op.kernel.get_values(),
            op.pool_strides.get_values(),
            op.pool_padding.get_values(),
            (1, 1),
            op.count_include_pad is not None,
        )
        return launch.finish(op.epilogue, [pooled.reshape(launch.domain)])

    @impl(kernel.AttentionOp)
    def attention(
        self, it: Interpreter, op: kernel.AttentionOp, args: PythonValues
    ) -> PythonValues:
        launch = self._launch(it, op, args)
        q, k, v, *extras = launch.loaded
        raw = numerics.attention_scores(q, k)
        (scores,) = launch.run(op.score, [raw, *extras])
        scores = np.broadcast_to(scores, raw.shape)
        return launch.store([numerics.attention_values(scores, v, op.causal is not None)])

    # Rows

    @impl(kernel.RowwiseOp)
    def rowwise(self, it: Interpreter, op: kernel.RowwiseOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        (v,) = launch.run(op.prologue, launch.loaded)
        v = np.broadcast_to(v, launch.domain)
        axes = _last(v.ndim, op.reduced.value.data)
        return launch.finish(op.epilogue, [_normalized(op.kind.data, op.eps, v, axes), v])

    @impl(kernel.ReduceOp)
    def reduce(self, it: Interpreter, op: kernel.ReduceOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        (v,) = launch.run(op.prologue, [launch.loaded[i] for i in op.reduced_ins])
        v = np.broadcast_to(v, launch.in_access[0].sizes)
        combine = _REDUCE[op.kind.data]
        return launch.finish(op.epilogue, [combine(v, _last(v.ndim, op.reduced.value.data))])

    # Gather

    @impl(kernel.GatherOp)
    def gather(self, it: Interpreter, op: kernel.GatherOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        table, indices = launch.loaded[:2]
        check_indices(indices, table.shape[0], op)
        return launch.finish(op.epilogue, [np.take(table, indices, 0)])

    # Images

    @impl(kernel.PoolOp)
    def pool(self, it: Interpreter, op: kernel.PoolOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        return launch.finish(op.epilogue, [_pooled(op, launch.loaded[0], launch.domain)])

    @impl(kernel.ResizeOp)
    def resize(self, it: Interpreter, op: kernel.ResizeOp, args: PythonValues) -> PythonValues:
        launch = self._launch(it, op, args)
        nearest = op.mode.data is kernel.ResizeMode.NEAREST
        sample = numerics.resize_nearest if nearest else numerics.resize_bilinear
        output = (launch.domain[1], launch.domain[2])
        y = sample(launch.loaded[0], output, str(op.coordinates.data))
        return launch.finish(op.epilogue, [y])


def _last(rank: int, count: int) -> Shape:
    return tuple(range(rank - count, rank))


def _multiplied(a: Array, b: Array, batch: int, rows: int) -> Array:
    """The product of a [batch, rows, depth] and b [batch, depth, columns], each a group of dims."""
    outer = batch + rows
    inner = batch + (a.ndim - outer)
    lead, m, k = prod(a.shape[:batch]), prod(a.shape[batch:outer]), prod(a.shape[outer:])
    columns = b.shape[inner:]
    if a.dtype.kind == "i":
        # Exact: products of 8 bits are far from the limits of f64.
        a, b = a.astype(np.float64), b.astype(np.float64)
    total = np.matmul(a.reshape(lead, m, k), b.reshape(lead, k, prod(columns))).astype(np.float32)
    return total.reshape(*a.shape[:outer], *columns)


def _normalized(
    kind: kernel.RowwiseKind, epsilon: FloatAttr | None, v: Array, axes: Shape
) -> Array:
    if kind is kernel.RowwiseKind.SOFTMAX:
        return numerics.softmax(v, axes)
    if kind is kernel.RowwiseKind.LOG_SOFTMAX:
        return numerics.log_softmax(v, axes)
    if epsilon is None:
        raise InterpretationError(f"{kind} needs an eps")
    eps = epsilon.value.data
    norms = {
        kernel.RowwiseKind.LAYER_NORM: numerics.standardize,
        kernel.RowwiseKind.RMS_NORM: numerics.rms_normalize,
    }
    return norms[kind](v, axes, eps)


_REDUCE: dict[kernel.ReduceKind, Callable[[Array, Shape], Array]] = {
    kernel.ReduceKind.SUM: numerics.reduce_sum,
    kernel.ReduceKind.MAX: numerics.reduce_max,
    kernel.ReduceKind.MIN: numerics.reduce_min,
    kernel.ReduceKind.PROD: numerics.reduce_prod,
    kernel.ReduceKind.ARGMAX: numerics.argmax,
}


def _convolved(
    op: kernel.ConvOp | kernel.ConvPoolOp,
    loaded: Sequence[Array],
    spread: Sequence[int] = (1, 1),
) -> Array:
    """The sums of a convolution of the first two operands, with one dim of output channels."""
    x, weight = loaded[:2]
    return numerics.convolution(
        x,
        weight.reshape(-1, *weight.shape[-3:]),
        op.strides.get_values(),
        op.padding.get_values(),
        op.dilations.get_values(),
        op.groups.value.data,
        spread,
    )


def _pooled(op: kernel.PoolOp, x: Array, domain: Shape) -> Array:
    output = (domain[1], domain[2])
    if op.adaptive is not None:
        return numerics.adaptive_pool(x, output, op.kind.data is kernel.PoolKind.AVERAGE)
    return _slid(
        op.kind.data,
        x,
        output,
        op.kernel.get_values(),
        op.strides.get_values(),
        op.padding.get_values(),
        op.dilations.get_values(),
        op.count_include_pad is not None,
    )


def _slid(
    kind: kernel.PoolKind,
    x: Array,
    output: tuple[int, int],
    taps: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
    count_include_pad: bool,
) -> Array:
    """A pool of windows that slide."""
    window = (taps, strides, padding, dilations)
    if kind is kernel.PoolKind.AVERAGE:
        return numerics.average_pool(x, output, *window, count_include_pad)
    return numerics.max_pool(x, output, *window)
