"""`ReportData` -> one HTML file that needs nothing else, and that no name in a model can break.

Every text goes through Jinja2's escaping, and the page's own policy lets no script run but the one
that is written here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ait.codegen.report.data import Flow, Launch, ReportData
from ait.codegen.report.layout import NODE_HEIGHT, NODE_WIDTH, Layout, place
from ait.codegen.units import byte_count, count, duration

# What fits into a node, in characters of its font.
_NODE_TEXT = 26
# Drawings of fewer launches need no second one that shows blocks.
_FEW_LAUNCHES = 16


@dataclass(frozen=True)
class Node:
    """A node of a drawing. `key` identifies it in the page, `look` is its CSS class."""

    key: str
    look: str
    title: str
    note: str
    text: str
    hint: str


@dataclass(frozen=True)
class Drawing:
    """A placed graph: nodes with the places of the same numbers."""

    name: str
    stage: str
    detail: str
    nodes: tuple[Node, ...]
    layout: Layout


def write_page(data: ReportData, path: Path) -> None:
    """Writes the page to `path`. Raises OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name may hold what UTF-8 cannot encode.
    path.write_bytes(render_page(data).encode("utf-8", "replace"))


def render_page(data: ReportData) -> str:
    """The page's text; equal data give equal text."""
    environment = _environment()
    script = environment.get_template("report.js.j2").render()
    context: dict[str, Any] = {
        "data": data.as_json(),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "drawings": _drawings(data),
        "node_width": NODE_WIDTH,
        "node_height": NODE_HEIGHT,
    }
    return environment.get_template("report.html.j2").render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ait.codegen.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bytes": byte_count, "duration": duration, "count": count}
    return environment


# Drawings -------------------------------------------------------------------------------------


def _drawings(data: ReportData) -> list[Drawing]:
    """Each flow by launches; and by blocks of the model, if there are many launches."""
    drawings: list[Drawing] = []
    for stage, flow in (("after", data.after), ("before", data.before)):
        if flow is None:
            continue
        blocks = _blocks(flow.launches)
        if len(flow.launches) > _FEW_LAUNCHES and len(blocks) < len(flow.launches):
            drawings.append(_draw(data, flow, stage, "blocks", blocks))
        single = [range(i, i + 1) for i in range(len(flow.launches))]
        drawings.append(_draw(data, flow, stage, "launches", single))
    return drawings


def _blocks(launches: Sequence[Launch]) -> list[range]:
    """Runs of launches of one block of the model: edges between them still go forward."""
    runs: list[range] = []
    for i, launch in enumerate(launches):
        if i and block_name(launch.source) == block_name(launches[i - 1].source):
            runs[-1] = range(runs[-1].start, i + 1)
        else:
            runs.append(range(i, i + 1))
    return runs


def block_name(source: str) -> str:
    """The part of a module's path that names a repeated block: `encoder.layer.3`, or the first."""
    parts = source.split(".")
    numbered = next((i for i, part in enumerate(parts) if part.isdecimal()), 0)
    return ".".join(parts[: numbered + 1])


def _draw(data: ReportData, flow: Flow, stage: str, detail: str, runs: Sequence[range]) -> Drawing:
    inputs = [port.name for port in data.inputs]
    run_of = {number: i for i, run in enumerate(runs) for number in run}
    first_output = len(inputs) + len(runs)
    edges: set[tuple[int, int]] = set()
    for number, launch in enumerate(flow.launches):
        node = len(inputs) + run_of[number]
        producers = {run_of[p] for p in launch.producers} - {run_of[number]}
        edges |= {(len(inputs) + producer, node) for producer in producers}
        edges |= {(inputs.index(o.name), node) for o in launch.operands if o.holder == "input"}
    for i, writers in enumerate(flow.outputs.values()):
        edges |= {(len(inputs) + run_of[w], first_output + i) for w in writers}
    nodes = (
        *(_port_node(f"{stage}-in-{i}", name, "input") for i, name in enumerate(inputs)),
        *(_run_node(stage, detail, flow, run) for run in runs),
        *(_port_node(f"{stage}-out-{i}", name, "output") for i, name in enumerate(flow.outputs)),
    )
    return Drawing(f"{stage}-{detail}", stage, detail, nodes, place(len(nodes), edges))


def _port_node(key: str, name: str, kind: str) -> Node:
    return Node(key, "port", kind, "", _shortened(name), f"{kind} {name}")


def _run_node(stage: str, detail: str, flow: Flow, run: range) -> Node:
    launches = flow.launches[run.start : run.stop]
    first = launches[0]
    time = duration(sum(launch.seconds for launch in launches))
    if detail == "launches":
        return Node(
            key=f"{stage}-{run.start}",
            look=f"kernel {first.look}",
            title=f"{run.start} {first.kind}",
            note=time,
            text=_shortened(first.source) or "(no source)",
            hint=f"{first.kind} {first.source} {first.domain}",
        )
    name = block_name(first.source)
    return Node(
        key=f"{stage}-block-{run.start}-{run.stop}",
        look="block moves" if any(launch.moves_only for launch in launches) else "block",
        title=_counts(launches),
        note=time,
        text=_shortened(name) or "(no source)",
        hint=f"{name}: launches {run.start} to {run.stop - 1}",
    )


def _counts(launches: Sequence[Launch]) -> str:
    moves = sum(launch.moves_only for launch in launches)
    text = f"{len(launches)} launch{'es' if len(launches) > 1 else ''}"
    return f"{text}, {moves} move" if moves else text


def _shortened(text: str, limit: int = _NODE_TEXT) -> str:
    """The end of a text, which is what tells layers apart."""
    return text if len(text) <= limit else f"…{text[1 - limit :]}"
