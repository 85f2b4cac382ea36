"""Kernels that only move data, against a copy of as many bytes on the same GPU, and PyTorch.

    pip install torch
    python benchmarks/kernels/memory.py                          # every case
    python benchmarks/kernels/memory.py --case "max pool 3x3/2" --case softmax
    python benchmarks/kernels/memory.py --build FOLDER           # without a GPU, and there:
    python benchmarks/kernels/memory.py --libraries FOLDER

A case is one function, which `ait` traces and compiles and PyTorch calls. Both engines, and the
copies, run from CUDA graphs of many launches on one stream, in turn on so many sets of tensors that
no cache holds one until it is used again; a time is the median over replays, divided by the
launches. `share_of_copy`: the time of the fastest copy (cudaMemcpyAsync, `copy_` or a kernel of
PyTorch's) that moves as many bytes, half read and half written, over the time. Bytes are those of
inputs and outputs, each once. Errors are the largest difference from PyTorch in f64, relative to
the largest value. `compile_s`: the seconds of compiling a case of which nothing was compiled yet,
but for the runtime. Kernels of a size less than 64 MB have no bar: their time is mostly latency.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ait
from ait import nn
from ait.codegen.compile import CompileOptions

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.environment import RESULTS, write_results  # noqa: E402
from benchmarks.kernels.build import build_all  # noqa: E402
from benchmarks.manifest import compile_seconds, facts_of  # noqa: E402

ENGINES = ("ait", "torch-eager")
LARGE_BYTES = 64_000_000
"""From so many on, a case must reach `WANTED` of the copy's speed."""
WANTED = 0.85
_ROTATED_BYTES = 400_000_000
"""Bytes of all sets of a case: several times any GPU's cache."""
_WIDTHS = {"f16": 2, "bf16": 2, "f32": 4, "i64": 8, "i32": 4, "i8": 1}


@dataclass(frozen=True)
class Input:
    """A tensor: of random numbers, or of random indices below `below`."""

    shape: tuple[int, ...]
    dtype: str = "f16"
    below: int = 0

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * _WIDTHS[self.dtype]


@dataclass(frozen=True)
class Case:
    """`call(functions, **inputs)` with `ait.nn.functional` or `torch.nn.functional`.

    `unread`: bytes of the inputs that nobody reads, as of entries of a table that no index names.
    """

    name: str
    call: Callable[..., Any]
    inputs: Mapping[str, Input]
    unread: int = 0

    @property
    def specs(self) -> dict[str, ait.TensorSpec]:
        return {n: ait.TensorSpec(i.shape, i.dtype) for n, i in self.inputs.items()}


# Cases ----------------------------------------------------------------------------------------


def _first(x: Any) -> Any:
    """[n, h, w, c] as [n, c, h, w]."""
    return x.permute(0, 3, 1, 2)


def _last(x: Any) -> Any:
    """[n, c, h, w] as [n, h, w, c]."""
    return x.permute(0, 2, 3, 1)


def _image(name: str, call: Callable[..., Any], shape: tuple[int, int, int, int]) -> Iterator[Case]:
    """A function of [n, c, h, w] on images in both orders of memory; `shape` is n, h, w, c."""
    n, h, w, c = shape
    text = "x".join(map(str, shape))
    yield Case(f"{name} {text} NHWC", lambda f, x: _last(call(f, _first(x))), {"x": Input(shape)})
    yield Case(f"{name} {text} NCHW", call, {"x": Input((n, c, h, w))})


def _last_only(name: str, call: Callable[..., Any], shape: tuple[int, int, int, int]) -> Case:
    return next(_image(name, call, shape))


def _pools() -> Iterator[Case]:
    def largest(f: Any, x: Any) -> Any:
        return f.max_pool2d(x, 3, 2, 1)

    def global_mean(f: Any, x: Any) -> Any:
        return f.adaptive_avg_pool2d(x, 1)

    yield from _image("max pool 3x3/2", largest, (64, 112, 112, 64))
    yield _last_only("max pool 3x3/2", largest, (1, 112, 112, 64))
    yield from _image("max pool 2x2/2", lambda f, x: f.max_pool2d(x, 2, 2), (32, 112, 112, 128))
    yield _last_only("max pool 5x5/1", lambda f, x: f.max_pool2d(x, 5, 1, 2), (16, 80, 80, 256))
    yield _last_only("average pool 3x3/1", lambda f, x: f.avg_pool2d(x, 3, 1, 1), (32, 56, 56, 256))
    yield _last_only(
        "adaptive average pool 7x7", lambda f, x: f.adaptive_avg_pool2d(x, 7), (128, 14, 14, 2048)
    )
    for batch in (1, 8, 64, 512):
        yield _last_only("global average pool", global_mean, (batch, 7, 7, 2048))
    yield _last_only("global average pool", global_mean, (1, 112, 112, 64))
    yield from _image("global average pool", global_mean, (64, 56, 56, 256))


