"""Products with few rows, or few columns: a matrix times a few vectors.

Each element of the matrix is used for a few operations, so memory sets the pace, and what counts
is how many bytes of the matrix are under way. Tiles of a gemm would be nearly empty, and wait for
each other. The vectors are called rows here and what each gives columns, as for a linear layer of a
few rows; a product of a few columns is its transpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.cost import GemmShape, gemv_registers, gemv_seconds
from ait.codegen.gpu.dialect import Along, GemvAttr, GemvConfig, Units
from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues, fitting
from ait.codegen.gpu.lanes import PACK_BYTES, Lanes, Reach, aligned_to, read_by, shared_values
from ait.codegen.gpu.own_gemm import Engine
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import DualGemmOp
from ait.dialects.symbolic import upper_bound
from ait.passes.target import DeviceDescription

_FACTOR_TYPES = frozenset({"f32", "f16", "bf16", "f8E4M3FN"})
MOST_ROWS = {Units.SCALAR: 4, Units.TENSOR: 16}
"""Sums of more rows would leave no registers for what is under way."""
_MOST_ELEMENTS = 8
"""Of a pack."""
_LARGEST = 1 << 30
"""Extents up to which a thread may count beyond the end."""
_PARTS_BYTES = 48 << 10
"""The shared memory for the parts of sums."""
_BLOCK_REGISTERS = 1 << 16
_THREADS = (128, 256, 64, 512, 1024)
_MOST_THREADS = {
    (Along.INNER, Units.SCALAR): 256,
    (Along.INNER, Units.TENSOR): 512,
    (Along.OUTER, Units.SCALAR): 1024,
}
"""Of a block: larger ones come and go less evenly, but for sums of many threads."""
_TEAMS = {
    Units.SCALAR: (8, 16, 32, 64, 128, 256, 512),
    Units.TENSOR: (32, 64, 128, 256, 512),
}
_FULL_TEAM = 32
_COLUMNS = (1, 2)
_ITEMS = (2, 4, 8)
_PACKS = 8
"""That a thread has under way: more leave no room for other blocks."""

_SCALAR_ENGINE = Engine("ait/gpu/gemv.hpp", "ait::gpu::ScalarGemv")


class SoleLane(Lanes):
    """One element at a time, whose operands are read before."""

    def reach(self, operand: Operand) -> Reach:
        return Reach.UNIFORM


@dataclass(frozen=True)
class Product:
    """The op's product as the kernel sees it: `rows` and `columns` are its m and n, or the other
    way round, of the factors that give rows and columns."""

    rows: str
    columns: str
    most_rows: int
    vectors: Operand
    weights: tuple[Operand, ...]

    @property
    def place(self) -> dict[str, str]:
        """The variables of `Operand.offset`."""
        return {"batch": "batch", self.rows: "row", self.columns: "column"}

    def along(self, lanes: Along) -> str:
        """The group that neighbours of a pack lie along."""
        return "k" if lanes is Along.INNER else self.columns


class Gemv:
    """The kernel family; see family.py. `tensor_engine`: the target's matrix units, if it has an
    engine for them."""

    template = "gemv.j2"
    config_type = GemvAttr

    def __init__(self, tensor_engine: Engine | None = None):
        self._engines = {Units.SCALAR: _SCALAR_ENGINE}
        if tensor_engine is not None:
            self._engines[Units.TENSOR] = tensor_engine

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        product = product_of(view)
        shape = GemmShape.of(view)
        turned = shape if product.rows == "m" else shape.transposed()
        factors = len(product.weights)

        def seconds(config: GemvConfig) -> float:
            self._check(view, product, config)
            registers = gemv_registers(turned, config, factors)
            if registers * config.threads > _BLOCK_REGISTERS:
                raise Refusal("what is under way does not fit the registers")
            return gemv_seconds(turned, device, config, factors)

        configs = _configs(view, product, turned, list(self._engines))
        return fitting(configs, GemvAttr, seconds, "no team of threads fits")

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        product = product_of(view)
        gemv = cast(GemvAttr, config).data
        self._check(view, product, gemv)
        engine = self._engines[gemv.units]
        row_packs = gemv.lanes is Along.INNER and _row_packs(view, product, gemv.vector)
        aligned = [pair for w in product.weights for pair in aligned_to(w, gemv.vector)]
        if row_packs:
            pack_bytes = gemv.vector * product.vectors.element.bytes
            aligned.append((product.vectors, min(pack_bytes, PACK_BYTES)))
        region = view.region("epilogue")
        depth = view.group("k").dim
        groups = (product.rows, product.columns, "k", "batch")
        return {
            **shared_values(view, engine.header, aligned),
            "config": gemv,
            "engine": engine,
            "vectors": product.vectors,
            "weights": product.weights,
            "at": {**product.place, "k": "k"},
            "rows": product.most_rows,
            "depth": depth if isinstance(depth, int) else 0,
            "across": gemv.lanes is Along.OUTER,
            "constant": all(weight.is_constant for weight in product.weights),
            "row_packs": row_packs,
            "region": region,
            "read": read_by(region),
            "lanes": SoleLane(1, None, product.place, product.place),
            "computed": [f"sums[{i}]" for i in range(len(product.weights))],
            "sizes": [view.group(name).size for name in groups],
        }

    def _check(self, view: KernelView, product: Product, config: GemvConfig) -> None:
        """Raises Refusal with the reason if a config does not fit the op."""
        if config.units not in self._engines:
            raise Refusal("the target has no tensor units for this kernel")
        if product.most_rows > MOST_ROWS[config.units]:
            raise Refusal(f"more than {MOST_ROWS[config.units]} rows on {config.units} units")
        if config.vector > widest(view, product, config.lanes):
            raise Refusal(f"the matrix cannot be read in packs of {config.vector}")
        if config.units is Units.TENSOR:
            kinds = {operand.element.name for operand in (product.vectors, *product.weights)}
            if len(kinds) > 1 or product.vectors.element.bytes != 2:
                raise Refusal("tensor units need factors of one 16-bit type")
            if not _row_packs(view, product, config.vector):
                raise Refusal("the vectors cannot be read in packs")
        if _parts_bytes(product, config) > _PARTS_BYTES:
            raise Refusal("the parts of sums do not fit shared memory")


def product_of(view: KernelView) -> Product:
    """Which factor gives the rows. Raises Refusal with the reason if no engine can run it."""
    factors = 2 if isinstance(view.op, DualGemmOp) else 1
    left, *rights = view.ins[: 1 + factors]
    for operand in (left, *rights):
        if operand.element.name not in _FACTOR_TYPES:
            raise Refusal(f"a factor of {operand.element.name}")
    if len({right.element.name for right in rights}) > 1:
        raise Refusal("two matrices of different types")
    for name, group in view.groups.items():
        if upper_bound(group.dim) > _LARGEST:
            raise Refusal(f"{name} may exceed 30 bits")
    # Where there is nothing, a kernel that launches no block must compile all the same.
    m, n = (max(1, upper_bound(view.group(name).dim)) for name in ("m", "n"))
    most = max(MOST_ROWS.values())
    if m <= most and (m <= n or factors > 1):
        return Product("m", "n", m, left, tuple(rights))
    if n <= most and factors == 1:
        return Product("n", "m", n, rights[0], (left,))
    raise Refusal(f"more than {most} rows and columns")


def widest(view: KernelView, product: Product, lanes: Along) -> int:
    """Elements of the widest pack of the matrices whose neighbours lie so; 0 if none do."""
    axes = view.group(product.along(lanes)).axes
    if not axes:
        return 0 if lanes is Along.OUTER else 1
    name = axes[-1].name
    if lanes is Along.OUTER and any(weight.stride(name) != 1 for weight in product.weights):
        return 0
    return min(_MOST_ELEMENTS, *(weight.vector(name, PACK_BYTES) for weight in product.weights))


def _row_packs(view: KernelView, product: Product, vector: int) -> bool:
    """Whether a vector's elements for a pack of the matrix lie beside each other."""
    axes = view.group("k").axes
    return bool(axes) and product.vectors.vector(axes[-1].name, 2 * PACK_BYTES) >= vector


