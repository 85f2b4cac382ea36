"""The kernel dialect: what runs.

Each op is one launch (or one call) over an iteration domain, in destination-passing style: it reads
`ins`, writes `outs`, and on tensors returns the updated destinations. Every operand has an access
map from the op's domain to the operand's dense storage, so permutes, slices, broadcasts and concats
cost nothing and need no op. What is computed per element is region code of `arith`, `math` and
`kernel` scalars; there is no list of named epilogues.

    %y = kernel.gemm ins(%x : tensor<8x64xf32>, %w <offset 0, sizes [64, 32], strides [1, 64]> :
      tensor<32x64xf32>, %b <offset 0, sizes [8, 32], strides [0, 1]> : tensor<32xf32>)
      outs(%e : tensor<8x32xf32>) {groups = [0, 1, 1, 1]} epilogue {
    ^bb0(%acc : f32, %bias : f32):
      %0 = arith.addf %acc, %bias : f32
      kernel.yield %0 : f32
    }

Region arguments have the *compute type* of their operand: f32 for floats, the element type itself
for integers. A store converts back. On buffers (memrefs) the same ops have no results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import auto
from functools import lru_cache
from typing import ClassVar, TypeAlias, TypeVar, cast

from xdsl.dialects.builtin import (
    I64,
    AnyFloat,
    ArrayAttr,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    TensorType,
    UnitAttr,
    f32,
    i32,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import (
    Attribute,
    Block,
    Data,
    Dialect,
    Operation,
    Region,
    SpacedOpaqueSyntaxAttribute,
    SSAValue,
)
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import (
    EffectInstance,
    IsolatedFromAbove,
    IsTerminator,
    MemoryAllocEffect,
    MemoryEffect,
    MemoryEffectKind,
    NoTerminator,
    Pure,
    RecursivelySpeculatable,
    RecursiveMemoryEffect,
)
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from ait.dialects.accessor import AccessMap, MapAttr, check_in_bounds
from ait.dialects.symbolic import (
    Dim,
    DimParser,
    dim_product,
    dims_of,
    element_of,
    floordiv,
    print_symbol_bounds,
    to_text,
)

Maps: TypeAlias = ArrayAttr[MapAttr]
IntArray: TypeAlias = DenseArrayBase[I64]


def compute_type(element: Attribute) -> Attribute:
    """The type in which region code sees an element: f32 for any float, else the type itself."""
    return f32 if isinstance(element, AnyFloat) else element


def maps_attr(maps: Sequence[AccessMap]) -> Maps:
    return ArrayAttr([MapAttr(m) for m in maps])


# Attributes -----------------------------------------------------------------------------------


class RowwiseKind(StrEnum):
    """What `kernel.rowwise` does to the values `v` of a row."""

    SOFTMAX = auto()
    """`exp(v - max(v)) / sum(exp(v - max(v)))`"""
    LOG_SOFTMAX = auto()
    """`v - max(v) - log(sum(exp(v - max(v))))`"""
    LAYER_NORM = auto()
    """`(v - mean(v)) * rsqrt(mean((v - mean(v))^2) + eps)`"""
    RMS_NORM = auto()
    """`v * rsqrt(mean(v^2) + eps)`"""


class ReduceKind(StrEnum):
    """How `kernel.reduce` combines values; the value of nothing is the identity of the kind."""

    SUM = auto()
    MAX = auto()
    MIN = auto()
    PROD = auto()
    ARGMAX = auto()
    """The linear index over the reduced dims of the first largest value (NaN is largest)."""


class PoolKind(StrEnum):
    """How `kernel.pool` combines a window."""

    MAX = auto()
    AVERAGE = auto()


class ResizeMode(StrEnum):
    """How `kernel.resize` samples."""

    NEAREST = auto()
    BILINEAR = auto()


class Coordinates(StrEnum):
    """Where output pixel `o` samples the input: the names are those of ONNX Resize."""

    HALF_PIXEL = auto()
    """`(o + 0.5) * in / out - 0.5`"""
    ALIGN_CORNERS = auto()
    """`o * (in - 1) / (out - 1)`"""
    ASYMMETRIC = auto()
    """`o * in / out`"""


@irdl_attr_definition
class RowwiseKindAttr(EnumAttribute[RowwiseKind], SpacedOpaqueSyntaxAttribute):
    name = "kernel.rowwise_kind"


@irdl_attr_definition
class ReduceKindAttr(EnumAttribute[ReduceKind], SpacedOpaqueSyntaxAttribute):
    name = "kernel.reduce_kind"


@irdl_attr_definition
class PoolKindAttr(EnumAttribute[PoolKind], SpacedOpaqueSyntaxAttribute):
    name = "kernel.pool_kind"


@irdl_attr_definition
class ResizeModeAttr(EnumAttribute[ResizeMode], SpacedOpaqueSyntaxAttribute):
    name = "kernel.resize_mode"


@irdl_attr_definition
class CoordinatesAttr(EnumAttribute[Coordinates], SpacedOpaqueSyntaxAttribute):
    name = "kernel.coordinates"


@irdl_attr_definition
class DimAttr(Data[Dim]):
    """A symbolic number: `#kernel.dim<batch * 2, batch in [1, 8]>`."""

    name = "kernel.dim"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Dim:
        with parser.in_angle_brackets():
            dims = DimParser(parser)
            dim = dims.dim()
            dims.bounds()
            return dim()

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(to_text(self.data))
            print_symbol_bounds(printer, [self.data])


# Scalars --------------------------------------------------------------------------------------


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a region: one value per result that the region gives."""

    name = "kernel.yield"

    values = var_operand_def()
    traits = traits_def(IsTerminator(), Pure())
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, *values: SSAValue):
        Operation.__init__(self, operands=values)


