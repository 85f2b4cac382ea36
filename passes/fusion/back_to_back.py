"""Two products, the first of which computes the left factor of the second, in one kernel.

`act(a @ b) @ c`: a block of rows of the middle never leaves the unit that computes it. What stands
between the two, and behind them, is code; rows may be split into dims and batches in any way that
both products agree on. Others may read the middle too, if the target's kernels can store it on its
way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import AnyFloat, DenseArrayBase, IntegerAttr, UnitAttr, i64
from xdsl.ir import Attribute, Block, Operation, Region
from xdsl.pattern_rewriter import PatternRewriter

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import BackToBackGemmOp, EmptyOp, GemmOp, YieldOp
from ait.dialects.symbolic import dim_product, element_of, lower_bound
from ait.passes.fusion.legality import Refusal, covers_storage
from ait.passes.fusion.motion import dependents_between, move_after, reaches
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import dims_of_operand
from ait.passes.fusion.row_tiles import (
    accept,
    accept_parts,
    check_width,
    row_capability,
    separates,
)
from ait.passes.origins import joined_location, keep_names
from ait.passes.regions import Remap, inline, through_storage
from ait.passes.remarks import describe, remark
from ait.passes.target import TargetInfo


@dataclass(frozen=True)
class _Chain:
    """A gemm whose only result is the left factor of another."""

    first: GemmOp
    second: GemmOp
    kept: bool = False
    """Whether others read that result too."""
    moved: Sequence[Operation] = ()
    """Of those, the ones that must stand behind the fused op."""

    @property
    def remap(self) -> Remap:
        """Carries maps of the first domain to that of the second's left factor, [b, m, k]."""
        return through_storage(self.second.in_access[0], self.first.out_access[0])


def _chain_of(first: GemmOp, second: GemmOp, may_keep: bool) -> _Chain:
    """The two as a chain, of which others may read the middle too if it can be kept. Raises
    Refusal."""
    if first.parent is not second.parent:
        raise Refusal("it is computed elsewhere")
    if len(first.outs) != 1:
        raise Refusal("it has several results")
    kept = any(use.operation is not second for use in first.res[0].uses)
    if kept and not may_keep:
        raise Refusal("others read its results too")
    if kept and lower_bound(dim_product(second.group_dims[2])) == 0:
        raise Refusal("a kernel without results stores no middle, and it may have no columns")
    if any(value is first.res[0] for value in (*second.ins[1:], *second.outs)):
        raise Refusal("the second product reads it in another way as well")
    if not isinstance(first.outs[0].owner, EmptyOp):
        raise Refusal("it writes into a larger tensor")
    if not covers_storage(first.res[0], first.out_access[0]):
        raise Refusal("it does not write all of its result")
    if not covers_storage(first.res[0], second.in_access[0]):
        raise Refusal("the second product does not read each element once")
    dependents = dependents_between(first, second)
    if reaches(dependents, second.operands[1:]):
        raise Refusal("another operand depends on it too: fusing would make a cycle")
    return _Chain(first, second, kept, dependents)


@dataclass(frozen=True)
class _Rows:
    """The rows of both products, as dims of the second: first those that count as batches, which
    are batches of one of the two."""

    batch: tuple[int, ...]
    others: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        return (*self.batch, *self.others)

    def arranged(self, access: AccessMap) -> AccessMap:
        """A map over the second's rows, and dims behind them, with the rows in this order."""
        return access.permute((*self.all, *range(len(self.all), access.rank)))


def build_back_to_back(chain: _Chain) -> BackToBackGemmOp:
    """The one kernel that does what the chain does, in no block yet. Raises Refusal."""
    first, second = chain.first, chain.second
    if not isinstance(element_of(second.ins[0]), AnyFloat):
        raise Refusal("the second product is one of integers")
    b1, m1, _, k1 = first.group_ranks
    b2, m2, n2, k2 = second.group_ranks
    middle = range(b2 + m2, b2 + m2 + k2)
    same = separates(chain.remap, first.domain, b1 + m1, middle)
    if same is None:
        raise Refusal("its domain cannot be addressed over the rows of the second product")
    if not same:
        raise Refusal("its columns are not what the second product sums over")
    left, right, *inner = (_image(chain, i) for i in range(len(first.ins)))
    rows = _Rows(
        tuple(i for i in range(b2 + m2) if i < b2 or right.strides[i] != 0),
        tuple(i for i in range(b2, b2 + m2) if right.strides[i] == 0),
    )
    depth = [access.select(_depth(first, i)) for i, access in enumerate(first.in_access[:2])]
    factors = [
        _joined(left.select(rows.all), depth[0]),
        _joined(right.select(rows.batch), depth[1], right.select(middle)),
        _second_factor(second, rows),
    ]
    extras = [rows.arranged(second.in_access[i]) for i in second.visible_ins]
    properties: dict[str, Attribute | None] = {
        "groups": DenseArrayBase.from_list(i64, [len(rows.batch), len(rows.others), n2, k1, k2]),
        "middle_extras": IntegerAttr(len(inner), i64),
    }

    def to_middle(access: AccessMap) -> AccessMap | None:
        image = chain.remap(access)
        return None if image is None else rows.arranged(image)

    outs, places = list(second.outs), [rows.arranged(access) for access in second.out_access]
    if chain.kept:
        place = to_middle(first.out_access[0])
        if place is None:
            raise Refusal("its result cannot be addressed over the rows of the second product")
        outs.append(first.outs[0])
        places.append(place)
        properties["keeps_middle"] = UnitAttr()
    return BackToBackGemmOp(
        [*first.ins[:2], second.ins[1], *first.ins[2:], *second.ins[2:]],
        outs,
        [*factors, *map(rows.arranged, inner), *extras],
        places,
        [_moved(first.epilogue, to_middle), _moved(second.epilogue, rows.arranged)],
        properties,
        dict(second.attributes),
    )


