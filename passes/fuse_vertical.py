"""fuse-vertical: chains of producers and consumers become one kernel; their regions merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import math
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    PatternRewriter,
    RewritePattern,
)

from ait.dialects.accessor import AccessMap, AssembleOp
from ait.dialects.kernel import (
    AttentionOp,
    CopyOp,
    EmptyOp,
    GemmRowwiseOp,
    IndexOp,
    KernelOp,
    MiddleOp,
    PointwiseOp,
    ReduceKind,
    ReduceOp,
    RowwiseOp,
    YieldOp,
    compute_type,
)
from ait.dialects.symbolic import dim_product, element_of
from ait.passes.fusion.attention import FuseAttention
from ait.passes.fusion.back_to_back import FuseBackToBack
from ait.passes.fusion.causal import HideLaterKeys
from ait.passes.fusion.dual_gemm import FuseColumnHalves, FuseGemmPair
from ait.passes.fusion.factors import FoldPreparations
from ait.passes.fusion.gemm_rowwise import FuseGemmRowwise
from ait.passes.fusion.legality import (
    Refusal,
    capability,
    check_limits,
    check_places,
    covers_storage,
)
from ait.passes.fusion.motion import dependents_between, move_after, reaches, replace_both
from ait.passes.fusion.rebuild import rebuilt, split_domain, splits_for
from ait.passes.fusion.repetition import ComputeRepeatedOnce
from ait.passes.fusion.sink import SinkThroughAssemble
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location, keep_names
from ait.passes.regions import Remap, ScalarBuilder, inline, only_rounds, through_storage
from ait.passes.remarks import describe, remark
from ait.passes.rewriting import OpPattern, erase_unused, rewrite_all, share_equal
from ait.passes.stages import Stage, as_stage, is_stage, stage_of
from ait.passes.target import KernelCapability, TargetInfo, find_target

NAME = "fuse-vertical"


# A stage into the epilogue of its producer ------------------------------------------------------


@dataclass(frozen=True)
class Joint:
    """Where a stage meets the producer of one of its operands."""

    producer: KernelOp
    result: OpResult
    stage: Stage
    access: AccessMap
    """How the stage's domain reaches the result's storage."""

    @property
    def surviving_results(self) -> list[int]:
        """Indices of the producer's results that are needed after the fusion."""
        return [
            i
            for i, result in enumerate(self.producer.res)
            if any(use.operation is not self.stage.op for use in result.uses)
        ]

    def order(self) -> tuple[int, ...]:
        """The stage's dims in the order of the result's storage."""
        order = self.access.order_as_storage()
        assert order is not None, "a joint's access covers the result"
        return order

    def remap(self, producer: KernelOp) -> Remap:
        """Carries maps of the stage's domain to the producer's: through the result's storage."""
        return through_storage(producer.out_access[self.result.index], self.access)


def joint_of(stage: Stage, value: SSAValue) -> Joint:
    """The joint of a stage with the producer of `value`. Raises Refusal."""
    producer = value.owner
    if not isinstance(producer, KernelOp) or not isinstance(value, OpResult):
        raise Refusal("it is not computed by a kernel")
    if producer.parent is not stage.op.parent:
        raise Refusal("it is computed elsewhere")
    reads = [r for r in stage.reads if r.base.owner is producer]
    first = reads[0]
    if any(r.access != first.access for r in reads):
        raise Refusal("it is read through two different maps")
    outs = [producer.out_access[r.base.index] for r in reads if isinstance(r.base, OpResult)]
    if any(access != outs[0] for access in outs):
        raise Refusal("two of its results are written through different maps")
    if not covers_storage(value, first.access):
        raise Refusal("the consumer does not read each element once")
    if not covers_storage(value, producer.out_access[value.index]):
        raise Refusal("the producer does not write all of it")
    if not isinstance(producer.outs[value.index].owner, EmptyOp):
        raise Refusal("the producer writes into a larger tensor")
    return Joint(producer, value, stage, first.access)


