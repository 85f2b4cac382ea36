"""Linear layers without bias of an input each, as experts have, against `torch.bmm` and one matmul
after the other: x [m, k], weights [n, k]. The results lie side by side, [m, layers, n]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.kernels.case import Bar, KernelCase, Tensors

if TYPE_CHECKING:
    from ait import nn

BARS = {"grouped": Bar(geomean=0.95, worst=0.85)}

# Layers, m, n, k.
_SIZES = (
    (2, 128, 768, 768),
    (8, 128, 768, 768),
    (32, 128, 768, 768),
    (8, 128, 768, 3072),
    (8, 16, 4096, 1024),
    (8, 512, 1024, 1024),
    (32, 256, 1024, 1024),
)


def _module(layers: int, n: int, k: int) -> nn.Module:
    from ait import nn

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(k, n, bias=False) for _ in range(layers)])

        def forward(self, *inputs: nn.Tensor) -> nn.Tensor:
            pairs = zip(self.experts, inputs, strict=True)
            return nn.stack([expert(x) for expert, x in pairs], 1)

    return Experts()


def _pairs(tensors: Tensors) -> list[tuple[Any, Any]]:
    count = len(tensors) // 2
    return [(tensors[f"x{i}"], tensors[f"experts.{i}.weight"]) for i in range(count)]


def _matmuls(tensors: Tensors) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.stack([torch.matmul(x, weight.t()) for x, weight in _pairs(tensors)], 1)


def _stacked(tensors: Tensors) -> Tensors:
    import torch  # pyright: ignore[reportMissingImports]

    inputs, weights = (torch.stack(each) for each in zip(*_pairs(tensors), strict=True))
    return {**tensors, "inputs": inputs, "weights": weights}


def _bmm(tensors: Tensors) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.bmm(tensors["inputs"], tensors["weights"].transpose(1, 2)).transpose(0, 1)


def _case(layers: int, m: int, n: int, k: int) -> KernelCase:
    return KernelCase(
        group="grouped",
        name=f"{layers},{m}x{n}x{k}",
        module=lambda: _module(layers, n, k),
        inputs={f"x{i}": (m, k) for i in range(layers)},
        weights={f"experts.{i}.weight": (n, k) for i in range(layers)},
        rivals={"bmm": _bmm, "matmuls": lambda tensors: _matmuls(_without(tensors))},
        reference=_matmuls,
        for_rivals=_stacked,
    )


def _without(tensors: Tensors) -> Tensors:
    """The tensors that `_stacked` began with."""
    return {name: t for name, t in tensors.items() if name not in ("inputs", "weights")}


CASES = tuple(_case(*size) for size in _SIZES)
