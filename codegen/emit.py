"""A model's plan -> the sources of its library: one file per distinct kernel, and `model.cpp`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment

import ait
from ait.codegen.build import SourceFile
from ait.codegen.cache import digest_of
from ait.codegen.expressions import dim_over_symbols
from ait.codegen.group_view import LaunchView
from ait.codegen.operand import Operand
from ait.codegen.plan import Call, Function, Memory, ModelPlan, Pointer, Port, Role
from ait.codegen.rendering import environment
from ait.codegen.target import Target
from ait.codegen.weights import StoredWeight, has_blob
from ait.dialects.symbolic import Dim, bounds, to_text
from ait.errors import CompileError
from ait.passes.cost import cost_of

_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_MAX_ORIGINS = 4


@dataclass
class Kernel:
    """A distinct kernel of a model and the layers that use it."""

    symbol: str
    view: LaunchView
    sources: list[str] = field(default_factory=list[str])

    @property
    def origin(self) -> str:
        """The layers, for people: the first few of them."""
        named = list(dict.fromkeys(source for source in self.sources if source))
        more = f" and {len(named) - _MAX_ORIGINS} more" if len(named) > _MAX_ORIGINS else ""
        return ", ".join(named[:_MAX_ORIGINS]) + more


def distinct_kernels(calls: Iterable[Call]) -> dict[str, Kernel]:
    """The kernels of `calls` by their view's key, in order of first use."""
    kernels: dict[str, Kernel] = {}
    for call in calls:
        view = call.view
        kernel = kernels.setdefault(view.key, Kernel(view.symbol, view))
        kernel.sources.append(view.source)
    return kernels


def emit_kernels(plan: ModelPlan, target: Target) -> list[SourceFile]:
    """One translation unit per distinct kernel. Raises CompileError that lists all refusals."""
    sources: list[SourceFile] = []
    problems: list[str] = []
    for kernel in distinct_kernels(plan.calls).values():
        try:
            text = target.render(kernel.view, kernel.symbol)
        except CompileError as error:
            problems.append(f"{kernel.origin or kernel.symbol}: {error}")
            continue
        name = f"kernels/{kernel.symbol}{target.kernel_suffix(kernel.view.config)}"
        sources.append(SourceFile(name, text, kernel.origin))
    if problems:
        raise CompileError("\n".join(problems))
    return sources


def fingerprint(plan: ModelPlan, target: Target, weights: Sequence[StoredWeight]) -> str:
    """Identifies a program with its weights: derived weights of equal fingerprints are equal."""
    prepare = plan.prepare.calls if plan.prepare else ()
    steps = [f"{call.view.symbol} {call.pointers}" for call in prepare]
    values = [f"{stored.weight} {stored.sha256}" for stored in weights]
    return digest_of([target.name, *steps, *values])


def emit_model(
    plan: ModelPlan, target: Target, name: str, weights: Sequence[StoredWeight]
) -> SourceFile:
    """`model.cpp`: the calls and tables of a model."""
    symbols = _symbol_variables(plan)
    kernels = distinct_kernels(plan.calls)
    context: dict[str, Any] = {
        "name": name,
        "target": target.name,
        "version": ait.__version__,
        "kernels": [kernel.symbol for kernel in kernels.values()],
        "alignment": target.description.alignment,
        "port_alignment": target.port_alignment,
        "metadata": raw_literal(json.dumps(metadata(plan, target, name, weights))),
        "fingerprint": fingerprint(plan, target, weights),
        "inputs": _ports(plan.inputs, symbols),
        "outputs": _ports(plan.outputs, symbols),
        "symbols": [
            {"name": s.name, "lower": s.lower, "upper": s.upper, "variable": symbols[s.name]}
            for s in plan.symbols
        ],
        "binds": plan.bindings,
        "weights": [_weight(i, stored) for i, stored in enumerate(weights)],
        "blob": has_blob(weights),
        "literals": _literals(weights),
        "run": _function("run", plan.main, plan, symbols, target),
        "prepare": plan.prepare and _function("prepare", plan.prepare, plan, symbols, target),
    }
    text = _templates().get_template("model.cpp.j2").render(context)
    return SourceFile("model.cpp", _BLANK_LINES.sub("\n\n", text))


