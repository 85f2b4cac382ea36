"""Compiles the cases; needs no GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.manifest import add_to_manifest, compile_seconds


def build(titles: Sequence[str], folder: Path, target: str) -> None:
    """Writes a library for each case, several at once, and what they are to a manifest.

    Raises AitError for the first case that does not compile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    built: dict[str, float] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {title: pool.submit(_build_case, title, folder, target) for title in titles}
        for title, job in jobs.items():
            built[title] = job.result()
            print(f"{title:34} compiled in {built[title]:.1f} s", flush=True)
    add_to_manifest(folder, target, built)


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
