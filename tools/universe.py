"""Everything that `ait` adds to xDSL's tools: its dialects and passes, imported when first used.

`AIT_UNIVERSE` is the package's `xdsl.universe` entry point: stock xDSL tools find the dialects and
passes through it. `ait-opt` reads the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec

from xdsl.ir import Dialect
from xdsl.passes import ModulePass
from xdsl.transforms import get_all_passes as get_xdsl_passes
from xdsl.universe import Universe

from ait.ir.context import DIALECTS as SHARED
from ait.passes import get_all_passes

PassFactory = Callable[[], type[ModulePass]]

CONFIG_DIALECTS: Mapping[str, str] = {
    "cpu": "ait.codegen.cpu.dialect",
    "cuda": "ait.codegen.cuda.configs",
    "ck": "ait.codegen.hip.dialect",
    "plain": "ait.codegen.gpu.dialect",
}
"""The modules that define each target's `config` attributes."""


def _dialect_factory(name: str, module_name: str) -> Callable[[], Dialect]:
    def load() -> Dialect:
        for value in vars(import_module(module_name)).values():
            if isinstance(value, Dialect) and value.name == name:
                return value
        raise LookupError(f"{module_name} defines no dialect named '{name}'")

    return load


def dialect_factories() -> dict[str, Callable[[], Dialect]]:
    """Our dialects by name; none is imported before its factory is called."""
    shared = {name: module for name, (module, _) in SHARED.items() if module.startswith("ait.")}
    modules = shared | dict(CONFIG_DIALECTS)
    return {
        name: _dialect_factory(name, module) for name, module in modules.items() if _exists(module)
    }


def pass_factories() -> dict[str, PassFactory]:
    """Our passes by name; none is imported before its factory is called."""
    return get_all_passes()


def pipelines() -> Mapping[str, tuple[str, ...]]:
    """The named pipelines: each a sequence of pass specifications or other pipelines' names."""
    # Imported late, as it imports the dialects.
    from ait.passes.pipelines import PIPELINES

    return PIPELINES


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _without_xdsl_names() -> dict[str, PassFactory]:
    # A name that two universes define is an error at the start of every xDSL tool.
    taken = get_xdsl_passes()
    return {name: factory for name, factory in pass_factories().items() if name not in taken}


AIT_UNIVERSE = Universe(all_dialects=dialect_factories(), all_passes=_without_xdsl_names())
