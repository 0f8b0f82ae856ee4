"""The bytes of an ELF core: its header, its table of segments, its notes (linux/elf.h, elf(5)).

Little-endian, 64 bits: what x86-64 and aarch64 are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from engine.pageset import PAGE_SIZE

MACHINES: Final = {"x86_64": 62, "aarch64": 183}
"""EM_* by the name of the architecture."""

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_NOTE: Final = struct.Struct("<III")
_IDENT: Final = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_ET_CORE: Final = 4
_PT_LOAD: Final = 1
_PT_NOTE: Final = 4
_PN_XNUM: Final = 0xFFFF
"""Said of the number of segments where it does not fit: it is in the first section's `sh_info` then."""
_EXECUTE, _WRITE, _READ = 1, 2, 4


class Segment(NamedTuple):
    """Some memory, and whether the core has what was in it."""

    start: int
    """Byte address."""
    end: int
    protection: int
    """PROT_* bits."""
    file_bytes: int
    """How much of it, from its start, is in the core."""


class Placed(NamedTuple):
    """A segment, and where in the file it is."""

    segment: Segment
    offset: int


def note(name: bytes, kind: int, content: bytes) -> bytes:
    """One note, with what pads it to words."""
    owner = name + b"\0"
    return _NOTE.pack(len(owner), len(content), kind) + _padded(owner) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def place(segments: Iterable[Segment], notes_bytes: int, count: int) -> list[Placed]:
    """Where each segment goes: behind the notes, at whole pages, one after the other."""
    at = _up_to_page(_notes_at(count) + notes_bytes)
    placed = []
    for segment in segments:
        placed.append(Placed(segment, at))
        at += _up_to_page(segment.file_bytes)
    return placed


def head(machine: int, notes: bytes, placed: Sequence[Placed]) -> bytes:
    """Everything before the memory: header, segments, notes; and a section if there are very many segments.

    Args:
        machine: one of `MACHINES`.
        notes: all of them.
        placed: as of `place`, for these notes.
    """
    count = len(placed) + 1
    is_many = count >= _PN_XNUM
    parts = [
        _HEADER.pack(
            _IDENT,
            _ET_CORE,
            machine,
            1,
            0,
            _HEADER.size,
            _HEADER.size + count * _SEGMENT.size if is_many else 0,
            0,
            _HEADER.size,
            _SEGMENT.size,
            _PN_XNUM if is_many else count,
            _SECTION.size if is_many else 0,
            1 if is_many else 0,
            0,
        ),
        _SEGMENT.pack(_PT_NOTE, 0, _notes_at(len(placed)), 0, 0, len(notes), 0, 4),
    ]
    for segment, offset in placed:
        length = segment.end - segment.start
        flags = _flags(segment.protection)
        parts.append(
            _SEGMENT.pack(_PT_LOAD, flags, offset, segment.start, 0, segment.file_bytes, length, PAGE_SIZE)
        )
    if is_many:
        parts.append(_SECTION.pack(0, 0, 0, 0, 0, 1, 0, count, 0, 0))
    parts.append(notes)
    return b"".join(parts)


def _notes_at(count: int) -> int:
    """Where the notes are if there are so many segments of memory."""
    headers = _HEADER.size + (count + 1) * _SEGMENT.size
    return headers + (_SECTION.size if count + 1 >= _PN_XNUM else 0)


def _flags(protection: int) -> int:
    """PF_* of PROT_*: the same bits in another order."""
    return (
        (_READ if protection & 1 else 0)
        | (_WRITE if protection & 2 else 0)
        | (_EXECUTE if protection & 4 else 0)
    )


def _up_to_page(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_SIZE) * PAGE_SIZE
