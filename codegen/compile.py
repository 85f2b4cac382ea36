"""The driver: a program and a target's name -> a shared library, with a report of what was done."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from xdsl.dialects.builtin import ModuleOp

from ait.codegen.build import BuildOptions, BuildReport, SourceFile, Toolchain, build_library
from ait.codegen.cache import ObjectCache
from ait.codegen.emit import distinct_kernels, emit_kernels, emit_model, fingerprint
from ait.codegen.plan import ModelPlan, make_plan
from ait.codegen.report.data import Recorder, launch_ops
from ait.codegen.report.page import write_page
from ait.codegen.target import Target, code_target
from ait.codegen.tuning.tune import Tuner, TuningReport
from ait.codegen.weights import (
    StoredWeight,
    has_blob,
    store_weights,
    total_bytes,
    write_file,
    write_object,
)
from ait.collector import paused_collector
from ait.dialects.kernel import CopyOp
from ait.dialects.symbolic import dims_of, symbols_of
from ait.errors import CompileError
from ait.ir.context import make_context
from ait.ir.interpreter.evaluate import prepared_weights
from ait.ir.program import Program, inputs_of
from ait.passes.pipelines import PassRun, run_pipeline
from ait.passes.remarks import Remark, collect_remarks
from ait.passes.target import with_mode
from ait.runtime import sources as runtime
from ait.runtime.inspect import weights_file_of

_SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
_SANITIZE_COMPILE = (*_SANITIZE, "-fno-omit-frame-pointer", "-g")
# The pass after which the graph is kernels that are not fused yet.
_LOWERED = "lower-graph"


@dataclass(frozen=True)
class CompileOptions:
    """How to compile.

    `name`: what the model calls itself; the output's stem if not given.
    `weights`: "embedded" in the library, or in a "file" beside it, `<output>.safetensors`.
    `freeze`: keep no weights that are folded into others: smaller, but they cannot be replaced.
    `pipeline`: names of passes and pipelines. `verify`: check the IR after each pass.
    `jobs`: compilers at once; as many as cores and memory allow if not given.
    `timeout`: seconds for all compilers together.
    `cache`: whether to use the object cache.
    `keep`: a folder for the generated sources and their objects.
    `report`: a file for a page of HTML that shows what was fused, what was not, and why.
    `progress`: a progress bar on stderr; shown on a terminal if not given.
    `tune`: how hard to look for fast kernels (codegen/tuning/tune.py): 0 trusts the model, 1 takes
    stored timings and measures what has none, if this machine has the device, 2 and 3 measure more.
    `tune_at`: values of dynamic dims to tune at; the largest if not given.
    `sanitize`: build with AddressSanitizer and UndefinedBehaviorSanitizer.
    `f32_products`: how an NVIDIA GPU multiplies f32: as three products of TF32 numbers, which are
    as accurate as f32 ("tf32x3"), as one, which keeps 10 bits of mantissa ("tf32"), or by
    multiply-add ("f32"). Others than the first are modes of the target, as `cuda:sm_90a+tf32`.
    """

    name: str | None = None
    weights: Literal["embedded", "file"] = "embedded"
    freeze: bool = False
    pipeline: tuple[str, ...] = ("default",)
    verify: bool = False
    jobs: int | None = None
    timeout: float = 3600.0
    cache: bool = True
    keep: Path | None = None
    report: Path | None = None
    progress: bool | None = None
    tune: int = 1
    tune_at: Mapping[str, int] = field(default_factory=dict[str, int])
    sanitize: bool = False
    f32_products: Literal["tf32x3", "tf32", "f32"] = "tf32x3"


@dataclass
class CompileReport:
    """What a compile did. Times are in seconds, sizes in bytes.

    `launches_before` and `launches`: kernel calls (and copies) of a run, before fusion and now.
    `kernels`: distinct ones. `movements`: launches that only move data.
    `workspace`: the least and most bytes of intermediate values, over the ranges of the dims.
    `compiled` and `cached`: names of sources.
    """

    target: str
    launches_before: int = 0
    launches: int = 0
    kernels: int = 0
    movements: int = 0
    workspace: tuple[int, int] = (0, 0)
    weight_bytes: int = 0
    library_bytes: int = 0
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict[str, float])
    passes: list[PassRun] = field(default_factory=list[PassRun])
    compiled: list[str] = field(default_factory=list[str])
    cached: list[str] = field(default_factory=list[str])
    remarks: list[Remark] = field(default_factory=list[Remark])
    tuning: TuningReport = field(default_factory=TuningReport)

    def as_json(self) -> dict[str, object]:
        """The report as plain values, for tools."""
        return {
            **{k: v for k, v in vars(self).items() if k not in ("passes", "remarks", "tuning")},
            "tuning": vars(self.tuning),
            "passes": [{"name": run.name, "seconds": run.seconds} for run in self.passes],
            "remarks": [str(remark) for remark in self.remarks],
        }

    def __str__(self) -> str:
        low, high = self.workspace
        phases = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.phases.items())
        return "\n".join(
            (
                f"target     {self.target}",
                f"launches   {self.launches} of {self.kernels} kernels "
                f"({self.launches_before} before fusion), {self.movements} of them data movement",
                f"workspace  {_megabytes(low)} to {_megabytes(high)}",
                f"weights    {_megabytes(self.weight_bytes)}",
                f"library    {_megabytes(self.library_bytes)}",
                f"sources    {len(self.compiled)} compiled, {len(self.cached)} cached",
                f"tuning     {self.tuning}",
                f"time       {self.seconds:.2f} s: {phases}",
            )
        )


@dataclass(frozen=True)
class Artifact:
    """A compiled model.

    `path`: the library. `weights`: the file that it needs, if its weights are not embedded.
    `lowered`: the program as it was when code was generated from it. `page`: the report as HTML,
    if one was asked for.
    """

    path: Path
    weights: Path | None
    lowered: Program
    report: CompileReport
    page: Path | None = None


def compile_program(
    program: Program,
    target: str = "cpu",
    output: str | Path = "model.so",
    options: CompileOptions | None = None,
) -> Artifact:
    """Compiles a program of the graph level to a shared library with the C interface of `ait.h`.

    The program itself stays as it is. Raises AitErrors that list all problems of a phase at once:
    CompileError for what the target cannot run or what fails to build, ToolchainError for missing
    tools, WeightError for missing weights.
    """
    options = options or CompileOptions()
    if options.f32_products != "tf32x3":
        target = with_mode(target, options.f32_products)
    with paused_collector():
        return _Compilation(program, code_target(target), Path(output), options).run()


def library_toolchain(target: Target, sanitize: bool = False) -> Toolchain:
    """The target's toolchain with what the runtime needs. Raises ToolchainError."""
    toolchain = target.toolchain()
    folders = [*runtime.include_dirs(), runtime.runtime_sources(target.device)[0].parent]
    compilers = {
        end: replace(
            compiler,
            includes=tuple(dict.fromkeys((*compiler.includes, *folders))),
            flags=(*compiler.flags, *(runtime.compile_flags() if end == ".cpp" else ())),
        )
        for end, compiler in toolchain.compilers.items()
    }
    link_flags = (*toolchain.link_flags, *runtime.link_flags(target.device))
    complete = replace(toolchain, compilers=compilers, link_flags=link_flags)
    return complete.with_flags(_SANITIZE_COMPILE, _SANITIZE) if sanitize else complete


