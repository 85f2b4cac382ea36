"""GPU targets as far as they can be seen without one."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ait.codegen.cuda import toolchain as cuda
from ait.errors import AitError, InputError
from ait.runtime import arrays, sources
from ait.runtime.loader import load
from tests.unit.runtime.conftest import command, linked

HERE = Path(__file__).parent
HIP_HEADER = Path("/usr/include/hip/hip_runtime_api.h")

x = np.arange(12, dtype=np.float32).reshape(3, 4)
s = np.arange(6, dtype=np.float32)


def test_host_arrays_are_copied_to_the_device_and_back(fake_gpu, reference):
    with load(fake_gpu) as model:
        assert model.device == "cuda"
        for batch in (3, 1, 2, 3):  # the buffers between shrink and grow
            np.testing.assert_allclose(
                model(x[:batch], s[: 2 * batch]), reference(x[:batch], s[: 2 * batch])
            )
        model.benchmark([x, s], repetitions=3)


def test_device_arrays_are_used_in_place(fake_gpu, reference):
    with load(fake_gpu) as model:
        library, _ = model._handle.get()
        address = library.create("ait_device_allocate", 0, x.nbytes)
        library.call("ait_device_copy_from_host", address, x.ctypes.data, x.nbytes)
        np.testing.assert_allclose(model(OnDevice(address, x), s), reference(x, s))
        library.release("ait_device_free", address)


class OnDevice:
    def __init__(self, address, like):
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "typestr": like.dtype.str,
            "shape": like.shape,
            "strides": None,
            "version": 3,
        }


def test_host_workspace_and_weights(fake_gpu, reference):
    with load(fake_gpu) as model:
        zeros = np.zeros(4, np.float32)
        model.set_weight("b", zeros)  # prepare runs on the device
        np.testing.assert_allclose(model(x, s), reference(x, s, b=0))
        with pytest.raises(AitError, match="no device 7"):
            load(fake_gpu, device_index=7)


class DeviceArrays:
    """A model's inputs and outputs on the device, at addresses of its own."""

    def __init__(self, model, batch):
        self.library, _ = model._handle.get()
        self.x, self.s, self.y = (
            self._device(a) for a in (x[:batch], s[: 2 * batch], np.zeros_like(x[:batch]))
        )

    def _device(self, host):
        address = self.library.create("ait_device_allocate", 0, host.nbytes)
        self.library.call("ait_device_copy_from_host", address, host.ctypes.data, host.nbytes)
        return OnDevice(address, host)

    def result(self):
        host = np.zeros(self.y.__cuda_array_interface__["shape"], np.float32)
        address, _ = self.y.__cuda_array_interface__["data"]
        self.library.call("ait_device_copy_to_host", host.ctypes.data, address, host.nbytes)
        return host

    def run(self, context):
        context.run([self.x, self.s], [self.y])
        return self.result()

    def close(self):
        for array in (self.x, self.s, self.y):
            self.library.release("ait_device_free", array.__cuda_array_interface__["data"][0])


def graphs_of(model):
    """How many graphs the library has captured and launched so far."""
    counts = (ctypes.c_int(), ctypes.c_int())
    library, _ = model._handle.get()
    library._library.ait_fake_graphs(*(ctypes.byref(count) for count in counts))
    return np.array([count.value for count in counts])


@pytest.fixture
def gpu_model(fake_gpu):
    with load(fake_gpu) as model:
        yield model


def test_a_shape_is_captured_once_and_replayed(gpu_model, reference):
    before = graphs_of(gpu_model)
    with gpu_model.context() as context:
        arrays = [DeviceArrays(gpu_model, batch) for batch in (3, 2, 1)]
        for _ in range(5):
            for a in arrays:
                np.testing.assert_allclose(a.run(context), reference(x, s)[: len(a.result())])
        # The first run of a shape is not captured: it may have been the only one.
        np.testing.assert_array_equal(graphs_of(gpu_model) - before, [3, 12])
    for a in arrays:
        a.close()


def test_changing_addresses_are_captured_no_more_than_a_few_times(gpu_model, reference):
    before = graphs_of(gpu_model)
    with gpu_model.context() as context:
        arrays = [DeviceArrays(gpu_model, 3) for _ in range(12)]
        for a in [arrays[0], *arrays, *arrays]:
            np.testing.assert_allclose(a.run(context), reference(x, s))
        captured, replayed = graphs_of(gpu_model) - before
        assert captured == 5 and replayed == 24
    for a in arrays:
        a.close()


