"""Attention whose mask hides the keys behind each query: causal, so that kernels skip them.

However a mask is written, it is code over positions by now. The score region is evaluated on either
side of the diagonal of `causal`: if no key beyond it has a weight, the op is causal, and its region
is what remains on the near side. So masks vanish, and of several only the others are left.

A key has no weight if its score is -inf. One with a finite score, such as -1e9, has none if it is
so far below the scores of keys that are seen that softmax gives it 0. So -1e4 hides keys in f16,
but not in f32, where scores of that size still say something; and where another mask may have
hidden all keys that a query sees, with no lower number, it sees the others too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from xdsl.dialects import math
from xdsl.dialects.builtin import UnitAttr, f32
from xdsl.ir import Attribute, Block, Operation, OpResult, Region
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import AttentionOp, IndexOp, YieldOp
from ait.dialects.symbolic import Dim, dim_product, element_of, provably_le
from ait.passes.fusion.legality import Refusal, capability, check_limits, covers_storage
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.lowering.launch import Read
from ait.passes.origins import joined_location, keep_names
from ait.passes.positions import (
    BITS,
    Evaluation,
    RawScore,
    extent_of,
    remaining,
    side_hidden,
    side_seen,
)
from ait.passes.regions import inline
from ait.passes.remarks import remark
from ait.passes.stages import Stage, stage_of

_VANISHES = 104.0
"""`exp(-104)` is 0 in f32."""


# Score regions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """The code of an attention's scores: its first argument is the product, the others `reads`."""

    reads: tuple[Read, ...]
    region: Region
    made: tuple[Operation, ...] = ()
    """The kernels whose code is in the region too, instead of their results."""

    @staticmethod
    def of(op: AttentionOp) -> Score:
        pairs = zip(op.ins[3:], op.in_access[3:], strict=True)
        return Score(tuple(Read(v, m) for v, m in pairs), op.score)

    def computing(self, position: int, stage: Stage) -> Score | None:
        """The same with an operand computed here; None if the stage's operands cannot be read."""
        own = self.reads[position]
        assert isinstance(own.base, OpResult), "a stage has results"
        out = stage.out_access[own.base.index]
        order = out.order_as_storage() if covers_storage(own.base, out) else None
        if order is None:
            return None

        def remap(access: AccessMap) -> AccessMap | None:
            return own.access.compose(access.permute(order))

        carried = [(r.base, remap(r.access)) for r in stage.reads]
        found = [Read(base, access) for base, access in carried if access is not None]
        if len(found) < len(carried):
            return None
        reads = [*self.reads[:position], *found, *self.reads[position + 1 :]]
        first = self.region.block.args[0].type
        block = Block(arg_types=[first, *(r.compute_type for r in reads)])
        fresh = list(block.args)
        start, end = position + 1, position + 1 + len(found)
        computed = inline(stage.body, block, fresh[start:end], remap)
        if computed is None:
            return None
        arguments = [*fresh[:start], computed[own.base.index], *fresh[end:]]
        yielded = inline(self.region, block, arguments)
        assert yielded is not None, "nothing is remapped"
        block.add_op(YieldOp(*yielded))
        return Score(tuple(reads), Region(block), (*self.made, stage.op))

    def opened(self, op: AttentionOp) -> Score:
        """The same with the code of all pointwise kernels that compute its operands."""
        score = self
        for _ in range(_MOST_STAGES):
            for position, source in enumerate(score.reads):
                owner = source.base.owner
                stage = stage_of(owner)
                if stage is None or stage.op.parent is not op.parent:
                    continue
                computing = score.computing(position, stage)
                if computing is not None:
                    score = computing
                    break
            else:
                return score
        return score

    @property
    def asks_positions(self) -> bool:
        return any(isinstance(op, IndexOp) for op in self.region.block.ops)

    @property
    def functions(self) -> int:
        return sum(op.dialect_name() == math.Math.name for op in self.region.block.ops)

    @property
    def footprint(self) -> Dim:
        """How many elements are read, each counted once."""
        total: Dim = 0
        for access in (r.access for r in self.reads):
            steps = zip(access.sizes, access.strides, strict=True)
            total = total + dim_product([size for size, stride in steps if stride != 0])
        return total


