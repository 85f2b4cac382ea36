"""What CPUs there are to generate code for: instruction sets, and a typical device of each."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ait.errors import CompileError
from ait.passes.target import DeviceDescription

KIB, MIB = 1 << 10, 1 << 20
_GIGA = 1e9


@dataclass(frozen=True)
class Level:
    """An instruction set.

    `flags`: the compiler's, spelled out because GCC 10 does not know the x86-64 levels by name.
    `features`: what a host must have, as `__builtin_cpu_supports` and /proc/cpuinfo name it where
    they agree; `lanes`: floats in a vector.
    """

    name: str
    machine: str
    flags: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    lanes: int = 4


_V2 = ("-mcx16", "-mpopcnt", "-msse4.2")
_V3 = (*_V2, "-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt", "-mmovbe")
_V4 = (*_V3, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl")
_V2_FEATURES = ("popcnt", "sse4.2")
_V3_FEATURES = (*_V2_FEATURES, "avx2", "fma", "bmi", "bmi2")
_V4_FEATURES = (*_V3_FEATURES, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

LEVELS: Mapping[str, Level] = {
    level.name: level
    for level in (
        Level("x86-64", "x86_64"),
        Level("x86-64-v2", "x86_64", _V2, _V2_FEATURES),
        Level("x86-64-v3", "x86_64", _V3, _V3_FEATURES, lanes=8),
        Level("x86-64-v4", "x86_64", _V4, _V4_FEATURES, lanes=16),
        Level("aarch64", "aarch64", ("-march=armv8-a",)),
    )
}
"""Instruction sets by the name that follows `cpu:`; those of one machine from old to new."""

_MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}
# Names in /proc/cpuinfo that differ from the compilers'.
_CPUINFO_NAMES = {"sse4.2": "sse4_2", "bmi": "bmi1"}


def level_of(name: str) -> Level:
    """The level of a target `cpu:<level>`. Raises CompileError for others."""
    level = LEVELS.get(name)
    if level is None:
        raise CompileError(
            f"unknown target 'cpu:{name}': the instruction sets are {', '.join(LEVELS)}; "
            "plain 'cpu' is the best one of this machine"
        )
    return level


def host_machine() -> str:
    """This machine's architecture."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


@cache
def host_level() -> Level:
    """The newest level that this machine has. Raises CompileError on an unknown architecture."""
    machine, features = host_machine(), _host_features()
    levels = [level for level in LEVELS.values() if level.machine == machine]
    if not levels:
        raise CompileError(f"no instruction set of {machine} is known; give one, as in cpu:aarch64")
    return [level for level in levels if has_features(level, features)][-1]


def has_features(level: Level, cpuinfo_flags: Sequence[str]) -> bool:
    """Whether a host with these flags in /proc/cpuinfo runs the code of `level`."""
    return all(_CPUINFO_NAMES.get(name, name) in cpuinfo_flags for name in level.features)


def _host_features() -> tuple[str, ...]:
    """The flags of the first processor; none where they cannot be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return tuple(flags.partition(":")[2].split())


def description(name: str, lanes: int) -> DeviceDescription:
    """A server of ordinary size: the same decisions on every machine, whatever it is built on.

    `lanes`: floats in a vector; a core starts two fused multiply-adds of them in each cycle.
    """
    cores, clock = 8, 3.0 * _GIGA
    peak = cores * clock * 2 * lanes * 2
    return DeviceDescription(
        name=name,
        memory_bandwidth=60.0 * _GIGA,
        # Products are computed in f32; narrower types only save memory.
        matrix_peak={"f32": peak, "f16": peak, "bf16": peak},
        vector_peak=peak / 2,
        units=cores,
        cache_bytes=32 * MIB,
        shared_bytes=32 * KIB,
        # A parallel loop: waking the threads and waiting for the last one.
        launch_seconds=3e-6,
    )
