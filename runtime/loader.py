"""Loads a compiled model and runs it on NumPy, PyTorch and DLPack arrays.

Needs NumPy and the library only: neither the compiler nor xDSL has to be installed.

    with load("model.so") as model:
        y = model(x)
        context = model.context(num_threads=4)          # one a thread to run several at once
        outputs = context.run({"ids": ids, "mask": mask})
"""

import ctypes
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ait.errors import AitError, InputError
from ait.runtime import abi, arrays
from ait.runtime.abi import Library
from ait.runtime.arrays import Borrowed
from ait.runtime.benchmark import BenchmarkResult, measure
from ait.runtime.description import (
    Dim,
    Port,
    Symbol,
    Weight,
    read_ports,
    read_symbols,
    read_weights,
)
from ait.runtime.inspect import read_metadata

Inputs = Mapping[str, Any] | Sequence[Any]
Shapes = Mapping[str, Sequence[int]] | Sequence[Sequence[int]]


def load(
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    ignore_unexpected_weights: bool = False,
    device_index: int | None = None,
) -> "CompiledModel":
    """Loads a model that `ait compile` wrote.

    Args:
        path: the library.
        weights: a safetensors file to use instead of the embedded weights. It is memory-mapped and
            must not be changed while the model is in use.
        ignore_unexpected_weights: whether weights files may hold tensors that are not the model's.
        device_index: the GPU to run on; the current one if not given.

    Raises:
        AitError: the file is no compiled model, or cannot be loaded on this machine.
        WeightError: the weights are missing or do not fit; all problems are listed.
    """
    return CompiledModel(
        path,
        weights,
        ignore_unexpected_weights=ignore_unexpected_weights,
        device_index=device_index,
    )


class _Closable:
    """What a `with` statement closes at its end."""

    def close(self) -> None:
        """Frees what is owned now."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """The object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()


