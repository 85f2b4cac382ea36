"""What pools are expected to cost, against what they took."""

from __future__ import annotations

from typing import cast

import pytest

import ait
from ait import nn
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.dialect import PoolAttr
from ait.dialects.kernel import PoolOp
from ait.nn import functional as f
from ait.passes.pipelines import run_pipeline

# Microseconds on an H100 by vector and outputs (rows, columns), f16, channels last.
_MAX_3X3 = {
    (2, (2, 1)): 43.6,
    (4, (1, 1)): 43.6,
    (2, (1, 2)): 43.9,
    (8, (1, 1)): 44.0,
    (4, (2, 1)): 44.8,
    (2, (4, 1)): 44.9,
    (8, (2, 1)): 44.9,
    (2, (1, 1)): 45.0,
    (4, (1, 2)): 45.3,
    (2, (2, 2)): 46.4,
    (8, (1, 2)): 46.7,
    (4, (4, 1)): 47.3,
    (2, (1, 4)): 47.5,
    (8, (4, 1)): 48.7,
    (2, (3, 2)): 48.9,
    (4, (2, 2)): 50.3,
    (8, (2, 2)): 50.5,
    (4, (3, 2)): 51.0,
    (2, (4, 2)): 52.1,
    (2, (2, 4)): 54.6,
    (8, (3, 2)): 55.2,
    (8, (1, 4)): 55.3,
    (4, (4, 2)): 57.0,
    (8, (4, 2)): 57.5,
    (4, (1, 4)): 59.1,
    (8, (2, 4)): 64.1,
    (4, (2, 4)): 69.1,
}
_MAX_2X2 = {
    (2, (1, 2)): 42.5,
    (2, (2, 1)): 42.5,
    (4, (1, 1)): 42.5,
    (4, (1, 2)): 42.6,
    (4, (2, 1)): 42.6,
    (8, (1, 1)): 42.6,
    (2, (2, 2)): 42.8,
    (2, (1, 1)): 42.9,
    (2, (1, 4)): 42.9,
    (2, (4, 1)): 42.9,
    (8, (1, 2)): 43.0,
    (4, (1, 4)): 43.2,
    (4, (2, 2)): 43.2,
    (4, (4, 1)): 43.2,
    (8, (2, 1)): 43.2,
    (2, (2, 4)): 43.4,
    (2, (4, 2)): 43.6,
    (4, (2, 4)): 43.7,
    (4, (4, 2)): 43.8,
    (8, (1, 4)): 43.8,
    (8, (2, 2)): 43.8,
    (8, (4, 1)): 43.8,
    (8, (2, 4)): 44.5,
    (8, (3, 2)): 44.5,
    (2, (3, 2)): 44.8,
    (4, (3, 2)): 44.9,
    (8, (4, 2)): 45.5,
}
_MAX_5X5 = {
    (8, (3, 2)): 42.2,
    (8, (2, 2)): 42.4,
    (4, (3, 2)): 43.6,
    (4, (4, 2)): 43.8,
    (4, (4, 1)): 44.5,
    (8, (4, 1)): 44.7,
    (8, (4, 2)): 44.8,
    (4, (2, 2)): 45.2,
    (8, (2, 1)): 45.5,
    (4, (2, 4)): 45.9,
    (4, (2, 1)): 46.8,
    (8, (2, 4)): 47.8,
    (2, (4, 2)): 48.1,
    (2, (2, 4)): 48.2,
    (2, (3, 2)): 48.2,
    (2, (2, 2)): 48.7,
    (8, (1, 2)): 50.7,
    (2, (4, 1)): 50.8,
    (8, (1, 4)): 50.8,
    (4, (1, 4)): 51.4,
    (2, (1, 4)): 55.6,
    (8, (1, 1)): 57.2,
    (4, (1, 2)): 58.5,
    (2, (2, 1)): 59.8,
    (4, (1, 1)): 61.7,
    (2, (1, 2)): 62.9,
    (2, (1, 1)): 87.0,
}
_AVERAGE_3X3 = {
    (4, (4, 2)): 40.4,
    (4, (4, 1)): 40.8,
    (4, (3, 2)): 41.3,
    (2, (4, 2)): 41.4,
    (8, (2, 1)): 41.9,
    (2, (3, 2)): 42.2,
    (8, (4, 1)): 42.6,
    (2, (4, 1)): 42.9,
    (4, (2, 1)): 44.0,
    (4, (2, 2)): 44.2,
    (8, (2, 2)): 44.4,
    (4, (1, 2)): 44.6,
    (4, (1, 4)): 45.4,
    (2, (2, 4)): 45.5,
    (8, (1, 2)): 45.8,
    (8, (4, 2)): 46.1,
    (2, (2, 2)): 46.3,
    (8, (3, 2)): 48.1,
    (8, (1, 4)): 48.6,
    (2, (1, 4)): 49.2,
    (8, (1, 1)): 49.4,
    (4, (2, 4)): 52.3,
    (2, (2, 1)): 52.4,
    (4, (1, 1)): 53.3,
    (2, (1, 2)): 54.2,
    (2, (1, 1)): 71.4,
    (8, (2, 4)): 73.0,
}


def image_op(pool, shape: tuple[int, int, int, int]) -> PoolOp:
    """The pool of an image [n, h, w, c], lowered."""

    class Model(nn.Module):
        def forward(self, x):
            return pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    module = ait.trace(Model(), {"x": ait.TensorSpec(shape, "f16")}).module
    run_pipeline(module, ("default",), target="cuda:sm_90a")
    (op,) = (op for op in module.walk() if isinstance(op, PoolOp))
    return op


@pytest.mark.parametrize(
    ("pool", "shape", "took"),
    [
        (lambda x: f.max_pool2d(x, 3, 2, 1), (64, 112, 112, 64), _MAX_3X3),
        (lambda x: f.max_pool2d(x, 2, 2), (32, 112, 112, 128), _MAX_2X2),
        (lambda x: f.max_pool2d(x, 5, 1, 2), (16, 80, 80, 256), _MAX_5X5),
        (lambda x: f.avg_pool2d(x, 3, 1, 1), (32, 56, 56, 256), _AVERAGE_3X3),
    ],
)
def test_what_is_chosen_is_among_the_fastest(pool, shape, took) -> None:
    first, *_ = make_target("cuda:sm_90a").ranked(image_op(pool, shape))
    config = cast(PoolAttr, first.config).data
    assert took[config.vector, config.outputs] <= 1.02 * min(took.values())
