"""The element types of programs: their names, their NumPy types and data in both forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import (
    BytesAttr,
    DenseIntOrFPElementsAttr,
    TensorType,
    bf16,
    f8E4M3FN,
    f16,
    f32,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute

from ait.dialects.graph import ELEMENT_KINDS, ElementKind
from ait.dialects.graph.constants import Dense
from ait.dialects.symbolic import dims_of
from ait.errors import ShapeError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array of any shape and type."""


@dataclass(frozen=True)
class DType:
    """One element type: `f16` in text, `element` in the IR, `numpy` in memory."""

    name: str
    element: Attribute
    numpy: np.dtype[Any]

    @property
    def kind(self) -> ElementKind:
        return ELEMENT_KINDS[self.element]

    @property
    def is_float(self) -> bool:
        return self.kind is ElementKind.FLOAT


DTYPES = {
    name: DType(name, element, np.dtype(numpy))
    for name, element, numpy in (
        ("f32", f32, np.float32),
        ("f16", f16, np.float16),
        ("bf16", bf16, ml_dtypes.bfloat16),
        ("i64", i64, np.int64),
        ("i32", i32, np.int32),
        ("i8", i8, np.int8),
        ("i1", i1, np.bool_),
        ("f8E4M3FN", f8E4M3FN, ml_dtypes.float8_e4m3fn),
    )
}
"""All element types by name, in the order of their codes in the runtime."""

_BY_ELEMENT = {dtype.element: dtype for dtype in DTYPES.values()}
_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES.values()}
_ALIASES = {
    "float32": "f32",
    "float": "f32",
    "float16": "f16",
    "half": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8E4M3FN",
    "f8e4m3fn": "f8E4M3FN",
    "e4m3": "f8E4M3FN",
    "int64": "i64",
    "long": "i64",
    "int32": "i32",
    "int": "i64",
    "int8": "i8",
    "bool": "i1",
    "bool_": "i1",
}


def dtype_of(given: object) -> DType:
    """The dtype that a name ("f16", "float16"), a NumPy type, a torch dtype or an IR type means.

    Raises ShapeError for any other.
    """
    if isinstance(given, DType):
        return given
    if isinstance(given, Attribute):
        found = _BY_ELEMENT.get(given)
    elif isinstance(given, np.dtype):
        found = _BY_NUMPY.get(cast("np.dtype[Any]", given))
    else:
        text = given.__name__ if isinstance(given, type) else str(given)
        text = text.removeprefix("torch.")
        found = DTYPES.get(_ALIASES.get(text, text))
    if found is None:
        raise ShapeError(f"dtype {given} is none of {', '.join(DTYPES)}")
    return found


_TRUE = np.uint8(0xFF)
"""How dense attributes store true."""


def dense_of(array: Array) -> Dense:
    """The dense attribute of an array of one of the dtypes."""
    dtype = dtype_of(array.dtype)
    stored = array * _TRUE if dtype.name == "i1" else array
    data = BytesAttr(np.ascontiguousarray(stored).tobytes())
    shape: Any = TensorType(dtype.element, array.shape)
    return cast(Dense, DenseIntOrFPElementsAttr(shape, data))


def array_of(dense: Dense) -> Array:
    """The array of a dense attribute, which may be a splat."""
    dims = cast("tuple[int, ...]", dims_of(dense.type))
    dtype = dtype_of(dense.type.element_type)
    stored = np.dtype(np.uint8) if dtype.name == "i1" else dtype.numpy
    flat = np.frombuffer(dense.data.data, stored)
    values = (flat != 0) if dtype.name == "i1" else flat
    count = int(np.prod(dims))
    return (np.repeat(values, count) if values.size == 1 != count else values).reshape(dims)