def fuse_epilogue(joint: Joint, target: TargetInfo) -> KernelOp:
    """The producer with the stage's code behind its own. Raises Refusal."""
    producer = joint.producer
    kind = PointwiseOp if isinstance(producer, CopyOp) else type(producer)
    row = capability(target, kind)
    if isinstance(producer, AttentionOp):
        return _redirect(joint, row)
    if not row.fuses_epilogue:
        raise Refusal(f"{producer.name} takes no epilogue on {target.name}")
    if len(producer.finished_outs) < len(producer.outs):
        raise Refusal("what it keeps of its middle is a result as well")
    merged = _merge(joint, producer, kind)
    if merged is None:
        factors = splits_for(
            producer.out_access[joint.result.index],
            [joint.stage.domain[i] for i in joint.order()],
        )
        split = split_domain(producer, factors) if factors else None
        if split is not None:
            merged = _merge(joint, split, kind)
            split.erase()
    if merged is None:
        raise Refusal("an operand cannot be addressed over the producer's domain")
    check_limits(merged, row)
    return merged


def _redirect(joint: Joint, row: KernelCapability) -> KernelOp:
    """A producer without an epilogue can still write where a copy would have copied to."""
    stage = joint.stage
    code_free = len(stage.destinations) == 1 and only_rounds(
        stage.body, element_of(stage.destinations[0])
    )
    if not code_free or joint.surviving_results:
        raise Refusal(f"{joint.producer.name} has no epilogue")
    if not row.strided_results:
        raise Refusal(f"{joint.producer.name} writes dense results only")
    access = joint.remap(joint.producer)(stage.out_access[0])
    if access is None:
        raise Refusal("the destination cannot be addressed over the producer's domain")
    return rebuilt(joint.producer, outs=[stage.destinations[0]], out_maps=[access])


def _merge(joint: Joint, producer: KernelOp, kind: type[KernelOp]) -> KernelOp | None:
    """The fused op; None if a map has no image in the producer's domain."""
    remap = joint.remap(producer)
    stage = joint.stage
    added: list[Read] = []
    known = [Read(producer.ins[i], producer.in_access[i]) for i in producer.visible_ins]
    positions: list[int] = []  # of each read of the stage among the visible operands
    for wanted in stage.reads:
        if wanted.base.owner is joint.producer:
            positions.append(-1)
            continue
        access = remap(wanted.access)
        if access is None:
            return None
        carried = Read(wanted.base, access)
        if carried not in known:
            known.append(carried)
            added.append(carried)
        positions.append(known.index(carried))
    out_maps = [remap(access) for access in stage.out_access]
    if None in out_maps:
        return None

    block = _last_block(producer, kind, added)
    computed = kind.COMPUTED_ARGUMENTS
    own = len(producer.visible_ins)
    values = _inline_producer(producer, block, list(block.args[: computed + own]))
    arguments = [
        values[wanted.base.index]
        if position < 0 and isinstance(wanted.base, OpResult)
        else block.args[computed + position]
        for wanted, position in zip(stage.reads, positions, strict=True)
    ]
    results = inline(stage.body, block, arguments, remap)
    if results is None:
        return None
    kept = joint.surviving_results
    block.add_op(YieldOp(*(values[i] for i in kept), *results))
    regions = [*_leading_regions(producer, added), Region(block)]
    properties: dict[str, Attribute] = {}
    if isinstance(producer, ReduceOp):
        properties["extras"] = IntegerAttr(producer.extras.value.data + len(added), i64)
    return rebuilt(
        producer,
        kind=kind,
        ins=[*producer.ins, *(r.base for r in added)],
        in_maps=[*producer.in_access, *(r.access for r in added)],
        outs=[
            *(producer.outs[i] for i in kept),
            *stage.destinations,
        ],
        out_maps=[
            *(producer.out_access[i] for i in kept),
            *(access for access in out_maps if access is not None),
        ],
        regions=regions,
        properties=properties,
    )


def _last_block(producer: KernelOp, kind: type[KernelOp], added: Sequence[Read]) -> Block:
    if producer.regions:
        types = [argument.type for argument in producer.regions[-1].block.args]
    else:
        types = [compute_type(element_of(value)) for value in producer.ins]
    block = Block(arg_types=[*types, *(r.compute_type for r in added)])
    if producer.regions:
        given = producer.regions[-1].block.args
        keep_names(given, block.args[: len(given)])
    return block


