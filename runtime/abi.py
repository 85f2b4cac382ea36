"""The C interface of a compiled model (`ait.h`) as ctypes declarations, and its errors."""

import ctypes
import os
import weakref
from collections.abc import Callable
from ctypes import (
    POINTER,
    c_char_p,
    c_double,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any

from ait.errors import AitError, InputError, WeightError

ABI_VERSION = 1
MAX_RANK = 16

DEVICES: tuple[str, ...] = ("cpu", "cuda", "hip")
DTYPES: tuple[str, ...] = ("f32", "f16", "bf16", "i64", "i32", "i8", "i1", "f8E4M3FN")
WEIGHT_ROLES: tuple[str, ...] = ("raw", "derived", "frozen")

IGNORE_UNEXPECTED_WEIGHTS = 1
CONTEXT_NO_GRAPHS = 1
CONTEXT_NAMED_RANGES = 2


class Struct(ctypes.Structure):
    """A struct of the ABI: knows its size, all else is zero unless given."""

    _fields_ = [("struct_size", c_size_t)]

    def __init__(self, **values: Any) -> None:
        """Sets `struct_size` and the given fields."""
        super().__init__(ctypes.sizeof(self), **values)


class TensorStruct(Struct):
    """`ait_tensor`."""

    _fields_ = [
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("data", c_void_p),
        ("device", c_int32),
        ("reserved", c_int32),
    ]


class ShapeStruct(Struct):
    """`ait_shape`."""

    _fields_ = [("rank", c_int32), ("reserved", c_int32), ("dims", c_int64 * MAX_RANK)]


class PortInfo(Struct):
    """`ait_port_info`."""

    name: bytes
    dtype: int
    rank: int
    alignment: int

    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("alignment", c_size_t),
    ]


class DimInfo(Struct):
    """`ait_dim_info`."""

    text: bytes
    lower: int
    upper: int

    _fields_ = [("text", c_char_p), ("lower", c_int64), ("upper", c_int64)]


class SymbolInfo(Struct):
    """`ait_symbol_info`."""

    name: bytes
    lower: int
    upper: int

    _fields_ = [("name", c_char_p), ("lower", c_int64), ("upper", c_int64)]


class WeightInfo(Struct):
    """`ait_weight_info`."""

    name: bytes
    dtype: int
    rank: int
    shape: Any
    role: int
    embedded: int
    sha256: bytes

    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("bytes", c_int64),
        ("role", c_int32),
        ("embedded", c_int32),
        ("sha256", c_char_p),
    ]


class ModelOptions(Struct):
    """`ait_model_options`."""

    _fields_ = [
        ("weights_path", c_char_p),
        ("flags", c_uint64),
        ("device_index", c_int32),
        ("reserved", c_int32),
    ]


class ContextOptions(Struct):
    """`ait_context_options`."""

    _fields_ = [
        ("num_threads", c_int32),
        ("flags", c_uint32),
        ("workspace", c_void_p),
        ("workspace_bytes", c_size_t),
        ("stream", c_void_p),
    ]


_TENSORS = POINTER(TensorStruct)

