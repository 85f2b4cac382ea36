"""How functions of a model name what goes in and out, at every level."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

MAIN = "main"
"""The function that is the model."""
PREPARE = "prepare"
"""The function that computes derived parameters from raw ones."""
NAME = "ait.name"
"""Attribute of arguments and results: what users call the input or output."""
OUTPUT = "ait.output"
"""Unit attribute of arguments that are outputs, in functions on buffers."""


def value_name(name: str) -> str | None:
    """The IR value's name for an input or output: the lexer takes ASCII identifiers only."""
    return name if name.isidentifier() and name.isascii() else None


def functions_of(module: ModuleOp) -> list[FuncOp]:
    """The functions of a module, in order."""
    return [op for op in module.body.block.ops if isinstance(op, FuncOp)]


def run_functions_of(module: ModuleOp) -> list[FuncOp]:
    """Those that run for each input: all but `@prepare`."""
    return [f for f in functions_of(module) if f.sym_name.data != PREPARE]


def find_function(module: ModuleOp, name: str) -> FuncOp | None:
    """The function of that name, or None."""
    return next((f for f in functions_of(module) if f.sym_name.data == name), None)
