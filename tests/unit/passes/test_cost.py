"""The cost model counts what kernels move and compute."""

from __future__ import annotations

from typing import Any

import pytest

from ait import nn
from ait.dialects.functions import find_function
from ait.dialects.kernel import GemmOp, KernelOp
from ait.dialects.symbolic import Dim, symbol, upper_bound
from ait.ir.trace import Dim as NamedDim
from ait.ir.trace import TensorSpec, trace
from ait.passes.cost import CACHE_SPEED, Cost, cost_of, seconds, seconds_in_blocks
from ait.passes.pipelines import run_pipeline
from ait.passes.target import RowTile, find_target

BATCH = NamedDim("batch", 1, 8)
N = symbol("batch", 1, 8)


def costs(model: Any, specs: dict[str, TensorSpec], *pipeline: str) -> list[tuple[str, Cost]]:
    program = trace(model, specs, require_weights=False)
    run_pipeline(program.module, pipeline or ("simplify", "lower", "fuse"))
    main = find_function(program.module, "main")
    assert main is not None
    kernels = [op for op in main.body.block.ops if isinstance(op, KernelOp)]
    return [(op.name.removeprefix("kernel."), cost_of(op)) for op in kernels]


def spec(*dims: Any, dtype: str = "f32") -> TensorSpec:
    return TensorSpec(dims, dtype)


def test_gated_linear() -> None:
    """The input is read once for both products, and what is between them never stored."""

    def model(x: nn.Tensor) -> nn.Tensor:
        left, right = nn.Linear(16, 8, bias=False)(x).chunk(2, -1)
        return left * right.sigmoid()

    ((name, cost),) = costs(model, {"input": spec(BATCH, 16)})
    assert name == "dual_gemm"
    assert cost.bytes_read == N * 64 + 4 * 16 * 8
    assert cost.bytes_written == N * 16
    assert cost.matrix_operations == N * 2 * 16 * 8


def test_linear_and_softmax() -> None:
    """What the softmax reads is never stored."""
    specs = {"input": spec(BATCH, 16)}
    ((name, cost),) = costs(lambda x: nn.Linear(16, 4, bias=False)(x).softmax(-1), specs)
    assert name == "gemm_rowwise"
    assert cost.bytes_read == N * 64 + 4 * 16 * 4
    assert cost.bytes_written == N * 16
    assert cost.matrix_operations == N * (2 * 16 * 4)


def test_two_linears() -> None:
    """What is between them is never stored, and the code there runs for each index of it."""

    def model(x: nn.Tensor) -> nn.Tensor:
        return nn.Linear(8, 3, bias=False)(nn.Linear(16, 8, bias=False)(x).tanh())

    ((name, cost),) = costs(model, {"input": spec(BATCH, 16)})
    assert name == "back_to_back_gemm"
    assert cost.bytes_read == N * 64 + 4 * (16 * 8 + 8 * 3)
    assert cost.bytes_written == N * 12
    assert cost.matrix_operations == N * 2 * (16 * 8 + 8 * 3)
    assert cost.scalar_operations == N * 8 * 2  # the function, and what hands it on


def test_blocks_run_in_waves() -> None:
    """One more block than the device has units takes as long as all the others again; narrower
    blocks take as many waves as they are more."""
    device = find_target("any").description

    def time(rows: int, width: int | None) -> float:
        specs = {"x": spec(rows, 4096, dtype="f16"), "w": spec(4096, 512, dtype="f16")}
        program = trace(lambda x, w: x @ w, specs)
        run_pipeline(program.module, ("simplify", "lower", "fuse"))
        (kernel,) = (op for op in program.module.walk() if isinstance(op, GemmOp))
        return seconds_in_blocks(kernel, device, (64, width), upper_bound)

    full = time(64 * device.units, None)
    assert time(64 * (device.units + 1), None) == pytest.approx(2 * full, rel=0.02)
    # A block reads all of the right factor and its own rows, and multiplies them.
    traffic = 2 * (4096 * 512 + 64 * 4096 + 64 * 512)
    share = CACHE_SPEED * device.memory_bandwidth / device.units
    assert full == pytest.approx(traffic / share)
    assert time(64, None) == pytest.approx(full)  # however few blocks there are
    assert time(64, 64) < full / 3