def _resizes() -> Iterator[Case]:
    def nearest(f: Any, x: Any) -> Any:
        return f.interpolate(x, scale_factor=2, mode="nearest")

    def bilinear(f: Any, x: Any) -> Any:
        return f.interpolate(x, scale_factor=2, mode="bilinear")

    yield from _image("resize x2 nearest", nearest, (8, 64, 64, 512))
    yield from _image("resize x2 bilinear", bilinear, (8, 64, 64, 512))
    yield _last_only("resize x2 nearest", nearest, (1, 32, 32, 256))


def _norms() -> Iterator[Case]:
    def norm(f: Any, x: Any, g: Any, b: Any) -> Any:
        return f.layer_norm(x, tuple(g.shape), g, b)

    def of_sum(f: Any, x: Any, r: Any, g: Any, b: Any) -> Any:
        return norm(f, x + r, g, b)

    def residual(f: Any, x: Any, r: Any, g: Any, b: Any) -> Any:
        total = x + r
        return norm(f, total, g, b), total

    def rms(f: Any, x: Any, g: Any) -> Any:
        return f.rms_norm(x, tuple(g.shape), g, 1e-5)

    def group(f: Any, x: Any, g: Any, b: Any) -> Any:
        return f.group_norm(x, 32, g, b)

    for rows, columns in ((128, 768), (24576, 768), (8192, 4096), (2048, 16384)):
        x, one = Input((rows, columns)), Input((columns,))
        size = f"{rows}x{columns}"
        yield Case(f"layer norm {size}", norm, {"x": x, "g": one, "b": one})
        yield Case(f"rms norm {size}", rms, {"x": x, "g": one})
        added = {"x": x, "r": x, "g": one, "b": one}
        yield Case(f"layer norm of a sum {size}", of_sum, added)
        yield Case(f"residual layer norm {size}", residual, added)
    one = Input((320,))
    for n in (2, 32):
        yield Case(
            f"group norm {n}x64x64x320 NHWC",
            lambda f, x, g, b: _last(group(f, _first(x), g, b)),
            {"x": Input((n, 64, 64, 320)), "g": one, "b": one},
        )
    yield Case(
        "group norm 32x320x64x64 NCHW",
        group,
        {"x": Input((32, 320, 64, 64)), "g": one, "b": one},
    )


def _softmaxes() -> Iterator[Case]:
    def softmax(f: Any, x: Any) -> Any:
        return f.softmax(x, -1)

    sizes = ((294912, 128), (98304, 384), (8192, 4096), (1024, 32768), (640, 50257), (256, 128256))
    for rows, columns in (*sizes, (1, 128256)):
        yield Case(f"softmax {rows}x{columns}", softmax, {"x": Input((rows, columns))})
    yield Case("softmax f32 8192x2048", softmax, {"x": Input((8192, 2048), "f32")})
    yield Case("softmax 12x128x128", softmax, {"x": Input((12, 128, 128))})
    yield Case(
        "log softmax 640x50257", lambda f, x: f.log_softmax(x, -1), {"x": Input((640, 50257))}
    )
    yield Case(
        "softmax over channels 64x21x256x256", lambda f, x: f.softmax(x, 1),
        {"x": Input((64, 21, 256, 256))},
    )  # fmt: skip


