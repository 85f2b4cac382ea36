"""A target made of kernel families: what CUDA and HIP have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import cast

from jinja2 import Template
from xdsl.ir import Attribute

from ait.codegen.build import Toolchain
from ait.codegen.gpu.family import (
    Candidate,
    Frame,
    KernelFamily,
    Refusal,
    SharingFamily,
    TemplateValues,
    TurningFamily,
)
from ait.codegen.gpu.group import group_values
from ait.codegen.gpu.ranker import AnalyticRanker, Ranker
from ait.codegen.group_view import GroupView, LaunchView
from ait.codegen.kernel_view import KernelView
from ait.codegen.rendering import environment
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from ait.passes.target import Capabilities, DeviceDescription, SharedLaunch
from ait.runtime.sources import Device

# Answers of families that a target remembers. A model has tens of different kernels, and passes ask
# for each of them in the several forms that they weigh.
_MOST_ANSWERS = 5000
_MOST_CANDIDATES = 12
_TIMINGS = "timings.sqlite"
_MOST_SHARES = 1000
"""That a target remembers: heads and experts of a model are alike."""
_MOST_KINDS = 6
"""Of the members of a launch: each is compiled, one after the other."""
_PARAMETER_BYTES = 32000
"""Of a launch, which takes 32764, with the members' ends."""
_OTHER_NUMBERS, _MAPS_BYTES = 8, 448
"""Of a member's parameters, beside pointers and extents: sizes, and tensor maps."""


@dataclass(frozen=True)
class _Share:
    """What an op is as a member of a shared launch: for each family and frame, what the family
    knows of it; what its code depends on, about; and an upper bound of its parameters' bytes."""

    ways: Mapping[tuple[SharingFamily, Frame], object]
    kind: str
    bytes: int


def _configs_of(view: GroupView) -> str:
    return " and ".join(dict.fromkeys(str(member.config) for member in view.members))


def _kind_of(view: KernelView) -> str:
    """What the code of a member depends on, about: its rows are an argument, whatever their symbol
    is."""
    lines = view.problem.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("axis m", "extent")))