_MOST_STAGES = 8
"""How many kernels are opened: masks have few."""


def near_side(score: Score, rows: Dim, columns: Dim) -> Score:
    """The score of keys that are seen."""
    region, kept = remaining(score.region, Evaluation(side_seen(rows, columns)))
    return Score(tuple(score.reads[i - 1] for i in kept if i > 0), region, score.made)


# Weights of hidden keys -----------------------------------------------------------------------


def why_far_side_counts(score: Score, bits: int, rows: Dim, columns: Dim) -> str | None:
    """Why keys behind the diagonal may have a weight; None if they have none.

    `bits` is the precision of the factors of scores.
    """
    last = score.region.block.last_op
    assert isinstance(last, YieldOp), "a region ends in kernel.yield"
    (value,), product = last.values, RawScore(score.region.block.args[0], bits)
    far = Evaluation(side_hidden(rows, columns))
    highest = extent_of(far.of(value), far, product).high
    if highest == -inf:
        return None
    if highest == inf:
        return "the mask does not hide them"
    near = Evaluation(side_seen(rows, columns))
    lowest = extent_of(near.of(value), near, product).low
    if lowest - highest < _VANISHES:
        return f"their scores are up to {highest:g}, those of keys that are seen down to {lowest:g}"
    if not provably_le(rows, columns):
        return "a query that sees no key would see them all"
    return None


# The pattern ----------------------------------------------------------------------------------


class HideLaterKeys(FusionPattern):
    """attention with a mask that hides the keys behind each query -> causal attention.

    A mask that a kernel of its own computes, for several attentions say, is looked through: it is
    read no more if what is left of it needs fewer elements.
    """

    roots = (AttentionOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, AttentionOp) or op.causal is not None:
            return
        rows, columns = op.score_domain[2:]
        if rows == 1:
            return  # the last query sees all keys
        own = Score.of(op)
        opened = own if not own.reads else own.opened(op)
        if not opened.asks_positions:
            return
        bits = min(BITS.get(element_of(factor), BITS[f32]) for factor in op.ins[:2])
        reason = why_far_side_counts(opened, bits, rows, columns)
        new = None
        if reason is None:
            new, reason = self._causal(op, own, near_side(opened, rows, columns))
        if new is None:
            remark(self.pass_name, "missed", op, f"keys behind each query stay: {reason}")
            return
        remark(self.pass_name, "applied", op, "its mask hides the keys behind each query")
        keep_names(op.res, new.res)
        rewriter.replace(op, new, list(new.res))

    def _causal(
        self, op: AttentionOp, own: Score, near: Score
    ) -> tuple[AttentionOp | None, str | None]:
        """The causal op: with what is left of its masks, or with its own operands."""
        reason: str | None = None
        choices = [near] if _is_cheaper(near, own) else []
        for score in (*choices, own):
            try:
                new = _with_score(op, score)
                check_limits(new, capability(self.target, AttentionOp))
            except Refusal as refusal:
                reason = str(refusal)
                continue
            reason = self.target.refusal(new)
            if reason is None:
                return new, None
            new.erase()
        return None, reason


def _is_cheaper(near: Score, own: Score) -> bool:
    """Whether what is left of masks reads no more than the masks themselves."""
    return near.functions <= own.functions and provably_le(near.footprint, own.footprint)


def _with_score(op: AttentionOp, score: Score) -> AttentionOp:
    """The causal op with other code and other operands of it."""
    properties: dict[str, Attribute] = {"causal": UnitAttr()}
    new = rebuilt(
        op,
        ins=[*op.ins[:3], *(r.base for r in score.reads)],
        in_maps=[*op.in_access[:3], *(r.access for r in score.reads)],
        regions=[score.region.clone()],
        properties=properties,
    )
    assert isinstance(new, AttentionOp)
    new.location = joined_location(op, *score.made)
    return new
