"""What kernels ask of sizes that count in 32 bits."""

from __future__ import annotations

from collections.abc import Iterable

from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.symbolic import Dim, upper_bound

_INT32_MAX = (1 << 31) - 1


def check_groups(view: KernelView, names: Iterable[str] | None = None) -> None:
    """Raises Refusal unless the extents of groups of dims (by default all) surely fit 31 bits."""
    for name in view.groups if names is None else names:
        check_extent(name, view.group(name).dim)


def check_extent(name: str, dim: Dim) -> None:
    """The same of one extent."""
    if upper_bound(dim) > _INT32_MAX:
        raise Refusal(f"{name} may exceed 31 bits")