def _parts_bytes(product: Product, config: GemvConfig) -> int:
    """What the parts of sums of a block need of shared memory."""
    if config.lanes is Along.INNER:
        parts = max(1, config.team // 32)
    else:
        parts = config.threads // max(32, config.teams)
    return parts * len(product.weights) * product.most_rows * config.tile * 4


def _configs(
    view: KernelView, product: Product, shape: GemmShape, units: Sequence[Units]
) -> Iterator[GemvConfig]:
    """What is worth ranking, of the lanes with the wider packs: teams with work for all threads."""
    lanes = max(Along, key=lambda along: widest(view, product, along))
    vector = widest(view, product, lanes)
    across = lanes is Along.OUTER
    for unit in units:
        sharers = 8 if unit is Units.TENSOR else 1
        steps = shape.k if across else ceil(shape.k / vector)
        most = _MOST_THREADS.get((lanes, unit), 0)
        for threads in (count for count in _THREADS if count <= most):
            for team in _TEAMS[unit]:
                ranks = team // sharers
                if team > threads or ranks > max(_FULL_TEAM // sharers, 2 * steps):
                    continue
                # Half a warp's loads are shorter runs of memory.
                if team < min(_FULL_TEAM, steps) and not across:
                    continue
                for columns in (1,) if across else _COLUMNS:
                    for items in _ITEMS:
                        if columns * items > _PACKS:
                            continue
                        if ranks * items > max(_FULL_TEAM * _ITEMS[0], 2 * steps):
                            continue
                        config = GemvConfig(
                            lanes, vector, team, threads // team, columns, items, unit
                        )
                        if not config.problems():
                            yield config
