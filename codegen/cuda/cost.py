"""The analytic model that ranks configs: tiles, waves, and the bytes that tiles move.

Its constants are fits to measurements of an H100 and an H200 (one number each, no table per shape);
only differences between configs matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from ait.codegen.cuda.configs import (
    BackToBackConfig,
    BackToBackPartsConfig,
    GemmConfig,
    HopperConvConfig,
    MmaConfig,
    Products,
    Schedule,
    WgmmaConfig,
    WgmmaRowsConfig,
)
from ait.codegen.gpu.cost import GemmShape
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription

# Bytes that the last-level cache gives all multiprocessors per byte of the memory.
_CACHE_FACTOR = 3.0
# Shared-memory bytes, and tensor-core operations, of a Hopper multiprocessor per clock.
_SHARED_BYTES_PER_CLOCK = 128
_MATRIX_OPERATIONS_PER_CLOCK = 4096
# The share of the peak where each step along k is one instruction (tile m 64).
_LONE_INSTRUCTION_RATE = 0.85
# Shared-memory bytes for a sum on its way to the thread that stores it.
_FINISH_BYTES = 9
# What products read of shared memory, and what copies write there after its way from the cache,
# against the bytes alone.
_READ_WEIGHT, _COPY_WEIGHT = 0.9, 1.25
# A step along k of a warpgroup that multiplies alone, with its barrier, and more of it a column.
_STEP_CLOCKS = 340.0
_STEP_CLOCKS_A_COLUMN = 0.6
# The barriers of a step.
_BARRIER_CLOCKS = 20.0
# The part of a device's multiprocessors that clusters of so many blocks can cover.
_CLUSTER_UNITS = {1: 1.0, 2: 1.0, 3: 0.95, 4: 0.9, 5: 0.9, 6: 0.9, 7: 0.85, 8: 0.85}
_CLUSTER_SECONDS = 0.8e-6
_REMOTE_BYTES_PER_CLOCK = 12
CLUSTERS = {2: 66, 3: 39, 4: 30, 5: 22, 6: 17, 7: 15, 8: 15}
"""How many clusters of so many blocks, one to a multiprocessor, an H100 runs at once (measured)."""
# Of a gemm with a row operation (fits to gemms of 128 to 24576 rows on an H100): bytes a second
# that a multiprocessor draws beside the ends of other tiles, the part of a tile's end that passes
# while the other warpgroup multiplies, what comes before the first and after the last product.
_SHARED_ROWS_BANDWIDTH = 80e9
_HIDDEN_FINISH = 0.5
# What a main loop loses that has few steps in flight, and the end of a tile that reads others.
_SHORT_RING, _SHORT_RING_LOSS = 3, 1.07
_READS_LOSS = 1.12
# The share of the peak that is left where the columns of a block are several products.
_PARTS_RATE = 0.85
_ROWS_RAMP_SECONDS = 4.7e-6
# What of the shorter of two times that overlap is not hidden.
_EXPOSED_PART = 0.1
# A convolution's first loads and last stores.
_CONV_RAMP_SECONDS = 1.5e-6
# How much of its even share of the memory's rate one multiprocessor can draw on its own.
_LONE_UNIT_FACTOR = 1.2
# Filling the pipeline and leaving: seconds before the first and after the last multiplication.
_RAMP_SECONDS = 1.5e-6
# CUTLASS's collectives take longer to set up (5.0 us at 128 x 768 x 768 where 3.5 us are possible).
_CUTLASS_RAMP_SECONDS = 3.0e-6
# Stream-K: how much longer it takes than an even share of all tiles, and what clears the flags of
# tiles that are shared, and adds their parts up (fits to five gemms on an H100); and the waves of
# tiles from which on it has nothing to even out.
_STREAM_K_LOSS = 1.15
_STREAM_K_SECONDS = 14e-6
_MOST_STREAM_K_WAVES = 8
# What the blocks of a cluster lose by waiting for each other, per further block.
_CLUSTER_LOSS = 0.05
# Bytes a second that TMA brings to one multiprocessor while all draw, and while few do.
_UNIT_BANDWIDTH = 106e9
_LONE_UNIT_BANDWIDTH = 140e9
# The same of all together for a group: with it the model chooses tiles that take 3 % longer than
# the best ones on average, 12 % at worst (15 groups, an H100).
_GROUP_CACHE_BANDWIDTH = 10e12
# The share of the peak of the narrowest instructions, beside what shared memory allows.
_NARROW_RATE = 0.88
# The share of the peak that three warpgroups reach, whose registers leave no room.
_THREE_WARPGROUPS_RATE = 0.95
# The same where parts of sums are added outside of tensor cores: while one warpgroup adds, another
# one multiplies, unless they take turns or it is alone.
_ADDED_RATE, _ADDED_ALONE_RATE = 0.95, 0.55
# Waves of blocks that share multiprocessors from which on their number need not be whole: of few,
# the one with most blocks is waited for (197 rows and 2304 columns in 144 blocks of 64x64: 8.0 us,
# in 96 of 64x96 5.6 us).
_MANY_WAVES = 3
# How much longer it takes where two blocks of a cluster may share a multiprocessor while another
# one has none (128x768x3072 in 64x64, split by 4: 8.1 instead of 6.5 us).
_SHARED_CLUSTER_LOSS = 1.15
# How much of the lesser of multiplying and of moving data is not hidden by the other.
_HINDRANCE = 0.03
# Of two gemms with the middle in parts, the clocks of a warpgroup (fits to tiles of an H100): for
# the products of a part, for a step of right factors that come anew, more of it if few are on their
# way, for a slot of 64 columns of the middle and each operation of the regions on it, and for a
# load that is waited for.
_PART_CLOCKS, _STREAMED_STEP_CLOCKS, _ENOUGH_STEPS = 430.0, 180.0, 4
_SLOT_CLOCKS, _SLOT_CLOCKS_AN_OPERATION = 210.0, 15.0
_LOAD_CLOCKS = 1200.0
# What memory loses where several warpgroups of each multiprocessor reach for places far apart, and
# where few slots are on their way; and how much faster the last-level cache is, which has what the
# kernels before have left if it has room.
_PARTS_PLACES_LOSS = 1.1
_ENOUGH_SLOTS, _MISSING_SLOT_LOSS = 4, 0.05
_NEAR_SPEED = 2.0
_PARTS_RAMP_SECONDS = 2.2e-6
# Between the last instruction of a pingpong's warpgroup and the first one of the other.
_TURN_SECONDS = 0.5e-6
# Region ops of many instructions.
_LENGTHY = frozenset({"erf", "tanh", "exp", "expm1", "log", "divf", "powf", "sin", "cos"})
_LENGTHY_OPERATIONS = 16
# Operations for each element of a result beside the region's: exchanges, conversions, addresses.
_FINISH_OPERATIONS = 16
# The blocks of a cluster wait for each other, and exchange their sums at so many bytes a second; a
# cluster lies within one of the parts that multiprocessors come in, not all of which are whole.
_SPLIT_SECONDS = 0.5e-6
_EXCHANGE_BANDWIDTH = 20e9
_UNITS_OF_A_PART = 16
# What mma.sync reaches of the peak of a device, at best. Hopper's own instructions are faster; the
# peak of older devices, not measured, is that of mma.sync.
_MMA_RATES = {"H100": 0.5, "H200": 0.5}
_MMA_RATE = 0.9
# The part of a warp, 64 x 64, from which on loads of fragments do not hold up products.
_MMA_BEST_REUSE = 32.0
# The share of its rate that a multiprocessor reaches with four warps, which wait together.
_MMA_LONE_WARPS = 0.85
_MMA_ENOUGH_THREADS = 256
# The speed of products, as a part of those of 16-bit factors (measured: 388, 140, 60 TFLOP/s), and
# by which power of its reuse a small part of a tile is slower.
_PRODUCT_RATES = {None: 1.0, Products.TF32: 0.36, Products.TF32X3: 0.155}
_REUSE_POWERS = {None: 0.75, Products.TF32: 0.75, Products.TF32X3: 0.5}
# The same of CUTLASS 2.x, which reads fragments ahead (468, 141 and 70 TFLOP/s).
_CUTLASS_PRODUCT_RATES = {None: 1.15, Products.TF32: 0.42, Products.TF32X3: 0.21}
_CUTLASS_REUSE_POWER = 0.45
# How much longer a kernel takes whose copies are of so many bytes: 8 is an estimate.
_SLOWER_COPIES = {2: 4.5, 4: 2.8, 8: 1.3}
# What the memory gives to blocks that copy a few steps ahead, as a part of what it has.
_MMA_STREAM_RATE = 0.85
# The barrier and the addresses of a step along k.
_MMA_STEP_SECONDS = 0.1e-6


def tensor_tile_rate(m: int, n: int) -> float:
    """The share of the peak that a tile of m64 x n instructions reaches: narrow ones wait for
    shared memory, which holds both factors, and a lone one for itself."""
    shared = (64 + n) * 16 * 2 / _SHARED_BYTES_PER_CLOCK
    matrix = 2 * 64 * n * 16 / _MATRIX_OPERATIONS_PER_CLOCK
    return matrix / max(matrix, shared) * (_LONE_INSTRUCTION_RATE if m == 64 else 1.0)


def _instruction_rate(n: int) -> float:
    """The share of the peak that instructions of n columns reach, whatever else limits them."""
    return _NARROW_RATE + (1 - _NARROW_RATE) * n / 256


def _overlapped(multiplying: float, moving: float) -> float:
    """The time of both at once."""
    return max(multiplying, moving) + _HINDRANCE * min(multiplying, moving)


def region_operations(view: KernelView) -> int:
    """Of a product's regions, for each element, as instructions."""
    codes = [region.code for region in view.regions.values()]
    lengthy = sum(name in _LENGTHY for code in codes for name in code.operations)
    return sum(len(code.lines) for code in codes) + lengthy * _LENGTHY_OPERATIONS


