"""Arrays that cross the border to C: borrowed from NumPy, PyTorch or DLPack without a copy.

PyTorch is never imported: a tensor can only be given if its user has done so.
"""

import ctypes
import math
import sys
from collections.abc import Sequence
from ctypes import POINTER, c_int64
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ait.errors import InputError
from ait.runtime.abi import DEVICES, DTYPES, TensorStruct

NumpyArray = npt.NDArray[Any]

# The names that NumPy, ml_dtypes and PyTorch share.
_NAMES = {
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int8": "i8",
    "bool": "i1",
    "float8_e4m3fn": "f8E4M3FN",
}
_OF_ML_DTYPES = frozenset({"bf16", "f8E4M3FN"})
"""What NumPy itself does not know."""
_COMMON_NAMES = {ours: common for common, ours in _NAMES.items()}

_DLPACK_CPU = 1
_LEGACY_DEFAULT_STREAM = 1  # in the CUDA array interface


@dataclass(frozen=True)
class Borrowed:
    """Memory of a dense array, valid as long as `owner` lives."""

    owner: Any
    pointer: int
    dtype: str  # one of DTYPES
    shape: tuple[int, ...]
    device: str = "cpu"
    pending: bool = False  # work on a stream other than the default one may still use it

    @property
    def array(self) -> NumpyArray | None:
        """The owner if it is a NumPy array."""
        owner: object = self.owner
        return cast("NumpyArray", owner) if isinstance(owner, np.ndarray) else None

    @property
    def bytes(self) -> int:
        """Size of the data."""
        count = int(np.prod(self.shape, dtype=np.int64))
        return count * itemsize(self.dtype)


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The NumPy type of one of ours."""
    name = _COMMON_NAMES[dtype]
    if dtype in _OF_ML_DTYPES:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def itemsize(dtype: str) -> int:
    """Bytes of an element."""
    return numpy_dtype(dtype).itemsize


def empty(shape: Sequence[int], dtype: str, alignment: int) -> NumpyArray:
    """A new NumPy array whose data is aligned as asked."""
    array = np.empty(shape, numpy_dtype(dtype))
    if array.ctypes.data % alignment == 0:
        return array
    room = np.empty(array.nbytes + alignment, np.uint8)
    start = -room.ctypes.data % alignment
    return room[start : start + array.nbytes].view(array.dtype).reshape(shape)


def is_torch(value: Any) -> bool:
    """Whether the value is a PyTorch tensor."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_cuda(value: Any) -> bool:
    """Whether the value tells of memory on a GPU; NumPy's own arrays never do."""
    is_numpy = isinstance(value, np.ndarray | np.generic)
    return not is_numpy and hasattr(value, "__cuda_array_interface__")


def torch_empty(shape: Sequence[int], dtype: str, like: Any) -> Any:
    """A new PyTorch tensor on the device of another."""
    torch: Any = sys.modules["torch"]
    return torch.empty(tuple(shape), dtype=getattr(torch, _COMMON_NAMES[dtype]), device=like.device)


def borrow(value: Any, what: str, alignment: int = 1) -> Borrowed:
    """The memory of an array; copies only one that is not contiguous or not aligned.

    Args:
        value: a NumPy array, a PyTorch tensor, or an object with `__dlpack__` or
            `__cuda_array_interface__`.
        what: how messages call it, for example "input 'ids'".
        alignment: of the data, in bytes.

    Raises:
        InputError: it is no array, or of a type or on a device that no model takes.
    """
    if is_torch(value):
        return _borrow_torch(value, what, alignment)
    if _is_cuda(value):
        return _borrow_cuda(value, what)
    return _borrow_numpy(np.asarray(_as_numpy(value, what), order="C"), what, alignment)


def borrow_output(value: Any, what: str) -> Borrowed:
    """The memory of an array that results are written to, which a copy would not do.

    Raises:
        InputError: also if it is read-only or not contiguous.
    """
    borrowed = borrow(value, what)
    if _is_copy(borrowed, value):
        raise InputError(f"{what} is not contiguous")
    array = borrowed.array
    if array is not None and not array.flags.writeable:
        raise InputError(f"{what} is read-only")
    return borrowed


