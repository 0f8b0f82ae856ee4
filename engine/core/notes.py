"""The notes of a core: who the process was, its registers, its files (linux/elfcore.h, fs/binfmt_elf.c)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.core.elf import note
from engine.core.process import CoreMapping, CoreProcess, CoreThread
from engine.pageset import PAGE_SIZE

NT_PRSTATUS: Final = 1
NT_FPREGSET: Final = 2
NT_PRPSINFO: Final = 3
NT_AUXV: Final = 6
NT_FILE: Final = 0x46494C45
NT_SIGINFO: Final = 0x53494749
REMARKS: Final = 0x44544E31
"""The kind of our own note, of the owner `OURS`: lines of text. Debuggers go by the kind alone."""
OURS: Final = b"dirtytop"

_CORE: Final = b"CORE"
_LINUX: Final = b"LINUX"
_FIRST_OF_STATUS: Final = struct.Struct("<iiihxxQQIIII8Q")
_FIRST_OF_PSINFO: Final = struct.Struct("<bcbbxxxxQIIIIII16s80s")
_STATES: Final = "RSDTZW"
"""As the kernel numbers them; what is none of these is told as '.'."""
_NAME_BYTES: Final = 15
ARGUMENTS_BYTES: Final = 79
"""Of the arguments, a core holds no more."""
_ESCAPED_NEWLINE: Final = b"\\012"


def process_notes(process: CoreProcess, arguments: bytes) -> bytes:
    """All notes of a process, in the kernel's order; the first thread is the one that a debugger shows.

    Args:
        process: which.
        arguments: its arguments, each ended by a zero byte, or the beginning of that.
    """
    first, rest = process.threads[:1], process.threads[1:]
    parts: list[bytes] = []
    for thread in first:
        parts.append(note(_CORE, NT_PRSTATUS, _status(process, thread)))
    parts.append(note(_CORE, NT_PRPSINFO, _psinfo(process, arguments)))
    for thread in first:
        parts += _siginfo(thread)
    parts.append(note(_CORE, NT_AUXV, process.auxv))
    if files := [mapping for mapping in process.mappings if mapping.name.startswith(b"/")]:
        parts.append(note(_CORE, NT_FILE, _files(files)))
    for thread in first:
        parts += _sets(thread)
    for thread in rest:
        parts.append(note(_CORE, NT_PRSTATUS, _status(process, thread)))
        parts += _siginfo(thread)
        parts += _sets(thread)
    if process.remarks:
        parts.append(note(OURS, REMARKS, "\n".join(process.remarks).encode()))
    return b"".join(parts)


def _status(process: CoreProcess, thread: CoreThread) -> bytes:
    """`struct elf_prstatus`."""
    registers = next((data for kind, data in thread.sets if kind == NT_PRSTATUS), b"")
    number, code, error = struct.unpack_from("<3i", thread.siginfo.ljust(12, b"\0"))
    has_floating = any(kind == NT_FPREGSET for kind, _ in thread.sets)
    return (
        _FIRST_OF_STATUS.pack(
            number,
            code,
            error,
            number,
            thread.pending_signals,
            thread.blocked_signals,
            thread.tid,
            process.parent_pid,
            process.process_group,
            process.session,
            *divmod(thread.user_us, 1_000_000),
            *divmod(thread.system_us, 1_000_000),
            0,
            0,
            0,
            0,
        )
        + registers
        + struct.pack("<ixxxx", has_floating)
    )


def _psinfo(process: CoreProcess, arguments: bytes) -> bytes:
    """`struct elf_prpsinfo`."""
    at = _STATES.find(process.state)
    letter = process.state if at >= 0 else "."
    return _FIRST_OF_PSINFO.pack(
        max(at, 0),
        letter.encode("ascii"),
        letter == "Z",
        max(-128, min(process.nice, 127)),
        process.flags,
        process.uid,
        process.gid,
        process.pid,
        process.parent_pid,
        process.process_group,
        process.session,
        process.command[:_NAME_BYTES],
        arguments[:ARGUMENTS_BYTES].rstrip(b"\0").replace(b"\0", b" "),
    )


def _siginfo(thread: CoreThread) -> Iterator[bytes]:
    if thread.siginfo:
        yield note(_CORE, NT_SIGINFO, thread.siginfo)


def _sets(thread: CoreThread) -> Iterator[bytes]:
    for kind, data in thread.sets:
        if kind != NT_PRSTATUS:
            yield note(_CORE if kind == NT_FPREGSET else _LINUX, kind, data)


def _files(mappings: Sequence[CoreMapping]) -> bytes:
    """What is mapped of which file: a table of numbers, and the names behind it."""
    table = (
        struct.pack("<QQQ", mapping.start, mapping.end, mapping.offset // PAGE_SIZE) for mapping in mappings
    )
    names: Iterable[bytes] = (mapping.name.replace(_ESCAPED_NEWLINE, b"\n") + b"\0" for mapping in mappings)
    return struct.pack("<QQ", len(mappings), PAGE_SIZE) + b"".join(table) + b"".join(names)