def _tiles_and_units(
    shape: GemmShape, device: DeviceDescription, config: GemmConfig
) -> tuple[int, int]:
    """How many tiles a CUTLASS gemm has, and on how many multiprocessors they run at once."""
    m, n, _ = config.tile
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    # A cluster is scheduled as a whole, and some multiprocessors cannot be part of one.
    blocks = config.cluster[0] * config.cluster[1]
    return tiles, device.units if blocks == 1 else device.units // blocks * blocks


def leaves_units_idle(shape: GemmShape, device: DeviceDescription, config: GemmConfig) -> bool:
    """Whether the last of several waves of tiles, or of a few tiles the only one, is not full."""
    tiles, units = _tiles_and_units(shape, device, config)
    return tiles % units != 0 and tiles < _MOST_STREAM_K_WAVES * units


def hopper_seconds(
    shape: GemmShape, device: DeviceDescription, config: GemmConfig, operations: int = 0
) -> float:
    """Expected time of a persistent Hopper gemm whose blocks take one tile after the other, or as
    many steps along k as each other. `shape` is as the kernel computes it; `operations`: the
    region's, for each element."""
    m, n, k = config.tile
    cluster, overlapped_epilogue = config.cluster, config.schedule is Schedule.PINGPONG
    blocks = cluster[0] * cluster[1]
    tiles, units = _tiles_and_units(shape, device, config)
    waves = ceil(tiles / units)
    busy = min(tiles, units)
    if config.stream_k:
        waves, busy = tiles / units, units

    depth = ceil(shape.k / k) * k
    peak = device.matrix_peak["f16"] / device.units
    rate = tensor_tile_rate(m, n) * _instruction_rate(n)
    multiply = 2.0 * m * n * depth / (peak * rate)
    cache = device.memory_bandwidth * _CACHE_FACTOR / busy
    # Blocks of a cluster share what they read: its m blocks the columns, its n blocks the rows.
    fetch = (m / cluster[1] + n / cluster[0]) * depth * shape.element_bytes / cache
    main = max(multiply, fetch) * (1 + _CLUSTER_LOSS * (blocks - 1))
    per_element = (_FINISH_OPERATIONS + operations) / (device.vector_peak / device.units)
    finish = m * n * (shape.epilogue_bytes / cache + per_element)
    if overlapped_epilogue:
        steady = waves * max(main, finish) + min(main, finish) + (waves - 1) * _TURN_SECONDS
    else:
        steady = waves * (main + finish)
    if config.stream_k:
        steady = steady * _STREAM_K_LOSS + _STREAM_K_SECONDS
    drawn = device.memory_bandwidth * min(1.0, busy / device.units * _LONE_UNIT_FACTOR)
    stream = shape.bytes / drawn
    return _overlapped(steady, stream) + _CUTLASS_RAMP_SECONDS


