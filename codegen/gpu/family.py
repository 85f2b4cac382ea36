"""What a kernel family is: one template, the ops that it takes, its configs and their ranking.

To add a family to a target: a module with a `KernelFamily`, its template and config beside it, and
a row in the target's `families.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from xdsl.ir import Attribute

from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

TemplateValues: TypeAlias = Mapping[str, object]
Config = TypeVar("Config")


class Refusal(Exception):
    """Why a family does not take an op; caught by the target, never seen by users as is."""


@dataclass(frozen=True)
class Candidate:
    """A config and the time in seconds that the analytic model expects of it."""

    config: Attribute
    seconds: float


def fitting(
    configs: Iterable[Config],
    attribute: Callable[[Config], Attribute],
    seconds: Callable[[Config], float],
    otherwise: str,
) -> list[Candidate]:
    """The configs for which `seconds` raises no Refusal. Raises Refusal if there is none, with all
    reasons, or `otherwise` if there was no config."""
    found: list[Candidate] = []
    reasons: dict[str, None] = {}
    for config in configs:
        try:
            found.append(Candidate(attribute(config), seconds(config)))
        except Refusal as refusal:
            reasons.setdefault(str(refusal))
    if not found:
        raise Refusal("; ".join(reasons) or otherwise)
    return found


class KernelFamily(Protocol):
    """One way to run some kernel ops."""

    @property
    def template(self) -> str:
        """The file under `templates/`, of the target or of what GPUs share."""
        ...

    @property
    def config_type(self) -> type[Attribute]:
        """The class of the configs: it says which family renders an op."""
        ...

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        """Configs that run the op, in any order. Raises Refusal if none can."""
        ...

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        """What the template is rendered with. Raises Refusal if the config does not fit the op."""
        ...
