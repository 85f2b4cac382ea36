"""What patterns of fusion have in common."""

from __future__ import annotations

from abc import ABC

from ait.passes.rewriting import OpPattern
from ait.passes.target import TargetInfo


class FusionPattern(OpPattern, ABC):
    """A pattern whose legality and profit a target decides. `pass_name`: what remarks call the
    pass."""

    def __init__(self, target: TargetInfo, pass_name: str):
        self.target = target
        self.pass_name = pass_name
