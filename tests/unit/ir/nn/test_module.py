"""Modules: names, weights and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import ait
from ait import nn
from ait.errors import ShapeError, WeightError
from ait.ir.dtypes import Array
from tests.unit.ir.nn.harness import normal, same


class Block(nn.Module):
    def __init__(self, width: int):
        self.norm = nn.BatchNorm2d(width)
        self.layers = nn.ModuleList([nn.Conv2d(width, width, 1), nn.Identity()])
        self.scale = nn.Parameter((width, 1, 1))
        self.table = nn.Buffer(np.arange(width), persistent=False)
        self.absent = None

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) * self.scale


class Net(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(Block(2), nn.ReLU(), Block(2))
        self.heads = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 3, bias=False)})

    def forward(self, x: nn.Tensor) -> dict[str, nn.Tensor]:
        x = self.body(x).mean((2, 3))
        return {name: head(x) for name, head in self.heads.items()}


NAMES = [
    *(
        f"body.{i}.{name}"
        for i in (0, 2)
        for name in (
            "scale",
            "norm.weight",
            "norm.bias",
            "norm.running_mean",
            "norm.running_var",
            "layers.0.weight",
            "layers.0.bias",
        )
    ),
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.weight",
]


def test_names_and_their_order_are_pytorchs() -> None:
    net = Net()
    assert list(net.state_dict()) == NAMES
    parameters = [name for name, _ in net.named_parameters()]
    assert parameters == [name for name in NAMES if "running" not in name]
    buffers = [name for name, _ in net.named_buffers()]
    assert buffers[:3] == ["body.0.table", "body.0.norm.running_mean", "body.0.norm.running_var"]
    assert [path for path, _ in net.named_modules()][:4] == ["", "body", "body.0", "body.0.norm"]
    assert len(list(net.parameters())) == 13
    assert len(list(net.children())) == 2


def test_registered_parts_are_attributes() -> None:
    module = nn.Module()
    module.register_parameter("p", nn.Parameter((2,)))
    module.register_parameter("none", None)
    module.register_buffer("b", np.zeros(3))
    module.register_buffer("hidden", np.zeros(3), persistent=False)
    module.add_module("m", nn.Linear(1, 1))
    assert list(module.state_dict()) == ["p", "b", "m.weight", "m.bias"]


def weights_of(net: nn.Module) -> dict[str, Array]:
    return {name: np.asarray(p.data) for name, p in net.state_dict().items()}


def test_load_from_arrays_parameters_and_files(tmp_path: Path) -> None:
    source = Net().init_random(1)
    arrays = weights_of(source)
    path = tmp_path / "weights.safetensors"
    save_file({**arrays, "body.0.norm.num_batches_tracked": np.array(7)}, path)
    for given in (arrays, source.state_dict(), path, str(path)):
        net = Net()
        report = net.load_state_dict(given)
        assert report == nn.LoadReport((), ())
        for name, parameter in net.state_dict().items():
            same(np.asarray(parameter.data), arrays[name])


def test_load_with_prefix_sees_only_its_names() -> None:
    source = nn.Linear(2, 3).init_random()
    arrays = {f"model.{name}": array for name, array in weights_of(source).items()}
    nn.Linear(2, 3).load_state_dict({**arrays, "other.weight": np.zeros(1)}, prefix="model.")
    with pytest.raises(WeightError, match=r"unexpected: model\.weight"):
        nn.Linear(2, 3).load_state_dict(arrays)


def test_all_problems_are_listed_and_nothing_is_loaded() -> None:
    net = Net()
    arrays = weights_of(Net().init_random())
    del arrays["heads.a.bias"], arrays["body.0.scale"]
    arrays["extra"] = arrays["more.extra"] = np.zeros(1)
    arrays["heads.b.weight"] = np.zeros((2, 3), np.float32)
    arrays["heads.a.weight"] = np.zeros((3, 2), np.int64)
    with pytest.raises(WeightError) as caught:
        net.load_state_dict(arrays)
    text = str(caught.value)
    for part in (
        "do not fit Net: 6 problems",
        "missing: heads.a.bias",
        "missing: body.0.scale",
        "unexpected: extra",
        "unexpected: more.extra",
        "shape: heads.b.weight is [3, 2], but the weights have [2, 3]",
        "dtype: heads.a.weight is f32, but the weights have int64",
    ):
        assert part in text
    assert all(p.data is None for p in net.parameters())


def test_without_strict_names_are_reported_but_shapes_still_count() -> None:
    net = nn.Linear(2, 3)
    report = net.load_state_dict({"weight": np.zeros((3, 2)), "extra": np.zeros(1)}, strict=False)
    assert report == nn.LoadReport(missing=("bias",), unexpected=("extra",))
    with pytest.raises(WeightError, match="shape"):
        net.load_state_dict({"weight": np.zeros((2, 3))}, strict=False)


def test_ignored_names_are_a_list() -> None:
    arrays = {**weights_of(nn.Linear(2, 3).init_random()), "inner.position_ids": np.zeros(1)}
    nn.Linear(2, 3).load_state_dict(arrays)
    with pytest.raises(WeightError, match="position_ids"):
        nn.Linear(2, 3).load_state_dict(arrays, ignore=())
    nn.Linear(2, 3).load_state_dict(
        {**arrays, "a.step": np.zeros(1)}, ignore=["step", "inner.position_ids"]
    )


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_dtypes_change_before_or_after_loading(dtype: str, tmp_path: Path) -> None:
    arrays = weights_of(nn.Linear(2, 3).init_random())
    stored = nn.numpy_dtype(dtype)
    before, after = nn.Linear(2, 3).to(dtype), nn.Linear(2, 3)
    before.load_state_dict(arrays)
    after.load_state_dict(arrays)
    after.to(dtype)
    path = tmp_path / "weights.safetensors"
    save_file({name: array.astype(stored) for name, array in arrays.items()}, path)
    from_file = nn.Linear(2, 3, dtype=dtype)
    from_file.load_state_dict(path)
    for net in (before, after, from_file):
        assert net.weight.dtype == dtype
        assert net.weight.data is not None and net.weight.data.dtype == stored
        same(net.weight.data, arrays["weight"].astype(stored))


def test_integers_keep_their_dtype() -> None:
    module = nn.Module()
    module.register_buffer("steps", np.arange(3))
    module.register_buffer("mask", np.array([True]))
    module.half()
    assert [b.dtype for b in module.buffers()] == ["i64", "i1"]
    with pytest.raises(WeightError, match="dtype: steps is i64, but the weights have int32"):
        module.load_state_dict({"steps": np.arange(3, dtype=np.int32), "mask": np.array([True])})


def test_torch_like_tensors_are_taken() -> None:
    class Torch:
        """As much of a torch tensor as loading uses."""

        dtype = "torch.bfloat16"

        def detach(self) -> Torch:
            return self

        cpu = detach

        def float(self) -> Array:
            return np.full((3,), 1.5, np.float32)

    module = nn.Module()
    module.register_parameter("p", nn.Parameter((3,), "bf16"))
    module.load_state_dict({"p": Torch()})
    same(np.asarray(next(module.parameters()).data), np.full((3,), 1.5, ml_dtypes.bfloat16))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match="no file"):
        nn.Linear(1, 1).load_state_dict(tmp_path / "absent.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 100)
    with pytest.raises(WeightError, match="no readable safetensors"):
        nn.Linear(1, 1).load_state_dict(broken)
    with pytest.raises(WeightError, match="pickle"):
        nn.Linear(1, 1).load_state_dict("model.pth")


class Tied(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(5, 4)
        self.decoder = nn.Linear(4, 5, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, ids: nn.Tensor) -> nn.Tensor:
        return self.decoder(self.embedding(ids))


def test_tied_weights_are_one_parameter() -> None:
    model = Tied()
    assert list(model.state_dict()) == ["embedding.weight", "decoder.weight"]
    assert [name for name, _ in model.named_parameters()] == ["embedding.weight"]
    table = normal(5, 4)
    model.load_state_dict({"decoder.weight": table})  # one of its names is enough
    program = ait.trace(model, {"ids": ait.TensorSpec((3,), "i64")})
    assert list(program.weights) == ["embedding.weight"]
    ids = np.array([4, 0, 1])
    np.testing.assert_allclose(
        ait.evaluate(program, {"ids": ids})["output"], table[ids] @ table.T, rtol=1e-5
    )
    with pytest.raises(WeightError, match=r"conflict: decoder\.weight and embedding\.weight"):
        model.load_state_dict({"embedding.weight": table, "decoder.weight": table + 1})
    model.load_state_dict({"embedding.weight": table, "decoder.weight": table})


def test_random_weights_depend_on_seed_and_name_only() -> None:
    first, second, other = (weights_of(Net().init_random(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["heads.a.weight"], other["heads.a.weight"])
    loaded = nn.Linear(2, 3)
    loaded.load_state_dict({"weight": np.ones((3, 2))}, strict=False)
    loaded.init_random()
    same(np.asarray(loaded.weight.data), np.ones((3, 2)))


@pytest.mark.parametrize("layer", [nn.Linear(32, 32), nn.Conv2d(8, 8, 3, padding=1)])
def test_deep_random_models_stay_finite_in_half(layer: nn.Module) -> None:
    kind: Any = type(layer)
    arguments = (32, 32) if isinstance(layer, nn.Linear) else (8, 8, 3, 1, 1)
    layers = [part for _ in range(40) for part in (kind(*arguments), nn.ReLU())]
    deep = nn.Sequential(*layers).init_random().half()
    shape = (4, 32) if isinstance(layer, nn.Linear) else (1, 8, 6, 6)
    program = ait.trace(deep, {"x": ait.TensorSpec(shape, "f16")})
    y = ait.evaluate(program, {"x": normal(*shape).astype(np.float16)})["output"]
    assert np.isfinite(y).all() and np.abs(y).max() > 0


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ShapeError, match="f8"):
        nn.Parameter((2,), "f8")
    with pytest.raises(ShapeError, match="-1"):
        nn.Parameter((-1,))
    with pytest.raises(ShapeError, match="groups = 3"):
        nn.Conv2d(4, 6, 1, groups=3)
    with pytest.raises(ShapeError, match="groups = 4"):
        nn.ConvTranspose2d(4, 6, 1, groups=4)
    with pytest.raises(ShapeError, match="3 heads"):
        nn.MultiheadAttention(8, 3)
