"""Reads the mappings of a dumped process from `mm-PID.img`, some thousands at a time.

Where `vm.max_map_count` is raised, as some distributions do, a process may have a million of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.images import limits
from engine.images.files import read_image
from engine.images.framing import Magic, bad, parse, payload_bounds
from engine.images.layout import mm_name
from engine.images.proto.mm_pb2 import MmEntry, VmaEntry

_PIECE_BYTES: Final = 1 << 20
_MAPPING: Final = MmEntry.DESCRIPTOR.fields_by_name["vmas"].number << 3 | 2
_LONG: Final = 0x80
_MOST_DIGITS: Final = 10
_REPEATED: Final = [field.name for field in MmEntry.DESCRIPTOR.fields if field.is_repeated]


def read_mappings(directory: Path, pid: int) -> Iterator[Sequence[VmaEntry]]:
    """All mappings of a process, in the order of the image.

    Raises:
        BadImage: the image is missing or damaged. What is whole of it may have come out before.
    """
    path = directory / mm_name(pid)
    data = read_image(path, limits.MM.most_bytes)
    bounds = list(payload_bounds(data, Magic.MM, path, limits.MM.most_messages))
    if len(bounds) != 1:
        raise bad(path, 0, f"it holds {len(bounds)} messages instead of one")
    ((begin, end),) = bounds
    whole = MmEntry()
    for first, after in _pieces(data, begin, end, path):
        # Some fields of a message are a message of their own, which lacks the others.
        piece = parse(MmEntry, data, first, after, path, is_whole=False)
        filled = MmEntry()
        filled.CopyFrom(_ANY)
        filled.MergeFrom(piece)
        if not filled.IsInitialized():
            raise bad(path, first, "not a VmaEntry (a required field is missing)")
        yield piece.vmas
        for name in _REPEATED:
            piece.ClearField(name)
        whole.MergeFrom(piece)
    if not whole.IsInitialized():
        raise bad(path, begin, "not a MmEntry (a required field is missing)")


def _any() -> MmEntry:
    made = MmEntry()
    for field in MmEntry.DESCRIPTOR.fields:
        if field.is_required:
            setattr(made, field.name, 0)
    return made


_ANY: Final = _any()
"""What lacks nothing: with a part of another one in it, it lacks what is missing within that part."""


def _pieces(data: bytes, begin: int, end: int, path: Path) -> Iterator[tuple[int, int]]:
    """Cut a message between its fields."""
    first = at = begin
    others = 0
    while at < end:
        # The one field that there may be very many of, short as it always is.
        if data[at] == _MAPPING and at + 1 < end and data[at + 1] < _LONG:
            after = at + 2 + data[at + 1]
        else:
            after = _after_field(data, at, end, path)
            others += 1
        if after > end:
            raise bad(path, at, "a field that is longer than its message")
        if others > limits.MM_OTHER_FIELDS:
            raise bad(path, at, f"more than {limits.MM_OTHER_FIELDS} fields besides the mappings")
        if after - first > _PIECE_BYTES and at > first:
            yield first, at
            first = at
        at = after
    yield first, end


def _after_field(data: bytes, at: int, end: int, path: Path) -> int:
    tag, after = _varint(data, at, end, path)
    match tag & 7:
        case 0:
            _, after = _varint(data, after, end, path)
        case 1:
            after += 8
        case 2:
            length, after = _varint(data, after, end, path)
            after += length
        case 5:
            after += 4
        case _:
            raise bad(path, at, "a field of a type that there is not")
    return after


def _varint(data: bytes, at: int, end: int, path: Path) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    for after in range(at, min(end, at + _MOST_DIGITS)):
        byte = data[after]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, after + 1
        shift += 7
    raise bad(path, at, "a number without end")