def _inline_producer(
    producer: KernelOp, block: Block, arguments: Sequence[SSAValue]
) -> Sequence[SSAValue]:
    if not producer.regions:
        return arguments
    values = inline(producer.regions[-1], block, arguments)
    assert values is not None, "nothing is remapped"
    return values


def _leading_regions(producer: KernelOp, added: Sequence[Read]) -> list[Region]:
    """The regions before the last; a prologue over all operands sees the new ones too."""
    regions = [region.clone() for region in producer.regions[:-1]]
    if isinstance(producer, RowwiseOp | GemmRowwiseOp):
        block = regions[0].block
        for new in added:
            block.insert_arg(new.compute_type, len(block.args))
    return regions


class FuseIntoProducer(OpPattern):
    """kernel A; pointwise B of A's result -> A with B's code in its epilogue."""

    roots = (PointwiseOp, CopyOp)

    def __init__(self, target: TargetInfo):
        self.target = target

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not is_stage(op) or not any(isinstance(v.owner, KernelOp) for v in op.ins):
            return
        stage = as_stage(op)
        for value in _producers(stage):
            try:
                joint = joint_of(stage, value)
                _check_extra_result(joint, self.target)
                row = self.target.capabilities.of(joint.producer)
                survivors = [joint.producer.res[i] for i in joint.surviving_results]
                check_places(survivors, joint.stage.results, row)
                moved = _dependents(joint)
                fused = fuse_epilogue(joint, self.target)
            except Refusal as reason:
                remark(NAME, "missed", op, f"not fused into {_producer_text(value)}: {reason}")
                continue
            remark(NAME, "applied", op, f"fused into {_producer_text(value)}")
            self._replace(joint, fused, moved, rewriter)
            return

    def _replace(
        self, joint: Joint, fused: KernelOp, moved: Sequence[Operation], rewriter: PatternRewriter
    ) -> None:
        producer = joint.producer
        survivors = [producer.res[i] for i in joint.surviving_results]
        replace_both(producer, joint.stage.op, fused, survivors, moved, rewriter)


def _producers(stage: Stage) -> list[SSAValue]:
    """The operands that kernels compute: those with no other use, then the latest, first."""
    values = {r.base: None for r in stage.reads if isinstance(r.base.owner, KernelOp)}
    found = list(values)
    if len(found) < 2:
        return found
    position: dict[Operation, int] = {}
    op, count = stage.op.prev_op, 0
    pending = {v.owner for v in found}
    while op is not None and pending:
        if op in pending:
            position[op] = count
            pending.discard(op)
        op, count = op.prev_op, count + 1
    return sorted(
        found,
        key=lambda v: (
            any(use.operation is not stage.op for use in v.uses),
            position.get(v.owner, count) if isinstance(v.owner, Operation) else count,
        ),
    )


def _dependents(joint: Joint) -> list[Operation]:
    """Other users of the producer that must move behind the fused op. Raises Refusal on a cycle."""
    dependents = dependents_between(joint.producer, joint.stage.op)
    others = [value for value in joint.stage.op.operands if value.owner is not joint.producer]
    if reaches(dependents, others):
        raise Refusal("another operand depends on it too: fusing would make a cycle")
    return dependents


def _check_extra_result(joint: Joint, target: TargetInfo) -> None:
    """Refuses to store a result and what a stage makes of it, if only one kernel reads the latter
    and can compute it from the former as well: no launch is saved, but a tensor more is stored."""
    if joint.result.index not in joint.surviving_results or len(joint.stage.results) != 1:
        return
    made = joint.stage.results[0]
    if made.has_one_use() and _computes_itself(made, joint.stage, target):
        raise Refusal("its reader computes it from the result, which is stored anyway")


def _computes_itself(value: SSAValue, stage: Stage, target: TargetInfo) -> bool:
    """Whether the kernel that reads what a stage computes can take the stage's code."""
    use = next(iter(value.uses))
    user = use.operation
    if not isinstance(user, KernelOp) or user.parent is not stage.op.parent:
        return False
    if use.index >= len(user.ins) or not user.regions or not _can_compute(user, use.index):
        return False
    try:
        fused = fuse_prologue(user, use.index, stage, target)
    except Refusal:
        return False
    fused.erase()
    return True


