"""Reading safetensors files: https://huggingface.co/docs/safetensors#format."""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

_OF_ML_DTYPES = {
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}
"""Types, by their names in a file, that the safetensors library reads for other frameworks only."""


def read_arrays(path: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name. Raises SafetensorError for what is no such file, or has numbers
    of types that there are no arrays of; or OSError."""
    path = Path(path)
    with cast(Any, safe_open(path, framework="numpy")) as file:
        # It has checked the header and that all data are in the file.
        types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        narrow = [name for name, found in types.items() if found in _OF_ML_DTYPES]
        places = _places(path) if narrow else {}
        return {
            name: _read(path, places[name], _OF_ML_DTYPES[found])
            if found in _OF_ML_DTYPES
            else _given(file, name, found)
            for name, found in types.items()
        }


def _given(file: Any, name: str, found: str) -> NDArray[Any]:
    """What the library reads itself: it looks for NumPy's type by name."""
    try:
        return file.get_tensor(name)
    except AttributeError:
        raise SafetensorError(f"{name} is of type {found}, which NumPy has no arrays of") from None


def _places(path: Path) -> dict[str, tuple[int, list[int]]]:
    """Where in the file each array begins, and its shape."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {
        name: (8 + length + entry["data_offsets"][0], entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _read(path: Path, place: tuple[int, list[int]], dtype: type[Any]) -> NDArray[Any]:
    start, shape = place
    flat = np.fromfile(path, dtype, math.prod(shape), offset=start)
    return flat.reshape(shape)
