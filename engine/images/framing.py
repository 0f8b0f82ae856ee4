"""How an image file is framed: magic numbers, then each message after its length.

All integers are u32 in the byte order of the machine (criu/protobuf.c, criu/include/magic.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from engine.errors import BadImage, UnknownFormat
from engine.images import limits
from engine.images.files import read_image
from engine.printable import printable

M = TypeVar("M", bound=Message)

_COMMON: Final = 0x54564319
_SERVICE: Final = 0x55105940
_U32: Final = struct.Struct("=I")
LENGTH_BYTES: Final = _U32.size
# CRIU and crit take the length for a signed number.
_LONGEST: Final = 2**31 - 1
_VARINT: Final = 0
NEWER_CRIU: Final = "it was made by a CRIU newer than this dirtytop: use that CRIU, or a newer dirtytop"
"""The hint of `UnknownFormat`."""


class Magic(IntEnum):
    """What kind of image a file is."""

    INVENTORY = 0x58313116
    PSTREE = 0x50273030
    PAGEMAP = 0x56084025
    CORE = 0x55053847
    MM = 0x57492820
    STATS = 0x57093306
    USERNS = 0x55474906
    FILES = 0x56303138
    MEMFD_INODE = 0x48453499
    DEBUG = 0x44547443
    """Ours; no kind of CRIU's has this number."""


_LIMITS: Final = {
    Magic.INVENTORY: limits.INVENTORY,
    Magic.PSTREE: limits.PSTREE,
    Magic.CORE: limits.CORE,
    Magic.MM: limits.MM,
    Magic.STATS: limits.STATS,
    Magic.USERNS: limits.USERNS,
    Magic.FILES: limits.FILES,
    Magic.MEMFD_INODE: limits.FILES,
    Magic.DEBUG: limits.DEBUG,
}


def header(magic: Magic) -> bytes:
    """What a file of this kind begins with. The inventory alone has no number before its own."""
    if magic is Magic.INVENTORY:
        return _U32.pack(magic)
    return _U32.pack(_SERVICE if magic is Magic.STATS else _COMMON) + _U32.pack(magic)


def pack(magic: Magic, messages: Iterable[Message]) -> bytes:
    """A whole file."""
    parts = [header(magic)]
    for message in messages:
        payload = message.SerializeToString()
        parts += (_U32.pack(len(payload)), payload)
    return b"".join(parts)


def payload_bounds(data: bytes, magic: Magic, path: Path, most: int) -> Iterator[tuple[int, int]]:
    """Where each message of a file begins and ends, one after the other.

    Args:
        data: the whole file.
        magic: what kind of file it has to be.
        path: its name, for errors.
        most: how many messages it may hold.

    Raises:
        BadImage: it is of another kind, ends within a message, or holds too many.
    """
    at, count = after_header(data, magic, path), 0
    while at + LENGTH_BYTES <= len(data):
        begin = at + LENGTH_BYTES
        length = message_length(data, at)
        if length > len(data) - begin:
            raise cut_short(path, at, length, len(data) - begin)
        if count == most:
            raise bad(path, at, f"more than {most} messages")
        count += 1
        at = begin + length
        yield begin, at
    if at < len(data):
        raise bad(path, at, "the file ends within the length of a message")


def message_length(data: bytes, at: int) -> int:
    """The length that stands before a message."""
    length: int = _U32.unpack_from(data, at)[0]
    return length


def cut_short(path: Path, at: int, length: int, left: int) -> BadImage:
    """The error for a message, at a byte offset of a file, that is longer than what is left of it."""
    why = "an absurd length" if length > _LONGEST else "the file ends within a message"
    return bad(path, at, f"{why} ({length} bytes, {left} are left)")


def after_header(data: bytes, magic: Magic, path: Path) -> int:
    """Where the first message of a file begins.

    Raises:
        BadImage: it is of another kind than `magic`.
    """
    expected = header(magic)
    if not data.startswith(expected):
        if len(data) < len(expected):
            raise bad(path, 0, f"the file ends within its magic number ({len(data)} bytes)")
        at = next(at for at in range(0, len(expected), 4) if data[at : at + 4] != expected[at : at + 4])
        found = _U32.unpack_from(data, at)[0]
        wanted = _U32.unpack_from(expected, at)[0]
        raise bad(path, at, f"not a {magic.name.lower()} image (magic {found:#010x}, not {wanted:#010x})")
    return len(expected)


def parse(
    kind: type[M],
    data: bytes,
    start: int,
    end: int,
    path: Path,
    *,
    base: int = 0,
    is_whole: bool = True,
) -> M:
    """The message at `data[start:end]`.

    Args:
        kind: what it has to be.
        data: a part of the file.
        start, end: where in that it lies.
        path: the file's name, for errors.
        base: where in the file `data` begins, for errors.
        is_whole: whether all required fields have to be there.

    Raises:
        BadImage: these bytes are no such message.
        UnknownFormat: a required field has a value that only newer ones have.
    """
    try:
        # Without a copy; the stubs know of no other buffers than bytes.
        message = kind.FromString(cast(bytes, memoryview(data)[start:end]))
    except DecodeError as error:
        raise bad(path, base + start, f"not a {kind.DESCRIPTOR.name} ({printable(str(error))})") from error
    # Parsing alone does not mind that a required field is missing.
    if is_whole and not message.IsInitialized():
        raise _incomplete(message, path, base + start)
    return message


def _incomplete(message: Message, path: Path, offset: int) -> BadImage:
    """The error for a message that lacks a required field, or has a value of it that only newer ones have."""
    fields = type(message).DESCRIPTOR.fields_by_number
    for unknown in unknown_fields(message):
        field = fields.get(unknown.number)
        # Protobuf keeps a value that an enum does not have among the unknown fields.
        if field is not None and field.enum_type is not None and unknown.wire_type == _VARINT:
            return UnknownFormat(
                f"{printable(str(path))}: at byte {offset}: {field.name} {unknown.data} is not known here",
                hint=NEWER_CRIU,
            )
    return bad(path, offset, f"not a {type(message).DESCRIPTOR.name} (a required field is missing)")


class Unknown(NamedTuple):
    """A field of a message that its `.proto` file does not have, or not with this value."""

    number: int
    wire_type: int
    data: object


def unknown_fields(message: Message) -> list[Unknown]:
    """Those of a message, but for what its parts have."""
    found = UnknownFieldSet(message)
    fields = [found[at] for at in range(len(found))]
    return [Unknown(field.field_number, field.wire_type, field.data) for field in fields]


def read_messages(path: Path, magic: Magic, kind: type[M]) -> list[M]:
    """All messages of an image file, which is of any kind but `PAGEMAP`.

    Raises:
        BadImage: the file is missing, damaged, or larger than any of its kind; the message says where.
    """
    limit = _LIMITS[magic]
    data = read_image(path, limit.most_bytes)
    bounds = payload_bounds(data, magic, path, limit.most_messages)
    return [parse(kind, data, start, end, path) for start, end in bounds]


def read_message(path: Path, magic: Magic, kind: type[M]) -> M:
    """The one message of an image file. Errors as of `read_messages`."""
    messages = read_messages(path, magic, kind)
    if len(messages) != 1:
        raise BadImage(f"{printable(str(path))} holds {len(messages)} messages instead of one")
    return messages[0]


def bad(path: Path, offset: int, why: str) -> BadImage:
    """The error for damage at a byte offset of a file."""
    return BadImage(f"{printable(str(path))}: at byte {offset}: {why}")
