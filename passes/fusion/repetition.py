"""Pointwise code over a tensor that repeats, computed once for each element that differs.

`cos(cat([a, a]))` is computed as `cos(a)`, and read as the concat would have been.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter
from xdsl.rewriter import InsertPoint

from ait.dialects.accessor import AccessMap
from ait.dialects.kernel import EmptyOp, IndexOp, KernelOp, PointwiseOp
from ait.dialects.symbolic import element_of, tensor_type
from ait.passes.fusion.legality import covers_storage
from ait.passes.fusion.pattern import FusionPattern
from ait.passes.fusion.rebuild import rebuilt
from ait.passes.origins import keep_names
from ait.passes.remarks import remark


def repeated_dims(op: PointwiseOp) -> list[int]:
    """The dims of a kernel's domain along which it computes the same again and again."""
    maps = [*op.in_access, *(s.access for s in op.body.block.ops if isinstance(s, IndexOp))]
    if not op.ins:
        return []
    return [
        dim
        for dim, size in enumerate(op.domain)
        if size != 1 and all(access.strides[dim] == 0 for access in maps)
    ]


@dataclass(frozen=True)
class _Reader:
    """A kernel that reads results of the narrowed one, and its maps of all its operands then."""

    op: KernelOp
    maps: tuple[AccessMap, ...]


class ComputeRepeatedOnce(FusionPattern):
    """pointwise A whose operands all repeat along a dim -> A without it; its readers repeat."""

    roots = (PointwiseOp,)

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, PointwiseOp):
            return
        dropped = repeated_dims(op)
        if not dropped or not all(_is_fresh(op, i) for i in range(len(op.res))):
            return
        kept = [dim for dim in range(len(op.domain)) if dim not in dropped]
        readers = self._readers(op, kept)
        if readers is None:
            return
        empties, narrow = _narrowed(op, kept)
        remark(self.pass_name, "applied", op, "computes what repeats once")
        rewriter.insert([*empties, narrow], InsertPoint.before(op))
        results: dict[SSAValue, SSAValue] = dict(zip(op.res, narrow.res, strict=True))
        for old, new in results.items():
            new.name_hint = old.name_hint
        for reader in readers:
            ins = [results.get(value, value) for value in reader.op.ins]
            new = rebuilt(reader.op, ins=ins, in_maps=reader.maps)
            keep_names(reader.op.res, new.res)
            rewriter.replace(reader.op, new, list(new.res))
        rewriter.erase(op)

    def _readers(self, op: PointwiseOp, kept: list[int]) -> list[_Reader] | None:
        """All that reads a kernel's results; None if one could not read them narrowed."""
        inner = [_narrow_map(access, kept) for access in op.out_access]
        users = dict.fromkeys(use.operation for result in op.res for use in result.uses)
        readers: list[_Reader] = []
        for user in users:
            if not isinstance(user, KernelOp) or not self._reads_strided(user):
                return None
            if any(value.owner is op for value in user.outs):
                return None
            # Factors of products are best read as they lie in memory.
            if any(value.owner is op for value in user.ins[: user.DATA_OPERANDS]):
                return None
            maps = list(user.in_access)
            for position, value in enumerate(user.ins):
                for result, narrow in zip(op.res, inner, strict=True):
                    if value is result:
                        composed = maps[position].compose(narrow)
                        if composed is None:
                            return None
                        maps[position] = composed
            readers.append(_Reader(user, tuple(maps)))
        return readers

    def _reads_strided(self, user: KernelOp) -> bool:
        row = self.target.capabilities.of(user)
        return row is not None and row.strided_operands


def _is_fresh(op: PointwiseOp, index: int) -> bool:
    """Whether a result is all of a tensor of its own."""
    destination = op.outs[index]
    return isinstance(destination.owner, EmptyOp) and covers_storage(
        destination, op.out_access[index]
    )


def _narrow_map(access: AccessMap, kept: list[int]) -> AccessMap:
    """From the storage of a result, as dims, to that of the narrowed one."""
    order = access.order_as_storage()
    assert order is not None, "the result covers its tensor"
    stored = [dim for dim in order if dim in kept]
    narrow = AccessMap.dense([access.sizes[dim] for dim in stored])
    strides = dict(zip(stored, narrow.strides, strict=True))
    return AccessMap(
        0,
        tuple(access.sizes[dim] for dim in order),
        tuple(strides.get(dim, 0) for dim in order),
    )


def _narrowed(op: PointwiseOp, kept: list[int]) -> tuple[list[Operation], KernelOp]:
    """The kernel over the kept dims alone, with the destinations of its results."""
    empties: list[Operation] = []
    places: list[AccessMap] = []
    for destination, access in zip(op.outs, op.out_access, strict=True):
        whole = _narrow_map(access, kept)
        order = access.order_as_storage()
        assert order is not None, "the result covers its tensor"
        stored = [dim for dim in order if dim in kept]
        dims = [access.sizes[dim] for dim in stored]
        empties.append(EmptyOp(tensor_type(element_of(destination), dims)))
        strides = dict(zip(order, whole.strides, strict=True))
        sizes = tuple(access.sizes[dim] for dim in kept)
        places.append(AccessMap(0, sizes, tuple(strides[dim] for dim in kept)))
    body = op.body.clone()
    for scalar in body.block.ops:
        if isinstance(scalar, IndexOp):
            scalar.properties["map"] = IndexOp(scalar.access.select(kept)).map
    new = rebuilt(
        op,
        outs=[empty.results[0] for empty in empties],
        in_maps=[access.select(kept) for access in op.in_access],
        out_maps=places,
        regions=[body],
    )
    return empties, new
