"""A program: a module of any level of the IR, and the weights that belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import safetensors.numpy as safetensors
from safetensors import SafetensorError
from xdsl.context import Context
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    MemRefType,
    ModuleOp,
    StringAttr,
)
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import GlobalOp
from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from ait.dialects.functions import MAIN, NAME, OUTPUT, find_function
from ait.dialects.graph import ParameterOp
from ait.dialects.graph.constants import Dense
from ait.dialects.symbolic import dims_of, element_of
from ait.dialects.verification import verify_dominance
from ait.errors import AitError, WeightError
from ait.ir.dtypes import Array, dtype_of
from ait.ir.parsing import parse_module
from ait.ir.weight_file import read_arrays


@dataclass(frozen=True)
class Port:
    """An input or output of a function: its name and type."""

    name: str
    type: Attribute


@dataclass
class Program:
    """A module whose function `@main` is the model, and its weights by symbol name.

    Weights are arrays of the dtypes in `ait.ir.dtypes`. The module's parameters (and, below the
    graph level, its `memref.global`s) name them; derived ones have no weight until `@prepare` ran.
    """

    module: ModuleOp
    weights: dict[str, Array] = field(default_factory=dict[str, Array])

    @property
    def main(self) -> FuncOp:
        """The model's function. Raises AitError if there is none."""
        return self.function(MAIN)

    def function(self, name: str) -> FuncOp:
        """The function of that name. Raises AitError if there is none."""
        found = find_function(self.module, name)
        if found is None:
            raise AitError(f"the module has no function @{name}")
        return found

    @property
    def input_names(self) -> list[str]:
        return [port.name for port in inputs_of(self.main)]

    @property
    def output_names(self) -> list[str]:
        return [port.name for port in outputs_of(self.main)]

    def parameters(self) -> Iterator[tuple[str, Attribute, bool]]:
        """Name, type and whether it is derived, of all that the module declares."""
        for op in self.module.body.block.ops:
            if isinstance(op, ParameterOp):
                yield op.sym_name.data, op.parameter_type, op.derived is not None
            elif isinstance(op, GlobalOp):
                derived = "derived" in op.attributes
                yield op.sym_name.data, op.type, derived

    def literals(self) -> Iterator[tuple[str, Dense]]:
        """Name and value of the parameters that are written in the IR."""
        for op in self.module.body.block.ops:
            value = (
                op.value
                if isinstance(op, ParameterOp)
                else op.initial_value
                if isinstance(op, GlobalOp)
                else None
            )
            if isinstance(value, DenseIntOrFPElementsAttr):
                yield cast(ParameterOp | GlobalOp, op).sym_name.data, cast(Dense, value)

    def clone(self) -> Program:
        """A program with a module of its own; the weights' arrays are shared."""
        return Program(self.module.clone(), dict(self.weights))

    def verify(self) -> None:
        """Checks the IR, then that each parameter has a weight of its shape and dtype.

        Raises AitError for ill-formed IR, and WeightError that lists all problems of the weights.
        """
        try:
            self.module.verify()
            verify_dominance(self.module)
        except VerifyException as error:
            raise AitError(f"the IR is not valid: {error}") from error
        self.verify_weights()

    def verify_weights(self) -> None:
        """Raises WeightError that lists every missing, unexpected or mismatched weight."""
        declared = {name: (t, derived) for name, t, derived in self.parameters()}
        literals = {name for name, _ in self.literals()}
        problems: list[str] = []
        for name, (declared_type, derived) in declared.items():
            array = self.weights.get(name)
            if array is not None:
                problems.extend(_mismatches(name, declared_type, array))
            elif not derived and name not in literals:
                problems.append(f"parameter '{name}' has no weight")
        problems.extend(
            f"weight '{name}' belongs to no parameter"
            for name in self.weights
            if name not in declared
        )
        if problems:
            raise WeightError("\n".join(problems))

    def save(self, path: str | Path) -> None:
        """Writes the IR to `path` (*.mlir) and the weights beside it, to *.safetensors."""
        path = Path(path)
        path.write_text(str(self.module) + "\n")
        dense = {name: np.asarray(array, order="C") for name, array in self.weights.items()}
        safetensors.save_file(dense, _beside(path))  # pyright: ignore[reportUnknownMemberType]

    @staticmethod
    def load(path: str | Path, context: Context | None = None) -> Program:
        """Reads what `save` wrote; weights are absent where there is no *.safetensors file.

        Raises AitError for text that is no valid IR, with its line and column, and WeightError for
        weights that are unreadable or do not fit.
        """
        path = Path(path)
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise AitError(f"cannot read {path}: {error}") from None
        weights = _beside(path)
        program = Program(
            parse_module(text, str(path), context),
            load_weights(weights) if weights.exists() else {},
        )
        program.verify()
        return program


def _beside(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _mismatches(name: str, declared: Attribute, array: Array) -> Iterator[str]:
    shape, element = dims_of(declared), element_of(declared)
    try:
        found = dtype_of(array.dtype).element
    except AitError as error:
        yield f"weight '{name}': {error}"
        return
    if found != element:
        yield f"weight '{name}' has elements {found}, the parameter has {element}"
    if tuple(array.shape) != shape:
        yield f"weight '{name}' has shape {list(array.shape)}, the parameter has {list(shape)}"


def load_weights(path: Path) -> dict[str, Array]:
    """All arrays of a safetensors file. Raises WeightError if it is unreadable or corrupt."""
    try:
        return read_arrays(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightError(f"cannot read weights from {path}: {error}") from None


# Functions ------------------------------------------------------------------------------------


def inputs_of(function: FuncOp) -> list[Port]:
    """The inputs of a function of any level."""
    ports = _arguments(function)
    return [port for port, is_output in ports if not is_output]


def outputs_of(function: FuncOp) -> list[Port]:
    """The outputs of a function: its results, or on buffers the arguments marked `ait.output`."""
    types = function.function_type.outputs.data
    if not types:
        return [port for port, is_output in _arguments(function) if is_output]
    notes = _dictionaries(function.res_attrs, len(types))
    return [
        Port(_name(note, f"output_{i}"), t)
        for i, (note, t) in enumerate(zip(notes, types, strict=True))
    ]


def is_on_buffers(function: FuncOp) -> bool:
    """Whether the function takes memrefs: it was bufferized."""
    types = (*function.function_type.inputs.data, *function.function_type.outputs.data)
    return any(isinstance(t, MemRefType) for t in types)


def _arguments(function: FuncOp) -> list[tuple[Port, bool]]:
    types = function.function_type.inputs.data
    notes = _dictionaries(function.arg_attrs, len(types))
    ports: list[tuple[Port, bool]] = []
    for i, (note, t) in enumerate(zip(notes, types, strict=True)):
        is_output = OUTPUT in note
        default = f"{'output' if is_output else 'input'}_{i}"
        ports.append((Port(_name(note, default), t), is_output))
    return ports


def _dictionaries(
    given: ArrayAttr[DictionaryAttr] | None, count: int
) -> list[Mapping[str, Attribute]]:
    return [{} for _ in range(count)] if given is None else [d.data for d in given]


def _name(note: Mapping[str, Attribute], default: str) -> str:
    name = note.get(NAME)
    return name.data if isinstance(name, StringAttr) else default
