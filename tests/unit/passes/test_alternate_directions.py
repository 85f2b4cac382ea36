"""Kernels go through large tensors from the end that was written last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ait import nn
from ait.codegen.emit import emit_model
from ait.codegen.plan import make_plan
from ait.codegen.target import code_target
from ait.codegen.weights import store_weights
from ait.dialects.functions import functions_of
from ait.dialects.kernel import GemmRowwiseOp, KernelOp
from ait.ir.program import Program, parse_module
from ait.ir.trace import TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.target import AnyTarget

F = nn.functional
WIDTH = 64


class Turning(AnyTarget):
    """Has a cache of 1 MiB, and kernels of all kinds but `fixed` that can go backwards."""

    def __init__(self, *fixed: type[KernelOp]):
        self.description = replace(AnyTarget.description, cache_bytes=1 << 20)
        self.capabilities = replace(AnyTarget.capabilities, groups={})
        self._fixed = fixed

    def goes_backwards(self, op: KernelOp) -> bool:
        return not isinstance(op, self._fixed)


class Chain(nn.Module):
    """Products and norms in turn, which do not fuse; the last one adds what `kept` tells."""

    def __init__(self, layers: int, residual: bool):
        self.linears = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(layers)])
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.residual = residual

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        for linear in self.linears:
            y = linear(self.norm(x))
            x = y + x if self.residual else y
        return x


def let_find(target: AnyTarget, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    def found(_: str) -> AnyTarget:
        return target

    for module in modules:
        monkeypatch.setattr(f"ait.passes.{module}.find_target", found)


def directions(
    target: AnyTarget,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    layers: int = 3,
    residual: bool = False,
) -> list[tuple[str, bool]]:
    let_find(target, monkeypatch, "alternate_directions", "fuse_vertical", "legalize")
    program = traced(rows, layers, residual)
    run_pipeline(program.module, target="any", verify=True)
    kernels = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    return [(op.name, op.is_backwards) for op in kernels]


def traced(rows: int, layers: int, residual: bool) -> Program:
    model = Chain(layers, residual).to("f16")
    return trace(model, {"x": TensorSpec((rows, WIDTH), "f16")}, require_weights=False)


LARGE = 1 << 14
"""Rows of a tensor that is larger than the cache."""


@pytest.mark.parametrize("residual", [False, True])
def test_each_goes_the_other_way_than_the_one_before(
    residual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written before that and is read as well."""
    found = directions(Turning(), monkeypatch, LARGE, residual=residual)
    assert len(found) > 3
    assert [backwards for _, backwards in found] == [i % 2 == 1 for i in range(len(found))]


def test_small_tensors_are_in_the_cache_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    found = directions(Turning(), monkeypatch, 64)
    assert not any(backwards for _, backwards in found)


def test_kinds_that_cannot_go_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what reads their results goes backwards."""
    found = directions(Turning(GemmRowwiseOp), monkeypatch, LARGE)
    kinds = [name for name, _ in found]
    assert kinds == ["kernel.rowwise", "kernel.gemm_rowwise", "kernel.gemm_rowwise", "kernel.gemm"]
    assert [backwards for _, backwards in found] == [False, False, False, True]


def test_no_target_that_does_not_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = directions(AnyTarget(), monkeypatch, LARGE)
    assert not any(backwards for _, backwards in found)


def call(reads: str, writes: str, access: str = "", written: str = "") -> str:
    return f"""kernel.copy ins({reads} {access} : memref<32768x64xf16>)
      outs({writes} {written} : memref<32768x64xf16>)"""


_HALF = "<offset {}, sizes [1048576], strides [1]>"
_FIRST, _SECOND = _HALF.format(0), _HALF.format(1048576)

PROGRAMS: dict[str, tuple[list[str], str]] = {
    # By kernel, whether it goes backwards
    "only what was written": ([call("%x", "%b"), call("%x", "%c")], "00"),
    "what was written last": ([call("%x", "%b"), call("%b", "%c"), call("%x", "%b"),
                               call("%c", "%d")], "0100"),
    "the last part": ([call("%x", "%b", _FIRST, _FIRST), call("%b", "%c", _FIRST, _FIRST),
                       call("%c", "%b", _FIRST, _SECOND), call("%b", "%d")], "0101"),
    "in place": ([call("%x", "%b"), call("%b", "%b"), call("%b", "%c")], "010"),
    "a group goes forwards": ([call("%x", "%b"),
                               f"kernel.group {{ {call('%b', '%c')} {call('%b', '%d')} }}",
                               call("%d", "%b")], "0001"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_buffers_are_known_by_who_wrote_them_last(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, expected = PROGRAMS[name]
    buffers = "".join(f"%{b} = kernel.buffer : memref<32768x64xf16>\n" for b in "bcd")
    body = "\n".join(calls)
    module = parse_module(
        f"""func.func @main(%x: memref<32768x64xf16>) {{ {buffers} {body} func.return }}
        func.func @prepare(%x: memref<32768x64xf16>) {{ {buffers} {body} func.return }}"""
    )
    let_find(Turning(), monkeypatch, "alternate_directions")
    run_pipeline(module, ["alternate-directions"], verify=True)
    main, prepare = (
        "".join(str(int(op.is_backwards)) for op in function.walk() if isinstance(op, KernelOp))
        for function in functions_of(module)
    )
    assert main == expected
    assert "1" not in prepare


def test_models_call_their_kernels_so() -> None:
    """What a kernel is, and its name, do not depend on its direction."""
    program = traced(1 << 18, 4, False)
    run_pipeline(program.module, target="cuda:sm_90a", verify=True)
    ops = [op for op in program.main.walk() if isinstance(op, KernelOp)]
    plan, target = make_plan(program.module), code_target("cuda:sm_90a")
    assert [call.backwards for call in plan.main.calls] == [op.is_backwards for op in ops]
    values = {weight.name: np.zeros(weight.shape, np.float16) for weight in plan.weights}
    text = emit_model(plan, target, "chain", store_weights(plan.weights, values, 64)).text
    count = sum(op.is_backwards for op in ops)
    assert 0 < text.count(", true));") == count < len(ops)
    symbols = {call.view.key: call.backwards for call in plan.main.calls}
    assert len(symbols) < len(ops)
