"""Kernels that share a launch: which do, what their code is, and that it computes what they say."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import ait
from ait import nn
from ait.codegen.cuda.configs import WgmmaAttr
from ait.codegen.emit import metadata
from ait.codegen.group_view import GroupView
from ait.codegen.plan import Call, Memory, ModelPlan, make_plan
from ait.dialects.kernel import GemmOp, GroupOp, KernelOp
from ait.dialects.symbolic import Dim, evaluate
from ait.errors import CompileError
from ait.ir.program import Program
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import Remark, collect_remarks
from tests.compile.cuda.kernels import (
    EMULATED,
    TARGET,
    WRAPPER,
    Array,
    assert_close,
    call,
)
from tests.compile.cuda.test_nvcc import assert_clean, compile_text

Forward = Callable[..., Any]
Specs = Mapping[str, ait.TensorSpec]


class Linears(nn.Module):
    """Linear layers, and what `forward` makes of them and the inputs."""

    def __init__(self, sizes: Sequence[tuple[int, int]], forward: Forward) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(k, n) for k, n in sizes])
        self._forward = forward

    def forward(self, *inputs: nn.Tensor) -> Any:
        return self._forward(list(self.layers), *inputs)


@dataclass(frozen=True)
class Grouped:
    """A program, and what it is compiled to."""

    program: Program
    lowered: Program
    remarks: Sequence[Remark]

    @property
    def plan(self) -> ModelPlan:
        return make_plan(self.lowered.module)

    @property
    def groups(self) -> list[GroupOp]:
        return [op for op in self.lowered.module.walk() if isinstance(op, GroupOp)]

    @property
    def launch(self) -> Call:
        """The one launch that there is."""
        (only,) = self.plan.main.calls
        return only

    @property
    def source(self) -> str:
        return TARGET.render(self.launch.view, "kernel")


def grouped(module: nn.Module, specs: Specs, dtype: str = "f16") -> Grouped:
    program = ait.trace(module.init_random(seed=1).to(dtype), dict(specs))
    lowered = program.clone()
    with collect_remarks() as remarks:
        run_pipeline(lowered.module, target="cuda:sm_90a", verify=True)
    told = [remark for remark in remarks if remark.pass_name == "group-kernels"]
    return Grouped(program, lowered, told)


def spec(*shape: Dim, dtype: str = "f16") -> ait.TensorSpec:
    return ait.TensorSpec(shape, dtype)


def experts(sizes: Sequence[tuple[int, int]], rows: Sequence[Dim]) -> Grouped:
    """gelu(linear(x)) of an x of each."""

    def forward(layers: Sequence[Any], *inputs: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return tuple(nn.functional.gelu(f(x)) for f, x in zip(layers, inputs, strict=True))

    specs = {f"x{i}": spec(m, k) for i, (m, (k, _)) in enumerate(zip(rows, sizes, strict=True))}
    return grouped(Linears(sizes, forward), specs)


def kinds(source: str) -> int:
    """How many kernels a group's source has."""
    return len(set(re.findall(r"namespace (kernel_\d+) {", source)))


def own_configs(group: GroupOp) -> list[Any]:
    return [cast(WgmmaAttr, member.config).data for member in group.members]


# Which do -------------------------------------------------------------------------------------


def test_small_gemms_share_a_launch_and_large_ones_do_not() -> None:
    small = experts([(768, 768)] * 4, [128] * 4)
    assert [len(group.members) for group in small.groups] == [4]
    (applied,) = small.remarks
    assert re.fullmatch(
        r"with 3 more in one launch: [\d.]+ us apart, [\d.]+ us as one", applied.message
    )
    large = experts([(4096, 4096)] * 2, [8192] * 2)
    assert not large.groups
    assert [remark.kind for remark in large.remarks] == ["missed"]


def test_members_have_one_frame() -> None:
    """Rows and depths differ: tiles and stages do not."""
    (group,) = experts([(768, 768), (2048, 320), (72, 64)], [128, 40, 300]).groups
    configs = own_configs(group)
    frames = {(config.tile, config.schedule, config.stages, config.split) for config in configs}
    assert len(configs) == 3 and len(frames) == 1


def test_what_cannot_share_stays_apart() -> None:
    """An odd k has no address that TMA can take: it is no kernel of the family."""
    found = experts([(768, 768), (77, 768), (768, 768)], [128, 128, 128])
    (group,) = found.groups
    assert [str(member.in_access[0].sizes[-1]) for member in group.members] == ["768", "768"]
    assert len(found.plan.main.calls) == 2


