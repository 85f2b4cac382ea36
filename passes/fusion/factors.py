"""What only copies, widens or scales the factors of products disappears into the products.

A scale commutes with the sum, so it becomes code of the gemm's epilogue or of the score region: its
factor is then what computed it, and may merge with siblings. Two factors that were both made of
numbers of 8 bits are read as these are, if the target multiplies them: i8, whose products are
exact, or f8E4M3FN. Their scales may be tensors, one number for each row or column. A copy is read
through by splitting batch dims: heads that are repeated for grouped queries have a dim with stride
0, which no map over all heads could express.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import AnyFloat, FloatAttr, f32, i8
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import AttentionOp, GemmOp, IndexOp, KernelOp, YieldOp
from ait.dialects.symbolic import Dim, dim_product, dims_of, element_of, exact_div
from ait.passes.fusion.attention import Batched, with_four_dims
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import dims_of_operand, rebuilt, split_domain, split_map, splits_for
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location, keep_names
from ait.passes.regions import Remap, identity_region, inline, is_identity, only_rounds
from ait.passes.remarks import describe, remark
from ait.passes.search import first_path
from ait.passes.stages import Stage, stage_of
from ait.passes.target import TargetInfo, is_narrow

_MODERATE = 2.0**16
"""Scales up to this, and their inverses, leave sums of products within f32 on either side."""


@dataclass(frozen=True)
class Preparation:
    """A stage of which an operand can be read instead of its result, `code` being applied later."""

    stage: Stage
    order: tuple[int, ...]
    """The stage's dims in the order of the result's storage."""
    code: Region | None
    """How the stage scales, from all of its operands; None if it only moves or widens."""
    position: int = 0
    """Of that operand; the others are scales."""

    @property
    def source(self) -> Read:
        """The operand, over the dims of the result's storage."""
        return self._read(self.position)

    @property
    def scales(self) -> list[Read]:
        """The other operands, over the same dims."""
        return [self._read(i) for i in range(len(self.stage.reads)) if i != self.position]

    def scaled(self, block: Block, value: SSAValue, scales: Sequence[SSAValue]) -> SSAValue:
        """What the stage makes of a value, as code in a block."""
        if self.code is None:
            return value
        arguments = [*scales[: self.position], value, *scales[self.position :]]
        results = inline(self.code, block, arguments)
        assert results is not None, "nothing is remapped"
        return results[0]

    def _read(self, position: int) -> Read:
        found = self.stage.reads[position]
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
    """The stage of one operand that prepares a factor; None if it does more."""
    found = list(_preparations(value, of_narrow=False))
    return found[0] if found and not found[0].scales else None


def _preparations(value: SSAValue, of_narrow: bool) -> Iterator[Preparation]:
    """The ways to see what computes a value as one of its operands, scaled by the others.

    `of_narrow`: as a step of what is made of numbers of 8 bits. Sums of their products are far from
    the limits of f32, however they are scaled, and what a step is rounded to may be left out.
    """
    stage = stage_of(value.owner)
    if stage is None or len(stage.results) != 1:
        return
    out = stage.out_access[0]
    order = out.order_as_storage() if out.covers(dim_product(dims_of(value))) else None
    if order is None:
        return
    for position, given in enumerate(stage.reads):
        accepts = _dequantises if of_narrow else _widens
        if accepts(given.element, element_of(value)):
            code = _code_of(stage, position)
            if code is not None and (of_narrow or _is_moderate(code)):
                yield Preparation(stage, order, None if is_identity(code) else code, position)


def _code_of(stage: Stage, position: int) -> Region | None:
    """The region of a stage that only moves, widens or scales an operand; None for any other."""
    if stage.moves_only or is_identity(stage.body):
        return stage.body if position == 0 else None
    element = element_of(stage.results[0])
    if not isinstance(element, AnyFloat):
        return None
    body = stage.body
    if len(stage.reads) == 1 and only_rounds(body, element):
        return identity_region([stage.reads[0].compute_type])
    if len(stage.reads) == 1 and is_narrow(stage.reads[0].element):
        widened = _after_widening(body, stage.reads[0].element)
        if widened is None:
            return None
        body = widened
    return body if is_identity(body) or _is_scale(body, position) else None


def _is_moderate(code: Region) -> bool:
    """Whether the literals of a scale are of moderate size."""
    total = 1.0
    for op in code.block.ops:
        number = _factor_of(op)
        total *= 1.0 if number is None else number
    return 1 / _MODERATE <= abs(total) <= _MODERATE


