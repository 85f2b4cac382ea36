"""The documentation does what it says: its snippets run, its links and file names exist."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from ait.tools import ait_opt

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs/guide.md"
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "passes/README.md", *(ROOT / "docs").glob("*.md")])

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>.*) -->\n)?^```(?P<info>.*)\n(?P<text>(?:.*\n)*?)^```$", re.MULTILINE
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)#\s]+)[^)]*\)")
_FOLDERS = "src|ir|dialects|passes|codegen|runtime|tools|tests|docs|examples|scripts"
_FILE = re.compile(rf"(?<![\w/.])(?:{_FOLDERS})/[\w./-]*\w")


@dataclass(frozen=True)
class Snippet:
    """A fenced block: its language, whether it waits for a C++ compiler, and the note above it."""

    language: str
    compiles: bool
    note: str
    text: str


def snippets(page: Path) -> Iterator[Snippet]:
    for match in _BLOCK.finditer(page.read_text()):
        language, *marks = match["info"].split() or [""]
        yield Snippet(language, "compile" in marks, match["note"] or "", match["text"])


def run_all(page: Path, folder: Path, compiles: bool) -> None:
    """Runs the blocks of a page in order, in one folder and one Python process's namespace."""
    names: dict[str, object] = {"__name__": "documentation"}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    for snippet in snippets(page):
        if snippet.compiles and not compiles:
            continue
        if snippet.language == "python":
            exec(compile(snippet.text, str(page), "exec"), names)
        elif snippet.language == "c":
            (folder / "main.c").write_text(snippet.text)
        elif snippet.language == "sh":
            command = ["sh", "-ec", snippet.text]
            environment = {**os.environ, "PATH": path}
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, snippet.text + done.stdout + done.stderr


def test_guide_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_all(GUIDE, tmp_path, compiles=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_all(page, tmp_path, compiles=True)


def _printed(*arguments: str) -> str:
    output = io.StringIO()
    with redirect_stdout(output):
        assert ait_opt.main(arguments) == 0
    return output.getvalue()


def test_ir_of_the_readme_is_what_the_tool_prints(tmp_path: Path) -> None:
    shown = [snippet for snippet in snippets(README) if snippet.language == "mlir"]
    assert len(shown) > 3
    source = tmp_path / "input.mlir"
    source.write_text(shown[0].text)
    for snippet in shown[1:]:
        printed = _printed(str(source), *snippet.note.split()[1:])
        for line in snippet.text.splitlines():
            assert line.strip() in printed, f"{snippet.note}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_exist(page: Path) -> None:
    text = page.read_text()
    links = {match["to"] for match in _LINK.finditer(text)}
    local = {link for link in links if "://" not in link}
    missing = [link for link in sorted(local) if not (page.parent / link).exists()]
    named = {match.group() for match in _FILE.finditer(_LINK.sub("", text))}
    missing += [name for name in sorted(named) if not (ROOT / name).exists()]
    assert not missing