class CompiledModel(_Closable):
    """A compiled model with its weights.

    Attributes:
        path: the library's file.
        metadata: everything the model says of itself.
        inputs, outputs: what it takes and gives, in order.
        symbols: its dynamic sizes.
        weights: its weights.
        device: "cpu", "cuda" or "hip".
        device_number: the GPU in the C interface's counting, 0 for the current one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        *,
        ignore_unexpected_weights: bool = False,
        device_index: int | None = None,
    ) -> None:
        """See `load`."""
        self.path = Path(path)
        # Loading a library executes its code: make sure that it is one of ours first.
        self.metadata = read_metadata(self.path)
        library = Library(self.path)
        self.device = library.device
        self.inputs = read_ports(library, "input")
        self.outputs = read_ports(library, "output")
        self.symbols = read_symbols(library)
        self.weights = read_weights(library)
        self.device_number = 0 if device_index is None else device_index + 1
        options = abi.ModelOptions(
            weights_path=None if weights is None else os.fsencode(weights),
            flags=abi.IGNORE_UNEXPECTED_WEIGHTS if ignore_unexpected_weights else 0,
            device_index=self.device_number,
        )
        handle = library.create("ait_model_create", ctypes.byref(options))
        self._handle = _Handle(
            self, library, handle, "ait_model_destroy", f"{self.path}: the model"
        )
        self._default_context: Context | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the model on inputs given by position or by name.

        Returns:
            The output, or a tuple of them if the model has several. They are PyTorch tensors if an
            input is one, else NumPy arrays.

        Raises:
            InputError: the inputs do not fit; all problems are listed.
        """
        names = [port.name for port in self.inputs]
        if len(args) > len(names):
            raise InputError(f"{len(args)} inputs given, the model has {len(names)}")
        inputs: dict[str, Any] = dict(zip(names, args, strict=False))
        twice = sorted(inputs.keys() & kwargs.keys())
        if twice:
            raise InputError(f"input '{twice[0]}' is given twice")
        results = tuple(self.run(inputs | kwargs).values())
        return results[0] if len(results) == 1 else results

    def run(self, inputs: Inputs, outputs: Inputs | None = None) -> dict[str, Any]:
        """Runs the model in a context of its own; see `Context.run`."""
        if self._default_context is None:
            self._default_context = self.context()
        return self._default_context.run(inputs, outputs)

    def benchmark(
        self, inputs: Inputs, *, repetitions: int = 100, warmup: int = 10
    ) -> BenchmarkResult:
        """Times whole runs, waiting for each; see `Context.benchmark`."""
        if self._default_context is None:
            self._default_context = self.context()
        return self._default_context.benchmark(inputs, repetitions=repetitions, warmup=warmup)

    def context(
        self,
        *,
        num_threads: int = 0,
        workspace: Any = None,
        stream: int | None = None,
        graphs: bool = True,
        named_ranges: bool = False,
    ) -> "Context":
        """A new context: contexts run at the same time as each other, from the same weights.

        Args:
            num_threads: threads of a run on the CPU; 0 takes one a core.
            workspace: memory for intermediate values, as an array of any type; the context
                allocates and grows its own if not given.
            stream: the address of a CUDA or HIP stream; one of the context's own if not given.
            graphs: whether a GPU replays the runs of a shape as a graph that is captured once, or
                launches kernel by kernel each time.
            named_ranges: launch kernel by kernel, within NVTX ranges that carry the names of the
                layers, for Nsight and its like.
        """
        flags = 0 if graphs else abi.CONTEXT_NO_GRAPHS
        flags |= abi.CONTEXT_NAMED_RANGES if named_ranges else 0
        return Context(
            self, num_threads=num_threads, workspace=workspace, stream=stream, flags=flags
        )

    def set_weight(self, name: str, value: Any) -> None:
        """Replaces one weight; see `set_weights`."""
        self.set_weights({name: value})

    def set_weights(self, weights: Mapping[str, Any] | str | os.PathLike[str]) -> None:
        """Replaces weights by name, or all of them from a safetensors file.

        Folded constants are computed anew before this returns. Runs that are under way finish with
        the old weights, later ones see all of the new ones. On an error all old weights stay.

        Raises:
            WeightError: some do not fit; all problems are listed.
        """
        library, handle = self._handle.get()
        if not isinstance(weights, Mapping):
            library.call("ait_model_set_weights_file", handle, os.fsencode(weights))
            return
        borrowed = [arrays.borrow(value, f"weight '{name}'") for name, value in weights.items()]
        names = (ctypes.c_char_p * len(weights))(*(name.encode() for name in weights))
        structs = arrays.tensor_structs(borrowed)
        library.call("ait_model_set_weights", handle, names, structs, len(borrowed))

    def close(self) -> None:
        """Frees the model now. Contexts made of it keep working; close them too to unload it."""
        if self._default_context is not None:
            self._default_context.close()
            self._default_context = None
        self._handle.close()

    def new_context_handle(self, options: abi.ContextOptions) -> tuple[Library, int]:
        """The library and the handle of a new C context; for `Context`."""
        library, handle = self._handle.get()
        return library, library.create("ait_context_create", handle, ctypes.byref(options))


