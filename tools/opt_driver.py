"""What `ait-opt` does once its arguments are known: pipelines, diagnostics, printing."""

from __future__ import annotations

import dataclasses
import difflib
import io
import os
import sys
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from xdsl.context import Context
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass, get_pass_option_infos
from xdsl.printer import Printer
from xdsl.transforms import get_all_passes as get_xdsl_passes
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError

from ait.errors import AitError
from ait.passes.remarks import Remark, collect_remarks
from ait.passes.verification import dominance_errors
from ait.tools import universe
from ait.tools.diagnostics import Diagnostic, Expectation, Position, expectations, mismatches
from ait.tools.errors import UsageError
from ait.tools.source import Chunk, parse, parse_error, position_of, split

EXIT_BAD_IR = 1
EXIT_BUG = 70


@dataclass(frozen=True)
class Options:
    """The command line of `ait-opt`; the sets of pass names are None for "all passes"."""

    passes: str = ""
    target: str | None = None
    verify_each: bool = True
    verify_diagnostics: bool = False
    split_input_file: bool = False
    allow_unregistered_dialect: bool = False
    remarks: bool = False
    print_before: frozenset[str] | None = frozenset()
    print_after: frozenset[str] | None = frozenset()
    generic: bool = False
    debuginfo: bool = False
    time_passes: bool = False


def run(options: Options, file: str, text: str) -> tuple[int, str]:
    """Process the IR in `text`; returns the exit code and what to print on standard output.

    Raises `UsageError`. Diagnostics, remarks, dumps and timings go to standard error.
    """
    passes = build_pipeline(options.passes, options.target)
    for names in (options.print_before, options.print_after):
        _check_names(names or (), {p.name for p in passes}, "the pipeline runs no pass")
    chunks = list(split(file, text)) if options.split_input_file else [Chunk(file, text, 1)]
    check = options.verify_diagnostics and bool(expectations(text.split("\n")))
    session = _Session(options, passes, text.split("\n"))
    outputs: list[str] = []
    for chunk in chunks:
        outputs.append(session.process(chunk))
        if check:
            session.compare(chunk, expectations(chunk.lines, chunk.first_line))
    separator = "// -----\n"
    if not options.verify_diagnostics or check:
        return session.report(), separator.join(outputs)
    # Without annotations to compare with, the diagnostics themselves are the output.
    found = "\n".join(d.render(session.lines) for d in session.diagnostics)
    code = EXIT_BUG if session.has_bug else 0
    return code, separator.join(outputs) + (f"{found}\n" if found else "")


class _Stop(Exception):
    """A chunk cannot be processed further; its diagnostics have been recorded."""


