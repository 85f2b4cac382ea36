"""Running a compiled model from Python."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from ait.errors import AitError, InputError, WeightError
from ait.runtime import arrays
from ait.runtime.loader import load


@pytest.fixture
def model(tiny):
    with load(tiny) as loaded:
        yield loaded


def inputs(batch=3, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((batch, 4), np.float32)
    return x, generator.standard_normal(batch * 2, np.float32)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_describes_itself(model):
    assert model.metadata["name"] == "tiny"
    assert model.device == "cpu"
    assert [(p.name, p.dtype, [d.text for d in p.dims]) for p in model.inputs] == [
        ("x", "f32", ["batch", "4"]),
        ("s", "f32", ["batch * 2"]),
    ]
    assert [p.name for p in model.outputs] == ["y"]
    assert [(s.name, s.lower, s.upper) for s in model.symbols] == [("batch", 1, 64)]
    assert [(w.name, w.shape, w.role) for w in model.weights] == [
        ("w", (4,), "raw"),
        ("b", (4,), "raw"),
        ("scale", (), "raw"),
        ("folded", (4,), "derived"),
    ]


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_runs_by_position_by_name_and_mixed(model, reference, batch):
    x, s = inputs(batch)
    for result in (model(x, s), model(s=s, x=x), model(x, s=s), model.run([x, s])["y"]):
        assert result.shape == (batch, 4) and result.dtype == np.float32
        close(result, reference(x, s))


def test_writes_to_given_outputs(model, reference):
    x, s = inputs()
    y = np.zeros((3, 4), np.float32)
    results = model.run({"x": x, "s": s}, {"y": y})
    assert results["y"] is y
    close(y, reference(x, s))


def test_contiguous_inputs_are_not_copied():
    x, _ = inputs()
    assert arrays.borrow(x, "x").pointer == x.ctypes.data
    assert arrays.borrow(DLPackOnly(x), "x").pointer == x.ctypes.data


def test_takes_strided_misaligned_and_read_only_inputs(model, reference):
    x, s = inputs(6)
    wide = np.zeros((6, 8), np.float32)
    wide[:, ::2] = x
    room = np.zeros(6 * 4 * 4 + 1, np.uint8)
    misaligned = room[1:].view(np.float32).reshape(6, 4)
    misaligned[...] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for variant in (wide[:, ::2], misaligned, read_only, np.asfortranarray(x)):
        close(model(variant, s), reference(x, s))


class DLPackOnly:
    """An array of some other library."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_takes_dlpack(model, reference):
    x, s = inputs()
    close(model(DLPackOnly(x), DLPackOnly(s)), reference(x, s))


def test_takes_and_gives_pytorch(model, reference):
    torch = pytest.importorskip("torch")
    x, s = inputs()
    result = model(torch.from_numpy(x), torch.from_numpy(s))
    assert isinstance(result, torch.Tensor)
    close(result.numpy(), reference(x, s))
    transposed = torch.from_numpy(np.ascontiguousarray(x.T)).T
    close(model(transposed, s).numpy(), reference(x, s))
    for common, ours in (("bfloat16", "bf16"), ("float8_e4m3fn", "f8E4M3FN")):
        assert arrays.borrow(torch.zeros(2, dtype=getattr(torch, common)), "x").dtype == ours


class OtherDevice(DLPackOnly):
    def __dlpack_device__(self):
        return (2, 0)


