"""Gives the kernels of a lowered program their fastest known configs.

Levels: 0 takes what the analytic model thinks best. 1 takes what stored timings say; of kernels
without any it measures the few best candidates that compile in seconds, if the machine has the
device. 2 measures more, and 3 all, where the store has no time by this device and compiler.

Times of another device or compiler count where there are none of this one: those of an H100 choose
an H200's configs, and those of a machine without a GPU. Only levels 2 and 3 measure them again.

Stored timings count only if the model's first choice is among them. Where it is not, they are of a
version that had other configs or another model, which may be better than all that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from ait.codegen.build import BuildOptions, Toolchain
from ait.codegen.cache import digest_of
from ait.codegen.kernel_view import KernelView
from ait.codegen.target import Target
from ait.codegen.tuning.measure import Candidate, Outcome, measure
from ait.codegen.tuning.store import Times, Timing, TimingStore, fastest, user_store
from ait.dialects.functions import MAIN
from ait.dialects.kernel import GroupOp, KernelOp
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
        """What it is, for people."""
        groups = self.view.groups.items()
        dims = " ".join(f"{name}={group.dim}" for name, group in groups if group.axes)
        return " ".join([self.view.kind, dims, *self.sizes])

    def usable(self, times: Times) -> bool:
        """Whether times are of the configs that there are now (see the module)."""
        modelled = next(iter(self._by_text))
        return modelled in times.seconds and fastest(self._offered(times)) is not None

    def best(self, times: Times) -> Attribute:
        """The config of the least time; the model's choice if there are no usable times."""
        chosen = fastest(self._offered(times)) if self.usable(times) else None
        return self._by_text.get(chosen or "", self.configs[0])

    def _offered(self, times: Times) -> dict[str, float | None]:
        """Times of configs that this version still has."""
        return {text: seconds for text, seconds in times.seconds.items() if text in self._by_text}

    @cached_property
    def _by_text(self) -> dict[str, Attribute]:
        """The configs by what stores call them, in order."""
        return {str(config): config for config in self.configs}


@dataclass(frozen=True)
class Trial:
    """A config of a kernel that is to be measured. `problem`, `about`: of its timing."""

    candidate: Candidate
    problem: str
    about: str

    @property
    def config(self) -> str:
        return str(self.candidate.view.config)


