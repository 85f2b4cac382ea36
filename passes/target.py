"""What passes may know of a target: a description of the device and what its kernels can do.

Passes ask this interface and never import a target: families register here by import string, so the
dependency points from `codegen` to `passes` only. Nothing here, or behind it, probes hardware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from xdsl.ir import Attribute

from ait.dialects.kernel import (
    AttentionOp,
    BackToBackGemmOp,
    ConvOp,
    DualGemmOp,
    GemmOp,
    GemmRowwiseOp,
    Kernel,
    KernelOp,
)
from ait.errors import CompileError


@dataclass(frozen=True)
class DeviceDescription:
    """Facts of one device, from a table. Rates are per second, sizes in bytes, times in seconds."""

    name: str
    memory_bandwidth: float
    """Bytes per second between the device's memory and its units, read plus written."""
    matrix_peak: Mapping[str, float]
    """Floating-point operations per second of matrix products, by element type ("f16", "f32")."""
    vector_peak: float
    """Scalar f32 operations per second outside of matrix units."""
    units: int
    """Cores of a CPU, multiprocessors or compute units of a GPU."""
    cache_bytes: int
    """The last-level cache that all units share."""
    shared_bytes: int
    """Scratch memory that one kernel block can own; the first-level cache of a CPU core."""
    launch_seconds: float
    """What one more kernel costs, however small."""
    alignment: int = 64
    """Alignment of every buffer that the runtime allocates."""
    block_elements: int = 64 * 64
    """Results that one unit computes at once, more or less: kernels of few results leave units idle
    that another kernel beside them, or a merged one, can use."""


@dataclass(frozen=True)
class AlignedAccess:
    """How a target's fast kernels of an op must reach their factors and results.

    What cannot be shown to be so, for all values of the symbols, goes to a slower kernel.
    """

    bytes: int
    """Neighbours are neighbours in memory along one group of dims (a factor's k, say), and each run
    of them begins at a multiple of so many bytes."""
    speed_without: float
    """The speed of the slower kernel, as a part of the fast one's."""
    elements: frozenset[str] | None = None
    """The element types of the factors that the fast kernels take; None for all."""
    whole_runs: bool = False
    """Whether runs must be multiples of `bytes` long as well: the kernels check no vector's end."""
    single_strides: bool = False
    """Whether each of a product's groups of dims must be walked in one stride."""
    along_k: frozenset[str] = frozenset()
    """Element types whose factors must lie along k: neighbours are neighbours in the sum. Kernels
    that take them write their results anywhere."""


