"""Reads mapped files, shared memory among them, through the processes that map them.

A process may be told when a file is opened (inotify(7), fanotify(7)), or hold a lease that an opening breaks
(fcntl(2), F_SETLEASE). So files are read where they are mapped, and opened only if that cannot be. Shared
memory is opened: reading a hole of it where it is mapped would fill the hole.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.core.filling import Filled, Filler, from_file
from engine.core.process import CoreMapping, CoreProcess
from engine.errors import NotPermitted
from engine.pageset import PAGE_SHIFT, PAGE_SIZE, PageSet
from engine.printable import printable

_IN_MEMORY: Final = (b"/dev/zero", b"/SYSV", b"/memfd:", b"/dev/shm/")
"""What the names of files begin with that are nowhere but in memory."""
_PIECE_PAGES: Final = (1 << 20) >> PAGE_SHIFT
_READ_AT_ONCE_PAGES: Final = (8 << 20) >> PAGE_SHIFT
"""So much is read of a mapping before it is known where it goes: what comes later may find it gone."""
_OF_FILE: Final = np.uint64(1 << 61)
"""Of an entry of `/proc/PID/pagemap`: a page that shows a file, and is not the process's own."""
_PRESENT_OR_SWAPPED: Final = np.uint64(3 << 62)
_ENTRY_BYTES: Final = 8


class Running:
    """The processes of a tree that runs."""

    def __init__(self, pids: dict[int, int], held: ExitStack) -> None:
        """Nothing is opened yet.

        Args:
            pids: of each process, by the pid that it knows itself by.
            held: takes what is opened, to close it.
        """
        self._pids = pids
        self._held = held

    def filler_of(self, process: CoreProcess, mapping: CoreMapping, pages: PageSet) -> Filler | None:
        """How to read these pages of a mapping of a file, which a process has not changed.

        None if it has the mapping no more, or we may not read it. Shared memory may have changed since the
        process was stopped.
        """
        pid = self._pids.get(process.pid)
        if pid is None or not mapping.name:
            return None
        if not mapping.name.startswith(_IN_MEMORY):
            return self._in_place(pid, mapping, pages)
        fd = self._file(pid, mapping)
        if fd is None:
            return None
        return Filler(lambda pages: from_file(fd, mapping, pages), is_torn=mapping.is_shared)

    def _file(self, pid: int, mapping: CoreMapping) -> int | None:
        """The mapped file itself (proc_pid_map_files(5)), which takes CAP_CHECKPOINT_RESTORE."""
        fd = self._open(_map_file(pid, mapping))
        if fd is None:
            return None
        status = os.fstat(fd)
        return fd if stat.S_ISREG(status.st_mode) and status.st_ino == mapping.inode else None

    def _open(self, name: str) -> int | None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # it has exited, or unmapped it; or we may not
            return None
        self._held.callback(os.close, fd)
        return fd

    def _in_place(self, pid: int, mapping: CoreMapping, pages: PageSet) -> Filler | None:
        memory, pagemap = self._open(f"/proc/{pid}/mem"), self._open(f"/proc/{pid}/pagemap")
        if memory is None or pagemap is None or not _is_still_there(pid, mapping):
            return None
        if pages.count > _READ_AT_ONCE_PAGES:
            return Filler(
                lambda wanted: self._read_in_place(pid, mapping, memory, pagemap, wanted),
                is_torn=mapping.is_shared,
            )
        try:
            found = list(self._read_in_place(pid, mapping, memory, pagemap, pages))
        except NotPermitted:
            return None
        # Another program may have taken its place while it was read.
        if not _is_still_there(pid, mapping):
            return None
        return Filler(lambda wanted: iter(found), is_torn=mapping.is_shared)

    def _read_in_place(
        self, pid: int, mapping: CoreMapping, memory: int, pagemap: int, pages: PageSet
    ) -> Filled:
        """Pages as the file has them: those that the process has made its own meanwhile, from the file."""
        for chunk in pages.chunks(_PIECE_PAGES, 1):
            first, end = int(chunk.starts[0]), int(chunk.ends[0])
            data = memoryview(_read(memory, first, end))
            read = PageSet.from_ranges([(first, first + (len(data) >> PAGE_SHIFT))])
            kept = read
            if not mapping.is_shared:
                # What shows the file after it was read, did so before.
                kept &= PageSet.from_pages(first + np.flatnonzero(_shows_file(pagemap, first, end)))
            for from_page, to_page in kept.ranges():
                begin, stop = ((page - first) << PAGE_SHIFT for page in (from_page, to_page))
                yield PageSet.from_ranges([(from_page, to_page)]), data[begin:stop]
            if lacking := (chunk - kept).clip(first, self._end_of_file(pid, mapping)):
                yield from self._from_file(pid, mapping, lacking)

    def _end_of_file(self, pid: int, mapping: CoreMapping) -> int:
        """Page number in the process's memory behind which there is nothing of the file any more."""
        for name in (_map_file(pid, mapping), os.fsencode(f"/proc/{pid}/root") + mapping.name):
            try:
                size_bytes = os.stat(name).st_size
            except OSError:  # we may not, or it has another name by now
                continue
            behind = mapping.start + max(0, size_bytes - mapping.offset)
            return -(-behind // PAGE_SIZE)
        return mapping.end >> PAGE_SHIFT

    def _from_file(self, pid: int, mapping: CoreMapping, pages: PageSet) -> Filled:
        fd = self._file(pid, mapping)
        if fd is None:
            name = printable(mapping.name)
            raise NotPermitted(
                f"process {pid}: not permitted to read {name}, a mapping of which it has just changed",
                pid=pid,
                hint="run as root, or try again",
            )
        yield from from_file(fd, mapping, pages)


def _map_file(pid: int, mapping: CoreMapping) -> str:
    return f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"


def _is_still_there(pid: int, mapping: CoreMapping) -> bool:
    """Whether a process has this mapping, as far as we may know."""
    name = _map_file(pid, mapping)
    try:
        os.lstat(name)
    except OSError:
        return False
    try:
        return os.stat(name).st_ino == mapping.inode
    except OSError:  # to be told more takes CAP_CHECKPOINT_RESTORE
        return True


def _shows_file(pagemap: int, first: int, end: int) -> NDArray[np.bool_]:
    """Which of these pages are not the process's own, shape (end - first,)."""
    raw = os.pread(pagemap, (end - first) * _ENTRY_BYTES, first * _ENTRY_BYTES)
    entries = np.frombuffer(raw.ljust((end - first) * _ENTRY_BYTES, b"\0"), np.uint64)
    # What is neither there nor swapped is read from the file when it is looked at next.
    return np.array(((entries & _OF_FILE) != 0) | ((entries & _PRESENT_OR_SWAPPED) == 0))


def _read(memory: int, first: int, end: int) -> bytes:
    """What can be read of these pages, from the first on: nothing can behind the end of a file."""
    try:
        data = os.pread(memory, (end - first) << PAGE_SHIFT, first << PAGE_SHIFT)
    except OSError:
        return b""
    return data[: len(data) // PAGE_SIZE * PAGE_SIZE]
