"""A target made of kernel families: what CUDA and HIP have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from xdsl.ir import Attribute

from ait.codegen.build import Toolchain
from ait.codegen.gpu.family import Candidate, KernelFamily, Refusal
from ait.codegen.gpu.ranker import AnalyticRanker, Ranker
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from ait.passes.target import Capabilities, DeviceDescription
from ait.runtime.sources import Device

# Answers of families that a target remembers. A model has tens of different kernels, and passes ask
# for each of them in the several forms that they weigh.
_MOST_ANSWERS = 5000
_MOST_CANDIDATES = 12
_TIMINGS = "timings.sqlite"


class GpuTarget:
    """A GPU as passes and code generation see it (ait.codegen.target). It never touches a device.

    `families`: for each kernel op, the families that take it. `package` has the target's own
    `templates`, and may have timings of its kernels. `find_toolchain` raises ToolchainError where a
    compiler is missing; `present_device` names this machine's device of the target, if any.
    `kernel_suffix`: of sources, but for the configs that `suffixes` has one for.
    `slow_configs`: those whose kernels take most of a minute to compile. `ranker`: which candidates
    come first, the analytic one if not given.
    """

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
        present_device: Callable[[], str | None] = lambda: None,
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
        self._slow_configs = slow_configs
        self._ranker = ranker or AnalyticRanker()
        self.timings = Path(str(resources.files(package))) / _TIMINGS
        self._templates = Environment(
            loader=ChoiceLoader([PackageLoader(package), PackageLoader("ait.codegen.gpu")]),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )

    def toolchain(self) -> Toolchain:
        """The compilers and the linker. Raises ToolchainError where one is missing."""
        return self._find_toolchain()

    def present_device(self) -> str | None:
        """The name of this machine's device that runs the target's code; None if there is none."""
        return self._present_device()

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

    def render(self, view: KernelView, symbol: str) -> str:
        """The translation unit that defines the kernel function `symbol`.

        Raises CompileError if the op has no config of this target, or one that does not fit it.
        """
        op, config = view.op, view.config
        families = self._families.get(type(op), ())
        family = next((f for f in families if type(config) is f.config_type), None)
        if config is None or family is None:
            raise CompileError(f"{op.name} has no config of {self.name}, but {config}")
        try:
            values = family.values(view, config)
        except Refusal as refusal:
            raise CompileError(f"{config} cannot run this {op.name}: {refusal}") from refusal
        template = self._templates.get_template(family.template)
        return template.render(values, view=view, symbol=symbol)
