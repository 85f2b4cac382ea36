"""What Composable Kernel's gemms compute, and how a `kernel.gemm` maps onto it.

CK multiplies one matrix by another, possibly for each of a batch at a constant stride, where every
matrix has unit stride along one of its two dims. A kernel op's groups of dims reduce to that if
each group walks all operands at one stride each; a result that is contiguous along m instead of n
is the transposed product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd

from ait.dialects.accessor import AccessMap
from ait.dialects.symbolic import Dim, exact_div, lower_bound, upper_bound

BYTES = {"f32": 4, "f16": 2, "bf16": 2}
# CK addresses each matrix with 32-bit byte offsets.
_MAX_BYTES = 1 << 31
_MAX_VECTOR_BYTES = 16


@dataclass(frozen=True)
class Operand:
    """An operand of a kernel.gemm: its element type ("f16") and its map over the gemm's dims."""

    element: str
    access: AccessMap


@dataclass(frozen=True)
class Matrix:
    """One operand as CK sees it, in elements.

    `index`: its position among the kernel's ins then outs. `contiguous`: whether the *second* dim
    (k of A and B, n of the others) has unit stride, else the first has; `stride` is that of the
    other dim. `uniform`: a single value (extras only), passed to the epilogue by pointer.
    """

    index: int
    element: str
    offset: Dim
    batch_stride: Dim
    stride: Dim
    contiguous: bool
    uniform: bool = False

    def vector(self, length: Dim) -> int:
        """The widest aligned vector, in elements, along the unit-stride dim of that length."""
        width = _MAX_VECTOR_BYTES // BYTES[self.element]
        while width > 1 and not all(
            _divides(width, dim) for dim in (length, self.offset, self.batch_stride, self.stride)
        ):
            width //= 2
        return width


@dataclass(frozen=True)
class GemmProblem:
    """E[m, n] = epilogue(sum_k A[m, k] * B[n, k], D_0[m, n], ...) for each of `batch`.

    B is described as n x k: `b.contiguous` means unit stride along k. `transposed`: A and B are the
    kernel's second and first operand.
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
    def element(self) -> str:
        """The element type of A and B."""
        return self.a.element

    @property
    def tensors(self) -> tuple[Matrix, ...]:
        """The extras that are whole or broadcast matrices, not uniform values."""
        return tuple(extra for extra in self.extras if not extra.uniform)

    @property
    def load_vectors(self) -> tuple[int, int]:
        """The widest loads of A and of B, in elements."""
        return (
            self.a.vector(self.k if self.a.contiguous else self.m),
            self.b.vector(self.k if self.b.contiguous else self.n),
        )

    @property
    def store_vector(self) -> int:
        """The widest access of the result and the extras, in elements, which all share."""
        return min(matrix.vector(self.n) for matrix in (*self.tensors, self.result))


class Refusal(Exception):
    """Why Composable Kernel cannot compute a gemm."""


@dataclass(frozen=True)
class _Strided:
    """An operand with its dims merged to (batch, first, second); sizes are the problem's."""

    operand: Operand
    index: int
    batch: Dim
    first: Dim
    second: Dim


def classify(
    a: Operand,
    b: Operand,
    extras: Sequence[Operand],
    results: Sequence[Operand],
    groups: Sequence[int],
) -> GemmProblem:
    """The problem that a `kernel.gemm` with these operands and groups [nb, nm, nn, nk] is.

    Raises Refusal with the reason if CK has no form for it.
    """
    if len(results) != 1:
        raise Refusal(f"{len(results)} results, CK writes one")
    _check_elements(a, b, extras, results[0])
    outer = [*extras, results[0]]
    (batch, m, n, k), (matrix_a, matrix_b, *others) = _merge(a, b, outer, groups)
    if lower_bound(k) < 1:
        raise Refusal("the summed dim can be empty")
    transposed = others[-1].second != 1 and others[-1].first == 1
    if transposed:
        m, n = n, m
        matrix_a, matrix_b = matrix_b, matrix_a
        others = [replace(other, first=other.second, second=other.first) for other in others]
    problem = GemmProblem(
        batch,
        m,
        n,
        k,
        _factor(matrix_a, k),
        _factor(matrix_b, k),
        tuple(_extra(other, n) for other in others[:-1]),
        _rows(others[-1], n, "the result"),
        transposed,
    )
    _check_size(problem)
    return problem


def _check_elements(a: Operand, b: Operand, extras: Sequence[Operand], result: Operand) -> None:
    for operand in (a, b, *extras, result):
        if operand.element not in BYTES:
            raise Refusal(f"an operand is {operand.element}")
    if a.element != b.element:
        raise Refusal(f"operands of different types, {a.element} and {b.element}")


