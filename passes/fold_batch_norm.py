"""fold-batch-norm: a batch norm behind a convolution becomes part of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp, TensorType, f32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects import graph
from ait.dialects.symbolic import Dim, dims_of, element_of, floordiv
from ait.passes.remarks import describe, remark
from ait.passes.rewriting import OpPattern, rewrite_each

NAME = "fold-batch-norm"

Convolution: TypeAlias = graph.Conv2dOp | graph.ConvTranspose2dOp


class _Arithmetic:
    """Graph ops on weights, in f32 whatever the model's type, collected in order."""

    def __init__(self) -> None:
        self.ops: list[Operation] = []

    def _add(self, op: Operation) -> SSAValue:
        self.ops.append(op)
        return op.results[0]

    def load(self, value: SSAValue) -> SSAValue:
        return self.cast(value, f32)

    def cast(self, value: SSAValue, element: Attribute) -> SSAValue:
        if element_of(value) == element:
            return value
        return self._add(graph.CastOp(value, element=element))

    def literal(self, value: float) -> SSAValue:
        dense = DenseIntOrFPElementsAttr.from_list(TensorType(f32, []), [value])
        return self._add(graph.ConstantOp(dense))

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._add(graph.AddOp(a, b))

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._add(graph.SubOp(a, b))

    def mul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._add(graph.MulOp(a, b))

    def rsqrt(self, value: SSAValue) -> SSAValue:
        return self._add(graph.RsqrtOp(value))

    def reshape(self, value: SSAValue, dims: Sequence[Dim]) -> SSAValue:
        return self._add(graph.ReshapeOp(value, dims))

    def per_output(self, convolution: Convolution, scale: SSAValue) -> SSAValue:
        """The weights of a convolution times a vector over its outputs."""
        weight = self.load(convolution.weight)
        if isinstance(convolution, graph.Conv2dOp) or convolution.layout == "nhwc":
            return self.mul(weight, self.reshape(scale, (dims_of(scale)[0], 1, 1, 1)))
        c, o, r, s = dims_of(weight)
        groups = convolution.groups
        grouped = self.reshape(weight, (groups, floordiv(c, groups), o, r, s))
        scaled = self.mul(grouped, self.reshape(scale, (groups, 1, o, 1, 1)))
        return self.reshape(scaled, (c, o, r, s))


def _is_constant(value: SSAValue) -> bool:
    return isinstance(value.owner, graph.GetParameterOp | graph.ConstantOp)


class FoldIntoConvolution(OpPattern):
    """batch_norm(conv2d(x, w, b)) -> conv2d(x, w * s, (b - mean) * s + beta), s = gamma / std;
    transposed convolutions likewise."""

    roots = (graph.BatchNormOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.BatchNormOp) or not isinstance(op.x.owner, Convolution):
            return
        convolution = op.x.owner
        channel = 1 if convolution.layout == "nchw" else 3
        constants = [op.mean, op.variance, *op.affine, convolution.weight]
        if convolution.bias is not None:
            constants.append(convolution.bias)
        reason = None
        if not op.x.has_one_use():
            reason = "its input has other uses"
        elif op.axis != channel:
            reason = "it does not normalize channels"
        elif not all(_is_constant(value) for value in constants):
            reason = "not all of its operands are constant"
        if reason is not None:
            remark(NAME, "missed", op, f"not folded into {describe(convolution)}: {reason}")
            return
        remark(NAME, "applied", op, f"folded into {describe(convolution)}")
        self._fold(op, convolution, rewriter)

    def _fold(
        self, op: graph.BatchNormOp, convolution: Convolution, rewriter: PatternRewriter
    ) -> None:
        a = _Arithmetic()
        mean, variance, *affine = (a.load(v) for v in (op.mean, op.variance, *op.affine))
        scale = a.rsqrt(a.add(variance, a.literal(op.eps)))
        if affine:
            scale = a.mul(scale, affine[0])
        weight = a.per_output(convolution, scale)
        if convolution.bias is not None:
            bias = a.mul(a.sub(a.load(convolution.bias), mean), scale)
        else:
            bias = a.mul(a.sub(a.literal(0.0), mean), scale)
        if len(affine) > 1:
            bias = a.add(bias, affine[1])
        element = element_of(convolution.weight)
        weight, bias = a.cast(weight, element), a.cast(bias, element)
        kept = {name: getattr(convolution, name) for name in convolution.property_kinds()}
        folded = type(convolution)(convolution.x, weight, bias, **kept)
        folded.attributes.update(convolution.attributes)
        folded.result.name_hint = op.result.name_hint
        rewriter.replace(op, [*a.ops, folded])
        rewriter.erase(convolution)


@dataclass(frozen=True)
class FoldBatchNormPass(ModulePass):
    """Folds batch norms into the weights of the convolutions before them.

    Before: `%c = graph.conv2d %x, %w`, `%y = graph.batch_norm %c, %mean, %variance, %gamma, %beta`
    After:  `%y = graph.conv2d %x, %w2, %b2`, and ops on weights that fold-constants then folds
    """

    name = NAME

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite_each(op, FoldIntoConvolution())
