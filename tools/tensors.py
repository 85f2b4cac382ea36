"""Inputs from files or at random, and outputs to files, for commands that run models."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ait.errors import InputError
from ait.tools.errors import UsageError

if TYPE_CHECKING:
    from ait.runtime.loader import Dim, Port

Array = np.ndarray[Any, np.dtype[Any]]

# A random integer is likely to be an index into a table, and every table worth the name has two
# rows; --int-range allows more.
_INT_RANGE = (0, 2)


@dataclass(frozen=True)
class Signature:
    """The inputs of a model and the ranges of its dynamic sizes."""

    inputs: Sequence[Port]
    symbols: Mapping[str, tuple[int, int]]


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `make_inputs` reads."""
    group = parser.add_argument_group("inputs", "Inputs without a file are random.")
    add = group.add_argument
    add("--input", action="append", default=[], metavar="NAME=FILE",
        help="an input from .npy; or FILE alone: inputs by name, .npz or .safetensors")  # fmt: skip
    add("--shape", action="append", default=[], metavar="SYMBOL=SIZE",
        help="a dynamic size, as in batch=8 (default: the smallest)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the random inputs (default: 0)")
    add("--int-range", default=None, metavar="LOW:HIGH",
        help="of random integers, HIGH excluded (default: 0:2, safe for indices)")  # fmt: skip


def make_inputs(arguments: argparse.Namespace, signature: Signature) -> dict[str, Array]:
    """One array for each input: from `--input` files, else random of the dtype and shape.

    Raises UsageError for malformed arguments, InputError for files that do not fit.
    """
    given = read_inputs(arguments.input)
    known = [port.name for port in signature.inputs]
    for name in given:
        if name not in known:
            raise InputError(f"the model has no input '{name}' (it has: {', '.join(known)})")
    sizes = _sizes(arguments.shape, signature, given)
    generator = np.random.default_rng(arguments.seed)
    low, high = _int_range(arguments.int_range)
    inputs: dict[str, Array] = {}
    for port in signature.inputs:
        if port.name in given:
            inputs[port.name] = given[port.name]
        else:
            shape = tuple(dim_size(dim, sizes) for dim in port.dims)
            inputs[port.name] = random_array(generator, port.dtype, shape, low, high)
    return inputs


def read_inputs(arguments: Sequence[str]) -> dict[str, Array]:
    """The arrays of `NAME=FILE.npy`, `FILE.npz` and `FILE.safetensors` arguments, by name."""
    found: dict[str, Array] = {}
    for text in arguments:
        name, separator, file = text.partition("=")
        if not separator:
            found.update(_read_many(Path(text)))
        elif not name or not file:
            raise UsageError(f"--input {text}: expected NAME=FILE")
        else:
            found[name] = _read_one(name, Path(file))
    return found


_WIDENED_IN_NPZ = frozenset({"bfloat16", "float8_e4m3fn"})
"""Types that NumPy does not know when it reads a file."""


def write_outputs(path: Path, outputs: Mapping[str, Array]) -> None:
    """Write arrays by name: .safetensors, or .npz (whose narrow floats, but f16, are widened)."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

        save_file({name: np.asarray(value, order="C") for name, value in outputs.items()}, path)
        return
    if path.suffix != ".npz":
        raise UsageError(f"{path}: outputs are written as .npz or .safetensors")
    plain = {
        name: value.astype(np.float32) if value.dtype.name in _WIDENED_IN_NPZ else value
        for name, value in outputs.items()
    }
    # Not np.savez: an output named like one of its parameters would be mistaken for it.
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in plain.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, value, allow_pickle=False)


def random_array(
    generator: np.random.Generator, dtype: str, shape: tuple[int, ...], low: int, high: int
) -> Array:
    """Normal floats, integers of [low, high) or fair booleans."""
    from ait.runtime.arrays import numpy_dtype

    if dtype == "i1":
        return generator.integers(0, 2, shape).astype(np.bool_)
    if dtype.startswith("i"):
        return generator.integers(low, high, shape).astype(numpy_dtype(dtype))
    return generator.standard_normal(shape, np.float32).astype(numpy_dtype(dtype))


def dim_size(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The size that a dim has under a binding of the symbols. Raises UsageError."""
    if dim.lower == dim.upper:
        return dim.lower
    if dim.text in sizes:
        return sizes[dim.text]
    return evaluate_text(dim.text, sizes)


