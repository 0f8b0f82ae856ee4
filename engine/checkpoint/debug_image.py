"""What a debugger wants of a process and CRIU's images have no room for: `dirtytop-PID.debug`.

Which files are mapped where, by name; what a core is to hold (core(5)); every set of registers as ptrace has
it; the signal that a thread was about to take. CRIU and crit do not look at the file. `engine.core` reads it.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Iterator
from typing import Final

from engine.errors import NotSupported, TargetGone, kernel_errors
from engine.images.framing import Magic
from engine.images.layout import debug_name
from engine.images.proto.debug_pb2 import DebugEntry, DebugMapping, DebugProcess, DebugThread, RegisterSet
from engine.images.writer import LinkWriter
from engine.kernel.maps import Maps, VmaKind, read_maps
from engine.kernel.process import memory_file, read_stat
from engine.kernel.ptrace import Tracee
from engine.kernel.smaps import SmapsEntry

NO_FILTER: Final = 0x100
"""A kernel without `coredump_filter` dumps no cores, and says nothing of what they would hold."""
_EVENT_STOP: Final = signal.SIGTRAP | 128 << 8
_US_PER_TICK: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")


def read_coredump_filter(pid: int) -> int:
    """Which mappings the kernel's own core of a process would hold (core(5)); `NO_FILTER` if it has none.

    Raises:
        TargetGone: it has exited.
    """
    try:
        with (
            kernel_errors(pid, "read which memory its core is to hold"),
            open(memory_file(pid, "coredump_filter"), "rb", 0) as file,
        ):
            return int(file.read() or b"0", 16)
    except NotSupported:
        return NO_FILTER


def write_torn_debug_image(link: LinkWriter, pid: int, inner_pid: int) -> None:
    """Write what there is to say of a process that runs: its mappings, and no registers.

    Args:
        link: where to.
        pid: the process; it may have exited, and then there is nothing.
        inner_pid: as it knows itself.

    Raises:
        LinkFailed: the disk would not take it.
    """
    try:
        stat, maps, coredump_filter = read_stat(pid), read_maps(pid), read_coredump_filter(pid)
        with kernel_errors(pid, "read its auxv"), open(memory_file(pid, "auxv"), "rb", 0) as file:
            auxv = file.read()
    except TargetGone:
        return
    arguments = int(stat.fields[45]), int(stat.fields[46])  # 48 and 49 of proc_pid_stat(5)
    process = debug_process(auxv, arguments, stat.raw_command, coredump_filter, maps, ())
    write_debug_image(link, inner_pid, process, [])


def taken_signal(thread: Tracee) -> bytes:
    """`siginfo_t` of the signal that a stopped thread was about to take; empty if it has stopped for us.

    Raises:
        TargetGone: it was killed.
    """
    try:
        found = thread.read_siginfo()
    except OSError as error:
        if error.errno == errno.EINVAL:  # by job control
            return b""
        raise
    code = int.from_bytes(found[8:12], "little", signed=True)
    return b"" if code == _EVENT_STOP or code >> 8 == _EVENT_STOP >> 8 else found


def debug_thread(
    tid: int, sets: Iterable[tuple[int, bytes]], siginfo: bytes, ticks: tuple[int, int]
) -> DebugThread:
    """One thread.

    Args:
        tid: as the process knows it.
        sets: its registers, by NT_* number.
        siginfo: of the signal that it was about to take, or empty.
        ticks: on a processor, in its program and in the kernel.
    """
    return DebugThread(
        tid=tid,
        sets=[RegisterSet(type=number, data=data) for number, data in sets],
        siginfo=siginfo or None,
        user_us=ticks[0] * _US_PER_TICK,
        system_us=ticks[1] * _US_PER_TICK,
    )


def debug_process(
    auxv: bytes,
    arguments: tuple[int, int],
    command: bytes,
    coredump_filter: int,
    maps: Maps,
    smaps: Iterable[SmapsEntry],
) -> DebugProcess:
    """What all threads of a process share.

    Args:
        auxv: as in `/proc/PID/auxv`.
        arguments: where its arguments begin and end.
        command: its short name.
        coredump_filter: as of `read_coredump_filter`.
        maps: its mappings.
        smaps: their flags, as far as they are known.
    """
    flags = {(entry.start, entry.end): entry.flags for entry in smaps}
    numbers: dict[bytes, int] = {b"": 0}
    mappings = list(_mappings(maps, flags, numbers))
    return DebugProcess(
        coredump_filter=coredump_filter,
        auxv=auxv,
        arg_start=arguments[0],
        arg_end=arguments[1],
        comm=command,
        names=list(numbers),
        mappings=mappings,
    )


def _mappings(
    maps: Maps, flags: dict[tuple[int, int], frozenset[str]], numbers: dict[bytes, int]
) -> Iterator[DebugMapping]:
    """Each mapping; `numbers` has the place of each name, and grows."""
    for vma in maps.vmas:
        known = flags.get((vma.start, vma.end), frozenset())
        yield DebugMapping(
            start=vma.start,
            end=vma.end,
            prot=sum(bit for bit, letter in ((1, "r"), (2, "w"), (4, "x")) if letter in vma.perms),
            shared=not vma.is_private,
            offset=vma.offset,
            inode=vma.inode,
            name=numbers.setdefault(vma.raw_name, len(numbers)),
            dont_dump="dd" in known or None,
            huge_pages=("ht" in known or vma.kind is VmaKind.HUGETLB) or None,
            device="io" in known or None,
        )


def write_debug_image(link: LinkWriter, pid: int, process: DebugProcess, threads: list[DebugThread]) -> None:
    """Write it.

    Args:
        link: where to.
        pid: as the process knows itself.
        process: what all its threads share.
        threads: the leader first.

    Raises:
        LinkFailed: the disk would not take it.
    """
    entries = [DebugEntry(process=process), *(DebugEntry(thread=thread) for thread in threads)]
    link.write_messages(debug_name(pid), Magic.DEBUG, entries)
