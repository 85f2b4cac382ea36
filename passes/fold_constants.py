"""fold-constants: what depends on weights alone is computed once, by `@prepare`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, OpResult, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.functions import functions_of, run_functions_of
from ait.dialects.graph import (
    CastOp,
    ConstantOp,
    DivOp,
    GetParameterOp,
    GraphOp,
    IotaOp,
    LinearOp,
    MatmulOp,
    MulOp,
    NegOp,
    PermuteOp,
)
from ait.dialects.kernel import GemmOp
from ait.dialects.symbolic import dim_product, dims_of, element_of
from ait.passes.derived import DerivedParameters
from ait.passes.lower_movement import VIEWS
from ait.passes.masks import is_mask_code, only_code_reads
from ait.passes.remarks import remark
from ait.passes.search import first_path
from ait.passes.target import TargetInfo, find_target, is_narrow

NAME = "fold-constants"

_ALWAYS_WORTH = 1 << 16
"""A folded value of at most so many elements is stored, however little it is made from."""


def _is_static(op: Operation) -> bool:
    return all(isinstance(dim, int) for result in op.results for dim in dims_of(result))


def constant_ops(function: FuncOp) -> dict[Operation, None]:
    """The ops of a function whose results follow from weights and literals alone."""
    found: dict[Operation, None] = {}
    for op in function.body.block.ops:
        known = isinstance(op, GetParameterOp | ConstantOp | IotaOp) or (
            isinstance(op, GraphOp)
            and bool(op.operands)
            and all(operand.owner in found for operand in op.operands)
        )
        if known and _is_static(op):
            found[op] = None
    return found


def _computed_source(value: SSAValue) -> SSAValue:
    """The value behind movement that costs nothing: a view of it need not be stored.

    Movement that no strides can tell, as a reshape of a permuted tensor, costs a copy.
    """
    chain: list[OpResult] = []
    while isinstance(value, OpResult) and type(value.op) in VIEWS:
        chain.append(value)
        value = value.op.operands[0]
    access = AccessMap.dense(dims_of(value))
    for result in reversed(chain):
        moved = VIEWS[type(result.op)](result.op, access)[result.index]
        if moved is None:
            value, moved = result, AccessMap.dense(dims_of(result))
        access = moved
    return value


def _is_free(value: SSAValue) -> bool:
    """Whether a value needs no computation: a weight, an index, a literal."""
    owner = value.owner
    return isinstance(owner, GetParameterOp | ConstantOp | IotaOp)


def _computing(op: Operation) -> dict[Operation, None]:
    """The ops that compute a value, those that give weights and literals too; each once."""
    found: dict[Operation, None] = {}
    pending = [op]
    while pending:
        owner = pending.pop()
        if owner not in found:
            found[owner] = None
            owners = (operand.owner for operand in reversed(owner.operands))
            pending.extend(o for o in owners if isinstance(o, Operation))
    return found


def _sources(op: Operation) -> Iterator[SSAValue]:
    """The weights and literals that a value is computed from."""
    return (owner.results[0] for owner in _computing(op) if _is_free(owner.results[0]))


def _worth_storing(value: SSAValue) -> bool:
    """Whether a folded value is not much larger than what it is made from."""
    size = dim_product(dims_of(value))
    assert isinstance(size, int), "constants are static"
    owner = value.owner
    assert isinstance(owner, Operation)
    given = 0
    for source in _sources(owner):
        count = dim_product(dims_of(source))
        assert isinstance(count, int)
        given += count
    return size <= max(_ALWAYS_WORTH, 2 * given)


def dequantisations(function: FuncOp, narrow: Collection[str]) -> dict[Operation, None]:
    """The ops that make the factors of products of numbers of 8 bits, and nothing else: kernels
    that multiply numbers of the types `narrow` read those themselves."""
    found: dict[Operation, None] = {}
    products: set[Operation] = set()
    for op in function.body.block.ops:
        if isinstance(op, LinearOp | MatmulOp):
            paths = [_path_to_narrow(op.operands[i], _summed_axis(op, i)) for i in range(2)]
            elements = {element_of(path[-1].operands[0]) if path else None for path in paths}
            if len(elements) == 1 and str(elements.pop()) in narrow:
                products.add(op)
                found.update((step, None) for path in paths for step in path)
    # What something else reads as well is computed anyway.
    for step in reversed([op for op in function.body.block.ops if op in found]):
        if not all(
            use.operation in found or (use.operation in products and use.index < 2)
            for use in step.results[0].uses
        ):
            del found[step]
    return found


def _summed_axis(op: LinearOp | MatmulOp, index: int) -> int:
    """The axis of a factor that a product sums over."""
    last = len(dims_of(op.operands[index])) - 1
    return max(0, last - 1) if index == 1 and isinstance(op, MatmulOp) else last


_AxisOf = tuple[SSAValue, int]
"""A value that a factor is made of, and the axis of it that the product sums over."""


def _path_to_narrow(value: SSAValue, axis: int) -> list[Operation]:
    """The ops, the last one first, that widen numbers of 8 bits to a value, permute and scale them
    by what does not vary along an axis; nothing if it is made in another way."""
    return first_path((value, axis), _steps_to_narrow)


def _steps_to_narrow(made: _AxisOf) -> Sequence[tuple[Operation, _AxisOf | None]]:
    """The op that makes a value if it is of those, with each operand that it may widen (None: of 8
    bits), permute or scale."""
    value, axis = made
    op = value.owner
    match op:
        case CastOp() if is_narrow(element_of(value)) or not isinstance(
            element_of(value), AnyFloat
        ):
            return ()
        case CastOp(x=x) if is_narrow(element_of(x)):
            return [(op, None)]
        case CastOp(x=x) | NegOp(x=x):
            return [(op, (x, axis))] if isinstance(element_of(x), AnyFloat) else ()
        case PermuteOp(x=x):
            return [(op, (x, op.permutation[axis]))]
        case MulOp(lhs=lhs, rhs=rhs):
            ways = ((lhs, rhs), (rhs, lhs))
            return [(op, (x, axis)) for x, by in ways if _scales(x, by, axis)]
        case DivOp(lhs=lhs, rhs=rhs):
            return [(op, (lhs, axis))] if _scales(lhs, rhs, axis) else ()
        case _:
            return ()


def _scales(x: SSAValue, scale: SSAValue, axis: int) -> bool:
    """Whether a scale is one number along an axis of `x`, and does not stretch `x`."""
    dims, of_scale = dims_of(x), dims_of(scale)
    along = axis - len(dims) + len(of_scale)
    return len(of_scale) <= len(dims) and all(
        of_scale[i] == 1 or (i != along and of_scale[i] == dims[i - len(of_scale)])
        for i in range(len(of_scale))
    )


class _Folder:
    """Moves constant computations of one function into `@prepare`."""

    def __init__(self, module: ModuleOp, target: TargetInfo):
        self.derived = DerivedParameters(module)
        gemm = target.capabilities.of(GemmOp)
        self.narrow = frozenset[str]() if gemm is None else gemm.narrow_factors
        self.copies: dict[SSAValue, SSAValue] = {}
        self.places: dict[Operation, int] = {}
        """Of the function's ops, in order."""

    def fold(self, function: FuncOp) -> None:
        self.places = {op: place for place, op in enumerate(function.body.block.ops)}
        found = constant_ops(function)
        for op in dequantisations(function, self.narrow):
            found.pop(op, None)
        roots: dict[SSAValue, None] = {}
        for op in function.body.block.ops:
            if op in found:
                continue
            for operand in op.operands:
                source = _computed_source(operand)
                if source.owner in found and not _is_free(source):
                    roots[source] = None
        for root in roots:
            is_mask = is_mask_code(root) and only_code_reads(root)
            if _worth_storing(root) and not is_mask:
                self._replace(root)
        dce_in(function)

    def _replace(self, root: SSAValue) -> None:
        owner = root.owner
        assert isinstance(owner, Operation)
        name = self.derived.define(self._name(owner, root), self._copied(root))
        remark(NAME, "applied", owner, f"folded into parameter {name}")
        get = GetParameterOp(name, self.derived.declared[name].parameter_type)
        get.result.name_hint = root.name_hint
        block = owner.parent
        assert block is not None
        block.insert_op_before(get, owner)
        self.places[get] = self.places[owner]
        root.replace_all_uses_with(get.result)

    def _name(self, owner: Operation, root: SSAValue) -> str:
        for source in _sources(owner):
            if isinstance(source.owner, GetParameterOp):
                return f"{source.owner.parameter.root_reference.data}.folded"
        return f"constant.{root.name_hint or 'folded'}"

    def _copied(self, value: SSAValue) -> SSAValue:
        """`value` computed inside of `@prepare`."""
        owner = value.owner
        assert isinstance(owner, Operation)
        needed = [op for op in _computing(owner) if op.results[0] not in self.copies]
        for op in sorted(needed, key=self.places.__getitem__):
            if isinstance(op, GetParameterOp):
                name = op.parameter.root_reference.data
                self.copies[op.result] = self.derived.value_of(name)
                continue
            copy = op.clone({operand: self.copies[operand] for operand in op.operands})
            self.derived.insert(copy)
            self.copies.update(zip(op.results, copy.results, strict=True))
        return self.copies[value]


