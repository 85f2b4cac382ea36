"""What a kernel benchmark is: one op, how ait compiles it and what it runs against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ait import nn

Shape = tuple[int, ...]
Tensors = Mapping[str, Any]
"""PyTorch tensors by name: the inputs and the weights of a case."""
Function = Callable[[Tensors], Any]

TORCH_TYPES: Mapping[str, str] = {"f16": "float16", "f8E4M3FN": "float8_e4m3fn"}
"""PyTorch's names of the elements that cases may have."""


@dataclass(frozen=True)
class Bar:
    """Speeds over the best rival that the cases of a group must reach; None asks for nothing."""

    geomean: float | None = None
    worst: float | None = None


@dataclass(frozen=True)
class KernelCase:
    """An op at one size, whose result is f16, and whose inputs and weights are of `element`.

    `module`: our model, whose weights are named as in `weights`. `inputs`, `weights`: shapes; all
    inputs have the same first extent, along which results are checked in blocks. `rivals`:
    functions of PyTorch by the name of their library, of which the fastest counts; `for_rivals`
    prepares tensors for them, and is not timed. `reference`: the result from tensors of
    `reference_type`. Results have the shape of our model's.
    """

    group: str
    name: str
    module: Callable[[], nn.Module]
    inputs: Mapping[str, Shape]
    weights: Mapping[str, Shape]
    rivals: Mapping[str, Function]
    reference: Function
    for_rivals: Callable[[Tensors], Tensors] = dict
    reference_type: str = "float64"
    element: str = "f16"

    @property
    def title(self) -> str:
        """Names the case among all cases."""
        return f"{self.group} {self.name}"

    @property
    def file_name(self) -> str:
        """Of its library."""
        return f"{self.title.replace(' ', '_')}.so"