def wgmma_seconds(
    shape: GemmShape,
    device: DeviceDescription,
    config: WgmmaConfig,
    factors: int = 1,
    operations: int = 0,
    in_parts: bool = False,
) -> float:
    """Expected time of the Hopper gemm of our own. `shape` is the op's own; see WgmmaWork."""
    work = WgmmaWork.of(shape, config, factors, operations, in_parts)
    return wgmma_group_seconds([work], device)


@dataclass(frozen=True, eq=False)
class WgmmaWork:
    """A Hopper gemm of our own, alone or in a group. `turned`: its shape as the tensor cores see
    it; `factors`: how many right ones; `operations`: the region's, for each element; `in_parts`:
    whether tensor cores add up parts of sums only; `depth`: of the steps along k that a block has
    of a tile."""

    turned: GemmShape
    config: WgmmaConfig
    factors: int
    operations: int
    in_parts: bool
    tiles: int
    depth: int

    @staticmethod
    def of(
        shape: GemmShape,
        config: WgmmaConfig,
        factors: int = 1,
        operations: int = 0,
        in_parts: bool = False,
    ) -> WgmmaWork:
        """Of the op's own shape."""
        turned = shape.transposed() if config.swapped else shape
        m, n, k = config.tile
        tiles = turned.batch * ceil(turned.m / m) * ceil(turned.n / n)
        depth = ceil(ceil(turned.k / k) / config.split) * k
        return WgmmaWork(turned, config, factors, operations, in_parts, tiles, depth)

    @property
    def bytes(self) -> float:
        turned = self.turned
        others = (self.factors - 1) * turned.batch * turned.k * turned.n * turned.element_bytes
        return turned.bytes + others

    @property
    def tile_bytes(self) -> int:
        """Of the factors of a tile."""
        m, n, _ = self.config.tile
        return (m + self.factors * n) * self.depth * self.turned.element_bytes

    def tile_seconds(self, device: DeviceDescription, draw: float) -> tuple[float, float]:
        """Of a tile: multiplying and finishing, where a multiprocessor draws so many bytes a
        second."""
        turned, config, factors = self.turned, self.config, self.factors
        m, n, _ = config.tile
        # The same bytes along k take as long, whatever the factors are.
        peak = device.matrix_peak["f16"] / device.units * 2 / turned.element_bytes
        # Two warpgroups take turns at a pingpong's instructions: no one waits for itself.
        rate = tensor_tile_rate(2 * m if config.pingpong else m, n) * _instruction_rate(n)
        if config.warpgroups > 2:
            rate *= _THREE_WARPGROUPS_RATE
        if self.in_parts:
            together = config.warpgroups > 1 and not config.pingpong
            rate *= _ADDED_RATE if together else _ADDED_ALONE_RATE
        multiply = 2.0 * factors * m * n * self.depth / (peak * rate)
        main = max(multiply, self.tile_bytes / draw)
        per_element = (_FINISH_OPERATIONS + self.operations) / (device.vector_peak / device.units)
        finish = m * n * (turned.epilogue_bytes / draw + per_element)
        if config.split > 1:
            sent = factors * m * n * 4 * (config.split - 1) / config.split
            exchange = sent / _EXCHANGE_BANDWIDTH
            finish = finish / config.split + exchange + _SPLIT_SECONDS
        return main, finish


