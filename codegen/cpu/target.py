"""The targets `cpu` and `cpu:<level>`: any machine with a C++ compiler.

`cpu` is the newest instruction set of the machine that compiles; a level (`cpu:x86-64-v3`) makes
the library run on all machines that have it. A machine without it is refused when the model is
created, not killed by an unknown instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from jinja2 import Environment
from xdsl.ir import Attribute

from ait.codegen.build import Toolchain
from ait.codegen.cpu import candidates as configs
from ait.codegen.cpu import toolchain
from ait.codegen.cpu.devices import LEVELS, Level, description, host_level, level_of
from ait.codegen.cpu.dialect import CpuGemmAttr
from ait.codegen.cpu.nests import Nest, copy_nest, gather_nest, pointwise_nest
from ait.codegen.cpu.statements import (
    RegionRow,
    axis,
    base,
    code,
    has_dense_filters,
    is_depthwise,
    on_pixels,
    row_loop,
    unit_stride,
)
from ait.codegen.group_view import LaunchView
from ait.codegen.kernel_view import KernelView
from ait.codegen.rendering import environment
from ait.codegen.scalar import float_literal
from ait.dialects.kernel import (
    AttentionOp,
    BackToBackGemmOp,
    ConvOp,
    CopyOp,
    DualGemmOp,
    GatherOp,
    GemmOp,
    GemmRowwiseOp,
    KernelOp,
    PointwiseOp,
    PoolOp,
    ReduceOp,
    ResizeOp,
    RowwiseOp,
)
from ait.errors import CompileError
from ait.passes.target import (
    Capabilities,
    DeviceDescription,
    KernelCapability,
    PlainKernels,
    RowTile,
)
from ait.runtime.sources import Device

_FLOATS = frozenset({"f32", "f16", "bf16", "f8E4M3FN"})

_TEMPLATES: Mapping[type[KernelOp], str] = {
    PointwiseOp: "pointwise",
    CopyOp: "pointwise",
    GemmOp: "gemm",
    DualGemmOp: "gemm",
    GemmRowwiseOp: "gemm_rowwise",
    BackToBackGemmOp: "back_to_back_gemm",
    ConvOp: "conv",
    AttentionOp: "attention",
    RowwiseOp: "rowwise",
    ReduceOp: "reduce",
    GatherOp: "gather",
    PoolOp: "pool",
    ResizeOp: "resize",
}

# A block of rows shrinks with their length, down to the rows of a tile of registers.
_ROWS = RowTile(width=8192, tiles=[(24, None)])

CAPABILITIES = Capabilities(
    kernels={
        **dict.fromkeys(_TEMPLATES, KernelCapability()),
        **dict.fromkeys((GemmRowwiseOp, BackToBackGemmOp), KernelCapability(rows=_ROWS)),
    },
    # Products read weights [N, K] as they are; a convolution's would be gathered with long strides.
    packed_weights=frozenset({ConvOp}),
)

_NESTS: Mapping[str, Callable[[KernelView], Nest]] = {
    "pointwise": pointwise_nest,
    "copy": copy_nest,
    "gather": gather_nest,
}
# Kernels whose data operands are multiplied, compared or interpolated as floats.
_FLOAT_KINDS = frozenset(
    {
        "gemm",
        "dual_gemm",
        "gemm_rowwise",
        "back_to_back_gemm",
        "conv",
        "attention",
        "pool",
        "resize",
    }
)


class CpuTarget(PlainKernels):
    """The host's processor. `level` None is the newest of the machine that builds."""

    device: Device = "cpu"
    port_alignment = 1
    timings: Path | None = None

    def __init__(self, name: str, level: Level | None):
        self.name = name
        self._level = level
        self._templates = _templates()

    @property
    def description(self) -> DeviceDescription:
        # The same for plain `cpu` on every machine, whatever it will be built for.
        lanes = self._level.lanes if self._level else LEVELS["x86-64-v3"].lanes
        return description(self.name, lanes)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def level(self) -> Level:
        """The instruction set of the code."""
        return self._level or host_level()

    def present_device(self, index: int = 0) -> str | None:
        """None: configs of the CPU are chosen by the model alone."""
        return None

    def present_description(self, index: int = 0) -> DeviceDescription:
        """The target's own: its rates are those of no CPU in particular."""
        return self.description

    def kernel_suffix(self, config: Attribute | None) -> str:
        return toolchain.KERNEL_SUFFIX

    def is_quick(self, config: Attribute) -> bool:
        """All of them compile in seconds."""
        return True

    def refusal(self, op: KernelOp) -> str | None:
        """Why no kernel can run `op`: only code that cannot be printed, or types without sense."""
        if type(op) not in _TEMPLATES:
            return f"there is no kernel for {op.name}"
        try:
            view = KernelView(op)
        except CompileError as error:
            return str(error)
        if view.kind in _FLOAT_KINDS:
            data = view.ins[: max(op.DATA_OPERANDS, 1)]
            wrong = [operand for operand in data if operand.element.name not in _FLOATS]
            if wrong:
                return f"{view.kind} takes no {wrong[0].element.name}"
        return None

    def candidates(self, op: KernelOp) -> Sequence[Attribute]:
        """Configurations that can run `op`, best first; none where there is nothing to choose."""
        return configs.candidates(KernelView(op))

    def expected_seconds(self, op: KernelOp) -> float | None:
        """None: what the model ranks configurations by is no time."""
        return None

    def render(self, view: LaunchView, symbol: str) -> str:
        """The translation unit that defines the kernel function `symbol`."""
        assert isinstance(view, KernelView), "no kernels share a launch"
        refused = self.refusal(view.op)
        if refused is not None:
            raise CompileError(refused)
        template = self._templates.get_template(f"{_TEMPLATES[type(view.op)]}.cpp.j2")
        return template.render(
            view=view,
            symbol=symbol,
            row=partial(RegionRow, view),
            on_pixels=partial(on_pixels, view),
            config=_config(view.config),
            nest=_NESTS[view.kind](view) if view.kind in _NESTS else None,
            by_columns=_reduces_columns(view) if view.kind == "reduce" else False,
        )

    def toolchain(self) -> Toolchain:
        """The host's compilers. Raises ToolchainError where there are none."""
        return toolchain.find(self.level)


