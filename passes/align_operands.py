"""align-operands: odd rows are padded, and what stays misaligned is copied where that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ait.dialects.accessor import AccessMap
from ait.dialects.functions import run_functions_of
from ait.dialects.graph import GetParameterOp
from ait.dialects.kernel import EmptyOp, KernelOp, PointwiseOp, ProductOp, compute_type
from ait.dialects.symbolic import dim_product, element_of, tensor_type
from ait.passes.alignment import (
    Layout,
    access_at,
    aligned_layout,
    goes_along_k,
    groups_of,
    has_single_strides,
    misfit,
    misfits,
    runs_of,
    wanted_of,
)
from ait.passes.bufferize import destination_of
from ait.passes.cost import copy_seconds, microseconds, seconds
from ait.passes.derived import DerivedParameters
from ait.passes.fusion.dense_factors import cheapest_factors, is_scattered
from ait.passes.fusion.legality import Refusal
from ait.passes.fusion.padding import Padding, Storage
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location
from ait.passes.regions import build_region
from ait.passes.remarks import remark
from ait.passes.rewriting import erase_unused
from ait.passes.target import AlignedAccess, TargetInfo, find_target

NAME = "align-operands"

_LEAST_GAIN = 0.01
"""Of a launch: less is none, and not worth larger tensors."""


@dataclass(frozen=True)
class _Fix:
    """How one operand or result becomes aligned, and what that costs."""

    seconds: float
    text: str
    padding: Padding | None = None


class _Weights:
    """Weights as `@prepare` stores them for fast kernels."""

    def __init__(self, module: ModuleOp):
        self.module = module
        self.derived: DerivedParameters | None = None
        self.stored: dict[tuple[Read, Layout], str] = {}

    def store(self, source: GetParameterOp, access: AccessMap, layout: Layout) -> GetParameterOp:
        """Reads the elements of a map from a derived parameter with padded rows."""
        if self.derived is None:
            self.derived = DerivedParameters(self.module)
        derived = self.derived
        key = Read(source.result, access), layout
        if key not in self.stored:
            name = source.parameter.root_reference.data
            padded = tensor_type(element_of(source.result), layout.dims)
            empty = EmptyOp(padded)
            dense = AccessMap.dense(layout.dims)
            of_type = compute_type(padded.element_type)
            zero = build_region([], lambda b, _: [b.constant(0.0, of_type)])
            fill = PointwiseOp([], [empty.result], [], [dense], [zero])
            copy = layout.copy(derived.value_of(name), access, fill.res[0])
            derived.insert(empty, fill, copy)
            self.stored[key] = derived.define(f"{name}.aligned", copy.res[0])
        name = self.stored[key]
        return GetParameterOp(name, derived.declared[name].parameter_type)


class _Aligner:
    """Aligns the operands of the kernels of one function."""

    def __init__(self, function: FuncOp, target: TargetInfo, weights: _Weights):
        self.block = function.body.block
        self.target = target
        self.weights = weights
        self.copies: dict[tuple[Read, Layout], SSAValue] = {}

    def run(self) -> None:
        op: Operation | None = self.block.first_op
        while op is not None:
            if isinstance(op, KernelOp):
                wanted = wanted_of(op, self.target)
                if wanted is not None:
                    op = self._align(op, wanted)
            op = op.next_op

    def _align(self, op: KernelOp, wanted: AlignedAccess) -> KernelOp:
        """The kernel that now stands in the place of `op`."""
        if isinstance(op, ProductOp):
            dense = cheapest_factors(op, self.target, self._weights_of(op))
            if dense.layouts:
                names = ", ".join(_name_of(op, position) for position in dense.layouts)
                remark(NAME, "applied", op, f"reads {names} from a dense copy")
                op = self._copied(op, dense.layouts)
            if goes_along_k(op, wanted):
                return op
        found = misfits(op, self.target)
        gain = seconds(op, self.target.description) * (1 / wanted.speed_without - 1)
        if not found:
            return op
        names = ", ".join(f"{_name_of(op, at)} has {reason}" for at, reason in found.items())
        if gain < _LEAST_GAIN * self.target.description.launch_seconds:
            remark(NAME, "missed", op, f"not aligned: {microseconds(gain)} to save; {names}")
            return op
        if wanted.single_strides and not has_single_strides(op):
            remark(NAME, "missed", op, f"not aligned: its dims are not one stride apart; {names}")
            return op
        fixes: list[_Fix] = []
        try:
            for position in found:
                fixes.append(self._fix(op, position, wanted))
        except Refusal as refusal:
            remark(NAME, "missed", op, f"not aligned: {refusal}; {names}")
            return op
        how = ", ".join(dict.fromkeys(fix.text for fix in fixes))
        paddings = {fix.padding.storage.empty: fix.padding for fix in fixes if fix.padding}
        costs = [fix.seconds for fix in fixes if fix.padding is None]
        costs += [padding.seconds for padding in paddings.values()]
        cost = sum(cost for cost in costs if cost > 0)
        gain += sum(-cost for cost in costs if cost < 0)  # by others that read the same tensors
        numbers = f"{microseconds(gain)} saved, {microseconds(cost)} lost"
        if gain <= cost:
            remark(NAME, "missed", op, f"not aligned by {how}: {numbers}; {names}")
            return op
        remark(NAME, "applied", op, f"aligned by {how}: {numbers}; {names}")
        for empty, padding in paddings.items():
            if empty.parent is not None:
                op = self._padded(op, padding)
        layouts = {at: self._layout(op, at, wanted) for at in misfits(op, self.target)}
        return self._copied(op, layouts) if layouts else op

    # Ways to align

    def _fix(self, op: KernelOp, position: int, wanted: AlignedAccess) -> _Fix:
        """The cheapest way to align one of `[*ins, *outs]`. Raises Refusal if there is none."""
        value = (*op.ins, *op.outs)[position]
        access = access_at(op, position)
        layout = self._layout(op, position, wanted)
        ways: list[_Fix] = []
        if position < len(op.ins) and self._is_weight(value, access):
            return _Fix(0.0, "weights stored with padded rows")
        padding = self._padding(op, position, wanted)
        if padding is not None:
            ways.append(_Fix(padding.seconds, "padded rows of an internal tensor", padding))
        size = dim_product(layout.sizes)
        known = self.copies.get((Read(value, access), layout)) is not None
        cost = 0.0 if known else copy_seconds(size, element_of(value), self.target.description)
        ways.append(_Fix(cost, "a copy of " + _name_of(op, position)))
        return min(ways, key=lambda fix: fix.seconds)

    def _weights_of(self, op: ProductOp) -> list[int]:
        """The factors that `@prepare` can store."""
        return [i for i in range(op.DATA_OPERANDS) if self._is_weight(op.ins[i], op.in_access[i])]

    def _is_weight(self, value: SSAValue, access: AccessMap) -> bool:
        return isinstance(value.owner, GetParameterOp) and all(
            isinstance(dim, int) for dim in access.dims
        )

    def _layout(self, op: KernelOp, position: int, wanted: AlignedAccess) -> Layout:
        """A layout for a copy of what a map reaches. Raises Refusal if it does not help either."""
        value = (*op.ins, *op.outs)[position]
        access, groups = access_at(op, position), groups_of(op, position)
        if isinstance(op, ProductOp) and position < op.DATA_OPERANDS and is_scattered(op, position):
            raise Refusal(f"{_name_of(op, position)} is walked in several strides")
        layout = aligned_layout(access, groups, element_of(value), wanted.bytes)
        base = self.target.description.alignment
        reason = misfit(op, position, layout.access, wanted, base)
        if reason is not None:
            raise Refusal(f"{_name_of(op, position)} would have {reason} if it were copied")
        return layout

    def _padding(self, op: KernelOp, position: int, wanted: AlignedAccess) -> Padding | None:
        """The cheapest padding of the rows of an internal tensor that aligns it for `op`."""
        value = (*op.ins, *op.outs)[position]
        empty = destination_of(value).owner
        if not isinstance(empty, EmptyOp):
            return None
        runs = runs_of(access_at(op, position), groups_of(op, position))
        found: list[Padding] = []
        for row in dict.fromkeys(run.stride for run in runs if run.stride != 1):
            try:
                storage = Storage.of(empty)
                padding = Padding.of(storage, row, wanted.bytes, self.target, op)
            except Refusal:
                continue
            if padding.aligns(op, position, self.target):
                found.append(padding)
        return min(found, key=lambda padding: padding.seconds, default=None)

    # Rewriting

    def _padded(self, op: KernelOp, padding: Padding) -> KernelOp:
        moved = padding.apply(self.target)
        for key, copied in self.copies.items():
            if isinstance(copied.owner, KernelOp) and copied.owner in moved:
                self.copies[key] = moved[copied.owner].res[0]
        return moved[op]

    def _copied(self, op: KernelOp, layouts: Mapping[int, Layout]) -> KernelOp:
        """`op` with what is at some positions read from, or written to, copies."""
        ins, outs = list(op.ins), list(op.outs)
        maps = [*op.in_access, *op.out_access]
        first = len(ins)
        before: list[Operation] = []
        after: list[tuple[int, Layout]] = []
        for position, layout in layouts.items():
            if position < first:
                ins[position] = self._operand(op, position, layout)
            else:
                empty = EmptyOp(tensor_type(element_of(outs[position - first]), layout.dims))
                before.append(empty)
                outs[position - first] = empty.result
                after.append((position, layout))
            maps[position] = layout.access
        new = rebuilt(op, ins=ins, outs=outs, in_maps=maps[:first], out_maps=maps[first:])
        self.block.insert_ops_before([*before, new], op)
        copied = dict(after)
        for index, (old, result) in enumerate(zip(op.res, new.res, strict=True)):
            result.name_hint = old.name_hint
            value: SSAValue = result
            layout = copied.get(first + index)
            if layout is not None:
                copy = layout.copy_back(result, op.out_access[index], op.outs[index])
                copy.location = op.location
                copy.attributes.update(op.attributes)
                self.block.insert_op_before(copy, op)
                value = copy.res[0]
                value.name_hint = old.name_hint
            old.replace_all_uses_with(value)
        op.detach()
        op.erase()
        return new

    def _operand(self, op: KernelOp, position: int, layout: Layout) -> SSAValue:
        value, access = op.ins[position], op.in_access[position]
        owner = value.owner
        if isinstance(owner, GetParameterOp) and self._is_weight(value, access):
            get = self.weights.store(owner, access, layout)
            self.block.insert_op_before(get, op)
            return get.result
        key = Read(value, access), layout
        if key not in self.copies:
            empty = EmptyOp(tensor_type(element_of(value), layout.dims))
            copy = layout.copy(value, access, empty.result)
            copy.location = joined_location(op)
            copy.attributes.update(op.attributes)
            self.block.insert_ops_before([empty, copy], op)
            self.copies[key] = copy.res[0]
        return self.copies[key]


def _name_of(op: KernelOp, position: int) -> str:
    """An operand or result in remarks."""
    if position < len(op.ins):
        return f"operand {position}"
    return f"result {position - len(op.ins)}" if len(op.outs) > 1 else "the result"


@dataclass(frozen=True)
class AlignOperandsPass(ModulePass):
    """Gives kernels that multiply addresses which the target's fast kernels take, where that pays.

    Before: `%h = kernel.gemm .. outs(%e : tensor<64x771xf16>)`, then
            `kernel.gemm ins(%h, %w <offset 0, sizes [771, 257], strides [1, 771]>)`
    After:  `%h = kernel.gemm .. outs(%e <offset 0, sizes [64, 771], strides [776, 1]> :
            tensor<64x776xf16>)`, then `kernel.gemm ins(%h <.., strides [776, 1]>,
            %w.aligned <offset 0, sizes [771, 257], strides [1, 776]>)`

    Rows of internal tensors are padded: their writers leave the padding out, and nothing reads it.
    Weights are stored with padded rows by `@prepare`. What is left (inputs, outputs, columns that
    begin at an odd offset) is copied if the copy costs less than the slow kernel. Inputs and
    outputs keep their layout.

    A factor that fast kernels cannot walk, however it is aligned, since a group of its dims has
    several strides, is copied into a dense matrix where the target expects to gain by it; so are
    factors that they take along k only, as those of 8 bits on Hopper.

    Before: `kernel.gemm ins(%x <sizes [64, 14, 14, 3, 16, 16], strides [150528, 3584, 16, 50176,
            224, 1]>, %w)`
    After:  `%p = kernel.copy ins(%x <..>)`, then `kernel.gemm ins(%p <sizes [64, 14, 14, 3, 16,
            16], strides [150528, 10752, 768, 256, 16, 1]>, %w)`
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        rows: Sequence[AlignedAccess | None] = [
            row.aligned for row in target.capabilities.kernels.values()
        ]
        if not any(rows):
            return
        weights = _Weights(op)
        for function in run_functions_of(op):
            _Aligner(function, target, weights).run()
        erase_unused(op)