@irdl_op_definition
class ExtentOp(IRDLOperation):
    """The run-time value of a dim, as i64."""

    name = "kernel.extent"

    dim = prop_def(DimAttr)
    result = result_def(i64)
    traits = traits_def(Pure())
    assembly_format = "$dim attr-dict"

    def __init__(self, dim: Dim):
        super().__init__(properties={"dim": DimAttr(dim)}, result_types=[i64])


@irdl_op_definition
class IndexOp(IRDLOperation):
    """The address that a map gives for the current index of the domain the region runs over.

    `kernel.index <offset 0, sizes [4, 8], strides [0, 1]>` is the index along the last dim.
    """

    name = "kernel.index"

    map = prop_def(MapAttr)
    result = result_def(i64)
    traits = traits_def(Pure())
    assembly_format = "$map attr-dict"

    def __init__(self, access: AccessMap):
        super().__init__(properties={"map": MapAttr(access)}, result_types=[i64])

    @property
    def access(self) -> AccessMap:
        return self.map.data


# Destinations ---------------------------------------------------------------------------------


@irdl_op_definition
class EmptyOp(IRDLOperation):
    """A destination whose elements are not written yet."""

    name = "kernel.empty"

    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "attr-dict `:` type($result)"

    def __init__(self, result_type: Attribute):
        Operation.__init__(self, result_types=[result_type])


@irdl_op_definition
class BufferOp(IRDLOperation):
    """A buffer of the model's own: an allocation, then a part of slot `slot` of the workspace.

    Buffers that share a slot are never live at once.
    """

    name = "kernel.buffer"

    slot = opt_prop_def(IntegerAttr[I64])
    result = result_def(MemRefType)
    traits = traits_def(MemoryAllocEffect())
    assembly_format = "(`slot` $slot^)? attr-dict `:` type($result)"

    def __init__(self, result_type: Attribute, slot: int | None = None):
        super().__init__(
            properties={"slot": None if slot is None else IntegerAttr(slot, i64)},
            result_types=[result_type],
        )


# Structured ops -------------------------------------------------------------------------------


class DestinationPassing(MemoryEffect):
    """Pure on tensors; on buffers, reads the `ins` and writes the `outs`."""

    @classmethod
    def get_effects(cls, op: Operation) -> set[EffectInstance]:
        assert isinstance(op, KernelOp)
        if not op.on_buffers:
            return set()
        reads = {EffectInstance(MemoryEffectKind.READ, value) for value in op.ins}
        return reads | {EffectInstance(MemoryEffectKind.WRITE, value) for value in op.outs}


_COUNT_BYTES = i32.size
_Kernel = TypeVar("_Kernel", bound="KernelOp")
_SEGMENTS = AttrSizedOperandSegments.attribute_name
BACKWARDS = "backwards"
"""The attribute of kernels that begin with the last rows."""