def _templates() -> Environment:
    templates = environment("ait.codegen.cpu")
    cast(dict[str, object], templates.filters)["code"] = code
    cast(dict[str, object], templates.globals).update(
        axis=axis,
        base=base,
        has_dense_filters=has_dense_filters,
        is_depthwise=is_depthwise,
        literal=float_literal,
        row_loop=row_loop,
        unit_stride=unit_stride,
    )
    return templates


@dataclass(frozen=True)
class _GemmText:
    """A gemm's config in C++."""

    path: str = "ait::GemmPath::automatic"
    tile: str = "{}"


def _config(config: Attribute | None) -> _GemmText:
    """Raises CompileError for a config of another target."""
    if config is None:
        return _GemmText()
    if not isinstance(config, CpuGemmAttr):
        raise CompileError(f"{config} is no configuration of a CPU kernel")
    sizes = ", ".join(map(str, config.sizes))
    return _GemmText(f"ait::GemmPath::{config.path.data}", f"{{{sizes}}}")


def _reduces_columns(view: KernelView) -> bool:
    """Whether a kept axis is the contiguous one, so that rows of results are reduced at once."""
    keep, first = view.group("keep"), view.ins[0]
    if not keep.axes or not view.group("red").axes:
        return False
    return first.stride(keep.axes[-1].name) == 1


def make_target(name: str) -> CpuTarget:
    """The target that `cpu` or `cpu:<level>` spells. Raises CompileError for unknown levels."""
    _, separator, level = name.partition(":")
    return CpuTarget(name, level_of(level) if separator else None)
