"""Modules, parameters and buffers: the parts of a model, named by attribute as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Self, cast, overload
from zlib import crc32

import numpy as np
from typing_extensions import TypeVar, override
from xdsl.ir import SSAValue

from ait.dialects.graph.base import AnyTensor
from ait.dialects.symbolic import tensor_type
from ait.errors import ShapeError
from ait.ir.dtypes import Array, dtype_of
from ait.ir.nn.initialization import Initializer, fan_in
from ait.ir.nn.recorder import Recorder, current_recorder
from ait.ir.nn.state import IGNORED, LoadReport, load
from ait.ir.nn.tensor import Tensor

DEFAULT_DTYPE = "f32"


class Parameter(Tensor):
    """A weight: a tensor whose `data` is known before the model runs.

    `Parameter((out, in))` is yet without data, which `load_state_dict` or `init_random` give;
    `Parameter(array)` has it. `init` says how `init_random` draws it.
    """

    def __init__(
        self,
        shape: Sequence[int] | Array,
        dtype: object = None,
        *,
        init: Initializer = fan_in,
    ):
        if isinstance(shape, np.ndarray):
            array = shape
            default = DEFAULT_DTYPE if array.dtype == np.float64 else array.dtype
            stored = dtype_of(default if dtype is None else dtype)
            self._shape: tuple[int, ...] = array.shape
            self.data: Array | None = array.astype(stored.numpy)
        else:
            stored = dtype_of(DEFAULT_DTYPE if dtype is None else dtype)
            self._shape = tuple(shape)
            self.data = None
        if any(extent < 0 for extent in self._shape):
            raise ShapeError(f"a parameter cannot have the shape {list(self._shape)}")
        self._type = tensor_type(stored.element, self._shape)
        self.init = init

    @property
    @override
    def type(self) -> AnyTensor:
        return self._type

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @override
    def value_in(self, recorder: Recorder) -> SSAValue:
        return recorder.parameter(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._shape)}, {self.dtype})"

    def set_data(self, array: Array) -> None:
        """Gives the parameter its values, rounded to its dtype if that is another float."""
        self.data = np.ascontiguousarray(array, self._dtype.numpy).reshape(self._shape)

    def change_dtype(self, dtype: object) -> None:
        """Makes a float parameter one of another dtype; others stay as they are."""
        if not self._dtype.is_float:
            return
        target = dtype_of(dtype)
        self._type = tensor_type(target.element, self._shape)
        if self.data is not None:
            self.data = self.data.astype(target.numpy)


class Buffer(Parameter):
    """A tensor that is no weight, such as a mean; checkpoints hold the `persistent` ones."""

    def __init__(
        self,
        shape: Sequence[int] | Array,
        dtype: object = None,
        *,
        persistent: bool = True,
        init: Initializer = fan_in,
    ):
        super().__init__(shape, dtype, init=init)
        self.persistent = persistent


def _forward_missing(module: Module, *_: object) -> Any:
    raise NotImplementedError(f"{type(module).__name__} has no forward")


class Module:
    """A part of a model: assign parameters, buffers and other modules to attributes.

    Their dotted paths are PyTorch's, so that its checkpoints load. Calling a module runs `forward`
    inside a trace and attributes what it records to the module's path.
    """

    forward: Callable[..., Any] = _forward_missing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with current_recorder().inside(self):
            return self.forward(*args, **kwargs)

    # What it is made of -------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes, in order of assignment."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """The module and all below it, each once, with dotted paths."""
        seen: set[Module] = set()
        for path, module in self._walk(prefix):
            if module not in seen:
                seen.add(module)
                yield path, module

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self, *, buffers: bool = False) -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once under its first name; on request also all buffers."""
        seen: set[Parameter] = set()
        for name, parameter in self._named_values():
            if parameter not in seen and (buffers or not isinstance(parameter, Buffer)):
                seen.add(parameter)
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        for name, value in self.named_parameters(buffers=True):
            if isinstance(value, Buffer):
                yield name, value

    def buffers(self) -> Iterator[Buffer]:
        return (buffer for _, buffer in self.named_buffers())

    def _named_values(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters and buffers under every name, in the order of PyTorch's state_dict."""
        for path, module in self._walk(""):
            own = [(k, v) for k, v in vars(module).items() if isinstance(v, Parameter)]
            own.sort(key=lambda item: isinstance(item[1], Buffer))
            for name, value in own:
                yield f"{path}.{name}" if path else name, value

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        setattr(self, name, parameter)

    def register_buffer(self, name: str, array: Array | None, persistent: bool = True) -> None:
        setattr(self, name, None if array is None else Buffer(array, persistent=persistent))

    def add_module(self, name: str, module: Module | None) -> None:
        setattr(self, name, module)

    # Weights ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Parameter]:
        """Parameters and persistent buffers by name; a tied one has several names."""
        return {
            name: value
            for name, value in self._named_values()
            if not isinstance(value, Buffer) or value.persistent
        }

    def load_state_dict(
        self,
        source: Mapping[str, object] | str | PathLike[str],
        strict: bool = True,
        *,
        prefix: str = "",
        ignore: Iterable[str] = IGNORED,
    ) -> LoadReport:
        """Takes weights from arrays by name, or from a safetensors file.

        With a `prefix`, only the source's names that begin with it count, without it. `ignore`d are
        names, or last parts of names, that only a checkpoint has. Floats are rounded to the
        parameter's dtype. Raises WeightError that lists every name that does not fit: all that
        differ in shape or kind of dtype and, if `strict`, all missing and unexpected ones.
        """
        return load(type(self).__name__, self.state_dict(), source, strict, prefix, ignore)

    def init_random(self, seed: int = 0) -> Self:
        """Draws all parameters and buffers that have no data; equal names get equal values."""
        for name, parameter in self.named_parameters(buffers=True):
            if parameter.data is None:
                generator = np.random.default_rng([seed, crc32(name.encode())])
                parameter.set_data(parameter.init(generator, parameter.shape))
        return self

    def to(self, dtype: object) -> Self:
        """Changes the dtype of all float parameters and buffers."""
        for _, parameter in self.named_parameters(buffers=True):
            parameter.change_dtype(dtype)
        return self

    def half(self) -> Self:
        return self.to("f16")

    def bfloat16(self) -> Self:
        return self.to("bf16")

    def float(self) -> Self:
        return self.to("f32")

    def eval(self) -> Self:
        """Does nothing: modules only infer."""
        return self


ModuleT = TypeVar("ModuleT", bound=Module, default=Module)


class Identity(Module):
    """Gives its input, whatever arguments it was made with."""

    def __init__(self, *_: object, **__: object):
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x


class Sequential(Module):
    """Modules one after another, named by position, or by the keys of a mapping."""

    def __init__(self, *modules: Module | Mapping[str, Module]):
        named: Iterable[tuple[str, Module]]
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0].items()
        else:
            named = ((str(i), cast(Module, module)) for i, module in enumerate(modules))
        self._modules = dict(named)

    @override
    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from self._modules.items()

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: int) -> Module:
        return list(self._modules.values())[index]

    def append(self, module: Module) -> Self:
        self._modules[str(len(self._modules))] = module
        return self

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class ModuleList(Module, Sequence[ModuleT]):
    """A list of modules, named by position."""

    def __init__(self, modules: Iterable[ModuleT] = ()):
        self._modules = list(modules)

    @override
    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from ((str(i), module) for i, module in enumerate(self._modules))

    @override
    def __len__(self) -> int:
        return len(self._modules)

    @overload
    def __getitem__(self, index: int) -> ModuleT: ...
    @overload
    def __getitem__(self, index: slice) -> list[ModuleT]: ...
    @override
    def __getitem__(self, index: int | slice) -> ModuleT | list[ModuleT]:
        return self._modules[index]

    def append(self, module: ModuleT) -> Self:
        self._modules.append(module)
        return self

    def extend(self, modules: Iterable[ModuleT]) -> Self:
        self._modules.extend(modules)
        return self


class ModuleDict(Module):
    """Modules by name."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        self._modules = dict(modules or {})

    @override
    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from self._modules.items()

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self._modules[name] = module

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def items(self) -> Iterable[tuple[str, Module]]:
        return self._modules.items()
