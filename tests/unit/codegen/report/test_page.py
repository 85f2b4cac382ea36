"""The page: complete, alone, and deaf to what names say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr

from ait.codegen.report.data import ReportData
from ait.codegen.report.page import block_name, render_page, write_page
from ait.dialects.functions import NAME
from ait.ir.program import Program
from tests.unit.codegen.report import reports

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='x'>\"'`{{7*7}}&lt;\u202e\u2028"


class _Page(HTMLParser):
    """Tags with attributes, and the text in each `script`."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data

    def count(self, name: str, **wanted: str) -> int:
        return sum(
            tag == name and all(attributes.get(k) == v for k, v in wanted.items())
            for tag, attributes in self.tags
        )


@pytest.fixture(scope="module")
def data() -> ReportData:
    return reports.report_of(reports.small_bert())


@pytest.fixture(scope="module")
def text(data: ReportData) -> str:
    return render_page(data)


def test_the_data_are_in_the_page(data: ReportData, text: str) -> None:
    embedded = json.loads(_Page(text).scripts[0])
    assert embedded == json.loads(json.dumps(data.as_json()))
    assert len(embedded["after"]["launches"]) == len(data.after.launches)


def test_every_kernel_remark_and_node_is_shown(data: ReportData, text: str) -> None:
    page = _Page(text)
    ids = [attributes.get("id") for _, attributes in page.tags]
    assert data.before is not None
    for i in range(len(data.after.launches)):
        assert ids.count(f"kernel-{i}") == 1
    keys = [attributes.get("data-key") for tag, attributes in page.tags if tag == "g"]
    for stage, flow in (("before", data.before), ("after", data.after)):
        for i in range(len(flow.launches)):
            assert keys.count(f"{stage}-{i}") == 1
    rows = [a for tag, a in page.tags if tag == "tr" and str(a.get("class")).startswith("remark")]
    assert len(rows) == len(data.notes)


def test_links_lead_somewhere(data: ReportData, text: str) -> None:
    page = _Page(text)
    ids = {attributes.get("id") for _, attributes in page.tags}
    keys = {attributes.get("data-key") for _, attributes in page.tags}
    for tag, attributes in page.tags:
        if tag == "a":
            target = str(attributes["href"]).removeprefix("#")
            selected = target.removeprefix("select=")
            assert selected in (keys if selected != target else ids)


def _stands_alone(text: str) -> None:
    page = _Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
        assert not {"src", "srcset", "data", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert str(attributes.get("href", "#")).startswith("#")
    assert not re.search(r"https?://|@import|url\(", text)


def test_nothing_comes_from_elsewhere(text: str) -> None:
    _stands_alone(text)


def test_no_other_script_may_run(text: str) -> None:
    page = _Page(text)
    assert len(page.scripts) == 2
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    (policy,) = [a["content"] for t, a in page.tags if "http-equiv" in a]
    assert policy is not None and f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def hostile_program(name: str) -> Program:
    """The MLP with all names that a user can choose set to `name`."""
    program = reports.mlp()
    for op in program.module.walk():
        if "source" in op.attributes:
            op.attributes["source"] = StringAttr(name)
        for result in op.results:
            result.name_hint = None
    main = program.main
    main.arg_attrs = ArrayAttr([DictionaryAttr({NAME: StringAttr(name)})])
    main.res_attrs = ArrayAttr([DictionaryAttr({NAME: StringAttr(name)})])
    return program


def test_names_stay_text() -> None:
    data = reports.report_of(hostile_program(HOSTILE), name=HOSTILE)
    hostile = render_page(data)
    harmless = render_page(reports.report_of(hostile_program("harmless"), name="harmless"))
    _stands_alone(hostile.replace("src=x", ""))
    assert [tag for tag, _ in _Page(hostile).tags] == [tag for tag, _ in _Page(harmless).tags]
    embedded = json.loads(_Page(hostile).scripts[0])
    assert embedded["name"] == embedded["inputs"][0]["name"] == HOSTILE
    assert embedded["after"]["launches"][0]["source"] == HOSTILE


def test_names_that_are_no_text_at_all(tmp_path: Path, data: ReportData) -> None:
    path = tmp_path / "new" / "report.html"
    write_page(replace(data, name="\udcff\0model"), path)
    assert "model on cpu" in path.read_text()


def test_equal_compiles_give_equal_pages(text: str) -> None:
    assert render_page(reports.report_of(reports.small_bert())) == text


def test_without_a_graph_level() -> None:
    data = reports.report_of(reports.mlp())
    page = _Page(render_page(replace(data, before=None)))
    assert page.count("svg") == 1
    assert json.loads(page.scripts[0])["before"] is None


def test_large_models_are_drawn_by_blocks_too(text: str) -> None:
    names = [a["data-drawing"] for t, a in _Page(text).tags if t == "svg"]
    assert "before-blocks" in names and "before-launches" in names
    small = _Page(render_page(reports.report_of(reports.mlp())))
    assert [a["data-drawing"] for t, a in small.tags if t == "svg"] == [
        "after-launches",
        "before-launches",
    ]


@pytest.mark.parametrize(
    ("source", "block"),
    [
        ("encoder.layer.11.output.dense", "encoder.layer.11"),
        ("layer1.0.conv1", "layer1.0"),
        ("pooler.dense", "pooler"),
        ("", ""),
    ],
)
def test_blocks(source: str, block: str) -> None:
    assert block_name(source) == block
