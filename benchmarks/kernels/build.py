"""Compiles the cases; needs no GPU."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environment import variables
from benchmarks.manifest import add_to_manifest, compile_seconds

CompileOne = Callable[[str, Path, str], float]
"""Compiles the case of a name for a target, into a folder; returns the seconds. It is called in
other processes, so it must be a function of a module, or a `partial` of one."""


def build(titles: Sequence[str], folder: Path, target: str) -> None:
    """Writes a library for each case; see `build_all`."""
    build_all(titles, folder, target, _build_case)


def build_all(names: Sequence[str], folder: Path, target: str, compile_one: CompileOne) -> None:
    """Writes libraries of cases, several at once, and how long each took to the manifest.

    No kernel comes from the user's cache, nor do timings that are kept there: seconds are those of
    a model that is compiled the first time, on a machine that has compiled others.

    Raises AitError for the first case that does not compile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    built: dict[str, float] = {}
    with _cache_of_the_runtime(target), ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {name: pool.submit(compile_one, name, folder, target) for name in names}
        for name, job in jobs.items():
            built[name] = job.result()
            print(f"{name:44} compiled in {built[name]:.1f} s", flush=True)
    add_to_manifest(folder, target, built)


@contextmanager
def _cache_of_the_runtime(target: str) -> Generator[None]:
    """An object cache, for this process and its children, that has the runtime's objects alone."""
    import ait
    from ait.codegen.compile import CompileOptions

    with tempfile.TemporaryDirectory() as cache, variables({"AIT_CACHE_DIR": cache}):
        program = ait.trace(lambda x: x + 1, {"x": ait.TensorSpec((8,), "f32")})
        options = CompileOptions(tune=0, progress=False)
        ait.compile(program, target, Path(cache) / "smallest.so", options)
        yield


def _build_case(title: str, folder: Path, target: str) -> float:
    """Compiles one case in a process of its own, which finds it by its title."""
    import ait
    from ait.codegen.compile import CompileOptions
    from benchmarks.kernels.cases import CASES

    case = CASES[title]
    model = case.module().init_random().to(case.element)
    specs = {name: ait.TensorSpec(shape, case.element) for name, shape in case.inputs.items()}
    library = folder / case.file_name
    options = CompileOptions(weights="file", tune=0, jobs=1, progress=False)
    begin = time.perf_counter()
    artifact = ait.compile(ait.trace(model, specs), target, library, options)
    seconds = time.perf_counter() - begin
    # Weights are drawn where the case runs.
    if artifact.weights is not None:
        artifact.weights.unlink()
    return seconds


def libraries_of(titles: Iterable[str], folder: Path) -> list[str]:
    """The titles whose library is in the folder."""
    known = compile_seconds(folder)
    return [title for title in titles if title in known]
