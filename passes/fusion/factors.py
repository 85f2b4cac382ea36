"""What only copies, widens or scales the factors of products disappears into the products.

A scale commutes with the sum, so it becomes code of the gemm's epilogue or of the score region: its
factor is then what computed it, and may merge with siblings. Two factors that were both widened
from i8 are read as they are: products of integers are exact. A copy is read through by splitting
batch dims: heads that are repeated for grouped queries have a dim with stride 0, which no map over
all heads could express.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import AnyFloat, FloatAttr, f32, i8
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import AttentionOp, GemmOp, KernelOp, YieldOp
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of, exact_div
from ait.passes.fusion.attention import Batched, with_four_dims
from ait.passes.fusion.rebuild import rebuilt, split_domain, split_map, splits_for
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location
from ait.passes.regions import Remap, inline, is_identity
from ait.passes.remarks import describe, remark
from ait.passes.stages import Stage, stage_of
from ait.passes.target import TargetInfo

_MODERATE = 2.0**16
"""Scales up to this, and their inverses, leave sums of products within f32 on either side."""


@dataclass(frozen=True)
class Preparation:
    """A stage whose only operand can be read instead of its result, `code` being applied later."""

    stage: Stage
    order: tuple[int, ...]
    """The stage's dims in the order of the result's storage."""
    code: Region | None
    """How the stage scales; None if it only moves or widens."""

    @property
    def source(self) -> Read:
        """The operand, over the dims of the result's storage."""
        found = self.stage.reads[0]
        return Read(found.base, found.access.permute(self.order))

    def through(self, access: AccessMap) -> AccessMap | None:
        """A map to the result's storage as one to the operand's."""
        return access.compose(self.source.access)

    def splits(self, access: AccessMap) -> dict[int, list[Dim]]:
        """How the dims of such a map must split for `through`."""
        if self.through(access) is not None:
            return {}
        return splits_for(access, self.source.access.sizes)


def preparation_of(value: SSAValue) -> Preparation | None:
    """The stage that prepares a factor; None if it does more."""
    stage = stage_of(value.owner) if isinstance(value.owner, Operation) else None
    if stage is None or len(stage.results) != 1 or len(stage.reads) != 1:
        return None
    out = stage.out_access[0]
    order = out.order_as_storage() if out.covers(dim_product(dims_of(value))) else None
    if order is None or not _widens(stage.reads[0].element, element_of(value)):
        return None
    if stage.moves_only or is_identity(stage.body):
        return Preparation(stage, order, None)
    if not isinstance(element_of(value), AnyFloat):
        return None
    body = stage.body if stage.reads[0].element != i8 else _after_widening(stage.body)
    if body is None or is_identity(body):
        return None if body is None else Preparation(stage, order, None)
    return Preparation(stage, order, body) if _is_scale(body) else None


def _after_widening(body: Region) -> Region | None:
    """A region of an i8 as one of the f32 that it begins with making of it; None for any other."""
    (argument,) = body.block.args
    first = argument.get_user_of_unique_use()
    if not isinstance(first, arith.SIToFPOp) or first.result.type != f32:
        return None
    # Rounding to another float and back changes no i8.
    widened, steps = first.result, [first]
    while isinstance(rounding := widened.get_user_of_unique_use(), arith.TruncFOp):
        back = rounding.result.get_user_of_unique_use()
        if not isinstance(back, arith.ExtFOp) or back.result.type != f32:
            break
        widened, steps = back.result, [*steps, rounding, back]
    block = Block(arg_types=[f32])
    values: dict[SSAValue, SSAValue] = {widened: block.args[0]}
    for op in body.block.ops:
        if op not in steps:
            block.add_op(op.clone(values))
    return Region(block)


def _widens(given: Attribute, wanted: Attribute) -> bool:
    """Whether each value of one type is one of the other."""
    if given == wanted:
        return True
    if not isinstance(wanted, AnyFloat):
        return False
    # Every float has the eight bits of mantissa of an i8.
    return given == i8 or (isinstance(given, AnyFloat) and given.bitwidth < wanted.bitwidth)


def _is_scale(body: Region) -> bool:
    """Whether a region multiplies its one argument by literals of moderate size."""
    last = body.block.last_op
    assert isinstance(last, YieldOp), "a region ends in kernel.yield"
    value, total = last.values[0], 1.0
    while value is not body.block.args[0]:
        step = _scaled(value)
        if step is None:
            return False
        value, factor = step
        total *= factor
    return 1 / _MODERATE <= abs(total) <= _MODERATE


