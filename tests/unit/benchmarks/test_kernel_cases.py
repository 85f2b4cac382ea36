"""The kernel benchmark's cases, and the verdicts that it prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ait
from ait.dialects.graph import Conv2dOp
from ait.ir.program import Program
from benchmarks.kernels.__main__ import summary
from benchmarks.kernels.case import Bar, KernelCase
from benchmarks.kernels.cases import CASES

ROOT = Path(__file__).resolve().parents[3]


def convolutions(program: Program) -> set[tuple[Any, ...]]:
    """Shapes and attributes of a program's convolutions."""
    return {
        (op.operands[0].type.get_shape(), op.operands[1].type.get_shape(), op.strides, op.padding)
        for op in program.module.walk()
        if isinstance(op, Conv2dOp)
    }


def traced(case: KernelCase) -> Program:
    specs = {name: ait.TensorSpec(shape, "f32") for name, shape in case.inputs.items()}
    return ait.trace(case.module(), specs, require_weights=False)


@pytest.mark.parametrize("batch", [1, 64])
def test_convolutions_are_those_of_resnet_50(batch: int, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
    import resnet50

    spec = {"x": ait.TensorSpec((batch, 3, 224, 224), "f32")}
    model = convolutions(ait.trace(resnet50.resnet50(), spec, require_weights=False))
    cases = [case for case in CASES.values() if case.group == f"conv b{batch}"]
    assert set().union(*(convolutions(traced(case)) for case in cases)) == model
    assert len(cases) == len(model)


def test_modules_take_the_weights_that_are_drawn_for_rivals() -> None:
    for case in CASES.values():
        own = {name: p.shape for name, p in case.module().named_parameters(buffers=True)}
        assert own == case.weights, case.title


def rows(ratios: dict[str, float], error: float = 1e-4) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for title, ratio in ratios.items():
        common = {"case": title, "group": "gemm"}
        found.append({**common, "engine": "ait", "median_ms": 1.0, "max_error": error})
        for engine, slower in (("matmul", 1.0), ("slower", 2.0)):
            milliseconds = ratio * slower
            found.append({**common, "engine": engine, "median_ms": milliseconds, "max_error": 1e-4})
    return found


def test_the_fastest_rival_counts_and_bars_are_met_or_missed() -> None:
    text = summary("gemm", Bar(geomean=1.0, worst=0.85), rows({"a": 2.0, "b": 0.5}))
    assert "geomean 1.000 (bar 1.0: met)" in text
    assert "worst 0.500 (b) (bar 0.85: MISSED)" in text
    assert summary("conv", Bar(), rows({"a": 2.0})) == ""


@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_wrong_results_have_no_ratio(error: float) -> None:
    text = summary("gemm", Bar(geomean=1.0), rows({"a": 2.0}, error))
    assert text == "gemm: 1 cases, FAILED or wrong: a"