def _producer_text(value: SSAValue) -> str:
    return describe(value.owner) if isinstance(value.owner, Operation) else "an input"


# A stage into the prologue of its consumer ------------------------------------------------------

_CHEAP_OPS = 4
"""A stage of at most so many ops, none of them a function of `math`, may be computed again."""


class FuseIntoConsumer(OpPattern):
    """pointwise A; a kernel B whose region code reads A's result -> B that computes A itself.

    With `literals_only`, only what reads nothing is fused: constants and indices.
    """

    roots = (KernelOp,)

    def __init__(self, target: TargetInfo, literals_only: bool = False):
        self.target = target
        self.literals_only = literals_only

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, KernelOp) or not op.regions:
            return
        for index, value in enumerate(op.ins):
            owner = value.owner
            if not is_stage(owner) or (self.literals_only and owner.ins):
                continue
            if not _can_compute(op, index):
                continue
            stage = as_stage(owner)
            try:
                fused = fuse_prologue(op, index, stage, self.target)
            except Refusal as reason:
                remark(NAME, "missed", stage.op, f"not fused into {describe(op)}: {reason}")
                continue
            remark(NAME, "applied", stage.op, f"fused into {describe(op)}")
            fused.location = joined_location(op, stage.op)
            keep_names(op.res, fused.res[: len(op.res)])
            rewriter.replace(op, fused, list(fused.res))
            if not any(result.uses for result in stage.op.results):
                rewriter.erase(stage.op)
            return


class StoreBeside(OpPattern):
    """pointwise A, whose result others read too; rows B of A's result -> B that computes A itself
    and stores A's result beside its own."""

    roots = (RowwiseOp,)

    def __init__(self, target: TargetInfo):
        self.target = target

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, RowwiseOp):
            return
        index = _begins_with(op)
        if index is None:
            return
        value = op.ins[index]
        stage = stage_of(value.owner)
        if stage is None or stage.op.parent is not op.parent or value.has_one_use():
            return
        try:
            moved = _others_behind(stage, op)
            fused = _storing(op, index, stage, self.target)
        except Refusal as reason:
            remark(NAME, "missed", stage.op, f"not stored beside {describe(op)}: {reason}")
            return
        remark(NAME, "applied", stage.op, f"stored beside {describe(op)}")
        fused.location = joined_location(op, stage.op)
        move_after(op, moved)
        keep_names([*op.res, value], fused.res)
        rewriter.replace(op, fused, list(fused.res[:-1]))
        rewriter.replace_all_uses_with(value, fused.res[-1])
        rewriter.erase(stage.op)


def _begins_with(op: RowwiseOp) -> int | None:
    """The operand that is the value of the rows as it is; None if region code makes that."""
    last = op.prologue.block.last_op
    value = last.operands[0] if last is not None else None
    arguments = enumerate(op.prologue.block.args)
    return next((i for i, argument in arguments if argument is value), None)


def _others_behind(stage: Stage, op: RowwiseOp) -> list[Operation]:
    """Other readers of a stage before `op` that can follow it. Raises Refusal if `op` needs one."""
    others = dependents_between(stage.op, op)
    if reaches(others, [v for v in op.operands if v.owner is not stage.op]):
        raise Refusal("another operand depends on it too: fusing would make a cycle")
    return others


def _storing(op: RowwiseOp, index: int, stage: Stage, target: TargetInfo) -> KernelOp:
    """`op` with the stage in its prologue, whose result is one more of its own. Raises Refusal."""
    row = capability(target, type(op))
    if not row.fuses_prologue:
        raise Refusal(f"{op.name} takes no code on {target.name}")
    if not stage.reads or len(stage.results) != 1:
        raise Refusal("it has no operands, or several results")
    value, access, out = op.ins[index], op.in_access[index], stage.out_access[0]
    if sum(v is value for v in op.ins) > 1 or not covers_storage(value, access):
        raise Refusal("it would be computed several times")
    if not covers_storage(value, out) or not isinstance(stage.destinations[0].owner, EmptyOp):
        raise Refusal("it writes part of a larger tensor")
    if any(isinstance(use.operation, AssembleOp) for use in value.uses):
        raise Refusal("it is a piece of a larger tensor")
    remap = through_storage(access, out)
    images = [remap(r.access) for r in stage.reads]
    carried = [
        Read(r.base, image)
        for r, image in zip(stage.reads, images, strict=True)
        if image is not None
    ]
    if len(carried) < len(images):
        raise Refusal("an operand cannot be addressed over the consumer's domain")
    computing = _with_computed_operand(op, index, carried, stage, remap)
    regions = [region.clone() for region in computing.regions]
    block = regions[-1].block
    last = block.last_op
    assert last is not None, "an epilogue yields"
    results = [*last.operands, block.args[1]]  # the value that the rows began with
    block.erase_op(last)
    block.add_op(YieldOp(*results))
    fused = rebuilt(
        computing,
        outs=[*op.outs, stage.destinations[0]],
        out_maps=[*op.out_access, access],
        regions=regions,
    )
    computing.erase()
    check_limits(fused, row)
    return fused


