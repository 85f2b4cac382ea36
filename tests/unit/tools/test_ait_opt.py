"""`ait-opt`: exit codes, messages and the checks that it makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import PassFailedException

from ait.tools import ait_opt, universe
from ait.tools.diagnostics import expectations

GOOD = """\
func.func @f(%x: f32) -> f32 {
  %y = arith.addf %x, %x : f32
  func.return %y : f32
}
"""
BAD = """\
func.func @f(%x: f32) -> f32 {
  func.return %x : f64
}
"""


class Result:
    """What one run of the tool gave."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def opt(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs ait-opt on a text, in this process."""

    def run(text: str, *arguments: str) -> Result:
        file = tmp_path / "in.mlir"
        file.write_text(text)
        try:
            code = ait_opt.main([str(file), *arguments])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return run


def test_good_ir_is_printed(opt) -> None:
    result = opt(GOOD)
    assert (result.code, result.err) == (0, "")
    assert "arith.addf" in result.out


@pytest.mark.parametrize(
    "text",
    [
        BAD,
        "func.func @f(",
        "nonsense",
        "",
        "%0 = arith.constant 1 : i99999999999",
        "func.func @f() { func.return %nowhere : f32 }",
        "#alias = dense<[1, 2]> : tensor<3xf32>\n" + GOOD,
        "(" * 5000,
        "func.func @f() {\n" * 3000,
        "\x00",
    ],
    ids=range(10),
)
def test_malformed_ir_is_located_and_never_a_traceback(opt, text: str) -> None:
    result = opt(text)
    assert result.code == 1
    assert result.out == ""
    assert "error: " in result.err


def test_errors_name_file_line_and_column(opt) -> None:
    result = opt(BAD)
    assert "in.mlir:2:15: error: operand is used with type f64" in result.err
    assert "  func.return %x : f64\n              ^" in result.err


def test_every_failing_operation_is_reported(opt) -> None:
    bad = 'func.func @{}() -> f32 {{\n  "func.return"() : () -> ()\n}}\n'
    result = opt(bad.format("f") + bad.format("g"))
    assert result.code == 1
    assert "in.mlir:2:3: error: 'func.return' op" in result.err
    assert "in.mlir:5:3: error: 'func.return' op" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "canonicalise"], "did you mean canonicalize"),
        (["-p", "cse{x=1}"], "pass 'cse' has no option 'x'"),
        (["-p", "cse{"], "Expected argument name here"),
        (["-p", "cse", "--print-ir-after=dce"], "the pipeline runs no pass 'dce'"),
        (["--no-such-flag"], "unrecognized arguments"),
        (["-o", "/no/such/folder/out.mlir"], "cannot write /no/such/folder/out.mlir"),
    ],
)
def test_wrong_usage_is_exit_code_2(opt, arguments: list[str], message: str) -> None:
    result = opt(GOOD, *arguments)
    assert result.code == 2
    assert message in result.err


def test_unreadable_input_is_exit_code_2(tmp_path: Path, capsys) -> None:
    assert ait_opt.main([str(tmp_path / "absent.mlir")]) == 2
    (tmp_path / "binary.mlir").write_bytes(b"\xff\xfe")
    assert ait_opt.main([str(tmp_path / "binary.mlir")]) == 2
    assert "is not a text file" in capsys.readouterr().err


class _Break(ModulePass):
    """Moves the first operation of the first function to its end."""

    name = "test-break"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = next(iter(op.body.block.ops)).regions[0].block
        first = block.first_op
        assert first is not None and block.last_op is not None
        first.detach()
        block.insert_op_before(first, block.last_op)


class _Refuse(ModulePass):
    name = "test-refuse"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        first = op.body.block.first_op
        assert first is not None
        first.emit_error("not today", PassFailedException("not today"))


class _Crash(ModulePass):
    name = "test-crash"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        raise KeyError("lost")


@pytest.fixture
def test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = universe.pass_factories()
    added = {p.name: (lambda p=p: p) for p in (_Break, _Refuse, _Crash)}
    monkeypatch.setattr(universe, "pass_factories", lambda: ours | added)
    pipelines = {"tidy": ("canonicalize", "twice"), "twice": ("cse", "cse"), "loop": ("loop",)}
    monkeypatch.setattr(universe, "pipelines", lambda: pipelines)


TWO = """\
func.func @f(%x: f32) -> f32 {
  %y = arith.addf %x, %x : f32
  %z = arith.mulf %y, %y : f32
  func.return %z : f32
}
"""


@pytest.mark.usefixtures("test_passes")
def test_verify_each_finds_the_pass_that_breaks_dominance(opt) -> None:
    result = opt(TWO, "-p", "test-break,cse")
    assert result.code == 1
    assert "operand #0 (%y) does not dominate this use (after test-break)" in result.err
    assert "in.mlir:3:3: error:" in result.err


@pytest.mark.usefixtures("test_passes")
def test_without_verify_each_the_last_pass_is_still_verified(opt) -> None:
    result = opt(TWO, "-p", "test-break", "--no-verify-each")
    assert result.code == 1
    assert "(after test-break)" in result.err
    result = opt(TWO, "-p", "test-break,test-break", "--no-verify-each")
    assert result.code == 0


