"""Whether this machine has a GPU, asked of the driver itself: no toolkit has to be installed."""

from __future__ import annotations

import ctypes
import re

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NAME_BYTES = 100


def present_device(architecture: str, index: int = 0) -> str | None:
    """The name of this machine's GPU of that index, if it runs code for `architecture` (`sm_90a`);
    else None.

    Code with an `a` runs on its own compute capability only, other code on newer ones of the same
    major version too.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGet(ctypes.byref(device), index) != 0:
        return None
    has = _capability(driver, device)
    wanted = re.fullmatch(r"sm_(\d+)(\d)(a?)", architecture)
    if wanted is None:
        return None
    needs = int(wanted[1]), int(wanted[2])
    fits = has == needs if wanted[3] else has[0] == needs[0] and has[1] >= needs[1]
    if not fits:
        return None
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGetName(name, _NAME_BYTES, device)
    return name.value.decode(errors="replace")


def _capability(driver: ctypes.CDLL, device: ctypes.c_int) -> tuple[int, int]:
    numbers: list[int] = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return numbers[0], numbers[1]
