"""What the manifest of compiled libraries tells whoever measures them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import environment, manifest


def test_results_name_the_commit_that_was_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the one, if any, that is checked out where it is measured."""
    monkeypatch.setattr(manifest, "commit", lambda: "compiled")
    manifest.add_to_manifest(tmp_path, "cuda:sm_90a", {"a": 1.0})
    here: dict[str, Any] = {"device": "a GPU", "commit": "measured"}
    monkeypatch.setattr(environment, "environment", lambda: here)
    for libraries, commit in ((tmp_path, "compiled"), (tmp_path / "no", "measured")):
        output = tmp_path / "results.json"
        environment.write_results(output, [{"case": "a"}], manifest.facts_of(libraries))
        expected = {"device": "a GPU", "commit": commit, "rows": [{"case": "a"}]}
        assert json.loads(output.read_text()) == expected
    assert manifest.facts_of(None) == {}
