"""Convolutions as generated kernels see them: numbers, C++ text, and the gemm that they amount to.

Group by group, `m` are the pixels of all images, `n` the output channels and `k` the taps times the
input channels, channels innermost, as weights [O, R, S, C] are stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd, prod
from typing import cast

from ait.codegen.axes import Axis
from ait.codegen.expressions import in_parentheses
from ait.codegen.gpu.cost import GemmShape, slowdown_of_copies
from ait.codegen.gpu.family import Refusal
from ait.codegen.gpu.lanes import PACK_BYTES, WIDTHS, Lanes, fits
from ait.codegen.kernel_view import KernelView
from ait.codegen.operand import Operand
from ait.dialects.kernel import ConvOp
from ait.dialects.symbolic import dim_product, upper_bound

_MOST_LANES = 8
"""Sums that a thread finishes at once."""
_ELEMENTS = frozenset({"f32", "f16", "bf16"})


@dataclass(frozen=True)
class ConvProblem:
    """A convolution whose weights have known sizes; pairs are (vertical, horizontal).

    `channels` and `outputs` are those of one group.
    """

    view: KernelView
    strides: tuple[int, int]
    padding: tuple[int, int]
    dilations: tuple[int, int]
    groups: int
    taps: tuple[int, int]
    channels: int
    outputs: int

    @staticmethod
    def of(view: KernelView) -> ConvProblem:
        """Raises Refusal for weights of unknown size, or operands that no kernel multiplies."""
        op = cast(ConvOp, view.op)
        for operand in view.ins[:2]:
            if operand.element.name not in _ELEMENTS:
                raise Refusal(f"a convolution of {operand.element.name}")
        sizes = op.in_access[1].sizes
        if not all(isinstance(size, int) for size in sizes):
            raise Refusal("weights of unknown size")
        *outer, rows, columns, channels = cast(tuple[int, ...], sizes)
        outputs = prod(outer)
        groups = op.groups.value.data
        if channels == 0 or outputs % groups:
            raise Refusal(f"{outputs} output channels in {groups} groups of {channels} channels")
        top, left, _, _ = op.padding.get_values()
        return ConvProblem(
            view,
            _pair(op.strides.get_values()),
            (top, left),
            _pair(op.dilations.get_values()),
            groups,
            (rows, columns),
            channels,
            outputs // groups,
        )

    @property
    def is_padded(self) -> bool:
        """Whether a tap may lie outside of the image."""
        op = cast(ConvOp, self.view.op)
        return any(op.padding.get_values())

    @property
    def depth(self) -> int:
        return self.taps[0] * self.taps[1] * self.channels

    @property
    def pixels(self) -> str:
        """The number of output pixels of all images, in C++."""
        return self._product("n", "p", "q")

    @property
    def image_pixels(self) -> str:
        """The number of output pixels of one image, in C++."""
        return self._product("p", "q")

    def _product(self, *groups: str) -> str:
        return " * ".join(in_parentheses(self.view.group(name).size) for name in groups)

    @property
    def gemm_shape(self) -> GemmShape:
        view = self.view
        pixels = view.op.domain[:3]
        moved = sum(
            operand.element.bytes
            for operand in (*view.extras, *view.outs)
            if operand.stride("o") != 0 and operand.stride("q") != 0
        )
        return GemmShape(
            self.groups,
            max(1, upper_bound(dim_product(pixels))),
            self.outputs,
            self.depth,
            max(operand.element.bytes for operand in view.ins[:2]),
            moved,
        )

    @property
    def _innermost(self) -> Axis | None:
        """The axis along which neighbouring output channels lie."""
        axes = self.view.group("o").axes
        return axes[-1] if axes else None

    def lanes(self, count: int) -> Lanes:
        """Neighbouring output channels from `channel` on, of the pixel `image`, `row`, `column`."""
        axis = self._innermost
        first = {"n": "image", "p": "row", "q": "column", "o": "channel"}
        return Lanes(count, axis, first, {**first, "o": "(channel + lane)"})

    def flat_lanes(self, count: int, users: Iterable[Operand]) -> Lanes | None:
        """`lanes` of the pixel that is the `m`-th of all; None if one of `users` does not walk all
        pixels in one stride."""
        view = self.view
        walked = [name for name in ("q", "p", "n") if view.group(name).axes]
        for user in users:
            reach = user.stride(walked[0]) if walked else 0
            for name in walked:
                if user.stride(name) != reach or reach is None:
                    return None
                reach = reach * view.group(name).dim
        lanes = self.lanes(count)
        innermost = walked[0] if walked else "q"
        return lanes.at({name: "m" if name == innermost else "0" for name in "npq"})

    def widest(self, extent: int) -> int:
        """The most neighbours among `extent` output channels that results take as packs."""
        axis = self._innermost
        return next(
            width
            for width in WIDTHS
            if width <= _MOST_LANES
            and extent % width == 0
            and fits(axis, self.view.extras, self.view.outs, width, 2 * PACK_BYTES)
        )

    @property
    def slowdown_of_copies(self) -> float:
        """How much longer kernels take that copy pieces of pixels, as their channels allow."""
        return slowdown_of_copies(self.vector(self.view.ins[0], "c"))

    def vector(self, operand: Operand, channel: str) -> int:
        """Channels of the image (c) or the weights (g) that one access of a group's may take."""
        return gcd(operand.vector(channel, PACK_BYTES), self.channels)


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    vertical, horizontal = values
    return vertical, horizontal
