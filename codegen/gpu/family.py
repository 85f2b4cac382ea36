"""What a kernel family is: one template, the ops that it takes, its configs and their ranking.

To add a family to a target: a module with a `KernelFamily`, its template and config beside it, and
a row in the target's `families.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from xdsl.ir import Attribute

from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.passes.target import DeviceDescription, SharedLaunch

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


class TurningFamily:
    """A part of families whose kernels can begin with their last rows, and end with the first
    (`Launch::backwards`): what was written last is in the cache. They go through `gpu::in_order`;
    others ignore the direction of a launch."""

    def goes_backwards(self, op: KernelOp) -> bool:
        """Whether the family's kernel of an op can: all can, if a family does not say more."""
        return True


@dataclass(frozen=True)
class GroupCode:
    """The C++ of shared launches: its header, the template that says how a kernel works as a
    member, and the function that runs a group."""

    header: str
    part: str
    run: str


Frame: TypeAlias = Hashable
"""What members of a launch have in common: the size of tiles, say."""


@runtime_checkable
class SharingFamily(KernelFamily, Protocol):
    """A family whose kernels can share a launch with others of the family: the template has a form
    for members (kernel.j2)."""

    @property
    def group(self) -> GroupCode: ...

    def frame(self, view: KernelView, config: Attribute) -> Frame:
        """The frame of a config: members of a launch have equal ones."""
        ...

    def shares(self, view: KernelView, device: DeviceDescription) -> Mapping[Frame, object]:
        """By frame, what `together` must know of the op as a member. Raises Refusal if it can be
        none."""
        ...

    def together(self, members: Sequence[object], device: DeviceDescription) -> SharedLaunch:
        """How members of one frame, as `shares` describes them, share a launch."""
        ...
