"""The weights of a model as an object file: what an assembler would make of them, which reads and
writes all of them once more.

The format is ELF of 64 bits (System V ABI, chapters 4 and 5), as the linker takes it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from ait.errors import CompileError

SYMBOL = "ait_weights_blob"
ALIGNMENT = 4096

_MAGIC, _WIDE, _BIG_END = b"\x7fELF", 2, 2
_RELOCATABLE, _CURRENT = 1, 1
_X86_64 = 62
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3
_ALLOC, _LARGE = 0x2, 0x10000000
_GLOBAL_OBJECT, _HIDDEN = 0x11, 2
_HEADER_BYTES, _SECTION_BYTES, _SYMBOL_BYTES = 64, 64, 24


class _Section(NamedTuple):
    """An entry of the table of sections, but for its name."""

    kind: int = 0
    flags: int = 0
    offset: int = 0
    size: int = 0
    link: int = 0
    info: int = 0
    alignment: int = 0
    entry_bytes: int = 0


class _Machine(NamedTuple):
    """What its objects say of a machine; `order`: that of bytes, as `struct` writes it."""

    order: str
    number: int
    flags: int


def around_blob(size: int, like: Path, symbol: str = SYMBOL) -> tuple[bytes, bytes]:
    """What stands before and behind `size` bytes, at least one, in an object file that defines them
    as the hidden symbol `symbol`, at a multiple of `ALIGNMENT`. It is for the machine that the
    object file `like` is for.

    On x86-64 the data is in a *large* section, which the linker puts behind everything else: more
    than 2 GB of it do not break the 32-bit distances between code and its data. Declare it as
    `extern "C" __attribute__((visibility("hidden"))) const unsigned char ait_weights_blob[];` and
    use it in the static initializer of the description only (a 64-bit relocation).
    Raises OSError, and CompileError where `like` is no object of this format.
    """
    machine = _machine_of(like)
    is_large = machine.number == _X86_64
    data_name = ".lrodata" if is_large else ".rodata"
    names, places = _strings(data_name, ".note.GNU-stack", ".symtab", ".strtab", ".shstrtab")
    symbol_names, (symbol_place,) = _strings(symbol)
    symbols = bytes(_SYMBOL_BYTES) + struct.pack(
        f"{machine.order}IBBHQQ", symbol_place, _GLOBAL_OBJECT, _HIDDEN, 1, 0, size
    )
    end = ALIGNMENT + size
    begin = -(-end // 8) * 8
    strings = begin + len(symbols)
    sections = (
        _Section(
            _PROGBITS, _ALLOC | (_LARGE if is_large else 0), ALIGNMENT, size, alignment=ALIGNMENT
        ),
        _Section(_PROGBITS, offset=end, alignment=1),
        _Section(_SYMTAB, 0, begin, len(symbols), 4, 1, 8, _SYMBOL_BYTES),
        _Section(_STRTAB, 0, strings, len(symbol_names), alignment=1),
        _Section(_STRTAB, 0, strings + len(symbol_names), len(names), alignment=1),
    )
    tables = bytes(begin - end) + symbols + symbol_names + names
    table = -(-(end + len(tables)) // 8) * 8
    tail = tables.ljust(table - end, b"\0") + _table(machine, sections, places)
    return _header(machine, table, 1 + len(sections)).ljust(ALIGNMENT, b"\0"), tail


def _machine_of(path: Path) -> _Machine:
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    if len(start) < _HEADER_BYTES or start[:5] != _MAGIC + bytes([_WIDE]):
        raise CompileError(f"{path.name} is no object of ELF with 64 bits: {start[:5]!r}")
    order = ">" if start[5] == _BIG_END else "<"
    (number,) = struct.unpack_from(f"{order}H", start, 18)
    (flags,) = struct.unpack_from(f"{order}I", start, 48)
    return _Machine(order, number, flags)


def _strings(*texts: str) -> tuple[bytes, list[int]]:
    """A table of strings, and where each begins in it."""
    table, places = b"\0", list[int]()
    for text in texts:
        places.append(len(table))
        table += text.encode() + b"\0"
    return table, places


def _header(machine: _Machine, table: int, sections: int) -> bytes:
    ident = _MAGIC + bytes([_WIDE, _BIG_END if machine.order == ">" else 1, _CURRENT])
    return struct.pack(
        f"{machine.order}16sHHIQQQIHHHHHH",
        ident, _RELOCATABLE, machine.number, _CURRENT, 0, 0, table, machine.flags,
        _HEADER_BYTES, 0, 0, _SECTION_BYTES, sections, sections - 1,
    )  # fmt: skip


def _table(machine: _Machine, sections: tuple[_Section, ...], names: list[int]) -> bytes:
    """The sections behind the first, which is empty in every file."""
    entries = [
        struct.pack(
            f"{machine.order}IIQQQQIIQQ",
            name, s.kind, s.flags, 0, s.offset, s.size, s.link, s.info, s.alignment, s.entry_bytes,
        )
        for name, s in zip(names, sections, strict=True)
    ]  # fmt: skip
    return bytes(_SECTION_BYTES) + b"".join(entries)
