"""Templates are compiled once, and whatever lies in the cache directory does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment

from ait.codegen.rendering import environment


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def render() -> str:
    template = environment("ait.codegen.tuning").get_template("candidates.cpp.j2")
    return template.render(symbols=["f", "g"], candidates=[], cache_bytes=64, has_graphs=True)


def kept(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_a_template_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = render()
    assert "ait::Status g(" in first and len(kept(cache)) == 1

    def compile_again(*_: object, **__: object) -> None:
        raise AssertionError("it is compiled again")

    monkeypatch.setattr(Environment, "compile", compile_again)
    assert render() == first


def test_what_is_damaged_is_compiled_anew(cache: Path) -> None:
    first = render()
    (file,) = kept(cache)
    whole = file.read_bytes()
    for content in (b"", b"no code", whole[: len(whole) // 2]):
        file.write_bytes(content)
        assert render() == first
        assert kept(cache) == [file] and file.read_bytes() == whole


def test_without_a_place_templates_are_compiled_each_time(cache: Path) -> None:
    cache.write_text("no folder")
    assert render() == render()
    assert cache.read_text() == "no folder"


def test_what_blocks_leave_is_a_template_of_its_own(cache: Path) -> None:
    source = "a\n{% if true %}\nb\n{% endif %}\n"
    trimmed, verbatim = environment("ait.codegen"), environment("ait.codegen", trimmed=False)
    assert trimmed.from_string(source).render() == "a\nb\n"
    assert verbatim.from_string(source).render() == "a\n\nb\n\n"
    render()
    environment("ait.codegen.tuning", trimmed=False).get_template("candidates.cpp.j2")
    assert len(kept(cache)) == 2