def test_groups_of_units_that_share_rows_run_in_waves() -> None:
    """As many blocks of rows as there are groups take one wave, one more takes a second."""
    device = find_target("any").description

    def time(rows: int, groups: int) -> float:
        specs = {"x": TensorSpec((rows, 2048), "f16"), "w": TensorSpec((2048, 512), "f16")}
        program = trace(lambda x, w: x @ w, specs)
        run_pipeline(program.module, ("simplify", "lower", "fuse"))
        (kernel,) = (op for op in program.module.walk() if isinstance(op, GemmOp))
        return seconds_in_blocks(kernel, device, (128, 128), upper_bound, groups)

    assert time(128 * 31, 30) == pytest.approx(2 * time(128 * 30, 30), rel=0.02)
    assert time(128 * 31, 31) == pytest.approx(time(128 * 30, 30), rel=0.02)


def test_only_groups_that_a_device_has_share_rows() -> None:
    tile = RowTile(1024, [(128, 256), (64, 192), (16, None)], {2: 60, 4: 30})
    assert tile.shares(512) == [((128, 256), 60), ((16, None), None)]
    assert tile.shares(768) == [((64, 192), 30), ((16, None), None)]
    assert tile.shares(192) == [((128, 256), None), ((64, 192), None), ((16, None), None)]


def test_linear() -> None:
    """Weights, bias and the input are read once, whatever the batch; the product is written."""
    ((name, cost),) = costs(nn.Linear(16, 4), {"input": spec(BATCH, 16)})
    assert name == "gemm"
    assert cost.bytes_read == N * 64 + 4 * (16 * 4 + 4)
    assert cost.bytes_written == N * 16
    assert cost.matrix_operations == N * (2 * 16 * 4)
    assert cost.scalar_operations == N * 4
    assert cost.bytes == cost.bytes_read + cost.bytes_written


@pytest.mark.parametrize(
    ("model", "read"),
    [
        (lambda x, y: x[:, ::2] * 2, 16 * 4),
        (lambda x, y: x + y, (32 + 8) * 4),  # y is broadcast: each element counts once
        (lambda x, y: x + x, 32 * 4),
        (lambda x, y: x[:, :4] + x[:, 1:5], 2 * 16 * 4),
        (lambda x, y: y.expand(4, 8) * 1, 8 * 4),
    ],
)
def test_elements_that_are_reached_count_once(model: Any, read: int) -> None:
    ((name, cost),) = costs(model, {"x": spec(4, 8), "y": spec(8)})
    assert (name, cost.bytes_read) == ("pointwise", read)


def test_convolution_and_attention() -> None:
    grouped = nn.Conv2d(6, 4, 3, groups=2, bias=False)
    conv = dict(costs(grouped, {"input": spec(2, 6, 5, 5)}))["conv"]
    assert conv.matrix_operations == 2 * (2 * 3 * 3 * 4) * (3 * 3 * 3)
    heads = {name: spec(2, 4, n, 8, dtype="f16") for name, n in (("q", 3), ("k", 5), ("v", 5))}
    ((name, cost),) = costs(nn.functional.scaled_dot_product_attention, _named(heads))
    assert name == "attention"
    assert cost.matrix_operations == 2 * (2 * 4) * 3 * 5 * (8 + 8)
    assert cost.bytes == 2 * (2 * 4 * 8) * (3 + 5 + 5 + 3)


def _named(heads: dict[str, TensorSpec]) -> dict[str, TensorSpec]:
    return dict(zip(("query", "key", "value"), heads.values(), strict=True))


def test_fusion_does_not_cost_more() -> None:
    def model(x: nn.Tensor, w: nn.Tensor, r: nn.Tensor) -> nn.Tensor:
        return nn.functional.gelu(x @ w) + r

    specs = {"x": spec(BATCH, 16), "w": spec(16, 16), "r": spec(BATCH, 16)}
    before = costs(model, specs, "simplify", "lower")
    after = costs(model, specs)
    assert len(before) > len(after) == 1

    def total(found: list[tuple[str, Cost]]) -> Dim:
        return sum((cost.bytes for _, cost in found), 0)

    saved = total(before) - total(after)
    assert saved == (len(before) - 1) * 2 * 16 * 4 * N


def test_a_roofline_has_two_sides() -> None:
    device = find_target("any").description

    def roofline(model: Any, specs: dict[str, TensorSpec]) -> float:
        program = trace(model, specs, require_weights=False)
        run_pipeline(program.module, ("simplify", "lower", "fuse"))
        (kernel,) = (op for op in program.module.walk() if isinstance(op, KernelOp))
        return seconds(kernel, device)

    wide = spec(4096, 4096, dtype="f16")
    copying = roofline(lambda x: x + x, {"x": wide})
    assert copying == pytest.approx(2 * 2 * 4096**2 / device.memory_bandwidth)
    product = roofline(lambda x: x @ x, {"x": wide})
    assert product == pytest.approx(2 * 4096**3 / device.matrix_peak["f16"], rel=0.01)
