"""Every family of kernels compiles for every architecture that has it, and has edge cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import prod
from pathlib import Path

import pytest

from ait.codegen.cuda.configs import Products
from ait.codegen.cuda.families import families
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.kernel_view import KernelView
from ait.codegen.target import Target
from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import dims_of, evaluate
from tests.compile.cuda.kernels import Case
from tests.compile.cuda.test_nvcc import assert_clean, compile_text
from tests.gpu.build_kernels import all_cases

_FAMILIES = [
    pytest.param(architecture, kind, family, id=f"{architecture}-{kind.name}-{family.template}")
    for architecture in ("sm_80", "sm_90a")
    for kind, found in families(architecture, Products.TF32X3).items()
    for family in found
]


def taken(kind: type[KernelOp], family: KernelFamily, target: Target) -> Iterator[KernelOp]:
    """The ops of test kernels that a target offers a family for, with the best of its configs."""
    for op in _ops():
        if isinstance(op, kind) and target.refusal(op) is None:
            configs = (c for c in target.candidates(op) if isinstance(c, family.config_type))
            if config := next(configs, None):
                op.properties["config"] = config
                yield op


def _edges(case: Case, op: KernelOp) -> Iterator[str]:
    """What is special about the sizes and places of an op's operands."""
    for what, values, accesses in (
        ("ins", op.ins, op.in_access),
        ("outs", op.outs, op.out_access),
    ):
        for value, access in zip(values, accesses, strict=True):
            stored = prod(evaluate(dim, case.dims) for dim in dims_of(value.type))  # pyright: ignore
            read = prod(evaluate(size, case.dims) for size in access.sizes)
            if read == 0:
                yield f"{what} of no elements"
            elif read < stored and not _repeats(access, case.dims):
                yield f"{what} that are parts of tensors"


def _repeats(access: AccessMap, dims: Mapping[str, int]) -> bool:
    return any(evaluate(stride, dims) == 0 for stride in access.strides)


@cache
def _ops() -> Sequence[KernelOp]:
    """Those of all cases, without configs."""
    modules = [case.program().module for case in all_cases()]
    return [op for module in modules for op in module.walk() if isinstance(op, KernelOp)]


def test_every_template_has_cases_of_nothing_and_of_parts_of_tensors() -> None:
    templates: dict[tuple[type[KernelOp], type], str] = {
        (kind, family.config_type): family.template
        for kind, found in families("sm_90a", Products.TF32X3).items()
        for family in found
    }
    found: dict[str, set[str]] = {template: set() for template in templates.values()}
    for case in all_cases():
        op = case.kernel()
        found[templates[type(op), type(op.config)]].update(_edges(case, op))
    wanted = {
        "outs of no elements",
        "ins that are parts of tensors",
        "outs that are parts of tensors",
    }
    missing = {template: wanted - edges for template, edges in found.items() if wanted - edges}
    assert not missing


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
    assert_clean(compiled, has_weights=any(operand.is_constant for operand in view.ins))