# Result and argument types of every function. c_int results are checked as ait_status.
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ait_abi_version": (c_uint32, ()),
    "ait_last_error": (c_char_p, ()),
    "ait_model_metadata": (c_char_p, ()),
    "ait_input_count": (c_size_t, ()),
    "ait_output_count": (c_size_t, ()),
    "ait_symbol_count": (c_size_t, ()),
    "ait_weight_count": (c_size_t, ()),
    "ait_input_info": (c_int, (c_size_t, POINTER(PortInfo))),
    "ait_output_info": (c_int, (c_size_t, POINTER(PortInfo))),
    "ait_input_dim": (c_int, (c_size_t, c_size_t, POINTER(DimInfo))),
    "ait_output_dim": (c_int, (c_size_t, c_size_t, POINTER(DimInfo))),
    "ait_symbol_info_at": (c_int, (c_size_t, POINTER(SymbolInfo))),
    "ait_weight_info_at": (c_int, (c_size_t, POINTER(WeightInfo))),
    "ait_model_create": (c_int, (POINTER(ModelOptions), POINTER(c_void_p))),
    "ait_model_destroy": (None, (c_void_p,)),
    "ait_model_set_weights": (c_int, (c_void_p, POINTER(c_char_p), _TENSORS, c_size_t)),
    "ait_model_set_weights_file": (c_int, (c_void_p, c_char_p)),
    "ait_context_create": (c_int, (c_void_p, POINTER(ContextOptions), POINTER(c_void_p))),
    "ait_context_destroy": (None, (c_void_p,)),
    "ait_context_set_workspace": (c_int, (c_void_p, c_void_p, c_size_t)),
    "ait_context_workspace_size": (c_int, (c_void_p, _TENSORS, c_size_t, POINTER(c_size_t))),
    "ait_context_output_shapes": (
        c_int,
        (c_void_p, _TENSORS, c_size_t, POINTER(ShapeStruct), c_size_t),
    ),
    "ait_context_run": (c_int, (c_void_p, _TENSORS, c_size_t, _TENSORS, c_size_t)),
    "ait_context_profile": (
        c_int,
        (c_void_p, _TENSORS, c_size_t, _TENSORS, c_size_t, c_int32, POINTER(c_double), c_size_t),
    ),
    "ait_context_synchronize": (c_int, (c_void_p,)),
    "ait_device_allocate": (c_int, (c_int32, c_size_t, POINTER(c_void_p))),
    "ait_device_synchronize": (c_int, (c_int32,)),
    "ait_device_free": (None, (c_void_p,)),
    "ait_device_copy_from_host": (c_int, (c_void_p, c_void_p, c_size_t)),
    "ait_device_copy_to_host": (c_int, (c_void_p, c_void_p, c_size_t)),
}

# ait_status -> the exception it becomes; AitError otherwise.
_ERRORS: dict[int, type[AitError]] = {
    2: InputError,  # AIT_INVALID_INPUT
    3: WeightError,  # AIT_INVALID_WEIGHT
    4: WeightError,  # AIT_IO_ERROR: weights are the only files
    6: InputError,  # AIT_WORKSPACE_TOO_SMALL
    8: InputError,  # AIT_RUNTIME_ERROR: a kernel refused a value of an input
}


class Library:
    """One loaded model.so: its functions, which raise `AitError` where C returns a status.

    It is unloaded with its last user, so that programs that load many models do not keep them all.
    """

    def __init__(self, path: Path) -> None:
        """Loads a library that is known to be one of ours (see `ait.runtime.inspect`).

        Raises:
            AitError: it cannot be loaded here, or has another ABI version.
        """
        self.path = path
        try:
            self._library = ctypes.CDLL(os.fspath(path.resolve()))
        except OSError as error:
            raise AitError(f"{path}: the model cannot be loaded: {error}") from error
        self._check_version()
        self._functions = {name: self._declare(name) for name in _PROTOTYPES}
        self.device = DEVICES[int(self._library.ait_device_kind())]
        if self.device == "cpu":  # a GPU runtime does not survive being unloaded
            handle: int = self._library._handle  # pyright: ignore[reportPrivateUsage]
            weakref.finalize(self, _unload, handle).atexit = False

    def _check_version(self) -> None:
        try:
            version = int(self._library.ait_abi_version())
        except AttributeError as error:
            raise AitError(f"{self.path}: not a model that ait compiled") from error
        if version != ABI_VERSION:
            raise AitError(
                f"{self.path}: the model has ABI version {version}, this ait loads {ABI_VERSION}; "
                "compile the model again"
            )

    def _declare(self, name: str) -> Callable[..., Any]:
        function = getattr(self._library, name)
        function.restype, function.argtypes = _PROTOTYPES[name][0], list(_PROTOTYPES[name][1])
        return function

    def get(self, name: str) -> Any:
        """The result of a function that takes nothing and cannot fail."""
        return self._functions[name]()

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function that returns a status; raises the error that it reports."""
        status = self._functions[name](*arguments)
        if status:
            message = self._functions["ait_last_error"]().decode(errors="replace")
            raise _ERRORS.get(status, AitError)(message)

    def create(self, name: str, *arguments: Any) -> int:
        """Calls a function whose last parameter receives a new handle or address."""
        handle = c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        assert handle.value is not None
        return handle.value

    def release(self, name: str, handle: int) -> None:
        """Calls a function that gives something back."""
        self._functions[name](handle)


def _unload(handle: int) -> None:
    import _ctypes

    _ctypes.dlclose(handle)
