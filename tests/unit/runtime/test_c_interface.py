"""`ait.h` as a C program uses it, plainly and under sanitizers."""

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ait.runtime import sources

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def weights_files(workdir):
    """A good file with the embedded values, and one that is cut off."""
    good = workdir / "good.safetensors"
    save_file(
        {
            "w": np.array([1, 2, 3, 4], np.float32),
            "b": np.array([10, 20, 30, 40], np.float32),
            "scale": np.array(0.5, np.float32),
        },
        good,
    )
    bad = workdir / "bad.safetensors"
    bad.write_bytes(good.read_bytes()[:-3])
    return good, bad


def run(program, *arguments, **environment):
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=300, env=environment or None
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all passed" in done.stdout


def link(objects, program, *flags):
    done = subprocess.run(["g++", *objects, *flags, "-o", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def test_c_program_links_only_the_library_and_libc(build, tiny, workdir, weights_files):
    program = workdir / "driver"
    objects = build([HERE / "driver.c"])
    # gcc, not g++: no C++ library on the command line.
    done = subprocess.run(["gcc", *objects, tiny, "-o", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run(program, *weights_files)


@pytest.mark.parametrize(
    "sanitizers",
    ["-fsanitize=address,undefined", "-fsanitize=thread"],
    ids=["address-undefined", "thread"],
)
def test_c_program_under_sanitizers(build, workdir, blob, weights_files, sanitizers):
    flags = (sanitizers, "-fno-sanitize-recover=all", "-O1")
    files = [*sources.runtime_sources("cpu"), HERE / "tiny_model.cpp", HERE / "driver.c"]
    objects = [*build(files, *flags), blob]
    program = link(objects, workdir / f"driver{sanitizers}", sanitizers, "-pthread")
    options = {
        "ASAN_OPTIONS": "allocator_may_return_null=1",
        "TSAN_OPTIONS": "halt_on_error=1 allocator_may_return_null=1",
    }
    run(program, *weights_files, **options)


def test_library_needs_nothing_but_libc(tiny):
    dynamic = subprocess.run(["readelf", "-dW", tiny], capture_output=True, text=True).stdout
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


def test_library_exports_what_the_header_declares(tiny):
    symbols = subprocess.run(["nm", "-D", "--defined-only", tiny], capture_output=True, text=True)
    exported = {line.split()[-1] for line in symbols.stdout.splitlines()}
    header = (sources.include_dirs()[0] / "ait.h").read_text()
    assert exported == set(re.findall(r"AIT_API [\w\s*]*?\b(ait_\w+)\(", header))


@pytest.mark.parametrize("device", ["cpu", "cuda", "hip"])
def test_sources_and_headers_exist(device):
    files = [*sources.runtime_sources(device), *sources.runtime_headers()]
    assert all(path.is_file() for path in [*files, sources.version_script()])


def test_header_is_clean_c99(workdir):
    (workdir / "header.c").write_text('#include "ait.h"\nint main(void) { return 0; }\n')
    command = ["gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    include = f"-I{sources.include_dirs()[0]}"
    done = subprocess.run([*command, include, workdir / "header.c"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_python_structs_match_the_header(workdir):
    from ait.runtime import abi

    pairs = {
        "ait_tensor": abi.TensorStruct,
        "ait_shape": abi.ShapeStruct,
        "ait_port_info": abi.PortInfo,
        "ait_dim_info": abi.DimInfo,
        "ait_symbol_info": abi.SymbolInfo,
        "ait_weight_info": abi.WeightInfo,
        "ait_model_options": abi.ModelOptions,
        "ait_context_options": abi.ContextOptions,
    }
    checks = [
        f'_Static_assert(sizeof({name}) == {ctypes.sizeof(kind)}, "");'
        f'_Static_assert(offsetof({name}, {field}) == {getattr(kind, field).offset}, "");'
        for name, kind in pairs.items()
        for field, _ in kind._fields_
    ]
    (workdir / "layout.c").write_text('#include "ait.h"\n' + "\n".join(checks))
    command = ["gcc", "-std=c11", "-fsyntax-only", f"-I{sources.include_dirs()[0]}"]
    done = subprocess.run([*command, workdir / "layout.c"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