def _scaled(value: SSAValue) -> tuple[SSAValue, float] | None:
    """A value as another one times a number."""
    match value.owner:
        case arith.NegfOp() as op:
            return op.operand, -1.0
        case arith.MulfOp() as op:
            for x, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
                number = _number(other)
                if number is not None:
                    return x, number
        case arith.DivfOp() as op:
            number = _number(op.rhs)
            if number:
                return op.lhs, 1 / number
        case _:
            pass
    return None


def _number(value: SSAValue) -> float | None:
    constant = value.owner
    if isinstance(constant, arith.ConstantOp) and isinstance(constant.value, FloatAttr):
        return constant.value.value.data
    return None


# Into a gemm ------------------------------------------------------------------------------------


def _with_scale(region: Region, scale: Region | None, remap: Remap | None = None) -> Region | None:
    """A region whose first argument is scaled before its own code runs."""
    block = Block(arg_types=[argument.type for argument in region.block.args])
    arguments: list[SSAValue] = list(block.args)
    if scale is not None:
        scaled = inline(scale, block, arguments[:1])
        assert scaled is not None, "nothing is remapped"
        arguments[:1] = scaled
    values = inline(region, block, arguments, remap)
    if values is None:
        return None
    block.add_op(YieldOp(*values))
    return Region(block)


def gemm_without(op: GemmOp, index: int, prepared: Preparation) -> KernelOp | None:
    """`op` with the source of a factor for the factor; None if no map over its domain, of which
    batch dims may be split, reads it."""
    factors = prepared.splits(op.in_access[index])
    batch = op.group_ranks[0]
    if any(dim >= batch for dim in factors):
        return None
    split = split_domain(op, factors) if factors else None
    whole = split or op
    access = prepared.through(whole.in_access[index])
    epilogue = _with_scale(whole.regions[0], prepared.code)
    assert epilogue is not None, "nothing is remapped"
    new = None
    if access is not None:
        ins, maps = list(whole.ins), list(whole.in_access)
        ins[index], maps[index] = prepared.source.base, access
        new = rebuilt(whole, ins=ins, in_maps=maps, regions=[epilogue])
    if split is not None:
        split.erase()
    return new


def _gemm_of_integers(op: GemmOp, prepared: dict[int, Preparation]) -> KernelOp | None:
    """`op` with the sources of both factors, which are i8."""
    left = gemm_without(op, 0, prepared[0])
    if not isinstance(left, GemmOp):
        return None
    # The batch dims that the left factor split may be others for the right one.
    both = gemm_without(left, 1, prepared[1])
    left.erase()
    return both


# Into an attention ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Opened:
    """The accesses of an attention over more batch dims than its two."""

    batched: Batched
    code: Callable[[AccessMap], AccessMap]
    """Carries a map over the attention's [batch, head] and two more dims there."""

    def split(self, factors: dict[int, list[Dim]]) -> _Opened:
        def split(access: AccessMap) -> AccessMap:
            return split_map(access, factors)

        return _Opened(self.batched.mapped(split), lambda access: split(self.code(access)))


def _opened(op: AttentionOp) -> _Opened | None:
    """An attention with a dim of its own for queries' heads that share a head of keys."""
    q, k, v, *extras = op.in_access
    groups, heads = k.sizes[1], q.sizes[1]
    times = exact_div(heads, groups)
    if times is None:
        return None

    def split(access: AccessMap) -> AccessMap:
        return split_map(access, {1: [groups, times]})

    def repeat(access: AccessMap) -> AccessMap:
        sizes, strides = access.sizes, access.strides
        sizes, strides = (*sizes[:2], times, *sizes[2:]), (*strides[:2], 0, *strides[2:])
        return AccessMap(access.offset, sizes, strides)

    accesses = split(q), repeat(k), repeat(v), split(op.out_access[0])
    return _Opened(Batched(*accesses, tuple(map(split, extras))), split)


