"""What a trace writes into: the function under construction, its parameters and where it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from ait.dialects.graph import GetParameterOp
from ait.errors import ShapeError, TraceError

if TYPE_CHECKING:
    from ait.ir.nn.module import Module, Parameter

_AIT_IR = str(Path(__file__).resolve().parent.parent)


class Recorder:
    """Collects the ops of one trace, in order, in one block."""

    def __init__(self, block: Block):
        self.block = block
        self.parameters: dict[Parameter, str] = {}
        """The parameters of the modules known so far, by identity, with their symbols."""
        self.used: dict[Parameter, SSAValue] = {}
        """The parameters that the model has read, in order of first use."""
        self._paths: dict[Module, str] = {}
        self._stack: list[str] = []
        self._sources: dict[str, StringAttr] = {}

    def add_module(self, root: Module, prefix: str = "") -> None:
        """Makes a module tree known, with names that begin with `prefix`."""
        for path, module in root.named_modules():
            self._paths.setdefault(module, prefix + path or type(root).__name__)
        for name, parameter in root.named_parameters(buffers=True):
            self.parameters.setdefault(parameter, prefix + name)

    @property
    def path(self) -> str:
        """The dotted path of the module whose forward runs; empty outside of modules."""
        return self._stack[-1] if self._stack else ""

    @contextmanager
    def inside(self, module: Module) -> Generator[None]:
        """Attributes what is recorded to `module`."""
        if module not in self._paths:
            self._add_stranger(module)
        self._stack.append(self._paths[module])
        try:
            yield
        finally:
            self._stack.pop()

    def _add_stranger(self, module: Module) -> None:
        """A module that is no attribute of those known: fine in a function, or without weights."""
        name = type(module).__name__
        names = [name for name, _ in module.named_parameters(buffers=True)]
        if self._stack:
            if names:
                raise TraceError(
                    f"{self.path}: its forward calls a {name} with parameters that is no attribute "
                    "of it: assign it to an attribute, or keep it in an nn.ModuleList"
                )
            self._paths[module] = f"{self.path}.{name}"
            return
        taken = set(self.parameters.values())
        count = len(self._paths)
        prefix = "" if taken.isdisjoint(names) else f"{name.lower()}_{count}."
        self.add_module(module, prefix)

    def parameter(self, parameter: Parameter) -> SSAValue:
        """The value of a parameter, read once in a trace."""
        value = self.used.get(parameter)
        if value is None:
            name = self.parameters.get(parameter)
            if name is None:
                raise TraceError(
                    self.located(
                        f"a parameter of shape {list(parameter.shape)} belongs to no module of the "
                        "traced model: assign it to an attribute of a module"
                    )
                )
            op = self.record(lambda: GetParameterOp(name, parameter.type))
            value = self.used[parameter] = op.results[0]
        return value

    def adopt(self, constant: Parameter) -> None:
        """Names a parameter that is a constant of the model's code."""
        count = sum(1 for name in self.parameters.values() if "constant_" in name)
        prefix = f"{self.path}." if self.path else ""
        self.parameters[constant] = f"{prefix}constant_{count}"

    def record(self, build: Callable[[], Operation]) -> Operation:
        """Appends the op that `build` makes. Raises ShapeError that names module and user line."""
        try:
            op = build()
        except (ShapeError, VerifyException) as error:
            raise ShapeError(self.located(str(error))) from None
        path = self.path
        if path:
            source = self._sources.get(path)
            if source is None:
                source = self._sources[path] = StringAttr(path)
            op.attributes["source"] = source
        self.block.add_op(op)
        return op

    def located(self, message: str) -> str:
        """The message with the module's path before it and the user's source line after it."""
        prefix = f"{self.path}: " if self.path else ""
        return f"{prefix}{message}{_user_line()}"

    def values(self) -> Mapping[str, Parameter]:
        """The parameters that the model reads, by symbol."""
        return {self.parameters[parameter]: parameter for parameter in self.used}


def _user_line() -> str:
    """` (model.py:12)`: the innermost frame that is not the tracer's own."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not str(Path(name).resolve()).startswith(_AIT_IR) and "contextlib" not in name:
            return f" ({Path(name).name}:{frame.f_lineno})"
        frame = frame.f_back
    return ""


_CURRENT: ContextVar[Recorder | None] = ContextVar("ait_recorder", default=None)


def current_recorder() -> Recorder:
    """The recorder of the running trace. Raises TraceError where none runs."""
    recorder = _CURRENT.get()
    if recorder is None:
        raise TraceError("ait.nn computes only while a model is traced: see ait.trace")
    return recorder


@contextmanager
def recording(recorder: Recorder) -> Generator[None]:
    """Makes `recorder` the current one."""
    token = _CURRENT.set(recorder)
    try:
        yield
    finally:
        _CURRENT.reset(token)