def name_literals(function: FuncOp, derived: DerivedParameters) -> None:
    """Turns literals of distinct elements into parameters; kernels read those, or one number."""
    for op in list(function.body.block.ops):
        if isinstance(op, ConstantOp) and not op.dense.is_splat():
            name = derived.declare(f"constant.{op.result.name_hint or 'table'}", op.dense)
            get = GetParameterOp(name, derived.declared[name].parameter_type)
            get.result.name_hint = op.result.name_hint
            Rewriter.replace_op(op, get)


def dce_in(function: FuncOp) -> None:
    """Erases the function's unused pure ops."""
    for op in reversed(list(function.body.block.ops)):
        if isinstance(op, GraphOp | GetParameterOp) and not any(r.uses for r in op.results):
            op.detach()
            op.erase()


@dataclass(frozen=True)
class FoldConstantsPass(ModulePass):
    """Moves ops on weights and literals to `@prepare`, whose results are derived parameters.

    Before: `%w = graph.get_parameter @w`, `%s = graph.mul %w, %scale`, `%y = graph.linear %x, %s`
    After:  `%s = graph.get_parameter @w.folded`, and `@prepare` returns the product

    Views of weights stay, where they cost nothing. Values much larger than their sources stay too.
    Masks that compare positions stay code of what they are applied to. Weights of 8 bits (i8,
    f8E4M3FN) that are widened and scaled for products with factors of the same type stay as they
    are, where the target has such products; their scales are folded.
    Literals of distinct elements become parameters whose value is written in the IR.
    """

    name = NAME
    target: str = "any"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        folder = _Folder(op, find_target(self.target))
        for function in run_functions_of(op):
            folder.fold(function)
        for function in functions_of(op):
            name_literals(function, folder.derived)
