"""The xDSL context in which the IR of every level is parsed and transformed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from xdsl.context import Context
from xdsl.ir import Dialect

DIALECTS: Mapping[str, tuple[str, str]] = {
    "builtin": ("xdsl.dialects.builtin", "Builtin"),
    "func": ("xdsl.dialects.func", "Func"),
    "arith": ("xdsl.dialects.arith", "Arith"),
    "math": ("xdsl.dialects.math", "Math"),
    "memref": ("xdsl.dialects.memref", "MemRef"),
    "sym": ("ait.dialects.symbolic", "Sym"),
    "graph": ("ait.dialects.graph", "Graph"),
    "accessor": ("ait.dialects.accessor", "Accessor"),
    "kernel": ("ait.dialects.kernel", "Kernel"),
}
"""Where each dialect that all levels share is defined: module and name."""


def make_context(extra: Mapping[str, Callable[[], Dialect]] | None = None) -> Context:
    """A context that knows all shared dialects, and imports each when its name first occurs.

    `extra` adds dialects by name, such as those of a target's `config` attributes.
    """
    context = Context()
    for name, (module, variable) in DIALECTS.items():
        context.register_dialect(name, _factory(module, variable))
    for name, factory in (extra or {}).items():
        context.register_dialect(name, factory)
    return context


def _factory(module: str, variable: str) -> Callable[[], Dialect]:
    return lambda: getattr(import_module(module), variable)
