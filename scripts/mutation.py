"""Mutation test of the passes: which small changes of their code does the suite notice?

`make mutation` runs it. mutmut makes the mutants and runs the tests that reach each of them; this
file copies the project to .build/mutation, draws the sample, and writes docs/mutation.md. Verdicts
are kept: an interrupted run goes on where it was, and after a change of tests alone only the
mutants that were not killed run again. A change of the package starts over.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import hashlib
import io
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import ceil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / ".build" / "mutation" / "tree"
COMMIT = TREE.with_name("commit")
EQUIVALENT = ROOT / "scripts" / "equivalent_mutants.toml"
PASSES = "src/ait/passes"
COPIED = ("src/ait", "tests", "examples", "scripts", "pyproject.toml", "README.md")
IGNORED = shutil.ignore_patterns("__pycache__", "*.so", "*.o", "Output", "*.egg-info")
DETECTED = ("killed", "timeout", "segfault")
STATUSES = ("killed", "timeout", "segfault", "survived", "no tests", "suspicious")


@dataclass(frozen=True)
class Change:
    """What a mutant changes: a line or several, joined, of a file below passes/."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: `path` is below passes/, `line` is in that file."""

    name: str
    path: str
    status: str
    line: int
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def detected(self) -> bool:
        return self.status in DETECTED

    @property
    def change(self) -> Change:
        before, after = (" ".join(map(str.strip, part)) for part in (self.removed, self.added))
        return Change(self.path, before, after)

    @property
    def text_only(self) -> bool:
        """Whether the mutant changes nothing but prose: the words of a remark or an error."""
        before, after = _tokens(self.removed), _tokens(self.added)
        if not before or len(before) != len(after):
            return False
        changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
        return bool(changed) and all(
            a[0] == b[0] and a[0] in _STRINGS and " " in a[1] for a, b in changed
        )