def attention_without(op: AttentionOp, prepared: dict[int, Preparation]) -> AttentionOp | None:
    """`op` with the sources of some of q, k and v for these; None if it cannot read them."""
    opened = _opened(op)
    if opened is None:
        return None
    for index, preparation in prepared.items():
        factors = preparation.splits(opened.batched.factors[index])
        if any(dim >= opened.batched.rank for dim in factors):
            return None
        opened = opened.split(factors)
    accesses = list(opened.batched.factors)
    ins, score = list(op.ins), op.score
    for index, preparation in prepared.items():
        access = preparation.through(accesses[index])
        if access is None:
            return None
        ins[index], accesses[index] = preparation.source.base, access
    q, k, v = accesses
    found = with_four_dims(replace(opened.batched, q=q, k=k, v=v))
    if found is None:
        return None
    heads, merged = found
    code = opened.code
    region = _with_scale(score, None, lambda access: heads.merge(code(access)))
    for preparation in prepared.values():
        region = None if region is None else _with_scale(region, preparation.code)
    if region is None:
        return None
    return cast(
        AttentionOp,
        rebuilt(
            op,
            ins=ins,
            in_maps=[*merged.factors, *merged.extras],
            out_maps=[merged.out],
            regions=[region],
        ),
    )


# The pattern ------------------------------------------------------------------------------------

_ATTENDED = ((0, 1, 2), (1, 2), (0,), (1,), (2,))
"""Sets of operands of an attention whose preparations may go together: keys and values whose heads
repeat must."""


def _accepts(user: Operation, index: int, scaled: bool) -> bool:
    """Whether operand `index` of an op is a factor that may be scaled, or replaced, here."""
    if isinstance(user, GemmOp):
        return index < 2
    return isinstance(user, AttentionOp) and index < (2 if scaled else 3)


def _found(op: GemmOp | AttentionOp, index: int) -> Preparation | None:
    """The preparation of an operand if it is to go.

    What computes must have no other use: it would run all the same.
    """
    prepared = preparation_of(op.ins[index])
    scaled = prepared is not None and prepared.code is not None
    if prepared is None or not _accepts(op, index, scaled):
        return None
    if prepared.source.element == i8 and not isinstance(op, GemmOp):
        return None
    uses = op.ins[index].uses
    if prepared.stage.moves_only or all(_accepts(u.operation, u.index, scaled) for u in uses):
        return prepared
    return None


class FoldPreparations(RewritePattern):
    """A gemm or attention of a copied, widened or scaled factor -> one of what that was made from,
    with the scale as its own code."""

    def __init__(self, target: TargetInfo, pass_name: str):
        self.target = target
        self.pass_name = pass_name
        gemm = target.capabilities.of(GemmOp)
        self.multiplies_integers = gemm is not None and gemm.integers

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, GemmOp | AttentionOp):
            return
        refusals: dict[Operation, str] = {}
        for prepared, new in _attempts(op, self.multiplies_integers):
            reason = "no map over its domain reaches what was copied"
            if new is not None:
                refusal = self.target.refusal(new)
                if refusal is None:
                    self._replace(op, new, prepared, rewriter)
                    return
                reason = refusal
                new.erase()
            refusals.update((p.stage.op, reason) for p in prepared)
        for stage, reason in refusals.items():
            remark(self.pass_name, "missed", stage, f"not folded into {describe(op)}: {reason}")

    def _replace(
        self,
        op: KernelOp,
        new: KernelOp,
        prepared: Sequence[Preparation],
        rewriter: PatternRewriter,
    ) -> None:
        for preparation in prepared:
            what = "copies" if preparation.code is None else "scales"
            message = f"{describe(op)} reads what it {what}"
            remark(self.pass_name, "applied", preparation.stage.op, message)
        new.location = joined_location(op, *(p.stage.op for p in prepared))
        for old, result in zip(op.res, new.res, strict=True):
            result.name_hint = old.name_hint
        rewriter.replace(op, new, list(new.res))
        for stage in dict.fromkeys(p.stage.op for p in prepared):
            if not any(result.uses for result in stage.results):
                rewriter.erase(stage)


def _attempts(
    op: GemmOp | AttentionOp, multiplies_integers: bool
) -> Iterator[tuple[Sequence[Preparation], KernelOp | None]]:
    """What may go, and the op without it or None."""
    factors = 2 if isinstance(op, GemmOp) else 3
    found = {i: p for i in range(factors) if (p := _found(op, i)) is not None}
    if isinstance(op, GemmOp):
        integers = [i for i, p in found.items() if p.source.element == i8]
        if len(integers) == 2 and multiplies_integers:
            yield list(found.values()), _gemm_of_integers(op, found)
        for index, prepared in found.items():
            if index not in integers or element_of(op.ins[index]) == i8:
                yield [prepared], gemm_without(op, index, prepared)
        return
    for together in _ATTENDED:
        if all(i in found for i in together):
            chosen = {i: found[i] for i in together}
            yield list(chosen.values()), attention_without(op, chosen)