@dataclass
class _Session:
    """The diagnostics and timings of one run."""

    options: Options
    passes: tuple[ModulePass, ...]
    lines: list[str]
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    has_bug: bool = False

    def process(self, chunk: Chunk) -> str:
        """The text of the chunk's module after all passes; empty if there were errors."""
        ctx = _context(self.options.allow_unregistered_dialect)
        try:
            module = self._parse(ctx, chunk)
            self._verify(module, after=None)
            with self._remarks():
                for index, pass_ in enumerate(self.passes):
                    is_last = index == len(self.passes) - 1
                    self._apply(ctx, module, pass_, self.options.verify_each or is_last)
        except _Stop:
            return ""
        return self._text(module)

    def compare(self, chunk: Chunk, expected: list[Expectation]) -> None:
        """Replace the diagnostics so far by how they differ from what the chunk expects."""
        last_line = chunk.first_line + len(chunk.lines) - 1
        here = [d for d in self.diagnostics if _is_within(d, chunk.first_line, last_line)]
        others = [d for d in self.diagnostics if d not in here]
        self.diagnostics = others + list(mismatches(here, expected, chunk.file))

    def report(self) -> int:
        """Print diagnostics and timings; returns the exit code."""
        for diagnostic in self.diagnostics:
            print(diagnostic.render(self.lines), file=sys.stderr)
        if self.options.time_passes:
            _print_timings(self.seconds, sys.stderr)
        if self.has_bug:
            return EXIT_BUG
        return EXIT_BAD_IR if any(d.severity == "error" for d in self.diagnostics) else 0

    def _parse(self, ctx: Context, chunk: Chunk) -> ModuleOp:
        try:
            with self._timed("(parse)"):
                return parse(ctx, chunk)
        except ParseError as error:
            self.diagnostics.append(parse_error(error))
        except RecursionError:
            self._error("the IR is nested too deeply", None)
        except Exception as error:
            self._bug("while parsing", error)
        raise _Stop

    def _verify(self, module: ModuleOp, after: ModulePass | None) -> None:
        suffix = f" (after {after.name})" if after else ""
        with self._timed("(verify)"):
            found = list(_verification_errors(module))
        for position, message in found:
            self._error(message + suffix, position)
        if found:
            raise _Stop

    def _apply(self, ctx: Context, module: ModuleOp, pass_: ModulePass, verify: bool) -> None:
        if _selected(self.options.print_before, pass_):
            self._dump(f"IR Dump Before {pass_.name}", module)
        try:
            with self._timed(pass_.name):
                pass_.apply(ctx, module)
        except (DiagnosticException, AitError) as error:
            self._error(f"{error} (in {pass_.name})", _position_in_traceback(error))
            raise _Stop from error
        except Exception as error:
            self._bug(f"in pass {pass_.name}", error)
            raise _Stop from error
        if _selected(self.options.print_after, pass_):
            self._dump(f"IR Dump After {pass_.name}", module)
        if verify:
            self._verify(module, pass_)

    @contextmanager
    def _remarks(self) -> Generator[None]:
        if not self.options.remarks:
            yield
            return
        with collect_remarks() as remarks:
            try:
                yield
            finally:
                self.diagnostics += [_remark(remark) for remark in remarks]

    @contextmanager
    def _timed(self, name: str) -> Generator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def _error(self, message: str, position: Position | None) -> None:
        self.diagnostics.append(Diagnostic("error", message, position))

    def _bug(self, where: str, error: Exception) -> None:
        self.has_bug = True
        if os.environ.get("AIT_DEBUG"):
            traceback.print_exception(error)
        hint = "this is a bug in ait; AIT_DEBUG=1 shows where"
        self._error(f"{type(error).__name__} {where}: {error} ({hint})", None)

    def _dump(self, title: str, module: ModuleOp) -> None:
        print(f"// -----// {title} //----- //\n{self._text(module)}", file=sys.stderr)

    def _text(self, module: ModuleOp) -> str:
        stream = io.StringIO()
        Printer(
            stream,
            print_generic_format=self.options.generic,
            print_debuginfo=self.options.debuginfo,
        ).print_op(module)
        return stream.getvalue() + "\n"


def build_pipeline(spec: str, target: str | None = None) -> tuple[ModulePass, ...]:
    """The passes that `spec` names, pipelines expanded and `target` given to those that take one.

    Raises `UsageError` for unknown names, with the nearest known ones, and for bad options.
    """
    available = get_xdsl_passes() | universe.pass_factories()
    pipelines = universe.pipelines()
    specs = list(_expand(spec, pipelines))
    _check_names(
        (s.name for s in specs), set(available) | set(pipelines), "there is no pass or pipeline"
    )
    return tuple(_instantiate(available[s.name](), s, target) for s in specs)


def list_passes(stream: IO[str]) -> None:
    """Print our passes with their options, and the pipelines."""
    print("passes:", file=stream)
    for name, factory in sorted(universe.pass_factories().items()):
        pass_class = factory()
        summary = (vars(pass_class).get("__doc__") or "").strip().split("\n")[0]
        print(f"  {name:24} {summary}", file=stream)
        for option in get_pass_option_infos(pass_class):
            default = "" if option.default_value is None else f" = {option.default_value}"
            print(f"  {'':26} {option.name}: {option.expected_type}{default}", file=stream)
    print("pipelines:", file=stream)
    for name, members in universe.pipelines().items():
        print(f"  {name:24} {', '.join(members)}", file=stream)
    print("and every pass of xDSL (xdsl-opt --help)", file=stream)


