"""Moves tensors into storages with padded rows: every kernel that writes or reads them follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import EmptyOp, KernelOp
from ait.dialects.symbolic import Dim, dims_of, element_of, exact_div, tensor_type
from ait.passes.alignment import PaddedRows, has_single_strides, misfits, padded_rows, wanted_of
from ait.passes.cost import seconds_on
from ait.passes.fusion.legality import Refusal
from ait.passes.fusion.rebuild import dims_of_operand, rebuilt, split_domain, splits_for
from ait.passes.remarks import describe
from ait.passes.target import TargetInfo


@dataclass(frozen=True)
class Storage:
    """A tensor that kernels of one block fill, one after the other, and all values it goes through.

    Raises Refusal where something else sees it.
    """

    empty: EmptyOp
    values: frozenset[SSAValue]
    kernels: tuple[KernelOp, ...]
    """Those that write or read it, in no order."""

    @staticmethod
    def of(empty: EmptyOp) -> Storage:
        values: dict[SSAValue, None] = {empty.result: None}
        kernels: dict[KernelOp, None] = {}
        pending: list[SSAValue] = [empty.result]
        while pending:
            for use in pending.pop().uses:
                op = use.operation
                if not isinstance(op, KernelOp) or op.parent is not empty.parent:
                    raise Refusal(f"{describe(op)} needs it as it is")
                kernels[op] = None
                if use.index >= len(op.ins):
                    result = op.res[use.index - len(op.ins)]
                    if result not in values:
                        values[result] = None
                        pending.append(result)
        return Storage(empty, frozenset(values), tuple(kernels))


@dataclass(frozen=True)
class Padding:
    """A storage, and the one that replaces it."""

    storage: Storage
    rows: PaddedRows
    seconds: float
    """What the kernels but the one that asks lose by it, in sum; negative if they gain."""

    @staticmethod
    def of(
        storage: Storage, row: Dim, multiple: int, target: TargetInfo, asking: KernelOp
    ) -> Padding:
        """Rows of `row` elements, padded. Raises Refusal if a kernel cannot follow."""
        result = storage.empty.result
        if exact_div(dim_count(result), row) is None:
            raise Refusal("it is not made of such rows")
        rows = padded_rows(dims_of(result), element_of(result), multiple, row)
        lost = 0.0
        for kernel in storage.kernels:
            moved = followed(kernel, storage.values, rows.place, target)
            if kernel is not asking:
                lost += seconds_on(moved, target) - seconds_on(kernel, target)
            moved.erase()
        return Padding(storage, rows, lost)

    def aligns(self, kernel: KernelOp, position: int, target: TargetInfo) -> bool:
        """Whether the fast kernels for `kernel` then take its operand or result at a position."""
        moved = followed(kernel, self.storage.values, self.rows.place, target)
        wanted = wanted_of(kernel, target)
        assert wanted is not None, "only such kernels ask"
        fits = position not in misfits(moved, target)
        fits = fits and (has_single_strides(moved) or not wanted.single_strides)
        moved.erase()
        return fits

    def apply(self, target: TargetInfo) -> Mapping[KernelOp, KernelOp]:
        """Rewrites the block; gives each old kernel's new one."""
        old = self.storage.empty
        block = old.parent
        assert block is not None
        # Another padding may have replaced kernels since this one was found.
        storage = Storage.of(old)
        empty = EmptyOp(tensor_type(element_of(old.result), self.rows.dims))
        block.insert_op_before(empty, old)
        current: dict[SSAValue, SSAValue] = {old.result: empty.result}
        kernels = set(storage.kernels)
        found: dict[KernelOp, KernelOp] = {}
        for kernel in [op for op in block.ops if op in kernels]:
            assert isinstance(kernel, KernelOp)
            moved = followed(kernel, storage.values, self.rows.place, target)
            new = rebuilt(
                moved,
                ins=[current.get(value, value) for value in kernel.ins],
                outs=[current.get(value, value) for value in kernel.outs],
            )
            moved.erase()
            block.insert_op_before(new, kernel)
            for before, result in zip(kernel.res, new.res, strict=True):
                result.name_hint = before.name_hint
                if before in storage.values:
                    current[before] = result
                else:
                    before.replace_all_uses_with(result)
            found[kernel] = new
        for op in reversed(list(found)):
            op.detach()
            op.erase()
        old.detach()
        old.erase()
        return found


def dim_count(value: SSAValue) -> Dim:
    """The number of elements of a tensor."""
    return AccessMap.dense(dims_of(value)).size


def followed(
    kernel: KernelOp, values: Collection[SSAValue], place: AccessMap, target: TargetInfo
) -> KernelOp:
    """The kernel with its maps of `values` led through a place of a larger storage.

    It is in no block, and its operands are the old ones. Raises Refusal if it cannot be.
    """
    operands = [*kernel.ins, *kernel.outs]
    touched = [i for i, value in enumerate(operands) if value in values]
    op = kernel
    try:
        for position in touched:
            op = _split_for(op, kernel, position, place)
        maps = [*op.in_access, *op.out_access]
        for position in touched:
            composed = maps[position].compose(place)
            if composed is None:
                raise Refusal(f"{describe(kernel)} does not reach it row by row")
            maps[position] = composed
        first = len(kernel.ins)
        new = rebuilt(op, in_maps=maps[:first], out_maps=maps[first:])
    finally:
        if op is not kernel:
            op.erase()
    reason = _refusal(new, touched, target)
    if reason is not None:
        new.erase()
        raise Refusal(reason)
    return new


def _split_for(op: KernelOp, kernel: KernelOp, position: int, place: AccessMap) -> KernelOp:
    """`op`, over a domain that is split where its map at a position needs that."""
    access = (*op.in_access, *op.out_access)[position]
    if access.compose(place) is not None:
        return op
    factors = _domain_factors(op, position, splits_for(access, place.sizes))
    split = split_domain(op, factors) if factors else None
    if split is None:
        return op
    if op is not kernel:
        op.erase()
    return split


def _domain_factors(
    op: KernelOp, position: int, factors: Mapping[int, Sequence[Dim]]
) -> Mapping[int, Sequence[Dim]]:
    """Factors of dims of an operand's map as factors of domain dims; none if one is of no dim."""
    if position >= len(op.ins):
        return factors
    dims = dims_of_operand(op, position)
    if dims is None:
        return {}
    found = {i: factors[at] for i, at in enumerate(dims) if at is not None and at in factors}
    return found if len(found) == len(factors) else {}


def _refusal(op: KernelOp, touched: Sequence[int], target: TargetInfo) -> str | None:
    row = target.capabilities.of(op)
    if row is not None:
        reads = any(position < len(op.ins) for position in touched)
        writes = any(position >= len(op.ins) for position in touched)
        if (reads and not row.strided_operands) or (writes and not row.strided_results):
            return f"{describe(op)} takes dense tensors only"
    return target.refusal(op)