def _merge(
    a: Operand, b: Operand, outer: Sequence[Operand], groups: Sequence[int]
) -> tuple[tuple[Dim, Dim, Dim, Dim], list[_Strided]]:
    """(batch, m, n, k) and all operands with each group of dims merged to one."""
    nb, nm, nn, nk = groups
    batch_dims = range(nb)
    a_parts = (batch_dims, range(nb, nb + nm), range(nb + nm, nb + nm + nk))
    b_parts = (batch_dims, range(nb + nk, nb + nk + nn), range(nb, nb + nk))
    o_parts = (batch_dims, range(nb, nb + nm), range(nb + nm, nb + nm + nn))
    operands = [(a, a_parts), (b, b_parts), *((operand, o_parts) for operand in outer)]

    users: dict[str, list[tuple[int, Sequence[int]]]] = {"batch": [], "m": [], "n": [], "k": []}
    roles = [("batch", "m", "k"), ("batch", "n", "k"), *[("batch", "m", "n")] * len(outer)]
    for position, ((_, parts), names) in enumerate(zip(operands, roles, strict=True)):
        for part, name in zip(parts, names, strict=True):
            users[name].append((position, part))
    merged = {
        name: _merge_group(name, [(operands[p][0].access, part) for p, part in parts])
        for name, parts in users.items()
    }
    strides = {
        name: dict(zip((p for p, _ in users[name]), merged[name][1], strict=True)) for name in users
    }
    strided = [
        _Strided(operand, position, *(strides[name][position] for name in names))
        for position, ((operand, _), names) in enumerate(zip(operands, roles, strict=True))
    ]
    return (merged["batch"][0], merged["m"][0], merged["n"][0], merged["k"][0]), strided


def _merge_group(
    name: str, users: Sequence[tuple[AccessMap, Sequence[int]]]
) -> tuple[Dim, list[Dim]]:
    """The size of a group of dims merged to one, and the stride of each of its users."""
    access, dims = users[0]
    kept = [i for i, dim in enumerate(dims) if access.sizes[dim] != 1]
    size: Dim = 1
    for i in kept:
        size = size * access.sizes[dims[i]]
    strides: list[Dim] = []
    for access, dims in users:
        walked = [(access.sizes[dims[i]], access.strides[dims[i]]) for i in kept]
        for (_, outer), (n, inner) in pairwise(walked):
            if outer != inner * n:
                raise Refusal(f"the {name} dims of an operand are not one stride apart")
        strides.append(walked[-1][1] if walked else 0)
    return size, strides


def _factor(matrix: _Strided, k: Dim) -> Matrix:
    """A or B: unit stride along k, or along the other dim."""
    contiguous = matrix.second == 1 or k == 1
    if not contiguous and matrix.first != 1:
        raise Refusal("an operand has no dim of unit stride")
    stride = matrix.first if contiguous else matrix.second
    return _matrix(matrix, stride, contiguous)


def _extra(matrix: _Strided, n: Dim) -> Matrix:
    if matrix.batch == matrix.first == matrix.second == 0:
        return replace(_matrix(matrix, 0, True), uniform=True)
    return _rows(matrix, n, "an extra operand")


def _rows(matrix: _Strided, n: Dim, what: str) -> Matrix:
    if matrix.second != 1 and n != 1:
        raise Refusal(f"{what} does not have unit stride along n")
    return _matrix(matrix, matrix.first, True)


def _matrix(matrix: _Strided, stride: Dim, contiguous: bool) -> Matrix:
    operand = matrix.operand
    offset = operand.access.offset
    for dim, what in ((stride, "stride"), (matrix.batch, "batch stride"), (offset, "offset")):
        if lower_bound(dim) < 0:
            raise Refusal(f"an operand has a negative {what}")
    return Matrix(matrix.index, operand.element, offset, matrix.batch, stride, contiguous)


def _check_size(problem: GemmProblem) -> None:
    m, n, k = problem.m, problem.n, problem.k
    shapes = [(problem.a, m, k), (problem.b, n, k)]
    shapes += [(matrix, m, n) for matrix in (*problem.tensors, problem.result)]
    for matrix, first, second in shapes:
        rows, columns = (first, second) if matrix.contiguous else (second, first)
        span = upper_bound((rows - 1) * matrix.stride + columns) * BYTES[matrix.element]
        if span > _MAX_BYTES or upper_bound(matrix.batch_stride) >= _MAX_BYTES:
            raise Refusal("an operand is larger than 2 GiB")


def _divides(width: int, dim: Dim) -> bool:
    if isinstance(dim, int):
        return gcd(width, dim) == width
    return exact_div(dim, width) is not None
