"""Runs the RUN lines of a lit test in this process, which spares two interpreters for each.

Understood are pipes of `ait-opt` and `filecheck`, `not`, `2>&1`, `%s` and `%t`. Whatever else a
file says is left to lit itself, so these files are lit tests like any others.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from filecheck.matcher import Matcher
from filecheck.options import parse_argv_options

from ait.tools import ait_opt

_RUN = re.compile(r"^\s*//\s*RUN:\s*(?P<command>.*?)\s*$")


class Unsupported(Exception):
    """A RUN line uses something that only lit understands."""


@dataclass(frozen=True)
class Stage:
    """One command of a pipe."""

    tool: str
    arguments: tuple[str, ...]
    fails: bool
    merges_stderr: bool


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and whether it ended as its RUN line says."""

    stdout: str
    stderr: str
    succeeded: bool


def commands(text: str) -> list[str]:
    """The RUN lines of a test, those that end in a backslash joined with the next."""
    found = [match["command"] for line in text.split("\n") if (match := _RUN.match(line))]
    joined: list[str] = []
    for command in found:
        if joined and joined[-1].endswith("\\"):
            joined[-1] = joined[-1][:-1] + command
        else:
            joined.append(command)
    return joined


def parse(command: str, test: Path, scratch: Path) -> list[Stage]:
    """The stages of a RUN line. Raises `Unsupported`."""
    replacements = {"%s": str(test), "%t": str(scratch)}
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words = [re.sub("%[st]", lambda m: replacements[m[0]], word) for word in lexer]
    stages: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            stages.append([])
        else:
            stages[-1].append(word)
    return [_stage(stage) for stage in stages]


def _stage(words: Sequence[str]) -> Stage:
    rest = list(words)
    merges = rest[-3:] == ["2", ">&", "1"]
    if merges:
        rest = rest[:-3]
    fails = bool(rest) and rest[0] == "not"
    if fails:
        rest = rest[1:]
    if not rest or rest[0] not in _TOOLS or any(set(word) <= set("|&;<>()") for word in rest):
        raise Unsupported(" ".join(words))
    return Stage(rest[0], tuple(rest[1:]), fails, merges)


def execute(stages: Sequence[Stage]) -> Outcome:
    """Run a pipe; like lit, it fails if any of its commands does."""
    text, log = "", ""
    for stage in stages:
        out, err = io.StringIO(), io.StringIO()
        with (
            _standard_input(text),
            redirect_stdout(out),
            redirect_stderr(out if stage.merges_stderr else err),
        ):
            try:
                code = _TOOLS[stage.tool](stage.arguments)
            except SystemExit as end:
                code = end.code
        text = out.getvalue()
        log += err.getvalue()
        if (code not in (0, None)) != stage.fails:
            return Outcome(text, f"{log}{stage.tool} exited with {code}\n", False)
    return Outcome(text, log, True)


def run_with_lit(test: Path) -> Outcome:
    """Run a whole test with lit in a process of its own."""
    command = [sys.executable, "-c", "from lit.main import main; main()", "-v", str(test)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return Outcome(result.stdout, result.stderr, result.returncode == 0)


def _filecheck(arguments: Sequence[str]) -> int:
    return Matcher.from_opts(parse_argv_options(["filecheck", *arguments])).run()


_TOOLS = {"ait-opt": ait_opt.main, "filecheck": _filecheck}


@contextmanager
def _standard_input(text: str) -> Generator[None]:
    saved = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin = saved
