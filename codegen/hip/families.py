"""Which kernel families take which ops. A further family, or op, is a row here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ait.codegen.gpu.family import KernelFamily
from ait.codegen.hip.gemm_ck import CkGemmFamily
from ait.dialects.kernel import GemmOp, KernelOp
from ait.passes.target import Capabilities, KernelCapability

FAMILIES: Mapping[type[KernelOp], Sequence[KernelFamily]] = {
    GemmOp: [CkGemmFamily()],
}

CAPABILITIES = Capabilities(
    kernels={
        GemmOp: KernelCapability(max_outs=8),
    }
)