def _reductions() -> Iterator[Case]:
    def total(dim: Any) -> Callable[..., Any]:
        return lambda f, x: x.sum(dim)

    for shape in ((98304, 384), (16384, 4096), (64, 1 << 20), (1, 1 << 25)):
        yield Case(f"sum inner {shape[0]}x{shape[1]}", total(-1), {"x": Input(shape)})
    for shape in ((16384, 4096), (98304, 384), (384, 98304), (1 << 20, 64)):
        yield Case(f"sum outer {shape[0]}x{shape[1]}", total(0), {"x": Input(shape)})
    yield Case("sum middle 64x1024x1024", total(1), {"x": Input((64, 1024, 1024))})
    for shape in ((1, 7, 7, 2048), (64, 7, 7, 2048), (1, 112, 112, 64), (64, 56, 56, 256)):
        size = "x".join(map(str, shape))
        yield Case(f"mean of pixels {size}", lambda f, x: x.mean((1, 2)), {"x": Input(shape)})
    yield Case("sum inner f32 8192x4096", total(-1), {"x": Input((8192, 4096), "f32")})
    yield Case("argmax inner 16384x4096", lambda f, x: x.argmax(-1), {"x": Input((16384, 4096))})
    yield Case("sum inner 128x768", total(-1), {"x": Input((128, 768))})
    yield Case("sum outer 128x768", total(0), {"x": Input((128, 768))})


def _pointwise() -> Iterator[Case]:
    x = Input((8192, 4096))
    yield Case("relu 8192x4096", lambda f, x: f.relu(x), {"x": x})
    yield Case("gelu 8192x4096", lambda f, x: f.gelu(x), {"x": x})
    yield Case("silu times 8192x4096", lambda f, x, y: f.silu(x) * y, {"x": x, "y": x})
    yield Case(
        "bias, relu, residual 8192x4096", lambda f, x, y, b: f.relu(x + b) + y,
        {"x": x, "y": x, "b": Input((4096,))},
    )  # fmt: skip
    yield Case("relu f32 8192x4096", lambda f, x: f.relu(x), {"x": Input((8192, 4096), "f32")})
    yield Case("f32 to f16 8192x4096", lambda f, x: x.half(), {"x": Input((8192, 4096), "f32")})
    yield Case("f16 to f32 8192x4096", lambda f, x: x.float(), {"x": x})
    yield Case("relu 8191x4097", lambda f, x: f.relu(x), {"x": Input((8191, 4097))})
    yield Case("add rows 8192x4095", lambda f, x, b: x + b,
               {"x": Input((8192, 4095)), "b": Input((4095,))})  # fmt: skip
    yield Case("relu 128x768", lambda f, x: f.relu(x), {"x": Input((128, 768))})


def _copies() -> Iterator[Case]:
    def permute(*order: int) -> Callable[..., Any]:
        return lambda f, x: x.permute(*order).contiguous()

    yield Case("NCHW to NHWC 64x64x112x112", permute(0, 2, 3, 1), {"x": Input((64, 64, 112, 112))})
    yield Case("NHWC to NCHW 64x112x112x64", permute(0, 3, 1, 2), {"x": Input((64, 112, 112, 64))})
    yield Case("NCHW to NHWC 64x3x512x512", permute(0, 2, 3, 1), {"x": Input((64, 3, 512, 512))})
    yield Case("NHWC to NCHW 64x512x512x3", permute(0, 3, 1, 2), {"x": Input((64, 512, 512, 3))})
    yield Case("NCHW to NHWC 1x256x56x56", permute(0, 2, 3, 1), {"x": Input((1, 256, 56, 56))})
    yield Case("transpose 8192x8192", permute(1, 0), {"x": Input((8192, 8192))})
    yield Case("transpose 8191x8193", permute(1, 0), {"x": Input((8191, 8193))})
    yield Case("transpose f32 8192x4096", permute(1, 0), {"x": Input((8192, 4096), "f32")})
    yield Case("heads 64x384x12x64", permute(0, 2, 1, 3), {"x": Input((64, 384, 12, 64))})
    yield Case(
        "concat 64x56x56x(128+64) NHWC",
        lambda f, x, y: _concat(f, x, y),
        {"x": Input((64, 56, 56, 128)), "y": Input((64, 56, 56, 64))},
    )


def _concat(f: Any, x: Any, y: Any) -> Any:
    if f is nn.functional:
        return nn.cat([x, y], -1)
    import torch  # pyright: ignore[reportMissingImports]

    return torch.cat([x, y], -1)