class KernelOp(IRDLOperation, ABC):
    """Base of the structured ops: operands, destinations, access maps, config and assembly.

    Subclasses say how many leading `ins` are not visible to the last region (`DATA_OPERANDS`), how
    many values the op itself passes to it before them (`COMPUTED_ARGUMENTS`), and over which of the
    op's maps its destinations range.
    """

    ins = var_operand_def(TensorType | MemRefType)
    outs = var_operand_def(TensorType | MemRefType)
    res = var_result_def(TensorType)
    in_maps = prop_def(ArrayAttr[MapAttr])
    out_maps = prop_def(ArrayAttr[MapAttr])
    config = opt_prop_def(Attribute)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(IsolatedFromAbove(), RecursivelySpeculatable(), DestinationPassing())

    REGION_NAMES: ClassVar[tuple[str, ...]] = ()
    DATA_OPERANDS: ClassVar[int] = 0
    COMPUTED_ARGUMENTS: ClassVar[int] = 0

    def __init__(
        self,
        ins: Sequence[SSAValue],
        outs: Sequence[SSAValue],
        in_maps: Sequence[AccessMap],
        out_maps: Sequence[AccessMap],
        regions: Sequence[Region] = (),
        properties: dict[str, Attribute | None] | None = None,
        attributes: dict[str, Attribute] | None = None,
    ):
        # What xDSL's builder makes of an op's parts: passes make thousands, and know the parts.
        given = {name: value for name, value in (properties or {}).items() if value is not None}
        Operation.__init__(
            self,
            operands=(*ins, *outs),
            result_types=_tensor_types(outs),
            properties={
                "in_maps": maps_attr(in_maps),
                "out_maps": maps_attr(out_maps),
                **given,
                _SEGMENTS: _segments(len(ins), len(outs)),
            },
            attributes=attributes or {},
            regions=regions,
        )

    @property
    def in_access(self) -> tuple[AccessMap, ...]:
        return tuple(m.data for m in self.in_maps)

    @property
    def out_access(self) -> tuple[AccessMap, ...]:
        return tuple(m.data for m in self.out_maps)

    @property
    def domain(self) -> tuple[Dim, ...]:
        """The dims over which the destinations, and the operands of the last region, range."""
        return self.out_access[0].sizes

    @property
    def source(self) -> str:
        """Where in the model the op comes from, or an empty string."""
        attribute = self.attributes.get("source")
        return attribute.data if isinstance(attribute, StringAttr) else ""

    @property
    def is_backwards(self) -> bool:
        """Whether its kernel should begin with the last rows: see alternate-directions."""
        return BACKWARDS in self.attributes

    @property
    def own_properties(self) -> dict[str, Attribute]:
        """The properties that are this op kind's own: not maps, segments or config."""
        return {k: v for k, v in self.properties.items() if k not in _COMMON_PROPERTIES}

    @property
    def visible_ins(self) -> range:
        """Indices of the `ins` that are arguments of the last region, in order."""
        return range(self.DATA_OPERANDS, len(self.ins))

    @property
    def on_buffers(self) -> bool:
        return all(isinstance(value.type, MemRefType) for value in self.operands)

    # Verification

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        """The sizes that the map of `ins[index]` must have; None if the op has no demand."""
        return self.domain

    def out_domain(self, index: int) -> Sequence[Dim]:
        """The sizes that the map of `outs[index]` must have."""
        return self.domain

    @property
    def finished_outs(self) -> range:
        """Indices of the `outs` that the last region gives, in order."""
        return range(len(self.outs))

    def ins_of_out(self, index: int) -> range:
        """Indices of the `ins` that are operands of the region that gives `outs[index]`."""
        return self.visible_ins

    def region_ins(self, index: int) -> range:
        """Indices of the `ins` that are arguments of region `index`, in order."""
        return self.visible_ins

    def computed_arguments(self, index: int) -> list[Attribute]:
        """The types of what the op itself passes to region `index`, before its operands."""
        return [f32] * self.COMPUTED_ARGUMENTS

    def region_arguments(self, index: int) -> list[Attribute]:
        """The argument types of region `index`."""
        operands = [compute_type(element_of(self.ins[i])) for i in self.region_ins(index)]
        return [*self.computed_arguments(index), *operands]

    def region_results(self, index: int) -> list[Attribute]:
        """The types that region `index` must yield."""
        return [compute_type(element_of(self.outs[i])) for i in self.finished_outs]

    def verify_(self) -> None:
        if len(self.in_maps) != len(self.ins) or len(self.out_maps) != len(self.outs):
            raise VerifyException(
                f"{len(self.ins)} ins and {len(self.outs)} outs need as many maps, "
                f"not {len(self.in_maps)} and {len(self.out_maps)}"
            )
        if not self.outs:
            raise VerifyException(f"{self.name} needs a destination")
        self._verify_results()
        self._verify_maps()
        for i, region in enumerate(self.regions):
            self._verify_region(i, region)
        self.verify_kernel()

    def verify_kernel(self) -> None:
        """Checks of the op kind."""

    def _verify_results(self) -> None:
        wanted = _tensor_types(self.outs)
        if wanted and len(wanted) != len(self.outs):
            raise VerifyException("destinations are all tensors or all memrefs")
        if [r.type for r in self.res] != wanted:
            raise VerifyException("results must have the types of the destinations")

    def _verify_maps(self) -> None:
        values = (*self.ins, *self.outs)
        for i, (value, access) in enumerate(
            zip(values, (*self.in_access, *self.out_access), strict=True)
        ):
            out = i - len(self.ins)
            what = f"in {i}" if out < 0 else f"out {out}"
            check_in_bounds(access, dim_product(dims_of(value)), what)
            wanted = self.expected_domain(i) if out < 0 else self.out_domain(out)
            if wanted is not None and tuple(wanted) != access.sizes:
                raise VerifyException(
                    f"{what} ranges over {_text(access.sizes)}, expected {_text(wanted)}"
                )

    def _verify_region(self, index: int, region: Region) -> None:
        name = self.REGION_NAMES[index]
        if len(region.blocks) != 1:
            raise VerifyException(f"region {name} must be one block")
        arguments, wanted = [a.type for a in region.block.args], self.region_arguments(index)
        if arguments != wanted:
            raise VerifyException(
                f"region {name} takes ({_types(arguments)}), expected ({_types(wanted)})"
            )
        last = region.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException(f"region {name} must end in kernel.yield")
        yielded, wanted = [v.type for v in last.values], self.region_results(index)
        if yielded != wanted:
            raise VerifyException(
                f"region {name} yields ({_types(yielded)}), expected ({_types(wanted)})"
            )

    # Assembly

    def print(self, printer: Printer) -> None:
        for keyword, values, maps in (
            ("ins", self.ins, self.in_access),
            ("outs", self.outs, self.out_access),
        ):
            printer.print_string(f" {keyword}(")
            printer.print_list(
                list(zip(values, maps, strict=True)), lambda pair: _print_operand(printer, *pair)
            )
            printer.print_string(")")
        dictionary = {**self.own_properties, **self.attributes}
        if self.config is not None:
            dictionary["config"] = self.config
        if dictionary:
            printer.print_string(" ")
            printer.print_attr_dict(dictionary)
        for name, region in zip(self.REGION_NAMES, self.regions, strict=True):
            printer.print_string(f" {name} ")
            printer.print_region(region)

    @classmethod
    def parse(cls, parser: Parser) -> KernelOp:
        ins = _parse_operands(parser, "ins")
        outs = _parse_operands(parser, "outs")
        dictionary = parser.parse_optional_dictionary_attr_dict()
        known = cls.get_irdl_definition().properties
        own = {k: v for k, v in dictionary.items() if k in known}
        rest = {k: v for k, v in dictionary.items() if k not in known}
        regions: list[Region] = []
        for name in cls.REGION_NAMES:
            parser.parse_keyword(name)
            regions.append(parser.parse_region())
        (in_values, in_maps), (out_values, out_maps) = ins, outs
        return cls.create(
            operands=[*in_values, *out_values],
            result_types=_tensor_types(out_values),
            properties={
                **own,
                "in_maps": maps_attr(in_maps),
                "out_maps": maps_attr(out_maps),
                _SEGMENTS: _segments(len(in_values), len(out_values)),
            },
            attributes=rest,
            regions=regions,
        )


