"""Measured steps of a compiled model beside the least that its device allows for them.

The floor is the roofline's (passes/cost.py): bytes over bandwidth or operations over peak,
whichever is more, as the library's metadata and the device's description have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ait.dialects.symbolic import evaluate, parse_dim, symbol
from ait.passes.target import DeviceDescription

_CLOCK = 1e6
"""Ticks a second of a Chrome trace."""


class Bound(Enum):
    """What a step cannot be faster than."""

    MEMORY = "memory"
    MATRIX = "matrix units"
    SCALAR = "scalar units"
    LAUNCH = "launch"
    """All of the others are less than it takes to launch a kernel."""


@dataclass(frozen=True)
class StepProfile:
    """A step of a run: the call of one kernel. Times are in seconds."""

    index: int
    kernel: str
    kind: str
    config: str
    source: str
    seconds: float
    bytes: int
    operations: int
    floor: float
    bound: Bound

    @property
    def ratio(self) -> float:
        """How many times its floor the step takes."""
        return self.seconds / self.floor if self.floor else float("inf")

    @property
    def lost(self) -> float:
        """The time beyond the floor."""
        return max(0.0, self.seconds - self.floor)


def profile_steps(
    metadata: Mapping[str, Any],
    shapes: Sequence[Sequence[int]],
    seconds: Iterable[float],
    device: DeviceDescription,
) -> list[StepProfile]:
    """The steps of a run in order.

    `metadata`: of the model; `shapes`: of its inputs; `seconds`: of each step, measured.
    """
    bindings: dict[str, int] = {
        bind["symbol"]: (shapes[bind["input"]][bind["axis"]] - bind["offset"]) // bind["scale"]
        for bind in metadata["binds"]
    }
    symbols = [symbol(s["name"], s["lower"], s["upper"]) for s in metadata["symbols"]]
    kernels = {kernel["name"]: kernel for kernel in metadata["kernels"]}
    found: list[StepProfile] = []
    for index, (step, measured) in enumerate(zip(metadata["steps"], seconds, strict=True)):
        moved, matrix, scalar = (
            evaluate(parse_dim(step[name], symbols), bindings)
            for name in ("bytes", "matrix_operations", "scalar_operations")
        )
        floor, bound = _floor(step["element"], moved, matrix, scalar, device)
        kernel = kernels[step["kernel"]]
        found.append(
            StepProfile(
                index=index,
                kernel=kernel["name"],
                kind=kernel["kind"],
                config=kernel["config"],
                source=step["source"],
                seconds=measured,
                bytes=moved,
                operations=matrix + scalar,
                floor=floor,
                bound=bound,
            )
        )
    return found


def _floor(
    element: str, moved: int, matrix: int, scalar: int, device: DeviceDescription
) -> tuple[float, Bound]:
    """The least seconds of a step, and why."""
    times = {
        Bound.MEMORY: moved / device.memory_bandwidth,
        Bound.MATRIX: matrix / device.matrix_peak.get(element, device.vector_peak),
        Bound.SCALAR: scalar / device.vector_peak,
    }
    bound = max(times, key=lambda kind: times[kind])
    if times[bound] < device.launch_seconds:
        return device.launch_seconds, Bound.LAUNCH
    return times[bound], bound


def chrome_trace(name: str, steps: Sequence[StepProfile]) -> dict[str, Any]:
    """The steps one after the other as JSON that Perfetto and chrome://tracing show.

    Format: the Trace Event Format's complete events ("ph": "X"), times in microseconds.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": name}},
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "kernels"}},
    ]
    begin = 0.0
    for step in steps:
        events.append(
            {
                "ph": "X",
                "name": step.source or step.kind,
                "cat": step.kind,
                "pid": 1,
                "tid": 1,
                "ts": begin * _CLOCK,
                "dur": step.seconds * _CLOCK,
                "args": {
                    "kernel": step.kernel,
                    "config": step.config,
                    "bytes": step.bytes,
                    "operations": step.operations,
                    "floor_us": step.floor * _CLOCK,
                    "bound": step.bound.value,
                },
            }
        )
        begin += step.seconds
    return {"traceEvents": events, "displayTimeUnit": "ns"}
