"""Building: sources -> objects (Ninja, object cache) -> one shared library.

Nothing here knows a target. A `Toolchain` says which compiler takes which kind of file and how the
objects are linked; a source that was compiled before, by anyone who shares the cache, is not
compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ninja

from ait.codegen.cache import GIB, ObjectCache, digest_of, file_digest
from ait.errors import CompileError, ToolchainError

if TYPE_CHECKING:
    from rich.progress import Progress

# Variables that change what a compiler does without being on its command line.
_COMPILER_ENVIRONMENT = (
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "NVCC_PREPEND_FLAGS",
    "NVCC_APPEND_FLAGS",
    "SOURCE_DATE_EPOCH",
)
_IDENTITY_TIMEOUT = 60.0
_ERROR_LINES = 3
_ERROR = re.compile(r"\berror\b[^:.]*:|\bfatal\b|undefined reference", re.IGNORECASE)
_VERSION = re.compile(r"\b[Vv]?(\d+\.\d+\.\d+)\b")
_KILLED = re.compile(r"^Killed|Killed signal")


class SourceError(CompileError):
    """Sources that do not compile: the message lists all, `folder` keeps them and their logs.

    `failed`: their names.
    """

    def __init__(self, message: str, folder: Path, failed: Sequence[str] = ()):
        super().__init__(message)
        self.folder = folder
        self.failed = tuple(failed)


@dataclass(frozen=True)
class SourceFile:
    """One file to compile.

    `name`: its unique relative path in the build folder; the suffix picks the compiler.
    `origin`: what it was made from, in the user's words (layers): shown when it fails to compile,
    and put at the end of kept files; no part of the object's key.
    """

    name: str
    text: str
    origin: str = ""


@dataclass(frozen=True)
class Part:
    """One thing that a toolchain needs, as `ait doctor` shows it. `detail`: where it is, or what to
    do about its absence."""

    name: str
    is_missing: bool
    detail: str

    @classmethod
    def looked_for(cls, name: str, find: Callable[[], str]) -> Part:
        """What `find` says of where it is; it is missing if that raises ToolchainError."""
        try:
            return cls(name, False, find())
        except ToolchainError as error:
            return cls(name, True, str(error))


@dataclass(frozen=True)
class Compiler:
    """A compiler command, `command + flags + -c SOURCE -o OBJECT`, and what its output depends on.

    `includes` are searched in order and are our own headers: their content is part of every
    object's key. `system_includes` (CUTLASS, ...) are too large to hash on every compile; they must
    be covered by `identity`, with the compiler's version (see `compiler_identity`).
    `memory` is what one running compiler may need, in bytes.
    """

    command: tuple[str, ...]
    identity: str
    flags: tuple[str, ...] = ()
    includes: tuple[Path, ...] = ()
    system_includes: tuple[Path, ...] = ()
    memory: int = GIB

    @property
    def release(self) -> str:
        """The program's name and version: `nvcc 13.0.88`."""
        _, _, text = self.identity.partition("\n")
        versions = _VERSION.findall(text)
        return " ".join([Path(self.command[0]).name, *versions[:1]])

    def arguments(self) -> list[str]:
        """The whole command line but for input and output."""
        includes = [f"-I{path}" for path in self.includes]
        system = [part for path in self.system_includes for part in ("-isystem", str(path))]
        return [*self.command, *self.flags, *includes, *system]


@dataclass(frozen=True)
class Toolchain:
    """The compilers of a target by the end of file names, and its link command.

    `missing`: by further ends, what to do about a compiler that is not installed. Where several
    ends fit, the longest counts: `.kernel.cpp` before `.cpp`. The link command is `linker + -o
    LIBRARY OBJECTS... + link_flags`; the flags must ask for a shared library.
    """

    name: str
    compilers: Mapping[str, Compiler]
    linker: tuple[str, ...]
    link_flags: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict[str, str])

    def compiler_of(self, name: str) -> Compiler:
        """The compiler of a source file. Raises ToolchainError if there is none."""
        ends = [end for end in (*self.compilers, *self.missing) if name.endswith(end)]
        if not ends:
            raise ToolchainError(f"{self.name} has no compiler for {name}")
        end = max(ends, key=len)
        if end in self.missing:
            raise ToolchainError(self.missing[end])
        return self.compilers[end]

    def compiles(self, name: str) -> bool:
        """Whether there is a compiler for a source file."""
        try:
            self.compiler_of(name)
        except ToolchainError:
            return False
        return True

    def with_flags(self, compile: Sequence[str] = (), link: Sequence[str] = ()) -> Toolchain:
        """The same toolchain with further flags for every compiler and the linker."""
        compilers = {
            suffix: replace(compiler, flags=(*compiler.flags, *compile))
            for suffix, compiler in self.compilers.items()
        }
        return replace(self, compilers=compilers, link_flags=(*self.link_flags, *link))