class _Compilation:
    """One compile; the methods are its phases."""

    def __init__(self, program: Program, target: Target, output: Path, options: CompileOptions):
        self.program = program
        self.target = target
        self.output = output
        self.options = options
        self.report = CompileReport(target.name)
        self.recorder = Recorder(target) if self.options.report else None

    def run(self) -> Artifact:
        started = time.perf_counter()
        # A missing compiler should not be found after minutes of other work.
        with self._phase("toolchain"):
            toolchain = library_toolchain(self.target, self.options.sanitize)
            tuner = self._tuner(toolchain)
            tuner.look_for_device()
        with self._phase("passes"):
            lowered = self._lower()
        with self._phase("tune"):
            self.report.tuning = tuner.tune(lowered.module)
        with self._phase("plan"):
            plan = make_plan(lowered.module, self.options.freeze)
            self._count(plan)
        with self._phase("weights"):
            weights = self._weights(plan, lowered)
        with self._phase("emit"):
            sources = self._sources(plan, weights)
        self._build(sources, weights, toolchain)
        file = self._write_weights(plan, weights)
        self.report.library_bytes = self.output.stat().st_size
        self.report.seconds = time.perf_counter() - started
        return Artifact(self.output, file, lowered, self.report, self._write_page(plan, lowered))

    # Phases

    def _lower(self) -> Program:
        lowered = self.program.clone()
        with collect_remarks() as remarks:
            self.report.passes = run_pipeline(
                lowered.module,
                self.options.pipeline,
                target=self.target.name,
                context=make_context(),
                verify=self.options.verify,
                after_pass=self._after_pass,
            )
        # A remark's op keeps all of the IR that it came from alive.
        self.report.remarks = [replace(remark, op=None) for remark in remarks]
        return lowered

    def _tuner(self, toolchain: Toolchain) -> Tuner:
        sizes = self.options.tune_at
        ports = inputs_of(self.program.main)
        names = {s.name for port in ports for s in symbols_of(dims_of(port.type))}
        unknown = sorted(set(sizes) - names)
        if unknown:
            raise CompileError(f"tune_at: the model has no dynamic dim '{unknown[0]}'")
        build = self._build_options()
        return Tuner(self.target, toolchain, self.options.tune, sizes, build=build)

    def _build_options(self) -> BuildOptions:
        return BuildOptions(
            cache=ObjectCache() if self.options.cache else None,
            jobs=self.options.jobs,
            timeout=self.options.timeout,
            keep=self.options.keep,
            progress=self.options.progress,
        )

    def _after_pass(self, name: str, module: ModuleOp) -> None:
        if name == _LOWERED and self.report.launches_before == 0:
            self.report.launches_before = len(launch_ops(module))
            if self.recorder is not None:
                self.recorder.lowered(module)

    def _count(self, plan: ModelPlan) -> None:
        report = self.report
        report.launches = len(plan.main.calls)
        report.kernels = len(distinct_kernels(plan.main.calls))
        members = [view for call in plan.main.calls for view in call.view.members]
        report.movements = sum(isinstance(view.op, CopyOp) for view in members)
        report.workspace = plan.main.workspace(self.target.description.alignment)

    def _weights(self, plan: ModelPlan, lowered: Program) -> list[StoredWeight]:
        values = prepared_weights(lowered)
        embed = self.options.weights == "embedded"
        stored = store_weights(plan.weights, values, self.target.description.alignment, embed)
        self.report.weight_bytes = total_bytes(stored)
        return stored

    def _sources(self, plan: ModelPlan, weights: Sequence[StoredWeight]) -> list[SourceFile]:
        name = self.options.name or self.output.stem
        # Of an inline function that several objects define, the linker takes the first: it must be
        # one for any machine, since the runtime runs before it is known whether kernels can.
        return [
            emit_model(plan, self.target, name, weights),
            *_runtime_sources(self.target),
            *emit_kernels(plan, self.target),
        ]

    def _build(
        self,
        sources: Sequence[SourceFile],
        weights: Sequence[StoredWeight],
        toolchain: Toolchain,
    ) -> None:
        def embed(objects: Sequence[Path], folder: Path) -> list[Path]:
            with self._phase("weights"):
                write_object(weights, folder / "weights.o", objects[0])
            return [folder / "weights.o"]

        # No blob if the weights go to a file, or there are none.
        data = embed if has_blob(weights) else None
        options = self._build_options()
        self._record(build_library(sources, toolchain, self.output, options, data))

    def _record(self, built: BuildReport) -> None:
        self.report.compiled, self.report.cached = built.compiled, built.cached
        self.report.phases |= {"compile": built.compile_seconds, "link": built.link_seconds}

    def _write_weights(self, plan: ModelPlan, weights: Sequence[StoredWeight]) -> Path | None:
        if self.options.weights != "file":
            return None
        path = weights_file_of(self.output)
        with self._phase("weights"):
            write_file(weights, path, fingerprint(plan, self.target, weights))
        return path

    def _write_page(self, plan: ModelPlan, lowered: Program) -> Path | None:
        if self.recorder is None or self.options.report is None:
            return None
        report = self.report
        facts: dict[str, object] = {
            "kernels": report.kernels,
            "workspace": list(report.workspace),
            "weight_bytes": report.weight_bytes,
            "library_bytes": report.library_bytes,
            "compile_seconds": report.seconds,
            "phases": report.phases,
            "passes": [vars(run) for run in report.passes],
        }
        name = self.options.name or self.output.stem
        data = self.recorder.finished(name, lowered.module, plan, report.remarks, facts)
        write_page(data, self.options.report)
        return self.options.report

    @contextmanager
    def _phase(self, name: str) -> Generator[None]:
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.report.phases[name] = self.report.phases.get(name, 0.0) + seconds


def _runtime_sources(target: Target) -> list[SourceFile]:
    return [
        SourceFile(f"runtime/{path.name}", path.read_text())
        for path in runtime.runtime_sources(target.device)
    ]


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.2f} MiB"
