"""legalize: what the target cannot run, or runs badly, becomes what it runs well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ait.dialects.accessor import AccessMap, MaterializeOp, ViewOp
from ait.dialects.functions import functions_of, run_functions_of
from ait.dialects.graph import GetParameterOp
from ait.dialects.kernel import (
    AttentionOp,
    BackToBackGemmOp,
    ConvOp,
    EmptyOp,
    GemmOp,
    KernelOp,
    ProductOp,
)
from ait.dialects.symbolic import bounds, element_of, tensor_type
from ait.errors import CompileError
from ait.passes.alignment import misfits
from ait.passes.cost import SURE_GAIN, expected_seconds, microseconds
from ait.passes.derived import DerivedParameters
from ait.passes.fusion.dense_factors import cheapest_factors, is_scattered
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.lowering.attention_parts import attention_in_parts
from ait.passes.lowering.contraction import int_array
from ait.passes.lowering.launch import Read
from ait.passes.lowering.phases import split_phases
from ait.passes.origins import keep_names
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo, find_target

NAME = "legalize"


class _WeightLayouts:
    """Stores constant weights in the order in which kernels read them."""

    def __init__(self, module: ModuleOp):
        self.derived = DerivedParameters(module)
        self.stored: dict[Read, str] = {}

    def store(self, read: Read, source: GetParameterOp) -> Read:
        """The same values from a derived parameter that is dense in the order of the map."""
        if read not in self.stored:
            name = source.parameter.root_reference.data
            view = ViewOp(self.derived.value_of(name), read.access)
            copy = MaterializeOp(view.result)
            self.derived.insert(view, copy)
            self.stored[read] = self.derived.define(f"{name}.packed", copy.result)
        name = self.stored[read]
        get = GetParameterOp(name, self.derived.declared[name].parameter_type)
        Rewriter.insert_op(get, InsertPoint.before(source))
        return Read(get.result, AccessMap.dense(read.access.sizes))


def _repeats(access: AccessMap) -> bool:
    """Whether the map is a broadcast."""
    return any(s == 0 and n != 1 for n, s in zip(access.sizes, access.strides, strict=True))


def _split_convolutions(function: FuncOp) -> None:
    """A convolution of an input with zeros between pixels -> one of the input for each phase."""
    for op in list(function.body.block.ops):
        if not isinstance(op, ConvOp) or op.input_dilations is None:
            continue
        phases = split_phases(op)
        if phases is None:
            remark(NAME, "missed", op, "not split: a phase's padding depends on run-time sizes")
            continue
        remark(NAME, "applied", op, f"split into {len(phases)} kernels that skip the zeros")
        results = list(phases[-1].res)
        keep_names(op.res, results)
        Rewriter.replace_op(op, phases, results)


def _split_attentions(function: FuncOp, target: TargetInfo) -> None:
    """Attention that the target has no kernel for -> its scores, their softmax, and a product."""
    for op in list(function.body.block.ops):
        if not isinstance(op, AttentionOp) or (reason := target.refusal(op)) is None:
            continue
        parts = attention_in_parts(op)
        if parts is None:
            continue
        remark(NAME, "applied", op, f"three kernels instead of one: {reason}")
        keep_names(op.res, parts[-1].results[-len(op.res) :])
        Rewriter.replace_op(op, parts, list(parts[-1].results))


def _constant(value: SSAValue) -> GetParameterOp | None:
    return value.owner if isinstance(value.owner, GetParameterOp) else None


def _weights_of(op: Operation) -> Sequence[int]:
    """Indices of the operands that a kernel multiplies its input by."""
    if isinstance(op, ProductOp | BackToBackGemmOp):
        return op.right_factors
    return (1,) if isinstance(op, ConvOp) else ()


def _pays(read: Read) -> bool:
    """Whether a weight is read in another order than it is stored in."""
    access = read.access
    static = all(isinstance(dim, int) for dim in access.dims)
    return static and not access.is_dense and not _repeats(access)


def _rewrite_weights(
    function: FuncOp, layouts: _WeightLayouts, kinds: frozenset[type[KernelOp]]
) -> None:
    for op in list(function.body.block.ops):
        if not isinstance(op, KernelOp) or type(op) not in kinds:
            continue
        reads = [Read(v, m) for v, m in zip(op.ins, op.in_access, strict=True)]
        packed = False
        for i in _weights_of(op):
            source = _constant(reads[i].base)
            if source is not None and _pays(reads[i]):
                reads[i] = layouts.store(reads[i], source)
                packed = True
        if not packed:
            continue
        new = rebuilt(op, ins=[r.base for r in reads], in_maps=[r.access for r in reads])
        remark(NAME, "applied", op, "its weights are stored in the order they are read")
        keep_names(op.res, new.res)
        Rewriter.replace_op(op, new, list(new.res))


def _is_of_pixels(op: ConvOp) -> bool:
    """Whether every pixel of the result sees just the one in its place."""
    return op.in_access[1].sizes[-3:-1] == (1, 1) and set(op.strides.get_values()) == {1}


def _is_of_patches(op: ConvOp) -> bool:
    """Whether the windows that pixels of the result see lie side by side."""
    windows = op.in_access[1].sizes[-3:-1]
    steps = op.strides.get_values()
    close = all(n == 1 or d == 1 for n, d in zip(windows, op.dilations.get_values(), strict=True))
    whole = not any(op.padding.get_values()) and set(op.spread) == {1}
    return close and whole and windows == tuple(steps) and op.groups.value.data == 1


def _product_of(op: ConvOp, layouts: _WeightLayouts | None) -> GemmOp:
    """The product over pixels and channels of windows that a convolution of patches is.

    Pixels of the result are the rows, so the region and the maps of all other operands stay as they
    are. What is summed lies in the order of the image, which is read in the longest pieces then.
    Constant weights are stored in that order too, unless `layouts` is None.
    """
    image, weights = op.in_access[:2]
    n, h, w, c = zip(image.sizes, image.strides, strict=True)
    (r, s), (down, right) = weights.sizes[-3:-1], op.strides.get_values()
    window = [(r, h[1]), (s, w[1]), c]
    first = len(op.channel_dims)
    order = [i for i in range(3) if window[i][0] != 1] or [2]
    order.sort(key=lambda i: max(map(abs, bounds(window[i][1]))), reverse=True)
    rows = [(op.domain[0], n[1]), (op.domain[1], h[1] * down), (op.domain[2], w[1] * right)]
    dims = [*rows, *(window[i] for i in order)]
    left = AccessMap(image.offset, tuple(d[0] for d in dims), tuple(d[1] for d in dims))
    filters = Read(op.ins[1], weights.select([*range(first), *(first + i for i in order)]))
    source = _constant(filters.base)
    if layouts is not None and source is not None and len(order) > 1 and _pays(filters):
        filters = layouts.store(filters, source)
    k = range(first, first + len(order))
    new = GemmOp(
        [op.ins[0], filters.base, *op.ins[2:]],
        op.outs,
        [left, filters.access.permute([*k, *range(first)]), *op.in_access[2:]],
        op.out_access,
        [region.clone() for region in op.regions],
        {"groups": int_array((0, 3, first, len(order)))},
        dict(op.attributes),
    )
    new.location = op.location
    return new


def _seconds_of_conv(op: ConvOp, target: TargetInfo) -> float:
    """What the target expects of a convolution, its weights being stored as it likes them."""
    read = Read(op.ins[1], op.in_access[1])
    packs = type(op) in target.capabilities.packed_weights
    if not packs or _constant(read.base) is None or not _pays(read):
        return expected_seconds(op, target)
    dims = read.access.sizes
    packed = EmptyOp(tensor_type(element_of(read.base), dims)).result
    maps = [op.in_access[0], AccessMap.dense(dims), *op.in_access[2:]]
    tried = rebuilt(op, ins=[op.ins[0], packed, *op.ins[2:]], in_maps=maps)
    seconds = expected_seconds(tried, target)
    tried.erase()
    return seconds


def _product_pays(op: ConvOp, target: TargetInfo) -> bool:
    """Whether the target runs the product that a convolution is, and is expected to be faster: with
    a copy of the patches, where that is what it needs."""
    tried = _product_of(op, None)
    try:
        if target.refusal(tried) is not None:
            return False
        if _is_of_pixels(op):
            return True
        here, best = _seconds_of_conv(op, target), cheapest_factors(tried, target, (1,))
        # Kernels for products are slow at patches that are not aligned, and stay so without a copy.
        is_slow = not best.layouts and is_scattered(tried, 0) and 0 in misfits(tried, target)
    finally:
        tried.erase()
    numbers = (
        f"{microseconds(best.seconds)} expected of a product, {microseconds(here)} of a convolution"
    )
    pays = not is_slow and best.seconds < here * SURE_GAIN
    if not pays:
        remark(NAME, "missed", op, f"stays a convolution of patches: {numbers}")
    return pays


def _rewrite_convs(function: FuncOp, layouts: _WeightLayouts, target: TargetInfo) -> None:
    for op in list(function.body.block.ops):
        if not isinstance(op, ConvOp) or not _is_of_patches(op) or not _product_pays(op, target):
            continue
        sees = "just itself" if _is_of_pixels(op) else "a patch of its own"
        remark(NAME, "applied", op, f"every pixel sees {sees}: a product over the channels")
        new = _product_of(op, layouts)
        keep_names(op.res, new.res)
        Rewriter.replace_op(op, new, list(new.res))


@dataclass(frozen=True)
class LegalizePass(ModulePass):
    """Adapts kernels to the target and refuses, all at once, those that it cannot run.

    Before: `kernel.conv ins(%x, %w <..., strides [27, 3, 1, 9]>)`, weights stored [O, I, R, S]
    After:  `kernel.conv ins(%x, %w.packed)`, stored [O, R, S, I] by `@prepare`, if the target asks

    Before: `kernel.conv ins(%x, %w) outs(%y) {input_dilations = [2, 2]}`
    After:  four `kernel.conv`, each with a part of the weights and writing every second pixel of
            every second row

    Before: `kernel.attention ins(%q, %k, %v)`, of which the target has no kernel
    After:  `kernel.gemm` of queries and keys, `kernel.rowwise` softmax, `kernel.gemm` with values

    Before: `kernel.conv ins(%x, %w <sizes [O, 1, 1, I], ...>)`, strides 1, no padding
    After:  `kernel.gemm ins(%x, %w <sizes [I, O], ...>)`, if the target has it so

    Before: `kernel.conv ins(%x, %w <sizes [O, 16, 16, 3], ...>)`, strides 16, no padding
    After:  `kernel.gemm ins(%x <sizes [N, 14, 14, 3, 16, 16], ...>, %w <sizes [3, 16, 16, O]>)`,
            if the target expects to gain by it (align-operands copies the patches where it must)
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        for function in functions_of(op):
            _split_convolutions(function)
            _split_attentions(function, target)
        layouts = _WeightLayouts(op)
        for function in run_functions_of(op):
            if target.capabilities.products_for_convs:
                _rewrite_convs(function, layouts, target)
            _rewrite_weights(function, layouts, target.capabilities.packed_weights)
        problems: dict[str, None] = {}
        for kernel in op.walk():
            if isinstance(kernel, KernelOp):
                reason = target.refusal(kernel)
                if reason is not None:
                    problems[f"{describe(kernel)}: {reason}"] = None
        if problems:
            listed = "".join(f"\n  {problem}" for problem in problems)
            raise CompileError(f"{target.name} cannot run {len(problems)} kernels:{listed}")