def wgmma_group_seconds(works: Sequence[WgmmaWork], device: DeviceDescription) -> float:
    """Expected time of Hopper gemms of our own whose tiles share a launch: all have one frame.

    Tiles of all sizes are dealt out in turn: those of a wave are such as they are on average, but
    the longest ones set the time of a single wave. Factors that are a member's own come slower from
    the cache than those that all blocks read, since memory fills it meanwhile.
    """
    config, factors = works[0].config, works[0].factors
    # Experts are one and the same work.
    members = list(Counter(works).items()) if len(works) > 1 else [(works[0], 1)]
    tiles = sum(work.tiles * count for work, count in members)
    blocks = tiles * config.split
    units = _units_for(config.split, device)
    busy = min(blocks, units)
    in_parts = works[0].in_parts
    resident = config.resident_blocks(device.shared_bytes, factors, in_parts=in_parts)
    # Blocks that share a multiprocessor share its rates; many of them even out the last wave.
    is_even = resident > 1 and blocks >= _MANY_WAVES * units
    waves = blocks / units if is_even else ceil(blocks / units)
    draw = _UNIT_BANDWIDTH if 2 * busy > device.units else _LONE_UNIT_BANDWIDTH
    parts = [(work.tile_seconds(device, draw), work.tiles * count) for work, count in members]
    if waves > 1:
        main, finish = (sum(part[i] * count for part, count in parts) / tiles for i in range(2))
    else:
        main, finish = max((part for part, _ in parts), key=sum)
    if config.split > 1 and resident > 1:
        main *= _SHARED_CLUSTER_LOSS
    if config.pingpong:
        turns = (waves - 1) * _TURN_SECONDS
        steady = waves * max(main, finish) + min(main, finish) + turns
    else:
        steady = waves * (main + finish)
    drawn = min(device.memory_bandwidth, busy * _LONE_UNIT_BANDWIDTH)
    stream = sum(work.bytes * count for work, count in members) / drawn
    if len(works) > 1:
        cached = sum(work.tile_bytes * work.tiles * count for work, count in members)
        stream = max(stream, cached / _GROUP_CACHE_BANDWIDTH)
    return _overlapped(steady, stream) + _RAMP_SECONDS