def _image(chain: _Chain, index: int) -> AccessMap:
    """How the second's left factor, [b, m, k], reaches an operand of the first; at depth 0, if that
    is a factor."""
    first = chain.first
    places = dims_of_operand(first, index)
    assert places is not None, "the domains of gemms may be split"
    access = first.in_access[index]
    strides = tuple(0 if place is None else access.strides[place] for place in places)
    image = chain.remap(AccessMap(access.offset, first.domain, strides))
    if image is None:
        raise Refusal("an operand cannot be addressed over the rows of the second product")
    return image


def _depth(gemm: GemmOp, index: int) -> range:
    """Which dims of a factor's map the gemm sums over."""
    b, m, _, k = gemm.group_ranks
    start = b + m if index == 0 else b
    return range(start, start + k)


def _joined(first: AccessMap, *others: AccessMap) -> AccessMap:
    """The dims of several maps, one after the other, from the first's offset on."""
    parts = (first, *others)
    sizes = tuple(size for part in parts for size in part.sizes)
    return AccessMap(first.offset, sizes, tuple(s for part in parts for s in part.strides))


def _second_factor(second: GemmOp, rows: _Rows) -> AccessMap:
    """The second right factor, which is the same for batches that only the first product has."""
    b, _, n, k = second.group_ranks
    access = second.in_access[1]
    sizes = tuple(second.domain[i] for i in rows.batch)
    strides = tuple(access.strides[i] if i < b else 0 for i in rows.batch)
    batch = AccessMap(access.offset, sizes, strides)
    return _joined(batch, access.select(range(b, b + k + n)))


def _moved(region: Region, remap: Remap) -> Region:
    """A copy of region code for another domain. Raises Refusal."""
    block = Block(arg_types=[argument.type for argument in region.block.args])
    keep_names(region.block.args, block.args)
    values = inline(region, block, block.args, remap)
    if values is None:
        raise Refusal("an index cannot be expressed over the rows of the second product")
    block.add_op(YieldOp(*values))
    return Region(block)


class FuseBackToBack(FusionPattern):
    """gemm A; gemm B whose left factor A computes, for B alone -> back_to_back_gemm.

    `in_parts`: with kernels of the target that have the middle in parts. Others may read the middle
    then, which is one more result. The target's model of its kernels says whether that pays, since
    they need not hold whole rows.
    """

    roots = (GemmOp,)

    def __init__(self, target: TargetInfo, pass_name: str, in_parts: bool = False):
        super().__init__(target, pass_name)
        self.in_parts = in_parts

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, GemmOp):
            return
        first = op.ins[0].owner
        if not isinstance(first, GemmOp):
            return
        try:
            chain = _chain_of(first, op, self.in_parts)
            fused, profit = self._fuse(chain)
        except Refusal as reason:
            message = f"not one kernel with {describe(first)}, its left factor: {reason}"
            remark(self.pass_name, "missed", op, message)
            return
        message = f"{describe(first)} and {describe(op)} are one kernel: {profit}"
        remark(self.pass_name, "applied", op, message)
        self._replace(chain, fused, rewriter)

    def _fuse(self, chain: _Chain) -> tuple[BackToBackGemmOp, str]:
        row = row_capability(BackToBackGemmOp, self.target)
        gemms = [chain.first, chain.second]
        if self.in_parts:
            if row.rows is None or not row.rows.in_parts:
                raise Refusal(f"a middle never passes in parts on {self.target.name}")
            check_width(row, BackToBackGemmOp, chain.second.group_dims[2], self.target)
            fused = build_back_to_back(chain)
            return fused, accept_parts(fused, gemms, row, self.target)
        tile, _ = (
            check_width(row, BackToBackGemmOp, gemm.group_dims[2], self.target) for gemm in gemms
        )
        fused = build_back_to_back(chain)
        return fused, accept(fused, gemms, [], row, tile, self.target)

    def _replace(self, chain: _Chain, fused: BackToBackGemmOp, rewriter: PatternRewriter) -> None:
        first, second = chain.first, chain.second
        fused.location = joined_location(first, second)
        move_after(second, chain.moved)
        count = len(second.res)
        keep_names(second.res, fused.res[:count])
        rewriter.replace(second, fused, list(fused.res[:count]))
        if chain.kept:
            keep_names(first.res, fused.res[count:])
            rewriter.replace_all_uses_with(first.res[0], fused.res[count])
        rewriter.erase(first)
