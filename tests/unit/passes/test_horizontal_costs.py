"""Merging and grouping are decided by what a target's description says, and every way is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.dialects.functions import find_function
from ait.dialects.kernel import (
    CopyOp,
    GemmOp,
    GroupOp,
    KernelOp,
    RowwiseOp,
)
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.trace import TensorSpec, trace
from ait.passes.cost import Work
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import Remark, collect_remarks
from ait.passes.target import (
    AlignedAccess,
    AnyTarget,
    Capabilities,
    DeviceDescription,
    GroupCapability,
)

F = nn.functional
Groups = Mapping[type[KernelOp], GroupCapability]


class Described(AnyTarget):
    """A target with these groups and facts, whose kernels hold no whole rows."""

    name = "described"

    def __init__(self, groups: Groups, aligned: AlignedAccess | None = None, **facts: Any):
        rows = {
            kind: replace(row, aligned=aligned if row.aligned else None, rows=None)
            for kind, row in AnyTarget.capabilities.kernels.items()
        }
        self.capabilities: Capabilities = replace(
            AnyTarget.capabilities, kernels=rows, groups=groups
        )
        self.description: DeviceDescription = replace(AnyTarget.description, **facts)


PASSES = (
    "align_operands",
    "fuse_memory",
    "fuse_horizontal",
    "fuse_products",
    "fuse_vertical",
    "group_kernels",
)


def run(
    model: Callable[..., Any],
    specs: Mapping[str, TensorSpec],
    target: AnyTarget,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[list[KernelOp]], list[Remark]]:
    """The launches of a model for a target; small ones are checked to compute what they say."""
    program = trace(model, dict(specs))
    rng = np.random.default_rng(0)
    shapes = {name: spec.shape for name, spec in specs.items()}
    small = all(np.prod(shape) < 1e5 for shape in shapes.values())
    inputs = {
        name: rng.integers(0, 3, shapes[name])
        if spec.dtype == "i64"
        else rng.standard_normal(shapes[name]).astype(np.float32)
        for name, spec in specs.items()
        if small
    }
    want = evaluate(program, inputs) if small else {}
    for module in PASSES:
        monkeypatch.setattr(f"ait.passes.{module}.find_target", lambda _: target)
    with collect_remarks() as remarks:
        run_pipeline(program.module, verify=small)
    if small:
        got = evaluate(program, inputs)
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-3, atol=1e-3)
    main = find_function(program.module, "main")
    assert main is not None
    launches: list[list[KernelOp]] = []
    for op in main.body.block.ops:
        if isinstance(op, GroupOp):
            launches.append(list(op.members))
        elif isinstance(op, KernelOp):
            launches.append([op])
    return launches, remarks


def count(launches: list[list[KernelOp]], kind: type[KernelOp]) -> int:
    return sum(isinstance(op, kind) for launch in launches for op in launch)


def linear(x: nn.Tensor, features: int) -> nn.Tensor:
    width = x.shape[-1]
    assert isinstance(width, int)
    return nn.Linear(width, features).init_random(len(current_recorder().parameters))(x)


def f32(*shape: int) -> TensorSpec:
    return TensorSpec(shape, "f32")


def messages(remarks: list[Remark], name: str, kind: str) -> list[str]:
    return [r.message for r in remarks if r.pass_name == name and r.kind == kind]


# Merging --------------------------------------------------------------------------------------

NONE: Groups = {}
GEMMS: Groups = {GemmOp: GroupCapability()}
HALF_SPEED: Groups = {GemmOp: GroupCapability(efficiency=0.5)}


def two_softmaxes(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
    return linear(x, 8).softmax(-1), linear(x, 4).softmax(-1)


@pytest.mark.parametrize("groups", [NONE, GEMMS, HALF_SPEED], ids=["none", "gemms", "half-speed"])
def test_columns_that_are_read_in_place_merge(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to lose, whatever else a target could do."""
    launches, remarks = run(two_softmaxes, {"x": f32(3, 16)}, Described(groups), monkeypatch)
    assert count(launches, GemmOp) == 1
    (said,) = messages(remarks, "fuse-horizontal", "applied")
    assert "us apart" in said and "us as one" in said