def _gathers() -> Iterator[Case]:
    def look_up(f: Any, ids: Any, table: Any) -> Any:
        return f.embedding(ids, table)

    def with_places(f: Any, ids: Any, table: Any, places: Any) -> Any:
        return f.embedding(ids, table) + places

    for entries, width, batch, length in ((30522, 768, 64, 384), (128256, 4096, 8, 1024)):
        # What cannot be known: how many rows are asked for more than once. All count.
        unread = (entries - batch * length) * width * 2
        tensors = {
            "ids": Input((batch, length), "i64", entries),
            "table": Input((entries, width)),
        }
        size = f"{entries}x{width} {batch}x{length}"
        yield Case(f"embedding {size}", look_up, tensors, unread)
        places = {"places": Input((length, width))}
        yield Case(f"embedding plus places {size}", with_places, {**tensors, **places}, unread)


CASES: Sequence[Case] = tuple(
    case
    for group in (
        _pools, _resizes, _norms, _softmaxes, _reductions, _pointwise, _copies, _gathers
    )
    for case in group()
)  # fmt: skip


# Engines --------------------------------------------------------------------------------------


def library_of(case: Case, folder: Path) -> Path:
    """The file of a case's library."""
    kept = "".join(c if c.isalnum() else "_" for c in case.name)
    return folder / f"{kept}.so"


def build(name: str, folder: Path, target: str, tune: int) -> float:
    """Compiles the case of a name, in a process of its own; returns the seconds."""
    (case,) = (case for case in CASES if case.name == name)

    def model(**inputs: Any) -> Any:
        return case.call(nn.functional, **inputs)

    options = CompileOptions(name="kernel", tune=tune, jobs=1, progress=False)
    begin = time.perf_counter()
    program = ait.trace(_with_parameters(model, list(case.inputs)), case.specs)
    ait.compile(program, target, library_of(case, folder), options)
    return time.perf_counter() - begin


