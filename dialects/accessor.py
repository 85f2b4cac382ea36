"""The accessor dialect: how data is reached.

Every data movement of a model becomes one of three operations. `accessor.view` reads a dense tensor
through an access map and moves nothing; `accessor.materialize` copies a view to a dense tensor;
`accessor.assemble` writes pieces into disjoint views of one destination. Data moves only in the
last two, so memory fusion is exactly their deletion and the number left is its score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IntegerAttr, TensorType
from xdsl.ir import Attribute, Data, Dialect, Operation, SSAValue
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    ParsePropInAttrDict,
    VarConstraint,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ait.dialects.symbolic import (
    Dim,
    DimParser,
    dense_strides,
    dim_product,
    dims_of,
    element_of,
    exact_div,
    lower_bound,
    mod,
    print_dims,
    print_symbol_bounds,
    provably_le,
    tensor_type,
    to_text,
    upper_bound,
)


@dataclass(frozen=True)
class AccessMap:
    """Index -> element address: `offset + sum(index[i] * strides[i])`, for `index < sizes`.

    Addresses count elements of the dense, row-major storage of a *base*. The map itself has no
    notion of the base's shape: reshaping a base changes nothing. A stride of 0 broadcasts. Dims of
    size 1 have stride 0, which makes equal accesses equal maps.
    """

    offset: Dim
    sizes: tuple[Dim, ...]
    strides: tuple[Dim, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.strides):
            raise ValueError("an access map needs one stride per size")
        if 1 in self.sizes:
            strides = tuple(
                0 if n == 1 else s for n, s in zip(self.sizes, self.strides, strict=True)
            )
            object.__setattr__(self, "strides", strides)

    @staticmethod
    def dense(sizes: Sequence[Dim]) -> AccessMap:
        """The map of a whole dense tensor."""
        return AccessMap(0, tuple(sizes), dense_strides(sizes))

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def dims(self) -> tuple[Dim, ...]:
        """Every dim that the map mentions."""
        return (self.offset, *self.sizes, *self.strides)

    @property
    def size(self) -> Dim:
        """The number of indices."""
        return dim_product(self.sizes)

    @property
    def is_dense(self) -> bool:
        """Whether the map enumerates the addresses 0, 1, 2, ... in order."""
        return self == AccessMap.dense(self.sizes)

    def permute(self, permutation: Sequence[int]) -> AccessMap:
        """Dim `i` of the result is dim `permutation[i]` of this map."""
        return AccessMap(
            self.offset,
            tuple(self.sizes[i] for i in permutation),
            tuple(self.strides[i] for i in permutation),
        )

    def slice(
        self, offsets: Sequence[Dim], sizes: Sequence[Dim], steps: Sequence[int]
    ) -> AccessMap:
        """`x[offset : offset + size * step : step]` in each dim."""
        start = self.offset
        for offset, stride in zip(offsets, self.strides, strict=True):
            start = start + offset * stride
        strides = (s * step for s, step in zip(self.strides, steps, strict=True))
        return AccessMap(start, tuple(sizes), tuple(strides))

    def expand(self, sizes: Sequence[Dim]) -> AccessMap:
        """NumPy broadcasting to `sizes`: new leading dims, and dims of size 1, repeat."""
        lead = len(sizes) - self.rank
        strides: list[Dim] = [0] * lead
        for old, new, stride in zip(self.sizes, sizes[lead:], self.strides, strict=True):
            strides.append(stride if old == new else 0)
        return AccessMap(self.offset, tuple(sizes), tuple(strides))

    def select(self, kept: Sequence[int]) -> AccessMap:
        """Only the dims `kept`, at index 0 of the others."""
        return self.permute(kept)

    def coalesced(self) -> tuple[tuple[Dim, Dim], ...]:
        """The fewest (size, stride) pairs that enumerate the same addresses in the same order."""
        merged: list[tuple[Dim, Dim]] = []
        for size, stride in zip(self.sizes, self.strides, strict=True):
            if size == 1:
                continue
            if merged and merged[-1][1] == stride * size:
                merged[-1] = (merged[-1][0] * size, stride)
            else:
                merged.append((size, stride))
        return tuple(merged)

    def reshape(self, sizes: Sequence[Dim]) -> AccessMap | None:
        """The same addresses in the same order over other dims; None if no strides give that."""
        if self.sizes == tuple(sizes):
            return self
        if self.size == 0:
            return AccessMap.dense(sizes)
        chunks = list(self.coalesced())
        strides: list[Dim] = []
        rest: Dim = 1
        step: Dim = 0
        for size in reversed(sizes):
            if size == 1:
                strides.append(0)
                continue
            if rest == 1:
                if not chunks:
                    return None
                rest, step = chunks.pop()
            left = exact_div(rest, size)
            if left is None:
                return None
            strides.append(step)
            rest, step = left, step * size
        if rest != 1 or chunks:
            return None
        return AccessMap(self.offset, tuple(sizes), tuple(reversed(strides)))

    def compose(self, inner: AccessMap) -> AccessMap | None:
        """This map, which addresses the dense storage of a value, followed by `inner`, through
        which that value is itself reached from a base.

        Each stride of `self` is one step in the value's storage; it must be a whole number of steps
        along one (coalesced) dim of `inner`, and the index must provably never carry into the next
        dim. Returns None where that cannot be shown.
        """
        if self.is_dense and self.sizes == inner.sizes:
            return inner
        chunks = inner.coalesced()
        sizes = [size for size, _ in chunks]
        strides = [stride for _, stride in chunks]
        return self._restated(self.offset, sizes, dense_strides(sizes), strides, inner.offset)

    def relative_to(self, outer: AccessMap) -> AccessMap | None:
        """The map that `compose(outer)` turns into this one: the same elements, addressed in the
        dense storage of a value that is itself reached through `outer`.

        `outer` must reach each element once. Returns None unless every element is provably among
        those that `outer` reaches.
        """
        if self == outer:
            return AccessMap.dense(self.sizes)
        chunks = outer.coalesced()
        weights = dense_strides([size for size, _ in chunks])
        # The heaviest digit first, so that each takes what the later ones cannot hold.
        digits = sorted(
            zip(chunks, weights, strict=True), key=lambda d: upper_bound(d[0][1]), reverse=True
        )
        sizes, steps = [d[0][0] for d in digits], [d[0][1] for d in digits]
        start = self.offset - outer.offset
        return self._restated(start, sizes, steps, [weight for _, weight in digits], 0)

    def _restated(
        self,
        start: Dim,
        sizes: Sequence[Dim],
        steps: Sequence[Dim],
        strides: Sequence[Dim],
        origin: Dim,
    ) -> AccessMap | None:
        """This map with its offset, which is `start`, and strides taken as numbers of digits
        `0 <= digit[i] < sizes[i]` that weigh `steps`, weighed by `strides` instead."""
        if 0 in steps:
            return None  # what has no elements has no digits
        digits = mixed_radix(start, steps)
        if digits is None:
            return None
        low, high = list(digits), list(digits)
        restated: list[Dim] = []
        for size, stride in zip(self.sizes, self.strides, strict=True):
            if stride == 0:
                restated.append(0)
                continue
            found = _walked(stride, steps)
            if found is None:
                return None
            position, count = found
            restated.append(count * strides[position])
            if provably_le(0, count):
                reach = high
            elif provably_le(count, 0):
                reach = low
            else:
                return None
            reach[position] = reach[position] + count * (size - 1)
        for size, first, last in zip(sizes, low, high, strict=True):
            if not (provably_le(0, first) and provably_le(last, size - 1)):
                return None
        offset = origin
        for digit, stride in zip(digits, strides, strict=True):
            offset = offset + digit * stride
        return AccessMap(offset, self.sizes, tuple(restated))

    def through(self, inner: AccessMap) -> AccessMap | None:
        """The map `m` from the first element on with `m.compose(inner) == self`: it reaches the
        same addresses through a value that is itself `inner` of the base. None if none is found.
        """
        chunks = inner.coalesced()
        steps = dense_strides([size for size, _ in chunks])
        inner_strides = [stride for _, stride in chunks]
        strides: list[Dim] = []
        for stride in self.strides:
            if stride == 0:
                strides.append(0)
                continue
            found = _walked(stride, inner_strides)
            if found is None:
                return None
            position, count = found
            strides.append(count * steps[position])
        outer = AccessMap(0, self.sizes, tuple(strides))
        return outer if outer.compose(inner) == self else None

    def order_as_storage(self) -> tuple[int, ...] | None:
        """The permutation of the dims under which the map is dense; None if there is none.

        A map that walks a dim backwards is dense under none.
        """
        if self.offset != 0:
            return None
        step: Dim = 1
        pending = [i for i in range(self.rank) if self.sizes[i] != 1]
        order: list[int] = []
        while pending:
            found = next((i for i in reversed(pending) if self.strides[i] == step), None)
            if found is None:
                return None
            pending.remove(found)
            order.append(found)
            step = step * self.sizes[found]
        ones = [i for i in range(self.rank) if self.sizes[i] == 1]
        return (*ones, *reversed(order))

    def covers(self, size: Dim) -> bool:
        """Whether the map visits each of the addresses 0 .. size - 1 once, and walks no dim
        backwards: there is then an `order_as_storage`."""
        return self.size == size and self.order_as_storage() is not None

    @property
    def last(self) -> Dim:
        """The address of the last index in each dim; of a map that walks forwards, the largest."""
        address = self.offset
        for size, stride in zip(self.sizes, self.strides, strict=True):
            address = address + stride * (size - 1)
        return address

    def forwards(self) -> AccessMap:
        """The same addresses, with dims that provably walk backwards turned around."""
        offset, strides = self.offset, list(self.strides)
        for i, (size, stride) in enumerate(zip(self.sizes, self.strides, strict=True)):
            if provably_le(stride, -1):
                offset, strides[i] = offset + stride * (size - 1), -stride
        return AccessMap(offset, self.sizes, tuple(strides))

    def disjoint_from(self, other: AccessMap) -> bool:
        """Whether provably no address of one storage is reached by both maps."""
        return _disjoint(self, other)

    def __str__(self) -> str:
        sizes, strides = ", ".join(map(to_text, self.sizes)), ", ".join(map(to_text, self.strides))
        return f"offset {to_text(self.offset)}, sizes [{sizes}], strides [{strides}]"


def mixed_radix(value: Dim, steps: Sequence[Dim]) -> list[Dim] | None:
    """`value` as a mixed-radix number whose digits weigh `steps`; None if not provable."""
    digits: list[Dim] = []
    for step in steps:
        if provably_le(0, value) and provably_le(value, step - 1):
            digit: Dim = 0
        elif isinstance(value, int) and isinstance(step, int):
            digit = value // step
        else:
            whole = exact_div(value, step)
            if whole is None:
                return None
            digit = whole
        digits.append(digit)
        value = value - digit * step
    return digits if value == 0 else None


def _walked(stride: Dim, steps: Sequence[Dim]) -> tuple[int, Dim] | None:
    """The outermost dim of which `stride` is a whole number of steps, and that number."""
    for position, step in enumerate(steps):
        count = exact_div(stride, step)
        if count is not None:
            return position, count
    return None


@lru_cache(maxsize=1 << 16)  # passes ask again and again about the pieces of one tensor
def _disjoint(a: AccessMap, b: AccessMap) -> bool:
    return _apart(a.forwards(), b.forwards())


def _apart(a: AccessMap, b: AccessMap) -> bool:
    """Whether two maps that walk forwards never meet: one ends before the other begins, or so it is
    for their addresses modulo some stride, as for columns of one matrix."""
    if a.size == 0 or b.size == 0:
        return True
    if provably_le(a.last, b.offset - 1) or provably_le(b.last, a.offset - 1):
        return True
    for step in dict.fromkeys(stride for stride in (*a.strides, *b.strides) if stride != 0):
        left, right = _modulo(a, step), _modulo(b, step)
        if left is not None and right is not None and _apart(left, right):
            return True
    return False


def _modulo(access: AccessMap, step: Dim) -> AccessMap | None:
    """Addresses modulo `step`; None unless dims that are no whole steps provably never carry."""
    kept = [i for i, stride in enumerate(access.strides) if exact_div(stride, step) is None]
    offset = access.offset
    if not (provably_le(0, offset) and provably_le(offset, step - 1)):
        offset = mod(offset, step)
    sizes, strides = (tuple(dims[i] for i in kept) for dims in (access.sizes, access.strides))
    rest = AccessMap(offset, sizes, strides)
    return rest if provably_le(0, offset) and provably_le(rest.last, step - 1) else None


@irdl_attr_definition
class MapAttr(Data[AccessMap]):
    """`#accessor.map<offset 0, sizes [2, 3], strides [3, 1]>`, with symbols' bounds at the end."""

    name = "accessor.map"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> AccessMap:
        with parser.in_angle_brackets():
            dims = DimParser(parser)
            parser.parse_keyword("offset")
            offset = dims.dim()
            parser.parse_punctuation(",")
            parser.parse_keyword("sizes")
            sizes = dims.dims()
            parser.parse_punctuation(",")
            parser.parse_keyword("strides")
            strides = dims.dims()
            position = parser.pos
            dims.bounds()
            if len(sizes()) != len(strides()):
                parser.raise_error("an access map needs one stride per size", position)
            return AccessMap(offset(), sizes(), strides())

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f"offset {to_text(self.data.offset)}, sizes ")
            print_dims(printer, self.data.sizes)
            printer.print_string(", strides ")
            print_dims(printer, self.data.strides)
            print_symbol_bounds(printer, self.data.dims)


