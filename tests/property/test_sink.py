"""Pointwise code over concats of anything, in any layout: the meaning stays, no copy is added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ait import nn
from ait.dialects.functions import find_function
from ait.dialects.kernel import CopyOp, KernelOp
from ait.dialects.symbolic import Dim, evaluate, symbol
from ait.ir.interpreter import evaluate as interpret
from ait.ir.program import Program
from ait.ir.trace import TensorSpec, trace
from ait.passes.fusion import sink
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks

Tensor = nn.Tensor
Dims = tuple[Dim, ...]

SYMBOLS = (symbol("n", 1, 8), symbol("m", 1, 8))
VALUES = {"n": 3, "m": 2}
"""The values of the symbols when results are compared."""

CHECKED = ("lower-graph", "fuse-vertical", "fuse-horizontal", "fuse-memory", "plan-memory")
"""The passes after which a model is run; test_pipeline.py runs others after each."""

WITH_INPUT = ("input", "softmax", "gemm")
"""Kinds of pieces that are made of an input of their own."""


@dataclass(frozen=True)
class Piece:
    """A piece of a concat: what it is, its extent along the axis, and where a slice begins."""

    kind: str
    extent: Dim
    first: int


@dataclass(frozen=True)
class Model:
    """Pieces, concatenated or interleaved, in some layout; pointwise code; and other users."""

    dims: Dims
    axis: int
    pieces: tuple[Piece, ...]
    interleaved: bool
    layout: str
    operands: tuple[tuple[bool, ...], ...]
    """Of each operand of the code, along which axes it does not broadcast."""
    users: tuple[str, ...]
    reread: bool

    def with_axis(self, extent: Dim) -> Dims:
        return (*self.dims[: self.axis], extent, *self.dims[self.axis + 1 :])

    @property
    def whole(self) -> Dims:
        """The dims of the assembled tensor."""
        if self.interleaved:
            return (*self.dims[:-1], self.dims[-1] * len(self.pieces))
        return self.with_axis(sum((p.extent for p in self.pieces), start=_zero()))

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        total = sum((p.extent for p in self.pieces), start=_zero())
        # Only a dim that is a symbol itself tells the symbol's value.
        specs = {"x": TensorSpec(self.with_axis(total + 3)), "sizes": TensorSpec(SYMBOLS)}
        for i, piece in enumerate(self.pieces):
            if piece.kind in WITH_INPUT:
                specs[f"p{i}"] = TensorSpec(self.with_axis(piece.extent))
        specs["w"] = TensorSpec((self.dims[-1], self.dims[-1]))
        for i, along in enumerate(self.operands):
            dims = [d if a else 1 for d, a in zip(self.whole, along, strict=True)]
            specs[f"o{i}"] = TensorSpec(dims)
        return specs

    def piece(self, number: int, tensors: Mapping[str, Tensor]) -> Tensor:
        made = self.pieces[number]
        part = tensors["x"].narrow(self.axis, made.first, made.extent)
        match made.kind:
            case "slice":
                return part
            case "negated":
                return -part
            case "flipped":
                return part.flip(self.axis)
            case "same":
                return self.piece(0, tensors) if number else part
            case "softmax":
                return tensors[f"p{number}"].softmax(0)
            case "gemm":
                return tensors[f"p{number}"] @ tensors["w"]
            case _:
                return tensors[f"p{number}"]

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        tensors = dict(zip(self.inputs, given, strict=True))
        pieces = [self.piece(i, tensors) for i in range(len(self.pieces))]
        whole = nn.stack(pieces, -1).flatten(-2) if self.interleaved else nn.cat(pieces, self.axis)
        code = whole * nn.arange(self.whole[self.axis]).to("f32").reshape(
            *(n if i == self.axis else 1 for i, n in enumerate(self.whole))
        )
        for i in range(len(self.operands)):
            operand = tensors[f"o{i}"]
            code = code * operand if i % 2 else code + operand
        if self.layout == "permuted":
            code = code.transpose(0, -1).tanh()
        if self.layout == "flat":
            code = code.flatten().tanh()
        if self.reread:
            code = code + code.flip(0)
        outputs = {
            "returned": lambda: whole,
            "summed": lambda: whole.sum(0),
            "code": lambda: whole.sigmoid() * 2,
            "middle": lambda: code,
            "chained": lambda: whole.tanh().flip(0) + whole,
        }
        return (code.relu() - 1, *(outputs[user]() for user in self.users))


def _zero() -> Dim:
    return 0


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Any model of the kind."""
    extents = st.sampled_from([*SYMBOLS, 1, 2, 3, 4])
    dims = tuple(draw(st.lists(extents, min_size=1, max_size=4)))
    interleaved = draw(st.booleans())
    axis = len(dims) - 1 if interleaved else draw(st.integers(0, len(dims) - 1))
    kinds = ["slice", "negated", "flipped", "same", "input", "softmax"]
    if 0 < axis < len(dims) - 1:
        kinds.append("gemm")
    first = Piece(draw(st.sampled_from(kinds)), dims[axis] if interleaved else draw(extents), 0)
    pieces = [first]
    for _ in range(draw(st.integers(1, 2 if interleaved else 5))):
        kind = draw(st.sampled_from(kinds))
        fixed = interleaved or kind == "same"
        pieces.append(
            Piece(kind, first.extent if fixed else draw(extents), draw(st.integers(0, 3)))
        )
    along = st.tuples(*(st.booleans() for _ in dims))
    users = st.sampled_from(["returned", "summed", "code", "middle", "chained"])
    return Model(
        dims,
        axis,
        tuple(pieces),
        interleaved,
        draw(st.sampled_from(["plain", "permuted", "flat"])),
        tuple(draw(st.lists(along, max_size=3))),
        tuple(draw(st.lists(users, max_size=1))),
        draw(st.integers(0, 3)) == 0,
    )


