"""Loading checkpoints: every name, shape and dtype that does not fit is reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors import SafetensorError

from ait.dialects.graph import ElementKind
from ait.errors import ShapeError, WeightError
from ait.ir.dtypes import Array, dtype_of
from ait.ir.weight_file import read_arrays

if TYPE_CHECKING:
    from ait.ir.nn.module import Parameter

IGNORED = ("num_batches_tracked", "position_ids")
"""What PyTorch's checkpoints have and inference does not need."""


@dataclass(frozen=True)
class LoadReport:
    """The names that a load without `strict` passed over."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load(
    owner: str,
    parameters: Mapping[str, Parameter],
    source: Mapping[str, object] | str | PathLike[str],
    strict: bool,
    prefix: str,
    ignore: Iterable[str],
) -> LoadReport:
    """Gives parameters their data from `source`; all of them or, on an error, none."""
    given = source if isinstance(source, Mapping) else read_safetensors(source)
    named = {name[len(prefix) :]: v for name, v in given.items() if name.startswith(prefix)}
    arrays = {name: v for name, v in named.items() if not _ignored(name, tuple(ignore))}

    present = {parameters[name] for name in arrays if name in parameters}
    missing = [name for name, parameter in parameters.items() if parameter not in present]
    unexpected = [prefix + name for name in arrays if name not in parameters]
    problems = [f"missing: {prefix}{name}" for name in missing if strict]
    problems += [f"unexpected: {name}" for name in unexpected if strict]
    loaded: dict[Parameter, tuple[str, Array]] = {}
    for name, parameter in parameters.items():
        if name in arrays:
            array = _as_array(arrays[name])
            problem = _mismatch(prefix + name, parameter, array)
            if problem is None and parameter in loaded:
                problem = _conflict(prefix + name, array, *loaded[parameter])
            if problem is None:
                loaded[parameter] = name, array
            else:
                problems.append(problem)
    if problems:
        origin = "the given weights" if isinstance(source, Mapping) else Path(source).name
        lines = "\n  ".join(problems)
        raise WeightError(f"{origin} do not fit {owner}: {len(problems)} problems\n  {lines}")
    for parameter, (_, array) in loaded.items():
        parameter.set_data(array)
    return LoadReport(tuple(missing), tuple(unexpected))


def _ignored(name: str, ignore: tuple[str, ...]) -> bool:
    return name in ignore or name.rpartition(".")[2] in ignore


def _mismatch(name: str, parameter: Parameter, array: Array) -> str | None:
    if tuple(array.shape) != parameter.shape:
        return f"shape: {name} is {list(parameter.shape)}, but the weights have {list(array.shape)}"
    wanted = dtype_of(parameter.dtype)
    try:
        given = ElementKind.FLOAT if array.dtype == np.float64 else dtype_of(array.dtype).kind
    except ShapeError:
        given = None
    if given is not wanted.kind or (given is not ElementKind.FLOAT and array.dtype != wanted.numpy):
        return f"dtype: {name} is {wanted.name}, but the weights have {array.dtype}"
    return None


def _conflict(name: str, array: Array, other: str, values: Array) -> str | None:
    if np.array_equal(array, values, equal_nan=array.dtype.kind == "f"):
        return None
    return f"conflict: {name} and {other} are one parameter, but the weights give two values"


_TORCH_TYPES_WITHOUT_ARRAYS = frozenset({"torch.bfloat16", "torch.float8_e4m3fn"})


def _as_array(value: object) -> Array:
    """An array of a NumPy array, a parameter or a torch tensor."""
    from ait.ir.nn.module import Parameter

    if isinstance(value, Parameter):
        if value.data is None:
            raise WeightError(f"{value} has no data to load")
        return value.data
    if not isinstance(value, np.ndarray) and hasattr(value, "detach"):
        tensor = cast(Any, value).detach().cpu()
        # f32 holds each of their values.
        widened = str(tensor.dtype) in _TORCH_TYPES_WITHOUT_ARRAYS
        return np.asarray(tensor.float() if widened else tensor)
    return np.asarray(value)


def read_safetensors(path: str | PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file. Raises WeightError if it is none; pickles are refused."""
    path = Path(path)
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"):
        raise WeightError(
            f"{path} is a pickle, which can run any code when it is read: convert it to safetensors"
        )
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise WeightError(f"there is no file {path}") from None
    except (SafetensorError, OSError) as error:
        raise WeightError(f"{path} is no readable safetensors file: {error}") from None