class Context(_Closable):
    """Threads, stream and workspace to run a model with.

    One context runs one call at a time; calls from several threads wait for each other.
    """

    def __init__(
        self,
        model: CompiledModel,
        *,
        num_threads: int,
        workspace: Any,
        stream: int | None,
        flags: int,
    ) -> None:
        """See `CompiledModel.context`."""
        self._inputs = model.inputs
        self._outputs = model.outputs
        self._steps: list[Any] = model.metadata.get("steps", [])
        self._device = model.device
        self._device_number = model.device_number
        memory = self._workspace_memory(workspace)
        options = abi.ContextOptions(
            num_threads=num_threads,
            flags=flags,
            workspace=memory and memory.pointer,
            workspace_bytes=memory.bytes if memory else 0,
            stream=stream,
        )
        library, handle = model.new_context_handle(options)
        name = f"{model.path}: the context"
        self._handle = _Handle(self, library, handle, "ait_context_destroy", name)
        self._workspace = memory
        self._staging: dict[str, _DeviceBuffer] = {}

    def run(self, inputs: Inputs, outputs: Inputs | None = None) -> dict[str, Any]:
        """Runs the model and waits for it.

        Args:
            inputs: arrays by name, or in order. Contiguous ones are not copied.
            outputs: arrays to write to, by name or in order; new ones if not given.

        Returns:
            The outputs by name: those given, or new ones of the kind of the inputs (PyTorch tensors
            if one of them is, else NumPy arrays).

        Raises:
            InputError: inputs or outputs do not fit; all problems are listed, nothing is written.
        """
        borrowed = self._borrow_inputs(inputs)
        if outputs is None:
            like = next((array.owner for array in borrowed if arrays.is_torch(array.owner)), None)
            results = self._new_outputs(borrowed, like)
        else:
            results = _in_order(outputs, self._outputs, "output")
        written = [
            arrays.borrow_output(value, f"output '{port.name}'")
            for port, value in zip(self._outputs, results, strict=True)
        ]
        self._run(borrowed, written)
        return {port.name: value for port, value in zip(self._outputs, results, strict=True)}

    def bind(self, inputs: Inputs, outputs: Inputs) -> "BoundRun":
        """A run of these arrays that can be repeated with little work on the host: each time it
        reads what is in the inputs then. They must lie on the model's device.

        Raises:
            InputError: inputs or outputs do not fit, or lie elsewhere.
        """
        borrowed = self._borrow_inputs(inputs)
        results = _in_order(outputs, self._outputs, "output")
        written = [
            arrays.borrow_output(value, f"output '{port.name}'")
            for port, value in zip(self._outputs, results, strict=True)
        ]
        ports = (*self._inputs, *self._outputs)
        for port, array in zip(ports, (*borrowed, *written), strict=True):
            if array.device != self._device:
                place = f"is on {array.device}, but the model runs on {self._device}"
                raise InputError(f"'{port.name}' {place}")
        return BoundRun(self, borrowed, written)

    def benchmark(
        self, inputs: Inputs, *, repetitions: int = 100, warmup: int = 10
    ) -> BenchmarkResult:
        """Times runs from call to completion, with inputs and outputs already on the device."""
        ins, outs = self._placed(inputs)
        library, handle = self._handle.get()

        def run_once() -> None:
            library.call("ait_context_run", handle, ins, len(ins), outs, len(outs))
            library.call("ait_context_synchronize", handle)

        return measure(run_once, repetitions=repetitions, warmup=warmup)

    def profile(self, inputs: Inputs, *, repetitions: int = 20) -> tuple[float, ...]:
        """The median seconds of each step (a call of a kernel), in the order of the metadata's
        "steps". They are timed one after the other, with inputs and outputs on the device."""
        ins, outs = self._placed(inputs)
        library, handle = self._handle.get()
        count = len(self._steps)
        seconds = (ctypes.c_double * max(1, count))()
        tensors = (ins, len(ins), outs, len(outs))
        library.call("ait_context_profile", handle, *tensors, repetitions, seconds, count)
        return tuple(seconds[:count])

    def output_shapes(self, shapes: Shapes) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs, by name, for inputs of these shapes (by name or in order)."""
        inputs = self._borrow_shapes(shapes)
        return {
            port.name: shape
            for port, shape in zip(self._outputs, self._output_shapes(inputs), strict=True)
        }

    def workspace_size(self, shapes: Shapes) -> int:
        """Bytes of workspace that inputs of these shapes (by name or in order) need."""
        library, handle = self._handle.get()
        structs = arrays.tensor_structs(self._borrow_shapes(shapes))
        size = ctypes.c_size_t()
        library.call(
            "ait_context_workspace_size", handle, structs, len(structs), ctypes.byref(size)
        )
        return size.value

    def set_workspace(self, workspace: Any) -> None:
        """Gives the context other memory to work in; None returns to its own."""
        library, handle = self._handle.get()
        memory = self._workspace_memory(workspace)
        address, size = (memory.pointer, memory.bytes) if memory else (None, 0)
        library.call("ait_context_set_workspace", handle, address, size)
        self._workspace = memory

    def synchronize(self) -> None:
        """Waits for all work of the context."""
        library, handle = self._handle.get()
        library.call("ait_context_synchronize", handle)

    def close(self) -> None:
        """Frees the context now."""
        for buffer in self._staging.values():
            buffer.close()
        self._staging.clear()
        self._handle.close()

    def _borrow_inputs(self, inputs: Inputs) -> list[Borrowed]:
        values = _in_order(inputs, self._inputs, "input")
        return [
            arrays.borrow(value, f"input '{port.name}'", port.alignment)
            for port, value in zip(self._inputs, values, strict=True)
        ]

    def _borrow_shapes(self, shapes: Shapes) -> list[Borrowed]:
        values = _in_order(shapes, self._inputs, "shape of input")
        return [
            Borrowed(None, 0, port.dtype, tuple(value))
            for port, value in zip(self._inputs, values, strict=True)
        ]

    def _output_shapes(self, inputs: list[Borrowed]) -> list[tuple[int, ...]]:
        library, handle = self._handle.get()
        structs = arrays.tensor_structs(inputs)
        count = len(self._outputs)
        shapes: Any = (abi.ShapeStruct * count)(*(abi.ShapeStruct() for _ in range(count)))
        library.call("ait_context_output_shapes", handle, structs, len(structs), shapes, count)
        return [tuple(shape.dims[: shape.rank]) for shape in shapes]

    def _new_outputs(self, inputs: list[Borrowed], like: Any) -> list[Any]:
        """New arrays: PyTorch tensors beside the tensor `like`, NumPy arrays if it is None."""
        shapes = zip(self._outputs, self._output_shapes(inputs), strict=True)
        if like is not None:
            return [arrays.torch_empty(shape, port.dtype, like) for port, shape in shapes]
        return [arrays.empty(shape, port.dtype, port.alignment) for port, shape in shapes]

    def enqueue(self, inputs: Any, outputs: Any) -> None:
        """The C call with its structs; for `BoundRun`."""
        library, handle = self._handle.get()
        library.call("ait_context_run", handle, inputs, len(inputs), outputs, len(outputs))

    def _placed(self, inputs: Inputs) -> tuple[Any, Any]:
        """Inputs and new outputs on the device, after a run that validates, allocates and copies:
        what a C call needs to repeat it."""
        borrowed = self._borrow_inputs(inputs)
        results = self._new_outputs(borrowed, None)
        written = [arrays.borrow_output(value, "output") for value in results]
        self._run(borrowed, written)
        ins = arrays.tensor_structs([self._on_device(a, "in", i) for i, a in enumerate(borrowed)])
        outs = arrays.tensor_structs([self._on_device(a, "out", i) for i, a in enumerate(written)])
        return ins, outs

    def _run(self, inputs: list[Borrowed], outputs: list[Borrowed]) -> None:
        library, handle = self._handle.get()
        on_device = [self._on_device(array, "in", i) for i, array in enumerate(inputs)]
        written = [self._on_device(array, "out", i) for i, array in enumerate(outputs)]
        for host, device in zip(inputs, on_device, strict=True):
            if device is not host:
                library.call("ait_device_copy_from_host", device.pointer, host.pointer, host.bytes)
        # The context's stream is ordered after the default stream, but after no other.
        if any(array.pending for array in (*on_device, *written)):
            library.call("ait_device_synchronize", self._device_number)
        ins, outs = arrays.tensor_structs(on_device), arrays.tensor_structs(written)
        library.call("ait_context_run", handle, ins, len(ins), outs, len(outs))
        library.call("ait_context_synchronize", handle)
        for host, device in zip(outputs, written, strict=True):
            if device is not host:
                library.call("ait_device_copy_to_host", host.pointer, device.pointer, host.bytes)

    def _workspace_memory(self, workspace: Any) -> Borrowed | None:
        if workspace is None:
            return None
        memory = arrays.borrow_memory(workspace, "the workspace")
        if memory.device != self._device:
            raise InputError(f"the workspace is on {memory.device}, expected {self._device}")
        return memory

    def _on_device(self, array: Borrowed, direction: str, index: int) -> Borrowed:
        """The array itself if the model can use it, else memory of its size on the device."""
        if array.device != "cpu" or self._device == "cpu":
            return array
        key = f"{direction}{index}"
        buffer = self._staging.get(key)
        if buffer is None or buffer.size < array.bytes:
            library, _ = self._handle.get()
            buffer = self._staging[key] = _DeviceBuffer(library, self._device_number, array.bytes)
        return Borrowed(buffer, buffer.address, array.dtype, array.shape, self._device)


class BoundRun:
    """A context's run with arrays of its own; see `Context.bind`."""

    def __init__(self, context: Context, inputs: list[Borrowed], outputs: list[Borrowed]) -> None:
        """See `Context.bind`."""
        self._context = context
        self._ins = arrays.tensor_structs(inputs)
        self._outs = arrays.tensor_structs(outputs)

    def enqueue(self) -> None:
        """Runs the model, on a GPU without waiting: the work is on the context's stream, after
        what was put there before. Errors of the data are raised by `Context.synchronize`."""
        self._context.enqueue(self._ins, self._outs)