def test_graphs_end_with_their_workspace_and_weights(gpu_model, reference):
    with gpu_model.context() as context:
        a = DeviceArrays(gpu_model, 3)
        library, _ = gpu_model._handle.get()
        before = graphs_of(gpu_model)
        for _ in range(3):
            a.run(context)
        new_b = np.full(4, 7, np.float32)
        gpu_model.set_weight("b", new_b)
        for _ in range(3):
            np.testing.assert_allclose(a.run(context), reference(x, s, b=new_b))
        address = library.create("ait_device_allocate", 0, 256)
        context.set_workspace(OnDevice(address, np.zeros(64, np.float32)))
        for _ in range(3):
            np.testing.assert_allclose(a.run(context), reference(x, s, b=new_b))
        context.set_workspace(None)
        library.release("ait_device_free", address)
        for _ in range(3):
            np.testing.assert_allclose(a.run(context), reference(x, s, b=new_b))
        np.testing.assert_array_equal(graphs_of(gpu_model) - before, [4, 8])
        a.close()


def test_bound_runs_read_what_is_in_their_inputs(gpu_model, reference):
    with gpu_model.context() as context:
        a = DeviceArrays(gpu_model, 3)
        run = context.bind([a.x, a.s], [a.y])
        for turn in range(4):
            new = x + np.float32(turn)
            address, _ = a.x.__cuda_array_interface__["data"]
            a.library.call("ait_device_copy_from_host", address, new.ctypes.data, new.nbytes)
            run.enqueue()
            context.synchronize()
            np.testing.assert_allclose(a.result(), reference(new, s))
        with pytest.raises(InputError, match="'s' is on cpu, but the model runs on cuda"):
            context.bind([a.x, s], [a.y])
        a.close()


def test_graphs_can_be_turned_off(gpu_model, reference):
    before = graphs_of(gpu_model)
    with gpu_model.context(graphs=False) as context:
        a = DeviceArrays(gpu_model, 3)
        for _ in range(4):
            np.testing.assert_allclose(a.run(context), reference(x, s))
        np.testing.assert_array_equal(graphs_of(gpu_model), before)
        a.close()


def test_profile_times_the_steps_without_what_an_event_takes(gpu_model):
    with gpu_model.context() as context:
        assert context.profile([x, s], repetitions=3) == (5.0,)  # of 6 between two events


def test_ranges_carry_the_names_of_layers(gpu_model):
    library, _ = gpu_model._handle.get()
    ranges = library._library.ait_fake_ranges
    ranges.restype = ctypes.c_char_p
    before = ranges()
    with gpu_model.context() as context:
        context.run([x, s])
    assert ranges() == before
    with gpu_model.context(named_ranges=True) as context:
        for _ in range(2):
            context.run([x, s])
    assert ranges()[len(before) :] == b"everything()" * 2


def test_what_a_replayed_run_reports_is_an_error_too(gpu_model, reference):
    with gpu_model.context() as context:
        for _ in range(3):
            np.testing.assert_allclose(context.run([x, s])["y"], reference(x, s))
        for _ in range(2):
            with pytest.raises(InputError, match=REPORTED):
                context.run([x, infinite(3)])
        np.testing.assert_allclose(context.run([x, s])["y"], reference(x, s))


REPORTED = r"gather: index -7 \(element 3 of the indices\) is outside of \[0, 5\)"


def infinite(position):
    bad = s.copy()
    bad[position] = np.inf
    return bad


def test_what_a_kernel_reports_is_the_error_of_the_run(fake_gpu, reference):
    with load(fake_gpu) as model:
        with pytest.raises(InputError, match=REPORTED):
            model(x, infinite(3))
        np.testing.assert_allclose(model(x, s), reference(x, s))