class GpuTarget:
    """A GPU as passes and code generation see it (ait.codegen.target). Making it asks no device.

    `families`: for each kernel op, the families that take it. `package` has the target's own
    `templates`, and may have timings of its kernels. `find_toolchain` raises ToolchainError where a
    compiler is missing; `present_device` names this machine's device of an index, if it is the
    target's, and `named` describes such devices where they differ from `description`.
    `kernel_suffix`: of sources, but for the configs that `suffixes` has one for.
    `slow_configs`: those whose kernels take most of a minute to compile. `ranker`: which candidates
    come first, the analytic one if not given.
    """

    has_models = True
    port_alignment = 16
    """The widest vector access."""

    def __init__(
        self,
        name: str,
        device: Device,
        kernel_suffix: str,
        description: DeviceDescription,
        capabilities: Capabilities,
        families: Mapping[type[KernelOp], Sequence[KernelFamily]],
        package: str,
        find_toolchain: Callable[[], Toolchain],
        present_device: Callable[[int], str | None] = lambda index: None,
        named: Mapping[str, DeviceDescription] | None = None,
        suffixes: Mapping[type[Attribute], str] | None = None,
        slow_configs: tuple[type[Attribute], ...] = (),
        ranker: Ranker | None = None,
    ):
        self.name = name
        self.device: Device = device
        self._answers: dict[tuple[type[Attribute], str], Sequence[Candidate] | str] = {}
        self._kernel_suffix = kernel_suffix
        self._suffixes = suffixes or {}
        self.description = description
        self.capabilities = capabilities
        self._families = families
        self._find_toolchain = find_toolchain
        self._present_device = present_device
        self._named = named or {}
        self._slow_configs = slow_configs
        self._ranker = ranker or AnalyticRanker()
        self._shares: dict[str, _Share | None] = {}
        self.timings = Path(str(resources.files(package))) / _TIMINGS
        self._templates = environment(package, "ait.codegen.gpu", trimmed=False)

    def toolchain(self) -> Toolchain:
        """The compilers and the linker. Raises ToolchainError where one is missing."""
        return self._find_toolchain()

    def present_device(self, index: int = 0) -> str | None:
        """The name of this machine's device of that index, if it runs the target's code; else
        None."""
        return self._present_device(index)

    def present_description(self, index: int = 0) -> DeviceDescription:
        """The description of this machine's device of that index, if it is one of `named`; else
        the target's own."""
        return self._named.get(self.present_device(index) or "", self.description)

    def kernel_suffix(self, config: Attribute | None) -> str:
        """The suffix of the sources of kernels with such a config."""
        if config is None:
            return self._kernel_suffix
        return self._suffixes.get(type(config), self._kernel_suffix)

    def is_quick(self, config: Attribute) -> bool:
        """Whether a kernel of the config compiles in seconds."""
        return not isinstance(config, self._slow_configs)

    def refusal(self, op: KernelOp) -> str | None:
        """Why no kernel can run `op`: what each family that has a say answers; None if one can."""
        families = self._families.get(type(op), ())
        if not families:
            return f"{self.name} has no kernel for {op.name}"
        try:
            view = KernelView(op)
        except CompileError as error:
            return str(error)
        reasons: list[str] = []
        for family in families:
            try:
                self._best(family, view)
            except Refusal as refusal:
                reasons.append(str(refusal))
            else:
                return None
        return "; ".join(dict.fromkeys(reasons))

    def candidates(self, op: KernelOp) -> Sequence[Attribute]:
        """Configurations that can run `op`, best first by the families' models."""
        return [candidate.config for candidate in self.ranked(op)]

    def ranked(self, op: KernelOp) -> Sequence[Candidate]:
        """Candidates with the times that the models expect, best first by the ranker; the best ones
        of each family are always among them."""
        view = KernelView(op)
        best: list[Candidate] = []
        for family in self._families.get(type(op), ()):
            try:
                best += self._best(family, view)
            except Refusal:
                continue
        return self._ranker.ranked(view, best, self.description)

    def _best(self, family: KernelFamily, view: KernelView) -> Sequence[Candidate]:
        """The best candidates of a family, best first. Raises Refusal if it has none.

        Kernels of one problem get one answer: the layers of a model are alike, and weighing
        hundreds of configs for each of them would take most of the time of the passes.
        """
        key = family.config_type, view.problem
        if key not in self._answers:
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            try:
                found = family.candidates(view, self.description)
            except Refusal as refusal:
                self._answers[key] = str(refusal)
            else:
                best = self._ranker.ranked(view, found, self.description)[:_MOST_CANDIDATES]
                self._answers[key] = best
        answer = self._answers[key]
        if isinstance(answer, str):
            raise Refusal(answer)
        return answer

    def expected_seconds(self, op: KernelOp) -> float | None:
        """The time that the models expect of the best candidate; None if there is none."""
        ranked = self.ranked(op)
        return ranked[0].seconds if ranked else None

    def goes_backwards(self, op: KernelOp) -> bool:
        """Whether the kernel of `op`'s config can begin with its last rows."""
        family = self._family_of(op, op.config)
        return isinstance(family, TurningFamily) and family.goes_backwards(op)

    def launch_share(self, op: KernelOp) -> object | None:
        """What `shared_launch` needs to know of `op`; None if it shares no launch."""
        try:
            view = KernelView(op, moved_bases=True)
        except CompileError:
            return None
        if view.problem not in self._shares:
            if len(self._shares) >= _MOST_SHARES:
                self._shares.clear()
            self._shares[view.problem] = self._share(view)
        return self._shares[view.problem]

    def _share(self, view: KernelView) -> _Share | None:
        ways: dict[tuple[SharingFamily, Frame], object] = {}
        for family in self._families.get(type(view.op), ()):
            if not isinstance(family, SharingFamily):
                continue
            try:
                found = family.shares(view, self.description)
            except Refusal:
                continue
            ways |= {(family, frame): member for frame, member in found.items()}
        numbers = len(view.operands) + len(view.extents) + _OTHER_NUMBERS
        return _Share(ways, _kind_of(view), 8 * numbers + _MAPS_BYTES) if ways else None

    def shared_launch(self, shares: Sequence[object]) -> SharedLaunch | None:
        """The best way for kernels to share a launch; None if they cannot."""
        known = cast(Sequence[_Share], shares)
        too_many_kinds = len({share.kind for share in known}) > _MOST_KINDS
        if too_many_kinds or sum(share.bytes for share in known) > _PARAMETER_BYTES:
            return None
        first, *others = [share.ways for share in known]
        launches = [
            way[0].together([members[way] for members in (first, *others)], self.description)
            for way in first
            if all(way in members for members in others)
        ]
        return min(launches, key=lambda launch: launch.seconds or 0.0, default=None)

    def render(self, view: LaunchView, symbol: str) -> str:
        """The translation unit that defines the kernel function `symbol`.

        Raises CompileError if an op has no config of this target, or one that does not fit it, or
        configs of a group do not fit each other.
        """
        if isinstance(view, GroupView):
            return self._render_group(view, symbol)
        own = {"kernel_type": "Kernel", "symbol": symbol}
        return self._render_part(view, {"member_part": "", **own})

    def _render_group(self, view: GroupView, symbol: str) -> str:
        families = {self._family(member) for member in view.members}
        family = next(iter(families))
        if len(families) > 1 or not isinstance(family, SharingFamily):
            raise CompileError(f"{self.name} has no launch of kernels of {_configs_of(view)}")
        if (
            len({family.frame(member, cast(Attribute, member.config)) for member in view.members})
            > 1
        ):
            raise CompileError(f"kernels of {_configs_of(view)} share no launch")
        values = group_values(view.members, family.group, symbol, self._render_part)
        return self._templates.get_template("group.j2").render(values)

    def _render_part(self, view: KernelView, more: Mapping[str, str]) -> str:
        template, values = self._code(view)
        return template.render(values, view=view, **more)

    def _family_of(self, op: KernelOp, config: Attribute | None) -> KernelFamily | None:
        """The family whose config an op has, if it is one of the target."""
        families = self._families.get(type(op), ())
        return next((f for f in families if type(config) is f.config_type), None)

    def _family(self, view: KernelView) -> KernelFamily:
        """The family of an op's config. Raises CompileError if there is none."""
        family = self._family_of(view.op, view.config)
        if family is None:
            raise CompileError(f"{view.op.name} has no config of {self.name}, but {view.config}")
        return family

    def _code(self, view: KernelView) -> tuple[Template, TemplateValues]:
        """The template of a kernel, and what it is rendered with."""
        family, config = self._family(view), cast(Attribute, view.config)
        try:
            values = family.values(view, config)
        except Refusal as refusal:
            raise CompileError(f"{config} cannot run this {view.op.name}: {refusal}") from refusal
        return self._templates.get_template(family.template), values
