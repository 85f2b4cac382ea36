"""What the manifest of compiled libraries tells whoever measures them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import environment, manifest


def test_results_name_the_commits_that_were_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the one, if any, that is checked out where they are measured."""
    first, both = tmp_path / "first", tmp_path / "both"
    for commit, cases in (("aa", {"x": 1.0, "y": 2.0}), ("bb", {"y": 3.0})):
        monkeypatch.setattr(manifest, "commit", lambda commit=commit: commit)
        for folder in (first, both) if commit == "aa" else (both,):
            folder.mkdir(exist_ok=True)
            manifest.add_to_manifest(folder, "cuda:sm_90a", cases)
    assert manifest.compile_seconds(both) == {"x": 1.0, "y": 3.0}
    here: dict[str, Any] = {"device": "a GPU", "commit": "measured"}
    monkeypatch.setattr(environment, "environment", lambda: here)
    output = tmp_path / "results.json"
    for libraries, commit in ((first, "aa"), (both, "aa, bb"), (None, "measured")):
        environment.write_results(output, [{"case": "x"}], manifest.facts_of(libraries))
        expected = {"device": "a GPU", "commit": commit, "rows": [{"case": "x"}]}
        assert json.loads(output.read_text()) == expected
