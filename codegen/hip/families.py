"""Which kernel families take which ops. A further family, or op, is a row here."""

from __future__ import annotations

from collections.abc import Mapping

from ait.codegen.gpu.families import SHARED, OpRow
from ait.codegen.gpu.gemv import Gemv
from ait.codegen.gpu.own_gemm import OwnGemm
from ait.codegen.hip.gemm_ck import CkGemmFamily
from ait.dialects.kernel import GemmOp, KernelOp
from ait.passes.target import AlignedAccess, KernelCapability

# Composable Kernel's loads are as wide as alignment and extents allow. What narrow ones cost was
# not measured: an estimate.
_VECTORS = AlignedAccess(
    bytes=16, speed_without=0.5, elements=frozenset({"f16", "bf16"}), whole_runs=True
)

ROWS: Mapping[type[KernelOp], OpRow] = {
    GemmOp: OpRow(
        KernelCapability(max_outs=8, aligned=_VECTORS), [CkGemmFamily(), OwnGemm(), Gemv()]
    ),
    # What a block reaches alone was not measured on a device of the target.
    **SHARED,
}