def test_a_report_that_nobody_has_waited_for_fails_the_next_run_once(fake_gpu, reference):
    with load(fake_gpu) as model, model.context() as context:
        library, handle = context._handle.get()
        borrowed = context._borrow_inputs([x, infinite(3)])
        written = [arrays.borrow_output(y, "y") for y in context._new_outputs(borrowed, None)]
        ins = arrays.tensor_structs(
            [context._on_device(a, "in", i) for i, a in enumerate(borrowed)]
        )
        outs = arrays.tensor_structs(
            [context._on_device(a, "out", i) for i, a in enumerate(written)]
        )
        for host, device in zip(borrowed, ins, strict=True):
            library.call("ait_device_copy_from_host", device.data, host.pointer, host.bytes)
        run = ("ait_context_run", handle, ins, len(ins), outs, len(outs))
        library.call(*run)
        with pytest.raises(AitError, match=REPORTED):
            library.call(*run)
        # The run that failed did not run, so nothing has been reported since.
        library.call("ait_context_synchronize", handle)
        results = context.run([x, s])
        np.testing.assert_allclose(results["y"], reference(x, s))


def test_cpu_model_refuses_device_arrays(tiny):
    with (
        load(tiny) as model,
        pytest.raises(InputError, match=r"'x' is on cuda, but .* runs on cpu"),
    ):
        model(OnDevice(4096, x), s)


@pytest.fixture(scope="module")
def cuda_objects(build, workdir, blob):
    """The tiny model's, with the runtime for CUDA as models get it."""
    *shared, device = sources.runtime_sources("cuda")
    output = workdir / "device_cuda.o"
    command(*cuda.find("sm_90a").compiler_of(device.name).arguments(), "-c", device, "-o", output)
    return [*build([*shared, HERE / "tiny_model.cpp"]), blob, output]


@pytest.mark.compile
def test_cuda_model_links_and_reports_a_missing_gpu(cuda_objects, workdir):
    flags = [*cuda.find("sm_90a").link_flags, *sources.link_flags("cuda")]
    library = linked(cuda_objects, workdir / "cuda.so", *flags)
    needed = subprocess.run(["readelf", "-dW", library], capture_output=True, text=True).stdout
    assert "libcudart" not in needed and "libstdc++" not in needed
    if shutil.which("nvidia-smi") is None:
        with pytest.raises(AitError, match=r"CUDA error while .*:"):
            load(library)


@pytest.mark.compile
def test_ranges_reach_the_tool_that_listens(cuda_objects, workdir, monkeypatch):
    """The toolkit has NVTX, as the packages of `ait[cuda]` do: without its headers in reach the
    runtime would be compiled all the same, with ranges that nobody hears of."""
    include = cuda.find_toolkit().nvcc.parents[1] / "include"
    if not (include / "nvtx3").is_dir():
        pytest.skip(f"{include} has no NVTX")
    tool, program = workdir / "tool.so", workdir / "ranges"
    (workdir / "tool.cpp").write_text(LISTENING_TOOL)
    (workdir / "ranges.cpp").write_text(TWO_RANGES)
    command("g++", "-shared", "-fPIC", f"-I{include}", workdir / "tool.cpp", "-ldl", "-o", tool)
    flags = [*cuda.find("sm_90a").link_flags, "-lcudart_static", "-ldl", "-lrt", "-pthread"]
    headers = [f"-I{path}" for path in sources.include_dirs()]
    command("g++", "-std=c++17", *headers, workdir / "ranges.cpp", *cuda_objects, *flags,
            "-o", program)  # fmt: skip
    monkeypatch.setenv("NVTX_INJECTION64_PATH", str(tool))
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout == "( outer ( inner ) ) "


TWO_RANGES = """\
#include "ait/device.hpp"

int main() {
  ait::device::begin_range("outer");
  ait::device::begin_range("inner");
  ait::device::end_range();
  ait::device::end_range();
}
"""

LISTENING_TOOL = """\
#include <cstdio>
#include <nvtx3/nvToolsExt.h>

static int NVTX_API push(const char* name) { return std::printf("( %s ", name); }
static int NVTX_API pop() { return std::printf(") "); }

// NVTX calls it on the first range of a process whose $NVTX_INJECTION64_PATH names this library.
extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks =
      static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions;
  unsigned count;
  if (!callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &count)) return 0;
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  *functions[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}
"""


@pytest.mark.compile
@pytest.mark.skipif(not HIP_HEADER.is_file(), reason="needs the HIP headers")
def test_hip_device_compiles(build):
    build(sources.runtime_sources("hip")[-1:])
