"""Where the runners put a model's arrays: on its GPU, by the functions of its own library, which
needs no PyTorch, or on the host.

It lies beside run_models.py and run_programs.py, here and in the folders that build_*.py make.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ait.runtime.abi import Library
from ait.runtime.arrays import numpy_dtype
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

    def workspace(self, size: int) -> Any:
        """So many poisoned bytes to work in, or None: the context's own."""
        ...

    def read(self, array: Any) -> np.ndarray:
        """Its values as a NumPy array."""
        ...


class HostMemory:
    """NumPy arrays, which the loader copies to and fro if the model runs elsewhere. There nothing
    is written before kernels do, so that initcheck sees what they read too early."""

    def given(self, array: np.ndarray) -> Any:
        return array

    def poisoned(self, shape: Sequence[int], dtype: str) -> Any:
        return _all_ones(shape, numpy_dtype(dtype))

    def workspace(self, size: int) -> Any:
        return None

    def read(self, array: Any) -> np.ndarray:
        return np.array(array)


class DeviceArray:
    """A dense array on a GPU, told of as libraries do, and freed with its last user."""

    def __init__(self, library: Library, device_number: int, values: np.ndarray) -> None:
        values = np.asarray(values, order="C")
        self._library = library
        self._address = library.create("ait_device_allocate", device_number, max(1, values.nbytes))
        weakref.finalize(self, library.release, "ait_device_free", self._address).atexit = False
        self.shape, self.dtype = values.shape, values.dtype
        if values.nbytes:
            library.call(
                "ait_device_copy_from_host", self._address, values.ctypes.data, values.nbytes
            )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "data": (self._address, False),
            # The name: what ml_dtypes adds to NumPy has no type string of its own.
            "typestr": self.dtype.name,
            "shape": self.shape,
            "strides": None,
            "version": 3,
        }

    def values(self) -> np.ndarray:
        """A copy on the host."""
        host = np.empty(self.shape, self.dtype)
        if host.nbytes:
            self._library.call(
                "ait_device_copy_to_host", host.ctypes.data, self._address, host.nbytes
            )
        return host


class DeviceMemory:
    """Arrays on the model's GPU, which kernels read and write in place."""

    def __init__(self, model: CompiledModel) -> None:
        self._library = Library(model.path)
        self._device_number = model.device_number

    def given(self, array: np.ndarray) -> DeviceArray:
        return DeviceArray(self._library, self._device_number, array)

    def poisoned(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        return self.given(_all_ones(shape, numpy_dtype(dtype)))

    def workspace(self, size: int) -> DeviceArray:
        return self.given(_all_ones((max(1, size),), np.dtype(np.uint8)))

    def read(self, array: DeviceArray) -> np.ndarray:
        return array.values()


def _all_ones(shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.full(size, _ALL_ONES, np.uint8).view(dtype).reshape(tuple(shape))


def memory_for(model: CompiledModel) -> Memory:
    """The GPU's, if the model runs on one that NVIDIA makes."""
    return DeviceMemory(model) if model.device == "cuda" else HostMemory()


def run_poisoned(
    model: CompiledModel, context: Context, memory: Memory, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The outputs of a run that reads inputs in new places and writes into poisoned memory, which
    the context keeps to work in."""
    shapes = {name: value.shape for name, value in inputs.items()}
    workspace = memory.workspace(context.workspace_size(shapes))
    if workspace is not None:
        context.set_workspace(workspace)
    types = {port.name: port.dtype for port in model.outputs}
    outputs = {
        name: memory.poisoned(shape, types[name])
        for name, shape in context.output_shapes(shapes).items()
    }
    context.run({name: memory.given(value) for name, value in inputs.items()}, outputs)
    return {name: memory.read(value) for name, value in outputs.items()}
