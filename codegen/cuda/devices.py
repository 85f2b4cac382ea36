"""Device descriptions: one row per compute capability, from data sheets and measurements."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

from ait.errors import CompileError
from ait.passes.target import DeviceDescription

DEFAULT = "sm_90a"

DEVICES: Mapping[str, DeviceDescription] = {
    # A100 SXM 80 GB, data sheet; not measured.
    "sm_80": DeviceDescription(
        name="A100",
        memory_bandwidth=1.8e12,
        matrix_peak={"f16": 280e12, "bf16": 280e12, "f32": 19.5e12},
        vector_peak=19.5e12,
        units=108,
        cache_bytes=40 << 20,
        shared_bytes=163 << 10,
        launch_seconds=1.5e-6,
        alignment=256,
    ),
    # H200, measured: copies reach 4.3 TB/s; the matrix peak is what random data sustain; a launch
    # is what one more small kernel of a CUDA graph costs with programmatic dependent launch.
    "sm_90a": DeviceDescription(
        name="H200",
        memory_bandwidth=4.3e12,
        matrix_peak={"f16": 790e12, "bf16": 790e12, "f32": 60e12},
        vector_peak=60e12,
        units=132,
        cache_bytes=60 << 20,
        shared_bytes=227 << 10,
        launch_seconds=0.75e-6,
        alignment=256,
    ),
}
"""By architecture, oldest first. f32 products are exact f32: no reduced-precision units."""

_ARCHITECTURE = re.compile(r"sm_(\d{2,3})([af]?)")


def find_device(architecture: str) -> tuple[str, DeviceDescription]:
    """The architecture to compile for and its description: the row itself or, with a warning, the
    nearest older one.

    Raises CompileError for text that is no architecture, or one older than all rows.
    """
    if architecture in DEVICES:
        return architecture, DEVICES[architecture]
    match = _ARCHITECTURE.fullmatch(architecture)
    if match is None:
        raise CompileError(f"'{architecture}' is no CUDA architecture; for example {_known()}")
    number = int(match[1])
    older = [name for name in DEVICES if _runs_on(name, number)]
    if not older:
        raise CompileError(f"{architecture} is not supported; the oldest is {next(iter(DEVICES))}")
    found = older[-1]
    warnings.warn(
        f"no description of {architecture}: compiling for {found} ({DEVICES[found].name}); "
        f"known are {_known()}",
        stacklevel=2,
    )
    return found, DEVICES[found]


def _runs_on(name: str, number: int) -> bool:
    """Whether code for the row runs on capability `number`: 'a' code runs on its own only, the
    rest on any of the same major number that is no older."""
    match = _ARCHITECTURE.fullmatch(name)
    assert match is not None
    row = int(match[1])
    return row == number if match[2] else row // 10 == number // 10 and row <= number


def _known() -> str:
    return ", ".join(DEVICES)
