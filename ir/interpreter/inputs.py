"""Checking a model's inputs, and finding the numbers that their shapes give to symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ait.dialects.symbolic import Dim, Symbol, dims_of, element_of, evaluate, symbols_of, to_text
from ait.errors import InputError
from ait.ir.dtypes import Array, dtype_of
from ait.ir.program import Port

Inputs: TypeAlias = Mapping[str, Any] | Sequence[Any]


def arrays_of(ports: Sequence[Port], inputs: Inputs) -> dict[str, Array]:
    """The inputs by name, in the ports' order. Raises InputError on missing or unknown ones."""
    names = [port.name for port in ports]
    if not isinstance(inputs, Mapping):
        if len(inputs) != len(names):
            raise InputError(f"{len(inputs)} inputs given, the model takes {len(names)}: {names}")
        inputs = dict(zip(names, inputs, strict=True))
    problems = [f"input '{name}' is missing" for name in names if name not in inputs]
    problems += [f"there is no input '{name}'" for name in inputs if name not in names]
    if problems:
        raise InputError("; ".join(problems) + f" (the model takes {', '.join(names)})")
    return {name: np.asarray(inputs[name]) for name in names}


def bind_symbols(ports: Sequence[Port], arrays: Mapping[str, Array]) -> dict[str, int]:
    """The number of each symbol in the inputs' types.

    Raises InputError that lists every wrong dtype, rank, static dim, value out of a symbol's range
    and disagreement between inputs, each with the input, dim, symbol, range and value.
    """
    binder = _Binder()
    for port in ports:
        binder.check_kind(port, arrays[port.name])
    binder.bind_all()
    binder.check_all()
    if binder.problems:
        raise InputError("\n".join(binder.problems))
    return binder.bindings


class _Binder:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.bindings: dict[str, int] = {}
        self.origin: dict[str, str] = {}
        self.extents: list[tuple[str, Dim, int]] = []
        """Where (input and dim, for messages), the dim, and the extent that was given."""

    def check_kind(self, port: Port, array: Array) -> None:
        dtype, dims = dtype_of(element_of(port.type)).numpy, dims_of(port.type)
        if array.dtype != dtype:
            self.problems.append(f"input '{port.name}' has dtype {array.dtype}, expected {dtype}")
        if array.ndim != len(dims):
            shape = ", ".join(map(to_text, dims))
            self.problems.append(
                f"input '{port.name}' has rank {array.ndim}, expected {len(dims)}: [{shape}]"
            )
            return
        for axis, (dim, extent) in enumerate(zip(dims, array.shape, strict=True)):
            self.extents.append((f"input '{port.name}', dim {axis}", dim, extent))

    def bind_all(self) -> None:
        for where, dim, extent in self.extents:
            found = _solve(dim, extent)
            if found is None or found[0].name in self.bindings:
                continue
            symbol, value = found
            self.bindings[symbol.name], self.origin[symbol.name] = value, where
            if not symbol.lower <= value <= symbol.upper:
                self.problems.append(
                    f"{where}: {symbol.name} = {value} is outside its range "
                    f"[{symbol.lower}, {symbol.upper}]"
                )

    def check_all(self) -> None:
        for where, dim, extent in self.extents:
            free = [s.name for s in symbols_of(dim) if s.name not in self.bindings]
            if free:
                self.problems.append(f"{where}: {to_text(dim)} does not determine {free[0]}")
                continue
            expected = evaluate(dim, self.bindings)
            if expected != extent:
                self.problems.append(f"{where} is {extent}, expected {self._reason(dim, expected)}")

    def _reason(self, dim: Dim, expected: int) -> str:
        if isinstance(dim, int):
            return str(expected)
        known = ", ".join(
            f"{s.name} = {self.bindings[s.name]} from {self.origin[s.name]}"
            for s in symbols_of(dim)
        )
        return f"{to_text(dim)} = {expected} ({known})"


def _solve(dim: Dim, extent: int) -> tuple[Symbol, int] | None:
    """The symbol and its number where `dim` is `a * symbol + b` and has a whole solution."""
    if isinstance(dim, int):
        return None
    rest, factor, symbol = extent, 0, None
    for monomial, coefficient in dim.terms:
        if not monomial:
            rest -= coefficient
        elif len(monomial) == 1 and isinstance(monomial[0], Symbol) and symbol is None:
            symbol, factor = monomial[0], coefficient
        else:
            return None
    if symbol is None or rest % factor:
        return None
    return symbol, rest // factor