def wgmma_rows_seconds(
    shape: GemmShape,
    device: DeviceDescription,
    config: WgmmaRowsConfig,
    operations: int = 0,
    holds: bool = False,
) -> float:
    """Expected time of a Hopper gemm with a row operation. `operations`: the regions', for each
    element; `holds`: whether whole tiles that they read come while the product is computed.

    A cluster has one tile after the other. Where its warpgroups take turns, most of the end of a
    tile passes while the next one is multiplied; else all clusters read and write at once.
    """
    m, n, k = config.tile
    clusters = CLUSTERS.get(config.cluster, device.units)
    tiles = shape.batch * ceil(shape.m / m)
    waves = ceil(tiles / clusters)
    busy = min(tiles, clusters) * config.cluster
    rows = m * (2 if config.product.pingpong else 1)
    width = n // config.parts
    rate = tensor_tile_rate(rows, width) * _instruction_rate(width)
    if config.parts > 1:
        rate *= _PARTS_RATE
    draw = _SHARED_ROWS_BANDWIDTH if 2 * busy > device.units else _LONE_UNIT_BANDWIDTH
    depth = ceil(shape.k / k) * k
    multiply = 2.0 * m * n * depth / (device.matrix_peak["f16"] / device.units * rate)
    main = max(multiply, (m + n) * depth * shape.element_bytes / draw)
    if config.stages <= _SHORT_RING:
        main *= _SHORT_RING_LOSS
    per_element = (_FINISH_OPERATIONS + operations) / (device.vector_peak / device.units)
    per_element += shape.epilogue_bytes / (device.memory_bandwidth / device.units)
    finish = m * n * per_element * (1.0 if holds else _READS_LOSS)
    hidden = _HIDDEN_FINISH if config.product.pingpong else 0.0
    steady = waves * (main + finish * (1 - hidden)) + finish * hidden
    drawn = min(device.memory_bandwidth, busy * _LONE_UNIT_BANDWIDTH)
    stream = shape.bytes / drawn
    return _overlapped(steady, stream) + _ROWS_RAMP_SECONDS


def back_to_back_seconds(
    first: GemmShape,
    second: GemmShape,
    device: DeviceDescription,
    config: BackToBackConfig,
    operations: int = 0,
) -> float:
    """Expected time of two gemms in one kernel. `second`: the shape whose k is the n of `first`.
    `operations`: the regions', for each element."""
    m, middle, n = config.tile
    tiles = first.batch * ceil(first.m / m)
    busy = min(tiles, device.units)
    peak = device.matrix_peak["f16"] / device.units
    draw = _UNIT_BANDWIDTH if 2 * busy > device.units else _LONE_UNIT_BANDWIDTH
    per_element = (_FINISH_OPERATIONS + operations) / (device.vector_peak / device.units)
    columns, depth = ceil(second.n / n) * n, ceil(first.k / 64) * 64
    tile = 0.0
    for width, steps, brought in (
        (middle, depth, (m + middle) * depth),
        (columns, middle, columns * middle),
    ):
        rate = tensor_tile_rate(m, min(width, 256)) * _instruction_rate(min(width, 256))
        multiply = 2.0 * m * width * steps / (peak * rate)
        tile += max(multiply, brought * first.element_bytes / draw) + m * width * per_element
    tile += m * columns * second.epilogue_bytes / draw
    moved = first.batch * (first.m + middle) * first.k * first.element_bytes
    moved += second.batch * second.n * (middle + second.m * second.epilogue_bytes)
    steady, stream = ceil(tiles / device.units) * tile, moved / device.memory_bandwidth
    return _overlapped(steady, stream) + _RAMP_SECONDS


