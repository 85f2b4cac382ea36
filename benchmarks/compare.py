"""Models on a GPU: ait against PyTorch eager and torch.compile, in one process, in turn.

    pip install torch torchvision transformers
    python benchmarks/compare.py                         # every row, f16
    python benchmarks/compare.py --case "BERT-base 1x128" --engine ait --engine torch-eager
    python benchmarks/compare.py --build FOLDER          # on a machine without a GPU, and there:
    python benchmarks/compare.py --libraries FOLDER
    python benchmarks/compare.py --merge PART... --output FILE      # parts of several GPUs

All engines get the same weights and inputs, which lie on the GPU. A time is the median over groups
of runs that are put on one stream without waiting in between and timed by events of the GPU. ait
replays CUDA graphs, torch.compile runs in the modes that do: `reduce-overhead`, and `max-autotune`
as an engine of its own, which has to be asked for: it times kernels for minutes a case. Errors are
the largest difference from the PyTorch model in f64, relative to the largest value. Results are
written to benchmarks/results/ with the device, the versions and the commit.

Processes may run side by side, each on a GPU that CUDA_VISIBLE_DEVICES names, with cases and an
`--output` of its own; `--merge` makes one file of theirs, if they are of one device, driver, commit
and versions. Each engine compiles with new caches in a folder that is deleted, unless
TORCHINDUCTOR_CACHE_DIR names one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import ait
from ait import nn
from ait.codegen.compile import CompileOptions

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT)]

import bert  # noqa: E402
import resnet50  # noqa: E402
import vit  # noqa: E402

from benchmarks.environment import RESULTS, variables, write_results  # noqa: E402
from benchmarks.errors import WORST_RATIO, is_exact  # noqa: E402
from benchmarks.manifest import add_to_manifest, compile_seconds, facts_of  # noqa: E402
from benchmarks.merge import merged  # noqa: E402

TORCH_MODES: Mapping[str, str | None] = {
    "torch-eager": None,
    "torch-compile": "reduce-overhead",
    "torch-max-autotune": "max-autotune",
}
"""The engines that are PyTorch, and the modes of torch.compile; None: not compiled."""
ENGINES = ("ait", *TORCH_MODES)
DEFAULT_ENGINES = ("ait", "torch-eager", "torch-compile")
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Case:
    """A model at one size: how both sides build it.

    `torch_model`: in f32, with random weights. `model`: ours, without weights. `rename`: the name
    of ours for a weight of theirs. `must`: the milliseconds to reach.
    """

    name: str
    must: float
    torch_model: Callable[[], Any]
    model: Callable[[], nn.Module]
    inputs: Callable[[], Arrays]
    rename: Callable[[str], str]
    call: Callable[[Any, Mapping[str, Any]], Any]


# Models ---------------------------------------------------------------------------------------


def _same(name: str) -> str:
    return name


def _torch_resnet() -> Any:
    from torchvision.models import resnet50 as make  # pyright: ignore[reportMissingImports]

    return make(weights=None)


def _images(batch: int) -> Arrays:
    return {"x": np.random.default_rng(0).standard_normal((batch, 3, 224, 224), np.float32)}


def _call_on_images(model: Any, inputs: Mapping[str, Any]) -> Any:
    return model(inputs["x"])


def _resnet(batch: int, must: float) -> Case:
    return Case(
        f"ResNet-50 b{batch}", must, _torch_resnet, resnet50.resnet50,
        lambda: _images(batch), _same, _call_on_images,
    )  # fmt: skip


def _torch_vit() -> Any:
    from torchvision.models import vit_b_16  # pyright: ignore[reportMissingImports]

    model = vit_b_16(weights=None)
    model.heads.head.reset_parameters()  # zero by default, which leaves nothing to compare
    return model


_VIT_NAMES = (
    ("encoder.pos_embedding", "pos_embed"),
    ("encoder.layers.encoder_layer_", "blocks."),
    (".self_attention.in_proj_", ".attn.qkv."),
    (".self_attention.out_proj.", ".attn.proj."),
    (".ln_1.", ".norm1."),
    (".ln_2.", ".norm2."),
    (".mlp.0.", ".mlp.fc1."),
    (".mlp.3.", ".mlp.fc2."),
    ("encoder.ln.", "norm."),
    ("class_token", "cls_token"),
    ("conv_proj.", "patch_embed.proj."),
    ("heads.head.", "head."),
)


def _vit_name(name: str) -> str:
    for theirs, ours in _VIT_NAMES:
        name = name.replace(theirs, ours)
    return name


def _vit(batch: int, must: float) -> Case:
    return Case(
        f"ViT-B/16 b{batch}", must, _torch_vit, vit.VisionTransformer,
        lambda: _images(batch), _vit_name, _call_on_images,
    )  # fmt: skip


_LARGE = bert.BertConfig(
    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
)


def _torch_bert(config: bert.BertConfig) -> Any:
    from transformers import (  # pyright: ignore[reportMissingImports]
        BertConfig,
        BertModel,
    )

    sizes = {name: getattr(config, name) for name in config.__dataclass_fields__}
    return BertModel(BertConfig(**sizes), add_pooling_layer=False)


def _call_bert(model: Any, inputs: Mapping[str, Any]) -> Any:
    return model(**inputs).last_hidden_state


def _bert(name: str, config: bert.BertConfig, batch: int, length: int, must: float) -> Case:
    return Case(
        f"{name} {batch}x{length}", must,
        lambda: _torch_bert(config),
        lambda: bert.BertModel(config, add_pooling_layer=False),
        lambda: bert.example_inputs(batch, length), _same, _call_bert,
    )  # fmt: skip


_BASE = bert.BertConfig()
CASES: Sequence[Case] = (
    _resnet(1, 0.35),
    _resnet(8, 0.48),
    _resnet(64, 1.6),
    _resnet(256, 5.8),
    _bert("BERT-base", _BASE, 1, 128, 0.42),
    _bert("BERT-base", _BASE, 8, 128, 0.62),
    _bert("BERT-base", _BASE, 64, 384, 9.0),
    _bert("BERT-large", _LARGE, 1, 384, 1.2),
    _vit(1, 0.45),
    _vit(64, 4.4),
)


# Engines --------------------------------------------------------------------------------------


@dataclass
class Runner:
    """One engine, ready to run: `launch` puts a run on the current stream and does not wait.
    `compile_s`: the seconds that compiling took, None if nobody wrote them down."""

    launch: Callable[[], Any]
    result: Callable[[], np.ndarray[Any, Any]]
    compile_s: float | None


@dataclass
class Workload:
    """What all engines of a case share: the weights in f16, and the inputs on the GPU."""

    case: Case
    torch_model: Any
    inputs: Arrays
    on_gpu: dict[str, Any]


def prepare(case: Case) -> Workload:
    """Draws weights and inputs."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    model = case.torch_model().eval().half()
    inputs = case.inputs()
    halves = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in inputs.items()
    }
    on_gpu = {name: torch.from_numpy(value).cuda() for name, value in halves.items()}
    return Workload(case, model, halves, on_gpu)


