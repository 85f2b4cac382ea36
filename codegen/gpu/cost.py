"""The analytic model of the kernels that all GPUs share, and the shapes that models work on.

Only differences between configs matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.symbolic import dim_product, upper_bound
from ait.passes.target import DeviceDescription

# The part of a gemm before the first and after the last multiplication.
_RAMP_SECONDS = 0.75e-6
# By the elements of a copy: 3.0 was measured, of a network's first convolution.
_SLOWER_COPIES = {1: 3.0, 2: 2.0, 4: 1.3}


@dataclass(frozen=True)
class GemmShape:
    """A gemm as numbers: extents (the largest that symbols allow), bytes an element, bytes moved.

    `epilogue_bytes` are read and written for each element of the result.
    """

    batch: int
    m: int
    n: int
    k: int
    element_bytes: int
    epilogue_bytes: int

    @staticmethod
    def of(view: KernelView) -> GemmShape:
        extents = [upper_bound(view.group(name).dim) for name in ("batch", "m", "n", "k")]
        batch, m, n, k = (max(1, extent) for extent in extents)
        others = [*view.extras, *view.outs]
        moved = sum(operand.element.bytes for operand in others if _is_full(operand))
        width = max(operand.element.bytes for operand in view.ins[:2])
        return GemmShape(batch, m, n, k, width, moved)

    def transposed(self) -> GemmShape:
        return GemmShape(
            self.batch, self.n, self.m, self.k, self.element_bytes, self.epilogue_bytes
        )

    @property
    def operations(self) -> float:
        return 2.0 * self.batch * self.m * self.n * self.k

    @property
    def bytes(self) -> float:
        factors = self.batch * self.k * (self.m + self.n) * self.element_bytes
        return factors + self.batch * self.m * self.n * self.epilogue_bytes


def _is_full(operand: Operand) -> bool:
    return operand.stride("m") != 0 and operand.stride("n") != 0


def own_gemm_seconds(
    shape: GemmShape,
    device: DeviceDescription,
    tile: tuple[int, int, int],
    tensor: bool,
    slowdown: float = 1.0,
) -> float:
    """Expected time of the gemm kernel of our own: one block a tile, several blocks a unit.
    `slowdown`: how much longer steps along k take where they do not wait for memory."""
    m, n, k = tile
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    peak = device.matrix_peak["f16"] * 0.11 if tensor else device.vector_peak * 0.5
    # Two blocks hide each other's waits; a lone one waits for memory in every step along k.
    per_unit = peak / device.units
    waves = ceil(tiles / (2 * device.units)) * 2 if tiles > device.units else 1
    step = max(2.0 * m * n * k / per_unit * slowdown, 0.6e-6 / max(1, min(4, tiles / device.units)))
    steady = waves * ceil(shape.k / k) * step
    finish = m * n * shape.epilogue_bytes * waves / (device.memory_bandwidth / device.units)
    return max(steady + finish, shape.bytes / device.memory_bandwidth) + _RAMP_SECONDS


def slowdown_of_copies(elements: int) -> float:
    """How much longer kernels take that copy so many elements of 16 bits at once for matrix units,
    where 8 and more are best."""
    return _SLOWER_COPIES.get(elements, 1.0)


def stream_seconds(operands: Iterable[Operand], device: DeviceDescription) -> float:
    """Expected time of a kernel that moves each element of its operands once."""
    moved = 0
    for operand in operands:
        walked = (axis.dim for axis, s in zip(operand.axes, operand.strides, strict=True) if s != 0)
        moved += upper_bound(dim_product(walked)) * operand.element.bytes
    return moved / device.memory_bandwidth + device.launch_seconds
