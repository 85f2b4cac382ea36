"""What Composable Kernel's gemms compute, and how a `kernel.gemm` maps onto it.

CK multiplies one matrix by another, possibly for each of a batch at a constant stride, where every
matrix has unit stride along one of its two dims. A kernel op's groups of dims reduce to that if
every operand walks each group at one stride; a result that is contiguous along m instead of n is
the transposed product.
"""

from __future__ import annotations

from dataclasses import dataclass

from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.codegen.scalar import ElementType
from ait.dialects.symbolic import Dim, lower_bound, upper_bound

ELEMENTS = ("f32", "f16", "bf16")
# CK addresses each matrix with 32-bit byte offsets.
_MAX_BYTES = 1 << 31
_MAX_VECTOR_BYTES = 16


@dataclass(frozen=True)
class Matrix:
    """One operand as CK sees it, in elements.

    `contiguous`: whether its *second* dim (k of A and B, n of the others) has unit stride, else the
    first has; `stride` is that of the other dim. `vector`: the widest aligned access. `uniform`:
    one value for all (extras only), which the epilogue gets by pointer.
    """

    operand: Operand
    batch_stride: Dim
    stride: Dim
    contiguous: bool
    vector: int
    uniform: bool = False


@dataclass(frozen=True)
class GemmProblem:
    """E[m, n] = epilogue(sum_k A[m, k] * B[n, k], D_0[m, n], ...) for each of `batch`.

    B is described as n x k: `b.contiguous` means unit stride along k. `transposed`: A and B are the
    kernel's second and first operand, m and n its n and m.
    """

    batch: Dim
    m: Dim
    n: Dim
    k: Dim
    a: Matrix
    b: Matrix
    extras: tuple[Matrix, ...]
    result: Matrix
    transposed: bool

    @property
    def element(self) -> ElementType:
        """Of A and B."""
        return self.a.operand.element

    @property
    def tensors(self) -> tuple[Matrix, ...]:
        """The extras that are matrices, whole or repeated; CK loads their tiles."""
        return tuple(extra for extra in self.extras if not extra.uniform)

    @property
    def uniforms(self) -> tuple[Matrix, ...]:
        """The extras that are one value."""
        return tuple(extra for extra in self.extras if extra.uniform)

    @property
    def store_vector(self) -> int:
        """The widest access of the result and the extras, in elements, which all share."""
        return min(matrix.vector for matrix in (*self.tensors, self.result))


def classify(view: KernelView) -> GemmProblem:
    """The problem that a `kernel.gemm` is.

    Raises Refusal with the reason if CK has no form for it.
    """
    if len(view.outs) != 1:
        raise Refusal(f"{len(view.outs)} results, CK writes one")
    if view.region("epilogue").indices:
        raise Refusal("the epilogue reads its index")
    _check_elements(view)
    k = view.group("k").dim
    if lower_bound(k) < 1:
        raise Refusal("the summed dim can be empty")
    (left, right, *extras), result = view.ins, view.outs[0]
    transposed = not result.is_contiguous("n") and result.is_contiguous("m")
    rows, columns = ("n", "m") if transposed else ("m", "n")
    if transposed:
        left, right = right, left
    problem = GemmProblem(
        view.group("batch").dim,
        view.group(rows).dim,
        view.group(columns).dim,
        k,
        _factor(left, rows),
        _factor(right, columns),
        tuple(_outer(extra, rows, columns, "an extra operand") for extra in extras),
        _outer(result, rows, columns, "the result"),
        transposed,
    )
    _check_sizes(problem)
    return problem


def _check_elements(view: KernelView) -> None:
    for operand in view.operands:
        if operand.element.name not in ELEMENTS:
            raise Refusal(f"{operand.name} is {operand.element.name}")
    a, b = view.ins[:2]
    if a.element != b.element:
        raise Refusal(f"factors of different types, {a.element.name} and {b.element.name}")


def _factor(operand: Operand, row: str) -> Matrix:
    """A or B: unit stride along k, or along `row`."""
    if operand.is_contiguous("k"):
        return _matrix(operand, along="k", other=row, contiguous=True)
    if operand.is_contiguous(row):
        return _matrix(operand, along=row, other="k", contiguous=False)
    raise Refusal(f"{operand.name} has unit stride along neither of its dims")


def _outer(operand: Operand, row: str, column: str, what: str) -> Matrix:
    """The result or an extra operand."""
    if not any(stride != 0 for stride in operand.strides) and not operand.is_output:
        return Matrix(operand, 0, 0, True, 1, uniform=True)
    if not operand.is_contiguous(column):
        raise Refusal(f"{what} does not have unit stride along {column}")
    return _matrix(operand, along=column, other=row, contiguous=True)


def _matrix(operand: Operand, along: str, other: str, contiguous: bool) -> Matrix:
    stride, batch_stride = (_single_stride(operand, name) for name in (other, "batch"))
    for dim in (operand.offset_dim, stride, batch_stride):
        if lower_bound(dim) < 0:
            raise Refusal(f"{operand.name} is walked backwards")
    vector = operand.vector(along, _MAX_VECTOR_BYTES)
    return Matrix(operand, batch_stride, stride, contiguous, vector)


def _single_stride(operand: Operand, group: str) -> Dim:
    stride = operand.stride(group)
    if stride is None:
        raise Refusal(f"{operand.name} walks the {group} dims in more than one stride")
    return stride


def _check_sizes(problem: GemmProblem) -> None:
    m, n, k = problem.m, problem.n, problem.k
    shapes = [(problem.a, m, k), (problem.b, n, k)]
    shapes += [(matrix, m, n) for matrix in (*problem.tensors, problem.result)]
    for matrix, first, second in shapes:
        lines, length = (first, second) if matrix.contiguous else (second, first)
        span = upper_bound((lines - 1) * matrix.stride + length)
        if span * matrix.operand.element.bytes > _MAX_BYTES:
            raise Refusal(f"{matrix.operand.name} may be larger than 2 GiB")
        if upper_bound(matrix.batch_stride) >= _MAX_BYTES:
            raise Refusal(f"the batches of {matrix.operand.name} may be too far apart")
