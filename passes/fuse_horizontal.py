"""fuse-horizontal: independent kernels of one kind and input become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.functions import PREPARE, functions_of
from ait.dialects.graph import GetParameterOp
from ait.dialects.kernel import EmptyOp, GemmOp, IndexOp, KernelOp
from ait.dialects.symbolic import Dim, dims_of, element_of, tensor_type
from ait.passes.derived import DerivedParameters
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo, find_target

NAME = "fuse-horizontal"


@dataclass(frozen=True)
class Sibling:
    """A gemm that may merge with others of the same left factor."""

    op: GemmOp

    @property
    def columns(self) -> Dim:
        """N, the extent of the one dim of the gemm's n group."""
        return self.op.group_dims[2][0]

    @property
    def left(self) -> Read:
        return Read(self.op.ins[0], self.op.in_access[0])

    @property
    def extras(self) -> list[Read]:
        pairs = zip(self.op.ins[2:], self.op.in_access[2:], strict=True)
        return [Read(value, access) for value, access in pairs]

    def key(self) -> tuple[object, ...]:
        """Equal for gemms that could be one: left factor, rows, code and types."""
        region = self.op.epilogue.clone()
        for argument in region.block.args:
            argument.name_hint = None
        for scalar in region.block.ops:
            for result in scalar.results:
                result.name_hint = None
        code = "\n".join(str(scalar) for scalar in region.block.ops)
        per_column = tuple(_varies_by_column(r, self.op) for r in self.extras)
        shared = tuple(
            None if column else r for r, column in zip(self.extras, per_column, strict=True)
        )
        return (
            self.left,
            self.op.group_ranks,
            self.op.group_dims[:2],
            self.op.group_dims[3],
            element_of(self.op.res[0]),
            element_of(self.op.ins[1]),
            code,
            per_column,
            shared,
        )


def _varies_by_column(read: Read, op: GemmOp) -> bool:
    return read.access.strides[-1] != 0


def _is_weight(value: SSAValue) -> bool:
    return isinstance(value.owner, GetParameterOp)


def sibling_of(op: Operation) -> Sibling | None:
    """The op as a candidate; None unless its own operands are all weights that can be joined."""
    if not isinstance(op, GemmOp) or len(op.outs) != 1 or op.parent is None:
        return None
    if (
        op.group_ranks[0] != 0
        or op.group_ranks[2] != 1
        or not isinstance(op.outs[0].owner, EmptyOp)
    ):
        return None
    if not op.out_access[0].is_dense or not _is_weight(op.ins[1]):
        return None
    if not all(isinstance(dim, int) for dim in op.in_access[1].dims):
        return None
    if any(isinstance(scalar, IndexOp) for scalar in op.epilogue.block.ops):
        return None  # an index counts the columns of this gemm, not those of a merged one
    sibling = Sibling(op)
    for extra in sibling.extras:
        if not _varies_by_column(extra, op):
            continue
        only_columns = all(stride == 0 for stride in extra.access.strides[:-1])
        if not (only_columns and _is_weight(extra.base)):
            return None
    if not all(isinstance(use.operation, KernelOp | ViewOp) for use in op.res[0].uses):
        return None
    return sibling


