"""All cases and the bars of their groups."""

from __future__ import annotations

from benchmarks.kernels import attention, conv, gemm, grouped

CASES = {case.title: case for module in (gemm, grouped, attention, conv) for case in module.CASES}
BARS = gemm.BARS | grouped.BARS | attention.BARS | conv.BARS
