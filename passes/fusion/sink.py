"""Pointwise code over an assembled tensor: one kernel per piece, each over its part of the domain.

The parts read the pieces themselves, so that a piece which is only a view of something (the halves
that a rotary embedding swaps) is never copied into the assembled tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Operation, OpResult, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import AccessMap, AssembleOp, ViewOp
from ait.dialects.kernel import AttentionOp, CopyOp, EmptyOp, IndexOp, KernelOp, PointwiseOp
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    dims_of,
    element_of,
    tensor_type,
)
from ait.passes.fusion.boxes import Box, NoBox, cut_of, slabs_of
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import rebuilt, split_domain
from ait.passes.lowering.launch import Read, read
from ait.passes.pieces import through_pieces
from ait.passes.remarks import remark
from ait.passes.stages import Stage, is_stage, stage_of
from ait.passes.target import TargetInfo

MOST_PARTS = 4
"""Into how many kernels one is taken apart at most."""
MOST_ADDED = 2
"""How many launches more than today are worth it if pieces are then not copied."""


class CannotSink(Exception):
    """Why code over an assembled tensor stays whole."""


# The parts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What is computed for one piece: the box of the domain, and what its code reads there."""

    box: Box
    reads: tuple[Read, ...]
    indices: tuple[AccessMap, ...]
    """The maps of the index ops in the code."""

    def same_value(self) -> tuple[object, ...]:
        """Equal for parts that compute equal tensors."""
        return (self.reads, self.indices, tuple(self.box.sizes[i] for i in self.box.kept))


def _index_ops(op: KernelOp) -> list[IndexOp]:
    return [s for region in op.regions for s in region.block.ops if isinstance(s, IndexOp)]


def aligned(op: KernelOp, index: int) -> tuple[KernelOp, list[Box]]:
    """`op`, its domain split where it must be, and the box of each piece of operand `index`.

    The op that is returned is a new one, in no block. Raises NoBox.
    """
    assembled = op.ins[index].owner
    assert isinstance(assembled, AssembleOp)
    total = dim_product(dims_of(assembled.result))
    slabs = [slabs_of(place, total) for place in assembled.accesses]
    access = op.in_access[index]
    splits: dict[int, list[Dim]] = {}
    for slab in (slab for of_piece in slabs for slab in of_piece):
        cut = cut_of(slab, access)
        if cut.outer != 1 and splits.setdefault(cut.dim, [cut.outer, cut.extent])[1] != cut.extent:
            raise NoBox("the pieces do not lie along one dim")
    whole = split_domain(op, splits)
    assert whole is not None, "the domain of a stage can be split"
    try:
        access = whole.in_access[index]
        boxes = [Box.of(whole.domain, [cut_of(s, access) for s in own]) for own in slabs]
    except NoBox:
        whole.erase()
        raise
    return whole, boxes


def part_of(op: KernelOp, index: int, place: AccessMap, box: Box) -> Part:
    """The part of `op` over the box in which operand `index` is the piece at `place`.

    Raises CannotSink unless all that the box reads of the operand is provably of that piece.
    """
    if box.of_map(op.in_access[index]).relative_to(place) is None:
        raise CannotSink("a part of the domain reads more than one piece")
    reads = tuple(
        through_pieces(read(value, box.of_map(access)))
        for value, access in zip(op.ins, op.in_access, strict=True)
    )
    if isinstance(reads[index].base.owner, ViewOp):
        raise CannotSink("a piece cannot be addressed over its part of the domain")
    if any(r.base is op.ins[index] for r in reads):
        raise CannotSink("it also reads the assembled tensor through another map")
    return Part(box, reads, tuple(box.of_map(scalar.access) for scalar in _index_ops(op)))


def check_tiles(op: KernelOp, boxes: Sequence[Box]) -> None:
    """Raises CannotSink unless the boxes, which are disjoint as the pieces are, fill the domain."""
    covered: Dim = 0
    for box in boxes:
        covered = covered + dim_product(box.sizes)
    if covered != dim_product(op.domain):
        raise CannotSink("the pieces do not fill what is read")


