"""Device descriptions: one row per compute capability, from data sheets and measurements."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace

from ait.errors import CompileError
from ait.passes.target import DeviceDescription

DEFAULT = "sm_90a"

HOPPER_SHARED_BYTES = 227 << 10
"""The shared memory that a block of any sm_90a device may have."""

DEVICES: Mapping[str, DeviceDescription] = {
    # A100 SXM 80 GB, data sheet; not measured.
    "sm_80": DeviceDescription(
        name="A100",
        memory_bandwidth=1.8e12,
        matrix_peak={"f16": 280e12, "bf16": 280e12, "f32": 40e12},
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
        matrix_peak={
            "f16": 790e12,
            "bf16": 790e12,
            "f32": 60e12,
            "i8": 1550e12,
            "f8E4M3FN": 1300e12,
        },
        vector_peak=60e12,
        units=132,
        cache_bytes=60 << 20,
        shared_bytes=HOPPER_SHARED_BYTES,
        launch_seconds=0.75e-6,
        alignment=256,
    ),
}
"""By architecture, oldest first. The matrix peak of f32 is that of three TF32 products for each."""

NAMED: Mapping[str, DeviceDescription] = {
    # The H200's chip at the same power. Measured: copies reach 2.99 TB/s, sums 3.06.
    "NVIDIA H100 80GB HBM3": replace(
        DEVICES["sm_90a"], name="H100", memory_bandwidth=3.1e12, cache_bytes=50 << 20
    ),
}
"""By the driver's name, devices that are not the one their architecture's row is of. Kernels are
chosen for the row, since code is for all devices of an architecture; measured times are held
against the rates of the device that took them."""

_ARCHITECTURE = re.compile(r"sm_(\d{2,3})([af]?)")


def find_device(architecture: str) -> tuple[str, DeviceDescription]:
    """The architecture to compile for and its description, or, with a warning, that of the nearest
    older one.

    `sm_90` means `sm_90a`: the same devices, with all their instructions. Raises CompileError for
    text that is no architecture, or one older than all rows.
    """
    if f"{architecture}a" in DEVICES:
        architecture = f"{architecture}a"
    if architecture in DEVICES:
        return architecture, DEVICES[architecture]
    number = _number(architecture)
    older = [name for name in DEVICES if _number(name) <= number]
    if not older:
        raise CompileError(f"{architecture} is not supported: the oldest is {next(iter(DEVICES))}")
    found = older[-1]
    warnings.warn(
        f"cuda:{architecture} is unknown, its kernels are chosen as for {found} "
        f"({DEVICES[found].name})",
        stacklevel=2,
    )
    return architecture, DEVICES[found]


def _number(architecture: str) -> int:
    """The compute capability, times ten."""
    match = _ARCHITECTURE.fullmatch(architecture)
    if match is None:
        known = ", ".join(DEVICES)
        raise CompileError(f"'{architecture}' is no CUDA architecture; described are {known}")
    return int(match[1])
