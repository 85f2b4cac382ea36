"""Kernels to test: IR text, inputs, the interpreter's answer, and sources that can be called."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.memref import GetGlobalOp
from xdsl.ir import Attribute, BlockArgument
from xdsl.parser import Parser
from xdsl.rewriter import InsertPoint, Rewriter

from ait.codegen.cuda.configs import Cuda
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.dialect import Plain
from ait.codegen.kernel_view import KernelView
from ait.codegen.target import Target, code_target
from ait.dialects.kernel import KernelOp
from ait.dialects.symbolic import dims_of, element_of, evaluate
from ait.ir.context import make_context
from ait.ir.dtypes import dtype_of
from ait.ir.interpreter import evaluate as interpret
from ait.ir.program import Program, inputs_of

Array = NDArray[Any]
_Config = TypeVar("_Config", bound=Attribute)

ROOT = Path(__file__).parents[3]
EMULATION = Path(__file__).parent / "emulation"
HEADERS = [ROOT / "codegen/cuda/include", ROOT / "codegen/gpu/include", ROOT / "runtime/include"]
# What a compiler of the host needs to run kernels of Hopper.
EMULATED = ["-DAIT_CUDA_DEPENDENT_LAUNCH", *(f"-I{path}" for path in (EMULATION, *HEADERS))]
TARGET = make_target("cuda:sm_90a")

# A kernel as a C function: 0, or an error and its message.
WRAPPER = """
#include <cstdio>
#include <cstring>
ait::Status kernel(const ait::Launch&, void* const*, const int64_t*);
extern "C" __attribute__((visibility("default"))) int call(
    void* stream, void* const* pointers, const int64_t* extents, int backwards, int last_first,
    char* message) {
  // The same variable in all libraries of a process: each call says what it wants.
  emulation::last_first = last_first != 0;
  ait::DeviceReport report{};
  const ait::Launch launch{nullptr, stream, &report, backwards != 0};
  const ait::Status status = kernel(launch, pointers, extents);
  std::strcpy(message, status.message());
  if (status.is_ok() && report.is_raised) {
    std::sprintf(message, "index %lld at %lld of %lld", static_cast<long long>(report.index),
                 static_cast<long long>(report.position), static_cast<long long>(report.extent));
    return -1;
  }
  return status.code();
}
"""


@dataclass
class Case:
    """One kernel op: operands (name -> type, the last ones are destinations) and its text.

    `op` is the op without its result. `dims`: values of symbols. `config`: text of a config, or the
    first candidate of the class of that name, or the first of all. `ranges`: [low, high) of random
    integers, or of eighths of those. `special`: values at flat positions. `error`: what the kernel
    reports, if it does. `target`: whose kernel it is. `constants`: operands that are weights, which
    no kernel writes.
    """

    name: str
    operands: Mapping[str, str]
    op: str
    outs: Sequence[str] = ("o",)
    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    config: str = ""
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    special: Mapping[str, Mapping[int, float]] = field(
        default_factory=dict[str, Mapping[int, float]]
    )

    error: str = ""
    target: str = "cuda:sm_90a"
    constants: Sequence[str] = ()

    @property
    def text(self) -> str:
        types = self.operands
        arguments = ", ".join(f"%{name} : {type}" for name, type in types.items())
        results = ", ".join(types[out] for out in self.outs)
        names = [f"%r{i}" for i in range(len(self.outs))]
        return (
            f"func.func @main({arguments}) -> ({results}) {{\n"
            f"{', '.join(names)} = {self.op}\n"
            f"func.return {', '.join(names)} : {results}\n}}"
        )

    def program(self) -> Program:
        module = Parser(make_context(), self.text).parse_module()
        module.verify()
        return Program(module)

    def kernel(self) -> KernelOp:
        (found,) = (op for op in self.program().module.walk() if isinstance(op, KernelOp))
        self._make_constants(found)
        found.properties["config"] = self._pick(self.code_target().candidates(found))
        return found

    def _make_constants(self, op: KernelOp) -> None:
        names = list(self.operands)
        for i, operand in enumerate(op.operands):
            if isinstance(operand, BlockArgument) and names[operand.index] in self.constants:
                weight = GetGlobalOp(names[operand.index], operand.type)  # pyright: ignore
                Rewriter.insert_op(weight, InsertPoint.before(op))
                op.operands[i] = weight.memref

    def _pick(self, candidates: Sequence[Attribute]) -> Attribute:
        if self.config.startswith("#"):
            return parse_config(self.config, Attribute)
        return next(c for c in candidates if type(c).__name__ == (self.config or type(c).__name__))

    def view(self) -> KernelView:
        return KernelView(self.kernel())

    def code_target(self) -> Target:
        return code_target(self.target)

    def source_name(self) -> str:
        """A name for the source; its end says which compiler takes it."""
        return f"{self.name}{self.code_target().kernel_suffix(self.view().config)}"

    def source(self) -> str:
        return self.code_target().render(self.view(), "kernel")

    def inputs(self, seed: int = 0) -> dict[str, Array]:
        """Random operands by name: of seed 0 eighths of small integers, whose sums of products have
        few bits; of other seeds any numbers of such sizes, unless the case has ranges for them or
        the kernel rounds them. What is to be written is NaN, or random integers."""
        generator = np.random.default_rng(seed)
        values: dict[str, Array] = {}
        for name, port in zip(self.operands, inputs_of(self.program().main), strict=True):
            shape = [evaluate(dim, self.dims) for dim in dims_of(port.type)]  # pyright: ignore
            dtype = dtype_of(element_of(port.type)).numpy  # pyright: ignore
            if dtype == np.bool_:
                values[name] = generator.integers(0, 2, shape).astype(dtype)
            else:
                low, high = self.ranges.get(name, (-8, 9))
                scale = 8 if dtype.kind not in "iu" else 1
                drawn = generator.integers(low, high, shape) / scale
                if seed and name not in self.ranges and self._may_be_any(dtype):
                    drawn += generator.uniform(-1 / 16, 1 / 16, shape)
                values[name] = np.array(drawn, dtype)
            if name in self.outs and dtype.kind not in "iub":
                values[name].fill(np.nan)
            for position, value in self.special.get(name, {}).items():
                values[name].reshape(-1)[position] = value
        return values

    def _may_be_any(self, dtype: np.dtype[Any]) -> bool:
        """Whether operands of a type may have all the bits that it has: sums of products of 8 bits
        have too few on tensor cores, and f32 may become TF32."""
        if dtype.kind in "iu" or dtype.itemsize == 1:
            return False
        becomes_tf32 = self.target.endswith("+tf32") or re.search(r"= tf32\b", self.config)
        return dtype.itemsize == 2 or not becomes_tf32

    def expected(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The destinations after the kernel, by the reference interpreter."""
        copies = [np.array(value) for value in inputs.values()]
        return list(interpret(self.program(), copies).values())

    def extents(self) -> list[int]:
        return [evaluate(extent.dim, self.dims) for extent in self.view().extents]


