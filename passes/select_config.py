"""select-config: every kernel gets a configuration of its target."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ait.dialects.kernel import GroupOp, KernelOp
from ait.passes.target import TargetInfo, find_target


@dataclass(frozen=True)
class SelectConfigPass(ModulePass):
    """Attaches the target's first candidate to kernels that have no config yet.

    Before: `kernel.gemm ins(...) outs(...)`
    After:  `kernel.gemm ins(...) outs(...) {config = #cuda.gemm<...>}`

    Members of a group get configs that suit each other. A group for which the target has none falls
    apart into its members.
    """

    name = "select-config"
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = find_target(self.target)
        for group in [found for found in op.walk() if isinstance(found, GroupOp)]:
            if not _share_launch(group, target):
                _take_apart(group)
        for kernel in op.walk():
            if isinstance(kernel, KernelOp) and kernel.config is None:
                candidates = target.candidates(kernel)
                if candidates:
                    kernel.config = candidates[0]


def _share_launch(group: GroupOp, target: TargetInfo) -> bool:
    """Gives the members of a group that have no configs such as share a launch; False if the target
    has none."""
    members = group.members
    if all(member.config is not None for member in members):
        return True
    shares = [target.launch_share(member) for member in members]
    known = [share for share in shares if share is not None]
    launch = target.shared_launch(known) if len(known) == len(members) else None
    if launch is None:
        return False
    if launch.configs:
        for member, config in zip(members, launch.configs, strict=True):
            member.config = config
    return True


def _take_apart(group: GroupOp) -> None:
    """Puts the members of a group where it stands."""
    for member in group.members:
        member.detach()
        Rewriter.insert_op(member, InsertPoint.before(group))
    Rewriter.erase_op(group)
