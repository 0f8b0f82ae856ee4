"""Opening files as a process sees them: below its own root, whatever links lie on the way (openat2(2))."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from engine.kernel.libc import system_call

_SYS_OPENAT2: Final = 437  # on every architecture, since Linux 5.6
_RESOLVE_IN_ROOT: Final = 0x10
_RESOLVE_NO_MAGICLINKS: Final = 0x02


class _How(ctypes.Structure):
    """`struct open_how` (include/uapi/linux/openat2.h)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(pid: int, path: bytes) -> int:
    """Open a file for reading as this process would find it; absolute links stay below its root.

    A FIFO or a device is opened without waiting; it is for the caller to look what it is.

    Raises:
        OSError: it is not there, or not ours to open.
    """
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        how = _How(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        name = ctypes.create_string_buffer(path)
        where = [ctypes.c_void_p(ctypes.addressof(each)) for each in (name, how)]
        return system_call(_SYS_OPENAT2, root, *where, ctypes.sizeof(how))
    finally:
        os.close(root)
