"""Whether two processes share something of the kernel's: kcmp(2)."""

from __future__ import annotations

import ctypes
import errno
from enum import IntEnum
from typing import Final

from engine.kernel.libc import MACHINE, system_call

_SYS_KCMP: Final = {"x86_64": 312, "aarch64": 272}.get(MACHINE, -1)
_EPOLL_TARGET: Final = 7
"""KCMP_EPOLL_TFD (Linux 4.13)."""
_CANNOT_TELL: Final = (errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ESRCH, errno.EINVAL, errno.EOPNOTSUPP)


class Shared(IntEnum):
    """What may be shared (include/uapi/linux/kcmp.h)."""

    MEMORY = 1
    DESCRIPTORS = 2
    DIRECTORIES = 3
    """The working directory, the root and the umask."""


class _EpollSlot(ctypes.Structure):
    """`struct kcmp_epoll_slot`."""

    _fields_ = (("epoll", ctypes.c_uint32), ("target", ctypes.c_uint32), ("offset", ctypes.c_uint32))


def share(first_pid: int, second_pid: int, what: Shared) -> bool:
    """Whether two processes share a thing; false too where the kernel does not say."""
    try:
        return system_call(_SYS_KCMP, first_pid, second_pid, what, 0, 0) == 0
    except OSError as error:
        if error.errno not in _CANNOT_TELL:
            raise
        return False


def watches(pid: int, epoll: int, number: int, nth: int, candidate_pid: int, candidate: int) -> bool | None:
    """Whether an open file is what an epoll watches under a descriptor's number.

    Args:
        pid: whose epoll it is.
        epoll: its descriptor.
        number: under which descriptor the file was added to it.
        nth: of several files that were added under that number, which, from 0.
        candidate_pid: the process that has the open file.
        candidate: under which descriptor.

    Returns:
        None where the kernel does not say.
    """
    slot = _EpollSlot(epoll, number, nth)
    address = ctypes.c_void_p(ctypes.addressof(slot))
    try:
        return system_call(_SYS_KCMP, candidate_pid, pid, _EPOLL_TARGET, candidate, address) == 0
    except OSError as error:
        if error.errno in (errno.EBADF, errno.ENOENT):
            return False
        if error.errno in _CANNOT_TELL:
            return None
        raise
