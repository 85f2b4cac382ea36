"""The commands of `ait`, one module each: `configure` declares its arguments, `run` performs it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

SUMMARIES: Mapping[str, str] = {
    "compile": "compile a model into one shared library",
    "run": "run a compiled model once",
    "bench": "measure a compiled model's latency",
    "profile": "show each kernel's time and the least that the device allows",
    "inspect": "show what a compiled model is, without executing it",
    "verify": "compare a compiled model with the reference interpreter",
    "doctor": "check this machine for what compiling and running need",
    "cache": "show, shrink or empty the object cache",
    "timings": "show, export or merge the measured times of kernels",
    "setup": "fetch what a GPU target needs to compile",
}
"""What `ait --help` says of each command, in that order."""


class Command(Protocol):
    """A module of this package."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Perform the command; returns the exit code, raises AitError or UsageError."""
        ...


def command(name: str) -> Command:
    """The module of one of SUMMARIES."""
    return cast(Command, import_module(f"{__name__}.{name}"))