_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def _tokens(lines: Sequence[str]) -> list[tuple[int, str]]:
    """The tokens of some lines, which need not be whole statements."""
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    text = "\n".join(line.strip() for line in lines)
    found: list[tuple[int, str]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in layout:
                found.append((token.type, token.string))
    except (tokenize.TokenError, IndentationError):
        pass  # a bracket is closed below the lines, or was opened above them
    return found


def interval(detected: int, tried: int, population: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson), for a sample without replacement of a population."""
    if not tried:
        return 0.0, 1.0
    share = detected / tried
    if tried >= population:
        return share, share
    # A sample that is a good part of the population says more than its size alone.
    size = tried * (population - 1) / (population - tried)
    z = 1.96
    middle = (share + z * z / (2 * size)) / (1 + z * z / size)
    reach = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    reach /= 1 + z * z / size
    return max(0.0, middle - reach), min(1.0, middle + reach)


def draw(names: Iterable[str], sample: int | None, seed: int) -> list[str]:
    """The mutants to try, in random order: whatever part is done in time is a sample too."""
    ordered = sorted(names)
    random.Random(seed).shuffle(ordered)
    return ordered if sample is None else ordered[:sample]


# --- The copy of the project


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".md" and "__pycache__" not in path.parts:
            yield path


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in _files(folder):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def prepare_tree(fresh: bool) -> None:
    """Bring the copy up to date, and forget the verdicts that may have changed."""
    scratch = TREE.with_name("new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, scratch / name, ignore=IGNORED)
        else:
            shutil.copy2(source, scratch / name)
    changed = "*" if _git("status", "--porcelain") else ""
    COMMIT.write_text(_git("rev-parse", "--short", "HEAD") + changed)
    same_package = TREE.exists() and _digest(TREE / "src") == _digest(scratch / "src")
    if fresh or not same_package:
        shutil.rmtree(TREE, ignore_errors=True)
        scratch.rename(TREE)
        return
    if _digest(TREE / "tests") != _digest(scratch / "tests"):
        _take_tests(scratch)
    shutil.rmtree(scratch)


def _take_tests(scratch: Path) -> None:
    """New tests can only kill more: what was killed stays so, the others are tried again."""
    for tests in (TREE / "tests", TREE / "mutants" / "tests"):
        shutil.rmtree(tests, ignore_errors=True)
    shutil.copytree(scratch / "tests", TREE / "tests")
    (TREE / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    for meta in (TREE / "mutants").rglob("*.meta"):
        data = json.loads(meta.read_text())
        data["exit_code_by_key"] = {
            key: code if code in (1, 3) else None for key, code in data["exit_code_by_key"].items()
        }
        meta.write_text(json.dumps(data))


# --- Running mutants. mutmut's own `run` takes the fast mutants first; a run that ends early would
# then be no random sample. So the loop is here, and the rest is mutmut's.


def generate(jobs: int) -> None:
    """Make the mutants and find out which tests reach which functions. Changes the folder."""
    from mutmut import __main__ as mutmut
    from mutmut.mutation.trampoline import set_mutant_under_test
    from mutmut.utils import file_utils

    os.chdir(TREE)
    complete = Path("mutants/complete")
    if not complete.exists():  # mutmut would take files whose mutants are half made for finished
        shutil.rmtree("mutants", ignore_errors=True)
    Path("mutants").mkdir(exist_ok=True)
    set_mutant_under_test("mutant_generation")
    with mutmut.CatchOutput(spinner_title="Making mutants"):
        file_utils.copy_src_dir()
        file_utils.copy_also_copy_files()
        file_utils.setup_source_paths()
        mutmut.create_mutants(jobs)
    complete.touch()


def run_mutants(names: Sequence[str], jobs: int, minutes: float) -> None:
    """Try mutants in the order given; none begins after so many minutes."""
    from mutmut import __main__ as mutmut
    from mutmut.mutation.trampoline import set_mutant_under_test
    from mutmut.state import state
    from mutmut.utils.format_utils import mangled_name_from_mutant_name
    from mutmut.workers.isolation import get_mutant_runner

    runner = get_mutant_runner(jobs)
    mutmut.collect_or_load_stats(runner)
    set_mutant_under_test("")
    mutmut.run_forced_fail_test(runner)
    set_mutant_under_test("")
    mutants, _ = mutmut.collect_source_file_mutation_data(mutant_names=[])
    data_of = {name: data for data, name, _ in mutants}
    done = 0

    def finish_one() -> None:
        nonlocal done
        mutmut._register_mutant_result(runner.wait_for_result(), data_of)
        done += 1
        print(f"\r{done} of {len(names)} mutants tried", end="", flush=True)

    deadline = time.monotonic() + 60 * minutes
    runner.startup()
    try:
        for name in names:
            if time.monotonic() > deadline:
                break
            tests = state().tests_by_mangled_function_name.get(
                mangled_name_from_mutant_name(name), set()
            )
            seconds = sum(state().duration_by_test[test] for test in tests)
            while not runner.has_capacity():
                finish_one()
            # Each test has its own limit of CPU time; this one is for what is outside of tests.
            runner.submit(name, list(tests), ceil(120 + 20 * seconds), 120 + 20 * seconds)
        while runner.pending_count():
            finish_one()
    finally:
        runner.stop_all_workers()
        runner.shutdown()
        print()


# --- What became of them


def exit_codes() -> dict[str, tuple[str, int | None]]:
    """Each mutant's file, relative to the tree, and its exit code."""
    found: dict[str, tuple[str, int | None]] = {}
    for meta in sorted((TREE / "mutants" / PASSES).rglob("*.meta")):
        path = str(meta.relative_to(TREE / "mutants").with_suffix(""))
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            found[name] = (path, code)
    return found


def never_active(paths: Mapping[str, str]) -> set[str]:
    """Those of some mutants, given with their files, that no test can meet."""
    skipped = {
        path: run_at_import((TREE / PASSES / path).read_text()) for path in set(paths.values())
    }
    return {name for name, path in paths.items() if function_of(name) in skipped[path]}


def function_of(name: str) -> str:
    """`ait.passes.pieces.x_joined__mutmut_3` -> `x_joined`."""
    return name.rpartition(".")[2].partition("__mutmut_")[0]


def function_lines(source: str) -> dict[str, tuple[int, int]]:
    """First and last line of each function, by the name that mutmut gives it."""
    found: dict[str, tuple[int, int]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[f"x_{node.name}"] = (node.lineno, node.end_lineno or node.lineno)
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    key = f"xǁ{node.name}ǁ{item.name}"
                    found[key] = (item.lineno, item.end_lineno or item.lineno)
    return found


def run_at_import(source: str) -> set[str]:
    """Functions, by mutmut's names, that a module calls while it is imported.

    The workers import everything before they know their mutant, so no mutant of these is ever
    tried: they count as no mutants.
    """
    body = ast.parse(source).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    definitions = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    pending: list[ast.AST] = [node for node in body if not isinstance(node, definitions)]
    found: set[str] = set()
    while pending:
        for node in ast.walk(pending.pop()):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            name = node.func.id
            if name in functions and name not in found:
                found.add(name)
                pending.append(functions[name])
    return {f"x_{name}" for name in found}


def line_of(source: str, function: str, removed: Sequence[str], offset: int) -> int:
    """The line of a file where a mutant's first change is: `offset` counts from the function."""
    first, last = function_lines(source)[function]
    lines = source.split("\n")
    places = [
        number
        for number in range(first, last + 1)
        if removed and lines[number - 1].strip() == removed[0].strip()
    ]
    return min(places, key=lambda place: abs(place - first - offset), default=first)


def changed_lines(diff: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """What a unified diff takes away and adds, and how far below its first line the change is."""
    removed: list[str] = []
    added: list[str] = []
    offset = position = 0
    for line in diff.splitlines():
        if line.startswith(("---", "+++")):
            continue
        if line.startswith("@@"):
            position = int(line.split()[1][1:].split(",")[0]) - 1
        elif line.startswith("-"):
            offset = position if not removed and not added else offset
            removed.append(line[1:])
            position += 1
        elif line.startswith("+"):
            added.append(line[1:])
        else:
            position += 1
    return tuple(removed), tuple(added), offset


def verdicts(names: Iterable[str]) -> list[Verdict]:
    """Verdicts of the mutants that were tried, those not detected with their change."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    codes = exit_codes()
    found: list[Verdict] = []
    for name in names:
        path, code = codes[name]
        if code is None:
            continue
        status, short = status_by_exit_code[code], path.removeprefix(f"{PASSES}/")
        verdict = Verdict(name, short, status, 0)
        if not verdict.detected:
            removed, added, offset = changed_lines(get_diff_for_mutant(name, path=path))
            source = (TREE / path).read_text()
            line = line_of(source, function_of(name), removed, offset)
            verdict = Verdict(name, short, status, line, removed, added)
        found.append(verdict)
    return found


# --- The page


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def summary(found: Sequence[Verdict], population: int) -> str:
    """One sentence: the share of mutants that are detected, with its interval."""
    detected = sum(verdict.detected for verdict in found)
    low, high = interval(detected, len(found), population)
    share = detected / len(found) if found else 0.0
    return (
        f"{detected} of {len(found)} mutants were detected: {_percent(share)}, 95 % interval "
        f"{_percent(low)} to {_percent(high)} for all {population} of these files"
    )


def table(found: Sequence[Verdict], totals: Mapping[str, int]) -> list[str]:
    """A row for each file: its mutants, those tried, and what became of them."""
    used = [status for status in STATUSES if any(v.status == status for v in found)]
    rows = [
        "| file | mutants | tried | " + " | ".join(used) + " | detected |",
        "|---|" + "--:|" * (len(used) + 3),
    ]
    for path in sorted(totals):
        mine = [verdict for verdict in found if verdict.path == path]
        counts = Counter(verdict.status for verdict in mine)
        share = _percent(sum(v.detected for v in mine) / len(mine)) if mine else ""
        cells = [f"passes/{path}", str(totals[path]), str(len(mine))]
        rows.append("| " + " | ".join([*cells, *(str(counts[s]) for s in used), share]) + " |")
    return rows


def read_notes(path: Path) -> dict[Change, str]:
    """Why changes that no test notices are none that a test should notice."""
    entries = tomllib.loads(path.read_text())["mutant"]
    return {Change(e["file"], e["before"], e["after"]): e["why"] for e in entries}


def listing(found: Sequence[Verdict], notes: Mapping[Change, str]) -> list[str]:
    """Mutants by file and line, each with its change and what is known about it."""
    lines: list[str] = []
    for verdict in sorted(found, key=lambda v: (v.path, v.line, v.name)):
        status = "" if verdict.status == "survived" else f" ({verdict.status})"
        note = notes.get(verdict.change)
        lines.append(f"- passes/{verdict.path}:{verdict.line}{status}{f': {note}' if note else ''}")
        change = verdict.change
        lines += ["", "  ```diff", f"  - {change.before}", f"  + {change.after}", "  ```", ""]
    return lines or ["None.", ""]


def page(
    found: Sequence[Verdict],
    totals: Mapping[str, int],
    notes: Mapping[Change, str],
    command: str,
    commit: str,
) -> str:
    """docs/mutation.md. `totals` has the number of mutants of each file, tried or not."""
    missed = [verdict for verdict in found if not verdict.detected]
    texts = [verdict for verdict in missed if verdict.text_only]
    equal = [verdict for verdict in missed if verdict.change in notes and not verdict.text_only]
    gaps = [verdict for verdict in missed if verdict not in texts and verdict not in equal]
    detected = len(found) - len(missed)
    rest = len(found) - len(texts) - len(equal)
    share = _percent(detected / rest) if rest else "none"
    return PAGE.format(
        date=date.today().isoformat(),
        commit=commit,
        command=command,
        summary=summary(found, sum(totals.values())),
        texts=len(texts),
        equal=len(equal),
        detected=detected,
        rest=rest,
        share=share,
        table="\n".join(table(found, totals)),
        gaps="\n".join(listing(gaps, {})),
        equivalents="\n".join(listing(equal, notes)).rstrip(),
    )


PAGE = """\
# Mutation test of the passes

Written by `make mutation` ([scripts/mutation.py](../scripts/mutation.py)). A mutant is a pass with
one small change. It is detected if a test fails for it, or uses so much time or memory that it is
stopped. The tests are those of tests/unit/passes, tests/filecheck and tests/property; most of the
last draw a fifth of their usual examples, so `make test` detects
some mutants that are not detected here.
Functions with decorators, such as properties, are not mutated, and neither are those that run while
modules are imported.

- Date and commit: {date}, {commit}
- Again: `{command}`
- {summary}.
- Of those not detected, {texts} change only the text of a string (remarks, errors), and {equal} are
  known to be equivalent ([scripts/equivalent_mutants.toml](../scripts/equivalent_mutants.toml)).
  Without these, {detected} of {rest} were detected: {share}.

{table}

## Not detected

{gaps}
## Equivalent

{equivalents}
"""


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="try so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no mutant later")
    parser.add_argument("--files", nargs="*", default=[], help="patterns of files below passes/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", action="store_true", help="forget earlier verdicts")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "mutation.md")
    return parser.parse_args(arguments)


def repeat_command(options: argparse.Namespace) -> str:
    """The command that draws the same sample."""
    words = ["make mutation"]
    if options.sample is not None:
        words += [f"SAMPLE={options.sample}", f"SEED={options.seed}"]
    if options.files:
        words.append(f'FILES="{" ".join(options.files)}"')
    return " ".join(words)


def main(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    prepare_tree(options.fresh)
    # Passes are tried side by side; a BLAS that takes all cores too would only be slower.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    generate(options.jobs)
    codes = exit_codes()
    patterns = options.files or ["*"]
    wanted = {
        name: path.removeprefix(f"{PASSES}/")
        for name, (path, _) in codes.items()
        if any(fnmatch.fnmatch(path.removeprefix(f"{PASSES}/"), p) for p in patterns)
    }
    if not wanted:
        sys.exit(f"mutation: no file below passes/ with mutants matches {' '.join(patterns)}")
    skipped = never_active(wanted)
    names = [n for n in draw(wanted, options.sample, options.seed) if n not in skipped]
    left = [name for name in names if codes[name][1] is None]
    run_mutants(left, options.jobs, options.minutes)
    found = verdicts(names)
    totals = Counter(path for name, path in wanted.items() if name not in skipped)
    (TREE.parent / "verdicts.json").write_text(json.dumps([asdict(v) for v in found], indent=1))
    notes, commit = read_notes(EQUIVALENT), COMMIT.read_text()
    options.output.write_text(page(found, totals, notes, repeat_command(options), commit))
    print(summary(found, sum(totals.values())))
    print(f"written: {options.output}")


if __name__ == "__main__":
    main(sys.argv[1:])
