"""What a run of a program knows besides its values: symbols' numbers and the model's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, SSAValue

from ait.dialects.symbolic import Dim, dims_of, evaluate, to_text
from ait.errors import AitError
from ait.ir.dtypes import Array


@dataclass
class Environment:
    """One evaluation: `bindings` gives each symbol's number, `weights` each parameter's array."""

    bindings: Mapping[str, int]
    weights: dict[str, Array] = field(default_factory=dict[str, Array])

    def number(self, dim: Dim) -> int:
        """The value of a dim in this run. Raises AitError if no input determines it."""
        try:
            return evaluate(dim, self.bindings)
        except KeyError as error:
            raise AitError(f"dim {to_text(dim)}: no input determines {error.args[0]}") from None

    def numbers(self, dims: Iterable[Dim]) -> tuple[int, ...]:
        """The values of dims in this run."""
        return tuple(map(self.number, dims))

    def shape(self, value: SSAValue | Attribute) -> tuple[int, ...]:
        """The shape that a value of a shaped type has in this run."""
        return self.numbers(dims_of(value))

    def check_shape(self, value: SSAValue, array: object) -> None:
        """Raises AssertionError if a tensor's array is not of the shape that its type promises."""
        declared: Attribute = value.type
        if isinstance(declared, TensorType):
            found = getattr(array, "shape", None)
            if found != self.shape(value):
                raise AssertionError(f"a value of {value.type} holds an array of shape {found}")
