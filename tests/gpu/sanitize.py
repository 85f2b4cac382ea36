"""The test kernels, models and random programs on a GPU under the tools of compute-sanitizer.

    pip install nvidia-cuda-sanitizer-api==13.0.85          (or a CUDA toolkit on the PATH)
    python -m tests.gpu.sanitize [FOLDER...] [--tool racecheck] [--only NAME] [--jobs N]

FOLDERs are of build_kernels.py, build_models.py or build_programs.py, and some of each are built
anew if none is given. Models and programs have what is no kernel of one op: several ops that share
a launch. Needs no xDSL where FOLDERs are given. memcheck finds accesses out of bounds or
misaligned, initcheck reads of global memory that nothing has written, racecheck unordered accesses
to shared memory (of the kernels of our own: it takes by far the longest, and CUTLASS has tests of
its own), synccheck barriers that threads miss. Prints what they find, with what is known to be no
fault and why, and exits 1 if there is more.

They are run a few to a process, and again alone if something is found.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("memcheck", "initcheck", "synccheck", "racecheck")
"""The slowest one is the last."""
_SHOWN_LINES = 40
_TOGETHER = 4
"""Kernels of a process: it takes longer to start than most of them take."""
_SECONDS = 120
"""A kernel may take, and as many processes' worth of others that share the GPU."""
_OF_CUTLASS = ("#cuda.gemm<", "#cuda.gemm_sm80<")
"""Configs of kernels that are not ours."""
_OF_OURS_ALONE = ("racecheck",)
"""Tools that check kernels that are not ours only if they are named."""
_PROGRAMS, _NETWORKS = 16, 12
"""How many are built, of each a kernel or more: half of what runs without a tool."""
_BEGIN = re.compile(r"^(?=Error|Warning|Invalid|Uninitialized|Barrier)", re.MULTILINE)
"""Of a report, up to an empty line."""
_HEADERS = Path(__file__).parents[2] / "codegen" / "cuda" / "include" / "ait" / "cuda"


@dataclass(frozen=True)
class Noise:
    """Reports of a tool that are no fault: those about an access in one of the places `lines`, each
    a file's name and a line's number as the tool prints them."""

    tool: str
    lines: frozenset[str]
    reason: str

    def explains(self, report: str) -> bool:
        return bool(self.lines.intersection(re.findall(r"in ([\w.]+:\d+)", report)))


def known_noise() -> Sequence[Noise]:
    """What warps leave for others in shared memory. Where every lane arrives, and not one for all,
    racecheck reports nothing of it: see docs/gpu-tests.md."""
    return [
        Noise(
            "racecheck",
            _lines_with("attention_hopper.hpp", "own[0] = own[2] = starts[i]"),
            "starts of scores, then __syncwarp and the arrival of one lane at the mbarrier for "
            "which all readers wait: reported are stores of the other lanes",
        ),
    ]


def _lines_with(header: str, text: str) -> frozenset[str]:
    """Where a text stands now."""
    lines = (_HEADERS / header).read_text().splitlines()
    return frozenset(f"{header}:{i}" for i, line in enumerate(lines, 1) if text in line)


@dataclass(frozen=True)
class Runner:
    """What runs the `things` in a folder of one of build_*.py: a script, and what it is told here.
    `listed`: the file that names what there is."""

    things: str
    listed: str
    script: str
    options: tuple[str, ...]

    def names(self, folder: Path, wanted: Sequence[str], tool: str) -> list[str]:
        """Those that are wanted, or all that a tool checks, the small ones first."""
        listed = json.loads((folder / self.listed).read_text())
        found = {case["name"]: case for case in listed} if isinstance(listed, list) else listed
        checked = _ours(found) if tool in _OF_OURS_ALONE else list(found)
        names = [name for name in found if name in wanted] if wanted else checked
        return sorted(names, key=lambda name: (folder / f"{name}.npz").stat().st_size)


def _ours(found: Mapping[str, Mapping[str, object]]) -> list[str]:
    return [n for n, about in found.items() if not str(about.get("config")).startswith(_OF_CUTLASS)]


RUNNERS = (
    # A kernel takes up to a thousand times as long under a tool: it runs only a few times.
    Runner("kernels", "cases.json", "run_prebuilt.py", ("--repeats", "1")),
    # Other checks launch the same kernels hundreds of times, or fill what initcheck must see as
    # nothing has written it.
    Runner(
        "models",
        "models.json",
        "run_models.py",
        ("--check", "every_size", "--check", "replaced_weights"),
    ),
    Runner("programs", "programs.json", "run_programs.py", ("--unpoisoned",)),
)


def runner_of(folder: Path) -> Runner:
    """Raises SystemExit for a folder that none of build_*.py made."""
    for runner in RUNNERS:
        if (folder / runner.listed).is_file():
            return runner
    listed = ", ".join(runner.listed for runner in RUNNERS)
    raise SystemExit(f"{folder} has none of {listed}: build_kernels.py and others make such")


