"""A convolution and the pool of its result, in one kernel, which stores only what was pooled."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.kernel import ConvOp, ConvPoolOp, EmptyOp, PoolOp
from ait.dialects.symbolic import element_of
from ait.passes.cost import SURE_GAIN, expected_seconds, microseconds
from ait.passes.fusion.legality import Refusal, capability, check_limits, check_runs
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.origins import joined_location, keep_names
from ait.passes.remarks import describe, remark


@dataclass(frozen=True)
class _Pair:
    """A convolution, and the one pool that reads its result."""

    conv: ConvOp
    pool: PoolOp


def _pair_of(conv: ConvOp, pool: PoolOp) -> _Pair:
    """The two as a pair. Raises Refusal."""
    if conv.parent is not pool.parent:
        raise Refusal("it is computed elsewhere")
    if len(conv.outs) != 1 or not conv.res[0].has_one_use():
        raise Refusal("others read its results too")
    if not isinstance(conv.outs[0].owner, EmptyOp):
        raise Refusal("it writes into a larger tensor")
    if element_of(conv.outs[0]) != element_of(conv.ins[0]):
        raise Refusal("its result has another type than its input")
    if conv.out_access[0] != pool.in_access[0]:
        raise Refusal("the pool does not read each pixel as it was written")
    if conv.input_dilations is not None:
        raise Refusal("its input has zeros between pixels")
    if pool.adaptive is not None or set(pool.dilations.get_values()) != {1}:
        raise Refusal("the windows differ in size, or have holes")
    return _Pair(conv, pool)


def build_conv_pool(pair: _Pair) -> ConvPoolOp:
    """The one kernel that does what the pair does, in no block yet. Raises Refusal."""
    conv, pool = pair.conv, pair.pool
    own = conv.visible_ins
    properties: dict[str, Attribute | None] = {
        "strides": conv.strides,
        "padding": conv.padding,
        "dilations": conv.dilations,
        "groups": conv.groups,
        "kind": pool.kind,
        "kernel": pool.kernel,
        "pool_strides": pool.strides,
        "pool_padding": pool.padding,
        "count_include_pad": pool.count_include_pad,
        "middle_extras": IntegerAttr(len(own), i64),
    }
    fused = ConvPoolOp(
        [*conv.ins, *pool.ins[1:]],
        pool.outs,
        [*conv.in_access, *pool.in_access[1:]],
        pool.out_access,
        [conv.epilogue.clone(), pool.epilogue.clone()],
        properties,
        {**pool.attributes, **conv.attributes},
    )
    if fused.middle_domain != conv.domain:
        fused.erase()
        raise Refusal("its pixels are not all that its windows have")
    return fused


class FuseConvPool(FusionPattern):
    """conv A; pool B of A's result, for B alone -> conv_pool."""

    roots = (PoolOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, PoolOp):
            return
        source: SSAValue = op.ins[0]
        if not isinstance(source.owner, ConvOp):
            return
        conv = source.owner
        try:
            fused, profit = self._fuse(_pair_of(conv, op))
        except Refusal as reason:
            message = f"not one kernel with {describe(conv)}, which it pools: {reason}"
            remark(self.pass_name, "missed", op, message)
            return
        message = f"{describe(conv)} and {describe(op)} are one kernel: {profit}"
        remark(self.pass_name, "applied", op, message)
        fused.location = joined_location(conv, op)
        keep_names(op.res, fused.res)
        rewriter.replace(op, fused, list(fused.res))
        rewriter.erase(conv)

    def _fuse(self, pair: _Pair) -> tuple[ConvPoolOp, str]:
        """The kernel and what it saves, in words. Raises Refusal."""
        row = capability(self.target, ConvPoolOp)
        fused = build_conv_pool(pair)
        check_limits(fused, row)
        check_runs(fused, self.target)
        apart = sum(expected_seconds(op, self.target) for op in (pair.conv, pair.pool))
        together = expected_seconds(fused, self.target)
        numbers = f"{microseconds(together)} expected, {microseconds(apart)} apart"
        if together >= apart * SURE_GAIN:
            fused.erase()
            raise Refusal(numbers)
        return fused, numbers
