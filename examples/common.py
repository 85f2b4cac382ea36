"""What the examples share: arguments, and compile, run, check, summarize."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import ait
from ait import nn
from ait.codegen.compile import Artifact, CompileOptions

TOLERANCE = {"f32": 1e-3, "f16": 2e-2, "bf16": 1e-1}
"""The largest error, relative to the largest value, that rounding in another order explains."""

console = Console(highlight=False)


def parse_arguments(description: str | None) -> argparse.Namespace:
    """The arguments of all examples."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="cpu", help="cpu, cuda:sm_90a, ... (default: cpu)")
    parser.add_argument("--dtype", default="f32", choices=TOLERANCE, help="(default: f32)")
    parser.add_argument("--weights", type=Path, help="a safetensors checkpoint (default: random)")
    parser.add_argument("--output", type=Path, help="keep the compiled library in this file")
    return parser.parse_args()


def check(
    name: str,
    model: nn.Module,
    specs: Mapping[str, ait.TensorSpec],
    inputs: Mapping[str, nn.Array],
    arguments: argparse.Namespace,
) -> None:
    """Compiles a model, runs it, compares with the interpreter and prints a summary.

    Exits with status 1 if the results differ by more than rounding explains.
    """
    program = ait.trace(model, specs)
    with library_path(arguments.output, name) as path:
        artifact = ait.compile(program, arguments.target, path, CompileOptions(name=name))
        with ait.load(path) as compiled:
            actual = compiled.run(dict(inputs))
            timing = compiled.benchmark(dict(inputs), repetitions=5, warmup=1)
    expected = ait.evaluate(program, dict(inputs))
    error = max(relative_error(actual[port], expected[port]) for port in expected)

    table = summary(name)
    add_report(table, artifact)
    table.add_row("compile time", f"{artifact.report.seconds:.1f} s")
    shapes = ", ".join("x".join(map(str, array.shape)) for array in inputs.values())
    table.add_row("latency", f"{timing.median * 1e3:.1f} ms for {shapes}")
    right = error <= TOLERANCE[arguments.dtype]
    mark = "[green]agrees[/]" if right else "[red]differs[/]"
    table.add_row("interpreter", f"{mark}: largest relative error {error:.1e}")
    console.print(table)
    if not right:
        raise SystemExit(1)


def summary(title: str) -> Table:
    """A table of facts: name and value."""
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold")
    table.add_column(style="dim")
    table.add_column()
    return table


def add_report(table: Table, artifact: Artifact) -> None:
    """What the compiler says of its work."""
    report = artifact.report
    low, high = report.workspace
    table.add_row("target", report.target)
    launches = f"{report.launches_before} before fusion, {report.launches} after"
    table.add_row("kernel launches", launches)
    table.add_row("distinct kernels", str(report.kernels))
    table.add_row("data movements left", str(report.movements))
    table.add_row("workspace", f"{mebibytes(low)} to {mebibytes(high)}, by input size")
    table.add_row("weights", mebibytes(report.weight_bytes))
    table.add_row("library", mebibytes(report.library_bytes))


def mebibytes(count: int) -> str:
    """A number of bytes, in MiB."""
    return f"{count / 2**20:.1f} MiB"


def relative_error(actual: nn.Array, expected: nn.Array) -> float:
    """The largest difference over the largest magnitude; infinite where NaNs differ."""
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    scale = max(float(np.nanmax(np.abs(b), initial=0)), 1e-30)
    return float(np.nanmax(np.abs(a - b), initial=0)) / scale


@contextmanager
def library_path(output: Path | None, name: str) -> Generator[Path]:
    """Where to put the library: the given file, or one that is deleted at the end."""
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / f"{name}.so"


@contextmanager
def cache_folder(folder: str | Path) -> Generator[None]:
    """Uses another object cache."""
    before = os.environ.get("AIT_CACHE_DIR")
    os.environ["AIT_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["AIT_CACHE_DIR"]
        else:
            os.environ["AIT_CACHE_DIR"] = before
