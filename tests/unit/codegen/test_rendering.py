"""Templates are compiled once, and whatever lies in the cache directory does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

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
    count = len(whole)
    cut = [whole[:size] for size in (*range(0, 80, 5), count // 2, count - 1)]
    flipped = [
        whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, count, count // 16)
    ]
    for content in (b"no code", *cut, *flipped):
        file.write_bytes(content)
        assert render() == first
        assert kept(cache) == [file] and file.read_bytes() == whole


@pytest.mark.parametrize("use", ["{{ 'a' | mark }}", "{% if 'a' | mark == 'a?' %}a?{% endif %}"])
def test_code_holds_nothing_that_filters_made(cache: Path, tmp_path: Path, use: str) -> None:
    """A filter is code in Python, which may change while its template and the cache stay."""
    (tmp_path / "marked.j2").write_text(use)
    for mark in ("!", "?"):
        templates = environment("ait.codegen")
        templates.loader = FileSystemLoader(tmp_path)
        templates.filters["mark"] = f"{{}}{mark}".format
        printed = templates.get_template("marked.j2").render()
    assert printed == "a?"
    assert len(kept(cache)) == 1


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
