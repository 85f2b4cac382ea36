"""Jinja environments. What Jinja makes of a template is kept in the cache directory: taking the
templates of a model apart again takes as long as rendering them."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined, nodes
from jinja2.bccache import Bucket
from jinja2.compiler import CodeGenerator, Frame

from ait.codegen.cache import cache_directory, digest_of, write_whole
from ait.errors import CompileError

_FOLDER = "templates-v1"
_DIGEST_BYTES = sha256().digest_size


def environment(*packages: str, trimmed: bool = True) -> Environment:
    """One that finds templates in the packages' folders `templates`, in order; a name that is not
    defined is an error. `trimmed`: blocks leave no lines of their own in what is printed."""
    return _Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        undefined=StrictUndefined,
        trim_blocks=trimmed,
        lstrip_blocks=trimmed,
        keep_trailing_newline=True,
        optimized=False,
        bytecode_cache=_CodeCache(f"{'trimmed' if trimmed else 'verbatim'} {jinja2.__version__}"),
    )


class _Generator(CodeGenerator):
    """Like `optimized=False`, leaves constants to each rendering: else what a filter makes of one
    would be part of the code that is kept, also when the filter is another one."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class _Environment(Environment):
    code_generator_class = _Generator


class _CodeCache(BytecodeCache):
    """Templates as code, by their places; Jinja compares a digest of their texts, and the version
    of Python. `variant`: what else the code depends on. A file begins with the digest of the rest:
    Jinja trusts what it reads. What cannot be read or written is no error: the template is
    compiled."""

    def __init__(self, variant: str):
        self._variant = digest_of([variant])[:12]

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError, CompileError):
            content = self._path(bucket).read_bytes()
            digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if sha256(code).digest() == digest:
                bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        code = bucket.bytecode_to_string()
        with suppress(OSError, CompileError):
            write_whole(self._path(bucket), sha256(code).digest() + code)

    def _path(self, bucket: Bucket) -> Path:
        return cache_directory() / _FOLDER / f"{self._variant}-{bucket.key}"
