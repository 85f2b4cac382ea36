"""Times of kernel candidates on the device of this machine.

All candidates are compiled in one parallel build, into one library, and run one after the other in
a child process that has a limit of time: a candidate that does not compile, crashes or hangs costs
itself and nothing else.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment

from ait.codegen.build import (
    BuildOptions,
    SourceError,
    SourceFile,
    Toolchain,
    build_library,
)
from ait.codegen.kernel_view import KernelView
from ait.codegen.rendering import environment
from ait.codegen.scalar import element_type
from ait.codegen.target import Target
from ait.codegen.tuning import worker
from ait.dialects.symbolic import dim_product, dims_of, element_of, evaluate
from ait.errors import CompileError
from ait.runtime import sources as runtime

_SECONDS_A_CANDIDATE = 20.0
_RUNTIME_PARTS = ("problems.cpp", "status.cpp", "thread_pool.cpp")


@dataclass(frozen=True)
class Candidate:
    """A kernel with a config, at values of the symbols that its sizes depend on."""

    view: KernelView
    symbols: Mapping[str, int]

    def operands(self) -> list[tuple[int, str]]:
        """The bytes and the element type of each operand's memory."""
        values = [*self.view.op.ins, *self.view.op.outs]
        return [
            (
                evaluate(dim_product(dims_of(value)), self.symbols) * element.bytes,
                element.name,
            )
            for value in values
            for element in [element_type(element_of(value))]
        ]

    def extents(self) -> list[int]:
        return [evaluate(extent.dim, self.symbols) for extent in self.view.extents]


@dataclass(frozen=True)
class Outcome:
    """The seconds of one launch, or None and why there are none."""

    seconds: float | None
    failure: str = ""


def measure(
    candidates: Sequence[Candidate], target: Target, toolchain: Toolchain, options: BuildOptions
) -> list[Outcome]:
    """The outcomes of candidates, in order. Raises CompileError if there is no device to run on."""
    with tempfile.TemporaryDirectory(prefix="ait-tune-") as scratch:
        library = Path(scratch) / "candidates.so"
        failures = build_candidates(candidates, target, toolchain, options, library)
        return run_candidates(library, len(candidates), failures)


# Building -------------------------------------------------------------------------------------


def build_candidates(
    candidates: Sequence[Candidate],
    target: Target,
    toolchain: Toolchain,
    options: BuildOptions,
    library: Path,
) -> dict[int, str]:
    """Builds a library of all candidates that compile, for `run_candidates` or `worker` here or
    elsewhere. Returns what the others failed with, by their index; no library if all did.

    Raises CompileError for what is no candidate's fault.
    """
    texts: dict[int, SourceFile] = {}
    failures: dict[int, str] = {}
    for i, candidate in enumerate(candidates):
        symbol = candidate.view.symbol
        try:
            text = target.render(candidate.view, symbol)
        except CompileError as error:
            failures[i] = str(error)
        else:
            suffix = target.kernel_suffix(candidate.view.config)
            texts[i] = SourceFile(f"kernels/{symbol}{suffix}", text)
    while True:
        built = [candidate for i, candidate in enumerate(candidates) if i not in failures]
        if not built:
            return failures
        kernels = {texts[i].name: texts[i] for i in texts if i not in failures}
        common = [_harness(built, target), *_runtime_sources(target)]
        try:
            build_library([*common, *kernels.values()], toolchain, library, options)
        except SourceError as error:
            failed = {i for i in texts if i not in failures and texts[i].name in error.failed}
            if not failed:
                raise
            failures |= dict.fromkeys(failed, "does not compile")
        else:
            return failures


def _harness(candidates: Sequence[Candidate], target: Target) -> SourceFile:
    rows = [
        {"symbol": c.view.symbol, "operands": c.operands(), "extents": c.extents()}
        for c in candidates
    ]
    text = (
        _templates()
        .get_template("candidates.cpp.j2")
        .render(
            symbols=sorted({c.view.symbol for c in candidates}),
            candidates=rows,
            cache_bytes=target.description.cache_bytes,
            has_graphs=target.device != "cpu",
        )
    )
    return SourceFile("candidates.cpp", text)


def _runtime_sources(target: Target) -> list[SourceFile]:
    paths = runtime.runtime_sources(target.device)
    wanted = [path for path in paths if path.name in _RUNTIME_PARTS or path == paths[-1]]
    return [SourceFile(f"runtime/{path.name}", path.read_text()) for path in wanted]


@cache
def _templates() -> Environment:
    return environment("ait.codegen.tuning")


# Running --------------------------------------------------------------------------------------


def run_candidates(library: Path, count: int, failures: Mapping[int, str]) -> list[Outcome]:
    """Outcomes of `count` candidates: of those in the library, and the failures of the others."""
    built = count - len(failures)
    measured: list[Outcome] = []
    while len(measured) < built:  # a new process goes on where one ended early
        measured += _run_from(library, len(measured), built)
    outcomes = iter(measured)
    return [Outcome(None, failures[i]) if i in failures else next(outcomes) for i in range(count)]


def _run_from(library: Path, first: int, count: int) -> list[Outcome]:
    """Outcomes from the `first` candidate on, until the process ends; at least one."""
    outcomes: list[Outcome] = []
    with _child(library, first, count) as (process, lines):
        while first + len(outcomes) < count:
            try:
                line = lines.get(timeout=_SECONDS_A_CANDIDATE)
            except queue.Empty:
                return [*outcomes, Outcome(None, f"took more than {_SECONDS_A_CANDIDATE:g} s")]
            if line is None:
                code = process.wait()
                return [*outcomes, Outcome(None, f"ended the process (status {code})")]
            found = json.loads(line)
            if "failure" in found:
                # A device that reports an error answers no more calls of the same process.
                return [*outcomes, Outcome(None, found["failure"])]
            if "seconds" in found:
                outcomes.append(Outcome(found["seconds"]))
    return outcomes


@contextmanager
def _child(
    library: Path, first: int, count: int
) -> Generator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """A process that runs candidates, and its lines of output; None is the end of them."""
    command = [sys.executable, "-I", str(worker.__file__), str(library), str(first), str(count)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