def kernel_op_definition(cls: type[_Kernel]) -> type[_Kernel]:
    """`irdl_op_definition` for the structured ops. A compile asks for their operands tens of
    thousands of times: this says where they end without taking an attribute apart each time."""
    defined = irdl_op_definition(cls)
    setattr(defined, "ins", property(_ins))  # noqa: B010 - it replaces the accessor that was made
    setattr(defined, "outs", property(_outs))  # noqa: B010
    return defined


def _ins(op: KernelOp) -> Sequence[SSAValue]:
    return op.operands[: _count_of_ins(op)]


def _outs(op: KernelOp) -> Sequence[SSAValue]:
    return op.operands[_count_of_ins(op) :]


def _count_of_ins(op: KernelOp) -> int:
    segments = op.properties[_SEGMENTS]
    assert isinstance(segments, DenseArrayBase)
    return int.from_bytes(segments.data.data[:_COUNT_BYTES], "little")


_COMMON_PROPERTIES = frozenset({"in_maps", "out_maps", "config", _SEGMENTS})


@lru_cache(maxsize=1024)
def _segments(ins: int, outs: int) -> Attribute:
    """How many operands are `ins`, and how many `outs`."""
    return DenseArrayBase.from_list(i32, [ins, outs])


def _tensor_types(values: Sequence[SSAValue]) -> list[Attribute]:
    types = [v.type for v in values]
    return [t for t in types if isinstance(cast(object, t), TensorType)]


def _text(dims: Sequence[Dim]) -> str:
    return "[" + ", ".join(map(to_text, dims)) + "]"


def _types(types: Sequence[Attribute]) -> str:
    return ", ".join(map(str, types))


def _print_operand(printer: Printer, value: SSAValue, access: AccessMap) -> None:
    printer.print_operand(value)
    if access != AccessMap.dense(dims_of(value)):
        printer.print_string(" ")
        MapAttr(access).print_parameter(printer)
    printer.print_string(" : ")
    printer.print_attribute(value.type)


def _parse_operands(parser: Parser, keyword: str) -> tuple[list[SSAValue], list[AccessMap]]:
    """`ins(%x <map> : type, %y : type)`; an absent map is the dense one of the type."""
    parser.parse_keyword(keyword)
    values: list[SSAValue] = []
    maps: list[AccessMap] = []

    def parse_operand() -> None:
        operand = parser.parse_unresolved_operand()
        access = None
        if parser.parse_optional_punctuation(":") is None:
            access = MapAttr.parse_parameter(parser)
            parser.parse_punctuation(":")
        value_type = parser.parse_type()
        values.append(parser.resolve_operand(operand, value_type))
        maps.append(access or AccessMap.dense(dims_of(value_type)))

    parser.parse_comma_separated_list(parser.Delimiter.PAREN, parse_operand)
    return values, maps


@kernel_op_definition
class CopyOp(KernelOp):
    """Moves data: `out[i] = in[i]`. What is left of these after fusion is pure data movement."""

    name = "kernel.copy"


@kernel_op_definition
class PointwiseOp(KernelOp):
    """`outs[i] = body(ins[i])` for each index of the domain."""

    name = "kernel.pointwise"

    body = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("body",)


class ProductOp(KernelOp, ABC):
    """Base of the matrix products: one left factor [b, m, k] by right factors [b, k, n].

    Each of b, m, n, k is a group of `groups[i]` dims, so that a result can be written permuted and
    a reshape needs no copy. Products accumulate in f32; there is one sum per right factor, and the
    epilogue sees them all.
    """

    groups = prop_def(IntArray)
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("epilogue",)

    @property
    def right_factors(self) -> range:
        """Indices of the right factors among the `ins`; the left one is number 0."""
        return range(1, self.DATA_OPERANDS)

    @property
    def group_ranks(self) -> tuple[int, int, int, int]:
        """How many dims the groups b, m, n, k have."""
        b, m, n, k = self.groups.get_values()
        return b, m, n, k

    @property
    def group_dims(self) -> tuple[tuple[Dim, ...], ...]:
        """The dims of the groups b, m, n, k."""
        b, m, n, _ = self.group_ranks
        out, left = self.domain, self.in_access[0].sizes
        return out[:b], out[b : b + m], out[b + m : b + m + n], left[b + m :]

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        b, m, n, k = self.group_dims
        if index == 0:
            return (*b, *m, *k)
        return (*b, *k, *n) if index in self.right_factors else self.domain

    def verify_kernel(self) -> None:
        ranks = self.group_ranks
        if len(self.ins) < self.DATA_OPERANDS:
            raise VerifyException(
                f"{self.name} needs {self.DATA_OPERANDS} factors, not {len(self.ins)}"
            )
        if sum(ranks[:3]) != len(self.domain):
            raise VerifyException(f"groups {list(ranks)} do not fit {_text(self.domain)}")


@kernel_op_definition
class GemmOp(ProductOp):
    """`outs[b, m, n] = epilogue(sum over k of a[b, m, k] * b[b, k, n], extras[b, m, n])`.

    Each of b, m, n, k is a group of `groups[i]` dims, so that a result can be written permuted and
    a reshape needs no copy. Products accumulate in f32, those of f8E4M3FN too; those of i8 exactly,
    in i32, and their sum becomes an f32.
    """

    name = "kernel.gemm"

    DATA_OPERANDS: ClassVar[int] = 2
    COMPUTED_ARGUMENTS: ClassVar[int] = 1


