"""The CPU targets: names, configs, toolchains, and what a machine without the instructions says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from ait.codegen.compile import CompileOptions, compile_program
from ait.codegen.cpu import devices, toolchain
from ait.codegen.cpu.devices import LEVELS, has_features, host_level, host_machine
from ait.codegen.cpu.dialect import Cpu, CpuGemmAttr, GemmPath
from ait.codegen.cpu.target import make_target
from ait.codegen.kernel_view import KernelView
from ait.errors import AitError, CompileError, ToolchainError
from ait.ir.program import Program, parse_module
from ait.passes.target import find_target
from ait.runtime.loader import load

View = Callable[[str, str], KernelView]

V3_FLAGS = ("popcnt", "sse4_2", "avx2", "fma", "bmi1", "bmi2")


def gemm(
    view: View, m: int, n: int, k: int, is_transposed: bool, element: str = "f32"
) -> KernelView:
    """A product a [m, k] with weights [k, n], or stored [n, k]."""
    weights = f"memref<{n}x{k}x{element}>" if is_transposed else f"memref<{k}x{n}x{element}>"
    access = f"<offset 0, sizes [{k}, {n}], strides [1, {k}]>" if is_transposed else ""
    return view(
        f"%a: memref<{m}x{k}xf32>, %b: {weights}, %o: memref<{m}x{n}xf32>",
        f"""kernel.gemm ins(%a : memref<{m}x{k}xf32>, %b {access} : {weights})
            outs(%o : memref<{m}x{n}xf32>) {{groups = array<i64: 0, 1, 1, 1>}}
            epilogue {{ ^bb0(%acc : f32): kernel.yield %acc : f32 }}""",
    )


@pytest.mark.parametrize("name", ["cpu", *(f"cpu:{level}" for level in LEVELS)])
def test_names(name: str) -> None:
    target = find_target(name)
    assert target.name == target.description.name == name


def test_unknown_level_lists_the_known_ones() -> None:
    with pytest.raises(CompileError, match=r"'cpu:x86-64-v9'.*x86-64-v3, x86-64-v4, aarch64"):
        make_target("cpu:x86-64-v9")


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ((), "x86-64"),
        (V3_FLAGS[:2], "x86-64-v2"),
        (V3_FLAGS[:4], "x86-64-v2"),
        (V3_FLAGS, "x86-64-v3"),
    ],
)
def test_newest_level_of_a_machine(flags: tuple[str, ...], level: str) -> None:
    fitting = [v.name for v in LEVELS.values() if v.machine == "x86_64" and has_features(v, flags)]
    assert fitting[-1] == level


@pytest.mark.parametrize(
    ("shape", "is_transposed", "element", "path"),
    [
        ((1, 64, 64), False, "f32", GemmPath.STREAM),
        ((4, 64, 64), False, "f32", GemmPath.BLOCKED),
        ((4, 64, 64), False, "f16", GemmPath.STREAM),
        ((1, 64, 256), True, "f32", GemmPath.DOT),
        ((40, 64, 256), True, "f32", GemmPath.DOT),
        ((40, 64, 256), True, "bf16", GemmPath.BLOCKED),
        ((512, 64, 256), True, "f32", GemmPath.BLOCKED),
        ((512, 2, 256), True, "f32", GemmPath.DOT),
    ],
)
def test_best_path(
    view: View, shape: tuple[int, int, int], is_transposed: bool, element: str, path: GemmPath
) -> None:
    kernel = gemm(view, *shape, is_transposed, element)
    candidates = make_target("cpu").candidates(kernel.op)
    assert all(isinstance(config, CpuGemmAttr) for config in candidates)
    assert candidates[0] == CpuGemmAttr.of(path, (96, 256, 256))
    assert len(set(candidates)) == len(candidates) > 1


def test_config_is_what_the_kernel_runs(view: View) -> None:
    kernel = gemm(view, 64, 64, 64, False)
    kernel.op.config = CpuGemmAttr.of(GemmPath.BLOCKED, (48, 128, 256))
    text = make_target("cpu").render(KernelView(kernel.op), "f")
    assert (
        "ait::gemm<ait::GemmPath::blocked>(launch, shape, left, right, epilogue, {48, 128, 256});"
        in text
    )
    assert (
        "const auto right = ait::matrix(b, ait::axis(), ait::axis(64), ait::unit_axis());" in text
    )


def test_round_trip_of_a_config() -> None:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Cpu)
    text = "#cpu.gemm<path = dot, tile = [96, 256, 128]>"
    config = Parser(context, text).parse_attribute()
    assert config == CpuGemmAttr.of(GemmPath.DOT, (96, 256, 128))
    assert str(config) == text
    for wrong in ("path = best, tile = [1, 1, 1]", "path = dot, tile = [1, 1]"):
        with pytest.raises((ParseError, VerifyException)):
            Parser(context, f"#cpu.gemm<{wrong}>").parse_attribute()


def test_integers_are_not_multiplied_as_floats(view: View) -> None:
    kernel = gemm(view, 4, 4, 4, False, "i32")
    assert make_target("cpu").refusal(kernel.op) == "gemm takes no i32"


# Toolchains -----------------------------------------------------------------------------------


def test_compiler_of_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler --flag")
    with pytest.raises(ToolchainError, match="CXX names was not found: no-such-compiler"):
        toolchain.find(host_level())


def test_no_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"install g\+\+ 10 or newer"):
        toolchain.find(host_level())


def test_other_machine_needs_a_cross_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "host_machine", lambda: "riscv64")
    with pytest.raises(ToolchainError, match="g\\+\\+-aarch64-linux-gnu"):
        toolchain.find(LEVELS["aarch64"])


def test_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "host_machine", lambda: "riscv64")
    host_level.cache_clear()
    with pytest.raises(CompileError, match="riscv64"):
        host_level()
    host_level.cache_clear()


# Hosts ----------------------------------------------------------------------------------------

SMALL = """
func.func @main(%x: tensor<5xf32> {ait.name = "x"}) -> (tensor<5xf32> {ait.name = "y"}) {
  %e = kernel.empty : tensor<5xf32>
  %y = kernel.pointwise ins(%x : tensor<5xf32>) outs(%e : tensor<5xf32>) body {
  ^bb0(%v: f32):
    %r = arith.addf %v, %v : f32
    kernel.yield %r : f32
  }
  func.return %y : tensor<5xf32>
}
"""
PLACE = CompileOptions(pipeline=("place",))


def test_runs_on_the_least_machine(tmp_path: Path) -> None:
    if host_machine() != "x86_64":
        pytest.skip("for x86-64 machines")
    output = tmp_path / "small.so"
    compile_program(Program(parse_module(SMALL)), "cpu:x86-64", output, PLACE)
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(load(output)(x), 2 * x)


def test_machine_without_the_instructions_is_told(tmp_path: Path) -> None:
    if host_machine() != "x86_64" or host_level().name == "x86-64-v4":
        pytest.skip("for x86-64 machines without AVX-512")
    output = tmp_path / "small.so"
    compile_program(Program(parse_module(SMALL)), "cpu:x86-64-v4", output, PLACE)
    with pytest.raises(AitError, match=r"processor lacks avx512f.*--target cpu:x86-64"):
        load(output)
