"""Random nests of concats, slices and reshapes around kernels: the same meaning, fewer copies.

A plan is drawn once and built into a model in several *spellings* that mean the same: concats of
concats or of all their parts, splits or slices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from ait import nn
from ait.dialects.accessor import AssembleOp, ViewOp
from ait.dialects.kernel import CopyOp, KernelOp
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from tests.property.examples import examples

F = nn.functional
EXAMPLES = examples(60)
N, M = Dim("n", 0, 4), Dim("m", 1, 6)
MOVEMENT = ("cat", "cat", "cat", "cat", "parts", "part", "round-trip", "pad")
KERNELS = ("mix", "mix", "mix", "mix", "pointwise")


@dataclass(frozen=True)
class Step:
    """One step of a plan: what to do, and numbers that choose operands and sizes."""

    kind: str
    choices: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A model: its steps, which of its values it returns, and the sizes of a run."""

    images: bool
    steps: tuple[Step, ...]
    returned: tuple[int, ...]
    sizes: tuple[int, int]


@st.composite
def plans(draw: st.DrawFn, most: int = 9, kinds: Sequence[str] = (*MOVEMENT, *KERNELS)) -> Plan:
    """Plans of a few steps; operands are counted back from the newest value."""
    choices = st.tuples(*([st.integers(0, 11)] * 4))
    steps = st.builds(Step, st.sampled_from(kinds), choices)
    return Plan(
        draw(st.booleans()),
        tuple(draw(st.lists(steps, min_size=2, max_size=most))),
        tuple(draw(st.lists(st.integers(0, 11), max_size=2))),
        (draw(st.integers(0, 4)), draw(st.integers(1, 6))),
    )


@dataclass(frozen=True)
class Value:
    """A tensor, the tensors of which it is the concat, and which channels it has of what."""

    tensor: nn.Tensor
    parts: tuple[nn.Tensor, ...]
    channels: tuple[object, ...]


@dataclass
class Builder:
    """Builds a plan in one spelling; channels are the dim `axis`, of a fixed size."""

    images: bool
    flat: bool
    slices: bool
    distinct: bool
    values: list[Value] = field(default_factory=list[Value])

    @property
    def axis(self) -> int:
        return 1 if self.images else -1

    def pick(self, choice: int) -> Value:
        return self.values[-1 - choice % len(self.values)]

    def add(self, tensor: nn.Tensor, channels: Sequence[object] | None = None) -> Value:
        """A value of its own, or one of channels of others."""
        size = tensor.shape[self.axis]
        assert isinstance(size, int)
        fresh = tuple(object() for _ in range(size))
        self.values.append(Value(tensor, (tensor,), fresh if channels is None else tuple(channels)))
        return self.values[-1]

    def step(self, step: Step) -> None:
        STEPS[step.kind](self, *step.choices)

    def mix(self, a: int, b: int, c: int, d: int) -> None:
        """A kernel that reads all channels: a convolution or a linear, and what follows it."""
        x = self.pick(a)
        wide = len(x.channels)
        layer: nn.Module = (
            nn.Conv2d(wide, 1 + b % 3, 1 + 2 * (c % 2), padding=c % 2)
            if self.images
            else nn.Linear(wide, 1 + b % 3)
        )
        y = layer.init_random(len(current_recorder().parameters))(x.tensor)
        self.add(y.relu() if d % 2 else y)

    def pointwise(self, a: int, b: int, c: int, d: int) -> None:
        x = self.pick(a).tensor
        self.add(x.tanh() if b % 2 else x * 0.5 + x.sigmoid())

    def cat(self, a: int, b: int, c: int, d: int) -> None:
        """A concat of two or three values, whose parts may be spelled out."""
        self.join([self.pick(choice) for choice in (a, b, c)[: 2 + d % 2]])

    def join(self, given: Sequence[Value]) -> None:
        parts = tuple(part for value in given for part in value.parts)
        channels = tuple(channel for value in given for channel in value.channels)
        if len(parts) > 8 or (self.distinct and len(set(channels)) < len(channels)):
            return
        tensors = parts if self.flat else [value.tensor for value in given]
        self.values.append(Value(nn.cat(tensors, self.axis), parts, channels))

    def cut(self, x: Value, sizes: Sequence[int]) -> list[Value]:
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        windows = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        if self.slices:
            cuts = [x.tensor[:, w] if self.images else x.tensor[..., w] for w in windows]
        else:
            cuts = list(x.tensor.split(list(sizes), self.axis))
        return [self.add(t, x.channels[w]) for t, w in zip(cuts, windows, strict=True)]

    def parts(self, a: int, b: int, c: int, d: int) -> None:
        """The two sides of a cut; together again, if the last choice says so, in some order."""
        x = self.pick(a)
        if len(x.channels) > 1:
            first = 1 + b % (len(x.channels) - 1)
            sides = self.cut(x, [first, len(x.channels) - first])
            if d % 3 == 0:
                self.join(sides if c % 3 else sides[::-1])

    def part(self, a: int, b: int, c: int, d: int) -> None:
        """Some neighbouring channels: within a part of a concat, or across several."""
        x = self.pick(a)
        start = b % len(x.channels)
        size = 1 + c % (len(x.channels) - start)
        sizes = (start, size, len(x.channels) - start - size)
        if size < len(x.channels):
            self.cut(x, [n for n in sizes if n])

    def round_trip(self, a: int, b: int, c: int, d: int) -> None:
        """The same value, through other shapes."""
        x = self.pick(a)
        y = x.tensor
        if self.images and b % 2:
            y = y.flatten(2).unflatten(2, [4, 3])
        elif self.images:
            y = y.permute(0, 2, 3, 1).permute(0, 3, 1, 2)
        else:
            y = y.unsqueeze(1).squeeze(1) if b % 2 else y.transpose(0, 1).transpose(0, 1)
        self.values.append(Value(y, x.parts, x.channels))

    def pad(self, a: int, b: int, c: int, d: int) -> None:
        x = self.pick(a).tensor
        low, high = ((1, 0), (0, 1), (1, 2))[b % 3]
        ends = [0, 0, 0, 0, low, high] if self.images else [low, high]
        self.add(F.pad(x, ends, value=float(d % 2)))