@kernel_op_definition
class DualGemmOp(ProductOp):
    """Two gemms of one left factor with one epilogue, such as a linear and its gate:
    `outs[b, m, n] = epilogue(sum over k of a[b, m, k] * b[b, k, n],
    sum over k of a[b, m, k] * c[b, k, n], extras[b, m, n])`.

    The factors `b` and `c` range over the same dims; `groups` are those of kernel.gemm.
    """

    name = "kernel.dual_gemm"

    DATA_OPERANDS: ClassVar[int] = 3
    COMPUTED_ARGUMENTS: ClassVar[int] = 2


@kernel_op_definition
class GemmRowwiseOp(ProductOp):
    """A gemm and a row operation over all of its columns, such as a linear and its softmax or norm.

    `s[b, m, n] = sum over k of a[b, m, k] * b[b, k, n]`; `v = prologue(s, extras)`; `y` is what
    `kind` makes of the row of `v` that all n are; `outs = epilogue(y, v, s, extras)`. `groups` are
    those of kernel.gemm, `kind` and `eps` those of kernel.rowwise.
    """

    name = "kernel.gemm_rowwise"

    kind = prop_def(RowwiseKindAttr)
    eps = opt_prop_def(FloatAttr)
    prologue = region_def("single_block")
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("prologue", "epilogue")
    DATA_OPERANDS: ClassVar[int] = 2
    COMPUTED_ARGUMENTS: ClassVar[int] = 3

    def computed_arguments(self, index: int) -> list[Attribute]:
        return [f32] if index == 0 else super().computed_arguments(index)

    def region_results(self, index: int) -> list[Attribute]:
        return [f32] if index == 0 else super().region_results(index)

    def verify_kernel(self) -> None:
        super().verify_kernel()
        if self.group_ranks[2] == 0:
            raise VerifyException("a row needs a dim of columns")


class MiddleOp(KernelOp, ABC):
    """Base of two steps in one kernel: the region `middle` computes, in f32, what the second takes.

    It sees the `middle_extras`, the operands between those of the steps and the extras.
    """

    middle_extras = prop_def(IntegerAttr[I64])
    middle = region_def("single_block")
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("middle", "epilogue")

    @property
    @abstractmethod
    def middle_domain(self) -> tuple[Dim, ...]:
        """The dims over which the result of `middle` and its extras range."""

    @property
    def middle_ins(self) -> range:
        """Indices of the operands that the region `middle` sees."""
        return range(self.DATA_OPERANDS, self.DATA_OPERANDS + self.middle_extras.value.data)

    @property
    def visible_ins(self) -> range:
        return range(self.middle_ins.stop, len(self.ins))

    def region_ins(self, index: int) -> range:
        return self.middle_ins if index == 0 else self.visible_ins

    def region_results(self, index: int) -> list[Attribute]:
        return [f32] if index == 0 else super().region_results(index)


@kernel_op_definition
class BackToBackGemmOp(MiddleOp):
    """Two gemms, the first of which computes the left factor of the second:
    `t[b, m, l] = middle(sum over k of a[b, m, k] * b[b, k, l], middle extras[b, m, l])`,
    `outs[b, m, n] = epilogue(sum over l of t[b, m, l] * c[b, l, n], extras[b, m, n])`.

    The `ins` are a, b, c, the `middle_extras`, then the extras. Each of b, m, n, k, l is a group of
    `groups[i]` dims. Both products accumulate in f32; a target may round `t` to the type of c, as
    its matrix units take it. `t` is not stored, unless the op `keeps_middle`: then it is the last
    of the `outs`, over b, m, l, rounded to that one's type.
    """

    name = "kernel.back_to_back_gemm"

    groups = prop_def(IntArray)
    keeps_middle = opt_prop_def(UnitAttr)
    DATA_OPERANDS: ClassVar[int] = 3
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    @property
    def group_ranks(self) -> tuple[int, int, int, int, int]:
        """How many dims the groups b, m, n, k, l have."""
        b, m, n, k, middle = self.groups.get_values()
        return b, m, n, k, middle

    @property
    def group_dims(self) -> tuple[tuple[Dim, ...], ...]:
        """The dims of the groups b, m, n, k, l."""
        b, m, n, k, _ = self.group_ranks
        out, (left, right) = self.domain, (access.sizes for access in self.in_access[:2])
        return out[:b], out[b : b + m], out[b + m : b + m + n], left[b + m :], right[b + k :]

    @property
    def right_factors(self) -> range:
        """Indices of the right factors of the two products."""
        return range(1, self.DATA_OPERANDS)

    @property
    def middle_domain(self) -> tuple[Dim, ...]:
        """The dims over which the left factor of the second product, and its extras, range."""
        b, m, _, _, middle = self.group_dims
        return (*b, *m, *middle)

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        b, m, n, k, middle = self.group_dims
        factors = (*b, *m, *k), (*b, *k, *middle), (*b, *middle, *n)
        if index < self.DATA_OPERANDS:
            return factors[index]
        return self.middle_domain if index in self.middle_ins else self.domain

    @property
    def finished_outs(self) -> range:
        return range(len(self.outs) - (self.keeps_middle is not None))

    def out_domain(self, index: int) -> Sequence[Dim]:
        return self.domain if index in self.finished_outs else self.middle_domain

    def ins_of_out(self, index: int) -> range:
        return self.visible_ins if index in self.finished_outs else self.middle_ins

    def _verify_maps(self) -> None:
        # Before the maps are asked for groups of dims that they may not have.
        ranks = self.groups.get_values()
        if len(ranks) != 5 or sum(ranks[:3]) != len(self.domain):
            raise VerifyException(f"groups {list(ranks)} do not fit {_text(self.domain)}")
        if not 0 <= self.middle_extras.value.data <= len(self.ins) - self.DATA_OPERANDS:
            raise VerifyException(
                f"{self.name} needs {self.DATA_OPERANDS} factors and the middle extras, "
                f"not {len(self.ins)} operands"
            )
        if not self.finished_outs:
            raise VerifyException("the middle is kept, but there is no other destination")
        if self.keeps_middle is not None and compute_type(element_of(self.outs[-1])) != f32:
            raise VerifyException(
                f"the middle is kept as {element_of(self.outs[-1])}, but it is a float"
            )
        super()._verify_maps()


