"""Which kernel families take which ops. A further family, or op, is a row here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ait.codegen.cuda.attention import TensorAttention
from ait.codegen.cuda.conv import TensorConv
from ait.codegen.cuda.conv_halo import HaloConv
from ait.codegen.cuda.conv_hopper import HopperConv
from ait.codegen.cuda.conv_stem import StemConv
from ait.codegen.cuda.gemm_sm90 import GemmSm90
from ait.codegen.gpu.depthwise import Depthwise
from ait.codegen.gpu.elementwise import Elementwise
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.gpu.gather import Gather
from ait.codegen.gpu.own_attention import OwnAttention
from ait.codegen.gpu.own_conv import OwnConv
from ait.codegen.gpu.own_gemm import Engine, OwnGemm
from ait.codegen.gpu.rows import Reduce, Rowwise
from ait.codegen.gpu.window import Pool, Resize
from ait.dialects.kernel import (
    AttentionOp,
    ConvOp,
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
from ait.passes.target import Capabilities, KernelCapability

_ELEMENTWISE = Elementwise()
_OWN_GEMM = OwnGemm(Engine("ait/cuda/tensor_engine.hpp", "ait::cuda::TensorEngine"))


@dataclass(frozen=True)
class OpRow:
    """What the kernels of one op take together, and the families that give them.

    `everywhere`: families for all architectures; `only`: those that a single one has.
    """

    capability: KernelCapability
    everywhere: Sequence[KernelFamily]
    only: Mapping[str, Sequence[KernelFamily]] = field(
        default_factory=dict[str, Sequence[KernelFamily]]
    )


# What passes may fuse into a gemm is what the Hopper kernels take: a second result, or a crowd of
# operands, would send it to the kernel of our own, which loses more than the fusion gains.
_GEMM = KernelCapability(elements=frozenset({"f32", "f16", "bf16"}), max_ins=10, max_outs=1)

_ATTENTION = KernelCapability(max_ins=10, max_outs=1)

OPS: Mapping[type[KernelOp], OpRow] = {
    GemmOp: OpRow(_GEMM, [_OWN_GEMM], {"sm_90a": [GemmSm90()]}),
    ConvOp: OpRow(
        _GEMM,
        [Depthwise(), TensorConv(), OwnConv(_OWN_GEMM)],
        {"sm_90a": [HopperConv(), HaloConv(), StemConv()]},
    ),
    AttentionOp: OpRow(_ATTENTION, [TensorAttention(), OwnAttention()]),
    PointwiseOp: OpRow(KernelCapability(), [_ELEMENTWISE]),
    CopyOp: OpRow(KernelCapability(max_ins=1, max_outs=1), [_ELEMENTWISE]),
    RowwiseOp: OpRow(KernelCapability(), [Rowwise()]),
    ReduceOp: OpRow(KernelCapability(), [Reduce()]),
    GatherOp: OpRow(KernelCapability(), [Gather()]),
    PoolOp: OpRow(KernelCapability(), [Pool()]),
    ResizeOp: OpRow(KernelCapability(), [Resize()]),
}

CAPABILITIES = Capabilities(
    {kind: row.capability for kind, row in OPS.items()},
    packed_weights=frozenset({ConvOp}),
    products_for_convs=True,
)


def families(architecture: str) -> Mapping[type[KernelOp], Sequence[KernelFamily]]:
    """For each op, the families of an architecture."""
    return {kind: [*row.only.get(architecture, ()), *row.everywhere] for kind, row in OPS.items()}
