"""Any graph is drawn without overlaps, downwards, with a line for each edge."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait.codegen.report.layout import NODE_HEIGHT, NODE_WIDTH, Layout, place

_NUMBERS = st.integers(0, 24)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, set[tuple[int, int]]]:
    pairs = draw(st.sets(st.tuples(_NUMBERS, _NUMBERS), max_size=60))
    return 25, {(min(p), max(p)) for p in pairs if p[0] != p[1]}


@given(graphs())
def test_nodes_do_not_overlap_and_lie_inside(graph: tuple[int, set[tuple[int, int]]]) -> None:
    layout = place(*graph)
    for x, y in layout.places:
        assert 0 <= x <= layout.width - NODE_WIDTH
        assert 0 <= y <= layout.height - NODE_HEIGHT
    for (x0, y0), (x1, y1) in combinations(layout.places, 2):
        assert abs(x0 - x1) >= NODE_WIDTH or abs(y0 - y1) >= NODE_HEIGHT


def _edges_of(layout: Layout) -> set[tuple[int, int]]:
    return {(s.source, s.target) for s in layout.segments if s.target is not None}


@given(graphs())
def test_each_edge_is_a_line_downwards(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, edges = graph
    layout = place(count, edges)
    assert _edges_of(layout) == edges
    for source, target in edges:
        assert layout.rows[source] < layout.rows[target]
        rows = {s.row for s in layout.segments if s.source == source and s.target is None}
        assert rows >= set(range(layout.rows[source] + 1, layout.rows[target]))


@given(graphs())
def test_the_drawing_depends_on_the_graph_only(graph: tuple[int, set[tuple[int, int]]]) -> None:
    count, edges = graph
    assert place(count, edges) == place(count, sorted(edges, reverse=True))


def test_a_chain_with_a_shortcut_is_straight() -> None:
    chain = {(i, i + 1) for i in range(20)}
    layout = place(21, chain | {(i, i + 2) for i in range(0, 19, 2)})
    assert len({x for x, _ in layout.places}) == 1


def test_nothing() -> None:
    assert place(0, ()).places == ()


@pytest.mark.parametrize("edge", [(1, 0), (1, 1), (0, 5), (-1, 1)])
def test_edges_that_cannot_be_drawn_are_refused(edge: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="goes backwards"):
        place(3, [edge])
