"""ait: a multi-level IR compiler for deep-learning inference.

    program = ait.trace(model, {"x": ait.TensorSpec((ait.Dim("batch", 1, 64), 128), "f32")})
    artifact = ait.compile(program, target="cpu", output="model.so")
    outputs = ait.load("model.so")({"x": x})

Importing this package is cheap: each name below is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ait.codegen.compile import compile_program as compile
    from ait.ir import nn
    from ait.ir.interpreter import evaluate
    from ait.ir.program import Program
    from ait.ir.trace import Dim, TensorSpec, trace
    from ait.runtime.loader import load

from ait.collector import paused_collector
from ait.errors import (
    AitError,
    CompileError,
    InputError,
    ShapeError,
    ToolchainError,
    WeightError,
)

__version__ = "0.1.0"

__all__ = [
    "AitError",
    "CompileError",
    "Dim",
    "InputError",
    "Program",
    "ShapeError",
    "TensorSpec",
    "ToolchainError",
    "WeightError",
    "__version__",
    "compile",
    "evaluate",
    "load",
    "nn",
    "trace",
]

# Where each lazy name comes from; an empty second part means the module itself.
_ORIGINS = {
    "Dim": ("ait.ir.trace", "Dim"),
    "Program": ("ait.ir.program", "Program"),
    "TensorSpec": ("ait.ir.trace", "TensorSpec"),
    "compile": ("ait.codegen.compile", "compile_program"),
    "evaluate": ("ait.ir.interpreter", "evaluate"),
    "load": ("ait.runtime.loader", "load"),
    "nn": ("ait.ir.nn", ""),
    "trace": ("ait.ir.trace", "trace"),
}


def __getattr__(name: str) -> Any:
    origin = _ORIGINS.get(name)
    if origin is None:
        raise AttributeError(f"module 'ait' has no attribute '{name}'")
    with paused_collector():
        module = import_module(origin[0])
    value = getattr(module, origin[1]) if origin[1] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
