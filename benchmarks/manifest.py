"""What the libraries of a folder are that were compiled beforehand: where they are measured, there
may be neither compilers nor a repository to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import commit

_FILE = "libraries.json"


def add_to_manifest(folder: Path, target: str, compile_s: Mapping[str, float]) -> None:
    """Notes how many seconds it took to compile cases, by name, and the commit that was checked
    out. Other cases that the folder has stay."""
    noted = {**compile_seconds(folder), **compile_s}
    manifest = {"commit": commit(), "target": target, "compile_s": noted}
    (folder / _FILE).write_text(json.dumps(manifest, indent=1))


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """`commit`, `target`, and `compile_s`: seconds by case. Raises OSError if there is none."""
    return json.loads((folder / _FILE).read_text())


def facts_of(libraries: Path | None) -> Mapping[str, Any]:
    """What results say of a measured folder: `commit`, where its libraries were compiled. Nothing,
    if they are compiled as they are measured, or nobody noted it."""
    if libraries is None or not (libraries / _FILE).exists():
        return {}
    return {"commit": read_manifest(libraries)["commit"]}


def compile_seconds(folder: Path) -> Mapping[str, float]:
    """How long cases took to compile, as far as that was noted."""
    return read_manifest(folder)["compile_s"] if (folder / _FILE).exists() else {}
