import multiprocessing
import os
import stat
import warnings
from pathlib import Path

import pytest

from ait.codegen.cache import (
    GIB,
    CacheWarning,
    ObjectCache,
    cache_directory,
    cache_limit,
    digest_of,
    parse_size,
    write_whole,
)
from ait.errors import CompileError

KEY = digest_of(["key"])


@pytest.fixture
def cache(tmp_path: Path) -> ObjectCache:
    return ObjectCache(tmp_path / "cache", limit=GIB)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_was_put_is_found(cache: ObjectCache, tmp_path: Path) -> None:
    assert not cache.get(KEY, tmp_path / "out")
    assert cache.put(KEY, written(tmp_path / "object", b"content"))
    assert cache.get(KEY, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"content"
    assert not cache.get(digest_of(["other"]), tmp_path / "none")


def test_a_second_put_changes_nothing(cache: ObjectCache, tmp_path: Path) -> None:
    for _ in range(2):
        cache.put(KEY, written(tmp_path / "object", b"content"))
    assert cache.statistics().entries == 1


@pytest.mark.parametrize("damage", [b"", b"conten", b"Content", b"content and more"])
def test_a_damaged_entry_is_a_miss_and_goes(
    cache: ObjectCache, tmp_path: Path, damage: bytes
) -> None:
    cache.put(KEY, written(tmp_path / "object", b"content"))
    cache.entries()[0].path.write_bytes(damage)
    assert not cache.get(KEY, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert cache.entries() == []


def test_an_intact_twin_of_a_damaged_entry_is_found(cache: ObjectCache, tmp_path: Path) -> None:
    cache.put(KEY, written(tmp_path / "object", b"first"))
    cache.entries()[0].path.write_bytes(b"damaged")
    cache.put(KEY, written(tmp_path / "object", b"second"))
    assert cache.get(KEY, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"second"


def test_prune_removes_what_was_used_longest_ago(cache: ObjectCache, tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        cache.put(digest_of([name]), written(tmp_path / "object", name.encode() * 100))
        entry = next(e for e in cache.entries() if e.path.name.startswith(digest_of([name])))
        os.utime(entry.path, (1000 - age, 1000 - age))
    assert cache.get(digest_of(["old"]), tmp_path / "out")  # now the most recently used
    removed = cache.prune(700)
    assert (removed.entries, removed.size) == (1, 600)
    assert not cache.get(digest_of(["middle"]), tmp_path / "none")
    assert cache.get(digest_of(["new"]), tmp_path / "out2")


def test_trim_keeps_the_limit(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache", limit=1000)
    for index in range(20):
        cache.put(digest_of([str(index)]), written(tmp_path / "object", bytes([index]) * 100))
    cache.trim()
    assert cache.statistics().size == 800


def test_clear_leaves_files_of_others_alone(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    mine = written(tmp_path / "thesis.o", b"precious")
    cache.put(KEY, written(tmp_path / "object", b"content"))
    (cache.root / "objects-v1" / "tmp" / "left-behind").write_bytes(b"")
    assert cache.clear().entries == 1
    assert mine.exists()
    assert [path for path in (tmp_path / "objects-v1").rglob("*") if path.is_file()] == []


def test_an_unusable_directory_warns_once_and_misses(tmp_path: Path) -> None:
    cache = ObjectCache(written(tmp_path / "file", b"") / "cache")
    source = written(tmp_path / "object", b"content")
    assert not cache.get(KEY, tmp_path / "out")
    with pytest.warns(CacheWarning, match="cannot write"):
        assert not cache.put(KEY, source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not cache.put(KEY, source)
        assert cache.statistics().entries == 0
        cache.trim()


def store_and_fetch(root: Path, worker: int) -> None:
    cache = ObjectCache(root)
    for index in range(40):
        content = str(index).encode() * 1000
        scratch = root / f"scratch-{worker}-{index}"
        scratch.write_bytes(content)
        cache.put(digest_of([str(index)]), scratch)
        fetched = root / f"fetched-{worker}-{index}"
        if cache.get(digest_of([str(index)]), fetched):
            assert fetched.read_bytes() == content
        if index % 10 == worker:
            cache.prune(20_000)


def test_concurrent_processes_see_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=store_and_fetch, args=(tmp_path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4


def test_digest_separates_its_parts() -> None:
    assert digest_of(["ab", "c"]) != digest_of(["a", "bc"])
    assert digest_of(["a"]) == digest_of([b"a"])


def test_directory_and_limit_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIT_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("AIT_CACHE_SIZE", "512M")
    assert cache_directory() == Path("/somewhere")
    assert cache_limit() == 512 << 20
    monkeypatch.delenv("AIT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/ait")


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("123", 123), ("1.5GiB", 3 << 29), ("2k", 2048), ("1 TB", 1 << 40)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1X", "nan", "inf"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(CompileError, match="not a size"):
        parse_size(text)


def test_a_whole_file_is_readable_by_others_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    for content in (b"old", b"new"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "path" / "taken").mkdir(parents=True)
    with pytest.raises(OSError):
        write_whole(tmp_path / "path", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "path"]
