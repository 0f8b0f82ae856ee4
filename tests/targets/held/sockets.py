"""Sockets."""

from __future__ import annotations

import mmap
import select
import socket
import struct
from pathlib import Path

from tests.targets.held.things import NETWORK, PAGE, here, hold, kind, memory, unshare


@kind
def socket_pair() -> None:
    hold(*socket.socketpair())


@kind
def unix_connection_to_outside() -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(here() / "accepts"))
    hold(connection)


@kind
def unix_connection_that_outside_does_not_accept() -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(here() / "waits"))
    hold(connection)


@kind
def unix_datagrams_to_outside() -> None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connection.connect(str(here() / "datagrams"))
    hold(connection)


def _listening() -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(here() / "own"))
    listening.listen()
    hold(listening)
    return listening


@kind
def unix_socket_that_listens() -> None:
    _listening()


@kind
def unix_connection_not_accepted_yet() -> None:
    _listening()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(here() / "own"))
    hold(connection)


@kind
def unix_connection_not_accepted_and_closed() -> None:
    _listening()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(here() / "own"))


@kind
def unix_connection_whose_other_end_is_closed() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    hold(ours)


def _server(family: int = socket.AF_INET, address: str = "127.0.0.1") -> socket.socket:
    listening = socket.socket(family)
    listening.bind((address, 0))
    listening.listen()
    hold(listening)
    return listening


@kind
def tcp_socket() -> None:
    hold(socket.socket())


@kind
def tcp_socket_that_listens() -> None:
    _server()


@kind
def tcp_connection() -> None:
    listening = _server()
    connection = socket.socket()
    connection.connect(listening.getsockname())
    hold(connection, listening.accept())


@kind
def tcp_connection_not_accepted_yet() -> None:
    listening = _server()
    connection = socket.socket()
    connection.connect(listening.getsockname())
    hold(connection)


@kind
def udp_socket() -> None:
    hold(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


@kind
def raw_socket() -> None:
    hold(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))


@kind
def ping_socket() -> None:
    unshare(NETWORK)
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    hold(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))


@kind
def sctp_socket() -> None:
    hold(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))


@kind
def mptcp_socket() -> None:
    hold(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))


@kind
def vsock() -> None:
    hold(socket.socket(40, socket.SOCK_STREAM))


@kind
def crypto_socket() -> None:
    hold(socket.socket(38, socket.SOCK_SEQPACKET))


@kind
def xdp_socket() -> None:
    hold(socket.socket(44, socket.SOCK_RAW))


@kind
def packet_socket() -> None:
    hold(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))


@kind
def packet_socket_that_is_only_mapped() -> None:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packets.setsockopt(263, 5, struct.pack("IIII", PAGE, 4, 2048, 4 * PAGE // 2048))
    hold(memory(4, mmap.MAP_SHARED, packets.fileno()))
    packets.close()


@kind
def netlink_socket() -> None:
    routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    routes.bind((0, 1))
    hold(routes)


@kind
def netlink_socket_with_messages() -> None:
    routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    routes.send(struct.pack("IHHII", 20, 18, 0x301, 1, 0) + bytes(4))
    hold(routes)
    select.select([routes], [], [])


@kind
def netlink_socket_of_a_high_group() -> None:
    routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    routes.bind((0, 0))
    routes.setsockopt(270, 1, 34)
    hold(routes)
