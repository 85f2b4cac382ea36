"""A CPU that is said to run products on matrices fast, and convolutions slowly."""

from dataclasses import replace

from ait.dialects.kernel import ConvOp, KernelOp, ProductOp
from ait.passes.fusion.dense_factors import is_scattered
from ait.passes.target import AlignedAccess, Capabilities
from tests.unit.codegen.cpu.quick_target import QuickTarget

_ALIGNED = AlignedAccess(bytes=16, speed_without=0.5)


class PatchTarget(QuickTarget):
    @property
    def capabilities(self) -> Capabilities:
        given = super().capabilities
        kernels = {
            kind: replace(row, aligned=_ALIGNED if issubclass(kind, ProductOp) else None)
            for kind, row in given.kernels.items()
        }
        return replace(given, kernels=kernels, products_for_convs=True)

    def expected_seconds(self, op: KernelOp) -> float | None:
        if isinstance(op, ConvOp):
            return 1e3
        scattered = isinstance(op, ProductOp) and any(is_scattered(op, i) for i in (0, 1))
        return 1e2 if scattered else 1.0


def make_target(name: str) -> PatchTarget:
    return PatchTarget(name, None)
