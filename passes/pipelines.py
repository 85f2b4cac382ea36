"""The pipelines: read from top to bottom, this is the design of the compiler.

Each stage ends with the IR in a form that the next one relies on, and every pass in it can be run
alone with `ait-opt -p`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ait.collector import paused_collector
from ait.errors import CompileError
from ait.passes import PASSES, load_pass
from ait.passes.verification import verify_dominance

SIMPLIFY = (
    # 1. Canonical spelling first, so that every later pattern has one form to look for.
    "canonicalize-graph",
    "cse-graph",
    # 2. Decomposed attention, norms and activations become the one op that they are.
    "raise-patterns",
    # 3. Batch norms disappear into weights, images run channels-last.
    "fold-batch-norm",
    "propagate-layout",
    "canonicalize-graph",
    "cse-graph",
    # 4. What is mostly cut away is not computed.
    "bubble-up-slices",
    "cse-graph",
    # 5. A sum of products is one product.
    "join-products",
    # 6. What depends on weights alone moves to @prepare.
    "fold-constants",
)
LOWER = (
    # 7. Movement becomes views, computing ops become kernels.
    "lower-movement",
    "lower-graph",
)
FUSE = (
    # 8. Regions merge along chains, siblings merge, and what moves data goes into accesses.
    "fuse-vertical",
    "fuse-horizontal",
    "fuse-memory",
)
TARGET = (
    # 9. The target's wishes and refusals; what they added to @prepare is lowered as well.
    "legalize",
    "lower-movement",
    "lower-graph",
    "fuse-memory",
    # 10. Long reductions to few results are done in parts; rows that the fast kernels cannot
    # address are padded; products that follow each other, of what were convolutions too, are one
    # kernel where that pays.
    "split-reductions",
    "align-operands",
    "fuse-products",
    # 11. Where each operand lies is decided: what pools a convolution may be its kernel.
    "fuse-pools",
)
PLACE = (
    # 12. Buffers; kernels that write several parts of one tensor, and shared launches (both on
    # buffers, where parts of one tensor are independent); slots, and a configuration each.
    "bufferize",
    "forward-copies",
    "group-kernels",
    "plan-memory",
    "select-config",
    # 13. Which kernels begin with the last rows, which the cache still holds.
    "alternate-directions",
)

PIPELINES: Mapping[str, tuple[str, ...]] = {
    "simplify": SIMPLIFY,
    "lower": LOWER,
    "fuse": FUSE,
    "target": TARGET,
    "place": PLACE,
    "default": (*SIMPLIFY, *LOWER, *FUSE, *TARGET, *PLACE),
}
"""Named sequences of passes, for `ait-opt -p` and the compiler."""


@dataclass(frozen=True)
class PassRun:
    """One pass of a pipeline run, and the seconds that it took."""

    name: str
    seconds: float


def expand(names: Sequence[str]) -> list[str]:
    """Names of passes, where names of pipelines may stand too. Raises CompileError on others."""
    passes: list[str] = []
    for name in names:
        if name in PIPELINES:
            passes.extend(PIPELINES[name])
        elif name in PASSES:
            passes.append(name)
        else:
            raise CompileError(f"unknown pass or pipeline '{name}'")
    return passes


def make_pass(name: str, target: str) -> ModulePass:
    """A pass with its default options, for a target if it asks for one."""
    made = load_pass(name)()
    return replace(made, target=target) if hasattr(made, "target") else made  # pyright: ignore[reportCallIssue]


def run_pipeline(
    module: ModuleOp,
    names: Sequence[str] = ("default",),
    *,
    target: str = "any",
    context: Context | None = None,
    verify: bool = False,
    after_pass: Callable[[str, ModuleOp], None] | None = None,
) -> list[PassRun]:
    """Runs passes over a module, in place; returns what ran and how long it took.

    `verify` checks the IR after each pass; `after_pass` is called with its name and the module.
    """
    context = context or Context()
    runs: list[PassRun] = []
    with paused_collector():
        for name in expand(names):
            module_pass = make_pass(name, target)
            start = time.perf_counter()
            module_pass.apply(context, module)
            runs.append(PassRun(name, time.perf_counter() - start))
            if verify:
                module.verify()
                verify_dominance(module)
            if after_pass is not None:
                after_pass(name, module)
    return runs
