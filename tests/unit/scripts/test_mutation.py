"""What scripts/mutation.py makes of the mutants; running them is mutmut's work and takes hours."""

from __future__ import annotations

import random

import pytest
from scripts import mutation
from scripts.mutation import Change, Verdict

SOURCE = """\
import math


def first(a):
    if a > 1:
        return a
    return a


class Rule:
    @property
    def size(self):
        return 1

    def match(self, a):
        if a > 1:
            return None
        return a
"""


def verdict(
    status: str, before: str = "a = 1", after: str = "a = 2", path: str = "fuse.py"
) -> Verdict:
    return Verdict(f"{path}.{before}", path, status, 3, (before,), (after,))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("tried", [50, 300])
def test_interval_has_the_share_19_times_of_20(share: float, tried: int) -> None:
    rng = random.Random(0)
    population = [rank < share * 1000 for rank in range(1000)]
    hits = 0
    for _ in range(400):
        low, high = mutation.interval(sum(rng.sample(population, tried)), tried, 1000)
        assert 0 <= low <= high <= 1
        hits += low <= share <= high
    assert hits >= 0.91 * 400


def test_interval_of_everything_and_of_nothing() -> None:
    assert mutation.interval(3, 4, 4) == (0.75, 0.75)
    assert mutation.interval(0, 0, 4) == (0.0, 1.0)


def test_smaller_sample_is_the_beginning_of_a_larger_one() -> None:
    names = [f"mutant {i}" for i in range(100)]
    large = mutation.draw(reversed(names), 50, seed=3)
    assert mutation.draw(names, 20, seed=3) == large[:20]
    assert len(set(large)) == 50
    assert mutation.draw(names, 50, seed=4) != large
    assert sorted(mutation.draw(names, None, seed=3)) == sorted(names)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('remark(NAME, "missed", op, "why so")', 'remark(NAME, "missed", op, "XXwhy soXX")', True),
        ('remark(NAME, f"no {a}")', 'remark(NAME, f"NO {a}")', True),
        ('"a text", op)', '"A TEXT", op)', True),
        ('return {"reduced": 1}', 'return {"XXreducedXX": 1}', False),
        ('remark(NAME, "missed", op)', 'remark(NAME, "MISSED", op)', False),
        ('remark(NAME, "missed", op, "why")', "remark(NAME, None, op, None)", False),
        ("if a > 1:", "if a >= 1:", False),
        ("return a[1]", "return a[2]", False),
        ("if not a:", "if a:", False),
    ],
)
def test_only_words_change(before: str, after: str, same: bool) -> None:
    assert verdict("survived", before, after).text_only == same


@pytest.mark.parametrize(
    ("function", "offset", "line"), [("x_first", 1, 5), ("xǁRuleǁmatch", 1, 16)]
)
def test_line_is_looked_for_in_the_function(function: str, offset: int, line: int) -> None:
    assert mutation.line_of(SOURCE, function, ["    if a > 1:"], offset) == line


def test_nearest_of_equal_lines() -> None:
    assert mutation.line_of(SOURCE, "x_first", ["    return a"], 2) == 6
    assert mutation.line_of(SOURCE, "x_first", ["    return a"], 3) == 7


def test_changed_lines() -> None:
    diff = "--- a\n+++ b\n@@ -2,3 +2,3 @@\n     x = 1\n-    y = 2\n+    y = 3\n     z\n"
    assert mutation.changed_lines(diff) == (("    y = 2",), ("    y = 3",), 2)


def test_page_counts_and_sorts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = verdict("survived", "window = 64", "window = 65")
    found = [
        *[verdict("killed")] * 6,
        verdict("timeout"),
        verdict("no tests", "b = 1", "b = 2", "group.py"),
        verdict("survived", "c = 1", "c = 2"),
        verdict("survived", 'say("c d")', 'say("XXc dXX")'),
        known,
    ]
    notes = {Change("fuse.py", "window = 64", "window = 65"): "a limit of effort"}
    text = mutation.page(found, {"fuse.py": 20, "group.py": 5}, notes, "again", "abc")
    assert "7 of 11 mutants were detected: 63.6 %" in text
    assert "7 of 9 were detected: 77.8 %" in text
    assert "| passes/fuse.py | 20 | 10 | 6 | 1 | 3 | 0 | 70.0 % |" in text
    gaps, equivalents = text.split("## Not detected")[1].split("## Equivalent")
    assert "passes/group.py:3 (no tests)" in gaps and "+ c = 2" in gaps
    assert "say" not in text and "window" not in gaps
    assert "passes/fuse.py:3: a limit of effort" in equivalents


def test_known_equivalents_are_of_files_and_lines_that_exist() -> None:
    for change in mutation.read_notes(mutation.EQUIVALENT):
        source = (mutation.ROOT / "passes" / change.path).read_text()
        joined = " ".join(line.strip() for line in source.split("\n"))
        assert change.before in joined, f"{change.path}: {change.before}"


def test_functions_that_run_at_import() -> None:
    source = """
from x import outer

def helper(a): return a
def table(a): return lambda b: inner(helper(a))
def inner(a): return a
def later(a): return helper(a)

TABLE = {"a": outer(table(1))}
class A:
    b = later
"""
    assert mutation.run_at_import(source) == {"x_table", "x_helper", "x_inner"}
    assert mutation.run_at_import(SOURCE) == set()
