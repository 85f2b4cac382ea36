"""`ait run`: run a compiled model once."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ait.codegen.units import duration
from ait.tools.display import print_table
from ait.tools.tensors import (
    Array,
    Signature,
    add_input_arguments,
    make_inputs,
    write_outputs,
)

if TYPE_CHECKING:
    from ait.runtime.loader import CompiledModel


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="outputs as .npz")
    add_input_arguments(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which model to load, and how."""
    parser.add_argument("model", type=Path, help="a compiled model (.so)")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a .safetensors file (default: the weights in the library, or else the file of its "
        "name beside it)",
    )
    parser.add_argument("--device", type=int, metavar="INDEX", help="which GPU")


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code."""
    model = load_model(arguments)
    inputs = make_inputs(arguments, signature_of(model))
    start = time.perf_counter()
    outputs = model.run(inputs)
    seconds = time.perf_counter() - start
    print_table(
        ("", "name", "dtype", "shape", "mean", "min", "max"),
        [("in", *_summary(name, value)) for name, value in inputs.items()]
        + [("out", *_summary(name, value)) for name, value in outputs.items()],
    )
    print(f"ran once in {duration(seconds)}, loading of code included")
    if arguments.output:
        write_outputs(arguments.output, outputs)
        print(f"outputs: {arguments.output}")
    return 0


def load_model(arguments: argparse.Namespace) -> CompiledModel:
    """The model that `add_model_arguments` describes."""
    from ait.runtime.loader import load

    return load(arguments.model, weights_of(arguments), device_index=arguments.device)


def weights_of(arguments: argparse.Namespace) -> Path | None:
    """The file that is given for a library, or that `ait compile --weights-mode file` wrote, if the
    library needs it and it is still there."""
    from ait.runtime.inspect import read_metadata, weights_file_of

    if arguments.weights is not None:
        return arguments.weights
    file = weights_file_of(arguments.model)
    is_needed = not read_metadata(arguments.model).get("weights_embedded", True)
    return file if is_needed and file.is_file() else None


def signature_of(model: CompiledModel) -> Signature:
    """What `make_inputs` needs to know of a model."""
    symbols = {symbol.name: (symbol.lower, symbol.upper) for symbol in model.symbols}
    return Signature(model.inputs, symbols)


def _summary(name: str, value: Array) -> tuple[str, ...]:
    shape = "x".join(map(str, value.shape)) or "scalar"
    if value.size == 0:
        return name, value.dtype.name, shape, "", "", ""
    wide = value.astype(np.float64)
    statistics = (f"{x:.4g}" for x in (wide.mean(), wide.min(), wide.max()))
    return name, value.dtype.name, shape, *statistics
