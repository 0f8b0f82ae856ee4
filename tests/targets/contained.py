"""Starts a shell as the first process of a container: `contained.py ROOT USER DIRECTORY`. Needs root.

The container has every namespace of its own. The root of its user namespace is USER outside of it. ROOT, a
directory, becomes the root of its mounts and shows the machine's. In DIRECTORY it reads lines from the fifo
`questions`, and answers each with how many there were, to the fifo `answers`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_BIND, _PRIVATE, _DETACH = 4096, 16384 | 1 << 18, 2
_MOUNTS = 0x20000
_EVERYTHING = _MOUNTS | 0x1000_0000 | 0x2000_0000 | 0x4000_0000 | 0x800_0000 | 0x400_0000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
_SHELL = """
exec </{0}/questions >/{0}/answers 2>/{0}/errors
number=0
while read line; do number=$((number + 1)); echo $number; done
"""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(what: bytes | None, where: bytes, kind: bytes | None, flags: int) -> None:
    check(libc.mount(what, where, kind, ctypes.c_ulong(flags), None))


def main() -> None:
    root, user, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    check(libc.unshare(_MOUNTS))
    mount(None, b"/", None, _PRIVATE)
    mount(b"/", os.fsencode(root), None, _BIND)
    os.chdir(root)
    check(libc.syscall(_PIVOT_ROOT, b".", b"."))
    check(libc.umount2(b".", _DETACH))
    os.chdir("/")
    mount(b"proc", b"/proc", b"proc", 0)  # or else nobody may mount one in a user namespace
    is_there, says_so = os.pipe()
    may_go_on, lets_go_on = os.pipe()
    child = os.fork()
    if child == 0:
        check(libc.unshare(_EVERYTHING))
        os.write(says_so, b"x")
        os.read(may_go_on, 1)
        be_first(directory)
    os.read(is_there, 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text(f"0 {user} 1000\n")
    os.write(lets_go_on, b"x")
    os.waitpid(child, 0)


def be_first(directory: str) -> None:
    os.setresgid(0, 0, 0)
    os.setgroups([])
    os.setresuid(0, 0, 0)
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os._exit(0)
    os.setsid()
    mount(b"proc", b"/proc", b"proc", 0)
    os.closerange(0, 100)
    os.execv("/bin/sh", ["/bin/sh", "-c", _SHELL.format(directory.lstrip("/"))])


if __name__ == "__main__":
    main()