@dataclass(frozen=True)
class Choice:
    """A kernel whose configs were timed. `launches`: how often programs run it. `modelled`,
    `fastest`: the configs of the analytic model and of the least time, with seconds."""

    about: str
    launches: int
    modelled: tuple[str, float]
    fastest: tuple[str, float]

    @property
    def loss(self) -> float:
        """The seconds that a program would lose by the model's choice."""
        return self.launches * (self.modelled[1] - self.fastest[1])


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
        self._device: Future[str | None] | None = None

    def look_for_device(self) -> None:
        """Begins to look for the device in a thread, so that `tune` need not wait for it: a driver
        takes a while to start."""
        if self.level > 0 and self._device is None:
            thread = ThreadPoolExecutor(max_workers=1)
            self._device = thread.submit(self.target.present_device)
            thread.shutdown(wait=False)  # it ends with its work

    def tune(self, module: ModuleOp) -> TuningReport:
        """Sets the configs of a module's kernels after select-config."""
        if self.level == 0:
            return self.report
        kernels = self._kernels([module])
        device = self._present_device() if kernels else None
        times = {kernel.problem: self._known(kernel, device) for kernel in kernels}
        known = {problem for problem, found in times.items() if found.seconds}
        if device is not None:
            trials = self._trials(kernels, times, device)
            known -= {trial.problem for trial in trials}
            self._measure(trials, times, device)
        self.report.known = len(known)
        for kernel in kernels:
            config = kernel.best(times[kernel.problem])
            self.report.changed += config != kernel.configs[0]
            for op in kernel.ops:
                op.config = config
        return self.report

    def trials(self, modules: Iterable[ModuleOp], device: str | None = None) -> list[Trial]:
        """What tuning programs would measure on a device that need not be here; None: on any."""
        kernels = self._kernels(modules)
        times = {kernel.problem: self._known(kernel, device) for kernel in kernels}
        return self._trials(kernels, times, device)

    def choices(self, modules: Iterable[ModuleOp]) -> list[Choice]:
        """What stored times say of the kernels of programs that have a choice of configs; those
        whose first config has no time are left out. The largest loss comes first."""
        found: list[Choice] = []
        for kernel in self._kernels(modules):
            times = self._known(kernel, None).seconds
            first, best = str(kernel.configs[0]), str(kernel.best(Times(seconds=times)))
            seconds, least = times.get(first), times.get(best)
            if seconds is not None and least is not None:
                choice = Choice(kernel.about, len(kernel.ops), (first, seconds), (best, least))
                found.append(choice)
        return sorted(found, key=lambda choice: -choice.loss)

    def timings(
        self, trials: Sequence[Trial], outcomes: Sequence[Outcome], device: str
    ) -> list[Timing]:
        """What a store keeps of trials that were run on a device."""
        return [
            Timing(
                problem=trial.problem,
                config=trial.config,
                target=self.target.name,
                device=device,
                toolchain=self._release,
                seconds=outcome.seconds,
                failure=outcome.failure,
                about=trial.about,
            )
            for trial, outcome in zip(trials, outcomes, strict=True)
        ]

    def _present_device(self) -> str | None:
        return self.target.present_device() if self._device is None else self._device.result()

    @property
    def _release(self) -> str:
        """What compiles the kernels, and its version."""
        return self.toolchain.compiler_of(f"kernel{self.target.kernel_suffix(None)}").release

    def _kernels(self, modules: Iterable[ModuleOp]) -> list[_Kernel]:
        """The distinct kernels of `@main` between whose configs there is a choice."""
        found: dict[str, list[KernelOp]] = {}
        views: dict[str, KernelView] = {}
        for op in (op for module in modules for op in _main_kernels(module)):
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

    def _known(self, kernel: _Kernel, device: str | None) -> Times:
        """Stored times of a kernel's configs: those of the first store that has usable ones."""
        for store in self.stores:
            described = self.target.description.name
            times = store.times(kernel.problem, self.target.name, self._release, device, described)
            if kernel.usable(times):
                return times
        return Times()

    def _trials(
        self, kernels: Sequence[_Kernel], times: Mapping[str, Times], device: str | None
    ) -> list[Trial]:
        """The candidates that this level measures of each kernel."""
        trials: list[Trial] = []
        for kernel in kernels:
            for config in self._missing(kernel, times[kernel.problem], device):
                view = KernelView(kernel.view.op, moved_bases=True, config=config)
                trials.append(Trial(Candidate(view, kernel.symbols), kernel.problem, kernel.about))
        return trials

    def _missing(self, kernel: _Kernel, known: Times, device: str | None) -> list[Attribute]:
        if known.seconds and self.level == 1:
            return []
        wanted = self._tried(kernel)
        if (known.device, known.toolchain) != (device or known.device, self._release):
            return wanted
        return [config for config in wanted if str(config) not in known.seconds]

    def _tried(self, kernel: _Kernel) -> list[Attribute]:
        """The candidates that the level tries: the model's choice, and the next ones; at level 1
        only such as compile in seconds. None if there is nothing to compare the choice with."""
        if not self._compiles(kernel.configs[0]):
            return []
        first, *others = filter(self._compiles, kernel.configs)
        if self.level == 1:
            others = [config for config in others if self.target.is_quick(config)]
        return [first, *others][: CANDIDATES[self.level]] if others else []

    def _compiles(self, config: Attribute) -> bool:
        """Whether this machine has all that a kernel of the config is built of."""
        return self.toolchain.compiles(f"kernel{self.target.kernel_suffix(config)}")

    def _measure(self, trials: Sequence[Trial], times: dict[str, Times], device: str) -> None:
        """Measures trials, and adds what was found to the times and to the first store."""
        if not trials:
            return
        candidates = [trial.candidate for trial in trials]
        try:
            outcomes = measure(candidates, self.target, self.toolchain, self.build)
        except CompileError as error:
            self.report.problems.append(f"nothing was measured: {error}")
            return
        timings = self.timings(trials, outcomes, device)
        for timing in timings:
            if timing.failure:
                text = f"{timing.about}, {timing.config}: {timing.failure}"
                self.report.problems.append(text)
        self.stores[0].put(timings)
        problems = dict.fromkeys(trial.problem for trial in trials)
        self.report.measured = len(problems)
        for problem in problems:
            times[problem] = self._merged(times[problem], timings, problem, device)

    def _merged(self, known: Times, timings: Sequence[Timing], problem: str, device: str) -> Times:
        """Known times with new ones, if they are of the same device and compiler."""
        new = {t.config: t.seconds for t in timings if t.problem == problem}
        same = (known.device, known.toolchain) == (device, self._release)
        return Times(device, self._release, {**known.seconds, **new} if same else new)


def _main_kernels(module: ModuleOp) -> Iterator[KernelOp]:
    """The kernels of `@main` that have a config of their own: those of a group suit each other."""
    for function in module.ops:
        if isinstance(function, FuncOp) and function.sym_name.data == MAIN:
            for op in function.walk():
                is_member = isinstance(op.parent_op(), GroupOp)
                if isinstance(op, KernelOp) and op.config is not None and not is_member:
                    yield op


def shipped(target: Target) -> list[TimingStore]:
    """The timings that came with the target, if any."""
    path = target.timings
    return [TimingStore(path)] if path is not None and path.is_file() else []