def metadata(
    plan: ModelPlan, target: Target, name: str, weights: Sequence[StoredWeight]
) -> dict[str, Any]:
    """What a library says of itself: the JSON in its section `.ait.metadata`."""
    low, high = plan.main.workspace(target.description.alignment)
    kernels = distinct_kernels(plan.main.calls)
    return {
        "format": 1,
        "name": name,
        "target": target.name,
        "compiler": f"ait {ait.__version__}",
        "weights_embedded": all(s.offset >= 0 or s.value is None for s in weights),
        "workspace_bytes": {"lower": low, "upper": high},
        "inputs": [_port_metadata(port) for port in plan.inputs],
        "outputs": [_port_metadata(port) for port in plan.outputs],
        "symbols": [{"name": s.name, "lower": s.lower, "upper": s.upper} for s in plan.symbols],
        "kernels": [
            {
                "name": kernel.symbol,
                "kind": kernel.view.kind,
                "calls": len(kernel.sources),
                "config": str(kernel.view.config or ""),
            }
            for kernel in kernels.values()
        ],
        "binds": [
            {
                "symbol": bind.symbol.name,
                "input": bind.input,
                "axis": bind.axis,
                "scale": bind.scale,
                "offset": bind.offset,
            }
            for bind in plan.bindings
        ],
        "steps": [
            {
                "kernel": kernels[call.view.key].symbol,
                "source": call.view.source,
                **_cost_metadata(call.view),
            }
            for call in plan.main.calls
        ],
        "weights": [
            {
                "name": s.weight.name,
                "dtype": s.weight.element.name,
                "shape": s.weight.shape,
                "bytes": s.weight.bytes,
                "role": "literal" if s.weight.is_literal else s.weight.role.value,
                "sha256": s.sha256,
            }
            for s in weights
        ],
    }


def _cost_metadata(view: LaunchView) -> dict[str, Any]:
    """What a step moves and computes: dims as text, for `ait profile`."""
    costs = [cost_of(member.op) for member in view.members]
    return {
        "element": view.operands[0].element.name,
        "bytes": _total(cost.bytes for cost in costs),
        "matrix_operations": _total(cost.matrix_operations for cost in costs),
        "scalar_operations": _total(cost.scalar_operations for cost in costs),
    }


def _total(dims: Iterable[Dim]) -> str:
    """A sum as text."""
    total: Dim = 0
    for dim in dims:
        total = total + dim
    return to_text(total)


# Text of model.cpp ----------------------------------------------------------------------------


@cache
def _templates() -> Environment:
    templates = environment("ait.codegen")
    templates.filters["string_literal"] = string_literal
    templates.filters["comment"] = comment
    return templates


def string_literal(text: str) -> str:
    """A C string literal of the text's UTF-8 bytes."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'


def raw_literal(text: str) -> str:
    """A C++ raw string literal of ASCII text."""
    delimiter, count = "ait", 0
    while f'){delimiter}"' in text:
        count += 1
        delimiter = f"ait{count}"
    return f'R"{delimiter}({text}){delimiter}"'


def comment(text: str) -> str:
    """Text that stays in one line of comment, whatever it holds."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip("\\")


def _ports(ports: Sequence[Port], symbols: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "index": i,
            "name": port.name,
            "element": port.element.name,
            "dims": [_dim(dim, symbols) for dim in port.dims],
        }
        for i, port in enumerate(ports)
    ]


def _dim(dim: Dim, symbols: Mapping[str, str]) -> dict[str, Any]:
    low, high = bounds(dim)
    return {
        "text": to_text(dim),
        "lower": max(low, 0),
        "upper": high,
        "expression": dim_over_symbols(dim, symbols.__getitem__),
    }


def _port_metadata(port: Port) -> dict[str, Any]:
    shape = [dim if isinstance(dim, int) else to_text(dim) for dim in port.dims]
    return {"name": port.name, "dtype": port.element.name, "shape": shape}


