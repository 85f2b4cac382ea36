"""All cases and the bars of their groups."""

from __future__ import annotations

from benchmarks.kernels import attention, conv, gemm

CASES = {case.title: case for module in (gemm, attention, conv) for case in module.CASES}
BARS = gemm.BARS | attention.BARS | conv.BARS