def _with_parameters(model: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """A function of positions: `trace` gives inputs in their order."""
    return lambda *tensors: model(**dict(zip(names, tensors, strict=True)))


@dataclass
class Workload:
    """Sets of input tensors, each used by a launch in turn, and what one launch moves."""

    case: Case
    sets: list[dict[str, Any]]
    outputs: list[Any]
    bytes: int
    wanted: list[Any] = field(default_factory=list[Any])
    """PyTorch's answer in f64 for the first set."""


def _tensor(spec: Input) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    types = {
        "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "i64": torch.int64
    }  # fmt: skip
    if spec.below:
        return torch.randint(spec.below, spec.shape, device="cuda", dtype=types[spec.dtype])
    return torch.randn(spec.shape, device="cuda", dtype=types[spec.dtype])


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def prepare(case: Case) -> Workload:
    """Draws inputs and lets PyTorch answer in f64."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    first = {name: _tensor(spec) for name, spec in case.inputs.items()}
    functional = torch.nn.functional
    outputs = _listed(case.call(functional, **first))
    written = sum(t.numel() * t.element_size() for t in outputs)
    moved = sum(spec.bytes for spec in case.inputs.values()) - case.unread + written
    count = min(64, max(2, -(-_ROTATED_BYTES // moved)))
    rest = [{n: _tensor(s) for n, s in case.inputs.items()} for _ in range(count - 1)]
    exact = {n: t.double() if t.is_floating_point() else t for n, t in first.items()}
    wanted = _listed(case.call(functional, **exact))
    work = Workload(case, [first, *rest], outputs, moved, wanted)
    del exact
    torch.cuda.empty_cache()
    return work


def error_of(work: Workload, outputs: Sequence[Any]) -> float:
    """The largest difference from the answer in f64, relative to its largest value."""
    worst = 0.0
    for ours, exact in zip(outputs, work.wanted, strict=True):
        exact = exact.double()
        scale = max(float(exact.abs().max()), 1e-30)
        worst = max(worst, float((ours.double() - exact).abs().max()) / scale)
    return worst


def ait_launches(
    work: Workload, libraries: Path, stream: Any
) -> tuple[list[Callable[[], Any]], list[Any]]:
    """A launch for each set of inputs, and the outputs of the first."""
    import torch  # pyright: ignore[reportMissingImports]

    model = ait.load(library_of(work.case, libraries))
    context = model.context(stream=stream.cuda_stream)
    shapes = context.output_shapes({n: t.shape for n, t in work.sets[0].items()})
    launches: list[Callable[[], Any]] = []
    firsts: list[Any] = []
    for tensors in work.sets:
        outputs = {
            name: _poisoned(shape, like.dtype)
            for (name, shape), like in zip(shapes.items(), work.outputs, strict=True)
        }
        torch.cuda.synchronize()
        firsts = firsts or list(outputs.values())
        launches.append(context.bind(tensors, outputs).enqueue)
    return launches, firsts


def _poisoned(shape: Sequence[int], dtype: Any) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    value = torch.nan if dtype.is_floating_point else -1
    return torch.full(tuple(shape), value, dtype=dtype, device="cuda")


def torch_launches(work: Workload) -> tuple[list[Callable[[], Any]], list[Any]]:
    """The same for PyTorch: results are kept, so that each has memory of its own."""
    import torch  # pyright: ignore[reportMissingImports]

    kept: list[Any] = [None] * len(work.sets)

    def launch(index: int) -> None:
        kept[index] = work.case.call(torch.nn.functional, **work.sets[index])

    launches = [lambda i=i: launch(i) for i in range(len(work.sets))]
    return launches, work.outputs


# Measuring ------------------------------------------------------------------------------------


def median_ms(launches: Sequence[Callable[[], Any]], stream: Any, seconds: float) -> float:
    """The median time of a launch, in milliseconds, over replays of a graph of all of them."""
    import torch  # pyright: ignore[reportMissingImports]

    for launch in launches:
        launch()
    torch.cuda.synchronize()
    # Short kernels: enough of them that the launch of the graph does not count.
    rounds = max(1, 32 // len(launches))
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph, stream=stream):
        for _ in range(rounds):
            for launch in launches:
                launch()
    count = rounds * len(launches)

    def timed() -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(stream)
        graph.replay()
        end.record(stream)
        end.synchronize()
        return begin.elapsed_time(end) / count

    once = min(timed() for _ in range(3))
    replays = min(200, max(7, int(seconds * 1e3 / (once * count))))
    return statistics.median(timed() for _ in range(replays))


class Copies:
    """Times of copies, by the bytes that they move."""

    def __init__(self, stream: Any, seconds: float):
        self._stream = stream
        self._seconds = seconds
        self._known: dict[int, dict[str, float]] = {}
        self._runtime = _cuda_runtime()

    def of(self, moved: int) -> dict[str, float]:
        """Milliseconds by engine of copies that read and write `moved` bytes together."""
        if moved not in self._known:
            self._known[moved] = self._measured(moved)
        return self._known[moved]

    def _measured(self, moved: int) -> dict[str, float]:
        import torch  # pyright: ignore[reportMissingImports]

        bytes = max(16, moved // 2 // 16 * 16)
        count = min(64, max(2, -(-_ROTATED_BYTES // moved)))
        pairs = [
            [torch.zeros(bytes // 4, dtype=torch.float32, device="cuda") for _ in range(2)]
            for _ in range(count)
        ]
        torch.cuda.synchronize()
        ways: dict[str, Callable[[Any, Any], Any]] = {
            # Of contiguous tensors of one type: that is a memcpy; of others it is a kernel.
            "cudaMemcpy": self._memcpy,
            "torch-copy": lambda to, source: to.copy_(source),
            "torch-kernel": lambda to, source: torch.neg(source, out=to),
        }
        times: dict[str, float] = {}
        for name, way in ways.items():
            launches = [lambda p=p, way=way: way(p[0], p[1]) for p in pairs]
            times[name] = median_ms(launches, self._stream, self._seconds)
        return times

    def _memcpy(self, to: Any, source: Any) -> None:
        device_to_device = 3
        code = self._runtime.cudaMemcpyAsync(
            ctypes.c_void_p(to.data_ptr()),
            ctypes.c_void_p(source.data_ptr()),
            ctypes.c_size_t(to.numel() * to.element_size()),
            device_to_device,
            ctypes.c_void_p(self._stream.cuda_stream),
        )
        if code:
            raise RuntimeError(f"cudaMemcpyAsync: error {code}")


def _cuda_runtime() -> Any:
    """The CUDA runtime that PyTorch has loaded."""
    maps = Path("/proc/self/maps").read_text().split()
    paths = [path for path in maps if "libcudart.so" in path]
    return ctypes.CDLL(paths[0] if paths else "libcudart.so")


def measure(
    case: Case, engines: Sequence[str], libraries: Path, copies: Copies, stream: Any, seconds: float
) -> Iterator[dict[str, Any]]:
    """The rows of a case: copies of as many bytes, then one for each engine."""
    import torch  # pyright: ignore[reportMissingImports]

    work = prepare(case)
    copied = copies.of(work.bytes)
    best = min(copied.values())
    for name, milliseconds in copied.items():
        yield _row(case, name, work.bytes, milliseconds, best)
    for engine in engines:
        try:
            if engine == "ait":
                launches, outputs = ait_launches(work, libraries, stream)
            else:
                launches, outputs = torch_launches(work)
            milliseconds = median_ms(launches, stream, seconds)
            torch.cuda.synchronize()
            error = error_of(work, outputs)
        except Exception as failure:  # a row that fails is a result too
            yield {"case": case.name, "engine": engine, "failure": str(failure)[:300]}
            continue
        compile_s = compile_seconds(libraries).get(case.name) if engine == "ait" else None
        yield _row(case, engine, work.bytes, milliseconds, best, compile_s, error)


def _row(
    case: Case,
    engine: str,
    moved: int,
    milliseconds: float,
    copy: float,
    compile_s: float | None = None,
    max_error: float | None = None,
) -> dict[str, Any]:
    """A row of results, without what is None; `copy`: milliseconds of the fastest copy."""
    row = {
        "case": case.name,
        "engine": engine,
        "median_ms": milliseconds,
        "compile_s": compile_s,
        "max_error": max_error,
        "bytes": moved,
        "gb_per_s": moved / milliseconds / 1e6,
        "share_of_copy": copy / milliseconds,
    }
    return {name: value for name, value in row.items() if value is not None}


def summarize(case: Case, rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for a case."""
    moved = next(row["bytes"] for row in rows)
    parts = [f"{case.name:44} {moved / 1e6:7.1f} MB"]
    for row in rows:
        if "failure" in row:
            parts.append(f"{row['engine']} FAILED: {row['failure'][:60]}")
            continue
        text = f"{row['engine']} {row['median_ms'] * 1e3:.1f} us"
        if row["engine"] in ENGINES:
            text += f" {row['gb_per_s']:.0f} GB/s {row['share_of_copy']:.2f}"
        if row["engine"] == "ait":
            text += f" (error {row['max_error']:.1e})"
            if moved >= LARGE_BYTES and row["share_of_copy"] < WANTED:
                text += " BELOW"
        parts.append(text)
    return ", ".join(parts)


def _chosen(wanted: Sequence[str] | None) -> list[Case]:
    """The cases whose names begin with one of some texts."""
    return [c for c in CASES if not wanted or any(c.name.startswith(w) for w in wanted)]


def main() -> None:
    """Builds, or measures and writes the results."""
    parser = argparse.ArgumentParser(description="time kernels that move data on a GPU")
    parser.add_argument("--case", action="append", metavar="BEGIN", help="(default: all)")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="(default: all)")
    parser.add_argument("--target", default="cuda:sm_90a")
    parser.add_argument("--tune", type=int, default=0, metavar="LEVEL", help="as of ait compile")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="compile libraries and stop")
    parser.add_argument("--libraries", type=Path, metavar="FOLDER", help="measure such libraries")
    parser.add_argument(
        "--seconds", type=float, default=0.05, help="of each timing (default: 0.05)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "memory.json")
    options = parser.parse_args()
    cases = _chosen(options.case)
    folder = options.build or options.libraries or ROOT / "build/memory"
    if options.libraries is None:
        names = [case.name for case in cases]
        build_all(names, folder, options.target, partial(build, tune=options.tune))
    if options.build is not None:
        return
    import torch  # pyright: ignore[reportMissingImports]

    stream = torch.cuda.Stream()
    rows: list[dict[str, Any]] = []
    with torch.inference_mode(), torch.cuda.stream(stream):
        copies = Copies(stream, options.seconds)
        for case in cases:
            found = list(
                measure(case, options.engine or ENGINES, folder, copies, stream, options.seconds)
            )
            rows += found
            print(summarize(case, found), flush=True)
            write_results(options.output, rows, facts_of(options.libraries))
            torch.cuda.empty_cache()
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
