"""Kernels whose operands have more than 2^31 elements, on a GPU.

    python -m tests.gpu.large [NAME...] [--jobs N]    (needs nvcc, PyTorch, and 30 GB on the GPU)

No interpreter is asked: a result is right if its parts, at both ends and around element 2^31, are
what the same kernel makes of those parts of its operands, which the other tests have checked. Each
case runs the first candidate of every family, in a process of its own. Prints a line a kernel and
exits 1 if one is wrong.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ait.codegen.cuda.configs import GemmAttr
from ait.dialects.symbolic import dims_of, element_of
from ait.ir.dtypes import dtype_of
from ait.ir.program import inputs_of
from tests.compile.cuda.attention_cases import Heads, attention
from tests.compile.cuda.cases import gated, linear
from tests.compile.cuda.conv_cases import Conv, conv
from tests.compile.cuda.kernels import Case
from tests.compile.cuda.row_cases import gather, layer_norm, pool, reduce, resize, rowwise
from tests.compile.cuda.whole_row_cases import back_to_back, linear_norm
from tests.gpu.build_kernels import compile_case

_LIMIT = 1 << 31
_TOLERANCE = 2e-3
"""Of f16, where a kernel of a smaller problem adds in another order."""
_ENTRIES = 1000
_CALL = """
#include <cstdio>
#include <cstring>
extern "C" __attribute__((visibility("default"))) int call(void* const* pointers, char* message) {
  ait::DeviceReport* report = nullptr;
  if (cudaHostAlloc(reinterpret_cast<void**>(&report), sizeof(*report), cudaHostAllocMapped) !=
      cudaSuccess) {
    return 1;
  }
  std::memset(static_cast<void*>(report), 0, sizeof(*report));
  const int64_t extents[1] = {};
  const ait::Status status = kernel(ait::Launch{nullptr, nullptr, report}, pointers, extents);
  const cudaError_t error = cudaDeviceSynchronize();
  const char* problem = !status.is_ok()        ? status.message()
                        : error != cudaSuccess ? cudaGetErrorString(error)
                        : report->is_raised    ? "an index is out of range"
                                               : "";
  std::snprintf(message, 1000, "%s", problem);
  return *problem != 0;
}
"""


def _rows(name: str, kind: str, columns: int) -> Callable[[int], Case]:
    return lambda n: rowwise(name, kind, f"tensor<{n}x{columns}xf16>")


def _transpose(n: int) -> Case:
    """Of n matrices whose rows begin anywhere."""
    x, o = f"tensor<{n}x211x101xf16>", f"tensor<{n}x101x211xf16>"
    turned = f"<offset 0, sizes [{n}, 101, 211], strides [21311, 1, 101]>"
    return Case("transpose", {"x": x, "o": o}, f"kernel.copy ins(%x {turned} : {x}) outs(%o : {o})")


def _across(n: int) -> str:
    """The access of rows that lie across memory, in each of n planes."""
    return f"<offset 0, sizes [{n}, 200, 100], strides [20000, 1, 200]>"


@dataclass(frozen=True)
class Large:
    """A kernel of `many` independent problems, and how many of them a part has."""

    make: Callable[[int], Case]
    many: int
    few: int


CASES: Mapping[str, Large] = {
    "softmax": Large(_rows("softmax", "softmax", 1000), 2_200_000, 64),
    "softmax_long": Large(_rows("softmax_long", "softmax", 70_000), 31_000, 4),
    "layer_norm": Large(lambda n: layer_norm(n, 1024), 2_100_000, 64),
    "softmax_across": Large(
        lambda n: rowwise(
            "softmax_across",
            "softmax",
            f"tensor<{n}x100x200xf16>",
            maps=(_across(n), _across(n)),
        ),
        108_000,
        4,
    ),
    "reduce": Large(
        lambda n: reduce("reduce", "sum", f"tensor<{n}x1000xf16>", f"tensor<{n}xf16>"),
        2_200_000,
        64,
    ),
    "reduce_across": Large(
        lambda n: reduce(
            "reduce_across", "max", f"tensor<{n}x100x200xf16>", f"tensor<{n}x200xf16>", _across(n)
        ),
        108_000,
        4,
    ),
    "transpose": Large(_transpose, 101_000, 4),
    "gather": Large(
        lambda n: gather(
            "gather",
            f"tensor<{_ENTRIES}x1000xf16>",
            f"tensor<{n}xi64>",
            f"tensor<{n}x1000xf16>",
        ),
        2_200_000,
        64,
    ),
    "pool": Large(lambda n: pool("pool", "max", (n, 512, 512, 64), (256, 256)), 130, 2),
    "resize": Large(
        lambda n: resize("resize", "bilinear", "half_pixel", (n, 256, 256, 64), (512, 512)), 130, 2
    ),
    "linear_wide": Large(lambda n: linear(n, 4096, 64), 540_000, 300),
    "linear_deep": Large(lambda n: linear(n, 64, 1024), 2_150_000, 300),
    "linear_f32": Large(lambda n: linear(n, 1024, 64, "f32"), 2_150_000, 300),
    "linear_few": Large(lambda n: linear(n, 2, 1000), 2_200_000, 64),
    "gated": Large(lambda n: gated(n, 4096, 64, ""), 540_000, 300),
    "linear_norm": Large(lambda n: linear_norm(n, 512, 64), 4_250_000, 300),
    "back_to_back": Large(lambda n: back_to_back(n, 256, 128, 256, "", "both"), 8_500_000, 300),
    "conv": Large(lambda n: conv("conv", Conv(n, 512, 512, 64, 64), block=True), 130, 2),
    "conv_deep": Large(lambda n: conv("deep", Conv(n, 256, 256, 256, 64), block=True), 130, 2),
    "conv_stride": Large(
        lambda n: conv("stride", Conv(n, 512, 512, 64, 64, strides=(2, 2))), 130, 2
    ),
    "conv_f32": Large(lambda n: conv("conv_f32", Conv(n, 512, 512, 32, 8), "f32"), 260, 2),
    "stem": Large(
        lambda n: conv("stem", Conv(n, 512, 512, 3, 64, (7, 7), (2, 2), (3, 3, 3, 3))), 780, 2
    ),
    "depthwise": Large(lambda n: conv("depthwise", Conv(n, 512, 512, 64, 64, groups=64)), 130, 2),
    "attention": Large(lambda n: attention("queries", Heads(n, 16, 1024, 128, 64)), 2060, 2),
    "attention_keys": Large(lambda n: attention("keys", Heads(n, 16, 64, 1024, 64)), 2060, 2),
}


# Building ---------------------------------------------------------------------------------------


def configs_of(large: Large) -> Iterator[str]:
    """The first candidate of each family, but for those that take a minute to compile."""
    case = large.make(large.many)
    seen: set[type] = {GemmAttr}
    for config in case.code_target().candidates(case.kernel()):
        if type(config) not in seen:
            seen.add(type(config))
            yield str(config)


def build(folder: Path, name: str, config: str, index: int) -> dict[str, str]:
    """Compiles a kernel of all and of a part; returns where they are."""
    large, made = CASES[name], {"case": name, "config": config}
    for size, count in (("all", large.many), ("part", large.few)):
        case = large.make(count)
        case.name, case.config = f"{name}_{index}_{size}", config
        made[size] = str(compile_case(case, folder, _CALL))
    return made


# Running ----------------------------------------------------------------------------------------


def check(made: Mapping[str, str]) -> str:
    """What is wrong with a kernel, or an empty text."""
    torch = _torch()
    large = CASES[made["case"]]
    case, part = large.make(large.many), large.make(large.few)
    torch.manual_seed(1)
    tensors = {name: _tensor(torch, case, name) for name in case.operands}
    varies = {n for n in case.operands if _dims(case, n)[:1] != _dims(part, n)[:1]}
    if problem := _call(torch, made["all"], list(tensors.values())):
        return problem
    per_problem = max(t.numel() for t in tensors.values()) // large.many
    last = large.many - large.few
    for start in (0, min(last, _LIMIT // per_problem - large.few // 2), last):
        box = slice(start, start + large.few)
        own = {n: t[box].clone() if n in varies else t for n, t in tensors.items()}
        for out in case.outs:
            own[out].fill_(torch.nan)
        if problem := _call(torch, made["part"], list(own.values())):
            return f"part: {problem}"
        for out in case.outs:
            actual, expected = tensors[out][box].float(), own[out].float()
            if not torch.isfinite(expected).all():
                return "the part is not finite"
            if not torch.allclose(actual, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
                wrong = (actual - expected).abs() > _TOLERANCE
                return f"{int(wrong.sum())} of {wrong.numel()} wrong from problem {start} on"
    return ""


def _torch() -> Any:
    import torch

    return torch


def _dims(case: Case, name: str) -> tuple[int, ...]:
    dims = dims_of(_port(case, name).type)
    return tuple(dim for dim in dims if isinstance(dim, int))


def _port(case: Case, name: str) -> Any:
    ports = inputs_of(case.program().main)
    return dict(zip(case.operands, ports, strict=True))[name]


def _tensor(torch: Any, case: Case, name: str) -> Any:
    """Random numbers, indices of entries, or NaN where results will be."""
    dtype = getattr(torch, dtype_of(element_of(_port(case, name).type)).numpy.name)
    values = torch.empty(_dims(case, name), dtype=dtype, device="cuda")
    if not dtype.is_floating_point:
        return values.random_(0, _ENTRIES)
    return values.fill_(torch.nan) if name in case.outs else values.uniform_(-1, 1)


def _call(torch: Any, library: str, operands: Sequence[Any]) -> str:
    torch.cuda.synchronize()
    message = ctypes.create_string_buffer(1000)
    pointers = (ctypes.c_void_p * len(operands))(*(t.data_ptr() for t in operands))
    ctypes.CDLL(library).call(pointers, message)
    return message.value.decode()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="run kernels of more than 2^31 elements on a GPU")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at once")
    parser.add_argument("--check", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    if options.check is not None:
        problem = check(options.check)
        print(problem or "ok")
        return int(bool(problem))
    if unknown := [name for name in options.names if name not in CASES]:
        parser.error(f"no case is named {', '.join(unknown)}")
    wanted = options.names or list(CASES)
    failed = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        tasks = [(name, config) for name in wanted for config in configs_of(CASES[name])]
        builds = [pool.submit(build, Path(folder), *t, i) for i, t in enumerate(tasks)]
        for built in builds:
            made = built.result()
            command = [sys.executable, "-m", "tests.gpu.large", "--check", json.dumps(made)]
            done = subprocess.run(command, capture_output=True, text=True)
            failed += done.returncode != 0
            said = done.stdout.strip() or done.stderr[-500:]
            print(f"{made['case']:16} {said:8} {made['config']}", flush=True)
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
