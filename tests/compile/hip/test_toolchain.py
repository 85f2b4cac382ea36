"""Finding the HIP toolchain: what is missing is said with what to do about it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from ait.codegen.hip import toolchain
from ait.errors import ToolchainError

COMPILER = toolchain.HipCompiler(Path("clang++"), "version 1", Path("/nowhere"), None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a cache of its own, and finds no compiler of an earlier one."""
    monkeypatch.setenv("AIT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("AIT_CK", "AIT_HIPCC", "ROCM_PATH"):
        monkeypatch.delenv(name, raising=False)
    toolchain.find_compiler.cache_clear()
    yield
    toolchain.find_compiler.cache_clear()


def headers(folder: Path) -> Path:
    (folder / "ck").mkdir(parents=True)
    (folder / "ck" / "ck.hpp").touch()
    return folder


def test_missing_headers_name_the_command() -> None:
    with pytest.raises(ToolchainError, match="run `ait setup hip`, or set AIT_CK"):
        toolchain.find_composable_kernel(COMPILER)


def test_headers_of_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    include = headers(tmp_path / "mine" / "include")
    monkeypatch.setenv("AIT_CK", str(tmp_path / "mine"))
    assert toolchain.find_composable_kernel(COMPILER) == include
    monkeypatch.setenv("AIT_CK", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"no ck/ck\.hpp there"):
        toolchain.find_composable_kernel(COMPILER)


def test_headers_in_the_cache_are_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(directory: Path) -> Path:
        raise AssertionError("downloaded")

    monkeypatch.setattr(toolchain, "_download", download)
    directory = headers(toolchain.composable_kernel_directory())
    assert toolchain.fetch() == directory
    assert toolchain.find_composable_kernel(COMPILER) == directory


def test_only_headers_are_taken_from_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    top = f"flash_attn-{toolchain.CK_RELEASE}"
    inside = f"{top}/csrc/composable_kernel/include"

    def download(directory: Path) -> Path:
        archive = directory / "archive.tar.gz"
        with tarfile.open(archive, "w:gz") as members:
            for name in (
                f"{top}/setup.py",
                f"{inside}/ck/ck.hpp",
                f"{inside}/ck/utility/type.hpp",
                f"{inside}/../outside.hpp",
            ):
                info = tarfile.TarInfo(name)
                info.size = 1
                members.addfile(info, BytesIO(b"x"))
        return archive

    monkeypatch.setattr(toolchain, "_download", download)
    directory = toolchain.fetch()
    files = sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())
    assert files == ["ck/ck.hpp", "ck/utility/type.hpp"]
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]


def test_a_failed_download_says_what_else_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise ToolchainError("pip failed: no index")

    monkeypatch.setattr(toolchain, "_run", refuse)
    with pytest.raises(ToolchainError, match="set AIT_CK to a folder"):
        toolchain.fetch()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(toolchain.shutil, "which", nothing)
    monkeypatch.setattr(toolchain.os, "access", nothing)
    with pytest.raises(ToolchainError, match=r"clang-19.*ROCM_PATH.*AIT_HIPCC"):
        toolchain.find_compiler()
    (part,) = toolchain.describe()
    assert part.is_missing and "clang-19" in part.detail
    monkeypatch.setenv("AIT_HIPCC", "no-such-compiler")
    with pytest.raises(ToolchainError, match="no such program"):
        toolchain.find_compiler()


def test_the_config_header_is_made_once(tmp_path: Path) -> None:
    first = toolchain.support_directory(COMPILER)
    text = (first / "include" / "ck" / "config.h").read_text()
    assert '#define CK_USE_XDL "ON"' in text
    assert toolchain.support_directory(COMPILER) == first
