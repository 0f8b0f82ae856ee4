"""Processes in states of all sorts."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from tests.targets.held.things import NUMBERS, check, child, hold, kind, libc, pause


@kind
def zombie() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@kind
def stopped_child() -> None:
    pid = child()
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


@kind
def child_whose_first_thread_has_ended() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:

        def wait_for_the_other() -> None:
            while Path("/proc/self/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.001)
            os.write(writing, b"x")
            pause()

        threading.Thread(target=wait_for_the_other).start()
        libc.syscall(NUMBERS["exit"], 0)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)


@kind
def child_that_waits_for_a_vfork() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        stack = ctypes.create_string_buffer(1 << 16)
        function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)

        def in_the_child(argument: int) -> int:
            os.write(writing, b"x")
            pause()

        body = function(in_the_child)
        top = ctypes.addressof(stack) + len(stack) - 64
        libc.clone(ctypes.cast(body, ctypes.c_void_p), top, 0x4000 | 0x100 | signal.SIGCHLD, None)
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)


def _clone(flags: int) -> None:
    """A child that shares something and does nothing."""
    stack = ctypes.create_string_buffer(1 << 16)
    hold(stack)
    do_nothing = ctypes.cast(libc.pause, ctypes.c_void_p)
    if libc.clone(do_nothing, ctypes.addressof(stack) + len(stack) - 64, flags | signal.SIGCHLD, None) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@kind
def child_in_the_same_memory() -> None:
    _clone(0x100)


@kind
def child_in_the_same_directory() -> None:
    _clone(0x200)


@kind
def child_with_the_same_descriptors() -> None:
    _clone(0x400)


@kind
def traced_child() -> None:
    check(libc.ptrace(0x4206, child(), None, None))  # PTRACE_SEIZE


@kind
def pending_sigtrap() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])
    os.kill(os.getpid(), signal.SIGTRAP)


@kind
def another_user() -> None:
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)


@kind
def timers() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 1000, 1000)
