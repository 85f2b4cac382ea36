"""Kernel ops -> HIP C++: one translation unit a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ait.codegen.hip.dialect import CkGemm
from ait.codegen.hip.gemm_problem import GemmProblem, Matrix, classify
from ait.codegen.kernel_view import KernelView


@cache
def _templates() -> Environment:
    loaders = (PackageLoader("ait.codegen.hip"), PackageLoader("ait.codegen.gpu"))
    return Environment(
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@dataclass(frozen=True)
class _Member:
    """A value that the epilogue functor carries."""

    type: str
    name: str
    value: str


def render_ck_gemm(view: KernelView, config: CkGemm, symbol: str) -> str:
    """The gemm of `view` as the CK instance `config`. Raises Refusal if CK has no form for it."""
    problem = classify(view)
    tensors = [matrix.operand for matrix in problem.tensors]
    batched = problem.batch != 1
    return (
        _templates()
        .get_template("gemm_ck.hip.j2")
        .render(
            symbol=symbol,
            view=view,
            config=config,
            problem=problem,
            epilogue=view.region("epilogue"),
            result=problem.result.operand,
            tensors=tensors,
            members=_members(view, problem),
            batched=batched,
            device_op=(
                "DeviceBatchedGemmMultiD_Xdl" if batched else "DeviceGemmMultipleD_Xdl_CShuffle"
            ),
            layouts={
                # A is m x k, CK's B is k x n.
                "a": _layout(problem.a.contiguous),
                "b": _layout(not problem.b.contiguous),
                "extras": ", ".join([_layout(True)] * len(tensors)),
            },
            transfers=[_transfer(config, 0), _transfer(config, 1)],
            sizes=[view.expression(d) for d in (problem.batch, problem.m, problem.n, problem.k)],
            matrices={
                "a": _matrix(view, problem.a),
                "b": _matrix(view, problem.b),
                "extras": [_matrix(view, extra) for extra in problem.tensors],
                "result": _matrix(view, problem.result),
            },
        )
    )


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
