"""Runs prebuilt models on a GPU through the Python loader, and compares with the interpreter.

    python run_models.py [FOLDER] [NAME...] [--check CHECK]... [--without-torch]

Needs ait.runtime (NumPy, ml_dtypes, no compiler, no xDSL) and a driver; with PyTorch, its tensors
are tried too. Prints a line a check and exits 1 if one fails; one that cannot be made here is
skipped. See build_models.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import ait
from ait.runtime.loader import CompiledModel

if __package__:
    from tests.gpu.device_memory import memory_for, run_poisoned
else:  # as a script, in a folder of build_*.py too
    from device_memory import memory_for, run_poisoned

# Of the largest value: a sum in another order, rounded twice to f16.
_TOLERANCE = 4e-3


class Skipped(Exception):
    """A check that cannot be made here, and why."""


class Data:
    """What build_models.py saved of one model."""

    def __init__(self, path: Path, sizes: int) -> None:
        # NumPy alone stores 8-bit floats as raw bytes.
        self._arrays = {
            name: value.view(ml_dtypes.float8_e4m3fn) if value.dtype == "V1" else value
            for name, value in np.load(path).items()
        }
        self.sizes = range(sizes)

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        return {k[len(prefix) :]: v for k, v in self._arrays.items() if k.startswith(prefix)}

    def inputs(self, size: int) -> dict[str, np.ndarray]:
        return self.group(f"{size}:in:")

    def outputs(self, size: int, kind: str = "out") -> dict[str, np.ndarray]:
        return self.group(f"{size}:{kind}:")


def assert_close(actual: Mapping[str, Any], expected: Mapping[str, np.ndarray]) -> float:
    """The largest error, relative to the largest value."""
    worst = 0.0
    for name, wanted in expected.items():
        given, wanted = np.asarray(actual[name], np.float64), wanted.astype(np.float64)
        assert given.shape == wanted.shape, f"{name} has shape {given.shape}, not {wanted.shape}"
        assert np.isfinite(given).all(), f"{name} is not finite"
        if not wanted.size:
            continue
        worst = max(worst, float(np.abs(given - wanted).max() / np.abs(wanted).max()))
    assert worst <= _TOLERANCE, f"error {worst:.1e}"
    return worst


def every_size(model: CompiledModel, data: Data) -> str:
    """Sizes alternate: a plan or a tensor map kept from another size would show."""
    order = [*data.sizes, *reversed(data.sizes)]
    return (
        f"error {max(assert_close(model.run(data.inputs(i)), data.outputs(i)) for i in order):.1e}"
    )


def two_threads(model: CompiledModel, data: Data) -> str:
    """Two contexts at once give the same bits as one alone."""
    wanted = {i: model.run(data.inputs(i)) for i in data.sizes}
    problems: list[str] = []

    def work(first: int) -> None:
        with model.context() as context:
            for turn in range(50):
                i = data.sizes[(first + turn) % len(data.sizes)]
                results = context.run(data.inputs(i))
                problems.extend(
                    n for n, v in results.items() if not np.array_equal(v, wanted[i][n])
                )

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, f"{len(problems)} runs differ"
    return "100 runs"


def poisoned_memory(model: CompiledModel, data: Data) -> str:
    """All that is to be written is NaN before: outputs on the GPU, and a workspace of the size that
    was asked for, which is enough."""
    memory = memory_for(model)
    with model.context() as context:
        for i in (*data.sizes, *reversed(data.sizes)):
            results = run_poisoned(model, context, memory, data.inputs(i))
            assert_close(results, data.outputs(i))
    return f"{len(data.sizes)} sizes"


def pytorch_tensors(model: CompiledModel, data: Data) -> str:
    """Tensors on the GPU go in and come out there, the outputs poisoned before."""
    try:
        import torch
    except ImportError:
        raise Skipped("PyTorch is missing") from None
    for i in data.sizes:
        inputs = {n: torch.from_numpy(v).cuda() for n, v in data.inputs(i).items()}
        outputs = {
            n: torch.full(v.shape, torch.nan, dtype=torch.from_numpy(v).dtype, device="cuda")
            for n, v in data.outputs(i).items()
        }
        given = model.run(inputs, outputs)
        assert all(given[n] is outputs[n] for n in outputs)
        assert_close({n: v.cpu().numpy() for n, v in outputs.items()}, data.outputs(i))
        made = model.run(inputs)
        assert all(value.is_cuda for value in made.values())
        assert_close({n: v.cpu().numpy() for n, v in made.items()}, data.outputs(i))
    return f"{len(data.sizes)} sizes"


def refused_inputs(model: CompiledModel, data: Data) -> str:
    """An input out of its range is refused with the range, and the model stays usable."""
    inputs = data.inputs(data.sizes[-1])
    port = model.inputs[0]
    too_many = np.resize(inputs[port.name], [port.dims[0].upper + 1, *inputs[port.name].shape[1:]])
    try:
        model.run({**inputs, port.name: too_many})
    except ait.InputError as error:
        message = str(error)
    else:
        raise AssertionError("no error")
    assert f"is {len(too_many)}, outside its range" in message, message
    assert_close(model.run(data.inputs(0)), data.outputs(0))
    return message


def replaced_weights(model: CompiledModel, data: Data) -> str:
    """All weights replaced at run time."""
    model.set_weights(data.group("weight:"))
    worst = max(
        assert_close(model.run(data.inputs(i)), data.outputs(i, "replaced")) for i in data.sizes
    )
    return f"error {worst:.1e}"


def timed(model: CompiledModel, data: Data) -> str:
    """From call to completion, inputs on the GPU: for the log, nothing is asserted."""
    return "; ".join(f"{model.benchmark(data.inputs(i)).median * 1e6:.1f} us" for i in data.sizes)


CHECKS: tuple[Callable[[CompiledModel, Data], str], ...] = (
    every_size,
    two_threads,
    poisoned_memory,
    pytorch_tensors,
    refused_inputs,
    timed,
    replaced_weights,
)


def results_of(
    folder: Path, wanted: Sequence[str], checks: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Each check's title, how it ended ("ok", "skipped" or "FAILED"), and what it found."""
    for name, about in json.loads((folder / "models.json").read_text()).items():
        if wanted and name not in wanted:
            continue
        with ait.load(folder / f"{name}.so") as model:
            data = Data(folder / f"{name}.npz", len(about["dims"]))
            for check in CHECKS:
                if checks and check.__name__ not in checks:
                    continue
                title = f"{name}: {check.__name__.replace('_', ' ')}"
                try:
                    yield title, "ok", check(model, data)
                except Skipped as reason:
                    yield title, "skipped", str(reason)
                except (AssertionError, ait.AitError) as error:
                    yield title, "FAILED", str(error)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says. Raises SystemExit if it cannot be understood."""
    parser = argparse.ArgumentParser(description="run prebuilt models on a GPU")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("names", nargs="*", help="(default: all)")
    names = [check.__name__ for check in CHECKS]
    parser.add_argument("--check", action="append", choices=names, help="(default: all)")
    parser.add_argument("--without-torch", action="store_true", help="as if it were not there")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    if options.without_torch:
        sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    ends: Counter[str] = Counter()
    for title, end, found in results_of(options.folder, options.names, options.check or ()):
        ends[end] += 1
        print(f"{title:40} {end}: {found}", flush=True)
    if ends["skipped"]:
        print(f"{ends['skipped']} skipped")
    print(f"{ends['FAILED']} failed")
    return int(ends["FAILED"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