@pytest.mark.usefixtures("test_passes")
def test_a_pass_that_refuses_is_an_error_at_its_operation(opt) -> None:
    result = opt(GOOD, "-p", "test-refuse")
    assert result.code == 1
    assert "in.mlir:1:1: error: not today (in test-refuse)" in result.err


@pytest.mark.usefixtures("test_passes")
def test_a_pass_that_crashes_is_a_bug(opt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIT_DEBUG", raising=False)
    result = opt(GOOD, "-p", "test-crash")
    assert result.code == 70
    assert "KeyError in pass test-crash" in result.err and "AIT_DEBUG=1" in result.err


@pytest.mark.usefixtures("test_passes")
def test_pipelines_expand_to_their_passes(opt) -> None:
    result = opt(GOOD, "-p", "tidy", "--print-ir-after-all")
    dumps = [line for line in result.err.split("\n") if line.startswith("// -----//")]
    names = ["canonicalize", "cse", "cse"]
    assert dumps == [f"// -----// IR Dump After {name} //----- //" for name in names]
    assert "pipeline 'tidy' takes no options" in opt(GOOD, "-p", "tidy{x=1}").err
    assert "pipeline 'loop' contains itself" in opt(GOOD, "-p", "loop").err
    assert "did you mean tidy" in opt(GOOD, "-p", "tidyy").err


RETURNS_F64 = "  // expected-error@+1 {{{}}}\n  func.return %x : f64\n"


@pytest.mark.parametrize(
    ("comment", "problem"),
    [
        ("// expected-error@+1 {{used with type f64}}", None),
        ("// expected-error@below {{used with type f64}}", None),
        ("// expected-error-re@+1 {{type {{f[0-9]+}}, but}}", None),
        ("// expected-error@+1 {{used with type f16}}", "was not produced"),
        ("// expected-error-re@+1 {{type {{i[0-9]+}}, but}}", "was not produced"),
        ("// expected-error {{used with type f64}}", "unexpected error: operand is used"),
        ("// expected-error@+2 {{used with type f64}}", "was not produced"),
        ("// expected-warning@+1 {{used with type f64}}", "unexpected error"),
        ("// expected-error@unknown {{used with type f64}}", "was not produced"),
    ],
)
def test_expected_errors_are_compared(opt, comment: str, problem: str | None) -> None:
    text = f"func.func @f(%x: f32) -> f32 {{\n  {comment}\n  func.return %x : f64\n}}\n"
    result = opt(text, "--verify-diagnostics")
    assert result.code == (0 if problem is None else 1)
    assert problem is None or problem in result.err


def test_an_error_that_does_not_come_is_a_failure(opt) -> None:
    text = GOOD.replace("{\n", "{\n  // expected-error@+1 {{anything}}\n", 1)
    result = opt(text, "--verify-diagnostics")
    assert result.code == 1
    assert 'in.mlir:2:1: error: expected error "anything" was not produced' in result.err


def test_an_expectation_belongs_to_its_own_piece(opt) -> None:
    wanted = "// expected-error@unknown {{used with type f64}}\n"
    result = opt(f"{wanted}{GOOD}// -----\n{BAD}", "--verify-diagnostics", "--split-input-file")
    assert result.code == 1
    assert "unexpected error" in result.err and "was not produced" in result.err


def test_without_expectations_diagnostics_are_the_output(opt) -> None:
    result = opt(BAD, "--verify-diagnostics")
    assert result.code == 0
    assert "error: operand is used with type f64" in result.out


def test_pieces_are_independent_and_keep_their_lines(opt) -> None:
    result = opt(f"{GOOD}// -----\n{BAD}// -----\n{GOOD}", "--split-input-file")
    assert result.code == 1
    assert "in.mlir:7:15: error:" in result.err
    assert result.out.count("func.func @f") == 2


def test_stacked_expectations_mean_the_next_plain_line() -> None:
    lines = ["// expected-error@below {{a}}", "// expected-note@below {{b}}", "op"]
    assert [e.line for e in expectations(lines)] == [3, 3]
    lines = ["op", "// expected-error@above {{a}}", "// expected-note@above {{b}}"]
    assert [e.line for e in expectations(lines, first_line=10)] == [10, 10]


def test_help_loads_nothing_that_takes_long() -> None:
    """It takes 0.05 s: a module-level import of xDSL would add 0.2 s."""
    code = (
        "import sys\n"
        "from ait.tools.ait_opt import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = [m for m in ('xdsl', 'numpy', 'rich') if m in sys.modules]\n"
        "print(*heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "usage" in done.stdout and done.stderr.strip() == ""


def test_output_to_a_closed_pipe_is_silent() -> None:
    text = GOOD + "".join(GOOD.replace("@f", f"@f{i}") for i in range(300))
    command = f"{sys.executable} -m ait.tools.ait_opt - | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], input=text, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("builtin.module {\n", "", 0)


def test_list_passes(capsys) -> None:
    assert ait_opt.main(["--list-passes"]) == 0
    listed = capsys.readouterr().out
    for name in universe.pass_factories():
        assert f"  {name}" in listed
