"""userfaultfd write-protect, asynchronous (Linux 6.7; Documentation/admin-guide/mm/userfaultfd.rst).

The kernel itself resolves each write to a protected page and remembers it; no program has to answer
faults. `engine.kernel.pagemap` reads and re-protects.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from engine.kernel.libc import MACHINE, ioctl

SYS_USERFAULTFD: Final = {"x86_64": 323, "aarch64": 282}.get(MACHINE, -1)

USER_MODE_ONLY: Final = 1
"""No privilege is needed with this flag, and asynchronous mode never needs the other."""
CREATE_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK | USER_MODE_ONLY

_UFFDIO_API: Final = 0xC018AA3F
_UFFDIO_REGISTER: Final = 0xC020AA00
_API_VERSION: Final = 0xAA
_FEATURE_WP_ASYNC: Final = 1 << 15
_REGISTER_MODE_WP: Final = 1 << 1


class _Api(ctypes.Structure):
    _fields_ = (("api", ctypes.c_uint64), ("features", ctypes.c_uint64), ("ioctls", ctypes.c_uint64))


class _Register(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("ioctls", ctypes.c_uint64),
    )


def enable_async_write_protect(descriptor: int) -> None:
    """The handshake that must come first on a new userfaultfd.

    Raises:
        OSError: EINVAL where the kernel has no asynchronous write-protect.
    """
    ioctl(descriptor, _UFFDIO_API, _Api(_API_VERSION, _FEATURE_WP_ASYNC, 0))


def register_write_protect(descriptor: int, start: int, end: int) -> None:
    """Watch one stretch of mapped memory, byte addresses; its pages read as written until protected.

    Raises:
        OSError: EINVAL for mappings that cannot be watched or that changed meanwhile, EPERM for a
            read-only shared file mapping, EBUSY where another userfaultfd watches, ESRCH once the
            process has exited or called execve.
    """
    ioctl(descriptor, _UFFDIO_REGISTER, _Register(start, end - start, _REGISTER_MODE_WP, 0))
