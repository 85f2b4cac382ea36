"""Rewriting of functions, against the walkers of xDSL, which also visit the code of kernels."""

from __future__ import annotations

import pytest
from xdsl.ir import Operation
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
)
from xdsl.transforms.dead_code_elimination import dce

from ait import nn
from ait.dialects.graph import GraphOp, NegOp, ReluOp
from ait.dialects.kernel import KernelOp
from ait.ir.nn import functional
from ait.ir.program import Program, parse_module
from ait.ir.trace import TensorSpec, trace
from ait.passes.fuse_vertical import FuseIntoConsumer, FuseIntoProducer, MergeEqualOperands
from ait.passes.lower_graph import LowerGraphOp
from ait.passes.pipelines import run_pipeline
from ait.passes.rewriting import (
    EraseUnused,
    OpPattern,
    erase_unused,
    rewrite_all,
    rewrite_each,
)
from ait.passes.target import find_target


class Model(nn.Module):
    """A block of a transformer: kernels of several kinds, results with several readers."""

    def __init__(self) -> None:
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(8, 8)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        left, right = self.up(self.norm(x)).split(8, dim=-1)
        y = self.down(functional.gelu(left) * right) + x
        return functional.softmax((y + y).permute(0, 2, 1) * 0.5, dim=-1)


def lowered(*passes: str) -> Program:
    program = trace(Model(), {"x": TensorSpec((2, 4, 8))}, require_weights=False)
    run_pipeline(program.module, passes)
    return program


def fusions() -> list[RewritePattern]:
    target = find_target("any")
    return [MergeEqualOperands(), FuseIntoConsumer(target), FuseIntoProducer(target)]


def test_rewrite_all_ends_where_xdsl_does() -> None:
    ours, theirs = lowered("simplify", "lower").module, lowered("simplify", "lower").module
    kernels = sum(isinstance(op, KernelOp) for op in ours.walk())
    rewrite_all(ours, *fusions())
    applier = GreedyRewritePatternApplier(fusions(), dce_enabled=False)
    PatternRewriteWalker(applier).rewrite_module(theirs)
    assert str(ours) == str(theirs)
    assert sum(isinstance(op, KernelOp) for op in ours.walk()) < kernels


def test_rewrite_each_ends_where_xdsl_does() -> None:
    passes = ("simplify", "lower-movement")
    ours, theirs = lowered(*passes).module, lowered(*passes).module
    rewrite_each(ours, LowerGraphOp())
    PatternRewriteWalker(LowerGraphOp(), apply_recursively=False).rewrite_module(theirs)
    assert str(ours) == str(theirs)
    assert any(isinstance(op, KernelOp) for op in ours.walk())


UNUSED = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = graph.neg %x : tensor<4xf32>
  %1 = graph.relu %0 : tensor<4xf32>
  %2 = graph.add %1, %0 : tensor<4xf32>
  %e = kernel.empty : tensor<4xf32>
  %y = kernel.pointwise ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) body {
  ^bb0(%a: f32):
    %b = arith.negf %a : f32
    %c = arith.addf %b, %a : f32
    kernel.yield %a : f32
  }
  func.return %y : tensor<4xf32>
}
"""


def test_chains_that_nothing_reads_are_erased_in_kernels_too() -> None:
    ours, theirs = parse_module(UNUSED), parse_module(UNUSED)
    erase_unused(ours)
    dce(theirs)
    assert str(ours) == str(theirs)
    assert "arith" not in str(ours) and "graph" not in str(ours)


class Flip(RewritePattern):
    """neg -> relu and relu -> neg, without an end; remembers what it has seen."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: list[str] = []

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        self.seen.append(op.name)
        if isinstance(op, NegOp | ReluOp) and len(self.seen) <= self.most:
            rewriter.replace(op, ReluOp(op.x) if isinstance(op, NegOp) else NegOp(op.x))


def test_only_rewrite_all_visits_what_is_new() -> None:
    once, again = Flip(100), Flip(5)
    rewrite_each(parse_module(UNUSED), once)
    rewrite_all(parse_module(UNUSED), again)
    names = ["neg", "relu", "add"]
    assert once.seen == [
        *(f"graph.{name}" for name in names), "kernel.empty", "kernel.pointwise", "func.return",
    ]  # fmt: skip
    assert again.seen[:5] == [f"graph.{n}" for n in ("neg", "relu", "neg", "relu", "neg")]


class RootedFlip(Flip, OpPattern):
    roots = (ReluOp, KernelOp)


def test_patterns_are_shown_their_roots_alone() -> None:
    rooted, free = RootedFlip(0), Flip(0)
    rewrite_each(parse_module(UNUSED), rooted, free)
    assert rooted.seen == ["graph.relu", "kernel.pointwise"]
    assert len(free.seen) == 6


def test_what_only_an_erased_op_read_is_visited_again() -> None:
    module = parse_module(UNUSED)
    rewrite_all(module, EraseUnused())
    assert not any(isinstance(op, GraphOp) for op in module.walk())


def test_a_pattern_that_fails_says_where() -> None:
    class Failing(RewritePattern):
        def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
            if isinstance(op, ReluOp):
                raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        rewrite_each(parse_module(UNUSED), Failing())
