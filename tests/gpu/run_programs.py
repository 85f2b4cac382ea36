"""Runs prebuilt random programs on a GPU through the Python loader, and compares.

    python run_programs.py [FOLDER] [NAME...] [--without-torch]

Needs ait.runtime (NumPy, ml_dtypes; no compiler, no xDSL) and a driver. With PyTorch, outputs and
workspace lie on the GPU and are filled with NaN before each run. Prints a line a program and exits
1 if one is wrong. See build_programs.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import ait
from ait.runtime.arrays import itemsize, numpy_dtype
from ait.runtime.loader import CompiledModel, Context

_ALL_ONES = 0xFF
"""Bytes of NaN in every float type, and of -1 in integers."""


class Memory(Protocol):
    """Where arrays lie."""

    def given(self, array: np.ndarray) -> Any:
        """The same values there."""
        ...

    def poisoned(self, shape: Sequence[int], dtype: str) -> Any:
        """An array of which no value is right."""
        ...

    def read(self, array: Any, dtype: str) -> np.ndarray:
        """Its values as a NumPy array."""
        ...


class HostMemory:
    """NumPy arrays, which the loader copies to and fro."""

    def given(self, array: np.ndarray) -> Any:
        return array

    def poisoned(self, shape: Sequence[int], dtype: str) -> Any:
        size = int(np.prod(shape)) * itemsize(dtype)
        return np.full(size, _ALL_ONES, np.uint8).view(numpy_dtype(dtype)).reshape(shape)

    def read(self, array: Any, dtype: str) -> np.ndarray:
        return np.array(array)


class DeviceMemory:
    """PyTorch tensors on the GPU, which kernels read and write in place."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._types = {"bf16": torch.bfloat16, "i1": torch.bool}

    def given(self, array: np.ndarray) -> Any:
        tensor = self._torch.from_numpy(np.array(_bits(array)))
        if array.dtype.name == "bfloat16":
            tensor = tensor.view(self._torch.bfloat16)
        return tensor.cuda()

    def poisoned(self, shape: Sequence[int], dtype: str) -> Any:
        kind = self._types.get(dtype) or getattr(self._torch, numpy_dtype(dtype).name)
        size = int(np.prod(shape)) * itemsize(dtype)
        return self.bytes(size).view(kind).reshape(tuple(shape))

    def bytes(self, size: int) -> Any:
        return self._torch.full((size,), _ALL_ONES, dtype=self._torch.uint8, device="cuda")

    def read(self, array: Any, dtype: str) -> np.ndarray:
        if dtype == "bf16":
            return array.view(self._torch.uint16).cpu().numpy().view(numpy_dtype(dtype))
        return array.cpu().numpy()


def _bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array


def memory_for(model: CompiledModel) -> Memory:
    """The GPU's, if the model runs on one and PyTorch is there to allocate it."""
    if model.device == "cuda":
        try:
            import torch
        except ImportError:
            print("PyTorch is missing: outputs and workspace are not poisoned", flush=True)
        else:
            return DeviceMemory(torch)
    return HostMemory()


class Program:
    """One program with its saved data."""

    def __init__(self, folder: Path, name: str, about: Mapping[str, Any]) -> None:
        self.model = ait.load(folder / f"{name}.so")
        self.memory = memory_for(self.model)
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
        """The outputs, from inputs in new places and into poisoned memory."""
        inputs = {
            port.name: self.memory.given(self._saved(f"{size}:in:{port.name}", port.dtype))
            for port in self.model.inputs
        }
        shapes = {name: tuple(value.shape) for name, value in inputs.items()}
        if isinstance(self.memory, DeviceMemory):
            context.set_workspace(self.memory.bytes(max(1, context.workspace_size(shapes))))
        types = {port.name: port.dtype for port in self.model.outputs}
        outputs = {
            name: self.memory.poisoned(shape, types[name])
            for name, shape in context.output_shapes(shapes).items()
        }
        context.run(inputs, outputs)
        return {name: self.memory.read(value, types[name]) for name, value in outputs.items()}

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
    parser.add_argument("--without-torch", action="store_true", help="as if it were not there")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    if options.without_torch:
        sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    folder, wanted = options.folder, options.names
    failed = 0
    for name, about in json.loads((folder / "programs.json").read_text()).items():
        if wanted and name not in wanted:
            continue
        try:
            problems = Program(folder, name, about).problems()
        except ait.AitError as error:
            problems = [str(error)]
        failed += bool(problems)
        text = f"{about['launches']} launches, {about['sizes']} sizes"
        print(f"{name:12} {text:22} {'; '.join(problems) or 'ok'}", flush=True)
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