def _can_compute(op: KernelOp, index: int) -> bool:
    """Whether operand `index` is an argument of region code."""
    return any(index in op.region_ins(region) for region in range(len(op.regions)))


def fuse_prologue(op: KernelOp, index: int, stage: Stage, target: TargetInfo) -> KernelOp:
    """`op` with its operand `index` computed in its regions by the stage's code. Raises Refusal."""
    row = capability(target, type(op))
    in_epilogue = _argument_position(op, 0, index) is None or op.DATA_OPERANDS > 0
    if not (row.fuses_epilogue if in_epilogue else row.fuses_prologue):
        raise Refusal(f"{op.name} takes no code on {target.name}")
    value = op.ins[index]
    if len(stage.results) != 1:
        raise Refusal("it has several results")
    if isinstance(op, ReduceOp) and not stage.reads and list(op.reduced_ins) == [index]:
        raise Refusal("only its result says over how much the consumer reduces")
    out = stage.out_access[0]
    if not covers_storage(value, out):
        raise Refusal("it writes part of a larger tensor")
    access = op.in_access[index]
    _check_recomputation(op, value, access, stage)
    remap = through_storage(access, out)
    carried: list[Read] = []
    for r in stage.reads:
        image = remap(r.access)
        if image is None:
            raise Refusal("an operand cannot be addressed over the consumer's domain")
        carried.append(Read(r.base, image))
    fused = _with_computed_operand(op, index, carried, stage, remap)
    check_limits(fused, row)
    return fused


def _check_recomputation(op: KernelOp, value: SSAValue, access: AccessMap, stage: Stage) -> None:
    """Refuses to compute again what is expensive and needed elsewhere, or more than once here."""
    if not stage.reads:
        return
    code = list(stage.body.block.ops)
    cheap = len(code) <= _CHEAP_OPS and not any(_is_function(scalar) for scalar in code)
    if any(use.operation is not op for use in value.uses):
        raise Refusal("its result has other uses")
    once = covers_storage(value, access) and sum(v is value for v in op.ins) == 1
    if not once and not (cheap and len(stage.reads) == 1):
        raise Refusal("it would be computed several times")


def _is_function(op: Operation) -> bool:
    return op.dialect_name() == math.Math.name


def _with_computed_operand(
    op: KernelOp, index: int, carried: Sequence[Read], stage: Stage, remap: Remap
) -> KernelOp:
    """Replaces `ins[index]` by the stage's operands, at its place, in operands and regions."""
    reads = [Read(v, m) for v, m in zip(op.ins, op.in_access, strict=True)]
    reads[index : index + 1] = carried
    regions: list[Region] = []
    for number, region in enumerate(op.regions):
        position = _argument_position(op, number, index)
        if position is None:
            regions.append(region.clone())
            continue
        old = region.block.args
        types = [argument.type for argument in old]
        types[position : position + 1] = [r.compute_type for r in carried]
        block = Block(arg_types=types)
        fresh = list(block.args)
        inner = fresh[position : position + len(carried)]
        computed = inline(stage.body, block, inner, remap)
        if computed is None:
            raise Refusal("an index cannot be expressed over the consumer's domain")
        outer = [*fresh[:position], computed[0], *fresh[position + len(carried) :]]
        results = inline(region, block, outer)
        assert results is not None, "nothing is remapped"
        block.add_op(YieldOp(*results))
        if not carried:
            # A value of positions alone may be read many times; its code stands once in a reader.
            share_equal(block.ops)
        regions.append(Region(block))
    properties: dict[str, Attribute] = {}
    if isinstance(op, ReduceOp) and index in op.visible_ins:
        extras = op.extras.value.data + len(carried) - 1
        properties["extras"] = IntegerAttr(extras, i64)
    if isinstance(op, MiddleOp) and index in op.middle_ins:
        extras = op.middle_extras.value.data + len(carried) - 1
        properties["middle_extras"] = IntegerAttr(extras, i64)
    return rebuilt(
        op,
        ins=[r.base for r in reads],
        in_maps=[r.access for r in reads],
        regions=regions,
        properties=properties,
    )


