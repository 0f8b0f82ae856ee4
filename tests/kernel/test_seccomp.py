"""A program that has to ask before one kind of `ioctl`, and what our word does to it."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.kernel.pagemap import Category, scan_knows
from engine.kernel.scan_request import REQUEST, read_scan_request, report_all_walked
from engine.kernel.seccomp import Listener, asking_command, receive_listener

# It asks which pages it has of 16 MiB, and prints how many stretches it is told, and where the walk ended.
_SCRIPT = """\
import ctypes, fcntl, mmap, os, struct, sys
area = mmap.mmap(-1, 16 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area[:4096] = b"x" * 4096
at = ctypes.addressof(ctypes.c_char.from_buffer(area))
found = ctypes.create_string_buffer(24 * 100)
vector = ctypes.addressof(found)
asked = bytearray(struct.pack("12Q", 96, 0, at, at + len(area), 0, vector, 100, 0, 36, 36, 24, 0))
pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
print(os.getpid(), at, flush=True)
for line in sys.stdin:
    try:
        filled = fcntl.ioctl(pagemap, 0xC0606610, asked)
        print(filled, struct.unpack_from("12Q", asked)[4] - at, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""

pytestmark = pytest.mark.skipif(not scan_knows(), reason="the kernel has no PAGEMAP_SCAN (Linux 6.7)")


@dataclass
class _Asking:
    process: subprocess.Popen[str]
    listener: Listener
    base: int

    def scan(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self) -> list[int]:
        assert self.process.stdout is not None
        return [int(word) for word in self.process.stdout.readline().split()]


@contextmanager
def _asking() -> Iterator[_Asking]:
    hears, tells = socket.socketpair()
    with hears, tells:
        process = subprocess.Popen(
            [*asking_command(tells, REQUEST, Path(sys.executable)), "-I", "-S", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[tells.fileno()],
        )
        tells.close()
        listener = receive_listener(hears)
    with process:
        try:
            assert listener is not None
            asking = _Asking(process, listener, 0)
            pid, asking.base = asking.said()
            assert pid == process.pid
            yield asking
        finally:
            process.kill()
            if listener is not None:
                listener.close()


def test_a_call_that_is_let_through_is_made() -> None:
    with _asking() as asking:
        asking.scan()
        call = asking.listener.receive()
        assert call is not None
        assert call.pid == asking.process.pid
        asking.listener.let_through(call)
        filled, walked = asking.said()
        assert (filled, walked) == (1, 16 << 20)


def test_a_call_can_be_seen_and_answered_in_place_of_the_kernel() -> None:
    with _asking() as asking:
        asking.scan()
        call = asking.listener.receive()
        assert call is not None
        request = read_scan_request(call)
        assert request is not None
        assert request.pid == asking.process.pid
        assert (request.start, request.end) == (asking.base, asking.base + (16 << 20))
        assert request.any_of == Category.PRESENT | Category.SWAPPED
        assert request.none_of == Category.FILE | Category.ZERO
        assert (request.all_of, request.writes) == (Category(0), False)
        assert report_all_walked(call, request)
        asking.listener.answer(call, 0)
        assert asking.said() == [0, 16 << 20]


def test_a_call_fails_once_nobody_is_there_to_be_asked() -> None:
    with _asking() as asking:
        asking.listener.close()
        asking.scan()
        assert asking.said() == [38]  # ENOSYS


def test_the_end_of_the_program_shows() -> None:
    with _asking() as asking:
        asking.process.kill()
        asking.process.wait()
        poll = select.poll()
        poll.register(asking.listener, select.POLLIN)
        assert poll.poll(10_000) == [(asking.listener.fileno(), select.POLLHUP)]


def test_other_ioctls_are_not_asked_for() -> None:
    hears, tells = socket.socketpair()
    with hears, tells:
        done = subprocess.run(
            [
                *asking_command(tells, 1, Path(sys.executable)),
                *("-I", "-S", "-c", "import os; os.isatty(0); print('done')"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[tells.fileno()],
        )
    assert done.stdout == b"done\n"
