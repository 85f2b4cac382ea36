"""Which configurations can run a kernel on the CPU, best first."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute

from ait.codegen.cpu.dialect import CpuGemmAttr, GemmPath
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import DualGemmOp, GemmOp
from ait.dialects.symbolic import Dim, dim_product, lower_bound

# Limits measured with benchmarks of the header library; gemm.hpp chooses by the same ones when
# sizes are known only at run time.
_DOT_ROWS = 48
_CONVERTING_DOT_ROWS = 8
_DOT_DEPTH = 128
_FEW_COLUMNS = 8
_STREAM_ROWS = 2
_CONVERTING_STREAM_ROWS = 4

_TILES = ((96, 256, 256), (192, 256, 384), (48, 128, 256), (96, 512, 128))


def candidates(view: KernelView) -> Sequence[Attribute]:
    """Configurations of a product or convolution; other kernels have nothing to configure."""
    if isinstance(view.op, GemmOp | DualGemmOp):
        return _gemm_candidates(view, view.op)
    if view.kind == "conv":
        return [CpuGemmAttr.of(_conv_path(view), tile) for tile in _TILES]
    return []


def _conv_path(view: KernelView) -> GemmPath:
    """Images have many pixels, which are the rows of the product; only tiny ones may have few."""
    pixels = lower_bound(dim_product(view.group(name).dim for name in "npq"))
    outputs = lower_bound(view.group("o").dim)
    is_blocked = pixels > _DOT_ROWS // 2 and outputs >= _FEW_COLUMNS
    return GemmPath.BLOCKED if is_blocked else GemmPath.AUTOMATIC


def _gemm_candidates(view: KernelView, op: GemmOp | DualGemmOp) -> Sequence[Attribute]:
    # All right factors take one path; where they would not agree, the one that takes anything.
    wanted = {_best_path(view, view.ins[i]) for i in op.right_factors}
    best = wanted.pop() if len(wanted) == 1 else GemmPath.BLOCKED
    paths = [best]
    if best is not GemmPath.BLOCKED and best is not GemmPath.AUTOMATIC:
        paths.append(GemmPath.BLOCKED)
    found = [CpuGemmAttr.of(path, _TILES[0]) for path in paths]
    return [*found, *(CpuGemmAttr.of(paths[-1], tile) for tile in _TILES[1:])]


def _best_path(view: KernelView, b: Operand) -> GemmPath:
    """The path that gemm.hpp would choose for a right factor, where the sizes say enough."""
    m, n, k = (view.group(name).dim for name in "mnk")
    if not (isinstance(m, int) and isinstance(n, int) and isinstance(k, int)):
        return GemmPath.AUTOMATIC
    converts = b.element.name != "f32"
    stream_rows = _CONVERTING_STREAM_ROWS if converts else _STREAM_ROWS
    if m <= stream_rows and _walks_in_line(b, "n", n) and b.stride("k") is not None:
        return GemmPath.STREAM
    dot_rows = _CONVERTING_DOT_ROWS if converts or k < _DOT_DEPTH else _DOT_ROWS
    if (m <= dot_rows or n < _FEW_COLUMNS) and _walks_in_line(b, "k", k):
        return GemmPath.DOT
    return GemmPath.BLOCKED


def _walks_in_line(operand: Operand, group: str, size: Dim) -> bool:
    return operand.stride(group) == 1 or size == 1
