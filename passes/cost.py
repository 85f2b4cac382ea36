"""What kernels cost: bytes and operations, and the time that a device's roofline allows for them.

A model of differences, not of clocks: it decides what is worth fusing and shows where time must go.
The roofline is that of Williams, Waterman and Patterson (CACM 52(4), 2009): the larger of bytes
over bandwidth and operations over peak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from xdsl.ir import Attribute, SSAValue

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import (
    AttentionOp,
    BackToBackGemmOp,
    ConvOp,
    ConvPoolOp,
    DualGemmOp,
    GemmOp,
    GemmRowwiseOp,
    KernelOp,
    MiddleOp,
    ProductOp,
    ReduceOp,
)
from ait.dialects.symbolic import (
    Dim,
    dim_product,
    dims_of,
    element_of,
    provably_le,
    upper_bound,
)
from ait.passes.alignment import slowness
from ait.passes.plan_memory import bytes_of
from ait.passes.target import DeviceDescription, TargetInfo


@dataclass(frozen=True)
class Cost:
    """What one run of a kernel moves and computes, over the model's dynamic dims."""

    bytes_read: Dim
    """Each element of an operand that is reached counts once, however often it is read."""
    bytes_written: Dim
    matrix_operations: Dim
    """Multiplications and additions of products: two for each pair of factors."""
    scalar_operations: Dim
    """Ops of region code, one for each index that runs them."""

    @property
    def bytes(self) -> Dim:
        return self.bytes_read + self.bytes_written

    @property
    def operations(self) -> Dim:
        return self.matrix_operations + self.scalar_operations


def cost_of(op: KernelOp) -> Cost:
    """The cost of a kernel op, on tensors or buffers."""
    reads = list(dict.fromkeys(zip(op.ins, op.in_access, strict=True)))
    writes = list(zip(op.outs, op.out_access, strict=True))
    matrix = _MATRIX_OPERATIONS.get(type(op))
    return Cost(
        bytes_read=_total(bytes_reached(value, access) for value, access in reads),
        bytes_written=_total(bytes_reached(value, access) for value, access in writes),
        matrix_operations=matrix(op) if matrix is not None else 0,
        scalar_operations=_scalar_operations(op),
    )


def seconds(op: KernelOp, device: DeviceDescription) -> float:
    """The roofline time of a kernel at the largest dynamic dims, without its launch."""
    return roofline(op, device, upper_bound)


def roofline(op: KernelOp, device: DeviceDescription, bound: Callable[[Dim], int]) -> float:
    """The roofline time of a kernel at the sizes that `bound` gives, without its launch."""
    moved = bound(cost_of(op).bytes) / device.memory_bandwidth
    return max(moved, _computing(op, device, bound))


@dataclass(frozen=True)
class Work:
    """What kernels that run side by side do in sum, at the largest dynamic dims."""

    bytes: int
    computing: float
    """Seconds of all units."""
    blocks: int
    """Units take one block of results after another; in the last turn some may be idle."""

    @staticmethod
    def of(op: KernelOp, device: DeviceDescription) -> Work:
        moved = upper_bound(cost_of(op).bytes)
        return Work(moved, _computing(op, device), blocks_of(op.domain, device))

    @staticmethod
    def of_copy(elements: Dim, element: Attribute, device: DeviceDescription) -> Work:
        """A copy of so many elements."""
        moved = 2 * upper_bound(elements) * bytes_of(element)
        return Work(moved, 0.0, blocks_of([elements], device))

    def __add__(self, other: Work) -> Work:
        return Work(
            self.bytes + other.bytes, self.computing + other.computing, self.blocks + other.blocks
        )

    def seconds(self, device: DeviceDescription) -> float:
        """The roofline time of the units that are not idle, without launches."""
        blocks = max(1, self.blocks)
        busy = blocks / (ceil(blocks / device.units) * device.units)
        return max(self.bytes / device.memory_bandwidth, self.computing) / busy


def blocks_of(domain: Iterable[Dim], device: DeviceDescription) -> int:
    """How many units a kernel of a domain can keep busy."""
    return ceil(upper_bound(dim_product(domain)) / device.block_elements)


def _computing(
    op: KernelOp, device: DeviceDescription, bound: Callable[[Dim], int] = upper_bound
) -> float:
    cost = cost_of(op)
    matrix = bound(cost.matrix_operations) / _matrix_peak(op, device)
    return matrix + bound(cost.scalar_operations) / device.vector_peak


def _matrix_peak(op: KernelOp, device: DeviceDescription) -> float:
    element = str(element_of(op.ins[0] if op.ins else op.outs[0]))
    return device.matrix_peak.get(element, device.vector_peak)


CACHE_SPEED = 3.0
"""How much faster a unit reads what others read as well, and a cache has, than its part of the
memory's bandwidth: about as much as the caches of GPUs and CPUs are."""


