"""Which kernel families take which ops. A further family, or op, is a row here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ait.codegen.cuda.attention import TensorAttention
from ait.codegen.cuda.attention_hopper import HopperAttention
from ait.codegen.cuda.back_to_back import ROWS as BACK_TO_BACK_ROWS
from ait.codegen.cuda.back_to_back import BackToBackHopper
from ait.codegen.cuda.back_to_back_parts import BackToBackParts
from ait.codegen.cuda.clustered_rows import ClusteredRows
from ait.codegen.cuda.configs import Products
from ait.codegen.cuda.conv import TensorConv
from ait.codegen.cuda.conv_halo import HaloConv
from ait.codegen.cuda.conv_hopper import HopperConv
from ait.codegen.cuda.conv_pool import ConvPool
from ait.codegen.cuda.conv_stem import StemConv
from ait.codegen.cuda.gemm_hopper import GemmHopper
from ait.codegen.cuda.gemm_mma import MmaGemm
from ait.codegen.cuda.gemm_rowwise import ROWS, GemmRowwiseHopper
from ait.codegen.cuda.gemm_sm80 import GemmSm80
from ait.codegen.cuda.gemm_sm90 import GemmSm90
from ait.codegen.cuda.interleaved_rows import InterleavedRows
from ait.codegen.gpu.depthwise import Depthwise
from ait.codegen.gpu.families import SHARED, OpRow, capabilities_of, families_of
from ait.codegen.gpu.family import KernelFamily
from ait.codegen.gpu.gemv import Gemv
from ait.codegen.gpu.own_attention import OwnAttention
from ait.codegen.gpu.own_conv import OwnConv
from ait.codegen.gpu.own_gemm import Engine, OwnGemm
from ait.codegen.gpu.query_attention import QueryAttention
from ait.dialects.kernel import (
    AttentionOp,
    BackToBackGemmOp,
    ConvOp,
    ConvPoolOp,
    DualGemmOp,
    GemmOp,
    GemmRowwiseOp,
    KernelOp,
    PointwiseOp,
    RowwiseOp,
)
from ait.passes.target import (
    NARROW_FACTORS,
    AlignedAccess,
    Capabilities,
    GroupCapability,
    KernelCapability,
)

_GEMV = Gemv(Engine("ait/cuda/gemv_tensor.hpp", "ait::cuda::TensorGemv"))
_OWN_GEMM = OwnGemm(Engine("ait/cuda/tensor_engine.hpp", "ait::cuda::TensorEngine"))


# What passes may fuse into a gemm is what the fast kernels take: a crowd of operands would leave no
# registers, and a convolution's second result would send it to the kernel that takes anything.
_FLOATS = frozenset({"f32", "f16", "bf16"})
_GEMM = KernelCapability(elements=_FLOATS, max_ins=10, max_outs=4)

# TMA checks the ends of rows itself: odd extents need no padding, only odd strides do. Without it a
# gemm is one of our own, whose tensor engine reaches a fifth of what Hopper's instructions do: the
# models of cost.py put it at 0.12 to 0.36 of the speed, at 0.2 for large ones.
# Instructions for factors of 8 bits have no choice of direction.
_TMA = AlignedAccess(
    bytes=16,
    speed_without=0.2,
    elements=frozenset({"f16", "bf16"}) | NARROW_FACTORS,
    along_k=NARROW_FACTORS,
)
# Tensor-core kernels of our own copy 16 bytes at once where channels and heads are so many, else
# one element at a time, however rows begin. What that costs was not measured: an estimate.
_VECTORS = AlignedAccess(
    bytes=16, speed_without=0.5, elements=frozenset({"f16", "bf16"}), whole_runs=True
)
_CONV = replace(_GEMM, max_outs=1, aligned=_VECTORS)
_ATTENTION = KernelCapability(max_ins=10, max_outs=1, aligned=_VECTORS)


# The parameters of a launch are 32 KB, of a member up to 600 bytes.
_GEMM_GROUP = GroupCapability(max_members=32)
_GROUPS: Mapping[str, Mapping[type[KernelOp], GroupCapability]] = {
    "sm_80": {PointwiseOp: GroupCapability()},
    "sm_90a": {
        GemmOp: _GEMM_GROUP,
        DualGemmOp: _GEMM_GROUP,
        PointwiseOp: GroupCapability(),
    },
}
"""What shares a launch with others of its kind, by architecture. A copy is a pointwise kernel."""


def _rows(products: Products | None) -> Mapping[type[KernelOp], OpRow]:
    """`products`: how those of f32 are made on tensor cores; None: they are not."""
    return {
        GemmOp: OpRow(
            _GEMM,
            [MmaGemm(products), GemmSm80(products), _OWN_GEMM, _GEMV],
            {"sm_90a": [GemmHopper(products), GemmSm90()]},
            {"sm_90a": _TMA},
            {"sm_90a": NARROW_FACTORS},
        ),
        DualGemmOp: OpRow(
            _GEMM,
            [],
            {"sm_90a": [GemmHopper(products), _GEMV]},
            {"sm_90a": _TMA},
        ),
        GemmRowwiseOp: OpRow(
            replace(_GEMM, rows=ROWS),
            [],
            {"sm_90a": [GemmRowwiseHopper()]},
            {"sm_90a": _TMA},
        ),
        BackToBackGemmOp: OpRow(
            replace(_GEMM, rows=BACK_TO_BACK_ROWS),
            [],
            {"sm_90a": [BackToBackHopper(), BackToBackParts()]},
            {"sm_90a": _TMA},
        ),
        ConvOp: OpRow(
            _CONV,
            [Depthwise(), TensorConv(products), OwnConv(_OWN_GEMM)],
            {"sm_90a": [HopperConv(), HaloConv(), StemConv()]},
        ),
        ConvPoolOp: OpRow(replace(_CONV, aligned=None), [], {"sm_90a": [ConvPool()]}),
        AttentionOp: OpRow(
            _ATTENTION,
            [TensorAttention(products), QueryAttention(), OwnAttention()],
            {"sm_90a": [HopperAttention()]},
        ),
        **SHARED,
        RowwiseOp: replace(
            SHARED[RowwiseOp], only={"sm_90a": [InterleavedRows(), ClusteredRows()]}
        ),
    }


def families(
    architecture: str, products: Products | None
) -> Mapping[type[KernelOp], Sequence[KernelFamily]]:
    """For each op, the families of an architecture. `products`: how those of f32 are made on
    tensor cores; None: they are not."""
    return families_of(_rows(products), architecture)


def capabilities(architecture: str) -> Capabilities:
    """What an architecture's kernels can do, however they multiply."""
    return Capabilities(
        capabilities_of(_rows(None), architecture),
        packed_weights=frozenset({ConvOp}),
        groups=_GROUPS.get(architecture, {}),
        products_for_convs=True,
    )
