"""A CPU that is said to multiply only aligned data fast, and to be so slow that all is padded."""

from dataclasses import replace

from ait.passes.target import AlignedAccess, Capabilities, DeviceDescription
from tests.unit.codegen.cpu.quick_target import QuickTarget

_ALIGNED = AlignedAccess(bytes=16, speed_without=0.01)


class AlignedTarget(QuickTarget):
    @property
    def description(self) -> DeviceDescription:
        return replace(super().description, matrix_peak={}, vector_peak=1.0)

    @property
    def capabilities(self) -> Capabilities:
        given = super().capabilities
        multiply = {
            kind: replace(row, aligned=_ALIGNED if kind.DATA_OPERANDS > 1 else None)
            for kind, row in given.kernels.items()
        }
        return replace(given, kernels=multiply)


def make_target(name: str) -> AlignedTarget:
    return AlignedTarget(name, None)