MISUSES = {
    "count": (lambda m, x, s: m.run([x]), "1 inputs given, expected 2 (x, s)"),
    "too-many": (lambda m, x, s: m(x, s, s), "3 inputs given"),
    "missing": (lambda m, x, s: m(x=x), "input 's' is missing"),
    "unknown": (lambda m, x, s: m(x, s, z=s), "there is no input 'z'"),
    "twice": (lambda m, x, s: m(x, x=x, s=s), "input 'x' is given twice"),
    "one-array": (lambda m, x, s: m.run(x), "must be a mapping"),
    "list": (lambda m, x, s: m([1.0], s), "input 'x' is a list"),
    "dtype": (lambda m, x, s: m(x.astype(np.int64), s), "has dtype i64, expected f32"),
    "odd-dtype": (lambda m, x, s: m(x.astype(np.float64), s), "input 'x' has dtype float64"),
    "byte-order": (lambda m, x, s: m(x.astype(">f4"), s), "input 'x' has dtype >f4"),
    "rank": (lambda m, x, s: m(x[0], s), "has rank 1, expected 2: [batch, 4]"),
    "scalar": (lambda m, x, s: m(np.float32(1), s), "has rank 0, expected 2"),
    "static": (lambda m, x, s: m(x[:, :3], s), "input 'x' dim 1 is 3, expected 4"),
    "range": (lambda m, x, s: m(*inputs(65)), "dim 0 (batch) is 65, outside its range 1..64"),
    "empty": (lambda m, x, s: m(x[:0], s), "is 0, outside its range 1..64"),
    "disagree": (lambda m, x, s: m(x, s[:4]), "dim 0 (batch * 2) is 4, expected 6 with batch = 3"),
    "device": (lambda m, x, s: m(OtherDevice(x), s), "input 'x' is on DLPack device 2"),
    "value": (lambda m, x, s: m(x, s * np.nan), "s[0] is not a number"),
    "overlap": (lambda m, x, s: m.run([x, s], [x]), "overlap"),
    "output-shape": (lambda m, x, s: m.run([x, s], [np.zeros((2, 4), np.float32)]), "is 2, exp"),
    "output-dtype": (lambda m, x, s: m.run([x, s], [np.zeros((3, 4), np.int8)]), "dtype i8"),
    "output-strides": (lambda m, x, s: m.run([x, s], [np.zeros((4, 3), "f4").T]), "contiguous"),
    "output-name": (lambda m, x, s: m.run([x, s], {"z": x}), "output 'y' is missing"),
    "output-read-only": (lambda m, x, s: m.run([x, s], [np.broadcast_to(x[:1], (3, 4))]), "conti"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_refuses_and_stays_usable(model, reference, misuse):
    call, message = MISUSES[misuse]
    x, s = inputs()
    with pytest.raises(InputError) as caught:
        call(model, x, s)
    assert message in str(caught.value)
    close(model(x, s), reference(x, s))


def test_lists_all_problems_at_once(model):
    x, s = inputs()
    with pytest.raises(InputError, match=r"(?s)2 problems:.*'x' dim 1 is 3.*'s' has dtype i32"):
        model(x[:, :3], s.astype(np.int32))


def test_read_only_output_is_refused(model):
    x, s = inputs()
    y = np.zeros((3, 4), np.float32)
    y.flags.writeable = False
    with pytest.raises(InputError, match="output 'y' is read-only"):
        model.run([x, s], [y])


def test_context_tells_sizes_and_takes_workspace(model, reference):
    context = model.context(num_threads=2)
    assert context.workspace_size({"x": (10, 4), "s": (20,)}) == 160
    assert context.output_shapes([(10, 4), (20,)]) == {"y": (10, 4)}
    with pytest.raises(InputError, match="outside its range"):
        context.workspace_size([(100, 4), (200,)])
    workspace = arrays.empty((160,), "i8", 64)
    x, s = inputs(10)
    with model.context(num_threads=1, workspace=workspace) as own:
        close(own.run([x, s])["y"], reference(x, s))
        with pytest.raises(InputError, match=r"has 160 bytes, but .* need 176"):
            own.run(inputs(11))
        own.set_workspace(None)
        close(own.run(inputs(11))["y"], reference(*inputs(11)))


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float64, np.complex128])
def test_a_workspace_of_any_type(model, reference, dtype):
    memory = arrays.empty((160,), "i8", 64).view(dtype)
    x, s = inputs(10)
    with model.context(workspace=memory) as context:
        close(context.run([x, s])["y"], reference(x, s))
        with pytest.raises(InputError, match="has 160 bytes"):
            context.run(inputs(11))


class OnGpu:
    __cuda_array_interface__ = {"shape": (2, 5), "typestr": "<u8", "data": (64, False)}


@pytest.mark.parametrize(
    ("memory", "problem"),
    [
        (np.zeros((8, 8))[:, :4], "the workspace is not contiguous"),
        (np.frombuffer(bytes(64)), "the workspace is read-only"),
        (OnGpu(), "the workspace is on cuda, expected cpu"),
        ([0, 1], "the workspace is a list"),
    ],
)
def test_memory_that_is_no_workspace(model, reference, memory, problem):
    with pytest.raises(InputError, match=problem):
        model.context(workspace=memory)
    x, s = inputs()
    with model.context() as context:
        with pytest.raises(InputError, match=problem):
            context.set_workspace(memory)
        close(context.run([x, s])["y"], reference(x, s))


