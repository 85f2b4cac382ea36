"""What runs on a GPU is that of a seed: the same for the same one, all of it other for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gpu import build_kernels, build_models, build_programs, test_prebuilt
from tests.gpu.models import MODELS
from tests.gpu.networks import network


def bits(arrays: dict[str, Any]) -> dict[str, bytes]:
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def test_models_have_inputs_and_weights_of_a_seed() -> None:
    model = MODELS["mlp_odd"]
    program, sizes = model.make(), model.dims[:2]
    first, again, other = (
        bits(build_models.data_of(program, sizes, seed)) for seed in (7, 7, 2**32 - 1)
    )
    assert first == again and first.keys() == other.keys()
    assert not [name for name in first if first[name] == other[name]]


def test_networks_have_inputs_of_their_seed() -> None:
    first, again, other = (network(seed) for seed in (11, 11, 12))
    size = first.sizes[-1]
    assert bits(first.inputs(size)) == bits(again.inputs(size))
    assert str(first.program.module) != str(other.program.module)
    values = [drawn.inputs(drawn.sizes[-1])["x"].reshape(-1)[:8] for drawn in (first, other)]
    assert not np.array_equal(*values)


def test_programs_have_inputs_of_a_seed() -> None:
    case = build_programs.generated(1, 11)[0]
    first, again, other = (
        [bits(run.inputs) for run in build_programs.runs_of(case, seed)] for seed in (11, 11, 12)
    )
    assert first == again
    assert first[0] == other[0], "those that were drawn with it"
    assert [run for run in first[1:] if run not in other[1:]]


@pytest.mark.parametrize("name", ["_kernels", "_models", "_programs"])
def test_a_drawn_seed_is_told_and_counts(name: str, monkeypatch, capsys) -> None:
    """What is told repeats it: the module, and its arguments after the folder."""
    module = {"_kernels": build_kernels, "_models": build_models, "_programs": build_programs}[name]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(module, "build", lambda *given, **named: calls.append((given, named)))
    getattr(test_prebuilt, name)(Path("folder"), 4_000_000_001)
    (told,) = capsys.readouterr().out.splitlines()
    module.main(["folder", *told.partition(f"{module.__name__.rpartition('.')[2]} ")[2].split()])
    drawn, repeated = (
        [value for value in (*given, *named.values()) if value == 4_000_000_001]
        for given, named in calls
    )
    assert len(drawn) == len(repeated) == 1
