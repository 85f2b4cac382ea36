"""Compiles the models of models.py here, to run on a machine that has a GPU and little else.

    python -m tests.gpu.build_models FOLDER [NAME...] [--jobs N] [--seed N]    (here)
    python FOLDER/run_models.py                            (there: needs ait.runtime and a driver)

Every model becomes a library and an .npz file: inputs and the interpreter's outputs at several
sizes, with the weights as traced and with all of them replaced.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ait
from ait.codegen.compile import CompileOptions
from ait.dialects.symbolic import dims_of, element_of, evaluate
from ait.ir.dtypes import dtype_of
from ait.ir.program import Program, inputs_of
from tests.gpu.models import MODELS, Model

TARGET = "cuda:sm_90a"
SEED = 7
_SCRIPTS = ("run_models.py", "device_memory.py")
"""What runs there."""


def build(
    folder: Path, names: Iterable[str] = MODELS, jobs: int | None = None, seed: int = SEED
) -> None:
    """Writes libraries, data and the runner to `folder`. `jobs`: compilers at once. `seed`: of the
    inputs and of the weights that replace others."""
    folder.mkdir(parents=True, exist_ok=True)
    options = CompileOptions(jobs=jobs)
    descriptions = {n: build_model(folder, n, MODELS[n], options, seed) for n in names}
    (folder / "models.json").write_text(json.dumps(descriptions, indent=1))
    for script in _SCRIPTS:
        shutil.copy(Path(__file__).parent / script, folder)


def build_model(
    folder: Path, name: str, model: Model, options: CompileOptions, seed: int
) -> dict[str, object]:
    """Compiles a model and saves its data; returns what the runner must know."""
    program = model.make()
    artifact = ait.compile(program, TARGET, folder / f"{name}.so", options)
    print(f"built {name}: {artifact.report.seconds:.1f} s", flush=True)
    data = data_of(program, model.dims, seed)
    np.savez(folder / f"{name}.npz", **data)  # pyright: ignore[reportArgumentType]
    return {"launches": artifact.report.launches, "dims": [dict(dims) for dims in model.dims]}


def data_of(
    program: Program, sizes: Sequence[Mapping[str, int]], seed: int
) -> dict[str, NDArray[Any]]:
    """Random weights, random inputs at every size, and the interpreter's outputs with the
    program's own weights and with those."""
    generator = np.random.default_rng(seed)
    replaced = {
        key: (generator.uniform(-1, 1, value.shape) / 8).astype(value.dtype)
        for key, value in program.weights.items()
    }
    changed = Program(program.module, replaced)
    data: dict[str, NDArray[Any]] = {f"weight:{key}": value for key, value in replaced.items()}
    for index, dims in enumerate(sizes):
        inputs = {
            port.name: random_input(
                generator,
                [evaluate(dim, dims) for dim in dims_of(port.type)],
                dtype_of(element_of(port.type)).numpy,
            )
            for port in inputs_of(program.main)
        }
        data |= {f"{index}:in:{key}": value for key, value in inputs.items()}
        data |= {f"{index}:out:{k}": v for k, v in ait.evaluate(program, inputs).items()}
        data |= {f"{index}:replaced:{k}": v for k, v in ait.evaluate(changed, inputs).items()}
    return data


def random_input(
    generator: np.random.Generator, shape: Sequence[int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Numbers between -1 and 1, or indices below 40."""
    if dtype.kind == "i":
        return generator.integers(0, 40, shape).astype(dtype)
    return generator.uniform(-1, 1, shape).astype(dtype)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="compile test models, to run on another machine")
    parser.add_argument("folder", type=Path, help="where libraries, data and the runner go")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--jobs", type=int, help="compilers at once (default: what fits here)")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of random data (default: %(default)s)"
    )
    options = parser.parse_intermixed_args(arguments)
    if unknown := [name for name in options.names if name not in MODELS]:
        parser.error(f"no model is named {', '.join(unknown)}")
    build(options.folder, options.names or MODELS, options.jobs, options.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
