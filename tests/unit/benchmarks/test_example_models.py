"""The examples whose kernels are tuned: what is measured for them is what they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

import ait
from ait.codegen.compile import library_toolchain
from ait.codegen.target import code_target
from ait.codegen.tuning.measure import Outcome
from ait.codegen.tuning.store import TimingStore
from ait.codegen.tuning.tune import Tuner
from ait.dialects.symbolic import symbols_of
from ait.ir.context import make_context
from ait.passes.pipelines import run_pipeline
from benchmarks.example_models import EXAMPLES, TunedModel, minilm
from benchmarks.tuning import MODELS, lowered


def test_names_tell_models_apart() -> None:
    names = [model.name for model in MODELS]
    assert len(set(names)) == len(names)
    assert {model.name for model in EXAMPLES} < set(names)


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda model: model.name)
def test_names_tell_which_sizes_are_open(model: TunedModel) -> None:
    dims = [dim for spec in model.specs().values() for dim in spec.shape]
    assert ("up to" in model.name) == bool(symbols_of(dims))


def test_an_example_finds_what_was_measured_for_it(tmp_path: Path) -> None:
    """As its script compiles it: with weights, and from the file that the target ships."""
    (model,) = (model for model in EXAMPLES if model.name == "MiniLM f32 up to 64x256")
    target = code_target("cuda:sm_90a")
    toolchain = library_toolchain(target)
    store = TimingStore(tmp_path / "timings.sqlite")
    tuner = Tuner(target, toolchain, 1, stores=[store])
    trials = tuner.trials([lowered(model, target).module])
    assert len(trials) > 1
    store.put(tuner.timings(trials, [Outcome(1.0)] * len(trials), "NVIDIA H100 80GB HBM3"))

    module = ait.trace(minilm.load_model(None), minilm.specs()).module
    run_pipeline(module, ("default",), target=target.name, context=make_context())
    assert Tuner(target, toolchain, 1, stores=[]).trials([module]) != []
    assert tuner.trials([module]) == []
