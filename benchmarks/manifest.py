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
    here = commit()
    cases = {name: {"commit": here, "compile_s": seconds} for name, seconds in compile_s.items()}
    manifest = {"target": target, "cases": {**_cases(folder), **cases}}
    (folder / _FILE).write_text(json.dumps(manifest, indent=1))


def facts_of(libraries: Path | None) -> Mapping[str, Any]:
    """What results say of a measured folder: the `commit` at which its libraries were compiled, or
    all of them if they are several. Nothing, if libraries are compiled as they are measured, or
    nobody noted it."""
    cases = {} if libraries is None else _cases(libraries)
    commits = sorted({about["commit"] for about in cases.values()})
    return {"commit": ", ".join(commits)} if commits else {}


def compile_seconds(folder: Path) -> Mapping[str, float]:
    """How long cases took to compile, as far as that was noted."""
    return {name: about["compile_s"] for name, about in _cases(folder).items()}


def _cases(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    file = folder / _FILE
    return json.loads(file.read_text())["cases"] if file.exists() else {}