def seconds_in_blocks(
    op: ProductOp | BackToBackGemmOp,
    device: DeviceDescription,
    tile: tuple[int, int | None],
    bound: Callable[[Dim], int],
    groups: int | None = None,
    rate: float = 1.0,
) -> float:
    """The time of a product whose blocks compute tiles of so many rows and columns (None: all), at
    the sizes that `bound` gives; without its launch. `groups`: how many groups of blocks that have
    the same rows run at once, where they must run together; `rate`: the share of the usual speed at
    which they multiply.

    Blocks run in waves on the device's units. Each reads its rows of the left factor and its
    columns of the right ones for itself, which is what tiles cost that are few, low or narrow.
    """
    height, width = tile
    batch, m, n = (bound(dim_product(dims)) for dims in op.group_dims[:3])
    rights = op.right_factors
    right = sum(bound(_bytes_of_batch(op, i)) for i in rights)
    left = bound(bytes_reached(op.ins[0], op.in_access[0]))
    cost = cost_of(op)
    others = max(bound(cost.bytes) - left - right, 0)
    row_blocks = max(batch * ceil(m / height), 1)
    column_blocks = 1 if width is None else max(ceil(n / width), 1)
    blocks = row_blocks * column_blocks
    peak = _matrix_peak(op, device)
    traffic = left / row_blocks + right / column_blocks + others / blocks
    block = max(
        bound(cost.matrix_operations) / blocks / (peak * rate / device.units),
        traffic / (CACHE_SPEED * device.memory_bandwidth / device.units),
    )
    waves = ceil(blocks / device.units) if groups is None else ceil(row_blocks / groups)
    return max(
        waves * block,
        bound(cost.bytes) / device.memory_bandwidth,
    )


def _bytes_of_batch(op: KernelOp, index: int) -> Dim:
    """Bytes of a right factor in one batch."""
    assert isinstance(op, ProductOp | BackToBackGemmOp)
    batch, access = op.group_ranks[0], op.in_access[index]
    return bytes_reached(op.ins[index], access.select(range(batch, access.rank)))


def bytes_reached(value: SSAValue, access: AccessMap) -> Dim:
    """Bytes of the elements that a map reaches: no more than it has indices, or the value has."""
    pairs = zip(access.sizes, access.strides, strict=True)
    reached = dim_product(size for size, stride in pairs if stride != 0)
    stored = dim_product(dims_of(value))
    if access.size == 0:
        reached = 0
    elif provably_le(stored, reached):
        reached = stored
    return reached * bytes_of(element_of(value))


def seconds_on(op: KernelOp, target: TargetInfo) -> float:
    """The time of a kernel as the target would run it: where its accesses are too badly aligned for
    the fast kernels, that of a slower one."""
    return seconds(op, target.description) * slowness(op, target)


SURE_GAIN = 0.9
"""How much of the time of one way another may take to be preferred, where kernels unlike each other
are compared: what models expect of them is no more exact."""


def expected_seconds(op: KernelOp, target: TargetInfo) -> float:
    """What the target expects of `op`, by the model of its own kernels if it has one."""
    expected = target.expected_seconds(op)
    if expected is not None:
        return expected
    return seconds_on(op, target) + target.description.launch_seconds


def copy_seconds(elements: Dim, element: Attribute, device: DeviceDescription) -> float:
    """What a copy of so many elements costs, with its launch."""
    moved = 2 * upper_bound(elements) * bytes_of(element)
    return moved / device.memory_bandwidth + device.launch_seconds


def microseconds(seconds: float) -> str:
    """A time as remarks name it."""
    value = seconds * 1e6
    return f"{value:.0f} us" if value >= 100 else f"{value:.3g} us"


def _total(dims: Iterable[Dim]) -> Dim:
    total: Dim = 0
    for dim in dims:
        total = total + dim
    return total


def _product_operations(op: KernelOp) -> Dim:
    assert isinstance(op, ProductOp)
    one = 2 * dim_product(dim for group in op.group_dims for dim in group)
    return one * len(op.right_factors)


def _back_to_back_operations(op: KernelOp) -> Dim:
    assert isinstance(op, BackToBackGemmOp)
    b, m, n, k, middle = (dim_product(dims) for dims in op.group_dims)
    return 2 * b * m * middle * (k + n)


def _conv_operations(op: KernelOp) -> Dim:
    r, s, c = op.in_access[1].sizes[-3:]
    return 2 * dim_product((*op.domain, r, s, c))


def _conv_pool_operations(op: KernelOp) -> Dim:
    assert isinstance(op, ConvPoolOp)
    r, s, c = op.in_access[1].sizes[-3:]
    return 2 * dim_product((*op.middle_domain, r, s, c))


def _attention_operations(op: KernelOp) -> Dim:
    assert isinstance(op, AttentionOp)
    depth, value = op.in_access[0].sizes[3], op.domain[3]
    return 2 * dim_product(op.score_domain) * (depth + value)


_MATRIX_OPERATIONS: Mapping[type[KernelOp], Callable[[KernelOp], Dim]] = {
    AttentionOp: _attention_operations,
    BackToBackGemmOp: _back_to_back_operations,
    ConvOp: _conv_operations,
    ConvPoolOp: _conv_pool_operations,
    DualGemmOp: _product_operations,
    GemmOp: _product_operations,
    GemmRowwiseOp: _product_operations,
}


def _scalar_operations(op: KernelOp) -> Dim:
    leading, last = op.regions[:-1], op.regions[-1:]
    total = dim_product(op.domain) * sum(len(region.block.ops) - 1 for region in last)
    inner = dim_product(_inner_domain(op))
    return total + inner * sum(len(region.block.ops) for region in leading)


def _inner_domain(op: KernelOp) -> tuple[Dim, ...]:
    """The dims over which regions before the last run."""
    if isinstance(op, ReduceOp):
        return op.full_domain
    if isinstance(op, MiddleOp):
        return op.middle_domain
    return op.domain
