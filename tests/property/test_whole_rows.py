"""Products that hand whole rows on, to a softmax, a norm or a second product, are one kernel.

However they are written, and they mean what was written: to the interpreter, and compiled for the
CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ait import nn
from ait.codegen.compile import CompileOptions, compile_program
from ait.dialects.functions import find_function
from ait.dialects.kernel import BackToBackGemmOp, GemmRowwiseOp, KernelOp
from ait.ir.interpreter import evaluate
from ait.ir.nn.recorder import current_recorder
from ait.ir.program import Program
from ait.ir.trace import Dim, TensorSpec, trace
from ait.passes.pipelines import run_pipeline
from ait.passes.target import FAMILIES
from ait.runtime.loader import load
from tests.property.examples import examples

F = nn.functional
Tensor = nn.Tensor

BATCH, SEQ = Dim("batch", 1, 4), Dim("seq", 1, 16)
SIZES = {"batch": 2, "seq": 5}
DEPTH = 6


def made(layer: nn.Module) -> nn.Module:
    """The layer, with weights that differ from those of layers called before."""
    return layer.init_random(len(current_recorder().parameters))


@dataclass(frozen=True)
class Spelling:
    """One way to write `behind(second(code(x @ w)))`."""

    second: str
    """What needs the rows."""
    rows: tuple[Any, ...]
    product: str
    width: int
    code: tuple[str, ...]
    """What is done to the product, in order."""
    between: str
    """How the product is reshaped for what follows."""
    behind: str
    returned: bool
    """Whether the middle is a result too."""
    dtype: str
    out: int = 7
    """The columns of a second product."""

    @property
    def is_product(self) -> bool:
        return self.second in PRODUCTS

    @property
    def result_width(self) -> int:
        return self.out if self.is_product else self.width

    def launches(self) -> list[str]:
        """The kernels that the whole takes."""
        return ["back_to_back_gemm" if self.is_product else "gemm_rowwise"]


# The product, and the code behind it -----------------------------------------------------------


def linear(x: Tensor, w: Tensor, s: Spelling) -> Tensor:
    return made(nn.Linear(DEPTH, s.width, dtype=x.dtype))(x)


def transposed_weight(x: Tensor, w: Tensor, s: Spelling) -> Tensor:
    weight = made(nn.Linear(s.width, DEPTH, bias=False, dtype=x.dtype)).weight
    current_recorder().adopt(weight)
    return x @ weight


FIRST: Mapping[str, Callable[[Tensor, Tensor, Spelling], Tensor]] = {
    "linear": linear,
    "weight": transposed_weight,
    "matmul": lambda x, w, s: x @ w,
    "batched": lambda x, w, s: x @ w,
}
CODE: Mapping[str, Callable[[Tensor, Mapping[str, Tensor]], Tensor]] = {
    "relu": lambda y, e: y.relu(),
    "gelu": lambda y, e: F.gelu(y),
    "halved": lambda y, e: 0.5 * y,
    "residual": lambda y, e: e["full"] + y,
    "gated": lambda y, e: y * y.sigmoid(),
    "by-row": lambda y, e: y * e["row"],
    "by-column": lambda y, e: y - e["column"],
    "by-index": lambda y, e: y + nn.arange(y.shape[-1]).to(y.dtype) * 0.1,
    "masked": lambda y, e: nn.where(e["column"] > -2.0, y, -3.0),
}


# What needs whole rows -------------------------------------------------------------------------


def written_softmax(y: Tensor) -> Tensor:
    e = (y - y.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def written_layer_norm(y: Tensor) -> Tensor:
    centered = y - y.mean(-1, keepdim=True)
    return centered * (centered.pow(2).mean(-1, keepdim=True) + 1e-3).rsqrt()


def norm(y: Tensor) -> Tensor:
    width = y.shape[-1]
    assert isinstance(width, int)
    return made(nn.LayerNorm(width, 1e-3, dtype=y.dtype))(y)


ROW_OPERATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda y: y.softmax(-1),
    "softmax-written": written_softmax,
    "log-softmax": lambda y: F.log_softmax(y, -1),
    "layer-norm": norm,
    "layer-norm-written": written_layer_norm,
    "rms-norm": lambda y: F.rms_norm(y, [y.shape[-1]], eps=1e-3),
}


def second_linear(y: Tensor, v: Tensor, s: Spelling) -> Tensor:
    return made(nn.Linear(s.width, s.out, dtype=y.dtype))(y)


PRODUCTS: Mapping[str, Callable[[Tensor, Tensor, Spelling], Tensor]] = {
    "second-linear": second_linear,
    "second-matmul": lambda y, v, s: y @ v,
    "second-batched": lambda y, v, s: y @ v,
}


# The model -------------------------------------------------------------------------------------


def flat(y: Tensor) -> Tensor:
    return y.flatten(0, -2)


BEHIND: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nothing": lambda y, b: y,
    "gate": lambda y, b: b * y.sigmoid(),
    "residual": lambda y, b: y + b,
    "scaled": lambda y, b: y * 2.0,
}


def specs_of(s: Spelling) -> dict[str, TensorSpec]:
    batch = s.rows[:1]
    shapes: dict[str, tuple[Any, ...]] = {
        "x": (*s.rows, DEPTH),
        "full": (*s.rows, s.width),
        "row": (*s.rows, 1),
        "column": (s.width,),
        "b": (*s.rows, s.result_width),
        "w": (*(batch if s.product == "batched" else ()), DEPTH, s.width),
        "v": (*(batch if s.second == "second-batched" else ()), s.width, s.out),
    }
    return {name: TensorSpec(shape, s.dtype) for name, shape in shapes.items()}


def model_of(s: Spelling) -> Callable[..., Any]:
    def model(x: Tensor, w: Tensor, v: Tensor, b: Tensor, **extras: Tensor) -> Any:
        y = FIRST[s.product](x, w, s)
        for name in s.code:
            y = CODE[name](y, extras)
        middle = flat(y) if s.between == "flat" else y
        z = PRODUCTS[s.second](middle, v, s) if s.is_product else ROW_OPERATIONS[s.second](middle)
        z = BEHIND[s.behind](z, flat(b) if s.between == "flat" else b)
        return (z, y) if s.returned else z

    return model


@st.composite
def spellings(draw: st.DrawFn, dtypes: tuple[str, ...] = ("f32", "f32", "f16")) -> Spelling:
    rows = draw(st.sampled_from([(BATCH, SEQ), (3,), (SEQ,), (2, 5), (BATCH, 1), (1, SEQ)]))
    second = draw(st.sampled_from([*ROW_OPERATIONS, *PRODUCTS]))
    batched = len(rows) > 1
    if second == "second-batched" and not batched:
        second = "second-matmul"
    products = [*FIRST] if batched else [p for p in FIRST if p != "batched"]
    product = draw(st.sampled_from(products))
    flattens = batched and second != "second-batched" and product != "batched"
    return Spelling(
        second,
        rows,
        product,
        draw(st.sampled_from([2, 3, 8, 17])),
        tuple(draw(st.lists(st.sampled_from([*CODE]), max_size=3))),
        draw(st.sampled_from(["plain", "flat"])) if flattens else "plain",
        draw(st.sampled_from([*BEHIND])),
        draw(st.integers(0, 3)) == 0,
        draw(st.sampled_from(dtypes)),
    )


def inputs_of(s: Spelling) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(
            tuple(d if isinstance(d, int) else SIZES[str(d)] for d in spec.shape), np.float32
        ).astype(nn.numpy_dtype(spec.dtype))
        for name, spec in specs_of(s).items()
    }


TOLERANCE = {"f32": 2e-5, "f16": 1e-2}


def assert_close(s: Spelling, got: Mapping[str, Any], want: Mapping[str, Any]) -> None:
    for name, expected in want.items():
        wide = np.asarray(expected, np.float32)
        scale = TOLERANCE[s.dtype] * max(1.0, float(np.abs(wide).max(initial=0.0)))
        np.testing.assert_allclose(
            np.asarray(got[name], np.float32), wide, rtol=TOLERANCE[s.dtype], atol=scale
        )


def kernels(program: Program) -> list[KernelOp]:
    main = find_function(program.module, "main")
    assert main is not None
    return [op for op in main.walk() if isinstance(op, KernelOp)]


@given(spellings())
@examples(150)
def test_every_spelling_is_one_kernel(s: Spelling) -> None:
    program = trace(model_of(s), specs_of(s))
    fused = program.clone()
    run_pipeline(fused.module, verify=True)
    assert [op.name.removeprefix("kernel.") for op in kernels(fused)] == s.launches()
    inputs = inputs_of(s)
    assert_close(s, evaluate(fused, inputs), evaluate(program, inputs))


def test_compiled_kernels_agree_with_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    families = dict(FAMILIES, quick="tests.unit.codegen.cpu.quick_target")
    monkeypatch.setattr("ait.passes.target.FAMILIES", families)
    found: list[type[KernelOp]] = []

    @given(spellings())
    @examples(16)
    def check(s: Spelling) -> None:
        program = trace(model_of(s), specs_of(s))
        fused = program.clone()
        run_pipeline(fused.module, ("simplify", "lower", "fuse"), target="quick")
        found.extend(type(op) for op in kernels(fused))
        library = tmp_path / f"model{len(found)}.so"
        compile_program(program, "quick", library, CompileOptions(verify=True))
        inputs = inputs_of(s)
        want = evaluate(program, inputs)
        with load(library) as model:
            for _ in range(2):  # a second run sees the scratch memory as the first left it
                assert_close(s, model.run(inputs), want)

    check()
    assert found.count(GemmRowwiseOp) > 1
    assert found.count(BackToBackGemmOp) > 0
