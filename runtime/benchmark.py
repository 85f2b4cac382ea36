"""Times of repeated runs."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchmarkResult:
    """Wall times of single runs, in seconds."""

    times: tuple[float, ...]

    @property
    def median(self) -> float:
        """The time that half of the runs stay below."""
        return statistics.median(self.times)

    @property
    def minimum(self) -> float:
        """The fastest run."""
        return min(self.times)

    @property
    def mean(self) -> float:
        """The average."""
        return statistics.fmean(self.times)

    def percentile(self, percent: float) -> float:
        """The least time that `percent` (0 to 100) of the runs do not exceed."""
        ordered = sorted(self.times)
        position = max(0, -(-len(ordered) * percent // 100) - 1)
        return ordered[int(position)]

    def __str__(self) -> str:
        """Median, minimum and the slow end, in milliseconds."""
        p99 = self.percentile(99)
        return (
            f"median {self.median * 1e3:.3f} ms, min {self.minimum * 1e3:.3f} ms, "
            f"p99 {p99 * 1e3:.3f} ms ({len(self.times)} runs)"
        )


def measure(run: Callable[[], None], *, repetitions: int, warmup: int) -> BenchmarkResult:
    """Calls `run` `warmup` times, then times each of `repetitions` calls.

    Raises:
        ValueError: there is nothing to measure.
    """
    if repetitions < 1:
        raise ValueError(f"repetitions is {repetitions}, expected at least 1")
    for _ in range(warmup):
        run()
    times: list[float] = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return BenchmarkResult(tuple(times))
