"""fuse-horizontal: independent kernels of one kind and input become one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.functions import run_functions_of
from ait.dialects.graph import GetParameterOp
from ait.dialects.kernel import EmptyOp, GemmOp, IndexOp, KernelOp, PointwiseOp
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of, tensor_type, upper_bound
from ait.passes.cost import Work, bytes_reached, microseconds
from ait.passes.derived import DerivedParameters
from ait.passes.fusion.alignment_loss import Loss, Stored, reader_losses, total_loss
from ait.passes.fusion.legality import Refusal
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

    @property
    def joined(self) -> list[Read]:
        """What is joined with that of other gemms: weights, and operands by column."""
        weights = Read(self.op.ins[1], self.op.in_access[1])
        return [weights, *(r for r in self.extras if _varies_by_column(r))]

    def key(self) -> tuple[object, ...]:
        """Equal for gemms that could be one: left factor, rows, code and types, and what all
        columns share, however many these are."""
        region = self.op.epilogue.clone()
        for argument in region.block.args:
            argument.name_hint = None
        for scalar in region.block.ops:
            for result in scalar.results:
                result.name_hint = None
        code = "\n".join(str(scalar) for scalar in region.block.ops)
        shared = tuple(None if _varies_by_column(r) else _by_row(r) for r in self.extras)
        return (
            self.left,
            self.op.group_ranks,
            self.op.group_dims[:2],
            self.op.group_dims[3],
            element_of(self.op.res[0]),
            element_of(self.op.ins[1]),
            tuple(element_of(r.base) for r in self.extras),
            tuple(_is_weight(read.base) for read in self.joined),
            code,
            shared,
        )


def _varies_by_column(read: Read) -> bool:
    return read.access.strides[-1] != 0


def _by_row(read: Read) -> Read:
    """What is read, without the dim of columns."""
    return Read(read.base, read.access.select(range(read.access.rank - 1)))


def _is_weight(value: SSAValue) -> bool:
    return isinstance(value.owner, GetParameterOp)


def _can_be_joined(value: SSAValue) -> bool:
    """Whether a value is there before any kernel runs: a weight, or an input."""
    return _is_weight(value) or isinstance(value.owner, Block)


def sibling_of(op: GemmOp) -> Sibling:
    """The op as a candidate. Raises Refusal if its columns cannot be some of a larger gemm's."""
    if len(op.outs) != 1 or not isinstance(op.outs[0].owner, EmptyOp):
        raise Refusal("it writes into another tensor")
    if op.group_ranks[0] != 0 or op.group_ranks[2] != 1:
        raise Refusal("it has a batch, or columns of several dims")
    if not op.out_access[0].is_dense:
        raise Refusal("it writes its result permuted")
    if not all(isinstance(dim, int) for dim in op.in_access[1].dims):
        raise Refusal("its right factor has no fixed size")
    if not _can_be_joined(op.ins[1]):
        raise Refusal("its right factor is computed")
    if any(isinstance(scalar, IndexOp) for scalar in op.epilogue.block.ops):
        # An index counts the columns of this gemm, not those of a merged one.
        raise Refusal("its code asks for the index")
    sibling = Sibling(op)
    for extra in sibling.extras:
        if not _varies_by_column(extra):
            continue
        if any(stride != 0 for stride in extra.access.strides[:-1]):
            raise Refusal("an operand differs by row and column")
        if not _can_be_joined(extra.base):
            raise Refusal("an operand by column is computed")
    return sibling


def _is_copied(value: SSAValue, target: TargetInfo) -> bool:
    """Whether some columns of a larger tensor would have to be copied for those that read them."""
    for use in value.uses:
        user = use.operation
        if isinstance(user, ViewOp):
            if _is_copied(user.result, target):
                return True
        elif not isinstance(user, KernelOp):
            return True
        else:
            row = target.capabilities.of(user)
            if row is not None and not row.strided_operands:
                return True
    return False


