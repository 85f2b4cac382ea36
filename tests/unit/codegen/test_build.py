import ctypes
import io
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ait.codegen.build import (
    BuildOptions,
    Compiler,
    SourceError,
    SourceFile,
    Toolchain,
    build_library,
    compiler_identity,
    default_jobs,
    object_key,
)
from ait.codegen.cache import ObjectCache
from ait.errors import CompileError, ToolchainError
from ait.runtime.weights_object import around_blob

ANSWER = SourceFile("kernels/answer.cpp", "int helper(); extern \"C\" int ait_answer() "
                    "{ return helper(); }\n", origin="layer.0")  # fmt: skip
HELPER = SourceFile("helper.cpp", '#include "value.hpp"\nint helper() { return VALUE; }\n')


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    headers = tmp_path / "include"
    headers.mkdir()
    (headers / "value.hpp").write_text("#define VALUE 42\n")
    compiler = Compiler(
        ("g++",), compiler_identity(("g++",)), ("-O0", "-fPIC", "-std=c++17"), (headers,)
    )
    exports = tmp_path / "exports.map"
    exports.write_text("{ global: ait_*; local: *; };")
    link = ("-shared", f"-Wl,--version-script={exports}")
    return Toolchain("test", {".cpp": compiler}, ("g++",), link)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildOptions:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return BuildOptions(ObjectCache(tmp_path / "cache"), jobs=2, timeout=60)


def answer(library: Path) -> int:
    return ctypes.CDLL(str(library)).ait_answer()