def borrow_memory(value: Any, what: str) -> Borrowed:
    """The memory of a contiguous array of any type, as bytes (`i8`) that will be written to.

    Raises:
        InputError: it is no array, not contiguous or read-only.
    """
    if is_torch(value):
        if not value.is_contiguous():
            raise InputError(f"{what} is not contiguous")
        return borrow_output(value.detach().reshape(-1).view(sys.modules["torch"].int8), what)
    if _is_cuda(value):
        return _borrow_cuda(value, what, as_bytes=True)
    array = _as_numpy(value, what)
    if not array.flags.c_contiguous:
        raise InputError(f"{what} is not contiguous")
    return borrow_output(array.reshape(-1).view(np.int8), what)


def tensor_structs(arrays: Sequence[Borrowed]) -> Any:
    """A ctypes array of `ait_tensor` that keeps the borrowed arrays' owners alive."""
    structs: Any = (TensorStruct * len(arrays))()
    shapes = [(c_int64 * len(array.shape))(*array.shape) for array in arrays]
    for struct, array, shape in zip(structs, arrays, shapes, strict=True):
        struct.__init__(
            dtype=DTYPES.index(array.dtype),
            rank=len(array.shape),
            shape=ctypes.cast(shape, POINTER(c_int64)),
            data=array.pointer,
            device=DEVICES.index(array.device),
        )
    structs.owners = (arrays, shapes)
    return structs


def _as_numpy(value: Any, what: str) -> NumpyArray:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(cast("NumpyArray", value))
    if not hasattr(value, "__dlpack__"):
        raise InputError(
            f"{what} is a {type(value).__name__}, expected a NumPy array, a PyTorch tensor or an "
            "object with __dlpack__"
        )
    device = value.__dlpack_device__()[0]
    if device != _DLPACK_CPU:
        raise InputError(f"{what} is on DLPack device {int(device)}, expected the CPU")
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError) as error:
        raise InputError(f"{what} cannot be taken through DLPack: {error}") from error


def _borrow_numpy(array: NumpyArray, what: str, alignment: int) -> Borrowed:
    dtype = _dtype_of(array.dtype.name if array.dtype.isnative else array.dtype.str, what)
    if array.ctypes.data % alignment:
        aligned = empty(array.shape, dtype, alignment)
        aligned[...] = array
        array = aligned
    return Borrowed(array, array.ctypes.data, dtype, array.shape)


def _borrow_torch(tensor: Any, what: str, alignment: int) -> Borrowed:
    dtype = _dtype_of(str(tensor.dtype).removeprefix("torch."), what)
    tensor = tensor.detach().contiguous()
    if tensor.data_ptr() % alignment:
        tensor = tensor.clone()
    device = str(tensor.device.type)
    torch: Any = sys.modules["torch"]
    if device == "cuda" and torch.version.hip:
        device = "hip"
    if device not in DEVICES:
        raise InputError(f"{what} is on {device}, which no model takes")
    pending = device != "cpu" and torch.cuda.current_stream(tensor.device).cuda_stream != 0
    return Borrowed(tensor, tensor.data_ptr(), dtype, tuple(tensor.shape), device, pending)


def _borrow_cuda(value: Any, what: str, as_bytes: bool = False) -> Borrowed:
    """https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html"""
    interface: dict[str, Any] = value.__cuda_array_interface__
    if interface.get("strides") is not None:
        raise InputError(f"{what} is not contiguous")
    given = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    if as_bytes:
        dtype, shape = "i8", (math.prod(shape) * given.itemsize,)
    else:
        dtype = _dtype_of(given.name, what)
    pending = interface.get("stream") not in (None, _LEGACY_DEFAULT_STREAM)
    return Borrowed(value, interface["data"][0], dtype, shape, "cuda", pending)


def _dtype_of(name: str, what: str) -> str:
    if name not in _NAMES:
        raise InputError(f"{what} has dtype {name}; models take {', '.join(_NAMES)}")
    return _NAMES[name]


def _is_copy(borrowed: Borrowed, value: Any) -> bool:
    if is_torch(value):
        return borrowed.pointer != value.data_ptr()
    array = borrowed.array
    if isinstance(value, np.ndarray):
        return array is None or array.ctypes.data != value.ctypes.data
    # What came through DLPack or the CUDA interface is a view unless it had to be copied.
    return array is not None and bool(array.flags.owndata)
