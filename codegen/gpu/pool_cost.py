"""What pools are expected to cost. Only differences between configs matter.

The numbers are fits to f16 on an H200, of 440 kernels of 17 pools, on most of which an H100 agrees.
"""

from __future__ import annotations

from math import ceil, hypot, log2, prod

from ait.codegen.gpu.cost import ALONE, stream_seconds
from ait.codegen.gpu.dialect import PoolConfig
from ait.codegen.gpu.pool_problem import PoolProblem
from ait.passes.target import DeviceDescription

# Windows whose taps are written one by one.
_LATENCY = 0.28e-6
"""A round of loads, of any width,"""
_LATENCY_OF_LANE = 0.059e-6
"""and for each element of a load."""
_LOADS_AT_ONCE = 4
"""Loads of a round."""
_FINISH_LANE = 0.045e-6
"""Each element of an output."""
_OUTPUTS_APART = 0.023
"""By how much slower memory is with each doubling of a thread's outputs."""
_REGISTERS = 53
"""Of a thread, with which a multiprocessor has enough of them. With more, threads are fewer, and
each waits longer for its loads."""
# Windows whose threads loop over taps.
_LOOP_LATENCY = 0.45e-6
"""A round of loads."""
_LOOP_ALONE = 0.75
"""How many times its share of the memory's bandwidth a multiprocessor reaches alone."""
_LOOP_LOAD, _LOOP_LANE = 8, 19
"""Instructions of a load, and of each of its elements."""
_LOOP_OVERLAP = 4
"""The power by whose mean the parts of a loop's time hide each other: much of the shorter ones."""
_COMBINE = 0.017e-6
"""A step in which a team halves what it has found,"""
_COMBINE_LANE = 1.7e-12
"""and for each element of all threads."""
_LAST_TAPS = 4
"""Taps of a round at the end of a loop: kLastTaps of window.hpp."""


def pool_seconds(problem: PoolProblem, config: PoolConfig, device: DeviceDescription) -> float:
    """Expected time of a kernel."""
    if config.in_row:
        return stream_seconds(problem.view.operands, device) * (1 + problem.row_order(config) / 50)
    if problem.is_unrolled(config.team):
        return device.launch_seconds + _unrolled_seconds(problem, config, device)
    return device.launch_seconds + _loop_seconds(problem, config, device)


def _moving_seconds(problem: PoolProblem, device: DeviceDescription) -> float:
    return stream_seconds(problem.view.operands, device) - device.launch_seconds


def _unrolled_seconds(problem: PoolProblem, config: PoolConfig, device: DeviceDescription) -> float:
    """A thread's loads come in rounds, whose waits add up where threads are too few to hide them;
    where blocks are few, a multiprocessor reaches only so much."""
    threads, loads = problem.threads(config), problem.loads(config)
    moved = _moving_seconds(problem, device)
    blocks = ceil(threads / config.teams)
    if blocks < device.units:
        moved *= device.units / (blocks * ALONE)
    moved *= 1 + _OUTPUTS_APART * log2(prod(config.outputs))
    waiting = ceil(loads / _LOADS_AT_ONCE) * (_LATENCY + config.vector * _LATENCY_OF_LANE)
    lanes_a_second = device.vector_peak / 2
    computing = threads * _instructions(problem, config) / lanes_a_second
    # What a multiprocessor reads from its cache: a byte of each lane at a time.
    bytes_of_load = config.vector * problem.view.ins[0].element.bytes
    cached = threads * loads * bytes_of_load / lanes_a_second
    return hypot(moved, waiting, computing, cached) + config.vector * _FINISH_LANE


def _instructions(problem: PoolProblem, config: PoolConfig) -> float:
    """Of a thread, more or less; as if it had more where it leaves no registers for others."""
    loads, outputs = problem.loads(config), prod(config.outputs)
    # A row's part of a window is found once for all windows above each other.
    vertical, horizontal = problem.windows
    rows, columns = config.outputs
    uses = vertical.reach(rows) * horizontal.folds(columns) + columns * vertical.folds(rows)
    # A maximum is taken of two elements at once, and of stored ones.
    lanes = config.vector / (2 if problem.is_max else 1)
    registers = 20 + outputs * lanes + horizontal.reach(columns) * config.vector / 4
    count = 30 + loads * (10 + config.vector) + uses * lanes
    return count * max(1.0, registers / _REGISTERS) ** 2


def _loop_seconds(problem: PoolProblem, config: PoolConfig, device: DeviceDescription) -> float:
    """A thread's loads come in rounds; at the end a team puts together what its threads have."""
    threads, loads = problem.threads(config), problem.loads(config)
    blocks = ceil(threads / (config.team * config.teams))
    moved = _moving_seconds(problem, device) * max(1.0, device.units / (_LOOP_ALONE * blocks))
    whole, rest = divmod(loads, problem.taps_at_once(config))
    waiting = (whole + ceil(rest / _LAST_TAPS)) * _LOOP_LATENCY
    instructions = threads * loads * (_LOOP_LOAD + config.vector * _LOOP_LANE)
    computing = instructions / (device.vector_peak / 2)
    together = 0.0
    if config.team > 1:
        together = log2(config.team) * _COMBINE + threads * config.vector * _COMBINE_LANE
    parts = (moved, waiting, computing)
    return sum(part**_LOOP_OVERLAP for part in parts) ** (1 / _LOOP_OVERLAP) + together