@kernel_op_definition
class ConvOp(KernelOp):
    """Convolution (cross-correlation) of x [N, H, W, C] with weights [O..., R, S, C / groups].

    `outs[n, p, q, o] = epilogue(sum over r, s, c of x[n, p * stride + r * dilation - pad, ...] *
    w[o, r, s, c], extras[n, p, q, o])`. `padding` is top, left, bottom, right; where it is
    negative, so much is cut off. With `input_dilations` d, x has d - 1 zeros between its rows and
    between its columns, inside of the padding; legalize splits such a convolution, and no target
    sees it. The layout in memory is whatever the maps say: the output channels o may be several
    dims, the last of the domain and the first of the weights.
    """

    name = "kernel.conv"

    strides = prop_def(IntArray)
    padding = prop_def(IntArray)
    dilations = prop_def(IntArray)
    input_dilations = opt_prop_def(IntArray)
    groups = prop_def(IntegerAttr[I64])
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("epilogue",)
    DATA_OPERANDS: ClassVar[int] = 2
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    @property
    def channel_dims(self) -> tuple[Dim, ...]:
        """The dims of the output channels."""
        return self.domain[3:]

    @property
    def spread(self) -> tuple[int, ...]:
        """How far apart the input's rows and columns are."""
        return (1, 1) if self.input_dilations is None else self.input_dilations.get_values()

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        return None if index < 2 else self.domain

    def verify_kernel(self) -> None:
        _verify_windows(self)
        if len(self.spread) != 2 or min(self.spread) < 1:
            raise VerifyException(f"input_dilations must be two of 1 or more, not {self.spread}")
        _verify_convolution(self, self.channel_dims)


@kernel_op_definition
class ConvPoolOp(MiddleOp):
    """A convolution and a pool of its result, such as a network's first layers:
    `t[n, h, w, o] = middle(the sums of kernel.conv, middle extras[n, h, w, o])`,
    `outs[n, p, q, o] = epilogue(kind of the window of t, extras[n, p, q, o])`.

    The `ins` are x, the weights, the `middle_extras`, then the extras. `strides`, `padding`,
    `dilations` and `groups` are those of kernel.conv, `kind`, `kernel`, `pool_strides`,
    `pool_padding` and `count_include_pad` those of kernel.pool, whose windows have no holes here.
    `t` is never stored; a kernel may round it to the type of x.
    """

    name = "kernel.conv_pool"

    strides = prop_def(IntArray)
    padding = prop_def(IntArray)
    dilations = prop_def(IntArray)
    groups = prop_def(IntegerAttr[I64])
    kind = prop_def(PoolKindAttr)
    kernel = prop_def(IntArray)
    pool_strides = prop_def(IntArray)
    pool_padding = prop_def(IntArray)
    count_include_pad = opt_prop_def(UnitAttr)
    DATA_OPERANDS: ClassVar[int] = 2
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    @property
    def channel_dims(self) -> tuple[Dim, ...]:
        """The dims of the output channels."""
        return self.domain[3:]

    @property
    def middle_domain(self) -> tuple[Dim, ...]:
        """The dims of what is pooled, over which the middle extras range: [N, H, W, O...]."""
        image, weights = self.in_access[:2]
        taps, padding = weights.sizes[-3:-1], self.padding.get_values()
        pixels: list[Dim] = []
        for i in range(2):
            reach = (taps[i] - 1) * self.dilations.get_values()[i] + 1
            room = image.sizes[1 + i] + (padding[i] + padding[2 + i] - reach)
            pixels.append(floordiv(room, self.strides.get_values()[i]) + 1)
        return (image.sizes[0], *pixels, *self.channel_dims)

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        if index < self.DATA_OPERANDS:
            return None
        return self.middle_domain if index in self.middle_ins else self.domain

    def _verify_maps(self) -> None:
        # Before the maps are asked for dims that they may not have.
        _verify_windows(self)
        if not 0 <= self.middle_extras.value.data <= len(self.ins) - self.DATA_OPERANDS:
            raise VerifyException(
                f"{self.name} needs an input, weights and the middle extras, "
                f"not {len(self.ins)} operands"
            )
        _verify_convolution(self, self.channel_dims)
        super()._verify_maps()


_WINDOW_ARRAYS: Mapping[str, tuple[int, int | None]] = {
    "strides": (2, 1),
    "padding": (4, None),
    "dilations": (2, 1),
    "kernel": (2, 1),
    "pool_strides": (2, 1),
    "pool_padding": (4, None),
}
"""What windows are made of: how many numbers, and the least that each may be."""


def _verify_windows(op: KernelOp) -> None:
    """That what an op says of its windows are as many numbers as there must be, and possible."""
    for name, (count, least) in _WINDOW_ARRAYS.items():
        if name not in op.properties:
            continue
        values = cast(IntArray, op.properties[name]).get_values()
        if len(values) != count:
            raise VerifyException(f"{name} must be {count} numbers")
        if least is not None and min(values) < least:
            raise VerifyException(f"{name} must be {least} or more, not {_text(values)}")


