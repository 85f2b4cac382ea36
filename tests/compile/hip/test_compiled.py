"""Generated kernels compile with the real toolchain, and what comes out is what it should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ait.codegen.hip.dialect import LDS_BYTES
from ait.codegen.hip.target import make_target
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from tests.compile.hip.device_code import (
    ARCHITECTURES,
    MACHINES,
    compile_device,
)
from tests.compile.hip.kernels import batched, linear, mlp, parse_op

pytestmark = pytest.mark.compile


def pointwise() -> KernelOp:
    x = "memref<37x64xf16>"
    return parse_op(
        f"%x: {x}, %o: {x}",
        f"kernel.pointwise ins(%x : {x}) outs(%o : {x}) "
        "body { ^bb0(%v : f32): %r = math.tanh %v : f32 kernel.yield %r : f32 }",
    )


def strided() -> KernelOp:
    return linear(
        40, 48, 64, out=("<offset 48, sizes [40, 48], strides [144, 1]>", "memref<40x144xf16>")
    )


def source(op: KernelOp, architecture: str, config: str) -> str:
    target = make_target(f"hip:{architecture}")
    op.properties["config"] = next(c for c in target.candidates(op) if c.name == config)
    return target.render(KernelView(op), "the_kernel")


CK_GEMMS: dict[str, tuple[Callable[[], KernelOp], tuple[str, ...]]] = {
    "small": (lambda: mlp(128, 768, 768), ARCHITECTURES),
    "large": (lambda: mlp(4096, 4096, 4096), ("gfx90a",)),
    "batched": (lambda: batched(3, 200, 136, 104, "bf16"), ARCHITECTURES),
    "strided": (strided, ("gfx942",)),
}


@pytest.mark.parametrize(
    ("name", "architecture"),
    [(name, architecture) for name, (_, which) in CK_GEMMS.items() for architecture in which],
)
def test_ck_gemms(name: str, architecture: str, tmp_path: Path) -> None:
    make, _ = CK_GEMMS[name]
    code = compile_device(source(make(), architecture, "ck.gemm"), architecture, tmp_path)
    assert code.machine == MACHINES[architecture]
    assert code.count("v_mfma_f32") > 0
    assert max(code.metadata("vgpr_spill_count")) == 0
    assert max(code.metadata("private_segment_fixed_size")) == 0
    assert 0 < max(code.metadata("group_segment_fixed_size")) <= LDS_BYTES


OWN_KERNELS: dict[str, tuple[Callable[[], KernelOp], str]] = {
    "pointwise": (pointwise, "plain.elementwise"),
    "gemm": (lambda: mlp(33, 51, 37), "plain.gemm"),
    "gemv": (lambda: mlp(4, 768, 512), "plain.gemv"),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", OWN_KERNELS)
def test_own_kernels(name: str, architecture: str, tmp_path: Path) -> None:
    make, config = OWN_KERNELS[name]
    code = compile_device(source(make(), architecture, config), architecture, tmp_path)
    assert code.machine == MACHINES[architecture]
    assert max(code.metadata("vgpr_spill_count")) == 0
    assert max(code.metadata("private_segment_fixed_size")) == 0
