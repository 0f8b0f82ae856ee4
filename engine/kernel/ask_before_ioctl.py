"""Run a program that has to ask before it makes one certain `ioctl`: seccomp_unotify(2).

A script by itself, with nothing but the standard library: it starts in milliseconds.

    python -I -S ask_before_ioctl.py SOCKET REQUEST PROGRAM [ARGUMENT…]

It installs the filter, sends the descriptor to be asked through on the socket, and becomes the program. Where
the kernel gives no such descriptor (before Linux 5.0, or where another program already has one of this
process) it sends none, and the program never asks. `engine.kernel.seccomp` is the other end.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SYS_IOCTL = {"x86_64": 16, "aarch64": 29}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3

# struct seccomp_data: the number at 0, the architecture at 4, six arguments of 64 bits from 16 on.
_NUMBER_AT, _ARCHITECTURE_AT, _SECOND_ARGUMENT_AT = 0, 4, 24
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _filter(machine: str, request: int) -> bytes:
    """To ask before that request, and to allow everything else."""
    instructions = (
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 0, 5, _AUDIT_ARCH[machine]),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_EQUAL, 0, 3, _SYS_IOCTL[machine]),
        (_LOAD, 0, 0, _SECOND_ARGUMENT_AT),
        (_JUMP_IF_EQUAL, 0, 1, request),
        (_RETURN, 0, 0, _ASK),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _listen(request: int) -> int:
    """Install the filter on this process; the descriptor, or -1 if there is none to be had."""
    machine = os.uname().machine
    if machine not in _SYS_SECCOMP:
        return -1
    code = ctypes.create_string_buffer(_filter(machine, request))
    program = _Program(len(code) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None)
    return int(libc.syscall(_SYS_SECCOMP[machine], _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program)))


def main() -> None:
    """See above."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    descriptor = _listen(int(sys.argv[2]))
    socket.send_fds(connection, [b"?"], [descriptor] if descriptor >= 0 else [])
    connection.close()
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
