"""The first path of a depth-first search: what it is, and that it is found soon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from ait.passes.search import first_path

# Places of a graph, each with those it leads to; "!" is an end.
GRAPHS: dict[str, tuple[Mapping[str, str], str]] = {
    "at once": ({"a": "!"}, "a!"),
    "none": ({"a": "bc", "b": "c", "c": ""}, ""),
    "circle": ({"a": "b", "b": "ab"}, ""),
    "out of a circle": ({"a": "b", "b": "ac", "c": "!"}, "abc!"),
    "the first of two": ({"a": "bc", "b": "c", "c": "!"}, "abc!"),
    "behind what leads nowhere": ({"a": "bcd", "b": "c", "c": "", "d": "!"}, "ad!"),
    "not the shortest": ({"a": "b!", "b": "c", "c": "!"}, "abc!"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_paths(name: str) -> None:
    graph, expected = GRAPHS[name]

    def steps(place: str) -> Iterator[tuple[str, str | None]]:
        return ((f"{place}{to}", None if to == "!" else to) for to in graph[place])

    path = first_path("a", steps)
    assert [step[0] for step in path] == list(expected[:-1])
    assert not path or path[-1][1] == "!"


def test_a_ladder_that_leads_nowhere_is_walked_once() -> None:
    """Two ways from each of many rungs to the next: 2^5000 in all, and deeper than calls may be."""
    seen: list[int] = []

    def steps(rung: int) -> Iterator[tuple[str, int | None]]:
        seen.append(rung)
        return ((side, rung + 1) for side in ("left", "right") if rung < 5000)

    assert first_path(0, steps) == []
    assert seen == list(range(5001))
