"""What a chain's memory is, found out slowly, page by page, and with none of the code that is tested.

It believes what it reads, and is to be asked only of chains that are said to be sound.
"""

from __future__ import annotations

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGESIZE")
PARENT, LAZY, PRESENT = 1, 2, 4


def memory_at_the_end(link: Path, name: str) -> dict[int, tuple[bool, bytes]]:
    """Each page that a pagemap of the last link of a chain lists: whether a restore may bring it in late,
    and its data."""
    chain = [(listed(link, name), (link / f"pages-{pages_id(link, name)}.img").read_bytes())]
    while (link / "parent" / name).exists():
        link = link / "parent"
        chain.append((listed(link, name), (link / f"pages-{pages_id(link, name)}.img").read_bytes()))
    newest, _ = chain[0]
    return {page: page_of(chain, page) for page in newest}


def page_of(chain: list[tuple[dict[int, tuple[int, int]], bytes]], page: int) -> tuple[bool, bytes]:
    """The same of one page, from the newest link or from as far up as it takes."""
    for pages, data in chain:
        flags, place = pages[page]
        if flags & PRESENT:
            return bool(flags & LAZY), data[place * PAGE : (place + 1) * PAGE]
        assert flags & PARENT, f"page {page:#x} is nowhere"
    raise AssertionError(f"page {page:#x} is left to a parent that there is not")


def listed(link: Path, name: str) -> dict[int, tuple[int, int]]:
    """For each page that a pagemap lists: its flags, and how many pages lie before it in the pages file."""
    found: dict[int, tuple[int, int]] = {}
    place = 0
    for fields in messages(link / name)[1:]:
        flags = fields.get(4, 0) | (PARENT if fields.get(3) else 0) or PRESENT
        count = fields[5] if 5 in fields else fields[2]
        for page in range(fields[1] // PAGE, fields[1] // PAGE + count):
            found[page] = (flags, place)
            place += 1 if flags & PRESENT else 0
    return found


def pages_id(link: Path, name: str) -> int:
    """Which pages file belongs to a pagemap."""
    return messages(link / name)[0][1]


def messages(path: Path) -> list[dict[int, int]]:
    """The fields of each message of a pagemap."""
    return fields_of(path.read_bytes())


def fields_of(data: bytes) -> list[dict[int, int]]:
    """The same of what is in one. All are numbers; of one that comes twice, the last counts."""
    at, found = 8, []
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        at += 4
        fields = {}
        while at < end:
            tag, at = varint(data, at)
            value, at = varint(data, at)
            fields[tag >> 3] = value & (2**32 - 1 if tag >> 3 in (2, 4) else 2**64 - 1)
        found.append(fields)
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, low ones first, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at