def _kernels_of(op: KernelOp, parts: Sequence[Part]) -> list[tuple[int, ...]]:
    """Which parts one kernel computes.

    Parts of equal values are computed once if code over the result can read the one tensor for
    all of them; a tensor that is written to several places would have to be copied there.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    read_by_code = all(is_stage(use.operation) for r in op.res for use in r.uses)
    for number, part in enumerate(parts):
        key = part.same_value() if read_by_code else (number,)
        groups.setdefault(key, []).append(number)
    return [tuple(own) for own in groups.values()]


@dataclass(frozen=True)
class Plan:
    """How one stage is computed piece by piece."""

    op: KernelOp
    whole: KernelOp
    """The stage over a domain of which the parts are boxes; in no block."""
    parts: tuple[Part, ...]
    kernels: tuple[tuple[int, ...], ...]
    """For each kernel, which parts it computes."""
    pieces: tuple[Read, ...]
    """For each kernel, the piece that it reads."""


def plan_for(op: KernelOp, assembled: AssembleOp) -> Plan:
    """How a stage that reads an assembled tensor is computed without it. Raises CannotSink.

    The plan's `whole` is to be erased.
    """
    index = list(op.ins).index(assembled.result)
    try:
        whole, boxes = aligned(op, index)
    except NoBox as reason:
        raise CannotSink(str(reason)) from None
    try:
        check_tiles(whole, boxes)
        places = zip(assembled.accesses, boxes, strict=True)
        parts = tuple(part_of(whole, index, place, box) for place, box in places)
    except CannotSink:
        whole.erase()
        raise
    kernels = tuple(_kernels_of(op, parts))
    pieces = tuple(parts[own[0]].reads[index] for own in kernels)
    return Plan(op, whole, parts, kernels, pieces)


# Legality and profit ----------------------------------------------------------------------------


def check_stage(stage: Stage, target: TargetInfo) -> None:
    """Raises CannotSink unless a stage writes all of fresh tensors, and parts of it could run."""
    row = target.capabilities.of(PointwiseOp if isinstance(stage.op, PointwiseOp) else CopyOp)
    if row is None or not (row.strided_operands and row.strided_results):
        raise CannotSink(f"{target.name} takes dense operands and results only")
    for result, out, access in zip(
        stage.results, stage.destinations, stage.out_access, strict=True
    ):
        if not isinstance(out.owner, EmptyOp):
            raise CannotSink("it writes into a larger tensor")
        if not access.covers(dim_product(dims_of(result))):
            raise CannotSink("it does not write all of its result")


def users_of(assembled: AssembleOp) -> list[KernelOp]:
    """The stages that read a concat. Raises CannotSink if something else reads it, too."""
    users = list(dict.fromkeys(use.operation for use in assembled.result.uses))
    if assembled.fill is not None:
        raise CannotSink("what is assembled is partly filled")
    if len(set(assembled.pieces)) > MOST_PARTS:
        raise CannotSink(f"it would become more than {MOST_PARTS} kernels")
    stages: list[KernelOp] = [user for user in users if is_stage(user)]
    if len(stages) < len(users):
        raise CannotSink("the assembled tensor has other users")
    return stages


def _is_written_in_place(value: SSAValue) -> bool:
    """Whether fuse-memory can let the kernel that computes a piece write it where it belongs."""
    kernel = value.owner
    return (
        isinstance(kernel, KernelOp)
        and isinstance(value, OpResult)
        and isinstance(kernel.outs[value.index].owner, EmptyOp)
    )


def _is_absorbed(piece: Read, target: TargetInfo) -> bool:
    """Whether the code for a piece can become the epilogue of the kernel that computes it.

    It then has no other use but in the concat.
    """
    kernel = piece.base.owner
    if not isinstance(kernel, KernelOp) or isinstance(kernel, AttentionOp):
        return False
    row = target.capabilities.of(kernel)
    return (
        row is not None
        and row.fuses_epilogue
        and piece.base.has_one_use()
        and piece.access.covers(dim_product(dims_of(piece.base)))
    )


def check_profit(assembled: AssembleOp, plans: Sequence[Plan], target: TargetInfo) -> None:
    """Raises CannotSink unless copies of pieces go away, or at least no launch is added."""
    bases = [read(piece).base for piece in assembled.pieces]
    copied = sum(not _is_written_in_place(base) or bases.count(base) > 1 for base in bases)
    alone = len(plans) == 1
    added = sum(
        not (alone and _is_absorbed(piece, target)) for plan in plans for piece in plan.pieces
    )
    added -= len(plans) + copied
    if added > (MOST_ADDED if copied else 0):
        raise CannotSink(f"launches +{added}, copies -{copied}")


# The rewrite ------------------------------------------------------------------------------------


def _build(op: KernelOp, part: Part) -> tuple[list[EmptyOp], KernelOp]:
    """The kernel of a part, and its destinations: dense, in the order of the whole's."""
    box = part.box
    regions = [region.clone() for region in op.regions]
    indices = iter(part.indices)
    for region in regions:
        for scalar in region.block.ops:
            if isinstance(scalar, IndexOp):
                scalar.properties["map"] = IndexOp(next(indices)).map
    empties: list[EmptyOp] = []
    maps: list[AccessMap] = []
    for out, access in zip(op.outs, op.out_access, strict=True):
        order = _storage_order(access, box)
        dims = box.of_map(access).permute(order).sizes
        empties.append(EmptyOp(tensor_type(element_of(out), dims)))
        maps.append(AccessMap.dense(dims).permute([order.index(i) for i in range(len(order))]))
    kernel = rebuilt(
        op,
        ins=[r.base for r in part.reads],
        in_maps=[r.access for r in part.reads],
        outs=[empty.result for empty in empties],
        out_maps=maps,
        regions=regions,
    )
    return empties, kernel