def _literals(weights: Sequence[StoredWeight]) -> list[dict[str, Any]]:
    """What `prepare` copies: from where in the blob to which of its outputs."""
    derived = [stored for stored in weights if stored.weight.role is Role.DERIVED]
    return [
        {"output": i, "offset": stored.offset, "bytes": stored.weight.bytes}
        for i, stored in enumerate(derived)
        if stored.weight.is_literal
    ]


def _weight(index: int, stored: StoredWeight) -> dict[str, Any]:
    weight = stored.weight
    return {
        "index": index,
        "name": weight.name,
        "element": weight.element.name,
        "shape": weight.shape,
        "bytes": weight.bytes,
        "offset": stored.offset,
        "role": weight.role.value,
        "sha256": stored.sha256,
    }


def _function(
    name: str, function: Function, plan: ModelPlan, symbols: Mapping[str, str], target: Target
) -> dict[str, Any]:
    used = dict.fromkeys(pointer for call in function.calls for pointer in call.pointers)
    derived = [weight.name for weight in plan.weights if weight.role is Role.DERIVED]
    outputs = [port.name for port in plan.outputs] if name == "run" else derived
    variables = _Variables(plan, outputs)
    kernels = distinct_kernels(plan.calls)
    return {
        "name": name,
        "has_symbols": name == "run",
        "slots": [dim_over_symbols(size, symbols.__getitem__) for size in function.slots],
        "workspace_bytes": function.workspace(target.description.alignment)[1],
        "pointers": [
            {
                "variable": variables.of(pointer),
                "table": _TABLES[pointer.memory],
                "index": pointer.index,
            }
            for pointer in used
            if pointer.memory is not Memory.SLOT
        ],
        "calls": [
            {
                "comment": call.view.source or call.view.kind,
                "kernel": kernels[call.view.key].symbol,
                "backwards": call.backwards,
                "pointers": [
                    _moved(variables.of(pointer), operand, symbols)
                    for pointer, operand in zip(call.pointers, call.view.operands, strict=True)
                ],
                "extents": [
                    dim_over_symbols(extent.dim, symbols.__getitem__)
                    for extent in call.view.extents
                ],
            }
            for call in function.calls
        ],
    }


def _moved(variable: str, operand: Operand, symbols: Mapping[str, str]) -> str:
    """The pointer that a kernel is called with."""
    if operand.base_dim == 0:
        return variable
    bytes_from_begin = operand.base_dim * operand.element.bytes
    return f"at({variable}, {dim_over_symbols(bytes_from_begin, symbols.__getitem__)})"


_TABLES: Mapping[Memory, str] = {
    Memory.INPUT: "inputs",
    Memory.OUTPUT: "outputs",
    Memory.WEIGHT: "weights",
}


def _symbol_variables(plan: ModelPlan) -> dict[str, str]:
    """C++ variables of the symbols. Their names are identifiers, but need not be ASCII."""
    variables: dict[str, str] = {}
    for symbol in plan.symbols:
        variables[symbol.name] = _fresh(f"dim_{symbol.name}", variables.values())
    return variables


def _fresh(label: str, taken: Collection[str]) -> str:
    """An identifier like `label` that is not taken."""
    base = name = _NOT_IN_NAMES.sub("_", label)
    count = 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


class _Variables:
    """Readable, unique C++ names of a function's pointers: `in_ids`, `weight_encoder_0_bias`."""

    def __init__(self, plan: ModelPlan, outputs: Sequence[str]):
        self._labels: Mapping[Memory, Sequence[str]] = {
            Memory.INPUT: [port.name for port in plan.inputs],
            Memory.OUTPUT: outputs,
            Memory.WEIGHT: [weight.name for weight in plan.weights],
        }
        self._names: dict[Pointer, str] = {}

    def of(self, pointer: Pointer) -> str:
        known = self._names.get(pointer)
        if known is None:
            labels = self._labels.get(pointer.memory, ())
            label = labels[pointer.index] if pointer.index < len(labels) else str(pointer.index)
            known = _fresh(f"{pointer.memory.value}_{label}", self._names.values())
            self._names[pointer] = known
        return known
