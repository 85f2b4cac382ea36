"""Access maps on arrays: every load and store of the interpreter below the graph level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from xdsl.utils.exceptions import InterpretationError

from ait.dialects.accessor import AccessMap
from ait.ir.dtypes import Array
from ait.ir.interpreter.environment import Environment


@dataclass(frozen=True)
class Access:
    """An access map with numbers for its dims."""

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @staticmethod
    def of(access: AccessMap, environment: Environment) -> Access:
        return Access(
            environment.number(access.offset),
            environment.numbers(access.sizes),
            environment.numbers(access.strides),
        )

    @property
    def is_empty(self) -> bool:
        return 0 in self.sizes

    @property
    def reach(self) -> tuple[int, int]:
        """The first and the last address."""
        steps = [(n - 1) * s for n, s in zip(self.sizes, self.strides, strict=True)]
        low, high = sum(min(step, 0) for step in steps), sum(max(step, 0) for step in steps)
        return self.offset + low, self.offset + high

    def addresses(self) -> Array:
        """The address of every index, as an array of shape `sizes`."""
        total = np.full(self.sizes, self.offset, np.int64)
        for axis, (n, stride) in enumerate(zip(self.sizes, self.strides, strict=True)):
            shape = [-1 if i == axis else 1 for i in range(len(self.sizes))]
            total += (np.arange(n, dtype=np.int64) * stride).reshape(shape)
        return total

    @property
    def is_injective(self) -> bool:
        """Whether no address occurs twice."""
        moving = [(abs(s), n) for n, s in zip(self.sizes, self.strides, strict=True) if n > 1]
        reach = 0
        for stride, n in sorted(moving):
            if stride <= reach:
                break
            reach += stride * (n - 1)
        else:
            return True
        every = self.addresses()
        return len(np.unique(every)) == every.size

    def overlaps(self, other: Access) -> bool:
        """Whether an address of one is an address of the other."""
        if self.is_empty or other.is_empty:
            return False
        (low, high), (other_low, other_high) = self.reach, other.reach
        if high < other_low or other_high < low:
            return False
        start, end = min(low, other_low), max(high, other_high)
        hit = np.zeros(end - start + 1, np.bool_)
        hit[self.addresses() - start] = True
        return bool(hit[other.addresses() - start].any())


def addresses(access: AccessMap, environment: Environment) -> Array:
    """The address of every index of a map, i64."""
    return Access.of(access, environment).addresses()


def strided(storage: Array, access: Access, what: str) -> Array:
    """The elements that a map addresses in a flat storage, without a copy."""
    if access.is_empty:
        return np.empty(access.sizes, storage.dtype)
    low, high = access.reach
    if low < 0 or high >= storage.size:
        raise InterpretationError(
            f"{what} reaches elements {low} to {high} of a storage of {storage.size}"
        )
    bytes_each = storage.itemsize
    return as_strided(
        storage[access.offset :],
        access.sizes,
        [stride * bytes_each for stride in access.strides],
    )


def poisoned(size: int, dtype: np.dtype[np.generic]) -> Array:
    """A flat storage nobody wrote yet: NaN in every float type, -1 in integers, true in i1."""
    if dtype == np.bool_:
        return np.ones(size, dtype)
    return np.full(size * dtype.itemsize, 0xFF, np.uint8).view(dtype)
