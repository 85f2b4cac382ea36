"""Jinja environments. What Jinja makes of a template is kept in the cache directory: taking the
templates of a model apart again takes as long as rendering them."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket

from ait.codegen.cache import cache_directory, digest_of
from ait.errors import CompileError

_FOLDER = "templates-v1"


def environment(*packages: str, trimmed: bool = True) -> Environment:
    """One that finds templates in the packages' folders `templates`, in order; a name that is not
    defined is an error. `trimmed`: blocks leave no lines of their own in what is printed."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        undefined=StrictUndefined,
        trim_blocks=trimmed,
        lstrip_blocks=trimmed,
        keep_trailing_newline=True,
        optimized=False,  # else filters of constants would be part of the code that is kept
        bytecode_cache=_CodeCache(f"{'trimmed' if trimmed else 'verbatim'} {jinja2.__version__}"),
    )


class _CodeCache(BytecodeCache):
    """Templates as code, by their places; Jinja compares a digest of their texts, and the version
    of Python. `variant`: what else the code depends on. What cannot be read or written is no
    error: the template is compiled."""

    def __init__(self, variant: str):
        self._variant = digest_of([variant])[:12]

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError, CompileError), self._path(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError, CompileError):
            path = self._path(bucket)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                bucket.write_bytecode(file)
            os.replace(name, path)

    def _path(self, bucket: Bucket) -> Path:
        return cache_directory() / _FOLDER / f"{self._variant}-{bucket.key}"