def of_weights(case: Case, *names: str) -> Case:
    """The case with operands that are known to be weights, which may be read early: `names`, or the
    weights and biases (w, v, b) that it has."""
    case.constants = names or [name for name in ("w", "v", "b") if name in case.operands]
    return case


def parse_config(text: str, kind: type[_Config]) -> _Config:
    """A config of that kind. Raises ParseError or VerifyException as users see them."""
    context = make_context()
    for dialect in (Cuda, Plain):
        context.load_dialect(dialect)
    config = Parser(context, text).parse_attribute()
    assert isinstance(config, kind)
    return config


def on_host(case: Case, folder: Path) -> ctypes.CDLL:
    """The generated kernel for `call`."""
    source, library = folder / "kernel.cpp", folder / "kernel.so"
    source.write_text(case.source() + WRAPPER)
    command = ["g++", "-std=c++17", "-O0", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-shared"]
    command += ["-fPIC", "-fsanitize=alignment,bounds,shift", "-fno-sanitize-recover=all"]
    command += EMULATED
    done = subprocess.run(
        [*command, str(source), "-o", str(library)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def emulated(case: Case, folder: Path, seed: int = 0) -> list[Array]:
    """The destinations after the generated kernel ran on the host, with its first rows first and
    with its last ones: no block may write what belongs to another. A kernel that does not go
    backwards by itself is made to by the order of its blocks."""
    library, turns = on_host(case, folder), case.code_target().goes_backwards(case.kernel())
    forwards, backwards = case.inputs(seed), case.inputs(seed)
    call(library, forwards, case.extents())
    call(library, backwards, case.extents(), backwards=True, last_first=not turns)
    for name in case.outs:
        assert forwards[name].tobytes() == backwards[name].tobytes(), "the direction tells"
    return [forwards[name] for name in case.outs]


def call(
    library: ctypes.CDLL,
    operands: Mapping[str, Array],
    extents: Sequence[int],
    backwards: bool = False,
    last_first: bool = False,
) -> None:
    """Runs the wrapped kernel on host arrays, which it changes. `last_first`: its last blocks run
    first, whatever they do."""
    aligned = {name: _aligned(value) for name, value in operands.items()}
    pointers = (ctypes.c_void_p * len(aligned))(*(a.ctypes.data for a in aligned.values()))
    numbers = (ctypes.c_int64 * max(1, len(extents)))(*extents)
    message = ctypes.create_string_buffer(1000)
    code = library.call(None, pointers, numbers, int(backwards), int(last_first), message)
    assert code == 0, message.value.decode()
    for name, value in aligned.items():
        operands[name][...] = value


def _aligned(value: Array) -> Array:
    """A copy at a multiple of 64 bytes, as the runtime gives."""
    memory = np.empty(value.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + value.nbytes].view(value.dtype).reshape(value.shape)
    copy[...] = value
    return copy


def assert_close(actual: Array, expected: Array) -> None:
    """Equal up to the rounding of the storage type and of sums in another order."""
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    if expected.dtype.kind in "iub":
        np.testing.assert_array_equal(actual, expected)
        return
    epsilon = {1: 2.0**-4, 2: 2.0**-7 if expected.dtype != np.float16 else 2.0**-10, 4: 1e-5}
    tolerance = 2 * epsilon[expected.dtype.itemsize]
    np.testing.assert_allclose(
        actual.astype(np.float32), expected.astype(np.float32), rtol=tolerance, atol=tolerance
    )