def _argument_position(op: KernelOp, region: int, index: int) -> int | None:
    """Which argument of a region operand `index` is; None if the region does not see it."""
    visible = op.region_ins(region)
    computed = len(op.computed_arguments(region))
    return computed + visible.index(index) if index in visible else None


# Sums of one number -----------------------------------------------------------------------------


class CountSummands(OpPattern):
    """A sum of integers that are all one number -> that number times the extent.

    A sum of ones is how a graph says the value of a dim.
    """

    roots = (ReduceOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ReduceOp) or op.kind.data is not ReduceKind.SUM:
            return
        owner = op.ins[0].owner
        stage = stage_of(owner)
        if op.value_type != i64 or len(op.reduced_ins) != 1 or stage is None or stage.reads:
            return
        codes = stage.body, op.prologue
        if any(isinstance(scalar, IndexOp) for code in codes for scalar in code.block.ops):
            return
        rest = op.visible_ins
        block = Block(arg_types=[compute_type(element_of(op.ins[i])) for i in rest])
        number = inline(stage.body, block, [])
        summand = None if number is None else inline(op.prologue, block, number)
        assert summand is not None, "nothing is remapped"
        build = ScalarBuilder(block)
        count = dim_product(op.full_domain[len(op.domain) :])
        values = inline(op.epilogue, block, [build.mul(summand[0], build.dim(count)), *block.args])
        assert values is not None, "nothing is remapped"
        block.add_op(YieldOp(*values))
        new = PointwiseOp(
            [op.ins[i] for i in rest],
            op.outs,
            [op.in_access[i] for i in rest],
            op.out_access,
            [Region(block)],
            attributes=dict(op.attributes),
        )
        new.location = joined_location(op, stage.op)
        keep_names(op.res, new.res)
        remark(NAME, "applied", op, "it sums one number: a product with the extent")
        rewriter.replace(op, new, list(new.res))


# Clean-up ---------------------------------------------------------------------------------------


class DropUnusedResults(OpPattern):
    """A kernel op whose result nobody reads does not compute it."""

    roots = (KernelOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, KernelOp) or op.on_buffers:
            return
        used = [i for i, result in enumerate(op.res) if result.uses]
        if len(used) == len(op.res):
            return
        if used and len(op.finished_outs) < len(op.outs):
            return
        if not used:
            rewriter.erase(op)
            return
        regions = [region.clone() for region in op.regions]
        last = regions[-1].block.last_op
        assert last is not None, "only ops with regions have several results"
        operands = [last.operands[i] for i in used]
        regions[-1].block.erase_op(last)
        regions[-1].block.add_op(YieldOp(*operands))
        trimmed = rebuilt(
            op,
            outs=[op.outs[i] for i in used],
            out_maps=[op.out_access[i] for i in used],
            regions=regions,
        )
        results: list[SSAValue | None] = [None] * len(op.res)
        for i, new in zip(used, trimmed.res, strict=True):
            new.name_hint = op.res[i].name_hint
            results[i] = new
        rewriter.replace(op, trimmed, results)