def check_in_bounds(access: AccessMap, size: Dim, what: str) -> None:
    """Raises VerifyException if `access` surely leaves a storage of `size` elements."""
    if access.size == 0 or lower_bound(access.size) == 0:
        return
    low = high = access.offset
    for n, stride in zip(access.sizes, access.strides, strict=True):
        if provably_le(stride, 0):
            low = low + stride * (n - 1)
        else:
            high = high + stride * (n - 1)
    if provably_le(low, -1) or provably_le(size, high):
        raise VerifyException(
            f"{what} reaches elements {to_text(low)} to {to_text(high)} "
            f"of a storage of {to_text(size)}"
        )


@irdl_op_definition
class ViewOp(IRDLOperation):
    """A dense tensor read through an access map; no data moves.

    `%v = accessor.view %x <offset 0, sizes [3, 2], strides [1, 3]> : tensor<2x3xf32> ->
    tensor<3x2xf32>` is the transpose of `%x`.
    """

    name = "accessor.view"

    base = operand_def(TensorType)
    map = prop_def(MapAttr)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    assembly_format = "$base $map attr-dict `:` type($base) `->` type($result)"

    def __init__(self, base: SSAValue, access: AccessMap):
        super().__init__(
            operands=[base],
            properties={"map": MapAttr(access)},
            result_types=[tensor_type(element_of(base), access.sizes)],
        )

    @property
    def access(self) -> AccessMap:
        return self.map.data

    def verify_(self) -> None:
        if tensor_type(element_of(self.base), self.access.sizes) != self.result.type:
            raise VerifyException(
                f"the map's sizes give {tensor_type(element_of(self.base), self.access.sizes)}, "
                f"the result is {self.result.type}"
            )
        check_in_bounds(self.access, dim_product(dims_of(self.base)), "the view")


