"""Linear layers without bias: x [m, k], weights [n, k].

Of f16 against `torch.matmul`, of scaled f8E4M3FN against `torch._scaled_mm`: as it is, and as it
adds faster, with the 14 bits or so that tensor cores keep of sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.kernels.case import Bar, KernelCase, Tensors

if TYPE_CHECKING:
    from ait import nn

BARS = {"gemm": Bar(geomean=1.0, worst=0.85), "gemm_f8": Bar(geomean=1.0, worst=0.85)}

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


# Of 8 bits ----------------------------------------------------------------------------------------

_SCALES = 0.25, 0.5
_SIZES_OF_F8 = (
    (4096, 4096, 4096),
    (8192, 8192, 8192),
    (16, 4096, 4096),
    (128, 3072, 768),
    (1024, 3072, 768),
    (2048, 28672, 4096),
    (8192, 768, 3072),
)


def _f8_module(n: int, k: int) -> nn.Module:
    from ait import nn

    class Dequantised(nn.Module):
        """A linear of dequantised factors."""

        def __init__(self) -> None:
            self.weight = nn.Parameter((n, k), "f8E4M3FN")

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            of_x, of_weight = _SCALES
            weight = self.weight.to("f32") * of_weight
            return nn.functional.linear(x.to("f32") * of_x, weight).to("f16")

    return Dequantised()


def _with_scales(tensors: Tensors) -> Tensors:
    import torch  # pyright: ignore[reportMissingImports]

    scales = (torch.tensor(scale, device="cuda") for scale in _SCALES)
    return {**tensors, **dict(zip(("of_x", "of_weight"), scales, strict=True))}


def _scaled_mm(tensors: Tensors, fast: bool) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    return torch._scaled_mm(  # pyright: ignore[reportPrivateUsage]
        tensors["x"],
        tensors["weight"].t(),
        scale_a=tensors["of_x"],
        scale_b=tensors["of_weight"],
        out_dtype=torch.float16,
        use_fast_accum=fast,
    )


def _scaled_reference(tensors: Tensors) -> Any:
    return _matmul(tensors) * (_SCALES[0] * _SCALES[1])


def _f8_case(m: int, n: int, k: int) -> KernelCase:
    return KernelCase(
        group="gemm_f8",
        name=f"{m}x{n}x{k}",
        module=lambda: _f8_module(n, k),
        inputs={"x": (m, k)},
        weights={"weight": (n, k)},
        rivals={
            "scaled_mm": lambda tensors: _scaled_mm(tensors, fast=False),
            "scaled_mm fast": lambda tensors: _scaled_mm(tensors, fast=True),
        },
        reference=_scaled_reference,
        for_rivals=_with_scales,
        element="f8E4M3FN",
    )


CASES = (
    *(_case(m, n, k) for n, k in _COLUMNS_AND_DEPTHS for m in _ROWS),
    *(_f8_case(*size) for size in _SIZES_OF_F8),
)