class MergeEqualOperands(OpPattern):
    """An operand that is read twice through one map is one operand."""

    roots = (PointwiseOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, PointwiseOp):
            return
        used = [a.first_use is not None for a in op.body.block.args]
        if all(used) and len(set(map(id, op.ins))) == len(used):
            return
        reads = [Read(v, m) for v, m in zip(op.ins, op.in_access, strict=True)]
        unique = list(dict.fromkeys(r for r, u in zip(reads, used, strict=True) if u))
        if len(unique) == len(reads):
            return
        block = Block(arg_types=[r.compute_type for r in unique])
        arguments = [
            block.args[unique.index(r)] if u else op.body.block.args[i]
            for i, (r, u) in enumerate(zip(reads, used, strict=True))
        ]
        results = inline(op.body, block, arguments)
        assert results is not None, "nothing is remapped"
        block.add_op(YieldOp(*results))
        merged = rebuilt(
            op,
            ins=[r.base for r in unique],
            in_maps=[r.access for r in unique],
            regions=[Region(block)],
        )
        keep_names(op.res, merged.res)
        rewriter.replace(op, merged, list(merged.res))


@dataclass(frozen=True)
class FuseVerticalPass(ModulePass):
    """Fuses pointwise code into the kernels that produce or consume its operands.

    Before: `%h = kernel.gemm ... epilogue { acc }`, `%y = kernel.pointwise ins(%h, %r) ...`
    After:  `%y = kernel.gemm ins(..., %r) ... epilogue { code of both }`

    First, what only copies, widens or scales a factor of a product disappears: the product reads
    what the factor was made from, and scales its sums. Then softmax between gemms is attention, and
    one whose mask hides the keys behind each query is causal: the mask disappears.

    A stage goes into the epilogue of a producer if it reads each element of its result once; a
    result that has other uses becomes one more result, unless the stage's only reader can compute
    the stage of what is stored anyway. Else it goes into the prologue of its consumer, if nothing
    expensive would be computed twice. Copies are stages, so a kernel also writes its result
    permuted. What else reads a sum that a softmax or norm begins with, reads one more result of it.

    Before: `%c = accessor.assemble %a, %b`, `%y = kernel.pointwise ins(%c, %r) ...`
    After:  `%0 = kernel.pointwise ins(%a, %r <part>)`, `%1 = kernel.pointwise ins(%b, %r <part>)`,
            `%y = accessor.assemble %0, %1`

    A stage of a concat is computed piece by piece where that saves copies of pieces that no kernel
    can write in place (the halves that a rotary embedding swaps), or the launch.

    What such a kernel, or another one, computes several times because its operands repeat, it
    computes once; its readers repeat that.

    Two products of one left factor that meet in one epilogue, such as a linear and its gate, are
    one kernel: `kernel.dual_gemm`.

    Last, what needs whole rows of a product is one kernel with it, where the target's kernels hold
    such rows and the cost model says that it pays: a softmax or norm of the rows,
    `kernel.gemm_rowwise`, and a second product, `kernel.back_to_back_gemm`. The model weighs the
    launch and what is not stored in between against blocks of whole rows: there are fewer of them
    than of other tiles, and each reads all of the right factor.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        groups: tuple[list[RewritePattern], ...] = (
            # Literals first: as operands they would be kernels of their own.
            [CountSummands(), FuseIntoConsumer(target, literals_only=True)],
            # Scales and copies of factors next, before they are code of what computes the factors.
            [FoldPreparations(target, NAME)],
            [MergeEqualOperands(), FuseIntoProducer(target)],
            [FuseAttention(target, NAME), FoldPreparations(target, NAME)],
            [HideLaterKeys(target, NAME)],
            # After it: a score that is a sum of two products belongs to its attention.
            [FuseGemmPair(target, NAME), FuseColumnHalves(target, NAME)],
            [MergeEqualOperands(), FuseIntoConsumer(target), FuseIntoProducer(target)],
            # Then only: a kernel that is taken apart goes into no consumer any more.
            [SinkThroughAssemble(target, NAME)],
            [ComputeRepeatedOnce(target, NAME)],
            [MergeEqualOperands(), FuseIntoConsumer(target), FuseIntoProducer(target)],
            [StoreBeside(target)],
            # Last: whatever can be code of the row operation, or of the product, is by now.
            [FuseGemmRowwise(target, NAME)],
            [FuseBackToBack(target, NAME)],
            [DropUnusedResults(), MergeEqualOperands()],
        )
        erase_unused(op)  # what nothing reads must not count as a use of what it reads
        for patterns in groups:
            if rewrite_all(op, *patterns):
                erase_unused(op)
