"""Which kernel families take which ops. A further family, or op, is a row here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ait.codegen.gpu.elementwise import Elementwise
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.gpu.gather import Gather
from ait.codegen.gpu.gemv import Gemv
from ait.codegen.gpu.own_gemm import OwnGemm
from ait.codegen.gpu.rows import Reduce, Rowwise
from ait.codegen.gpu.transpose import Transpose
from ait.codegen.gpu.window import Pool, Resize
from ait.codegen.hip.gemm_ck import CkGemmFamily
from ait.dialects.kernel import (
    CopyOp,
    GatherOp,
    GemmOp,
    KernelOp,
    PointwiseOp,
    PoolOp,
    ReduceOp,
    ResizeOp,
    RowwiseOp,
)
from ait.passes.target import AlignedAccess, Capabilities, KernelCapability

_ELEMENTWISE = [Elementwise(), Transpose()]

FAMILIES: Mapping[type[KernelOp], Sequence[KernelFamily]] = {
    GemmOp: [CkGemmFamily(), OwnGemm(), Gemv()],
    PointwiseOp: _ELEMENTWISE,
    CopyOp: _ELEMENTWISE,
    RowwiseOp: [Rowwise()],
    ReduceOp: [Reduce()],
    GatherOp: [Gather()],
    PoolOp: [Pool()],
    ResizeOp: [Resize()],
}

CAPABILITIES = Capabilities(
    kernels={
        # Composable Kernel's loads are as wide as alignment and extents allow. What narrow ones
        # cost was not measured: an estimate.
        GemmOp: KernelCapability(
            max_outs=8,
            aligned=AlignedAccess(
                bytes=16,
                speed_without=0.5,
                elements=frozenset({"f16", "bf16"}),
                whole_runs=True,
            ),
        ),
        PointwiseOp: KernelCapability(),
        # As measured on an H100, not on a device of the target.
        ReduceOp: KernelCapability(alone=2.5),
        CopyOp: KernelCapability(max_ins=1, max_outs=1),
        **dict.fromkeys((RowwiseOp, GatherOp, PoolOp, ResizeOp), KernelCapability()),
    }
)
