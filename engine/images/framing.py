"""How messages lie in an image file: magic numbers, then each message behind its length.

All integers are u32 in the byte order of the machine (criu/protobuf.c, criu/include/magic.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from engine.errors import BadImage
from engine.images.files import read_image
from engine.pageset import Int64Array
from engine.printable import printable

M = TypeVar("M", bound=Message)

_COMMON: Final = 0x54564319
_SERVICE: Final = 0x55105940
_U32: Final = struct.Struct("=I")
# CRIU and crit take the length for a signed number.
_LONGEST: Final = 2**31 - 1


class Magic(IntEnum):
    """What kind of image a file is."""

    INVENTORY = 0x58313116
    PSTREE = 0x50273030
    PAGEMAP = 0x56084025
    CORE = 0x55053847
    MM = 0x57492820
    STATS = 0x57093306
    USERNS = 0x55474906


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


def payload_bounds(data: bytes, magic: Magic, path: Path) -> Int64Array:
    """Where each message of a file begins and ends, shape (n, 2).

    Args:
        data: the whole file.
        magic: what kind of file it has to be.
        path: its name, for errors.

    Raises:
        BadImage: it is of another kind, or ends within a message.
    """
    at = _after_header(data, magic, path)
    size, unpack, starts = len(data), _U32.unpack_from, []
    # Each length says where the next one is: a loop, and a tight one, for there may be many.
    while at + 4 <= size:
        at += 4
        starts.append(at)
        at += unpack(data, at - 4)[0]
    if at > size:
        begin = starts[-1]
        why = "an absurd length" if at - begin > _LONGEST else "the file ends within a message"
        raise bad(path, begin - 4, f"{why} ({at - begin} bytes, {size - begin} are left)")
    if at < size:
        raise bad(path, at, "the file ends within the length of a message")
    bounds = np.empty((len(starts), 2), np.int64)
    bounds[:, 0] = starts
    bounds[:-1, 1] = bounds[1:, 0] - 4
    bounds[-1:, 1] = size
    return bounds


def _after_header(data: bytes, magic: Magic, path: Path) -> int:
    expected = header(magic)
    if not data.startswith(expected):
        if len(data) < len(expected):
            raise bad(path, 0, f"the file ends within its magic number ({len(data)} bytes)")
        at = next(at for at in range(0, len(expected), 4) if data[at : at + 4] != expected[at : at + 4])
        found = _U32.unpack_from(data, at)[0]
        wanted = _U32.unpack_from(expected, at)[0]
        raise bad(path, at, f"not a {magic.name.lower()} image (magic {found:#010x}, not {wanted:#010x})")
    return len(expected)


def parse(kind: type[M], data: bytes, start: int, end: int, path: Path) -> M:
    """The message at `data[start:end]`.

    Raises:
        BadImage: these bytes are no such message.
    """
    try:
        message = kind.FromString(data[start:end])
    except DecodeError as error:
        raise bad(path, start, f"not a {kind.DESCRIPTOR.name} ({printable(str(error))})") from error
    # Parsing alone does not mind that a required field is missing.
    if not message.IsInitialized():
        raise bad(path, start, f"not a {kind.DESCRIPTOR.name} (a required field is missing)")
    return message


def read_messages(path: Path, magic: Magic, kind: type[M]) -> list[M]:
    """All messages of an image file.

    Raises:
        BadImage: the file is missing or damaged; the message says where.
    """
    data = read_image(path)
    bounds = payload_bounds(data, magic, path).tolist()
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
