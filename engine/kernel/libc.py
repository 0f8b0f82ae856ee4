"""The C library, for the system calls that Python does not wrap."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

libc: Final = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
libc.process_vm_readv.restype = ctypes.c_ssize_t
libc.process_vm_readv.argtypes = (
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)

MACHINE: Final = platform.machine()


def checked(result: int) -> int:
    """The result of a libc call that reports failure as -1 and `errno`.

    Raises:
        OSError: it failed.
    """
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(result)


def system_call(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """One system call by number, on this thread. Raises OSError when the kernel refuses."""
    as_longs = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return checked(libc.syscall(ctypes.c_long(number), *as_longs))


def ioctl(descriptor: int, request: int, argument: ctypes.Structure | ctypes.Array[ctypes.c_uint64]) -> int:
    """One `ioctl` that passes a structure in and out. Raises OSError when the kernel refuses."""
    return checked(libc.ioctl(descriptor, request, ctypes.byref(argument)))
