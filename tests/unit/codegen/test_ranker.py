"""The order of candidates by another opinion than our models'."""

from __future__ import annotations

import sys

import pytest

import ait
from ait import nn
from ait.codegen.cuda import matmul_heuristics
from ait.codegen.cuda.configs import GemmAttr, WgmmaAttr
from ait.codegen.cuda.matmul_heuristics import PACKAGE
from ait.codegen.cuda.target import make_target
from ait.dialects.kernel import GemmOp
from ait.errors import CompileError
from ait.passes.pipelines import run_pipeline


def gemm(dtype: str = "f16") -> GemmOp:
    model = nn.Linear(4096, 512, bias=False).to(dtype)
    spec = {"x": ait.TensorSpec((384, 4096), dtype)}
    module = ait.trace(model, spec, require_weights=False).module
    run_pipeline(module, ("default",), target="cuda:sm_90a")
    (op,) = (op for op in module.walk() if isinstance(op, GemmOp))
    return op


def test_what_is_asked_for_must_be_known_and_installed(monkeypatch) -> None:
    monkeypatch.setenv("AIT_RANKER", "dice")
    with pytest.raises(CompileError, match=f"AIT_RANKER=dice: there are analytic, {PACKAGE}"):
        make_target("cuda:sm_90a")
    monkeypatch.setenv("AIT_RANKER", PACKAGE)
    monkeypatch.setitem(sys.modules, "nvMatmulHeuristics", None)
    with pytest.raises(CompileError, match=f"pip install {PACKAGE}"):
        make_target("cuda:sm_90a")


def test_recommended_configs_come_first_and_others_in_our_order(monkeypatch) -> None:
    op = gemm()
    target = make_target("cuda:sm_90a")
    own = target.ranked(op)
    first = next(c.config for c in reversed(own) if isinstance(c.config, WgmmaAttr))
    second = next(c.config for c in reversed(own) if isinstance(c.config, GemmAttr))
    asked: set[tuple[int, int, int]] = set()

    def recommended(sizes, batch, precision, gpu):
        asked.add(sizes)
        assert (batch, precision, gpu) == (1, "HSH", "H200_SXM")
        swapped = sizes == (512, 384, 4096)
        forms = {}
        if first.data.swapped == swapped:
            forms[(*first.data.tile[:2], None, first.data.split)] = 1.0
        if second.data.swapped == swapped:
            forms[(*second.data.tile[:2], second.data.cluster, 1)] = 2.0
        return forms

    monkeypatch.setattr(matmul_heuristics, "recommended", recommended)
    monkeypatch.setitem(sys.modules, "nvMatmulHeuristics", sys)
    monkeypatch.setenv("AIT_RANKER", PACKAGE)
    found = make_target("cuda:sm_90a").ranked(op)
    assert asked == {(384, 512, 4096), (512, 384, 4096)}

    def alike(config) -> bool:
        return (type(config), config.data.tile[:2], config.data.swapped) == (
            type(first), first.data.tile[:2], first.data.swapped,
        )  # fmt: skip

    assert alike(found[0].config)
    places = {str(c.config): i for i, c in enumerate(found)}
    assert places[str(first)] < places[str(second)]
    rest = [c for c in found if c.config in {o.config for o in own} and places[str(c.config)] > 20]
    assert rest == sorted(rest, key=lambda c: c.seconds)


def test_what_the_package_does_not_know_keeps_our_order(monkeypatch) -> None:
    def recommended(*_):
        raise AssertionError("asked")

    monkeypatch.setattr(matmul_heuristics, "recommended", recommended)
    monkeypatch.setitem(sys.modules, "nvMatmulHeuristics", sys)
    monkeypatch.setenv("AIT_RANKER", PACKAGE)
    op = gemm("f32")
    found = make_target("cuda:sm_90a").ranked(op)
    monkeypatch.delenv("AIT_RANKER")
    assert found == make_target("cuda:sm_90a").ranked(op)
