"""Masks that compare positions, as a graph has them: literals of triangles, and code.

They are code rather than tables: a kernel computes them where it applies them, and sees in them
what it need not compute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, i1
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects import graph
from ait.dialects.graph import GraphOp
from ait.dialects.symbolic import dims_of, element_of, tensor_type
from ait.passes.lower_movement import VIEWS
from ait.passes.remarks import remark
from ait.passes.rewriting import OpPattern

# Code of masks --------------------------------------------------------------------------------

_CODE = (
    *VIEWS,
    graph.AddOp,
    graph.CastOp,
    graph.ComparisonOp,
    graph.ConstantOp,
    graph.IotaOp,
    graph.LogicalAndOp,
    graph.LogicalNotOp,
    graph.LogicalOrOp,
    graph.LogicalXorOp,
    graph.MulOp,
    graph.NegOp,
    graph.SelectOp,
    graph.SubOp,
)
"""What masks are computed by; all of it is cheap."""


def is_mask_code(value: SSAValue) -> bool:
    """Whether a value is computed by comparing positions, from them and literal numbers alone."""
    compares = counts = False
    pending, seen = [value], set[SSAValue]()
    while pending:
        value = pending.pop()
        op = value.owner
        if value in seen:
            continue
        seen.add(value)
        if not isinstance(op, Operation) or not isinstance(op, _CODE):
            return False
        if isinstance(op, graph.ConstantOp) and not op.dense.is_splat():
            return False
        compares = compares or isinstance(op, graph.ComparisonOp)
        counts = counts or isinstance(op, graph.IotaOp)
        pending.extend(op.operands)
    return compares and counts


def only_code_reads(value: SSAValue) -> bool:
    """Whether elementwise ops and attention read a value, maybe through movement, and none else."""
    pending = [value]
    while pending:
        for use in pending.pop().uses:
            user = use.operation
            if type(user) in VIEWS:
                pending.extend(user.results)
            elif not isinstance(user, graph.ElementwiseOp | graph.AttentionOp):
                return False
    return True


# Literals -----------------------------------------------------------------------------------

Table: TypeAlias = npt.NDArray[Any]

_LARGEST_TABLE = 1 << 24
"""Elements of literals that are looked at."""


@dataclass(frozen=True)
class Triangle:
    """`lower if column <= row + diagonal else upper`, for each row and column."""

    diagonal: int
    lower: Any
    upper: Any


def triangle_of(table: Table) -> Triangle | None:
    """The triangles that the last two dims of a table all are; None if they are others."""
    rows, columns = table.shape[-2:]
    matrices = table.reshape(-1, rows, columns)
    lower, upper = matrices[0, -1, 0], matrices[0, 0, -1]
    if rows < 2 or columns < 2 or lower == upper:
        return None
    in_first_row = int(np.count_nonzero(matrices[0, 0] == lower))
    in_first_column = int(np.count_nonzero(matrices[0, :, 0] == lower))
    diagonal = in_first_row - 1 if in_first_row else in_first_column - rows
    below = np.tri(rows, columns, diagonal, dtype=np.bool_)
    wanted: Table = np.broadcast_to(cast(Table, np.where(below, lower, upper)), matrices.shape)
    return Triangle(diagonal, lower, upper) if np.array_equal(matrices, wanted) else None


class RaiseTriangles(OpPattern):
    """A literal of two values on either side of a diagonal -> a comparison of rows and columns.

    Only where code reads it, which then does not read a table, and where attention sees in it that
    it is causal.
    """

    roots = (graph.ConstantOp,)

    def __init__(self, pass_name: str):
        self.pass_name = pass_name

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, graph.ConstantOp) or op.dense.is_splat():
            return
        dims = [dim for dim in dims_of(op.result) if isinstance(dim, int)]
        if len(dims) < 2 or math.prod(dims) > _LARGEST_TABLE or not only_code_reads(op.result):
            return
        found = triangle_of(np.asarray(op.dense.get_values()).reshape(dims))
        if found is None:
            return
        ops = _comparison_for(found, op)
        remark(self.pass_name, "applied", op, "its elements compare rows and columns")
        for new in ops:
            new.location = op.location
            new.attributes.update(op.attributes)
        ops[-1].results[0].name_hint = op.result.name_hint
        rewriter.replace(op, ops, [ops[-1].results[0]])


def _comparison_for(found: Triangle, op: graph.ConstantOp) -> list[GraphOp]:
    """Ops that compute a literal."""
    dims, element = dims_of(op.result), element_of(op.result)
    rows, columns = graph.IotaOp((dims[-2], 1), axis=0), graph.IotaOp((1, dims[-1]), axis=1)
    ops: list[GraphOp] = [rows, columns]
    left = columns.result
    if found.diagonal:
        offset = _number(-found.diagonal, element_of(left))
        shifted = graph.AddOp(left, offset)
        ops.extend((offset, shifted))
        left = shifted.result
    if element == i1:
        compare = graph.LessEqualOp if found.lower else graph.GreaterOp
        ops.append(compare(left, rows))
    else:
        below = graph.LessEqualOp(left, rows)
        values = [_number(number, element) for number in (found.lower, found.upper)]
        ops.extend((below, *values, graph.SelectOp(below, *values)))
    if len(dims) > 2:
        ops.append(graph.ExpandOp(ops[-1].results[0], dims))
    return ops


def _number(value: Any, element: Attribute) -> graph.ConstantOp:
    """One number as a literal."""
    scalar: Any = tensor_type(element, ())
    dense: Any = cast(Any, DenseIntOrFPElementsAttr).from_list(scalar, [value])
    return graph.ConstantOp(dense)