def test_a_group_without_common_configs_falls_apart() -> None:
    found = experts([(768, 768)] * 2, [128] * 2)
    (group,) = found.groups
    for member in group.members:
        member.config = None
    odd = experts([(77, 77)] * 2, [128] * 2)
    members = [op for op in odd.lowered.module.walk() if isinstance(op, GemmOp)]
    block = members[0].parent_block()
    assert block is not None and not odd.groups
    last = members[-1].next_op
    for member in members:
        member.config = None
        member.detach()
    assert last is not None
    block.insert_op_before(GroupOp(members), last)
    for one, count in ((found, 1), (odd, 0)):
        run_pipeline(one.lowered.module, ["select-config"], target="cuda:sm_90a", verify=True)
        assert len(one.groups) == count
        kernels = [op for op in one.lowered.module.walk() if isinstance(op, KernelOp)]
        assert all(op.config is not None for op in kernels)


def test_configs_that_do_not_suit_each_other_are_an_error() -> None:
    found = experts([(768, 768)] * 2, [128] * 2)
    first, second = found.groups[0].members
    assert isinstance(first.config, WgmmaAttr)
    second.config = WgmmaAttr(replace(first.config.data, stages=first.config.data.stages - 1))
    with pytest.raises(CompileError, match="share no launch"):
        _ = found.source
    second.config = TARGET.candidates(
        experts([(77, 77)], [128]).plan.main.calls[0].view.members[0].op
    )[0]
    with pytest.raises(CompileError, match="no launch of kernels"):
        _ = found.source


def test_a_group_is_one_step_of_the_model() -> None:
    found = experts([(768, 768), (512, 320)], [128, 100])
    told = metadata(found.plan, TARGET, "model", [])
    (kernel,), (step,) = told["kernels"], told["steps"]
    assert (kernel["kind"], kernel["calls"]) == ("group of gemm", 1)
    assert kernel["config"] == str(found.groups[0].members[0].config)
    assert step["source"] == "layers.0 and 1 more"
    assert step["matrix_operations"] == str(2 * (128 * 768 * 768 + 100 * 512 * 320))


# Code -----------------------------------------------------------------------------------------


def test_members_of_other_rows_are_one_kind() -> None:
    """Experts: rows, whether known or not and whatever their symbols are, are arguments."""
    assert kinds(experts([(768, 768)] * 3, [128, 100, 77]).source) == 1
    rows = [ait.Dim("a", 0, 128), ait.Dim("b", 0, 100), ait.Dim("c", 0, 99)]
    assert kinds(experts([(768, 768)] * 3, rows).source) == 1
    assert kinds(experts([(768, 768), (768, 320), (768, 768)], [128] * 3).source) == 2


def test_no_launch_has_too_many_kinds_or_members() -> None:
    widths = [(256, 64 * (i + 1)) for i in range(8)]
    found = experts(widths, [128] * 8)
    assert all(len(group.members) <= 6 for group in found.groups)
    many = experts([(64, 64)] * 40, [16] * 40)
    assert sorted(len(group.members) for group in many.groups) == [8, 32]


def test_equal_groups_are_one_function() -> None:
    def forward(layers: Sequence[Any], x: nn.Tensor, y: nn.Tensor) -> tuple[nn.Tensor, ...]:
        for i in range(0, len(layers), 2):
            x, y = (
                nn.functional.gelu(f(z)) for f, z in zip(layers[i : i + 2], (x, y), strict=True)
            )
        return x, y

    found = grouped(Linears([(256, 256)] * 6, forward), {"x": spec(64, 256), "y": spec(64, 256)})
    calls = found.plan.main.calls
    assert len(calls) == 3 and all(isinstance(one.view, GroupView) for one in calls)
    # The first reads inputs of the model, the others what a kernel has written.
    assert calls[1].view.key == calls[2].view.key
    assert calls[1].view.symbol == calls[2].view.symbol


# What they compute ----------------------------------------------------------------------------


def with_residuals(layers: Sequence[Any], *inputs: nn.Tensor) -> tuple[nn.Tensor, ...]:
    """gelu of the first, and each other one with a residual."""
    count = len(layers)
    first, *others = (f(x) for f, x in zip(layers, inputs[:count], strict=True))
    rests = inputs[count:]
    return (nn.functional.gelu(first), *(y + r for y, r in zip(others, rests, strict=True)))


def gated(layers: Sequence[Any], *inputs: nn.Tensor) -> tuple[nn.Tensor, ...]:
    """Pairs of layers: silu(a(x)) * b(x)."""
    return tuple(
        nn.functional.silu(layers[2 * i](x)) * layers[2 * i + 1](x) for i, x in enumerate(inputs)
    )