def _storage_order(access: AccessMap, box: Box) -> list[int]:
    """The dims that a box keeps, as positions among them, in the order of a result's storage."""
    order = access.order_as_storage()
    assert order is not None, "a result covers its storage"
    position = {dim: i for i, dim in enumerate(box.kept)}
    return [position[dim] for dim in order if dim in position]


def replace_by_parts(plan: Plan, rewriter: PatternRewriter) -> None:
    """Puts the kernels of the parts, and concats of their results, in a stage's place."""
    op, parts = plan.op, plan.parts
    added: list[Operation] = []
    computed: dict[int, KernelOp] = {}
    for own in plan.kernels:
        empties, kernel = _build(plan.whole, parts[own[0]])
        kernel.location = op.location
        added += [*empties, kernel]
        computed |= dict.fromkeys(own, kernel)
    results: list[SSAValue] = []
    for number, (old, access) in enumerate(zip(op.res, plan.whole.out_access, strict=True)):
        pieces = [computed[i].res[number] for i in range(len(parts))]
        boxes = [part.box for part in parts]
        places = [box.of_map(access).permute(_storage_order(access, box)) for box in boxes]
        result = AssembleOp(pieces, places, tensor_type(element_of(old), dims_of(old)))
        result.location = op.location
        result.result.name_hint = old.name_hint
        added.append(result)
        results.append(result.result)
    rewriter.replace(op, added, results)


class SinkThroughAssemble(FusionPattern):
    """code(assemble(a, b)) -> assemble(code(a), code(b)), each over its part of the domain."""

    roots = (AssembleOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, AssembleOp):
            return
        if not op.result.uses:
            rewriter.erase(op)
            return
        readers = [u.operation for u in op.result.uses if is_stage(u.operation)]
        if not readers:
            return
        try:
            users = users_of(op)
            self._check(op, users)
        except CannotSink as reason:
            message = f"not computed piece by piece: {reason}"
            remark(self.pass_name, "missed", readers[0], message)
            return
        for user in users:
            # Planned anew: it may read the result of a user that is in parts now.
            plan = plan_for(user, op)
            message = f"computed piece by piece: {len(plan.kernels)} kernels instead of a concat"
            remark(self.pass_name, "applied", user, message)
            replace_by_parts(plan, rewriter)
            plan.whole.erase()
        rewriter.erase(op)

    def _check(self, assembled: AssembleOp, users: Sequence[KernelOp]) -> None:
        """Raises CannotSink unless all users can be computed in parts, and that is worth it."""
        plans: list[Plan] = []
        try:
            for user in users:
                stage = stage_of(user)
                assert stage is not None, "the users are stages"
                check_stage(stage, self.target)
                plans.append(plan_for(user, assembled))
            check_profit(assembled, plans, self.target)
        finally:
            for plan in plans:
                plan.whole.erase()