@dataclass(frozen=True)
class Copies:
    """Copies that a merge needs."""

    work: float = 0.0
    """Seconds without launches."""
    count: int = 0

    def __add__(self, other: Copies) -> Copies:
        return Copies(self.work + other.work, self.count + other.count)

    def seconds(self, target: TargetInfo) -> float:
        """With launches, of which there is one where copies share it."""
        shared = target.capabilities.groups.get(PointwiseOp) is not None
        launches = min(1, self.count) if shared else self.count
        return self.work + launches * target.description.launch_seconds


def _shares_launch(op: GemmOp, target: TargetInfo) -> bool:
    return GemmOp in target.capabilities.groups and target.launch_share(op) is not None


@dataclass(frozen=True)
class Estimate:
    """What some siblings cost apart and as one gemm; one more costs no look at the others."""

    target: TargetInfo
    siblings: tuple[Sibling, ...]
    work: Work
    """Of all, each of which reads the left factor."""
    alone: float
    """Seconds of the gemms one after the other, without launches."""
    columns: Dim
    copied: Copies
    """Of results whose readers need a tensor of their own."""
    joined: Copies
    """Of right factors, and operands by column, that are no weights."""
    losses: tuple[Loss, ...]
    """Kernels that read columns at places that are not aligned."""
    share: bool
    """Whether the gemms can share a launch."""

    @staticmethod
    def of(sibling: Sibling, target: TargetInfo) -> Estimate:
        """Of one gemm."""
        device = target.description
        work, result = Work.of(sibling.op, device), sibling.op.res[0]
        copied = Copies()
        if _is_copied(result, target):
            size = dim_product(dims_of(result))
            copied = Copies(Work.of_copy(size, element_of(result), device).seconds(device), 1)
        joined = Copies()
        for read in sibling.joined:
            if not _is_weight(read.base):
                size = dim_product(_walked_sizes(read.access))
                copy = Work.of_copy(size, element_of(read.base), device)
                joined += Copies(copy.seconds(device), 1)
        alone = work.seconds(device)
        share = _shares_launch(sibling.op, target)
        return Estimate(target, (sibling,), work, alone, sibling.columns, copied, joined, (), share)

    def with_more(self, other: Estimate) -> Estimate:
        """With the one sibling of another estimate, as the last columns."""
        (sibling,) = other.siblings
        columns = self.columns + sibling.columns
        result = sibling.op.res[0]
        losses = self.losses
        if not other.copied.count:
            dims = (*sibling.op.domain[:-1], columns)
            there = Stored(dims, _columns_at(sibling, columns, self.columns))
            here = Stored.in_tensor(result)
            losses = (*losses, *reader_losses(result, here, there, self.target))
        return Estimate(
            self.target,
            (*self.siblings, sibling),
            self.work + other.work,
            self.alone + other.alone,
            columns,
            self.copied + other.copied,
            self.joined + other.joined,
            losses,
            self.share and other.share,
        )

    @property
    def apart(self) -> float:
        """Seconds of gemms on their own: one after the other, or in a group if there are such."""
        device, count = self.target.description, len(self.siblings)
        found = self.alone + count * device.launch_seconds
        row = self.target.capabilities.groups.get(GemmOp)
        if row is None or not self.share or count > row.max_members:
            return found
        together = self.work.seconds(device) / row.efficiency
        return min(found, together + device.launch_seconds)

    @property
    def merged(self) -> float:
        """Seconds of one gemm, with all that it costs beside it."""
        device = self.target.description
        if len(self.siblings) == 1:
            return self.apart
        left = self.siblings[0].left
        saved = upper_bound(bytes_reached(left.base, left.access)) * (len(self.siblings) - 1)
        # A target cuts one gemm into as many blocks as it would cut its parts into.
        gemm = (self.work + Work(-saved, 0.0, 0)).seconds(device) + device.launch_seconds
        beside = self.copied.seconds(self.target) + self.joined.seconds(self.target)
        return gemm + beside + total_loss(self.losses)

    def __str__(self) -> str:
        parts = [
            (self.copied.seconds(self.target), "for copies of results"),
            (self.joined.seconds(self.target), "to join factors that are no weights"),
            (total_loss(self.losses), self._unaligned()),
        ]
        said = [f"{microseconds(seconds)} {what}" for seconds, what in parts if seconds > 0]
        text = f"{microseconds(self.apart)} apart, {microseconds(self.merged)} as one"
        return ", ".join([text, *said])

    def _unaligned(self) -> str:
        if not self.losses:
            return ""
        return f"by {describe(self.losses[0].kernel)}, not aligned ({self.losses[0].reason})"