def _context(allow_unregistered: bool) -> Context:
    ctx = Context(allow_unregistered=allow_unregistered)
    for name, factory in (get_all_dialects() | universe.dialect_factories()).items():
        ctx.register_dialect(name, factory)
    return ctx


def _expand(
    spec: str, pipelines: Mapping[str, tuple[str, ...]], inside: tuple[str, ...] = ()
) -> Iterator[ArgSpec]:
    for item in _parse_specs(spec):
        if item.name not in pipelines:
            yield item
            continue
        if item.parameters:
            raise UsageError(f"pipeline '{item.name}' takes no options")
        if item.name in inside:
            raise UsageError(f"pipeline '{item.name}' contains itself")
        for member in pipelines[item.name]:
            yield from _expand(member, pipelines, (*inside, item.name))


def _parse_specs(spec: str) -> list[ArgSpec]:
    try:
        return list(parse_pipeline(spec))
    except ArgSpecParseError as error:
        raise UsageError(str(error).strip()) from error
    except ParseError as error:
        raise UsageError(f"cannot read the pipeline '{spec}': {error.msg}") from error


def _instantiate(pass_class: type[ModulePass], spec: ArgSpec, target: str | None) -> ModulePass:
    options = {f.name for f in dataclasses.fields(pass_class) if f.init and f.name != "name"}
    given = dict(spec.normalize_parameter_names().parameters)
    _check_names(given, options, f"pass '{spec.name}' has no option")
    if target is not None and "target" in options:
        given.setdefault("target", (target,))
    try:
        return pass_class.from_spec(ArgSpec(spec.name, given))
    except (ValueError, AitError) as error:
        raise UsageError(f"pass '{spec.name}': {error}") from error


def _check_names(names: Iterable[str], known: set[str], complaint: str) -> None:
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"{complaint} '{name}'{hint}")


def _verification_errors(module: ModuleOp) -> Iterator[tuple[Position | None, str]]:
    """Every operation that does not verify, or, if all do, every use before a definition."""
    try:
        module.verify()
    except (DiagnosticException, AitError, ValueError) as error:
        # The whole-module check stops at the first error and does not say which operation it is.
        found = list(_operation_errors(module))
        yield from found or [(None, str(error))]
        return
    for op, message in dominance_errors(module):
        yield position_of(op), message


def _operation_errors(module: ModuleOp) -> Iterator[tuple[Position | None, str]]:
    for op in module.walk():
        try:
            op.verify(verify_nested_ops=False)
        except (DiagnosticException, AitError, ValueError) as error:
            yield position_of(op), f"'{op.name}' op {error}"


def _position_in_traceback(error: Exception) -> Position | None:
    """Where the operation that raised `error` through `emit_error` was written."""
    position: Position | None = None
    trace = error.__traceback__
    while trace is not None:
        op = trace.tb_frame.f_locals.get("self")
        if trace.tb_frame.f_code.co_name == "emit_error" and isinstance(op, Operation):
            position = position_of(op)
        trace = trace.tb_next
    return position


def _remark(remark: Remark) -> Diagnostic:
    kind = "" if remark.kind == "applied" else f", {remark.kind}"
    message = f"{remark.location}: {remark.message} [{remark.pass_name}{kind}]"
    return Diagnostic("remark", message, position_of(remark.op) if remark.op else None)


def _is_within(diagnostic: Diagnostic, first: int, last: int) -> bool:
    position = diagnostic.position
    return position is None or first <= position.line <= last


def _selected(names: frozenset[str] | None, pass_: ModulePass) -> bool:
    return names is None or pass_.name in names


def _print_timings(seconds: dict[str, float], stream: IO[str]) -> None:
    total = sum(seconds.values())
    print(f"{'ms':>10} {'share':>6}  pass", file=stream)
    for name, value in seconds.items():
        share = value / total if total else 0.0
        print(f"{value * 1e3:10.2f} {share:6.1%}  {name}", file=stream)
    print(f"{total * 1e3:10.2f} {1:6.1%}  (total)", file=stream)
