"""AMD devices: facts from the vendor's data sheets, one compute die (GCD) or package a row."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

from ait.errors import CompileError
from ait.passes.target import DeviceDescription

KIB, MIB = 1 << 10, 1 << 20
_LAUNCH_SECONDS = 5e-6
_LDS = 64 * KIB

DEVICES: Mapping[str, DeviceDescription] = {
    # MI250: one of its two dies, which programs see as a device of its own.
    "gfx90a": DeviceDescription(
        name="gfx90a",
        memory_bandwidth=1.64e12,
        matrix_peak={"f16": 181e12, "bf16": 181e12, "f32": 45.3e12},
        vector_peak=22.6e12,
        units=104,
        cache_bytes=8 * MIB,
        shared_bytes=_LDS,
        launch_seconds=_LAUNCH_SECONDS,
        alignment=256,
    ),
    # MI300X. The cache is the one that all dies share.
    "gfx942": DeviceDescription(
        name="gfx942",
        memory_bandwidth=5.3e12,
        matrix_peak={"f16": 1307e12, "bf16": 1307e12, "f32": 163.4e12},
        vector_peak=81.7e12,
        units=304,
        cache_bytes=256 * MIB,
        shared_bytes=_LDS,
        launch_seconds=_LAUNCH_SECONDS,
        alignment=256,
    ),
}
DEFAULT = "gfx90a"

_ARCHITECTURE = re.compile(r"gfx9[0-9a-f]{2}")


def describe(architecture: str) -> DeviceDescription:
    """The description of an architecture; of the nearest older one, with a warning, if it has none.

    Raises CompileError for what is no AMD data-centre GPU with matrix units.
    """
    known = DEVICES.get(architecture)
    if known is not None:
        return known
    older = sorted(name for name in DEVICES if name < architecture)
    if not _ARCHITECTURE.fullmatch(architecture) or not older:
        raise CompileError(
            f"hip:{architecture} is not supported: the known GPUs are {', '.join(DEVICES)} "
            "and newer ones of their family"
        )
    warnings.warn(
        f"hip:{architecture} is unknown, its kernels are chosen as for {older[-1]}", stacklevel=2
    )
    return DEVICES[older[-1]]