def _verify_convolution(op: KernelOp, channels: Sequence[Dim]) -> None:
    """That the input and the weights of a convolution have their dims, those of `channels` too."""
    if len(op.ins) < 2:
        raise VerifyException("a convolution needs an input and weights")
    for what, access, rank in zip(
        ("input", "weights"), op.in_access, (4, max(4, len(op.domain))), strict=False
    ):
        if access.rank != rank:
            raise VerifyException(f"the {what} must have {rank} dims, not {access.rank}")
    if len(op.domain) < 4:
        raise VerifyException(f"the result ranges over {_text(op.domain)}")
    filters = op.in_access[1].sizes
    if filters[:-3] != channels:
        raise VerifyException(
            f"weights {_text(filters)} are not those of output channels {_text(channels)}"
        )


@kernel_op_definition
class AttentionOp(KernelOp):
    """`outs[b, h, i, :] = softmax over j of score(q[b, h, i] . k[b, g, j], extras[b, h, i, j])
    @ v[b, g, j, :]`, where g = h * Hkv // H (grouped-query attention).

    The region maps a raw dot product to the score: scale and masks are its code. `causal` hides key
    j from query i if j > i + (Sk - Sq). A row with every score -inf gives zeros.
    """

    name = "kernel.attention"

    causal = opt_prop_def(UnitAttr)
    score = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("score",)
    DATA_OPERANDS: ClassVar[int] = 3
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    @property
    def score_domain(self) -> tuple[Dim, ...]:
        """[B, H, Sq, Sk], over which the extras range."""
        q, k = self.in_access[:2]
        return (*q.sizes[:3], k.sizes[2])

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        return None if index < 3 else self.score_domain

    def region_results(self, index: int) -> list[Attribute]:
        return [f32]

    def verify_kernel(self) -> None:
        if len(self.ins) < 3 or any(m.rank != 4 for m in (*self.in_access[:3], *self.out_access)):
            raise VerifyException("attention needs q, k, v and a result of 4 dims each")
        q, k, v = self.in_access[:3]
        if k.sizes[:3] != v.sizes[:3] or q.sizes[0] != k.sizes[0] or q.sizes[3] != k.sizes[3]:
            raise VerifyException(
                f"q {_text(q.sizes)}, k {_text(k.sizes)} and v {_text(v.sizes)} do not fit"
            )
        if self.domain != (*q.sizes[:3], v.sizes[3]):
            raise VerifyException(f"the result ranges over {_text(self.domain)}")


@kernel_op_definition
class RowwiseOp(KernelOp):
    """Normalises rows: the domain is rows + cols, the last `reduced` dims being one row.

    `v = prologue(ins)`; `y` is what `kind` makes of the row of `v`; `outs = epilogue(y, v, ins)`.
    """

    name = "kernel.rowwise"

    kind = prop_def(RowwiseKindAttr)
    reduced = prop_def(IntegerAttr[I64])
    eps = opt_prop_def(FloatAttr)
    prologue = region_def("single_block")
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("prologue", "epilogue")
    COMPUTED_ARGUMENTS: ClassVar[int] = 2

    def computed_arguments(self, index: int) -> list[Attribute]:
        return [] if index == 0 else super().computed_arguments(index)

    def region_results(self, index: int) -> list[Attribute]:
        return [f32] if index == 0 else super().region_results(index)

    def verify_kernel(self) -> None:
        if not 0 < self.reduced.value.data <= len(self.domain):
            raise VerifyException(f"reduced must be 1 to {len(self.domain)}")


@kernel_op_definition
class ReduceOp(KernelOp):
    """`outs[i] = epilogue(kind over j of prologue(ins[i, j]), extras[i])`.

    `ins` are the reduced operands, over keep + reduced dims, then `extras` operands over keep dims.
    """

    name = "kernel.reduce"

    kind = prop_def(ReduceKindAttr)
    reduced = prop_def(IntegerAttr[I64])
    extras = prop_def(IntegerAttr[I64])
    prologue = region_def("single_block")
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("prologue", "epilogue")
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    @property
    def visible_ins(self) -> range:
        return range(len(self.ins) - self.extras.value.data, len(self.ins))

    @property
    def reduced_ins(self) -> range:
        """Indices of the operands that the prologue sees."""
        return range(len(self.ins) - self.extras.value.data)

    @property
    def full_domain(self) -> tuple[Dim, ...]:
        """keep + reduced dims."""
        return self.in_access[0].sizes

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        return self.full_domain if index in self.reduced_ins else self.domain

    @property
    def value_type(self) -> Attribute:
        """The type of what is combined."""
        last = self.prologue.block.last_op
        return last.operands[0].type if last is not None and last.operands else f32

    def region_ins(self, index: int) -> range:
        return self.reduced_ins if index == 0 else self.visible_ins

    def computed_arguments(self, index: int) -> list[Attribute]:
        if index == 0:
            return []
        return [i64 if self.kind.data is ReduceKind.ARGMAX else self.value_type]

    def region_results(self, index: int) -> list[Attribute]:
        return [self.value_type] if index == 0 else super().region_results(index)

    def verify_kernel(self) -> None:
        if not self.reduced_ins:
            raise VerifyException("a reduction needs an operand to reduce")
        keep = len(self.full_domain) - self.reduced.value.data
        if self.full_domain[:keep] != self.domain:
            raise VerifyException(
                f"keeping {keep} dims of {_text(self.full_domain)} does not give "
                f"{_text(self.domain)}"
            )


