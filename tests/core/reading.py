"""Reads ELF cores, in as few lines as it takes: an independent witness of what was written."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = 4096


class Load(NamedTuple):
    """One PT_LOAD."""

    start: int
    end: int
    flags: int
    offset: int
    file_bytes: int

    @property
    def saved_end(self) -> int:
        return self.start + self.file_bytes


class Note(NamedTuple):
    owner: bytes
    kind: int
    content: bytes


class ElfCore:
    """A core file."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", 0)  # noqa: SIM115 - closed by whoever drops it
        header = struct.unpack("<16sHHIQQQIHHHHHH", self._file.read(64))
        assert header[0][:6] == b"\x7fELF\x02\x01"
        assert header[1] == 4  # ET_CORE
        at, sections_at, count = header[5], header[6], header[10]
        if count == 0xFFFF:
            count = struct.unpack("<IIQQQQIIQQ", self._read(sections_at, 64))[7]
        table = list(struct.iter_unpack("<IIQQQQQQ", self._read(at, 56 * count)))
        self.loads = [Load(p[3], p[3] + p[6], p[1], p[2], p[5]) for p in table if p[0] == 1]
        self.notes = [note for p in table if p[0] == 4 for note in self._notes(self._read(p[2], p[5]))]
        self.size_bytes = os.fstat(self._file.fileno()).st_size

    def _read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._file.fileno(), length, offset)
        assert len(data) == length, f"the file ends before {offset + length}"
        return data

    def _notes(self, data: bytes) -> Iterator[Note]:
        at = 0
        while at < len(data):
            owner_bytes, content_bytes, kind = struct.unpack_from("<III", data, at)
            owner = data[at + 12 : at + 12 + owner_bytes - 1]
            at += 12 + -(-owner_bytes // 4) * 4
            yield Note(owner, kind, data[at : at + content_bytes])
            at += -(-content_bytes // 4) * 4

    def of_kind(self, kind: int) -> list[bytes]:
        return [note.content for note in self.notes if note.kind == kind]

    def saved(self) -> dict[int, bytes]:
        """Every page that is in it, by address."""
        pages = {}
        for load in self.loads:
            data = self._read(load.offset, load.file_bytes)
            for at in range(0, load.file_bytes, PAGE):
                pages[load.start + at] = data[at : at + PAGE]
        return pages