STEPS: dict[str, Callable[..., None]] = {
    "cat": Builder.cat,
    "mix": Builder.mix,
    "pad": Builder.pad,
    "part": Builder.part,
    "parts": Builder.parts,
    "pointwise": Builder.pointwise,
    "round-trip": Builder.round_trip,
}


def build(
    plan: Plan, *, flat: bool = False, slices: bool = False, distinct: bool = False
) -> Program:
    """The program of a plan: it returns the last value, and what the plan says.

    With `flat`, concats of concats are concats of all parts; with `slices`, splits are slices; with
    `distinct`, no concat has a channel twice: copies may be copied together or one by one.
    """

    def model(x: nn.Tensor, y: nn.Tensor) -> tuple[nn.Tensor, ...]:
        builder = Builder(plan.images, flat, slices, distinct)
        builder.add(x)
        builder.add(y)
        for step in plan.steps:
            builder.step(step)
        others = [builder.pick(choice).tensor for choice in plan.returned]
        return (builder.values[-1].tensor, *others)

    shapes = ((N, 2, 4, 3), (N, 3, 4, 3)) if plan.images else ((N, M, 2), (N, M, 3))
    return trace(model, {k: TensorSpec(s, "f32") for k, s in zip("xy", shapes, strict=True)})


def inputs_of(plan: Plan) -> dict[str, Any]:
    n, m = plan.sizes
    rng = np.random.default_rng(n + 10 * m)
    shapes = ((n, 2, 4, 3), (n, 3, 4, 3)) if plan.images else ((n, m, 2), (n, m, 3))
    return {k: rng.standard_normal(s, np.float32) for k, s in zip("xy", shapes, strict=True)}


def main_ops(module: ModuleOp, kind: type) -> list[Any]:
    program = Program(module, {})
    return [op for op in program.main.body.block.ops if isinstance(op, kind)]


def movement_bound(module: ModuleOp) -> int:
    """The copies of the unfused form: one for each piece, and what is copied already."""
    pieces = sum(len(op.pieces) for op in main_ops(module, AssembleOp))
    return pieces + len(main_ops(module, CopyOp))


@given(plans())
@EXAMPLES
def test_each_pass_keeps_the_meaning_and_adds_no_copy(plan: Plan) -> None:
    program, inputs = build(plan), inputs_of(plan)
    want = evaluate(program, inputs)
    lowered = program.clone()
    bounds: list[int] = []

    def check(name: str, module: ModuleOp) -> None:
        try:
            if name == "fuse-horizontal":
                bounds.append(movement_bound(module))
            if name == "fuse-memory":
                assert not main_ops(module, AssembleOp)
                assert not main_ops(module, ViewOp)
                assert len(main_ops(module, CopyOp)) <= bounds[0]
            got = evaluate(lowered, inputs)
            for output, expected in want.items():
                np.testing.assert_allclose(got[output], expected, rtol=1e-3, atol=1e-4)
        except BaseException as error:
            error.add_note(f"after {name}")
            raise

    run_pipeline(lowered.module, verify=True, after_pass=check)


def launch_count(program: Program) -> int:
    run_pipeline(program.module, ["simplify", "lower", "fuse"])
    return len(main_ops(program.module, KernelOp))


@given(plans())
@EXAMPLES
def test_spellings_take_as_many_launches(plan: Plan) -> None:
    counts = {
        (flat, slices): launch_count(build(plan, flat=flat, slices=slices, distinct=True))
        for flat in (False, True)
        for slices in (False, True)
    }
    assert len(set(counts.values())) == 1, counts