def reference(work: Workload) -> np.ndarray[Any, Any]:
    """The PyTorch model in f64, one text or image at a time."""
    import copy

    import torch  # pyright: ignore[reportMissingImports]

    model = copy.deepcopy(work.torch_model).double().cuda()
    inputs = {n: v.double() if v.is_floating_point() else v for n, v in work.on_gpu.items()}
    batch = next(iter(inputs.values())).shape[0]
    rows: list[Any] = []
    with torch.inference_mode():
        for i in range(batch):
            one = {name: value[i : i + 1] for name, value in inputs.items()}
            rows.append(work.case.call(model, one).cpu())
    return torch.cat(rows).numpy()


def specs_of(inputs: Arrays) -> dict[str, ait.TensorSpec]:
    """Static inputs of these shapes, floats in f16."""
    types = {"float32": "f16", "float16": "f16", "int64": "i64"}
    return {
        name: ait.TensorSpec(value.shape, types[value.dtype.name]) for name, value in inputs.items()
    }


def library_of(case: Case, folder: Path) -> Path:
    """The file of a case's library."""
    return folder / f"{case.name.replace('/', '-').replace(' ', '_')}.so"


def build(case: Case, target: str, folder: Path, options: CompileOptions) -> float:
    """Compiles a case; its weights, drawn at random, go to a file beside it, and how long it took
    to the folder's manifest. Returns the seconds."""
    model = case.model().init_random().to("f16")
    begin = time.perf_counter()
    program = ait.trace(model, specs_of(case.inputs()))
    ait.compile(program, target, library_of(case, folder), replace(options, name=case.name))
    seconds = time.perf_counter() - begin
    add_to_manifest(folder, target, {case.name: seconds})
    return seconds


