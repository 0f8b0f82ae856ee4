"""What a CRIU that was killed leaves in its target, and taking it away again.

CRIU takes its code out of a target by itself, unless it is killed: then its memory stays mapped there (some
2 MB a process), now and then a descriptor of it stays open, and TCP connections that were being saved stay in
repair mode, in which they carry nothing. All of it does no harm but the last, and none of it is the
target's. Its rules for netfilter are left alone: nobody can tell what else relies on them.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from engine.checkpoint.criu.in_target import CRIU_CODE, Range, code_in, tree_of
from engine.errors import DirtytopError, TargetGone
from engine.kernel.libc import MACHINE
from engine.kernel.pidfd import open_pidfd, take_descriptor
from engine.kernel.process import Identity, read_status
from engine.kernel.registers import NATIVE
from engine.kernel.remote_syscall import borrowed_thread
from engine.kernel.stopping import StoppedProcess, on_own_thread

_MUNMAP: Final = {"x86_64": 11, "aarch64": 215}
_CLOSE: Final = {"x86_64": 3, "aarch64": 57}
_TCP_REPAIR: Final = 19
"""Of include/uapi/linux/tcp.h; 1 is on, 0 off."""
_LEAVING_S: Final = 2.0
"""How long a thread may take to leave CRIU's code, once CRIU has ended."""
_LOOK_EVERY_S: Final = 0.01


def clear_remains(root: Identity) -> str:
    """Take out of a tree what a killed CRIU has left in it; what that was, in words, empty if nothing.

    To be called once CRIU has ended.
    """
    mappings = descriptors = connections = 0
    left = 0
    for pid in tree_of(root):
        try:
            connections += _end_repair(pid)
            ranges, numbers = code_in(pid), _open_code(pid)
            if not ranges and not numbers:
                continue
            if _is_left(pid, ranges):
                _take_out(pid, ranges, numbers)
                mappings += len(ranges)
                descriptors += len(numbers)
            else:
                left += len(ranges)
        except TargetGone:
            continue
        except (DirtytopError, OSError):  # it cannot be borrowed: its mappings do no harm
            left += len(ranges)
    return "; ".join(
        part
        for count, part in (
            (mappings, f"{mappings} of criu's mappings were removed from the target"),
            (descriptors, f"{descriptors} of criu's descriptors were closed in it"),
            (connections, f"{connections} of its TCP connections were taken out of repair mode"),
            (left, f"criu has left {left} mappings in the target, which do no harm"),
        )
        if count
    )


def _is_left(pid: int, ranges: list[Range]) -> bool:
    """Whether no thread is in CRIU's code any more: once it is out of it, nothing leads it back."""
    deadline_s = time.monotonic() + _LEAVING_S
    while True:
        if int(read_status(pid).get("TracerPid", "0")) == 0 and not on_own_thread(
            lambda: _is_inside(pid, ranges)
        ):
            return True
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_LOOK_EVERY_S)


def _is_inside(pid: int, ranges: list[Range]) -> bool:
    if NATIVE is None:
        return True
    with StoppedProcess(pid) as stopped:
        counters = [NATIVE.program_counter(tracee.read_registers()) for tracee in stopped.tracees.values()]
    return any(low <= at < high for at in counters for low, high in ranges)


def _take_out(pid: int, ranges: list[Range], numbers: list[int]) -> None:
    def calls() -> None:
        with borrowed_thread(pid) as caller:
            for low, high in ranges:
                caller.call(_MUNMAP[MACHINE], low, high - low)
            for number in numbers:
                caller.call(_CLOSE[MACHINE], number)

    on_own_thread(calls)


def _open_code(pid: int) -> list[int]:
    """The descriptors of a process that are of CRIU's memory."""
    return [number for number, name in _descriptors(pid) if name.startswith(CRIU_CODE.decode())]


def _descriptors(pid: int) -> Iterator[tuple[int, str]]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError as error:
        raise TargetGone(f"process {pid} has exited", pid=pid) from error
    for name in names:
        with suppress(FileNotFoundError):  # closed meanwhile
            yield int(name), os.readlink(f"/proc/{pid}/fd/{name}")


# -- connections


def _end_repair(pid: int) -> int:
    """Turn the repair mode of its TCP connections off; how many had it on."""
    ended = 0
    pidfd = open_pidfd(pid)
    try:
        for number, name in _descriptors(pid):
            if name.startswith("socket:"):
                with suppress(OSError), _taken(pidfd, number) as taken:
                    ended += _end_repair_of(taken)
    finally:
        os.close(pidfd)
    return ended


@contextmanager
def _taken(pidfd: int, number: int) -> Iterator[socket.socket]:
    with socket.socket(fileno=take_descriptor(pidfd, number)) as taken:
        yield taken


def _end_repair_of(taken: socket.socket) -> int:
    try:
        if not taken.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR):
            return 0
    except OSError as error:
        if error.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EPERM):  # no TCP, or not ours to ask
            return 0
        raise
    taken.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
    return 1
