"""Places the nodes of a directed acyclic graph in rows, with few crossings and straight lines.

The method is that of Sugiyama, Tagawa and Toda (1981): rows by longest path, order in a row by the
mean place of neighbours, then places that keep the order. All edges that leave one node share one
line through the rows that they cross, so that a value with many far users stays one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

NODE_WIDTH = 190
NODE_HEIGHT = 40
GAP = 24
ROW_HEIGHT = NODE_HEIGHT + 30
LINE_WIDTH = 14
MARGIN = 16
_SWEEPS = 6
_NODE_WEIGHT = 1e6


@dataclass(frozen=True)
class Segment:
    """A part of the line that leaves `source`; `target` is the node it ends in, if it does.

    It comes into row `row`. `path` is SVG path data.
    """

    source: int
    target: int | None
    row: int
    path: str


@dataclass(frozen=True)
class Layout:
    """Left upper corners of nodes, by number, their rows, and lines. Units are CSS pixels."""

    places: tuple[tuple[float, float], ...]
    rows: tuple[int, ...]
    segments: tuple[Segment, ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Point:
    """A node in a row (`is_line` false), or where the line that leaves a node crosses the row."""

    node: int
    row: int
    is_line: bool

    @property
    def width(self) -> float:
        return LINE_WIDTH if self.is_line else NODE_WIDTH


def place(count: int, edges: Iterable[tuple[int, int]]) -> Layout:
    """Places nodes 0 to `count` - 1; each edge goes from a lower number to a higher one."""
    successors: dict[int, list[int]] = {}
    for source, target in sorted(set(edges)):
        if not 0 <= source < target < count:
            raise ValueError(f"the edge {source} -> {target} goes backwards")
        successors.setdefault(source, []).append(target)
    rows = _rows(count, successors)
    links = _links(rows, successors)
    order = _ordered(rows, links)
    centers = _centers(order, links)
    return _drawn(rows, links, centers)


def _rows(count: int, successors: Mapping[int, Sequence[int]]) -> list[int]:
    """Each node one row below the lowest that it needs; sources right above their first user."""
    rows = [0] * count
    targets: set[int] = set()
    for node in range(count):
        for target in successors.get(node, ()):
            rows[target] = max(rows[target], rows[node] + 1)
            targets.add(target)
    for node in range(count):
        if node not in targets and node in successors:
            rows[node] = min(rows[target] for target in successors[node]) - 1
    return rows


def _links(
    rows: Sequence[int], successors: Mapping[int, Sequence[int]]
) -> list[tuple[_Point, _Point]]:
    """Pairs of points of neighbouring rows: the lines."""
    links: list[tuple[_Point, _Point]] = []
    for source, targets in successors.items():
        start, last = rows[source], max(rows[target] for target in targets)
        line = [_Point(source, start, False)]
        line += [_Point(source, row, True) for row in range(start + 1, last)]
        links += pairwise(line)
        links += [(line[rows[t] - 1 - start], _Point(t, rows[t], False)) for t in targets]
    return links


def _ordered(rows: Sequence[int], links: Sequence[tuple[_Point, _Point]]) -> list[list[_Point]]:
    """The points of each row, from left to right."""
    points = dict.fromkeys(_Point(node, row, False) for node, row in enumerate(rows))
    points |= dict.fromkeys(point for link in links for point in link)
    order: list[list[_Point]] = [[] for _ in range(max(rows, default=-1) + 1)]
    for point in points:
        order[point.row].append(point)
    above, below = _neighbours(links)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        place = {p: i / len(row) for row in order for i, p in enumerate(row)}
        for row in order if down else reversed(order):
            row.sort(key=lambda p: _mean([place[n] for n in neighbours.get(p, ())], place[p]))
            place |= {p: i / len(row) for i, p in enumerate(row)}
    return order


def _neighbours(
    links: Sequence[tuple[_Point, _Point]],
) -> tuple[dict[_Point, list[_Point]], dict[_Point, list[_Point]]]:
    """What is linked to each point in the row above it, and in the row below."""
    above: dict[_Point, list[_Point]] = {}
    below: dict[_Point, list[_Point]] = {}
    for upper, lower in links:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    return above, below


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _centers(
    order: Sequence[Sequence[_Point]], links: Sequence[tuple[_Point, _Point]]
) -> dict[_Point, float]:
    """Horizontal centers: near those of neighbours, in order, and apart."""
    above, below = (_straightest(found) for found in _neighbours(links))
    centers = {p: 0.0 for row in order for p in row}
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in order if down else reversed(order):
            wanted = [_mean([centers[n] for n in neighbours.get(p, ())], centers[p]) for p in row]
            centers |= zip(row, _apart(row, wanted), strict=True)
    return centers


def _straightest(neighbours: Mapping[_Point, Sequence[_Point]]) -> dict[_Point, list[_Point]]:
    """Only the neighbours that are nodes, where there are any: lines give way to them."""
    return {
        point: [n for n in found if not n.is_line] or list(found)
        for point, found in neighbours.items()
    }


def _apart(row: Sequence[_Point], wanted: Sequence[float]) -> list[float]:
    """The places nearest to `wanted`, by squares, at which nothing overlaps and order is kept."""
    offsets: list[float] = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP)
    # Pool adjacent violators: runs of points that move together. Nodes outweigh lines.
    runs: list[_Run] = []
    for point, place, offset in zip(row, wanted, offsets, strict=False):
        weight = 1.0 if point.is_line else _NODE_WEIGHT
        runs.append(_Run(weight * (place - offset), weight, 1))
        while len(runs) > 1 and runs[-2].level > runs[-1].level:
            right, left = runs.pop(), runs.pop()
            runs.append(
                _Run(left.sum + right.sum, left.weight + right.weight, left.count + right.count)
            )
    levels = [run.level for run in runs for _ in range(run.count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=False)]


@dataclass(frozen=True)
class _Run:
    """Neighbouring points that have one level: the weighted mean of what they want."""

    sum: float
    weight: float
    count: int

    @property
    def level(self) -> float:
        return self.sum / self.weight


def _drawn(
    rows: Sequence[int],
    links: Sequence[tuple[_Point, _Point]],
    centers: Mapping[_Point, float],
) -> Layout:
    left = min((c - p.width / 2 for p, c in centers.items()), default=0.0) - MARGIN
    right = max((c + p.width / 2 for p, c in centers.items()), default=0.0) + MARGIN
    center = {p: c - left for p, c in centers.items()}
    places = tuple(
        (round(center[_Point(node, row, False)] - NODE_WIDTH / 2, 1), _top(row))
        for node, row in enumerate(rows)
    )
    segments = tuple(
        Segment(
            upper.node,
            None if lower.is_line else lower.node,
            lower.row,
            _path(upper, center[upper], lower, center[lower]),
        )
        for upper, lower in links
    )
    height = _top(max(rows, default=0)) + NODE_HEIGHT + MARGIN
    return Layout(places, tuple(rows), segments, round(right - left, 1), height)


def _top(row: int) -> float:
    return MARGIN + row * ROW_HEIGHT


def _path(upper: _Point, x0: float, lower: _Point, x1: float) -> str:
    """A curve from the bottom of the upper row to the top of the lower, and on if it is a line."""
    y0, y1 = _top(upper.row) + NODE_HEIGHT, _top(lower.row)
    middle = (y0 + y1) / 2
    path = f"M{x0:.1f} {y0:g}C{x0:.1f} {middle:g} {x1:.1f} {middle:g} {x1:.1f} {y1:g}"
    return f"{path}V{y1 + NODE_HEIGHT:g}" if lower.is_line else path