def save_weights(work: Workload, path: Path) -> None:
    """The PyTorch model's weights under our names, as a library takes them."""
    from safetensors.numpy import save_file

    case = work.case
    model = case.model()
    model.load_state_dict(
        {
            case.rename(name): value.numpy()
            for name, value in work.torch_model.state_dict().items()
            if not name.endswith(("position_ids", "num_batches_tracked"))
        }
    )
    model.to("f16")
    parameters = model.named_parameters(buffers=True)
    save_file({name: np.ascontiguousarray(p.data) for name, p in parameters}, path)


def ait_runner(work: Workload, options: argparse.Namespace, folder: Path, stream: Any) -> Runner:
    """Compiles, or takes a library that was compiled before, and binds tensors."""
    import torch  # pyright: ignore[reportMissingImports]

    libraries = options.libraries
    if libraries is None:
        libraries = folder
        how = CompileOptions(weights="file", tune=options.tune)
        build(work.case, options.target, folder, how)
    compile_s = compile_seconds(libraries).get(work.case.name)
    weights = folder / "weights.safetensors"
    save_weights(work, weights)
    model = ait.load(library_of(work.case, libraries), weights, ignore_unexpected_weights=True)
    context = model.context(stream=stream.cuda_stream)
    shapes = context.output_shapes({name: value.shape for name, value in work.inputs.items()})
    outputs = {
        name: torch.full(shape, torch.nan, dtype=torch.float16, device="cuda")
        for name, shape in shapes.items()
    }
    torch.cuda.synchronize()
    bound = context.bind(work.on_gpu, outputs)
    (output,) = outputs.values()
    return Runner(bound.enqueue, lambda: output.double().cpu().numpy(), compile_s)


def torch_runner(work: Workload, mode: str | None, scratch: Path) -> Runner:
    """PyTorch in its best layout, eager or compiled in a mode of torch.compile, with new caches in
    a folder."""
    import copy

    import torch  # pyright: ignore[reportMissingImports]

    model = copy.deepcopy(work.torch_model).cuda()
    inputs = dict(work.on_gpu)
    if "x" in inputs:
        model = model.to(memory_format=torch.channels_last)
        inputs["x"] = inputs["x"].contiguous(memory_format=torch.channels_last)
    call = work.case.call
    function: Any = model if mode is None else torch.compile(model, mode=mode)

    def launch() -> Any:
        with torch.inference_mode():
            return call(function, inputs)

    with new_caches(scratch):
        if mode is not None:
            torch.compiler.reset()
        begin = time.perf_counter()
        for _ in range(3):
            launch()
        torch.cuda.synchronize()
        compile_s = time.perf_counter() - begin
    return Runner(launch, lambda: launch().double().cpu().numpy(), compile_s)


_INDUCTOR, _TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"


def new_caches(folder: Path) -> AbstractContextManager[None]:
    """Lets torch.compile keep its files in a new folder, unless the environment names one.

    Inductor sets Triton's variable where it is not, and leaves it so: both are named here.
    """
    if _INDUCTOR in os.environ:
        return nullcontext()
    return variables({_INDUCTOR: str(folder / "inductor"), _TRITON: str(folder / "triton")})


# Measuring ------------------------------------------------------------------------------------


def median_ms(launch: Callable[[], Any], stream: Any, seconds: float) -> float:
    """The median over groups of runs that take about `seconds` together."""
    import torch  # pyright: ignore[reportMissingImports]

    def timed(count: int) -> float:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record(stream)
        for _ in range(count):
            launch()
        last.record(stream)
        last.synchronize()
        return first.elapsed_time(last) / count

    timed(5)
    once = timed(5)
    group = max(1, int(20 / once))
    groups = max(7, int(seconds * 1e3 / (once * group)))
    return statistics.median(timed(group) for _ in range(groups))


