"""Results of processes that measured parts of a benchmark, as one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

# What parts may differ in: the rows, and the day that a run may not end on.
_OWN = ("rows", "date")


def merged(parts: Sequence[Path]) -> dict[str, Any]:
    """The rows of all files, in order, with what the files say that they belong to: of days the
    last.

    Raises ValueError, naming the files, if they are of different devices, drivers, versions,
    commits or anything else that they say; for a row that two have; for what is no result.
    """
    read = {part: _read(part) for part in parts}
    first, *others = read
    for other in others:
        _compare(first, read[first], other, read[other])
    owners: dict[tuple[str, str], Path] = {}
    for part, results in read.items():
        for row in results["rows"]:
            key = row["case"], row["engine"]
            if key in owners:
                raise ValueError(f"{owners[key]} and {part} both have {key[0]} by {key[1]}")
            owners[key] = part
    rows = [row for results in read.values() for row in results["rows"]]
    date = max(results["date"] for results in read.values())
    return {**read[first], "date": date, "rows": rows}


def _read(part: Path) -> Mapping[str, Any]:
    try:
        results: Any = json.loads(part.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{part}: {error}") from error
    if not isinstance(results, dict) or "rows" not in results or "date" not in results:
        raise ValueError(f"{part} has no results")
    return cast("Mapping[str, Any]", results)


def _compare(first: Path, facts: Mapping[str, Any], other: Path, others: Mapping[str, Any]) -> None:
    for name in dict.fromkeys([*facts, *others]):
        ours, theirs = facts.get(name), others.get(name)
        if name not in _OWN and ours != theirs:
            raise ValueError(
                f"{first} and {other} do not belong together: {name} is {ours!r} and {theirs!r}"
            )