def evaluate_text(text: str, sizes: Mapping[str, int]) -> int:
    """The value of a dim's text ("seq * 12 + 1") under a binding of its symbols."""
    import ast

    python = text.replace(" floordiv ", " // ").replace(" mod ", " % ")
    try:
        return _evaluate(ast.parse(python, mode="eval").body, sizes)
    except (SyntaxError, KeyError) as error:
        raise InputError(f"the size {text} is not known; give the input from a file") from error


def _evaluate(node: Any, sizes: Mapping[str, int]) -> int:
    import ast

    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, sizes)
        case ast.BinOp(left=left, op=op, right=right) if type(op).__name__ in _OPERATORS:
            values = _evaluate(left, sizes), _evaluate(right, sizes)
            return _OPERATORS[type(op).__name__](*values)
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=arguments):
            values = [_evaluate(argument, sizes) for argument in arguments]
            return min(values) if name == "min" else max(values)
        case _:
            raise KeyError(ast.dump(node))


_OPERATORS: Mapping[str, Any] = {
    "Add": int.__add__,
    "Sub": int.__sub__,
    "Mult": int.__mul__,
    "FloorDiv": int.__floordiv__,
    "Mod": int.__mod__,
}


def _sizes(
    arguments: Sequence[str], signature: Signature, given: Mapping[str, Array]
) -> dict[str, int]:
    """Each symbol's size: as given, else as a given input has it, else its lower bound."""
    sizes = {
        name: max(lower, 1 if upper else 0) for name, (lower, upper) in signature.symbols.items()
    }
    for port in signature.inputs:
        if port.name in given:
            shape = given[port.name].shape
            found = {dim.text: size for dim, size in zip(port.dims, shape, strict=False)}
            sizes.update({name: size for name, size in found.items() if name in sizes})
    for text in arguments:
        name, _, size = text.partition("=")
        if not size.isdecimal():
            raise UsageError(f"--shape {text}: expected SYMBOL=SIZE")
        if name not in sizes:
            known = ", ".join(sizes) or "none"
            raise UsageError(f"--shape {text}: the model has no dynamic size '{name}' ({known})")
        lower, upper = signature.symbols[name]
        if not lower <= int(size) <= upper:
            raise InputError(f"{name} = {size} is outside of its range {lower}..{upper}")
        sizes[name] = int(size)
    return sizes


def _int_range(text: str | None) -> tuple[int, int]:
    if text is None:
        return _INT_RANGE
    low, _, high = text.partition(":")
    try:
        bounds = int(low), int(high)
    except ValueError as error:
        raise UsageError(f"--int-range {text}: expected LOW:HIGH") from error
    if bounds[0] >= bounds[1]:
        raise UsageError(f"--int-range {text}: LOW must be below HIGH")
    return bounds


def _read_one(name: str, path: Path) -> Array:
    if path.suffix == ".npy":
        return _loaded(path)
    many = _read_many(path)
    if name not in many:
        raise InputError(f"{path} has no array '{name}' (it has: {', '.join(many)})")
    return many[name]


def _read_many(path: Path) -> dict[str, Array]:
    if path.suffix == ".npz":
        archive = _loaded(path)
        return {name: archive[name] for name in archive}
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError

        from ait.ir.weight_file import read_arrays

        try:
            return read_arrays(path)
        except SafetensorError as error:
            raise InputError(f"{path} is no safetensors file: {error}") from error
    raise UsageError(f"--input {path}: expected NAME=FILE.npy, FILE.npz or FILE.safetensors")


def _loaded(path: Path) -> Any:
    try:
        # Pickles execute code: files that need them are refused.
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no {path.suffix} file of plain arrays: {error}") from error
