"""What a loaded model takes, gives and holds, read through its C interface."""

import ctypes
from dataclasses import dataclass

from ait.runtime import abi
from ait.runtime.abi import Library


@dataclass(frozen=True)
class Dim:
    """A dim of an input or output; `lower == upper` if it is static."""

    text: str
    lower: int
    upper: int


@dataclass(frozen=True)
class Port:
    """An input or an output of a model."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    alignment: int


@dataclass(frozen=True)
class Symbol:
    """A dynamic size and its range, both ends included."""

    name: str
    lower: int
    upper: int


@dataclass(frozen=True)
class Weight:
    """A weight; `role` is raw (replaceable), derived or frozen."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str
    embedded: bool
    sha256: str


def read_ports(library: Library, kind: str) -> tuple[Port, ...]:
    """All ports of a kind, "input" or "output", in order."""

    def read(index: int) -> Port:
        info = abi.PortInfo()
        library.call(f"ait_{kind}_info", index, ctypes.byref(info))
        dims = tuple(_dim(library, kind, index, axis) for axis in range(info.rank))
        return Port(info.name.decode(), abi.DTYPES[info.dtype], dims, info.alignment)

    return tuple(read(index) for index in range(library.get(f"ait_{kind}_count")))


def _dim(library: Library, kind: str, index: int, axis: int) -> Dim:
    info = abi.DimInfo()
    library.call(f"ait_{kind}_dim", index, axis, ctypes.byref(info))
    return Dim(info.text.decode(), info.lower, info.upper)


def read_symbols(library: Library) -> tuple[Symbol, ...]:
    """All dynamic sizes."""

    def read(index: int) -> Symbol:
        info = abi.SymbolInfo()
        library.call("ait_symbol_info_at", index, ctypes.byref(info))
        return Symbol(info.name.decode(), info.lower, info.upper)

    return tuple(read(index) for index in range(library.get("ait_symbol_count")))


def read_weights(library: Library) -> tuple[Weight, ...]:
    """All weights, in the order of the model's table."""

    def read(index: int) -> Weight:
        info = abi.WeightInfo()
        library.call("ait_weight_info_at", index, ctypes.byref(info))
        return Weight(
            name=info.name.decode(),
            dtype=abi.DTYPES[info.dtype],
            shape=tuple(info.shape[: info.rank]),
            role=abi.WEIGHT_ROLES[info.role],
            embedded=bool(info.embedded),
            sha256=info.sha256.decode(),
        )

    return tuple(read(index) for index in range(library.get("ait_weight_count")))
