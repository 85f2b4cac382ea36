"""Runs prebuilt random programs on a GPU through the Python loader, and compares.

    python run_programs.py [FOLDER] [NAME...] [--unpoisoned]

Needs ait.runtime (NumPy, ml_dtypes; no compiler, no xDSL) and a driver. Outputs and workspace lie
on the GPU and are filled with NaN before each run. Prints a line a program and exits 1 if one is
wrong. See build_programs.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ait
from ait.runtime.arrays import numpy_dtype
from ait.runtime.loader import Context

if __package__:
    from tests.gpu.device_memory import HostMemory, memory_for, run_poisoned
else:  # as a script, in a folder of build_*.py too
    from device_memory import HostMemory, memory_for, run_poisoned


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array


class Program:
    """One program with its saved data."""

    def __init__(
        self, folder: Path, name: str, about: Mapping[str, Any], *, poisons: bool = True
    ) -> None:
        self.model = ait.load(folder / f"{name}.so")
        self.memory = memory_for(self.model) if poisons else HostMemory()
        self.sizes = range(about["sizes"])
        self._tolerances: Mapping[str, float] = about["tolerances"]
        self._arrays = dict(np.load(folder / f"{name}.npz"))

    def problems(self) -> list[str]:
        """What is wrong. Sizes alternate: a plan that was kept from another size would show."""
        found: list[str] = []
        with self.model.context() as context:
            first = {size: self._run(context, size) for size in self.sizes}
            for size, results in first.items():
                found += [f"size {size}, {text}" for text in self._differences(size, results)]
            for size in reversed(self.sizes):
                again = self._run(context, size)
                found += [
                    f"size {size}, {name}: other bits in a second run"
                    for name, value in again.items()
                    if _bits(value).tobytes() != _bits(first[size][name]).tobytes()
                ]
        return found

    def _run(self, context: Context, size: int) -> dict[str, np.ndarray]:
        inputs = {
            port.name: self._saved(f"{size}:in:{port.name}", port.dtype)
            for port in self.model.inputs
        }
        return run_poisoned(self.model, context, self.memory, inputs)

    def _saved(self, key: str, dtype: str) -> np.ndarray:
        array = self._arrays[key]
        return array.view(numpy_dtype(dtype)) if dtype == "bf16" else array

    def _differences(self, size: int, results: Mapping[str, np.ndarray]) -> list[str]:
        found: list[str] = []
        for port in self.model.outputs:
            wanted = self._saved(f"{size}:out:{port.name}", port.dtype)
            text = difference(results[port.name], wanted, self._tolerances[port.name])
            found += [f"{port.name}: {text}"] if text else []
        return found


def difference(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """How two arrays differ, or an empty text. The tolerance is relative to the largest value."""
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, not {expected.shape}"
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    scale = 1 + float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    wrong = ~np.isclose(actual, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{wrong.sum()} of {wrong.size} wrong, first {at}: {actual[at]}, not {expected[at]}"


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says. Raises SystemExit if it cannot be understood."""
    parser = argparse.ArgumentParser(description="run prebuilt programs on a GPU")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("names", nargs="*", help="(default: all)")
    parser.add_argument(
        "--unpoisoned",
        action="store_true",
        help="memory of the GPU as it is, which initcheck needs",
    )
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    folder, wanted = options.folder, options.names
    failed = 0
    for name, about in json.loads((folder / "programs.json").read_text()).items():
        if wanted and name not in wanted:
            continue
        try:
            program = Program(folder, name, about, poisons=not options.unpoisoned)
            problems = program.problems()
        except ait.AitError as error:
            problems = [str(error)]
        failed += bool(problems)
        text = f"{about['launches']} launches, {about['sizes']} sizes"
        print(f"{name:12} {text:22} {'; '.join(problems) or 'ok'}", flush=True)
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