class _Handle:
    """Owns a C object; frees it on `close` or with its Python owner, whichever is first."""

    def __init__(self, owner: Any, library: Library, handle: int, destroy: str, name: str) -> None:
        self._library = library
        self._handle = handle
        self._name = name
        self._finalizer = weakref.finalize(owner, library.release, destroy, handle)

    def get(self) -> tuple[Library, int]:
        if not self._finalizer.alive:
            raise AitError(f"{self._name} is closed")
        return self._library, self._handle

    def close(self) -> None:
        self._finalizer()


class _DeviceBuffer:
    """Device memory that host arrays pass through."""

    def __init__(self, library: Library, device_number: int, size: int) -> None:
        self.size = size
        self.address = library.create("ait_device_allocate", device_number, size)
        self._finalizer = weakref.finalize(self, library.release, "ait_device_free", self.address)

    def close(self) -> None:
        self._finalizer()


def _in_order(
    values: Mapping[str, Any] | Sequence[Any], ports: Sequence[Port], kind: str
) -> list[Any]:
    """Values given by name or by position, in the order of the ports."""
    names = [port.name for port in ports]
    if isinstance(values, Mapping):
        missing = [name for name in names if name not in values]
        unknown = [name for name in values if name not in names]
        if missing or unknown:
            problems = [f"{kind} '{name}' is missing" for name in missing]
            problems += [f"there is no {kind} '{name}'" for name in unknown]
            raise InputError(f"{'; '.join(problems)} (expected: {', '.join(names)})")
        return [values[name] for name in names]
    # An array has a length too; taking its rows for inputs would be a bad surprise.
    if not isinstance(values, list | tuple):
        raise InputError(f"{kind}s must be a mapping by name, a list or a tuple")
    if len(values) != len(names):
        raise InputError(f"{len(values)} {kind}s given, expected {len(names)} ({', '.join(names)})")
    return list(values)


__all__ = [
    "BenchmarkResult",
    "CompiledModel",
    "Context",
    "Dim",
    "Port",
    "Symbol",
    "Weight",
    "load",
]
