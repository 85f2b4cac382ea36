"""A pytest plugin of scripts/mutation.py: what a test of a mutant may use.

A mutant may loop for ever or fill the memory. CPU time is limited for each test, not wall time: on
a busy machine a slow test is no endless one.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

import ait.passes

CPU_SECONDS = 30.0
MEMORY_BYTES = 6 << 30
TIMEOUT_EXIT = 36
"""What mutmut reports as a timeout."""


def pytest_configure() -> None:
    """Tests of another copy of the passes would kill nothing, and say nothing."""
    home = Path(str(ait.passes.__file__)).resolve()
    if not home.is_relative_to(Path.cwd().resolve()):
        raise pytest.UsageError(f"the tests would run {home}, which is not mutated")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _give_up(number: int, frame: FrameType | None) -> None:
    os._exit(TIMEOUT_EXIT)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Ends the process if a test takes too long: it may catch whatever is raised."""
    signal.signal(signal.SIGPROF, _give_up)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
