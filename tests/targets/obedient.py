"""What runs in the target of `scripted`: it reads commands and obeys, one after the other.

Nothing but the standard library, so that little else is written, and of it what loads quickly, as many
tests start one, also where the CPU is emulated: commands and answers are marshalled.
"""

from __future__ import annotations

import ctypes
import marshal
import mmap
import os
import sys
import time

TYPE_CHECKING = False  # as in typing, which would take as long to load as all of the others
if TYPE_CHECKING:
    from typing import Any

READY = "ready"
PAGE_SIZE = mmap.PAGESIZE


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    )  # fmt: skip
    libc.mremap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return libc


_MAP_NORESERVE = 0x4000
_MAP_FIXED = 0x10
_MREMAP_MAYMOVE = 1
_MREMAP_FIXED = 2
_SIGKILL = 9
_SYS_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
_USER_MODE_ONLY = 1
_PR_SET_PDEATHSIG = 1

_swept = [0]
"""How many pages the last sweep has written."""


def _sweep(base: int, pages: int, value: int) -> None:
    _swept[0] = 0
    for number in range(pages):
        ctypes.memset(base + number * PAGE_SIZE, value, PAGE_SIZE)
        _swept[0] = number + 1


def _obey(libc: ctypes.CDLL, command: dict[str, Any]) -> Any:
    base, pages = command.get("base", 0), command.get("pages", 0)
    match command["op"]:
        case "map":
            flags = mmap.MAP_SHARED if command["shared"] else mmap.MAP_PRIVATE
            flags |= mmap.MAP_ANONYMOUS | (0 if command["reserve"] else _MAP_NORESERVE)
            size = pages * PAGE_SIZE
            made = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
            libc.madvise(made, size, mmap.MADV_HUGEPAGE if command["huge"] else mmap.MADV_NOHUGEPAGE)
            return made
        case "map_hugetlb":
            # Private memory of hugetlbfs, by a name that does not say so.
            pool = os.memfd_create("pool", os.MFD_HUGETLB)
            os.ftruncate(pool, pages * PAGE_SIZE)
            return libc.mmap(
                None, pages * PAGE_SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, pool, 0
            )
        case "fill":
            for number in command["numbers"]:
                ctypes.memset(base + number * PAGE_SIZE, command["value"], PAGE_SIZE)
        case "touch":
            # One byte of every step-th page, in one go.
            size, stride = pages * PAGE_SIZE, command["step"] * PAGE_SIZE
            memory = memoryview((ctypes.c_ubyte * size).from_address(base)).cast("B")
            memory[::stride] = bytes([command["value"]]) * len(memory[::stride])
        case "scatter":
            # Neighbours with different protection cannot be one VMA.
            for number in range(0, pages, 2):
                libc.mprotect(base + number * PAGE_SIZE, PAGE_SIZE, mmap.PROT_READ)
        case "read":
            for number in command["numbers"]:
                ctypes.string_at(base + number * PAGE_SIZE, 1)
        case "unmap":
            libc.munmap(base, pages * PAGE_SIZE)
        case "remap":
            return libc.mremap(base, pages * PAGE_SIZE, command["new_pages"] * PAGE_SIZE, _MREMAP_MAYMOVE)
        case "move":
            size, how = pages * PAGE_SIZE, _MREMAP_MAYMOVE | _MREMAP_FIXED
            return libc.mremap(base, size, size, how, ctypes.c_void_p(command["to"]))
        case "map_at":
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
            size = pages * PAGE_SIZE
            made = libc.mmap(base, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
            libc.madvise(made, size, mmap.MADV_NOHUGEPAGE)
            return made
        case "map_file":
            # Read-only, as the dynamic loader begins: then parts of it are written to and protected.
            file = os.open(command["path"], os.O_RDONLY)
            flags = mmap.MAP_PRIVATE | _MAP_FIXED
            made = libc.mmap(base, pages * PAGE_SIZE, mmap.PROT_READ, flags, file, 0)
            os.close(file)
            return made
        case "advise":
            return libc.madvise(base, pages * PAGE_SIZE, command["advice"])
        case "sweep":
            import threading

            # Each page once, in the background, while other commands are obeyed.
            threading.Thread(target=_sweep, args=(base, pages, command["value"]), daemon=True).start()
        case "swept":
            return _swept[0]
        case "protect":
            libc.mprotect(base, pages * PAGE_SIZE, command["protection"])
        case "discard":
            libc.madvise(base, pages * PAGE_SIZE, mmap.MADV_DONTNEED)
        case "fork":
            child = os.fork()
            if child == 0:
                libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)  # nobody else ends it
                if command["with_userfaultfd"]:
                    libc.syscall(_SYS_USERFAULTFD[os.uname().machine], os.O_CLOEXEC | _USER_MODE_ONLY)
                if pages:
                    ctypes.memset(base, 0xFF, pages * PAGE_SIZE)
                os.close(0)
                os.close(1)
                while True:
                    time.sleep(1000)
            return child
        case "spawn_sleep":
            # The child has our memory (vfork) until the gate opens.
            gate = (os.POSIX_SPAWN_OPEN, 9, command["gate"], os.O_RDONLY, 0)
            return os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, file_actions=[gate])
        case "end_child":
            os.kill(command["pid"], _SIGKILL)
            os.waitpid(command["pid"], 0)
        case "threads":
            import threading

            for _ in range(command["count"]):
                threading.Thread(target=threading.Event().wait, daemon=True).start()
        case "exec":
            os.execlp("sleep", "sleep", "1000")
    return "done"


def _serve() -> None:
    libc = _libc()
    _answer(READY)
    while True:
        try:
            command = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        _answer(_obey(libc, command))


def _answer(answer: Any) -> None:
    marshal.dump(answer, sys.stdout.buffer)
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
