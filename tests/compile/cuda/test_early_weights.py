"""What kernels read before the one before them has ended: weights, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compile.cuda.kernels import Case
from tests.compile.cuda.test_groups import experts
from tests.compile.cuda.test_nvcc import compile_kernel
from tests.gpu.build_kernels import all_cases

_CASES = {case.name: case for case in all_cases()}

# A case of each family whose weights are constants, the flags that say so, and how a kernel with
# them begins: (r)eads, (t)iles that TMA reads, and where a thread (w)aits for the kernel before.
_FAMILIES = [
    ("linear_early", {"B"}, "twt"),
    ("rows_early", {"B"}, "twt"),
    ("both_early", {"B"}, "twt"),
    ("parts_ragged", {"Factors"}, "rtt"),
    ("mma_early", {"B"}, "^r+w"),
    ("mma_early_odd", {"B"}, "^r+w"),
    ("mma_early_left", {"A"}, "^r+w"),
    ("linear_of_weights", {"B"}, "^r+w"),
    ("linear_of_weights_f32", {"B"}, "^r+w"),
    ("gemv_early", {""}, "^r+w"),
    ("hopper_early", {"Weights"}, "^t+w"),
    ("halo_early", {"Weights"}, "^t+w"),
    ("stem_early", {"Weights"}, "^r+w"),
    ("pool_early", {"Weights"}, "^r+w"),
    ("conv_early", {"B"}, "^r+w"),
    ("conv_own_early", {"B"}, "^r+w"),
    # Threads without work wait before the others.
    ("depthwise_early", {""}, "^wr+w"),
]
_MEMORY = {
    "griddepcontrol.wait": "w",
    "cp.async.bulk.tensor": "t",
    "cp.async.c": "r",
    "ld.global": "r",
}


def constant_flags(source: str) -> set[str]:
    """The flags of a rendered kernel that are set."""
    found = re.findall(r"\bkConstant(\w*) = (\w+)", source)
    assert found, "a kernel that knows of no weights"
    return {name for name, value in found if value == "true"}


def order(case: Case, folder: Path) -> str:
    """Where the kernel reads and waits, in the order of its PTX. Skips without a compiler."""
    ptx = compile_kernel(case, folder, only_device=True).ptx
    found = re.findall("|".join(map(re.escape, _MEMORY)), ptx)
    return "".join(_MEMORY[instruction] for instruction in found)


@pytest.mark.parametrize(("name", "flags", "_"), _FAMILIES)
def test_only_weights_that_no_kernel_writes_may_be_read_early(
    name: str, flags: set[str], _: str
) -> None:
    weights = _CASES[name]
    plain = replace(weights, constants=())
    assert weights.constants
    assert constant_flags(weights.source()) == flags
    assert constant_flags(plain.source()) == set()
    assert weights.view().key != plain.view().key


@pytest.mark.compile
@pytest.mark.parametrize(("name", "_", "beginning"), _FAMILIES)
def test_weights_are_read_before_the_kernel_waits(
    name: str, _: set[str], beginning: str, tmp_path: Path
) -> None:
    weights = _CASES[name]
    assert re.search(beginning, order(weights, tmp_path))
    assert not re.search(beginning, order(replace(weights, constants=()), tmp_path))


def test_members_of_a_launch_know_their_weights() -> None:
    source = experts([(768, 768), (768, 320)], [128, 100]).source
    assert source.count("kConstantB = true") == 2
    assert "kConstantA = true" not in source
