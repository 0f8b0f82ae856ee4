"""The kernel's lists of sockets, against sockets that were just made."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from engine.kernel.sock_diag import ESTABLISHED, LISTENING, Socket, read_sockets


@pytest.fixture(autouse=True)
def _is_told() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        lists = read_sockets(os.getpid())
        if not lists.keys() >= {os.fstat(each.fileno()).st_ino for each in (tcp, unix)}:
            pytest.skip("this kernel has no such lists")


def found(one: socket.socket) -> Socket | None:
    return read_sockets(os.getpid()).get(os.fstat(one.fileno()).st_ino)


def test_tcp_is_told_by_its_state_and_by_who_waits() -> None:
    with socket.socket() as listening, socket.socket() as connecting:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        connecting.connect(listening.getsockname())
        server, client = found(listening), found(connecting)
        assert server is not None
        assert client is not None
        assert (server.state, server.received, client.state) == (LISTENING, 1, ESTABLISHED)
        listening.accept()[0].close()
        again = found(listening)
        assert again is not None
        assert again.received == 0


def test_the_two_ends_of_a_pair_know_one_another() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        one = found(ours)
        assert one is not None
        assert one.peer == os.fstat(theirs.fileno()).st_ino
        assert not one.has_name


def test_who_waits_to_be_accepted_is_in_the_queue_of_who_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as connecting:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        connecting.connect(str(tmp_path / "socket"))
        server, client = found(listening), found(connecting)
        assert server is not None
        assert client is not None
        assert server.not_accepted == (client.inode,)
        assert server.has_name
        assert client.peer == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
def test_another_network_namespace_is_looked_into_and_left_again() -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    ready, done = threading.Event(), threading.Event()
    made: list[tuple[int, int]] = []

    def live_there() -> None:
        if libc.unshare(0x4000_0000) == 0:
            with socket.socket() as listening:
                listening.bind(("0.0.0.0", 0))
                listening.listen()
                made.append((threading.get_native_id(), os.fstat(listening.fileno()).st_ino))
                ready.set()
                done.wait()
        ready.set()

    thread = threading.Thread(target=live_there)
    thread.start()
    ready.wait()
    try:
        if not made:
            pytest.skip("this kernel makes none")
        (tid, inode) = made[0]
        before = os.readlink("/proc/thread-self/ns/net")
        assert inode in read_sockets(tid)
        assert inode not in read_sockets(os.getpid())
        assert os.readlink("/proc/thread-self/ns/net") == before
    finally:
        done.set()
        thread.join()