def _factor_of(op: Operation) -> float | None:
    """The literal that an op multiplies by, if it does."""
    match op:
        case arith.MulfOp():
            return next((n for n in map(_number, op.operands) if n is not None), None)
        case arith.DivfOp():
            number = _number(op.rhs)
            return 1 / number if number else number
        case _:
            return None


def _after_widening(body: Region, narrow: Attribute) -> Region | None:
    """A region of a number of 8 bits as one of the f32 that it begins with making of it; None for
    any other."""
    (argument,) = body.block.args
    widened: SSAValue = argument
    steps: list[Operation] = []
    if argument.type != f32:
        first = argument.get_user_of_unique_use()
        if not isinstance(first, arith.SIToFPOp) or first.result.type != f32:
            return None
        widened, steps = first.result, [first]
    # Rounding to a wider float and back changes nothing.
    while isinstance(rounding := widened.get_user_of_unique_use(), arith.TruncFOp):
        back = rounding.result.get_user_of_unique_use()
        exact = _widens(narrow, rounding.result.type)
        if not exact or not isinstance(back, arith.ExtFOp) or back.result.type != f32:
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
    if given == i8:
        return wanted.bitwidth > 8  # such floats have its eight bits of mantissa
    return isinstance(given, AnyFloat) and given.bitwidth < wanted.bitwidth


def _is_scale(body: Region, position: int) -> bool:
    """Whether a region multiplies one of its arguments by numbers and by the others, at the same
    index."""
    argument = body.block.args[position]
    made: set[SSAValue] = {argument}
    for op in body.block.ops:
        if isinstance(op, IndexOp):
            return False
        if not made.isdisjoint(op.operands):
            made.update(op.results)
    last = body.block.last_op
    assert isinstance(last, YieldOp), "a region ends in kernel.yield"
    value: SSAValue | None = last.values[0]
    while value is not None and value is not argument:
        value = _unscaled(value, made)
    return value is argument


def _unscaled(value: SSAValue, made: set[SSAValue]) -> SSAValue | None:
    """The one of `made` that a value is, times something that is not."""
    match value.owner:
        case arith.NegfOp() as op:
            return op.operand
        case arith.MulfOp() as op if (op.lhs in made) != (op.rhs in made):
            return op.lhs if op.lhs in made else op.rhs
        case arith.DivfOp() as op if op.rhs not in made and _number(op.rhs) != 0:
            return op.lhs
        case _:
            return None


def _number(value: SSAValue) -> float | None:
    constant = value.owner
    if isinstance(constant, arith.ConstantOp) and isinstance(constant.value, FloatAttr):
        return constant.value.value.data
    return None


# Into a gemm ------------------------------------------------------------------------------------


def _with_scale(region: Region, prepared: Preparation | None, remap: Remap | None) -> Region | None:
    """A region whose first argument is scaled before its own code runs. Scales that are operands
    are its last arguments."""
    scales = [] if prepared is None else prepared.scales
    own = [argument.type for argument in region.block.args]
    block = Block(arg_types=[*own, *(scale.compute_type for scale in scales)])
    arguments = list[SSAValue](block.args[: len(own)])
    if prepared is not None:
        arguments[0] = prepared.scaled(block, arguments[0], block.args[len(own) :])
    values = inline(region, block, arguments, remap)
    if values is None:
        return None
    block.add_op(YieldOp(*values))
    return Region(block)


def gemm_without(op: GemmOp, index: int, prepared: Preparation) -> GemmOp | None:
    """`op` with the source of a factor for the factor; None if no map over its domain, of which
    batch dims may be split, reads it, or a scale varies along k."""
    factors = prepared.splits(op.in_access[index])
    batch = op.group_ranks[0]
    if any(dim >= batch for dim in factors):
        return None
    split = split_domain(op, factors) if factors else None
    whole = split or op
    assert isinstance(whole, GemmOp)
    access = prepared.through(whole.in_access[index])
    scales = [_of_results(whole, index, scale) for scale in prepared.scales]
    epilogue = _with_scale(whole.regions[0], prepared, None)
    assert epilogue is not None, "nothing is remapped"
    new = None
    if access is not None and None not in scales:
        ins = list[SSAValue](whole.ins)
        maps = list(whole.in_access)
        ins[index], maps[index] = prepared.source.base, access
        ins += [scale.base for scale in prepared.scales]
        maps += [scale for scale in scales if scale is not None]
        new = rebuilt(whole, ins=ins, in_maps=maps, regions=[epilogue])
        assert isinstance(new, GemmOp)
    if split is not None:
        split.erase()
    return new


