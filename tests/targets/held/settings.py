"""What CRIU does not save, and what the process then says of it."""

from __future__ import annotations

import os
import struct
import threading
import time
from pathlib import Path

from tests.targets.held.things import ASKED, NETWORK, call, kind, libc, unshare


@kind
def cpu_affinity() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


ASKED["cpu affinity"] = lambda: sorted(os.sched_getaffinity(0))


@kind
def io_priority() -> None:
    call("ioprio_set", 1, 0, 3 << 13)


ASKED["io priority"] = lambda: call("ioprio_get", 1, 0)


@kind
def timer_slack() -> None:
    libc.prctl(29, 1000, 0, 0, 0)


ASKED["timer slack"] = lambda: libc.prctl(30, 0, 0, 0, 0)


@kind
def core_dump_filter() -> None:
    Path("/proc/self/coredump_filter").write_text("0x7f")


ASKED["core dump filter"] = lambda: Path("/proc/self/coredump_filter").read_text()


@kind
def personality() -> None:
    libc.personality(0x0040000)


ASKED["personality"] = lambda: libc.personality(0xFFFF_FFFF)


@kind
def thread_in_another_network() -> None:
    there = threading.Event()
    failed: list[OSError] = []

    def go() -> None:
        try:
            unshare(NETWORK)
        except OSError as error:
            failed.append(error)
        there.set()
        time.sleep(100_000)

    threading.Thread(target=go, daemon=True).start()
    there.wait()
    if failed:
        raise failed[0]


def _networks() -> set[str]:
    return {os.readlink(f"/proc/self/task/{tid}/ns/net") for tid in os.listdir("/proc/self/task")}


ASKED["thread in another network"] = lambda: len(_networks())


@kind
def no_new_privileges() -> None:
    libc.prctl(38, 1, 0, 0, 0)


ASKED["no new privileges"] = lambda: libc.prctl(39, 0, 0, 0, 0)


@kind
def deadline_scheduling() -> None:
    attributes = struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10_000_000, 30_000_000, 30_000_000)
    call("sched_setattr", 0, attributes, 0)
