"""Checks of the IR that xDSL's own verifier leaves out."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException


def dominance_errors(module: ModuleOp) -> Iterator[tuple[Operation, str]]:
    """Yield each operation that uses a value not defined before it, with what is wrong.

    A value dominates its use when it is a block argument or an earlier result of the block that
    holds the use, or of a block around it. Between the blocks of one region nothing is checked:
    the IR has structured control flow only. Uses by operations outside of the module, which a pass
    made and forgot, are reported where the value is defined.
    """
    position: dict[Operation, int] = {}
    for block in module.walk_blocks():
        position.update((op, index) for index, op in enumerate(block.ops))
    for op in module.walk():
        for index, operand in enumerate(op.operands):
            if not _dominates(operand, op, position):
                yield op, f"operand #{index}{_name(operand)} does not dominate this use"
        for index, result in enumerate(op.results):
            if any(use.operation not in position for use in result.uses):
                yield op, f"result #{index}{_name(result)} is used outside of the module"


def verify_dominance(module: ModuleOp) -> None:
    """Raise `VerifyException`, with the module annotated, if a value is used before it exists."""
    for op, message in dominance_errors(module):
        op.emit_error(message, VerifyException(message))


def _dominates(value: SSAValue, user: Operation, position: dict[Operation, int]) -> bool:
    owner = value.owner
    block = owner if isinstance(owner, Block) else owner.parent
    if block is None:
        return False
    ancestor = block.find_ancestor_op_in_block(user)
    if ancestor is None:
        return _shares_multi_block_region(block, user)
    return isinstance(owner, Block) or position[owner] < position[ancestor]


def _shares_multi_block_region(block: Block, user: Operation) -> bool:
    region = block.parent
    if region is None or region.first_block is region.last_block:
        return False
    return any(other.find_ancestor_op_in_block(user) is not None for other in region.blocks)


def _name(value: SSAValue) -> str:
    return f" (%{value.name_hint})" if value.name_hint else ""
