"""Eight targets to hold forecasts against: six of known rates, a Python program, a real server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from engine.workloads import start

_PAGES_PER_MIB: Final = 256
_SERVER: Final = "redis-server"
_LOAD: Final = "redis-benchmark"
_READY_S: Final = 20.0
_KEYS: Final = 60_000
_VALUE_BYTES: Final = 512

Target = Callable[[], Iterator[int]]

_PYTHON: Final = """
import time
cold = [bytes(4096) for _ in range(8000)]
table, number = {}, 0
print(flush=True)
while True:
    until = time.monotonic() + 0.02
    for _ in range(400):
        number += 1
        table[number % 50000] = [number, str(number), {"at": number}]
    time.sleep(max(0.0, until - time.monotonic()))
"""


class Missing(Exception):
    """A program that the bench needs is not installed; the message says how to get it."""


def _workload(name: str, **sizes: int) -> Target:
    def target() -> Iterator[int]:
        with start(name, **sizes) as workload:
            yield workload.pid

    return target


def _python() -> Iterator[int]:
    """Objects that come and go in a dictionary, as in a program that caches."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PYTHON], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            time.sleep(2.0)
            yield process.pid
        finally:
            process.kill()


def _redis() -> Iterator[int]:
    """A server of our own on a free port of the loopback interface, with its own load generator."""
    server, load = shutil.which(_SERVER), shutil.which(_LOAD)
    if server is None or load is None:
        raise Missing("`apt-get install redis-server redis-tools` for the forecast of a real server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="dirtytop-bench-") as directory:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with subprocess.Popen([server, *options], stdout=subprocess.DEVNULL) as process:
            try:
                _wait_for_port(port)
                writes = [load, "-p", str(port), "-q", "-t", "set", "-r", str(_KEYS), "-d", str(_VALUE_BYTES)]
                subprocess.run([*writes, "-n", str(3 * _KEYS)], stdout=subprocess.DEVNULL, check=True)
                # One client that waits for each answer: a load that leaves room for others.
                with subprocess.Popen([*writes, "-c", "1", "-l"], stdout=subprocess.DEVNULL) as loading:
                    try:
                        time.sleep(1.0)
                        yield process.pid
                    finally:
                        loading.kill()
            finally:
                process.kill()


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{_SERVER} does not answer on port {port}")


TARGETS: Final[dict[str, Callable[[], Iterator[int]]]] = {
    "steady": _workload("steady", cold_pages=96 * _PAGES_PER_MIB, hot_pages=4096, pages_per_s=12_000),
    "sequential": _workload("sequential", buffer_pages=128 * _PAGES_PER_MIB, pages_per_s=6_000),
    "zipf": _workload("zipf", cold_pages=64 * _PAGES_PER_MIB, hot_pages=16_384, pages_per_s=6_000),
    "bursts": _workload(
        "bursts",
        cold_pages=64 * _PAGES_PER_MIB,
        hot_pages=16_384,
        pages_per_s=10_000,
        burst_ms=2500,
        quiet_ms=3500,
    ),
    "growing": _workload("growing", limit_pages=512 * _PAGES_PER_MIB, chunk_pages=1024, pages_per_s=2_000),
    "tree": _workload(
        "fork-tree", children=3, cold_pages=6_000, hot_pages=1_024, pages_per_s=2_000, lifetime_ms=0
    ),
    "Python": _python,
    "redis": _redis,
}


@contextmanager
def running(name: str) -> Iterator[int]:
    """One of `TARGETS`, under way: its pid. Raises Missing."""
    with contextmanager(TARGETS[name])() as pid:
        yield pid
