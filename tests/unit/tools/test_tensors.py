"""Inputs of `ait run`, `bench` and `verify`, and the comparison of results."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from ait.codegen.units import byte_count, duration
from ait.errors import InputError
from ait.tools.compare import compare, compare_all
from ait.tools.errors import UsageError
from ait.tools.tensors import (
    Signature,
    add_input_arguments,
    evaluate_text,
    make_inputs,
    write_outputs,
)


@dataclass(frozen=True)
class Dim:
    text: str
    lower: int
    upper: int


@dataclass(frozen=True)
class Port:
    name: str
    dtype: str
    dims: tuple[Dim, ...]
    alignment: int = 64


BATCH = Dim("batch", 1, 64)
SIGNATURE = Signature(
    (
        Port("ids", "i64", (BATCH, Dim("seq * 2", 2, 256))),
        Port("x", "bf16", (BATCH, Dim("8", 8, 8))),
    ),
    {"batch": (1, 64), "seq": (1, 128)},
)


def make(*argv: str):
    parser = argparse.ArgumentParser()
    add_input_arguments(parser)
    return make_inputs(parser.parse_args(argv), SIGNATURE)


def test_random_inputs_have_the_declared_types_and_bound_shapes() -> None:
    inputs = make("--shape", "seq=3")
    assert [(n, v.dtype.name, v.shape) for n, v in inputs.items()] == [
        ("ids", "int64", (1, 6)),
        ("x", "bfloat16", (1, 8)),
    ]
    assert set(inputs["ids"].ravel()) <= {0, 1}


def test_random_inputs_follow_the_seed() -> None:
    first, again, other = make("--seed=1"), make("--seed=1"), make("--seed=2")
    assert np.array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])


def test_int_range() -> None:
    values = make("--shape=batch=64", "--shape=seq=128", "--int-range=5:9")["ids"]
    assert set(np.unique(values)) == {5, 6, 7, 8}


def test_a_given_input_decides_the_sizes_of_the_others(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((7, 8), np.float32))
    inputs = make(f"--input=x={tmp_path / 'x.npy'}")
    assert inputs["ids"].shape == (7, 2)


def test_inputs_by_name_from_archives(tmp_path: Path) -> None:
    arrays = {"ids": np.ones((2, 2), np.int64), "x": np.zeros((2, 8), ml_dtypes.bfloat16)}
    write_outputs(tmp_path / "in.safetensors", arrays)
    found = make("--input", str(tmp_path / "in.safetensors"))
    assert all(np.array_equal(found[n], arrays[n]) for n in arrays)
    write_outputs(tmp_path / "in.npz", arrays)
    assert np.array_equal(make("--input", str(tmp_path / "in.npz"))["ids"], arrays["ids"])
    one = make(f"--input=ids={tmp_path / 'in.npz'}")
    assert one["ids"].shape == (2, 2)


@pytest.mark.parametrize(
    ("argv", "error", "message"),
    [
        (["--shape=batch"], UsageError, "expected SYMBOL=SIZE"),
        (["--shape=batch=-1"], UsageError, "expected SYMBOL=SIZE"),
        (["--shape=rows=2"], UsageError, "no dynamic size 'rows' (batch, seq)"),
        (["--shape=batch=65"], InputError, "batch = 65 is outside of its range 1..64"),
        (["--input=x="], UsageError, "expected NAME=FILE"),
        (["--input=x.txt"], UsageError, "expected NAME=FILE.npy"),
        (["--int-range=3"], UsageError, "expected LOW:HIGH"),
        (["--int-range=3:3"], UsageError, "LOW must be below HIGH"),
    ],
)
def test_bad_arguments(argv: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make(*argv)
    assert message in str(caught.value)


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(InputError, match=r"is no \.?\w+ file"):
            make(f"--input=x={tmp_path / name}")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{"code": 1}]), allow_pickle=True)
    with pytest.raises(InputError):
        make(f"--input=x={tmp_path / 'p.npy'}")


def test_an_input_that_the_model_has_not(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros(1))
    with pytest.raises(InputError, match=r"no input 'y' \(it has: ids, x\)"):
        make(f"--input=y={tmp_path / 'y.npy'}")


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/b", "x"])
def test_outputs_may_have_any_name(tmp_path: Path, name: str) -> None:
    write_outputs(tmp_path / "out.npz", {name: np.arange(3)})
    with np.load(tmp_path / "out.npz") as archive:
        assert np.array_equal(archive[name], np.arange(3))


def test_texts_of_dims() -> None:
    sizes = {"a": 7, "b": 3}
    assert evaluate_text("a * b * 2 - a + 1", sizes) == 36
    assert evaluate_text("((a + 1) floordiv (b))", sizes) == 2
    assert evaluate_text("max(a, b * 4) + ((a) mod (b))", sizes) == 13
    for text in ("c", "a.real", "__import__('os')", "a ** b", "a b"):
        with pytest.raises(InputError):
            evaluate_text(text, sizes)


def test_equal_arrays_agree() -> None:
    for values in (np.arange(5.0, dtype=np.float32), np.array([]), np.array([np.nan, np.inf])):
        found = compare(values, values)
        assert found.problem == "" and found.max_error == 0.0
        assert found.cosine == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("got", "want", "problem"),
    [
        (np.float32([1, 2]), np.float32([1, 2.1]), "relative error"),
        (np.float32([1, np.nan]), np.float32([1, 2]), "NaNs or infinities differ"),
        (np.float32([1, np.inf]), np.float32([1, -np.inf]), "NaNs or infinities differ"),
        (np.int32([1, 2]), np.int32([1, 3]), "relative error"),
        (np.float32([1]), np.float32([1, 2]), "instead of"),
        (np.float32([1]), np.float16([1]), "instead of"),
        (np.float32([1e-9]), np.float32([0]), "relative error"),
    ],
)
def test_differences_are_problems(got, want, problem: str) -> None:
    assert problem in compare(got, want).problem


def test_an_output_that_one_side_lacks_is_a_problem() -> None:
    found = compare_all({"a": np.zeros(1)}, {"b": np.zeros(1)})
    assert found["a"].problem == "only the compiled model gives it"
    assert found["b"].problem == "only the reference gives it"


def test_numbers_for_people() -> None:
    assert [byte_count(n) for n in (0, 1023, 1536, 5 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]
    assert [duration(s) for s in (2.5, 0.0123, 4.2e-6)] == ["2.5 s", "12.3 ms", "4.2 us"]