@dataclass(frozen=True)
class Outcome:
    """What a tool made of a kernel. `reports`: what it found, without what `noise` explains."""

    kernel: str
    is_clean: bool
    reports: Sequence[str]
    noise: Sequence[str]

    def __str__(self) -> str:
        if self.is_clean and not self.noise:
            return f"{self.kernel}: clean"
        known = [f"known and no fault: {reason}" for reason in self.noise]
        found = [] if self.is_clean else ["FAILED", *self.reports]
        return "\n  ".join([f"{self.kernel}:", *known, *found])


def find_sanitizer() -> str | None:
    """compute-sanitizer on the PATH or among the packages of this Python."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    places = sorted(str(path) for path in packages.glob("cu*/bin"))
    return shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ["PATH"], *places]))


class Sanitizer:
    """What `folder` has under one tool."""

    def __init__(self, program: str, tool: str, folder: Path, runner: Runner, jobs: int):
        script = str(Path(__file__).parent / runner.script)
        self._command = [program, "--tool", tool, "--error-exitcode", "3", "--print-limit", "200"]
        self._command += [sys.executable, script, str(folder), *runner.options]
        self._noise = [noise for noise in known_noise() if noise.tool == tool]
        self._jobs = jobs

    def check(self, kernels: Sequence[str]) -> list[Outcome]:
        """An outcome for each kernel, in their order."""
        groups = [kernels[i : i + _TOGETHER] for i in range(0, len(kernels), _TOGETHER)]
        with ThreadPoolExecutor(self._jobs) as pool:
            found = zip(groups, pool.map(self._is_clean, groups), strict=True)
            doubtful = [kernel for group, is_clean in found if not is_clean for kernel in group]
            alone = dict(zip(doubtful, pool.map(self._check_alone, doubtful), strict=True))
        return [alone.get(kernel) or Outcome(kernel, True, (), ()) for kernel in kernels]

    def _is_clean(self, kernels: Sequence[str]) -> bool:
        return self._run(kernels)[0] == 0

    def _run(self, kernels: Sequence[str]) -> tuple[int, str]:
        """The exit status, 0 if nothing was found and all results are right, and what was said."""
        command = [*self._command, *kernels]
        try:
            limit = _SECONDS * len(kernels)
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return 124, f"not done in {_SECONDS * len(kernels)} s"
        return done.returncode, done.stdout + done.stderr

    def _check_alone(self, kernel: str) -> Outcome:
        code, text = self._run([kernel])
        lines = text.splitlines()
        said = "\n".join(line.lstrip("= ") for line in lines if line.startswith("="))
        reports = [part.partition("\n\n")[0] for part in _BEGIN.split(said) if _BEGIN.match(part)]
        reasons = [noise.reason for noise in self._noise if any(map(noise.explains, reports))]
        left = [r for r in reports if not any(noise.explains(r) for noise in self._noise)]
        results_are_right = any(line == "0 failed" for line in lines)
        is_clean = code == 0 or (code == 3 and results_are_right and bool(reasons) and not left)
        rest = [line for line in lines if not line.startswith("=")]
        shown = "\n".join([*left, *rest]).splitlines()[:_SHOWN_LINES]
        return Outcome(kernel, is_clean, shown, reasons)


def _build(scratch: Path, jobs: int) -> list[Path]:
    """All kernels and models, and some programs."""
    from tests.gpu import build_kernels, build_models, build_programs

    build_kernels.build(scratch / "kernels", build_kernels.all_cases(), jobs=jobs)
    build_models.build(scratch / "models", jobs=jobs)
    build_programs.build(scratch / "programs", _PROGRAMS, networks=_NETWORKS, jobs=jobs)
    return [scratch / "kernels", scratch / "models", scratch / "programs"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="run what tests build under compute-sanitizer")
    parser.add_argument("folders", nargs="*", type=Path, help="of build_*.py")
    parser.add_argument("--tool", action="append", choices=TOOLS, help="(default: all)")
    parser.add_argument("--only", action="append", default=[], help="(default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    options = parser.parse_intermixed_args(arguments)
    program = find_sanitizer()
    if program is None:
        print("compute-sanitizer is missing: pip install nvidia-cuda-sanitizer-api==13.0.85")
        return 1
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folders = options.folders or _build(Path(scratch), options.jobs)
        runners = {folder: runner_of(folder) for folder in folders}
        for tool in options.tool or TOOLS:
            for folder, runner in runners.items():
                sanitizer = Sanitizer(program, tool, folder, runner, options.jobs)
                outcomes = sanitizer.check(runner.names(folder, options.only, tool))
                failed += _tell(tool, runner.things, outcomes)
    return int(failed > 0)


def _tell(tool: str, things: str, outcomes: Sequence[Outcome]) -> int:
    """Prints what a tool made of things; returns how many failed."""
    told = [outcome for outcome in outcomes if not outcome.is_clean or outcome.noise]
    wrong = sum(not outcome.is_clean for outcome in outcomes)
    known = len(told) - wrong
    print(f"{tool}: {len(outcomes)} {things}, {wrong} failed, {known} with known noise")
    for outcome in told:
        print(f"{tool} {outcome}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
