"""Gives the kernels of a lowered program their fastest known configs.

Levels: 0 takes what the analytic model thinks best; 1 takes what stored timings say, and measures
the few best candidates of kernels without any, if the machine has the device; 2 measures more of
them; 3 all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from ait.codegen.build import BuildOptions, Toolchain
from ait.codegen.cache import digest_of
from ait.codegen.kernel_view import KernelView
from ait.codegen.target import Target
from ait.codegen.tuning.measure import Candidate, Outcome, measure
from ait.codegen.tuning.store import Timing, TimingStore, fastest, user_store
from ait.dialects.functions import MAIN
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import symbols_of
from ait.errors import CompileError

CANDIDATES: Mapping[int, int | None] = {0: 0, 1: 4, 2: 12, 3: None}
"""How many candidates of a kernel each level tries; None: all."""


@dataclass
class TuningReport:
    """What tuning did, in numbers of distinct kernels, and what it could not do."""

    known: int = 0
    measured: int = 0
    changed: int = 0
    """Kernels whose config is not the one that the analytic model thinks best."""
    problems: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        """In a line, and a line for each problem."""
        counts = f"{self.known} kernels known, {self.measured} measured, {self.changed} changed"
        return "\n           ".join([counts, *self.problems])


@dataclass(frozen=True)
class _Kernel:
    """Ops of one problem, and the configs to choose from, best first by the model."""

    ops: tuple[KernelOp, ...]
    view: KernelView
    configs: tuple[Attribute, ...]
    symbols: Mapping[str, int]

    @property
    def problem(self) -> str:
        """Identifies the kernel and its sizes in the store."""
        return digest_of([self.view.problem, *self.sizes])

    @property
    def sizes(self) -> list[str]:
        return [f"{name}={value}" for name, value in sorted(self.symbols.items())]

    @property
    def about(self) -> str:
        groups = self.view.groups.items()
        dims = " ".join(f"{name}={group.dim}" for name, group in groups if group.axes)
        return " ".join([self.view.kind, dims, *self.sizes])


class Tuner:
    """Chooses configs for one target.

    `level`: see the module. `sizes`: values of symbols that kernels are tuned at; the upper bounds
    where none is given. `stores`: asked in order; what is measured goes to the first.
    """

    def __init__(
        self,
        target: Target,
        toolchain: Toolchain,
        level: int,
        sizes: Mapping[str, int] | None = None,
        stores: Sequence[TimingStore] | None = None,
        build: BuildOptions | None = None,
    ):
        if level not in CANDIDATES:
            levels = f"{min(CANDIDATES)} to {max(CANDIDATES)}"
            raise CompileError(f"tuning level {level}: there are levels {levels}")
        self.target = target
        self.toolchain = toolchain
        self.level = level
        self.sizes = dict(sizes or {})
        self.stores = stores if stores is not None else [user_store(), *shipped(target)]
        self.build = build or BuildOptions()
        self.report = TuningReport()

    def tune(self, module: ModuleOp) -> TuningReport:
        """Sets the configs of a module's kernels after select-config."""
        if self.level == 0:
            return self.report
        kernels = self._kernels(module)
        times = {kernel.problem: self._known(kernel) for kernel in kernels}
        self._measure([kernel for kernel in kernels if not times[kernel.problem]], times)
        for kernel in kernels:
            by_text = {str(config): config for config in kernel.configs}
            # A stored config may be one of a version that no longer has it.
            usable = {c: s for c, s in times[kernel.problem].items() if c in by_text}
            best = fastest(usable)
            if best is None:
                continue
            config = by_text[best]
            self.report.changed += config != kernel.configs[0]
            for op in kernel.ops:
                op.config = config
        return self.report

    @property
    def _release(self) -> str:
        """What compiles the kernels, and its version."""
        return self.toolchain.compiler_of(f"kernel{self.target.kernel_suffix}").release

    def _kernels(self, module: ModuleOp) -> list[_Kernel]:
        """The distinct kernels of `@main` between whose configs there is a choice."""
        found: dict[str, list[KernelOp]] = {}
        views: dict[str, KernelView] = {}
        for function in module.ops:
            if not isinstance(function, FuncOp) or function.sym_name.data != MAIN:
                continue
            for op in function.walk():
                if isinstance(op, KernelOp) and op.config is not None:
                    view = KernelView(op, moved_bases=True)
                    found.setdefault(view.problem, []).append(op)
                    views.setdefault(view.problem, view)
        kernels: list[_Kernel] = []
        for problem, ops in found.items():
            configs = tuple(self.target.candidates(ops[0]))
            if len(configs) > 1:
                symbols = self._symbols(views[problem])
                kernels.append(_Kernel(tuple(ops), views[problem], configs, symbols))
        return kernels

    def _symbols(self, view: KernelView) -> dict[str, int]:
        """The values of the symbols that a kernel depends on."""
        dims = [group.dim for group in view.groups.values()]
        dims += [extent.dim for extent in view.extents]
        dims += [dim for operand in view.operands for dim in operand.strides]
        return {
            s.name: min(max(self.sizes.get(s.name, s.upper), s.lower), s.upper)
            for s in symbols_of(dims)
        }

    def _known(self, kernel: _Kernel) -> dict[str, float | None]:
        """Stored times of a kernel's configs: those of the first store that has any."""
        for store in self.stores:
            times = store.times(kernel.problem, self.target.name, self._release)
            if fastest(times) is not None:
                self.report.known += 1
                return times
        return {}

    def _measure(
        self, kernels: Sequence[_Kernel], times: dict[str, dict[str, float | None]]
    ) -> None:
        """Measures kernels that nothing is known of, and stores what was found."""
        device = self.target.present_device() if kernels else None
        if device is None:
            return
        tried: list[tuple[_Kernel, Attribute]] = []
        for kernel in kernels:
            tried += [(kernel, config) for config in kernel.configs[: CANDIDATES[self.level]]]
        try:
            outcomes = measure(
                [
                    Candidate(KernelView(k.view.op, moved_bases=True, config=c), k.symbols)
                    for k, c in tried
                ],
                self.target,
                self.toolchain,
                self.build,
            )
        except CompileError as error:
            self.report.problems.append(f"nothing was measured: {error}")
            return
        self.report.measured = len(kernels)
        timings = [self._timing(k, c, o, device) for (k, c), o in zip(tried, outcomes, strict=True)]
        for timing in timings:
            times[timing.problem][timing.config] = timing.seconds
            if timing.failure:
                text = f"{timing.about}, {timing.config}: {timing.failure}"
                self.report.problems.append(text)
        self.stores[0].put(timings)

    def _timing(self, kernel: _Kernel, config: Attribute, outcome: Outcome, device: str) -> Timing:
        return Timing(
            problem=kernel.problem,
            config=str(config),
            target=self.target.name,
            device=device,
            toolchain=self._release,
            seconds=outcome.seconds,
            failure=outcome.failure,
            about=kernel.about,
        )


def shipped(target: Target) -> list[TimingStore]:
    """The timings that came with the target, if any."""
    path = target.timings
    return [TimingStore(path)] if path is not None and path.is_file() else []
