"""Gemms as Composable Kernel instances with the region as the epilogue functor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.ir import Attribute

from ait.codegen.gpu.family import Candidate, Refusal, TemplateValues
from ait.codegen.hip.dialect import CkGemm, CkGemmAttr
from ait.codegen.hip.gemm import estimate, instances, mismatch
from ait.codegen.hip.gemm_problem import GemmProblem, Matrix, classify
from ait.codegen.kernel_view import KernelView
from ait.passes.target import DeviceDescription


@dataclass(frozen=True)
class _DeviceOp:
    """One of CK's device ops, and the function of ours that runs it.

    `takes_pipeline`: whether its template ends in scheduler, pipeline and compute type.
    """

    name: str
    header: str
    call: str
    takes_pipeline: bool


_SINGLE = _DeviceOp(
    "DeviceGemmMultipleD_Xdl_CShuffle",
    "device_gemm_multiple_d_xdl_cshuffle.hpp",
    "multiply",
    takes_pipeline=True,
)
_BATCHED = _DeviceOp(
    "DeviceBatchedGemmMultiD_Xdl",
    "device_batched_gemm_multi_d_xdl.hpp",
    "multiply_batch",
    takes_pipeline=False,
)


@dataclass(frozen=True)
class _Member:
    """A value that the epilogue functor carries."""

    type: str
    name: str
    value: str


class CkGemmFamily:
    """The kernel family; see ait.codegen.gpu.family."""

    template = "gemm_ck.hip.j2"
    config_type = CkGemmAttr

    def candidates(self, view: KernelView, device: DeviceDescription) -> Sequence[Candidate]:
        problem = classify(view)
        return [
            Candidate(CkGemmAttr(instance), estimate(instance, problem, device))
            for instance in instances(problem)
        ]

    def values(self, view: KernelView, config: Attribute) -> TemplateValues:
        problem = classify(view)
        instance = cast(CkGemmAttr, config).data
        if problems := mismatch(instance, problem):
            raise Refusal("; ".join(problems))
        tensors = [matrix.operand for matrix in problem.tensors]
        return {
            "config": instance,
            "problem": problem,
            "epilogue": view.region("epilogue"),
            "result": problem.result.operand,
            "tensors": tensors,
            "members": _members(view, problem),
            "device_op": _SINGLE if problem.batch == 1 else _BATCHED,
            "layouts": {
                # A is m x k, CK's B is k x n.
                "a": _layout(problem.a.contiguous),
                "b": _layout(not problem.b.contiguous),
                "extras": ", ".join([_layout(True)] * len(tensors)),
            },
            "transfers": [_transfer(instance, 0), _transfer(instance, 1)],
            "sizes": [
                view.expression(dim) for dim in (problem.batch, problem.m, problem.n, problem.k)
            ],
            "matrices": {
                "a": _matrix(view, problem.a),
                "b": _matrix(view, problem.b),
                "extras": [_matrix(view, extra) for extra in problem.tensors],
                "result": _matrix(view, problem.result),
            },
        }


def _members(view: KernelView, problem: GemmProblem) -> list[_Member]:
    extents = [_Member("int64_t", name, name) for name in view.region("epilogue").code.extents]
    uniforms = [
        _Member(f"const {m.operand.type}*", m.operand.name, _pointer(view, m))
        for m in problem.uniforms
    ]
    return [*extents, *uniforms]


def _layout(rows: bool) -> str:
    return "ait::hip::Row" if rows else "ait::hip::Column"


def _transfer(config: CkGemm, operand: int) -> str:
    """How threads bring a tile of A or B to LDS: CK's seven template arguments."""
    groups, rows = config.threads(operand)
    order, dim = ("1, 0, 2", 2) if config.unit[operand] == "k" else ("0, 2, 1", 1)
    orders = f"ait::hip::Ints<{order}>, ait::hip::Ints<{order}>"
    widths = f"{config.load[operand]}, {config.k1[operand]}"
    return f"ait::hip::Ints<{groups}, {rows}, 1>, {orders}, {dim}, {widths}, 1"


def _pointer(view: KernelView, matrix: Matrix) -> str:
    operand = matrix.operand
    if operand.offset_dim == 0:
        return operand.name
    return f"{operand.name} + {view.expression(operand.offset_dim)}"


def _matrix(view: KernelView, matrix: Matrix) -> str:
    strides = ", ".join(view.expression(dim) for dim in (matrix.stride, matrix.batch_stride))
    return f"ait::hip::Matrix{{{_pointer(view, matrix)}, {strides}}}"
