"""Builds the hand-written model of these tests, once a session."""

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ait.runtime import sources
from ait.runtime.weights_object import around_blob

HERE = Path(__file__).parent

W = np.array([1, 2, 3, 4], np.float32)
B = np.array([10, 20, 30, 40], np.float32)
SCALE = np.array(0.5, np.float32)


@pytest.fixture(scope="session")
def reference() -> Callable[..., np.ndarray]:
    """What the tiny model computes."""

    def compute(x, s, w=W, b=B, scale=SCALE):
        return x * w + b * scale + s.reshape(-1, 2).sum(1, keepdims=True)

    return compute


def command(*arguments: object) -> None:
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def workdir(tmp_path_factory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    return tmp_path_factory.mktemp("runtime")


@pytest.fixture(scope="session")
def build(workdir) -> Callable[..., list[Path]]:
    """Compiles sources with extra flags; the same twice only once."""

    @functools.cache
    def compile_one(source: Path, flags: tuple[str, ...]) -> Path:
        folder = workdir / re.sub(r"\W", "_", " ".join(flags) or "plain")
        folder.mkdir(exist_ok=True)
        output = folder / f"{source.name}.o"
        includes = [f"-I{path}" for path in (*sources.include_dirs(), HERE)]
        src = f"-I{sources.runtime_sources('cpu')[0].parent}"
        c_flags = ["-std=c99", "-pedantic", "-Wall", "-Werror", "-g"]
        compiler = ["gcc", *c_flags] if source.suffix == ".c" else ["g++", *sources.compile_flags()]
        command(*compiler, "-Werror", *flags, *includes, src, "-c", source, "-o", output)
        return output

    def compile_all(files: Sequence[Path], *flags: str) -> list[Path]:
        return [compile_one(file, flags) for file in files]

    return compile_all


@pytest.fixture(scope="session")
def blob(workdir, build) -> Path:
    """The weights as the build embeds them."""
    values = b"".join(a.tobytes().ljust(64, b"\0") for a in (W, B, SCALE, B * SCALE))
    (like,) = build([HERE / "tiny_model.cpp"])
    head, tail = around_blob(len(values), like)
    path = workdir / "weights.o"
    path.write_bytes(head + values + tail)
    return path


@pytest.fixture(scope="session")
def library(workdir, build, blob) -> Callable[..., Path]:
    """Links a variant of the tiny model."""

    @functools.cache
    def link(*flags: str) -> Path:
        objects = build(sources.runtime_sources("cpu"))
        objects = objects + build([HERE / "tiny_model.cpp"], *flags)
        objects = objects + ([] if "-DTINY_EXTERNAL" in flags else [blob])
        output = workdir / f"tiny{''.join(flags)}.so"
        command("g++", *objects, *sources.link_flags("cpu"), "-o", output)
        return output

    return link


@pytest.fixture(scope="session")
def tiny(library) -> Path:
    """The plain variant: embedded weights, replaceable."""
    return library()


def linked(objects: Sequence[Path], output: Path, *flags: str) -> Path:
    command("g++", *objects, *flags, "-o", output)
    return output


@pytest.fixture(scope="session")
def fake_gpu(build, workdir, blob) -> Path:
    """The tiny model on a GPU made of host memory, which refuses pointers of the wrong kind."""
    shared = [path for path in sources.runtime_sources("cpu") if path.name != "device_cpu.cpp"]
    objects = [*build([*shared, HERE / "device_fake.cpp"]), blob]
    objects = objects + build([HERE / "tiny_model.cpp"], "-DTINY_FAKE_GPU")
    return linked(objects, workdir / "fake.so", *sources.link_flags("cpu"))