def back_to_back_parts_seconds(
    first: GemmShape,
    second: GemmShape,
    device: DeviceDescription,
    config: BackToBackPartsConfig,
    stays: bool,
    middle_bytes: int,
    operations: int = 0,
) -> float:
    """Expected time of two gemms in one kernel, the middle in parts. `second`: the shape whose k is
    the n of `first`; `stays`: whether right factors are loaded once; `middle_bytes`: what is read
    and written for each element of the middle; `operations`: the regions', for each element.

    A warpgroup does one thing after the other, so what counts is how long that takes, while the
    others share the multiprocessor with it.
    """
    m, part, n = config.tile
    tiles = ceil(first.m / m)
    clock = device.matrix_peak["f16"] / device.units / _MATRIX_OPERATIONS_PER_CLOCK
    steps, slots = ceil(first.k / 64), first.n // 64
    parts = first.n // part

    def multiply(columns: int) -> float:
        """Clocks of a step along k."""
        return 2 * 64 * columns * 64 / _MATRIX_OPERATIONS_PER_CLOCK

    slot = config.warpgroups * (_SLOT_CLOCKS + _SLOT_CLOCKS_AN_OPERATION * operations)
    tile = parts * (_PART_CLOCKS + steps * multiply(part))
    tile += slots * (slot + multiply(n)) + n / 64 * slot
    if not stays:
        streamed = parts * steps * ceil(part / 128) + slots * ceil(n / 128)
        tile += streamed * _STREAMED_STEP_CLOCKS * max(1.0, _ENOUGH_STEPS / config.stages) ** 2
    # Where no second tile of the left factor fits, its load is not hidden.
    exposed = max(0.0, 2 - config.left / steps)
    tile += exposed * (_LOAD_CLOCKS + steps * m * 128 / (_LONE_UNIT_BANDWIDTH / clock))
    each = first.k * first.element_bytes + first.n * middle_bytes + n * second.epilogue_bytes
    steady = ceil(tiles / device.units) * tile / clock
    stream = first.m * each / device.memory_bandwidth
    if first.m * each < device.cache_bytes:
        stream /= _NEAR_SPEED
    if config.warpgroups > 1:
        stream *= _PARTS_PLACES_LOSS
    missing = max(0, _ENOUGH_SLOTS - config.warpgroups * config.ring)
    stream *= 1 + _MISSING_SLOT_LOSS * missing**2 * (middle_bytes > 2)
    # Neither hides all of the other.
    return (steady**6 + stream**6) ** (1 / 6) + _PARTS_RAMP_SECONDS


