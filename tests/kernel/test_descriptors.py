"""What a process has open, of a process that has just opened it: this one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from engine.kernel.descriptors import NameLeads, OpenFile, open_by_path, read_open_files


def opened(descriptor: int, **settings: object) -> OpenFile:
    (found,) = [
        file
        for file in read_open_files(os.getpid(), **settings)  # type: ignore[arg-type]
        if file.number == descriptor
    ]
    return found


def test_a_file_is_told_by_its_path_its_flags_and_its_mount(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    found = opened(descriptor)
    assert found.name == os.fsencode(tmp_path / "file")
    assert found.flags & os.O_APPEND
    assert found.mount_id > 0
    assert found.status is not None
    assert found.name_leads is NameLeads.HERE
    os.close(descriptor)


def test_a_name_may_hold_anything_and_lead_anywhere(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"a\n\xff (deleted)")
    descriptor = os.open(odd, os.O_RDWR | os.O_CREAT)
    assert opened(descriptor).name_leads is NameLeads.HERE
    odd.unlink()
    assert opened(descriptor).name_leads is NameLeads.NOWHERE
    assert opened(descriptor).status.st_nlink == 0  # type: ignore[union-attr]
    os.close(descriptor)


def test_a_file_in_another_ones_place_is_told_from_it(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    shown = opened(descriptor)
    os.rename(tmp_path / "file", tmp_path / "kept")
    (tmp_path / "file").touch()
    found = open_by_path(os.getpid(), f"fd/{descriptor}", shown.name)
    assert found is not None
    assert found.name_leads is NameLeads.ELSEWHERE
    os.close(descriptor)


def test_nobody_is_asked_of_a_file_whose_mount_may_not_answer(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    mount = opened(descriptor).mount_id
    found = opened(descriptor, not_asked={mount})
    assert (found.status, found.name_leads) == (None, NameLeads.NOT_ASKED)
    assert found.name == os.fsencode(tmp_path / "file")
    os.close(descriptor)


def test_a_socket_is_told_with_its_protocol() -> None:
    with socket.socket(socket.AF_INET6) as tcp, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as netlink:
        assert opened(tcp.fileno()).protocol == "TCPv6"
        assert opened(netlink.fileno()).protocol == "NETLINK"
        assert opened(tcp.fileno()).object_number == os.fstat(tcp.fileno()).st_ino


def test_what_an_epoll_watches_is_among_the_details() -> None:
    import select

    reading, writing = os.pipe()
    with select.epoll() as epoll:
        epoll.register(reading)
        (line,) = [line for line in opened(epoll.fileno()).details if line.startswith(b"tfd:")]
    assert int(line.split()[1]) == reading
    os.close(reading)
    os.close(writing)
