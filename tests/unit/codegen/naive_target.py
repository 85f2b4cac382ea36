"""A target whose kernels are loops over everything: what code generation is tested with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.ir import Attribute

import ait.codegen.cpu
from ait.codegen.build import Compiler, Toolchain, compiler_identity
from ait.codegen.group_view import LaunchView
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import CopyOp, GemmOp, KernelOp, PointwiseOp
from ait.errors import CompileError
from ait.passes.target import (
    Capabilities,
    DeviceDescription,
    KernelCapability,
    PlainKernels,
)
from ait.runtime.sources import Device

INCLUDE = Path(ait.codegen.cpu.__file__).parent / "include"
UNIT = """\
#include "ait/launch.hpp"
#include "ait/scalar.hpp"
#include "ait/status.hpp"

ait::Status {symbol}([[maybe_unused]] const ait::Launch& launch, void* const* pointers,
    [[maybe_unused]] const int64_t* extents) {{
  {prologue}
  {body}
  return ait::ok();
}}
"""


def loops(view: KernelView, groups: Sequence[str], body: str) -> str:
    axes = [axis for name in groups for axis in view.group(name).axes]
    heads = [f"for (int64_t {a.name} = 0; {a.name} < {a.size}; ++{a.name})" for a in axes]
    return " ".join([*heads, "{", body, "}"])


def stores(outs: Sequence[Operand], values: Sequence[str]) -> str:
    return " ".join(out.store(value) for out, value in zip(outs, values, strict=True))


def copy_body(view: KernelView) -> str:
    return loops(view, ["i"], view.outs[0].store(view.ins[0].load()))


def pointwise_body(view: KernelView) -> str:
    region = view.region("body")
    results = [result.text for result in region.results]
    return loops(view, ["i"], " ".join([*region.statements(), stores(view.outs, results)]))


def gemm_body(view: KernelView) -> str:
    a, b = view.ins[:2]
    region = view.region("epilogue")
    (accumulator,) = region.computed
    results = [result.text for result in region.results]
    inner = loops(view, ["k"], f"sum += ait::convert<float>({a.load()}) * {b.load()};")
    return loops(
        view,
        ["batch", "m", "n"],
        " ".join(
            [
                "float sum = 0.0f;",
                inner,
                f"const float {accumulator.text} = sum;",
                *region.statements(),
                stores(view.outs, results),
            ]
        ),
    )


BODIES = {CopyOp: copy_body, PointwiseOp: pointwise_body, GemmOp: gemm_body}


@dataclass(frozen=True)
class NaiveTarget(PlainKernels):
    """Plain C++ for the host."""

    name: str = "naive"
    device: Device = "cpu"
    port_alignment: int = 1
    timings: Path | None = None

    @property
    def description(self) -> DeviceDescription:
        return DeviceDescription("naive", 1e10, {"f32": 1e10}, 1e10, 1, 1 << 20, 1 << 15, 1e-6)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(dict.fromkeys(BODIES, KernelCapability()))

    def refusal(self, op: KernelOp) -> str | None:
        return None if type(op) in BODIES else f"no {op.name}"

    def candidates(self, op: KernelOp) -> Sequence[Attribute]:
        return ()

    def expected_seconds(self, op: KernelOp) -> float | None:
        return None

    def render(self, view: LaunchView, symbol: str) -> str:
        assert isinstance(view, KernelView), "no kernels share a launch"
        body = BODIES.get(type(view.op))
        if body is None:
            raise CompileError(f"no {view.op.name}")
        prologue = "\n  ".join(view.prologue)
        return UNIT.format(symbol=symbol, prologue=prologue, body=body(view))

    def kernel_suffix(self, config: Attribute | None) -> str:
        return ".kernel.cpp"

    def is_quick(self, config: Attribute) -> bool:
        return True

    def present_device(self, index: int = 0) -> str | None:
        return None

    def present_description(self, index: int = 0) -> DeviceDescription:
        return self.description

    def toolchain(self) -> Toolchain:
        host = Compiler(
            ("g++",),
            compiler_identity(("g++",)),
            ("-O1", "-std=c++17", "-fPIC", "-fvisibility=hidden"),
            (INCLUDE,),
        )
        return Toolchain("naive", {".cpp": host, ".kernel.cpp": host}, ("g++",))


def make_target(name: str) -> NaiveTarget:
    return NaiveTarget(name)