def _of_results(op: GemmOp, index: int, scale: Read) -> AccessMap | None:
    """How the results of a product reach a scale of one of its factors, which is given over the
    factor's storage; None if it varies along k."""
    access = op.in_access[index].compose(scale.access)
    positions = dims_of_operand(op, index)
    if access is None or positions is None:
        return None
    if any(stride != 0 for i, stride in enumerate(access.strides) if i not in positions):
        return None
    strides = tuple(0 if i is None else access.strides[i] for i in positions)
    return AccessMap(access.offset, tuple(op.domain), strides)


def _dequantisation(value: SSAValue) -> list[Preparation]:
    """The stages, the last one first, that make a factor of numbers of 8 bits by moving, widening
    and scaling; none if it is made in another way."""
    return first_path(value, _steps_of_dequantisation)


def _steps_of_dequantisation(value: SSAValue) -> Iterator[tuple[Preparation, SSAValue | None]]:
    for prepared in _preparations(value, of_narrow=True):
        widens = is_narrow(prepared.source.element) and not is_narrow(element_of(value))
        yield prepared, None if widens else prepared.source.base


def _dequantises(given: Attribute, wanted: Attribute) -> bool:
    """Whether a step of a dequantisation may be left out: results of a step are rounded to what it
    is stored as, those of a product that scales its sums are not."""
    floats = isinstance(given, AnyFloat) and isinstance(wanted, AnyFloat)
    return _widens(given, wanted) or (floats and not is_narrow(given) and not is_narrow(wanted))


def _narrow_gemm(op: GemmOp, chains: Sequence[Sequence[Preparation]]) -> GemmOp | None:
    """`op` with the numbers of 8 bits that both factors were made of."""
    new: GemmOp | None = op
    for index, chain in enumerate(chains):
        for prepared in chain:
            # The batch dims that were split before may be others for this one.
            last, new = new, gemm_without(new, index, prepared)
            if last is not op:
                last.erase()
            if new is None:
                return None
    return new


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
        region = None if region is None else _with_scale(region, preparation, None)
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
    if is_narrow(prepared.source.element) and not isinstance(op, GemmOp):
        return None
    uses = op.ins[index].uses
    if prepared.stage.moves_only or all(_accepts(u.operation, u.index, scaled) for u in uses):
        return prepared
    return None


class FoldPreparations(FusionPattern):
    """A gemm or attention of a copied, widened or scaled factor -> one of what that was made from,
    with the scale as its own code."""

    roots = (GemmOp, AttentionOp)

    def __init__(self, target: TargetInfo, pass_name: str):
        super().__init__(target, pass_name)
        gemm = target.capabilities.of(GemmOp)
        self.narrow = frozenset[str]() if gemm is None else gemm.narrow_factors

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, GemmOp | AttentionOp):
            return
        refusals: dict[Operation, str] = {}
        for prepared, new in _attempts(op, self.narrow):
            reason = "no map over its domain reaches what was copied"
            if new is not None:
                refusal = self._refusal(new)
                if refusal is None:
                    self._replace(op, new, prepared, rewriter)
                    return
                reason = refusal
                new.erase()
            refusals.update((p.stage.op, reason) for p in prepared)
        for stage, reason in refusals.items():
            remark(self.pass_name, "missed", stage, f"not folded into {describe(op)}: {reason}")

    def _refusal(self, new: KernelOp) -> str | None:
        row = self.target.capabilities.of(new)
        if row is not None and len(new.ins) > row.max_ins:
            return f"{len(new.ins)} operands are more than {row.max_ins}"
        return self.target.refusal(new)

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
        keep_names(op.res, new.res)
        rewriter.replace(op, new, list(new.res))
        for stage in dict.fromkeys(p.stage.op for p in prepared):
            if not any(result.uses for result in stage.results):
                rewriter.erase(stage)


def _attempts(
    op: GemmOp | AttentionOp, narrow: frozenset[str]
) -> Iterator[tuple[Sequence[Preparation], KernelOp | None]]:
    """What may go, and the op without it or None. `narrow`: types of 8 bits that are multiplied."""
    factors = 2 if isinstance(op, GemmOp) else 3
    found = {i: p for i in range(factors) if (p := _found(op, i)) is not None}
    if isinstance(op, GemmOp):
        chains = [_dequantisation(op.ins[i]) for i in range(2)]
        elements = {chain[-1].source.element if chain else None for chain in chains}
        if len(elements) == 1 and str(elements.pop()) in narrow:
            yield [p for chain in chains for p in chain], _narrow_gemm(op, chains)
        for index, prepared in found.items():
            if not is_narrow(prepared.source.element) or is_narrow(element_of(op.ins[index])):
                yield [prepared], gemm_without(op, index, prepared)
        return
    for together in _ATTENDED:
        if all(i in found for i in together):
            chosen = {i: found[i] for i in together}
            yield list(chosen.values()), attention_without(op, chosen)
