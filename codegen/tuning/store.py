"""Times of kernel configs, in an SQLite file.

A row says how long one config of one problem (a kernel without its config, at certain sizes) took
on a device, compiled for a target by a toolchain. A target may ship such a file; what is measured
here goes to one of the user's, which is asked first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ait.codegen.cache import cache_directory
from ait.errors import CompileError

_FILE = "timings-v1.sqlite"
_BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS timings (
  problem TEXT NOT NULL,
  config TEXT NOT NULL,
  target TEXT NOT NULL,
  device TEXT NOT NULL,
  toolchain TEXT NOT NULL,
  seconds REAL,
  failure TEXT NOT NULL DEFAULT '',
  about TEXT NOT NULL,
  measured TEXT NOT NULL,
  PRIMARY KEY (problem, config, target, device, toolchain)
) WITHOUT ROWID
"""
_COLUMNS = "problem, config, target, device, toolchain, seconds, failure, about, measured"


@dataclass(frozen=True)
class Timing:
    """One measurement. `seconds` is None where the config failed, and `failure` says how.

    `problem`: a digest; `about`: the same for people. `measured`: the date.
    """

    problem: str
    config: str
    target: str
    device: str
    toolchain: str
    seconds: float | None
    failure: str
    about: str
    measured: str = ""


@dataclass(frozen=True)
class Times:
    """What a store knows of a problem's configs, on one device by one toolchain: only such times
    are compared. `seconds`: by the config's text; None for one that failed."""

    device: str = ""
    toolchain: str = ""
    seconds: Mapping[str, float | None] = field(default_factory=dict[str, float | None])


def user_store() -> TimingStore:
    """The store beside the object cache. Raises CompileError if it cannot be opened."""
    return TimingStore(cache_directory() / _FILE)


class TimingStore:
    """A file of timings; several processes may use it at once.

    A missing file holds nothing, and is made when something is put. Raises CompileError for a file
    that is no store.
    """

    def __init__(self, path: Path):
        self.path = path

    def times(
        self,
        problem: str,
        target: str,
        toolchain: str,
        device: str | None = None,
        described: str = "",
    ) -> Times:
        """What is known of a problem, on one device by one toolchain.

        A target may be the code of several devices (`sm_90a`: H100 and H200), whose times are close
        enough to choose configs by. So what counts is, in this order: that it was measured on
        `device`, the one that is present; on one whose name has `described` in it, the one that the
        target's description is of; by this toolchain; and last.
        """
        if not self.path.is_file():
            return Times()
        with self._open() as database:
            rows = database.execute(
                "SELECT device, toolchain, config, seconds FROM timings "
                "WHERE problem = ? AND target = ? "
                "ORDER BY device = ? DESC, instr(device, ?) > 0 DESC, toolchain = ? DESC, "
                "measured DESC, device, toolchain",
                (problem, target, device, described, toolchain),
            ).fetchall()
        if not rows:
            return Times()
        where, by = best = rows[0][:2]
        return Times(where, by, {row[2]: row[3] for row in rows if row[:2] == best})

    def put(self, timings: Iterable[Timing]) -> int:
        """Adds measurements, which replace older ones; returns how many."""
        today = time.strftime("%Y-%m-%d")
        rows = [
            (t.problem, t.config, t.target, t.device, t.toolchain, t.seconds, t.failure, t.about,
             t.measured or today)
            for t in timings
        ]  # fmt: skip
        with self._open(write=True) as database:
            marks = ", ".join("?" * 9)
            database.executemany(
                f"INSERT OR REPLACE INTO timings ({_COLUMNS}) VALUES ({marks})", rows
            )
        return len(rows)

    def all(self) -> list[Timing]:
        """Every measurement, by problem, device and time."""
        if not self.path.is_file():
            return []
        with self._open() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM timings "
                "ORDER BY about, problem, target, device, toolchain, seconds IS NULL, seconds"
            )
            return [Timing(*row) for row in rows.fetchall()]

    def merge(self, other: TimingStore) -> int:
        """Takes over another file's measurements where ours are not newer; returns how many."""
        if not other.path.is_file():
            raise CompileError(f"{other.path}: no such file")
        known = {_key(t): t.measured for t in self.all()}
        return self.put(t for t in other.all() if known.get(_key(t), "") <= t.measured)

    def compact(self) -> None:
        """Gives the file the least size, with nothing left of what was replaced."""
        with self._open(write=True) as database:
            database.commit()
            database.execute("VACUUM")

    @contextmanager
    def _open(self, write: bool = False) -> Generator[sqlite3.Connection]:
        try:
            if write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                database = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
            else:
                # A shipped file may lie where nobody can write.
                uri = f"{self.path.absolute().as_uri()}?mode=ro"
                database = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)
        except (OSError, sqlite3.Error) as error:
            raise CompileError(f"{self.path}: cannot be opened: {error}") from error
        try:
            with database:
                if write:
                    database.execute(_SCHEMA)
                yield database
        except sqlite3.Error as error:
            raise CompileError(f"{self.path}: not a file of timings: {error}") from error
        finally:
            database.close()


def _key(timing: Timing) -> tuple[str, ...]:
    return timing.problem, timing.config, timing.target, timing.device, timing.toolchain


def fastest(times: Mapping[str, float | None]) -> str | None:
    """The config of the least time, or None if none succeeded."""
    measured = {config: seconds for config, seconds in times.items() if seconds is not None}
    return min(measured, key=lambda config: measured[config]) if measured else None
