"""The object cache: compiled objects addressed by everything that went into them.

An entry is one file named `<key>.<digest>.o`: `key` is the digest of all inputs (source, headers,
compiler, flags), `digest` that of the entry's own bytes. One file is one atomic rename, so any
number of processes can share a cache; and a damaged entry shows itself, because its name no longer
fits its content. Entries are never changed in place, only added and removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ait.errors import CompileError

GIB = 1 << 30
DEFAULT_LIMIT = 10 * GIB

# A new layout gets a new folder; `prune` and `clear` touch nothing but files of this layout, so a
# cache directory that holds other things (a home directory, by mistake) loses none of them.
LAYOUT = "objects-v1"
_SUFFIX = ".o"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

# Pruning stops a little below the limit, otherwise each further compile would prune again.
_PRUNE_FRACTION = 0.8
# Temporary files this old belong to a process that died.
_STALE_SECONDS = 3600.0
_ABSENT = (FileNotFoundError, NotADirectoryError)


class CacheWarning(UserWarning):
    """The cache could not be used; the compile goes on without it."""


@dataclass(frozen=True)
class CacheEntry:
    """One cached object: its file, size in bytes and the time of its last use."""

    path: Path
    size: int
    used: float


@dataclass(frozen=True)
class CacheStatistics:
    """What `ait cache` shows: the folder, its number of entries, their bytes and the limit."""

    path: Path
    entries: int
    size: int
    limit: int


def cache_directory() -> Path:
    """`$AIT_CACHE_DIR`, else `$XDG_CACHE_HOME/ait`, else `~/.cache/ait`.

    Raises CompileError if no home directory is known.
    """
    if chosen := os.environ.get("AIT_CACHE_DIR"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "ait"
    try:
        return Path.home() / ".cache" / "ait"
    except RuntimeError as error:
        raise CompileError("no home directory for the object cache: set AIT_CACHE_DIR") from error


def parse_size(text: str) -> int:
    """Bytes of "512M", "10G", "1.5GiB" or a plain number; raises CompileError for other text."""
    cleaned = text.strip().lower().removesuffix("b").removesuffix("i")
    number, unit = (cleaned, "") if cleaned[-1:].isdigit() else (cleaned[:-1], cleaned[-1:])
    try:
        size = float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        size = -1.0
    if not 0 <= size < float("inf"):
        raise CompileError(f"not a size: {text!r} (write 512M, 10G, ...)")
    return int(size)


def cache_limit() -> int:
    """The size limit in bytes: `$AIT_CACHE_SIZE` or 10 GiB."""
    text = os.environ.get("AIT_CACHE_SIZE")
    return parse_size(text) if text else DEFAULT_LIMIT


def digest_of(parts: Iterable[str | bytes]) -> str:
    """The hex sha256 of a sequence; ("ab", "c") and ("a", "bc") differ."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """The hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, and its folder, that nobody sees half written; any number of processes may do
    so at once. Raises OSError, and leaves nothing behind then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class ObjectCache:
    """Content-addressed compiled objects under a directory, safe for concurrent processes.

    A cache that cannot be read or written never fails a compile: it warns once (CacheWarning) and
    then misses, or stops storing.
    """

    def __init__(self, root: Path | None = None, limit: int | None = None):
        self.root = cache_directory() if root is None else root
        self.limit = cache_limit() if limit is None else limit
        self._objects = self.root / LAYOUT
        self._temporary = self._objects / "tmp"
        self._writable = True
        self._stored = False

    def get(self, key: str, destination: Path) -> bool:
        """Puts the entry of `key` at `destination` (which must not exist); False if there is none.

        A damaged entry is removed and counts as absent.
        """
        for path in self._find(key):
            try:
                _link_or_copy(path, destination)
            except FileNotFoundError:  # another process pruned it just now
                continue
            except OSError as error:
                destination.unlink(missing_ok=True)
                self._warn(f"cannot read {path}: {error.strerror}")
                continue
            if file_digest(destination) == _digest_in_name(path):
                # The mtime is the time of last use. A read-only shared cache has no LRU order.
                with contextlib.suppress(OSError):
                    os.utime(path)
                return True
            destination.unlink()
            with contextlib.suppress(OSError):
                path.unlink()
        return False

    def put(self, key: str, source: Path) -> bool:
        """Stores a copy of `source` as the entry of `key`; False when that was impossible."""
        if not self._writable:
            return False
        try:
            self._store(key, source)
        except OSError as error:
            self._writable = False
            self._warn(f"cannot write to {self.root}: {error.strerror}")
            return False
        self._stored = True
        return True

    def entries(self) -> list[CacheEntry]:
        """All entries, least recently used first."""
        found = [
            CacheEntry(path, status.st_size, status.st_mtime)
            for folder in _subfolders(self._objects)
            if folder.name != "tmp"
            for path, status in _files(folder)
            if path.suffix == _SUFFIX
        ]
        return sorted(found, key=lambda entry: (entry.used, entry.path))

    def statistics(self) -> CacheStatistics:
        """Size and number of the entries now in the cache."""
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        return CacheStatistics(self.root, len(entries), total, self.limit)

    def clear(self) -> CacheStatistics:
        """Removes every entry and tells what was removed."""
        return self.prune(-1)

    def prune(self, limit: int | None = None) -> CacheStatistics:
        """Removes least recently used entries until at most `limit` bytes (default: the cache's
        limit) are left, and what dead processes left behind; tells what was removed.

        Raises CompileError when an entry cannot be removed.
        """
        bound = self.limit if limit is None else limit
        self._remove_stale(0.0 if bound < 0 else _STALE_SECONDS)
        entries = self.entries()
        left = sum(entry.size for entry in entries)
        removed = freed = 0
        for entry in entries:
            if left <= bound:
                break
            try:
                entry.path.unlink(missing_ok=True)
            except OSError as error:
                raise CompileError(f"cannot prune {self.root}: {error.strerror}") from error
            left -= entry.size
            freed += entry.size
            removed += 1
        return CacheStatistics(self.root, removed, freed, self.limit)

    def trim(self) -> None:
        """Keeps the cache within its limit; cheap when nothing was stored since the last call."""
        if not self._stored:
            return
        self._stored = False
        if sum(entry.size for entry in self.entries()) <= self.limit:
            return
        try:
            self.prune(int(self.limit * _PRUNE_FRACTION))
        except CompileError as error:
            self._warn(str(error))

    def _find(self, key: str) -> list[Path]:
        prefix = key + "."
        try:
            return [path for path, _ in _files(self._folder(key)) if path.name.startswith(prefix)]
        except OSError as error:
            self._warn(f"cannot read {self.root}: {error.strerror}")
            return []

    def _store(self, key: str, source: Path) -> None:
        self._temporary.mkdir(parents=True, exist_ok=True)
        folder = self._folder(key)
        folder.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._temporary)
        os.close(handle)
        temporary = Path(name)
        try:
            shutil.copyfile(source, temporary)
            temporary.chmod(0o644)
            temporary.replace(folder / f"{key}.{file_digest(temporary)}{_SUFFIX}")
        finally:
            temporary.unlink(missing_ok=True)

    def _folder(self, key: str) -> Path:
        return self._objects / key[:2]

    def _remove_stale(self, age: float) -> None:
        oldest = time.time() - age
        for path, status in _files(self._temporary):
            if status.st_mtime <= oldest:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _warn(self, problem: str) -> None:
        message = f"object cache: {problem}; compiling without it (AIT_CACHE_DIR moves it)"
        warnings.warn(message, CacheWarning, stacklevel=2)


def _digest_in_name(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX).rpartition(".")[2]


def _link_or_copy(source: Path, destination: Path) -> None:
    """A hard link where both are on one file system: an entry pruned meanwhile stays readable."""
    try:
        os.link(source, destination)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, destination)


def _subfolders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(*_ABSENT), os.scandir(folder) as children:
        yield from (Path(child.path) for child in children if child.is_dir(follow_symlinks=False))


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The folder's files; those that vanish while looking, and a missing folder, are no error."""
    with contextlib.suppress(*_ABSENT), os.scandir(folder) as children:
        for child in children:
            with contextlib.suppress(FileNotFoundError):
                if child.is_file(follow_symlinks=False):
                    yield Path(child.path), child.stat(follow_symlinks=False)
