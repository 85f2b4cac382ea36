"""The page in a real browser: it runs without errors and answers its addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ait.codegen.report.page import render_page, write_page
from tests.unit.codegen.report import reports
from tests.unit.codegen.report.test_page import HOSTILE, hostile_program

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]


def load(page: Path, address: str, profile: Path) -> tuple[str, list[str]]:
    """The page's DOM after its script ran, and what the console says."""
    assert CHROMIUM is not None
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=3000",
        "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        [CHROMIUM, *options, page.as_uri() + address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(reports.report_of(reports.small_bert()), path)
    return path


def _tag(dom: str, marker: str) -> str:
    """The first start tag that contains `marker`."""
    return next(tag for tag in re.findall(r"<[^>]*>", dom) if marker in tag)


def test_rows_are_there_and_nothing_fails(page: Path, tmp_path: Path) -> None:
    dom, console = load(page, "", tmp_path)
    assert not console
    assert dom.count('<details class="kernel') == page.read_text().count('<details class="kernel')
    assert dom.count('class="remark ') > 10
    assert " open" not in _tag(dom, 'id="kernel-1"')


def test_an_address_opens_a_kernel(page: Path, tmp_path: Path) -> None:
    dom, console = load(page, "#kernel-1", tmp_path)
    assert not console
    assert " open" in _tag(dom, 'id="kernel-1"')
    assert " open" not in _tag(dom, 'id="kernel-2"')


def test_an_address_selects_a_node_and_shows_its_neighbours(page: Path, tmp_path: Path) -> None:
    dom, console = load(page, "#select=before-3", tmp_path)
    assert not console
    assert "chosen" in _tag(dom, 'data-key="before-3"')
    assert "hidden" not in _tag(dom, 'class="drawing" data-drawing="before-launches"')
    assert "hidden" in _tag(dom, 'class="drawing" data-drawing="after-launches"')
    panel = dom[dom.index('<aside id="panel"') : dom.index("</aside>")]
    assert "Reads from" in panel and "Is read by" in panel and "Now runs in" in panel


def test_an_address_filters_remarks(page: Path, tmp_path: Path) -> None:
    dom, console = load(page, "#text=layer.1.attention&pass=fuse-vertical&kind=applied", tmp_path)
    assert not console
    rows = re.findall(r'<tr class="remark [^>]*>.*?</tr>', dom, re.DOTALL)
    shown = [row for row in rows if 'hidden=""' not in row.partition(">")[0]]
    assert 0 < len(shown) < len(rows)
    for row in shown:
        assert 'data-pass="fuse-vertical"' in row and 'data-kind="applied"' in row
        assert "layer.1.attention" in row


def test_hostile_names_do_not_run(tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    write_page(reports.report_of(hostile_program(HOSTILE), name=HOSTILE), path)
    dom, console = load(path, "#select=after-0", tmp_path / "profile")
    assert not console
    assert "<img" not in dom and "chosen" in _tag(dom, 'data-key="after-0"')


def test_the_console_would_tell_and_the_policy_holds(tmp_path: Path) -> None:
    """What the tests above rely on: errors are seen, and foreign scripts are stopped."""
    text = render_page(reports.report_of(reports.mlp()))
    path = tmp_path / "foreign.html"
    path.write_text(text.replace("</main>", "</main><script>document.title = 'run'</script>"))
    dom, console = load(path, "", tmp_path / "profile")
    assert any("Content Security Policy" in line for line in console)
    assert "<title>run</title>" not in dom
