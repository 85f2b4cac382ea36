"""A target made of kernel families: what CUDA and HIP have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from xdsl.ir import Attribute

from ait.codegen.build import Toolchain
from ait.codegen.gpu.family import Candidate, KernelFamily, Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.errors import CompileError
from ait.passes.target import Capabilities, DeviceDescription


class FamilyTarget:
    """A GPU target: implements what passes (`TargetInfo`) and the build want of one.

    `families`: for each kernel op, the families that take it. `package` has the target's
    `templates`. `find_toolchain` raises ToolchainError where the compiler is missing.
    """

    def __init__(
        self,
        name: str,
        description: DeviceDescription,
        capabilities: Capabilities,
        families: Mapping[type[KernelOp], Sequence[KernelFamily]],
        package: str,
        find_toolchain: Callable[[], Toolchain],
    ):
        self.name = name
        self.description = description
        self.capabilities = capabilities
        self._families = families
        self._find_toolchain = find_toolchain
        self._templates = Environment(
            loader=ChoiceLoader([PackageLoader(package), PackageLoader("ait.codegen.gpu")]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    @cached_property
    def toolchain(self) -> Toolchain:
        """The compilers and the linker. Raises ToolchainError where one is missing."""
        return self._find_toolchain()

    def refusal(self, op: KernelOp) -> str | None:
        """Why no kernel of the target can run `op`; None if one can."""
        try:
            found, refusals = self._search(op)
        except CompileError as error:
            return str(error)
        return None if found else "; ".join(refusals)

    def candidates(self, op: KernelOp) -> Sequence[Attribute]:
        """Configurations that can run `op`, best first by the families' models."""
        found, _ = self._search(op)
        return [candidate.config for candidate in sorted(found, key=lambda c: c.seconds)]

    def render(self, view: KernelView, symbol: str) -> str:
        """The translation unit of a configured kernel; its function is called `symbol`.

        Raises CompileError if the op has no config or one that does not fit it.
        """
        for family in self._families.get(type(view.op), ()):
            if view.config is not None and isinstance(view.config, family.config_type):
                return self._render(family, view, view.config, symbol)
        raise CompileError(f"{view.op.name} cannot run on {self.name} with config {view.config}")

    def _search(self, op: KernelOp) -> tuple[list[Candidate], list[str]]:
        """All candidates, and the refusals of the families that have none."""
        families = self._families.get(type(op), ())
        if not families:
            return [], [f"{self.name} has no kernel for {op.name}"]
        view = KernelView(op)
        found: list[Candidate] = []
        refusals: list[str] = []
        for family in families:
            try:
                found += family.candidates(view, self.description)
            except Refusal as refusal:
                refusals.append(str(refusal))
        return found, refusals

    def _render(
        self, family: KernelFamily, view: KernelView, config: Attribute, symbol: str
    ) -> str:
        try:
            values = family.values(view, config)
        except Refusal as refusal:
            raise CompileError(f"{view.op.name} with {config}: {refusal}") from refusal
        template = self._templates.get_template(family.template)
        return template.render(view=view, symbol=symbol, **values)
