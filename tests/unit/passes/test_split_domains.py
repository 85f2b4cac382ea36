"""Kernels whose results are read in other shapes write them there, over a domain that is split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ait import nn
from ait.ir.trace import Dim, TensorSpec
from tests.unit.passes.launches import launches

F = nn.functional
Tensor = nn.Tensor
BATCH = Dim("batch", 1, 4)
INPUTS = {
    "x": TensorSpec((BATCH, 6, 12), "f32"),
    "w": TensorSpec((12, 12), "f32"),
    "many": TensorSpec((BATCH, 12, 12), "f32"),
    "table": TensorSpec((20, 12), "f32"),
    "ids": TensorSpec((BATCH, 6), "i64"),
}

KERNELS: dict[str, Callable[..., Tensor]] = {
    "gemm": lambda x, w, **_: x @ w,
    "gemm-of-batches": lambda x, many, **_: x @ many,
    "gemm-with-code": lambda x, w, **_: (x @ w + x).tanh(),
    "softmax": lambda x, **_: x.softmax(-1),
    "softmax-of-rows": lambda x, **_: x.softmax(1),
    "norm": lambda x, **_: F.layer_norm(x, (12,)),
    "norm-of-two": lambda x, **_: F.layer_norm(x, (6, 12)),
    "norm-with-code": lambda x, **_: F.layer_norm(x, (12,)) * x.exp(),
    "pointwise": lambda x, **_: x.exp() + x,
    "gather": lambda table, ids, **_: F.embedding(ids, table),
}
"""Kernels with a result of [batch, 6, 12]."""

RESHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "columns": lambda y: y.unflatten(2, [3, 4]),
    "heads": lambda y: y.unflatten(2, [3, 4]).transpose(1, 2),
    "columns-first": lambda y: y.unflatten(2, [3, 4]).permute(2, 0, 3, 1),
    "rows": lambda y: y.unflatten(1, [2, 3]).transpose(1, 2),
    "both": lambda y: y.unflatten(2, [4, 3]).unflatten(1, [3, 2]).permute(0, 2, 4, 1, 3),
    "thrice": lambda y: y.unflatten(2, [2, 3, 2]).permute(0, 4, 3, 2, 1),
}
FOLLOW: dict[str, Callable[[Tensor], Tensor]] = {
    "copied": lambda y: y,
    "scaled": lambda y: y * 0.5 + 1,
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("reshape", RESHAPES)
@pytest.mark.parametrize("follow", FOLLOW)
def test_one_kernel_writes_it_there(kernel: str, reshape: str, follow: str) -> None:
    def model(**given: Tensor) -> Tensor:
        return FOLLOW[follow](RESHAPES[reshape](KERNELS[kernel](**given)).contiguous())

    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        name: rng.standard_normal([2 if dim == BATCH else dim for dim in spec.shape], np.float32)
        for name, spec in INPUTS.items()
    }
    inputs["ids"] = rng.integers(0, 20, (2, 6))
    found = launches(model, INPUTS, inputs)
    assert len(found) == 1, found
