"""Memory that links are copied through, and dumps to: found before a target is stopped, and kept.

To map memory in takes longer than to copy to it, and many times longer where a hypervisor has taken free
memory back. So none is mapped in while the target is stopped, unless it writes far faster than it did
just before; and what a session has once mapped in, up to `KEPT_BYTES`, it keeps.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

from engine.errors import TargetGone
from engine.kernel.memory import PageBuffer
from engine.pageset import PAGE_SIZE
from engine.tracking.session import Session

KEPT_BYTES: Final = 64 << 20
"""What a session keeps between two links, at most."""
FIRST_BYTES: Final = 32 << 20
"""What a session has mapped in before its first link looks at what was written: no later link has to."""
SPARE_BYTES: Final = 8 << 20
SPARE_PART: Final = 0.25
"""What is pending may grow by this part, or by `SPARE_BYTES`, from a look until the target is stopped."""
_LOOKS: Final = 3
_LEAST_MOST_BYTES: Final = 256 << 20

_kept: WeakKeyDictionary[Session, PageBuffer] = WeakKeyDictionary()


@contextmanager
def kept_buffer(session: Session) -> Iterator[PageBuffer]:
    """What this session keeps, of `FIRST_BYTES` at least: to copy through, a piece at a time.

    Whoever uses it may make it larger (`grow`), and must hold no piece of its view at the end. Two links of
    a session at once each have their own.
    """
    buffer = _kept.pop(session, None) or PageBuffer(min(FIRST_BYTES, most_bytes()))
    yield buffer
    # After an error a piece of it may still be held by the traceback: it goes with that.
    if buffer.size_bytes > KEPT_BYTES:
        buffer.resize(KEPT_BYTES)
    _kept[session] = buffer


@contextmanager
def copy_buffer(session: Session) -> Iterator[PageBuffer]:
    """The same with room for what is pending and will be added until the stop, if that is not too much."""
    with kept_buffer(session) as buffer:
        _make_room(session, buffer)
        yield buffer


def grow(buffer: PageBuffer, wanted_bytes: int) -> bool:
    """Make a buffer at least so large, by mapping in more; False if the system cannot spare that."""
    if buffer.size_bytes >= wanted_bytes:
        return True
    if wanted_bytes > most_bytes():
        return False
    try:
        buffer.resize(wanted_bytes)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        return False
    return True


def most_bytes() -> int:
    """How much of a dump may wait in memory to be written."""
    return max(_LEAST_MOST_BYTES, _available_memory_bytes() // 4)


def _make_room(session: Session, buffer: PageBuffer) -> None:
    """Until there is enough: mapping much memory in takes long enough for more to be written meanwhile."""
    pending_bytes, more_bytes = _pending_bytes(session), 0
    for _ in range(_LOOKS):
        wanted_bytes = pending_bytes + max(int(SPARE_PART * pending_bytes), more_bytes, SPARE_BYTES)
        if buffer.size_bytes >= wanted_bytes or not grow(buffer, wanted_bytes):
            return
        before_bytes, pending_bytes = pending_bytes, _pending_bytes(session)
        # As much again and half of it to spare: what is left to do takes no longer than this did.
        more_bytes = max(0, pending_bytes - before_bytes) * 3 // 2


def _pending_bytes(session: Session) -> int:
    """What a link would hold now; no epoch is begun."""
    pending_bytes = 0
    with session.held() as processes:
        for process in processes:
            try:
                process.look()
            except TargetGone:
                continue
            pending_bytes += process.pending.size_bytes
    return pending_bytes


def _available_memory_bytes() -> int:
    """What the system could give away without swapping (MemAvailable of /proc/meminfo)."""
    with open("/proc/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 64 * PAGE_SIZE