def measure(
    case: Case, engines: Sequence[str], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The rows of a case, one for each engine."""
    import torch  # pyright: ignore[reportMissingImports]

    work = prepare(case)
    wanted = reference(work)
    scale = float(np.abs(wanted).max())
    stream = torch.cuda.Stream()
    # Processes that compile for PyTorch may still write where it is deleted.
    scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with torch.cuda.stream(stream), scratch as folder:
        for engine in engines:
            try:
                if engine == "ait":
                    runner = ait_runner(work, options, Path(folder), stream)
                else:
                    runner = torch_runner(work, TORCH_MODES[engine], Path(folder) / engine)
                milliseconds = median_ms(runner.launch, stream, options.seconds)
                torch.cuda.synchronize()
                error = float(np.abs(runner.result() - wanted).max()) / scale
            except Exception as failure:  # a row that fails is a result too
                yield {"case": case.name, "engine": engine, "failure": str(failure)[:300]}
                continue
            yield {
                "case": case.name,
                "engine": engine,
                "median_ms": milliseconds,
                "compile_s": runner.compile_s,
                "max_error": error,
            }
    torch.compiler.reset()


def summarize(case: Case, rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for a case: times, ratio to the fastest PyTorch, error as a multiple of PyTorch
    eager's, and whether the bars of both are met."""
    times = {row["engine"]: row.get("median_ms") for row in rows}
    parts = [f"{engine} {'failed' if t is None else f'{t:.3f} ms'}" for engine, t in times.items()]
    ours = times.get("ait")
    theirs = [t for engine, t in times.items() if engine != "ait" and t is not None]
    if ours is not None:
        if theirs:
            parts.append(f"{min(theirs) / ours:.2f}x the fastest PyTorch")
        parts.append(f"bar {case.must} ms {'met' if ours <= case.must else 'MISSED'}")
    by_engine = {row["engine"]: row for row in rows if row.get("max_error") is not None}
    own, eager = by_engine.get("ait"), by_engine.get("torch-eager")
    if own and eager and eager["max_error"]:
        ratio = own["max_error"] / eager["max_error"]
        met = "met" if is_exact(own, eager) else "MISSED"
        parts.append(f"error {ratio:.2f}x, bar {WORST_RATIO:g}x {met}")
    return f"{case.name:18} " + ", ".join(parts)


def merge(parts: Sequence[Path], output: Path) -> None:
    """Writes one file of several that processes wrote, and prints a line for each case.

    Exits with a message if they do not belong together.
    """
    try:
        results = merged(parts)
    except ValueError as error:
        raise SystemExit(f"compare.py --merge: {error}") from error
    places = {case.name: place for place, case in enumerate(CASES)}
    all_rows: list[dict[str, Any]] = results["rows"]
    all_rows.sort(key=lambda row: places.get(row["case"], len(places)))
    for case in CASES:
        rows = [row for row in all_rows if row["case"] == case.name]
        print(summarize(case, rows) if rows else f"{case.name:18} no rows")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=2) + "\n")
    print(f"wrote {output}")


def main() -> None:
    """Measures and writes the results."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description="time models by ait and by PyTorch on a GPU")
    parser.add_argument("--case", action="append", choices=names, help="(default: all)")
    parser.add_argument(
        "--engine", action="append", choices=ENGINES,
        help=f"(default: {', '.join(DEFAULT_ENGINES)})",
    )  # fmt: skip
    parser.add_argument("--target", default="cuda:sm_90a")
    parser.add_argument("--tune", type=int, default=1, metavar="LEVEL", help="as of ait compile")
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--build", type=Path, metavar="FOLDER", help="compile libraries and stop")
    step.add_argument("--libraries", type=Path, metavar="FOLDER", help="measure such libraries")
    step.add_argument(
        "--merge", type=Path, nargs="+", metavar="PART", help="make one file of such results"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each timing (default: 1)")
    parser.add_argument("--output", type=Path, default=RESULTS / "compare.json")
    options = parser.parse_args()
    if options.merge is not None:
        merge(options.merge, options.output)
        return
    cases = [case for case in CASES if not options.case or case.name in options.case]
    if options.build is not None:
        how = CompileOptions(weights="file", tune=options.tune)
        for case in cases:
            seconds = build(case, options.target, options.build, how)
            print(f"{case.name:18} compiled in {seconds:.1f} s", flush=True)
        return
    rows: list[dict[str, Any]] = []
    for case in cases:
        found = list(measure(case, options.engine or DEFAULT_ENGINES, options))
        rows += found
        print(summarize(case, found), flush=True)
        for row in found:
            print("   ", json.dumps(row), flush=True)
        write_results(options.output, rows, facts_of(options.libraries))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
