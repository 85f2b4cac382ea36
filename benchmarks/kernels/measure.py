"""Times of a case by ait and by its rivals, and their errors. Needs PyTorch and a GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ait
from ait.runtime.loader import CompiledModel
from benchmarks.kernels.case import TORCH_TYPES, KernelCase, Tensors

Call = Callable[[], Any]
"""Puts one launch on the current stream and returns its result."""

# Copies of the data together exceed the cache of 50 MB; small data stays in it, as in a model.
_COLD_BYTES = 128 << 20
_MOST_COPIES = 16
# A graph's length: long enough for the time of its own launch not to count.
_GRAPH_MS = 1.0
_LEAST_LAUNCHES, _MOST_LAUNCHES = 8, 512
_ROUNDS = 7, 60
_BLOCKS = 8
_SEED = 1


@dataclass(frozen=True)
class Measurement:
    """An engine's result of one case: either a time and an error, or why there are none.

    `max_error`: the largest difference from the exact result, relative to the largest value.
    """

    engine: str
    median_ms: float | None = None
    max_error: float | None = None
    failure: str = ""


def measure(case: KernelCase, library: Path, scratch: Path, seconds: float) -> list[Measurement]:
    """Runs ait first, then the rivals; then times all of them in turn, replay by replay.

    `library`: ait's. `scratch`: a folder for weights. `seconds`: how long all timing takes, about.
    """
    import torch  # pyright: ignore[reportMissingImports]

    torch.backends.cudnn.benchmark = True
    stream = torch.cuda.Stream()
    copies = _copies(case)
    failures: dict[str, str] = {}
    with torch.cuda.stream(stream), torch.inference_mode():
        data = [_drawn(case)]
        data += [_cloned(data[0]) for _ in range(copies - 1)]
        engines: dict[str, Callable[[], list[Call]]] = {
            "ait": partial(_ait_calls, case, library, scratch, data, stream)
        }
        engines |= {name: partial(_rival_calls, case, name, data) for name in case.rivals}
        results: dict[str, Any] = {}
        graphs: dict[str, _Graph] = {}
        for name, make in engines.items():
            try:
                calls = make()
                results[name] = calls[0]().clone()
                graphs[name] = _captured(calls, stream)
            except Exception as failure:  # an engine that cannot run a case is a result too
                failures[name] = f"{type(failure).__name__}: {failure}"[:300]
        times = _medians(graphs, stream, seconds)
        errors = _errors(case, data[0], {name: results[name] for name in graphs})
    return [
        Measurement(name, times.get(name), errors.get(name), failures.get(name, ""))
        for name in engines
    ]


# Data -----------------------------------------------------------------------------------------


def _copies(case: KernelCase) -> int:
    elements = sum(_product(shape) for shape in (*case.inputs.values(), *case.weights.values()))
    return min(_MOST_COPIES, _COLD_BYTES // (_torch_type(case).itemsize * elements) + 1)


def _torch_type(case: KernelCase) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    return getattr(torch, TORCH_TYPES[case.element])


def _product(shape: Sequence[int]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product


def _drawn(case: KernelCase) -> Tensors:
    """Tensors between -1 and 1."""
    import torch  # pyright: ignore[reportMissingImports]

    generator = torch.Generator("cuda").manual_seed(_SEED)
    return {
        name: torch.empty(shape, dtype=torch.float16, device="cuda")
        .uniform_(-1, 1, generator=generator)
        .to(_torch_type(case))
        for name, shape in (*case.inputs.items(), *case.weights.items())
    }


def _cloned(tensors: Tensors) -> Tensors:
    return {name: tensor.clone() for name, tensor in tensors.items()}


# Engines --------------------------------------------------------------------------------------


def _ait_calls(
    case: KernelCase, library: Path, scratch: Path, data: Sequence[Tensors], stream: Any
) -> list[Call]:
    """A call for each copy of the data: a model with its own weights, into its own output."""
    weights = None
    if case.weights:
        weights = scratch / "weights.safetensors"
        _save_weights(case, data[0], weights)
    return [_ait_call(ait.load(library, weights), case, tensors, stream) for tensors in data]


def _ait_call(model: CompiledModel, case: KernelCase, tensors: Tensors, stream: Any) -> Call:
    """A call of a model whose output is poisoned before the first."""
    import torch  # pyright: ignore[reportMissingImports]

    context = model.context(stream=stream.cuda_stream)
    ((name, shape),) = context.output_shapes(case.inputs).items()
    output = torch.full(shape, torch.nan, dtype=torch.float16, device="cuda")
    bound = context.bind({name: tensors[name] for name in case.inputs}, {name: output})

    def call() -> Any:
        bound.enqueue()
        return output

    call()
    context.synchronize()
    return call


def _save_weights(case: KernelCase, tensors: Tensors, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensors[name].cpu() for name in case.weights}, path)


def _rival_calls(case: KernelCase, name: str, data: Sequence[Tensors]) -> list[Call]:
    function = case.rivals[name]
    calls = [partial(function, case.for_rivals(tensors)) for tensors in data]
    calls[0]()  # libraries choose their kernel the first time
    return calls


# Timing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Graph:
    """A CUDA graph of launches. `calls` and `results` keep the memory that it reads and writes."""

    graph: Any
    launches: int
    calls: Sequence[Call]
    results: Mapping[int, Any]

    def milliseconds(self, stream: Any) -> float:
        """Of one launch, from one replay."""
        import torch  # pyright: ignore[reportMissingImports]

        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record(stream)
        self.graph.replay()
        last.record(stream)
        last.synchronize()
        return first.elapsed_time(last) / self.launches


def _captured(calls: Sequence[Call], stream: Any) -> _Graph:
    """A graph that takes about _GRAPH_MS, or has _LEAST_LAUNCHES or _MOST_LAUNCHES."""
    trial = _graph_of(calls, _LEAST_LAUNCHES, stream)
    once = min(trial.milliseconds(stream) for _ in range(3))
    launches = min(max(int(_GRAPH_MS / once), _LEAST_LAUNCHES), _MOST_LAUNCHES)
    # Each copy equally often.
    return _graph_of(calls, -(-launches // len(calls)) * len(calls), stream)


def _graph_of(calls: Sequence[Call], launches: int, stream: Any) -> _Graph:
    import torch  # pyright: ignore[reportMissingImports]

    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    results: dict[int, Any] = {}
    graph.capture_begin()
    try:
        for launch in range(launches):
            copy = launch % len(calls)
            # A result is kept until the next of its copy is made: they lie in different places.
            results[copy] = calls[copy]()
    finally:
        graph.capture_end()
    return _Graph(graph, launches, calls, results)


def _medians(graphs: Mapping[str, _Graph], stream: Any, seconds: float) -> dict[str, float]:
    """Milliseconds of a launch by engine; engines take turns, so all see the same clocks."""
    once = [graph.milliseconds(stream) * graph.launches for graph in graphs.values()]
    least, most = _ROUNDS
    rounds = min(max(int(seconds * 1e3 / max(sum(once), 1e-3)), least), most)
    times = {name: list[float]() for name in graphs}
    for _ in range(rounds):
        for name, graph in graphs.items():
            times[name].append(graph.milliseconds(stream))
    return {name: statistics.median(found) for name, found in times.items()}


# Errors ---------------------------------------------------------------------------------------


def _errors(case: KernelCase, tensors: Tensors, results: Mapping[str, Any]) -> dict[str, float]:
    """The largest difference of each engine's result, relative to the largest value."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    exact = getattr(torch, case.reference_type)
    largest = 0.0
    differences = dict.fromkeys(results, 0.0)
    weights = {name: tensors[name].to(exact) for name in case.weights}
    for rows in _blocks(next(iter(case.inputs.values()))[0]):
        inputs = {name: tensors[name][rows].to(exact) for name in case.inputs}
        wanted = case.reference({**inputs, **weights})
        largest = max(largest, float(wanted.abs().max()))
        for name, result in results.items():
            difference = (result[rows].to(exact) - wanted).abs().max()
            # What was not written is NaN, and stays the largest.
            differences[name] = float(difference.clamp_min(differences[name]))
    return {name: difference / largest for name, difference in differences.items()}


def _blocks(extent: int) -> Iterator[slice]:
    step = -(-extent // _BLOCKS)
    return (slice(first, first + step) for first in range(0, extent, step))
