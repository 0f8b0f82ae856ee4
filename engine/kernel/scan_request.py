"""A `PAGEMAP_SCAN` that another program is about to make, seen and answered from outside (see `seccomp`)."""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from typing import Final

from engine.kernel.pagemap import PAGEMAP_SCAN, Category, ScanArgument
from engine.kernel.seccomp import IoctlCall

_PAGEMAP: Final = re.compile(r"/proc/([0-9]+)/pagemap")
_WALK_END_AT: Final = ScanArgument.walk_end.offset

REQUEST: Final = PAGEMAP_SCAN


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What is asked for."""

    pid: int
    """Whose pages."""
    start: int
    """First byte address."""
    end: int
    """Byte address after the last."""
    writes: bool
    """Whether it is to protect what it finds."""
    all_of: Category
    none_of: Category
    any_of: Category


def read_scan_request(call: IoctlCall) -> ScanRequest | None:
    """What a waiting call asks for; None if that cannot be told, or it is of no process's pagemap.

    The pid is as the caller's `/proc` has it, which is ours for a program that we have started.
    """
    argument = ScanArgument()
    try:
        whose = _PAGEMAP.fullmatch(os.readlink(f"/proc/{call.pid}/fd/{call.descriptor}"))
        with open(f"/proc/{call.pid}/mem", "rb", 0) as memory:
            raw = os.pread(memory.fileno(), ctypes.sizeof(argument), call.argument)
    except OSError:  # the caller has ended, or passes an address that is none
        return None
    if whose is None or len(raw) < ctypes.sizeof(argument):
        return None
    ctypes.memmove(ctypes.addressof(argument), raw, len(raw))
    return ScanRequest(
        pid=int(whose[1]),
        start=argument.start,
        end=argument.end,
        writes=argument.flags != 0,
        all_of=Category(argument.mask & ~argument.inverted),
        none_of=Category(argument.mask & argument.inverted),
        any_of=Category(argument.any_of),
    )


def report_all_walked(call: IoctlCall, request: ScanRequest) -> bool:
    """Write into the waiting caller that all was walked; with the result 0 that says: no such page.

    Returns:
        Whether that could be written.
    """
    try:
        with open(f"/proc/{call.pid}/mem", "r+b", 0) as memory:
            end = request.end.to_bytes(8, "little")
            return os.pwrite(memory.fileno(), end, call.argument + _WALK_END_AT) == len(end)
    except OSError:
        return False
