"""Which kernel families take which ops. A further family, or op, is a row here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ait.codegen.gpu.elementwise import Elementwise
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.gpu.own_gemm import OwnGemm
from ait.codegen.hip.gemm_ck import CkGemmFamily
from ait.dialects.kernel import CopyOp, GemmOp, KernelOp, PointwiseOp
from ait.passes.target import Capabilities, KernelCapability

_ELEMENTWISE = Elementwise()

FAMILIES: Mapping[type[KernelOp], Sequence[KernelFamily]] = {
    GemmOp: [CkGemmFamily(), OwnGemm()],
    PointwiseOp: [_ELEMENTWISE],
    CopyOp: [_ELEMENTWISE],
}

CAPABILITIES = Capabilities(
    kernels={
        GemmOp: KernelCapability(max_outs=8),
        PointwiseOp: KernelCapability(),
        CopyOp: KernelCapability(max_ins=1, max_outs=1),
    }
)
