"""Compiles test kernels here, to run on a machine that has a GPU and little else.

    python -m tests.gpu.build_kernels FOLDER [NAME...] [--jobs N] [--seed N]    (here)
    python FOLDER/run_prebuilt.py                          (there: needs NumPy and a driver)

Every case becomes a library, and its operands and the interpreter's answer an .npz file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ait.errors import AitError
from tests.compile.cuda.attention_cases import (
    HOPPER_ATTENTIONS,
    OWN_ATTENTIONS,
    QUERY_ATTENTIONS,
    TENSOR_ATTENTIONS,
)
from tests.compile.cuda.cases import (
    A100_GEMMS,
    ELEMENTWISE,
    F8_GEMMS,
    GEMVS,
    HOPPER_GEMMS,
    INTEGER_GEMMS,
    MMA_GEMMS,
    OWN_GEMMS,
    TF32_GEMMS,
    WGMMA_GEMMS,
)
from tests.compile.cuda.conv_cases import (
    CONV_POOLS,
    HALO_CONVS,
    HOPPER_CONVS,
    OWN_CONVS,
    STEM_CONVS,
    TENSOR_CONVS,
)
from tests.compile.cuda.edge_cases import HOPPER_NUMBERS, NUMBERS, VIEWS
from tests.compile.cuda.kernels import Array, Case
from tests.compile.cuda.row_cases import OUT_OF_RANGE, ROWS
from tests.compile.cuda.whole_row_cases import BACK_TO_BACK, PARTS, WHOLE_ROWS

_HARNESS = Path(__file__).parent / "harness.inc"
_RUNNER = Path(__file__).parent / "run_prebuilt.py"
# Kernels of older devices come as PTX, which the driver compiles for the device that it finds.
_ANY_DEVICE = {
    "-gencode=arch=compute_80,code=sm_80": "-gencode=arch=compute_80,code=compute_80",
}
_LINK = ("-shared", "-lcudart_static", "-ldl", "-lrt", "-lpthread")
# For what compute-sanitizer finds: the same instructions, with where they come from.
_LINES = "-lineinfo"


def all_cases() -> list[Case]:
    """Every CUDA case, with distinct names."""
    cases: dict[str, Case] = {}
    for case in (
        *HOPPER_GEMMS,
        *WGMMA_GEMMS,
        *OWN_GEMMS,
        *MMA_GEMMS,
        *A100_GEMMS,
        *TF32_GEMMS,
        *INTEGER_GEMMS,
        *F8_GEMMS,
        *GEMVS,
        *ELEMENTWISE,
        *OWN_CONVS,
        *TENSOR_CONVS,
        *HALO_CONVS,
        *HOPPER_CONVS,
        *STEM_CONVS,
        *CONV_POOLS,
        *OWN_ATTENTIONS,
        *QUERY_ATTENTIONS,
        *TENSOR_ATTENTIONS,
        *HOPPER_ATTENTIONS,
        *ROWS,
        *WHOLE_ROWS,
        *BACK_TO_BACK,
        *PARTS,
        *NUMBERS,
        *HOPPER_NUMBERS,
        *VIEWS,
        *OUT_OF_RANGE,
    ):
        name, count = case.name, 1
        while name in cases:
            count += 1
            name = f"{case.name}_{count}"
        cases[name] = case
    for name, case in cases.items():
        case.name = name
    return list(cases.values())


def build(folder: Path, cases: Sequence[Case], jobs: int = 1, seed: int = 0) -> None:
    """Writes libraries, data and the runner to `folder`. `seed`: of the random inputs. Raises
    RuntimeError that tells all errors, once the others are built."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptions: list[dict[str, object]] = []
    problems: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        for made in [pool.submit(build_case, folder, case, seed) for case in cases]:
            try:
                descriptions.append(made.result())
            except (AitError, RuntimeError) as error:
                problems.append(str(error))
    (folder / "cases.json").write_text(json.dumps(descriptions, indent=1))
    shutil.copy(_RUNNER, folder)
    if problems:
        raise RuntimeError("\n\n".join(problems))


def build_case(folder: Path, case: Case, seed: int = 0) -> dict[str, object]:
    """Compiles one case and saves its data; returns what the runner must know."""
    compile_case(case, folder, _HARNESS.read_text())
    inputs = case.inputs(seed)
    expected = {} if case.error else dict(zip(case.outs, case.expected(inputs), strict=True))
    arrays = {f"in_{name}": _plain(value) for name, value in inputs.items()}
    arrays |= {f"out_{name}": _plain(value) for name, value in expected.items()}
    np.savez(folder / f"{case.name}.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return {
        "name": case.name,
        "config": str(case.view().config),
        "operands": [[name, value.dtype.name] for name, value in inputs.items()],
        "outs": list(case.outs),
        "extents": case.extents(),
        "error": case.error,
    }


def compile_case(case: Case, folder: Path, harness: str) -> Path:
    """The library of a case's kernel and of `harness`, C++ that calls it. Raises RuntimeError."""
    toolchain = case.code_target().toolchain()
    compiler = toolchain.compiler_of(case.source_name())
    source, library = folder / case.source_name(), folder / f"{case.name}.so"
    source.write_text(case.source() + harness)
    arguments = [_ANY_DEVICE.get(argument, argument) for argument in compiler.arguments()]
    command = [*arguments, _LINES, str(source), "-o", str(library), *toolchain.link_flags]
    done = subprocess.run([*command, *_LINK], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{case.name}: {done.stderr}")
    print(f"built {case.name}", flush=True)
    return library


def _plain(value: Array) -> Array:
    """An array that NumPy alone can load: types that it does not know as their bits."""
    bits = {"bfloat16": np.uint16, "float8_e4m3fn": np.uint8}.get(value.dtype.name)
    return value if bits is None else value.view(bits)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="compile test kernels, to run on another machine")
    parser.add_argument("folder", type=Path, help="where libraries, data and the runner go")
    parser.add_argument("names", nargs="*", help="of cases (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once")
    parser.add_argument("--seed", type=int, default=0, help="of random inputs (default: 0)")
    options = parser.parse_intermixed_args(arguments)
    cases = {case.name: case for case in all_cases()}
    if unknown := [name for name in options.names if name not in cases]:
        parser.error(f"no case is named {', '.join(unknown)}")
    wanted = [cases[name] for name in options.names or cases]
    build(options.folder, wanted, options.jobs, options.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