@irdl_op_definition
class MaterializeOp(IRDLOperation):
    """Copies a view into a dense tensor: the value stays, the storage is new."""

    name = "accessor.materialize"

    T: ClassVar = VarConstraint("T", AnyAttr())
    input = operand_def(T)
    result = result_def(T)

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($result)"

    def __init__(self, value: SSAValue | Operation):
        value = SSAValue.get(value)
        super().__init__(operands=[value], result_types=[value.type])


@irdl_op_definition
class AssembleOp(IRDLOperation):
    """Writes each piece into its view of one new dense tensor.

    The maps say where in the destination's storage each piece goes; they must be disjoint. Elements
    that no piece covers hold `fill`, which must be given unless the pieces cover everything.
    """

    name = "accessor.assemble"

    pieces = var_operand_def(TensorType)
    maps = prop_def(ArrayAttr[MapAttr])
    fill = opt_prop_def(FloatAttr | IntegerAttr)
    result = result_def(TensorType)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$pieces attr-dict `:` functional-type($pieces, $result)"

    def __init__(
        self,
        pieces: Sequence[SSAValue],
        maps: Sequence[AccessMap],
        result: TensorType[Attribute],
        fill: FloatAttr | IntegerAttr | None = None,
    ):
        super().__init__(
            operands=[list(pieces)],
            properties={"maps": ArrayAttr([MapAttr(m) for m in maps]), "fill": fill},
            result_types=[result],
        )

    @property
    def accesses(self) -> tuple[AccessMap, ...]:
        return tuple(m.data for m in self.maps)

    def verify_(self) -> None:
        if len(self.maps) != len(self.pieces):
            raise VerifyException(f"{len(self.pieces)} pieces but {len(self.maps)} maps")
        total = dim_product(dims_of(self.result))
        for i, (piece, access) in enumerate(zip(self.pieces, self.accesses, strict=True)):
            if element_of(piece) != element_of(self.result):
                raise VerifyException(f"piece {i} is {piece.type}, the result {self.result.type}")
            if dims_of(piece) != access.sizes:
                raise VerifyException(f"piece {i} is {piece.type}, its map has {access}")
            check_in_bounds(access, total, f"piece {i}")
        covered: Dim = 0
        for access in self.accesses:
            covered = covered + access.size
        if self.fill is None and covered != total:
            raise VerifyException(
                f"pieces cover {to_text(covered)} of {to_text(total)} elements and there is no fill"
            )


Accessor = Dialect("accessor", [ViewOp, MaterializeOp, AssembleOp], [MapAttr])
