"""Reads what a compiled model says of itself from its file, without loading or executing it."""

import json
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ait.errors import AitError

SECTION = b".ait.metadata"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
_SECTION = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
_MAGIC = b"\x7fELF\x02\x01"  # 64-bit, little-endian
_SHT_NOBITS = 8

# Far above what any model has, far below what could exhaust memory.
_MAX_METADATA = 256 << 20
_MAX_NAMES = 16 << 20


class _Section(NamedTuple):
    name: int  # offset into the table of names
    type: int
    offset: int
    size: int
    link: int


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata of a compiled model: name, target, inputs, outputs, symbols, weights, kernels.

    Raises:
        AitError: the file cannot be read, is truncated or is not a model that ait compiled.
    """
    file_path = Path(path)
    try:
        with file_path.open("rb") as file:
            text = _ElfFile(file, file_path).section(SECTION)
    except OSError as error:
        raise AitError(f"{file_path}: {error.strerror or error}") from error
    try:
        metadata: Any = json.loads(text.rstrip(b"\0").decode())
    except (ValueError, RecursionError) as error:
        raise AitError(f"{file_path}: the model's metadata is damaged: {error}") from error
    if not isinstance(metadata, dict):
        raise AitError(f"{file_path}: the model's metadata is damaged: not an object")
    return cast("dict[str, Any]", metadata)


def weights_file_of(library: Path) -> Path:
    """Where a compiled model's weights are if they are not in its library."""
    return library.with_suffix(".safetensors")


class _ElfFile:
    """Just enough of an ELF reader to find one section by name; trusts no number in the file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = file.seek(0, os.SEEK_END)

    def section(self, name: bytes) -> bytes:
        sections, names = self._sections()
        for section in sections:
            end = names.find(b"\0", section.name)
            if end >= 0 and names[section.name : end] == name and section.type != _SHT_NOBITS:
                return self._read(section.offset, section.size, _MAX_METADATA)
        raise AitError(f"{self._path}: not a model that ait compiled (no {name.decode()} section)")

    def _sections(self) -> tuple[list[_Section], bytes]:
        """All sections and the table of their names."""
        if self._size < _HEADER.size or self._read(0, len(_MAGIC), 16) != _MAGIC:
            raise AitError(f"{self._path}: not a model that ait compiled (no 64-bit ELF library)")
        header = _HEADER.unpack(self._read(0, _HEADER.size, _HEADER.size))
        start, entry_size, count, names_index = header[6], header[11], header[12], header[13]
        if start == 0 or entry_size != _SECTION.size:
            raise AitError(f"{self._path}: the library has no section table (was it stripped?)")
        first = self._section_at(start)
        # Numbers that do not fit the header are kept in the first section's entry.
        count = count or first.size
        names_index = first.link if names_index == 0xFFFF else names_index
        if names_index >= count or count > self._size // _SECTION.size:
            raise self._damaged()
        sections = [self._section_at(start + i * _SECTION.size) for i in range(count)]
        table = sections[names_index]
        return sections, self._read(table.offset, table.size, _MAX_NAMES)

    def _section_at(self, offset: int) -> _Section:
        fields = _SECTION.unpack(self._read(offset, _SECTION.size, _SECTION.size))
        return _Section(fields[0], fields[1], fields[4], fields[5], fields[6])

    def _read(self, offset: int, size: int, limit: int) -> bytes:
        if size > limit or offset + size > self._size:
            raise self._damaged()
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise self._damaged()
        return data

    def _damaged(self) -> AitError:
        return AitError(f"{self._path}: the library is truncated or damaged")
