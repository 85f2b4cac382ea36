"""Searching a program backwards, from a value to what it was made of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

_Place = TypeVar("_Place", bound=Hashable)
_Step = TypeVar("_Step")


def first_path(
    start: _Place, steps: Callable[[_Place], Iterable[tuple[_Step, _Place | None]]]
) -> list[_Step]:
    """The steps from a place to the first end of a depth-first search; none if there is no end.

    `steps` gives those that a place has, each with where it leads: to None, it ends. Programs are
    graphs, of which a value may be reached in exponentially many ways: a place is looked at once.
    """
    seen = {start}
    path: list[_Step] = []
    places = [iter(steps(start))]
    while places:
        step, place = next(places[-1], (None, start))
        if step is None:
            places.pop()
            if path:
                path.pop()
        elif place is None:
            return [*path, step]
        elif place not in seen:
            seen.add(place)
            path.append(step)
            places.append(iter(steps(place)))
    return []