_ROUNDING = 1 + 1e-9


class _Merger:
    """Merges groups of sibling gemms of one module."""

    def __init__(self, module: ModuleOp, target: TargetInfo):
        self.derived = DerivedParameters(module)
        self.target = target

    def run(self, function: FuncOp) -> None:
        groups: dict[tuple[object, ...], list[Sibling]] = {}
        by_left: dict[Read, list[GemmOp]] = {}
        for op in list(function.body.block.ops):
            if not isinstance(op, GemmOp):
                continue
            others = by_left.setdefault(Read(op.ins[0], op.in_access[0]), [])
            reason: str | None = None
            try:
                sibling = sibling_of(op)
                group = groups.setdefault(sibling.key(), [])
                group.append(sibling)
                if len(group) == 1:
                    reason = "their types, sizes or code differ"
            except Refusal as refusal:
                reason = str(refusal)
            if others and reason is not None:
                remark(NAME, "missed", op, f"not merged with {describe(others[0])}: {reason}")
            others.append(op)
        position = {op: i for i, op in enumerate(function.body.block.ops)}
        for group in groups.values():
            if len(group) > 1:
                chosen = self._chosen(group)
                if len(chosen.siblings) > 1:
                    first = min(chosen.siblings, key=lambda s: position[s.op])
                    self._merge(chosen, first.op)

    def _chosen(self, group: Sequence[Sibling]) -> Estimate:
        """Those that are best one gemm. Others, whose results are copied, come last to the test."""
        estimates = [Estimate.of(sibling, self.target) for sibling in group]
        estimates.sort(key=lambda estimate: estimate.copied.count)
        chosen = estimates[0]
        for alone in estimates[1:]:
            more = chosen.with_more(alone)
            if more.merged <= min(more.apart, chosen.merged + alone.apart) * _ROUNDING:
                chosen = more
                continue
            others = " and ".join(describe(s.op) for s in chosen.siblings)
            (sibling,) = alone.siblings
            remark(NAME, "missed", sibling.op, f"not merged with {others}: {more}")
        return chosen

    def _merge(self, chosen: Estimate, before: GemmOp) -> None:
        group = chosen.siblings
        first = group[0].op
        others = " and ".join(describe(s.op) for s in group[1:])
        dims = _merged_dims(group)
        total = dims[-1]
        empty = EmptyOp(tensor_type(element_of(first.res[0]), dims))
        merged = self._merged_op(group, total, empty.result)
        Rewriter.insert_op([*self._before, empty, merged], InsertPoint.before(before))
        text = f"merged with {others}: one launch, its input read once; {chosen}"
        remark(NAME, "applied", first, text)
        self._replace_results(group, merged)

    def _replace_results(self, group: Sequence[Sibling], merged: GemmOp) -> None:
        """Each old result is a slice of the columns of the new one."""
        result = merged.res[0]
        place: Operation = merged
        for sibling, columns in zip(group, _columns(group), strict=True):
            old = sibling.op.res[0]
            view = ViewOp(result, columns)
            view.result.name_hint = old.name_hint
            assert place.parent is not None
            place.parent.insert_op_after(view, place)
            place = view
            old.replace_all_uses_with(view.result)
            sibling.op.detach()
            sibling.op.erase()

    def _merged_op(self, group: Sequence[Sibling], total: Dim, out: SSAValue) -> GemmOp:
        first = group[0].op
        self._before: list[Operation] = []
        weights = [Read(s.op.ins[1], s.op.in_access[1]) for s in group]
        joined = self._joined(weights, total)
        domain = (*first.domain[:-1], total)
        ins: list[SSAValue] = [first.ins[0], joined.base]
        maps: list[AccessMap] = [first.in_access[0], joined.access]
        for i, extra in enumerate(group[0].extras):
            if _varies_by_column(extra):
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
        """Factors read over [..., N] joined along N, stored [N, ...]; weights by `@prepare`."""
        weights = all(_is_weight(read.base) for read in reads)
        pieces: list[SSAValue] = []
        places: list[AccessMap] = []
        rank = reads[0].access.rank
        columns_first = (rank - 1, *range(rank - 1))
        dims = (total, *reads[0].access.sizes[:-1])
        whole = AccessMap.dense(dims)
        offset: Dim = 0
        for read in reads:
            raw = self._raw(read.base, weights)
            view = ViewOp(raw, read.access.permute(columns_first))
            self.derived.insert(view) if weights else self._before.append(view)
            pieces.append(view.result)
            sizes = view.access.sizes
            places.append(whole.slice([offset, *(0 for _ in dims[1:])], sizes, [1] * rank))
            offset = offset + sizes[0]
        element = element_of(reads[0].base)
        joined = AssembleOp(pieces, places, tensor_type(element, dims))
        access = whole.permute((*range(1, rank), 0))
        if not weights:
            self._before.append(joined)
            return Read(joined.result, access)
        self.derived.insert(joined)
        name = self.derived.define(_joined_name(reads), joined.result)
        get = GetParameterOp(name, self.derived.declared[name].parameter_type)
        self._before.append(get)
        return Read(get.result, access)

    def _raw(self, value: SSAValue, in_prepare: bool) -> SSAValue:
        """A factor as it is, in `@prepare` or before the merged gemm."""
        owner = value.owner
        if not isinstance(owner, GetParameterOp):
            return value
        name = owner.parameter.root_reference.data
        if in_prepare:
            return self.derived.value_of(name)
        get = GetParameterOp(name, self.derived.declared[name].parameter_type)
        self._before.append(get)
        return get.result