def test_builds_a_library_that_exports_only_ait_symbols(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    output = tmp_path / "made" / "model.so"
    report = build_library([ANSWER, HELPER], toolchain, output, options)
    assert answer(output) == 42
    assert report.compiled == [ANSWER.name, HELPER.name]
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", output], capture_output=True, text=True, check=True
    )
    assert [line.split()[-1] for line in symbols.stdout.splitlines()] == ["ait_answer"]
    assert list(output.parent.iterdir()) == [output]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_second_build_compiles_nothing_and_gives_the_same_bytes(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    build_library([ANSWER, HELPER], toolchain, tmp_path / "one.so", options)
    report = build_library([ANSWER, HELPER], toolchain, tmp_path / "two.so", options)
    assert report.compiled == []
    assert report.cached == [ANSWER.name, HELPER.name]
    assert (tmp_path / "one.so").read_bytes() == (tmp_path / "two.so").read_bytes()


def test_a_changed_header_is_compiled_again(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    build_library([ANSWER, HELPER], toolchain, tmp_path / "one.so", options)
    (tmp_path / "include" / "value.hpp").write_text("#define VALUE 43\n")
    build_library([ANSWER, HELPER], toolchain, tmp_path / "two.so", options)
    assert answer(tmp_path / "two.so") == 43


def test_a_damaged_entry_is_compiled_again(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    assert options.cache is not None
    build_library([ANSWER, HELPER], toolchain, tmp_path / "one.so", options)
    for entry in options.cache.entries():
        entry.path.write_bytes(b"garbage")
    report = build_library([ANSWER, HELPER], toolchain, tmp_path / "two.so", options)
    assert len(report.compiled) == 2
    assert answer(tmp_path / "two.so") == 42


def test_the_key_depends_on_all_that_matters_and_not_on_the_place(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = toolchain.compilers[".cpp"]
    key = object_key(HELPER, compiler)
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "include").rename(elsewhere)
    moved = replace(compiler, includes=(elsewhere,))
    assert object_key(HELPER, moved) == key
    assert object_key(replace(HELPER, text="int x;"), moved) != key
    assert object_key(HELPER, replace(moved, flags=("-O2",))) != key
    assert object_key(HELPER, replace(moved, identity="another version")) != key
    (elsewhere / "more.hpp").write_text("")
    assert object_key(HELPER, moved) != key
    (elsewhere / "more.hpp").unlink()
    monkeypatch.setenv("CPATH", "/somewhere")
    assert object_key(HELPER, moved) != key


def test_all_failures_are_listed_with_layer_and_first_errors_and_kept(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    sources = [
        ANSWER,
        SourceFile("kernels/one.cpp", "int f() { return missing_one; }\n", "encoder.layer.0"),
        SourceFile("kernels/two.cpp", "int f() { return missing_two; }\n"),
    ]
    output = tmp_path / "model.so"
    with pytest.raises(SourceError) as caught:
        build_library(sources, toolchain, output, options)
    message = str(caught.value)
    assert "2 of 3 sources failed" in message
    assert "kernels/one.cpp (encoder.layer.0):\n" in message
    assert "missing_one" in message
    assert "missing_two" in message
    kept = (caught.value.folder / "kernels/one.cpp").read_text()
    assert kept == sources[1].text + "\n// encoder.layer.0\n"
    assert not output.exists()
    # What did compile is known the next time.
    fixed = [ANSWER, HELPER]
    assert build_library(fixed, toolchain, output, options).cached == [ANSWER.name]


def test_kept_sources_can_be_built_again(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    kept = replace(options, keep=tmp_path / "kept")
    for _ in range(2):
        build_library([ANSWER, HELPER], toolchain, tmp_path / "model.so", kept)
        assert (tmp_path / "kept" / HELPER.name).exists()
    changed = replace(HELPER, text="int helper() { return 7; }\n")
    build_library([ANSWER, changed], toolchain, tmp_path / "model.so", kept)
    assert answer(tmp_path / "model.so") == 7
    # Nothing wrote through the hard links into the cache.
    report = build_library([ANSWER, HELPER], toolchain, tmp_path / "again.so", options)
    assert report.compiled == []


def test_data_is_linked_anew_each_time(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    for content in (1, 2):

        def data(objects: Sequence[Path], folder: Path, content: int = content) -> list[Path]:
            path = folder / "data.o"
            head, tail = around_blob(4, objects[0], "answer_data")
            path.write_bytes(head + content.to_bytes(4, "little") + tail)
            return [path]

        text = (
            'extern "C" __attribute__((visibility("hidden"))) int answer_data;\n'
            'extern "C" int ait_answer() { return answer_data; }\n'
        )
        source = SourceFile("answer.cpp", text)
        library = tmp_path / f"{content}.so"
        report = build_library([source], toolchain, library, options, data)
        assert answer(library) == content
        assert bool(report.compiled) == (content == 1)


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_process_without_standard_error_builds_too(
    toolchain: Toolchain,
    options: BuildOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_closed: bool,
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if is_closed else None)
    unsaid = replace(options, progress=None)
    assert build_library([HELPER], toolchain, tmp_path / "model.so", unsaid).compiled


def test_a_link_error_leaves_the_old_library_and_no_folder(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    output = tmp_path / "model.so"
    output.write_text("old")
    undefined = toolchain.with_flags(link=["-Wl,--no-undefined"])
    with pytest.raises(CompileError, match=r"linking model\.so failed(.|\n)*helper"):
        build_library([ANSWER], undefined, output, options)
    assert output.read_text() == "old"
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir() if "model" in path.name) == ["model.so"]


def test_an_output_that_cannot_be_written_is_named(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match=r"cannot write .*/file/model\.so"):
        build_library([HELPER], toolchain, tmp_path / "file" / "model.so", options)


def test_a_full_disk_fails_with_a_reason_and_no_half_file(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    # A linker that fails as it does on a full disk, after it has written a part.
    linker = tmp_path / "linker"
    linker.write_text('#!/bin/sh\necho part > "$2"\necho "No space left on device" >&2\nexit 1\n')
    linker.chmod(linker.stat().st_mode | stat.S_IXUSR)
    full = replace(toolchain, linker=(str(linker),))
    with pytest.raises(CompileError, match="No space left on device"):
        build_library([HELPER], full, tmp_path / "out" / "model.so", options)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_hanging_compiler_is_stopped(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    slow = Compiler(("sh", "-c", "sleep 600"), "slow")
    with pytest.raises(CompileError, match=r"more than 0\.5 s; unfinished: helper\.cpp"):
        build_library(
            [HELPER],
            replace(toolchain, compilers={".cpp": slow}),
            tmp_path / "model.so",
            replace(options, timeout=0.5),
        )


def test_the_longest_end_of_a_name_picks_the_compiler(toolchain: Toolchain) -> None:
    special = replace(toolchain.compilers[".cpp"], flags=("-O3",))
    both = replace(toolchain, compilers={**toolchain.compilers, ".kernel.cpp": special})
    assert both.compiler_of("gemm.kernel.cpp") is special
    assert both.compiler_of("model.cpp") is toolchain.compilers[".cpp"]


def test_missing_tools_are_named(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    with pytest.raises(ToolchainError, match="no-such-compiler"):
        compiler_identity(("no-such-compiler",))
    with pytest.raises(ToolchainError, match=r"no compiler for k\.cu"):
        build_library([SourceFile("k.cu", "")], toolchain, tmp_path / "model.so", options)
    with pytest.raises(ToolchainError, match="no-such-linker"):
        missing = replace(toolchain, linker=("no-such-linker",))
        build_library([HELPER], missing, tmp_path / "model.so", options)


def test_a_killed_compiler_suggests_fewer_jobs(
    toolchain: Toolchain, options: BuildOptions, tmp_path: Path
) -> None:
    killed = Compiler(("sh", "-c", "kill -9 $$"), "killed")
    with pytest.raises(SourceError, match="fewer jobs"):
        build_library(
            [HELPER],
            replace(toolchain, compilers={".cpp": killed}),
            tmp_path / "model.so",
            options,
        )


def test_jobs_are_bounded_by_memory() -> None:
    assert default_jobs(1 << 60) == 1
    assert default_jobs(1) >= 1
