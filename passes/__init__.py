"""Passes over the IR: one job each, found by name.

`PASSES` is the registry: the name on the command line, and where the pass lives. Modules are
imported when a pass is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdsl.passes import ModulePass

PASSES: Mapping[str, str] = {
    "align-operands": "AlignOperandsPass",
    "alternate-directions": "AlternateDirectionsPass",
    "bubble-up-slices": "BubbleUpSlicesPass",
    "bufferize": "BufferizePass",
    "canonicalize-graph": "CanonicalizeGraphPass",
    "cse-graph": "CseGraphPass",
    "fold-batch-norm": "FoldBatchNormPass",
    "fold-constants": "FoldConstantsPass",
    "forward-copies": "ForwardCopiesPass",
    "fuse-horizontal": "FuseHorizontalPass",
    "fuse-memory": "FuseMemoryPass",
    "fuse-pools": "FusePoolsPass",
    "fuse-products": "FuseProductsPass",
    "fuse-vertical": "FuseVerticalPass",
    "group-kernels": "GroupKernelsPass",
    "join-products": "JoinProductsPass",
    "legalize": "LegalizePass",
    "lower-graph": "LowerGraphPass",
    "lower-movement": "LowerMovementPass",
    "plan-memory": "PlanMemoryPass",
    "propagate-layout": "PropagateLayoutPass",
    "raise-patterns": "RaisePatternsPass",
    "select-config": "SelectConfigPass",
    "split-reductions": "SplitReductionsPass",
}
"""Pass names and their classes; pass `a-b` lives in the module `a_b`."""


def load_pass(name: str) -> type[ModulePass]:
    """The class of a pass. Raises KeyError on an unknown name."""
    module = import_module(f"ait.passes.{name.replace('-', '_')}")
    return getattr(module, PASSES[name])


def get_all_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """Lazy factories of all passes, as xDSL's universe wants them."""
    return {name: lambda name=name: load_pass(name) for name in PASSES}