@dataclass(frozen=True)
class BuildOptions:
    """How to build: `jobs` None means as many as cores and memory allow; `cache` None is no cache.

    `keep`: a folder that gets all sources and objects. Without one, only what failed is kept.
    `progress`: a bar on stderr; None shows it when stderr is a terminal.
    """

    cache: ObjectCache | None = None
    jobs: int | None = None
    timeout: float = 3600.0
    keep: Path | None = None
    progress: bool | None = None


@dataclass
class BuildReport:
    """What a build did. `compiled` and `cached` are names of sources; times in seconds."""

    compiled: list[str] = field(default_factory=list[str])
    cached: list[str] = field(default_factory=list[str])
    compile_seconds: float = 0.0
    link_seconds: float = 0.0


@functools.cache
def compiler_identity(command: tuple[str, ...]) -> str:
    """The path and version text of a compiler: equal texts mean equal objects.

    Raises ToolchainError if the command cannot be run.
    """
    path = shutil.which(command[0])
    if path is None:
        raise ToolchainError(f"compiler not found: {command[0]} (see `ait doctor`)")
    try:
        answer = subprocess.run(
            [path, *command[1:], "--version"],
            capture_output=True,
            text=True,
            timeout=_IDENTITY_TIMEOUT,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolchainError(f"compiler {path} does not run: {error}") from error
    return f"{Path(path).resolve()}\n{answer.stdout}"


def build_library(
    sources: Sequence[SourceFile],
    toolchain: Toolchain,
    output: Path,
    options: BuildOptions | None = None,
    data: Callable[[Sequence[Path], Path], list[Path]] | None = None,
) -> BuildReport:
    """Compiles and links `sources` into the shared library `output`, written atomically.

    `data`: makes objects that no compiler makes, which are linked behind the others; it is given
    the objects of the sources, and the build folder.
    Raises CompileError that lists every source which failed, and ToolchainError when a compiler is
    missing.
    """
    options = options or BuildOptions()
    report = BuildReport()
    with _build_folder(options.keep) as folder:
        started = time.perf_counter()
        objects = _compile(sources, toolchain, folder, options, report)
        report.compile_seconds = time.perf_counter() - started
        objects += data(objects, folder) if data is not None else []
        started = time.perf_counter()
        identity = build_id(sources, toolchain)
        _link(objects, toolchain, output, identity, options.timeout)
        report.link_seconds = time.perf_counter() - started
    if options.cache is not None:
        options.cache.trim()
    return report


def build_id(sources: Sequence[SourceFile], toolchain: Toolchain) -> str:
    """Names a library for debuggers and profilers, without the linker having to hash all of it."""
    flags = (flag for c in toolchain.compilers.values() for flag in (c.identity, *c.flags))
    texts = (part for s in sources for part in (s.name, s.text))
    return digest_of([*flags, *texts])[:40]


def object_key(source: SourceFile, compiler: Compiler) -> str:
    """The cache key of a source's object: all that its bytes can depend on."""
    environment = [f"{name}={os.environ.get(name, '')}" for name in _COMPILER_ENVIRONMENT]
    native = _host_cpu() if any(flag.endswith("=native") for flag in compiler.flags) else ""
    return digest_of(
        [
            source.name,
            source.text,
            compiler.identity,
            *compiler.command,
            *compiler.flags,
            *map(str, compiler.system_includes),
            native,
            *environment,
            *_headers(compiler.includes),
        ]
    )


def default_jobs(memory: int) -> int:
    """As many compilers at once as there are cores, and memory for them (`memory` bytes each)."""
    return max(1, min(usable_cores(), _available_memory() // max(memory, 1)))


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _compile(
    sources: Sequence[SourceFile],
    toolchain: Toolchain,
    folder: Path,
    options: BuildOptions,
    report: BuildReport,
) -> list[Path]:
    """Objects of `sources` in `folder`, in order: from the cache where it has them."""
    steps = [_Step.prepare(source, toolchain, folder) for source in sources]
    _write_sources(steps)
    keys = _cached_keys(steps)
    missing: list[_Step] = []
    for step, key in zip(steps, keys, strict=True):
        if options.cache and options.cache.get(key, step.object):
            report.cached.append(step.source.name)
        else:
            missing.append(step)
            report.compiled.append(step.source.name)
    if missing:
        answer = _run_ninja(missing, folder, options)
        failed = [step for step in missing if not _is_object(step.object)]
        # What did compile is kept, also beside failures: the next try is shorter.
        for step, key in zip(steps, keys, strict=True):
            if options.cache and step in missing and step not in failed:
                options.cache.put(key, step.object)
        if failed:
            raise _failure(failed, len(steps), toolchain.name, folder, answer)
    return [step.object for step in steps]


@dataclass(frozen=True)
class _Step:
    """A source on its way to an object; paths are absolute."""

    source: SourceFile
    compiler: Compiler
    path: Path
    object: Path
    log: Path

    @staticmethod
    def prepare(source: SourceFile, toolchain: Toolchain, folder: Path) -> _Step:
        return _Step(
            source,
            toolchain.compiler_of(source.name),
            folder / source.name,
            folder / f"{source.name}.o",
            folder / f"{source.name}.log",
        )

    def problem(self, otherwise: str) -> str:
        """Why there is no object: the compiler's first error lines, or `otherwise` with no log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return f"was not compiled: {otherwise}"
        errors = [line for line in lines if _ERROR.search(line)] or lines[-_ERROR_LINES:]
        if not errors or _KILLED.search(errors[0]):
            return "the compiler was killed (for lack of memory? try fewer jobs)"
        return "\n    ".join(line.strip() for line in errors[:_ERROR_LINES])


def _write_sources(steps: Sequence[_Step]) -> None:
    for step in steps:
        step.path.parent.mkdir(parents=True, exist_ok=True)
        printable = "".join(c if c.isprintable() else " " for c in step.source.origin)
        origin = f"\n// {printable}\n" if printable else ""
        step.path.write_text(step.source.text + origin)
        # A kept folder may hold a hard link into the cache: never let a compiler write to it.
        step.object.unlink(missing_ok=True)
        step.log.unlink(missing_ok=True)


def _cached_keys(steps: Sequence[_Step]) -> list[str]:
    """Keys of sources. Headers are hashed once per compiler, not once per source."""
    headers: dict[int, Compiler] = {}
    keys: list[str] = []
    for step in steps:
        known = headers.get(id(step.compiler))
        if known is None:
            known = headers[id(step.compiler)] = _with_hashed_headers(step.compiler)
        keys.append(object_key(step.source, known))
    return keys


def _with_hashed_headers(compiler: Compiler) -> Compiler:
    """The compiler with its headers' content moved into the identity."""
    identity = digest_of([compiler.identity, *_headers(compiler.includes)])
    return replace(compiler, identity=identity, includes=())


def _headers(folders: Sequence[Path]) -> Iterator[str]:
    """Relative names and digests of all files in `folders`; where the folders lie is irrelevant."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield path.relative_to(folder).as_posix()
            yield file_digest(path)


@functools.cache
def _host_cpu() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _available_memory() -> int:
    """Bytes that new processes may use: of the machine and of a container's limit."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next((line for line in lines if line.startswith("MemAvailable:")), "")
        available = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        available = min(available, max(limit - used, 0))
    return available


def _run_ninja(steps: Sequence[_Step], folder: Path, options: BuildOptions) -> str:
    """Runs all steps, also after a failure, and returns what Ninja said about itself."""
    (folder / "build.ninja").write_text(_ninja_file(steps, folder))
    jobs = options.jobs or default_jobs(max(step.compiler.memory for step in steps))
    command = [str(_ninja_program()), "-C", str(folder), "-k", "0", "-j", str(jobs)]
    environment = os.environ | {"NINJA_STATUS": "", "LC_ALL": "C"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    watchdog = _Watchdog(process, options.timeout)
    said: list[str] = []
    try:
        with watchdog, _progress(len(steps), options.progress) as advance:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("compile "):
                    advance(line.removeprefix("compile ").strip())
                elif line.startswith("ninja: "):
                    said.append(line.strip())
            process.wait()
    finally:
        _stop(process)
    if watchdog.expired:
        unfinished = [step.source.name for step in steps if not _is_object(step.object)]
        raise CompileError(
            f"compiling took more than {options.timeout:g} s; unfinished: {', '.join(unfinished)}"
        )
    return " ".join(said)


def _ninja_program() -> Path:
    bundled = Path(ninja.BIN_DIR) / "ninja"
    if bundled.exists():
        return bundled
    found = shutil.which("ninja")
    if found is None:
        raise ToolchainError("ninja not found: pip install ninja")
    return Path(found)


def _ninja_file(steps: Sequence[_Step], folder: Path) -> str:
    """One rule per compiler, one build line per source, paths relative to the build folder.

    Relative paths keep the name of the temporary folder out of the objects.
    """
    rules: dict[int, str] = {}
    text: list[str] = []
    for step in steps:
        rule = rules.get(id(step.compiler))
        if rule is None:
            rule = rules[id(step.compiler)] = f"compile{len(rules)}"
            arguments = shlex.join(step.compiler.arguments()).replace("$", "$$")
            text.append(f"rule {rule}")
            text.append(f"  command = {arguments} -c $in -o $out > $log 2>&1")
            text.append("  description = compile $in")
        path, target, log = (
            file.relative_to(folder).as_posix() for file in (step.path, step.object, step.log)
        )
        text.append(f"build {target}: {rule} {path}")
        text.append(f"  log = {log}")
    return "\n".join(text) + "\n"


class _Watchdog:
    """Stops a process that runs past its time; `expired` tells whether it did."""

    def __init__(self, process: subprocess.Popen[str], seconds: float):
        self.expired = False
        self._process = process
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        # Ninja passes this on to its compilers and removes their half-written objects.
        self._process.send_signal(signal.SIGTERM)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Advance:
    """Moves the progress bar by one finished source; without a bar it does nothing."""

    def __init__(self, bar: Progress | None, total: int):
        self._bar = bar
        self._task = bar.add_task("compiling", total=total) if bar else None

    def __call__(self, name: str) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=1, description=Path(name).stem)


def _is_watched() -> bool:
    """Whether what goes to standard error is seen at once. A process may have none, or close it."""
    stream = sys.stderr
    return stream is not None and not stream.closed and stream.isatty()


@contextlib.contextmanager
def _progress(total: int, wanted: bool | None) -> Generator[_Advance]:
    if not (_is_watched() if wanted is None else wanted):
        yield _Advance(None, total)
        return
    # Imported where there is a bar: it takes as long as all else of the module.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Advance(bar, total)


def _failure(
    failed: Sequence[_Step], total: int, target: str, folder: Path, answer: str
) -> SourceError:
    lines = [f"{len(failed)} of {total} sources failed to compile for {target}:"]
    for step in failed:
        origin = f" ({step.source.origin})" if step.source.origin else ""
        lines.append(f"  {step.source.name}{origin}:\n    {step.problem(answer)}")
    lines.append(f"sources and logs are in {folder}")
    return SourceError("\n".join(lines), folder, [step.source.name for step in failed])


def _is_object(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size > 0
    return False


@contextlib.contextmanager
def _build_folder(keep: Path | None) -> Generator[Path]:
    """The folder to build in. A temporary one is removed, unless sources in it failed."""
    folder: Path | None = None
    remove = keep is None
    try:
        if keep is None:
            folder = Path(tempfile.mkdtemp(prefix="ait-build-"))
        else:
            keep.mkdir(parents=True, exist_ok=True)
            folder = keep.resolve()
        yield folder
    except SourceError:
        remove = False
        raise
    except OSError as error:
        place = folder or keep or tempfile.gettempdir()
        raise CompileError(f"cannot build in {place}: {error} (TMPDIR moves it)") from error
    finally:
        if remove and folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _link(
    objects: Sequence[Path], toolchain: Toolchain, output: Path, identity: str, timeout: float
) -> None:
    output = output.absolute()
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    command = [
        *toolchain.linker,
        "-o",
        str(temporary),
        *map(str, objects),
        f"-Wl,--build-id=0x{identity}",
        *toolchain.link_flags,
    ]
    if shutil.which(toolchain.linker[0]) is None:
        raise ToolchainError(f"linker not found: {toolchain.linker[0]}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _run_linker(command, output, timeout)
        temporary.replace(output)
    except OSError as error:
        raise CompileError(f"cannot write {output}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _run_linker(command: Sequence[str], output: Path, timeout: float) -> None:
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise CompileError(f"linking {output.name} took more than {timeout:g} s") from error
    if answer.returncode != 0:
        raise CompileError(f"linking {output.name} failed:\n{_first_lines(answer.stderr)}")


def _first_lines(text: str, count: int = 20) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines()[:count])
