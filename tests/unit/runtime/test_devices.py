"""GPU targets as far as they can be seen without one."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ait.errors import AitError, InputError
from ait.runtime import arrays, sources
from ait.runtime.loader import load

HERE = Path(__file__).parent
CUDA = Path("/usr/local/cuda")
HIP_HEADER = Path("/usr/include/hip/hip_runtime_api.h")

x = np.arange(12, dtype=np.float32).reshape(3, 4)
s = np.arange(6, dtype=np.float32)


def link(objects, output, *flags):
    done = subprocess.run(["g++", *objects, *flags, "-o", output], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def fake_gpu(build, workdir, blob_source):
    """The tiny model on a GPU made of host memory, which refuses pointers of the wrong kind."""
    shared = [path for path in sources.runtime_sources("cpu") if path.name != "device_cpu.cpp"]
    objects = build([*shared, HERE / "device_fake.cpp", blob_source])
    objects = objects + build([HERE / "tiny_model.cpp"], "-DTINY_FAKE_GPU")
    return link(objects, workdir / "fake.so", *sources.link_flags("cpu"))


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


@pytest.mark.compile
@pytest.mark.skipif(not (CUDA / "lib").is_dir(), reason="needs the CUDA runtime library")
def test_cuda_model_links_and_reports_a_missing_gpu(build, workdir, blob_source):
    shared = [path for path in sources.runtime_sources("cuda") if path.name != "device_cuda.cpp"]
    objects = build([*shared, HERE / "tiny_model.cpp", blob_source])
    objects = objects + build(sources.runtime_sources("cuda")[-1:], f"-I{CUDA}/include")
    flags = [f"-L{CUDA}/lib", *sources.link_flags("cuda")]
    library = link(objects, workdir / "cuda.so", *flags)
    needed = subprocess.run(["readelf", "-dW", library], capture_output=True, text=True).stdout
    assert "libcudart" not in needed and "libstdc++" not in needed
    if shutil.which("nvidia-smi") is None:
        with pytest.raises(AitError, match=r"CUDA error while .*:"):
            load(library)


@pytest.mark.compile
@pytest.mark.skipif(not HIP_HEADER.is_file(), reason="needs the HIP headers")
def test_hip_device_compiles(build):
    build(sources.runtime_sources("hip")[-1:])