def arrays(model: Model) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(tuple(evaluate(dim, VALUES) for dim in spec.shape), np.float32)
        for name, spec in model.inputs.items()
    }


def kernels(program: Program) -> list[KernelOp]:
    main = find_function(program.module, "main")
    assert main is not None
    return [op for op in main.walk() if isinstance(op, KernelOp)]


def traffic(ops: list[KernelOp]) -> int:
    """How many elements kernels read and write."""
    maps = (access for op in ops for access in (*op.in_access, *op.out_access))
    return sum(evaluate(access.size, VALUES) for access in maps)


def copies(ops: list[KernelOp]) -> int:
    return sum(isinstance(op, CopyOp) for op in ops)


def test_meaning_stays_and_nothing_is_moved_more(monkeypatch: pytest.MonkeyPatch) -> None:
    sunk = 0

    @given(models())
    @settings(
        max_examples=80,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def check(model: Model) -> None:
        nonlocal sunk
        program = trace(model, model.inputs)
        inputs = arrays(model)
        want = interpret(program, inputs)

        def same(name: str, _: object) -> None:
            if name not in CHECKED:
                return
            got = interpret(fused, inputs)
            for output, expected in want.items():
                np.testing.assert_allclose(
                    got[output], expected, rtol=1e-4, atol=1e-4, err_msg=f"{output} after {name}"
                )

        fused = program.clone()
        with collect_remarks() as remarks:
            run_pipeline(fused.module, ("default",), verify=True, after_pass=same)
        applied = sum("piece by piece" in r.message for r in remarks if r.kind == "applied")
        if not applied:
            return
        sunk += 1
        with monkeypatch.context() as patch:
            patch.setattr(sink, "MOST_PARTS", 0)
            plain = program.clone()
            run_pipeline(plain.module, ("default",))
        assert copies(kernels(fused)) <= copies(kernels(plain))
        assert traffic(kernels(fused)) <= traffic(kernels(plain))

    check()
    assert sunk > 30