@kernel_op_definition
class GatherOp(KernelOp):
    """`outs[i, f] = epilogue(table[indices[i], f], extras[i, f])`.

    An index outside of the table's rows is a run-time error, never a wild read.
    """

    name = "kernel.gather"

    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("epilogue",)
    DATA_OPERANDS: ClassVar[int] = 2
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        split = len(self.domain) - (self.in_access[0].rank - 1)
        if index == 0:
            return (self.in_access[0].sizes[0], *self.domain[split:])
        return self.domain[:split] if index == 1 else self.domain

    def computed_arguments(self, index: int) -> list[Attribute]:
        return [compute_type(element_of(self.ins[0]))]

    def verify_kernel(self) -> None:
        if len(self.ins) < 2 or self.in_access[0].rank < 1:
            raise VerifyException("a gather needs a table and indices")


@kernel_op_definition
class PoolOp(KernelOp):
    """Pools windows of x [N, H, W, C]: `outs[n, p, q, c] = epilogue(kind of the window, extras)`.

    With `adaptive`, window p of P covers rows floor(p * H / P) to ceil((p + 1) * H / P); `kernel`,
    `strides`, `padding` and `dilations` are then unused. Padding never wins a maximum and counts in
    an average only with `count_include_pad`.
    """

    name = "kernel.pool"

    kind = prop_def(PoolKindAttr)
    kernel = prop_def(IntArray)
    strides = prop_def(IntArray)
    padding = prop_def(IntArray)
    dilations = prop_def(IntArray)
    count_include_pad = opt_prop_def(UnitAttr)
    adaptive = opt_prop_def(UnitAttr)
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("epilogue",)
    DATA_OPERANDS: ClassVar[int] = 1
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        return None if index < 1 else self.domain

    def verify_kernel(self) -> None:
        if self.adaptive is None:
            _verify_windows(self)


@kernel_op_definition
class ResizeOp(KernelOp):
    """Resamples x [N, H, W, C] to [N, P, Q, C]; nearest rounds the coordinate half down, as ONNX's
    `round_prefer_floor`, or, with asymmetric coordinates, takes its floor. Edges are clamped."""

    name = "kernel.resize"

    mode = prop_def(ResizeModeAttr)
    coordinates = prop_def(CoordinatesAttr)
    epilogue = region_def("single_block")
    REGION_NAMES: ClassVar[tuple[str, ...]] = ("epilogue",)
    DATA_OPERANDS: ClassVar[int] = 1
    COMPUTED_ARGUMENTS: ClassVar[int] = 1

    def expected_domain(self, index: int) -> Sequence[Dim] | None:
        return None if index < 1 else self.domain


# Groups ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Access:
    """One operand of a kernel on buffers: which memory it reaches, and how."""

    buffer: SSAValue
    map: AccessMap
    writes: bool

    def meets(self, other: Access) -> bool:
        """Whether the order of the two may matter: same memory, and one of them writes."""
        if self.buffer is not other.buffer or not (self.writes or other.writes):
            return False
        return not self.map.disjoint_from(other.map)


def accesses_of(op: KernelOp) -> list[Access]:
    """What a kernel on buffers reads and writes."""
    reads = [Access(v, m, False) for v, m in zip(op.ins, op.in_access, strict=True)]
    return [*reads, *(Access(v, m, True) for v, m in zip(op.outs, op.out_access, strict=True))]


@irdl_op_definition
class GroupOp(IRDLOperation):
    """One launch of several kernels on buffers, in any order and perhaps at once: none of them
    writes what another reads or writes.

        kernel.group {
          kernel.rowwise ins(%x : memref<4x8xf32>) outs(%y : memref<4x8xf32>) ...
          kernel.rowwise ins(%u : memref<3x5xf32>) outs(%v : memref<3x5xf32>) ...
        }
    """

    name = "kernel.group"

    body = region_def("single_block")
    traits = traits_def(NoTerminator(), RecursiveMemoryEffect())
    assembly_format = "$body attr-dict"

    def __init__(self, members: Sequence[KernelOp]):
        """A group of ops that are in no block."""
        super().__init__(regions=[Region(Block(members))])

    @property
    def members(self) -> tuple[KernelOp, ...]:
        return tuple(op for op in self.body.block.ops if isinstance(op, KernelOp))

    def verify_(self) -> None:
        if any(not isinstance(op, KernelOp) or not op.on_buffers for op in self.body.block.ops):
            raise VerifyException("a group holds kernels on buffers only")
        if len(self.members) < 2:
            raise VerifyException("a group needs two members")
        known: dict[SSAValue, list[Access]] = {}
        for member in self.members:
            own = accesses_of(member)
            for access in own:
                if any(access.meets(other) for other in known.get(access.buffer, ())):
                    raise VerifyException(f"the order of {member.name} in the group may matter")
            for access in own:
                known.setdefault(access.buffer, []).append(access)


Kernel = Dialect(
    "kernel",
    [
        AttentionOp,
        BackToBackGemmOp,
        BufferOp,
        ConvOp,
        ConvPoolOp,
        CopyOp,
        DualGemmOp,
        EmptyOp,
        ExtentOp,
        GatherOp,
        GemmOp,
        GemmRowwiseOp,
        GroupOp,
        IndexOp,
        PointwiseOp,
        PoolOp,
        ReduceOp,
        ResizeOp,
        RowwiseOp,
        YieldOp,
    ],
    [
        CoordinatesAttr,
        DimAttr,
        PoolKindAttr,
        ReduceKindAttr,
        ResizeModeAttr,
        RowwiseKindAttr,
    ],
)
