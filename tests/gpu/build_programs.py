"""Compiles random programs here, to run on a machine that has a GPU and little else.

    python -m tests.gpu.build_programs FOLDER [COUNT [SEED [NETWORKS]]] [--jobs N]     (here)
    python FOLDER/run_programs.py                           (there: needs ait.runtime, a driver)

They are those of the property tests (tests/property/programs.py), and networks of sizes that the
fast kernels take (networks.py). Each becomes a library and an .npz file: inputs and the
interpreter's outputs at several sizes, of the small ones among them 0 and 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from numpy.typing import NDArray
from xdsl.ir import Operation

import ait
from ait.codegen.compile import CompileOptions
from ait.dialects import graph
from ait.dialects.symbolic import dims_of, element_of, evaluate, symbols_of
from ait.ir.dtypes import dtype_of
from ait.ir.program import Program, inputs_of
from tests.gpu.networks import network
from tests.property.programs import MAKERS, Case, cases, tolerance

TARGET = "cuda:sm_90a"
COUNT, SEED, NETWORKS = 60, 11, 24
_SCRIPTS = ("run_programs.py", "device_memory.py")
"""What runs there."""
_SIZES = ({"m": 0, "n": 1}, {"m": 1, "n": 1}, {"m": 5, "n": 3})
"""What all programs are run at, beside the sizes that were drawn with them."""


@dataclass(frozen=True)
class Run:
    """Inputs at one size, and what the interpreter makes of them."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Built:
    """A program to build: how it runs, and how far its outputs may be off, relative to the largest
    value."""

    program: Program
    runs: Sequence[Run]
    tolerances: Mapping[str, float]


def build(
    folder: Path,
    count: int = COUNT,
    first: int = SEED,
    networks: int = NETWORKS,
    *,
    target: str = TARGET,
    jobs: int | None = None,
) -> None:
    """Writes libraries, data and the runner to `folder`. `first`: the seed of the first program and
    of the first network, those after it have the next ones. `jobs`: compilers at once."""
    options = CompileOptions(tune=0, progress=False, jobs=jobs)
    folder.mkdir(parents=True, exist_ok=True)
    cases = enumerate(generated(count, first))
    programs = {f"program_{i}": of_case(case, first + i) for i, case in cases}
    programs |= {f"network_{i}": of_network(first + i) for i in range(networks)}
    described = {
        name: build_program(folder, name, program, target, options)
        for name, program in programs.items()
    }
    (folder / "programs.json").write_text(json.dumps(described, indent=1))
    for script in _SCRIPTS:
        shutil.copy(Path(__file__).parent / script, folder)


def generated(count: int, first: int) -> list[Case]:
    """The same programs for the same count and first seed, each of a seed of its own. Most ops are
    elementwise, so that a quarter of the programs is of any ops, and the others of the rest and a
    few that are fused with it."""
    rest = [kind for kind in MAKERS if not issubclass(kind, graph.ElementwiseOp)]
    fused = [graph.AddOp, graph.MulOp, graph.GeluOp, graph.ReluOp]
    return [_drawn(first + i, [*rest, *fused] if i % 4 else list(MAKERS)) for i in range(count)]


def _drawn(seed_of_it: int, kinds: Sequence[type[Operation]]) -> Case:
    """The last of a few programs: the first that Hypothesis draws is the simplest there is."""
    found: list[Case] = []

    @seed(seed_of_it)
    @settings(
        max_examples=3,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(max_ops=6, kinds=kinds))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found[-1]


def of_case(case: Case, seed_of_it: int) -> Built:
    """A program of the property tests."""
    runs = runs_of(case, seed_of_it)
    elements = [element_of(type) for type in case.program.main.function_type.outputs]
    tolerances = {
        key: 0.0 if exact else tolerance(case, element)
        for key, exact, element in zip(runs[0].outputs, case.exact, elements, strict=True)
    }
    return Built(case.program, runs, tolerances)


def of_network(seed_of_it: int) -> Built:
    """A random network."""
    drawn = network(seed_of_it)
    inputs = [drawn.inputs(size) for size in drawn.sizes]
    runs = [Run(values, ait.evaluate(drawn.program, values)) for values in inputs]
    return Built(drawn.program, runs, dict.fromkeys(runs[0].outputs, drawn.tolerance))


def build_program(
    folder: Path, name: str, built: Built, target: str, options: CompileOptions
) -> dict[str, object]:
    """Compiles a program and saves its data; returns what the runner must know."""
    artifact = ait.compile(built.program, target, folder / f"{name}.so", options)
    print(f"built {name}: {artifact.report.seconds:.1f} s", flush=True)
    arrays: dict[str, NDArray[Any]] = {}
    for index, run in enumerate(built.runs):
        arrays |= {f"{index}:in:{key}": _plain(value) for key, value in run.inputs.items()}
        arrays |= {f"{index}:out:{key}": _plain(value) for key, value in run.outputs.items()}
    np.savez(folder / f"{name}.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return {
        "sizes": len(built.runs),
        "launches": artifact.report.launches,
        "tolerances": dict(built.tolerances),
    }


def runs_of(case: Case, seed_of_it: int) -> list[Run]:
    """The inputs that were drawn, and those of a seed at each of _SIZES that differs in a size."""
    ports = inputs_of(case.program.main)
    names = {s.name for port in ports for s in symbols_of(dims_of(port.type))}
    sizes = [{name: size[name] for name in names} for size in (case.bindings, *_SIZES)]
    distinct = [size for index, size in enumerate(sizes) if size not in sizes[:index]]
    generator = np.random.default_rng(seed_of_it)
    drawn: list[dict[str, NDArray[Any]]] = [case.inputs]
    for size in distinct[1:]:
        drawn.append({port.name: _input(generator, port.type, size) for port in ports})
    return [Run(inputs, ait.evaluate(case.program, inputs)) for inputs in drawn]


def _input(generator: np.random.Generator, kind: Any, size: dict[str, int]) -> NDArray[Any]:
    """Small whole numbers, as the programs expect."""
    shape: Sequence[int] = [evaluate(dim, size) for dim in dims_of(kind)]
    return generator.integers(-3, 4, shape).astype(dtype_of(element_of(kind)).numpy)


def _plain(value: NDArray[Any]) -> NDArray[Any]:
    """An array that NumPy alone can save: bfloat16 as its bits."""
    return value.view(np.uint16) if value.dtype.name == "bfloat16" else value


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="compile random programs, to run elsewhere")
    parser.add_argument("folder", type=Path, help="where libraries, data and the runner go")
    parser.add_argument("count", nargs="?", type=int, default=COUNT, help="of programs")
    parser.add_argument("seed", nargs="?", type=int, default=SEED, help="of the first one")
    parser.add_argument("networks", nargs="?", type=int, default=NETWORKS, help="how many as well")
    parser.add_argument("--jobs", type=int, help="compilers at once (default: what fits here)")
    options = parser.parse_intermixed_args(arguments)
    build(options.folder, options.count, options.seed, options.networks, jobs=options.jobs)


if __name__ == "__main__":
    main(sys.argv[1:])
