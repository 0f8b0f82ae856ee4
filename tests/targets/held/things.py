"""What all things that a process can hold are made with."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PAGE = mmap.PAGESIZE

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.shmat.restype = ctypes.c_void_p
libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]

_OLD_NUMBERS = {
    "x86_64": {
        "userfaultfd": 323, "perf_event_open": 298, "bpf": 321, "seccomp": 317, "timerfd_create": 283,
        "signalfd4": 289, "inotify_init1": 294, "inotify_add_watch": 254, "fanotify_init": 300,
        "fanotify_mark": 301, "ioprio_set": 251, "ioprio_get": 252, "sched_setattr": 314, "io_setup": 206,
        "exit": 60,
    },
    "aarch64": {
        "userfaultfd": 282, "perf_event_open": 241, "bpf": 280, "seccomp": 277, "timerfd_create": 85,
        "signalfd4": 74, "inotify_init1": 26, "inotify_add_watch": 27, "fanotify_init": 262,
        "fanotify_mark": 263, "ioprio_set": 30, "ioprio_get": 31, "sched_setattr": 274, "io_setup": 0,
        "exit": 93,
    },
}[os.uname().machine]  # fmt: skip
NUMBERS = {
    **_OLD_NUMBERS,
    "io_uring_setup": 425,
    "open_tree": 428,
    "fsopen": 430,
    "pidfd_open": 434,
    "landlock_create_ruleset": 444,
    "landlock_restrict_self": 446,
    "memfd_secret": 447,
}

held: list[Any] = []
"""So that nothing is closed."""


def here() -> Path:
    """The directory it may use; the test is in there too."""
    return Path(sys.argv[2])


def call(name: str, *arguments: Any) -> int:
    result = int(libc.syscall(NUMBERS[name], *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def hold(*things: Any) -> None:
    held.extend(things)


def memory(pages: int, flags: int = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, descriptor: int = -1) -> int:
    """A mapping, every page of it written."""
    found = libc.mmap(None, pages * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, 0)
    if found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def touched(address: int, pages: int) -> int:
    for page in range(pages):
        ctypes.memset(address + page * PAGE, 7, 8)
    return address


def pause() -> NoReturn:
    while True:
        signal.pause()


def child(then: Callable[[], object] = lambda: None) -> int:
    """A child that does something and waits; its pid, once it has."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        then()
        os.write(writing, b"x")
        os.close(writing)
        pause()
    os.close(writing)
    done = os.read(reading, 1)
    os.close(reading)
    if not done:
        raise OSError(1, "the child could not")
    return pid


def unshare(flags: int) -> None:
    check(libc.unshare(flags))


def new_file(name: str, content: bytes = b"content") -> int:
    descriptor = os.open(here() / name, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, content)
    return descriptor


MOUNTS, NETWORK, USERS, HOSTNAME = 0x20000, 0x4000_0000, 0x1000_0000, 0x400_0000
IPC, CGROUP, PIDS, TIME = 0x800_0000, 0x200_0000, 0x2000_0000, 0x80

KINDS: dict[str, Callable[[], object]] = {}
ASKED: dict[str, Callable[[], object]] = {}


def kind(function: Callable[[], object]) -> Callable[[], object]:
    KINDS[function.__name__.strip("_").replace("_", " ")] = function
    return function
