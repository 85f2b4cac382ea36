"""Which of an op's candidates is tried first: by the analytic models, or by another opinion."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

from ait.codegen.gpu.family import Candidate
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription


class Ranker(Protocol):
    """Orders candidates."""

    def ranked(
        self, view: KernelView, candidates: Sequence[Candidate], device: DeviceDescription
    ) -> list[Candidate]:
        """All candidates of an op, best first; equal ones stay in their order."""
        ...


class AnalyticRanker:
    """By the times that the families' models expect."""

    def ranked(
        self, view: KernelView, candidates: Sequence[Candidate], device: DeviceDescription
    ) -> list[Candidate]:
        """See `Ranker`."""
        return sorted(candidates, key=attrgetter("seconds"))