def pointwise(_: Sequence[Any], a: nn.Tensor, b: nn.Tensor, c: nn.Tensor) -> tuple[nn.Tensor, ...]:
    return nn.functional.gelu(a), b * 2.0, c[1:]


_A, _B = ait.Dim("a", 0, 200), ait.Dim("b", 0, 70)
_RAGGED = {
    "x": spec(_A, 128),
    "y": spec(_B, 64),
    "z": spec(40, 192),
    "r": spec(_B, 72),
    "s": spec(40, 136),
}
_PIECES = {"a": spec(_A, 77), "b": spec(33, 65, dtype="f32"), "c": spec(4, 24)}
MODELS: Mapping[str, tuple[nn.Module, Specs, Sequence[Mapping[str, int]]]] = {
    "ragged": (
        Linears([(128, 136), (64, 72), (192, 136)], with_residuals),
        _RAGGED,
        [{"a": 130, "b": 70}, {"a": 0, "b": 1}, {"a": 1, "b": 0}, {"a": 0, "b": 0}],
    ),
    "gated": (
        Linears([(64, 64), (64, 64), (128, 72), (128, 72)], gated),
        {"x": spec(100, 64), "y": spec(_B, 128)},
        [{"b": 70}, {"b": 3}],
    ),
    "pointwise": (
        Linears([], pointwise),
        _PIECES,
        [{"a": 200}, {"a": 1}, {"a": 0}],
    ),
}


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize("name", MODELS)
def test_matches_the_interpreter(name: str, tmp_path: Path) -> None:
    """Members of all sizes, none at all among them, on the host."""
    module, specs, sizes = MODELS[name]
    found = grouped(module, specs)
    assert isinstance(found.launch.view, GroupView)
    library = emulation(found.source, tmp_path)
    generator = np.random.default_rng(0)
    for size in sizes:
        inputs = {
            key: (generator.integers(-8, 9, shape_of(one, size)) / 8).astype(ait_dtype(one))
            for key, one in specs.items()
        }
        wanted = ait.evaluate(found.program, inputs)
        outputs = {key: np.full_like(value, -77) for key, value in wanted.items()}
        run(library, found, inputs, outputs, size)
        for key, value in wanted.items():
            assert_close(outputs[key], value)


def shape_of(one: ait.TensorSpec, size: Mapping[str, int]) -> list[int]:
    return [dim if isinstance(dim, int) else size[str(dim)] for dim in one.shape]


def ait_dtype(one: ait.TensorSpec) -> Any:
    return {"f16": np.float16, "f32": np.float32}[str(one.dtype)]


def emulation(source: str, folder: Path) -> ctypes.CDLL:
    text, library = folder / "kernel.cpp", folder / "kernel.so"
    text.write_text(source + WRAPPER)
    command = ["g++", "-std=c++17", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-shared"]
    command += ["-fPIC", *EMULATED]
    done = subprocess.run([*command, str(text), "-o", str(library)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def run(
    library: ctypes.CDLL,
    found: Grouped,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    size: Mapping[str, int],
) -> None:
    """Calls the one launch of a model as the model does."""
    plan = found.plan
    tables = {
        Memory.INPUT: [inputs[port.name] for port in plan.inputs],
        Memory.OUTPUT: [outputs[port.name] for port in plan.outputs],
        Memory.WEIGHT: [found.program.weights[weight.name] for weight in plan.weights],
    }
    launch = found.launch
    operands = {
        f"{i} {pointer}": tables[pointer.memory][pointer.index]
        for i, pointer in enumerate(launch.pointers)
    }
    assert all(operand.base_dim == 0 for operand in launch.view.operands)
    call(library, operands, [evaluate(extent.dim, dict(size)) for extent in launch.view.extents])


# What nvcc makes of them ----------------------------------------------------------------------

_COMPILED = {
    "experts": lambda: experts([(768, 768)] * 8, [128] * 8),
    "widths": lambda: experts([(768, 64 * (i + 6)) for i in range(6)], [128] * 6),
    "large_tiles": lambda: experts([(1024, 1024)] * 8, [512] * 8),
    **{name: lambda name=name: grouped(*MODELS[name][:2]) for name in MODELS},
}


@pytest.mark.compile
@pytest.mark.parametrize("name", _COMPILED)
def test_registers_suffice(name: str, tmp_path: Path) -> None:
    """Products of all kinds are one code, whose sums stay in registers."""
    assert_clean(compile_text(TARGET, f"{name}.cu", _COMPILED[name]().source, tmp_path))