class _Merger:
    """Merges groups of sibling gemms of one module."""

    def __init__(self, module: ModuleOp, target: TargetInfo):
        self.derived = DerivedParameters(module)
        self.target = target

    def run(self, function: FuncOp) -> None:
        groups: dict[tuple[object, ...], list[Sibling]] = {}
        for op in list(function.body.block.ops):
            sibling = sibling_of(op)
            if sibling is not None:
                groups.setdefault(sibling.key(), []).append(sibling)
        for group in groups.values():
            if len(group) > 1:
                self._merge(group)

    def _merge(self, group: Sequence[Sibling]) -> None:
        first = group[0].op
        others = " and ".join(describe(s.op) for s in group[1:])
        row = self.target.capabilities.of(GemmOp)
        if row is None or not row.strided_operands:
            remark(NAME, "missed", first, f"{self.target.name} reads dense operands only")
            return
        total: Dim = sum(s.columns for s in group if isinstance(s.columns, int))
        dims = (*first.domain[:-1], total)
        empty = EmptyOp(tensor_type(element_of(first.res[0]), dims))
        merged = self._merged_op(group, total, empty.result)
        point = InsertPoint.before(first)
        Rewriter.insert_op([*self._gets, empty, merged], point)
        remark(NAME, "applied", first, f"merged with {others}: one launch, its input read once")
        self._replace_results(group, merged, total)

    def _replace_results(self, group: Sequence[Sibling], merged: GemmOp, total: Dim) -> None:
        """Each old result is a slice of the columns of the new one."""
        result = merged.res[0]
        whole = AccessMap.dense(dims_of(result))
        offset: Dim = 0
        place: Operation = merged
        for sibling in group:
            old = sibling.op.res[0]
            offsets = [*(0 for _ in whole.sizes[:-1]), offset]
            columns = whole.slice(
                offsets, [*whole.sizes[:-1], sibling.columns], [1] * whole.rank
            ).reshape(dims_of(old))
            assert columns is not None, "the old result has the gemm's own dims"
            view = ViewOp(result, columns)
            view.result.name_hint = old.name_hint
            assert place.parent is not None
            place.parent.insert_op_after(view, place)
            place = view
            old.replace_all_uses_with(view.result)
            sibling.op.detach()
            sibling.op.erase()
            offset = offset + sibling.columns

    def _merged_op(self, group: Sequence[Sibling], total: Dim, out: SSAValue) -> GemmOp:
        first = group[0].op
        self._gets: list[GetParameterOp] = []
        weights = [Read(s.op.ins[1], s.op.in_access[1]) for s in group]
        joined = self._joined(weights, total)
        domain = (*first.domain[:-1], total)
        ins: list[SSAValue] = [first.ins[0], joined.base]
        maps: list[AccessMap] = [first.in_access[0], joined.access]
        for i, extra in enumerate(group[0].extras):
            if _varies_by_column(extra, first):
                columns = [s.extras[i] for s in group]
                vectors = [Read(r.base, r.access.select([r.access.rank - 1])) for r in columns]
                vector = self._joined(vectors, total)
                strides = (*(0 for _ in domain[:-1]), vector.access.strides[0])
                ins.append(vector.base)
                maps.append(AccessMap(vector.access.offset, domain, strides))
            else:
                ins.append(extra.base)
                access = extra.access
                maps.append(AccessMap(access.offset, domain, access.strides))
        merged = rebuilt(
            first, ins=ins, in_maps=maps, outs=[out], out_maps=[AccessMap.dense(domain)]
        )
        assert isinstance(merged, GemmOp)
        merged.location = joined_location(*(s.op for s in group))
        return merged

    def _joined(self, reads: Sequence[Read], total: Dim) -> Read:
        """Weights read over [..., N] joined along N: a derived parameter, stored [N, ...]."""
        pieces: list[SSAValue] = []
        places: list[AccessMap] = []
        rank = reads[0].access.rank
        columns_first = (rank - 1, *range(rank - 1))
        dims = (total, *reads[0].access.sizes[:-1])
        whole = AccessMap.dense(dims)
        offset: Dim = 0
        for read in reads:
            assert isinstance(read.base.owner, GetParameterOp)
            raw = self.derived.value_of(read.base.owner.parameter.root_reference.data)
            view = ViewOp(raw, read.access.permute(columns_first))
            self.derived.insert(view)
            pieces.append(view.result)
            sizes = view.access.sizes
            places.append(whole.slice([offset, *(0 for _ in dims[1:])], sizes, [1] * rank))
            offset = offset + sizes[0]
        element = element_of(reads[0].base)
        joined = AssembleOp(pieces, places, tensor_type(element, dims))
        self.derived.insert(joined)
        name = self.derived.define(_joined_name(reads), joined.result)
        get = GetParameterOp(name, self.derived.declared[name].parameter_type)
        self._gets.append(get)
        return Read(get.result, whole.permute((*range(1, rank), 0)))


def _joined_name(reads: Sequence[Read]) -> str:
    """`layer.query.weight` and `layer.key.weight` -> `layer.query|key.weight`."""
    names = [
        r.base.owner.parameter.root_reference.data
        for r in reads
        if isinstance(r.base.owner, GetParameterOp)
    ]
    parts = [name.split(".") for name in names]
    shared = _common_length(parts)
    tail = _common_length([p[shared:][::-1] for p in parts])
    middles = "|".join(".".join(p[shared : len(p) - tail]) for p in parts)
    last = parts[0][len(parts[0]) - tail :]
    return ".".join([*parts[0][:shared], middles, *last])


def _common_length(sequences: Sequence[Sequence[str]]) -> int:
    """How many leading items all sequences share."""
    length = 0
    for items in zip(*sequences, strict=False):
        if len(set(items)) > 1:
            break
        length += 1
    return length


@dataclass(frozen=True)
class FuseHorizontalPass(ModulePass):
    """Merges gemms of one left factor over joined weights.

    Before: `%q = kernel.gemm ins(%x, %wq, %bq)`, `%k = kernel.gemm ins(%x, %wk, %bk)`
    After:  `%qk = kernel.gemm ins(%x, @w.q|k, @b.q|k)`, views of whose columns are `%q` and `%k`

    Only gemms with equal epilogues merge; a per-column operand must be a weight, and is joined with
    the others by `@prepare`. A result that is returned would have to be copied, so it stays apart.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        merger = _Merger(op, find_target(self.target))
        for function in functions_of(op):
            if function.sym_name.data != PREPARE:
                merger.run(function)