def _merged_dims(siblings: Sequence[Sibling]) -> tuple[Dim, ...]:
    total: Dim = 0
    for sibling in siblings:
        total = total + sibling.columns
    return (*siblings[0].op.domain[:-1], total)


def _columns(siblings: Sequence[Sibling]) -> Iterator[AccessMap]:
    """Where in the merged result each old one is, in the dims of the old one."""
    total = _merged_dims(siblings)[-1]
    offset: Dim = 0
    for sibling in siblings:
        yield _columns_at(sibling, total, offset)
        offset = offset + sibling.columns


def _columns_at(sibling: Sibling, total: Dim, offset: Dim) -> AccessMap:
    """Some of `total` columns, from `offset` on, in the dims of the sibling's result."""
    rows = sibling.op.domain[:-1]
    whole = AccessMap.dense((*rows, total))
    offsets = [*(0 for _ in rows), offset]
    columns = whole.slice(offsets, [*rows, sibling.columns], [1] * whole.rank)
    found = columns.reshape(dims_of(sibling.op.res[0]))
    assert found is not None, "the old result has the gemm's own dims"
    return found


def _walked_sizes(access: AccessMap) -> list[Dim]:
    return [n for n, stride in zip(access.sizes, access.strides, strict=True) if stride != 0]


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
    """Merges gemms of one left factor over joined weights, where the cost model says it pays.

    Before: `%q = kernel.gemm ins(%x, %wq, %bq)`, `%k = kernel.gemm ins(%x, %wk, %bk)`
    After:  `%qk = kernel.gemm ins(%x, @w.q|k, @b.q|k)`, views of whose columns are `%q` and `%k`

    Only gemms with equal epilogues merge; operands by column are joined like the right factors, by
    `@prepare` if they are weights. A merged gemm saves launches, reads its input once and leaves
    fewer units idle; against that stand copies of results that are returned or parts of concats,
    joining what is no weight at run time, and columns that are read unaligned. A target that runs
    several gemms in one launch anyway has less to gain.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        merger = _Merger(op, find_target(self.target))
        for function in run_functions_of(op):
            merger.run(function)