def returned(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
    return linear(x, 8), linear(x, 8), linear(x, 8)


@pytest.mark.parametrize(
    ("shape", "groups", "gemms"),
    [
        # A copy takes a launch, as a gemm does.
        ((3, 16), NONE, 3),
        # But less than reading a long input again.
        ((20000, 8192), NONE, 1),
        # In a group each is read again as well.
        ((20000, 8192), GEMMS, 1),
        ((3, 16), GEMMS, 3),
    ],
)
def test_returned_results_are_copied_where_that_is_cheaper(
    shape: tuple[int, int], groups: Groups, gemms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    launches, remarks = run(returned, {"x": f32(*shape)}, Described(groups), monkeypatch)
    assert count(launches, GemmOp) == gemms
    assert count(launches, CopyOp) == (3 if gemms == 1 else 0)
    kind = "applied" if gemms == 1 else "missed"
    said = messages(remarks, "fuse-horizontal", kind)
    assert said and all("for copies of results" in text for text in said)


def test_those_that_are_read_in_place_merge_without_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def model(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return linear(x, 8).softmax(-1), linear(x, 4096), linear(x, 4).softmax(-1)

    launches, _ = run(model, {"x": f32(300, 16)}, Described(NONE), monkeypatch)
    assert count(launches, GemmOp) == 2
    assert count(launches, CopyOp) == 0


@pytest.mark.parametrize(("rows", "gemms"), [(4, 2), (20000, 1)])
def test_factors_that_are_no_weights_are_joined_where_that_is_cheaper(
    rows: int, gemms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def model(x: nn.Tensor, v: nn.Tensor, w: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return (x @ v).softmax(-1), (x @ w).softmax(-1)

    depth = 20 if rows == 4 else 8192
    specs = {"x": f32(rows, depth), "v": f32(depth, 4), "w": f32(depth, 6)}
    launches, remarks = run(model, specs, Described(NONE), monkeypatch)
    assert count(launches, GemmOp) == gemms
    kind = "applied" if gemms == 1 else "missed"
    (said,) = messages(remarks, "fuse-horizontal", kind)
    assert "to join factors that are no weights" in said


def test_factors_that_are_no_weights_are_joined_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a target for which a launch is nothing and memory is all."""

    def model(
        x: nn.Tensor, v: nn.Tensor, w: nn.Tensor, b: nn.Tensor, c: nn.Tensor
    ) -> tuple[nn.Tensor, ...]:
        return (x @ v + b).softmax(-1), (x @ w + c).softmax(-1)

    specs = {"x": f32(300, 20), "v": f32(20, 2), "w": f32(20, 3), "b": f32(2), "c": f32(3)}
    target = Described(NONE, launch_seconds=0.0, memory_bandwidth=1e6)
    launches, _ = run(model, specs, target, monkeypatch)
    assert count(launches, GemmOp) == 1


@pytest.mark.parametrize(("speed", "gemms"), [(1e-6, 3), (0.9, 2)])
def test_columns_that_are_read_unaligned_count(
    speed: float, gemms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second linear's columns begin at 5; a gemm reads them."""

    def model(x: nn.Tensor) -> tuple[nn.Tensor, ...]:
        first, second = linear(x, 5), linear(x, 8)
        return first.softmax(-1), linear(second, 4)

    target = Described(NONE, AlignedAccess(16, speed))
    launches, remarks = run(model, {"x": f32(3, 16)}, target, monkeypatch)
    assert count(launches, GemmOp) == gemms
    said = messages(remarks, "fuse-horizontal", "applied" if gemms == 2 else "missed")
    assert any("not aligned (offset 5 of 4 bytes each)" in text for text in said)


def test_refusals_name_what_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(x: nn.Tensor, y: nn.Tensor) -> tuple[nn.Tensor, ...]:
        first = linear(x, 8).softmax(-1)
        other = linear(x, 8).relu().softmax(-1)
        return first, other, (x @ y.softmax(-1)).softmax(-1), (linear(x, 8) + y[:3]).softmax(-1)

    specs = {"x": f32(3, 8), "y": f32(8, 8)}
    _, remarks = run(model, specs, Described(NONE), monkeypatch)
    said = "\n".join(messages(remarks, "fuse-horizontal", "missed"))
    assert "their types, sizes or code differ" in said
    assert "its right factor is computed" in said
    assert "an operand differs by row and column" in said


def test_what_all_columns_share_may_differ_in_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor for each row is read through maps of different widths, and is the same one."""

    def model(x: nn.Tensor, rows: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return (linear(x, 8) * rows).softmax(-1), (linear(x, 5) * rows).softmax(-1)

    launches, _ = run(model, {"x": f32(3, 16), "rows": f32(3, 1)}, Described(NONE), monkeypatch)
    assert count(launches, GemmOp) == 1


# Grouping -------------------------------------------------------------------------------------


def two(kind: str) -> tuple[Callable[..., Any], dict[str, TensorSpec]]:
    """Two kernels of a kind that do not depend on each other."""
    pair = {"x": f32(3, 8), "y": f32(5, 12)}
    table = {"x": TensorSpec((3,), "i64"), "y": TensorSpec((4,), "i64")}
    images = {"x": f32(1, 3, 5, 5), "y": f32(1, 4, 6, 6)}

    def embedded(ids: nn.Tensor, size: int) -> nn.Tensor:
        return nn.Embedding(3, size).init_random(size)(ids)

    def convolved(x: nn.Tensor, size: int) -> nn.Tensor:
        channels = x.shape[1]
        assert isinstance(channels, int)
        return nn.Conv2d(channels, size, 3).init_random(size)(x)

    models: dict[str, tuple[Callable[..., Any], dict[str, TensorSpec]]] = {
        "gemm": (lambda x, y: (linear(x, 4), linear(y, 6)), pair),
        "rowwise": (lambda x, y: (x.softmax(-1), y.softmax(-1)), pair),
        "pointwise": (lambda x, y: (x.tanh(), y.exp()), pair),
        "gather": (lambda x, y: (embedded(x, 6), embedded(y, 8)), table),
        "conv": (lambda x, y: (convolved(x, 6), convolved(y, 8)), images),
    }
    return models[kind]


@pytest.mark.parametrize("kind", ["gemm", "rowwise", "pointwise", "gather", "conv"])
@pytest.mark.parametrize(("efficiency", "launches"), [(1.0, 1), (0.5, 1), (1e-9, 2)])
def test_every_kind_is_grouped_if_that_pays(
    kind: str, efficiency: float, launches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, specs = two(kind)
    capability = GroupCapability(efficiency=efficiency)
    groups = dict.fromkeys(AnyTarget.capabilities.groups, capability)
    found, remarks = run(model, specs, Described(groups), monkeypatch)
    assert len(found) == launches
    (said,) = messages(remarks, "group-kernels", "applied" if launches == 1 else "missed")
    assert said.startswith("with 1 more" if launches == 1 else "not with 1 more")
    assert "of launches" in said and "idle units saved" in said and "lost to shared tiles" in said


NORMS: Groups = {RowwiseOp: GroupCapability(efficiency=0.8)}


@pytest.mark.parametrize("huge_first", [False, True])
def test_a_huge_kernel_stays_out_of_the_group_of_tiny_ones(
    huge_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lose a fifth of its speed for one launch; the tiny ones lose nothing."""

    def model(a: nn.Tensor, b: nn.Tensor, c: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return a.softmax(-1), b.softmax(-1), c.softmax(-1)

    tiny, huge = f32(4, 8), f32(40000, 1000)
    specs = {"a": huge, "b": tiny, "c": tiny} if huge_first else {"a": tiny, "b": huge, "c": tiny}
    found, remarks = run(model, specs, Described(NORMS), monkeypatch)
    assert sorted(len(launch) for launch in found) == [1, 2]
    (alone,) = (launch[0] for launch in found if len(launch) == 1)
    assert alone.domain == (40000, 1000)
    (said,) = messages(remarks, "group-kernels", "missed")
    assert said.startswith("not with 2 more") and "lost to shared tiles" in said


def test_kernels_that_fill_all_units_gain_only_the_launch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole turns of blocks leave no unit idle: a group saves launches, and loses speed."""
    blocks = AnyTarget.description.units * AnyTarget.description.block_elements

    def model(x: nn.Tensor, y: nn.Tensor) -> tuple[nn.Tensor, ...]:
        return x.softmax(-1), y.softmax(-1)

    full, half = (f32(rows, 1024) for rows in (blocks // 1024, blocks // 2048))
    for spec, launch_seconds, launches in ((full, 1e-9, 2), (full, 1e-3, 1), (half, 1e-9, 1)):
        target = Described(NORMS, launch_seconds=launch_seconds)
        found, _ = run(model, {"x": spec, "y": spec}, target, monkeypatch)
        assert len(found) == launches


def test_work_of_kernels_side_by_side() -> None:
    device = replace(AnyTarget.description, units=4, memory_bandwidth=1.0)
    # One block keeps one of four units busy, three of them three, five of them five of eight.
    assert Work(8, 0.0, 1).seconds(device) == 32
    assert (Work(8, 0.0, 1) + Work(8, 0.0, 2)).seconds(device) == pytest.approx(16 * 4 / 3)
    assert Work(10, 0.0, 5).seconds(device) == pytest.approx(10 * 8 / 5)
    assert Work(8, 20.0, 4).seconds(device) == 20