@dataclass(frozen=True)
class RowTile:
    """Whole rows that a unit of the device holds, or a group of units between them: what a product
    hands to a row operation or to a second product."""

    width: int
    """The most elements of a row, which are f32."""
    tiles: Sequence[tuple[int, int | None]]
    """How many rows, and how many of their elements (None: all), one unit may have. A kernel takes
    the best of these."""
    groups: Mapping[int, int] = field(default_factory=dict[int, int])
    """How many groups of so many units that share rows can work at once; of others, none."""
    seconds: float = 0.0
    """What such a kernel takes beside the work of its units, which wait for each other."""
    rate: float = 1.0
    """The share of a plain product's speed at which it multiplies."""
    in_parts: bool = False
    """Of two products: whether the middle may pass in parts. It may have any width then, and be
    stored on its way."""

    def shares(self, width: int) -> Sequence[tuple[tuple[int, int | None], int | None]]:
        """The tiles that rows of so many elements may be in, and how many groups of units that have
        a tile's rows work at once: None where a unit has whole rows."""
        found: list[tuple[tuple[int, int | None], int | None]] = []
        for height, columns in self.tiles:
            units = 1 if columns is None else -(-max(width, 1) // columns)
            if units == 1 or units in self.groups:
                found.append(((height, columns), self.groups.get(units)))
        return found


@dataclass(frozen=True)
class KernelCapability:
    """What a target's kernels of one kernel op take."""

    elements: frozenset[str] = frozenset(
        {"f32", "f16", "bf16", "f8E4M3FN", "i64", "i32", "i8", "i1"}
    )
    """Element types of operands and results, as IR text."""
    max_ins: int = 128
    max_outs: int = 16
    fuses_epilogue: bool = True
    """Whether region code with more operands may run on the results before they are stored."""
    fuses_prologue: bool = True
    """Whether region code may run on the operands as they are loaded (rowwise, reduce)."""
    strided_operands: bool = True
    """Whether operands may be read through any access map."""
    strided_results: bool = True
    """Whether results may be written through any access map."""
    narrow_factors: frozenset[str] = frozenset()
    """Those of `NARROW_FACTORS` that both factors may be: products of i8 are added exactly, of
    f8E4M3FN in f32."""
    aligned: AlignedAccess | None = None
    """What the fast kernels ask of addresses; None if there is one speed."""
    rows: RowTile | None = None
    """The rows that a unit holds, of kernels that need whole ones: gemm_rowwise, and
    back_to_back_gemm its middle and its result."""
    alone: float | None = None
    """Of reductions: how many times its share of the memory's bandwidth a unit reaches while the
    others idle; None if it is not worth knowing."""


NARROW_FACTORS = frozenset({"i8", "f8E4M3FN"})
"""Element types of 8 bits, as IR text, that targets may have instructions to multiply, but none for
other arithmetic."""


def is_narrow(element: Attribute) -> bool:
    """Whether an element type is one of `NARROW_FACTORS`."""
    return str(element) in NARROW_FACTORS


@dataclass(frozen=True)
class GroupCapability:
    """How a target launches several kernels of one kind as one (`kernel.group`)."""

    max_members: int = 64
    efficiency: float = 1.0
    """The speed of a kernel in a group, as a part of its speed alone: of a gemm's tiles, say."""


@dataclass(frozen=True)
class Capabilities:
    """What the kernels of a target can do, by kernel op. An op without a row cannot run."""

    kernels: Mapping[type[KernelOp], KernelCapability]
    packed_weights: frozenset[type[KernelOp]] = frozenset()
    """Kernels whose constant weights are best stored in the order in which they are read."""
    groups: Mapping[type[KernelOp], GroupCapability] = field(
        default_factory=dict[type[KernelOp], GroupCapability]
    )
    """Kernels that can share a launch with others of their kind."""
    products_for_convs: bool = False
    """Whether a convolution of single pixels runs best as a product, and one of windows side by
    side too where the target expects that of its kernels."""
    channels_last: bool = True
    """Whether convolutions run best on NHWC data."""
    scalars: frozenset[str] = field(default_factory=frozenset[str])
    """Names of region ops that cannot be printed for the target."""

    def of(self, kind: type[KernelOp] | KernelOp) -> KernelCapability | None:
        """The row of a kernel op, or None."""
        return self.kernels.get(kind if isinstance(kind, type) else type(kind))


@dataclass(frozen=True)
class SharedLaunch:
    """How kernels share a launch: a configuration for each, if there is anything to configure, and
    the seconds expected of all; None where no model tells."""

    configs: tuple[Attribute, ...] = ()
    seconds: float | None = None


class TargetInfo(Protocol):
    """The side of a target that passes see."""

    @property
    def name(self) -> str:
        """The string that names the target, such as `cuda:sm_90a`."""
        ...

    @property
    def description(self) -> DeviceDescription: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def refusal(self, op: KernelOp) -> str | None:
        """Why no kernel of the target can run `op`; None if one can."""
        ...

    def candidates(self, op: KernelOp) -> Sequence[Attribute]:
        """Configurations that can run `op`, best first by the target's analytic model."""
        ...

    def expected_seconds(self, op: KernelOp) -> float | None:
        """What the target's analytic model expects of the best of them, at the largest dynamic
        dims. None if there is none, or no such model."""
        ...

    def goes_backwards(self, op: KernelOp) -> bool:
        """Whether the kernel that `op` has a configuration for can begin with its last rows, for
        what was written last is in the cache."""
        ...

    @property
    def has_models(self) -> bool:
        """Whether there are models of kernels that tell their times; else passes have but those of
        cost.py."""
        ...

    def launch_share(self, op: KernelOp) -> object | None:
        """What `shared_launch` needs to know of `op`; None if it shares no launch."""
        ...

    def shared_launch(self, shares: Sequence[object]) -> SharedLaunch | None:
        """The best way for kernels to share a launch, by what `launch_share` says of them; None if
        they cannot."""
        ...


class PlainKernels:
    """The part of a target none of whose kernels share a launch or have directions, and whose times
    no model tells."""

    has_models = False

    def goes_backwards(self, op: KernelOp) -> bool:
        """None can."""
        return False

    def launch_share(self, op: KernelOp) -> object | None:
        """There is nothing to share."""
        return None

    def shared_launch(self, shares: Sequence[object]) -> SharedLaunch | None:
        """No kernels do."""
        return None


_KINDS = [kind for kind in Kernel.operations if issubclass(kind, KernelOp)]
_MULTIPLYING = (AttentionOp, ConvOp, DualGemmOp, GemmOp)
_ALIGNED = AlignedAccess(bytes=16, speed_without=0.25)

_ANY_DEVICE = DeviceDescription(
    name="any",
    memory_bandwidth=4e12,
    matrix_peak={"f32": 5e13, "f16": 8e14, "bf16": 8e14},
    vector_peak=5e13,
    units=128,
    cache_bytes=50 << 20,
    shared_bytes=200 << 10,
    launch_seconds=1.5e-6,
)


def row_tile(device: DeviceDescription, height: int = 64) -> RowTile:
    """The tile of `height` rows whose f32 elements fit into the scratch memory of a block: a power
    of two of columns, which leaves room for pieces of the factors (512 in 200 KiB)."""
    width = 1 << (device.shared_bytes // (4 * height)).bit_length() - 1
    return RowTile(width, [(height, None)])


class AnyTarget:
    """A target that runs everything: what fusion does where no capability is in the way.

    As on a GPU, kernels that multiply are fast on 16-byte aligned data only.
    """

    name = "any"
    description = _ANY_DEVICE
    capabilities = Capabilities(
        {
            **{
                kind: KernelCapability(aligned=_ALIGNED if kind in _MULTIPLYING else None)
                for kind in _KINDS
            },
            GemmOp: KernelCapability(aligned=_ALIGNED, narrow_factors=NARROW_FACTORS),
            GemmRowwiseOp: KernelCapability(rows=row_tile(_ANY_DEVICE)),
            BackToBackGemmOp: KernelCapability(rows=replace(row_tile(_ANY_DEVICE), in_parts=True)),
        },
        groups=dict.fromkeys(_KINDS, GroupCapability()),
    )

    has_models = False

    def goes_backwards(self, op: KernelOp) -> bool:
        """There is no cache that would make it worth it."""
        return False

    def refusal(self, op: KernelOp) -> str | None:
        """Nothing is refused."""
        return None

    def launch_share(self, op: KernelOp) -> object | None:
        """All that `shared_launch` needs to know is that there is nothing to know."""
        return op.name

    def shared_launch(self, shares: Sequence[object]) -> SharedLaunch | None:
        """Any kernels share one."""
        return SharedLaunch()

    def candidates(self, op: KernelOp) -> Sequence[Attribute]:
        """There is nothing to configure."""
        return ()

    def expected_seconds(self, op: KernelOp) -> float | None:
        """There is no kernel whose time could be told."""
        return None


FAMILIES: Mapping[str, str] = {
    "any": "ait.passes.target",
    "cpu": "ait.codegen.cpu.target",
    "cuda": "ait.codegen.cuda.target",
    "hip": "ait.codegen.hip.target",
}
"""Target families and the modules whose `make_target(name)` builds one."""


MODES: Mapping[str, frozenset[str]] = {"cuda": frozenset({"tf32", "f32"})}
"""By family, what may follow the name of a target after `+`: how it computes where there is more
than one way. Kernels, timings and caches are those of the target of that name."""


def with_mode(name: str, mode: str) -> str:
    """The target `name` in another mode. Raises CompileError if the name has one already."""
    if "+" in name:
        raise CompileError(f"the target '{name}' says already how it computes; it cannot be {mode}")
    return f"{name}+{mode}"


def make_target(name: str) -> TargetInfo:
    """The target `any`."""
    return AnyTarget()


@cache
def find_target(name: str) -> TargetInfo:
    """The target that `name` ("cpu", "cuda:sm_90a", "cuda:sm_90a+tf32") spells. Raises CompileError
    on others."""
    base, plus, mode = name.partition("+")
    family, _, _ = base.partition(":")
    module = FAMILIES.get(family)
    if module is None:
        raise CompileError(
            f"unknown target '{name}': the families are {', '.join(sorted(FAMILIES))}, "
            "for example cpu, cuda:sm_90a or hip:gfx942"
        )
    if plus and mode not in MODES.get(family, ()):
        modes = ", ".join(sorted(MODES.get(family, ()))) or "none"
        raise CompileError(f"the target '{base}' has no mode '{mode}'; it has {modes}")
    return cast(TargetInfo, import_module(module).make_target(name))
