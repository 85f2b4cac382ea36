"""`ait doctor`: what this machine has of what compiling and running need."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ait.codegen.units import byte_count
from ait.errors import AitError
from ait.tools.display import print_table

if TYPE_CHECKING:
    from ait.codegen.build import Part

_LEAST_DISK = 2 << 30
_PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. `detail` is where it is, or what to do about its absence."""

    name: str
    state: str  # "ok", "missing" (compiling for the CPU needs it) or "optional" (a GPU would)
    detail: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns 1 if something is missing that every compile needs."""
    findings = [finding for check in _CHECKS for finding in check()]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        rows = [(f.name, _LABELS[f.state], f.detail) for f in findings]
        print_table(("", "", ""), rows)
    return int(any(finding.state == "missing" for finding in findings))


_LABELS = {"ok": "OK", "missing": "MISSING", "optional": "missing (optional)"}


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", "ok", f"{version}, {sys.executable}")


def _cpu() -> Iterator[Finding]:
    from ait.codegen.target import code_target

    try:
        compiler = code_target("cpu").toolchain().compilers[".cpp"]
    except AitError as error:
        yield Finding("C++ compiler", "missing", str(error))
        return
    # The identity is the program's full path, then what it says of its version.
    path, _, version = compiler.identity.partition("\n")
    yield Finding("C++ compiler", "ok", f"{path}, {version.partition(chr(10))[0]}")


def _cuda() -> Iterator[Finding]:
    from ait.codegen.cuda.toolchain import describe

    yield from _parts("CUDA", describe())


def _hip() -> Iterator[Finding]:
    from ait.codegen.hip.toolchain import describe

    yield from _parts("HIP", describe())


def _cache() -> Iterator[Finding]:
    from ait.codegen.cache import ObjectCache

    try:
        cache = ObjectCache()
        found = cache.statistics()
    except AitError as error:
        yield Finding("object cache", "optional", str(error))
        return
    place = _nearest_folder(found.path)
    if not os.access(place, os.W_OK):
        advice = f"{found.path} is not writable: set AIT_CACHE_DIR"
        yield Finding("object cache", "optional", advice)
        return
    sizes = f"{byte_count(found.size)} of {byte_count(found.limit)}"
    yield Finding("object cache", "ok", f"{found.path}, {found.entries} objects, {sizes}")


def _disk() -> Iterator[Finding]:
    from ait.codegen.cache import cache_directory

    place = _nearest_folder(cache_directory())
    free = shutil.disk_usage(place).free
    detail = f"{byte_count(free)} free at {place}"
    if free < _LEAST_DISK:
        yield Finding("disk", "missing", f"{detail}: {byte_count(_LEAST_DISK)} are advisable")
    else:
        yield Finding("disk", "ok", detail)


def _gpu() -> Iterator[Finding]:
    query = ["nvidia-smi", "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader"]
    found = [line for line in _output(query).splitlines() if line.strip()]
    for line in found:
        yield Finding("GPU", "ok", line.strip())
    if Path("/dev/kfd").exists():
        yield Finding("GPU", "ok", "an AMD GPU (/dev/kfd)")
    elif not found:
        yield Finding("GPU", "optional", "compiling for one works without; running needs it")


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _cpu,
    _cuda,
    _hip,
    _cache,
    _disk,
    _gpu,
)


def _parts(family: str, parts: Sequence[Part]) -> Iterator[Finding]:
    for part in parts:
        state = "optional" if part.is_missing else "ok"
        yield Finding(f"{family} {part.name}", state, part.detail)


def _nearest_folder(path: Path) -> Path:
    """`path` or, while that does not exist, what it would be made in."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