def _units_for(split: int, device: DeviceDescription) -> int:
    """How many multiprocessors run clusters of so many blocks."""
    if split == 1:
        return device.units
    parts = device.units // _UNITS_OF_A_PART - (split > 2)
    return parts * (_UNITS_OF_A_PART // split * split)


def f32_peak(device: DeviceDescription, products: Products | None) -> float:
    """Operations a second of products of f32, as they are made."""
    if products is None:
        return device.vector_peak
    return _mma_peak(device, products)


def _mma_peak(device: DeviceDescription, products: Products | None) -> float:
    """Operations a second of mma.sync; `products` is None for factors of 16 bits."""
    rate = _MMA_RATES.get(device.name, _MMA_RATE)
    return device.matrix_peak["f16"] * rate * _PRODUCT_RATES[products]


def slowdown_of_copies(copies: Iterable[int], config: MmaConfig) -> float:
    """How much longer an mma.sync kernel takes whose narrowest copies, of `copies` bytes, do not
    bring enough at once. Products of split factors hide some of it."""
    slower = _SLOWER_COPIES.get(min(copies), 1.0)
    return slower if config.products is None else slower**0.5


def mma_seconds(
    shape: GemmShape, device: DeviceDescription, config: MmaConfig, is_cutlass: bool = False
) -> float:
    """Expected time of an mma.sync kernel of our own, or of CUTLASS 2.x, one block a tile.

    Warps with small parts of a tile wait for shared memory: their rate falls with the ratio of
    products to loads. Blocks of a multiprocessor share its rate.
    """
    m, n, k = config.tile
    rows, columns = config.warps
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    reuse = (m / rows) * (n / columns) / (m / rows + n / columns)
    power = _CUTLASS_REUSE_POWER if is_cutlass else _REUSE_POWERS[config.products]
    rate = min(1.0, reuse / _MMA_BEST_REUSE) ** power
    if is_cutlass:
        rate *= _CUTLASS_PRODUCT_RATES[config.products] / _PRODUCT_RATES[config.products]
    resident = config.resident_blocks(device.shared_bytes)
    sharing = min(resident, ceil(tiles / device.units))
    per_block = _mma_peak(device, config.products) * rate / device.units / sharing
    if sharing * config.threads < _MMA_ENOUGH_THREADS:
        per_block *= _MMA_LONE_WARPS
    step = 2.0 * m * n * k / per_block + _MMA_STEP_SECONDS
    # Blocks follow each other one by one: a last wave that is not full costs a part of one.
    turns = max(1.0, tiles / (device.units * resident))
    turns = (turns + ceil(turns)) / 2
    finish = m * n * shape.epilogue_bytes * sharing / (device.memory_bandwidth / device.units)
    steady = turns * (ceil(shape.k / k) * step + finish)
    stream = shape.bytes / (device.memory_bandwidth * _MMA_STREAM_RATE)
    return max(steady, stream) + _RAMP_SECONDS


def hopper_conv_seconds(
    shape: GemmShape,
    device: DeviceDescription,
    config: HopperConvConfig,
    steps: int,
    moved_seconds: float,
) -> float:
    """Expected time of a Hopper convolution of our own, of `steps` along k: a persistent gemm, or
    clusters that share the steps of a tile.

    Shared memory sets the pace: products read both factors from it, copies write them to it, and
    sums pass through it. A lone warpgroup waits for each of its own steps.
    """
    m, n, k = config.tile
    clock = device.matrix_peak["f16"] / device.units / _MATRIX_OPERATIONS_PER_CLOCK
    tiles = shape.batch * ceil(shape.m / m) * ceil(shape.n / n)
    units = int(device.units * _CLUSTER_UNITS[config.split]) // config.split * config.split
    waves = ceil(tiles * config.split / units)
    own_steps = ceil(steps / config.split)

    read = m // 64 * (64 + n) * k * 2
    written = (m + n) * k * 2
    step = max(
        2.0 * m * n * k / _MATRIX_OPERATIONS_PER_CLOCK,
        (read * _READ_WEIGHT + written * _COPY_WEIGHT) / _SHARED_BYTES_PER_CLOCK,
        _STEP_CLOCKS + _STEP_CLOCKS_A_COLUMN * n if not config.is_pingpong else 0.0,
    )
    main = own_steps * (step + _BARRIER_CLOCKS) / clock
    finish = m * n * _FINISH_BYTES / _SHARED_BYTES_PER_CLOCK / clock
    # By turns, a warpgroup finishes while the other multiplies, but the last one is alone.
    finishes = 0.6 * waves + 0.9 if config.is_pingpong else waves
    seconds = waves * main + finishes * finish + _CONV_RAMP_SECONDS
    if config.split > 1:
        # The blocks meet twice, and each reads from all others. They have one tile: the next wave
        # of blocks begins with empty stages.
        exchange = _CLUSTER_SECONDS + m * n * 4 / _REMOTE_BYTES_PER_CLOCK / clock
        seconds += waves * exchange + (waves - 1) * _CONV_RAMP_SECONDS
    return max(seconds, moved_seconds) + _EXPOSED_PART * min(seconds, moved_seconds)


def halo_conv_seconds(
    device: DeviceDescription, tiles: int, blocks: int, outputs: int, depth: int, moved: float
) -> float:
    """Expected time of a convolution that loads every pixel once, of `blocks` times 64 pixels a
    tile: shared memory sets the pace."""
    shared = (64 + outputs) * depth * 2 + 64 * outputs * _FINISH_BYTES
    matrix = 2 * 64 * outputs * depth / _MATRIX_OPERATIONS_PER_CLOCK
    clock = device.matrix_peak["f16"] / device.units / _MATRIX_OPERATIONS_PER_CLOCK
    tile = blocks * max(matrix, shared / _SHARED_BYTES_PER_CLOCK) / clock
    return max(ceil(tiles / device.units) * tile, moved) + 2 * _RAMP_SECONDS
