"""Every family of kernels compiles for every architecture that has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ait.codegen.cuda.configs import Products
from ait.codegen.cuda.families import families
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.kernel_view import KernelView
from ait.codegen.target import Target
from ait.dialects.kernel import KernelOp
from tests.compile.cuda.kernels import Case
from tests.compile.cuda.ptx import entries
from tests.compile.cuda.test_nvcc import assert_clean, assert_waits, compile_text
from tests.gpu.build_kernels import all_cases

_FAMILIES = [
    pytest.param(architecture, kind, family, id=f"{architecture}-{kind.name}-{family.template}")
    for architecture in ("sm_80", "sm_90a")
    for kind, found in families(architecture, Products.TF32X3).items()
    for family in found
]


def taken(kind: type[KernelOp], family: KernelFamily, target: Target) -> Iterator[KernelOp]:
    """The ops of test kernels that a target offers a family for, with the best of its configs."""
    for case in all_cases():
        op = _op(replace(case, config="", target=target.name))
        if isinstance(op, kind) and target.refusal(op) is None:
            configs = (c for c in target.candidates(op) if isinstance(c, family.config_type))
            if config := next(configs, None):
                op.properties["config"] = config
                yield op


def _op(case: Case) -> KernelOp:
    (op,) = (op for op in case.program().module.walk() if isinstance(op, KernelOp))
    return op


@pytest.mark.compile
@pytest.mark.parametrize(("architecture", "kind", "family"), _FAMILIES)
def test_every_family_compiles(
    architecture: str, kind: type[KernelOp], family: KernelFamily, tmp_path: Path
) -> None:
    """Device code alone: ptxas finds no spills, no stack, and no serialised wgmma. On Hopper, where
    each kernel starts beside the one before, it waits before it reads or writes anything."""
    target = make_target(f"cuda:{architecture}")
    view = KernelView(next(taken(kind, family, target)))
    name = f"kernel{target.kernel_suffix(view.config)}"
    text = target.render(view, "kernel")
    compiled = compile_text(target, name, text, tmp_path, only_device=True)
    assert_clean(compiled)
    if architecture == "sm_90a":
        has_weights = any(operand.is_constant for operand in view.ins)
        for entry in entries(compiled.ptx):
            assert_waits(entry, has_weights)
