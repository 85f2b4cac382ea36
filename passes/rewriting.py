"""Rewriting the ops of functions by patterns, sharing equal ops, and erasing what nothing reads.

xDSL's walker also visits the scalar code in the regions of kernels: most ops of a module, which no
pattern of a pass rewrites. Ops in functions alone are visited here, in the order of that walker.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import Any, ClassVar

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriterListener, RewritePattern
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import Commutative
from xdsl.transforms.dead_code_elimination import would_be_trivially_dead

from ait.dialects.functions import functions_of


def rewrite_each(module: ModuleOp, *patterns: RewritePattern) -> None:
    """Applies the first pattern that rewrites it to each op that there is now, in order."""
    _Rewriting(module, patterns, again=False).sweep()


def rewrite_all(module: ModuleOp, *patterns: RewritePattern) -> bool:
    """Like `rewrite_each`, also to new ops and to those around rewritten ones, until none of the
    patterns rewrites any op. Returns whether one was rewritten."""
    rewriting = _Rewriting(module, patterns, again=True)
    rewritten = False
    while rewriting.sweep():
        rewritten = True
    return rewritten


def share_equal(ops: Iterable[Operation], commute: bool = False) -> None:
    """Ops of a block, in order, that are equal and read the same values become the first of them;
    attributes, such as where an op comes from, do not matter. `commute`: operands of a commutative
    op may stand in another order."""
    known: dict[tuple[object, ...], Operation] = {}
    for op in list(ops):
        first = known.setdefault(_computation(op, commute), op)
        if first is op:
            continue
        for old, new in zip(op.results, first.results, strict=True):
            old.replace_all_uses_with(new)
        op.detach()
        op.erase()


def _computation(op: Operation, commute: bool) -> tuple[object, ...]:
    operands = [id(operand) for operand in op.operands]
    if commute and op.has_trait(Commutative):
        operands.sort()
    properties = sorted(op.properties.items(), key=lambda entry: entry[0])
    return (type(op), tuple(operands), tuple(properties), tuple(op.result_types))


def erase_unused(module: ModuleOp) -> None:
    """Erases ops without effects whose results nothing reads, in the regions of kernels too."""
    _erase_unused(module.body.block)


def _erase_unused(block: Block) -> None:
    # From the end on, so that the last reader of a value is gone before its op is looked at.
    op = block.last_op
    while op is not None:
        before = op.prev_op
        if _is_unused(op):
            Rewriter.erase_op(op)
        else:
            for region in op.regions:
                for inner in reversed(region.blocks):
                    _erase_unused(inner)
        op = before


def _is_unused(op: Operation) -> bool:
    """Whether nothing would be lost with an op. Most have readers, which is seen at once."""
    for result in op.results:
        if result.first_use is not None:
            return False
    return would_be_trivially_dead(op)


class OpPattern(RewritePattern, ABC):
    """A pattern that says which kinds of ops it may rewrite: `roots`, subclasses included. It is
    shown no others: nearly all visits would end with a look at the kind."""

    roots: ClassVar[tuple[type[Operation], ...]]


class EraseUnused(RewritePattern):
    """An op without effects whose results nothing reads -> nothing, among other patterns."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if _is_unused(op):
            rewriter.erase(op)


class _Rewriting:
    """Patterns at work on a module. `again`: whether what a rewrite touches is visited again."""

    def __init__(self, module: ModuleOp, patterns: tuple[RewritePattern, ...], again: bool):
        self._module = module
        self._patterns = patterns
        # The last one is the next. By identity: the hash of an xDSL op is a function in Python.
        self._pending: dict[int, Operation] = {}
        self._rewriter: PatternRewriter | None = None
        self._patterns_of: dict[type[Operation], tuple[RewritePattern, ...]] = {}
        push = [self._push] if again else []
        self._listener = PatternRewriterListener(
            operation_insertion_handler=[*push],
            operation_modification_handler=[*push],
            operation_replacement_handler=[self._push_readers] if again else [],
            operation_removal_handler=[
                *([self._push_lone_operands] if again else []),
                self._remove,
            ],
        )

    def sweep(self) -> bool:
        """Visits all ops; returns whether one was rewritten."""
        pending = self._pending
        for function in reversed(functions_of(self._module)):
            for block in reversed(function.body.blocks):
                for op in reversed(block.ops):
                    pending[id(op)] = op
        rewritten = False
        while pending:
            _, op = pending.popitem()
            rewritten |= self._visit(op)
        return rewritten

    def _visit(self, op: Operation) -> bool:
        patterns = self._patterns_for(type(op))
        if not patterns:
            return False
        rewriter = self._rewriter_at(op)
        try:
            for pattern in patterns:
                pattern.match_and_rewrite(op, rewriter)
                if rewriter.has_done_action:
                    return True
        except Exception as error:
            op.emit_error(f"Error while applying pattern: {error}", error)
        return False

    def _patterns_for(self, kind: type[Operation]) -> tuple[RewritePattern, ...]:
        known = self._patterns_of.get(kind)
        if known is None:
            known = tuple(
                pattern
                for pattern in self._patterns
                if not isinstance(pattern, OpPattern) or issubclass(kind, pattern.roots)
            )
            self._patterns_of[kind] = known
        return known

    def _rewriter_at(self, op: Operation) -> PatternRewriter:
        """One rewriter serves all ops: making it takes as long as most visits."""
        rewriter = self._rewriter
        if rewriter is None:
            rewriter = self._rewriter = PatternRewriter(op)
            rewriter.extend_from_listener(self._listener)
        rewriter.has_done_action = False
        rewriter.current_operation = op
        rewriter.insertion_point = InsertPoint.before(op)
        if rewriter.name_hint is not None:
            rewriter.name_hint = None
        return rewriter

    def _push(self, op: Operation) -> None:
        """Visits an op next, if it is not to be visited anyway."""
        self._pending.setdefault(id(op), op)

    def _remove(self, op: Operation) -> None:
        self._pending.pop(id(op), None)

    def _push_readers(self, op: Operation, _: Any) -> None:
        for result in op.results:
            for use in result.uses:
                self._push(use.operation)

    def _push_lone_operands(self, op: Operation) -> None:
        """What computes an operand that only the erased `op` read, once more."""
        for operand in op.operands:
            owner = operand.owner
            if operand.has_one_use() and isinstance(owner, Operation) and owner.parent:
                self._push(owner)
