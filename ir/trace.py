"""From a model written with `ait.nn`, or any function of tensors, to a program."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region

from ait.dialects import symbolic
from ait.dialects.functions import value_name
from ait.dialects.graph import ParameterOp
from ait.dialects.symbolic import Symbol, lower_bound, symbols_of, tensor_type, to_text
from ait.errors import ShapeError, TraceError, WeightError
from ait.ir.dtypes import dtype_of
from ait.ir.nn.module import Module
from ait.ir.nn.ops import tensor
from ait.ir.nn.recorder import Recorder, recording
from ait.ir.nn.tensor import Tensor
from ait.ir.program import NAME, Program

Model: TypeAlias = Callable[..., Any]
"""A module, or a function of tensors."""


def Dim(name: str, lower: int, upper: int) -> symbolic.Expr:
    """A dim that is known when the model runs, and lies in [lower, upper].

    Dims support `+ - * // %` with ints and each other. Raises ShapeError for bad names or bounds.
    """
    return symbolic.symbol(name, lower, upper)


@dataclass(frozen=True)
class TensorSpec:
    """An input's shape, of ints and dims, and its dtype: "f32", "f16", "bf16", "i64", ..."""

    shape: Sequence[symbolic.Dim]
    dtype: object = "f32"

    def type(self) -> Attribute:
        """The type in the IR. Raises ShapeError for negative extents or an unknown dtype."""
        for dim in self.shape:
            if lower_bound(dim) < 0:
                raise ShapeError(f"an extent cannot be negative: {to_text(dim)}")
        return tensor_type(dtype_of(self.dtype).element, tuple(self.shape))


def trace(
    model: Model, inputs: Mapping[str, TensorSpec], *, require_weights: bool = True
) -> Program:
    """Runs `model` once on symbols for its inputs and records what it computes.

    Inputs go to the model's parameters of the same names or, if none of the names is a parameter's,
    in order. The model gives a tensor, or tensors in tuples, lists, dicts and dataclasses, whose
    keys and positions become the outputs' names: `output`, `output_0`, `logits`, `past.key`, ...

    Raises ShapeError, naming the module and the source line, for what does not fit; TraceError for
    what no trace can record; WeightError if parameters have no data (unless not `require_weights`).
    """
    _check_symbols(inputs)
    block = Block(arg_types=[_type(name, spec) for name, spec in inputs.items()])
    recorder = Recorder(block)
    if isinstance(model, Module):
        recorder.add_module(model)
    tensors: dict[str, Tensor] = {}
    for (name, _), argument in zip(inputs.items(), block.args, strict=True):
        argument.name_hint = value_name(name)
        tensors[name] = Tensor(argument, recorder)
    args, kwargs = _arguments(model, tensors)
    with recording(recorder):
        outputs = _named_outputs(model(*args, **kwargs))
        values = [output.value_in(recorder) for output in outputs.values()]
        block.add_op(ReturnOp(*values))
    main = FuncOp(
        "main",
        ([argument.type for argument in block.args], [value.type for value in values]),
        Region(block),
        arg_attrs=_names(inputs),
        res_attrs=_names(outputs),
    )
    parameters = recorder.values()
    missing = [name for name, parameter in parameters.items() if parameter.data is None]
    if missing and require_weights:
        raise WeightError(
            f"{len(missing)} parameters have no data (load_state_dict or init_random gives it): "
            + ", ".join(missing)
        )
    declarations = [ParameterOp(name, parameter.type) for name, parameter in parameters.items()]
    return Program(
        ModuleOp([*declarations, main]),
        {name: p.data for name, p in parameters.items() if p.data is not None},
    )


def _names(ports: Mapping[str, object]) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr({NAME: StringAttr(name)}) for name in ports])


def _type(name: str, spec: TensorSpec) -> Attribute:
    try:
        return spec.type()
    except ShapeError as error:
        raise ShapeError(f"input '{name}': {error}") from None


def _check_symbols(inputs: Mapping[str, TensorSpec]) -> None:
    """Raises ShapeError if one name stands for two different dims."""
    known: dict[str, Symbol] = {}
    for name, spec in inputs.items():
        for symbol in symbols_of(tuple(spec.shape)):
            if known.setdefault(symbol.name, symbol) != symbol:
                other = known[symbol.name]
                raise ShapeError(
                    f"input '{name}': dim {symbol.name} is in [{symbol.lower}, {symbol.upper}] "
                    f"here, but in [{other.lower}, {other.upper}] before"
                )


# Calling the model ----------------------------------------------------------------------------


def _arguments(
    model: Model, tensors: Mapping[str, Tensor]
) -> tuple[Sequence[Tensor], Mapping[str, Tensor]]:
    """The positional and keyword arguments for the model. Raises TraceError if they do not fit."""
    function = model.forward if isinstance(model, Module) else model
    signature = inspect.signature(function)
    by_name = {
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    open_names = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    positional = not open_names and by_name.isdisjoint(tensors)
    args = tuple(tensors.values()) if positional else ()
    kwargs = dict[str, Tensor]() if positional else tensors
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        title = type(model).__name__ if isinstance(model, Module) else "the function"
        raise TraceError(
            f"inputs {', '.join(tensors) or '(none)'} do not fit {title}{signature}: {error}"
        ) from None
    return args, kwargs


# Outputs --------------------------------------------------------------------------------------


def _named_outputs(result: object) -> dict[str, Tensor]:
    """The tensors of a model's result, by name. Raises TraceError for other things in it."""
    named = dict[str, Tensor]()
    for name, value in _leaves(result, ""):
        if name in named:
            raise TraceError(f"two outputs are named '{name}'")
        named[name] = value
    if not named:
        raise TraceError("the model gives no tensor")
    return named


def _leaves(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if value is None:
        return
    if isinstance(value, Tensor):
        yield name or "output", value
    elif isinstance(value, np.ndarray | np.generic | bool | int | float):
        yield name or "output", tensor(cast(object, value))
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _leaves(getattr(value, field.name), inner)
    elif hasattr(value, "_asdict"):  # a named tuple
        yield from _leaves(cast(Any, value)._asdict(), name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for i, item in enumerate(cast("Sequence[object]", value)):
            yield from _leaves(item, f"{name or 'output'}_{i}")
    else:
        raise TraceError(
            f"output {name or 'of the model'} is a {type(value).__name__}, not a tensor, tuple, "
            "list, dict or dataclass of tensors"
        )