def test_a_torch_workspace_of_any_type(model, reference):
    torch = pytest.importorskip("torch")
    x, s = inputs(10)
    for dtype in (torch.uint8, torch.float64, torch.bool):
        memory = torch.zeros(2048, dtype=dtype)
        with model.context(workspace=memory) as context:
            close(context.run([x, s])["y"], reference(x, s))
    with pytest.raises(InputError, match="not contiguous"):
        model.context(workspace=torch.zeros(64, 64).T)
    assert arrays.borrow_memory(OnGpu(), "x").bytes == 80


def test_contexts_in_threads(model, reference):
    wrong = []

    def work(seed):
        with model.context(num_threads=1 + seed % 2) as context:
            for i in range(50):
                x, s = inputs(1 + i, seed)
                if not np.allclose(context.run([x, s])["y"], reference(x, s), atol=1e-5):
                    wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_replaces_weights_and_folds_anew(model, reference):
    x, s = inputs()
    w, b = np.full(4, 7, np.float32), np.full(4, 3, np.float32)
    model.set_weight("w", w)
    model.set_weights({"b": b, "scale": np.array(10, np.float32)})
    w[:] = 0  # the model has a copy
    close(model(x, s), reference(x, s, np.full(4, 7), b, 10))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nope", np.zeros(4, np.float32), "no weight 'nope'"),
        ("folded", np.zeros(4, np.float32), "computed from other weights"),
        ("w", np.zeros(5, np.float32), r"is f32\[5\], expected f32\[4\]"),
        ("w", np.zeros(4, np.int8), r"is i8\[4\], expected f32\[4\]"),
        ("scale", np.zeros(1, np.float32), r"is f32\[1\], expected f32\[\]"),
    ],
)
def test_refuses_wrong_weights(model, reference, name, value, message):
    x, s = inputs()
    with pytest.raises(WeightError, match=message):
        model.set_weights({"b": np.zeros(4, np.float32), name: value})
    close(model(x, s), reference(x, s))


def test_frozen_weights_cannot_be_set(library, reference):
    with load(library("-DTINY_FROZEN")) as model:
        x, s = inputs()
        close(model(x, s), reference(x, s))
        with pytest.raises(WeightError, match="folded into other weights at compile time"):
            model.set_weight("scale", np.array(1, np.float32))
        model.set_weight("w", np.zeros(4, np.float32))
        close(model(x, s), reference(x, s, w=0))


def test_benchmark(model):
    result = model.benchmark(inputs(), repetitions=20, warmup=2)
    assert len(result.times) == 20
    assert 0 < result.minimum <= result.median <= result.percentile(99) <= max(result.times)
    assert "median" in str(result)
    with pytest.raises(ValueError, match="repetitions"):
        model.benchmark(inputs(), repetitions=0)


def test_closed_objects_say_so(tiny):
    model = load(tiny)
    context = model.context()
    model.close()
    model.close()
    context.run(inputs())  # keeps what it needs
    context.close()
    with pytest.raises(AitError, match="the context is closed"):
        context.run(inputs())
    with pytest.raises(AitError, match="the model is closed"):
        model(*inputs())


def test_objects_may_die_in_any_order(tiny):
    model = load(tiny)
    context = model.context(num_threads=2)
    result = model(*inputs())
    del model
    gc.collect()
    context.run(inputs())
    del context
    gc.collect()
    assert np.isfinite(result).all()


def test_refuses_what_is_no_model(tmp_path):
    with pytest.raises(AitError, match="No such file"):
        load(tmp_path / "missing.so")
    (tmp_path / "text.so").write_text("hello")
    with pytest.raises(AitError, match="not a model that ait compiled"):
        load(tmp_path / "text.so")


def test_loader_needs_no_compiler():
    code = (
        "import sys, ait.runtime.loader, ait.runtime.inspect;"
        "sys.exit(any(m.split('.')[0] in ('xdsl', 'jinja2', 'ml_dtypes') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
