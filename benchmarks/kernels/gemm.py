"""Linear layers without bias against `torch.matmul`: x [m, k], weights [n, k]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.kernels.case import Bar, KernelCase, Tensors

if TYPE_CHECKING:
    from ait import nn

BARS = {"gemm": Bar(geomean=1.0, worst=0.85)}

_ROWS = (1, 16, 128, 1024, 8192, 24576)
_COLUMNS_AND_DEPTHS = ((768, 768), (3072, 768), (768, 3072), (4096, 4096), (28672, 4096))


def _module(n: int, k: int) -> nn.Module:
    from ait import nn

    return nn.Linear(k, n, bias=False)


def _matmul(tensors: Tensors) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.matmul(tensors["x"], tensors["weight"].t())


def _case(m: int, n: int, k: int) -> KernelCase:
    return KernelCase(
        group="gemm",
        name=f"{m}x{n}x{k}",
        module=lambda: _module(n, k),
        inputs={"x": (m, k)},
        weights={"weight": (n, k)},
        rivals={"matmul": _matmul},
        reference=_matmul,
    )


CASES = tuple(_case(m, n, k) for n, k in _COLUMNS_AND_DEPTHS for m in _ROWS)
